import numpy as np
import pytest
from lensing_scene import Isothermal, Linear

from klever.errors import InputError
from klever.source.polygon_overlap import overlap_area, polygon_operator
from klever.source.sourceplane import SourceGrid, averaging_operator, trace, trace_corners


def plane(shape=(40, 36), scale=0.065):
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    return (x - shape[1] // 2) * scale, (y - shape[0] // 2) * scale


def polygons(alpha, west, north, grid):
    return polygon_operator(*trace_corners(*alpha, west, north), np.isfinite(alpha[0]), grid)


def test_areas_of_known_overlaps():
    triangles = np.array([
        [[0, 0], [1, 0], [0, 1]],
        [[-5, -5], [5, -5], [0, 20]],
        [[2, 2], [3, 2], [2, 3]],
        [[0.5, -1], [2.5, 1], [0.5, 3]],
        [[0.5, -1], [0.5, 3], [2.5, 1]],
        [[0.2, 0.2], [0.2, 0.2], [0.9, 0.9]],
    ], float)  # fmt: skip
    zero = np.zeros(len(triangles))
    # The fourth: x from 0.5 to 1 (its slanted sides leave the square at y = -0.5 and 2.5), all heights of the square.
    np.testing.assert_allclose(overlap_area(triangles, zero, zero), [0.5, 1, 0, 0.5, 0.5, 0], atol=1e-12)


def test_squares_divide_a_triangle_completely():
    triangles = np.random.default_rng(3).uniform(0, 6, (200, 3, 2))
    side, other = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    area = np.abs(side[:, 0] * other[:, 1] - side[:, 1] * other[:, 0]) / 2
    total = sum(overlap_area(triangles, np.full(200, x), np.full(200, y)) for x in range(6) for y in range(6))
    np.testing.assert_allclose(total, area, rtol=1e-9, atol=1e-12)


def test_identity_is_the_unit_operator():
    west, north = plane((12, 9), 0.1)
    grid = SourceGrid(0.1, (12, 9), west[0, 0], north[0, 0])
    operator, coverage = polygons(np.zeros((2, 12, 9)), west, north, grid)
    np.testing.assert_allclose(operator.toarray(), np.eye(108), atol=1e-8)
    np.testing.assert_allclose(coverage, 1)


@pytest.mark.parametrize("matrix", [[[0.5, 0.1], [0.2, -0.3]], [[2.0, 0], [0, 0.5]], [[1, 1], [-1, 1]]])
def test_linear_lenses_flips_and_rotations_lose_no_area(matrix):
    west, north = plane((14, 19), 0.1)
    grid = SourceGrid(0.07, (121, 121), -4.2, -4.2)
    operator, coverage = polygons(Linear(matrix).deflection(west, north), west, north, grid)
    assert coverage.sum() == pytest.approx(west.size, rel=1e-6)
    covered = coverage > 0
    np.testing.assert_allclose((operator @ np.ones(west.size))[covered], 1)
    # Each source pixel inside the footprint holds as many image pixels as the areas say.
    expected = 0.07**2 / (0.1**2 * abs(np.linalg.det(np.eye(2) - np.array(matrix))))
    assert coverage.max() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("at", "crossed"), [((-4.0, 0.0), False), ((-2.3, 0.0), True)])
def test_subpixels_agree_with_the_polygons(at, crossed):
    """Away from a critical line and across one (tangential, at 2 arcsec)."""
    lens = Isothermal(2.0, at)
    west, north = plane()
    inverse = 1 / lens.mu(west, north)
    assert (inverse.min() < 0 < inverse.max()) == crossed
    alpha = lens.deflection(west, north)
    x, y, pixel = trace(*alpha, west, north, 4)
    grid = SourceGrid(0.025, (131, 131), np.median(x) - 1.625, np.median(y) - 1.625)
    image = np.exp(-(west**2 + north**2) / 0.4)
    sampled, landed = averaging_operator(x, y, pixel, west.size, grid)
    exact, coverage = polygons(alpha, west, north, grid)
    fluxes = (sampled @ image.ravel()).sum(), (exact @ image.ravel()).sum()
    holes = np.mean((landed == 0) & (coverage > 0.5 * np.median(coverage[coverage > 0])))
    print("flux ratio", fluxes[0] / fluxes[1], "holes", holes, "mu up to", 1 / np.abs(inverse).min())
    assert (coverage[landed > 0] > 0).all()  # where a sub-pixel lands there is area
    assert fluxes[0] == pytest.approx(fluxes[1], rel=0.01)


def test_pixels_without_deflection_contribute_nothing():
    west, north = plane((12, 9), 0.1)
    alpha = np.zeros((2, 12, 9))
    alpha[0, 3:5, 2] = np.nan
    grid = SourceGrid(0.1, (12, 9), west[0, 0], north[0, 0])
    _, coverage = polygons(alpha, west, north, grid)
    np.testing.assert_array_equal(coverage.reshape(12, 9) == 0, np.isnan(alpha[0]))
    _, coverage = polygons(alpha * np.nan, west, north, grid)
    assert (coverage == 0).all()


def test_a_row_of_pixels_is_refused():
    with pytest.raises(InputError, match="subpixels"):
        trace_corners(*np.zeros((4, 1, 9)))

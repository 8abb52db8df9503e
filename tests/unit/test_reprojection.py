import numpy as np
import pytest
from astropy.wcs import WCS
from lensing_scene import DEC, RA, gaussian, wcs_header
from reproject import reproject_adaptive, reproject_exact

from klever.align.reprojection import METHODS, overlap_operator, reprojection_operator
from klever.grids import Grid, tangent_header

SHAPE = (30, 34)
GEOMETRIES = [
    {"scale": 0.1},
    {"scale": 0.2, "rotation": 27},
    {"scale": 0.125, "rotation": 65, "flip": True},
    {"scale": (0.25, 0.125), "rotation": -10},
    {"scale": 0.03, "rotation": 45},  # much finer than the output
]
TARGET = tangent_header(RA, DEC, 0.065, (80, 82))
ORIENTATIONS = ["aligned", "rotated", "flipped", "oblong", "fine"]


def grids(geometry):
    source = Grid(wcs_header(SHAPE, **geometry), SHAPE, (RA, DEC))
    target = Grid(TARGET, (164, 161), (RA, DEC))
    return source, target


def worlds(geometry):
    return WCS(wcs_header(SHAPE, **geometry)).celestial, WCS(TARGET).celestial


def smooth(west, north):
    return gaussian(west, north, 0.2, -0.1, 0.7) + 0.4 * gaussian(west, north, -0.1, 0.15, 0.6)


def astropy_result(function, value, geometry, target, **options):
    source, wcs = worlds(geometry)
    result, _ = function((value, source), wcs, shape_out=target.shape, **options)
    return result


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=ORIENTATIONS)
def test_exact_operator_is_reproject_exact(geometry):
    source, target = grids(geometry)
    value = np.random.default_rng(4).normal(size=SHAPE)
    world, wcs = worlds(geometry)
    reference, footprint = reproject_exact((value, world), wcs, shape_out=target.shape)
    area = np.asarray(overlap_operator(source, target).sum(axis=1)).reshape(target.shape)
    np.testing.assert_allclose(area, np.nan_to_num(footprint), atol=1e-6)
    mine = (reprojection_operator(source, target, method="exact") @ value.ravel()).reshape(target.shape)
    covered = footprint > 0.01
    np.testing.assert_allclose(mine[covered], reference[covered], atol=1e-6)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=ORIENTATIONS)
def test_overlaps_share_out_every_input_pixel(geometry):
    source, target = grids(geometry)
    area = overlap_operator(source, target)
    assert area.data.min() > 0
    taken = np.asarray(area.sum(axis=0)).ravel() * target.pixel_area / source.pixel_area
    np.testing.assert_allclose(taken, 1.0, rtol=1e-8)  # the target covers the whole source
    filled = np.asarray(area.sum(axis=1)).ravel()
    assert filled.max() < 1 + 1e-8


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("geometry", GEOMETRIES[:4], ids=ORIENTATIONS[:4])
def test_flux_of_a_smooth_map_is_conserved(geometry, method):
    source, target = grids(geometry)
    value = smooth(*source.pixel_offsets())
    total = value.sum() * source.pixel_area
    mine = reprojection_operator(source, target, method=method) @ value.ravel()
    assert mine.sum() * target.pixel_area == pytest.approx(total, rel=0.005)
    exact = astropy_result(reproject_exact, value, geometry, target)
    assert mine.sum() == pytest.approx(np.nansum(exact), rel=0.01)
    adaptive = astropy_result(reproject_adaptive, value, geometry, target, kernel="gaussian", boundary_mode="strict")
    assert mine.sum() == pytest.approx(np.nansum(adaptive), rel=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_constant_stays_constant_and_outside_is_empty(method):
    source, target = grids({"scale": 0.1, "rotation": 15})
    operator = reprojection_operator(source, target, method=method)
    rows = np.diff(operator.indptr) > 0
    np.testing.assert_allclose((operator @ np.ones(operator.shape[1]))[rows], 1.0, rtol=1e-12)
    assert 0.9 < rows.sum() * target.pixel_area / (SHAPE[0] * SHAPE[1] * source.pixel_area) < 1.15
    assert operator.data.min() >= 0


@pytest.mark.parametrize("method", METHODS)
def test_same_grid_is_the_identity_and_a_shift_moves_it(method):
    grid = Grid(tangent_header(RA, DEC, 0.065, (10, 10)), (20, 22), (RA, DEC))
    same = reprojection_operator(grid, grid, method=method).toarray()
    np.testing.assert_allclose(same, np.eye(440), atol=1e-6)
    value = np.zeros((20, 22))
    value[9, 7] = 1.0
    moved = reprojection_operator(grid, grid, (3 * 0.065, -2 * 0.065), method) @ value.ravel()
    assert np.unravel_index(np.argmax(moved), value.shape) == (7, 10)  # x of a north-up grid runs to the west
    assert moved.max() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_grids_apart_give_an_empty_operator(method):
    source, target = grids({"scale": 0.1})
    operator = reprojection_operator(source, target, (60.0, 0.0), method)
    assert operator.nnz == 0
    assert operator.shape == (164 * 161, SHAPE[0] * SHAPE[1])


def test_unknown_method():
    source, target = grids({"scale": 0.1})
    with pytest.raises(ValueError, match="choose out of bilinear, exact"):
        reprojection_operator(source, target, method="nearest")


def test_wcs_of_the_scene_is_what_astropy_reads():
    source, _ = grids(GEOMETRIES[2])
    x, y = WCS(wcs_header(SHAPE, **GEOMETRIES[2])).all_world2pix(RA, DEC, 0)
    np.testing.assert_allclose(source.pixels(np.zeros(1), np.zeros(1)), [[x], [y]], atol=1e-6)

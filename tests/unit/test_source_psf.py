import numpy as np
import pytest
from lensing_scene import Isothermal, Linear

from klever.source.source_psf import FWHM, Ellipse, adaptive_ellipse, image_psf_fwhm, jacobian_ellipse, traced_ellipse
from klever.source.sourceplane import averaging_operator, source_grid, trace


def plane(shape=(81, 77), scale=0.065):
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    return (x - shape[1] // 2) * scale, (y - shape[0] // 2) * scale


def measure(lens, *, fwhm=0.72, scale=0.03, at=(0, 0)):
    west, north = plane()
    alpha = lens.deflection(west, north)
    row, column = 40 + at[1], 38 + at[0]
    position = west[row, column], north[row, column]
    centre = [p - a[row, column] for p, a in zip(position, alpha, strict=True)]
    x, y, pixel = trace(*alpha, west, north, 4)
    grid = source_grid(x, y, centre, scale)
    operator, _ = averaging_operator(x, y, pixel, west.size, grid)
    jacobian = jacobian_ellipse(*alpha, column, row, 0.065, fwhm)
    return traced_ellipse(operator, (west, north), grid.offsets(), position, fwhm, jacobian), jacobian


def test_quadrature_and_mean_over_bands():
    assert image_psf_fwhm({"H": 0.3, "K": 0.0}, 0.4) == pytest.approx((0.5 + 0.4) / 2)


def test_position_angle_runs_from_north_through_east():
    for angle in (0, 30, 90, 150):
        direction = np.array([-np.sin(np.radians(angle)), np.cos(np.radians(angle))])  # x is west
        across = np.array([direction[1], -direction[0]])
        ellipse = Ellipse.from_covariance(4 * np.outer(direction, direction) + np.outer(across, across))
        assert ellipse.position_angle % 180 == pytest.approx(angle % 180, abs=1e-6)
        assert (ellipse.fwhm_major, ellipse.fwhm_minor) == (pytest.approx(2 * FWHM), pytest.approx(FWHM))


def test_no_lens_gives_back_the_seeing():
    traced, jacobian = measure(Linear(np.zeros((2, 2))), scale=0.065)
    assert jacobian.fwhm_major == pytest.approx(0.72)
    assert (traced.fwhm_major, traced.fwhm_minor) == (pytest.approx(0.72, rel=0.01), pytest.approx(0.72, rel=0.01))


@pytest.mark.parametrize(
    "matrix",
    [[[0.4, 0.0], [0.0, -0.2]], [[0.3, 0.2], [0.2, 0.1]], [[0.5, -0.25], [-0.25, 0.5]], [[1.5, 0.1], [0.1, 0.3]]],
)
def test_constant_shear_gives_the_analytic_ellipse(matrix):
    traced, jacobian = measure(Linear(matrix))
    a = np.eye(2) - np.array(matrix)
    values, vectors = np.linalg.eigh(a @ a.T)
    expected = 0.72 * np.sqrt(values[::-1])
    angle = np.degrees(np.arctan2(-vectors[0, 1], vectors[1, 1])) % 180
    for ellipse, tolerance in ((jacobian, 1e-6), (traced, 0.02)):
        assert ellipse.fwhm_major == pytest.approx(expected[0], rel=tolerance)
        assert ellipse.fwhm_minor == pytest.approx(expected[1], rel=tolerance)
        assert abs((ellipse.position_angle - angle + 90) % 180 - 90) < 2


def test_isothermal_lens_squeezes_tangentially():
    lens = Isothermal(3.0, (-6.0, 0.0))
    traced, jacobian = measure(lens)
    assert traced.fwhm_major == pytest.approx(0.72, rel=0.05)  # radial
    assert traced.fwhm_minor == pytest.approx(0.36, rel=0.10)  # 1 - einstein / radius
    assert traced.fwhm_minor == pytest.approx(jacobian.fwhm_minor, rel=0.1)
    assert abs(traced.position_angle - 90) < 3


def test_counter_images_do_not_change_the_ellipse():
    # The centre of the field is 1.95 arcsec from the lens of 1.2 arcsec: the other image is 0.45 beyond it.
    lens = Isothermal(1.2, (-1.95, 0.01))
    traced, jacobian = measure(lens, fwhm=0.4)
    assert traced.fwhm_major == pytest.approx(jacobian.fwhm_major, rel=0.1)
    assert traced.fwhm_minor == pytest.approx(jacobian.fwhm_minor, rel=0.15)


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_adaptive_moments_recover_a_gaussian_among_holes(unit):
    x, y = (v.ravel() for v in plane())
    covariance = np.array([[0.20, 0.07], [0.07, 0.10]])
    offset = np.array([x - 0.2, y + 0.1])
    value = unit * np.exp(-0.5 * np.sum(offset * np.linalg.solve(covariance, offset), axis=0))
    value[np.random.default_rng(0).uniform(size=x.size) < 0.02] = np.nan
    found, truth = adaptive_ellipse(value, x, y, np.eye(2) * 0.1), Ellipse.from_covariance(covariance)
    assert found.fwhm_major == pytest.approx(truth.fwhm_major, rel=0.01)
    assert found.fwhm_minor == pytest.approx(truth.fwhm_minor, rel=0.01)
    assert found.position_angle == pytest.approx(truth.position_angle, abs=1)


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0])
def test_nothing_to_fit(value):
    x, y = (v.ravel() for v in plane())
    assert np.isnan(adaptive_ellipse(np.full(x.size, value), x, y, np.eye(2)).fwhm_major)


def test_missing_deflection_gives_no_jacobian():
    alpha = np.zeros((5, 5))
    alpha[2, 3] = np.nan
    assert np.isnan(jacobian_ellipse(alpha, alpha, 2, 2, 0.1, 0.6).fwhm_major)
    corner = jacobian_ellipse(np.zeros((5, 5)), np.zeros((5, 5)), 0, 4, 0.1, 0.6)
    assert corner.fwhm_major == pytest.approx(0.6)


def test_image_of_a_single_pixel_has_no_shape():
    x, y = (v.ravel() for v in plane((21, 21)))
    value = np.where(np.hypot(x, y) < 0.01, 1.0, 0.0)
    assert np.isnan(adaptive_ellipse(value, x, y, np.eye(2) * 0.01).fwhm_major)
    value = np.where(np.hypot(x - 0.03, y) < 0.04, 1.0, np.nan)  # only pixels between which the Gaussian shrinks
    assert np.isnan(adaptive_ellipse(value, x, y, np.eye(2) * 1e-6).fwhm_major)

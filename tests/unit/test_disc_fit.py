"""The disc behind the PSF: its size and shape, and where the light of a pixel comes from."""

import numpy as np
import pytest
from scipy import ndimage

from klever.gradient.annuli import Ellipse
from klever.gradient.disc_fit import Disc, fit_disc, light_radius

SHAPE = (61, 67)
ROUND = (8.0, 8.0, 0.0)


def disc_image(radius, axis_ratio, angle, fwhm, centre=(33.2, 29.7), fine=5):
    """Exponential disc and circular Gaussian PSF, on a finer grid and in real space."""
    y, x = ((np.arange(n * fine) + 0.5) / fine - 0.5 for n in SHAPE)
    dx, dy = x[None, :] - centre[0], y[:, None] - centre[1]
    pa = np.radians(angle)
    along, across = -dx * np.sin(pa) + dy * np.cos(pa), dx * np.cos(pa) + dy * np.sin(pa)
    image = np.exp(-1.67835 * np.hypot(along, across / axis_ratio) / radius)
    if fwhm:
        image = ndimage.gaussian_filter(image, fwhm * fine / 2.3548, truncate=6)
    return image.reshape(SHAPE[0], fine, SHAPE[1], fine).mean((1, 3))


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e20])
@pytest.mark.parametrize(
    ("radius", "axis_ratio", "angle", "fwhm"), [(6, 0.6, 30, 8), (3, 0.8, -50, 8), (7, 0.5, 110, 1.5)]
)
def test_size_and_shape_are_free_of_the_psf(radius, axis_ratio, angle, fwhm, scale):
    image = disc_image(radius, axis_ratio, angle, fwhm) * scale
    found = fit_disc(image, np.full(SHAPE, 1e-4 * image.max()), (32, 31), (fwhm, fwhm, 0.0), 4.0)
    assert found.half_light_radius == pytest.approx(radius, rel=0.03)
    assert found.axis_ratio == pytest.approx(axis_ratio, abs=0.03)
    assert abs((found.position_angle - angle + 90) % 180 - 90) < 2
    assert (found.x, found.y) == pytest.approx((33.2, 29.7), abs=0.05)


def test_half_of_the_light_is_inside_the_radius():
    image = disc_image(6.0, 1.0, 0.0, 0)
    y, x = np.indices(SHAPE)
    inside = np.hypot(x - 33.2, y - 29.7) < 6.0
    assert image[inside].sum() / image.sum() == pytest.approx(0.5, abs=0.02)


def test_the_error_covers_the_scatter_of_noise():
    image, random = disc_image(5.0, 0.7, 20.0, 8.0), np.random.default_rng(2)
    sigma = 0.03 * image.max()
    fits = [
        fit_disc(image + random.normal(0, sigma, SHAPE), np.full(SHAPE, sigma), (33, 30), ROUND, 4.0) for _ in range(12)
    ]
    sizes = np.array([item.half_light_radius for item in fits])
    error = np.mean([item.half_light_radius_error for item in fits])
    assert abs(sizes.mean() - 5) < 3 * error / np.sqrt(12) and 0.5 < sizes.std(ddof=1) / error < 1.8


def test_what_cannot_be_fitted_is_none():
    image = np.full(SHAPE, np.nan)
    assert fit_disc(image, image, (30, 30), ROUND, 4.0) is None
    random = np.random.default_rng(1)
    assert fit_disc(random.normal(0, 1, SHAPE), np.ones(SHAPE), (30, 30), ROUND, 4.0) is None
    point = ndimage.gaussian_filter(np.eye(1, SHAPE[0] * SHAPE[1], 2000).reshape(SHAPE), 8 / 2.3548)
    assert fit_disc(point, np.full(SHAPE, 1e-4 * point.max()), (57, 29), ROUND, 4.0) is None  # no larger than the PSF


def test_light_comes_from_where_it_is_without_a_psf_and_from_the_disc_s_mean_behind_a_wide_one():
    disc, circle = Disc(33.0, 30.0, 6.0, 0.1, 1.0, 0.0), Ellipse(33.0, 30.0)
    y, x = np.indices(SHAPE)
    radius = np.hypot(x - 33, y - 30)
    sharp = light_radius(disc, circle, SHAPE, (0.05, 0.05, 0.0))
    np.testing.assert_allclose(sharp[radius > 1], radius[radius > 1], rtol=0.02)
    blurred = light_radius(disc, circle, SHAPE, (60.0, 60.0, 0.0))
    mean = 2 * 6.0 / 1.67835  # of an exponential disc
    np.testing.assert_allclose(blurred[radius < 5], mean, rtol=0.15)
    assert np.ptp(blurred[radius < 10]) < 0.15 * np.ptp(sharp[radius < 10])


def test_an_elongated_psf_mixes_radii_as_a_convolution_in_real_space_does():
    disc, circle = Disc(33.0, 30.0, 6.0, 0.1, 1.0, 0.0), Ellipse(33.0, 30.0)
    fine = 5
    y, x = ((np.arange(n * fine) + 0.5) / fine - 0.5 for n in SHAPE)
    radius = np.hypot(x[None, :] - 33, y[:, None] - 30)
    light = np.exp(-1.67835 * radius / 6.0)
    widths = np.array([12.0, 3.0]) * fine / 2.3548
    smooth = [ndimage.gaussian_filter(image, widths, truncate=5) for image in (light * radius, light)]
    numerator, denominator = (item.reshape(SHAPE[0], fine, SHAPE[1], fine).mean((1, 3)) for item in smooth)
    image = light_radius(disc, circle, SHAPE, (12.0, 3.0, 0.0))  # major axis to the north
    inner = slice(20, 41), slice(23, 44)  # away from the edges, beyond which the fine grid has no light
    np.testing.assert_allclose(image[inner], (numerator / denominator)[inner], rtol=0.02)
    turned = light_radius(disc, circle, SHAPE, (12.0, 3.0, 90.0))
    np.testing.assert_allclose(turned[30, 33 + 8], image[30 + 8, 33], rtol=1e-6)

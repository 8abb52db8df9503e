import numpy as np
import pytest

from klever.cubes.skylines import broken_spaxels, outliers, sky_line_mask

SHAPE = (300, 12, 10)
WAVELENGTH = 1.5 + 2e-4 * np.arange(SHAPE[0])


def noise_cube(spectrum):
    return spectrum[:, None, None] * np.ones(SHAPE)


def test_channels_of_noisy_sky_lines_are_masked():
    spectrum = np.ones(SHAPE[0])
    spectrum[[40, 41, 150]] = 8.0
    spectrum[200] = 4.0
    mask, source = sky_line_mask(WAVELENGTH, noise_cube(spectrum), 5.0)
    assert source == "noise"
    np.testing.assert_array_equal(np.flatnonzero(mask), [40, 41, 150])


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_mask_does_not_depend_on_the_unit(scale):
    spectrum = np.ones(SHAPE[0])
    spectrum[60:64] = 9.0
    mask, _ = sky_line_mask(WAVELENGTH, noise_cube(spectrum * scale), 5.0)
    np.testing.assert_array_equal(np.flatnonzero(mask), [60, 61, 62, 63])


def test_thermal_rise_is_no_sky_line():
    spectrum = np.exp(3 * np.linspace(0, 1, SHAPE[0]) ** 4)  # a factor of 20 towards the red end
    lines = [30, 90, 150, 210, 280]
    spectrum[lines] *= 8
    mask, source = sky_line_mask(WAVELENGTH, noise_cube(spectrum), 5.0)
    assert source == "noise"
    np.testing.assert_array_equal(np.flatnonzero(mask), lines)


def test_channels_without_error_are_not_sky_lines():
    spectrum = np.ones(SHAPE[0])
    spectrum[10:20] = np.nan
    spectrum[100:105] = 10.0
    mask, _ = sky_line_mask(WAVELENGTH, noise_cube(spectrum), 5.0)
    np.testing.assert_array_equal(np.flatnonzero(mask), [100, 101, 102, 103, 104])


@pytest.mark.parametrize("level", [1.0, np.nan])
def test_flat_noise_falls_back_on_the_list_of_lines(level):
    lines = np.array([[15100.0, 5000.0], [15200.0, 2000.0], [15300.0, 900.0], [30000.0, 1e6]])
    mask, source = sky_line_mask(WAVELENGTH, noise_cube(np.full(SHAPE[0], level)), 5.0, lines)
    assert source == "line list"
    np.testing.assert_array_equal(np.flatnonzero(mask), [49, 50, 51, 99, 100, 101])  # the third is below a fifth


def test_flat_noise_without_list_masks_nothing():
    mask, source = sky_line_mask(WAVELENGTH, noise_cube(np.ones(SHAPE[0])), 5.0)
    assert not mask.any()
    assert source == "none"


def galaxy(peak, channels=0.85, spaxels=1.1):
    """A line as narrow as sampling allows (FWHM 2 channels), on a PSF of FWHM 2.6 spaxels, in unit noise."""
    k, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    line = np.exp(-0.5 * ((k - 150.2) / channels) ** 2 - 0.5 * ((y - 6) ** 2 + (x - 4.6) ** 2) / spaxels**2)
    return peak * line + np.random.default_rng(2).normal(size=SHAPE)


@pytest.mark.parametrize("peak", [30, 300, 3e4, 3e6])
def test_bright_narrow_line_is_not_eaten(peak):
    assert not outliers(galaxy(peak), np.ones(SHAPE), 12.0).any()


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("height", [30.0, -30.0, 1e30])
def test_cosmic_rays_are_found_beside_a_line(scale, height):
    flux = galaxy(300)
    hits = [(20, 3, 3), (150, 1, 8), (250, 0, 0), (299, 11, 9)]
    for hit in hits:
        flux[hit] += height
    found = outliers(flux * scale, np.full(SHAPE, scale), 12.0)
    assert sorted(map(tuple, np.argwhere(found))) == sorted(hits)


def test_cosmic_ray_on_the_core_of_a_line_is_found():
    flux = galaxy(100)
    flux[150, 6, 5] += 3000
    np.testing.assert_array_equal(np.argwhere(outliers(flux, np.ones(SHAPE), 12.0)), [[150, 6, 5]])


def test_a_spike_in_all_spaxels_is_sky_and_a_bright_spaxel_is_a_star():
    flux = np.random.default_rng(2).normal(size=SHAPE)
    flux[70] += 100
    flux[:, 4, 4] += 500
    assert not outliers(flux, np.ones(SHAPE), 12.0).any()


def test_voxels_at_the_edges_have_no_neighbours_on_the_other_side():
    flux = np.zeros(SHAPE)
    corners = [[0, 0, 0], [299, 11, 9]]
    for corner in corners:
        flux[tuple(corner)] = 100.0
    flux[0, 0, 9] = flux[0, 11, 0] = flux[299, 0, 0] = 100.0  # none is adjacent to another
    np.testing.assert_array_equal(
        np.argwhere(outliers(flux, np.ones(SHAPE), 12.0)), sorted([*corners, [0, 0, 9], [0, 11, 0], [299, 0, 0]])
    )


def test_missing_data_are_no_outliers():
    assert not outliers(np.full(SHAPE, np.nan), np.ones(SHAPE), 12.0).any()
    flux = np.zeros(SHAPE)
    flux[:, :, :] = np.nan
    flux[:, 5, 5] = 0.0
    flux[9, 5, 5] = 1e3  # nothing beside it to compare with
    assert not outliers(flux, np.ones(SHAPE), 12.0).any()


@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_dead_and_hot_spaxels_are_found_and_no_others(unit):
    """A source that falls by a factor of five from spaxel to spaxel, the edge of the field, and an empty spaxel."""
    rng = np.random.default_rng(4)
    y, x = np.indices(SHAPE[1:])
    source = 5.0 ** (8 - np.hypot(y - 5, x - 4))
    flux = (source + rng.normal(size=SHAPE) * (1 + 0.01 * source)) * unit
    flux[:, :, -1] *= 30
    flux[:, 2, 2] = np.nan
    flux[0, 9, 8] = 1e30 * unit
    assert not broken_spaxels(flux).any()
    spoiled = {"constant": (0, 0), "hot": (8, 1), "hot too": (8, 2), "cold": (10, 7), "infinite": (5, 9)}
    flux[:, 0, 0], flux[:, 8, 1:3] = 3.0 * unit, flux[:, 8, 1:3] * 1e20
    flux[:, 10, 7] *= 1e-20
    flux[:, 5, 9] = rng.normal(size=SHAPE[0]) * 1e30 * unit
    assert set(zip(*np.nonzero(broken_spaxels(flux)), strict=True)) == set(spoiled.values())


def test_spaxels_of_a_cube_without_noise_are_not_broken():
    line = np.exp(-0.5 * ((np.arange(SHAPE[0]) - 150) / 3) ** 2)[:, None, None]
    y, x = np.indices(SHAPE[1:])
    assert not broken_spaxels((1.1 + line) * np.exp(-np.hypot(y - 5, x - 4))).any()

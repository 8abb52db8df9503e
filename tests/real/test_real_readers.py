"""Real cubes through the readers; KLEVER_TEST_DATA names the folder with kmos/, sinfoni/, muse/, jwst/."""

import os
from pathlib import Path

import numpy as np
import pytest

from klever.cubes import axes as cubeaxes
from klever.cubes.cube import DQ, Cube
from klever.cubes.noise import estimate_error, noise_scale, spatial_autocorrelation
from klever.cubes.readers import read_cube
from klever.errors import InputError

DATA = os.environ.get("KLEVER_TEST_DATA")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA, reason="KLEVER_TEST_DATA does not name the folder of the real files"),
]
UNIT = "erg s-1 cm-2 um-1"
CUBES = [
    # file, unit, instrument, band, shape, first and last vacuum wavelength (um), spaxel (arcsec)
    ("kmos/gum43_K_SCI_COMBINED.fits.gz", UNIT, "KMOS", (1.92, 2.46), (2048, 17, 17), 1.92500, 2.49972, 0.2),
    ("kmos/cdfs294_YJ_COMBINED.fits", UNIT, "KMOS", (1.025, 1.344), (2048, 14, 15), 1.0, 1.35882, 0.2),
    ("sinfoni/cswa164_K_header_cutout.fits", UNIT, "SINFONI", None, (10, 10, 10), 1.92879, 1.93099, 0.125),
    ("muse/udf_cutout.fits", "header", "MUSE", (0.465, 0.93), (500, 30, 30), 0.475133, 0.537524, 0.2),
    ("jwst/miri_s3d_simulated_cutout.fits", "header", "JWST", None, (10, 10, 10), 4.89, 4.8958, 0.13),
]


@pytest.mark.parametrize(("name", "unit", "instrument", "band", "shape", "first", "last", "spaxel"), CUBES)
def test_real_cube(name, unit, instrument, band, shape, first, last, spaxel, tmp_path):
    cube = read_cube(Path(DATA) / name, unit, instrument=instrument, wavelength_range=band)
    assert cube.shape == shape
    assert cube.wavelength[[0, -1]] == pytest.approx([first, last], abs=1e-5)
    assert np.all(np.diff(cube.wavelength) > 0)
    assert cube.spaxel_scale == pytest.approx(spaxel, rel=1e-3)
    assert not cubeaxes.is_mirrored(cube.header)
    assert not cube.meta["mirrored"]
    assert np.isfinite(cube.flux[cube.good]).all()
    assert np.all(cube.error[cube.good] > 0)
    assert cube.good.mean() > 0.7
    assert not any("instrument" in text for text in cube.meta["warnings"])
    cube.write(tmp_path / "cube.fits")
    np.testing.assert_array_equal(Cube.read(tmp_path / "cube.fits").dq, cube.dq)


@pytest.mark.parametrize("name", ["kmos/cdfs294_YJ_COMBINED.fits", "sinfoni/cswa164_K_header_cutout.fits"])
def test_native_products_without_bunit_ask_for_the_unit(name):
    with pytest.raises(InputError, match=r"no BUNIT.*column `unit`"):
        read_cube(Path(DATA) / name)


def test_kmos_zeros_are_missing_data():
    cube = read_cube(Path(DATA) / "kmos/cdfs294_YJ_COMBINED.fits", UNIT)
    missing = np.mean((cube.dq & DQ.NODATA) != 0)  # 6.7 % NaN, 18.7 % exact zeros
    assert missing == pytest.approx(0.254, abs=0.001)


def test_kmos_noise_of_neighbours_is_correlated():
    cube = read_cube(Path(DATA) / "kmos/cdfs294_YJ_COMBINED.fits", UNIT)
    assert 0.8 < noise_scale(cube.flux, cube.error, cube.dq) < 1.6
    acf = spatial_autocorrelation(cube.flux, cube.error, cube.dq)
    assert 0.2 < acf[4, 5] < 0.5  # along the slices
    assert acf[4, 5] > acf[5, 4] > 0


def test_kmos_h_alpha_flux_of_a_galaxy():
    """F(Halpha) 3.48e-17 erg/s/cm2 within 0.3 arcsec at z = 0.9752, summed above the continuum."""
    cube = read_cube(Path(DATA) / "kmos/cdfs294_YJ_COMBINED.fits", UNIT)
    y, x = np.mgrid[: cube.shape[1], : cube.shape[2]]
    aperture = np.hypot(x - 6.53, y - 6.11) < 1.5
    spectrum = np.nansum(np.where(cube.good, cube.flux, np.nan)[:, aperture], axis=1)
    velocity = 299792.458 * (cube.wavelength / (0.6564632 * 1.9752) - 1)
    side = (np.abs(velocity) > 1600) & (np.abs(velocity) < 3000)
    line = np.abs(velocity) < 330
    flux = np.sum(spectrum[line] - np.median(spectrum[side])) * np.diff(cube.wavelength)[0]
    assert flux == pytest.approx(3.48e-17, rel=0.1)


def test_muse_wavelengths_are_converted_from_air():
    cube = read_cube(Path(DATA) / "muse/udf_cutout.fits")
    assert cube.wavelength[0] * 1e4 - 4750.0 == pytest.approx(1.3285, abs=0.002)
    assert any("air to vacuum" in note for note in cube.meta["notes"])
    assert 0.8 < noise_scale(cube.flux, cube.error, cube.dq) < 1.2


def test_jwst_surface_brightness_becomes_flux_per_spaxel():
    from astropy.io import fits

    path = Path(DATA) / "jwst/miri_s3d_simulated_cutout.fits"
    cube = read_cube(path)
    raw = fits.getdata(path, "SCI")[4, 5, 6]
    expected = raw * 1e-26 * 0.13**2 * 2.99792458e14 / cube.wavelength[4] ** 2  # mJy/arcsec2
    assert cube.flux[4, 5, 6] == pytest.approx(expected, rel=1e-4)


def test_sinfoni_barycentric_correction_is_what_the_pipeline_recorded(tmp_path):
    from astropy.io import fits

    path = Path(DATA) / "sinfoni/cswa164_K_header_cutout.fits"
    plain, shifted = (read_cube(path, UNIT, barycentric=on) for on in (False, True))
    assert plain.meta["specsys"] == "TOPOCENT"
    np.testing.assert_allclose(299792.458 * (shifted.wavelength / plain.wavelength - 1), -16.350871, atol=1e-6)
    with fits.open(path) as hdus:
        del hdus[0].header["ESO QC VRAD BARYCOR"]
        hdus.writeto(tmp_path / "s.fits")
    computed = read_cube(tmp_path / "s.fits", UNIT, barycentric=True)
    # the mosaic took hours, its header has the time of the first exposure
    assert computed.meta["barycentric_velocity"] == pytest.approx(-16.35, abs=0.15)


def test_kmos_frame_is_assumed_and_said():
    cube = read_cube(Path(DATA) / "kmos/cdfs294_YJ_COMBINED.fits", UNIT)
    assert cube.meta["specsys"] == "TOPOCENT"
    assert any("no SPECSYS" in note for note in cube.meta["notes"])
    assert read_cube(Path(DATA) / "jwst/miri_s3d_simulated_cutout.fits").meta["specsys"] == "BARYCENT"


def test_estimated_error_of_a_galaxy_is_that_of_the_pipeline_scaled():
    cube = read_cube(Path(DATA) / "kmos/cdfs294_YJ_COMBINED.fits", UNIT)
    ratio = (estimate_error(cube.flux, cube.wavelength) / cube.error)[cube.good]
    # the residuals scatter 1.22 times as much as NOISE says
    assert np.nanmedian(ratio) == pytest.approx(noise_scale(cube.flux, cube.error, cube.dq), rel=0.05)


def test_lines_of_a_nebula_that_fills_the_field_are_no_noise():
    """H2 2.1218 and Br gamma 2.1661 of an H II region: all spaxels have them, none as noise."""
    cube = read_cube(Path(DATA) / "kmos/gum43_K_SCI_COMBINED.fits.gz", UNIT)
    estimated = estimate_error(cube.flux, cube.wavelength)
    band = np.nanmedian(estimated)
    for line in (2.1218, 2.1661):
        channel = np.abs(cube.wavelength - line) < 3e-4
        assert np.nanmedian(estimated[channel]) < 4 * band
        assert np.nanpercentile(cube.flux[channel], 90) > 20 * band


@pytest.mark.parametrize("name", ["muse/udf_cutout.fits", "jwst/miri_s3d_simulated_cutout.fits"])
def test_real_cube_through_specutils(name):
    pytest.importorskip("specutils")
    from klever.cubes.specutils_io import from_spectrum, to_spectrum

    cube = read_cube(Path(DATA) / name)
    again = from_spectrum(to_spectrum(cube))
    for layer in ("flux", "error", "dq", "wavelength"):
        np.testing.assert_array_equal(getattr(again, layer), getattr(cube, layer))

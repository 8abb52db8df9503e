"""Cubes and spectra in and out of specutils."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.table import Table
from astropy.wcs import WCS
from cube_files import header, voxels

from klever.cubes import axes as cubeaxes
from klever.cubes.cube import DQ, FLUX_UNIT, Cube
from klever.errors import InputError

specutils = pytest.importorskip("specutils")
specutils_io = pytest.importorskip("klever.cubes.specutils_io")
Spectrum = specutils.Spectrum
N_WAVE, NY, NX = 30, 7, 4


def make(wavelength=None):
    flux, error = voxels(N_WAVE, NY, NX)
    dq = np.zeros(flux.shape, np.uint8)
    dq[3, 2, 1] = DQ.NODATA
    dq[4, 2, 1] = DQ.OUTLIER | DQ.SKYLINE
    dq[5, 2, 1] = DQ.NO_ERROR
    flux[3, 2, 1] = error[3, 2, 1] = error[5, 2, 1] = np.nan
    wavelength = 1.5 + 2e-4 * np.arange(N_WAVE) if wavelength is None else wavelength
    meta = {"galaxy": "sp1", "z": 1.3, "error_origin": "given"}
    return Cube(flux, error, dq, wavelength, cubeaxes.celestial_header(header(N_WAVE, NY, NX, CD1_2=1e-5)), meta)


def assert_same(cube, again, rtol=0.0, wavelength_rtol=0.0):
    np.testing.assert_allclose(again.flux, cube.flux, rtol=rtol)
    np.testing.assert_allclose(again.error, cube.error, rtol=rtol)
    np.testing.assert_array_equal(again.dq, cube.dq)
    np.testing.assert_allclose(again.wavelength, cube.wavelength, rtol=wavelength_rtol)
    np.testing.assert_allclose(cubeaxes.cd_matrix(again.header), cubeaxes.cd_matrix(cube.header), rtol=1e-12)
    for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"):
        assert again.header[key] == pytest.approx(cube.header[key], rel=1e-14)


def test_round_trip_to_the_last_bit():
    cube = make(1.5 * np.exp(2e-4 * np.arange(N_WAVE) ** 1.2))
    spectrum = specutils_io.to_spectrum(cube)
    assert spectrum.unit == u.Unit(FLUX_UNIT)
    np.testing.assert_array_equal(spectrum.mask, cube.dq != 0)
    again = specutils_io.from_spectrum(spectrum)
    assert_same(cube, again)
    assert again.meta == cube.meta


def test_fits_wcs_shows_the_same_sky_and_wavelengths():
    cube = make()
    spectrum = specutils_io.to_spectrum(cube, fits_wcs=True)
    np.testing.assert_allclose(spectrum.spectral_axis.to_value("um"), cube.wavelength, rtol=1e-14)
    ra, dec = spectrum.wcs.celestial.pixel_to_world_values(1, 5)
    assert cubeaxes.sky_to_pixel(cube.header, ra, dec) == pytest.approx((1, 5), abs=1e-6)
    assert_same(cube, specutils_io.from_spectrum(spectrum), wavelength_rtol=1e-14)
    with pytest.raises(InputError, match="not linear"):
        specutils_io.to_spectrum(make(1.5 * np.exp(2e-4 * np.arange(N_WAVE) ** 1.2)), fits_wcs=True)


@pytest.mark.parametrize("linear", [True, False])
def test_product_opens_without_any_option(tmp_path, linear):
    cube = make(None if linear else 1.5 * np.exp(2e-4 * np.arange(N_WAVE) ** 1.2))
    cube.write(tmp_path / "cube.fits")
    spectrum = Spectrum.read(tmp_path / "cube.fits")
    np.testing.assert_allclose(spectrum.flux.value, cube.flux, rtol=1e-6)
    np.testing.assert_allclose(spectrum.uncertainty.array, cube.error, rtol=1e-6)
    np.testing.assert_allclose(spectrum.spectral_axis.to_value("um"), cube.wavelength, rtol=1e-14)
    assert getattr(spectrum.wcs, "has_celestial", False) == linear
    stored = Cube.read(tmp_path / "cube.fits")
    assert_same(stored, specutils_io.from_spectrum(Spectrum.read(str(tmp_path / "cube.fits"))), wavelength_rtol=1e-14)
    assert "klever cube" not in specutils.io.registers.identify_spectrum_format(__file__)


@pytest.mark.parametrize("place", ["first", "last"])
def test_place_of_the_spectral_axis(place):
    cube = make()
    plain = specutils_io.to_spectrum(cube, fits_wcs=True)
    moved = Spectrum(plain.flux, wcs=plain.wcs, uncertainty=plain.uncertainty, mask=plain.mask,
                     move_spectral_axis=place)  # fmt: skip
    assert moved.shape == ((N_WAVE, NY, NX) if place == "first" else (NX, NY, N_WAVE))
    again = specutils_io.from_spectrum(moved)
    np.testing.assert_array_equal(again.flux, cube.flux)
    assert again.header["CRPIX2"] == cube.header["CRPIX2"]
    # without the bits, what is masked is the instrument's doing, and missing data and errors are found again
    np.testing.assert_array_equal(again.dq != 0, cube.dq != 0)
    assert again.dq[4, 2, 1] == DQ.INSTRUMENT
    assert again.dq[5, 2, 1] == DQ.INSTRUMENT | DQ.NO_ERROR


@pytest.mark.parametrize(
    ("unit", "factor"), [("erg s-1 cm-2 Angstrom-1", 1e-4), ("W m-2 um-1", 1e-3), ("1e-20 erg s-1 cm-2 um-1", 1e20)]
)
def test_any_flux_density(unit, factor):
    cube = make()
    uncertainty = StdDevUncertainty(cube.error * factor, unit=u.Unit(unit))
    spectrum = Spectrum(cube.flux * factor * u.Unit(unit), spectral_axis=cube.wavelength * 1e4 * u.AA,
                        spectral_axis_index=0, uncertainty=uncertainty, mask=cube.dq != 0)  # fmt: skip
    again = specutils_io.from_spectrum(spectrum, celestial=cube.header)
    np.testing.assert_allclose(again.flux, cube.flux, rtol=1e-12)
    np.testing.assert_allclose(again.error, cube.error, rtol=1e-12)
    np.testing.assert_allclose(again.wavelength, cube.wavelength, rtol=1e-14)


def test_frequencies_in_jansky_become_increasing_wavelengths():
    cube = make()
    per_hertz = cube.wavelength[:, None, None] ** 2 / 2.99792458e14 / 1e-23
    frequency = (2.99792458e14 / cube.wavelength) * u.Hz
    spectrum = Spectrum(cube.flux * per_hertz * u.Jy, spectral_axis=frequency, spectral_axis_index=0,
                        uncertainty=StdDevUncertainty(cube.error * per_hertz * u.Jy))  # fmt: skip
    descending = Spectrum(spectrum.flux[::-1], spectral_axis=frequency[::-1], spectral_axis_index=0,
                          uncertainty=StdDevUncertainty(spectrum.uncertainty.array[::-1] * u.Jy))  # fmt: skip
    for given in (spectrum, descending):
        again = specutils_io.from_spectrum(given, celestial=cube.header)
        np.testing.assert_allclose(again.wavelength, cube.wavelength, rtol=1e-12)
        np.testing.assert_allclose(again.flux, cube.flux, rtol=1e-9)
        np.testing.assert_allclose(again.error, cube.error, rtol=1e-9)


@pytest.mark.parametrize(("kind", "power"), [(VarianceUncertainty, 2), (InverseVariance, -2)])
def test_kinds_of_uncertainty(kind, power):
    cube = make()
    spectrum = specutils_io.to_spectrum(cube)
    spectrum.uncertainty = kind(cube.error**power * u.Unit(FLUX_UNIT) ** power)
    np.testing.assert_allclose(specutils_io.from_spectrum(spectrum).error, cube.error, rtol=1e-12)


def test_no_uncertainty_is_estimated_and_air_is_converted():
    flux, error = voxels(200, 9, 8)
    wcs = WCS(header(200, 9, 8, CTYPE3="AWAV", CUNIT3="Angstrom", CRVAL3=6500.0, CD3_3=1.25))
    cube = specutils_io.from_spectrum(Spectrum(flux * u.Unit(FLUX_UNIT), wcs=wcs))
    assert cube.wavelength[0] == pytest.approx(0.6501796, abs=1e-7)
    assert cube.meta["error_origin"] == "estimated"
    assert np.median(cube.error / error) == pytest.approx(1, abs=0.05)


def test_mirrored_spectrum_is_set_upright():
    cube = make()
    mirrored = cubeaxes.mirror_x(cube.header, NX)
    spectrum = Spectrum(cube.flux[:, :, ::-1] * u.Unit(FLUX_UNIT), spectral_axis=cube.wavelength * u.um,
                        spectral_axis_index=0, uncertainty=StdDevUncertainty(cube.error[:, :, ::-1]))  # fmt: skip
    again = specutils_io.from_spectrum(spectrum, celestial=mirrored)
    np.testing.assert_array_equal(again.flux, cube.flux)
    np.testing.assert_array_equal(again.error, cube.error)
    assert again.header["CRPIX1"] == cube.header["CRPIX1"]


def test_what_is_no_cube_is_said():
    cube = make()
    spectrum = specutils_io.to_spectrum(cube)
    with pytest.raises(InputError, match="1 dimensions"):
        specutils_io.from_spectrum(spectrum[:, 2, 2])
    with pytest.raises(InputError, match="lost it in slicing"):
        specutils_io.from_spectrum(spectrum[:, 1:4, :])
    counts = Spectrum(cube.flux * u.ct, spectral_axis=cube.wavelength * u.um, spectral_axis_index=0)
    with pytest.raises(InputError, match="not that of a flux density"):
        specutils_io.from_spectrum(counts, celestial=cube.header)


def test_converted_cube_is_an_input_of_the_workflow(tmp_path):
    from klever.cubes.readers import read_cube

    cube = make()
    specutils_io.from_spectrum(specutils_io.to_spectrum(cube)).write(tmp_path / "theirs.fits")
    again = read_cube(tmp_path / "theirs.fits")
    assert again.meta["reader"] == "canonical"
    np.testing.assert_allclose(again.flux, cube.flux, rtol=1e-6)


def line_table():
    rng = np.random.default_rng(1)
    table = Table({"wavelength": (1.5 + 2e-4 * np.arange(50)) * u.um}, meta={"galaxy": "sp1", "z": 1.2})
    table["flux"] = rng.normal(size=50) * 1e-17 * u.Unit(FLUX_UNIT)
    table["error"] = rng.uniform(1, 2, 50) * 1e-17 * u.Unit(FLUX_UNIT)
    table["masked"] = np.arange(50) % 9 == 0
    table["model"] = np.ma.masked_array(np.ones(50), np.arange(50) > 20) * 1e-17
    return table


def test_spectrum_table_there_and_back_to_the_last_bit(tmp_path):
    table = line_table()
    table.write(tmp_path / "spectrum.ecsv", format="ascii.ecsv")
    for spectrum in (
        specutils_io.read_spectrum(tmp_path / "spectrum.ecsv"),
        Spectrum.read(tmp_path / "spectrum.ecsv"),
        Spectrum.read(str(tmp_path / "spectrum.ecsv")),
    ):
        again = specutils_io.spectrum_to_table(spectrum)
        assert again.colnames == ["wavelength", "flux", "error", "masked"]
        for name in again.colnames:
            np.testing.assert_array_equal(again[name], table[name])
            assert again[name].unit == table[name].unit
        assert again.meta["galaxy"] == "sp1"


def test_missing_flux_of_a_table_is_masked_and_other_tables_are_refused():
    table = Table(line_table(), masked=True)
    table["flux"].mask[3] = True
    spectrum = specutils_io.read_spectrum(table)
    assert spectrum.mask[3]
    assert np.isnan(spectrum.flux[3])
    with pytest.raises(InputError, match="no column error, masked"):
        specutils_io.read_spectrum(table["wavelength", "flux"])
    with pytest.raises(InputError, match="3 dimensions"):
        specutils_io.spectrum_to_table(specutils_io.to_spectrum(make()))


def test_header_of_another_loader_is_used(tmp_path):
    cube = make()
    cube.write(tmp_path / "cube.fits")
    options = {"format": "wcs1d-fits", "hdu": "SCI", "uncertainty_type": "std"}
    spectrum = Spectrum.read(tmp_path / "cube.fits", **options)
    again = specutils_io.from_spectrum(spectrum)
    np.testing.assert_allclose(again.flux, cube.flux, rtol=1e-6)
    np.testing.assert_allclose(again.wavelength, cube.wavelength, rtol=1e-12)
    assert fits.getheader(tmp_path / "cube.fits", "SCI")["CTYPE3"] == "WAVE"

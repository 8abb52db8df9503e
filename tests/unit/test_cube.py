import numpy as np
import pytest
from astropy.wcs import WCS
from cube_files import header, voxels

from klever.cubes import axes as cubeaxes
from klever.cubes.cube import DQ, FLUX_UNIT, Cube
from klever.errors import InputError


def make(**changes):
    flux, error = voxels(30, 7, 4)
    dq = np.zeros(flux.shape, np.uint8)
    dq[3, 2, 1] = DQ.NODATA
    dq[4, 2, 1] = DQ.OUTLIER | DQ.SKYLINE
    flux[3, 2, 1] = error[3, 2, 1] = np.nan
    wavelength = 1.5 + 2e-4 * np.arange(30)
    return Cube(flux, error, dq, wavelength, cubeaxes.celestial_header(header(30, 7, 4, **changes)), {"galaxy": "sp1"})


def test_round_trip_keeps_every_layer(tmp_path):
    cube = make()
    cube.meta |= {"z": 1.3, "band": "H", "psf_fwhm": 0.55, "notes": ["not written"]}
    cube.write(tmp_path / "cube.fits")
    again = Cube.read(tmp_path / "cube.fits")
    np.testing.assert_allclose(again.flux, cube.flux, rtol=1e-6)
    np.testing.assert_allclose(again.error, cube.error, rtol=1e-6)
    np.testing.assert_array_equal(again.dq, cube.dq)
    np.testing.assert_array_equal(again.wavelength, cube.wavelength)
    assert again.dq.dtype == np.uint8
    assert again.meta == {"galaxy": "sp1", "z": 1.3, "band": "H", "psf_fwhm": 0.55}
    assert again.spaxel_scale == pytest.approx(0.2)
    assert again.good.sum() == cube.flux.size - 2


def test_same_cube_gives_the_same_bytes(tmp_path):
    for name in ("a.fits", "b.fits"):
        make().write(tmp_path / name)
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()


def test_science_extension_has_a_valid_three_dimensional_wcs(tmp_path):
    from astropy.io import fits

    cube = make(CD1_1=-4e-5, CD1_2=3e-5, CD2_1=3e-5, CD2_2=4e-5)
    cube.write(tmp_path / "cube.fits")
    wcs = WCS(fits.getheader(tmp_path / "cube.fits", "SCI"))
    ra, dec, wavelength = wcs.pixel_to_world_values(1, 5, 17)
    assert wavelength * 1e6 == pytest.approx(cube.wavelength[17], rel=1e-10)
    assert cubeaxes.sky_to_pixel(cube.header, ra, dec) == pytest.approx((1, 5), abs=1e-6)


def test_a_curved_wavelength_solution_gets_no_spectral_wcs(tmp_path):
    from astropy.io import fits

    cube = make()
    cube.wavelength = 1.5 * np.exp(2e-4 * np.arange(30) ** 1.2)
    cube.write(tmp_path / "cube.fits")
    assert fits.getheader(tmp_path / "cube.fits", "SCI")["CTYPE3"] == ""
    np.testing.assert_array_equal(Cube.read(tmp_path / "cube.fits").wavelength, cube.wavelength)


def test_specutils_opens_it(tmp_path):
    specutils = pytest.importorskip("specutils")
    cube = make()
    cube.write(tmp_path / "cube.fits")
    options = {"format": "wcs1d-fits", "hdu": "SCI", "uncertainty_type": "std"}  # specutils 2.4 stumbles over ERR alone
    spectrum = specutils.Spectrum.read(tmp_path / "cube.fits", **options)
    np.testing.assert_allclose(np.nansum(spectrum.uncertainty.array), np.nansum(cube.error), rtol=1e-5)
    assert spectrum.unit == FLUX_UNIT
    np.testing.assert_allclose(spectrum.spectral_axis.to_value("um"), cube.wavelength, rtol=1e-9)
    value = spectrum.flux.value if spectrum.flux.shape == cube.shape else np.moveaxis(spectrum.flux.value, -1, 0)
    np.testing.assert_allclose(np.nansum(value), np.nansum(cube.flux), rtol=1e-5)


@pytest.mark.parametrize("length", [0, 100, 3000, 9000])
def test_truncated_file_is_a_sentence(tmp_path, length):
    path = tmp_path / "cube.fits"
    make().write(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"cube\.fits .*ingest"):
        Cube.read(path)


def test_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"none\.fits does not exist"):
        Cube.read(tmp_path / "none.fits")


def test_another_fits_file_is_a_sentence(tmp_path):
    from astropy.io import fits

    fits.PrimaryHDU(np.ones((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="not a complete canonical cube"):
        Cube.read(tmp_path / "image.fits")


def test_sky_to_pixel_agrees_with_astropy():
    celestial = cubeaxes.celestial_header(header(CD1_1=-4e-5, CD1_2=3e-5, CD2_1=3e-5, CD2_2=4e-5, CRVAL2=70.0))
    wcs = WCS(celestial)
    for x, y in ((0, 0), (12.3, -40.0), (300.0, 200.0)):
        ra, dec = wcs.pixel_to_world_values(x, y)
        assert cubeaxes.sky_to_pixel(celestial, ra, dec) == pytest.approx((x, y), abs=1e-6)


@pytest.mark.parametrize(
    "cards",
    [
        {"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None, "CD3_3": None, "CDELT3": 2e-4,
         "CDELT1": -5e-5, "CDELT2": 6e-5, "CROTA2": 30.0},
        {"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None, "CD3_3": None, "CDELT3": 2e-4,
         "CDELT1": 5e-5, "CDELT2": 6e-5, "PC1_1": -0.8,
         "PC1_2": 0.6, "PC2_1": 0.6, "PC2_2": 0.8},
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*cdfix.*")
def test_matrix_agrees_with_astropy(cards):
    given = header(**cards)
    expected = WCS(given).celestial.pixel_scale_matrix
    np.testing.assert_allclose(cubeaxes.cd_matrix(given), expected, rtol=1e-12)
    np.testing.assert_allclose(cubeaxes.cd_matrix(cubeaxes.celestial_header(given)), expected, rtol=1e-12)


def test_air_to_vacuum_of_known_lines():
    # air and vacuum wavelengths of NIST (Angstrom): [O III], H alpha
    air, vacuum = np.array([5006.843, 6562.819]), np.array([5008.240, 6564.632])
    np.testing.assert_allclose(1e4 * cubeaxes.air_to_vacuum(air / 1e4), vacuum, atol=0.005)

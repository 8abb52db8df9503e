import numpy as np
import pytest
from astropy.io import fits
from lensing_scene import DEC, RA, wcs_header

from klever.errors import InputError
from klever.grids import Grid, celestial_wcs, offsets_to_sky, read_image, sky_to_offsets, tangent_header


def test_offsets_are_west_and_north():
    x, y = sky_to_offsets(RA + 1 / 3600 / np.cos(np.radians(DEC)), DEC, RA, DEC)
    assert x == pytest.approx(-1, abs=1e-4)
    assert y == pytest.approx(0, abs=1e-4)
    x, y = sky_to_offsets(RA, DEC - 2 / 3600, RA, DEC)
    assert (x, y) == (pytest.approx(0, abs=1e-9), pytest.approx(-2, abs=1e-9))


def test_offsets_round_trip_across_ra_zero_and_near_the_pole():
    generator = np.random.default_rng(0)
    x, y = generator.uniform(-100, 100, (2, 50))
    for ra0, dec0 in ((0.001, 0.0), (200.0, 89.9), (342.2, -44.5)):
        back = sky_to_offsets(*offsets_to_sky(x, y, ra0, dec0), ra0, dec0)
        np.testing.assert_allclose(back, [x, y], atol=1e-7)


def test_offsets_behind_the_sky_are_nan():
    assert np.isnan(sky_to_offsets(RA + 180, -DEC, RA, DEC)).all()


def test_tangent_header_is_north_up_with_origin_at_crpix():
    grid = Grid(tangent_header(RA, DEC, 0.065, (10, 20)), (50, 40))
    west, north = grid.offsets(np.array([10.0, 11.0, 10.0]), np.array([20.0, 20.0, 21.0]))
    np.testing.assert_allclose(west, [0, 0.065, 0], atol=1e-9)
    np.testing.assert_allclose(north, [0, 0, 0.065], atol=1e-9)
    assert grid.pixel_scale == pytest.approx(0.065)


@pytest.mark.parametrize("flip", [False, True])
def test_pixels_and_offsets_are_inverse_on_rotated_rectangular_grids(flip):
    grid = Grid(wcs_header((20, 31), (0.1, 0.25), rotation=33, flip=flip), (20, 31), (RA + 0.01, DEC + 0.01))
    west, north = grid.pixel_offsets()
    x, y = grid.pixels(west, north)
    np.testing.assert_allclose(y, np.mgrid[:20, :31][0], atol=1e-6)
    np.testing.assert_allclose(x, np.mgrid[:20, :31][1], atol=1e-6)
    assert grid.pixel_area == pytest.approx(0.025)
    assert np.sign(np.linalg.det(grid.axes)) == (-1 if flip else 1)


def test_header_without_celestial_wcs_is_refused_by_name():
    with pytest.raises(InputError, match=r"map\.fits has no"):
        celestial_wcs(fits.Header(), "map.fits")


def test_read_image(tmp_path):
    path = tmp_path / "a.fits"
    header = wcs_header((3, 4), 0.1)
    cube = fits.ImageHDU(np.zeros((2, 3, 4)))
    fits.HDUList([fits.PrimaryHDU(), cube, fits.ImageHDU(np.arange(12).reshape(3, 4), header)]).writeto(path)
    data, found = read_image(path)
    np.testing.assert_array_equal(data, np.arange(12).reshape(3, 4))
    assert found["CRVAL1"] == RA
    scaled = tmp_path / "scaled.fits"
    hdu = fits.PrimaryHDU(np.arange(12, dtype=np.uint16).reshape(3, 4))  # stored with BZERO: cannot be memory-mapped
    hdu.writeto(scaled)
    np.testing.assert_array_equal(read_image(scaled)[0], np.arange(12).reshape(3, 4))


def test_read_image_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.fits"):
        read_image(tmp_path / "nothing.fits")
    (tmp_path / "text.fits").write_text("no FITS")
    with pytest.raises(InputError, match=r"text\.fits"):
        read_image(tmp_path / "text.fits")
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    with pytest.raises(InputError, match="no two-dimensional image"):
        read_image(tmp_path / "empty.fits")

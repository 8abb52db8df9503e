"""Axes, frames and headers that readers meet, drawn at random and known to be awkward."""

import bz2
import gzip
import lzma
import warnings

import numpy as np
import pytest
from astropy.io import fits
from cube_files import header, voxels, write_kmos, write_primary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klever.cubes import axes as cubeaxes
from klever.cubes import frames
from klever.cubes.readers import read_cube
from klever.cubes.spectral import spectral_axis
from klever.errors import InputError

FLUX, ERROR = voxels()
QUICK = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
SITE = {"ESO TEL GEOLON": -70.404, "ESO TEL GEOLAT": -24.627, "ESO TEL GEOELEV": 2648.0, "MJD-OBS": 56992.09822814,
        "CRVAL1": 38.20775, "CRVAL2": -3.6}  # fmt: skip


def write(path, **changes):
    return write_kmos(path, FLUX, ERROR, **changes)


def test_decreasing_wavelengths_are_reversed_with_every_layer(tmp_path):
    flux, error = FLUX[::-1], ERROR[::-1]
    path = write_kmos(tmp_path / "k.fits", flux, error, CRVAL3=1.5 + 39 * 2e-4, CD3_3=-2e-4)
    cube, straight = read_cube(path), read_cube(write(tmp_path / "s.fits"))
    np.testing.assert_allclose(cube.wavelength, straight.wavelength, rtol=1e-14)
    for name in ("flux", "error", "dq"):
        np.testing.assert_array_equal(getattr(cube, name), getattr(straight, name))
    assert any("reversed" in note for note in cube.meta["notes"])


@pytest.mark.parametrize(
    ("unit", "micron"),
    [("um", 1), ("nm", 1e-3), ("Angstrom", 1e-4), ("ANGSTROM", 1e-4), ("m", 1e6), ("MICRON", 1), ("0.1nm", 1e-4),
     ("10**-6 m", 1)],
)  # fmt: skip
def test_units_of_wavelength(unit, micron):
    cards = header(CUNIT3=unit, CRVAL3=1.5 / micron, CD3_3=2e-4 / micron)
    np.testing.assert_allclose(spectral_axis(cards, 40, [])[0], 1.5 + 2e-4 * np.arange(40), rtol=1e-12)


@QUICK
@given(st.floats(-50, 90), st.floats(1e-6, 1e-2), st.sampled_from(["CD3_3", "CDELT3", "CDELT3 and PC3_3"]))
def test_linear_axis_by_any_keywords(crpix, step, how):
    cards = header(CRPIX3=crpix, CRVAL3=3.0, CD3_3=step if how == "CD3_3" else None)
    if "CDELT3" in how:
        cards["CDELT3"] = step / (4 if "PC" in how else 1)
    if "PC" in how:
        cards["PC3_3"] = 4.0
    expected = 3.0 + step * (np.arange(1, 41) - crpix)
    np.testing.assert_allclose(spectral_axis(cards, 40, [])[0], expected, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("kind", ["WAVE-LOG", "AWAV-LOG", "WAVE", "AWAV"])
def test_axis_agrees_with_astropy(kind):
    from astropy.wcs import WCS

    cards = header(CTYPE3=kind, CUNIT3="Angstrom", CRVAL3=6000.0, CD3_3=1.3, CRPIX3=7.5)
    expected = WCS(cards).spectral.pixel_to_world_values(np.arange(40.0)) * 1e6
    if kind.startswith("AWAV"):
        expected = cubeaxes.air_to_vacuum(expected)
    np.testing.assert_allclose(spectral_axis(cards, 40, [])[0], expected, rtol=1e-9)


def table_axis(index=None, **cards):
    columns = [fits.Column("lam", format="6D", array=[[2.0, 2.1, 2.3, 2.6, 3.0, 3.5]])]
    if index is not None:
        columns.append(fits.Column("idx", format="6D", array=[index]))
        cards["PS3_2"] = "idx"
    table = fits.BinTableHDU.from_columns(columns, name="TAB")
    default = {"CTYPE3": "WAVE-TAB", "PS3_0": "TAB", "PS3_1": "LAM", "CRVAL3": 1.0, "CD3_3": None, "CDELT3": 1.0}
    return spectral_axis(header(**(default | cards)), 4, [table])[0]


def test_tabulated_axis_with_and_without_index():
    np.testing.assert_allclose(table_axis(), [2.0, 2.1, 2.3, 2.6])
    np.testing.assert_allclose(table_axis(CRVAL3=2.5), [2.2, 2.45, 2.8, 3.25])
    np.testing.assert_allclose(table_axis([0, 2, 4, 6, 8, 10]), [2.05, 2.1, 2.2, 2.3])
    for cards, message in (
        ({"CRVAL3": 4.0}, "from 1 to 6 but the cube asks for 4 to 7"),
        ({"PS3_1": "none"}, "column 'none'"),
    ):
        with pytest.raises(InputError, match=message):
            table_axis(**cards)


BAD = [
    ({"CD3_3": None}, "lacks CRVAL3 or a step"),
    ({"CRPIX3": None}, "CRPIX3 = None where a number"),
    ({"CRPIX3": "one"}, "CRPIX3 = 'one' where a number"),
    ({"CD3_3": True}, "CD3_3 = True where a number"),
    ({"CTYPE3": "WAVE-GRI"}, "linear, logarithmic"),
    ({"CTYPE3": None}, "CTYPE3 = '', not a wavelength"),
    ({"CUNIT3": None}, "no unit of length"),
    ({"CUNIT3": "pixel"}, "no unit of length"),
    ({"CRVAL3": -1.5}, "not positive and in order"),
    ({"CD1_1": "x"}, "CD1_1 = 'x' where a number"),
    ({"RADESYS": "FK4"}, "another system"),
    ({"EQUINOX": 1950.0}, "another system"),
    ({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}, "RA---TAN"),
]


@pytest.mark.parametrize(("cards", "message"), BAD)
def test_awkward_header_is_a_sentence(tmp_path, cards, message):
    with pytest.raises(InputError, match=rf"bad\.fits: .*{message}"):
        read_cube(write(tmp_path / "bad.fits", **cards))


KEYS = ["CTYPE1", "CTYPE3", "CUNIT1", "CUNIT3", "CRVAL1", "CRVAL3", "CRPIX2", "CRPIX3", "CD1_1", "CD1_2", "CD3_1",
        "CD3_3", "BUNIT", "RADESYS", "EQUINOX", "LONPOLE", "SPECSYS", "ERRDATA", "HDUCLAS3", "PS3_0"]  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**18), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "WAVE", "WAVE-TAB", "AWAV", "DEC--TAN", "deg", "um", "Jy", "MSE", "ERR", "1.5", "%", "FK4"]),
)  # fmt: skip


@QUICK
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=4))
def test_any_header_gives_a_cube_or_a_sentence(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "fuzz.fits"
    write_primary(path, FLUX, **changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            cube = read_cube(path)
        except InputError as error:
            assert "fuzz.fits" in str(error)
            return
    assert np.all(np.diff(cube.wavelength) > 0)
    assert np.isfinite(cube.flux[cube.dq == 0]).all()
    assert np.isfinite(cube.spaxel_scale)


@QUICK
@given(st.floats(0, 360), st.floats(0.05, 1.0), st.booleans())
def test_turned_and_mirrored_fields_keep_the_sky(angle, side, mirrored):
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    matrix = side / 3600 * np.array([[-cosine, sine], [sine, cosine]])
    if mirrored:
        matrix[:, 0] *= -1
    cards = header(**{f"CD{i + 1}_{j + 1}": float(matrix[i, j]) for i in (0, 1) for j in (0, 1)})
    celestial = cubeaxes.celestial_header(cards)
    assert cubeaxes.is_mirrored(celestial) == mirrored
    assert cubeaxes.spaxel_scale(celestial) == pytest.approx(side)
    assert cubeaxes.spaxel_shape(celestial) == (pytest.approx(1), pytest.approx(0, abs=1e-5))


def test_spaxels_that_are_no_squares_are_said(tmp_path):
    cube = read_cube(write(tmp_path / "k.fits", CD1_1=-0.1 / 3600))
    assert cube.spaxel_scale == pytest.approx(np.sqrt(0.02))
    assert "no squares (sides 2 : 1" in cube.meta["warnings"][0]
    skewed = cubeaxes.celestial_header(header(CD1_2=0.1 / 3600))
    assert cubeaxes.spaxel_shape(skewed)[1] == pytest.approx(np.degrees(np.arctan(0.5)))


def primary_cards(path, cards):
    with fits.open(path, mode="update") as hdus:
        for key, value in cards.items():
            hdus[0].header[f"HIERARCH {key}" if " " in key else key] = value
    return path


@pytest.mark.parametrize("recorded", [True, False])
def test_barycentric_shift_is_only_made_on_request(tmp_path, recorded):
    cards = SITE | ({"ESO QC VRAD BARYCOR": -16.350871} if recorded else {})
    path = primary_cards(write_primary(tmp_path / "s.fits", FLUX, SPECSYS="TOPOCENT"), cards)
    plain, shifted = read_cube(path), read_cube(path, barycentric=True)
    np.testing.assert_array_equal(plain.wavelength, 1.5 + 2e-4 * np.arange(40))
    assert plain.meta["specsys"] == "TOPOCENT"
    assert any("TOPOCENT" in note for note in plain.meta["notes"])
    velocity = 299792.458 * (shifted.wavelength / plain.wavelength - 1)
    # what the SINFONI pipeline recorded for a mosaic that began at this time and place
    np.testing.assert_allclose(velocity, -16.35, atol=1e-3 if recorded else 0.15)
    assert shifted.meta["specsys"] == "BARYCENT"
    assert shifted.meta["barycentric_velocity"] == pytest.approx(velocity[0], abs=1e-3)
    shifted.write(tmp_path / "c.fits")
    np.testing.assert_array_equal(read_cube(tmp_path / "c.fits", barycentric=True).wavelength, shifted.wavelength)


def test_geocentric_site_is_that_of_the_observatory():
    from astropy.coordinates import EarthLocation

    geodetic = fits.Header([("HIERARCH " + key if " " in key else key, value) for key, value in SITE.items()])
    place = EarthLocation.from_geodetic(-70.404, -24.627, 2648.0)
    geocentric = fits.Header([(key, SITE[key]) for key in ("MJD-OBS", "CRVAL1", "CRVAL2")])
    for axis in "xyz":
        geocentric[f"OBSGEO-{axis}"] = getattr(place, axis).to_value("m")
    expected = frames.barycentric_velocity([geodetic])[0]
    assert frames.barycentric_velocity([geocentric])[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("frame", ["BARYCENT", "HELIOCEN"])
def test_frames_at_rest_stay(tmp_path, frame):
    cube = read_cube(write_primary(tmp_path / "s.fits", FLUX, SPECSYS=frame), barycentric=True)
    np.testing.assert_array_equal(cube.wavelength, 1.5 + 2e-4 * np.arange(40))
    assert cube.meta["specsys"] == frame


@pytest.mark.parametrize(
    ("frame", "message"),
    [(None, "has no SPECSYS"), ("LSRK", "has SPECSYS = LSRK"), ("TOPOCENT", "needs MJD-OBS, the site")],
)
def test_shift_that_cannot_be_made_is_an_error(tmp_path, frame, message):
    path = write_primary(tmp_path / "s.fits", FLUX, SPECSYS=frame)
    read_cube(path)
    with pytest.raises(InputError, match=rf"s\.fits: .*{message}.*ingest\.barycentric"):
        read_cube(path, barycentric=True)


def test_kmos_without_specsys_is_topocentric(tmp_path):
    cube = read_cube(write(tmp_path / "k.fits"))
    assert cube.meta["specsys"] == "TOPOCENT"
    assert any("no SPECSYS: the wavelengths are taken as TOPOCENT" in note for note in cube.meta["notes"])


@pytest.mark.parametrize(("name", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_compressed_files(tmp_path, name, pack):
    content = write(tmp_path / "k.fits").read_bytes()
    path = tmp_path / f"k.fits.{name}"
    path.write_bytes(pack(content))
    np.testing.assert_allclose(read_cube(path).flux, FLUX, rtol=1e-6)
    path.write_bytes(pack(content)[:2000])
    with pytest.raises(InputError, match=rf"k\.fits\.{name}"):
        read_cube(path)


@pytest.mark.parametrize("packed", [False, True])
def test_absurd_length_of_the_spectral_axis_allocates_nothing(tmp_path, packed):
    import tracemalloc

    path = write_primary(tmp_path / "absurd.fits", FLUX)
    content = path.read_bytes().replace(b"NAXIS3  =                   40", b"NAXIS3  =           1000000000")
    path.write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"absurd\.fits"):
        read_cube(path)
    assert tracemalloc.get_traced_memory()[1] < 2e8
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html><body>Please log in</body></html>", "web page"),
        (b'{"error": "not found"}', "web page or a server's message"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"wavelength flux\n1 2\n" * 300, "damaged or incomplete"),
        (b"", "damaged or incomplete"),
        (b"\x1f\x8b\x08rubbish", "damaged or incomplete"),
    ],
)
def test_what_is_not_fits_is_said(tmp_path, content, message):
    (tmp_path / "x.fits").write_bytes(content)
    with pytest.raises(InputError, match=rf"x\.fits .*{message}"):
        read_cube(tmp_path / "x.fits")

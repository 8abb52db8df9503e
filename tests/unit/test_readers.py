import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from cube_files import UNIT, header, voxels, write_kmos, write_primary

from ingest import band_range, ingest_cube
from klever.cubes import axes as cubeaxes
from klever.cubes.cube import DQ, Cube
from klever.cubes.fluxunits import flux_factor
from klever.cubes.readers import read_cube
from klever.errors import ConfigError, InputError

FLUX, ERROR = voxels()
RESOURCES = Path(__file__).parents[2] / "resources"


def test_kmos_combined(tmp_path):
    cube = read_cube(write_kmos(tmp_path / "k.fits", FLUX, ERROR), instrument="KMOS", wavelength_range=(1.5, 1.508))
    np.testing.assert_allclose(cube.flux, FLUX, rtol=1e-6)
    np.testing.assert_allclose(cube.error, ERROR, rtol=1e-6)
    np.testing.assert_allclose(cube.wavelength, 1.5 + 2e-4 * np.arange(40), rtol=1e-12)
    assert cube.shape == (40, 6, 5)
    assert cube.spaxel_scale == pytest.approx(0.2)
    assert cube.meta["reader"] == "KMOS"
    assert cube.meta["error_origin"] == "given"
    assert not cube.dq.any()
    assert not cube.meta["warnings"]


def test_zeros_nan_and_bad_errors_are_flagged_and_nan(tmp_path):
    flux, error = FLUX.copy(), ERROR.copy()
    flux[:, 0, 0] = 0
    flux[4, 1, 1] = np.nan
    flux[5, 1, 1] = np.inf
    error[6, 1, 1], error[7, 1, 1], error[8, 1, 1] = 0, -1e-18, np.nan
    cube = read_cube(write_kmos(tmp_path / "k.fits", flux, error))
    assert np.all(cube.dq[:, 0, 0] == DQ.NODATA)
    np.testing.assert_array_equal(cube.dq[4:9, 1, 1], [DQ.NODATA] * 2 + [DQ.NO_ERROR] * 3)
    np.testing.assert_array_equal(np.isnan(cube.flux), (cube.dq & DQ.NODATA) != 0)
    np.testing.assert_array_equal(np.isnan(cube.error), (cube.dq & (DQ.NODATA | DQ.NO_ERROR)) != 0)
    assert cube.good.sum() == FLUX.size - 40 - 5


def kmos_exposure(path):
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"] = "KMOS"
    primary.header["HIERARCH ESO OCS ARM3 NAME"] = "sp3"
    hdus = [primary]
    for n in range(1, 25):
        for kind, data in (("DATA", FLUX * n), ("NOISE", ERROR)):
            filled = n in (3, 11)
            hdus.append(fits.ImageHDU(data.astype("f4") if filled else None, header() if filled else None,
                                      name=f"IFU.{n}.{kind}"))  # fmt: skip
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.mark.parametrize("extension", [11, "11", "IFU.11", "ifu.11.data", "IFU.11.NOISE"])
def test_kmos_exposure_by_ifu(tmp_path, extension):
    cube = read_cube(kmos_exposure(tmp_path / "e.fits"), extension=extension)
    np.testing.assert_allclose(cube.flux, FLUX * 11, rtol=1e-6)
    assert cube.meta["source_extension"] == "IFU.11.DATA"


@pytest.mark.parametrize("extension", [None, 5, "IFU.1"])
def test_kmos_exposure_lists_its_filled_ifus(tmp_path, extension):
    with pytest.raises(InputError, match=r"e\.fits: .*IFU\.3\.DATA on sp3, IFU\.11\.DATA"):
        read_cube(kmos_exposure(tmp_path / "e.fits"), extension=extension)


def test_sinfoni_gets_an_estimated_error(tmp_path):
    flux, error = voxels(200, 9, 8)
    cube = read_cube(write_primary(tmp_path / "s.fits", flux, BUNIT=None), unit=UNIT, instrument="SINFONI")
    assert cube.meta["reader"] == "SINFONI"
    assert cube.meta["error_origin"] == "estimated"
    assert np.median(cube.error / error) == pytest.approx(1, abs=0.05)
    assert any("no error" in note for note in cube.meta["notes"])


def layered(path, layers, primary=None):
    hdus = [primary or fits.PrimaryHDU()]
    for name, data, cards in layers:
        hdus.append(fits.ImageHDU(data, cards, name=name))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def test_muse_variance_air_wavelengths_and_scaled_unit(tmp_path):
    cards = header(CTYPE3="AWAV", CUNIT3="Angstrom", CRVAL3=6500.0, CD3_3=1.25, BUNIT="10**(-20)*erg/s/cm**2/Angstrom")
    variance = header(CTYPE3="AWAV", CUNIT3="Angstrom", CRVAL3=6500.0, CD3_3=1.25,
                      BUNIT="(10**(-20)*erg/s/cm**2/Angstrom)**2")  # fmt: skip
    layers = [("DATA", FLUX / 1e-16, cards), ("STAT", (ERROR / 1e-16) ** 2, variance)]
    cube = read_cube(layered(tmp_path / "m.fits", layers))
    assert cube.meta["reader"] == "MUSE"
    np.testing.assert_allclose(cube.flux, FLUX, rtol=1e-6)  # 1e-20 per Angstrom is 1e-16 per um
    np.testing.assert_allclose(cube.error, ERROR, rtol=1e-6)
    assert cube.wavelength[0] == pytest.approx(0.6501796, abs=1e-7)  # n - 1 = 2.763e-4 at 6500 Angstrom
    assert any("air" in note for note in cube.meta["notes"])


def test_eso_phase_3_error_and_quality(tmp_path):
    quality = np.zeros(FLUX.shape, np.int32)
    quality[2, 3, 4] = 64
    layers = [("DATA", FLUX, header()), ("ERR", ERROR, header()), ("DQ", quality, None)]
    cube = read_cube(layered(tmp_path / "p.fits", layers))
    assert cube.meta["reader"] == "ESO Phase 3"
    np.testing.assert_allclose(cube.error, ERROR, rtol=1e-12)
    np.testing.assert_array_equal(np.argwhere(cube.dq), [[2, 3, 4]])
    assert cube.dq[2, 3, 4] == DQ.INSTRUMENT


def test_eso_phase_3_in_primary_with_named_variance(tmp_path):
    primary = fits.PrimaryHDU(FLUX, header(ERRDATA="NOISEMAP"))
    cards = header(HDUCLAS3="MSE", BUNIT=None)
    cube = read_cube(layered(tmp_path / "p.fits", [("NOISEMAP", ERROR**2, cards), ("STAT", ERROR, None)], primary))
    np.testing.assert_allclose(cube.error, ERROR, rtol=1e-12)


def test_error_in_its_own_unit(tmp_path):
    layers = [("DATA", FLUX, header()), ("ERR", ERROR * 1e-4 / 1e-20, header(BUNIT="1e-20 erg s-1 cm-2 Angstrom-1"))]
    cube = read_cube(layered(tmp_path / "p.fits", layers))
    np.testing.assert_allclose(cube.error, ERROR, rtol=1e-12)


def test_jwst_surface_brightness_table_axis_and_quality(tmp_path):
    cards = header(CTYPE3="WAVE-TAB", CRVAL3=1.0, CD3_3=None, CDELT3=1.0, PS3_0="WCS-TABLE", PS3_1="wavelength",
                   BUNIT="MJy/sr")  # fmt: skip
    wavelength = 2 + 1e-3 * np.arange(60) + 1e-6 * np.arange(60) ** 2
    quality = np.zeros(FLUX.shape, np.uint32)
    quality[1, 1, 1], quality[2, 2, 2] = 513, 4  # DO_NOT_USE with NON_SCIENCE; a jump that was corrected
    weight = np.ones(FLUX.shape, np.float32)
    weight[:, 0, 0] = 0
    layers = [("SCI", np.full(FLUX.shape, 2.0), cards), ("ERR", np.full(FLUX.shape, 0.5), None), ("DQ", quality, None),
              ("WMAP", weight, None)]  # fmt: skip
    path = layered(tmp_path / "j_s3d.fits", layers)
    column = fits.Column("wavelength", format="60D", dim="(1,60)", array=wavelength.reshape(1, 60, 1))
    table = fits.BinTableHDU.from_columns([column], name="WCS-TABLE")
    with fits.open(path, mode="append") as hdus:
        hdus.append(table)
    cube = read_cube(path)
    np.testing.assert_allclose(cube.wavelength, wavelength[:40], rtol=1e-12)
    # 2 MJy/sr x 0.04 arcsec2 = 1.880e-18 erg/s/cm2/Hz ... times c / lambda^2
    expected = 2e-17 * 0.04 / 206264.806**2 * 2.99792458e14 / wavelength[:40] ** 2
    np.testing.assert_allclose(cube.flux[:, 3, 3], expected, rtol=1e-6)
    np.testing.assert_allclose(cube.error[:, 3, 3], expected / 4, rtol=1e-6)
    assert cube.dq[1, 1, 1] == DQ.INSTRUMENT
    assert cube.dq[2, 2, 2] == 0
    assert np.all(cube.dq[:, 0, 0] & DQ.NODATA)


def test_canonical_cube_is_read_again_without_loss(tmp_path):
    cards = header(CTYPE3="AWAV", CUNIT3="Angstrom", CRVAL3=5000.0, CD3_3=12.5)
    first = read_cube(layered(tmp_path / "p.fits", [("DATA", FLUX, cards), ("ERR", ERROR, cards)]))
    first.dq[3, 3, 3] = DQ.INSTRUMENT
    first.dq[4, 3, 3] = DQ.OUTLIER
    first.write(tmp_path / "c.fits")
    again = read_cube(tmp_path / "c.fits")
    np.testing.assert_array_equal(again.wavelength, first.wavelength)  # not converted from air a second time
    np.testing.assert_allclose(again.flux, first.flux, rtol=1e-6)
    np.testing.assert_array_equal(np.argwhere(again.dq), [[3, 3, 3]])


def test_mirrored_field_is_reversed_and_keeps_its_place_on_the_sky(tmp_path):
    path = write_kmos(tmp_path / "k.fits", FLUX, ERROR, CD1_1=0.2 / 3600, CRPIX1=1.5)
    cube = read_cube(path)
    assert not cubeaxes.is_mirrored(cube.header)
    np.testing.assert_allclose(cube.flux, FLUX[:, :, ::-1], rtol=1e-6)
    assert "mirrored" in cube.meta["warnings"][0]
    with fits.open(path) as hdus:
        before = WCS(hdus[1].header).celestial.pixel_to_world_values(1, 4)
    after = WCS(cube.header).pixel_to_world_values(5 - 1 - 1, 4)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_unit_scales(tmp_path, scale):
    cube = read_cube(write_kmos(tmp_path / "k.fits", FLUX / 1e-17, ERROR / 1e-17), unit=f"{scale * 1e-17} {UNIT}")
    np.testing.assert_allclose(cube.flux, FLUX * scale, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("erg s-1 cm-2 um-1", 1),
        ("1e-20 erg s-1 cm-2 Angstrom-1", 1e-16),
        ("10**-20 Angstrom-1 cm-2 erg s-1", 1e-16),
        ("erg.s**(-1).cm**(-2).angstrom**(-1)", 1e4),
        ("ergs/s/cm^2/A", 1e4),
        ("W m-2 um-1", 1e3),
        ("erg/s/cm2/um/spaxel", 1),
        ("erg s-1 cm-2 um-1 arcsec-2", 0.25),
        ("mJy", 1e-26 * 2.99792458e14 / 4),
        ("Jy/pix", 1e-23 * 2.99792458e14 / 4),
    ],
)
def test_units(text, expected):
    factor = flux_factor(text, np.array([2.0, 4.0]), 0.25)
    assert factor.shape == (2, 1, 1)
    assert factor[0, 0, 0] == pytest.approx(expected)
    assert factor[0, 0, 0] / factor[1, 0, 0] == pytest.approx(4 if "Jy" in text else 1)


BAD_HEADERS = [
    ({"BUNIT": None}, "column `unit`"),
    ({"BUNIT": "adu"}, "not that of a flux density"),
    ({"BUNIT": "erg s-1 cm-2"}, "not that of a flux density"),
    ({"BUNIT": "furlong/fortnight"}, "not understood"),
    ({"CTYPE1": "WAVE", "CTYPE3": "RA---TAN"}, "FITS axis 1 .*transposed"),
    ({"CTYPE2": "AWAV", "CTYPE3": "DEC--TAN"}, "FITS axis 2 .*transposed"),
    ({"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN"}, "CTYPE1 = 'DEC--TAN'"),
    ({"CTYPE1": None, "CTYPE2": None}, "celestial WCS"),
    ({"CRVAL1": None}, "lacks CRVAL1"),
    ({"CD1_1": 0.0}, "singular"),
    ({"CTYPE3": "FREQ"}, "not a wavelength"),
    ({"CUNIT3": "Hz"}, "no unit of length"),
    ({"CRVAL3": None}, "lacks CRVAL3"),
    ({"CD3_1": 1e-3}, "changes with position"),
    ({"CRVAL3": 2.1}, "do not overlap the configured band"),
    ({"CUNIT3": "nm"}, "do not overlap the configured band"),
]


@pytest.mark.parametrize(("cards", "message"), BAD_HEADERS)
def test_bad_header_is_a_sentence_that_names_the_file(tmp_path, cards, message):
    path = write_kmos(tmp_path / "bad.fits", FLUX, ERROR, **cards)
    with pytest.raises(InputError, match=rf"bad\.fits.*{message}"):
        read_cube(path, wavelength_range=(1.45, 1.85))


def test_bad_content_is_a_sentence(tmp_path):
    for flux, error, message in (
        (np.full(FLUX.shape, np.nan), ERROR, "every voxel is missing"),
        (np.zeros(FLUX.shape), ERROR, "every voxel is missing"),
        (FLUX, -ERROR, "no voxel has both"),
        (FLUX, ERROR[:, :, :4], "has shape"),
        (FLUX[:1], ERROR[:1], "single channel"),
    ):
        with pytest.raises(InputError, match=rf"bad\.fits: .*{message}"):
            read_cube(write_kmos(tmp_path / "bad.fits", flux, error))


def test_image_and_four_axes_are_no_cubes(tmp_path):
    fits.PrimaryHDU(np.ones((4, 4))).writeto(tmp_path / "image.fits")
    fits.PrimaryHDU(np.ones((2, 3, 4, 4))).writeto(tmp_path / "stokes.fits")
    for name in ("image.fits", "stokes.fits"):
        with pytest.raises(InputError, match=rf"{name}: no three-dimensional image .*NAXIS"):
            read_cube(tmp_path / name)


@pytest.mark.parametrize("kind", ["kmos", "primary", "gzip"])
def test_truncated_file_is_a_sentence(tmp_path, kind):
    path = tmp_path / "short.fits"
    if kind == "primary":
        write_primary(path, FLUX)
    else:
        write_kmos(path, FLUX, ERROR)
    content = path.read_bytes()
    if kind == "gzip":
        content = gzip.compress(content)
        path = tmp_path / "short.fits.gz"
    for part in (0.0, 0.02, 0.5, 0.8):
        path.write_bytes(content[: int(part * len(content))])
        with pytest.raises(InputError, match=r"short\.fits.*(again|no three-dimensional image)"):
            read_cube(path)


@pytest.mark.parametrize(("side", "message"), [(10**5, r"needs 1\.6e\+12 bytes"), (10**9, "cannot be read")])
def test_absurd_header_allocates_nothing(tmp_path, side, message):
    path = write_primary(tmp_path / "absurd.fits", FLUX)
    content = path.read_bytes()
    for axis in (1, 2):
        old = f"NAXIS{axis}  = {FLUX.shape[-axis]:20d}".encode()
        assert old in content
        content = content.replace(old, f"NAXIS{axis}  = {side:20d}".encode())
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"absurd\.fits.*{message}"):
        read_cube(path)


@pytest.mark.parametrize("content", [b"", b"not FITS", b"SIMPLE  =                    T" + b" " * 50, b"\x1f\x8b"])
def test_anything_else_is_a_sentence(tmp_path, content):
    (tmp_path / "x.fits").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.fits.*(again|no three-dimensional image)"):
        read_cube(tmp_path / "x.fits")
    with pytest.raises(InputError, match="does not exist"):
        read_cube(tmp_path / "y.fits")


def test_another_instrument_and_a_small_part_of_the_band_are_warnings(tmp_path):
    path = write_kmos(tmp_path / "k.fits", FLUX, ERROR, instrument="SINFONI")
    cube = read_cube(path, instrument="KMOS", wavelength_range=(1.45, 1.85))
    assert [word in text for word, text in zip(("SINFONI", "2 %"), cube.meta["warnings"], strict=True)] == [True, True]


def ingest(raw, cube, **changes):
    """Run the ingest step with the project's resources."""
    settings = {
        "galaxy": "sp1",
        "band": "H",
        "instrument": "KMOS",
        "unit": "header",
        "z": 1.4,
        "ra": 150.0,
        "dec": -30.0,
        "psf_fwhm": 0.55,
        "ingest": {"sky_line_threshold": 5.0, "outlier_sigma": 12.0},
    }
    ingest_cube(
        raw=raw, sky_lines=RESOURCES / "oh_lines_rousselot2000.dat", instruments=RESOURCES / "instruments.yaml",
        cube=cube, settings=settings | changes,
    )  # fmt: skip
    return Cube.read(cube)


def test_ingest_flags_and_documents(tmp_path):
    flux, error = voxels(400, 8, 9)
    error[[50, 120, 121, 200, 333]] *= 9
    flux[[50, 120, 121, 200, 333]] *= 9
    flux[70, 4, 4] += 1e-14
    cube = ingest(write_kmos(tmp_path / "k.fits", flux, error), tmp_path / "cube.fits")
    np.testing.assert_array_equal(np.argwhere(cube.dq & DQ.OUTLIER), [[70, 4, 4]])
    sky = np.flatnonzero(((cube.dq & DQ.SKYLINE) != 0).all(axis=(1, 2)))
    np.testing.assert_array_equal(sky, [50, 120, 121, 200, 333])
    assert cube.meta["galaxy"] == "sp1"
    assert cube.meta["noise_scale"] == pytest.approx(1, abs=0.03)


def test_ingest_scales_an_estimated_error_to_the_scatter(tmp_path):
    flux, error = voxels(400, 8, 9)
    cube = ingest(write_primary(tmp_path / "s.fits", flux), tmp_path / "cube.fits", instrument="SINFONI", unit=UNIT)
    assert cube.meta["error_origin"] == "estimated"
    assert np.median(cube.error / error) == pytest.approx(1, abs=0.04)


def test_ingest_leaves_nothing_behind_when_the_cube_is_bad(tmp_path):
    with pytest.raises(InputError, match=r"s\.fits: the header has no BUNIT"):
        ingest(write_primary(tmp_path / "s.fits", FLUX, BUNIT=None), tmp_path / "cube.fits", instrument="SINFONI")
    assert not (tmp_path / "cube.fits").exists()


def test_ingest_of_an_unknown_band_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"SINFONI has no band YJ.*SINFONI J"):
        band_range(RESOURCES / "instruments.yaml", "SINFONI", "YJ")


@pytest.mark.parametrize(
    ("own", "verdict"),
    [
        ("", ""),
        ("adu", ""),
        ("nonsense units", ""),
        (UNIT, ""),
        ("erg s-1 cm-2 Angstrom-1", "is taken"),
        ("K km s-1", None),
    ],
)
def test_header_that_contradicts_the_table_is_said_or_refused(tmp_path, own, verdict):
    path = tmp_path / "cube.fits"
    write_kmos(path, FLUX, ERROR, BUNIT=own or None)
    if verdict is None:
        with pytest.raises(InputError, match="BUNIT = 'K km s-1', which is not a flux density"):
            read_cube(path, unit=UNIT)
    else:
        said = " ".join(read_cube(path, unit=UNIT).meta["warnings"])
        assert (verdict in said) if verdict else ("BUNIT" not in said)

"""Damaged and malicious files end in a sentence: never in a traceback, a long wait or a full memory."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from cube_files import voxels, write_kmos
from hypothesis import given
from hypothesis import strategies as st
from untrusted import many, told

from klever.cubes.readers import read_cube
from klever.errors import InputError
from klever.lensmodels.lenstool.chain import read_chain
from klever.lensmodels.lenstool.parfile import LenstoolFile, Potential
from klever.lensmodels.maps import LensMap

NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -1, 1, 10**9, 10**18, 0.0, 1e-300, 1e300, -0.2 / 3600]),
)
VALUES = st.one_of(NUMBERS, st.booleans(), st.text("ABCdeg.-/ 019um*^()", max_size=20))
IMAGE_KEYS = st.sampled_from(
    ["NAXIS", "WCSAXES", "NAXIS1", "NAXIS2", "BITPIX", "CRVAL1", "CRVAL2", "CRPIX1", "CTYPE1", "CTYPE2", "CUNIT1",
     "CD1_1", "CD1_2", "CD2_2", "PC1_1", "CDELT1", "BSCALE", "BZERO", "BLANK", "EQUINOX", "RADESYS", "LONPOLE", "PV2_1"]
)  # fmt: skip
CUBE_KEYS = st.one_of(
    IMAGE_KEYS,
    st.sampled_from(
        ["NAXIS3", "CTYPE3", "CUNIT3", "CRVAL3", "CRPIX3", "CD3_3", "CDELT3", "BUNIT", "EXTNAME", "XTENSION",
         "PCOUNT", "GCOUNT", "SPECSYS", "RESTWAV", "MJD-OBS", "TFIELDS"]
    ),
)  # fmt: skip


def changed(content, key, value, block=0):
    """Bytes of a FITS file in which a card is replaced (or written over one that is not needed) by hand."""
    if isinstance(value, bool):
        text = "T" if value else "F"
    else:
        text = repr(value) if not isinstance(value, str) else f"'{value}'"
    card = f"{key:<8}= {text:>20}"[:80].ljust(80).encode("ascii", "replace")
    at = content.find(f"{key:<8}=".encode(), block)
    if at < 0:
        at = content.find(b"CRPIX2  =", block)
    return content[:at] + card + content[at + 80 :] if at >= 0 else content


@pytest.fixture(scope="module")
def cube_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("cube") / "cube.fits"
    flux, error = voxels(12, 4, 4)
    write_kmos(path, flux, error)
    return path.read_bytes()


@pytest.fixture(scope="module")
def map_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "map.fits"
    hdu = fits.PrimaryHDU(np.ones((9, 9), "f4"))
    hdu.header.update(
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 2.0, "CRPIX1": 5.0, "CRPIX2": 5.0,
         "CD1_1": -1e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-4}
    )  # fmt: skip
    hdu.writeto(path)
    return path.read_bytes()


@pytest.mark.filterwarnings("ignore")
@many(250)
@given(st.lists(st.tuples(CUBE_KEYS, VALUES, st.booleans()), min_size=1, max_size=4))
def test_absurd_headers_of_cubes(cube_bytes, tmp_path, changes):
    content = cube_bytes
    for key, value, extension in changes:
        content = changed(content, key, value, 2880 if extension else 0)
    path = tmp_path / "cube.fits"
    path.write_bytes(content)
    told(lambda: read_cube(path), path.name)


@pytest.mark.filterwarnings("ignore")
@many(250)
@given(st.data())
def test_mangled_bytes_of_cubes(cube_bytes, tmp_path, data):
    start = data.draw(st.integers(0, len(cube_bytes)))
    length = data.draw(st.integers(0, 6000))
    path = tmp_path / "cube.fits"
    path.write_bytes(cube_bytes[:start] + data.draw(st.binary(max_size=200)) + cube_bytes[start + length :])
    told(lambda: read_cube(path), path.name)


@pytest.mark.parametrize("keyword", ["NAXIS", "WCSAXES"])
@pytest.mark.parametrize("number", [10**9, -1])
def test_a_header_that_counts_to_a_thousand_million(map_bytes, cube_bytes, tmp_path, keyword, number):
    """Astropy would count that far."""
    for name, content, read in (("map.fits", map_bytes, evaluate_map), ("cube.fits", cube_bytes, read_cube)):
        path = tmp_path / name
        path.write_bytes(changed(content, keyword, number))
        with pytest.raises(InputError, match=f"{name}.*{keyword} = {number}"):
            read(path)


def evaluate_map(path):
    grid = np.linspace(-0.5, 0.5, 5)
    LensMap(path, (10.0, 2.0))(grid, grid)


@pytest.mark.filterwarnings("ignore")
@many(250)
@given(st.lists(st.tuples(IMAGE_KEYS, VALUES), min_size=1, max_size=4), st.integers(0, 6000), st.booleans())
def test_absurd_headers_of_lens_maps(map_bytes, tmp_path, changes, cut, is_cut):
    content = map_bytes
    for key, value in changes:
        content = changed(content, key, value)
    path = tmp_path / "map.fits"
    path.write_bytes(content[:cut] if is_cut else content)
    told(lambda: evaluate_map(path), path.name)


CHAIN = "#Nsample\n#ln(Lhood)\n#O1 : sigma (km/s)\n#O1 : rc (kpc)\n#Chi2\n" + "1 -3.0 900.0 50.0 12.0\n" * 3
LENS = LenstoolFile(
    "best.par", (10.0, 2.0), [Potential("O1", 81, {"z_lens": 0.4})], cosmology={"H0": 70.0, "Om0": 0.3, "Ode0": 0.7}
)


@many(250)
@given(
    st.integers(0, len(CHAIN)),
    st.integers(0, 60),
    st.one_of(st.text(max_size=40), st.sampled_from(["nan", "1e999", "-inf", "#", "\0", "9" * 400, "1_0", "0x10"])),
)
def test_mangled_chains_of_lenstool(tmp_path, start, length, new):
    path = tmp_path / "bayes.dat"
    path.write_text(CHAIN[:start] + new + CHAIN[start + length :], encoding="utf-8", errors="replace")
    told(lambda: read_chain(path, LENS), path.name)


@pytest.mark.parametrize("sides", [(10**9, 4, 4), (10**9, 10**9, 10**9), (-4, 4, 4), (0, 4, 4)])
def test_a_header_that_asks_for_more_than_the_file_has(cube_bytes, tmp_path, sides):
    content = cube_bytes
    for axis, side in enumerate(sides, 1):
        content = changed(content, f"NAXIS{axis}", side, 2880)
    path = tmp_path / "cube.fits"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cube\.fits"):
        read_cube(path)
    told(lambda: read_cube(path), path.name)


@pytest.mark.parametrize("claimed", [2, 9000])
def test_a_gzip_bomb_is_refused_before_it_unfolds(tmp_path, claimed):
    """Some 300 kB that unfold to 330 MB, which the header hides or claims."""
    path = tmp_path / "cube.fits.gz"
    header = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 3), ("NAXIS1", claimed), ("NAXIS2", claimed)])
    header["NAXIS3"] = 1
    zeros = b"\0" * 2**20
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(header.tostring().encode())
        for _ in range(320):
            stream.write(zeros)
    with pytest.raises(InputError, match=r"cube\.fits\.gz"):
        read_cube(path)
    told(lambda: read_cube(path), path.name)


@pytest.mark.filterwarnings(f"ignore::{AstropyWarning.__module__}.AstropyWarning")
@pytest.mark.parametrize("columns", [(0.0, 0.0, 0.0, 0.0), (1e-4, 1e-4, 1e-4, 1e-4), (float("1e300"),) * 4])
def test_a_wcs_that_does_not_invert(cube_bytes, tmp_path, columns):
    content = cube_bytes
    for key, value in zip(("CD1_1", "CD1_2", "CD2_1", "CD2_2"), columns, strict=True):
        content = changed(content, key, value, 2880)
    path = tmp_path / "cube.fits"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cube\.fits"):
        read_cube(path)

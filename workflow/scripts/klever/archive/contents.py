"""What a downloaded file must look like before it is trusted: FITS whole to the last block, compressed files intact."""

import gzip
import lzma
import warnings
import zlib
from pathlib import Path

from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.utils.exceptions import AstropyWarning

from klever.cubes.fitsheaders import check_headers
from klever.errors import InputError

__all__ = ["check_content"]

_BLOCK = 1 << 20
_MAGIC = {".gz": b"\x1f\x8b", ".Z": b"\x1f\x9d", ".zip": b"PK", ".tar": b""}
_FITS = (".fits", ".fit", ".fts")


def check_content(path, name):
    """Refuse a file that is not what its name says.

    Parameters
    ----------
    path : path-like
        The file as downloaded.
    name : str
        Its name; ``.fits`` files are walked to their end, of ``.fits.gz`` the checksum is verified.

    Raises
    ------
    InputError
        It is a web page, no FITS file, truncated or damaged.
    """
    path = Path(path)
    with path.open("rb") as stream:
        head = stream.read(512)
    if head.lstrip()[:200].lower().startswith((b"<!doctype", b"<html", b"<?xml")) and not name.endswith(".xml"):
        raise InputError(f"{name}: the server sent a web page or a message instead of the file.")
    suffix = Path(name).suffix
    if suffix in _MAGIC and not head.startswith(_MAGIC[suffix]):
        raise InputError(f"{name}: what was sent is not compressed as its name says; it is another file.")
    if suffix in _FITS:
        _check_fits(path, name, head)
    elif suffix == ".gz":
        _check_gzip(path, name)


def _check_fits(path, name, head):
    packed = next((end for end in (".gz", ".Z", ".zip") if head.startswith(_MAGIC[end])), "")
    if packed:
        raise InputError(f"{name}: what was sent is compressed; let the file's name in the table end in .fits{packed}.")
    if not head.startswith(b"SIMPLE  ="):
        raise InputError(f"{name}: what was sent is no FITS file.")
    size = path.stat().st_size
    check_headers(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(path, memmap=True, lazy_load_hdus=False, disable_image_compression=True) as hdus:
                places = [hdu.fileinfo() for hdu in hdus]
        end = max(place["datLoc"] + place["datSpan"] for place in places)
    except (OSError, ValueError, TypeError, KeyError, VerifyError) as error:
        raise InputError(f"{name}: what was sent cannot be read as FITS ({error}).") from error
    if end > size:
        raise InputError(f"{name}: its headers announce {end} bytes and {size} came; it is truncated.")


def _check_gzip(path, name):
    """Read to the end, so that length and checksum are compared; nothing is kept in memory."""
    try:
        with gzip.open(path) as stream:
            while stream.read(_BLOCK):
                pass
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{name}: the compressed file is damaged or truncated ({error}).") from error

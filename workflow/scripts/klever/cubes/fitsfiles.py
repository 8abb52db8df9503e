"""Open FITS files that users bring: what is wrong with one is told in a sentence, and no header is believed blindly."""

import lzma
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.utils.exceptions import AstropyWarning

from klever.cubes.fitsheaders import check_headers
from klever.errors import InputError

__all__ = ["open_fits", "pixels"]

_COMPRESSION, _ROOM = 100, 3e8  # no real cube packs tighter than the first, which counts above so many bytes
_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"\x1f\x9d", b"(\xb5/\xfd")  # gzip, bzip2, xz, zip, Z, zstd
_UNREADABLE = (
    OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    VerifyError, ImportError, MemoryError,
)  # fmt: skip


@contextmanager
def open_fits(path):
    """Open a FITS file; whatever goes wrong with the file inside the ``with`` becomes an `InputError` that names it."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path in the table that names it.")
    damaged = f"{path} cannot be read as FITS (%s); {_diagnosis(path)}."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # a truncated file is told by `pixels`, with its sizes
        check_headers(path)
        try:
            hdus = fits.open(path, memmap=False)
            len(hdus)  # reads every header now, so that a damaged one is told from a mistake further on
        except _UNREADABLE as error:
            raise InputError(damaged % _one_line(error)) from error
        try:
            yield hdus
        except InputError as error:
            raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
        except (OSError, EOFError, zlib.error, lzma.LZMAError, VerifyError) as error:
            raise InputError(damaged % _one_line(error)) from error
        finally:
            hdus.close()


def pixels(hdu, path):
    """Return the data of an image extension, after checking that the file is long enough to hold them.

    Raises
    ------
    InputError
        The header asks for more bytes than the file has.
    """
    name = hdu.name or "PRIMARY"
    try:
        size, available = _sizes(hdu, path)
    except _UNREADABLE as error:
        raise InputError(f"the header of extension {name} is damaged ({_one_line(error)}); copy it again.") from error
    if size > available:
        raise InputError(
            f"extension {name} needs {size:.3g} bytes but the file holds {max(available, 0):.3g} at most: it is "
            "truncated, or its header is wrong; download or copy it again."
        )
    try:
        data = hdu.data
    except _UNREADABLE as error:
        raise InputError(
            f"extension {name} cannot be read ({_one_line(error)}); it is damaged: download or copy it again."
        ) from error
    if data is None or not data.size:
        raise InputError(f"extension {name} is empty; choose another extension or file.")
    return data


def _sizes(hdu, path):
    """Bytes that the header asks for, and those that the file has for it at most."""
    header = hdu.header
    sides = [float(header[f"NAXIS{i + 1}"]) for i in range(int(header["NAXIS"]))]
    size = np.prod(sides) * abs(header["BITPIX"]) / 8
    if not size >= 0:
        raise ValueError(f"its axes have the lengths {sides}")
    stored = Path(path).stat().st_size
    if _head(path).startswith(_MAGIC) or isinstance(hdu, fits.CompImageHDU):
        return size, max(stored * _COMPRESSION, _ROOM)
    return size, stored - hdu.fileinfo()["datLoc"]


def _head(path):
    with Path(path).open("rb") as stream:
        return stream.read(64)


def _diagnosis(path):
    """Say what a file is that is not FITS, and what to do."""
    head = _head(path)
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"{")):
        return "it is a web page or a server's message: the download needs a login or another address"
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS: run 'git lfs pull' to get the file itself"
    return "it is damaged or incomplete: download or copy it again"


def _one_line(error):
    """Return the first line of a message: astropy's run over several."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:;")

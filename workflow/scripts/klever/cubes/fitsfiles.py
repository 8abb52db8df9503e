"""Open FITS files that users bring: what is wrong with one is told in a sentence, and no header is believed blindly."""

import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.utils.exceptions import AstropyWarning

from klever.errors import InputError

__all__ = ["open_fits", "pixels"]

_COMPRESSION = 1100  # no lossless compression of FITS packs tighter: bounds what a header may ask for


@contextmanager
def open_fits(path):
    """Open a FITS file; whatever goes wrong with the file inside the ``with`` becomes an `InputError` that names it."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path in the table that names it.")
    damaged = f"{path} cannot be read as FITS (%s); it is damaged or incomplete: download or copy it again."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # a truncated file is told by `pixels`, with its sizes
        try:
            hdus = fits.open(path, memmap=False)
            len(hdus)  # reads every header now, so that a damaged one is told from a mistake further on
        except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, IndexError, VerifyError) as error:
            raise InputError(damaged % error) from error
        try:
            yield hdus
        except InputError as error:
            raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(damaged % error) from error
        finally:
            hdus.close()


def pixels(hdu, path):
    """Return the data of an image extension, after checking that the file is long enough to hold them.

    Raises
    ------
    InputError
        The header asks for more bytes than the file has.
    """
    header = hdu.header
    size = np.prod([float(header[f"NAXIS{i + 1}"]) for i in range(int(header["NAXIS"]))]) * abs(header["BITPIX"]) / 8
    stored = Path(path).stat().st_size
    with Path(path).open("rb") as stream:
        gzipped = stream.read(2) == b"\x1f\x8b"
    if gzipped or isinstance(hdu, fits.CompImageHDU):
        available = stored * _COMPRESSION
    else:
        available = stored - hdu.fileinfo()["datLoc"]
    if size > available:
        raise InputError(
            f"extension {hdu.name or 'PRIMARY'} needs {size:.3g} bytes but the file holds {max(available, 0):.3g} at "
            "most: it is truncated, or its header is wrong; download or copy it again."
        )
    try:
        data = hdu.data
    except (ValueError, TypeError) as error:
        raise InputError(
            f"extension {hdu.name or 'PRIMARY'} cannot be read ({error}); it is damaged: download or copy it again."
        ) from error
    if data is None or not data.size:
        raise InputError(f"extension {hdu.name or 'PRIMARY'} is empty; choose another extension or file.")
    return data

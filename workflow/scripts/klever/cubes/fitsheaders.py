"""Look through the headers of a FITS file before astropy does, which believes what they claim."""

import bz2
import gzip
import lzma
import re
import zlib
from contextlib import suppress
from pathlib import Path

from klever.errors import InputError

__all__ = ["check_headers"]

_BLOCK = 2880
_MOST_BLOCKS = 700  # 2 MB: 25,000 cards in one header
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_CARD = re.compile(rb"(Z?NAXIS[0-9]{0,3}|BITPIX|[PG]COUNT|TFIELDS|WCSAXES[A-Z]?|THEAP) *= *([^/]*)")
# The standard's largest number of axes and columns (Pence et al. 2010, A&A 524, A42, Sect. 4.4.1 and 7.3.1): astropy
# counts up to what is written here.
_COUNTS = (b"NAXIS", b"ZNAXIS", b"TFIELDS")
_MOST, _MOST_WCS, _LONGEST = 999, 20, 10**12


def check_headers(path):
    """Check that the sizes in all headers of a FITS file are numbers that a file can have.

    A file that is no FITS, or is cut short, passes: who reads it finds out.

    Parameters
    ----------
    path : path-like
        FITS, also compressed by gzip, bzip2 or xz.

    Raises
    ------
    InputError
        A size is negative, no number or absurdly large; the message names file, keyword and remedy.
    """
    path = Path(path)
    with suppress(OSError, EOFError, zlib.error, lzma.LZMAError):
        with path.open("rb") as stream:
            head = stream.read(6)
        opened = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), open)
        with opened(path, "rb") as stream:
            end = None if opened is not open else path.stat().st_size
            while (cards := _cards(stream, path)) is not None:
                size = _data_size(cards, path)
                start = stream.tell() + -(-size // _BLOCK) * _BLOCK
                if end is not None and start >= end:
                    return
                stream.seek(start)


def _cards(stream, path):
    """Return the sizes that the next header states, None where the file ends."""
    cards, start = {}, stream.tell()
    for _ in range(_MOST_BLOCKS):
        block = stream.read(_BLOCK)
        if len(block) < _BLOCK:
            return None
        for at in range(0, _BLOCK, 80):
            card = block[at : at + 80]
            if card.startswith(b"END") and not card[3:].strip():
                return cards
            if found := _CARD.match(card):
                cards.setdefault(found[1], found[2].strip())
    raise InputError(
        f"{path} cannot be read as FITS: what starts at byte {start} is no header, or one without end; it is damaged: "
        "download or copy it again."
    )


def _data_size(cards, path):
    """Bytes of the data that belong to a header."""
    numbers = {key: _integer(key, text, path) for key, text in cards.items()}
    size = abs(numbers.get(b"BITPIX", 8)) // 8
    axes = [numbers.get(b"NAXIS%d" % (axis + 1), 0) for axis in range(numbers.get(b"NAXIS", 0))]
    if not axes:
        return 0
    count = 1
    for side in axes if axes[0] or len(axes) == 1 else axes[1:]:  # NAXIS1 = 0: random groups
        count *= side
    size *= numbers.get(b"GCOUNT", 1) * (numbers.get(b"PCOUNT", 0) + count)
    if size > 10**15:
        _refuse(path, "NAXISn", "x".join(map(str, axes))[:60])
    return size


def _integer(key, text, path):
    most = _MOST if key in _COUNTS else _MOST_WCS if key.startswith(b"WCSAXES") else _LONGEST
    lowest = -64 if key == b"BITPIX" else 0
    if not re.fullmatch(rb"[+-]?[0-9]{1,15}", text) or not lowest <= int(text) <= most:
        _refuse(path, key.decode(), text[:40].decode("ascii", "replace"))
    return int(text)


def _refuse(path, key, text):
    raise InputError(
        f"{path} cannot be read as FITS: a header says {key} = {text}, which no file can have; it is damaged: download "
        "or copy it again."
    )

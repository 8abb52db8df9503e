"""What a file format says of its layers, and the list of the formats."""

from dataclasses import dataclass

import numpy as np

from klever.errors import InputError

__all__ = ["ERROR_KINDS", "Layers", "chosen", "find_format", "named", "register"]

ERROR_KINDS = ("sigma", "variance", "inverse variance", "inverse sigma")

_FORMATS = []


@dataclass
class Layers:
    """Where a format keeps its layers.

    Parameters
    ----------
    science : HDU
    error : HDU, optional
        None: the file has no error; it is estimated from the data.
    error_kind : str
        What `error` holds: one of `ERROR_KINDS`.
    quality : HDU, optional
        Of the pipeline; 0 is good.
    bad_bits : int, optional
        Bits of `quality` that spoil a voxel; any bit by default.
    zero_is_bad : bool
        `quality` is 1 where the data are good.
    weight : HDU, optional
        A voxel of weight 0 holds no data.
    wavelength : ndarray, optional
        Vacuum, micrometre, where the file stores it.
    """

    science: object
    error: object = None
    error_kind: str = "sigma"
    quality: object = None
    bad_bits: int | None = None
    zero_is_bad: bool = False
    weight: object = None
    wavelength: np.ndarray | None = None


def register(reader):
    """Add a format; the one registered last is asked first.

    Parameters
    ----------
    reader : type
        With `name`; ``matches(hdus)``, true for a file of the format; ``layers(hdus, extension)``, which returns
        `Layers` (`extension` is what observations.tsv says, or None); and optionally `frame`, the SPECSYS of files
        that do not say it.
    """
    _FORMATS.insert(0, reader())
    return reader


def find_format(hdus):
    """Return the first registered format that matches.

    Raises
    ------
    InputError
        None does.
    """
    found = next((reader for reader in _FORMATS if reader.matches(hdus)), None)
    if found is None:
        content = ", ".join(f"{hdu.name or 'PRIMARY'} ({hdu.header.get('NAXIS', 0)}-D)" for hdu in hdus)
        known = ", ".join(reader.name for reader in _FORMATS)
        raise InputError(
            f"no three-dimensional image in a layout that is known (found: {content}; tried: {known}): check that "
            "NAXIS is 3 and the extensions' names, or add the format as workflow/scripts/klever/cubes/formats tells."
        )
    return found


def named(hdus, *names):
    """Return the first extension of one of these names that holds a cube, else None."""
    return next((hdu for name in names for hdu in hdus if hdu.name == name and hdu.header.get("NAXIS") == 3), None)


def chosen(hdus, extension, default):
    """Return the extension that observations.tsv names, or `default` if it names none.

    Raises
    ------
    InputError
        There is no such cube.
    """
    if extension in (None, ""):
        return default
    found = named(hdus, str(extension).strip().upper())
    if found is None:
        cubes = [hdu.name or "PRIMARY" for hdu in hdus if hdu.header.get("NAXIS") == 3]
        raise InputError(f"there is no cube in extension {extension!r}; the file has {', '.join(cubes) or 'none'}.")
    return found

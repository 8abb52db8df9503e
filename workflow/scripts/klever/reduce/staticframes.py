"""Static calibrations of a pipeline: found in its folder by their category, and by band where there is one for each."""

import re
from pathlib import Path

__all__ = ["static_frames"]

_BAND_KEYS = ("ESO FILT ID", "ESO INS FILT1 ID", "ESO INS FILT1 NAME", "ESO INS GRAT1 NAME")


def static_frames(folder, categories, band):
    """Find static calibrations in a folder and below it.

    Parameters
    ----------
    folder : path-like
        Such as ``calib/kmos-…/cal`` of the pipeline's kit.
    categories : iterable of str
        ``ESO PRO CATG`` that are looked for.
    band : str
        Of the observation, ``H``.

    Returns
    -------
    dict of str to str
        Category to path.  A category with several files takes the one of the band: by its header, else by a part of its
        name (``kmos_oh_spec_h.fits``); without a single one of the band the category is left out.
    """
    from astropy.io import fits

    wanted, found = set(categories), {}
    for path in sorted(Path(folder).rglob("*.fits")):
        try:
            header = fits.getheader(path)
        except (OSError, ValueError, TypeError):
            continue
        category = str(header.get("ESO PRO CATG", "")).strip()
        if category in wanted:
            found.setdefault(category, []).append((path, header))
    result = {}
    for category, candidates in found.items():
        own = candidates if len(candidates) == 1 else [entry for entry in candidates if _is_of(*entry, band)]
        if len(own) == 1:
            result[category] = str(own[0][0].resolve())
    return result


def _is_of(path, header, band):
    """Whether a file says that it is of a band."""
    told = {str(header[key]).strip().upper() for key in _BAND_KEYS if key in header}
    parts = {part.upper() for part in re.split(r"[_\-.]", path.stem)}
    return band.upper() in (told or parts)

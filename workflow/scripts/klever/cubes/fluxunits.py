"""Units of cubes: from what a header or a table says to erg s-1 cm-2 um-1 per spaxel."""

import re
import warnings

import numpy as np
from astropy import units as u

from klever.errors import InputError

__all__ = ["FLUX_UNIT", "contradiction", "flux_factor"]

FLUX_UNIT = "erg s-1 cm-2 um-1"
_SPEED_OF_LIGHT = 2.99792458e14  # um/s


def flux_factor(text, wavelength, spaxel_area):
    """Return what the data are multiplied with to become erg s-1 cm-2 um-1 per spaxel.

    Accepted are flux densities per wavelength or per frequency, per spaxel (with or without ``pix``), and the same as a
    surface brightness (per arcsec2 or sr), which is multiplied with the area of a spaxel.

    Parameters
    ----------
    text : str
        For example ``"1e-20 erg s-1 cm-2 Angstrom-1"``, ``"MJy/sr"``, ``"10**(-20)*erg/s/cm**2/Angstrom"``.
    wavelength : ndarray, shape (n_wave,)
        Vacuum, micrometre.
    spaxel_area : float
        arcsec2.

    Returns
    -------
    ndarray, shape (n_wave, 1, 1)

    Raises
    ------
    InputError
        The text is no unit, or not of a flux density (without the file's name, which the caller adds).
    """
    ones = np.ones((wavelength.size, 1, 1))
    unit = _parse(text)
    per_wavelength, per_frequency = u.Unit(FLUX_UNIT), u.erg / u.s / u.cm**2 / u.Hz
    for divisor, area in ((u.dimensionless_unscaled, 1.0), (u.pix, 1.0), (u.arcsec**2, spaxel_area)):
        if unit.is_equivalent(per_wavelength / divisor):
            return ones * (unit.to(per_wavelength / divisor) * area)
        if unit.is_equivalent(per_frequency / divisor):
            to_wavelength = (_SPEED_OF_LIGHT / wavelength**2)[:, None, None]
            return to_wavelength * (unit.to(per_frequency / divisor) * area)
    raise InputError(
        f"the unit {text!r} is not that of a flux density (it is: {unit.physical_type}); flux-calibrate the cube, or "
        f"give its unit in the column `unit` of observations.tsv, for example '{FLUX_UNIT}'."
    )


def contradiction(stated, header, wavelength, spaxel_area):
    """Compare the unit that the survey's table states with the one in the file's header.

    Parameters
    ----------
    stated, header : str
        Units; an empty `header`, counts, or one that is not understood contradict nothing.
    wavelength, spaxel_area
        As for `flux_factor`.

    Returns
    -------
    str
        Empty, or a sentence for a warning: both are flux densities, of different scale.

    Raises
    ------
    InputError
        The header's unit is of another physical quantity (without the file's name).
    """
    try:
        unit = _parse(header) if header else u.dimensionless_unscaled
    except InputError:
        return ""
    if any(base in (u.adu, u.ct, u.electron, u.photon, u.DN) for base in unit.bases) or not unit.bases:
        return ""
    try:
        own = flux_factor(header, wavelength, spaxel_area)
    except InputError as error:
        raise InputError(
            f"its header says BUNIT = {header!r}, which is not a flux density, though the column `unit` of "
            f"observations.tsv says {stated!r}; this may be the wrong file, else correct its BUNIT."
        ) from error
    if np.allclose(own, flux_factor(stated, wavelength, spaxel_area), rtol=1e-3):
        return ""
    return f"the header says BUNIT = {header!r}, the column `unit` says {stated!r}, which is taken."


def _parse(text):
    cleaned = re.sub(r"\bspaxel\b", "pix", re.sub(r"\bergs\b", "erg", text))
    cleaned = re.sub(r"\bA(?=\b|-|\*|\^)", "Angstrom", cleaned)  # ampere would make no sense in a cube
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)
            return u.Unit(cleaned)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the unit {text!r} is not understood; give it in the column `unit` of observations.tsv, for example "
            f"'{FLUX_UNIT}' or '1e-20 erg s-1 cm-2 Angstrom-1'."
        ) from error

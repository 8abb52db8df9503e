"""Spectral axis of a cube: the vacuum wavelength of its channels from the header.

Written by hand, as `klever.cubes.axes` is: every assumption about units and the air-to-vacuum conversion is visible.
"""

import numpy as np
from astropy import units as u
from astropy.io import fits

from klever.cubes.axes import air_to_vacuum, is_number, number
from klever.errors import InputError

__all__ = ["check_order", "spectral_axis"]

_MICRONS = {"micron": 1.0, "microns": 1.0, "micrometre": 1.0, "angstroms": 1e-4, "a": 1e-4}  # not FITS, but seen
_SPECTRAL_TYPES = ("WAVE", "AWAV", "LAMBDA", "FREQ", "VELO", "VRAD", "VOPT", "ZOPT", "ENER", "WAVN", "BETA", "SPECTRAL")
_VACUUM, _UNSAID = ("WAVE",), ("LAMBDA", "WAVELENGTH", "LINEAR")
_ALGORITHMS = ("", "LOG", "TAB")  # of the FITS standard; the others are grisms and conversions between types


def spectral_axis(header, n_wave, tables):
    """Return the vacuum wavelength of the channels and how it was obtained.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Of the cube; FITS axis 3 must be a wavelength: WAVE, AWAV, their -LOG forms, or WAVE-TAB.
    n_wave : int
    tables : astropy.io.fits.HDUList
        Where the table of a ``-TAB`` axis is looked up.

    Returns
    -------
    wavelength : ndarray, shape (n_wave,)
        Vacuum, micrometre, strictly increasing or strictly decreasing as the channels are.
    notes : list of str
        Sentences for the log: what was converted or assumed.

    Raises
    ------
    InputError
        Another axis is the spectral one, no usable keywords, or wavelengths that turn back or are not positive.
    """
    kind, algorithm = _axis_type(header)
    micron = _microns(header.get("CUNIT3", ""))
    crval, step = _spectral_step(header, algorithm)
    # a missing reference pixel would be 0 by the standard, but is 1 in most headers without: not to be guessed
    pixel = np.arange(1, n_wave + 1) - number(header, "CRPIX3")
    if algorithm == "TAB":
        wavelength = _tabulated(header, crval + step * pixel, tables)
    elif algorithm == "LOG":
        with np.errstate(over="ignore"):
            wavelength = crval * np.exp(step * pixel / crval)
    else:
        wavelength = crval + step * pixel
    wavelength = check_order(np.asarray(wavelength, dtype=float) * micron)
    notes = []
    if kind == "AWAV":
        notes.append(f"wavelengths converted from air to vacuum (CTYPE3 = {header['CTYPE3']})")
        wavelength = air_to_vacuum(wavelength)
    elif kind not in _VACUUM:
        notes.append(f"CTYPE3 = {kind!r} does not say air or vacuum: taken as vacuum")
    return wavelength, notes


def check_order(wavelength):
    """Return the wavelengths (micrometre) if they are positive and strictly increase or strictly decrease.

    Raises
    ------
    InputError
        They do not.
    """
    wavelength = np.asarray(wavelength, dtype=float)
    steps = np.diff(wavelength)
    positive = bool(wavelength.size) and bool(np.all(np.isfinite(wavelength))) and wavelength.min() > 0
    if not positive or not (np.all(steps > 0) or np.all(steps < 0)):
        ends = f"first {wavelength.flat[0]:.6g} um, last {wavelength.flat[-1]:.6g} um" if wavelength.size else "none"
        raise InputError(
            f"wavelengths along FITS axis 3 are not positive and in order ({ends}); correct CRVAL3, CRPIX3, CDELT3 or "
            "CD3_3."
        )
    return wavelength


def _axis_type(header):
    """Return the type of FITS axis 3 and its algorithm code, both of the standard's words."""
    types = [str(header.get(f"CTYPE{axis}", "")).strip().upper() for axis in (1, 2, 3)]
    for axis in (1, 2):
        if types[axis - 1].startswith(_SPECTRAL_TYPES):
            raise InputError(
                f"the spectral axis is FITS axis {axis} (CTYPE{axis} = {types[axis - 1]!r}) where axis 3 is expected: "
                "the cube is transposed; write it as (wavelength, y, x) with its WCS in the same order."
            )
    kind, _, algorithm = types[2].partition("-")
    algorithm = algorithm.strip("-")
    if kind not in (*_VACUUM, "AWAV", *_UNSAID) or algorithm not in _ALGORITHMS:
        raise InputError(
            f"FITS axis 3 is CTYPE3 = {types[2]!r}, not a wavelength that is linear, logarithmic (-LOG) or tabulated "
            "(-TAB); convert it to WAVE (vacuum) or AWAV (air)."
        )
    return kind, algorithm


def _microns(text):
    """Return how many micrometres a unit of length is."""
    text = str(text).strip()
    if text.lower() in _MICRONS:
        return _MICRONS[text.lower()]
    for spelling in (text, text.lower()):
        try:
            return u.Unit(spelling).to(u.um)  # the empty text is dimensionless: an error, as it should be
        except (ValueError, TypeError, u.UnitsError):
            continue
    raise InputError(f"CUNIT3 = {text!r} is no unit of length; write that of the wavelengths, for example 'um'.")


def _spectral_step(header, algorithm):
    """Return the reference value and the step in the unit of the header."""
    if header.get("CD3_3"):
        step = number(header, "CD3_3")
    elif "CDELT3" in header or algorithm == "TAB":
        step = number(header, "CDELT3", 1.0) * number(header, "PC3_3", 1.0)
    else:
        step = 0.0
    if not is_number(header.get("CRVAL3")) or step == 0 or (algorithm == "LOG" and header["CRVAL3"] == 0):
        raise InputError("the spectral axis lacks CRVAL3 or a step (CD3_3 or CDELT3); add them to the header.")
    tilt = [number(header, f"CD3_{j}", 0.0) * number(header, f"NAXIS{j}", 1) for j in (1, 2)]
    if max(map(abs, tilt)) > abs(step) * 0.1:
        raise InputError("wavelength changes with position (CD3_1 or CD3_2 is not zero); resample the cube first.")
    return number(header, "CRVAL3"), step


def _tabulated(header, index, tables):
    """Look up a ``-TAB`` axis (Greisen et al. 2006).

    `index` counts the rows of the column PS3_1 from 1, unless PS3_2 names a column of the values it has there.
    """
    extension = str(header.get("PS3_0", "")).strip()
    table = _column(tables, extension, header.get("PS3_1"))
    rows = np.arange(1.0, table.size + 1)
    positions = _column(tables, extension, header["PS3_2"]) if header.get("PS3_2") else rows
    if positions.size != table.size or np.any(np.diff(positions) <= 0):
        raise InputError(f"the index column {header['PS3_2']!r} of the wavelength table does not increase.")
    if index.min() < positions[0] or index.max() > positions[-1]:
        raise InputError(
            f"the wavelength table goes from {positions[0]:g} to {positions[-1]:g} but the cube asks for "
            f"{index.min():g} to {index.max():g}; use the complete product, or correct CRPIX3 and CRVAL3."
        )
    return np.interp(index, positions, table)


def _column(tables, extension, name):
    name = str(name or "").strip()
    try:
        for hdu in tables:
            if hdu.name == extension.upper() and isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
                for column in hdu.columns.names:
                    if str(column).lower() == name.lower():
                        return np.ravel(hdu.data[column]).astype(float)
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InputError(f"the wavelength table {extension!r} is damaged ({error}); copy the file again.") from error
    raise InputError(
        f"the wavelength table {extension!r}, column {name!r}, of the -TAB axis is not in the file; use the complete "
        "product."
    )

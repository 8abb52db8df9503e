"""Celestial axes of a cube: its WCS as plain 2-D keywords.

Written by hand instead of with `astropy.wcs`: the import costs more than the whole ingest of a cube, and every
assumption about parity and axis order is visible here.
"""

import math

import numpy as np
from astropy.io import fits

from klever.air import air_to_vacuum
from klever.errors import InputError

__all__ = [
    "air_to_vacuum",
    "cd_matrix",
    "celestial_header",
    "is_mirrored",
    "is_number",
    "mirror_x",
    "number",
    "sky_to_pixel",
    "spaxel_scale",
    "spaxel_shape",
]

_DEGREES = {"": 1.0, "deg": 1.0, "degree": 1.0, "degrees": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600}


def cd_matrix(header):
    """Return the 2x2 matrix from pixels to intermediate world coordinates, in the header's units (degree).

    Reads ``CDi_j``, else ``CDELTi`` with ``PCi_j`` or ``CROTA2``.

    Parameters
    ----------
    header : astropy.io.fits.Header

    Raises
    ------
    InputError
        One of them is no number.
    """
    if any(f"CD{i}_{j}" in header for i in (1, 2) for j in (1, 2)):
        return np.array([[number(header, f"CD{i}_{j}", 0.0) for j in (1, 2)] for i in (1, 2)])
    cdelt = np.array([number(header, f"CDELT{i}", 1.0) for i in (1, 2)])
    if "CROTA2" in header and not any(f"PC{i}_{j}" in header for i in (1, 2) for j in (1, 2)):
        angle = np.radians(number(header, "CROTA2"))
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return rotation * cdelt[None, :]  # AIPS convention: the rotation acts on the scaled offsets
    pc = np.array([[number(header, f"PC{i}_{j}", float(i == j)) for j in (1, 2)] for i in (1, 2)])
    return cdelt[:, None] * pc


def spaxel_scale(header):
    """Return the side of a square of the spaxel's area, arcsec."""
    return 3600.0 * float(np.sqrt(abs(np.linalg.det(cd_matrix(header)))))


def spaxel_shape(header):
    """Return how far the spaxels are from squares: the ratio of their longer to their shorter side, and the skew.

    Parameters
    ----------
    header : astropy.io.fits.Header

    Returns
    -------
    ratio : float
        1 for squares; sides are measured on the sky.
    skew : float
        Degrees from a right angle.
    """
    matrix = cd_matrix(header)
    sides = np.hypot(*matrix)
    cosine = matrix[:, 0] @ matrix[:, 1] / (sides[0] * sides[1])
    return float(sides.max() / sides.min()), float(abs(90.0 - np.degrees(np.arccos(np.clip(cosine, -1, 1)))))


def celestial_header(header):
    """Return a header that holds only the 2-D celestial WCS: degrees, a CD matrix, no third axis.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Of a cube or an image.

    Raises
    ------
    InputError
        No celestial WCS, declination first, a degenerate matrix, or another equinox than J2000 (without the file's
        name, which the caller adds).
    """
    types = [str(header.get(f"CTYPE{i}", "")).strip().upper() for i in (1, 2)]
    if not (types[0].startswith("RA--") and types[1].startswith("DEC-")):
        raise InputError(
            f"FITS axes 1 and 2 are CTYPE1 = {types[0]!r} and CTYPE2 = {types[1]!r} where RA---TAN and DEC--TAN are "
            "expected; write the celestial WCS of the field into the header (or transpose the data to this axis order)."
        )
    result = fits.Header()
    result["WCSAXES"] = 2
    matrix = cd_matrix(header)
    for i in (1, 2):
        text = str(header.get(f"CUNIT{i}", "")).strip().lower()
        if text not in _DEGREES:
            raise InputError(f"CUNIT{i} = {text!r} is no angle; write 'deg'.")
        missing = [key for key in (f"CRPIX{i}", f"CRVAL{i}") if not is_number(header.get(key))]
        if missing:
            raise InputError(f"the celestial WCS lacks {' and '.join(missing)}; add what is missing to the header.")
        result[f"CTYPE{i}"] = types[i - 1]
        result[f"CUNIT{i}"] = "deg"
        result[f"CRPIX{i}"] = float(header[f"CRPIX{i}"])
        result[f"CRVAL{i}"] = float(header[f"CRVAL{i}"]) * _DEGREES[text]
        matrix[i - 1] *= _DEGREES[text]
    if not np.all(np.isfinite(matrix)) or np.linalg.det(matrix) == 0:
        raise InputError("the celestial WCS matrix (CD or CDELT and PC) is singular; correct the header.")
    for i in (1, 2):
        for j in (1, 2):
            result[f"CD{i}_{j}"] = float(matrix[i - 1, j - 1])
    frame = str(header.get("RADESYS", header.get("RADECSYS", ""))).strip().upper()
    equinox = header.get("EQUINOX")
    if frame not in ("", "ICRS", "FK5") or (frame != "ICRS" and is_number(equinox) and abs(equinox - 2000.0) > 0.1):
        raise InputError(
            f"the positions are of another system (RADESYS = {frame or 'none'!r}, EQUINOX = {equinox}) than ICRS or "
            "FK5 of 2000; convert the WCS of the header."
        )
    if frame:
        result["RADESYS"] = frame
    for key in ("EQUINOX", "LONPOLE", "LATPOLE"):
        if is_number(header.get(key)):
            result[key] = float(header[key])
    return result


def is_mirrored(header):
    """Return True if east is to the right when north is up (positive determinant), the mirror image of the sky."""
    return bool(np.linalg.det(cd_matrix(header)) > 0)


def mirror_x(header, nx):
    """Return the celestial header of the array reversed along x, which describes the same positions on the sky."""
    result = header.copy()
    result["CRPIX1"] = nx + 1 - header["CRPIX1"]
    for i in (1, 2):
        result[f"CD{i}_1"] = -header[f"CD{i}_1"]
    return result


def sky_to_pixel(header, ra, dec):
    """Return the 0-based pixel (x, y) of a position in a gnomonic (TAN) projection.

    Parameters
    ----------
    header : astropy.io.fits.Header
        From `celestial_header`.
    ra, dec : float
        Degrees.
    """
    ra0, dec0 = np.radians([header["CRVAL1"], header["CRVAL2"]])
    ra, dec = np.radians([ra, dec])
    cosine = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(ra - ra0)
    if cosine <= 0:
        return np.nan, np.nan
    xi = np.cos(dec) * np.sin(ra - ra0) / cosine
    eta = (np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(ra - ra0)) / cosine
    x, y = np.linalg.solve(cd_matrix(header), np.degrees([xi, eta]))
    return x + header["CRPIX1"] - 1, y + header["CRPIX2"] - 1


def number(header, key, default=None):
    """Return a keyword as a float.

    Raises
    ------
    InputError
        It is not a finite number, or it is missing and there is no `default`.
    """
    value = header.get(key, default)
    if not is_number(value):
        raise InputError(f"the header has {key} = {value!r} where a number is expected; correct it.")
    return float(value)


def is_number(value):
    """Return True for a finite number (a logical value is none)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False

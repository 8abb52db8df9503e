"""Axes of a cube: its celestial WCS as plain 2-D keywords, and the vacuum wavelength of its channels.

Written by hand instead of with `astropy.wcs`: the import costs more than the whole ingest of a cube, and every
assumption about parity, axis order and the air-to-vacuum conversion is visible here.
"""

import numpy as np
from astropy.io import fits

from klever.errors import InputError

__all__ = [
    "air_to_vacuum",
    "cd_matrix",
    "celestial_header",
    "is_mirrored",
    "mirror_x",
    "sky_to_pixel",
    "spaxel_scale",
    "spectral_axis",
]

_DEGREES = {"": 1.0, "deg": 1.0, "degree": 1.0, "degrees": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600}
_MICRONS = {"um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0, "m": 1e6, "mm": 1e3,
            "nm": 1e-3, "angstrom": 1e-4, "angstroms": 1e-4, "a": 1e-4}  # fmt: skip
_SPECTRAL_TYPES = ("WAVE", "AWAV", "LAMBDA", "FREQ", "VELO", "VRAD", "VOPT", "ZOPT", "ENER", "WAVN", "BETA", "SPECTRAL")


def cd_matrix(header):
    """Return the 2x2 matrix from pixels to intermediate world coordinates, in the header's units (degree).

    Reads ``CDi_j``, else ``CDELTi`` with ``PCi_j`` or ``CROTA2``.

    Parameters
    ----------
    header : astropy.io.fits.Header
    """
    if any(f"CD{i}_{j}" in header for i in (1, 2) for j in (1, 2)):
        return np.array([[float(header.get(f"CD{i}_{j}", 0.0)) for j in (1, 2)] for i in (1, 2)])
    cdelt = np.array([float(header.get(f"CDELT{i}", 1.0)) for i in (1, 2)])
    if "CROTA2" in header and not any(f"PC{i}_{j}" in header for i in (1, 2) for j in (1, 2)):
        angle = np.radians(float(header["CROTA2"]))
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return rotation * cdelt[None, :]  # AIPS convention: the rotation acts on the scaled offsets
    pc = np.array([[float(header.get(f"PC{i}_{j}", float(i == j))) for j in (1, 2)] for i in (1, 2)])
    return cdelt[:, None] * pc


def spaxel_scale(header):
    """Return the side of a square of the spaxel's area, arcsec."""
    return 3600.0 * float(np.sqrt(abs(np.linalg.det(cd_matrix(header)))))


def celestial_header(header):
    """Return a header that holds only the 2-D celestial WCS: degrees, a CD matrix, no third axis.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Of a cube or an image.

    Raises
    ------
    InputError
        No celestial WCS, declination first, or a degenerate matrix (without the file's name, which the caller adds).
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
        missing = [key for key in (f"CRPIX{i}", f"CRVAL{i}") if not _is_number(header.get(key))]
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
    frame = header.get("RADESYS", header.get("RADECSYS"))
    if frame:
        result["RADESYS"] = str(frame).strip()
    for key in ("EQUINOX", "LONPOLE", "LATPOLE"):
        if _is_number(header.get(key)):
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


def air_to_vacuum(wavelength):
    """Convert wavelengths in standard air to vacuum, micrometre.

    The inverse of Ciddor (1996) fitted by N. Piskunov for VALD3, as the line list of `resources/lines.yaml` uses.

    Parameters
    ----------
    wavelength : ndarray
        In air, micrometre, within 0.2-10.
    """
    s2 = (1.0 / np.asarray(wavelength, dtype=float)) ** 2
    index = 1 + 8.336624212083e-5 + 0.02408926869968 / (130.1065924522 - s2) + 1.599740894897e-4 / (38.92568793293 - s2)
    return wavelength * index


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
        Vacuum, micrometre, strictly increasing.
    notes : list of str
        Sentences for the log: what was converted or assumed.

    Raises
    ------
    InputError
        Another axis is the spectral one, no usable keywords, or wavelengths that do not increase.
    """
    axis_type = str(header.get("CTYPE3", "")).strip().upper()
    for axis in (1, 2):
        other = str(header.get(f"CTYPE{axis}", "")).strip().upper()
        if other.startswith(_SPECTRAL_TYPES):
            raise InputError(
                f"the spectral axis is FITS axis {axis} (CTYPE{axis} = {other!r}) where axis 3 is expected: the "
                "cube is transposed; write it as (wavelength, y, x) with its WCS in the same order."
            )
    if axis_type.split("-")[0] not in ("WAVE", "AWAV", "LAMBDA", "WAVELENGTH", "LINEAR"):
        raise InputError(
            f"FITS axis 3 is CTYPE3 = {axis_type!r}, not a wavelength; convert it to WAVE (vacuum) or AWAV (air)."
        )
    unit = str(header.get("CUNIT3", "")).strip().lower()
    if unit not in _MICRONS:
        raise InputError(f"CUNIT3 = {unit!r} is no unit of length; write that of the wavelengths, for example 'um'.")
    notes = []
    crval, step = _spectral_step(header)
    pixel = np.arange(1, n_wave + 1) - float(header.get("CRPIX3", 1.0))
    if axis_type.endswith("-TAB"):
        wavelength = _tabulated(header, crval + step * pixel, tables)
    elif axis_type.endswith("-LOG"):
        wavelength = crval * np.exp(step * pixel / crval)
    else:
        wavelength = crval + step * pixel
    wavelength = np.asarray(wavelength, dtype=float) * _MICRONS[unit]
    if not np.all(np.isfinite(wavelength)) or wavelength.min() <= 0 or np.any(np.diff(wavelength) <= 0):
        raise InputError(
            f"wavelengths do not increase along FITS axis 3 (first {wavelength[0]:.6g} um, last {wavelength[-1]:.6g} um"
            "); reverse the cube along that axis or correct CRVAL3, CDELT3, CD3_3."
        )
    if axis_type.startswith("AWAV"):
        notes.append("wavelengths converted from air to vacuum (CTYPE3 = AWAV)")
        wavelength = air_to_vacuum(wavelength)
    elif not axis_type.startswith("WAVE-") and axis_type != "WAVE":
        notes.append(f"CTYPE3 = {axis_type!r} does not say air or vacuum: taken as vacuum")
    return wavelength, notes


def _spectral_step(header):
    step = header.get("CD3_3")
    if not step:
        step = float(header.get("CDELT3", 1.0)) * float(header.get("PC3_3", 1.0))
    if not _is_number(header.get("CRVAL3")) or not _is_number(step) or step == 0:
        raise InputError("the spectral axis lacks CRVAL3 or a step (CD3_3 or CDELT3); add them to the header.")
    tilt = [float(header.get(f"CD3_{j}", 0.0)) * int(header.get(f"NAXIS{j}", 1)) for j in (1, 2)]
    if max(map(abs, tilt)) > abs(step) * 0.1:
        raise InputError("wavelength changes with position (CD3_1 or CD3_2 is not zero); resample the cube first.")
    return float(header["CRVAL3"]), float(step)


def _tabulated(header, index, tables):
    """Look up a ``WAVE-TAB`` axis: `index` counts the rows of the table's column from 1 (Greisen et al. 2006)."""
    extension, column = (str(header.get(key, "")).strip() for key in ("PS3_0", "PS3_1"))
    found = [hdu for hdu in tables if hdu.name == extension.upper() and getattr(hdu, "columns", None) is not None]
    names = [name for name in found[0].columns.names if name.lower() == column.lower()] if found else []
    if not names:
        raise InputError(
            f"the wavelength table {extension!r}, column {column!r}, of the WAVE-TAB axis is not in the file; "
            "use the complete product."
        )
    table = np.ravel(found[0].data[names[0]]).astype(float)
    if index.min() < 1 or index.max() > table.size:
        raise InputError(f"the wavelength table has {table.size} rows but the cube asks for row {index.max():.0f}.")
    return np.interp(index, np.arange(1, table.size + 1), table)


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))

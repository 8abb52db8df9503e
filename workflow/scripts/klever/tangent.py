"""Gnomonic (TAN) pixel grids by their closed formulae, with the few methods of astropy.wcs that the steps use.

The maps that the steps hand to each other, and nearly all images, have such a grid; astropy's import and the parsing of
each header by it were a quarter of the time of the lensing steps.  Any other grid is astropy's.
"""

import re

import numpy as np

__all__ = ["TangentGrid", "offsets_to_sky", "sky_to_offsets", "tangent_grid"]

ARCSEC = np.pi / 180.0 / 3600.0
# Distortions, other poles, rotations by CROTA and axes beyond two are for astropy.
_NOT_PLAIN = re.compile(
    r"(PV|PS|TR)\d+_\d+|[AB]P?_ORDER|C[PQ]DIS\d|D2IM\w*|CROTA\d|CD0*[03-9]_\d|PC0*\d+_\d+|(CD|PC)\d{6}"
)
_PLAIN_PC = {"PC1_1", "PC1_2", "PC2_1", "PC2_2"}


def sky_to_offsets(ra, dec, ra0, dec0):
    """Project sky positions on the plane tangent at (ra0, dec0).

    Parameters
    ----------
    ra, dec : float or ndarray
        Degrees.
    ra0, dec0 : float
        Tangent point, degrees.

    Returns
    -------
    x, y : ndarray
        Arcsec to the west and to the north; NaN more than 90 degrees away. Gnomonic projection, Calabretta & Greisen
        (2002, A&A 395, 1077), Eq. 54.
    """
    difference, dec, dec0 = np.radians(np.asarray(ra) - ra0), np.radians(dec), np.radians(dec0)
    cosine = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(difference)
    cosine = np.where(cosine > 0, cosine, np.nan)
    x = -np.cos(dec) * np.sin(difference) / cosine
    y = (np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(difference)) / cosine
    return x / ARCSEC, y / ARCSEC


def offsets_to_sky(x, y, ra0, dec0):
    """Inverse of `sky_to_offsets`: arcsec west and north of the tangent point to degrees."""
    xi, eta = -np.asarray(x) * ARCSEC, np.asarray(y) * ARCSEC
    dec0 = np.radians(dec0)
    denominator = np.cos(dec0) - eta * np.sin(dec0)
    ra = ra0 + np.degrees(np.arctan2(xi, denominator))
    dec = np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, denominator))
    return ra, np.degrees(dec)


class TangentGrid:
    """A pixel grid on the plane tangent to the sky.

    Parameters
    ----------
    crval : pair of float
        Tangent point (ra, dec), degrees.
    crpix : pair of float
        Its pixel (x, y), counted from 1 as in FITS.
    matrix : ndarray, shape (2, 2)
        Degrees to the east and to the north (rows) for a step in x and in y (columns); not singular.
    """

    def __init__(self, crval, crpix, matrix):
        self.crval, self.crpix = tuple(map(float, crval)), np.asarray(crpix, dtype=float)
        self.pixel_scale_matrix = np.asarray(matrix, dtype=float)
        self._inverse = np.linalg.inv(self.pixel_scale_matrix)

    def all_pix2world(self, x, y, first):
        """Return ra (0 to 360) and dec in degrees of pixels counted from `first`."""
        dx, dy = (np.asarray(v, dtype=float) + (1 - first) - c for v, c in zip((x, y), self.crpix, strict=True))
        east, north = (row[0] * dx + row[1] * dy for row in self.pixel_scale_matrix * 3600.0)
        ra, dec = offsets_to_sky(-east, north, *self.crval)
        return ra % 360.0, dec

    def all_world2pix(self, ra, dec, first):
        """Return the pixels, counted from `first`, of positions in degrees; NaN more than 90 degrees away."""
        west, north = sky_to_offsets(ra, dec, *self.crval)
        east, north = -west / 3600.0, north / 3600.0
        return tuple(row[0] * east + row[1] * north + c - (1 - first)
                     for row, c in zip(self._inverse, self.crpix, strict=True))  # fmt: skip


def tangent_grid(header):
    """Return the grid of a FITS header, None if it is none of the plain ones.

    Plain is a two-dimensional image with axes RA---TAN and DEC--TAN in degrees, a CDi_j or a CDELTi and PCi_j matrix
    that is not singular, no distortion, and the default pole.

    Parameters
    ----------
    header : astropy.io.fits.Header

    Returns
    -------
    TangentGrid or None
    """
    if header.get("CTYPE1") != "RA---TAN" or header.get("CTYPE2") != "DEC--TAN":
        return None
    if header.get("NAXIS", 2) not in (0, 2) or header.get("WCSAXES", 2) != 2 or header.get("LONPOLE", 180.0) != 180.0:
        return None
    if any(str(header.get(f"CUNIT{i}", "deg")).strip() != "deg" for i in (1, 2)):
        return None
    if any(_NOT_PLAIN.fullmatch(key) and key not in _PLAIN_PC for key in header):
        return None
    try:
        crval, crpix, cdelt = ([float(header[f"{key}{i}"]) for i in (1, 2)] if key != "CDELT" else
                               [float(header.get(f"{key}{i}", 1.0)) for i in (1, 2)]
                               for key in ("CRVAL", "CRPIX", "CDELT"))  # fmt: skip
        matrix = _matrix(header, cdelt)
    except (KeyError, TypeError, ValueError):
        return None
    numbers = np.concatenate([crval, crpix, matrix.ravel()])
    if not np.all(np.isfinite(numbers)) or abs(crval[1]) >= 90.0 or np.linalg.det(matrix) == 0:
        return None
    return TangentGrid(crval, crpix, matrix)


def _matrix(header, cdelt):
    """Degrees for a step in x and y; a header with both kinds of matrix is refused."""
    cd = [key for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2") if key in header]
    if cd and any(key in header for key in _PLAIN_PC):
        raise ValueError("two matrices")
    if cd:
        return np.array([[float(header.get(f"CD{i}_{j}", 0.0)) for j in (1, 2)] for i in (1, 2)])
    return np.array([[cdelt[i - 1] * float(header.get(f"PC{i}_{j}", float(i == j))) for j in (1, 2)] for i in (1, 2)])

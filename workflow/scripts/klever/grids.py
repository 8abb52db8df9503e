"""Pixel grids on the sky: celestial WCS of any orientation, and offsets in arcsec (x to the west, y to the north).

Offsets are measured in the plane tangent to the sky at a stated position, so that two grids with the same tangent point
share one flat frame; the lens equation is written in it.
"""

import warnings

import numpy as np
from astropy.io import fits

from klever.cubes.fitsheaders import check_headers
from klever.errors import InputError
from klever.tangent import offsets_to_sky, sky_to_offsets, tangent_grid

__all__ = ["Grid", "celestial_wcs", "offsets_to_sky", "pixel_axes", "read_image", "sky_to_offsets", "tangent_header"]


def tangent_header(ra, dec, pixel_scale, crpix, crval_comment="tangent point"):
    """Return the header of a north-up gnomonic (TAN) grid.

    Parameters
    ----------
    ra, dec : float
        Tangent point, degrees.
    pixel_scale : float
        Arcsec; pixels are square.
    crpix : pair of float
        0-based pixel (x, y) of the tangent point; it may lie off the image.
    crval_comment : str
        Comment of CRVAL.

    Returns
    -------
    astropy.io.fits.Header
    """
    header = fits.Header()
    header["WCSAXES"] = 2
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
    header["CRVAL1"], header["CRVAL2"] = (float(ra), crval_comment), (float(dec), crval_comment)
    header["CRPIX1"], header["CRPIX2"] = (round(float(value) + 1.0, 8) for value in crpix)
    header["CDELT1"], header["CDELT2"] = -float(pixel_scale) / 3600.0, float(pixel_scale) / 3600.0
    header["RADESYS"] = "ICRS"
    return header


def celestial_wcs(header, name="header"):
    """Return the two-dimensional celestial WCS of a header.

    Parameters
    ----------
    header : astropy.io.fits.Header
    name : str
        What to call it in the message, usually the path.

    Returns
    -------
    klever.tangent.TangentGrid or astropy.wcs.WCS
        The second for headers that are not plain.

    Raises
    ------
    InputError
        There is no celestial WCS, or its matrix is singular.
    """
    plain = tangent_grid(header)
    if plain is not None:
        return plain
    from astropy.wcs import WCS, FITSFixedWarning

    try:
        with warnings.catch_warnings():
            # Old keywords (RADECSYS, 'deg     ') are repaired by astropy; nothing for the user to do.
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(header).celestial
        usable = wcs.naxis == 2 and np.linalg.det(wcs.pixel_scale_matrix) != 0
    except Exception as error:  # astropy raises many kinds for a broken header
        raise InputError(f"{name} has no usable celestial WCS ({error}); add RA/Dec keywords.") from error
    if not usable:
        raise InputError(f"{name} has no celestial WCS (CTYPE/CRVAL/CD keywords); add one.")
    return wcs


def pixel_axes(wcs):
    """Return the directions of increasing pixel x and y on the sky, with their lengths.

    Returns
    -------
    ndarray, shape (2, 2)
        Columns are the vectors (arcsec west, arcsec north) of one step in x and in y: ``offset = axes @ pixel``.
    """
    matrix = wcs.pixel_scale_matrix * 3600.0
    return matrix * np.array([[-1.0], [1.0]])  # rows of the matrix are east and north


class Grid:
    """Pixel grid of an image on the tangent plane at a chosen position.

    Parameters
    ----------
    header : astropy.io.fits.Header
        With a celestial WCS of any orientation, parity and pixel shape.
    shape : pair of int
        (ny, nx).
    origin : pair of float, optional
        Tangent point (ra, dec) in degrees of the offsets; the WCS's own CRVAL if not given.
    name : str
        For messages.
    """

    def __init__(self, header, shape, origin=None, name="header"):
        self.wcs = celestial_wcs(header, name)
        self.shape = tuple(int(n) for n in shape)
        own = getattr(self.wcs, "crval", None)
        own = self.wcs.wcs.crval if own is None else own
        self.origin = tuple(float(v) for v in (own if origin is None else origin))
        self.axes = pixel_axes(self.wcs)
        self.pixel_area = abs(np.linalg.det(self.axes))  # arcsec2
        self.pixel_scale = float(np.sqrt(self.pixel_area))  # arcsec

    def offsets(self, x, y):
        """0-based pixel positions to arcsec west and north of the origin."""
        ra, dec = self.wcs.all_pix2world(np.ravel(x), np.ravel(y), 0)
        west, north = sky_to_offsets(ra, dec, *self.origin)
        return west.reshape(np.shape(x)), north.reshape(np.shape(x))

    def pixels(self, west, north):
        """Arcsec west and north of the origin to 0-based pixel positions."""
        ra, dec = offsets_to_sky(np.ravel(west), np.ravel(north), *self.origin)
        x, y = self.wcs.all_world2pix(ra, dec, 0)
        return x.reshape(np.shape(west)), y.reshape(np.shape(west))

    def pixel_offsets(self):
        """Offsets of all pixel centres, two arrays of the grid's shape."""
        y, x = np.mgrid[: self.shape[0], : self.shape[1]].astype(float)
        return self.offsets(x, y)


def read_image(path, name=None):
    """Open the first two-dimensional image of a FITS file without reading it whole.

    Parameters
    ----------
    path : path
    name : str, optional
        Extension; the first image with two dimensions if not given.

    Returns
    -------
    data : ndarray, shape (ny, nx)
        Memory-mapped where the file allows it; slice it before converting.
    header : astropy.io.fits.Header

    Raises
    ------
    InputError
        Missing, truncated, or no image in it.
    """
    check_headers(path)
    try:
        for memmap in (True, False):  # scaled integers cannot be mapped
            try:
                with fits.open(path, memmap=memmap) as hdus:
                    for hdu in hdus if name is None else [hdus[name]]:
                        if hdu.is_image and hdu.header.get("NAXIS") == 2 and hdu.data is not None:
                            return hdu.data, hdu.header.copy()
                break
            except ValueError:
                if not memmap:
                    raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} cannot be read as a FITS image ({error}); replace the file.") from error
    raise InputError(f"{path} holds no two-dimensional image; check that it is the right file.")

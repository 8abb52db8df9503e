"""Maps of simulated lenses in the layout of public lens models."""

import numpy as np
from astropy.io import fits

from klever_simulation.formats import celestial_header

__all__ = ["lens_image", "map_grid"]


def map_grid(size, scale):
    """Return x and y (arcsec from the lens, each of shape (n, n)) of the pixels of a square map.

    Parameters
    ----------
    size, scale : float
        Side of the map and of its pixels, arcsec.
    """
    n = round(size / scale)
    axis = (np.arange(n) - (n - 1) / 2) * scale
    return np.meshgrid(axis, axis)


def lens_image(lens, data, scale, kind, unit=""):
    """Return a map of a lens, normalised to Dls/Ds = 1, as a FITS image.

    Parameters
    ----------
    lens : klever_simulation.lenses.LensModel
    data : ndarray, shape (ny, nx)
    scale : float
        Arcsec per pixel.
    kind : str
        What the map is.
    unit : str
        Of `data`.

    Returns
    -------
    astropy.io.fits.PrimaryHDU
    """
    ny, nx = data.shape
    header = celestial_header(lens.ra, lens.dec, nx, ny, scale)
    header["OBJECT"], header["ORIGIN"], header["SIMULATE"] = lens.name, "klever simulation", True
    header["MAP"] = (kind, "normalised to Dls/Ds = 1")
    header["Z_LENS"] = lens.z_lens
    if unit:
        header["BUNIT"] = unit
    header.add_history("simulated by klever")
    return fits.PrimaryHDU(data.astype(np.float32), header)

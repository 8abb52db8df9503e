"""The part of an image around a galaxy lens that is fitted."""

import logging
from dataclasses import dataclass

import numpy as np

from klever.errors import InputError
from klever.grids import Grid, read_image

__all__ = ["Cutout", "radii", "read_cutout"]

logger = logging.getLogger(__name__)

_PSF_WIDTH = 4.0  # FWHM


@dataclass
class Cutout:
    """The part of an image that is fitted.

    Parameters
    ----------
    data, error : ndarray, shape (ny, nx)
        Image units; NaN where there are no data.
    good : ndarray of bool, shape (ny, nx)
        Data that are neither missing nor excluded.
    x, y : ndarray, shape (ny, nx)
        Arcsec west and north of the centre of the lens.
    pixel_scale : float
        Arcsec.
    header : astropy.io.fits.Header
        Of the cutout.
    unit : str
    simulated : bool
    psf_fwhm : float
        Arcsec.
    """

    data: np.ndarray
    error: np.ndarray
    good: np.ndarray
    x: np.ndarray
    y: np.ndarray
    pixel_scale: float
    header: object
    unit: str
    simulated: bool
    psf_fwhm: float


def read_cutout(path, centre, options, error=None):
    """Read the part of an image around a lens.

    Parameters
    ----------
    path : path
        FITS image.
    centre : pair of float
        (ra, dec) of the lens, degrees.
    options : dict
        mask_radius (arcsec; a number, or inner and outer radius), exclude (list of [west, north, radius], arcsec from
        the centre), psf_fwhm (arcsec; PSFFWHM of the header if None).
    error : path, optional
        Image of 1 sigma errors; SKYSIGMA of the header, or the scatter of neighbouring pixels, without one.

    Returns
    -------
    Cutout

    Raises
    ------
    InputError
        See the messages.
    """
    data, header = read_image(path)
    grid = Grid(header, data.shape, centre, str(path))
    radius = radii(options)[1]
    px, py = (float(value) for value in grid.pixels(np.array(0.0), np.array(0.0)))
    fwhm = header.get("PSFFWHM") if options["psf_fwhm"] is None else options["psf_fwhm"]
    if fwhm is None:
        raise InputError(f"{path}: its header has no PSFFWHM; give psf_fwhm (arcsec) in the lens's entry.")
    width = 2 * np.ceil(_PSF_WIDTH * fwhm / grid.pixel_scale)
    if not width < min(data.shape):
        raise InputError(f"{path}: a PSF of {fwhm:g} arcsec is too wide for an image of {data.shape[1]} x "
                         f"{data.shape[0]} pixels of {grid.pixel_scale:.3f} arcsec; correct psf_fwhm.")  # fmt: skip
    reach = radius / grid.pixel_scale + width / 4
    low = np.maximum(np.floor([py - reach, px - reach]).astype(int), 0)
    high = np.minimum(np.ceil([py + reach, px + reach]).astype(int) + 1, data.shape)
    if (high - low < 5).any():
        raise InputError(f"{path} does not show the lens at ra {centre[0]:.5f}, dec {centre[1]:.5f}; correct the "
                         "centre or name another image.")  # fmt: skip
    part = (slice(low[0], high[0]), slice(low[1], high[1]))
    rows, columns = np.mgrid[part].astype(float)
    x, y = grid.offsets(columns, rows)
    cut = np.asarray(data[part], dtype=float)
    good = np.isfinite(cut)
    sigma = _errors(path, data, header, part, error)
    good &= np.isfinite(sigma) & (sigma > 0)
    inside = np.hypot(x, y) <= radius
    if np.mean(~good[inside]) > 0.5:
        raise InputError(f"{path}: {100 * np.mean(~good[inside]):.0f} % of the pixels within {radius:g} arcsec of the "
                         "lens are NaN or have no error; use another image.")  # fmt: skip
    for west, north, around in options["exclude"]:
        good &= np.hypot(x - west, y - north) > around
    shifted = header.copy()
    for key, start in (("CRPIX1", low[1]), ("CRPIX2", low[0])):
        shifted[key] = shifted[key] - float(start)
    return Cutout(cut, sigma, good, x, y, grid.pixel_scale, shifted, str(header.get("BUNIT", "")),
                  bool(header.get("SIMULATE")), float(fwhm))  # fmt: skip


def radii(options):
    """Return inner and outer radius of the mask, arcsec."""
    radius = options["mask_radius"]
    if isinstance(radius, list | tuple):
        return float(radius[0]), float(radius[1])
    return 0.0, float(radius)


def _errors(path, data, header, part, error):
    if error is not None:
        sigma, _ = read_image(error)
        if sigma.shape != data.shape:
            raise InputError(f"{error} has {sigma.shape} pixels and {path} {data.shape}; both must be of one grid.")
        return np.asarray(sigma[part], dtype=float)
    sigma = header.get("SKYSIGMA")
    if sigma is None:
        steps = np.diff(np.asarray(data, dtype=float), axis=1)
        steps = steps[np.isfinite(steps) & (steps != 0)]
        sigma = np.median(np.abs(steps)) / 0.6745 / np.sqrt(2) if steps.size else 0.0
        logger.info("noise from neighbouring pixels: %.3g; name an error image if it is not the same everywhere", sigma)
    if not sigma > 0:
        raise InputError(f"{path}: the noise is {sigma}; name an image of the errors.")
    return np.full(tuple(s.stop - s.start for s in part), float(sigma))

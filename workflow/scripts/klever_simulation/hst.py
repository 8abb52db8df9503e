"""Simulated HST images: the lensed stellar light in seven bands, with HST's resolution and noise."""

import numpy as np
from astropy.io import fits

from klever_simulation.formats import celestial_header
from klever_simulation.galaxies import CONTINUUM_SLOPE, REFERENCE_WAVELENGTH, SPEED_OF_LIGHT_UM
from klever_simulation.scene import render_continuum
from klever_simulation.spectra import blur_operator

__all__ = ["FILTERS", "filter_of", "make_images"]

PIXEL_SCALE = 0.065  # arcsec
MARGIN = 2.0  # arcsec around the IFU field, on every side
SUBPIXELS = 3
DEPTH_APERTURE = 0.2  # arcsec, radius

# Pivot wavelength (um; WFC3 and ACS Instrument Handbooks), FWHM of the PSF (arcsec) and 5 sigma depth (AB mag,
# 0.4 arcsec aperture; of the order of the Frontier Fields', Lotz et al. 2017).
FILTERS = {
    "F435W": (0.4328, 0.10, 28.8), "F606W": (0.5921, 0.10, 28.8), "F814W": (0.8045, 0.11, 29.1),
    "F105W": (1.0552, 0.15, 28.9), "F125W": (1.2486, 0.16, 28.6), "F140W": (1.3923, 0.165, 28.6),
    "F160W": (1.5369, 0.18, 28.7),
}  # fmt: skip


def filter_of(path):
    """Return the filter named in a file name such as ``hst_f160w.fits``."""
    stem = str(path).rsplit("/", 1)[-1].lower()
    return next(name for name in FILTERS if name.lower() in stem)


def make_images(setting, ra, dec, rng):
    """Make the images of all filters.

    Parameters
    ----------
    setting : klever_simulation.scene.Setting
        The galaxy behind its lens.
    ra, dec : float
        Centre of the field of view, deg; the images have no pointing error.
    rng : numpy.random.Generator
        Noise.

    Returns
    -------
    dict of astropy.io.fits.PrimaryHDU
        Filter name to image, erg s-1 cm-2 um-1 per pixel; SKYSIGMA holds the noise of a pixel (1 sigma, independent).
    """
    n = int(np.ceil((setting.field_size + 2 * MARGIN) / PIXEL_SCALE))
    fine = PIXEL_SCALE / SUBPIXELS
    axis = (np.arange(n * SUBPIXELS) - (n * SUBPIXELS - 1) / 2) * fine
    edges = (np.arange(n + 1) - n / 2) * PIXEL_SCALE
    stars = render_continuum(setting, setting.field[0] + axis, setting.field[1] + axis, subpixels=2)
    images = {}
    for name, (wavelength, fwhm, depth) in FILTERS.items():
        blur = blur_operator(axis, edges, fwhm)
        image = blur @ stars @ blur.T * (wavelength / REFERENCE_WAVELENGTH) ** CONTINUUM_SLOPE
        limit = 10 ** (-0.4 * (depth + 48.6)) * SPEED_OF_LIGHT_UM / wavelength**2
        sigma = limit / 5 / np.sqrt(np.pi * DEPTH_APERTURE**2 / PIXEL_SCALE**2)
        image = image + rng.normal(0.0, sigma, image.shape)
        header = fits.Header()
        header["TELESCOP"], header["INSTRUME"] = "HST", "ACS" if wavelength < 1 else "WFC3"
        header["FILTER"] = name
        header.update(celestial_header(ra, dec, n, n, PIXEL_SCALE))
        header["BUNIT"] = "erg s-1 cm-2 um-1"
        header["PHOTPLAM"] = (wavelength, "pivot wavelength, um")
        header["PSFFWHM"] = (fwhm, "arcsec")
        header["SKYSIGMA"] = (sigma, "noise of a pixel, 1 sigma")
        header["SIMULATE"] = True
        header["HISTORY"] = "simulated by klever"
        images[name] = fits.PrimaryHDU(image.astype(np.float32), header=header)
    return images

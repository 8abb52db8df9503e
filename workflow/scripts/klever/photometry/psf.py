"""Images of different filters brought to one resolution."""

import numpy as np

__all__ = ["gaussian_psf", "match_resolution", "matching_kernel"]

FWHM_PER_SIGMA = 2.3548200450309493
REGULARISATION = 1e-5  # of the Wiener filter, over the peak power of the PSF


def gaussian_psf(fwhm, size):
    """Round Gaussian integrated over pixels, of unit sum, at the middle of an odd square.

    Parameters
    ----------
    fwhm : float
        Pixels.
    size : int
        Side, odd.
    """
    from scipy.special import erf

    edges = np.arange(size + 1) - size / 2
    profile = np.diff(erf(edges / (np.sqrt(2) * max(fwhm, 1e-3) / FWHM_PER_SIGMA)))
    psf = np.outer(profile, profile)
    return psf / psf.sum()


def matching_kernel(fwhm, target_fwhm):
    """Kernel that turns one Gaussian PSF into a wider one, by a Wiener filter (photutils).

    Parameters
    ----------
    fwhm, target_fwhm : float
        Pixels.

    Returns
    -------
    ndarray or None
        Of unit sum; None where the image already is as wide as the target.
    """
    if target_fwhm < fwhm * 1.001:
        return None
    from photutils.psf_matching import make_wiener_kernel

    size = 2 * int(np.ceil(3.0 * target_fwhm)) + 1
    source, target = gaussian_psf(fwhm, size), gaussian_psf(target_fwhm, size)
    kernel = make_wiener_kernel(source, target, regularization=REGULARISATION)
    return kernel / kernel.sum()


def match_resolution(image, target_fwhm):
    """Return the data of an image at a resolution of `target_fwhm` (arcsec).

    Pixels without data count as zero light in their neighbours' and stay without data.
    """
    from scipy.signal import fftconvolve

    kernel = matching_kernel(image.psf_fwhm / image.pixel, target_fwhm / image.pixel)
    if kernel is None:
        return image.data
    missing = ~np.isfinite(image.data)
    smooth = fftconvolve(np.where(missing, 0.0, image.data), kernel, mode="same")
    return np.where(missing, np.nan, smooth)

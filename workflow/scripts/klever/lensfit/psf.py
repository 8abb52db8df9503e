"""Gaussian PSF as the weights of the rays that are traced through each pixel."""

import numpy as np

__all__ = ["psf_weights"]

_REACH = 1.9  # FWHM, radius of the PSF: 5e-5 of the light of a Gaussian lies beyond


def psf_weights(fwhm, pixel_scale, rays=2):
    """Return how much each ray around a pixel counts in the light of that pixel.

    Rays are blurred, not pixels: the light of a compact source changes within a pixel, and a PSF that is sampled once a
    pixel would alias that.  A weight is the integral of the Gaussian over the pixel, for the position of the ray.

    Parameters
    ----------
    fwhm, pixel_scale : float
        Arcsec.
    rays : int
        A side, of each pixel.

    Returns
    -------
    ndarray, shape (2 m + 1, 2 m + 1, rays, rays)
        Row and column of the ray's pixel, from the middle, and of the ray within it; of sum 1.
    """
    from scipy.special import ndtr

    sigma = max(fwhm / pixel_scale / np.sqrt(8 * np.log(2)), 1e-3)
    reach = int(np.ceil(_REACH * fwhm / pixel_scale))
    pixel = np.arange(-reach, reach + 1)
    position = pixel[:, None] + (np.arange(rays) + 0.5) / rays - 0.5
    profile = ndtr((position + 0.5) / sigma) - ndtr((position - 0.5) / sigma)
    weights = np.einsum("ik,jl->ijkl", profile, profile)
    weights[np.hypot(pixel[:, None], pixel) > max(reach, 1.0)] = 0.0
    return weights / weights.sum()

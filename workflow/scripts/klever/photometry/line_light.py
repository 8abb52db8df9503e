"""What a galaxy's measured emission lines add to its broad-band fluxes."""

import numpy as np

from klever.photometry.psf import FWHM_PER_SIGMA

__all__ = ["aperture_share", "line_contribution"]

MICROJANSKY = 1e-29  # erg s-1 cm-2 Hz-1
SHARE_ERROR = 0.1  # relative: lines need not be distributed as the light of the detection image is


def aperture_share(light, pixel, position, radius, seeing_fwhm, psf_fwhm):
    """Share of a galaxy's light that a pseudo-fibre on a seeing-limited cube holds.

    Parameters
    ----------
    light : ndarray, shape (ny, nx)
        The galaxy on the detection image, above the sky, zero outside its aperture.
    pixel : float
        Arcsec.
    position : (float, float)
        Centre of the fibre in pixels from 0.
    radius, seeing_fwhm, psf_fwhm : float
        Of the fibre, the cube's PSF and the image's, arcsec.

    Returns
    -------
    float
        Between 0.05 and 1.
    """
    from scipy.ndimage import gaussian_filter

    blur = np.sqrt(max(seeing_fwhm**2 - psf_fwhm**2, 0.0)) / FWHM_PER_SIGMA / pixel
    reach = int(np.ceil(4 * blur + radius / pixel))
    blurred = gaussian_filter(np.pad(light, reach), blur, mode="constant")
    yy, xx = np.indices(blurred.shape)
    distance = np.hypot(xx - reach - position[0], yy - reach - position[1])
    inside = np.clip(radius / pixel - distance + 0.5, 0.0, 1.0)
    total = light.sum()
    return float(np.clip((inside * blurred).sum() / total, 0.05, 1.0)) if total > 0 else 1.0


def line_contribution(lines, filters, z):
    """Flux densities that lines add to each filter.

    Parameters
    ----------
    lines : list of dict
        ``wavelength`` (rest, vacuum, Angstrom), ``flux``, ``error`` (erg s-1 cm-2, of the whole galaxy).
    filters : list of klever.sed.filters.Filter
        Bands.
    z : float
        Redshift.

    Returns
    -------
    flux, error : ndarray, shape (n_filter,)
        Microjansky.
    """
    if not lines:
        return np.zeros(len(filters)), np.zeros(len(filters))
    observed = np.array([line["wavelength"] for line in lines]) * (1 + z)
    weights = np.array([filter_.line_weights(observed) for filter_ in filters]) / MICROJANSKY
    flux, error = (np.array([line[name] for line in lines]) for name in ("flux", "error"))
    total = weights @ flux
    return total, np.hypot(np.sqrt(weights**2 @ error**2), SHARE_ERROR * total)

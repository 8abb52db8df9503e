"""Light of a galaxy beyond the border of the field, from the light along that border.

An arc that leaves the field shows a part of its galaxy only. Flux and magnification (flux over de-lensed flux) are then
those of that part, and so is the star formation rate that they give.
"""

import numpy as np

__all__ = ["LEAVES_FIELD", "light_outside"]

LEAVES_FIELD = 0.05  # share of the light from which a galaxy is flagged
_RADIUS_OVER_SCALE = 1.678  # half-light radius of an exponential disc over its scale length


def light_outside(flux, error, minimum_snr=3.0):
    """Estimate the share of a galaxy's light that lies outside what the field covers, in the source plane.

    Perpendicular to the border the light is taken to go on as an exponential with the galaxy's own scale length h,
    that of the disc whose half-light area is the area of the brightest pixels with half of the light. Light
    S exp(-d / h) has S h (e - 1) in the strip of width h inside the border and S h outside: the strip tells what is
    lost. A round disc falls less steeply across a border near its centre: cut at 1.5 h, it loses twice as much as this
    says. What is added for it is therefore to be taken as its own error.

    Parameters
    ----------
    flux, error : ndarray, shape (ny, nx)
        Surface brightness in the source plane and 1 sigma; NaN where the field covers nothing.
    minimum_snr : float
        Pixels that count as light.

    Returns
    -------
    float
        Of all light, seen and unseen; 0 <= share < 1. NaN without any significant pixel.
    """
    from scipy.ndimage import binary_closing, binary_fill_holes, distance_transform_edt

    with np.errstate(invalid="ignore", divide="ignore"):
        bright = np.isfinite(flux) & (flux / error >= minimum_snr)
    light = np.where(bright, flux, 0.0)
    total = light.sum()
    if not total > 0:
        return np.nan
    # bad spaxels are no border: holes and cracks of up to four pixels are closed
    seen = binary_fill_holes(binary_closing(np.pad(np.isfinite(flux), 3), iterations=2))
    depth = distance_transform_edt(seen)[3:-3, 3:-3]
    brightest = np.sort(light[bright])[::-1]
    half = np.searchsorted(np.cumsum(brightest), 0.5 * total) + 1
    scale = np.sqrt(half / np.pi) / _RADIUS_OVER_SCALE
    lost = light[(depth <= scale)].sum() / total / (np.e - 1)
    return float(lost / (1 + lost))

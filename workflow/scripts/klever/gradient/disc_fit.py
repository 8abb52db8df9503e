"""Exponential disc behind the PSF: size and shape of a galaxy, and from how far out the light of a pixel comes.

The PSF carries light from the bright centre outwards, so a measured profile is flatter than the galaxy's. With a model
of the light and of the PSF it is known, for every pixel, from which mean radius its light comes; if the abundance is
linear in radius, the line through the annuli against that radius has the galaxy's own slope.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Disc", "fit_disc", "light_radius"]

EXPONENTIAL = 1.6783469900166605  # half-light radius over scale length
_TRUNCATION = 6.0  # scale lengths; 98 per cent of the light


@dataclass
class Disc:
    """Inclined exponential disc.

    Parameters
    ----------
    x, y : float
        Centre, 0-based pixels.
    half_light_radius : float
        Along the major axis, pixels, free of the PSF.
    half_light_radius_error : float
        1 sigma, pixels, of noise that is independent from pixel to pixel.
    axis_ratio : float
        Minor over major axis.
    position_angle : float
        Of the major axis, degrees from north (+y) through east (-x).
    amplitude : float
        Central surface brightness, in the unit of the map.
    excess : float
        Reduced chi-square of the fit, at least 1: by how much variances are raised for what a disc does not describe.
    size_weights : ndarray, shape (ny, nx), optional
        Derivative of the logarithm of `half_light_radius` with respect to each pixel of the map.
    """

    x: float
    y: float
    half_light_radius: float
    half_light_radius_error: float
    axis_ratio: float
    position_angle: float
    amplitude: float = 1.0
    excess: float = 1.0
    size_weights: np.ndarray = None

    @property
    def circularised_radius(self):
        """Half-light radius sqrt(a b), pixels."""
        return self.half_light_radius * np.sqrt(self.axis_ratio)


def fit_disc(image, error, centre, psf, half_light_radius):
    """Fit an exponential disc, convolved with a Gaussian PSF, to a map.

    Parameters
    ----------
    image, error : ndarray, shape (ny, nx)
        Surface brightness and 1 sigma; NaN where there is none (such pixels do not count).
    centre : pair of float
        First guess of the centre, 0-based pixels.
    psf : tuple of float
        FWHM along both axes (pixels) and position angle (degrees) of the PSF.
    half_light_radius : float
        First guess, pixels.

    Returns
    -------
    Disc, or None
        None where fewer than ten pixels exceed 3 sigma, or the fit runs to an end of its range: a size below a
        tenth of the PSF or beyond the map, so that the data do not determine it.
    """
    from scipy.optimize import least_squares

    good = np.isfinite(image) & np.isfinite(error) & (error > 0)
    if np.count_nonzero(good & (np.where(good, image, 0) > 3 * np.where(good, error, 1))) < 10:
        return None
    scale = np.max(image[good])
    value, sigma = image[good] / scale, error[good] / scale
    beam = np.sqrt(psf[0] * psf[1])
    low, high = 0.05 * beam, float(max(image.shape))

    def disc(parameters):
        x, y, log_radius, stretch_x, stretch_y = parameters
        # two stretches instead of axis ratio and angle: no singularity at a round disc
        elongation = np.hypot(stretch_x, stretch_y)
        angle = np.degrees(0.5 * np.arctan2(stretch_y, stretch_x))
        return Disc(x, y, float(np.exp(log_radius)), np.nan, float(np.exp(-elongation)), float(angle))

    def solve(parameters):
        model = _convolved(disc(parameters), image.shape, psf)[0][good]
        amplitude = np.sum(value * model / sigma**2) / np.sum((model / sigma) ** 2)
        return amplitude, (amplitude * model - value) / sigma

    reach = max(2.0, 0.5 * beam)
    start = [centre[0], centre[1], np.log(np.clip(half_light_radius, 2 * low, high / 2)), 0.0, 0.1]
    lower = [centre[0] - reach, centre[1] - reach, np.log(low), -2.0, -2.0]
    upper = [centre[0] + reach, centre[1] + reach, np.log(high), 2.0, 2.0]
    scales = [1.0, 1.0, 0.3, 0.3, 0.3]
    found = least_squares(
        lambda p: solve(p)[1], start, bounds=(lower, upper), x_scale=scales, diff_step=1e-3, max_nfev=60
    )
    result = disc(found.x)
    if result.circularised_radius < 0.1 * beam or result.half_light_radius > high / 1.02:
        return None
    chi2 = np.sum(found.fun**2) / max(found.fun.size - 6, 1)
    result.excess = max(float(chi2), 1.0)
    response = np.linalg.pinv(found.jac)[2]
    result.half_light_radius_error = float(result.half_light_radius * np.sqrt(np.sum(response**2) * result.excess))
    result.size_weights = np.zeros(image.shape)
    result.size_weights[good] = response / (sigma * scale)
    result.amplitude = float(solve(found.x)[0] * scale)
    return result


def light_radius(disc, ellipse, shape, psf):
    """Return the mean equivalent radius that the light of each pixel comes from, before the PSF spread it.

    Parameters
    ----------
    disc : Disc
        Distribution of the light.
    ellipse : Ellipse
        Defines the radius: of circles (axis ratio 1) about the centre, or of ellipses, for example those of a disc.
    shape : pair of int
        (ny, nx) of the map.
    psf : tuple of float
        FWHM along both axes (pixels) and position angle (degrees).

    Returns
    -------
    ndarray, shape (ny, nx)
        Pixels: PSF * (light x radius) over PSF * light.
    """
    light, weighted = _convolved(disc, shape, psf, ellipse)
    peak = np.max(light)
    # beyond the disc's end there is only rounding
    return np.where(light > 1e-9 * peak, weighted / np.maximum(light, 1e-9 * peak), np.nan)


def _convolved(disc, shape, psf, ellipse=None):
    """Return the disc's light behind the PSF, and with an ellipse its light times radius."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    # a PSF of many pixels hides the cusp of the disc
    subpixels = 3 if np.sqrt(psf[0] * psf[1]) < 5 else 1
    margin = int(np.ceil(1.5 * psf[0])) + 2
    size = [next_fast_len(n + 2 * margin, real=True) for n in shape]
    sub = (np.arange(subpixels) + 0.5) / subpixels - 0.5
    y = (np.arange(size[0])[:, None] + sub).ravel() - margin
    x = (np.arange(size[1])[:, None] + sub).ravel() - margin
    angle = np.radians(disc.position_angle)
    dx, dy = x[None, :] - disc.x, y[:, None] - disc.y
    along, across = -dx * np.sin(angle) + dy * np.cos(angle), dx * np.cos(angle) + dy * np.sin(angle)
    radius = np.hypot(along, across / disc.axis_ratio) / (disc.half_light_radius / EXPONENTIAL)
    light = np.where(radius < _TRUNCATION, np.exp(-radius), np.exp(-_TRUNCATION) * np.exp(2 * (_TRUNCATION - radius)))
    images = [light] if ellipse is None else [light, light * ellipse.radius(x[None, :], y[:, None])]
    fy, fx = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None, :]
    pa = np.radians(psf[2])
    f_along, f_across = -fx * np.sin(pa) + fy * np.cos(pa), fx * np.cos(pa) + fy * np.sin(pa)
    # transform of a Gaussian of unit integral and this FWHM; no sampling of a PSF narrower than a pixel
    width = np.pi**2 / (4 * np.log(2))
    transfer = np.exp(-width * ((psf[0] * f_along) ** 2 + (psf[1] * f_across) ** 2))
    results = []
    for image in images:
        binned = image.reshape(size[0], subpixels, size[1], subpixels).mean(axis=(1, 3))
        smooth = irfft2(rfft2(binned) * transfer, s=size)
        results.append(smooth[margin : margin + shape[0], margin : margin + shape[1]])
    return results

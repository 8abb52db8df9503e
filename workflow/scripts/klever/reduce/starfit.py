"""Position and width of a star: Moffat or Gaussian profile, integrated over the spaxels that sampled it."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Star", "fit_star", "star_image", "star_spectrum"]

_OVERSAMPLE = 4
_FWHM_PER_SIGMA = 2.3548200450309493
_PAD = 8  # spaxels around the field, so that the Fourier transform does not wrap the wings


@dataclass
class Star:
    """Result of a fit.

    Parameters
    ----------
    x, y : float
        0-based spaxel.
    fwhm : float
        Arcsec, before the boxes of the spaxels.
    beta : float
        Of the Moffat profile; NaN for a Gaussian.
    flux, background : float
        Sum over all spaxels and level per spaxel, in the image's unit.
    x_error, fwhm_error : float
        1 sigma, spaxels and arcsec, scaled to the scatter of the residual.
    residual : float
        Rms of the residual over the peak.
    ok : bool
        The fit converged on a star inside the field at S/N above 10.
    """

    x: float = np.nan
    y: float = np.nan
    fwhm: float = np.nan
    beta: float = np.nan
    flux: float = np.nan
    background: float = np.nan
    x_error: float = np.nan
    fwhm_error: float = np.nan
    residual: float = np.nan
    ok: bool = False


def star_image(shape, scale, x, y, fwhm, beta=None, boxes=()):
    """Return the fractions of a star's light in the spaxels.

    Parameters
    ----------
    shape : (int, int)
        (ny, nx).
    scale : float
        Arcsec per spaxel.
    x, y : float
        0-based spaxel.
    fwhm : float
        Arcsec.
    beta : float, optional
        Of a Moffat profile; Gaussian if not given.
    boxes : sequence of float
        Sides (arcsec) of the squares with which the profile is convolved: the spaxel of the detector, and after
        resampling the drop and the output spaxel, too.

    Returns
    -------
    ndarray, shape (ny, nx)
    """
    ny, nx = shape[0] + 2 * _PAD, shape[1] + 2 * _PAD
    step = scale / _OVERSAMPLE
    # the centres of the spaxels are every fourth point
    column = (np.arange(nx * _OVERSAMPLE) / _OVERSAMPLE - _PAD - x) * scale
    row = (np.arange(ny * _OVERSAMPLE) / _OVERSAMPLE - _PAD - y) * scale
    radius2 = column[None, :] ** 2 + row[:, None] ** 2
    if beta is None:
        sigma2 = (fwhm / _FWHM_PER_SIGMA) ** 2
        density = np.exp(-0.5 * radius2 / sigma2) / (2 * np.pi * sigma2)
    else:
        alpha2 = (fwhm / 2) ** 2 / (2 ** (1 / beta) - 1)
        density = (beta - 1) / (np.pi * alpha2) * (1 + radius2 / alpha2) ** -beta
    if boxes:
        transform = np.fft.rfft2(density)
        fy, fx = np.fft.fftfreq(density.shape[0], step)[:, None], np.fft.rfftfreq(density.shape[1], step)[None, :]
        for side in boxes:
            transform *= np.sinc(fx * side) * np.sinc(fy * side)
        density = np.fft.irfft2(transform, density.shape)
    sampled = density[::_OVERSAMPLE, ::_OVERSAMPLE] * scale**2
    return sampled[_PAD:-_PAD, _PAD:-_PAD]


def fit_star(image, scale, error=None, profile="moffat", boxes=None):
    """Fit a star and a constant background.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        NaN is missing.
    scale : float
        Arcsec per spaxel.
    error : ndarray, shape (ny, nx), optional
        1 sigma.
    profile : str
        moffat (exponent free between 1.5 and 100) | gauss.
    boxes : sequence of float, optional
        See `star_image`; by default the spaxel, so that the FWHM is that of the seeing.

    Returns
    -------
    Star
        Not `ok`, and NaN, without a star.
    """
    from scipy.optimize import least_squares

    boxes = (scale,) if boxes is None else boxes
    good = np.isfinite(image) & (True if error is None else np.isfinite(error) & (error > 0))
    if good.sum() < 12:
        return Star()
    level = float(np.median(image[good]))
    scatter = 1.4826 * float(np.median(np.abs(image[good] - level)))
    unit = np.max(np.abs(image[good] - level))
    peak = _brightest(np.where(good, image - level, 0.0))
    if not unit > 0 or (image - level)[peak] < 5 * scatter:
        return Star()
    weight = 1 / (np.full(good.sum(), 1.0) if error is None else error[good] / unit)
    data = (image[good] - level) / unit
    moffat = profile == "moffat"

    def model(parameters):
        x, y, fwhm, *rest = parameters
        shape = star_image(image.shape, scale, x, y, fwhm, 1 / rest[0] if moffat else None, boxes)[good]
        # flux and background are linear
        design = np.stack([shape, np.ones_like(shape)], axis=1)
        solution = np.linalg.lstsq(design * weight[:, None], data * weight, rcond=None)[0]
        return design @ solution, solution

    start = [peak[1], peak[0], max(3 * scale, 0.5)] + [0.3] * moffat
    lower = [-0.5, -0.5, 0.5 * scale] + [0.01] * moffat
    upper = [image.shape[1] - 0.5, image.shape[0] - 0.5, 0.8 * scale * min(image.shape)] + [0.67] * moffat
    fit = least_squares(
        lambda p: (model(p)[0] - data) * weight, start, bounds=(lower, upper), x_scale=[1, 1, 0.3] + [0.3] * moffat
    )
    flux, background = model(fit.x)[1]
    freedom = max(good.sum() - len(start) - 2, 1)
    residual = float(np.sqrt(np.mean((model(fit.x)[0] - data) ** 2)))
    covariance = np.linalg.pinv(fit.jac.T @ fit.jac) * 2 * fit.cost / freedom
    errors = np.sqrt(np.maximum(np.diag(covariance), 0))
    inside = fit.success and all(
        low < value < high for value, low, high in zip(fit.x[:3], lower[:3], upper[:3], strict=True)
    )
    return Star(
        x=float(fit.x[0]), y=float(fit.x[1]), fwhm=float(fit.x[2]), beta=float(1 / fit.x[3]) if moffat else np.nan,
        flux=float(flux * unit), background=float(background * unit + level), x_error=float(errors[0]),
        fwhm_error=float(errors[2]), residual=residual, ok=bool(inside and flux > 0 and errors[0] < 0.5),
    )  # fmt: skip


def star_spectrum(flux, image, star):
    """Return the spectrum of a whole star: spaxels weighted by its image, which the fit extends beyond the field.

    Parameters
    ----------
    flux : ndarray, shape (n_wave, ny, nx)
    image : ndarray, shape (ny, nx)
        Of the star.
    star : Star
        Fitted to the image.
    """
    weight = np.where(np.isfinite(image), np.maximum(image - star.background, 0), 0)
    good = np.isfinite(flux)
    weight = np.where(good, weight, 0)
    power = np.sum(weight**2, axis=(1, 2))
    product = np.sum(weight * np.where(good, flux - star.background, 0), axis=(1, 2))
    return product / np.where(power > 0, power, np.nan) * star.flux


def _brightest(image):
    """Return the spaxel with the brightest 3 x 3 neighbourhood: one hit by a cosmic ray is not taken for the star."""
    padded = np.pad(image, 1)
    total = sum(
        padded[1 + j : padded.shape[0] - 1 + j, 1 + i : padded.shape[1] - 1 + i] for j in (-1, 0, 1) for i in (-1, 0, 1)
    )
    return tuple(int(k) for k in np.unravel_index(np.argmax(total), image.shape))

"""Fit of a galaxy lens to an image of its arcs: elliptical power law and shear, a free source (paper, Sect. 3.2.1).

Shapelets find the lens, an adaptive source plane finishes it, and its evidence gives the posterior.
"""

import logging
from dataclasses import dataclass

import numpy as np

from klever.errors import InputError
from klever.grids import Grid, read_image
from klever.lensfit import epl
from klever.lensfit.inversion import ArcImage, Inversion, best_strength, gauss_newton, invert, psf_kernel
from klever.lensfit.lenslight import fit_light, light_image
from klever.lensfit.posterior import Posterior, climb, emcee_samples, weighted_samples
from klever.lensfit.shapelets import shapelet_start

__all__ = ["DEFAULTS", "Cutout", "GalaxyFit", "finish_fit", "fit_galaxy", "read_cutout"]

logger = logging.getLogger(__name__)

DEFAULTS = {
    "mask_radius": None, "arc_margin": 0.35, "exclude": [], "psf_fwhm": None, "lens_light": "sersic", "theta_E": None,
    "vertices": 500, "rays": 2, "sampler": "importance", "draws": 200, "walkers": 24, "steps": 150, "samples": 200,
    "seed": 2020,
}  # fmt: skip
_ARC_SNR = 3.0  # of the smoothed image, where the arc is
_SMOOTHING = 1.5  # of the image that the arc is searched in, in FWHM
_LARGEST_MOVE = np.array([0.03, 0.15, 0.05, 0.05, 0.03, 0.03, 0.05, 0.05])  # a Gauss-Newton step; lengths in theta_E
_NEWTON_STEPS = 8
_DENSE = 0.1  # of the brightest pixels; brighter ones get more vertices
_FEWEST_PIXELS = 100


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


@dataclass
class GalaxyFit:
    """A fitted galaxy lens.

    Parameters
    ----------
    best : ndarray, shape (8,)
        Parameters of greatest evidence; see `klever.lensfit.epl`.
    covariance : ndarray, shape (8, 8)
    posterior : klever.lensfit.posterior.Posterior
    converged : bool
    image : klever.lensfit.inversion.ArcImage
    inversion : klever.lensfit.inversion.Inversion
        Of the best parameters.
    light : ndarray or None
        Shape of the lens galaxy's light; see `klever.lensfit.lenslight`.
    """

    best: np.ndarray
    covariance: np.ndarray
    posterior: Posterior
    converged: bool
    image: ArcImage
    inversion: Inversion
    light: np.ndarray | None


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
    radius = _radii(options)[1]
    px, py = (float(value) for value in grid.pixels(np.array(0.0), np.array(0.0)))
    fwhm = header.get("PSFFWHM") if options["psf_fwhm"] is None else options["psf_fwhm"]
    if fwhm is None:
        raise InputError(f"{path}: its header has no PSFFWHM; give psf_fwhm (arcsec) in the lens's entry.")
    width = 2 * psf_kernel(float(fwhm), grid.pixel_scale).shape[0]
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


def _radii(options):
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


def fit_galaxy(cutout, options, name="the image"):
    """Fit a galaxy lens.

    Parameters
    ----------
    cutout : Cutout
    options : dict
        As `DEFAULTS`: theta_E (first guess, arcsec, or None), lens_light ('sersic' or 'none'), arc_margin (arcsec of
        sky around the arc that is fitted; None fits all of the mask), vertices, rays (a side of each pixel), sampler
        ('importance' or 'emcee'), draws, walkers, steps, samples, seed.
    name : str
        Of the image, for messages.

    Returns
    -------
    GalaxyFit

    Raises
    ------
    InputError
        There is no arc, or no lens that explains it.
    """
    inner, outer = _radii(options)
    distance = np.hypot(cutout.x, cutout.y)
    whole = cutout.good & (distance <= outer)
    annulus = whole & (distance >= inner)
    if annulus.sum() < _FEWEST_PIXELS:
        raise InputError(f"{name}: the mask leaves {annulus.sum()} pixels; change mask_radius or exclude.")
    kernel = psf_kernel(cutout.psf_fwhm, cutout.pixel_scale, options["rays"])
    filled = np.where(cutout.good, cutout.data, 0.0)
    error = np.where(cutout.good, cutout.error, 1.0)
    grid = (cutout.x, cutout.y)
    light = None
    if options["lens_light"] == "sersic":
        light = fit_light(filled, error, whole, *grid, kernel)
    theta_e, parameters, arc = options["theta_E"], None, None
    for _ in range(1 if light is None else 2):
        images = _light_images(light, *grid, kernel)
        without = _subtract(filled, error, whole, images, arc)
        mask = annulus if options["arc_margin"] is None else _arc(without, error, annulus, cutout, options)
        if mask.sum() < _FEWEST_PIXELS:
            raise InputError(f"{name}: no arc of S/N {_ARC_SNR:g} lies within the mask; change mask_radius, or set "
                             "arc_margin to null to fit all of it.")  # fmt: skip
        if theta_e is None:
            weight = np.clip(without[mask], 0, None)
            theta_e = float(np.sum(weight * distance[mask]) / np.sum(weight))
        start = ArcImage(filled, error, mask, *grid, kernel, images, 1, options["vertices"])
        centre = (0.0, 0.0) if light is None else light[4:6]
        parameters, values, chi2 = shapelet_start(start, theta_e, centre)
        logger.info("shapelets: chi2 %.0f of %d pixels, theta_E %.3f", chi2, mask.sum(), parameters[0])
        if light is not None:
            arc = np.where(mask, start.image(values), 0.0)
            light = fit_light(filled - arc, error, whole, *grid, kernel, light, robust=False)
    images = _light_images(light, *grid, kernel)
    dense = without > _DENSE * np.quantile(without[mask], 0.99)
    image = ArcImage(filled, error, mask, *grid, kernel, images, options["rays"], options["vertices"], dense=dense)
    return finish_fit(image, parameters, light, options, name)


def _light_images(light, x, y, kernel):
    """Images whose amplitudes are fitted: a constant, and the lens galaxy."""
    return [np.ones(x.shape)] + ([] if light is None else [light_image(x, y, light, kernel)])


def _subtract(data, error, mask, images, arc):
    """Return data without the best sum of the images, robust against the arc."""
    residual = data if arc is None else data - arc
    used = mask.copy()
    for _ in range(4):
        columns = np.column_stack([(image / error)[used] for image in images])
        amplitudes = np.linalg.lstsq(columns, (residual / error)[used], rcond=None)[0]
        model = np.tensordot(amplitudes, images, axes=1)
        used = mask & (residual - model < 3 * error)
    return data - model


def _arc(data, error, annulus, cutout, options):
    """Pixels of the annulus that are bright in the smoothed image, with a margin."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    sigma = _SMOOTHING * cutout.psf_fwhm / cutout.pixel_scale / 2.3548
    snr = gaussian_filter(np.where(annulus, data / error, 0.0), sigma) * np.sqrt(4 * np.pi) * sigma
    bright = annulus & (snr > _ARC_SNR)
    crowded = gaussian_filter(bright.astype(float), 2 * sigma) > 0.3  # single pixels of noise are no arc
    bright &= crowded
    if not bright.any():
        return bright
    return annulus & (distance_transform_edt(~bright) * cutout.pixel_scale <= options["arc_margin"])


def finish_fit(image, parameters, light, options, name):
    """Finish a fit on the adaptive source plane: Gauss-Newton, kind of regularisation, greatest evidence, samples.

    Parameters
    ----------
    image : klever.lensfit.inversion.ArcImage
    parameters : ndarray, shape (8,)
        Start, near the best lens.
    light, options, name
        See `GalaxyFit` and `fit_galaxy`.

    Returns
    -------
    GalaxyFit
    """
    covariance = kept = None
    largest = _LARGEST_MOVE * np.array([parameters[0], 1, 1, 1, parameters[0], parameters[0], 1, 1])
    try:
        reached = -np.inf
        for _ in range(_NEWTON_STEPS):
            step, found, evidence, strength = gauss_newton(image, parameters)
            if evidence < reached + 1:  # what fits best with the best source need not have the greatest evidence
                parameters = kept if evidence < reached else parameters
                break
            reached, kept, covariance = evidence, parameters, found
            parameters = parameters + step * min(1.0, 1.0 / max(float(np.max(np.abs(step) / largest)), 1e-9))
            if not _allowed(parameters):
                raise ValueError("the lens left the range of its parameters")
        evidences = {}
        for order in (1, 2):
            image.order = order
            strength = best_strength(image, parameters)
            evidences[order] = (invert(image, parameters, strength).log_evidence, strength)
    except (ValueError, AttributeError, np.linalg.LinAlgError) as error:
        raise InputError(f"{name}: no elliptical power law explains the arc ({error}); check centre, mask_radius and "
                         "theta_E of the lens.") from error  # fmt: skip
    image.order = max(evidences, key=lambda order: evidences[order][0])
    strength = evidences[image.order][1]
    rng = np.random.default_rng(options["seed"])

    def log_evidence(parameters, strength=strength):
        found = invert(image, parameters, strength) if _allowed(parameters) else None
        return -np.inf if found is None else found.log_evidence

    best, covariance, _ = climb(log_evidence, parameters, 4 * covariance, rng, points=60)
    strength = best_strength(image, best)
    log_evidence.__defaults__ = (strength,)
    best, covariance, converged = climb(log_evidence, best, covariance, rng, points=60, rounds=4)
    if options["sampler"] == "emcee":
        posterior = emcee_samples(log_evidence, best, covariance, rng, options["walkers"], options["steps"],
                                  options["samples"])  # fmt: skip
    else:
        posterior = weighted_samples(log_evidence, best, covariance, rng, options["draws"], options["samples"])
    inversion = invert(image, best, strength)
    if inversion is None or not len(posterior.samples):
        raise InputError(f"{name}: the best lens model cannot be evaluated; check mask_radius and theta_E.")
    logger.info("chi2 %.0f of %d pixels, ln evidence %.1f, %.0f effective samples", inversion.chi2, image.data.size,
                inversion.log_evidence, posterior.effective)  # fmt: skip
    return GalaxyFit(best, covariance, posterior, converged, image, inversion, light)


def _allowed(p):
    return p[0] > 0 and 1.2 < p[1] < 2.8 and np.hypot(p[2], p[3]) < epl.LARGEST_ELLIPTICITY and np.isfinite(p).all()

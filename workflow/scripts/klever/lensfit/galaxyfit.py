"""Fit of a galaxy lens to an image of its arcs: elliptical power law and shear, a free source (paper, Sect. 3.2.1).

Shapelets find the lens, an adaptive source plane finishes it, and its evidence gives the posterior.
"""

import logging

import numpy as np

from klever.errors import InputError
from klever.lensfit.arcimage import ArcImage, arc_brightness
from klever.lensfit.cutout import radii
from klever.lensfit.evidencefit import finish_fit
from klever.lensfit.lenslight import fit_light, light_image
from klever.lensfit.psf import psf_weights
from klever.lensfit.shapelets import shapelet_start

__all__ = ["DEFAULTS", "fit_galaxy"]

logger = logging.getLogger(__name__)

DEFAULTS = {
    "mask_radius": None, "arc_margin": 0.35, "exclude": [], "psf_fwhm": None, "lens_light": "sersic", "theta_E": None,
    "vertices": 500, "rays": 2, "meshes": 3, "sampler": "importance", "draws": 400, "walkers": 24, "steps": 150,
    "samples": 200, "seed": 2020,
}  # fmt: skip
_ARC_SNR = 3.0  # of the smoothed image, where the arc is
_SMOOTHING = 1.5  # of the image that the arc is searched in, in FWHM
_FEWEST_PIXELS = 100
_LIGHT_RAYS = 3  # a side of each pixel, of the light of the lens


def fit_galaxy(cutout, options, name="the image"):
    """Fit a galaxy lens.

    Parameters
    ----------
    cutout : klever.lensfit.cutout.Cutout
    options : dict
        As `DEFAULTS`: theta_E (first guess, arcsec, or None), lens_light ('sersic' or 'none'), arc_margin (arcsec of
        sky around the arc that is fitted; None fits all of the mask), vertices, rays (a side of each pixel), meshes
        (whose evidence is averaged), sampler ('importance' or 'emcee'), draws, walkers, steps, samples, seed.
    name : str
        Of the image, for messages.

    Returns
    -------
    klever.lensfit.evidencefit.GalaxyFit

    Raises
    ------
    InputError
        There is no arc, or no lens that explains it.
    """
    inner, outer = radii(options)
    distance = np.hypot(cutout.x, cutout.y)
    whole = cutout.good & (distance <= outer)
    annulus = whole & (distance >= inner)
    if annulus.sum() < _FEWEST_PIXELS:
        raise InputError(f"{name}: the mask leaves {annulus.sum()} pixels; change mask_radius or exclude.")
    coarse, psf, fine = (psf_weights(cutout.psf_fwhm, cutout.pixel_scale, rays)
                         for rays in (1, options["rays"], _LIGHT_RAYS))  # fmt: skip
    filled = np.where(cutout.good, cutout.data, 0.0)
    error = np.where(cutout.good, cutout.error, 1.0)
    grid = (cutout.x, cutout.y)
    light = None
    if options["lens_light"] == "sersic":
        light = fit_light(filled, error, whole, *grid, fine)
    theta_e, parameters, arc = options["theta_E"], None, None
    for _ in range(1 if light is None else 2):
        images = _light_images(light, *grid, fine)
        without = _subtract(filled, error, whole, images, arc)
        mask = annulus if options["arc_margin"] is None else _arc(without, error, annulus, cutout, options)
        if mask.sum() < _FEWEST_PIXELS:
            raise InputError(f"{name}: no arc of S/N {_ARC_SNR:g} lies within the mask; change mask_radius, or set "
                             "arc_margin to null to fit all of it.")  # fmt: skip
        if theta_e is None:
            weight = np.clip(without[mask], 0, None)
            theta_e = float(np.sum(weight * distance[mask]) / np.sum(weight))
        start = ArcImage(filled, error, mask, *grid, coarse, images)
        centre = (0.0, 0.0) if light is None else light[4:6]
        parameters, values, chi2 = shapelet_start(start, theta_e, centre)
        logger.info("shapelets: chi2 %.0f of %d pixels, theta_E %.3f", chi2, mask.sum(), parameters[0])
        if light is not None:
            arc = np.where(mask, start.image(values), 0.0)
            light = fit_light(filled - arc, error, whole, *grid, fine, light, robust=False)
    images = _light_images(light, *grid, fine)
    brightness = arc_brightness(without, mask, cutout.psf_fwhm / cutout.pixel_scale)
    image = ArcImage(filled, error, mask, *grid, psf, images, options["vertices"], brightness)
    return finish_fit(image, parameters, light, options, name)


def _light_images(light, x, y, psf):
    """Images whose amplitudes are fitted: a constant, and the lens galaxy."""
    return [np.ones(x.shape)] + ([] if light is None else [light_image(x, y, light, psf)])


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

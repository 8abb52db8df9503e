"""Reduction of one target of SINFONI in one band: its files, its standard star, and what the tables say of it."""

import logging

import numpy as np

from klever.errors import InputError
from klever.grids import Grid
from klever.reduce.frames import check_times
from klever.reduce.pointing import Target, collapse, cube_noise
from klever.reduce.sinfoni import nearest, noise_of, photon_error, read_sinfoni, reduce_sinfoni
from klever.reduce.skysub import subtract_sky
from klever.reduce.starfit import fit_star, star_spectrum

__all__ = ["read_field", "reduce_field", "standard_counts"]

logger = logging.getLogger("klever")


def read_field(paths):
    """Read the exposures of a target.

    Returns
    -------
    objects, skies : list of klever.reduce.sinfoni.SinfoniExposure
        In order of time.

    Raises
    ------
    InputError
        None is of the target, or one is there twice.
    """
    exposures = sorted((read_sinfoni(path) for path in paths), key=lambda exposure: (exposure.time, exposure.path))
    check_times(exposures)
    objects = [exposure for exposure in exposures if not exposure.is_sky]
    if not objects:
        raise InputError(
            f"none of the {len(exposures)} exposures of SINFONI is of the target: all say SKY in ESO PRO CATG, ESO DPR "
            "TYPE or OBJECT; add exposures of it."
        )
    return objects, [exposure for exposure in exposures if exposure.is_sky]


def standard_counts(paths, options):
    """Return wavelength and spectrum of a standard star, counts per second of the whole star, and how it fits a star.

    Raises
    ------
    InputError
        There is no star in the exposures.
    """
    objects, skies = read_field(paths)
    gain, read_noise = noise_of(objects, skies, options | {"sinfoni_noise": {"gain": 1.0, "read_noise": 10.0}})
    spectra, misfits = [], []
    for exposure in objects:
        sky = exposure.blank(nearest(skies, exposure))
        errors = [photon_error(flux, gain, read_noise) for flux in (exposure.flux, sky.flux)]
        fit = subtract_sky(exposure.wavelength, exposure.flux, errors[0], sky.flux, errors[1], stretch=False)
        image = collapse(fit.flux)
        star = fit_star(image, Grid(exposure.header, image.shape).pixel_scale)
        if star.ok:
            spectra.append(star_spectrum(fit.flux, image, star) / exposure.exposure_time)
            misfits.append(star.residual)
    if not spectra:
        raise InputError(
            f"no star was found in {', '.join(exposure.path for exposure in objects)}; check the pattern of the "
            "standard, or give - for cubes in counts."
        )
    return objects[0].wavelength, np.median(spectra, axis=0), float(np.median(misfits))


def reduce_field(paths, name, factor, options, protected=None):
    """Reduce the exposures of a target.

    Parameters
    ----------
    paths : list of str
        Reconstructed exposures, sky included.
    name : str
        Of the target.
    factor : ndarray, shape (n_wave,), or None
        See `klever.reduce.sinfoni.reduce_sinfoni`.
    options : dict
        Section ``reduce`` of the settings.
    protected : callable, optional
        ``protected(wavelength)``: channels on the target's own lines.

    Returns
    -------
    target : klever.reduce.pointing.Target
    exposures : list of dict
        Rows of the table of stars: when each exposure was taken; there are no stars.
    sky : list of dict
        Rows of the table of the sky.
    noise : dict
        gain and read_noise of the errors.
    """
    objects, skies = read_field(paths)
    own = None if protected is None else protected(objects[0].wavelength)
    made = reduce_sinfoni(objects, skies, factor, options, own)
    covariance, predicted, ratio = cube_noise(made.cube, made.operators, made.cube.flux.shape[1:])
    logger.info("%s: %d exposures, gain %.2f, read noise %.1f electrons, %.2f %% clipped, noise %.3f of the prediction",
                name, len(objects), made.gain, made.read_noise, 100 * made.cube.clipped, ratio)  # fmt: skip
    exposures = [
        {"exposure": number, "file": exposure.path.rpartition("/")[2],
         "time": 24 * (exposure.time - objects[0].time), "origin": "header"}
        for number, exposure in enumerate(objects)
    ]  # fmt: skip
    sky = [
        {"exposure": number, **group, "hits": lost}
        for number, (fit, lost) in enumerate(zip(made.sky_fits, made.hits, strict=True))
        for group in fit.groups
    ]
    target = Target(None, name, made.cube, made.wavelength, made.header, covariance, predicted, ratio)
    return target, exposures, sky, {"gain": made.gain, "read_noise": made.read_noise}

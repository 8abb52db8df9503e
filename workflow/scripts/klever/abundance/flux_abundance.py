"""Oxygen abundance straight from line fluxes: their ratios, the reddening, the posterior and how it follows them."""

from dataclasses import dataclass

import numpy as np

from klever.abundance.abundance_likelihood import LOWER, MEASURED, UPPER
from klever.abundance.line_response import line_response, noise_error
from klever.abundance.metallicity import grid_posterior
from klever.gas.dust import color_excess, correct
from klever.gas.line_ratios import RATIOS, log_ratio

__all__ = ["Reddening", "abundance_of_fluxes", "dereddened_ratios"]


@dataclass
class Reddening:
    """The E(B-V) that corrects a diagnostic whose lines are far apart.

    Parameters
    ----------
    mode : {'map', 'global', 'none'}
        ``map``: from Halpha and Hbeta of the same pixels or annuli. ``global``: `ebv` for all. ``none``: unknown, and
        such a diagnostic cannot be used.
    ebv, ebv_error : float or ndarray, shape (n,)
        Magnitudes; filled in by `dereddened_ratios` in mode ``map``.
    """

    mode: str = "none"
    ebv: float | np.ndarray = np.nan
    ebv_error: float | np.ndarray = np.nan


def dereddened_ratios(fluxes, names, reddening, balmer_ratio=2.87, rv=3.1, limits=None):
    """Return log10 ratios of `names`, corrected for extinction where they need it, and the reddening used.

    A ratio of which one line is not detected is a limit: the S/N threshold k of that line times its error sigma takes
    the place of its flux, and sigma that of its error, 1/(k ln 10) in dex: so sharply the detection threshold divides
    true ratios into those that are detected and those that are not.

    Parameters
    ----------
    fluxes : dict of str to pair of ndarray, shape (n,)
        Flux and 1 sigma error by line, one unit; an absent line, and a NaN, counts as not detected.
    names : iterable of str
        Diagnostics.
    reddening : Reddening
    balmer_ratio, rv : float
        See `klever.gas.dust`.
    limits : dict of str to pair of ndarray, shape (n,), optional
        k sigma and sigma of lines that are observed and not detected, NaN elsewhere.

    Returns
    -------
    ratios : dict of str to tuple of ndarray, shape (n,)
        Value, error and kind, as `klever.abundance.abundance_likelihood.ratio_arrays` takes them.
    reddening : Reddening
    """
    limits = limits or {}
    absent = (np.nan, np.nan)
    if reddening.mode == "map":
        ebv = color_excess(*fluxes.get("Halpha", absent), *fluxes.get("Hbeta", absent), balmer_ratio, rv)
        reddening = Reddening("map", *ebv)
    ratios = {}
    for name in names:
        item = RATIOS[name]
        ratio = log_ratio(*fluxes.get(item.numerator, absent), *fluxes.get(item.denominator, absent))
        upper = log_ratio(*limits.get(item.numerator, absent), *fluxes.get(item.denominator, absent))
        lower = log_ratio(*fluxes.get(item.numerator, absent), *limits.get(item.denominator, absent))
        kind = np.where(np.isfinite(ratio[0]), MEASURED, np.where(np.isfinite(upper[0]), UPPER, LOWER))
        ratio = tuple(np.select([kind == MEASURED, kind == UPPER], [ratio[i], upper[i]], lower[i])[()] for i in (0, 1))
        if item.dereddened:
            ratio = correct(*ratio, *item.lines, reddening.ebv, reddening.ebv_error, rv)
        ratios[name] = (*ratio, kind)
    return ratios, reddening


def abundance_of_fluxes(fluxes, names, calibrations, reddening, metallicity, dust, limits=None):
    """Return 12+log(O/H) of pixels or annuli, its derivatives with respect to the fluxes and its noise error.

    Parameters
    ----------
    fluxes : dict of str to pair of ndarray, shape (n,)
        As for `dereddened_ratios`: those of pixels, or averages over annuli.
    names : tuple of str
        Diagnostics, at least one.
    calibrations : dict of str to Calibration
    reddening : Reddening
    metallicity, dust : dict
        The sections of the configuration.
    limits : dict of str to pair of ndarray, shape (n,), optional
        As for `dereddened_ratios`; an abundance needs one ratio that is measured.

    Returns
    -------
    posterior : klever.abundance.metallicity.Posterior
    responses : dict of str to ndarray, shape (n,)
        See `klever.abundance.line_response.line_response`.
    noise : ndarray, shape (n,)
        See `klever.abundance.line_response.noise_error`.
    """
    ratios, reddening = dereddened_ratios(fluxes, names, reddening, **dust, limits=limits)
    measured = np.any([np.isfinite(value) & (kind == MEASURED) for value, _, kind in ratios.values()], axis=0)
    ratios = {name: (np.where(measured, value, np.nan), error, kind) for name, (value, error, kind) in ratios.items()}
    posterior = grid_posterior(
        ratios, calibrations, tuple(metallicity["log_oh_range"]), metallicity["grid_step"], metallicity["dispersion"],
        respond=True,
    )  # fmt: skip
    values = {line: np.atleast_1d(flux) for line, (flux, _) in fluxes.items()}
    responses = line_response(posterior.response, ratios, values, reddening.ebv, reddening.mode, dust["rv"])
    errors = {line: np.atleast_1d(error) for line, (_, error) in fluxes.items()}
    return posterior, responses, noise_error(responses, errors)

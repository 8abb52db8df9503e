"""Likelihood-weighted percentiles of what the models of a library say of a galaxy's photometry.

As in MAGPHYS (da Cunha et al. 2008, Sect. 3.1): every model is scaled to the fluxes, its likelihood is exp(-chi2/2),
and a parameter's distribution is the sum of the likelihoods of the models. Ages have a uniform prior up to that of the
universe, as there.
"""

from dataclasses import dataclass

import numpy as np

from klever.cosmology import age_of_universe, luminosity_distance
from klever.sed.igm import transmission

__all__ = ["MINIMUM_MODELS", "Estimate", "compare", "library_fluxes", "percentiles"]

SOLAR_LUMINOSITY = 3.828e33  # erg/s
CM_PER_MPC = 3.0856775814913673e24
MICROJANSKY = 1e-29  # erg s-1 cm-2 Hz-1
LEVELS = (16.0, 50.0, 84.0)
MINIMUM_MODELS = 10.0  # effective number below which the likelihood is widened


@dataclass
class Estimate:
    """What the library says of one galaxy, not corrected for magnification.

    Parameters
    ----------
    values : dict of (float, float, float)
        16th, 50th and 84th percentile of each parameter.
    chi2 : float
        Of the best model.
    best : int
        Its index in the library.
    model : ndarray, shape (n_band,)
        Its fluxes, in the unit of the data; NaN for bands it cannot predict.
    n_effective : float
        (sum of weights)^2 / sum of squares: how many models agree with the data. Below 10 the likelihood is widened
        until 10 do, so that the errors are not those of a gap in the library.
    """

    values: dict
    chi2: float
    best: int
    model: np.ndarray
    n_effective: float


def library_fluxes(library, filters, z, cosmology, without=()):
    """Fluxes of all models at a redshift, per solar mass.

    Parameters
    ----------
    library : dict
        From `klever.sed.library.build_library`.
    filters : list of klever.sed.filters.Filter
        Bands.
    z : float
        Redshift.
    cosmology : mapping
        H0, Om0, Ode0.
    without : sequence of float
        Rest wavelengths (vacuum, Angstrom) of lines that are left out: those that were taken out of the data.

    Returns
    -------
    ndarray, shape (n_models, n_band)
        Microjansky; NaN for a band that the library does not cover at this redshift.
    """
    edges = library["wave_edges"] * (1 + z)
    middle = np.sqrt(edges[1:] * edges[:-1])
    dimming = SOLAR_LUMINOSITY / (4 * np.pi * (luminosity_distance(z, cosmology) * CM_PER_MPC) ** 2) / MICROJANSKY
    passed = transmission(middle, z)
    rest = np.asarray(library["line_wavelengths"])
    left = [float(wavelength) for wavelength in without]
    kept = np.array([not any(abs(wave - other) < 0.5 for other in _nearest(rest, left)) for wave in rest], bool)
    # L_lambda at rest is f_lambda 4 pi d^2 (1 + z) as observed; a line's luminosity is its flux 4 pi d^2
    bands = [filter_.bin_weights(edges) * passed / (1 + z) for filter_ in filters]
    lines = [filter_.line_weights(rest * (1 + z)) * kept for filter_ in filters]
    fluxes = library["continuum"] @ np.array(bands, np.float32).T * np.float32(1e30)
    fluxes = fluxes.astype(float) * 1e-30 + (library["lines"] @ np.array(lines, float).T)
    covered = [edges[0] <= filter_.wavelength[0] and filter_.wavelength[-1] <= edges[-1] for filter_ in filters]
    return np.where(covered, fluxes * dimming, np.nan)


def _nearest(rest, wavelengths, tolerance=3.0):
    """Wavelengths of the library's lines that are meant by others, within 3 Angstrom."""
    found = [rest[int(np.argmin(np.abs(rest - wavelength)))] for wavelength in wavelengths]
    return [line for line, wavelength in zip(found, wavelengths, strict=True) if abs(line - wavelength) < tolerance]


def compare(library, model_fluxes, flux, error, z, cosmology):
    """Scale every model to the photometry and weight it by its likelihood.

    Parameters
    ----------
    library : dict
        Parameters of the models.
    model_fluxes : ndarray, shape (n_models, n_band)
        From `library_fluxes`.
    flux, error : ndarray, shape (n_band,)
        Microjansky. Fluxes may be negative; a band without a finite flux and a positive error is not used.
    z : float
        Models older than the universe at this redshift are not used.
    cosmology : mapping
        H0, Om0, Ode0.

    Returns
    -------
    Estimate or None
        None if fewer than two bands can be used, or no model has a positive mass.
    """
    used = np.isfinite(flux) & np.isfinite(error) & (error > 0) & np.isfinite(model_fluxes[0])
    if used.sum() < 2:
        return None
    weight = 1.0 / error[used] ** 2
    models, data = model_fluxes[:, used], flux[used]
    squares = (models**2) @ weight
    with np.errstate(divide="ignore", invalid="ignore"):
        mass = (models @ (weight * data)) / squares
    possible = (squares > 0) & (mass > 0) & (library["age"] < age_of_universe(z, cosmology) * 1e9)
    if not possible.any():
        return None
    chi2 = np.sum(weight * data**2) - np.where(possible, mass, 0.0) ** 2 * squares
    chi2 = np.where(possible, chi2, np.inf)
    best = int(np.argmin(chi2))
    excess = chi2[possible] - chi2[best]
    prior = library["age"][possible].astype(float)  # ages are drawn log-uniformly, and uniform as in MAGPHYS with this
    weights = prior * np.exp(-0.5 * excess)
    n_effective = _effective(weights)
    weights = weights if n_effective >= MINIMUM_MODELS else _tempered(excess, prior)
    log_mass = np.log10(mass[possible])
    shown = {"log_mstar": log_mass, "log_ssfr": library["log_ssfr"][possible]}
    shown |= {"log_sfr": shown["log_ssfr"] + log_mass, "log_age": np.log10(library["mass_age"][possible])}
    shown |= {"av": library["av"][possible], "log_metallicity": np.log10(library["metallicity"][possible])}
    values = {name: percentiles(parameter, weights) for name, parameter in shown.items()}
    return Estimate(values, float(max(chi2[best], 0.0)), best, mass[best] * model_fluxes[best], n_effective)


def _effective(weights):
    return float(weights.sum() ** 2 / np.sum(weights**2))


def _tempered(excess, prior):
    """Weights of likelihoods exp(-excess/2T), T such that `MINIMUM_MODELS` models count: so few leave gaps."""
    low, high = 0.0, 20.0  # ln T
    for _ in range(40):
        middle = 0.5 * (low + high)
        enough = _effective(prior * np.exp(-0.5 * excess / np.exp(middle))) >= MINIMUM_MODELS
        low, high = (low, middle) if enough else (middle, high)
    return prior * np.exp(-0.5 * excess / np.exp(high))


def percentiles(values, weights, levels=LEVELS):
    """Weighted percentiles, linear between the middles of the sorted values' weights."""
    order = np.argsort(values)
    running = np.cumsum(weights[order])
    middle = (running - 0.5 * weights[order]) / running[-1]
    return tuple(float(v) for v in np.interp(np.array(levels) / 100, middle, values[order]))

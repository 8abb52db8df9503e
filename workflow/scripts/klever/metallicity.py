"""Oxygen abundance from strong-line ratios: Eq. 1 of Curti et al. 2020, its posterior on a grid and by emcee."""

import difflib
from dataclasses import dataclass

import numpy as np

from klever.calibrations import SOLAR_LOG_OH
from klever.errors import ConfigError
from klever.line_ratios import DIAGNOSTICS, diagnostic
from klever.maps import Flag

__all__ = [
    "Posterior",
    "SampledPosterior",
    "candidate_sets",
    "check_chain",
    "chi_square",
    "choose_diagnostics",
    "grid_posterior",
    "sample_posterior",
]

_PERCENTILES = (0.16, 0.50, 0.84)
# Pixels whose posteriors are held in memory together: 4096 x 261 floats are 9 MB.
_CHUNK = 4096
# Differences of ln(posterior): a 1 sigma drop, and how far below the best mode (2 sigma) a second one still counts.
_ONE_SIGMA, _TWO_SIGMA = 0.5, 2.0


@dataclass
class Posterior:
    """Posterior of 12+log(O/H), one value per pixel.

    Parameters
    ----------
    median, error_minus, error_plus : ndarray, shape (n,)
        Median and the distances to the 16th and 84th percentile, dex; NaN where a ratio is NaN.
    chi2 : ndarray, shape (n,)
        Smallest chi-square of Eq. 1 within the range.
    flags : ndarray of uint16, shape (n,)
        `Flag.NOT_DETECTED` where a ratio is NaN; `Flag.OUTSIDE_CALIBRATION` where the posterior, at an end of the
        range, is within 1 sigma of its peak, so that the range and not the ratios decides; `Flag.BIMODAL` where a
        second mode, less than 2 sigma below the first, is separated from it by a valley of at least 1 sigma, or where
        a single diagnostic turns over within the 16-84 per cent interval, so that its branches cannot be told apart.
    """

    median: np.ndarray
    error_minus: np.ndarray
    error_plus: np.ndarray
    chi2: np.ndarray
    flags: np.ndarray


@dataclass
class SampledPosterior:
    """Posterior of one 12+log(O/H) by emcee.

    Parameters
    ----------
    median, error_minus, error_plus : float
        Median and the distances to the 16th and 84th percentile, dex.
    autocorrelation : float
        Integrated autocorrelation time, steps.
    acceptance : float
        Mean acceptance fraction of the walkers.
    converged : bool
        The kept chain is longer than 50 autocorrelation times, emcee's own criterion.
    """

    median: float
    error_minus: float
    error_plus: float
    autocorrelation: float
    acceptance: float
    converged: bool


def candidate_sets(setting, calibrations):
    """Return the sets of diagnostics that may be used for a galaxy, the preferred one first.

    Parameters
    ----------
    setting : str or list of str
        ``auto``, the rules of the paper (Sect. 4.2, Table 4): R3 and N2; at z > 2, where [OII] is covered, O3O2 with
        them, and without N2 if that is not detected; S2 takes the place of N2 where nothing else joins R3; a single
        diagnostic is the last resort. Or a list, which is then the only set.
    calibrations : dict of str to Calibration
        Diagnostics that the calibration set lacks are left out of ``auto``.

    Returns
    -------
    list of tuple of str

    Raises
    ------
    ConfigError
        An unknown, repeated or uncalibrated diagnostic, or an empty list; the message offers the nearest choice.
    """
    if setting == "auto":
        order = ["R3 N2 O3O2", "R3 O3O2", "R3 N2", "R3 S2", "N2 O3O2", "N2", "O3O2", "S2", "R3"]
        return [names for names in map(_split, order) if all(name in calibrations for name in names)]
    if isinstance(setting, str):
        nearest = difflib.get_close_matches(setting.lower(), ["auto"], n=1, cutoff=0.5)
        hint = "did you mean auto?" if nearest else f"write it as a list, for example [{', '.join(DIAGNOSTICS)}]."
        raise ConfigError(f"metallicity.diagnostics: '{setting}' is neither auto nor a list; {hint}")
    names = tuple(diagnostic(name).name for name in setting)
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"metallicity.diagnostics: {list(setting)} is empty or repeats itself; list each one once.")
    absent = [name for name in names if name not in calibrations]
    if absent:
        set_name = next(iter(calibrations.values())).set_name
        raise ConfigError(f"metallicity.diagnostics: {set_name} has no calibration of {', '.join(absent)}.")
    return [names]


def choose_diagnostics(candidates, usable):
    """Return the first of the `candidates` all of whose diagnostics are `usable`, or an empty tuple."""
    return next((names for names in candidates if set(names) <= set(usable)), ())


def chi_square(log_oh, ratios, calibrations, dispersion="rms_ratio"):
    """Return chi-square of Eq. 1, sum_i (R_i,obs - R_i(log_oh))^2 / (sigma_obs^2 + sigma_R,i^2).

    Diagnostics that share a line are taken as independent, as in the paper.

    Parameters
    ----------
    log_oh : ndarray, shape (m,)
        12+log(O/H), within the range of every calibration.
    ratios : dict of str to pair of ndarray of shape (n,)
        log10 ratio and its error, dex, by diagnostic.
    calibrations : dict of str to Calibration
        At least those of `ratios`.
    dispersion : {'rms_ratio', 'sigma_oh'} or float
        Which intrinsic dispersion sigma_R is; see `Calibration.dispersion`.

    Returns
    -------
    ndarray, shape (n, m)
        NaN where a ratio is.
    """
    total = 0.0
    for name, (value, error) in ratios.items():
        expected = calibrations[name].evaluate(log_oh)
        variance = np.square(np.atleast_1d(error)) + calibrations[name].dispersion(dispersion) ** 2
        total = total + (np.atleast_1d(value)[:, None] - expected) ** 2 / variance[:, None]
    return total


def grid_posterior(ratios, calibrations, log_oh_range=(7.6, 8.9), step=0.005, dispersion="rms_ratio"):
    """Return the posterior of 12+log(O/H) of many pixels, flat prior over `log_oh_range`, on a grid.

    Parameters
    ----------
    ratios, calibrations, dispersion
        As for `chi_square`; at least one ratio.
    log_oh_range : pair of float
        Range of the prior.
    step : float
        Largest spacing of the grid, dex. The percentiles are interpolated, so it has to be no finer than the
        narrowest posterior, some 0.02 dex with the published dispersions.

    Returns
    -------
    Posterior

    Raises
    ------
    ConfigError
        A step that is not positive or does not resolve the range.
    """
    low, high = log_oh_range
    if not 0 < step <= (high - low) / 20:
        raise ConfigError(f"metallicity.grid_step: {step} dex does not resolve {low}-{high}; the default is 0.005.")
    grid = np.linspace(low, high, int(np.ceil((high - low) / step - 1e-9)) + 1)
    arrays = {name: tuple(np.atleast_1d(np.asarray(x, dtype=float)) for x in pair) for name, pair in ratios.items()}
    measured = np.all([np.isfinite(item) for pair in arrays.values() for item in pair], axis=0)
    results = np.full((4, measured.size), np.nan)
    flags = np.where(measured, 0, int(Flag.NOT_DETECTED)).astype(np.uint16)
    indices = np.flatnonzero(measured)
    for start in range(0, indices.size, _CHUNK):
        chosen = indices[start : start + _CHUNK]
        part = {name: (value[chosen], error[chosen]) for name, (value, error) in arrays.items()}
        chi2 = chi_square(grid, part, calibrations, dispersion)
        best = chi2.min(axis=1)
        log_posterior = -0.5 * (chi2 - best[:, None])
        results[:3, chosen] = _percentiles(grid, np.exp(log_posterior))
        results[3, chosen] = best
        flags[chosen] = _posterior_flags(log_posterior)
    lower, median, upper = results[:3]
    if len(ratios) == 1:
        turnover = calibrations[next(iter(ratios))].turnover
        if turnover is not None:
            flags[(lower < turnover) & (turnover < upper)] |= np.uint16(Flag.BIMODAL)
    return Posterior(median, median - lower, upper - median, results[3], flags)


def sample_posterior(ratios, calibrations, log_oh_range=(7.6, 8.9), dispersion="rms_ratio", *, seed, walkers=32,
                     steps=1500, burn_in=500):  # fmt: skip
    """Sample the posterior of one 12+log(O/H) with emcee (Sect. 3.4), flat prior over `log_oh_range`.

    The walkers start spread over the whole range and move by differential evolution, which in one dimension
    decorrelates five times faster than emcee's default and steps between separate modes.

    Parameters
    ----------
    ratios : dict of str to pair of float
        log10 ratio and its error, dex, by diagnostic; finite.
    calibrations, log_oh_range, dispersion
        As for `grid_posterior`.
    seed : int
        Of the random numbers; the same seed gives the same result.
    walkers, steps, burn_in : int
        Size of the chain; the first `burn_in` of the `steps` are dropped.

    Returns
    -------
    SampledPosterior
    """
    import emcee

    check_chain("metallicity", walkers, steps, burn_in, dimensions=1)
    low, high = log_oh_range
    coefficients = _chi_square_polynomial(ratios, calibrations, dispersion)

    def log_probability(position):
        log_oh = position[:, 0]
        x, chi2 = log_oh - SOLAR_LOG_OH, 0.0
        for coefficient in coefficients:
            chi2 = chi2 * x + coefficient
        return np.where((log_oh >= low) & (log_oh <= high), -0.5 * chi2, -np.inf)

    random = np.random.RandomState(seed)
    start = low + (high - low) * (np.arange(walkers) + random.uniform(size=walkers)) / walkers
    sampler = emcee.EnsembleSampler(walkers, 1, log_probability, moves=emcee.moves.DEMove(), vectorize=True)
    # emcee draws from this state and not from the global one
    sampler.run_mcmc(emcee.State(start[:, None], random_state=random.get_state()), steps)
    samples = sampler.get_chain(discard=burn_in, flat=True)[:, 0]
    lower, median, upper = np.quantile(samples, _PERCENTILES)
    time = float(sampler.get_autocorr_time(discard=burn_in, quiet=True, tol=0)[0])
    return SampledPosterior(
        float(median), float(median - lower), float(upper - median), time,
        float(np.mean(sampler.acceptance_fraction)), bool(steps - burn_in > 50 * time),
    )  # fmt: skip


def check_chain(section, walkers, steps, burn_in, dimensions):
    """Raise ConfigError if a chain of this size cannot be run by emcee."""
    if walkers < 2 * dimensions + 2:
        raise ConfigError(f"{section}.walkers: {walkers} are too few, emcee needs at least {2 * dimensions + 2}.")
    if not 0 <= burn_in < steps:
        raise ConfigError(f"{section}.burn_in: {burn_in} must be below {section}.steps, {steps}.")


def _chi_square_polynomial(ratios, calibrations, dispersion):
    """Return the coefficients, highest first, of chi-square of Eq. 1 as one polynomial of 12+log(O/H) - 8.69.

    It is one because every expected ratio is; a chain evaluates it thousands of times on a few values.
    """
    total = np.polynomial.Polynomial([0.0])
    for name, (value, error) in ratios.items():
        difference = value - np.polynomial.Polynomial(calibrations[name].coefficients)
        total = total + difference**2 / (error**2 + calibrations[name].dispersion(dispersion) ** 2)
    return [float(item) for item in total.coef[::-1]]


def _split(names):
    return tuple(names.split())


def _percentiles(grid, density):
    """Return the 16th, 50th and 84th percentile, shape (3, n), of densities of shape (n, m)."""
    cells = 0.5 * (density[:, 1:] + density[:, :-1])
    cumulative = np.cumsum(cells, axis=1)
    cumulative /= cumulative[:, -1:]
    rows = np.arange(len(density))
    found = []
    for fraction in _PERCENTILES:
        cell = np.argmax(cumulative >= fraction, axis=1)
        upper = cumulative[rows, cell]
        lower = np.where(cell > 0, cumulative[rows, cell - 1], 0.0)
        found.append(grid[cell] + (fraction - lower) / (upper - lower) * (grid[cell + 1] - grid[cell]))
    return np.array(found)


def _posterior_flags(log_posterior):
    """Return flags of posteriors of shape (n, m), in natural logarithm relative to their peaks."""
    at_edge = np.maximum(log_posterior[:, 0], log_posterior[:, -1]) >= -_ONE_SIGMA
    peak = np.argmax(log_posterior, axis=1)[:, None]
    column = np.arange(log_posterior.shape[1])
    right = np.minimum.accumulate(np.where(column >= peak, log_posterior, 0.0), axis=1)
    left = np.minimum.accumulate(np.where(column <= peak, log_posterior, 0.0)[:, ::-1], axis=1)[:, ::-1]
    valley = np.where(column >= peak, right, left)
    second = (log_posterior >= -_TWO_SIGMA) & (log_posterior - valley >= _ONE_SIGMA)
    return (
        np.where(at_edge, int(Flag.OUTSIDE_CALIBRATION), 0) | np.where(second.any(axis=1), int(Flag.BIMODAL), 0)
    ).astype(np.uint16)

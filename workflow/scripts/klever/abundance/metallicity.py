"""Posterior of the oxygen abundance from strong-line ratios, on a grid for maps and by emcee for single values."""

from dataclasses import dataclass, field

import numpy as np

from klever.abundance.abundance_likelihood import chi_square, chi_square_of, ratio_arrays, score
from klever.errors import ConfigError
from klever.maps import Flag
from klever.sampling import import_emcee

__all__ = [
    "Posterior",
    "SampledPosterior",
    "check_chain",
    "grid_posterior",
    "sample_posterior",
]

_PERCENTILES = (0.16, 0.50, 0.84)
# Pixels whose posteriors are worked on together: 256 x 261 floats are 0.5 MB, which the processor's cache holds; twice
# as fast as 4096.
_CHUNK = 256
# Differences of ln(posterior): a 1 sigma drop, and how far below the best mode (2 sigma) a second one still counts.
_ONE_SIGMA, _TWO_SIGMA = 0.5, 2.0
# How many times its length a chain that does not converge may grow.
_PORTIONS = 10


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
    response : dict of str to ndarray, shape (n,)
        d(median) / d(log10 ratio) by diagnostic, at fixed errors, where it was asked for; NaN where the median is. It
        is exact, also where a ratio turns over, for the change of a ratio that is small against its error.
    """

    median: np.ndarray
    error_minus: np.ndarray
    error_plus: np.ndarray
    chi2: np.ndarray
    flags: np.ndarray
    response: dict = field(default_factory=dict)


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


def grid_posterior(ratios, calibrations, log_oh_range=(7.6, 8.9), step=0.005, dispersion="rms_ratio", respond=False):
    """Return the posterior of 12+log(O/H) of many pixels, flat prior over `log_oh_range`, on a grid.

    Parameters
    ----------
    ratios, calibrations, dispersion
        As for `klever.abundance.abundance_likelihood.chi_square`; at least one ratio.
    log_oh_range : pair of float
        Range of the prior.
    step : float
        Largest spacing of the grid, dex. The percentiles are interpolated, so it has to be no finer than the
        narrowest posterior, some 0.02 dex with the published dispersions.
    respond : bool
        Whether to work out `Posterior.response`.

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
    arrays = {name: ratio_arrays(ratio) for name, ratio in ratios.items()}
    measured = np.all([np.isfinite(item) for ratio in arrays.values() for item in ratio[:2]], axis=0)
    results = np.full((4, measured.size), np.nan)
    responses = {name: np.full(measured.size, np.nan) for name in arrays} if respond else {}
    flags = np.where(measured, 0, int(Flag.NOT_DETECTED)).astype(np.uint16)
    indices = np.flatnonzero(measured)
    for start in range(0, indices.size, _CHUNK):
        chosen = indices[start : start + _CHUNK]
        part = {name: tuple(item[chosen] for item in ratio) for name, ratio in arrays.items()}
        chi2 = chi_square(grid, part, calibrations, dispersion)
        best = chi2.min(axis=1)
        log_posterior = -0.5 * (chi2 - best[:, None])
        density = np.exp(log_posterior)
        results[:3, chosen] = _percentiles(grid, density)
        results[3, chosen] = best
        flags[chosen] = _posterior_flags(log_posterior)
        for name, values in responses.items():
            values[chosen] = _median_response(grid, density, score(grid, part[name], calibrations[name], dispersion))
    lower, median, upper = results[:3]
    if len(ratios) == 1:
        turnover = calibrations[next(iter(ratios))].turnover
        if turnover is not None:
            flags[(lower < turnover) & (turnover < upper)] |= np.uint16(Flag.BIMODAL)
    return Posterior(median, median - lower, upper - median, results[3], flags, responses)


def sample_posterior(ratios, calibrations, log_oh_range=(7.6, 8.9), dispersion="rms_ratio", *, seed, walkers=32,
                     steps=1500, burn_in=500):  # fmt: skip
    """Sample the posterior of one 12+log(O/H) with emcee (Sect. 3.4), flat prior over `log_oh_range`.

    The walkers start spread over the whole range and move by differential evolution, which in one dimension
    decorrelates five times faster than emcee's default and steps between separate modes.

    Parameters
    ----------
    ratios : dict of str to tuple of float
        log10 ratio and its error, dex, by diagnostic; finite. A third number marks limits, as in
        `klever.abundance.abundance_likelihood.ratio_arrays`.
    calibrations, log_oh_range, dispersion
        As for `grid_posterior`.
    seed : int
        Of the random numbers; the same seed gives the same result.
    walkers, steps, burn_in : int
        Size of the chain; the first `burn_in` of the `steps` are dropped. A chain that has not converged goes on in
        portions of `steps`, up to ten of them.

    Returns
    -------
    SampledPosterior
    """
    emcee = import_emcee()

    check_chain("metallicity", walkers, steps, burn_in, dimensions=1)
    low, high = log_oh_range
    chi2 = chi_square_of(ratios, calibrations, dispersion)

    def log_probability(position):
        log_oh = position[:, 0]
        return np.where((log_oh >= low) & (log_oh <= high), -0.5 * chi2(log_oh), -np.inf)

    random = np.random.RandomState(seed)
    start = low + (high - low) * (np.arange(walkers) + random.uniform(size=walkers)) / walkers
    sampler = emcee.EnsembleSampler(walkers, 1, log_probability, moves=emcee.moves.DEMove(), vectorize=True)
    # emcee draws from this state and not from the global one
    sampler.run_mcmc(emcee.State(start[:, None], random_state=random.get_state()), steps)
    time = _autocorrelation(sampler, burn_in)
    while sampler.iteration - burn_in <= 50 * time and sampler.iteration < _PORTIONS * steps:
        sampler.run_mcmc(None, steps)
        time = _autocorrelation(sampler, burn_in)
    samples = sampler.get_chain(discard=burn_in, flat=True)[:, 0]
    lower, median, upper = np.quantile(samples, _PERCENTILES)
    return SampledPosterior(
        float(median), float(median - lower), float(upper - median), time,
        float(np.mean(sampler.acceptance_fraction)), bool(sampler.iteration - burn_in > 50 * time),
    )  # fmt: skip


def _autocorrelation(sampler, burn_in):
    return float(sampler.get_autocorr_time(discard=burn_in, quiet=True, tol=0)[0])


def check_chain(section, walkers, steps, burn_in, dimensions):
    """Raise ConfigError if a chain of this size cannot be run by emcee."""
    if walkers < 2 * dimensions + 2:
        raise ConfigError(f"{section}.walkers: {walkers} are too few, emcee needs at least {2 * dimensions + 2}.")
    if not 0 <= burn_in < steps:
        raise ConfigError(f"{section}.burn_in: {burn_in} must be below {section}.steps, {steps}.")


def _percentiles(grid, density):
    """Return the 16th, 50th and 84th percentile, shape (3, n), of densities of shape (n, m)."""
    cumulative = _cumulative(density)
    cumulative /= cumulative[:, -1:]
    rows = np.arange(len(density))
    found = []
    for fraction in _PERCENTILES:
        cell = np.argmax(cumulative >= fraction, axis=1)
        lower, upper = cumulative[rows, cell - 1], cumulative[rows, cell]
        found.append(grid[cell - 1] + (fraction - lower) / (upper - lower) * (grid[cell] - grid[cell - 1]))
    return np.array(found)


def _median_response(grid, density, slope):
    """Return how the medians of `_percentiles` change with a ratio, from `slope` = d ln(density) / d(ratio)."""
    total, change = (_cumulative(item) for item in (density, density * slope))
    # of the normalised cumulative distribution, C' = (change - C change(end)) / total(end)
    end = total[:, -1:]
    cumulative = total / end
    moved = (change - cumulative * change[:, -1:]) / end
    rows = np.arange(len(density))
    cell = np.argmax(cumulative >= 0.5, axis=1)
    lower, upper = cumulative[rows, cell - 1], cumulative[rows, cell]
    part = (0.5 - lower) / (upper - lower)
    shift = moved[rows, cell - 1] + part * (moved[rows, cell] - moved[rows, cell - 1])
    return -shift * (grid[cell] - grid[cell - 1]) / (upper - lower)


def _cumulative(density):
    """Return the running integral of `density`, shape (n, m), from zero at the first point, in steps of the grid."""
    integral = np.zeros_like(density)
    np.cumsum(0.5 * (density[:, 1:] + density[:, :-1]), axis=1, out=integral[:, 1:])
    return integral


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

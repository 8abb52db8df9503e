"""Linear metallicity gradients: weighted least squares, their posterior by emcee, and whether the PSF resolves them."""

from dataclasses import dataclass

import numpy as np

from klever.metallicity import check_chain

__all__ = ["Line", "fit_line", "resolution_class", "sample_line"]


@dataclass
class Line:
    """Straight line y = intercept + slope x.

    Parameters
    ----------
    slope, slope_error, intercept, intercept_error : float
        Values and 1 sigma errors (half the 16-84 per cent width of a posterior).
    slope_error_minus, slope_error_plus : float
        Distances from the median to the 16th and 84th percentile.
    chi2 : float
        Of the n points about the line.
    autocorrelation, acceptance : float
        Autocorrelation time (steps) and mean acceptance fraction of the chain; NaN without one.
    converged : bool
        The kept chain is longer than 50 autocorrelation times.
    """

    slope: float
    slope_error: float
    slope_error_minus: float
    slope_error_plus: float
    intercept: float
    intercept_error: float
    chi2: float
    autocorrelation: float = np.nan
    acceptance: float = np.nan
    converged: bool = True


def fit_line(x, y, error):
    """Fit a straight line by weighted least squares.

    Parameters
    ----------
    x, y, error : ndarray, shape (n,)
        Points and their 1 sigma errors in y; n >= 2, at least two different x.

    Returns
    -------
    Line
    """
    pivot, centre, weight = _pivot(x, y, error)
    spread = np.sum(weight * (x - pivot) ** 2)
    slope = np.sum(weight * (x - pivot) * (y - centre)) / spread
    slope_error = np.sqrt(1 / spread)
    intercept_error = np.sqrt(1 / np.sum(weight) + pivot**2 / spread)
    chi2 = np.sum(weight * (y - centre - slope * (x - pivot)) ** 2)
    line = (slope, slope_error, slope_error, slope_error, centre - slope * pivot, intercept_error, chi2)
    return Line(*map(float, line))


def sample_line(x, y, error, *, seed, walkers=32, steps=2000, burn_in=500):
    """Sample the posterior of a straight line with emcee (Sect. 4.2), flat priors on slope and intercept.

    The chain runs in the slope and the value at the weighted mean of x, which are uncorrelated, and starts from the
    least-squares solution.

    Parameters
    ----------
    x, y, error : ndarray, shape (n,)
        As for `fit_line`.
    seed : int
        Of the random numbers; the same seed gives the same result.
    walkers, steps, burn_in : int
        Size of the chain; the first `burn_in` of the `steps` are dropped.

    Returns
    -------
    Line
        Medians, and errors from the 16th and 84th percentile.

    Raises
    ------
    ConfigError
        A chain that emcee cannot run.
    """
    check_chain("gradient", walkers, steps, burn_in, dimensions=2)
    import emcee

    start = fit_line(x, y, error)
    pivot, centre, weight = _pivot(x, y, error)
    # units of the errors of both parameters, so that nothing depends on the unit of x
    scale = np.array([start.slope_error, 1 / np.sqrt(np.sum(weight))])
    origin = np.array([start.slope, centre])

    def log_probability(position):
        slope, value = (origin + position * scale).T
        return -0.5 * np.sum(weight * (y - value[:, None] - slope[:, None] * (x - pivot)) ** 2, axis=1)

    random = np.random.RandomState(seed)
    first = random.normal(size=(walkers, 2))
    sampler = emcee.EnsembleSampler(walkers, 2, log_probability, moves=emcee.moves.DEMove(), vectorize=True)
    # emcee draws from this state and not from the global one
    sampler.run_mcmc(emcee.State(first, random_state=random.get_state()), steps)
    slope, value = (origin + sampler.get_chain(discard=burn_in, flat=True) * scale).T
    lower, median, upper = np.quantile(slope, (0.16, 0.50, 0.84))
    low, intercept, high = np.quantile(value - slope * pivot, (0.16, 0.50, 0.84))
    time = float(np.max(sampler.get_autocorr_time(discard=burn_in, quiet=True, tol=0)))
    numbers = (median, (upper - lower) / 2, median - lower, upper - median, intercept, (high - low) / 2)
    acceptance = float(np.mean(sampler.acceptance_fraction))
    return Line(*map(float, numbers), start.chi2, time, acceptance, bool(steps - burn_in > 50 * time))


def resolution_class(max_radius, psf_hwhm):
    """Return how well the PSF resolves a gradient (Sect. 4.2, Table 4).

    Parameters
    ----------
    max_radius : float
        Mean radius of the outermost annulus that enters the fit, any unit.
    psf_hwhm : float
        sqrt(HWHM_x HWHM_y) of the source-plane PSF, same unit.

    Returns
    -------
    {'resolved', 'marginal', 'unresolved'}
        At least twice, between one and two times, and less than `psf_hwhm`.
    """
    ratio = max_radius / psf_hwhm
    return "resolved" if ratio >= 2 else "marginal" if ratio >= 1 else "unresolved"


def _pivot(x, y, error):
    weight = np.asarray(error, dtype=float) ** -2
    return np.average(x, weights=weight), np.average(y, weights=weight), weight

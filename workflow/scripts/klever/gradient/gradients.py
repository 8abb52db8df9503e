"""Linear metallicity gradients: weighted least squares, posterior by emcee, and whether the PSF resolves them."""

from dataclasses import dataclass

import numpy as np

from klever.abundance.metallicity import check_chain
from klever.sampling import import_emcee

__all__ = ["Line", "fit_line", "resolution_class", "sample_line", "slope_error_from"]


@dataclass
class Line:
    """Straight line y = intercept + slope x.

    Parameters
    ----------
    slope, slope_error, intercept, intercept_error : float
        Values and 1 sigma errors (half the 16-84 per cent width of a posterior).
    slope_error_minus, slope_error_plus : float
        Distances from the median to the 16th and 84th percentile.
    correlation : float
        Of slope and intercept.
    chi2 : float
        Of the n points about the least-squares line, with their covariance.
    intrinsic_scatter : float
        Median of its posterior; NaN where it is not fitted.
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
    correlation: float
    chi2: float
    intrinsic_scatter: float = np.nan
    autocorrelation: float = np.nan
    acceptance: float = np.nan
    converged: bool = True


def fit_line(x, y, error, common=None):
    """Fit a straight line by weighted least squares, with errors from the full covariance of the points.

    The points are weighted with their own variances. The inverse of the covariance would be the better weight of points
    on a line; but neighbouring annuli share most of their noise, so that it trusts small differences between them more
    than the trend, and where a profile is not straight (the PSF bends all at the centre) its lines miss the points.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        n >= 2, at least two different x.
    error : ndarray, shape (n,) or (n, n)
        1 sigma errors in y, or their covariance.
    common : ndarray, shape (n, n), optional
        Covariance of what shifts all points nearly together, as a calibration does: part of the errors of the line, but
        of neither its weights nor its chi-square.

    Returns
    -------
    Line

    Raises
    ------
    ValueError
        An error that is not positive, or a matrix that is no covariance.
    """
    noise = _covariance(error)
    solution = _solve(x, y, np.diag(np.diag(noise)))
    covariance = _propagated(solution, noise, common)
    slope_error, intercept_error = np.sqrt(np.diag(covariance))
    line = (solution.slope, slope_error, slope_error, slope_error, solution.intercept, intercept_error)
    line += (covariance[0, 1] / (slope_error * intercept_error), _solve(x, y, noise).chi2)
    return Line(*map(float, line))


def slope_error_from(x, error, covariance):
    """Return the error of the slope of `fit_line` with `error`, due to points of another covariance.

    Parameters
    ----------
    x : ndarray, shape (n,)
    error : ndarray, shape (n,) or (n, n)
        What the fit weights the points with.
    covariance : ndarray, shape (n, n)
        For example the part of the covariance that is due to the calibration.
    """
    weights = _solve(x, np.zeros(len(x)), np.diag(np.diag(_covariance(error)))).weights[0]
    return float(np.sqrt(max(weights @ np.asarray(covariance, dtype=float) @ weights, 0.0)))


def sample_line(x, y, error, common=None, *, seed, walkers=32, steps=2000, burn_in=500, intrinsic_scatter=False):
    """Sample the posterior of a straight line with emcee (Sect. 4.2), flat priors on slope and intercept.

    The chain runs in the slope and the value at the weighted mean of x, which are uncorrelated, and starts from the
    least-squares solution. Its likelihood takes the points as independent; the samples are then stretched about their
    mean to the covariance that correlated points give slope and intercept (the curvature adjustment of composite
    likelihoods, Ribatet, Cooley & Davison 2012, Statistica Sinica 22, 813). `fit_line` says why.

    Parameters
    ----------
    x, y, error, common : ndarray
        As for `fit_line`.
    seed : int
        Of the random numbers; the same seed gives the same result.
    walkers, steps, burn_in : int
        Size of the chain; the first `burn_in` of the `steps` are dropped.
    intrinsic_scatter : bool
        Whether points scatter about the line by more than their errors: a third parameter, Gaussian, independent from
        point to point, its standard deviation with a flat prior between 0 and the range of y plus ten times its error.

    Returns
    -------
    Line
        Medians, and errors from the 16th and 84th percentile.

    Raises
    ------
    ConfigError
        A chain that emcee cannot run.
    """
    dimensions = 2 + bool(intrinsic_scatter)
    check_chain("gradient", walkers, steps, burn_in, dimensions)
    emcee = import_emcee()

    noise = _covariance(error)
    variances = np.diag(noise)
    start = _solve(x, y, np.diag(variances))
    # units of the errors of both parameters, so that nothing depends on the unit of x
    scale = np.array([start.slope_error, start.value_error])
    origin = np.array([start.slope, start.value])
    unit = np.sqrt(np.mean(variances))
    largest = np.ptp(y) / unit + 10.0

    def log_probability(position):
        slope, value = (origin + position[:, :2] * scale).T
        residual = y - value[:, None] - slope[:, None] * (x - start.pivot)
        if not intrinsic_scatter:
            return -0.5 * np.sum(residual**2 / variances, axis=1)
        scatter = position[:, 2:]
        variance = variances + (unit * scatter) ** 2
        probability = -0.5 * np.sum(residual**2 / variance + np.log(variance), axis=1)
        return np.where((scatter[:, 0] >= 0) & (scatter[:, 0] <= largest), probability, -np.inf)

    random = np.random.RandomState(seed)
    first = random.normal(size=(walkers, dimensions))
    if intrinsic_scatter:
        first[:, 2] = np.minimum(np.abs(first[:, 2]), largest)
    sampler = emcee.EnsembleSampler(walkers, dimensions, log_probability, moves=emcee.moves.DEMove(), vectorize=True)
    # emcee draws from this state and not from the global one
    sampler.run_mcmc(emcee.State(first, random_state=random.get_state()), steps)
    chain = sampler.get_chain(discard=burn_in, flat=True)
    slope, value = (origin + chain[:, :2] * scale).T
    if error.ndim == 2 or common is not None:
        slope, value = _stretched(slope, value, start, noise, common)
    at_zero = value - slope * start.pivot
    lower, median, upper = np.quantile(slope, (0.16, 0.50, 0.84))
    low, intercept, high = np.quantile(at_zero, (0.16, 0.50, 0.84))
    time = float(np.max(sampler.get_autocorr_time(discard=burn_in, quiet=True, tol=0)))
    numbers = (median, (upper - lower) / 2, median - lower, upper - median, intercept, (high - low) / 2)
    numbers += (np.corrcoef(slope, at_zero)[0, 1], _solve(x, y, noise).chi2)
    numbers += (unit * np.median(chain[:, 2]) if intrinsic_scatter else np.nan,)
    acceptance = float(np.mean(sampler.acceptance_fraction))
    return Line(*map(float, numbers), time, acceptance, bool(steps - burn_in > 50 * time))


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


def _propagated(solution, noise, common=None):
    """Covariance of slope and intercept for points of this covariance."""
    total = noise if common is None else noise + np.asarray(common, dtype=float)
    return solution.weights @ total @ solution.weights.T


def _stretched(slope, value, solution, noise, common):
    """Stretch samples of slope and value at the pivot by what correlation adds to the covariance of the two."""
    units = np.array([solution.slope_error, solution.value_error])
    samples = np.array([slope, value]) / units[:, None]
    middle = samples.mean(axis=1, keepdims=True)
    # the value at the pivot, as the intercept plus the slope times the pivot
    shear = np.array([[1.0, 0.0], [solution.pivot, 1.0]]) / units[:, None]
    independent = shear @ _propagated(solution, np.diag(np.diag(noise))) @ shear.T
    wanted = np.cov(samples) + shear @ _propagated(solution, noise, common) @ shear.T - independent
    map_to = np.linalg.cholesky(wanted) @ np.linalg.inv(np.linalg.cholesky(np.cov(samples)))
    return (middle + map_to @ (samples - middle)) * units[:, None]


@dataclass
class _Solution:
    """Least squares: slope and the value at `pivot` are uncorrelated."""

    pivot: float
    slope: float
    slope_error: float
    value: float
    value_error: float
    chi2: float
    weights: np.ndarray  # (2, n): of the points in slope and intercept

    @property
    def intercept(self):
        return self.value - self.slope * self.pivot

    @property
    def covariance(self):
        """Of slope and intercept."""
        variance = self.slope_error**2
        both = -self.pivot * variance
        return np.array([[variance, both], [both, self.value_error**2 + self.pivot**2 * variance]])


def _solve(x, y, covariance):
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    inverse = np.linalg.inv(covariance)
    total = inverse.sum()
    pivot = inverse.sum(axis=0) @ x / total
    value = inverse.sum(axis=0) @ y / total
    lever = inverse @ (x - pivot)
    spread = lever @ (x - pivot)
    slope = lever @ (y - value) / spread
    residual = y - value - slope * (x - pivot)
    weights = np.array([lever / spread, inverse.sum(axis=0) / total - pivot * lever / spread])
    return _Solution(pivot, slope, spread**-0.5, value, total**-0.5, residual @ inverse @ residual, weights)


def _covariance(error):
    error = np.asarray(error, dtype=float)
    covariance = np.diag(error**2) if error.ndim == 1 else 0.5 * (error + error.T)
    if not (np.all(np.isfinite(covariance)) and np.all(np.linalg.eigvalsh(covariance) > 0)):
        raise ValueError("The errors of the points are no covariance: not finite, or not positive.")
    return covariance

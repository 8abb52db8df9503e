"""Straight lines through samples of galaxies: robust regression with scikit-learn, and with errors in both axes.

The paper (Sect. 4.4) fits "a robust linear regression" with scikit-learn and does not say which; all three that the
package offers are here.
"""

from dataclasses import dataclass

import numpy as np

from klever.abundance.metallicity import check_chain
from klever.errors import InputError
from klever.sampling import import_emcee

__all__ = ["ESTIMATORS", "Regression", "RegressionWithErrors", "robust_line", "robust_regression", "with_errors"]

ESTIMATORS = ("huber", "theil_sen", "ransac")
_MINIMUM = 5  # points; fewer have no meaningful scatter
_SUBSETS = 300  # pairs of points that Theil-Sen draws; all pairs of 200 points take a second per fit


@dataclass
class Regression:
    """A robust line and the correlation of the points.

    Parameters
    ----------
    n : int
        Points.
    slope, intercept : float
        y = intercept + slope x.
    slope_error, intercept_error : float
        Standard deviations over bootstrap samples.
    rms : float
        Root mean square of the residuals of all points, outliers too.
    rho, p_value : float
        Spearman's rank correlation and its two-sided probability without correlation.
    rho_error : float
        Standard deviation over bootstrap samples.
    """

    n: int
    slope: float
    slope_error: float
    intercept: float
    intercept_error: float
    rms: float
    rho: float
    rho_error: float
    p_value: float


@dataclass
class RegressionWithErrors:
    """A line fitted with errors in both axes and intrinsic scatter; medians and half 16-84 per cent widths."""

    n: int
    slope: float
    slope_error: float
    intercept: float
    intercept_error: float
    scatter: float
    scatter_error: float
    converged: bool


def robust_line(x, y, estimator="huber", seed=0):
    """Return slope and intercept of a robust line.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Finite, n >= 2, x not all equal.
    estimator : {'huber', 'theil_sen', 'ransac'}
        HuberRegressor (without its penalty), TheilSenRegressor, RANSACRegressor of scikit-learn.
    seed : int
        Of Theil-Sen's and RANSAC's random subsets.

    Raises
    ------
    InputError
        An estimator that does not exist, or points that are no line's (all x equal, or not finite).
    """
    from sklearn import config_context
    from sklearn.linear_model import HuberRegressor, RANSACRegressor, TheilSenRegressor

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    centre, scale = _standard(x, y)
    # standardised, so that neither the solver's tolerance nor Huber's scale depends on the unit
    xs, ys = (x - centre[0]) / scale[0], (y - centre[1]) / scale[1]
    if estimator == "huber":
        model = HuberRegressor(alpha=0.0, max_iter=1000)
    elif estimator == "theil_sen":
        model = TheilSenRegressor(random_state=seed, max_subpopulation=_SUBSETS)
    elif estimator == "ransac":
        model = RANSACRegressor(random_state=seed)
    else:
        raise InputError(f"there is no robust regression {estimator!r}; choose from {', '.join(ESTIMATORS)}.")
    with config_context(assume_finite=True, skip_parameter_validation=True):  # checked above, thousands of times
        model.fit(xs[:, None], ys)
    fitted = model.estimator_ if estimator == "ransac" else model
    slope = float(fitted.coef_[0]) * scale[1] / scale[0]
    return float(slope), float(centre[1] + float(fitted.intercept_) * scale[1] - slope * centre[0])


def robust_regression(x, y, *, estimator="huber", bootstrap=500, seed=0):
    """Fit a robust line with bootstrap errors, and Spearman's rank correlation.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Finite; n >= 5.
    estimator : str
        As for `robust_line`.
    bootstrap : int
        Samples of n points drawn with replacement; those with a single x are drawn again.
    seed : int
        Of all random numbers.

    Returns
    -------
    Regression

    Raises
    ------
    InputError
        Fewer than 5 points, or what `robust_line` cannot fit.
    """
    from scipy.stats import rankdata, spearmanr

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < _MINIMUM:
        raise InputError(f"a regression needs at least {_MINIMUM} galaxies, there are {len(x)}.")
    slope, intercept = robust_line(x, y, estimator, seed)
    rho, p_value = spearmanr(x, y)
    random = np.random.default_rng(seed)
    samples = []
    while len(samples) < bootstrap:
        drawn = random.integers(len(x), size=len(x))
        if np.ptp(x[drawn]) == 0 or np.ptp(y[drawn]) == 0:
            continue
        ranks = rankdata(x[drawn]), rankdata(y[drawn])
        samples.append((*robust_line(x[drawn], y[drawn], estimator, seed), np.corrcoef(*ranks)[0, 1]))
    slope_error, intercept_error, rho_error = np.std(samples, axis=0, ddof=1)
    rms = np.sqrt(np.mean((y - intercept - slope * x) ** 2))
    values = (slope, slope_error, intercept, intercept_error, rms, rho, rho_error, p_value)
    return Regression(len(x), *map(float, values))


def with_errors(x, y, x_error, y_error, *, covariance=None, walkers=32, steps=2000, burn_in=500, seed=0):
    """Fit a line with errors in both axes and Gaussian intrinsic scatter in y, with emcee.

    The true x are taken as drawn from a Gaussian, whose mean and width are fitted too and integrated out, as in Kelly
    (2007, ApJ 665, 1489) with one component; without that the slope would be flattened by the errors in x.

    Parameters
    ----------
    x, y, x_error, y_error : ndarray, shape (n,)
        Finite; n >= 5; errors >= 0 (0: known exactly).
    covariance : ndarray, shape (n,), optional
        Of the errors of x and y of each point; 0 by default.
    walkers, steps, burn_in, seed : int
        Of the chain.

    Returns
    -------
    RegressionWithErrors

    Raises
    ------
    InputError
        Fewer than 5 points, a negative error, all x or all y equal.
    ConfigError
        A chain that emcee cannot run.
    """
    emcee = import_emcee()

    x, y, x_error, y_error = (np.asarray(item, dtype=float) for item in (x, y, x_error, y_error))
    if len(x) < _MINIMUM:
        raise InputError(f"a regression needs at least {_MINIMUM} galaxies, there are {len(x)}.")
    if not (np.all(x_error >= 0) and np.all(y_error >= 0)):
        raise InputError("a regression with errors needs errors that are finite and not negative.")
    check_chain("population", walkers, steps, burn_in, 5)
    centre, scale = _standard(x, y)
    xs, ys = (x - centre[0]) / scale[0], (y - centre[1]) / scale[1]
    x_variance, y_variance = (x_error / scale[0]) ** 2, (y_error / scale[1]) ** 2
    shared = np.zeros(len(x)) if covariance is None else np.asarray(covariance, dtype=float) / scale[0] / scale[1]

    def log_probability(position):
        slope, value, log_scatter, mean, log_width = (item[:, None] for item in position.T)
        scatter2, width2 = np.exp(2 * log_scatter), np.exp(2 * log_width)
        vxx, vxy = width2 + x_variance, slope * width2 + shared
        vyy = slope**2 * width2 + scatter2 + y_variance
        dx, dy = xs - mean, ys - value - slope * mean
        determinant = vxx * vyy - vxy**2
        chi2 = (vyy * dx**2 - 2 * vxy * dx * dy + vxx * dy**2) / determinant
        with np.errstate(invalid="ignore"):
            total = -0.5 * np.sum(chi2 + np.log(determinant), axis=1)
        # flat in slope, value and both widths (the logarithms' Jacobian), as in Kelly (2007)
        prior = position[:, 2] + position[:, 4]
        inside = np.all(np.abs(position[:, [2, 4]]) < 12, axis=1) & np.all(determinant > 0, axis=1)
        return np.where(inside & np.isfinite(total), total + prior, -np.inf)

    random = np.random.default_rng(seed)
    start = np.array([np.polyfit(xs, ys, 1)[0], 0.0, -0.5, 0.0, 0.0]) + 0.1 * random.standard_normal((walkers, 5))
    # differential evolution: its autocorrelation time is less than half that of the stretch move here
    moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
    sampler = emcee.EnsembleSampler(walkers, 5, log_probability, moves=moves, vectorize=True)
    sampler.random_state = np.random.RandomState(seed).get_state()
    sampler.run_mcmc(start, steps)
    chain = sampler.get_chain(discard=burn_in, flat=True)
    time = float(np.max(sampler.get_autocorr_time(discard=burn_in, tol=0)))
    slope = chain[:, 0] * scale[1] / scale[0]
    intercept = centre[1] + chain[:, 1] * scale[1] - slope * centre[0]
    numbers = []
    for values in (slope, intercept, np.exp(chain[:, 2]) * scale[1]):
        low, median, high = np.percentile(values, [15.865, 50, 84.135])
        numbers += [float(median), float(high - low) / 2]
    return RegressionWithErrors(len(x), *numbers, bool((steps - burn_in) > 50 * time))


def _standard(x, y):
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise InputError("a regression needs finite values.")
    scale = np.array([np.std(x), np.std(y)])
    if not np.all(scale > 0):
        raise InputError("a regression needs values that differ from each other, in both axes.")
    return np.array([np.median(x), np.median(y)]), scale

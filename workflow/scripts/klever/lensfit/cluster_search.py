"""Fit a cluster to its multiple images: least squares from many starts, then a posterior with emcee."""

import logging
from dataclasses import dataclass

import numpy as np

from klever.errors import InputError
from klever.sampling import import_emcee

__all__ = ["ClusterFit", "fit_cluster", "refine", "sample_posterior", "search"]

logger = logging.getLogger(__name__)

_STEP = 1e-6  # of the range of a parameter, for derivatives
_TRIED = 3  # best starts that are finished in the image plane


@dataclass
class ClusterFit:
    """Result of `fit_cluster`.

    Parameters
    ----------
    best : ndarray, shape (parameters,)
        Of the greatest posterior found.
    samples : ndarray, shape (samples, parameters)
        Of the posterior.
    sources : complex ndarray, shape (families,)
        Source positions of the best parameters, arcsec.
    predicted : complex ndarray, shape (n,)
        Images of the model near the observed ones.
    found : bool ndarray, shape (n,)
        Where the model makes the image.
    rms : float
        Arcsec, of the distances between observed and predicted positions of the images found.
    chi2 : float
        In the image plane, without priors.
    autocorrelation : float
        Longest integrated autocorrelation time of the chains, steps; NaN if they are too short to tell.
    acceptance : float
        Mean fraction of accepted steps.
    agreeing : int
        Starts that ended within 1 of the least chi2 of the source plane.
    """

    best: np.ndarray
    samples: np.ndarray
    sources: np.ndarray
    predicted: np.ndarray
    found: np.ndarray
    rms: float
    chi2: float
    autocorrelation: float
    acceptance: float
    agreeing: int


def _residuals(lens, plane):
    """Return functions of the residuals and of their derivatives for scipy's least squares."""

    def of(p):
        residuals = getattr(lens, f"{plane}_plane")(p)[0]
        return np.hstack([residuals.real, residuals.imag, lens.prior_residuals(p)])

    steps = _STEP * (lens.upper - lens.lower)

    def derivatives(p):
        turned = np.where(p + steps <= lens.upper, steps, -steps)
        values = of(np.vstack([p, p + np.diag(turned)]))
        return ((values[1:] - values[0]) / turned[:, None]).T

    return lambda p: of(p[None])[0], derivatives


def _least_squares(lens, start, plane):
    from scipy.optimize import least_squares

    function, jacobian = _residuals(lens, plane)
    return least_squares(
        function, start, jac=jacobian, bounds=(lens.lower, lens.upper), x_scale=(lens.upper - lens.lower) / 10,
        loss="soft_l1" if plane == "source" else "linear", max_nfev=60,
    )  # fmt: skip


def refine(lens, start):
    """Return the parameters of the least chi2 in the image plane near `start`."""
    return _least_squares(lens, start, "image").x


def _starts(lens, number, rng):
    """Draw starting points: the radius that the images outline, little shear, any ellipticity and direction."""
    images = lens.images.z
    radius = np.median(np.abs(images))
    low, high = lens.lower.copy(), lens.upper.copy()
    low[:9] = [0.4 * radius, -0.25, -0.25, 1.6, -1.5, -1.5, -0.1, -0.1, 50.0]
    high[:9] = [1.2 * radius, 0.25, 0.25, 2.4, 1.5, 1.5, 0.1, 0.1, 300.0]
    high[9:] = np.minimum(high[9:], 5.0)
    span = np.clip(low, lens.lower, lens.upper), np.clip(high, lens.lower, lens.upper)
    return rng.uniform(*span, (number, len(low)))


def search(lens, starts=24, seed=0):
    """Return the best parameters and how many starts agreed on them.

    Parameters
    ----------
    lens : klever.lensfit.cluster.ClusterLens
    starts : int
    seed : int

    Returns
    -------
    best : ndarray, shape (parameters,)
    agreeing : int

    Raises
    ------
    InputError
        No start ends in a lens.
    """
    rng = np.random.default_rng([seed, 1])
    ends = [_least_squares(lens, start, "source") for start in _starts(lens, starts, rng)]
    ends.sort(key=lambda end: end.cost)
    if not np.isfinite(ends[0].cost):
        raise InputError("no set of parameters brings the multiple images together; check families and redshifts.")
    agreeing = sum(end.cost - ends[0].cost < 1.0 for end in ends)
    finished = [_least_squares(lens, end.x, "image") for end in ends[:_TRIED]]
    return min(finished, key=lambda end: end.cost).x, agreeing


def sample_posterior(lens, best, walkers, steps, burn_in, seed=0, plane="image"):
    """Return the emcee sampler after its run, all walkers in one call of the posterior.

    Parameters
    ----------
    lens : klever.lensfit.cluster.ClusterLens
    best : ndarray
        Walkers start around it, within the errors that least squares give.
    walkers, steps, burn_in : int
    seed : int
    plane : str
        Of the chi2: "image", or "source", which is five times faster and linear in the offsets of the images.
    """
    emcee = import_emcee()

    rng = np.random.default_rng([seed, 2])
    jacobian = _residuals(lens, "image")[1](best)
    covariance = np.linalg.pinv(jacobian.T @ jacobian + np.diag(12.0 / (lens.upper - lens.lower) ** 2))
    walkers = max(walkers, 2 * len(best) + 2)
    walkers += walkers % 2
    start = np.empty((0, len(best)))
    while len(start) < walkers:
        drawn = rng.multivariate_normal(best, 0.25 * covariance, 4 * walkers)
        start = np.vstack([start, drawn[np.isfinite(lens.log_posterior(drawn))]])
    moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.1), (emcee.moves.StretchMove(), 0.1)]
    sampler = emcee.EnsembleSampler(walkers, len(best), lens.log_posterior, args=[plane], vectorize=True, moves=moves)
    sampler.random_state = np.random.RandomState(seed).get_state()
    sampler.run_mcmc(start[:walkers], burn_in + steps)
    return sampler


def fit_cluster(lens, starts=24, walkers=48, steps=600, burn_in=300, samples=500, seed=0):
    """Fit the parameters of a cluster to its multiple images.

    Parameters
    ----------
    lens : klever.lensfit.cluster.ClusterLens
    starts : int
        Of the search in the source plane.
    walkers, steps, burn_in : int
        Of emcee.
    samples : int
        Of the posterior that are kept.
    seed : int

    Returns
    -------
    ClusterFit

    Raises
    ------
    InputError
        Fewer constraints than parameters, or no start ends in a lens.
    """
    if lens.degrees < 0:
        constraints = lens.degrees + len(lens.names)
        raise InputError(
            f"{len(lens.images.z)} images of {len(lens.images.names)} sources give {constraints} constraints for "
            f"{len(lens.names)} parameters; add images or fix redshifts."
        )
    best, agreeing = search(lens, starts, seed)
    sampler = sample_posterior(lens, best, walkers, steps, burn_in, seed)
    chain = sampler.get_chain(discard=burn_in, flat=True)
    logs = sampler.get_log_prob(discard=burn_in, flat=True)
    rng = np.random.default_rng([seed, 3])
    chosen = np.sort(rng.choice(len(chain), min(samples, len(chain)), replace=False))
    time = sampler.get_autocorr_time(discard=burn_in, tol=0)
    time = float(np.max(time)) if np.isfinite(time).all() else np.nan
    if not time * 20 < steps:
        logger.warning("the chains of %d steps are only %.1f autocorrelation times long", steps, steps / time)
    if agreeing == 1 < starts:
        logger.warning("only one of %d starts reached the least chi2: set cluster_fit.starts higher", starts)
    if logs.max() > lens.log_posterior(best)[0] + 0.5:
        better = refine(lens, chain[np.argmax(logs)])
        best = better if lens.log_posterior(better)[0] > lens.log_posterior(best)[0] else best
    residuals, sources, _, theta, found = (value[0] for value in lens.image_plane(best[None], iterations=20))
    distance = np.abs(theta - lens.images.z)[found]
    rms = float(np.sqrt(np.mean(distance**2))) if found.any() else np.nan
    chi2 = float((np.abs(residuals) ** 2).sum())
    logger.info(
        "%d images of %d sources: rms %.3f arcsec, chi2 %.1f for %d degrees of freedom, %d of %d starts agree",
        len(found), len(sources), rms, chi2, lens.degrees, agreeing, starts,
    )  # fmt: skip
    return ClusterFit(
        best, chain[chosen], sources, theta, found, rms, chi2, time, float(sampler.acceptance_fraction.mean()), agreeing
    )

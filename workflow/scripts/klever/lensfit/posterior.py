"""Posterior of lens parameters from an evidence that is costly and, between meshes, slightly rough.

Re-meshing the source plane makes ln evidence jump between neighbouring models, on one mesh by one to five, which
defeats finite differences.  A quadratic is therefore regressed on many evaluations; it is the way to the maximum and
the proposal of the samples, whose weights are the evidence itself.
"""

from dataclasses import dataclass
from math import lgamma

import numpy as np

from klever.sampling import import_emcee

__all__ = ["Posterior", "climb", "emcee_samples", "weighted_samples"]

_WORTH = 5.0  # difference of ln evidence from the largest at which a point counts half in the regression
_FURTHEST = 3.0  # longest move in one round, in standard deviations
_CONVERGED = 0.4
_SPREAD = 1.3  # standard deviation of the points of a round, and of the proposal, in those of the posterior
_ENOUGH = 0.2  # effective samples of each draw; the posterior is not normal if there are fewer
_DRAWINGS = 3
_FREEDOM = 4  # degrees of freedom of a Student distribution: fat tails with a finite covariance


@dataclass
class Posterior:
    """Samples of the posterior.

    Parameters
    ----------
    samples : ndarray, shape (n, k)
        Equally weighted.
    log_evidence : ndarray, shape (n,)
    effective : float
        Number of independent samples that they are worth.
    """

    samples: np.ndarray
    log_evidence: np.ndarray
    effective: float


def _regress(points, values):
    """Return the gradient and the Hessian at zero of the quadratic through values (n,) at points (n, k)."""
    k = points.shape[1]
    i, j = np.triu_indices(k)
    weight = 1.0 / (1.0 + (values.max() - values) / _WORTH)
    terms = np.column_stack([np.ones(len(points)), points, points[:, i] * points[:, j]])
    # towards the posterior that was assumed, as strong as a few points: the first round has few more than unknowns
    target = np.where(i == j, -0.5, 0.0)
    prior = np.zeros((i.size, terms.shape[1]))
    prior[:, 1 + k :] = np.eye(i.size)
    system = np.vstack([weight[:, None] * terms, prior])
    solution = np.linalg.lstsq(system, np.concatenate([weight * values, target]), rcond=None)[0]
    hessian = np.zeros((k, k))
    hessian[i, j] = solution[1 + k :]
    return solution[1 : 1 + k], hessian + hessian.T


def climb(log_evidence, start, covariance, rng, points=100, rounds=8):
    """Return the maximum of a rough function, and the covariance there.

    Parameters
    ----------
    log_evidence : callable
        Of a parameter vector; -inf where there is no model.
    start : ndarray, shape (k,)
    covariance : ndarray, shape (k, k)
        First guess, within a factor of a few.
    rng : numpy.random.Generator
    points : int
        Evaluations in a round.
    rounds : int
        At most so many.

    Returns
    -------
    best : ndarray, shape (k,)
    covariance : ndarray, shape (k, k)
    converged : bool
    """
    best, k = np.array(start, dtype=float), len(start)
    known, values = np.zeros((0, k)), np.zeros(0)
    for number in range(rounds):
        root = np.linalg.cholesky(covariance)
        new = best + _SPREAD * rng.standard_normal((points, k)) @ root.T
        known = np.vstack([known, new])
        values = np.concatenate([values, [log_evidence(point) for point in new]])
        white = np.linalg.solve(root, (known - best).T).T
        near = np.isfinite(values) & (np.linalg.norm(white, axis=1) < 3 * _SPREAD * np.sqrt(k))
        if near.sum() <= k:
            covariance = covariance / 4
            continue
        gradient, hessian = _regress(white[near], values[near])
        sizes, axes = np.linalg.eigh(hessian)
        sizes = np.minimum(sizes, -0.1)  # an axis that is flat, or rises, is at most three times as long
        step = -axes @ ((axes.T @ gradient) / sizes)
        length = np.linalg.norm(step)
        best = best + root @ step * min(1.0, _FURTHEST / max(length, 1e-300))
        covariance = root @ (axes / -sizes) @ axes.T @ root.T
        if length < _CONVERGED * np.sqrt(k) and number >= 2:
            return best, covariance, True
    return best, covariance, False


def weighted_samples(log_evidence, best, covariance, rng, draws=400, number=200):
    """Return samples of a posterior by importance: drawn of a wider normal distribution, kept in proportion.

    If the draws are worth less than a fifth of their number, the posterior is not normal: as many are drawn twice more,
    of Student distributions with the moments found, whose tails reach what the first draws missed.

    Parameters
    ----------
    log_evidence, best, covariance, rng
        See `climb`.
    draws : int
        Evaluations in a round.
    number : int
        Samples to return.

    Returns
    -------
    Posterior
    """
    points, values, proposals = np.zeros((0, len(best))), np.zeros(0), []
    centre, spread = best, covariance
    for _ in range(_DRAWINGS):
        root = _SPREAD * np.linalg.cholesky(spread)
        proposals.append((centre, root, bool(proposals)))
        new = centre + rng.standard_normal((draws, len(best))) @ root.T
        if proposals[-1][-1]:
            new = centre + (new - centre) * np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, (draws, 1)))
        points = np.vstack([points, new])
        values = np.concatenate([values, [log_evidence(point) for point in new]])
        logarithm = values - np.logaddexp.reduce([_log_density(points, *one) for one in proposals], axis=0)
        weight = np.exp(logarithm - logarithm.max())
        weight /= weight.sum()
        effective = 1.0 / float(np.sum(weight**2))
        if len(points) == draws and effective > _ENOUGH * draws:
            break
        centre = weight @ points
        off = points - centre
        few = len(best) / (len(best) + effective)  # a few points tell little of the covariance
        spread = few * covariance + (1 - few) * (weight[:, None] * off).T @ off
    chosen = np.searchsorted(np.cumsum(weight), (np.arange(number) + rng.random()) / number)
    chosen = np.minimum(chosen, len(points) - 1)
    return Posterior(points[chosen], values[chosen], effective)


def _log_density(points, centre, root, student):
    """Logarithm of a normal density or of that of Student."""
    k, square = len(centre), np.sum(np.linalg.solve(root, (points - centre).T) ** 2, axis=0)
    scale = -np.sum(np.log(np.diag(root))) - 0.5 * k * np.log(np.pi)
    if not student:
        return scale - 0.5 * k * np.log(2) - 0.5 * square
    scale += lgamma(0.5 * (_FREEDOM + k)) - lgamma(0.5 * _FREEDOM) - 0.5 * k * np.log(_FREEDOM)
    return scale - 0.5 * (_FREEDOM + k) * np.log1p(square / _FREEDOM)


def emcee_samples(log_evidence, best, covariance, rng, walkers=24, steps=150, number=200):
    """Return samples of a posterior by emcee (Foreman-Mackey et al. 2013), started in its normal approximation.

    The first third of the steps is left out.  Other parameters: see `weighted_samples`.
    """
    emcee = import_emcee()

    sampler = emcee.EnsembleSampler(walkers, len(best), log_evidence)
    sampler._random = np.random.RandomState(int(rng.integers(2**31)))
    sampler.run_mcmc(rng.multivariate_normal(best, covariance, walkers), steps)
    burn_in = steps // 3
    chain, values = sampler.get_chain(discard=burn_in, flat=True), sampler.get_log_prob(discard=burn_in, flat=True)
    chosen = np.sort(rng.choice(len(chain), min(number, len(chain)), replace=False))
    time = np.nanmean(sampler.get_autocorr_time(discard=burn_in, quiet=True, tol=0))
    return Posterior(chain[chosen], values[chosen], len(chain) / max(float(time), 1.0))

"""Posterior over velocity and dispersion, as `klever.linefit.posterior.marginalise`."""

import math

import numpy as np

from klever.linefit.kernel.algebra import factorise, invert, solve
from klever.linefit.kernel.spectrum import prepare
from klever.linefit.kernel.structures import inner, make_scratch, outer
from klever.linefit.kernel.system import fill_system, keep_ratio, line_profiles, solve_bounded
from klever.linefit.posterior import BOX_S, BOX_V, LEVELS, NEGLIGIBLE

__all__ = ["posterior"]


@outer
def posterior(problem, nodes, flux, error, excluded, prior, prior_width, best, spread, result, moments):
    """Marginalise each spectrum over velocity and dispersion.

    Nodes cover the whole range coarsely; a box of eight standard deviations around the best fit is covered by a grid of
    its own, and nodes count by the part of their cell outside the box, as `klever.linefit.posterior.marginalise` says.

    Parameters
    ----------
    problem : Problem
    nodes : Nodes
        Of a grid, all velocities at the first dispersion, then at the next; even steps in velocity and in the
        logarithm of dispersion.
    flux, error, excluded, prior, prior_width
        As for `fit`.  The prior on velocity is a Gaussian of width `prior_width` where `prior` is finite.
    best, spread : ndarray, shape (2, n)
        Velocity and dispersion of the fit, and their errors (NaN or 0 at a bound: the box spans the range).
    result : ndarray, shape (8, n)
        Filled with median, 16 and 84 per cent of velocity, the same of dispersion, 95 per cent of dispersion, and the
        probability inside the box.
    moments : ndarray, shape (n_columns + n_columns**2, n)
        Filled with the mean amplitudes and their covariance, in units of flux.
    """
    scratch, spikes = make_scratch(problem), np.zeros(flux.shape[1], np.bool_)
    n_global, n_box = nodes.velocity.size, BOX_V * BOX_S
    cells, kept = np.empty((5, n_global + n_box)), np.empty((5, n_global + n_box))
    n_v = 1
    while n_v < n_global and nodes.dispersion[n_v] == nodes.dispersion[0]:
        n_v += 1
    cells[0, :n_global], cells[1, :n_global] = nodes.velocity, (problem.high[0] - problem.low[0]) / n_v
    cells[2, :n_global] = np.log(nodes.dispersion)
    cells[3, :n_global] = np.log(problem.high[1] / problem.low[1]) / (n_global // n_v)
    for s in range(len(flux)):
        unit = prepare(problem, flux[s], error[s], excluded[s], scratch, spikes)[0]
        box = _box(problem, best[0, s], best[1, s], spread[0, s], spread[1, s])
        _marginalise(
            problem, nodes, scratch, box, prior[s], prior_width, unit, cells, kept, result[:, s], moments[:, s]
        )


@inner
def _marginalise(problem, nodes, scratch, box, prior, prior_width, unit, cells, kept, result, moments):
    """Posterior of the spectrum in scratch; the rows of `cells` are centre and width in velocity and log dispersion."""
    n_global, n_box = nodes.velocity.size, BOX_V * BOX_S
    velocity, width_v, log_s, width_s, log_weight = cells[0], cells[1], cells[2], cells[3], cells[4]
    step_v, step_s = (box[1] - box[0]) / BOX_V, (box[3] - box[2]) / BOX_S
    for k in range(n_box):
        width_v[n_global + k], width_s[n_global + k] = step_v, step_s
        velocity[n_global + k] = box[0] + (k % BOX_V + 0.5) * step_v
        log_s[n_global + k] = box[2] + (k // BOX_V + 0.5) * step_s
    highest = -np.inf
    for step in range(n_global + n_box):
        k = step + n_global if step < n_box else step - n_box  # the box first: what is far below it can be left out
        volume = width_v[k] * width_s[k] * (1.0 if k >= n_global else _outside(cells, k, box))
        log_weight[k] = -np.inf
        if volume > 0:
            offset = np.log(volume)
            if np.isfinite(prior):
                offset -= 0.5 * ((velocity[k] - prior) / prior_width) ** 2
            _at_node(problem, nodes, scratch, k, velocity[k], log_s[k])
            log_weight[k] = _log_likelihood(problem, scratch, highest - offset - 2 * NEGLIGIBLE) + offset
            highest = max(highest, log_weight[k])
    _fluxes(problem, nodes, scratch, log_weight, highest, velocity, log_s, unit, moments)
    inside = total = 0.0
    n_kept = 0
    for k in range(n_global + n_box):
        if log_weight[k] > highest - 2 * NEGLIGIBLE:
            weight = np.exp(log_weight[k] - highest)
            total += weight
            inside += weight if k >= n_global else 0.0
            for row in range(4):
                kept[row, n_kept] = cells[row, k]
            kept[4, n_kept] = weight
            n_kept += 1
    for q in range(3):
        result[q] = _quantile(kept[0, :n_kept], kept[1, :n_kept], kept[4, :n_kept], total, LEVELS[q])
    for q in range(4):
        result[3 + q] = np.exp(_quantile(kept[2, :n_kept], kept[3, :n_kept], kept[4, :n_kept], total, LEVELS[q]))
    result[7] = inside / total


@inner
def _log_likelihood(problem, scratch, floor):
    """Log-likelihood beyond that of the continuum alone at the system in scratch; minus infinity if below `floor`.

    The amplitudes are integrated out with a flat prior in units of their errors, the main one over emission only.
    """
    size, main = problem.n_columns + 2, problem.main_column
    factorise(scratch.matrix, size, scratch.factor, scratch.pivots)
    solve(scratch.factor, scratch.pivots, size, scratch.right, scratch.amplitude)
    gain = 0.0
    for k in range(size):
        gain += scratch.amplitude[k] * scratch.right[k]
    # no bound and no prior adds to the likelihood of the free solution
    if not 0.5 * gain > floor:
        return -np.inf
    unit, column = scratch.work[0], scratch.work[1]
    for k in range(size):
        unit[k] = 0.0
    unit[main] = 1.0
    solve(scratch.factor, scratch.pivots, size, unit, column)
    if not column[main] > 0:
        return -np.inf
    variance = column[main]
    gain -= keep_ratio(problem, scratch)
    return 0.5 * gain + _log_normal_cdf(scratch.amplitude[main] / np.sqrt(variance))


@inner
def _fluxes(problem, nodes, scratch, log_weight, highest, velocity, log_s, unit, moments):
    """Mean and covariance of the amplitudes: a mixture of Gaussians, one per node."""
    n_columns = problem.n_columns
    size = n_columns + 2
    total = 0.0
    for k in range(moments.size):
        moments[k] = 0.0
    for k in range(log_weight.size):
        if not log_weight[k] > highest - NEGLIGIBLE:
            continue
        weight = np.exp(log_weight[k] - highest)
        _at_node(problem, nodes, scratch, k, velocity[k], log_s[k])
        solve_bounded(problem, scratch)
        invert(scratch.factor, scratch.pivots, size, scratch.work[0], scratch.work[1], scratch.inverse)
        total += weight
        for m in range(n_columns):
            moments[m] += weight * scratch.amplitude[m]
            for j in range(n_columns):
                product = scratch.amplitude[m] * scratch.amplitude[j] + scratch.inverse[m, j]
                moments[n_columns + m * n_columns + j] += weight * product
    scale = unit * problem.step
    for m in range(n_columns):
        moments[m] /= total
    for m in range(n_columns):
        for j in range(n_columns):
            k = n_columns + m * n_columns + j
            moments[k] = (moments[k] / total - moments[m] * moments[j]) * scale * scale
    for m in range(n_columns):
        moments[m] *= scale


@inner
def _at_node(problem, nodes, scratch, k, velocity, log_dispersion):
    """Fill the normal equations at a shared node, or at a place of this spectrum alone."""
    if k < nodes.velocity.size:
        for i in range(problem.rest.size):
            scratch.first[i] = nodes.start[k, i]
            scratch.last[i] = nodes.start[k, i] + nodes.length[k]
        fill_system(problem, scratch, scratch.first, scratch.last, nodes.profile[k])
    else:
        line_profiles(problem, scratch, velocity, np.exp(log_dispersion), False)
        fill_system(problem, scratch, scratch.first, scratch.last, scratch.profile)


@inner
def _box(problem, velocity, dispersion, spread_v, spread_s):
    low, high = problem.low, problem.high
    box = (low[0], high[0], np.log(low[1]), np.log(high[1]))
    if not (np.isfinite(velocity) and np.isfinite(dispersion)):
        return box
    if spread_v > 0:
        box = (max(low[0], velocity - 4 * spread_v), min(high[0], velocity + 4 * spread_v), box[2], box[3])
    if spread_s > 0:
        bottom, top = max(low[1], dispersion - 4 * spread_s), min(high[1], dispersion + 4 * spread_s)
        box = (box[0], box[1], np.log(bottom), np.log(top))
    return box


@inner
def _outside(cells, k, box):
    """Fraction of a shared node's cell that it stands for; see `klever.linefit.posterior.marginalise`."""
    velocity, width_v, log_s, width_s = cells[0, k], cells[1, k], cells[2, k], cells[3, k]
    overlap = _overlap(velocity - 0.5 * width_v, velocity + 0.5 * width_v, box[0], box[1])
    overlap *= _overlap(log_s - 0.5 * width_s, log_s + 0.5 * width_s, box[2], box[3])
    inside = (box[0] < velocity) & (velocity < box[1]) & (box[2] < log_s) & (log_s < box[3])
    coarse = (2 * width_v > box[1] - box[0]) | (2 * width_s > box[3] - box[2])
    return 0.0 if (overlap > 0) & (inside | coarse) else 1.0 - overlap


@inner
def _overlap(low, high, box_low, box_high):
    """Fraction of the interval [low, high] in [box_low, box_high]."""
    return max(min(high, box_high) - max(low, box_low), 0.0) / (high - low)


@inner
def _quantile(position, width, weight, total, level):
    """Quantile of a histogram of overlapping cells, by bisection."""
    low, high = position[0] - width[0], position[0] + width[0]
    for k in range(position.size):
        low, high = min(low, position[k] - 0.5 * width[k]), max(high, position[k] + 0.5 * width[k])
    for _ in range(20):
        middle = 0.5 * (low + high)
        below = 0.0
        for k in range(position.size):
            below += weight[k] * min(max((middle - position[k]) / width[k] + 0.5, 0.0), 1.0)
        if below < level * total:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@inner
def _log_normal_cdf(t):
    """Logarithm of the unit Gaussian's cumulative distribution, asymptotic below -6."""
    if t > 6:
        return 0.0
    if t > -6:
        return np.log(0.5 * math.erfc(-t * 0.7071067811865476))
    return -0.5 * t * t - np.log(-t * 2.5066282746310002) + np.log1p(-1 / (t * t))

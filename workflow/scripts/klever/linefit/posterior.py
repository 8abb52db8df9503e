"""Errors of a fit beyond its Hessian: the posterior over velocity and width, and Monte Carlo that repeats the search.

At low S/N chi2 has several minima in velocity and the Hessian knows one of them: its velocity errors cover the truth in
a third of the cases at S/N 2-3.  The posterior sees all of them.

Priors of the posterior: uniform in velocity over the search range (times a Gaussian around the velocity of the
neighbourhood, where there is one), uniform in the logarithm of dispersion over its range, amplitudes flat in units of
their own errors, and the main line in emission.
"""

import numpy as np

from klever.linefit.normal import evaluate
from klever.linefit.window import prepare

__all__ = ["BOX_S", "BOX_V", "LEVELS", "NEGLIGIBLE", "marginalise", "monte_carlo"]

BOX_V, BOX_S = 13, 8  # cells of the box in velocity and dispersion
NEGLIGIBLE = 7.0  # in log-probability, for the fluxes
LEVELS = (0.5, 0.15865525393145707, 0.8413447460685429, 0.95)


def monte_carlo(fit_once, search, wavelength, model_flux, error, prior, prior_width, excluded, samples, seed, rows):
    """Scatter of fits to the best model with new noise, each with its own search.

    Parameters
    ----------
    fit_once : callable
        Of an engine.
    search : klever.linefit.search.Search
    wavelength : ndarray, shape (n_channels,)
    model_flux, error : ndarray, shape (n, n_channels)
        Best model, and 1 sigma of the data; what is not finite is masked.
    prior, prior_width, excluded
        As for the fit.
    samples, seed : int
    rows : ndarray of int, shape (n,)
        Numbers of the spectra: each has random numbers of its own, whatever the others are.

    Returns
    -------
    spread : ndarray, shape (2, n)
        Half the 16-84 per cent range of velocity and dispersion.
    covariance : ndarray, shape (n_lines, n_lines, n)
        Of the fluxes.
    """
    generators = [np.random.default_rng([seed, row]) for row in rows]
    noise = np.where(np.isfinite(error), error, 0.0)
    positions, fluxes = [], []
    for _ in range(samples):
        scatter = np.array([generator.standard_normal(len(wavelength)) for generator in generators])
        mock = model_flux + noise * scatter
        fit = fit_once(search, wavelength, mock, error, prior, prior_width, excluded)
        positions.append(fit["position"])
        fluxes.append(fit["flux"])
    low, high = np.quantile(positions, LEVELS[1:3], axis=0)
    offset = np.array(fluxes) - np.mean(fluxes, axis=0)
    return 0.5 * (high - low), np.einsum("kin,kjn->ijn", offset, offset) / max(samples - 1, 1)


def marginalise(search, wavelength, flux, error, prior, prior_width, best, spread, excluded, around_best=False):
    """Posterior of each spectrum, in NumPy; `klever.linefit.compiled.marginalise` is the same 100 times as fast.

    Nodes cover the whole range coarsely; a box of eight standard deviations around the best fit has a grid of its own,
    and nodes count by the part of their cell outside the box.  Where the box is smaller than two cells, its neighbours
    count nothing: beyond four standard deviations there is nothing, but the likelihood at a node that happens to lie
    near the peak, times a cell many times the size of the peak, would be much.

    Parameters
    ----------
    search : klever.linefit.search.Search
    wavelength : ndarray, shape (n_channels,)
    flux, error : ndarray, shape (n, n_channels)
    prior : ndarray, shape (n,), or None
        Centre of the Gaussian prior on velocity, km/s; NaN for none.
    prior_width : float
        Its sigma.
    best, spread : ndarray, shape (2, n)
        Velocity and dispersion of the fit, and their errors; NaN where the box is to span the range.
    excluded : ndarray of bool, shape (n, n_channels), or None
    around_best : bool
        Only the box counts: enough for the width of a detected line.

    Returns
    -------
    result : ndarray, shape (8, n)
        Median, 16 and 84 per cent of velocity, the same of dispersion, 95 per cent of dispersion (km/s), and the
        probability inside the box.
    flux : ndarray, shape (n_lines, n)
        Posterior mean.
    covariance : ndarray, shape (n_lines, n_lines, n)
    """
    window, _ = prepare(wavelength, flux, error, search.padding(wavelength), excluded)
    rows, ties, n_columns = np.arange(len(flux)), search.ties, search.ties.shape[1]
    prior = np.full(len(flux), np.nan) if prior is None else prior
    cells = _cells(search, best, spread, around_best)
    main = int(np.argmax(ties[search.model.main]))
    log_weight = np.full(cells.shape[1:], -np.inf)
    mean = np.zeros((len(log_weight), n_columns, len(flux)))
    second = np.zeros((len(log_weight), n_columns, n_columns, len(flux)))
    for k in range(len(log_weight)):
        log_weight[k], mean[k], second[k] = _node(search, window, rows, cells[:, k], main)
        offset = ((cells[0, k] - prior) / prior_width) ** 2
        log_weight[k] -= 0.5 * np.where(np.isfinite(offset), offset, 0.0)
    log_weight -= log_weight.max(axis=0)
    weight = np.where(log_weight > -2 * NEGLIGIBLE, np.exp(log_weight), 0.0)
    total = weight.sum(axis=0)
    near = np.where(log_weight > -NEGLIGIBLE, weight, 0.0)
    near /= near.sum(axis=0)
    amplitude = np.einsum("kn,kin->in", near, mean)
    covariance = np.einsum("kn,kijn->ijn", near, second) - amplitude[:, None] * amplitude[None]
    scale = window.unit * window.step
    result = np.empty((8, len(flux)))
    for s in rows:
        for q, level in enumerate(LEVELS[:3]):
            result[q, s] = _quantile(cells[0, :, s], cells[1, :, s], weight[:, s], level)
        for q, level in enumerate(LEVELS):
            result[3 + q, s] = np.exp(_quantile(cells[2, :, s], cells[3, :, s], weight[:, s], level))
    result[7] = weight[-BOX_V * BOX_S :].sum(axis=0) / total
    return result, ties @ (amplitude * scale), np.einsum("ik,kmn,jm->ijn", ties, covariance * scale**2, ties)


def _node(search, window, rows, cell, main):
    """Log-posterior without the prior on velocity, mean amplitudes and their second moments at one node."""
    from scipy.special import log_ndtr

    now = evaluate(window, search.model, search.ties, search.bound, rows, cell[0], np.exp(cell[2]))
    size = now.joint.shape[0] - 2
    linear = np.moveaxis(now.joint[:size, :size], 2, 0)
    inverse = np.moveaxis(np.linalg.pinv(linear, hermitian=True), 0, 2)[: size - 2, : size - 2]
    mean = now.amplitude[: size - 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        value = 0.5 * (window.square - now.chi2) + log_ndtr(mean[main] / np.sqrt(inverse[main, main]))
        value = np.where(cell[4] > 0, value + np.log(cell[4]), -np.inf)
    return value, mean, mean[:, None] * mean[None] + inverse


def _cells(search, best, spread, around_best):
    """Velocity, its width, log dispersion, its width and volume of each cell, shape (5, n_cells, n)."""
    grid = search.grid(around_best)
    n_v = int(np.count_nonzero(grid[:, 1] == grid[0, 1]))
    (low_v, low_s), (high_v, high_s) = search.low, search.high
    known = np.isfinite(best).all(axis=0)
    with np.errstate(invalid="ignore"):
        wide = [np.where(known & (error > 0), 4 * error, np.inf) for error in spread]
        centre = np.where(known, best, 0.0)
        box_v = np.clip([centre[0] - wide[0], centre[0] + wide[0]], low_v, high_v)
        box_s = np.log(np.clip([centre[1] - wide[1], centre[1] + wide[1]], low_s, high_s))
    n = best.shape[1]
    shape = (len(grid), n)
    outer = np.array([
        np.broadcast_to(grid[:, :1], shape), np.full(shape, (high_v - low_v) / n_v),
        np.broadcast_to(np.log(grid[:, 1:]), shape), np.full(shape, np.log(high_s / low_s) / (len(grid) // n_v)),
    ])  # fmt: skip
    overlap = _overlap(outer[0], outer[1], box_v) * _overlap(outer[2], outer[3], box_s)
    inside = (box_v[0] < outer[0]) & (outer[0] < box_v[1]) & (box_s[0] < outer[2]) & (outer[2] < box_s[1])
    coarse = (2 * outer[1] > box_v[1] - box_v[0]) | (2 * outer[3] > box_s[1] - box_s[0])
    outside = np.where((overlap > 0) & (inside | coarse), 0.0, 1 - overlap)
    k = np.arange(BOX_V * BOX_S)[:, None]
    width_v, width_s = (box_v[1] - box_v[0]) / BOX_V, (box_s[1] - box_s[0]) / BOX_S
    shape = (len(k), n)
    inner = np.array([
        box_v[0] + (k % BOX_V + 0.5) * width_v, np.broadcast_to(width_v, shape),
        box_s[0] + (k // BOX_V + 0.5) * width_s, np.broadcast_to(width_s, shape),
    ])  # fmt: skip
    cells = np.concatenate([outer, inner], axis=1)
    volume = cells[1] * cells[3]
    volume[: len(grid)] *= outside
    return np.concatenate([cells, volume[None]])


def _overlap(centre, width, box):
    """Fraction of each cell inside the box."""
    low, high = np.maximum(centre - 0.5 * width, box[0]), np.minimum(centre + 0.5 * width, box[1])
    return np.maximum(high - low, 0.0) / width


def _quantile(position, width, weight, level):
    """Quantile of a histogram of overlapping cells, by bisection."""
    low, high = np.min(position - 0.5 * width), np.max(position + 0.5 * width)
    target = level * weight.sum()
    for _ in range(25):
        middle = 0.5 * (low + high)
        below = (weight * np.clip((middle - position) / width + 0.5, 0.0, 1.0)).sum()
        low, high = (middle, high) if below < target else (low, middle)
    return 0.5 * (low + high)

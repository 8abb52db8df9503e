"""Bayesian evidence for a second, broad component.

Priors.  Velocities: uniform in their ranges.  Dispersions: uniform in the logarithm.  Continuum and narrow amplitudes:
flat, the same for both models, so that their density cancels.  Broad amplitudes, at given velocity and dispersion:
flat from zero to S times the error that the amplitude would have with no other line, S^2 being the chi2 of the
continuum alone: no line can have a higher S/N than all of the signal.  This prior follows the data when flux and error
are multiplied by a number, and one column whose error is that of a line alone costs ln(S / sqrt(2 pi)).

Integrals.  Amplitudes: Gaussian, exactly.  Narrow velocity and ln dispersion: Gaussian around the minimum that belongs
to each broad velocity and dispersion, cut off at the bounds (Laplace), times the ratio of quadrature to Laplace at the
minimum of chi2.  Broad velocity and ln dispersion: quadrature.

Against a sum over a grid of all four parameters ([O III] outflows of sigma 400 km/s), ln Z2 - ln Z1 is within 0.4 where
the narrow line has S/N 10 and within 0.1 at S/N 30; at S/N 5 it is mostly too low, by 0.6 in the median, up to 2.6.
"""

import numpy as np
from scipy.special import log_ndtr

from klever.linefit import linalg
from klever.linefit.components import Bounds, solve_signed

__all__ = ["log_evidence", "log_orthant"]

_LOG_2PI = np.log(2 * np.pi)
_REACH = 5.0  # half width of the quadrature in errors of velocity and ln dispersion
_LOOSE = 10.0  # widths of its range: a Gaussian on a parameter that keeps undetermined ones finite
_NARROW_NODES, _BROAD_NODES = 10, 14  # of velocity, and of ln dispersion


def log_orthant(mean, covariance):
    """Ln of the probability that all variables of a Gaussian are positive.

    Exact for one variable; for more the variables are conditioned on each other one by one by their first two moments
    (Mendell & Elston 1974, Biometrics 30, 41).

    Parameters
    ----------
    mean : ndarray, shape (d, ...)
    covariance : ndarray, shape (d, d, ...)
    """
    mean, covariance = mean.copy(), covariance.copy()
    total = np.zeros(mean.shape[1:])
    for i in range(len(mean)):
        sigma = np.sqrt(np.maximum(covariance[i, i], 1e-300))
        z = np.clip(mean[i] / sigma, -1e100, 1e100)
        total += log_ndtr(z)
        if i + 1 == len(mean):
            break
        hazard = np.exp(np.clip(-0.5 * z * z - 0.5 * _LOG_2PI - log_ndtr(z), None, 700.0))
        shrink = np.clip(hazard * (hazard + z), 0.0, 1.0)
        for j in range(i + 1, len(mean)):
            mean[j] += covariance[i, j] / sigma * hazard
        for j in range(i + 1, len(mean)):
            for k in range(i + 1, len(mean)):
                covariance[j, k] -= covariance[i, j] * covariance[i, k] / sigma**2 * shrink
    return total


def log_evidence(window, rows, narrow, broad, position, spread):
    """Ln evidence of one component (`broad` None) or two, up to a constant that both share.

    Parameters
    ----------
    window : Window
    rows : ndarray of int, shape (n,)
    narrow, broad : Component
    position : ndarray, shape (2 or 4, n)
        Velocity and dispersion of the components at the minimum of chi2 (km/s).
    spread : ndarray, shape (2 or 4, n)
        Errors of velocities and ln dispersions: the quadrature reaches five of them; infinite for the whole range.

    Returns
    -------
    ndarray, shape (n,)
    """
    weight, flux, square = window.weight[rows], window.flux[rows], window.square[rows][:, None]
    n_columns = narrow.ties.shape[1]
    continuum = np.broadcast_to(np.stack([np.ones_like(window.x), window.x]), (len(rows), 2, len(window.x)))
    profile, by_velocity, by_dispersion = narrow.columns(position[0], position[1])
    slopes = [by_velocity, by_dispersion * position[1][:, None, None]]
    common = _Products(np.concatenate([profile, continuum, *slopes], axis=1), weight, flux)
    if broad is None:
        laplace = _laplace(common, narrow, 0, square, position)[:, 0]
        return laplace + _correction(window, rows, narrow, continuum, 0, position, spread, laplace)
    points, log_weight = _quadrature(broad, position[2:], spread[2:], _BROAD_NODES)
    columns = broad.columns(points[0], np.exp(points[1]), derivatives=False)[0]  # (n, nodes, n_broad, n_channels)
    common.join(columns, weight, flux)
    value = _laplace(common, narrow, columns.shape[2], square, position)
    value += _broad_prior(common, window.moments[:, rows, None], square, n_columns) + log_weight
    peak = value.max(axis=1)
    total = peak + np.log(np.exp(value - peak[:, None]).sum(axis=1))
    there = broad.columns(position[2], position[3], derivatives=False)[0]
    at_minimum = _Products(np.concatenate([profile, continuum, *slopes], axis=1), weight, flux)
    at_minimum.join(there[:, None], weight, flux)
    laplace = _laplace(at_minimum, narrow, there.shape[1], square, position)[:, 0]
    others = np.concatenate([continuum, there], axis=1)
    return total + _correction(window, rows, narrow, others, there.shape[1], position, spread, laplace)


def _quadrature(component, position, spread, count):
    """Nodes (velocity, ln dispersion), shape (2, n, nodes), and ln of their weights times the prior density."""
    low = np.array([component.low[0], np.log(component.low[1])])[:, None]
    high = np.array([component.high[0], np.log(component.high[1])])[:, None]
    middle = np.array([position[0], np.log(position[1])])
    first, last = np.maximum(low, middle - _REACH * spread), np.minimum(high, middle + _REACH * spread)
    nodes, weights = np.polynomial.legendre.leggauss(count)
    points = 0.5 * (first + last)[..., None] + 0.5 * (last - first)[..., None] * nodes
    points = np.array([np.repeat(points[0], count, axis=1), np.tile(points[1], (1, count))])
    share = ((last - first) / (high - low)).prod(axis=0)
    return points, np.log(np.outer(weights, weights).ravel() / 4 * share[:, None])


def _correction(window, rows, narrow, others, n_broad, position, spread, laplace):
    """Ln of the ratio of the quadrature over narrow velocity and ln dispersion to `laplace`, the rest held.

    `others` are the continuum and the broad columns.
    """
    points, log_weight = _quadrature(narrow, position[:2], spread[:2], _NARROW_NODES)
    inside, n_columns, size = narrow.support, narrow.ties.shape[1], narrow.ties.shape[1] + others.shape[1]
    weight, flux = window.weight[rows], window.flux[rows]
    columns = narrow.columns(points[0], np.exp(points[1]), derivatives=False, whole=False)[0]
    n, n_nodes = columns.shape[:2]
    flat = columns.reshape(n, n_nodes * n_columns, -1)
    weighted = others * weight[:, None]
    gram, right = np.empty((size, size, n, n_nodes)), np.empty((size, n, n_nodes))
    own = (columns * weight[:, None, None, inside]) @ columns.transpose(0, 1, 3, 2)
    gram[:n_columns, :n_columns] = own.transpose(2, 3, 0, 1)
    cross = (flat @ weighted[..., inside].transpose(0, 2, 1)).reshape(n, n_nodes, n_columns, -1)
    gram[:n_columns, n_columns:] = cross.transpose(2, 3, 0, 1)
    gram[n_columns:, :n_columns] = cross.transpose(3, 2, 0, 1)
    gram[n_columns:, n_columns:] = (weighted @ others.transpose(0, 2, 1)).transpose(1, 2, 0)[..., None]
    data = (flat @ (weight * flux)[:, inside, None]).reshape(n, n_nodes, n_columns)
    right[:n_columns] = data.transpose(2, 0, 1)
    right[n_columns:] = (weighted @ flux[:, :, None])[:, :, 0].T[..., None]
    bounds = Bounds(narrow.pair, tuple(range(size - n_broad, size)))
    value, _, _ = _gaussian(gram, right, window.square[rows][:, None], bounds)
    value += log_weight + np.log(narrow.high[0] - narrow.low[0]) + np.log(np.log(narrow.high[1] / narrow.low[1]))
    peak = value.max(axis=1)
    return peak + np.log(np.exp(value - peak[:, None]).sum(axis=1)) - laplace


def _gaussian(gram, right, square, bounds):
    """Ln of the integral of exp(-chi2 / 2) over all parameters of normal equations, amplitudes within `bounds`.

    Returns it with the means and the covariance of the parameters without the bounds.
    """
    factor, scale = decomposition = linalg.cholesky(gram)
    mean, covariance = linalg.solve(decomposition, right), linalg.inverse(decomposition)
    log_determinant = sum(
        np.log(factor[k][k]) - np.log(np.where(scale[k] > 0, scale[k], 1.0)) for k in range(len(gram))
    )
    chi2 = square - (mean * right).sum(axis=0)
    value = -0.5 * chi2 - log_determinant + 0.5 * len(gram) * _LOG_2PI
    return value + _log_signs(mean, covariance, bounds), mean, covariance


class _Products:
    """Weighted products of the narrow columns, continuum and derivatives of the narrow columns, and broad columns."""

    def __init__(self, columns, weight, flux):
        self.weighted = columns * weight[:, None]
        self.common = (self.weighted @ columns.transpose(0, 2, 1)).transpose(1, 2, 0)[..., None]
        self.right = (self.weighted @ flux[:, :, None])[:, :, 0].T[..., None]
        self.cross = self.own = self.right_broad = None

    def join(self, broad, weight, flux):
        """Add broad columns, shape (n, nodes, n_broad, n_channels)."""
        n, n_nodes, n_broad, n_channels = broad.shape
        flat = broad.reshape(n, n_nodes * n_broad, n_channels)
        cross = flat @ self.weighted.transpose(0, 2, 1)
        self.cross = cross.reshape(n, n_nodes, n_broad, -1).transpose(2, 3, 0, 1)
        self.own = ((broad * weight[:, None, None]) @ broad.transpose(0, 1, 3, 2)).transpose(2, 3, 0, 1)
        data = flat @ (weight * flux)[:, :, None]
        self.right_broad = data.reshape(n, n_nodes, n_broad).transpose(2, 0, 1)

    def linear(self, size):
        """Return the normal equations of the first `size` common columns and the broad ones."""
        if self.cross is None:
            return self.common[:size, :size], self.right[:size]
        n_broad, shape = len(self.own), self.own.shape[2:]
        gram = np.empty((size + n_broad, size + n_broad, *shape))
        gram[:size, :size] = self.common[:size, :size]
        gram[size:, :size] = self.cross[:, :size]
        gram[:size, size:] = gram[size:, :size].transpose(1, 0, 2, 3)
        gram[size:, size:] = self.own
        right = np.empty((size + n_broad, *shape))
        right[:size], right[size:] = self.right[:size], self.right_broad
        return gram, right


def _laplace(grams, narrow, n_broad, square, position):
    """Ln of the integral over amplitudes, narrow velocity and narrow ln dispersion, shape (n, nodes)."""
    n_columns = narrow.ties.shape[1]
    size = n_columns + 2
    gram, right = grams.linear(size)
    full = size + n_broad
    shape = gram.shape[2:]
    bounds = Bounds(narrow.pair, tuple(range(size, full)))
    amplitude, _ = solve_signed(gram.reshape(full, full, -1), right.reshape(full, -1), bounds)
    amplitude = amplitude.reshape(full, *shape)[:n_columns]
    joint, vector = np.empty((full + 2, full + 2, *shape)), np.empty((full + 2, *shape))
    joint[:full, :full], vector[:full] = gram, right
    slopes = [slice(size, size + n_columns), slice(size + n_columns, size + 2 * n_columns)]
    for p, part in enumerate(slopes):
        row = joint[full + p]
        row[:size] = (amplitude[:, None] * grams.common[part, :size]).sum(axis=0)
        if n_broad:
            row[size:full] = (amplitude * grams.cross[:, part]).sum(axis=1)
        joint[:full, full + p] = row[:full]
        vector[full + p] = (amplitude * grams.right[part]).sum(axis=0)
        for q, other in enumerate(slopes):
            inner = (amplitude[:, None] * grams.common[part, other]).sum(axis=0)
            row[full + q] = (inner * amplitude).sum(axis=0)
    low = np.array([narrow.low[0], np.log(narrow.low[1])])
    high = np.array([narrow.high[0], np.log(narrow.high[1])])
    for p in range(2):
        joint[full + p, full + p] += (_LOOSE * (high[p] - low[p])) ** -2.0
    value, solution, covariance = _gaussian(joint, vector, square, bounds)
    middle = np.array([position[0], np.log(position[1])])[..., None]
    for p in range(2):
        sigma = np.sqrt(np.maximum(covariance[full + p, full + p], 1e-300))
        centre = middle[p] + solution[full + p]
        value += _log_between((low[p] - centre) / sigma, (high[p] - centre) / sigma)
    return value


def _log_signs(mean, covariance, bounds):
    """Ln of the probability that amplitudes keep their bounds: the pair may be both positive or both negative."""
    positive = list(bounds.positive)
    if bounds.pair is None:
        return log_orthant(mean[positive], covariance[np.ix_(positive, positive)])
    index = [*positive, *bounds.pair]
    parts = []
    for sign in (1.0, -1.0):
        signs = np.array([1.0] * len(positive) + [sign, sign]).reshape(-1, *[1] * (mean.ndim - 1))
        parts.append(log_orthant(signs * mean[index], signs[:, None] * signs[None] * covariance[np.ix_(index, index)]))
    return np.logaddexp(*parts)


def _log_between(low, high):
    """Ln of the probability that a standard normal variable lies between `low` and `high`."""
    flip = low > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    upper, lower = log_ndtr(high), log_ndtr(low)
    return upper + np.log1p(-np.exp(np.minimum(lower - upper, -1e-15)))


def _broad_prior(products, moments, square, n_columns):
    """Ln of the density of the broad amplitudes: 1 / (S sigma) each, sigma the error with the continuum alone."""
    cross, own = products.cross, products.own
    determinant = moments[0] * moments[2] - moments[1] ** 2
    total = np.zeros(own.shape[2:])
    for k in range(len(own)):
        a, b = cross[k, n_columns], cross[k, n_columns + 1]
        shared = (moments[2] * a * a - 2 * moments[1] * a * b + moments[0] * b * b) / np.where(
            determinant > 0, determinant, 1.0
        )
        information = np.maximum(own[k, k] - shared, 1e-12 * own[k, k])
        alive = own[k, k] > 0
        total += np.where(alive, 0.5 * np.log(np.where(alive, information, 1.0) / square), 0.0)
    return total

"""Covariance of neighbouring spaxels in combined cubes: what the error of a sum is, against independent voxels."""

import numpy as np
from scipy import sparse

__all__ = ["SIZES", "covariance_factor", "predicted_covariance"]

SIZES = (1, 2, 3, 5, 8, 12)  # spaxels a side
_FEWEST = 50  # squares that give a scatter
_FEWEST_PER_CHANNEL = 9  # below it the median of a channel would take the noise with it


def covariance_factor(flux, error, sizes=SIZES):
    """Measure by how much the noise of sums over squares of spaxels exceeds that of independent voxels.

    Parameters
    ----------
    flux, error : ndarray, shape (n_wave, ny, nx)
        Source-free, sky-subtracted; NaN is left out.
    sizes : sequence of int
        Sides of the squares, spaxels.

    Returns
    -------
    dict of int to float
        68th percentile of |sum| / sqrt(sum of variances); NaN where fewer than 50 squares have data.  1 for one spaxel
        says that the error of a voxel is right.  Where a channel has nine squares or more their median, which is
        left-over sky and no noise, is taken off.
    """
    finite = np.isfinite(flux) & np.isfinite(error)
    values, variance = np.where(finite, flux, 0).astype(float), np.where(finite, error, 0).astype(float) ** 2
    result = {}
    for size in sizes:
        whole = _squares(finite.astype(float), size) == size**2
        if whole.sum() < _FEWEST:
            result[size] = np.nan
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(whole, _squares(values, size) / np.sqrt(_squares(variance, size)), np.nan)
        number = whole.sum(axis=1)
        if np.median(number[number > 0]) >= _FEWEST_PER_CHANNEL:
            ratio = ratio[number > 0] - np.nanmedian(ratio[number > 0], axis=1, keepdims=True)
        result[size] = float(np.nanquantile(np.abs(ratio), 0.6827))
    return result


def predicted_covariance(operators, shape, sizes=SIZES):
    """Return the same factors for independent voxels of equal variance in the exposures, from the operators alone.

    Parameters
    ----------
    operators : list of scipy.sparse.csr_matrix
        From `klever.reduce.resample.drizzle_operator`.
    shape : (int, int)
        Of the output.
    sizes : sequence of int

    Returns
    -------
    dict of int to float
        Rms over the squares that at least half the median exposure covers; NaN without any.
    """
    weight = np.sum([np.asarray(operator.sum(axis=1)).ravel() for operator in operators], axis=0)
    inverse = sparse.diags(np.divide(1.0, weight, out=np.zeros_like(weight), where=weight > 0))
    mean = (inverse @ sparse.hstack(operators)).tocsr()
    own = np.asarray(mean.multiply(mean).sum(axis=1)).ravel()
    covered = (weight > 0.5 * np.median(weight[weight > 0])).astype(float)
    result = {}
    for size in sizes:
        binning = _binning(shape, size)
        sums = (binning @ mean).tocsr()
        variance = np.asarray(sums.multiply(sums).sum(axis=1)).ravel()
        full = binning @ covered > size**2 - 0.5
        result[size] = float(np.sqrt(np.mean(variance[full] / (binning @ own)[full]))) if full.any() else np.nan
    return result


def _squares(values, size):
    """Add up squares of `size` spaxels, shape (n_wave, n_squares)."""
    ny, nx = (n // size for n in values.shape[1:])
    cut = values[:, : ny * size, : nx * size]
    return cut.reshape(len(values), ny, size, nx, size).sum(axis=(2, 4)).reshape(len(values), -1)


def _binning(shape, size):
    ny, nx = (n // size for n in shape)
    y, x = (c.ravel() for c in np.mgrid[: shape[0], : shape[1]])
    member = np.flatnonzero((y < ny * size) & (x < nx * size))
    square = (y[member] // size) * nx + x[member] // size
    return sparse.csr_matrix((np.ones(member.size), (square, member)), shape=(ny * nx, y.size))

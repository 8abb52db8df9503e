"""Spatial Gaussian smoothing of cubes with masks, and the errors that follow when neighbouring spaxels are correlated.

The Gaussian is separable, so smoothing is one small dense matrix along each spatial axis, applied to all channels at
once; so is every term of the error propagation, because a product of shifted Gaussian kernels is separable too.
"""

import numpy as np

__all__ = ["kernel", "smooth", "smoothed_autocorrelation", "smoothed_variance"]

_TRUNCATE = 4.0  # sigma
_FWHM_PER_SIGMA = 2.3548200450309493
_MINIMUM_SUPPORT = 0.25  # of the kernel's weight on valid spaxels


def kernel(fwhm):
    """One-dimensional Gaussian kernel of `fwhm` spaxels, integrated over spaxels, truncated at 4 sigma, of unit sum."""
    from scipy.special import ndtr

    sigma = fwhm / _FWHM_PER_SIGMA
    if sigma < 0.05:
        return np.ones(1)
    radius = int(np.ceil(_TRUNCATE * sigma))
    edges = (np.arange(2 * radius + 2) - radius - 0.5) / sigma
    weights = np.diff(ndtr(edges))
    return weights / weights.sum()


def smooth(values, valid, fwhm):
    """Smooth the spatial axes, missing values left out of each average (normalised convolution).

    Parameters
    ----------
    values : ndarray, shape (..., ny, nx)
    valid : ndarray of bool, same shape
        Voxels to use; the others do not enter and may be NaN.
    fwhm : float
        Of the Gaussian, in spaxels.

    Returns
    -------
    smoothed : ndarray
        NaN where less than a quarter of the kernel's weight is on valid voxels.
    weight : ndarray
        The kernel's weight on valid voxels, 0-1.
    """
    along_y, along_x = (_matrix(kernel(fwhm), size) for size in values.shape[-2:])
    weight = along_y @ valid.astype(float) @ along_x.T
    total = along_y @ np.where(valid, values, 0.0) @ along_x.T
    enough = weight > _MINIMUM_SUPPORT
    return np.where(enough, total / np.where(enough, weight, 1.0), np.nan), weight


def smoothed_variance(error, valid, fwhm, autocorrelation, weight=None):
    """Variance of `smooth`'s result: sum over pairs of w_i w_j s_i s_j rho_ij.

    Parameters
    ----------
    error : ndarray, shape (..., ny, nx)
        1 sigma of the unsmoothed voxels.
    valid : ndarray of bool, same shape
    fwhm : float
        Spaxels.
    autocorrelation : ndarray, shape (2 k + 1, 2 m + 1)
        Of the noise between spaxels by lag (y, x), 1 at the centre, symmetric; ``[[1]]`` for independent spaxels.
    weight : ndarray, optional
        The second result of `smooth`, to save computing it.

    Returns
    -------
    ndarray
        NaN where `smooth` gives NaN.
    """
    ny, nx = error.shape[-2:]
    taps = kernel(fwhm)
    if weight is None:
        weight = _matrix(taps, ny) @ valid.astype(float) @ _matrix(taps, nx).T
    sigma = np.where(valid, error, 0.0)
    half_y, half_x = (size // 2 for size in autocorrelation.shape)
    variance = np.zeros(error.shape)
    for lag_x in range(-half_x, half_x + 1):
        if abs(lag_x) >= nx:
            continue
        partial, used = np.zeros(error.shape), False
        for lag_y in range(half_y + 1):
            # pairs (lag) and (-lag) contribute the same: one half plane, counted twice
            if lag_y >= ny or (lag_y == 0 and lag_x < 0):
                continue
            rho = autocorrelation[half_y + lag_y, half_x + lag_x]
            if rho == 0:
                continue
            used = True
            pairs = sigma * _shifted(sigma, lag_y, lag_x)
            twice = 1.0 if lag_y == 0 and lag_x == 0 else 2.0
            partial += (twice * rho) * (_pair_matrix(taps, ny, lag_y) @ pairs)
        if used:
            variance += partial @ _pair_matrix(taps, nx, lag_x).T
    enough = weight > _MINIMUM_SUPPORT
    return np.where(enough, np.maximum(variance, 0.0) / np.where(enough, weight, 1.0) ** 2, np.nan)


def smoothed_autocorrelation(autocorrelation, fwhm, threshold=1e-3):
    """Autocorrelation of uniform noise after smoothing: the input convolved with the kernel's own autocorrelation.

    Returns
    -------
    ndarray of odd shape
        1 at the centre; trimmed to the lags that reach `threshold` in absolute value.
    """
    taps = kernel(fwhm)
    own = np.convolve(taps, taps[::-1])
    result = np.apply_along_axis(np.convolve, 0, np.asarray(autocorrelation, float), own)
    result = np.apply_along_axis(np.convolve, 1, result, own)
    centre_y, centre_x = (size // 2 for size in result.shape)
    result = result / result[centre_y, centre_x]
    rows, columns = np.nonzero(np.abs(result) >= threshold)
    reach_y, reach_x = np.abs(rows - centre_y).max(), np.abs(columns - centre_x).max()
    return result[centre_y - reach_y : centre_y + reach_y + 1, centre_x - reach_x : centre_x + reach_x + 1]


def _matrix(taps, size):
    """Smoothing along one axis, M[p, i] = k(p - i), shape (size, size)."""
    radius = len(taps) // 2
    offset = np.subtract.outer(np.arange(size), np.arange(size))
    return np.where(np.abs(offset) <= radius, taps[np.clip(offset + radius, 0, 2 * radius)], 0.0)


def _pair_matrix(taps, size, lag):
    """Weight of the pair (i, i + lag) in the square of a smoothed value, M[p, i] = k(p - i) k(p - i - lag)."""
    matrix = _matrix(taps, size)
    partner = np.zeros_like(matrix)
    here, there = slice(max(0, -lag), size - max(0, lag)), slice(max(0, lag), size - max(0, -lag))
    partner[:, here] = matrix[:, there]
    return matrix * partner


def _shifted(array, lag_y, lag_x):
    """Array whose element (y, x) is ``array[y + lag_y, x + lag_x]``, 0 outside."""
    ny, nx = array.shape[-2:]
    result = np.zeros_like(array)
    to_x, from_x = slice(max(0, -lag_x), nx - max(0, lag_x)), slice(max(0, lag_x), nx - max(0, -lag_x))
    result[..., : ny - lag_y, to_x] = array[..., lag_y:, from_x]
    return result

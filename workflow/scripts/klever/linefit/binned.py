"""Spectra of bins of spaxels, and maps of what was measured in them."""

from itertools import product

import numpy as np

__all__ = ["NO_BIN", "average_spectra", "binned_autocorrelation", "spaxel_pairs", "spread"]

NO_BIN = -1

_SUPPORT = 0.5  # of a bin's spaxels that must be valid in a channel


def average_spectra(flux, error, valid, bins, autocorrelation):
    """Mean spectrum of the spaxels of each bin, not weighted, so that a map of bin means keeps the total flux.

    Parameters
    ----------
    flux, error : ndarray, shape (n_channels, ny, nx)
    valid : ndarray of bool, shape (n_channels, ny, nx)
        Voxels to use; the others may be NaN.
    bins : ndarray of int, shape (ny, nx)
        From `klever.linefit.binning.bin_spaxels`.
    autocorrelation : ndarray
        See `klever.linefit.binning.bin_spaxels`.

    Returns
    -------
    flux, error : ndarray, shape (n_bins, n_channels)
        Per spaxel.  The variance is the sum over pairs of spaxels of s_i s_j rho_ij / n^2.  NaN in channels that fewer
        than half of the bin's spaxels have: what is left may be another part of the bin.
    """
    inside = bins != NO_BIN
    member = bins[inside]
    size = np.bincount(member)
    good = valid[:, inside].T
    number = _sums(good.astype(float), member, len(size))
    enough = number >= _SUPPORT * size[:, None]
    divisor = np.where(enough, number, 1.0)
    mean = _sums(np.where(good, flux[:, inside].T, 0.0), member, len(size)) / divisor
    sigma = np.where(good, error[:, inside].T, 0.0)
    unit = np.median(sigma[good]) if good.any() else 1.0
    sigma = sigma / unit
    index = np.full(bins.shape, NO_BIN)
    index[inside] = np.arange(len(member))
    variance = np.zeros(mean.shape)
    half_y, half_x = (length // 2 for length in autocorrelation.shape)
    for (lag_y, lag_x), first, second in spaxel_pairs(index, half_y, half_x):
        rho = autocorrelation[half_y + lag_y, half_x + lag_x]
        same = member[first] == member[second]
        if rho == 0 or not same.any():
            continue
        first, second = first[same], second[same]
        twice = 1.0 if lag_y == 0 and lag_x == 0 else 2.0  # the lag and its opposite
        variance += twice * rho * _sums(sigma[first] * sigma[second], member[first], len(size))
    spectra_error = unit * np.sqrt(np.maximum(variance, 0.0)) / divisor
    return np.where(enough, mean, np.nan), np.where(enough, spectra_error, np.nan)


def spread(values, bins, fill):
    """Return a map, shape (ny, nx), that holds a value per bin, shape (n_bins,), in all its spaxels, else `fill`."""
    values = np.asarray(values)
    result = np.full(bins.shape, fill, dtype=values.dtype)
    inside = bins != NO_BIN
    result[inside] = values[bins[inside]]
    return result


def binned_autocorrelation(bins, autocorrelation, max_lag=12):
    """Autocorrelation of the noise of a map whose spaxels hold the means of bins, averaged over the map.

    Two spaxels of one bin share one value (1), those of different bins what the noise of the cube correlates across
    their edge.  The mean over all pairs at a lag stands for the pairs of the map, which are not alike everywhere.

    Parameters
    ----------
    bins : ndarray of int, shape (ny, nx)
    autocorrelation : ndarray
        Of the noise of the cube, see `klever.linefit.binning.bin_spaxels`; the same noise in all spaxels is assumed.
    max_lag : int
        Spaxels.

    Returns
    -------
    ndarray, shape (2 max_lag + 1, 2 max_lag + 1)
        1 at the centre, symmetric under inversion; 0 at lags without pairs.  White noise without any bin.
    """
    inside = bins != NO_BIN
    result = np.zeros((2 * max_lag + 1,) * 2)
    result[max_lag, max_lag] = 1.0
    if not inside.any():
        return result
    member = bins[inside]
    number = int(member.max()) + 1
    index = np.full(bins.shape, NO_BIN)
    index[inside] = np.arange(len(member))
    covariance = np.zeros((number, number))  # of the bins' sums
    half_y, half_x = (length // 2 for length in autocorrelation.shape)
    for (lag_y, lag_x), first, second in spaxel_pairs(index, half_y, half_x):
        counts = np.bincount(member[first] * number + member[second], minlength=number**2).reshape(number, number)
        both = counts if lag_y == 0 and lag_x == 0 else counts + counts.T
        covariance += autocorrelation[half_y + lag_y, half_x + lag_x] * both
    sigma = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    correlation = covariance / np.outer(sigma, sigma)
    for (lag_y, lag_x), first, second in spaxel_pairs(index, max_lag, max_lag):
        if first.size and (lag_y, lag_x) != (0, 0):
            mean = correlation[member[first], member[second]].mean()
            result[max_lag + lag_y, max_lag + lag_x] = result[max_lag - lag_y, max_lag - lag_x] = mean
    return result


def spaxel_pairs(index, half_y, half_x):
    """Yield pairs of spaxels at each lag (y, x) of one half plane, lag zero first.

    Parameters
    ----------
    index : ndarray of int, shape (ny, nx)
        Numbers of the spaxels; `NO_BIN` is left out.
    half_y, half_x : int
        Largest lags.

    Yields
    ------
    lag : (int, int)
    first, second : ndarray of int
        Numbers of the spaxels at (y, x), and of those at (y, x) + lag.
    """
    ny, nx = index.shape
    for lag_y, lag_x in product(range(min(half_y, ny - 1) + 1), range(-half_x, half_x + 1)):
        if abs(lag_x) >= nx or (lag_y == 0 and lag_x < 0):
            continue
        left, right = max(0, -lag_x), nx - max(0, lag_x)
        here, there = index[: ny - lag_y, left:right], index[lag_y:, left + lag_x : right + lag_x]
        both = (here != NO_BIN) & (there != NO_BIN)
        yield (lag_y, lag_x), here[both], there[both]


def _sums(values, member, number):
    """Sum of the rows of `values`, shape (n, n_channels), of each member number."""
    from scipy.sparse import csr_array

    rows = csr_array((np.ones(len(member)), (member, np.arange(len(member)))), shape=(number, len(member)))
    return rows @ values

"""Noise of a cube: an error where the file has none, its spatial autocorrelation, and how true a given error is."""

from itertools import pairwise

import numpy as np

__all__ = ["continuum", "estimate_error", "nanmedian", "noise_scale", "spatial_autocorrelation"]

_ONE_SIGMA = 0.6826894921370859  # fraction of a Gaussian within 1 sigma
_BLOCK = 64  # channels per median of the continuum: wider than any line, narrower than the continuum's structure
_FEWEST = 8  # spaxels that give the scatter of a channel
_CACHED = 2**17  # values that are sorted at a time
_CLIP = 4.0  # sigma: residuals beyond it (lines, cosmic rays) do not enter the autocorrelation


def continuum(flux):
    """Return a smooth continuum of every spaxel: medians of blocks of 64 channels, joined by straight lines.

    Parameters
    ----------
    flux : ndarray, shape (n_wave, ny, nx)
        NaN is missing.

    Returns
    -------
    ndarray, shape (n_wave, ny, nx)
        NaN in spaxels without data.
    """
    n_wave = flux.shape[0]
    n_blocks = max(n_wave // _BLOCK, 1)
    edges = np.linspace(0, n_wave, n_blocks + 1).astype(int)
    medians = np.stack([nanmedian(flux[a:b], axis=0) for a, b in pairwise(edges)])
    _fill_nearest(medians)
    centres = 0.5 * (edges[:-1] + edges[1:] - 1)
    position = np.interp(np.arange(n_wave), centres, np.arange(n_blocks))
    below = np.minimum(position.astype(int), max(n_blocks - 2, 0))
    result = np.empty(flux.shape)
    for low in range(max(n_blocks - 1, 1)):  # written once, part by part: the arrays are the whole cost
        part = slice(*np.searchsorted(below, (low, low + 1)))
        rise = medians[min(low + 1, n_blocks - 1)] - medians[low]
        np.multiply(rise, (position - below)[part, None, None], out=result[part])
        result[part] += medians[low]
    return result


def estimate_error(flux, wavelength):
    """Estimate a 1 sigma error for a cube that came without: a channel's scatter times a spaxel's relative noise.

    The scatter of a channel is that of its source-free spaxels (the 60 per cent faintest in the collapsed cube) after
    the continuum is removed, so sky lines stay as sharp as they are.  Where the source fills the field, its lines would
    be taken for noise: the scatter of a channel is therefore no larger than its fine structure allows, the mixed second
    difference of 3 x 3 spaxels, which has no memory of anything smooth (see `_channel_scatter`).  The relative noise of
    a spaxel is the scatter of its differences of neighbouring channels: it knows about vignetted edges and exposure
    maps, and neither continuum nor lines enter it.  Every scatter is the 68th percentile of the absolute values: a
    third of them may be anything.

    Parameters
    ----------
    flux : ndarray, shape (n_wave, ny, nx)
        NaN is missing.
    wavelength : ndarray, shape (n_wave,)
        Micrometre; channels further apart than 1.5 steps are not neighbours.

    Returns
    -------
    ndarray, shape (n_wave, ny, nx)
        In the unit of `flux`; NaN where `flux` is, and where nothing scatters (a constant has no measurable noise).
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        scale = _typical(flux)
        data = flux / scale
        residual = continuum(data)
        np.subtract(data, residual, out=residual)
        relative = np.ones(flux.shape[1:])
        faint = _faint_spaxels(data)
        fine, inner = _fine_structure(residual, faint)
        residual = residual[:, faint]
        for _ in range(2):  # the channels' noise whitens the differences that give the spaxels', and back
            channel = _channel_scatter(residual / relative[faint], fine / relative[inner])
            pairs = np.hypot(channel[1:], channel[:-1])
            steps = np.diff(wavelength)
            if steps.size:
                pairs[steps > 1.5 * np.median(steps)] = np.nan
            rows = (np.diff(data[:, row], axis=0) / pairs[:, None] for row in range(data.shape[1]))
            spaxel = np.array([_scatter(difference, axis=0) for difference in rows])
            spaxel /= nanmedian(spaxel[faint & np.isfinite(spaxel)], axis=0)
            relative = np.where(np.isfinite(spaxel) & (spaxel > 0), spaxel, 1.0)
        channel = _channel_scatter(residual / relative[faint], fine / relative[inner])
        error = channel[:, None, None] * relative
        error *= scale
        error[~(np.isfinite(flux) & (error > 0))] = np.nan
    return error


def noise_scale(flux, error, dq):
    """Return the empirical rms of the continuum-subtracted residuals over the given error (1 is a true error).

    Parameters
    ----------
    flux, error : ndarray, shape (n_wave, ny, nx)
    dq : ndarray of uint8, shape (n_wave, ny, nx)
        Only voxels with 0 count.

    Returns
    -------
    float
        From the 68th percentile of the absolute residuals (the median is biased low by 1.5 per cent, because a block's
        median takes its middle value to zero); NaN without good voxels.
    """
    residual = _normalised_residuals(flux, error, dq)
    return float(_scatter(residual[np.isfinite(residual)], axis=0))


def spatial_autocorrelation(flux, error, dq, max_lag=4):
    """Return the autocorrelation of the noise between spaxels of one channel, averaged over channels.

    Residuals from the continuum, divided by the error, beyond 4 sigma are left out (they are lines or cosmic rays), so
    the result is that of the noise alone.  Every lag is normalised by its own number of pairs: gaps and edges do not
    bias it.

    Parameters
    ----------
    flux, error : ndarray, shape (n_wave, ny, nx)
    dq : ndarray of uint8, shape (n_wave, ny, nx)
        Only voxels with 0 count.
    max_lag : int
        Spaxels.

    Returns
    -------
    ndarray, shape (2 max_lag + 1, 2 max_lag + 1)
        1 at the centre, symmetric under inversion; 0 at lags without pairs.  Without any good voxel: white noise.
    """
    centre = (max_lag, max_lag)
    residual = _normalised_residuals(flux, error, dq)
    good = np.isfinite(residual)
    scatter = _scatter(residual[good], axis=0)
    white = np.zeros((2 * max_lag + 1,) * 2)
    white[centre] = 1.0
    if not scatter > 0:
        return white
    with np.errstate(invalid="ignore"):
        good &= np.abs(residual) < _CLIP * scatter
    residual = np.where(good, residual, 0.0).astype(np.float32)
    products, pairs = _correlate(residual, max_lag), _correlate(good.astype(np.float32), max_lag)
    enough = pairs > 0.5
    covariance = np.where(enough, products / np.where(enough, pairs, 1.0), 0.0)
    return covariance / covariance[centre] if covariance[centre] > 0 else white


def _correlate(planes, max_lag):
    """Sum over planes of the autocorrelation at all lags up to `max_lag`; padding keeps it from wrapping around."""
    ny, nx = (n + max_lag for n in planes.shape[1:])
    power = np.zeros((ny, nx // 2 + 1))
    for start in range(0, len(planes), 256):
        transform = np.fft.rfft2(planes[start : start + 256], s=(ny, nx), axes=(1, 2))
        power += np.sum(transform.real**2 + transform.imag**2, axis=0, dtype=float)
    full = np.fft.irfft2(power, s=(ny, nx))
    lags = np.arange(-max_lag, max_lag + 1)
    inside_y, inside_x = (np.abs(lags) < n for n in planes.shape[1:])  # longer lags than the field have no pairs
    return full[np.ix_(lags % ny, lags % nx)] * inside_y[:, None] * inside_x[None, :]


def _normalised_residuals(flux, error, dq):
    good = dq == 0
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        data = np.where(good, flux, np.nan)
        scale = _typical(data)
        data /= scale
        data -= continuum(data)
        scaled = error / scale
        scaled[~(error > 0)] = np.nan
        data /= scaled
        return data


def _fine_structure(residual, faint):
    """Mixed second difference of 3 x 3 spaxels at the faint ones, and where those are, shape (ny, nx).

    Taken before any division by the relative noise of the spaxels, whose own errors would make a smooth line rough.
    """
    inner = np.zeros_like(faint)
    inner[1:-1, 1:-1] = faint[1:-1, 1:-1]
    found = np.empty((len(residual), np.count_nonzero(inner)))
    for start in range(0, len(residual), _BLOCK):  # in blocks that fit the processor's cache
        block = residual[start : start + _BLOCK]
        rows = block[:, 2:] - 2 * block[:, 1:-1] + block[:, :-2]
        mixed = rows[:, :, 2:] - 2 * rows[:, :, 1:-1] + rows[:, :, :-2]
        found[start : start + _BLOCK] = mixed[:, inner[1:-1, 1:-1]]
    return found, inner


def _channel_scatter(values, fine):
    """Scatter of each channel over the faint spaxels; channels with fewer than 8 of them take the band's.

    A line of a source that fills the field is smooth from spaxel to spaxel, noise is not.  The scatter of the mixed
    second difference, times the band's usual ratio of the two (which correlated spaxels raise), is what the channel's
    noise can be; a scatter that exceeds it by more than its own uncertainty holds a line.

    Parameters
    ----------
    values, fine : ndarray, shape (n_wave, n_spaxels), (n_wave, n_inner_spaxels)
        Residuals and `_fine_structure`, both divided by the relative noise of the spaxel.

    Returns
    -------
    ndarray, shape (n_wave,)
    """
    scatter, count = _band_scatter(values)
    if not fine.shape[1]:
        return scatter
    fine, fine_count = _band_scatter(fine)
    possible = fine * nanmedian(scatter / fine, axis=0)
    significant = 1.25 + 4 / np.sqrt(2 * np.maximum(np.minimum(count, fine_count), 1))
    return np.where((fine_count >= _FEWEST) & (scatter > significant * possible), possible, scatter)


def _band_scatter(values):
    """Scatter of each channel about its median, and the number of values; the band's where there are few of them."""
    values = values - nanmedian(values, axis=1)[:, None]
    scatter = _scatter(values, axis=1)
    count = np.sum(np.isfinite(values), axis=1)
    if np.any(count < _FEWEST):
        scatter[count < _FEWEST] = _scatter(values.ravel(), axis=0)
    return scatter, count


def _faint_spaxels(data):
    """Spaxels among the 60 per cent faintest of the collapsed cube, shape (ny, nx)."""
    white = nanmedian(data, axis=0)
    finite = np.isfinite(white)
    if not finite.any():
        return finite
    return finite & (white <= np.quantile(white[finite], 0.6))


def _typical(flux):
    """Return the median of the non-zero |flux|, 1 if there is none: in this unit neither 1e-40 nor 1e+20 overflows."""
    size = flux[np.isfinite(flux) & (flux != 0)]
    return float(np.median(np.abs(size, out=size), overwrite_input=True)) if size.size else 1.0


def _scatter(values, axis):
    """Return the robust standard deviation about zero."""
    return _nanquantile(values, _ONE_SIGMA, axis, absolute=True)


def nanmedian(values, axis):
    """Return the median of the finite values along an axis, NaN where there are none."""
    return _nanquantile(values, 0.5, axis)


def _nanquantile(values, fraction, axis, absolute=False):
    """NaN-aware quantile by one sort; `numpy.nanquantile` is an order of magnitude slower on cubes with gaps.

    Of n values the k-th (from 1) is taken at k / (n + 1), its expected rank: 15 spaxels would else give a scatter that
    is 5 per cent too small.
    """
    lanes = np.moveaxis(values, axis, -1)
    result = np.full(lanes.shape[:-1], np.nan)
    if not lanes.size:
        return result
    if lanes.ndim == 1:
        return _ordered_quantile(lanes[None], fraction, absolute)[0]
    step = max(_CACHED // lanes[0].size, 1)  # values far apart in memory are brought together before they are sorted
    for start in range(0, len(lanes), step):
        result[start : start + step] = _ordered_quantile(lanes[start : start + step], fraction, absolute)
    return result


def _ordered_quantile(lanes, fraction, absolute):
    """Quantile of the finite values along the last axis, or of their sizes; NaN where there are none."""
    ordered = np.abs(lanes, order="C") if absolute else np.array(lanes, order="C")
    ordered.sort(axis=-1)  # NaN last
    count = np.sum(np.isfinite(ordered), axis=-1, keepdims=True)
    position = np.clip(fraction * (count + 1) - 1, 0, np.maximum(count - 1, 0))
    low = position.astype(int)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    lower, upper = (np.take_along_axis(ordered, index, axis=-1) for index in (low, high))
    with np.errstate(invalid="ignore"):
        result = lower + (position - low) * (upper - lower)
    return np.where(count > 0, result, np.nan)[..., 0]


def _fill_nearest(blocks):
    """Replace blocks without data by the nearest earlier, else later, block of the spaxel, in place."""
    for order in (range(1, len(blocks)), range(len(blocks) - 2, -1, -1)):
        for k in order:
            source = blocks[k - 1] if order.step > 0 else blocks[k + 1]
            blocks[k] = np.where(np.isfinite(blocks[k]), blocks[k], source)

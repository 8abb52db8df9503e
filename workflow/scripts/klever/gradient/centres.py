"""Centre of the apertures of a galaxy, and the pixels that are nearest to each of several centres (Sect. 4.2)."""

import numpy as np

__all__ = ["find_centre", "nearest_region"]


def find_centre(maps, measured, smoothing, minimum_snr):
    """Return the centre of the apertures: the peak of the first map with one (Sect. 4.2).

    A map is smoothed a little, and its highest pixel within the measured region is the peak if it is not merely the
    flank of something outside the region (no neighbour is brighter) and its S/N suffices. It is refined to the
    centroid in a Gaussian window around it, if that is within a pixel.

    Parameters
    ----------
    maps : list of tuple (name, value, error)
        In order of preference; value and error are arrays of shape (ny, nx), NaN where unusable, or None.
    measured : ndarray of bool, shape (ny, nx)
        Where the abundance is measured (in this region).
    smoothing : float
        FWHM of the circular Gaussian, pixels; 0 for none.
    minimum_snr : float
        Of the smoothed peak, its error taken as the mean error under the kernel, as if neighbours were fully
        correlated (source-plane pixels are much smaller than the PSF).

    Returns
    -------
    name, x, y : tuple, or None
        0-based pixels. None if no map has a peak.
    """
    for name, value, error in maps:
        if value is None or not np.any(np.isfinite(value) & measured):
            continue
        smooth = _smooth(value, smoothing)
        candidates = np.where(measured & np.isfinite(smooth), smooth, -np.inf)
        row, column = np.unravel_index(np.argmax(candidates), candidates.shape)
        peak = smooth[row, column]
        around = smooth[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        noise = _smooth(error, smoothing)[row, column] if error is not None else _scatter(smooth)
        if not peak > 0 or np.nanmax(around) > peak or not peak >= minimum_snr * noise:
            continue
        return name, *_centroid(smooth, row, column, 2 * smoothing)
    return None


def nearest_region(shape, seeds):
    """Return the index of the seed nearest to each pixel.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    seeds : list of tuple of float
        (x, y), 0-based pixels.

    Returns
    -------
    ndarray of int, shape (ny, nx)
    """
    y, x = np.indices(shape)
    return np.argmin([(x - seed_x) ** 2 + (y - seed_y) ** 2 for seed_x, seed_y in seeds], axis=0)


def _smooth(image, fwhm):
    """Convolve with a Gaussian, over the finite pixels only; NaN stays NaN."""
    if fwhm <= 0:
        return image
    sigma = fwhm / np.sqrt(8 * np.log(2))
    half = max(1, int(np.ceil(3 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    finite = np.isfinite(image)
    # scaled so that fluxes of 1e-20 and 1e20 pass alike
    scale = np.max(np.abs(image[finite]), initial=0.0) or 1.0
    total, weight = (_convolve(item, kernel) for item in (np.where(finite, image / scale, 0.0), finite.astype(float)))
    return np.where(finite, scale * total / np.where(finite, weight, 1.0), np.nan)


def _convolve(image, kernel):
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (len(kernel) // 2,) * 2
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(image, padding), len(kernel), axis=axis)
        image = windows @ kernel
    return image


def _scatter(image):
    finite = image[np.isfinite(image)]
    return 1.4826 * np.median(np.abs(finite - np.median(finite)))


def _centroid(image, row, column, fwhm):
    """Refine a peak by the centroid in a Gaussian window that follows it (as XWIN, YWIN of SExtractor).

    A window that stayed on the peak pixel would pull the centroid towards that pixel.
    """
    finite = np.isfinite(image)
    y, x = np.nonzero(finite)
    light = np.maximum(image[finite] / image[row, column], 0.0)
    sigma = max(fwhm, 1.5) / np.sqrt(8 * np.log(2))
    centre_x, centre_y = float(column), float(row)
    for _ in range(50):
        weight = light * np.exp(-0.5 * ((x - centre_x) ** 2 + (y - centre_y) ** 2) / sigma**2)
        shift_x, shift_y = (2 * np.sum(weight * item) / weight.sum() for item in (x - centre_x, y - centre_y))
        centre_x, centre_y = centre_x + shift_x, centre_y + shift_y
        if abs(centre_x - column) > 1 or abs(centre_y - row) > 1:
            return float(column), float(row)
        if np.hypot(shift_x, shift_y) < 1e-4:
            break
    return centre_x, centre_y

"""Flux in an aperture, and its error from apertures of the same area on empty sky."""

import numpy as np

from klever.photometry.detection import MAD_TO_SIGMA, sky_level

__all__ = ["aperture_flux", "empty_box_noise", "noise_in_area", "transfer"]

MINIMUM_BOXES = 12  # empty boxes that do not overlap


def transfer(aperture, shape, to_detection, n=4):
    """Bring an aperture (or any map of shares) of the detection image to another grid.

    Parameters
    ----------
    aperture : ndarray, shape (ny, nx)
        On the detection image.
    shape : (int, int)
        Of the other grid.
    to_detection : ndarray, shape (2, 3)
        Affine map from its pixels to those of the detection image, ``(x', y') = M (x, y, 1)``.
    n : int
        Points a side of each pixel.

    Returns
    -------
    ndarray
        Share of each pixel that is inside; outside the detection image nothing is.
    """
    yy, xx = np.indices(shape)
    steps = (np.arange(n) + 0.5) / n - 0.5
    inside = np.zeros(shape)
    for dy in steps:
        for dx in steps:
            x, y = np.einsum("ij,jkl->ikl", to_detection, np.array([xx + dx, yy + dy, np.ones(shape)]))
            column, row = np.rint(x).astype(int), np.rint(y).astype(int)
            valid = (row >= 0) & (row < aperture.shape[0]) & (column >= 0) & (column < aperture.shape[1])
            inside[valid] += aperture[row[valid], column[valid]]
    return inside / n**2


def empty_box_noise(data, blocked):
    """Scatter of the sums in all square boxes on empty sky, by their side.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        Background subtracted; NaN where there are no data.
    blocked : ndarray of bool, shape (ny, nx)
        Pixels of sources.

    Returns
    -------
    list of (int, float, int)
        Side (pixels), 1 sigma of the sum from its median absolute deviation, and how many such boxes fit beside each
        other; sides for which fewer than 12 do are left out.
    """
    closed = blocked | ~np.isfinite(data)
    light, shut = _running(np.where(closed, 0.0, data)), _running(closed.astype(float))
    found = []
    for side in (1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36):
        if side >= min(data.shape):
            break
        empty = _boxes(shut, side) < 0.5
        independent = empty.sum() / side**2
        if independent < MINIMUM_BOXES:
            break
        sums = _boxes(light, side)[empty]
        found.append((side, MAD_TO_SIGMA * float(np.median(np.abs(sums - np.median(sums)))), int(independent)))
    return found


def _running(data):
    return np.pad(np.cumsum(np.cumsum(data, 0), 1), ((1, 0), (1, 0)))


def _boxes(running, side):
    return running[side:, side:] - running[:-side, side:] - running[side:, :-side] + running[:-side, :-side]


def noise_in_area(boxes, area):
    """1 sigma of the sum over an area of sky, from `empty_box_noise`.

    Between the box sizes sigma is a power of the area (Labbe et al. 2003); beyond the largest it grows as the square
    root of the area, as it does where pixels are independent, or as it last did if that is faster.

    Parameters
    ----------
    boxes : list
        From `empty_box_noise`.
    area : float
        Pixels.

    Returns
    -------
    float
        NaN without empty sky.
    """
    boxes = [entry for entry in boxes if entry[1] > 0]
    if not boxes:
        return np.nan
    log_area = np.log([side**2 for side, _, _ in boxes])
    log_sigma = np.log([sigma for _, sigma, _ in boxes])
    target = np.log(area)
    if target <= log_area[-1]:
        return float(np.exp(np.interp(target, log_area, log_sigma)))
    slope = 0.5
    if len(boxes) >= 3:  # of the last sizes together: each alone is noisy
        slope = float(np.clip(np.polyfit(log_area[-3:], log_sigma[-3:], 1)[0], 0.5, 0.75))
    return float(np.exp(log_sigma[-1] + slope * (target - log_area[-1])))


def aperture_flux(data, inside, blocked):
    """Sum in an aperture above the level of the empty sky, and its error.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        Per pixel; NaN where there are no data.
    inside : ndarray, shape (ny, nx)
        Share of each pixel that is inside.
    blocked : ndarray of bool, shape (ny, nx)
        Pixels of sources; the aperture is added.

    Returns
    -------
    flux, error : float
        In the unit of the data; the error holds that of the sky level. NaN if more than a tenth of the aperture has no
        data; the rest is scaled to the whole aperture.
    """
    missing = ~np.isfinite(data)
    lost = float((inside * missing).sum() / inside.sum())
    if lost > 0.1 or not inside.sum() > 0:
        return np.nan, np.nan
    shut = blocked | (inside > 0)
    level, _ = sky_level(data, shut)
    empty = int((~shut & ~missing).sum())
    if not np.isfinite(level) or empty < 30:
        return np.nan, np.nan
    boxes = empty_box_noise(data - level, shut)
    area = float(inside.sum())
    flux = float((inside * np.where(missing, 0.0, data - level)).sum() / (1 - lost))
    sky_error = area * 1.2533 * noise_in_area(boxes, empty) / empty  # of a median
    return flux, float(np.hypot(noise_in_area(boxes, area), sky_error))

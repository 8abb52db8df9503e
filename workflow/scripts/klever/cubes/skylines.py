"""Channels on bright sky lines, single voxels hit by cosmic rays, and spaxels that are broken."""

import numpy as np

from klever.cubes.noise import continuum, nanmedian

__all__ = ["broken_spaxels", "outliers", "sky_line_mask"]

_WINDOW = 0.1  # of the band: width of the running median of the noise
_STRUCTURE = 1.5  # 99th percentile of the noise over its baseline below this: the noise knows nothing of the sky
_BRIGHT = 0.2  # of the strongest listed line in the band: a line this strong is masked
_FAINTEST = 100.0  # unit of the list: weaker lines are never masked, even where the band has no stronger one
_HALF_WIDTH = 1.5  # channels masked on each side of a listed line
_BROKEN = 1e3  # ratio of scatters that neither a seeing disc nor the edge of a field makes between adjacent spaxels
_NOISELESS = 1e-5  # of the flux: a smaller scatter is that of rounding


def sky_line_mask(wavelength, error, threshold, sky_lines=None):
    """Return the channels that lie on the brightest sky lines (Curti et al. 2020, Sect. 3.1).

    A channel is masked if its median noise exceeds `threshold` times the larger of the band's median noise and the
    running median over a tenth of the band, so the thermal rise at the red end of K is not taken for lines.  If the
    noise has no structure (an error estimated as constant, say), the list of lines decides: those with at least a
    fifth of the band's strongest line.

    Parameters
    ----------
    wavelength : ndarray, shape (n_wave,)
        Vacuum, micrometre.
    error : ndarray, shape (n_wave, ny, nx)
        1 sigma; NaN is ignored.
    threshold : float
        ``ingest.sky_line_threshold``.
    sky_lines : ndarray, shape (n_lines, 2), optional
        Vacuum wavelength (Angstrom) and strength: Rousselot et al. (2000).

    Returns
    -------
    mask : ndarray of bool, shape (n_wave,)
    source : str
        ``"noise"``, ``"line list"`` or ``"none"``: what the mask was made from.
    """
    noise = _median_noise(error)
    finite = np.isfinite(noise)
    if finite.any():
        baseline = np.maximum(np.median(noise[finite]), _running_median(noise))
        ratio = np.where(finite, noise / baseline, 0.0)
        if np.percentile(ratio[finite], 99) > _STRUCTURE:
            return ratio > threshold, "noise"
    if sky_lines is None or not len(sky_lines):
        return np.zeros(wavelength.size, dtype=bool), "none"
    return _listed(wavelength, np.asarray(sky_lines, dtype=float)), "line list"


def outliers(flux, error, sigma):
    """Return single voxels that stand out from their spectral and from their spatial neighbours.

    The excess over the spaxel's continuum must exceed `sigma` errors plus three times what the adjacent channels, and
    plus three times what the adjacent spaxels show.  A real emission line passes: sampled by two or more channels and
    by a seeing disc, its neighbours in both directions hold at least a third of its peak, however bright it is.

    Parameters
    ----------
    flux, error : ndarray, shape (n_wave, ny, nx)
        NaN is missing; a voxel without a neighbour in one of the two directions is never called an outlier.
    sigma : float
        ``ingest.outlier_sigma``.

    Returns
    -------
    ndarray of bool, shape (n_wave, ny, nx)
    """
    excess = continuum(flux)
    np.subtract(flux, excess, out=excess)
    with np.errstate(invalid="ignore"):
        candidates = np.argwhere(np.abs(excess) > sigma * error)
    result = np.zeros(flux.shape, dtype=bool)
    if not candidates.size:
        return result
    peak = np.abs(excess[tuple(candidates.T)])
    allowed = sigma * error[tuple(candidates.T)]
    spectral = [_beside(excess, candidates, (step, 0, 0)) for step in (-1, 1)]
    around = [(0, dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    spatial = [_beside(excess, candidates, step) for step in around]
    alone = np.ones(peak.size, dtype=bool)
    for neighbours in (spectral, spatial):
        size = np.abs(np.stack(neighbours))
        largest = np.max(np.where(np.isfinite(size), size, 0.0), axis=0)
        # noise of the neighbours must not shield a cosmic ray: two errors of it are free
        support = 3 * np.maximum(largest - 2 * allowed / sigma, 0.0)
        alone &= np.isfinite(size).any(axis=0) & (peak > allowed + support)
    result[tuple(candidates[alone].T)] = True
    return result


def _beside(cube, voxels, step):
    """Values one step away from voxels, shape (n,); NaN outside the cube."""
    places = voxels + step
    inside = np.all((places >= 0) & (places < cube.shape), axis=1)
    return np.where(inside, cube[tuple(np.where(inside[:, None], places, 0).T)], np.nan)


def broken_spaxels(flux):
    """Return spaxels whose scatter has nothing to do with that of their neighbours: dead, hot, or wrongly scaled.

    The scatter is the median difference of adjacent channels.  It is broken if it is zero, or a thousand times smaller
    or larger than the median of at least three adjacent spaxels.  Smoothed, one of them would spoil all around it.

    Parameters
    ----------
    flux : ndarray, shape (n_wave, ny, nx)
        NaN is missing; spaxels without data are not broken.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        scatter = nanmedian(np.abs(flux[1::4] - flux[: len(flux) - 1 : 4]), axis=0)
        level = nanmedian(np.abs(flux[::4]), axis=0)
        near, near_level = (nanmedian(_neighbours(values), axis=0) for values in (scatter, level))
        judged = np.isfinite(scatter) & (np.isfinite(_neighbours(scatter)).sum(axis=0) >= 3)
        judged &= near > _NOISELESS * near_level
        return judged & ~((scatter * _BROKEN > near) & (scatter < near * _BROKEN))


def _neighbours(image):
    """Return the images of each pixel's eight neighbours, NaN outside, shape (8, ny, nx)."""
    padded = np.pad(image, 1, constant_values=np.nan)
    ny, nx = image.shape
    shifts = [(dy, dx) for dy in range(3) for dx in range(3) if (dy, dx) != (1, 1)]
    return np.stack([padded[dy : dy + ny, dx : dx + nx] for dy, dx in shifts])


def _median_noise(error):
    """Median over spaxels of each channel, NaN for channels without any."""
    spectra = np.sort(error.reshape(len(error), -1), axis=1)
    count = np.sum(np.isfinite(spectra), axis=1)
    middle = spectra[np.arange(len(spectra)), np.maximum(count - 1, 0) // 2]
    return np.where(count > 0, middle, np.nan)


def _running_median(noise):
    half = max(int(_WINDOW * noise.size / 2), 1)
    padded = np.pad(noise, half, mode="edge")
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
    count = np.sum(np.isfinite(windows), axis=1)
    middle = windows[np.arange(noise.size), np.maximum(count - 1, 0) // 2]
    return np.where(count > 0, middle, 0.0)


def _listed(wavelength, sky_lines):
    position, strength = sky_lines[:, 0] * 1e-4, sky_lines[:, 1]
    step = np.gradient(wavelength) if wavelength.size > 1 else np.array([np.inf])
    inside = (position >= wavelength[0]) & (position <= wavelength[-1])
    mask = np.zeros(wavelength.size, dtype=bool)
    if not inside.any():
        return mask
    bright = inside & (strength >= max(_BRIGHT * strength[inside].max(), _FAINTEST))
    for centre in position[bright]:
        mask |= np.abs(wavelength - centre) <= _HALF_WIDTH * step
    return mask

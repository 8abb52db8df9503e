"""Adaptive spatial bins of one signal-to-noise ratio (PowerBin, Cappellari 2025, MNRAS 544, 1432) instead of smoothing.

Smoothing gives faint outskirts and a bright centre the same resolution; bins are as large as their S/N needs.  The
noise of neighbouring spaxels is correlated, so the variance of a bin is a sum over pairs of spaxels, as in `smoothing`.
What is done with the bins is in `binned`.
"""

from importlib import import_module
from itertools import product

import numpy as np

from klever.errors import ConfigError
from klever.linefit.binned import NO_BIN, spaxel_pairs
from klever.linefit.window import channels_of_group
from klever.spectral_lines import SPEED_OF_LIGHT

__all__ = ["bin_spaxels", "bins_of_band", "narrow_band"]

_HALF_WIDTH = 250.0  # km/s: the line within rotation and width of these galaxies, little of [N II] beside Halpha
_LINE_REACH = 500.0  # km/s around each line of the group that are no continuum
_NEIGHBOURHOOD_SNR = 1.5  # of 3 x 3 spaxels, below which a spaxel would only enlarge bins
_ISLAND = 0.5  # of the target S/N that a separate patch needs as a whole to be a bin
_ISLAND_SNR = 5.0  # that it needs at least: spaxels are chosen for being bright, so noise makes patches of S/N 3
_REACHED = 0.8  # of the target, below which a bin is joined to a neighbour (PowerBin equalises bins, some fall short)
_SUPPORT = 0.5  # of the channels of the line that must be valid
_FLOOR = 1e-6  # of the target: capacities must be positive


def bins_of_band(cube, band, options):
    """Bins of a band in which one line reaches the S/N asked for.

    Parameters
    ----------
    cube : klever.cubes.cube.Cube
    band : klever.linefit.cubefit.BandFit
    options : dict
        ``lines`` of the settings: bin_line (``auto`` or a line), bin_snr, window (km/s).

    Returns
    -------
    bins : ndarray of int, shape (ny, nx)
        See `bin_spaxels`.
    line : str or None
        The line that was used: ``bin_line`` if it is in the band, else the main line of the group that reaches the
        highest S/N in 3 x 3 spaxels; None in a band without lines.

    Raises
    ------
    ConfigError
        PowerBin is not installed.
    """
    _library()
    wanted = [(model, options["bin_line"]) for model in band.models if options["bin_line"] in model.names]
    bands = {}
    for model, line in wanted or [(model, model.group.main) for model in band.models]:
        signal, noise = narrow_band(cube, band, model, options, line)
        valid, unit = _valid(signal, noise)
        snr = _neighbourhood_snr(
            np.where(valid, signal / unit, 0.0), np.where(valid, noise / unit, 0.0), band.autocorrelation
        )
        bands[line] = (snr.max(), signal, noise)
    if not bands:
        return np.full(cube.flux.shape[1:], NO_BIN), None
    line = max(bands, key=lambda name: bands[name][0])
    return bin_spaxels(*bands[line][1:], options["bin_snr"], band.autocorrelation), line


def narrow_band(cube, band, model, options, line=None):
    """Flux of a line in each spaxel, summed over +-250 km/s about the systemic velocity.

    A sum and not a fit: it is linear in the data, so that signals of spaxels add and their noise follows exactly, and
    it exists where a single spaxel is too faint for a fit, which is where bins are needed.

    Parameters
    ----------
    cube : klever.cubes.cube.Cube
    band : klever.linefit.cubefit.BandFit
    model : klever.linefit.model.GroupModel
    options : dict
        ``lines`` of the settings: window (km/s).
    line : str, optional
        A line of the group; its main line by default.

    Returns
    -------
    signal, noise : ndarray, shape (ny, nx)
        Flux above a linear continuum fitted beside the lines of the group, and its 1 sigma error with that of the
        continuum (erg s-1 cm-2 in the units of the cube).  NaN where half of the line's channels, or the continuum, is
        missing.
    """
    channels, near = channels_of_group(model, cube.wavelength, options["window"])
    wavelength = cube.wavelength[channels]
    shape = cube.flux.shape[1:]
    centres = model.centres(0.0)
    speed = SPEED_OF_LIGHT * (np.divide.outer(wavelength, centres) - 1)
    chosen = model.main if line is None else model.names.index(line)
    core = near & (np.abs(speed[:, chosen]) <= _HALF_WIDTH)
    beside = near & (np.abs(speed) > _LINE_REACH).all(axis=1)
    if not core.any() or beside.sum() < 2:
        return np.full(shape, np.nan), np.full(shape, np.nan)
    valid = band.valid[channels]
    x = (wavelength - wavelength.mean()) / np.ptp(wavelength)
    powers = np.stack([np.ones_like(x), x])
    error = np.where(valid, cube.error[channels], 1.0)
    unit = np.median(error[valid]) if valid.any() else 1.0
    flux, error = np.where(valid, cube.flux[channels], 0.0) / unit, error / unit
    weight = np.where(valid & beside[:, None, None], 1.0 / error**2, 0.0)
    step = np.gradient(wavelength)[:, None, None] * (valid & core[:, None, None])
    moments = np.einsum("ic,jc,cyx->yxij", powers, powers, weight)
    determinant = moments[..., 0, 0] * moments[..., 1, 1] - moments[..., 0, 1] ** 2
    fraction = (valid & core[:, None, None]).sum(axis=0) / core.sum()
    good = (fraction >= _SUPPORT) & (determinant > 1e-10 * moments[..., 0, 0] ** 2)
    moments[~good] = np.eye(2)
    inverse = np.linalg.inv(moments)
    reach = np.einsum("ic,cyx->yxi", powers, step)  # of the continuum under the line
    projections = np.einsum("ic,cyx->yxi", powers, weight * flux)
    signal = (step * flux).sum(axis=0) - np.einsum("yxi,yxij,yxj->yx", reach, inverse, projections)
    variance = ((step * error) ** 2).sum(axis=0) + np.einsum("yxi,yxij,yxj->yx", reach, inverse, reach)
    # masked channels of the line hold as much as the others
    scale = np.where(good, unit / np.where(fraction > 0, fraction, 1.0), np.nan)
    return signal * scale, np.sqrt(variance) * scale


def bin_spaxels(signal, noise, target, autocorrelation):
    """Group spaxels into compact bins of one signal-to-noise ratio.

    Spaxels whose 3 x 3 neighbourhood has S/N < 1.5 are left out: a bin of them alone would be larger than the seeing,
    and within another bin they only add noise.  Separate patches are binned apart, so no bin reaches across empty sky;
    a patch fainter than the target is one bin, or none below half of the target or S/N 5.  A bin below 0.8 of the
    target is joined to a neighbour.

    Parameters
    ----------
    signal, noise : ndarray, shape (ny, nx)
        See `narrow_band`; not finite or without positive noise: no data.
    target : float
        S/N of a bin.
    autocorrelation : ndarray, shape (2 k + 1, 2 m + 1)
        Of the noise between spaxels by lag (y, x), 1 at the centre.

    Returns
    -------
    ndarray of int, shape (ny, nx)
        Number of the bin, counted from 0 in the order of the bins' first spaxels; `NO_BIN` (-1) elsewhere.
    """
    from scipy.ndimage import label

    result = np.full(signal.shape, NO_BIN)
    valid, unit = _valid(signal, noise)
    signal, noise = np.where(valid, signal, 0.0) / unit, np.where(valid, noise, 0.0) / unit
    covariance = _Covariance(noise, autocorrelation)
    worth = valid & (_neighbourhood_snr(signal, noise, autocorrelation) >= _NEIGHBOURHOOD_SNR)
    patches, number = label(worth, structure=np.ones((3, 3)))
    signal, count = signal.ravel(), 0
    for patch in range(1, number + 1):
        members = np.flatnonzero(patches == patch)

        def capacity(index, members=members):
            spaxels = members[index]
            total = max(signal[spaxels].sum(), 0.0) ** 2 / covariance.total(spaxels)
            return max(total, _FLOOR * target**2)

        if capacity(slice(None)) < max(_ISLAND * target, _ISLAND_SNR) ** 2:
            continue
        bins = _patch_bins(np.argwhere(patches == patch)[:, ::-1], capacity, float(target) ** 2)
        result.flat[members] = bins + count
        count += bins.max() + 1
    numbers, first = np.unique(result[result != NO_BIN], return_index=True)
    rank = np.empty(len(numbers), int)
    rank[np.argsort(first)] = np.arange(len(numbers))
    result[result != NO_BIN] = rank[result[result != NO_BIN]]
    return result


def _valid(signal, noise):
    """Where there are data, and the typical noise there, 1 without any."""
    valid = np.isfinite(signal) & np.isfinite(noise) & (noise > 0)
    return valid, np.median(noise[valid]) if valid.any() else 1.0


class _Covariance:
    """Variance of the sum of any spaxels, from the noise of each and the autocorrelation."""

    def __init__(self, noise, autocorrelation):
        ny, nx = noise.shape
        half_y, half_x = (size // 2 for size in autocorrelation.shape)
        padded = np.pad(noise, ((half_y, half_y), (half_x, half_x)))
        index = np.pad(np.arange(noise.size).reshape(noise.shape), ((half_y, half_y), (half_x, half_x)))
        lags = [lag for lag in np.ndindex(autocorrelation.shape) if autocorrelation[lag] != 0]
        self.partner = np.stack([index[y : y + ny, x : x + nx].ravel() for y, x in lags], axis=1)
        self.value = np.stack(
            [(noise * padded[y : y + ny, x : x + nx]).ravel() * autocorrelation[y, x] for y, x in lags], axis=1
        )
        self.chosen = np.zeros(noise.size)

    def total(self, spaxels):
        """Variance of the sum of `spaxels` (flat indices); positive, though a measured autocorrelation may not be."""
        self.chosen[spaxels] = 1.0
        variance = float(np.sum(self.value[spaxels] * self.chosen[self.partner[spaxels]]))
        self.chosen[spaxels] = 0.0
        return max(variance, np.finfo(float).tiny)


def _neighbourhood_snr(signal, noise, autocorrelation):
    """S/N of the sum over 3 x 3 spaxels; 0 where there is no noise."""
    ny, nx = signal.shape
    padded_signal, padded_noise = np.pad(signal, 1), np.pad(noise, 1)
    shifts = list(product(range(3), repeat=2))
    half_y, half_x = (size // 2 for size in autocorrelation.shape)
    total, variance = np.zeros(signal.shape), np.zeros(signal.shape)
    for y, x in shifts:
        total += padded_signal[y : y + ny, x : x + nx]
        here = padded_noise[y : y + ny, x : x + nx]
        for other_y, other_x in shifts:
            lag_y, lag_x = other_y - y, other_x - x
            if abs(lag_y) <= half_y and abs(lag_x) <= half_x:
                there = padded_noise[other_y : other_y + ny, other_x : other_x + nx]
                variance += autocorrelation[half_y + lag_y, half_x + lag_x] * here * there
    positive = variance > 0
    return np.where(positive, total / np.sqrt(np.where(positive, variance, 1.0)), 0.0)


def _patch_bins(xy, capacity, target):
    """Bin number of each spaxel of a connected patch, from 0.

    Spaxels that reach the target alone are bins, and PowerBin divides the rest: where the S/N jumps past the target
    from one spaxel to the next, it would pair bright ones and leave the faint ones around them far below the target.
    """
    alone = np.array([capacity([index]) for index in range(len(xy))]) >= target
    image = np.full(np.ptp(xy, axis=0)[::-1] + 1, NO_BIN)
    place = tuple((xy - xy.min(axis=0)).T[::-1])
    bins = np.where(alone, np.cumsum(alone) - 1, NO_BIN)
    for members in _connected(np.where(alone, NO_BIN, 0), image, place):

        def part(index, members=members):
            return capacity(members[index])

        bins[members] = _power_bins(xy[members], part, target) + bins.max() + 1
    fragments = np.empty(len(xy), int)
    for number, members in enumerate(_connected(bins, image, place)):
        fragments[members] = number
    return _joined(fragments, image, place, capacity, target)


def _connected(bins, image, place):
    """Return the spaxels of each connected part of each bin."""
    from scipy.ndimage import label

    parts = []
    for number in np.unique(bins[bins != NO_BIN]):
        mask = np.zeros(image.shape, bool)
        mask[place] = bins == number
        labels = label(mask, structure=np.ones((3, 3)))[0][place]
        parts += [np.flatnonzero(labels == index) for index in range(1, labels.max() + 1)]
    return parts


def _library():
    """Return PowerBin, an extra of its own: it is free for non-commercial use only, so no environment contains it."""
    try:
        return import_module("powerbin")
    except ImportError:
        raise ConfigError(
            "lines.binning is powerbin, but that library is not installed; install it (pip install powerbin==1.1.12) "
            "or set lines.binning to none."
        ) from None


def _power_bins(xy, capacity, target):
    """Bin number of each spaxel by PowerBin, from 0; all are one bin where they cannot be divided."""
    one = np.zeros(len(xy), int)
    if len(xy) < 4 or capacity(slice(None)) < 2 * target:
        return one
    power_bin = _library().PowerBin
    try:
        with np.errstate(all="ignore"):
            bins = power_bin(xy.astype(float), capacity, target, pixelsize=1.0, verbose=0).bin_num
    except (IndexError, ValueError):
        return one  # no compact set of spaxels reaches the target
    return np.unique(bins, return_inverse=True)[1]


def _joined(bins, image, place, capacity, target):
    """Join bins that miss the target, the faintest first, to the faintest of the bins they touch."""
    index = image.copy()
    index[place] = np.arange(len(bins))
    _, first, second = zip(*spaxel_pairs(index, 1, 1), strict=True)
    first, second = np.concatenate(first), np.concatenate(second)
    reached = {number: capacity(np.flatnonzero(bins == number)) for number in range(bins.max() + 1)}
    while len(reached) > 1:
        worst = min(reached, key=reached.get)
        if reached[worst] >= _REACHED**2 * target:
            break
        touching = {*bins[second[bins[first] == worst]].tolist(), *bins[first[bins[second] == worst]].tolist()} - {
            worst
        }
        other = min(touching, key=lambda number: (reached[number], number))
        bins = np.where(bins == worst, other, bins)
        del reached[worst]
        reached[other] = capacity(np.flatnonzero(bins == other))
    return np.unique(bins, return_inverse=True)[1]

"""What is left of the sky in a cube that is already sky-subtracted: measured per group of lines, and taken off.

The residual of a channel is taken from the spaxels without the source, so it cannot be told from light of a source that
fills the field: protect its lines.
"""

import numpy as np

from klever.reduce.skygroups import GROUPS, group_of
from klever.reduce.skysub import clipped_mean

__all__ = ["listed_lines", "residual_pass", "residual_statistics"]

_SIGNIFICANT = 3.0
_NOISELESS = 0.2  # of the median error: channels at the ends of a band, where the pipeline has nearly none
_REACH = 1.5  # channels on each side of a listed line
_BRIGHT = 0.02  # of the strongest line in the band


def listed_lines(wavelength, sky_lines, bright=_BRIGHT):
    """Return the channels on OH lines of a list.

    Parameters
    ----------
    wavelength : ndarray, shape (n_wave,)
        Vacuum, um.
    sky_lines : ndarray, shape (n_lines, 2)
        Vacuum wavelength (Angstrom) and strength: Rousselot et al. (2000, A&A 354, 1134).
    bright : float
        Lines of at least this fraction of the strongest in the range.
    """
    position, strength = sky_lines[:, 0] * 1e-4, sky_lines[:, 1]
    inside = (position > wavelength[0]) & (position < wavelength[-1])
    result = np.zeros(wavelength.size, bool)
    if not inside.any():
        return result
    chosen = position[inside & (strength >= bright * strength[inside].max())]
    channel = np.interp(chosen, wavelength, np.arange(wavelength.size))
    for step in np.arange(-_REACH, _REACH + 0.5, 0.5):
        result[np.clip(np.rint(channel + step).astype(int), 0, wavelength.size - 1)] = True
    return result


def residual_pass(flux, error, lines, free, protected=None):
    """Subtract the mean residual of the source-free spaxels where it is significant.

    Parameters
    ----------
    flux, error : ndarray, shape (n_wave, ny, nx)
        Sky-subtracted; NaN is missing.
    lines : ndarray of bool, shape (n_wave,)
        Channels on sky lines.
    free : ndarray of bool, shape (ny, nx)
    protected : ndarray of bool, shape (n_wave,), optional
        Channels that stay as they are: the source's own lines.

    Returns
    -------
    flux : ndarray, shape (n_wave, ny, nx)
    error : ndarray, shape (n_wave, ny, nx)
        With that of the mean.
    residual : ndarray, shape (n_wave,)
        What was subtracted; zero off the lines, and where it is below 3 sigma.
    """
    mean, sigma = clipped_mean(flux[:, free], error[:, free])
    off = ~lines & np.isfinite(mean)
    if not free.any() or off.sum() < 2:
        return flux.copy(), error.copy(), np.zeros(len(flux))
    index = np.arange(len(flux))
    # the source-free spaxels have a continuum of their own; only what rises above it is sky
    level = np.interp(index, index[off], _smooth(mean[off]))
    # neighbouring spaxels are correlated: the scatter off the lines says what the mean's error really is
    scale = max(1.0, 1.4826 * float(np.median(np.abs(mean - level)[off] / sigma[off])))
    with np.errstate(invalid="ignore"):
        significant = lines & (np.abs(mean - level) > _SIGNIFICANT * scale * sigma)
    if protected is not None:
        significant &= ~protected
    residual = np.where(significant, mean - level, 0.0)
    added = np.where(significant, scale * sigma, 0.0)
    return flux - residual[:, None, None], np.hypot(error, added[:, None, None]), residual


def _smooth(values, width=51):
    half = min(width // 2, values.size - 1)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, half, mode="reflect"), 2 * half + 1)
    return np.median(windows, axis=1)


def residual_statistics(wavelength, flux, error, lines, free, protected=None):
    """Return per group how much larger the residuals are on sky lines than between them.

    Parameters
    ----------
    wavelength, flux, error, lines, free, protected
        As in `residual_pass`.

    Returns
    -------
    list of dict
        group, channels, on and off (scatter of the source-free voxels about their continuum over their error, on and
        off the lines), mean_on and mean_off (of the mean spectrum, over the error of a mean of independent spaxels).
        Scatters are the 95th percentile over 1.96: they know tails, but no single bad channel.
    """
    from klever.cubes.noise import continuum

    protected = np.zeros(len(flux), bool) if protected is None else protected
    noise = np.nanmedian(error[:, free], axis=1)
    protected = protected | ~(noise > _NOISELESS * np.nanmedian(noise))
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = ((flux - continuum(flux)) / error)[:, free]
    mean, sigma = clipped_mean(flux[:, free], error[:, free])
    index, off = np.arange(len(flux)), ~lines & np.isfinite(mean)
    level = np.interp(index, index[off], _smooth(mean[off])) if off.sum() > 1 else 0.0
    mean = (mean - level) / sigma
    group, rows = group_of(wavelength), []
    for member in np.unique(group):
        row = {"group": GROUPS[member], "channels": int(np.sum((group == member) & lines & ~protected))}
        for name, chosen in (("on", lines), ("off", ~lines)):
            chosen = chosen & (group == member) & ~protected
            row[name], row[f"mean_{name}"] = (_scatter(values[chosen]) for values in (deviation, mean))
        rows.append(row)
    return rows


def _scatter(values):
    """95th percentile of the absolute values over that of a Gaussian of unit width."""
    values = np.abs(values[np.isfinite(values)])
    return float(np.quantile(values, 0.95) / 1.96) if values.size else np.nan

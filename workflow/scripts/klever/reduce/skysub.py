"""Sky subtraction: the sky cube, stretched and scaled per vibrational group (Davies 2007, MNRAS 375, 1099).

The strengths come from mean spectra of source-free spaxels; what is subtracted is the sky of each spaxel, so that
differences of illumination and resolution between spaxels cancel.
"""

from dataclasses import dataclass, field

import numpy as np

from klever.reduce.skygroups import BOUNDARIES, GROUPS, group_of, line_channels, rotational_class
from klever.reduce.skyrotation import level_factor, temperature_factor
from klever.reduce.skystretch import cut_channels, fit_stretch, shift_operator

__all__ = ["SkySubtraction", "clipped_mean", "source_free", "subtract_sky"]

_FEWEST = 3  # line channels and continuum channels that a group needs
_STRENGTHS = (0.3, 3.0)  # the sky does not vary by more between two exposures
_OVERLAP = 0.01  # um: how far lines of one band are looked for in the next
_THERMAL = 14388.0 / 285.0  # um: hc/k over the temperature of telescope and dome, K
_FREE = 0.6  # of the spaxels: the fainter ones are free of the source
_ENDS = 6  # channels at each end that enter no fit: lines that the end cuts off
_BAD_SHARE = 0.1  # of a stretched voxel's weight on bad voxels above which it is bad


@dataclass
class SkySubtraction:
    """A sky-subtracted cube and how the sky was fitted.

    Parameters
    ----------
    flux, error : ndarray, shape (n_wave, ny, nx)
        In the unit of the exposure; NaN where exposure or sky has no data, and in the outermost channels where the
        stretched sky would need channels beyond the band.
    strength : ndarray, shape (n_wave,)
        Factor on the sky's lines.
    shift : ndarray, shape (n_wave,)
        Stretch, channels.
    groups : list of dict
        Per group: group, channels, strength, strength_error, state (fitted | unchanged | guarded), before, after and
        expected (rms of source-free voxels on lines, in plain A-B, here, and from photons), mean_before, mean_after and
        mean_expected (the same of the mean spectrum), over (mean residual over mean sky line: negative is
        over-subtraction).
    sky_error : ndarray, shape (n_wave, ny, nx)
        The part of the error that is the sky's; other exposures with the same sky have it in common.
    """

    flux: np.ndarray
    error: np.ndarray
    strength: np.ndarray
    shift: np.ndarray
    groups: list = field(default_factory=list)
    sky_error: np.ndarray = None


def source_free(flux):
    """Return the faintest 60 per cent of the spaxels of an A-B cube, shape (ny, nx).

    Parameters
    ----------
    flux : ndarray, shape (n_wave, ny, nx)
        Exposure minus sky; NaN is missing.
    """
    filled = np.sort(flux, axis=0)
    count = np.sum(np.isfinite(filled), axis=0)
    white = np.take_along_axis(filled, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
    white[count < 0.5 * len(flux)] = np.nan
    finite = np.isfinite(white)
    return finite & (white <= np.quantile(white[finite], _FREE)) if finite.any() else finite


def clipped_mean(spectra, error):
    """Return the 3-sigma-clipped mean of spectra and its error.

    Parameters
    ----------
    spectra, error : ndarray, shape (n_wave, n_spaxel)
        NaN is missing.

    Returns
    -------
    mean, error : ndarray, shape (n_wave,)
        NaN where no spaxel is left.
    """
    if not spectra.size:
        return (np.full(len(spectra), np.nan),) * 2
    ordered = np.sort(spectra, axis=1)
    count = np.sum(np.isfinite(ordered), axis=1)
    middle = ordered[np.arange(len(ordered)), np.maximum(count - 1, 0) // 2][:, None]
    # the quartiles, not the errors, tell the scatter: illumination differs between spaxels
    rows = np.arange(len(ordered))
    width = (ordered[rows, 3 * count // 4 - (count > 0)] - ordered[rows, count // 4 * (count > 3)]) / 1.349
    with np.errstate(invalid="ignore", divide="ignore"):
        good = np.abs(spectra - middle) <= 3 * np.maximum(width[:, None], error)
        number = good.sum(axis=1)
        mean = np.where(good, spectra, 0.0).sum(axis=1) / number
        sigma = np.sqrt(np.where(good, error, 0.0) ** 2 @ np.ones(error.shape[1])) / number
    return np.where(number > 0, mean, np.nan), np.where(number > 0, sigma, np.nan)


def subtract_sky(wavelength, flux, error, sky, sky_error, free=None, protected=None, degree=5, rotational=False,
                 stretch=True, thermal=True):  # fmt: skip
    """Subtract the sky of another exposure, stretched and scaled per group of lines.

    Parameters
    ----------
    wavelength : ndarray, shape (n_wave,)
        Vacuum, um.
    flux, error, sky, sky_error : ndarray, shape (n_wave, ny, nx)
        Exposure and sky through the same IFU, in counts (not yet corrected for the atmosphere); NaN is missing.
    free : ndarray of bool, shape (ny, nx), optional
        Spaxels without the source; by default the faintest 60 per cent (`source_free`).
    protected : ndarray of bool, shape (n_wave,), optional
        Channels on the source's own lines: they do not enter any fit.  Needed where the source fills the field.
    degree : int
        Of the stretch.
    rotational : bool
        Scale each band by a parabola in wavelength, too, and lines from low, intermediate and high rotational levels
        (`klever.reduce.skyrotation`).
    stretch, thermal : bool
        Fit the shift of the lines; the change of the continuum and of the thermal background.

    Returns
    -------
    SkySubtraction
        A group with fewer than three usable channels keeps the strength 1 ("unchanged"); one whose fit leaves a larger
        residual than strength 1, or lies outside 0.3-3, is set back to 1 ("guarded").
    """
    n_wave = len(wavelength)
    free = source_free(flux - sky) if free is None else free
    protected = np.zeros(n_wave, bool) if protected is None else protected
    object_mean, object_noise = clipped_mean(flux[:, free], error[:, free])
    sky_mean, sky_noise = clipped_mean(sky[:, free], sky_error[:, free])
    valid = np.isfinite(object_mean) & np.isfinite(sky_mean)
    nothing = np.full(flux.shape, np.nan)
    result = SkySubtraction(nothing, nothing.copy(), np.ones(n_wave), np.zeros(n_wave), [], nothing.copy())
    if valid.sum() < _FEWEST:
        return result
    object_mean, sky_mean = (
        np.interp(np.arange(n_wave), np.flatnonzero(valid), s[valid]) for s in (object_mean, sky_mean)
    )
    noise = np.where(valid, np.hypot(object_noise, sky_noise), np.inf)
    noise = np.maximum(noise, 1e-3 * np.median(noise[valid]))
    lines, continuum = line_channels(sky_mean, noise)
    _, object_continuum = line_channels(object_mean, noise)
    usable = lines & valid & ~protected
    usable[:_ENDS] = usable[-_ENDS:] = False
    group = group_of(wavelength)
    if stretch:
        result.shift = fit_stretch(object_mean - object_continuum, sky_mean - continuum, noise, group, usable, degree)
    operator = shift_operator(result.shift)
    stretched = operator @ (sky_mean - continuum)
    spectrum = object_mean - object_continuum
    fits = _group_strengths(spectrum, stretched, noise, group, usable)
    group = _reassigned(spectrum, stretched, noise, wavelength, group, usable, fits)
    fits = _group_strengths(spectrum, stretched, noise, group, usable)
    result.strength = _joined(fits, group, lines)
    if rotational:
        result.strength = result.strength * temperature_factor(
            spectrum, result.strength * stretched, noise, group, usable
        )  # fmt: skip
        result.strength = result.strength * level_factor(
            spectrum, result.strength * stretched, noise, group, rotational_class(wavelength), usable
        )  # fmt: skip
    change = _continuum_change(wavelength, object_mean - sky_mean, noise, valid & ~lines & ~protected, thermal)
    shifted, variance = _apply(operator, sky, sky_error, sky_mean)
    shifted[cut_channels(result.shift)] = np.nan
    scale = result.strength[:, None, None]
    result.flux = flux - shifted - (scale - 1) * (shifted - continuum[:, None, None]) - change[:, None, None]
    result.sky_error = scale * np.sqrt(variance)
    result.error = np.hypot(error, result.sky_error)
    result.groups = [
        fit
        | _residuals(
            group == fit["index"],
            lines & valid & np.isfinite(shifted).any(axis=(1, 2)),
            free,
            flux - sky,
            error,
            sky_error,
            result,
            sky_mean - continuum,
        )
        for fit in fits
    ]
    return result


def _group_strengths(spectrum, sky, noise, group, usable):
    """One factor per group that minimises the residual on its lines, with one 3-sigma clip and refit."""
    fits = []
    for index in np.unique(group):
        chosen = (group == index) & usable
        fit = {"index": int(index), "group": GROUPS[index], "channels": int(chosen.sum()), "strength": 1.0,
               "strength_error": np.nan, "state": "unchanged"}  # fmt: skip
        fits.append(fit)
        if chosen.sum() < _FEWEST or np.sum((group == index) & ~usable) < _FEWEST:
            continue
        for _ in range(2):
            weight = 1 / noise[chosen] ** 2
            power = np.sum(weight * sky[chosen] ** 2)
            strength = np.sum(weight * spectrum[chosen] * sky[chosen]) / power
            residual = np.where(chosen, spectrum - strength * sky, np.nan) / noise
            scatter = max(1.4826 * np.nanmedian(np.abs(residual)), 1.0)
            kept = chosen & (np.abs(residual) < 3 * scatter)
            if kept.sum() < _FEWEST:
                break
            chosen = kept
        everything = (group == index) & usable
        before, after = (np.mean(np.abs(spectrum - factor * sky)[everything]) for factor in (1.0, strength))
        fit["strength_error"] = float(scatter / np.sqrt(power))
        if not _STRENGTHS[0] < strength < _STRENGTHS[1] or after > before * 1.2:
            fit["state"] = "guarded"
        else:
            fit["strength"], fit["state"] = float(strength), "fitted"
    return fits


def _reassigned(spectrum, sky, noise, wavelength, group, usable, fits):
    """Give lines next to a boundary to the neighbouring group where its strength suits them better.

    The bands overlap: the last P lines of one lie among the first R lines of the next.
    """
    strength = {fit["index"]: fit["strength"] for fit in fits if fit["state"] == "fitted"}
    result = group.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], usable.astype(int), [0]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        for boundary in np.searchsorted(BOUNDARIES, wavelength[start] + np.array([-_OVERLAP, _OVERLAP])) - 1:
            own, other = int(group[start]), int(boundary)
            if other == own or own not in strength or other not in strength:
                continue
            misfit = [
                np.sum(((spectrum - strength[index] * sky)[start:stop] / noise[start:stop]) ** 2)
                for index in (own, other)
            ]
            if misfit[1] < misfit[0]:
                result[start:stop] = other
    return result


def _joined(fits, group, lines):
    """Factor of every channel: the group's on its lines, straight in between."""
    strength = np.ones(len(GROUPS))
    strength[[fit["index"] for fit in fits]] = [fit["strength"] for fit in fits]
    index = np.flatnonzero(lines)
    return np.interp(np.arange(group.size), index, strength[group[index]]) if index.size else np.ones(group.size)


def _continuum_change(wavelength, difference, noise, chosen, thermal):
    """Change of the continuum between the exposures: a constant and a grey-body background."""
    if not thermal or chosen.sum() < 20:
        return np.zeros(wavelength.size)
    body = 1 / (wavelength**4 * np.expm1(_THERMAL / wavelength))
    body /= body.max()
    design = np.stack([np.ones_like(body), body], axis=1) if wavelength[-1] > 2.0 else np.ones((wavelength.size, 1))
    kept = chosen.copy()
    for _ in range(3):
        solution = np.linalg.lstsq(design[kept] / noise[kept, None], difference[kept] / noise[kept], rcond=None)[0]
        residual = np.abs(difference - design @ solution) / noise
        kept = chosen & (residual < 3 * max(np.median(residual[chosen]) / 0.6745, 1.0))
    return design @ solution


def _apply(operator, sky, error, mean):
    """Stretch a sky cube; bad voxels are filled with the mean spectrum and spoil what they weigh in."""
    shape = sky.shape
    values, variance = sky.reshape(shape[0], -1), error.reshape(shape[0], -1) ** 2
    bad = ~(np.isfinite(values) & np.isfinite(variance))
    filled = np.where(bad, mean[:, None], values)
    squared = operator.multiply(operator).tocsr()
    stretched = operator @ filled
    new_variance = squared @ np.where(bad, 0.0, variance)
    if bad.any():
        spoiled = abs(operator) @ bad.astype(np.float32) > _BAD_SHARE
        stretched[spoiled], new_variance[spoiled] = np.nan, np.nan
    return stretched.reshape(shape), new_variance.reshape(shape)


def _residuals(member, lines, free, plain, error, sky_error, result, sky):
    """Rms on a group's lines of voxels and of mean spectra, before, after and from photons, and the mean left over."""
    chosen = member & lines
    names = ("before", "after", "expected", "mean_before", "mean_after", "mean_expected", "over")
    if not chosen.any() or not free.any():
        return dict.fromkeys(names, np.nan)
    before, after = plain[chosen][:, free], result.flux[chosen][:, free]
    photons = np.hypot(error[chosen][:, free], sky_error[chosen][:, free])
    voxels = [np.sqrt(np.nanmean(values**2)) for values in (before, after, photons)]
    means = [np.sqrt(np.nanmean(np.nanmean(values, axis=1) ** 2)) for values in (before, after)]
    number = np.isfinite(photons).sum(axis=1)
    means.append(np.sqrt(np.nanmean(np.nansum(photons**2, axis=1) / np.maximum(number, 1) ** 2)))
    left = np.nanmean(after) / np.mean(sky[chosen])
    return {name: float(value) for name, value in zip(names, (*voxels, *means, left), strict=True)}

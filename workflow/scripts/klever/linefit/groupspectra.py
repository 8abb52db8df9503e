"""Spectra to which a group of lines is fitted, smoothed or binned, and the velocity of their neighbourhood."""

from dataclasses import dataclass

import numpy as np

from klever.cubes.cube import DQ
from klever.linefit.binned import NO_BIN, average_spectra
from klever.linefit.model import GroupModel
from klever.linefit.smoothing import smooth, smoothed_variance
from klever.linefit.varpro import fit_spectra, search_velocity
from klever.linefit.window import channels_of_group

__all__ = ["GroupSpectra", "bins_of", "fit_group", "group_spectra", "sky_fraction"]

_PRIOR_GAIN = 20.0  # decrease of chi2 that makes the velocity of a neighbourhood worth following
_REACH, _HOLE = 0.6, 0.25  # arcsec: half sides of the neighbourhood, and of what is left out of it


@dataclass
class GroupSpectra:
    """Spectra to which a group is fitted.

    Attributes
    ----------
    model : GroupModel
    wavelength : ndarray, shape (n_channels,)
        Micrometre.
    flux, error : ndarray, shape (n, n_channels)
        Smoothed spectra of the spaxels with data, or mean spectra of bins; NaN is masked.
    prior : ndarray, shape (n,)
        Velocity of the neighbourhood (km/s), NaN where that shows no line.
    index : ndarray of int, shape (ny, nx)
        Row of each spaxel; -1 for none.
    near : ndarray of bool, shape (n_channels,)
        Channel belongs to the window (False in a gap between lines far apart).
    sky : ndarray, shape (n_channels,)
        Fraction of spaxels in which the channel is masked for a bright sky line.
    """

    model: GroupModel
    wavelength: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    prior: np.ndarray
    index: np.ndarray
    near: np.ndarray
    sky: np.ndarray


def bins_of(cube, band, options):
    """Bins of a band, shape (ny, nx) of int, and the line they are made for; None, "" without binning."""
    if options["binning"] == "none":
        return None, ""
    from klever.linefit.binning import bins_of_band

    bins, line = bins_of_band(cube, band, options)
    return bins, line or ""


def group_spectra(cube, band, model, options, bins=None, chosen=None):
    """Spectra of a group's window, as they are fitted.

    Parameters
    ----------
    cube : klever.cubes.cube.Cube
    band : klever.linefit.cubefit.BandFit
    model : GroupModel
        One of ``band.models``.
    options : dict
        ``lines`` as in ``config.yaml``.
    bins : ndarray of int, shape (ny, nx), optional
        From `bins_of`: mean spectra of bins take the place of smoothed ones.
    chosen : ndarray of bool, shape (ny, nx), optional
        The spaxels whose neighbourhood is asked for a velocity, which takes most of the time; all by default.

    Returns
    -------
    GroupSpectra
    """
    channels, near = channels_of_group(model, cube.wavelength, options["window"])
    flux, error = cube.flux[channels], cube.error[channels]
    valid = band.valid[channels] & near[:, None, None]
    wavelength, sky = cube.wavelength[channels], sky_fraction(cube, channels, near)
    if bins is not None:
        mean, mean_error = average_spectra(flux, error, valid, bins, band.autocorrelation)
        prior = np.full(len(mean), np.nan)  # a bin is its own neighbourhood
        return GroupSpectra(model, wavelength, mean, mean_error, prior, bins, near, sky)
    inside = valid.any(axis=0)
    fwhm = options["smoothing_fwhm"] / cube.spaxel_scale
    smoothed, weight = smooth(flux, valid, fwhm)
    variance = smoothed_variance(error, valid, fwhm, band.autocorrelation, weight)
    index = np.full(inside.shape, NO_BIN)
    index[inside] = np.arange(np.count_nonzero(inside))
    asked = inside if chosen is None else inside & chosen
    prior = _neighbourhood_velocity(model, wavelength, flux, error, valid, cube.spaxel_scale, options, asked)
    return GroupSpectra(
        model, wavelength, smoothed[:, inside].T, np.sqrt(variance[:, inside]).T, prior[inside], index, near, sky
    )


def fit_group(spectra, options):
    """Fit a group to its spectra.

    Parameters
    ----------
    spectra : GroupSpectra
    options : dict
        ``lines`` as in ``config.yaml``.

    Returns
    -------
    klever.linefit.result.FitResult
        Of the n spectra.
    """
    fit = fit_spectra(
        spectra.model, spectra.wavelength, spectra.flux, spectra.error, options["velocity_range"],
        tuple(options["dispersion_range"]), options["minimum_coverage"], prior_velocity=spectra.prior,
        engine=options["engine"], errors=options["errors"], samples=options["error_samples"],
        seed=options["error_seed"],
    )  # fmt: skip
    fit.flag_sky_lines(spectra.wavelength, spectra.sky)
    return fit


def sky_fraction(cube, channels, near):
    """Fraction of the spaxels with data in which a channel is masked for a bright sky line, shape (n_channels,)."""
    dq = cube.dq[channels]
    known = (dq & DQ.NODATA) == 0
    share = ((dq & DQ.SKYLINE) != 0).sum(axis=(1, 2)) / np.maximum(known.sum(axis=(1, 2)), 1)
    return np.where(near, share, 0.0)


def _neighbourhood_velocity(model, wavelength, flux, error, valid, spaxel_scale, options, asked):
    """Velocity (km/s) of the sum of the neighbours of each spaxel, shape (ny, nx); NaN where that shows no line.

    Only that of the spaxels `asked`, a mask of shape (ny, nx), is looked for.

    The ring around a spaxel, whose noise is nearly not the spaxel's own, is asked first; where it shows nothing (a
    compact source) the whole neighbourhood.
    """
    reach = max(round(_REACH / spaxel_scale), 2)
    hole = min(max(round(_HOLE / spaxel_scale), 1), reach - 1)
    unit = np.nanmedian(error[valid]) if valid.any() else 1.0
    data = [np.where(valid, values, 0.0) for values in (flux / unit, (error / unit) ** 2)] + [valid.astype(float)]
    whole = [_box_sum(values, reach) for values in data]
    ring = [total - _box_sum(values, hole) for total, values in zip(whole, data, strict=True)]
    velocity = np.full(flux.shape[1:], np.nan)
    open_ = asked.copy()
    for total, square, count in (ring, whole):
        rows = np.nonzero(open_)
        if not rows[0].size:
            break
        with np.errstate(invalid="ignore", divide="ignore"):
            enough = count > 0.5
            mean = np.where(enough, total / count, np.nan)[:, rows[0], rows[1]].T
            spread = np.where(enough, np.sqrt(np.maximum(square, 0.0)) / count, np.nan)[:, rows[0], rows[1]].T
        found, gain = search_velocity(
            model, wavelength, mean, spread, options["velocity_range"], tuple(options["dispersion_range"]),
            options["engine"],
        )  # fmt: skip
        velocity[rows] = np.where(gain > _PRIOR_GAIN, found, np.nan)
        open_ &= ~np.isfinite(velocity)
    return velocity


def _box_sum(values, reach):
    """Sum over the square of half side `reach` spaxels around each spaxel; the last two axes are spatial."""
    box_y, box_x = (
        (np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= reach).astype(float) for n in values.shape[-2:]
    )
    return box_y @ values @ box_x

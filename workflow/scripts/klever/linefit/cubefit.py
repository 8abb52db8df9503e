"""From a cube to line maps: smooth, fit every group of every spaxel, collect maps (Curti et al. 2020, Sect. 3.1)."""

from dataclasses import dataclass

import numpy as np

from klever.cubes.noise import spatial_autocorrelation
from klever.linefit.model import GroupModel
from klever.linefit.smoothing import smooth, smoothed_autocorrelation, smoothed_variance
from klever.linefit.varpro import fit_spectra, search_velocity
from klever.linefit.window import channels_of_group
from klever.maps import Flag, Map, MapSet
from klever.spectral_lines import SPEED_OF_LIGHT, lines_in_band

__all__ = ["BandFit", "band_models", "fit_cube"]

FLUX_UNIT = "erg s-1 cm-2"
DENSITY_UNIT = "erg s-1 cm-2 um-1"
_EDGE_MARGIN = 300.0  # km/s: a line closer to the last good channel is not fitted
_PRIOR_GAIN = 20.0  # decrease of chi2 that makes the velocity of a 3 x 3 sum worth following
_LINE_REACH = 1000.0  # km/s around each fitted line that count neither as continuum nor as noise
_NOISE_CHANNELS = 100  # fewer channels away from lines: the noise is measured on all
_OUTLIER_SIGMA = 8.0


@dataclass
class BandFit:
    """Settings of a band that maps and pseudo-fibre share.

    Attributes
    ----------
    models : list of GroupModel
    sums : dict of str to tuple of str
        Sums whose lines are all fitted.
    autocorrelation : ndarray
        Of the noise of the unsmoothed cube, by lag in spaxels.
    valid : ndarray of bool, shape (n_wave, ny, nx)
    """

    models: list
    sums: dict
    autocorrelation: np.ndarray
    valid: np.ndarray

    @property
    def state(self):
        """``ok``, or ``no_line_in_band``."""
        return "ok" if self.models else "no_line_in_band"


def band_models(cube, line_list, sigma_instrument, z, groups):
    """Find the groups whose lines fall on the cube's good channels, and the noise of the cube.

    Parameters
    ----------
    cube : klever.cubes.cube.Cube
    line_list : klever.spectral_lines.LineList
    sigma_instrument : float
        Micrometre.
    z : float
    groups : list of str
        Names of the groups to fit.

    Returns
    -------
    BandFit

    Raises
    ------
    ConfigError
        A group is not in the line list.
    """
    chosen = line_list.select(groups)
    valid = (cube.dq == 0) & np.isfinite(cube.flux) & np.isfinite(cube.error) & (cube.error > 0)
    good = cube.wavelength[valid.any(axis=(1, 2))]
    reduced = lines_in_band(chosen, z, (good[0], good[-1]), _EDGE_MARGIN) if good.size else []
    models = [GroupModel(group, z, sigma_instrument) for group in reduced]
    fitted = {name for model in models for name in model.names}
    sums = {name: members for name, members in line_list.sums.items() if set(members) <= fitted}
    use = _away_from_lines(cube.wavelength, models)
    if np.count_nonzero(use & valid.any(axis=(1, 2))) < _NOISE_CHANNELS:
        use[:] = True
    autocorrelation = spatial_autocorrelation(cube.flux[use], cube.error[use], cube.dq[use])
    return BandFit(models, sums, autocorrelation, valid)


def _away_from_lines(wavelength, models):
    """Channels more than 1000 km/s from every line: what they hold is noise and continuum."""
    use = np.ones(len(wavelength), bool)
    for model in models:
        for centre in model.centres(0.0):
            use &= np.abs(wavelength / centre - 1) * SPEED_OF_LIGHT > _LINE_REACH
    return use


def fit_cube(cube, band, settings):
    """Fit all groups of a band in the spatially smoothed cube.

    Parameters
    ----------
    cube : klever.cubes.cube.Cube
    band : BandFit
    settings : dict
        galaxy, band, instrument, z, psf_fwhm, and ``lines`` as in ``config.yaml``.

    Returns
    -------
    MapSet
        One map per line and sum (erg s-1 cm-2 per spaxel), ``VELOCITY_``, ``DISPERSION_`` (intrinsic),
        ``DISPERSION_OBS_`` (km/s) and ``CHI2_`` (reduced) of each group, ``CONTINUUM`` and ``NOISE_ACF``.  Values are
        NaN where flagged ``NO_DATA`` or ``NOT_FITTED``, and where a line has no unmasked channel (``LOW_COVERAGE``).

    Notes
    -----
    The errors follow from the cube's errors, the autocorrelation of its noise and the smoothing.  Where the median
    reduced chi2 of the band exceeds one, all errors are multiplied by its root; the header says so (``ERRSCALE``).
    """
    options = settings["lines"]
    maps = MapSet(header=cube.header.copy())
    fwhm = options["smoothing_fwhm"] / cube.spaxel_scale
    fits = {}
    for model in band.models:
        fit, inside = _fit_group(cube, band, model, fwhm, options)
        fits[model.group.name] = (fit, inside)
    reduced = np.concatenate([fit.reduced_chi2 for fit, _ in fits.values()]) if fits else np.ones(1)
    reduced = reduced[np.isfinite(reduced)]
    scale = float(np.sqrt(max(1.0, np.median(reduced)))) if reduced.size else 1.0
    for fit, inside in fits.values():
        _add_fluxes(maps, fit, inside, band.sums, scale)
    for name, (fit, inside) in fits.items():
        _add_kinematics(maps, name.upper(), fit, inside, scale)
    maps["CONTINUUM"] = _continuum(cube, band, fwhm, scale)
    maps["NOISE_ACF"] = Map(smoothed_autocorrelation(band.autocorrelation, fwhm))
    _describe(maps.header, cube, band, settings, scale)
    return maps


def _fit_group(cube, band, model, fwhm, options):
    """Fit one group; returns the `FitResult` of the spaxels inside, and the map (ny, nx) that says which are inside."""
    channels, near = channels_of_group(model, cube.wavelength, options["window"])
    flux, error = cube.flux[channels], cube.error[channels]
    valid = band.valid[channels] & near[:, None, None]
    inside = valid.any(axis=0)
    smoothed, weight = smooth(flux, valid, fwhm)
    variance = smoothed_variance(error, valid, fwhm, band.autocorrelation, weight)
    ranges = {"velocity_range": options["velocity_range"], "dispersion_range": tuple(options["dispersion_range"])}
    wavelength = cube.wavelength[channels]
    summed, summed_error = _sum_neighbours(flux, error, valid)
    velocity, gain = search_velocity(model, wavelength, summed[:, inside].T, summed_error[:, inside].T, **ranges)
    prior = np.where(gain > _PRIOR_GAIN, velocity, np.nan)
    fit = fit_spectra(
        model, wavelength, smoothed[:, inside].T, np.sqrt(variance[:, inside]).T,
        minimum_coverage=options["minimum_coverage"], prior_velocity=prior, **ranges,
    )  # fmt: skip
    return fit, inside


def _sum_neighbours(flux, error, valid):
    """Mean over 3 x 3 spaxels and its error (neighbours taken as independent); NaN without a valid voxel."""
    ny, nx = flux.shape[1:]
    box_y, box_x = (np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 1 for n in (ny, nx))
    box_y, box_x = box_y.astype(float), box_x.astype(float)
    count = box_y @ valid.astype(float) @ box_x
    total = box_y @ np.where(valid, flux, 0.0) @ box_x
    square = box_y @ np.where(valid, error, 0.0) ** 2 @ box_x
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / count, np.where(count > 0.5, np.sqrt(square) / count, np.nan)


def _spread(values, inside, fill):
    """Put values of the spaxels inside into a map."""
    image = np.full(inside.shape, fill, dtype=np.asarray(values).dtype)
    image[inside] = values
    return image


def _flags(values, inside):
    return _spread(values.astype(np.uint16), inside, np.uint16(Flag.NO_DATA))


def _add_fluxes(maps, fit, inside, sums, scale):
    for i, name in enumerate(fit.model.names):
        maps[name] = Map(
            _spread(fit.flux[i], inside, np.nan), _spread(fit.flux_error[i] * scale, inside, np.nan),
            _flags(fit.line_flags[i], inside), FLUX_UNIT,
        )  # fmt: skip
    for name, members in sums.items():
        if members[0] in fit.model.names and set(members) <= set(fit.model.names):
            flux, error, flags = fit.total(members)
            error = np.where(np.isfinite(flux), error * scale, np.nan)
            maps[name] = Map(
                _spread(flux, inside, np.nan), _spread(error, inside, np.nan), _flags(flags, inside), FLUX_UNIT
            )


def _add_kinematics(maps, name, fit, inside, scale):
    flags = _flags(fit.flags, inside)
    observed_error = fit.dispersion_error * fit.dispersion / fit.dispersion_observed
    for kind, value, error in (
        ("VELOCITY", fit.velocity, fit.velocity_error),
        ("DISPERSION", fit.dispersion, fit.dispersion_error),
        ("DISPERSION_OBS", fit.dispersion_observed, observed_error),
    ):
        maps[f"{kind}_{name}"] = Map(
            _spread(value, inside, np.nan), _spread(error * scale, inside, np.nan), flags.copy(), "km s-1"
        )
    maps[f"CHI2_{name}"] = Map(_spread(fit.reduced_chi2, inside, np.nan), None, flags.copy(), "")


def _continuum(cube, band, fwhm, scale):
    """Mean flux density over the band without the lines, weighted by each channel's typical inverse variance."""
    use = _away_from_lines(cube.wavelength, band.models) & band.valid.any(axis=(1, 2))
    if not use.any():
        empty = np.full(cube.flux.shape[1:], np.nan)
        return Map(empty, empty.copy(), np.full(empty.shape, Flag.NO_DATA, np.uint16), DENSITY_UNIT)
    flux, error, valid = cube.flux[use], cube.error[use], band.valid[use]
    unit = float(np.median(error[valid]))
    flux, error = flux / unit, error / unit
    thinned = np.where(valid[::4], flux[::4], np.nan)
    order = np.sort(thinned, axis=0)
    count = np.isfinite(order).sum(axis=0)
    middle = np.take_along_axis(order, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
    with np.errstate(invalid="ignore"):
        valid = valid & ~(np.abs(flux - middle) > _OUTLIER_SIGMA * error * scale)
    number = valid.sum(axis=(1, 2))
    typical = np.where(valid, error, 0.0).sum(axis=(1, 2)) / np.maximum(number, 1)
    weight = np.where(number > 0, 1.0 / np.maximum(typical, 1e-30) ** 2, 0.0)
    total = np.tensordot(weight, valid.astype(float), 1)
    seen = total > 0.1 * weight.sum()
    divisor = np.where(seen, total, 1.0)
    mean = np.tensordot(weight, np.where(valid, flux, 0.0), 1) / divisor
    sigma = np.sqrt(np.tensordot(weight**2, np.where(valid, error, 0.0) ** 2, 1)) / divisor
    value, _ = smooth(mean, seen, fwhm)
    spread = np.sqrt(smoothed_variance(sigma, seen, fwhm, band.autocorrelation))
    value, spread = np.where(seen, value, np.nan), np.where(seen, spread, np.nan)
    flags = np.where(np.isfinite(value), 0, Flag.NO_DATA).astype(np.uint16)
    return Map(value * unit, spread * unit * scale, flags, DENSITY_UNIT)


def _describe(header, cube, band, settings, scale):
    header["GALAXY"] = (settings["galaxy"], "galaxy of the catalogue")
    header["BAND"] = (settings["band"], "band of the instrument")
    header["INSTRUME"] = (settings["instrument"], "instrument")
    header["Z"] = (float(settings["z"]), "redshift of velocity zero")
    header["PSFFWHM"] = (float(settings["psf_fwhm"]), "[arcsec] seeing of the unsmoothed cube")
    header["SMOOTH"] = (float(settings["lines"]["smoothing_fwhm"]), "[arcsec] FWHM of the spatial smoothing")
    header["SPAXEL"] = (float(cube.spaxel_scale), "[arcsec] spaxel side")
    header["STATE"] = (band.state, "ok | no_line_in_band")
    header["ERRSCALE"] = (scale, "errors multiplied by sqrt(median reduced chi2)")

"""From a cube to line maps: smooth, fit every group of every spaxel, collect maps (Curti et al. 2020, Sect. 3.1)."""

from dataclasses import dataclass

import numpy as np

from klever.cubes.noise import spatial_autocorrelation
from klever.linefit.binned import NO_BIN, binned_autocorrelation, spread
from klever.linefit.groupspectra import bins_of, fit_group, group_spectra
from klever.linefit.model import GroupModel
from klever.linefit.outflow import BROAD, broad_components
from klever.linefit.smoothing import smooth, smoothed_autocorrelation, smoothed_variance
from klever.maps import Flag, Map, MapSet
from klever.spectral_lines import SPEED_OF_LIGHT, lines_in_band

__all__ = ["BandFit", "band_models", "fit_cube"]

FLUX_UNIT = "erg s-1 cm-2"
DENSITY_UNIT = "erg s-1 cm-2 um-1"
_EDGE_MARGIN = 300.0  # km/s: a line closer to the last good channel is not fitted
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
    sigma_instrument : float or callable
        Micrometre; see `GroupModel`.
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
        ``DISPERSION_OBS_``, ``DISPERSION_LIMIT_`` (km/s; the last a 95 % upper limit) and
        ``CHI2_`` (reduced) of each group, ``CONTINUUM`` and ``NOISE_ACF``.  Values are
        NaN where flagged ``NO_DATA`` or ``NOT_FITTED``, and where a line has no unmasked channel (``LOW_COVERAGE``).

    Notes
    -----
    The errors follow from the cube's errors, the autocorrelation of its noise and the smoothing.  Where the median
    reduced chi2 of the band exceeds one, all errors are multiplied by its root; the header says so (``ERRSCALE``).
    """
    options = settings["lines"]
    maps = MapSet(header=cube.header.copy())
    bins, bin_line = bins_of(cube, band, options)
    fits = []
    for model in band.models:
        spectra = group_spectra(cube, band, model, options, bins)
        fits.append((spectra, fit_group(spectra, options)))
    reduced = np.concatenate([fit.reduced_chi2 for _, fit in fits]) if fits else np.ones(1)
    reduced = reduced[np.isfinite(reduced)]
    # in steps of 0.01, so that one bad spaxel does not change the errors of all others in their last digits
    scale = float(np.round(np.sqrt(max(1.0, np.median(reduced))), 2)) if reduced.size else 1.0
    broad = [broad_components(spectra, fit, options, scale) for spectra, fit in fits]
    draw = [_Painter(spectra.index, band.valid.any(axis=0)) for spectra, _ in fits]
    for (_, fit), painter in zip(fits, draw, strict=True):
        _add_fluxes(maps, fit, painter, band.sums, scale)
    for (_, fit), painter in zip(fits, draw, strict=True):
        _add_kinematics(maps, fit, painter, scale)
    for component, painter in zip(broad, draw, strict=True):
        if component is not None:
            _add_broad(maps, component, painter, scale)
    fwhm = 0.0 if bins is not None else options["smoothing_fwhm"] / cube.spaxel_scale
    maps["CONTINUUM"] = _continuum(cube, band, fwhm, scale)
    if bins is None:
        maps["NOISE_ACF"] = Map(smoothed_autocorrelation(band.autocorrelation, fwhm))
    else:
        maps["NOISE_ACF"] = Map(binned_autocorrelation(bins, band.autocorrelation))
        maps["BIN"] = Map(bins.astype(float))
    _describe(maps.header, cube, band, settings, scale, bin_line)
    return maps


@dataclass
class _Painter:
    """Puts values of spectra into a map.

    Attributes
    ----------
    index : ndarray of int, shape (ny, nx)
        Row of each spaxel.
    data : ndarray of bool, shape (ny, nx)
        The spaxel has data in the band.
    """

    index: np.ndarray
    data: np.ndarray

    def values(self, values):
        """Map of values, NaN outside."""
        return spread(np.asarray(values, float), self.index, np.nan)

    def flags(self, flags):
        """Map of flags: ``NO_DATA`` outside, ``NOT_FITTED`` where there are data in no bin."""
        image = spread(flags.astype(np.uint16), self.index, np.uint16(Flag.NO_DATA))
        left_out = self.data & (self.index == NO_BIN) & (self.index.max() >= 0)
        return np.where(left_out & (image == Flag.NO_DATA), np.uint16(Flag.NOT_FITTED), image)


def _add_fluxes(maps, fit, painter, sums, scale):
    for i, name in enumerate(fit.model.names):
        maps[name] = Map(
            painter.values(fit.flux[i]), painter.values(fit.flux_error[i] * scale), painter.flags(fit.line_flags[i]),
            FLUX_UNIT,
        )  # fmt: skip
    for name, members in sums.items():
        if members[0] in fit.model.names and set(members) <= set(fit.model.names):
            flux, error, flags = fit.total(members)
            error = np.where(np.isfinite(flux), error * scale, np.nan)
            maps[name] = Map(painter.values(flux), painter.values(error), painter.flags(flags), FLUX_UNIT)


def _add_kinematics(maps, fit, painter, scale):
    name, flags = fit.model.group.name.upper(), painter.flags(fit.flags)
    observed_error = fit.dispersion_error * fit.dispersion / fit.dispersion_observed
    for kind, value, error in (
        ("VELOCITY", fit.velocity, fit.velocity_error),
        ("DISPERSION", fit.dispersion, fit.dispersion_error),
        ("DISPERSION_OBS", fit.dispersion_observed, observed_error),
    ):
        maps[f"{kind}_{name}"] = Map(painter.values(value), painter.values(error * scale), flags.copy(), "km s-1")
    limit = fit.dispersion + scale * (fit.dispersion_limit - fit.dispersion)
    maps[f"DISPERSION_LIMIT_{name}"] = Map(painter.values(limit), None, flags.copy(), "km s-1")
    maps[f"CHI2_{name}"] = Map(painter.values(fit.reduced_chi2), None, flags.copy(), "")


def _add_broad(maps, broad, painter, scale):
    """Add the broad component where it is kept, and its evidence where it was tried."""
    group, flags = broad.group.upper(), painter.flags(broad.flags)
    for i, name in enumerate(broad.names):
        value, error = painter.values(broad.flux[i]), painter.values(broad.flux_error[i] * scale)
        maps[f"{name}{BROAD}"] = Map(value, error, flags.copy(), FLUX_UNIT)
    for kind, value, error in (
        ("VELOCITY", broad.velocity, broad.velocity_error), ("DISPERSION", broad.dispersion, broad.dispersion_error)
    ):  # fmt: skip
        maps[f"{kind}_{group}{BROAD}"] = Map(
            painter.values(value), painter.values(error * scale), flags.copy(), "km s-1"
        )
    tried = np.where(np.isfinite(broad.evidence), 0, Flag.NOT_FITTED)
    maps[f"EVIDENCE_{group}"] = Map(painter.values(broad.evidence), None, painter.flags(tried), "")


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


def _describe(header, cube, band, settings, scale, bin_line):
    header["GALAXY"] = (settings["galaxy"], "galaxy of the catalogue")
    header["BAND"] = (settings["band"], "band of the instrument")
    header["INSTRUME"] = (settings["instrument"], "instrument")
    header["Z"] = (float(settings["z"]), "redshift of velocity zero")
    if settings.get("resolution") is not None:
        header["RESOLUT"] = (float(settings["resolution"]), "resolving power, instead of the instrument's")
    header["PSFFWHM"] = (float(settings["psf_fwhm"]), "[arcsec] seeing of the unsmoothed cube")
    smoothing = 0.0 if bin_line else settings["lines"]["smoothing_fwhm"]
    header["SMOOTH"] = (float(smoothing), "[arcsec] FWHM of the spatial smoothing")
    if bin_line:
        header["BINLINE"] = (bin_line, "line for which spaxels were binned")
        header["BINSNR"] = (float(settings["lines"]["bin_snr"]), "S/N of that line asked for in a bin")
    header["SPAXEL"] = (float(cube.spaxel_scale), "[arcsec] spaxel side")
    header["STATE"] = (band.state, "ok | no_line_in_band")
    header["ERRSCALE"] = (scale, "errors multiplied by sqrt(median reduced chi2)")

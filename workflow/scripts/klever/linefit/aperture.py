"""The pseudo-fibre of a band: where its emission peaks, the spectrum in a circle there, and its lines.

Curti et al. (2020), Sect. 3.1: circular pseudo-fibres of 0.6 arcsec radius on the position of the peak of the emission.
"""

from dataclasses import dataclass, field

import numpy as np

from klever.cubes.axes import cd_matrix, sky_to_pixel
from klever.linefit.groupspectra import GroupSpectra, fit_group, sky_fraction
from klever.linefit.outflow import broad_components
from klever.linefit.result import ONE_SIDED
from klever.linefit.smoothing import smooth
from klever.linefit.window import channels_of_group
from klever.maps import Flag, masked
from klever.spectral_lines import SPEED_OF_LIGHT

__all__ = [
    "ApertureSpectrum",
    "aperture_weights",
    "emission_peak",
    "extract_spectrum",
    "fit_aperture",
    "pixel_to_sky",
]

_SUBPIXELS = 32  # a side: areas of pixels on the rim to some 0.2 per cent of a pixel
_PEAK_SNR = 3.0
_NEIGHBOUR_SNR = 2.0
_NEIGHBOURS = 3
_MINIMUM_FIELD = 0.6  # of a Gaussian of the aperture's size that must fall on spaxels with data
_MINIMUM_APERTURE = 0.5  # of the aperture that must be unmasked in a channel


@dataclass
class ApertureSpectrum:
    """Spectrum summed over an aperture, with its fits.

    Attributes
    ----------
    x, y : float
        Centre, 0-based spaxels.
    method : str
        How the centre was found: ``emission_peak``, ``continuum_peak`` or ``catalogue_position``.
    peak_map : str
        Map whose peak it is; empty for the catalogue position.
    flux, error : ndarray, shape (n_wave,)
        erg s-1 cm-2 um-1; NaN where masked.  The error includes the correlation of neighbouring spaxels and
        `error_scale`, the rms of the normalised residuals of the fits if that exceeds one.
    model, continuum : ndarray, shape (n_wave,)
        NaN outside the fitted windows.
    coverage : float
        Fraction of the aperture on spaxels with data.
    fits : list of FitResult
        One spectrum each; errors not yet multiplied by `error_scale`.
    broad : list of BroadComponent or None
        Second component of each fit, where one was asked for.
    """

    x: float
    y: float
    method: str
    peak_map: str
    flux: np.ndarray
    error: np.ndarray
    model: np.ndarray
    continuum: np.ndarray
    coverage: float
    error_scale: float = 1.0
    fits: list = field(default_factory=list)
    broad: list = field(default_factory=list)


def aperture_weights(shape, x, y, radius):
    """Fraction of each pixel inside a circle.

    Parameters
    ----------
    shape : (int, int)
        (ny, nx).
    x, y, radius : float
        Centre (0-based, pixel centres at integers) and radius, pixels.

    Returns
    -------
    ndarray, shape (ny, nx)
    """
    offset = (np.arange(_SUBPIXELS) + 0.5) / _SUBPIXELS - 0.5
    fine_y, fine_x = ((np.arange(size)[:, None] + offset).ravel() for size in shape)
    inside = (fine_y[:, None] - y) ** 2 + (fine_x - x) ** 2 <= radius**2
    return inside.reshape(shape[0], _SUBPIXELS, shape[1], _SUBPIXELS).mean(axis=(1, 3))


def emission_peak(maps, names, radius, ra, dec):
    """Centre of the pseudo-fibre.

    The peak of the brightest line: flux times S/N of spaxels at S/N above 3 with at least three neighbours above 2,
    averaged over 3 x 3 spaxels, refined to the centroid of those; without one, likewise the continuum; else the
    catalogue position.  Spaxels near the rim of the field, flagged ones and isolated ones cannot be the peak.

    Parameters
    ----------
    maps : MapSet
        From `klever.linefit.cubefit.fit_cube`.
    names : list of str
        Lines to consider.
    radius : float
        Of the aperture, spaxels.
    ra, dec : float
        Catalogue position, degrees.

    Returns
    -------
    x, y : float
        0-based spaxels.
    method, name : str
        See `ApertureSpectrum`.
    """
    data = np.isfinite(maps["CONTINUUM"].value)
    _, support = smooth(np.zeros(data.shape), data, 2 * radius)
    allowed = data & (support >= _MINIMUM_FIELD)
    best = (0.0, None, "")
    for name in names:
        score, total = _score(maps, name, allowed)
        if total > best[0]:
            best = (total, score, name)
    method = "emission_peak"
    if best[1] is None:
        score, total = _score(maps, "CONTINUUM", allowed)
        best, method = (total, score if total > 0 else None, "CONTINUUM"), "continuum_peak"
    if best[1] is None:
        x, y = sky_to_pixel(maps.header, ra, dec)
        return float(x), float(y), "catalogue_position", ""
    x, y = _peak(best[1])
    return x, y, method, best[2]


def _score(maps, name, allowed):
    """Flux times S/N of trustworthy spaxels (0 elsewhere), and their summed flux."""
    flux, error = masked(maps, name)
    flags = maps[name].flags
    with np.errstate(invalid="ignore", divide="ignore"):
        snr = np.where(error > 0, flux / error, 0.0)
    snr = np.where(np.isfinite(snr) & ((flags & Flag.VELOCITY_BOUND) == 0), snr, 0.0)
    neighbours = _box(snr >= _NEIGHBOUR_SNR) - (snr >= _NEIGHBOUR_SNR)
    bright = allowed & (snr >= _PEAK_SNR) & (neighbours >= _NEIGHBOURS)
    return np.where(bright, flux * snr, 0.0), float(np.where(bright, flux, 0.0).sum())


def _box(image):
    """Sum over 3 x 3 pixels."""
    padded = np.pad(np.asarray(image, float), 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]


def _peak(score):
    averaged = np.where(score > 0, _box(score), 0.0)
    y, x = np.unravel_index(np.argmax(averaged), score.shape)
    rows, columns = slice(max(y - 1, 0), y + 2), slice(max(x - 1, 0), x + 2)
    part = score[rows, columns]
    grid_y, grid_x = np.mgrid[rows, columns][:, : part.shape[0], : part.shape[1]]
    return float((part * grid_x).sum() / part.sum()), float((part * grid_y).sum() / part.sum())


def pixel_to_sky(header, x, y):
    """Right ascension and declination (degree) of a 0-based pixel of a TAN header."""
    xi, eta = np.radians(cd_matrix(header) @ np.array([x + 1 - header["CRPIX1"], y + 1 - header["CRPIX2"]]))
    ra0, dec0 = np.radians([header["CRVAL1"], header["CRVAL2"]])
    ra = ra0 + np.arctan2(xi, np.cos(dec0) - eta * np.sin(dec0))
    dec = np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, np.cos(dec0) - eta * np.sin(dec0)))
    return float(np.degrees(ra) % 360.0), float(np.degrees(dec))


def extract_spectrum(flux, error, valid, weights, autocorrelation):
    """Sum spectra over an aperture.

    Voxels that are masked in a channel are taken at the mean of the others; a channel with less than half of the
    aperture left is masked.  Spaxels without any data do not count: their flux is not made up for.

    Parameters
    ----------
    flux, error : ndarray, shape (n_wave, ny, nx)
    valid : ndarray of bool, same shape
    weights : ndarray, shape (ny, nx)
        Fraction of each spaxel inside.
    autocorrelation : ndarray
        Of the noise, by lag (y, x) in spaxels, 1 at the centre.

    Returns
    -------
    spectrum, spectrum_error : ndarray, shape (n_wave,)
        NaN where masked; variance = sum over pairs of w_i w_j s_i s_j rho_ij.
    coverage : float
        Fraction of the aperture (within the cube's frame) on spaxels with data.
    """
    chosen = (weights > 0) & valid.any(axis=0)
    share = weights[chosen]
    if not share.size:
        empty = np.full(len(flux), np.nan)
        return empty, empty.copy(), 0.0
    seen = valid[:, chosen]
    weighted = np.where(seen, share, 0.0)
    used = weighted.sum(axis=1)
    enough = used >= _MINIMUM_APERTURE * share.sum()
    factor = np.where(enough, share.sum() / np.where(enough, used, 1.0), np.nan)
    y, x = np.nonzero(chosen)
    lag_y, lag_x = np.subtract.outer(y, y), np.subtract.outer(x, x)
    half_y, half_x = (size // 2 for size in autocorrelation.shape)
    near = (np.abs(lag_y) <= half_y) & (np.abs(lag_x) <= half_x)
    correlation = np.where(
        near, autocorrelation[np.clip(lag_y + half_y, 0, 2 * half_y), np.clip(lag_x + half_x, 0, 2 * half_x)], 0.0
    )
    scatter = weighted * np.where(seen, error[:, chosen], 0.0)
    variance = np.einsum("cp,cp->c", scatter @ correlation, scatter)
    spectrum = factor * (weighted * np.where(seen, flux[:, chosen], 0.0)).sum(axis=1)
    return spectrum, factor * np.sqrt(np.maximum(variance, 0.0)), float(share.sum() / weights.sum())


def fit_aperture(cube, band, maps, settings):
    """Extract the pseudo-fibre of a band from the unsmoothed cube and fit its lines.

    Parameters
    ----------
    cube : klever.cubes.cube.Cube
    band : klever.linefit.cubefit.BandFit
    maps : MapSet
        Line maps, for the centre.
    settings : dict
        ra, dec (degree), and ``lines`` as in ``config.yaml``.

    Returns
    -------
    ApertureSpectrum
    """
    options = settings["lines"]
    radius = options["aperture_radius"] / cube.spaxel_scale
    names = [name for model in band.models for name in model.names]
    x, y, method, peak_map = emission_peak(maps, names, radius, settings["ra"], settings["dec"])
    weights = aperture_weights(cube.flux.shape[1:], x, y, radius)
    flux, error, coverage = extract_spectrum(cube.flux, cube.error, band.valid, weights, band.autocorrelation)
    result = ApertureSpectrum(x, y, method, peak_map, flux, error, np.full(len(flux), np.nan),
                              np.full(len(flux), np.nan), coverage)  # fmt: skip
    spectra = []
    for model in band.models:
        channels, near = channels_of_group(model, cube.wavelength, options["window"])
        one = GroupSpectra(
            model, cube.wavelength[channels], flux[None, channels], np.where(near, error[channels], np.nan)[None],
            np.array([np.nan]), np.zeros((1, 1), int), near, sky_fraction(cube, channels, near),
        )  # fmt: skip
        fit = fit_group(one, options)
        spectra.append((channels, one))
        result.fits.append(fit)
    scale = _error_scale(result.fits)
    for (channels, one), fit in zip(spectra, result.fits, strict=True):
        broad = broad_components(one, fit, options, scale)
        result.broad.append(broad)
        if not fit.flags[0] & Flag.NOT_FITTED:
            continuum = np.where(one.near, fit.continuum_at(one.wavelength)[0], np.nan)
            result.continuum[channels] = np.where(one.near, continuum, result.continuum[channels])
            model_flux = continuum + fit.lines_at(one.wavelength)[0] + (0.0 if broad is None else broad.curve[0])
            result.model[channels] = np.where(one.near, model_flux, result.model[channels])
    result.error_scale = _error_scale(result.fits)
    result.error = error * result.error_scale
    return result


def _error_scale(fits):
    """Root of the common reduced chi2 of all groups, at least one."""
    fitted = [fit for fit in fits if not fit.flags[0] & Flag.NOT_FITTED]
    dof = sum(fit.dof[0] for fit in fitted)
    return float(np.sqrt(max(1.0, sum(fit.chi2[0] for fit in fitted) / dof))) if dof else 1.0


def line_rows(aperture, sums, settings):
    """Rows of ``lines.ecsv``: one dict per line and sum (see the column list in ``lines.py``).

    Parameters
    ----------
    aperture : ApertureSpectrum
    sums : dict of str to tuple of str
    settings : dict
        galaxy, band, z, and ``lines.detection_snr``.

    Returns
    -------
    list of dict
        NaN is a value that does not exist.
    """
    rows = []
    for fit, broad in zip(aperture.fits, aperture.broad, strict=True):
        entries = [
            (name, fit.flux[i, 0], fit.flux_error[i, 0], int(fit.line_flags[i, 0]))
            for i, name in enumerate(fit.model.names)
        ]
        for name, members in sums.items():
            if set(members) <= set(fit.model.names):
                flux, error, flags = fit.total(members)
                entries.append((name, flux[0], error[0], int(flags[0])))
        rows += [_row(fit, aperture.error_scale, settings, *entry) for entry in entries]
        if broad is not None and np.isfinite(broad.velocity[0]):
            rows += [_broad_row(fit, broad, i, aperture.error_scale, settings) for i in range(len(broad.names))]
    return rows


def _broad_row(fit, broad, i, scale, settings):
    """Row of a line of the broad component, whose name ends in ``_broad``."""
    row = _row(fit, scale, settings, f"{broad.names[i]}_broad", broad.flux[i, 0], broad.flux_error[i, 0],
               int(broad.flags[0]))  # fmt: skip
    velocity, dispersion = float(broad.velocity[0]), float(broad.dispersion[0])
    velocity_error, dispersion_error = float(broad.velocity_error[0] * scale), float(broad.dispersion_error[0] * scale)
    return row | {
        "velocity": velocity, "velocity_error": velocity_error, "dispersion": dispersion,
        "dispersion_error": dispersion_error,
        "dispersion_observed": float(fit.model.observed_dispersion(velocity, dispersion)),
        "dispersion_limit": dispersion + ONE_SIDED * dispersion_error,
        "z": (1 + fit.model.z) * (1 + velocity / SPEED_OF_LIGHT) - 1,
        "z_error": (1 + fit.model.z) * velocity_error / SPEED_OF_LIGHT,
    }  # fmt: skip


def _row(fit, scale, settings, name, flux, error, flags):
    error = error * scale
    snr = flux / error if error > 0 else np.nan
    usable = not flags & (Flag.NOT_FITTED | Flag.LOW_COVERAGE)
    detected = bool(usable and snr >= settings["lines"]["detection_snr"])
    velocity = float(fit.velocity[0])
    return {
        "galaxy": settings["galaxy"], "band": settings["band"], "line": name, "group": fit.model.group.name,
        "flux": float(flux), "flux_error": float(error), "snr": float(snr), "detected": detected,
        "velocity": velocity, "velocity_error": float(fit.velocity_error[0] * scale),
        "dispersion": float(fit.dispersion[0]), "dispersion_error": float(fit.dispersion_error[0] * scale),
        "dispersion_observed": float(fit.dispersion_observed[0]),
        "dispersion_limit": float(fit.dispersion[0] + scale * (fit.dispersion_limit[0] - fit.dispersion[0])),
        "z": (1 + fit.model.z) * (1 + velocity / SPEED_OF_LIGHT) - 1,
        "z_error": (1 + fit.model.z) * float(fit.velocity_error[0] * scale) / SPEED_OF_LIGHT,
        "upper_limit": np.nan if detected else float(3 * error), "flags": flags,
    }  # fmt: skip

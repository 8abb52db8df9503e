"""Stacked spectrum of chosen spaxels, and He II 4686 in it: a sign of an AGN or of Wolf-Rayet stars (Sect. 3.4.1)."""

from dataclasses import dataclass

import numpy as np

from klever.spectral_lines import SPEED_OF_LIGHT

__all__ = ["HEII", "StackedLine", "nearest_spaxels", "stack_spectra", "stacked_line"]

# He II n = 4 - 3, vacuum, micrometre (air 4685.70 of NIST, converted as in resources/lines.yaml).
HEII = 0.468702
_WINDOW = 3000.0  # km/s on each side for the continuum


@dataclass
class StackedLine:
    """A line in a stacked spectrum.

    Parameters
    ----------
    state : str
        ``detected`` (S/N of at least the threshold), ``not_detected``, ``not_covered``, ``no_spaxels``.
    flux, error : float
        In the unit of the spectrum times micrometre in the rest frame; NaN where it was not measured.
    """

    state: str
    flux: float = np.nan
    error: float = np.nan


def nearest_spaxels(chosen, x, y, shape):
    """Return for every spaxel of a cube whether the map pixel nearest to its centre is chosen, and which one it is.

    Parameters
    ----------
    chosen : ndarray of bool, shape (ny, nx)
        Of the map.
    x, y : ndarray, shape (ny, nx)
        Where the pixels of the map are in the cube, 0-based spaxels.
    shape : (int, int)
        (ny, nx) of the cube.

    Returns
    -------
    rows, columns : ndarray of int, shape (n,)
        Chosen spaxels.
    pixels : ndarray of int, shape (n,)
        Index into the flattened map.
    """
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    away = np.hypot(x - column, y - row)
    best = {}
    for pixel in np.flatnonzero(inside.ravel()):
        key = row.flat[pixel], column.flat[pixel]
        if key not in best or away.flat[pixel] < away.flat[best[key]]:
            best[key] = pixel
    kept = [(key, pixel) for key, pixel in sorted(best.items()) if chosen.flat[pixel]]
    if not kept:
        return (np.zeros(0, int),) * 3
    return (
        np.array([key[0] for key, _ in kept]), np.array([key[1] for key, _ in kept]), np.array([p for _, p in kept])
    )  # fmt: skip


def stack_spectra(wavelength, flux, error, velocity, z):
    """Return the sum of spectra at rest.

    Parameters
    ----------
    wavelength : ndarray, shape (n_wave,)
        Micrometre, observed.
    flux, error : ndarray, shape (n, n_wave)
        NaN is masked.
    velocity : ndarray, shape (n,)
        km/s relative to `z`.
    z : float

    Returns
    -------
    rest, total, total_error : ndarray, shape (n_wave,)
        Rest wavelength; NaN in channels where less than half of the spectra have data, scaled up for the missing
        ones elsewhere. The error takes the spectra as independent.
    """
    rest = wavelength / (1 + z)
    total, variance, count = np.zeros((3, len(rest)))
    for spectrum, sigma, shift in zip(flux, error, velocity, strict=True):
        axis = wavelength / (1 + z) / (1 + shift / SPEED_OF_LIGHT)
        nearest = np.clip(np.searchsorted(axis, rest - 0.5 * np.median(np.diff(axis))), 0, len(axis) - 1)
        value, spread = spectrum[nearest], sigma[nearest]
        good = np.isfinite(value) & np.isfinite(spread)
        total[good] += value[good]
        variance[good] += spread[good] ** 2
        count += good
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(count >= 0.5 * len(flux), len(flux) / count, np.nan)
    return rest, total * scale, np.sqrt(variance) * scale


def stacked_line(rest, flux, error, line, sigma_velocity, minimum_snr):
    """Measure one line of known position and width on a linear continuum.

    Parameters
    ----------
    rest, flux, error : ndarray, shape (n_wave,)
        From `stack_spectra`.
    line : float
        Rest wavelength, micrometre.
    sigma_velocity : float
        Observed dispersion of the line, km/s.
    minimum_snr : float
        Of a detection.

    Returns
    -------
    StackedLine
        The error is scaled with the rms of the normalised residuals, which includes the correlation of neighbouring
        spaxels that `stack_spectra` leaves out.
    """
    velocity = (rest / line - 1) * SPEED_OF_LIGHT
    used = (np.abs(velocity) <= _WINDOW) & np.isfinite(flux) & (error > 0)
    core = used & (np.abs(velocity) <= 2 * sigma_velocity)
    sigma = line * sigma_velocity / SPEED_OF_LIGHT
    needed = np.ceil(2 * sigma / np.median(np.diff(rest)))
    if np.count_nonzero(used) < 10 or np.count_nonzero(core) < max(needed, 2):
        return StackedLine("not_covered")
    x = velocity[used] / _WINDOW
    profile = np.exp(-0.5 * (velocity[used] / sigma_velocity) ** 2) / (sigma * np.sqrt(2 * np.pi))
    # columns of order one, whatever the unit of the flux
    design = np.stack([profile * sigma, np.ones_like(x), x], axis=1) / error[used][:, None] * np.median(error[used])
    target = flux[used] / error[used] * np.median(error[used])
    normal = design.T @ design
    solution = np.linalg.solve(normal, design.T @ target)
    residual = (target - design @ solution) / np.median(error[used])
    scale = np.sqrt(np.mean(residual**2)) * np.median(error[used])
    flux_line = float(solution[0] * sigma)
    flux_error = float(np.sqrt(np.linalg.inv(normal)[0, 0]) * scale * sigma)
    return StackedLine("detected" if flux_line >= minimum_snr * flux_error else "not_detected", flux_line, flux_error)

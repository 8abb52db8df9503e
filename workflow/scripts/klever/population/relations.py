"""Main sequences of star formation and mass-metallicity relations of other works, from ``resources/literature``."""

import csv
import json
from pathlib import Path

import numpy as np

from klever.errors import InputError

__all__ = [
    "Relations",
    "delta_main_sequence",
    "kashino19",
    "load_relations",
    "mzr_curti20",
    "mzr_ma16",
    "mzr_steidel14",
    "shivaei15",
    "speagle14",
    "whitaker14",
]

# log([OIII]/Hb / ([NII]/Ha)) = sum c_n (12+log(O/H) - 8.69)^n, Curti et al. (2017)
_O3N2_C17 = (0.281, -4.765, -2.268)
_C17_RANGE = (7.6, 8.85)
_PP04_O3N2 = (8.73, -0.32)  # Pettini & Pagel (2004): 12+log(O/H) = 8.73 - 0.32 O3N2

Relations = dict


def load_relations(path):
    """Return the content of ``scaling_relations.json``.

    Raises
    ------
    InputError
        The file cannot be read, or a relation is not in it.
    """
    try:
        relations = json.loads(Path(path).read_text(encoding="utf-8"))
        for name, keys in _NEEDED.items():
            for key in keys:
                relations[name][key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be used as a file of scaling relations ({error}); restore it.") from error
    return relations


_NEEDED = {
    "MZR_C20": ("Z0", "logM0", "gamma", "beta"),
    "SFMS_Speagle14": ("valid_logM",),
    "SFMS_Shivaei15_Ha": ("z_2p09_2p61",),
    "SFMS_Kashino19": ("asymptotic",),
    "SFMS_Whitaker14": ("rows",),
}


def speagle14(log_mstar, age):
    """Return log SFR of the main sequence of Speagle et al. (2014, eq. 28).

    Parameters
    ----------
    log_mstar : array_like
        log10 of the stellar mass (Msun); the relation was fitted to 9.7 to 11.1 and is extrapolated beyond.
    age : array_like
        Age of the Universe (Gyr).

    Returns
    -------
    ndarray
        log10 of Msun/yr, Kroupa initial mass function: converting mass and SFR to Chabrier has a negligible effect
        (Sect. 4.1).
    """
    log_mstar, age = np.asarray(log_mstar, dtype=float), np.asarray(age, dtype=float)
    return (0.84 - 0.026 * age) * log_mstar - (6.51 - 0.11 * age)


def delta_main_sequence(log_sfr, log_mstar, age):
    """Return the distance of a galaxy from the main sequence of `speagle14` at its redshift, in dex of SFR."""
    return np.asarray(log_sfr, dtype=float) - speagle14(log_mstar, age)


def shivaei15(log_mstar, relations):
    """Return log SFR and its scatter (dex) of Shivaei et al. (2015), Halpha, 2.09 < z < 2.61."""
    row = relations["SFMS_Shivaei15_Ha"]["z_2p09_2p61"]
    return row["slope"] * np.asarray(log_mstar, dtype=float) + row["icpt"], row["scatter"]


def kashino19(log_mstar, relations):
    """Return log SFR of Kashino et al. (2019), z ~ 1.6, their curve that flattens; the power law could not be had."""
    row = relations["SFMS_Kashino19"]["asymptotic"]
    return row["S0"] - np.log10(1.0 + 10.0 ** (-row["gamma"] * (np.asarray(log_mstar, dtype=float) - row["M0"])))


def whitaker14(log_mstar, z, relations):
    """Return log SFR of Whitaker et al. (2014), a parabola in log M for ranges of redshift; NaN outside 0.5 to 2.5."""
    log_mstar = np.asarray(log_mstar, dtype=float)
    for name, (a, b, c) in relations["SFMS_Whitaker14"]["rows"].items():
        low, high = map(float, name.split("-"))
        if low <= z < high:
            return a + b * log_mstar + c * log_mstar**2
    return np.full_like(log_mstar, np.nan)


def mzr_curti20(log_mstar, relations):
    """Return 12+log(O/H) of local galaxies (Curti et al. 2020a, eq. 2), valid for 7.95 < log M < 11.85."""
    row = relations["MZR_C20"]
    z0, log_m0, gamma, beta = (row[key][0] for key in ("Z0", "logM0", "gamma", "beta"))
    return z0 - gamma / beta * np.log10(1.0 + 10.0 ** (-beta * (np.asarray(log_mstar, dtype=float) - log_m0)))


def mzr_ma16(log_mstar, z):
    """Return 12+log(O/H) of the FIRE simulations (Ma et al. 2016), as their abstract gives it."""
    return 9.0 + 0.35 * (np.asarray(log_mstar, dtype=float) - 10.0) + 0.93 * np.exp(-0.43 * z) - 1.05


def mzr_steidel14(path):
    """Return the mass-metallicity relation at z = 2.3 of Steidel et al. (2014), O3N2 on the scale of C17.

    Their stacks are in Pettini & Pagel (2004); the O3N2 ratio behind them is put through the calibration of
    Curti et al. (2017).

    Parameters
    ----------
    path : path-like
        ``mzr_steidel2014_stacks.csv``.

    Returns
    -------
    log_mstar, log_oh : ndarray, shape (n,)
        Ordered by mass.

    Raises
    ------
    InputError
        The file cannot be read, or a metallicity has no counterpart within the range of C17.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as stream:
            rows = [(float(row["log_mstar_msun"]), float(row["logoh12_pp04"])) for row in csv.DictReader(stream)]
        log_mstar, pp04 = np.array(sorted(rows)).T
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} cannot be used as a mass-metallicity relation ({error}); restore it.") from error
    ratio = (pp04 - _PP04_O3N2[0]) / _PP04_O3N2[1]
    grid = np.arange(_C17_RANGE[1], _C17_RANGE[0], -0.001)
    curve = np.polynomial.polynomial.polyval(grid - 8.69, _O3N2_C17)
    rising = np.concatenate([[True], np.diff(curve) > 0]).cumprod().astype(bool)
    grid, curve = grid[rising], curve[rising]
    if ratio.min() < curve[0] or ratio.max() > curve[-1]:
        raise InputError(f"{path}: a metallicity lies outside the C17 calibration of O3N2; restore the file.")
    return log_mstar, np.interp(ratio, curve, grid)

"""Strong-line calibrations: line ratios as polynomials of the oxygen abundance, from resources/calibrations.json."""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from klever.errors import ConfigError, InputError

__all__ = ["SOLAR_LOG_OH", "Calibration", "calibrations_for", "load_calibrations"]

# 12+log(O/H) of the Sun (Allende Prieto et al. 2001), from which the polynomials count.
SOLAR_LOG_OH = 8.69

_USABLE = {
    "C20": "Curti et al. 2020, MNRAS 491, 944 (C19 of the paper)",
    "C17": "Curti et al. 2017, MNRAS 465, 1384",
    "M08": "Maiolino et al. 2008, A&A 488, 463",
    "B18": "Bian et al. 2018, ApJ 859, 175 (local analogues of high-redshift galaxies)",
    "S24": "Sanders et al. 2024, ApJ 962, 24 (valid range unverified)",
}
_MISSING = {
    "N22": "it has only R3, from a single transcription, without range or dispersion",
    "PP04_M13": "it gives abundances from N2 and O3N2, not ratios from abundances as Eq. 1 needs",
}
_KEYS = {"R3": "R3", "N2": "N2", "S2": "S2", "O3O2": "O32", "R2": "R2"}


@dataclass(frozen=True)
class Calibration:
    """One diagnostic of one calibration set.

    The line ratio is log10 R = sum_n c_n x^n with x = 12+log(O/H) - 8.69 (Curti et al. 2020, MNRAS 491, 944, Eq. 2).

    Parameters
    ----------
    name : str
        Diagnostic: R3, N2, S2, O3O2 or R2.
    set_name : str
        C20, C17, M08, B18 or S24.
    coefficients : tuple of float
        c_0 first.
    log_oh_range : tuple of float
        Range of 12+log(O/H) in which the calibration holds.
    rms_ratio, sigma_oh : float or None
        Dispersion of the calibration sample along log10 R and along log(O/H), dex; None where none is published.
    turnover : float or None
        12+log(O/H) at which the ratio changes direction; from there on it is double-valued.
    source : str
        Publication, and the origin of a borrowed dispersion.
    """

    name: str
    set_name: str
    coefficients: tuple
    log_oh_range: tuple
    rms_ratio: float | None
    sigma_oh: float | None
    turnover: float | None
    source: str

    def evaluate(self, log_oh):
        """Return log10 of the line ratio at an oxygen abundance.

        Parameters
        ----------
        log_oh : float or ndarray
            12+log(O/H); NaN gives NaN.

        Raises
        ------
        ValueError
            An abundance outside `log_oh_range`, where the polynomial means nothing.
        """
        log_oh = np.asarray(log_oh, dtype=float)
        low, high = self.log_oh_range
        # a grid that ends at the range by arithmetic may miss it by rounding
        outside = (log_oh < low - 1e-9) | (log_oh > high + 1e-9)
        if np.any(outside):
            raise ValueError(
                f"12+log(O/H) = {log_oh[outside].flat[0]:.3f} is outside the range {low}-{high} "
                f"in which {self.name} of {self.set_name} is calibrated."
            )
        return np.polynomial.polynomial.polyval(log_oh - SOLAR_LOG_OH, self.coefficients)

    def dispersion(self, kind="rms_ratio"):
        """Return the intrinsic dispersion sigma_R of Eq. 1, dex.

        Parameters
        ----------
        kind : {'rms_ratio', 'sigma_oh'} or float
            The scatter along the line ratio, which has the units Eq. 1 asks for, or the number published along
            log(O/H), put into Eq. 1 unchanged (the paper does not say which it used); or a dispersion in dex for a
            set that has none.

        Raises
        ------
        ConfigError
            An unknown kind, or a calibration without a published dispersion.
        """
        if isinstance(kind, int | float) and not isinstance(kind, bool):
            if not (np.isfinite(kind) and kind > 0):
                raise ConfigError(f"metallicity.dispersion: {kind} dex is not a dispersion; give a number above 0.")
            return float(kind)
        if kind not in {"rms_ratio", "sigma_oh"}:
            raise ConfigError(f"metallicity.dispersion: '{kind}' is not rms_ratio, sigma_oh or a number in dex.")
        value = getattr(self, kind)
        if value is None:
            raise ConfigError(
                f"metallicity.calibration: {self.set_name} has no published dispersion for {self.name}, which Eq. 1 "
                "needs; give one in dex as metallicity.dispersion, or use C20."
            )
        return value


def load_calibrations(path, set_name="C20"):
    """Read one calibration set.

    Parameters
    ----------
    path : str or Path
        resources/calibrations.json.
    set_name : str
        C20 (the paper's C19), C17, M08, B18 or S24. For C17 no dispersions are at hand: those of C20 are taken where
        the coefficients are the same, and `Calibration.source` says so. M08, B18 and S24 need a number.

    Returns
    -------
    dict of str to Calibration
        By diagnostic (R3, N2, S2, O3O2, R2), those the set has.

    Raises
    ------
    InputError
        The file is missing or damaged.
    ConfigError
        The set is unknown, or lacks what a posterior needs; the message says what.
    """
    try:
        sets = json.loads(Path(path).read_text(encoding="utf-8"))["calibrations"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read as calibrations ({error}); restore resources/calibrations.json."
        ) from error
    if set_name in _MISSING and set_name in sets:
        raise ConfigError(
            f"metallicity.calibration: {set_name} cannot be used, {_MISSING[set_name]}; "
            f"use one of {', '.join(_USABLE)}."
        )
    if set_name not in _USABLE or set_name not in sets:
        nearest = difflib.get_close_matches(str(set_name).upper(), _USABLE, n=1, cutoff=0.3)
        hint = f"; did you mean {nearest[0]}?" if nearest else "."
        raise ConfigError(f"metallicity.calibration: '{set_name}' is not one of {', '.join(_USABLE)}{hint}")
    try:
        return {
            name: _calibration(name, set_name, sets[set_name][key], sets["C20"].get(key))
            for name, key in _KEYS.items()
            # a relation that is only known the other way round, abundance from ratio, is not one for Eq. 1
            if key in sets[set_name] and "inverse" not in sets[set_name][key]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: set {set_name} lacks {error}; restore resources/calibrations.json.") from error


def calibrations_for(calibrations, names, log_oh_range):
    """Return the calibrations of the diagnostics `names`, after checking that they hold over `log_oh_range`.

    Parameters
    ----------
    calibrations : dict of str to Calibration
        As from `load_calibrations`.
    names : iterable of str
        Diagnostics.
    log_oh_range : pair of float
        Range of 12+log(O/H) over which the posterior is taken.

    Raises
    ------
    ConfigError
        A diagnostic that the set lacks, or a range beyond the calibrated one; the message gives a range that holds.
    """
    low, high = log_oh_range
    set_name = next(iter(calibrations.values())).set_name
    if not low < high:
        raise ConfigError(f"metallicity.log_oh_range: [{low}, {high}] is empty; give the lower end first.")
    chosen = {}
    for name in names:
        if name not in calibrations:
            raise ConfigError(
                f"metallicity.diagnostics: {set_name} has no calibration of {name}; it has {', '.join(calibrations)}."
            )
        valid = calibrations[name].log_oh_range
        if low < valid[0] - 1e-9 or high > valid[1] + 1e-9:
            used = [calibrations[item].log_oh_range for item in calibrations if item != "R2"]
            common = [max(item[0] for item in used), min(item[1] for item in used)]
            raise ConfigError(
                f"metallicity.log_oh_range: [{low}, {high}] leaves the range {valid[0]}-{valid[1]} in which {name} of "
                f"{set_name} is calibrated; {common} holds for all its diagnostics."
            )
        chosen[name] = calibrations[name]
    return chosen


def _calibration(name, set_name, entry, reference):
    coefficients = _about_solar(entry)
    low, high = (float(item) for item in entry["range_OH"])
    source = _USABLE[set_name]
    dispersions = entry
    if "rms_ratio" not in entry and reference and _about_solar(reference) == coefficients:
        dispersions = reference
        source += "; dispersion of C20, whose coefficients are the same"
    rms_ratio, sigma_oh = (dispersions.get(key) for key in ("rms_ratio", "sigma_OH"))
    turnover = _turnover(coefficients, low, high)
    return Calibration(name, set_name, coefficients, (low, high), rms_ratio, sigma_oh, turnover, source)


def _about_solar(entry):
    """Return the coefficients in x = 12+log(O/H) - 8.69 of a polynomial that may be published in another variable."""
    coefficients = [float(item) for item in entry["coeffs"]]
    origin = float(entry.get("origin", SOLAR_LOG_OH))
    if origin != SOLAR_LOG_OH:
        moved = np.polynomial.Polynomial(coefficients)(np.polynomial.Polynomial([SOLAR_LOG_OH - origin, 1.0]))
        coefficients = [float(item) for item in moved.coef]
    coefficients[0] += float(entry.get("add", 0.0))
    return tuple(coefficients)


def _turnover(coefficients, low, high):
    derivative = np.polynomial.Polynomial(coefficients).deriv()
    roots = np.array([root.real for root in derivative.roots() if abs(root.imag) < 1e-9]) + SOLAR_LOG_OH
    inside = roots[(roots > low) & (roots < high)]
    # with several, the one nearest the Sun bounds the branch that galaxies are on
    return float(inside[np.argmin(np.abs(inside - SOLAR_LOG_OH))]) if inside.size else None

"""BPT diagrams: demarcation lines, classes, and distances from a line (Curti et al. 2020, Sect. 3.4.1 and 4.1)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from klever.errors import InputError

__all__ = ["Curve", "classify", "correlation", "load_curves", "offsets"]

# log10 [OIII]/Hbeta down to which a line is followed when distances from it are taken, and its number of points.
_LOWEST, _POINTS = -3.0, 2000


@dataclass(frozen=True)
class Curve:
    """A line y = a / (x - b) + c, x < b, in a BPT diagram.

    Parameters
    ----------
    name : str
    ratio : str
        N2 or S2, the abscissa log10 [N II]6584/Halpha or [S II]6717,31/Halpha; the ordinate is R3.
    a, b, c : float
    citation : str
    role : str
        ``maximum starburst``, ``pure star formation`` or ``high-redshift locus``.
    """

    name: str
    ratio: str
    a: float
    b: float
    c: float
    citation: str
    role: str

    def evaluate(self, x):
        """Return log10 [OIII]5007/Hbeta of the line; -inf at and beyond its asymptote, NaN for NaN."""
        x = np.asarray(x, dtype=float)
        with np.errstate(divide="ignore"):
            return np.where(x < self.b, self.a / (x - self.b) + self.c, np.where(np.isnan(x), np.nan, -np.inf))[()]


def load_curves(path):
    """Read resources/bpt.json.

    Returns
    -------
    dict of str to Curve

    Raises
    ------
    InputError
        The file is missing or damaged.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))["curves"]
        return {
            name: Curve(name, entry["ratio"], *(float(entry[key]) for key in "abc"), entry["citation"], entry["role"])
            for name, entry in entries.items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as BPT lines ({error}); restore resources/bpt.json.") from error


def offsets(x, y, x_error, y_error, curve):
    """Return the distance of points from a line in the diagram, and its error.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        log10 ratios; NaN gives NaN.
    x_error, y_error : ndarray, shape (n,)
        1 sigma, dex, independent.
    curve : Curve

    Returns
    -------
    distance, error : ndarray, shape (n,)
        dex; positive above the line. The error is that along the direction to its nearest point.
    """
    x, y, x_error, y_error = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(item, dtype=float)) for item in (x, y, x_error, y_error))
    )
    # equal steps of ordinate resolve the line where it falls steeply, equal steps of abscissa where it is flat
    level = np.linspace(_LOWEST, curve.c - 0.05, _POINTS)
    line_x = np.concatenate([curve.b + curve.a / (level - curve.c), np.linspace(-4.0, curve.b - 0.15, _POINTS)])
    line_y = curve.evaluate(line_x)
    distance, error = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
    known = np.isfinite(x) & np.isfinite(y)
    for i in np.flatnonzero(known):
        nearest = np.argmin(np.hypot(x[i] - line_x, y[i] - line_y))
        slope = -curve.a / (line_x[nearest] - curve.b) ** 2
        normal = np.array([-slope, 1.0]) / np.hypot(slope, 1.0)
        # along the normal, so that the spacing of the points does not count
        distance[i] = normal[0] * (x[i] - line_x[nearest]) + normal[1] * (y[i] - line_y[nearest])
        error[i] = np.hypot(normal[0] * x_error[i], normal[1] * y_error[i])
    return distance, error


def classify(ratios, curves):
    """Return the class of a galaxy in both diagrams and its distances from the lines of Kewley et al. (2001).

    Parameters
    ----------
    ratios : dict of str to tuple
        Value, error and kind (-1 upper limit, 0 measured, 1 lower limit) of R3, N2 and S2, those known.
    curves : dict of str to Curve

    Returns
    -------
    dict
        ``n2_class``: ``star_forming`` (below Kauffmann et al. 2003), ``composite``, ``agn`` (above Kewley et al.
        2001), ``unknown``. ``s2_class``: ``star_forming``, ``agn`` or ``unknown``. ``n2_offset``, ``s2_offset`` and
        ``_error``: dex, NaN unless both ratios are measured. An upper limit on the abscissa classes a galaxy only
        below a line: there it stays wherever its abscissa is.
    """
    row = {}
    for name, lines in (("N2", ("Kewley01_N2", "Kauffmann03")), ("S2", ("Kewley01_S2",))):
        key = name.lower()
        row |= {f"{key}_class": "unknown", f"{key}_offset": np.nan, f"{key}_offset_error": np.nan}
        if not {"R3", name} <= ratios.keys():
            continue
        (y, y_error, y_kind), (x, x_error, x_kind) = ratios["R3"], ratios[name]
        below = [y <= curves[line].evaluate(x) for line in lines]
        if x_kind == 0 and y_kind == 0:
            distance, error = offsets(x, y, x_error, y_error, curves[lines[0]])
            row |= {f"{key}_offset": float(distance[0]), f"{key}_offset_error": float(error[0])}
        if x_kind <= 0 and y_kind <= 0 and below[-1]:
            row[f"{key}_class"] = "star_forming"
        elif x_kind >= 0 and y_kind >= 0 and not below[0]:
            row[f"{key}_class"] = "agn"
        elif x_kind == 0 and y_kind == 0:
            row[f"{key}_class"] = "composite"
    return row


def correlation(x, y, independent):
    """Return Spearman's coefficient of pixels and its significance for `independent` elements among them.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Pixels where either is NaN are left out.
    independent : float
        Number of independent elements, the area over that of the PSF.

    Returns
    -------
    rho, p_value : float
        Two-sided; both NaN with fewer than four independent elements, or where one of them is constant.
    """
    from scipy.special import stdtr

    used = np.isfinite(x) & np.isfinite(y)
    number = min(independent, np.count_nonzero(used))
    if number < 4:
        return np.nan, np.nan
    ranks = [_ranks(item[used]) for item in (x, y)]
    if any(np.ptp(item) == 0 for item in ranks):
        return np.nan, np.nan
    rho = float(np.corrcoef(*ranks)[0, 1])
    statistic = abs(rho) * np.sqrt((number - 2) / max(1 - rho**2, 1e-12))
    return rho, float(2 * stdtr(number - 2, -statistic))


def _ranks(values):
    """Return ranks from 1, the mean rank for equal values; those of scipy.stats, whose import takes half a second."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - 0.5 * (count - 1))[place]

"""Emission-line ratios in log10 with their errors, and which lines each diagnostic is made of."""

import difflib
from dataclasses import dataclass

import numpy as np

from klever.errors import ConfigError

__all__ = ["DIAGNOSTICS", "RATIOS", "Diagnostic", "combined_ratio", "diagnostic", "log_ratio"]


@dataclass(frozen=True)
class Diagnostic:
    """A ratio of two lines, for most of them a strong-line diagnostic of the gas-phase metallicity.

    Parameters
    ----------
    name : str
        As in the configuration and the paper (Curti et al. 2020, Sect. 3.4).
    numerator, denominator : str
        Names of resources/lines.yaml; ``OII`` and ``SII`` are the sums of the doublets.
    dereddened : bool
        The lines are too far apart in wavelength for the reddening to cancel.
    """

    name: str
    numerator: str
    denominator: str
    dereddened: bool = False

    @property
    def lines(self):
        """Both lines, numerator first."""
        return self.numerator, self.denominator


DIAGNOSTICS = {
    item.name: item
    for item in (
        Diagnostic("R3", "OIII5007", "Hbeta"),
        Diagnostic("N2", "NII6584", "Halpha"),
        Diagnostic("S2", "SII", "Halpha"),
        Diagnostic("O3O2", "OIII5007", "OII", dereddened=True),
    )
}
# What is measured besides; O3N2 is `combined_ratio` of R3 and N2.
RATIOS = DIAGNOSTICS | {
    item.name: item
    for item in (
        Diagnostic("R2", "OII", "Hbeta", dereddened=True),
        Diagnostic("S3S2", "SIII", "SII", dereddened=True),
    )
}


def combined_ratio(first, second):
    """Return first - second of two log10 ratios that share no line, for O3N2 = R3 - N2.

    Parameters
    ----------
    first, second : tuple
        Value, error and kind (-1 upper limit, 0 measured, 1 lower limit).

    Returns
    -------
    value, error, kind : tuple
        NaN where the two limits point in opposite directions and say nothing together.
    """
    kinds = {first[2], -second[2]} - {0}
    if len(kinds) > 1:
        return np.nan, np.nan, 0
    return first[0] - second[0], float(np.hypot(first[1], second[1])), kinds.pop() if kinds else 0


def diagnostic(name):
    """Return the diagnostic called `name`.

    Raises
    ------
    ConfigError
        There is no such diagnostic; the message offers the nearest one.
    """
    if name in DIAGNOSTICS:
        return DIAGNOSTICS[name]
    upper = {known.upper(): known for known in DIAGNOSTICS} | {"O32": "O3O2"}
    nearest = difflib.get_close_matches(str(name).upper(), upper, n=1, cutoff=0.4)
    hint = f"; did you mean {upper[nearest[0]]}?" if nearest else "."
    raise ConfigError(f"metallicity.diagnostics: '{name}' is not one of {', '.join(DIAGNOSTICS)}{hint}")


def log_ratio(numerator, numerator_error, denominator, denominator_error):
    """Return log10 of a flux ratio and its 1 sigma error.

    The two fluxes are taken as independent, and the error is the first-order one,
    sqrt((dn/n)^2 + (dd/d)^2) / ln 10: good to a tenth of itself for S/N above 2.5, the lowest the maps use.

    Parameters
    ----------
    numerator, numerator_error, denominator, denominator_error : float or ndarray
        Fluxes (any one unit) and their 1 sigma errors, broadcast against each other.

    Returns
    -------
    ratio, error : float or ndarray
        In dex. NaN, both, where a flux is not finite or not positive (a logarithm has no meaning there) or where an
        error is not finite or negative.
    """
    fluxes = np.broadcast_arrays(*(np.asarray(item, dtype=float) for item in (numerator, denominator)))
    errors = np.broadcast_arrays(*(np.asarray(item, dtype=float) for item in (numerator_error, denominator_error)))
    usable = np.ones(np.broadcast_shapes(fluxes[0].shape, errors[0].shape), dtype=bool)
    for flux, error in zip(fluxes, errors, strict=True):
        usable &= np.isfinite(flux) & (flux > 0) & np.isfinite(error) & (error >= 0)
    with np.errstate(all="ignore"):
        ratio = np.log10(fluxes[0]) - np.log10(fluxes[1])
        error = np.hypot(errors[0] / fluxes[0], errors[1] / fluxes[1]) / np.log(10)
    return np.where(usable, ratio, np.nan)[()], np.where(usable, error, np.nan)[()]

"""Reddening from the Balmer decrement and the extinction correction of line ratios (Sect. 3.3 and 3.4)."""

import numpy as np

from klever.errors import ConfigError
from klever.gas.line_ratios import log_ratio

__all__ = ["REST_WAVELENGTHS", "color_excess", "color_excess_scale", "correct", "extinction"]

# Vacuum, micrometre, as in resources/lines.yaml (a test compares them); OII is the mean of the doublet, and SIII that
# of its two lines weighted with their fluxes.
REST_WAVELENGTHS = {
    "OII": 0.37284835,
    "Hbeta": 0.4862691,
    "OIII5007": 0.5008240,
    "Halpha": 0.6564632,
    "NII6584": 0.6585279,
    "SII": 0.6725481,
    "SIII": 0.9400036,
}


def extinction(line, rv=3.1):
    """Return k = A(line) / E(B-V) of the law of Cardelli, Clayton & Mathis (1989, Eq. 2 and 3).

    The law of their infrared and optical ranges is written out because importing the package dust_extinction costs
    more time than the step that needs it; the tests compare the two.

    Parameters
    ----------
    line : str
        One of `REST_WAVELENGTHS`.
    rv : float
        A(V) / E(B-V), within the 2.0-6.0 of the law.

    Raises
    ------
    ConfigError
        `rv` outside the range of the law.
    """
    if not 2.0 <= rv <= 6.0:
        raise ConfigError(f"dust.rv: {rv} is outside 2.0-6.0, where the law of Cardelli et al. (1989) holds.")
    if REST_WAVELENGTHS[line] > 1.0 / 1.1:
        return float((0.574 * rv - 0.527) * REST_WAVELENGTHS[line] ** -1.61)
    y = 1.0 / REST_WAVELENGTHS[line] - 1.82
    a = (1.0, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999)
    b = (0.0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002)
    polyval = np.polynomial.polynomial.polyval
    return float(polyval(y, a) * rv + polyval(y, b))


def color_excess(halpha, halpha_error, hbeta, hbeta_error, balmer_ratio=2.87, rv=3.1):
    """Return E(B-V) of the gas and its error from Halpha/Hbeta.

    E(B-V) = 2.5 / (k(Hbeta) - k(Halpha)) log10((Halpha/Hbeta) / balmer_ratio), Sect. 3.4.

    Parameters
    ----------
    halpha, halpha_error, hbeta, hbeta_error : float or ndarray
        Fluxes in one unit and their 1 sigma errors.
    balmer_ratio : float
        Intrinsic Halpha/Hbeta.
    rv : float
        A(V) / E(B-V).

    Returns
    -------
    ebv, error : float or ndarray
        Magnitudes. `ebv` is as measured and may be negative, which noise, or bands that are not calibrated against
        each other, can make; `correct` takes such a value as zero. NaN where a flux is unusable.
    """
    if not balmer_ratio > 0:
        raise ConfigError(f"dust.balmer_ratio: {balmer_ratio} is not a flux ratio; the paper's is 2.87.")
    ratio, error = log_ratio(halpha, halpha_error, hbeta, hbeta_error)
    scale = color_excess_scale(rv)
    return scale * (ratio - np.log10(balmer_ratio)), scale * error


def color_excess_scale(rv=3.1):
    """Return d E(B-V) / d log10(Halpha/Hbeta), 2.5 / (k(Hbeta) - k(Halpha)), magnitudes per dex."""
    return 2.5 / (extinction("Hbeta", rv) - extinction("Halpha", rv))


def correct(ratio, ratio_error, numerator, denominator, ebv, ebv_error, rv=3.1):
    """Return an extinction-corrected log10 line ratio and its error.

    Parameters
    ----------
    ratio, ratio_error : float or ndarray
        Observed log10(numerator/denominator) and its 1 sigma error, dex.
    numerator, denominator : str
        Line names.
    ebv, ebv_error : float or ndarray
        E(B-V) as measured; values below zero are taken as zero, with their error. It is taken as independent of the
        ratio, exact for O3O2, which shares no line with the Balmer decrement.
    rv : float
        A(V) / E(B-V).

    Returns
    -------
    ratio, error : float or ndarray
        dex; NaN where any input is.
    """
    # A = k E(B-V) magnitudes dims a line by 0.4 A dex
    scale = 0.4 * (extinction(numerator, rv) - extinction(denominator, rv))
    # np.maximum keeps NaN: an unknown reddening is not zero
    corrected = np.asarray(ratio) + scale * np.maximum(ebv, 0.0)
    error = np.hypot(ratio_error, scale * np.asarray(ebv_error))
    unusable = ~(np.isfinite(corrected) & np.isfinite(error))
    return np.where(unusable, np.nan, corrected)[()], np.where(unusable, np.nan, error)[()]

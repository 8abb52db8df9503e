"""Eq. 1 of Curti et al. 2020: how well an oxygen abundance explains line ratios, measured or known as limits."""

import numpy as np

from klever.abundance.calibrations import SOLAR_LOG_OH

__all__ = ["LOWER", "MEASURED", "UPPER", "chi_square", "chi_square_of", "ratio_arrays", "score"]

# What a ratio is: a measurement, or a limit because one of its lines is not detected.
UPPER, MEASURED, LOWER = -1, 0, 1


def ratio_arrays(ratio):
    """Return value, error and kind of a ratio as arrays of shape (n,).

    Parameters
    ----------
    ratio : tuple
        (value, error), log10 and dex; or (value, error, kind) with kind `MEASURED`, `UPPER` (the numerator is not
        detected; the true ratio is below the value) or `LOWER` (the denominator is not).
    """
    value, error, *kind = ratio
    value, error = np.broadcast_arrays(*(np.atleast_1d(np.asarray(item, dtype=float)) for item in (value, error)))
    return value, error, np.broadcast_to(kind[0] if kind else MEASURED, value.shape)


def chi_square(log_oh, ratios, calibrations, dispersion="rms_ratio"):
    """Return chi-square of Eq. 1, sum_i (R_i,obs - R_i(log_oh))^2 / (sigma_obs^2 + sigma_R,i^2).

    A limit L contributes -2 ln of the probability to have found the ratio beyond it: Phi((L - R_i) / sigma) for an
    upper limit, Phi((R_i - L) / sigma) for a lower one, with the same sigma (censored data; not in the paper).
    Diagnostics that share a line are taken as independent, as in the paper.

    Parameters
    ----------
    log_oh : ndarray, shape (m,)
        12+log(O/H), within the range of every calibration.
    ratios : dict of str to tuple
        By diagnostic, as for `ratio_arrays`.
    calibrations : dict of str to Calibration
        At least those of `ratios`.
    dispersion : {'rms_ratio', 'sigma_oh'} or float
        Which intrinsic dispersion sigma_R is; see `Calibration.dispersion`.

    Returns
    -------
    ndarray, shape (n, m)
        NaN where a ratio is.
    """
    total = 0.0
    for name, ratio in ratios.items():
        deviation, kind = _deviation(calibrations[name].evaluate(log_oh), ratio, calibrations[name], dispersion)
        total = total + _penalty(deviation, kind)
    return total


def chi_square_of(ratios, calibrations, dispersion="rms_ratio"):
    """Return chi-square of single ratios as a function of 12+log(O/H), for chains that evaluate it often.

    The measured ratios make it one polynomial, because every expected ratio is one.

    Parameters
    ----------
    ratios : dict of str to tuple of float
    calibrations, dispersion
        As for `chi_square`.

    Returns
    -------
    callable
        Takes and returns ndarray of shape (m,).
    """
    measured, limits = np.polynomial.Polynomial([0.0]), []
    for name, ratio in ratios.items():
        value, error, kind = (float(item[0]) for item in ratio_arrays(ratio))
        expected = np.polynomial.Polynomial(calibrations[name].coefficients)
        variance = error**2 + calibrations[name].dispersion(dispersion) ** 2
        if kind == MEASURED:
            measured = measured + (value - expected) ** 2 / variance
        else:
            limits.append(((value - expected) / np.sqrt(variance), kind))
    coefficients = [float(item) for item in measured.coef[::-1]]

    def evaluate(log_oh):
        x, chi2 = log_oh - SOLAR_LOG_OH, 0.0
        for coefficient in coefficients:
            chi2 = chi2 * x + coefficient
        for deviation, kind in limits:
            chi2 = chi2 + _penalty(deviation(x), np.array(kind))
        return chi2

    return evaluate


def score(log_oh, ratio, calibration, dispersion="rms_ratio"):
    """Return d ln(likelihood) / d(ratio), shape (n, m), of one diagnostic; arguments as in `chi_square`."""
    _, error, _ = ratio_arrays(ratio)
    sigma = np.sqrt(error**2 + calibration.dispersion(dispersion) ** 2)[:, None]
    deviation, kind = _deviation(calibration.evaluate(log_oh), ratio, calibration, dispersion)
    slope = -deviation
    if np.any(kind != MEASURED):
        from scipy.special import log_ndtr

        # the argument of Phi is +deviation for an upper limit and -deviation for a lower one
        argument = np.where(kind == UPPER, deviation, -deviation)
        hazard = np.exp(-0.5 * argument**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(argument))
        slope = np.where(kind == MEASURED, slope, np.where(kind == UPPER, hazard, -hazard))
    return slope / sigma


def _deviation(expected, ratio, calibration, dispersion):
    """Return (observed - expected) / sigma, shape (n, m), and kind, shape (n, 1)."""
    value, error, kind = ratio_arrays(ratio)
    sigma = np.sqrt(error**2 + calibration.dispersion(dispersion) ** 2)
    return (value[:, None] - expected) / sigma[:, None], kind[:, None]


def _penalty(deviation, kind):
    squared = deviation**2
    if not np.any(kind != MEASURED):
        return squared
    from scipy.special import log_ndtr

    # log_ndtr keeps its precision far out, where Phi itself underflows
    censored = -2 * log_ndtr(np.where(kind == UPPER, deviation, -deviation))
    return np.where(kind == MEASURED, squared, censored)

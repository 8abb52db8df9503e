"""How 12+log(O/H) follows the line fluxes it is made of, so that their noise and covariance can be carried along."""

import numpy as np

from klever.abundance.abundance_likelihood import LOWER, UPPER, ratio_arrays
from klever.gas.dust import color_excess_scale, extinction
from klever.gas.line_ratios import RATIOS

__all__ = ["line_response", "noise_error"]


def line_response(response, ratios, fluxes, ebv=None, mode="none", rv=3.1):
    """Return the derivatives of 12+log(O/H) with respect to the flux of every line it uses.

    With them the noise of the abundance is linear in that of the fluxes: for pixels p and their flux noise n_l,
    delta log(O/H)_p = sum_l d_lp n_lp, and the covariance of two pixels is sum_l d_lp C_l,pq d_lq when C_l is that of
    the map of line l. The calibration's dispersion has no part in it.

    Parameters
    ----------
    response : dict of str to ndarray, shape (n,)
        d log(O/H) / d log10(ratio) by diagnostic, `Posterior.response`.
    ratios : dict of str to tuple
        The same diagnostics, as for `klever.abundance.abundance_likelihood.ratio_arrays`.
    fluxes : dict of str to ndarray, shape (n,)
        By line, in any unit; those of Halpha and Hbeta too where `mode` is ``map``.
    ebv : ndarray, shape (n,), or float, optional
        E(B-V) that corrected the dereddened diagnostics; below zero it was used as zero, and has no response.
    mode : {'map', 'global', 'none'}
        ``map``: each pixel's own Balmer decrement. ``global``: one value for all pixels, whose error they share.
    rv : float
        A(V) / E(B-V).

    Returns
    -------
    dict of str to ndarray, shape (n,)
        dex per unit of flux, by line; and under ``EBV``, with `mode` ``global``, dex per magnitude.
        NaN where log(O/H) is.
    """
    found = {}

    def add(line, value):
        found[line] = found.get(line, 0.0) + value

    for name, slope in response.items():
        item, kind = RATIOS[name], ratio_arrays(ratios[name])[2]
        # a limit rests on the error of the undetected line, not on its flux
        for line, sign, absent in ((item.numerator, 1.0, UPPER), (item.denominator, -1.0, LOWER)):
            per_flux = _per_flux(fluxes.get(line, np.nan))
            add(line, np.where(kind == absent, 0.0 * slope, sign * slope * per_flux))
        if not item.dereddened or mode == "none":
            continue
        lift = 0.4 * (extinction(item.numerator, rv) - extinction(item.denominator, rv))
        lift = np.where(np.asarray(ebv) > 0, lift, 0.0) * slope
        if mode == "global":
            add("EBV", lift)
            continue
        for line, sign in (("Halpha", 1.0), ("Hbeta", -1.0)):
            add(line, sign * lift * color_excess_scale(rv) * _per_flux(fluxes[line]))
    return found


def noise_error(responses, errors):
    """Return the 1 sigma error of log(O/H) from the noise of the fluxes alone, without the calibration's dispersion.

    Parameters
    ----------
    responses : dict of str to ndarray, shape (n,)
        From `line_response`; ``EBV``, an error that all pixels share, is left out.
    errors : dict of str to ndarray, shape (n,)
        1 sigma errors of the fluxes, taken as independent from line to line.

    Returns
    -------
    ndarray, shape (n,)
        dex; NaN where log(O/H) is.
    """
    parts = [
        # an undetected line has no flux error to propagate: its response is zero
        np.square(slope * np.where(slope == 0, 0.0, errors.get(line, np.nan)))
        for line, slope in responses.items()
        if line != "EBV"
    ]
    return np.sqrt(np.sum(parts, axis=0))


def _per_flux(flux):
    """Return d log10(flux) / d flux."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1.0 / (np.asarray(flux, dtype=float) * np.log(10))

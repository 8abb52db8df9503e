"""Whether deflection, convergence and shear of one lens model belong together, and what is wrong if they do not."""

import numpy as np

from klever.lensmodels.base import Consistency, convergence_and_shear

__all__ = ["compare", "factor_problem"]

ACCEPTED = 0.25  # relative difference; teams smooth and resample their maps, and a grid's derivative is not exact
_RECOGNISED = 0.1  # of a factor or a sign that explains the difference
_CONSTANT = 0.15  # relative scatter below which a ratio is called one factor
_LEAST_KAPPA = 0.05  # below, the noise of single-precision maps shows
_LARGEST_KAPPA = 2.5  # median about a galaxy, for Dls/Ds = 1: images of such a place would be demagnified
_FEWEST = 20  # positions


def compare(derivatives, kappa, gamma, unit, pixel_scales):
    """Compare what the derivatives of a deflection say with the maps of convergence and shear.

    Parameters
    ----------
    derivatives : ndarray, shape (2, 2, n)
        ``[i, j]``: derivative along j of the deflection component i, normalised as the maps. NaN is ignored.
    kappa, gamma : ndarray, shape (n,), or None
        From the maps, None without one; without both only a deflection that is stronger than any lens's is told.
    unit : str
        "arcsec", "pixel" or "degree", as declared for the deflection.
    pixel_scales : pair of float
        Arcsec per pixel of the deflection maps along x and y.

    Returns
    -------
    Consistency
        `problem` is empty also where too few positions can be compared. One factor between the maps is a unit, a
        normalisation or the sign; if half the divergence is no multiple of kappa, but is with one component's sign
        turned, or with the two components exchanged, the problem says that.
    """
    (xx, xy), (yx, yy) = derivatives
    own_kappa, own_gamma = convergence_and_shear(derivatives)
    result = Consistency()
    if kappa is None and gamma is None:
        inside = own_kappa[np.isfinite(own_kappa)]
        if inside.size >= _FEWEST and abs(np.median(inside)) > _LARGEST_KAPPA:
            result.problem = (
                f"half the divergence of the deflection is {np.median(inside):.3g} about the galaxy, more than a lens "
                "has: is it in another unit or of another normalisation? Set deflection_unit or normalisation, or give "
                "a map of kappa, with which it is compared"
            )
    if kappa is not None:
        used = np.isfinite(derivatives).all(axis=(0, 1)) & (kappa > _LEAST_KAPPA)
        if used.sum() >= _FEWEST:
            result.kappa, scatter = _ratio(own_kappa, kappa, used)
            if abs(result.kappa - 1) > ACCEPTED or scatter > 2 * ACCEPTED:
                turned = {
                    f"the deflection is in {other}, not in {unit}: set deflection_unit: {other}{also}":
                        sign * (wx * xx + wy * yy)
                    for other, wx, wy in _other_units(unit, *pixel_scales)
                    for sign, also in ((1, ""), (-1, "; and it has the opposite sign: set x_sign and y_sign, too"))
                } | {
                    "the y deflection has the opposite sign: set y_sign to its opposite": xx - yy,
                    "the x deflection has the opposite sign: set x_sign to its opposite": yy - xx,
                    "the deflection has the opposite sign: set x_sign and y_sign to their opposite": -xx - yy,
                    "the x and y deflections are exchanged, or the maps are transposed: name them the other way "
                    "round, or transpose the files": xy + yx,
                    "the x and y deflections are exchanged and have the opposite sign": -xy - yx,
                    "the x and y deflections are exchanged, and one has the opposite sign": np.abs(xy - yx),
                }  # fmt: skip
                result.problem = _recognise(turned, kappa, used)
                if not result.problem and scatter < _CONSTANT:
                    result.problem = factor_problem("kappa", result.kappa, unit, float(np.mean(pixel_scales)))
                elif not result.problem and abs(result.kappa - 1) > ACCEPTED:
                    result.problem = (
                        f"half the divergence of the deflection is {result.kappa:.3g} times kappa with a scatter of "
                        f"{100 * scatter:.0f} %: are these files of one model?"
                    )
    if gamma is not None and not result.problem:
        used = np.isfinite(own_gamma) & (gamma > _LEAST_KAPPA)
        if used.sum() >= _FEWEST:
            result.gamma, scatter = _ratio(own_gamma, gamma, used)
            if abs(result.gamma - 1) > ACCEPTED and scatter < 2 * ACCEPTED:
                result.problem = factor_problem("gamma", result.gamma, unit, float(np.mean(pixel_scales)))
    return result


def _ratio(own, given, used):
    """Median of own / given, and its relative scatter (half the distance of the quartiles over 0.67)."""
    low, middle, high = np.percentile(own[used] / given[used], [25, 50, 75])
    return float(middle), float((high - low) / 1.349 / max(abs(middle), 1e-30))


def _recognise(turned, kappa, used):
    for problem, divergence in turned.items():
        ratio, scatter = _ratio(0.5 * divergence, kappa, used)
        if abs(ratio - 1) < _RECOGNISED and scatter < _CONSTANT:
            return problem
    return ""


def factor_problem(kind, ratio, unit, pixel_scale):
    """Return what a factor between the derivatives of the deflection and a map of kappa or gamma means.

    Parameters
    ----------
    kind : str
        "kappa" or "gamma".
    ratio : float
        Deflection over map.
    unit : str
        Declared unit of the deflection.
    pixel_scale : float
        Arcsec.
    """
    for other, correction, _ in _other_units(unit, pixel_scale, pixel_scale):
        if abs(ratio * correction - 1) < _RECOGNISED:
            return f"the deflection is in {other}, not in {unit}: set deflection_unit: {other}"
    if ratio < 0:
        return (
            f"{kind} of the file is {1 / ratio:.3g} times that of the deflection: opposite sign, and another "
            "normalisation or unit?"
        )
    return (
        f"{kind} of the file is {1 / max(ratio, 1e-30):.3g} times that of the deflection: normalisation? Give maps "
        f"of one normalisation, or leave {kind} out: it then follows from the deflection"
    )


def _other_units(unit, x_scale, y_scale):
    """Return the units that were not declared, with factors of the derivatives along x and y if one is right."""
    in_arcsec = {"arcsec": (1.0, 1.0), "pixel": (x_scale, y_scale), "degree": (3600.0, 3600.0)}
    declared = in_arcsec.pop(unit)
    return [(other, x / declared[0], y / declared[1]) for other, (x, y) in in_arcsec.items()]

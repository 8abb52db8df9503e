"""A lensed galaxy's own mass: what the fit says, divided by the magnification, errors kept apart."""

import numpy as np

__all__ = ["choose_magnification", "divide_by_magnification", "magnifications_differ"]

_OF_MASS = {"log_mstar", "log_sfr"}
_AGREEMENT = 1.3  # factor


def choose_magnification(row, wanted):
    """Return the magnification, its error and its name; None if there is none.

    Parameters
    ----------
    row : mapping
        Of magnification.ecsv.
    wanted : {'halpha', 'maps'}
        As in the paper (Sect. 3.3), the other one is taken where this is not available.
    """
    if str(row["state"]) == "unlensed":
        return 1.0, 0.0, "none"
    found = {"halpha": (_number(row, "mu_halpha"), _number(row, "mu_halpha_error"))}
    sides = [_number(row, f"mu_maps_error_{side}") for side in ("minus", "plus")]
    found["maps"] = _number(row, "mu_maps"), float(np.mean(sides))
    for name in (wanted, *(other for other in found if other != wanted)):
        mu, error = found[name]
        if np.isfinite(mu) and mu > 0:
            return mu, error if np.isfinite(error) else 0.0, name
    return None


def magnifications_differ(row):
    """Whether two magnifications of a galaxy are known and more than a factor of 1.3 apart.

    mu_halpha is compared with mu_maps, and mu_maps with the median of its realisations (``mu_maps_median``).

    Then the galaxy is a long arc whose magnification changes along it: neither that of the field of the cube nor that
    at one position need be that of the light in the photometric aperture.
    """
    maps = _number(row, "mu_maps")
    names = row if isinstance(row, dict) else row.colnames
    # near a critical line the nominal map may be an extreme of its realisations
    others = [_number(row, name) for name in ("mu_halpha", "mu_maps_median") if name in names]
    return any(other > 0 and maps > 0 and abs(np.log(other / maps)) > np.log(_AGREEMENT) for other in others)


def _number(row, name):
    value = row[name]
    return np.nan if np.ma.is_masked(value) else float(value)


def divide_by_magnification(values, magnification):
    """Columns of a stellar-mass table.

    Parameters
    ----------
    values : dict of (float, float, float)
        Percentiles 16, 50, 84 of ``log_mstar`` and of other parameters; the star formation rate is divided, too.
    magnification : (float, float, str) or None
        From `choose_magnification`; without it there is a lensed mass only.

    Returns
    -------
    dict
        The error of the magnification adds in quadrature, in dex, to both sides.
    """
    low, median, high = values["log_mstar"]
    row = {"log_mstar_lensed": median, "log_mstar_fit_minus": median - low, "log_mstar_fit_plus": high - median}
    for name, (below, middle, above) in values.items():
        if name != "log_mstar" and not (name in _OF_MASS and magnification is None):
            shift = np.log10(magnification[0]) if name in _OF_MASS else 0.0
            row |= {name: middle - shift, f"{name}_error_minus": middle - below, f"{name}_error_plus": above - middle}
    if magnification is None:
        return row
    mu, error, kind = magnification
    dex = error / mu / np.log(10.0)
    row |= {"mu": mu, "mu_error": error, "mu_kind": kind, "log_mstar": median - np.log10(mu), "log_mstar_mu_error": dex}
    sides = {"minus": median - low, "plus": high - median}
    return row | {f"log_mstar_error_{side}": float(np.hypot(size, dex)) for side, size in sides.items()}

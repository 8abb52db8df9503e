"""Line ratios of the simulated gas: the calibrations with their scatter, fixed ratios, and dust."""

import numpy as np

__all__ = ["EXTINCTION", "RATIOS", "draw_offsets", "line_fluxes", "log_ratio"]

SOLAR_LOG_OH = 8.69  # of the calibrations' x = 12 + log(O/H) - 8.69
BALMER_RATIO = 2.87  # Halpha/Hbeta, case B, 10^4 K
RATIOS = {"R3": "R3", "N2": "N2", "S2": "S2", "O3O2": "O32"}  # name in the products: name in calibrations.json

# k(lambda) = A(lambda)/E(B-V) of Cardelli et al. (1989), R_V = 3.1, at the lines' air wavelengths;
# dust_extinction 1.7 and extinction 0.4.9 agree on all digits.
EXTINCTION = {
    "OII3726": 4.7721, "OII3729": 4.7701, "Hbeta": 3.6089, "OIII4959": 3.5163, "OIII5007": 3.4728, "NII6548": 2.5422,
    "Halpha": 2.5351, "NII6584": 2.5252, "SII6717": 2.4616, "SII6731": 2.4548, "SIII9069": 1.4666, "SIII9531": 1.3532,
}  # fmt: skip


def log_ratio(calibrations, ratio, log_oh):
    """Evaluate log10 of a line ratio (key of `RATIOS`) at `log_oh`, with the C20 set (Curti et al. 2020)."""
    coefficients = calibrations["calibrations"]["C20"][RATIOS[ratio]]["coeffs"]
    return np.polynomial.polynomial.polyval(np.asarray(log_oh, float) - SOLAR_LOG_OH, coefficients)


def line_fluxes(halpha, log_oh, ebv, siii_ratio, offsets, calibrations):
    """Return the flux of every line for dust-dimmed Halpha fluxes.

    Parameters
    ----------
    halpha : ndarray
        Halpha flux as seen through the dust, any unit.
    log_oh : ndarray
        12 + log(O/H), of the same shape.
    ebv : float
        Nebular reddening, mag.
    siii_ratio : float
        [S III]9531/Halpha as seen through the dust.
    offsets : dict
        Offset of log10 of each of R3, N2, S2, O3O2 from the calibrations.
    calibrations : dict
        Content of resources/calibrations.json.

    Returns
    -------
    dict of ndarray
        Line name to dust-dimmed flux, in the unit of `halpha`.
    """
    ratio = {name: 10.0 ** (log_ratio(calibrations, name, log_oh) + offsets[name]) for name in RATIOS}
    intrinsic = halpha * 10 ** (0.4 * EXTINCTION["Halpha"] * ebv)
    hbeta = intrinsic / BALMER_RATIO
    oiii, nii, sii = hbeta * ratio["R3"], intrinsic * ratio["N2"], intrinsic * ratio["S2"]
    oii = oiii / ratio["O3O2"]
    undimmed = {
        "OII3726": oii / 2.2, "OII3729": oii * 1.2 / 2.2, "Hbeta": hbeta, "OIII4959": oiii / 3.0, "OIII5007": oiii,
        "NII6548": nii / 3.0, "Halpha": intrinsic, "NII6584": nii, "SII6717": sii * 1.2 / 2.2, "SII6731": sii / 2.2,
    }  # fmt: skip
    fluxes = {name: flux * 10 ** (-0.4 * EXTINCTION[name] * ebv) for name, flux in undimmed.items()}
    fluxes["SIII9531"] = halpha * siii_ratio
    fluxes["SIII9069"] = fluxes["SIII9531"] / 2.47
    return fluxes


def draw_offsets(calibrations, rng):
    """Draw the offset of each log10 line ratio (keys of `RATIOS`) from its calibration, with that calibration's rms."""
    relations = calibrations["calibrations"]["C20"]
    return {name: float(rng.normal(0.0, relations[key]["rms_ratio"])) for name, key in RATIOS.items()}

"""Telluric and flux calibration from a standard star: response, transmission of the atmosphere, zero point."""

from dataclasses import dataclass, field

import numpy as np

from klever.errors import InputError

__all__ = [
    "VEGA",
    "Calibration",
    "calibrate",
    "doubts",
    "hydrogen_lines",
    "remove_hydrogen",
    "stellar_flux",
    "vega_flux",
]

# Vega in the 2MASS bands: isophotal wavelength (um) and flux density (erg s-1 cm-2 um-1), Cohen, Wheaton & Megeath
# (2003, AJ 126, 1090, Table 2).
VEGA = {"J": (1.235, 3.129e-6), "H": (1.662, 1.133e-6), "Ks": (2.159, 4.283e-7)}
_RYDBERG = 10.9677583  # um-1, of hydrogen
_SERIES = ((3, 20), (4, 24))  # Paschen and Brackett: lower level, highest upper level
_PLANCK = 14387.77  # um K
_SMOOTH = 7  # degree of the response
_MISFIT = 0.03  # of the peak; a profile that is neither Moffat nor Gauss leaves a hundredth
_HYDROGEN_STARS, _WEAK = (
    (8000.0, 11000.0),
    0.2,
)  # K; nm: the strongest line of late B to A stars is three times as strong
_METAL_STARS = 6500.0  # K: cooler ones show metals and CO


@dataclass
class Calibration:
    """From counts to flux density.

    Parameters
    ----------
    factor : ndarray, shape (n_wave,)
        Flux density outside the atmosphere per count, erg s-1 cm-2 um-1; NaN where the atmosphere is opaque.
    transmission : ndarray, shape (n_wave,)
        Of the atmosphere, relative to its clearest channels.
    response : ndarray, shape (n_wave,)
        Smooth counts per flux density where the atmosphere is clear.
    zero_point : float
        Vega magnitude of a star that gives one count (in the exposures' unit) per um at the isophotal wavelength.
    removed : list of (str, float)
        Hydrogen lines taken out of the standard, with their equivalent widths (nm).
    doubts : list of str
        What speaks against it (`doubts`).
    """

    factor: np.ndarray
    transmission: np.ndarray
    response: np.ndarray
    zero_point: float
    removed: list
    doubts: list = field(default_factory=list)


def hydrogen_lines(low, high):
    """Return names and vacuum wavelengths (um) of the Paschen and Brackett lines in a range, by the Rydberg formula."""
    lines = []
    for lower, highest in _SERIES:
        for upper in range(lower + 1, highest + 1):
            wavelength = 1 / (_RYDBERG * (1 / lower**2 - 1 / upper**2))
            if low < wavelength < high:
                lines.append((f"H {upper}-{lower}", wavelength))
    return sorted(lines, key=lambda line: line[1])


def stellar_flux(wavelength, temperature):
    """Return the shape of a black body per wavelength, 1 at the middle channel."""
    body = 1 / (wavelength**5 * np.expm1(_PLANCK / (wavelength * temperature)))
    return body / body[len(body) // 2]


def vega_flux(band):
    """Return isophotal wavelength and flux of magnitude 0 for an instrument's band.

    Raises
    ------
    InputError
        No such band.
    """
    name = {"YJ": "J", "K": "Ks"}.get(band, band)
    if name not in VEGA:
        raise InputError(f"no zero point of magnitudes for band {band}; known are J (YJ), H and Ks (K).")
    return VEGA[name]


def remove_hydrogen(wavelength, spectrum, width=0.004):
    """Divide out the hydrogen absorption of a hot standard star.

    Every line is a Lorentzian on the local continuum, all of one width, which is fitted; depths follow from linear
    least squares of ln(spectrum), robust against the atmosphere's own lines in between.

    Parameters
    ----------
    wavelength, spectrum : ndarray, shape (n_wave,)
        um, and counts over a black body.
    width : float
        First guess of the half width at half depth, um.

    Returns
    -------
    cleaned : ndarray, shape (n_wave,)
    removed : list of (str, float)
        Lines and equivalent widths, nm; lines in emission or without significance stay as they are.
    """
    lines = hydrogen_lines(wavelength[0] + 0.002, wavelength[-1] - 0.002)
    good = np.isfinite(spectrum) & (spectrum > 0.05 * np.nanmedian(spectrum))
    if not lines or good.sum() < 10 * len(lines):
        return spectrum.copy(), []
    x = np.interp(wavelength, (wavelength[0], wavelength[-1]), (-1, 1))
    smooth = np.polynomial.chebyshev.chebvander(x, _SMOOTH)
    logarithm = np.log(np.where(good, spectrum, 1.0))

    def design(half):
        return np.hstack(
            [smooth, np.stack([-1 / (1 + ((wavelength - line) / half) ** 2) for _, line in lines], axis=1)]
        )

    best = None
    for half in width * np.geomspace(0.2, 2.0, 12):
        matrix = design(half)
        solution, weight = _robust(matrix, logarithm, good)
        merit = np.sum(weight * np.minimum(np.abs(logarithm - matrix @ solution), 0.2))
        if best is None or merit < best[0]:
            best = merit, half, solution
    _, half, solution = best
    depth = np.where(solution[-len(lines) :] > 0.01, solution[-len(lines) :], 0.0)
    profile = design(half)[:, -len(lines) :] @ depth
    removed = [
        (name, float(np.trapezoid(1 - np.exp(-value / (1 + ((wavelength - line) / half) ** 2)), wavelength) * 1e3))
        for (name, line), value in zip(lines, depth, strict=True)
        if value > 0
    ]
    return spectrum * np.exp(-profile), removed


def _robust(matrix, data, good):
    """Least squares, reweighted so that absorption lines of the atmosphere (data below the model) count little."""
    weight = good.astype(float)
    for _ in range(15):
        root = np.sqrt(weight)
        solution = np.linalg.lstsq(matrix * root[:, None], data * root, rcond=None)[0]
        residual = data - matrix @ solution
        scatter = max(1.4826 * np.median(np.abs(residual[good])), 1e-4)
        tail = np.where(residual < 0, 1.0, 0.25) * residual / scatter
        weight = good / (1 + tail**2) ** 1.5
    return solution, good.astype(float)


def calibrate(wavelength, counts, temperature, magnitude, band, opaque=0.1):
    """Derive the calibration from the spectrum of a standard star.

    Parameters
    ----------
    wavelength : ndarray, shape (n_wave,)
        Vacuum, um.
    counts : ndarray, shape (n_wave,)
        Sky-subtracted, summed over the whole star (`klever.reduce.starfit`), in the exposures' unit.
    temperature : float
        Effective temperature of the star, K.
    magnitude : float
        Of the star (Vega) in J, H or Ks.
    band : str
        YJ or J, H, K.
    opaque : float
        Transmission below which there is no calibration.

    Returns
    -------
    Calibration

    Raises
    ------
    InputError
        The star has no counts, or the band no zero point.
    """
    isophotal, zero = vega_flux(band)
    if not np.nanmedian(counts) > 0:
        raise InputError(f"the standard star of band {band} has no counts; check which exposure and IFU it is in.")
    shape = stellar_flux(wavelength, temperature)
    inside = np.clip(isophotal, wavelength[0], wavelength[-1])
    flux = zero * 10 ** (-0.4 * magnitude) * shape / np.interp(inside, wavelength, shape)
    cleaned, removed = remove_hydrogen(wavelength, counts / flux)
    good = np.isfinite(cleaned) & (cleaned > 0)
    x = np.interp(wavelength, (wavelength[0], wavelength[-1]), (-1, 1))
    matrix = np.polynomial.chebyshev.chebvander(x, _SMOOTH)
    solution, _ = _robust(matrix, np.log(np.where(good, cleaned, 1.0)), good)
    response = np.exp(matrix @ solution)
    transmission = cleaned / response
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = np.where(transmission > opaque, 1 / cleaned, np.nan)
    step = np.median(np.diff(wavelength))
    at = float(np.interp(inside, wavelength, response))
    return Calibration(factor, transmission, response, float(2.5 * np.log10(zero * at / step)), removed)


def doubts(calibration, temperature, misfit):
    """Return what speaks against a calibration.

    Parameters
    ----------
    calibration : Calibration
    temperature : float
        That the star is said to have, K.
    misfit : float
        Rms of the fit to the star's image over its peak (`klever.reduce.starfit.Star.residual`).

    Returns
    -------
    list of str
    """
    found = []
    if misfit > _MISFIT:
        found.append(
            f"the image differs from a star's by {100 * misfit:.0f} % of its peak; it may be saturated, cut off by the "
            "field, or double, and the zero point wrong"
        )
    strongest = max((width for _, width in calibration.removed), default=0.0)
    if _HYDROGEN_STARS[0] < temperature < _HYDROGEN_STARS[1] and strongest < _WEAK:
        found.append(
            f"a star of {temperature:.0f} K has hydrogen lines, here the strongest has {strongest:.2f} nm; check the "
            "star's temperature and whether it is saturated"
        )
    if temperature < _METAL_STARS:
        found.append(
            f"a star of {temperature:.0f} K has lines of its own, besides those of hydrogen, that count as the "
            "atmosphere's; a star of type B or A is better"
        )
    return found

"""Spectrum of a simulated standard star: a black body with the absorption lines of hydrogen."""

import numpy as np

__all__ = ["standard_spectrum"]

REFERENCE = {  # um, erg s-1 cm-2 um-1 (Vega)
    "YJ": (1.235, 3.129e-6),
    "J": (1.235, 3.129e-6),
    "H": (1.662, 1.133e-6),
    "K": (2.159, 4.283e-7),
}
RYDBERG_UM = 0.09117633  # of hydrogen, 1/R
LINE_WIDTH = 0.0025  # um, half width at half depth of the Lorentzian wings
LINE_DEPTH = 0.25


def standard_spectrum(instrument, temperature, magnitude):
    """Return the flux density of the star, erg s-1 cm-2 um-1, shape (n_wave,).

    Parameters
    ----------
    instrument : klever_simulation.exposures.Instrument
    temperature : float
        K.
    magnitude : float
        Vega, in J, H or Ks.
    """
    wavelength = instrument.wavelength
    reference, zero = REFERENCE[instrument.band]
    flux = zero * 10 ** (-0.4 * magnitude) * _planck(wavelength, temperature) / _planck(reference, temperature)
    for lower, top in ((3, 12), (4, 20)):
        for upper in range(lower + 1, top + 1):
            centre = RYDBERG_UM / (1 / lower**2 - 1 / upper**2)
            depth = LINE_DEPTH * (1 if lower == 3 else 0.6) * (lower + 2) / upper
            flux = flux * np.exp(-depth / (1 + ((wavelength - centre) / LINE_WIDTH) ** 2))
    return flux


def _planck(wavelength, temperature):
    return wavelength**-5.0 / np.expm1(14387.77 / (wavelength * temperature))

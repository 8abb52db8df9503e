"""Wavelengths in air and in vacuum; without NumPy, for the configuration, which every job loads at its start."""

__all__ = ["air_to_vacuum"]


def air_to_vacuum(wavelength):
    """Convert wavelengths in standard air to vacuum, micrometre.

    The inverse of Ciddor (1996, Appl. Opt. 35, 1566) fitted by N. Piskunov for VALD3 (Ryabchikova et al. 2015, Phys.
    Scr. 90, 054005), as the wavelengths of `resources/lines.yaml` were made.

    Parameters
    ----------
    wavelength : float or ndarray
        In air, micrometre, within 0.2-10.
    """
    s2 = (1.0 / wavelength) ** 2
    index = 1 + 8.336624212083e-5 + 0.02408926869968 / (130.1065924522 - s2) + 1.599740894897e-4 / (38.92568793293 - s2)
    return wavelength * index

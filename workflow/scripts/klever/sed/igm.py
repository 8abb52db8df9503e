"""Mean absorption by intergalactic hydrogen (Madau 1995, ApJ, 441, 18)."""

import numpy as np

__all__ = ["transmission"]

# Lyman alpha to epsilon: rest wavelength (Angstrom) and coefficient of the effective optical depth, A (l/l_i)^3.46.
_SERIES = ((1215.67, 3.6e-3), (1025.72, 1.7e-3), (972.537, 1.2e-3), (949.743, 9.3e-4), (937.803, 8.0e-4))


def transmission(observed, z):
    """Share of the light that passes, lines only: at rest below 912 Angstrom nothing does.

    Parameters
    ----------
    observed : ndarray
        Observed wavelength, Angstrom.
    z : float
        Redshift of the source.

    Returns
    -------
    ndarray
    """
    observed = np.asarray(observed, float)
    depth = np.zeros(observed.shape)
    for rest, amount in _SERIES:
        depth += np.where(observed < rest * (1 + z), amount * (observed / rest) ** 3.46, 0.0)
    return np.where(observed > 912.0 * (1 + z), np.exp(-depth), 0.0)

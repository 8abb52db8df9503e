"""Age of the Universe in a Lambda-CDM universe with curvature, without radiation."""

import numpy as np

__all__ = ["age_of_universe"]

_HUBBLE_TIME = 977.7922216807891  # Gyr for H0 = 1 km/s/Mpc (IAU 2015 parsec, Julian year)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def age_of_universe(z, cosmology):
    """Return the age of the Universe at a redshift.

    Parameters
    ----------
    z : array_like
        Redshifts, >= 0; NaN gives NaN.
    cosmology : mapping
        H0 (km/s/Mpc), Om0, Ode0; the curvature is 1 - Om0 - Ode0.

    Returns
    -------
    ndarray
        Gyr, of the shape of `z`.

    Raises
    ------
    ValueError
        A negative redshift.
    """
    z = np.asarray(z, dtype=float)
    if np.any(z < 0):
        raise ValueError(f"redshifts must not be negative, got {z.min()}")
    h0, om0, ode0 = (float(cosmology[key]) for key in ("H0", "Om0", "Ode0"))
    # t = int da / (a E), with a = u^2, whose integrand is smooth at the Big Bang
    top = np.sqrt(1.0 / (1.0 + z))[..., None]
    u = 0.5 * top * (_NODES + 1.0)
    integrand = 2.0 * u**2 / np.sqrt(om0 + (1.0 - om0 - ode0) * u**2 + ode0 * u**6)
    return _HUBBLE_TIME / h0 * np.sum(0.5 * top * _WEIGHTS * integrand, axis=-1)

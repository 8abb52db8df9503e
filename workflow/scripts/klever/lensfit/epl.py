"""Deflection of an elliptical power law with external shear, in closed form (Tessore & Metcalf 2015, A&A 580, A79).

The parameters are lenstronomy's: theta_E (arcsec, of the geometric mean of the axes), gamma (slope of the density, 2 is
isothermal), e1, e2 (ellipticity (1 - q) / (1 + q) along 0 and 45 degrees), centre, and the shear gamma1, gamma2.
"""

import numpy as np

__all__ = ["LARGEST_ELLIPTICITY", "PARAMETERS", "as_profiles", "deflection", "deflection_derivatives"]

# Name in the table of samples: parameter and number of the profile.
PARAMETERS = ("theta_E_lens0", "gamma_lens0", "e1_lens0", "e2_lens0", "center_x_lens0", "center_y_lens0",
              "gamma1_lens1", "gamma2_lens1")  # fmt: skip
LARGEST_ELLIPTICITY = 0.8
_PRECISION = 1e-12  # of the series, relative
_STEP = 1e-4  # of derivatives


def deflection(x, y, parameters):
    """Return the deflection at positions of the image plane.

    Parameters
    ----------
    x, y : ndarray
        Arcsec.
    parameters : sequence of 8 float
        In the order of `PARAMETERS`; 1 < gamma < 3, (e1, e2) inside the unit circle.

    Returns
    -------
    alpha_x, alpha_y : ndarray
        Arcsec; zero at the centre of the power law.  Terms of the series fall off by (1 - q) / (1 + q) each, so a few
        tens give machine precision.
    """
    theta_e, slope, e1, e2, x0, y0, gamma1, gamma2 = (float(value) for value in parameters)
    f = np.hypot(e1, e2)
    q, t = (1 - f) / (1 + f), slope - 1
    turn = np.exp(0.5j * np.arctan2(e2, e1))
    z = ((x - x0) + 1j * (y - y0)) * np.conj(turn)
    ellipse = q * z.real + 1j * z.imag
    radius = np.abs(ellipse)
    safe = np.where(radius > 0, radius, 1.0)
    direction = ellipse / safe
    factor = -f * direction * direction
    term = direction
    total = direction.copy()
    number = 1 if f < _PRECISION else int(np.ceil(np.log(_PRECISION) / np.log(f))) + 1
    for n in range(1, number):
        term = term * (factor * ((2 * n - (2 - t)) / (2 * n + (2 - t))))
        total += term
    scale = theta_e * np.sqrt(q)
    alpha = 2 * scale / (1 + q) * np.where(radius > 0, (safe / scale) ** (1 - t), 0.0) * total * turn
    return alpha.real + gamma1 * x + gamma2 * y, alpha.imag + gamma2 * x - gamma1 * y


def deflection_derivatives(x, y, parameters):
    """Return d alpha / d parameter, shape (8, 2, n): central differences."""
    parameters = np.asarray(parameters, dtype=float)
    result = []
    for i in range(8):
        move = np.zeros(8)
        move[i] = _STEP
        ahead, behind = (np.array(deflection(x, y, parameters + sign * move)) for sign in (1, -1))
        result.append((ahead - behind) / (2 * _STEP))
    return np.array(result)


def as_profiles(parameters):
    """Return the parameters as profiles of an entry of lenses.yaml with ``origin: parametric``."""
    profiles = [{"type": "EPL"}, {"type": "SHEAR"}]
    for name, value in zip(PARAMETERS, parameters, strict=True):
        key, _, number = name.rpartition("_lens")
        profiles[int(number)][key] = float(value)
    return profiles

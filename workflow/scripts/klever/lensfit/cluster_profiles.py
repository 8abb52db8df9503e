"""Halo, shear and members of a cluster as fast sums over many parameter sets at once.

Vectors of the plane are complex numbers, x + i y in arcsec (x to the west, y to the north). Convergence and complex
shear give the derivative of the lens mapping on a displacement w: A w = (1 - kappa) w - gamma conj(w); A is symmetric.
"""

import numpy as np

__all__ = ["CORE", "apply_inverse", "halo_fields", "member_fields", "member_scaling", "shear_fields", "square_inverse"]

CORE = 0.1  # arcsec, of dPIE members
_NEAR = 1e-4  # arcsec; singular centres are evaluated there
_PRECISION = 1e-10  # of the series of the power law


def halo_fields(z, theta_e, e1, e2, slope, centre):
    """Return deflection, convergence and complex shear of an elliptical power law (EPL).

    Tessore & Metcalf (2015, A&A 580, A79), eqs. 11, 23 and 17: convergence (3 - slope)/2 (theta_E / R)^(slope - 1) with
    R^2 = q x^2 + y^2 / q, as lenstronomy's EPL.

    Parameters
    ----------
    z : complex ndarray, shape (sets, n)
        Positions.
    theta_e : ndarray, shape (sets, 1)
        Einstein radius, arcsec.
    e1, e2 : ndarray, shape (sets, 1)
        (1 - q)/(1 + q) times the cosine and sine of twice the angle of the major axis from x.
    slope : ndarray, shape (sets, 1)
        Of the density, 2 for isothermal.
    centre : complex ndarray, shape (sets, 1)

    Returns
    -------
    alpha, kappa, gamma : ndarray, shape (sets, n)
    """
    t = slope - 1.0
    flattening = np.hypot(e1, e2)
    q = (1.0 - flattening) / (1.0 + flattening)
    turn = np.exp(0.5j * np.arctan2(e2, e1))
    w = (z - centre) * np.conj(turn)
    w = np.where(np.abs(w) < _NEAR, _NEAR, w)
    ellipse = q * w.real + 1j * w.imag
    radius = np.abs(ellipse)
    phase = ellipse / radius
    radius = radius / np.sqrt(q)
    number = int(np.ceil(np.log(_PRECISION) / np.log(np.clip(flattening.max(), 1e-6, 0.95)))) + 1
    n = np.arange(1, number + 1)
    terms = -flattening * (2 * n - (2 - t)) / (2 * n + (2 - t))  # (sets, number)
    square = phase * phase
    series = np.ones_like(phase)
    for k in range(number - 1, -1, -1):
        series *= terms[:, k : k + 1] * square
        series += 1.0
    strength = (theta_e / radius) ** t
    alpha = 2.0 * np.sqrt(q) / (1.0 + q) * strength * radius * phase * series
    kappa = 0.5 * (2.0 - t) * strength
    direction = w / np.abs(w)
    gamma = ((1.0 - t) * direction * alpha / np.abs(w) - kappa * direction**2) * turn**2
    return alpha * turn, kappa, gamma


def shear_fields(z, gamma):
    """Return deflection, convergence and complex shear of an external shear about the origin.

    Parameters
    ----------
    z : complex ndarray, shape (sets, n)
    gamma : complex ndarray, shape (sets, 1)
    """
    return gamma * np.conj(z), 0.0, gamma


def member_fields(z, members, cut=None, core=CORE):
    """Return deflection, convergence and complex shear of all members for a reference Einstein radius of 1 arcsec.

    Parameters
    ----------
    z : complex ndarray
        Positions, any shape.
    members : pair of ndarray
        Complex positions and relative Einstein radii, shape (m,).
    cut : ndarray, shape (m,), optional
        Truncation radii, arcsec; singular isothermal spheres if None, else dPIEs (Eliasdottir et al. 2007) whose
        deflection between core and cut is that of the sphere.
    core : float
        Core radius of the dPIEs, arcsec.

    Returns
    -------
    alpha, kappa, gamma : ndarray of the shape of `z`
    """
    positions, weights = members
    d = z[..., None] - positions
    radius2 = np.maximum(d.real**2 + d.imag**2, _NEAR**2)
    if cut is None:
        over_radius = weights / np.sqrt(radius2)
        kappa = 0.5 * over_radius
    else:
        amplitude = weights * cut / (cut - core)
        inner, outer = np.sqrt(core**2 + radius2), np.sqrt(cut**2 + radius2)
        over_radius = amplitude * (1.0 / (inner + core) - 1.0 / (outer + cut))
        kappa = 0.5 * amplitude * (1.0 / inner - 1.0 / outer)
    gamma = ((kappa - over_radius) / radius2 * d**2).sum(-1)
    return (over_radius * d).sum(-1), kappa.sum(-1), gamma


def member_scaling(magnitudes, reference):
    """Return the Einstein radii of members over that of the reference magnitude: sigma ~ L^(1/4), theta_E ~ sigma^2."""
    return 10.0 ** (-0.2 * (np.asarray(magnitudes, dtype=float) - reference))


def apply_inverse(kappa, gamma, w, least=0.0):
    """Return A^-1 w.

    Parameters
    ----------
    kappa, gamma : ndarray
        Convergence and complex shear.
    w : complex ndarray
        Displacements in the source plane.
    least : float
        |det A| is not taken below this, so that points on critical lines stay finite.
    """
    return ((1.0 - kappa) * w + gamma * np.conj(w)) / _determinant(kappa, gamma, least)


def square_inverse(kappa, gamma, least=0.0):
    """Return (a, b) of the symmetric matrix A^-2 w = a w + b conj(w)."""
    determinant2 = _determinant(kappa, gamma, least) ** 2
    return ((1.0 - kappa) ** 2 + np.abs(gamma) ** 2) / determinant2, 2.0 * (1.0 - kappa) * gamma / determinant2


def _determinant(kappa, gamma, least):
    determinant = (1.0 - kappa) ** 2 - gamma.real**2 - gamma.imag**2
    return np.where(np.abs(determinant) < least, np.copysign(least, determinant), determinant)

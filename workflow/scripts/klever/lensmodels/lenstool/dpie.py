r"""Dual pseudo-isothermal elliptical mass distributions (dPIE), profile 81 of Lenstool, and external shear, profile 14.

A dPIE is the difference of two pseudo-isothermal distributions (PIEMD) of Kassiola & Kovner (1993, ApJ 417, 450) with
core radii :math:`r_{core}` and :math:`r_{cut}` (Limousin et al. 2005, MNRAS 356, 309; Eliasdottir et al. 2007,
arXiv:0710.5636). For :math:`D_{ls}/D_s = 1`

.. math::
    \kappa = \frac{b_0}{2}\frac{r_{cut}}{r_{cut} - r_{core}}
             \left(\frac{1}{\sqrt{r_{core}^2 + r_{em}^2}} - \frac{1}{\sqrt{r_{cut}^2 + r_{em}^2}}\right),\qquad
    r_{em}^2 = \frac{x^2}{(1+\epsilon)^2} + \frac{y^2}{(1-\epsilon)^2}

with x along the major axis. Lenstool's `ellipticite` is that of the mass, :math:`\hat e = (a^2 - b^2)/(a^2 + b^2)`,
thus :math:`\epsilon = (a-b)/(a+b) = (1 - \sqrt{1 - \hat e^2})/\hat e`; and its `v_disp` is :math:`\sqrt{2/3}` of the
central velocity dispersion (Eliasdottir et al. 2007, App. A), thus :math:`b_0 = 6\pi\,v_{disp}^2/c^2`, 1.5 times the
Einstein radius of a singular isothermal sphere of that dispersion.
"""

import numpy as np

from klever.cosmology import SPEED_OF_LIGHT

__all__ = ["dpie_fields", "einstein_scale", "shear_fields"]

_ARCSEC = np.degrees(1.0) * 3600.0  # in a radian
_ROUND = 1e-8  # below this ellipticity the complex form loses digits and the circular one is right to 1e-8
_CHUNK = 20_000  # values held at once: the temporaries stay in the cache


def einstein_scale(v_disp):
    """Return b0 = 6 pi (v_disp / c)^2 in arcsec, for v_disp in km/s: the deflection far inside the cut radius."""
    return 6.0 * np.pi * (np.asarray(v_disp, dtype=float) / SPEED_OF_LIGHT) ** 2 * _ARCSEC


def dpie_fields(x, y, potentials):
    """Return the summed fields of dPIE potentials for Dls/Ds = 1.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Positions, arcsec.
    potentials : ndarray, shape (n_potentials, 7)
        Columns: centre x, centre y (arcsec), ellipticity of the mass (0 to < 1), position angle of the major axis
        (degrees from x towards y), core radius, cut radius (arcsec, 0 <= core < cut), v_disp (km/s).

    Returns
    -------
    ndarray, shape (5, n)
        alpha_x, alpha_y (arcsec), kappa, gamma1, gamma2 (pure numbers; A = 1 - kappa -+ gamma1 on its diagonal).
        Infinite kappa at the centre of a potential without core.
    """
    x, y = np.ravel(x).astype(float), np.ravel(y).astype(float)
    potentials = np.atleast_2d(np.asarray(potentials, dtype=float))
    total = np.zeros((5, x.size))
    is_round = potentials[:, 2] < _ROUND
    for group, fields in ((potentials[is_round], _round), (potentials[~is_round], _elliptical)):
        if not len(group):
            continue
        per_block = max(min(_CHUNK // max(len(group), 1), x.size), min(_CHUNK // 8, x.size), 1)
        rows = max(_CHUNK // per_block, 1)
        for start in range(0, x.size, per_block):
            part = slice(start, start + per_block)
            for first in range(0, len(group), rows):
                total[:, part] += _turned(x[part], y[part], group[first : first + rows], fields)
    return total


def _turned(x, y, potentials, fields):
    """Sum the fields of some potentials, each worked out in the frame of its axes."""
    x0, y0, ellipticity, angle, core, cut, v_disp = (column[:, None] for column in potentials.T)
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    dx, dy = x - x0, y - y0
    along, across = cosine * dx + sine * dy, cosine * dy - sine * dx
    with np.errstate(divide="ignore", invalid="ignore"):
        values = fields(along, across, ellipticity, core, cut)
    factor = einstein_scale(v_disp) * cut / (cut - core)
    ax, ay, kappa, gamma1, gamma2 = (factor * value for value in values)
    cosine2, sine2 = np.cos(2 * np.radians(angle)), np.sin(2 * np.radians(angle))
    rotated = (cosine * ax - sine * ay, sine * ax + cosine * ay, kappa,
               cosine2 * gamma1 - sine2 * gamma2, sine2 * gamma1 + cosine2 * gamma2)  # fmt: skip
    return np.array([value.sum(axis=0) for value in rotated])


def _round(x, y, _, core, cut):
    """Circular dPIE: alpha = (sqrt(rc^2 + r^2) - rc - sqrt(rt^2 + r^2) + rt) / r, its mean convergence and shear."""
    square = x**2 + y**2
    inner, outer = np.sqrt(core**2 + square), np.sqrt(cut**2 + square)
    # sqrt(s^2 + r^2) - s = r^2 / (sqrt(s^2 + r^2) + s): no cancellation near the centre
    per_radius = 1.0 / (inner + core) - 1.0 / (outer + cut)  # alpha / r = mean convergence inside r
    kappa = 0.5 / inner - 0.5 / outer
    twice = np.where(square > 0, (per_radius - kappa) / np.where(square > 0, square, 1.0), 0.0)
    alpha_x, alpha_y = (np.where(square > 0, per_radius, 0.0) * offset for offset in (x, y))
    return alpha_x, alpha_y, kappa, twice * (y**2 - x**2), -2 * twice * x * y


def _elliptical(x, y, ellipticity, core, cut):
    """Kassiola & Kovner (1993), Eq. 4.1.2, of two core radii, with its derivative along x.

    alpha_x + i alpha_y = -i (1 - epsilon^2) / (2 sqrt(epsilon)) ln(N / D), in real numbers, which is twice as fast.
    """
    epsilon = (1.0 - np.sqrt(1.0 - ellipticity**2)) / ellipticity
    square = (x / (1 + epsilon)) ** 2 + (y / (1 - epsilon)) ** 2
    inner, outer = np.sqrt(core**2 + square), np.sqrt(cut**2 + square)
    modulus, argument, real, imaginary = _logarithm(x, y, epsilon, core, inner)
    for value, other in zip((modulus, argument, real, imaginary), _logarithm(x, y, epsilon, cut, outer), strict=True):
        value -= other
    strength = (1 - epsilon**2) / (2 * np.sqrt(epsilon))
    kappa = 0.5 / inner - 0.5 / outer
    return strength * argument, -strength * modulus, kappa, strength * imaginary - kappa, -strength * real


def _logarithm(x, y, epsilon, scale, radius):
    """Logarithm of Kassiola & Kovner's fraction N / D (its modulus' and its argument) and the derivative along x."""
    root, ratio = 2 * np.sqrt(epsilon), (1 - epsilon) / (1 + epsilon)
    n_real, n_imaginary = ratio * x, root * radius - y / ratio
    d_imaginary = root * scale - y
    n_square, d_square = n_real**2 + n_imaginary**2, x**2 + d_imaginary**2
    # On the centre of a potential without core the fraction is 0/0 and the deflection is zero.
    centre = d_square == 0
    if centre.any():
        n_square, d_square = np.where(centre, 1.0, n_square), np.where(centre, 1.0, d_square)
        radius = np.where(radius > 0, radius, np.inf)
        modulus = np.where(centre, 0.0, 0.5 * np.log(n_square / d_square))
    else:
        modulus = 0.5 * np.log(n_square / d_square)
    argument = np.arctan2(n_imaginary * x - n_real * d_imaginary, n_real * x + n_imaginary * d_imaginary)
    slope = x * (root / (1 + epsilon) ** 2) / radius  # of n_imaginary along x
    real = (ratio * n_real + slope * n_imaginary) / n_square - x / d_square
    imaginary = (slope * n_real - ratio * n_imaginary) / n_square + d_imaginary / d_square
    return modulus, argument, real, imaginary


def shear_fields(x, y, gamma, angle, kappa=0.0):
    """Return the fields of an external shear and a sheet of mass, centred on the reference position, for Dls/Ds = 1.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Arcsec.
    gamma, kappa : float
    angle : float
        Degrees from x towards y of the direction along which images are stretched.

    Returns
    -------
    ndarray, shape (5, n)
        As `dpie_fields`.
    """
    x, y = np.ravel(x).astype(float), np.ravel(y).astype(float)
    gamma1, gamma2 = gamma * np.cos(2 * np.radians(angle)), gamma * np.sin(2 * np.radians(angle))
    one = np.ones_like(x)
    return np.array([
        (kappa + gamma1) * x + gamma2 * y, gamma2 * x + (kappa - gamma1) * y, kappa * one, gamma1 * one, gamma2 * one
    ])  # fmt: skip

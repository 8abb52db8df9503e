"""Analytic lens profiles: deflection, convergence and shear of unit strength.

Frame: offsets in arcsec, x to the west, y to the north; angles in degrees from +x towards +y (so a position angle,
north through east, is ``angle - 90``). Each profile is scaled to unit strength; a component multiplies it by its own
strength, which keeps every map linear in the strengths. gamma1 = (psi_xx - psi_yy) / 2, gamma2 = psi_xy.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["DualIsothermal", "PowerLaw", "Shear"]

CENTRE = 1e-4  # arcsec; a singular profile is taken as linear in radius inside this


def _rotated(profile, x, y):
    """Position in the frame of the profile's major axis, and the rotation exp(i angle) back to the sky."""
    rotation = np.exp(1j * np.deg2rad(profile.angle))
    position = (np.asarray(x, float) - profile.x + 1j * (np.asarray(y, float) - profile.y)) / rotation
    return position.real, position.imag, rotation


@dataclass(frozen=True)
class DualIsothermal:
    """Dual pseudo-isothermal elliptical mass distribution (dPIE).

    Convergence ``cut / (cut - core) / 2 * (1 / sqrt(core^2 + R^2) - 1 / sqrt(cut^2 + R^2))`` on ellipses
    ``R^2 = x^2 / (1 + e)^2 + y^2 / (1 - e)^2``; core -> 0 and cut -> infinity is the singular isothermal sphere
    whose deflection is 1 arcsec everywhere. Deflection and derivatives are the closed forms of Kassiola & Kovner
    (1993, ApJ 417, 450); the profile is that of Eliasdottir et al. (2007, arXiv:0710.5636, Appendix A).

    Parameters
    ----------
    x, y : float
        Centre, arcsec.
    core, cut : float
        Core and cut radius, arcsec, ``0 < core < cut``.
    ellipticity : float
        ``e = (a - b) / (a + b)`` of the mass, 0 <= e < 1.
    angle : float
        Direction of the major axis, degrees.
    """

    x: float
    y: float
    core: float
    cut: float
    ellipticity: float = 0.0
    angle: float = 0.0

    def __post_init__(self):
        if not 0 < self.core < self.cut:
            raise ValueError(f"a dPIE needs 0 < core < cut, not core {self.core} and cut {self.cut} arcsec")
        if not 0 <= self.ellipticity < 1:
            raise ValueError(f"the ellipticity (a - b)/(a + b) of a dPIE lies in [0, 1), not {self.ellipticity}")

    @property
    def circular(self):
        """Whether the profile is round, and so its formulae are real."""
        return self.ellipticity < 1e-4

    def deflection(self, x, y):
        """Return (alpha_x, alpha_y), arcsec, of the shape of `x`."""
        amplitude = self.cut / (self.cut - self.core)
        if self.circular:
            dx, dy = np.asarray(x, float) - self.x, np.asarray(y, float) - self.y
            over_radius = amplitude * self._mean_convergence(dx**2 + dy**2)
            return over_radius * dx, over_radius * dy
        u, v, rotation = _rotated(self, x, y)
        alpha = self._logarithm(u, v, self.core) - self._logarithm(u, v, self.cut)
        alpha = alpha * amplitude * rotation
        return alpha.real, alpha.imag

    def convergence_shear(self, x, y):
        """Return (kappa, gamma1, gamma2), of the shape of `x`."""
        amplitude = self.cut / (self.cut - self.core)
        if self.circular:
            dx, dy = np.asarray(x, float) - self.x, np.asarray(y, float) - self.y
            radius2 = dx**2 + dy**2
            kappa = 0.5 * (1 / np.sqrt(self.core**2 + radius2) - 1 / np.sqrt(self.cut**2 + radius2))
            tangential = (kappa - self._mean_convergence(radius2)) * amplitude / np.maximum(radius2, CENTRE**4)
            return amplitude * kappa, tangential * (dx**2 - dy**2), tangential * 2 * dx * dy
        u, v, rotation = _rotated(self, x, y)
        along_u, along_v = self._gradient(u, v, self.core)
        cut_u, cut_v = self._gradient(u, v, self.cut)
        along_u, along_v = amplitude * (along_u - cut_u), amplitude * (along_v - cut_v)
        kappa = 0.5 * (along_u.real + along_v.imag)
        shear = (0.5 * (along_u.real - along_v.imag) + 1j * along_u.imag) * rotation**2
        return kappa, shear.real, shear.imag

    def _mean_convergence(self, radius2):
        # this form of alpha / r has no cancellation at r = 0
        inner = 1 / (np.sqrt(self.core**2 + radius2) + self.core)
        return inner - 1 / (np.sqrt(self.cut**2 + radius2) + self.cut)

    def _terms(self, u, v, core):
        e = self.ellipticity
        root, ratio = np.sqrt(e), (1 - e) / (1 + e)
        radius = np.sqrt(core**2 + (u / (1 + e)) ** 2 + (v / (1 - e)) ** 2)
        numerator = ratio * u + 1j * (2 * root * radius - v / ratio)
        denominator = u + 1j * (2 * root * core - v)
        return -0.5j * (1 - e**2) / root, numerator, denominator, radius

    def _logarithm(self, u, v, core):
        factor, numerator, denominator, _ = self._terms(u, v, core)
        return factor * np.log(numerator / denominator)

    def _gradient(self, u, v, core):
        e = self.ellipticity
        root, ratio = np.sqrt(e), (1 - e) / (1 + e)
        factor, numerator, denominator, radius = self._terms(u, v, core)
        numerator, denominator = 1 / numerator, 1 / denominator
        along_u = (ratio + 2j * root * u / ((1 + e) ** 2 * radius)) * numerator - denominator
        along_v = 1j * (2 * root * v / ((1 - e) ** 2 * radius) - 1 / ratio) * numerator + 1j * denominator
        return factor * along_u, factor * along_v


@dataclass(frozen=True)
class PowerLaw:
    """Elliptical power law of the surface density (EPL).

    Convergence ``(2 - t) / 2 * R**-t`` with ``R^2 = q x^2 + y^2 / q`` and ``t = slope - 1``: the Einstein radius (of
    the circle of equal area) is 1 arcsec; a strength ``b**t`` makes it b. Tessore & Metcalf (2015, A&A 580, A79), with
    their hypergeometric function summed as its series.

    Parameters
    ----------
    x, y : float
        Centre, arcsec.
    slope : float
        Logarithmic slope of the three-dimensional density, 2 for isothermal; 1 < slope < 3.
    axis_ratio : float
        Minor over major axis, 0 < q <= 1.
    angle : float
        Direction of the major axis, degrees.
    """

    x: float
    y: float
    slope: float = 2.0
    axis_ratio: float = 1.0
    angle: float = 0.0

    def __post_init__(self):
        if not 1 < self.slope < 3:
            raise ValueError(f"the slope of a power law lies between 1 and 3, not {self.slope}")
        if not 0.1 < self.axis_ratio <= 1:
            raise ValueError(f"the axis ratio of a power law lies in (0.1, 1], not {self.axis_ratio}")

    def deflection(self, x, y):
        """Return (alpha_x, alpha_y), arcsec, of the shape of `x`; 0 at the very centre."""
        u, v, rotation = _rotated(self, x, y)
        alpha, inside = self._deflection(u, v)
        alpha = alpha * inside * rotation
        return alpha.real, alpha.imag

    def convergence_shear(self, x, y):
        """Return (kappa, gamma1, gamma2), of the shape of `x`; held constant within 1e-4 arcsec of the centre."""
        t = self.slope - 1
        u, v, rotation = _rotated(self, x, y)
        alpha, _ = self._deflection(u, v)
        position = u + 1j * v
        position = np.where(np.abs(position) < CENTRE, CENTRE, position)
        kappa = (2 - t) / 2 * self._radius(position.real, position.imag) ** -t
        phase = position / np.abs(position)
        shear = ((1 - t) * phase * alpha / np.abs(position) - kappa * phase**2) * rotation**2
        return kappa, shear.real, shear.imag

    def _radius(self, u, v):
        return np.sqrt(self.axis_ratio * u**2 + v**2 / self.axis_ratio)

    def _deflection(self, u, v):
        t, q = self.slope - 1, self.axis_ratio
        radius = self._radius(u, v)
        inside = np.minimum(radius / CENTRE, 1.0)
        radius = np.maximum(radius, CENTRE)
        phase = np.exp(1j * np.angle(q * u + 1j * v))
        flattening = (1 - q) / (1 + q)
        term, angular = phase, phase.copy()
        for n in range(1, 200):
            term = -flattening * (2 * n - (2 - t)) / (2 * n + (2 - t)) * phase**2 * term
            angular = angular + term
            if flattening**n < 1e-12:
                break
        return 2 * np.sqrt(q) / (1 + q) * radius ** (1 - t) * angular, inside


@dataclass(frozen=True)
class Shear:
    """External shear of unit strength about the origin; images are stretched along `angle` (degrees)."""

    angle: float = 0.0

    def deflection(self, x, y):
        """Return (alpha_x, alpha_y), arcsec, of the shape of `x`."""
        _, gamma1, gamma2 = self.convergence_shear(x, y)
        return gamma1 * x + gamma2 * y, gamma2 * x - gamma1 * y

    def convergence_shear(self, x, y):
        """Return (kappa, gamma1, gamma2), of the shape of `x`."""
        shear = np.exp(2j * np.deg2rad(self.angle))
        one = np.ones(np.broadcast(x, y).shape)
        return 0 * one, shear.real * one, shear.imag * one

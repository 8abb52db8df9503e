"""The tied model as a function of eight parameters of order one, as a careful user writes it in NumPy."""

import numpy as np
from scipy.special import erf

from klever.linefit.model import pixel_edges, pixel_profile
from klever.spectral_lines import SPEED_OF_LIGHT
from linefit.problem import Solution

__all__ = ["FLUX_UNIT", "NAMES", "VELOCITY_UNIT", "TiedModel", "flux_ratios"]

NAMES = ("velocity", "dispersion", "halpha", "nii", "sii", "sii_ratio", "level", "slope")
VELOCITY_UNIT, FLUX_UNIT = 100.0, 1e-3


def flux_ratios(problem):
    """Return the fixed [N II] ratio and the bounds of [S II] 6717/6731 of the group."""
    group = problem.model.group
    return group.fixed_ratios[0].ratio, (group.bounded_ratios[0].low, group.bounded_ratios[0].high)


class TiedModel:
    """Halpha, [N II] and [S II] with one velocity and width on a linear continuum, integrated over the pixels.

    Parameters
    ----------
    problem : linefit.problem.Problem
    """

    def __init__(self, problem):
        self.problem, self.x = problem, problem.x
        self.edges = pixel_edges(problem.wavelength)
        self.step = np.diff(self.edges)
        self.nii_ratio, self.sii_bounds = flux_ratios(problem)
        names = ("Halpha", "NII6584", "NII6548", "SII6717", "SII6731")
        centres = dict(zip(problem.model.names, problem.model.centres(0.0), strict=True))
        self.centres = np.array([centres[name] for name in names])
        self.names, self.instrument = names, problem.model.sigma_instrument

    def fluxes(self, halpha, nii, sii, ratio):
        """Fluxes of the five lines, in the order of `names`."""
        return np.array([halpha, nii, nii / self.nii_ratio, sii * ratio, sii]) * FLUX_UNIT

    def curve(self, velocity, dispersion, halpha, nii, sii, ratio, level, slope):
        """Model flux density, shape (n_channels,)."""
        centre = self.centres * (1 + velocity * VELOCITY_UNIT / SPEED_OF_LIGHT)
        sigma = np.hypot(centre * (dispersion * VELOCITY_UNIT / SPEED_OF_LIGHT), self.instrument)
        cumulative = 0.5 * erf((self.edges[:, None] - centre) / (np.sqrt(2) * sigma))
        lines = np.diff(cumulative @ self.fluxes(halpha, nii, sii, ratio)) / self.step
        return lines + level + slope * self.x

    def jacobian(self, velocity, dispersion, halpha, nii, sii, ratio, *_):
        """Return the derivatives of `curve` by its parameters, shape (n_channels, 8)."""
        centre = self.centres * (1 + velocity * VELOCITY_UNIT / SPEED_OF_LIGHT)
        share = dispersion * VELOCITY_UNIT / SPEED_OF_LIGHT
        sigma = np.hypot(centre * share, self.instrument)
        profile, by_centre, by_sigma = pixel_profile(self.edges, centre[:, None], sigma[:, None], derivatives=True)
        fluxes = self.fluxes(halpha, nii, sii, ratio)
        moved = self.centres * VELOCITY_UNIT / SPEED_OF_LIGHT
        by_velocity = (fluxes * moved) @ by_centre + (fluxes * moved * centre * share**2 / sigma) @ by_sigma
        by_dispersion = (fluxes * centre**2 * share / sigma * VELOCITY_UNIT / SPEED_OF_LIGHT) @ by_sigma
        first, second, second_weak, blue, red = profile * FLUX_UNIT
        return np.column_stack([
            by_velocity, by_dispersion, first, second + second_weak / self.nii_ratio, blue * ratio + red, blue * sii,
            np.ones_like(self.x), self.x,
        ])  # fmt: skip

    def bounds(self):
        """Lower and upper bounds in the order of `NAMES`."""
        velocity = self.problem.velocity_range / VELOCITY_UNIT
        low, high = np.array(self.problem.dispersion_range) / VELOCITY_UNIT
        free = np.inf
        return (
            np.array([-velocity, low, -free, -free, -free, self.sii_bounds[0], -free, -free]),
            np.array([velocity, high, free, free, free, self.sii_bounds[1], free, free]),
        )

    def start(self, row):
        """Start in the order of `NAMES`; the weaker lines begin at typical ratios to Halpha."""
        start = self.problem.start(row)
        halpha = start.halpha / FLUX_UNIT
        middle = 0.5 * sum(self.sii_bounds)
        velocity, dispersion = start.velocity / VELOCITY_UNIT, start.dispersion / VELOCITY_UNIT
        return np.array([velocity, dispersion, halpha, 0.3 * halpha, 0.15 * halpha, middle, start.continuum, 0.0])

    def solution(self, parameters):
        """Return the `Solution` of parameters in the order of `NAMES`."""
        velocity, dispersion, *fluxes, level, slope = (float(value) for value in parameters)
        lines = dict(zip(self.names, self.fluxes(*fluxes), strict=True))
        return Solution(velocity * VELOCITY_UNIT, dispersion * VELOCITY_UNIT, lines, (level, slope))

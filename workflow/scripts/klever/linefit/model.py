"""The model of one group of lines: tied Gaussians, integrated over the pixel, on a linear continuum."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from klever.errors import ConfigError
from klever.spectral_lines import SPEED_OF_LIGHT, Group

__all__ = ["GroupModel", "pixel_edges", "pixel_profile"]

_SQRT_HALF = np.sqrt(0.5)
_INV_SQRT_2PI = 1.0 / np.sqrt(2.0 * np.pi)


@dataclass(frozen=True)
class GroupModel:
    """A group of lines at a redshift, seen by an instrument.

    Flux density = continuum + sum over lines of flux x pixel-averaged Gaussian.  Lines at a fixed flux ratio share one
    column of the linear problem: flux of line i = coefficient[i] x amplitude[column[i]].

    Parameters
    ----------
    group : Group
    z : float
        Redshift of velocity zero.
    sigma_instrument : float or callable
        Gaussian sigma of the line-spread function, micrometre, added to the lines' width in quadrature; a function of
        the wavelength where it changes along the band (`klever.spectral_lines.LineSpread`).
    """

    group: Group
    z: float
    sigma_instrument: float | Callable

    @property
    def names(self):
        """Names of the lines."""
        return [line.name for line in self.group.lines]

    @property
    def main(self):
        """Index of the main line."""
        return self.names.index(self.group.main)

    def centres(self, velocity):
        """Observed wavelengths (micrometre), shape (n_lines, ...), at `velocity` (km/s), shape (...)."""
        rest = np.array([line.wavelength for line in self.group.lines]) * (1 + self.z)
        return np.multiply.outer(rest, 1 + np.asarray(velocity) / SPEED_OF_LIGHT)

    @property
    def instrumental(self):
        """Instrumental sigma of each line (micrometre), shape (n_lines,): at its wavelength at velocity zero."""
        if callable(self.sigma_instrument):
            return self.sigma_instrument(self.centres(0.0))
        return np.full(len(self.group.lines), float(self.sigma_instrument))

    def sigmas(self, centres, dispersion):
        """Observed sigma (micrometre), shape (n_lines, ...), of the lines at `centres` for `dispersion` (km/s)."""
        instrumental = self.instrumental.reshape(-1, *(1,) * (np.ndim(centres) - 1))
        return np.hypot(centres * (np.asarray(dispersion) / SPEED_OF_LIGHT), instrumental)

    def observed_dispersion(self, velocity, dispersion):
        """Dispersion (km/s) of the main line with the instrumental width left in."""
        centres = self.centres(velocity)
        return SPEED_OF_LIGHT * self.sigmas(centres, dispersion)[self.main] / centres[self.main]

    def columns(self):
        """Return the tie matrix, shape (n_lines, n_columns): line fluxes = matrix @ amplitudes.

        Raises
        ------
        ConfigError
            Fixed ratios that contradict each other.
        """
        names = self.names
        owner, coefficient = list(range(len(names))), np.ones(len(names))
        for ratio in self.group.fixed_ratios:
            top, bottom = names.index(ratio.numerator), names.index(ratio.denominator)
            if owner[top] == owner[bottom]:
                raise ConfigError(f"group {self.group.name} ties {ratio.numerator} and {ratio.denominator} twice.")
            scale = coefficient[top] / ratio.ratio / coefficient[bottom]
            old = owner[bottom]
            for line in range(len(names)):
                if owner[line] == old:
                    owner[line], coefficient[line] = owner[top], coefficient[line] * scale
        used = sorted(set(owner))
        matrix = np.zeros((len(names), len(used)))
        for line, column in enumerate(owner):
            matrix[line, used.index(column)] = coefficient[line]
        return matrix

    def bound(self):
        """Return (numerator column, denominator column, low, high) of the bounded ratio, or None."""
        if not self.group.bounded_ratios:
            return None
        ratio = self.group.bounded_ratios[0]
        ties, names = self.columns(), self.names
        top, bottom = names.index(ratio.numerator), names.index(ratio.denominator)
        column_top, column_bottom = int(np.argmax(ties[top])), int(np.argmax(ties[bottom]))
        if column_top == column_bottom:
            raise ConfigError(f"group {self.group.name} both fixes and bounds {ratio.numerator}/{ratio.denominator}.")
        scale = ties[bottom, column_bottom] / ties[top, column_top]
        return column_top, column_bottom, ratio.low * scale, ratio.high * scale


def pixel_edges(wavelength):
    """Return the edges, shape (n + 1,), half way between ascending pixel centres `wavelength`, shape (n,)."""
    middle = 0.5 * (wavelength[1:] + wavelength[:-1])
    first, last = 1.5 * wavelength[0] - 0.5 * wavelength[1], 1.5 * wavelength[-1] - 0.5 * wavelength[-2]
    return np.concatenate([[first], middle, [last]])


def pixel_profile(edges, centre, sigma, derivatives=False):
    """Unit-area Gaussian averaged over pixels.

    Sampling at pixel centres instead would bias sigma by some per cent for lines of one pixel's width.

    Parameters
    ----------
    edges : ndarray, shape (..., n + 1)
    centre, sigma : ndarray, broadcastable with ``edges[..., :1]``
        In the unit of `edges`.

    Returns
    -------
    profile : ndarray, shape (..., n)
        Mean density in each pixel.
    d_centre, d_sigma : ndarray, shape (..., n)
        Its derivatives; only with `derivatives`.
    """
    inverse = 1.0 / sigma
    scaled = (edges - centre) * inverse
    width = np.diff(edges, axis=-1)
    profile = 0.5 * np.diff(erf(scaled * _SQRT_HALF), axis=-1) / width
    if not derivatives:
        return profile
    density = np.exp(-0.5 * scaled * scaled)
    density *= _INV_SQRT_2PI * inverse
    d_centre = -np.diff(density, axis=-1) / width
    d_sigma = -np.diff(density * scaled, axis=-1) / width
    return profile, d_centre, d_sigma

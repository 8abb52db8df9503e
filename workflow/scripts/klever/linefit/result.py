"""What a fit of one group of lines returns."""

from dataclasses import dataclass

import numpy as np

from klever.linefit.model import GroupModel, pixel_edges, pixel_profile

__all__ = ["FitResult"]


@dataclass
class FitResult:
    """Fit of one group to n spectra; NaN where `flags` holds ``NOT_FITTED``.

    Attributes
    ----------
    model : GroupModel
    flux, flux_error, coverage : ndarray, shape (n_lines, n)
        Line fluxes (flux density x micrometre), 1 sigma from the full inverse Hessian, and the fraction of the
        profile that falls on unmasked channels (of tied lines together, by what each contributes).
    covariance : ndarray, shape (n_lines, n_lines, n)
        Of the line fluxes.
    velocity, velocity_error, dispersion, dispersion_error : ndarray, shape (n,)
        km/s; the dispersion is intrinsic.  Below S/N 5 the errors of velocity and dispersion, from the Hessian, are too
        small (they know of one minimum only).  At a bound (flagged) the error is that of a uniform distribution over
        the range: the data do not give one.
    dispersion_observed : ndarray, shape (n,)
        km/s, of the main line, with the instrumental width.
    continuum : ndarray, shape (2, n)
        Value at `centre` (micrometre) and slope per micrometre.
    chi2, dof : ndarray, shape (n,)
    improvement : ndarray, shape (n,)
        Decrease of chi2 from the continuum alone.
    flags, line_flags : ndarray of uint16, shape (n,), (n_lines, n)
        Bits of `klever.maps.Flag` of the group, and of each line (those of the group included).
    """

    model: GroupModel
    flux: np.ndarray
    flux_error: np.ndarray
    covariance: np.ndarray
    coverage: np.ndarray
    velocity: np.ndarray
    velocity_error: np.ndarray
    dispersion: np.ndarray
    dispersion_error: np.ndarray
    dispersion_observed: np.ndarray
    continuum: np.ndarray
    centre: float
    chi2: np.ndarray
    dof: np.ndarray
    improvement: np.ndarray
    flags: np.ndarray
    line_flags: np.ndarray

    @property
    def reduced_chi2(self):
        """Chi2 per degree of freedom, shape (n,)."""
        return self.chi2 / np.maximum(self.dof, 1)

    def total(self, names):
        """Flux, error (from the covariance) and flags of the sum of the lines `names`, each of shape (n,)."""
        index = [self.model.names.index(name) for name in names]
        flux = self.flux[index].sum(axis=0)
        variance = self.covariance[np.ix_(index, index)].sum(axis=(0, 1))
        return flux, np.sqrt(np.maximum(variance, 0.0)), np.bitwise_or.reduce(self.line_flags[index], axis=0)

    def continuum_at(self, wavelength):
        """Continuum, shape (n, n_wavelengths)."""
        return self.continuum[0][:, None] + self.continuum[1][:, None] * (wavelength - self.centre)

    def lines_at(self, wavelength):
        """Sum of the lines, averaged over the pixels centred on `wavelength`, shape (n, n_wavelengths)."""
        edges, centres = pixel_edges(wavelength), self.model.centres(self.velocity)
        sigmas = self.model.sigmas(centres, self.dispersion)
        return sum(
            self.flux[i][:, None] * pixel_profile(edges, centres[i][:, None], sigmas[i][:, None])
            for i in range(len(centres))
        )

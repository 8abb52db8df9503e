"""What a fit of one group of lines returns."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from klever.linefit.model import GroupModel, pixel_edges, pixel_profile
from klever.maps import Flag

__all__ = ["ONE_SIDED", "FitResult"]

ONE_SIDED = 1.645  # sigma: 95 per cent of a normal distribution lie below
_SKY_SHARE = 0.25
_ARRAYS = (
    "flux", "flux_error", "covariance", "coverage", "velocity", "velocity_error", "dispersion", "dispersion_error",
    "dispersion_observed", "dispersion_limit", "best", "continuum", "chi2", "dof", "improvement", "flags", "line_flags",
)  # fmt: skip


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
        km/s; the dispersion is intrinsic.  Best fit and errors of the Hessian, which knows of one minimum only and is
        too small in velocity below S/N 8; or median and half the 16-84 per cent range of the posterior; or best fit and
        scatter.  At a bound (flagged) without posterior the error is that of a uniform distribution over the range: the
        data do not give one.
    dispersion_observed : ndarray, shape (n,)
        km/s, of the main line, with the instrumental width.
    dispersion_limit : ndarray, shape (n,)
        km/s: 95 per cent upper limit, from the posterior if there is one and always where the best dispersion is at its
        lower bound.
    best : ndarray, shape (2, n)
        Velocity and dispersion of the minimum of chi2, to which fluxes, continuum and chi2 belong.
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
    dispersion_limit: np.ndarray
    best: np.ndarray
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

    def part(self, rows):
        """Return the fits of spectra `rows`."""
        parts = {name: getattr(self, name)[..., rows] for name in _ARRAYS}
        return FitResult(model=self.model, centre=self.centre, **parts)

    def take(self, rows, other, scale):
        """Replace the fits of spectra `rows` by `other`, whose errors are larger than the usual ones by `scale`."""
        for name in _ARRAYS:
            getattr(self, name)[..., rows] = getattr(other, name)
        for name in ("flux_error", "velocity_error", "dispersion_error"):
            getattr(self, name)[..., rows] /= scale
        for name in ("covariance", "chi2"):
            getattr(self, name)[..., rows] *= scale ** (-2 if name == "covariance" else 2)
        self.dispersion_limit[rows] = self.dispersion[rows] + ONE_SIDED * self.dispersion_error[rows]

    def flag_sky_lines(self, wavelength, sky):
        """Set ``ON_SKY_LINE`` for lines with a quarter of their light or more on masked channels of sky lines.

        Parameters
        ----------
        wavelength : ndarray, shape (n_channels,)
            Micrometre, ascending.
        sky : ndarray, shape (n_channels,)
            Fraction of spaxels in which the channel is masked for a sky line; half or more counts.
        """
        masked = np.flatnonzero(sky >= 0.5)
        edges = pixel_edges(wavelength)
        centres = self.model.centres(self.best[0])
        sigmas = self.model.sigmas(centres, self.best[1])
        lost = np.zeros(centres.shape)
        for first, last in _runs(masked):
            upper, lower = (ndtr((edges[edge] - centres) / sigmas) for edge in (last + 1, first))
            lost += upper - lower
        hit = lost >= _SKY_SHARE
        self.line_flags |= np.where(hit, Flag.ON_SKY_LINE, 0).astype(np.uint16)
        self.flags |= np.where(hit[self.model.main], Flag.ON_SKY_LINE, 0).astype(np.uint16)

    def set_posterior(self, rows, quantiles, covariance):
        """Take medians, half ranges and the covariance of fluxes of spectra `rows` from the posterior."""
        self.velocity[rows], self.dispersion[rows] = quantiles[0], quantiles[3]
        observed = self.model.observed_dispersion(quantiles[0], quantiles[3])
        self.dispersion_observed[rows] = observed
        self.set_scatter(rows, 0.5 * (quantiles[[2, 5]] - quantiles[[1, 4]]), covariance)

    def set_scatter(self, rows, spread, covariance):
        """Take errors of velocity and dispersion, shape (2, n_rows), and the covariance of fluxes of spectra `rows`."""
        self.velocity_error[rows], self.dispersion_error[rows] = spread
        self.covariance[:, :, rows] = covariance
        lines = np.arange(len(self.flux))
        error = np.sqrt(np.maximum(covariance[lines, lines], 0.0))
        self.flux_error[:, rows] = np.where(np.isfinite(self.flux[:, rows]), error, np.nan)

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
        edges, centres = pixel_edges(wavelength), self.model.centres(self.best[0])
        sigmas = self.model.sigmas(centres, self.best[1])
        return sum(
            self.flux[i][:, None] * pixel_profile(edges, centres[i][:, None], sigmas[i][:, None])
            for i in range(len(centres))
        )


def _runs(index):
    """First and last of each run of consecutive integers."""
    if not index.size:
        return []
    return [(run[0], run[-1]) for run in np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)]

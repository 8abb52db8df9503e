"""Disc model of a galaxy's line light, and how far the slope without the PSF depends on what the model assumes."""

from dataclasses import dataclass, replace

import numpy as np

from klever.gradient.disc_fit import fit_disc, light_radius
from klever.gradient.gradients import fit_line
from klever.maps import masked

__all__ = ["TRACERS", "LightModel", "fit_light", "model_slope_error"]

# Maps a disc is fitted to, in this order, and their names in tables.
TRACERS = {"HALPHA": "halpha", "OIII5007": "oiii5007"}


@dataclass
class LightModel:
    """Disc, and the same with another PSF or size.

    Parameters
    ----------
    disc : Disc
    tracer : str
        Line it is fitted to, as in the tables.
    beam : tuple of float
        FWHM along both axes (pixels) and position angle of the PSF.
    pairs : list of pairs of (Disc, tuple)
        Discs with their PSF, the lower and upper end of each error: of the FWHM (the disc fitted anew), of the size.
    """

    disc: object
    tracer: str
    beam: tuple
    pairs: list

    def radius(self, ellipse, shape):
        """Return the radius (pixels) that the light of each pixel comes from, see `light_radius`."""
        return light_radius(self.disc, ellipse, shape, self.beam)

    def other_radii(self, ellipse, shape):
        """Return the same for each of the `pairs`."""
        return [[light_radius(disc, ellipse, shape, beam) for disc, beam in pair] for pair in self.pairs]


def fit_light(source, noise, select, ellipse, beam, half_light_radius, psf_error):
    """Fit a disc to the first line of a region that determines one, and again with a narrower and a wider PSF.

    Parameters
    ----------
    source : MapSet
        Source-plane line maps.
    noise : SourceNoise
        Gives the error of the size, with the correlation between pixels.
    select : ndarray of bool, shape (ny, nx)
        The region.
    ellipse : Ellipse
        Its centre is the first guess.
    beam : tuple of float
        FWHM along both axes (pixels) and position angle of the PSF of the maps.
    half_light_radius : float
        First guess, pixels.
    psf_error : float
        Relative error of the FWHM, 1 sigma.

    Returns
    -------
    LightModel, or None
        None if no line determines a disc.
    """
    for name, label in TRACERS.items():
        if name not in source or source[name].error is None:
            continue
        value, error = masked(source, name)
        value = np.where(select, value, np.nan)
        centre = ellipse.x, ellipse.y
        disc = fit_disc(value, error, centre, beam, half_light_radius)
        if disc is None:
            continue
        if noise.has(name):
            variance = float(noise.covariance(name, disc.size_weights.ravel()[None, :])[0, 0])
            correlated = disc.half_light_radius * np.sqrt(max(variance, 0.0) * disc.excess)
            disc.half_light_radius_error = max(correlated, disc.half_light_radius_error)
        pairs = [_sizes(disc, beam)]
        if psf_error > 0:
            wide = [(beam[0] * factor, beam[1] * factor, beam[2]) for factor in (1 - psf_error, 1 + psf_error)]
            start = disc.half_light_radius
            pairs.append([(fit_disc(value, error, (disc.x, disc.y), own, start) or disc, own) for own in wide])
        return LightModel(disc, label, beam, pairs)
    return None


def _sizes(disc, beam):
    # in the logarithm, which stays positive
    step = np.exp(disc.half_light_radius_error / disc.half_light_radius)
    return [(replace(disc, half_light_radius=disc.half_light_radius * factor), beam) for factor in (1 / step, step)]


def model_slope_error(measured, radii):
    """Return the error of the slope without the PSF that the light model brings, dex/kpc.

    Half the difference of the slopes at the lower and upper end of each error, added in quadrature.

    Parameters
    ----------
    measured : MeasuredProfile
    radii : list of pairs of ndarray, shape (n,)
        Mean radii (kpc) of the annuli's light by `LightModel.other_radii`.

    Returns
    -------
    float
        NaN where a radius is not known.
    """
    total = 0.0
    for pair in radii:
        if not all(np.all(np.isfinite(radius)) and np.ptp(radius) > 0 for radius in pair):
            return np.nan
        ends = [fit_line(radius, measured.log_oh, measured.weighting, measured.common).slope for radius in pair]
        total = np.hypot(total, 0.5 * (ends[1] - ends[0]))
    return float(total)

"""Magnification of a galaxy's line flux as it was before the seeing, from a deconvolved source.

The seeing moves light of an arc off the critical line to where lengths are stretched less, so that the de-lensed flux
is too large and the ratio of the fluxes too small: by a third for a thin arc on a critical line, by less than 1 % where
the magnification hardly changes over the seeing. Richardson-Lucy iterations (Richardson 1972; Lucy 1974) look for a
source that, lensed and blurred, is the observed image; the ratio of its fluxes with and without the seeing corrects the
measured one. Light that the seeing brings into the field from outside is part of that source.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse

from klever.operators import renormalised
from klever.source.delensing import delens
from klever.source.magnification import covered_fraction

__all__ = ["SeeingFactor", "seeing_factor"]

ITERATIONS = 50
EARLY = 10  # the factor after so few tells what is left to the noise and to detail that the seeing has erased
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))


@dataclass
class SeeingFactor:
    """What the flux ratio is multiplied by to undo the seeing.

    Parameters
    ----------
    value : float
        Above 1 where the seeing has lowered the flux ratio.
    error : float
        Change of `value` between 10 and 50 iterations.
    """

    value: float
    error: float


def seeing_factor(flux, significant, lens, centre, options, fwhm, select=None):
    """Return the factor between the magnification without seeing and the ratio of the observed fluxes.

    Parameters
    ----------
    flux : ndarray, shape (ny, nx)
        Surface brightness of the line on the aligned grid, any unit; NaN where there are no data.
    significant : ndarray of bool, shape (ny, nx)
        Pixels whose flux is compared.
    lens : tuple (alpha, offsets, inverse_mu, scale)
        Deflection and pixel positions (pairs of maps, arcsec west and north), 1/abs(mu), arcsec per pixel.
    centre : pair of float
        Of the source-plane grid, arcsec.
    options : mapping
        As for `klever.source.delensing.delens`.
    fwhm : float
        Of the seeing and all smoothing in `flux`, arcsec.
    select : ndarray of bool, shape (ny, nx), optional
        Pixels of one image of the source.

    Returns
    -------
    SeeingFactor
        1 and 0 if nothing is significant.
    """
    alpha, offsets, inverse_mu, scale = lens
    margin = int(np.ceil(1.5 * fwhm / scale))
    alpha, offsets = ([_extended(item, margin) for item in pair] for pair in (alpha, offsets))
    selected = np.ones(flux.shape, bool) if select is None else select
    field, bright = (np.pad(item & selected, margin) for item in (np.isfinite(flux), significant))
    observed = np.pad(np.where(significant & selected, flux, 0.0), margin).ravel()
    if not observed.sum() > 0:
        return SeeingFactor(1.0, 0.0)
    observed /= observed.max()
    within = None if select is None else np.pad(select, margin, mode="edge")
    plane = delens(alpha, offsets, centre, options, within)
    inverse_mu = np.pad(np.nan_to_num(inverse_mu), margin, mode="edge")
    pixel_areas = scale**2, plane.grid.scale**2
    counted = covered_fraction(plane, field, bright, inverse_mu, pixel_areas)
    averaging = renormalised(plane.operator, field)
    lensing = (plane.operator.T @ sparse.diags(plane.coverage)).tocsr()
    inside = field.ravel().astype(float)

    def blur(image):
        return ndimage.gaussian_filter(image.reshape(field.shape), fwhm / FWHM / scale, mode="constant").ravel()

    def ratio(image, source):
        return image[bright.ravel()].sum() / (counted @ source)

    found = {}
    source = np.maximum(plane.operator @ blur(observed), 1e-3 * observed.max())
    weight = lensing.T @ blur(inside)
    reached = weight > 1e-3 * weight.max()
    for iteration in range(1, ITERATIONS + 1):
        model = blur(lensing @ source)
        excess = np.divide(observed, model, out=np.zeros_like(model), where=(model > 0) & (inside > 0))
        source = np.where(reached, source * (lensing.T @ blur(excess)) / np.where(reached, weight, 1.0), 0.0)
        if iteration in (EARLY, ITERATIONS):
            sharp = lensing @ source
            seen = blur(sharp) * inside
            found[iteration] = ratio(sharp, source) / ratio(seen, averaging @ seen)
    return SeeingFactor(float(found[ITERATIONS]), float(abs(found[ITERATIONS] - found[EARLY])))


def _extended(plane, margin):
    """Continue a map beyond its border with the gradient there; one that is a pixel wide as a constant."""
    if min(plane.shape) < 2:
        return np.pad(plane, margin, mode="edge")
    return np.pad(plane, margin, mode="reflect", reflect_type="odd")

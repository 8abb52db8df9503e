"""Shift between a map and an image of the same object: masked, noise-weighted cross-correlation, and peak positions."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from klever.align.bandmaps import valid_pixels
from klever.align.matching import FWHM, MINIMUM_SPAXELS, Match, Matcher
from klever.grids import Grid

__all__ = ["FWHM", "Match", "Template", "cross_correlate", "peak_position", "without_outliers"]

COARSE_STEP = 0.1  # arcsec, of the search over the whole range
FINE_STEP = 0.03  # arcsec, around its best; the parabola through the best and its neighbours does the rest
STEPS_PER_FWHM = 5  # at least, where the resolution is so good that these steps would miss the maximum
COVERED = 0.9  # part of a pixel's blurred light that must come from valid pixels of the template


@dataclass
class Template:
    """Image to which a map is matched.

    Parameters
    ----------
    value : ndarray, shape (ny, nx)
        Surface brightness in any unit; NaN has no data.
    grid : Grid
    fwhm : float
        Of its PSF, arcsec.
    error : ndarray, shape (ny, nx), optional
        1 sigma; None for an image whose noise does not matter.
    name : str
        What it is, for the header.
    """

    value: np.ndarray
    grid: Grid
    fwhm: float
    error: np.ndarray | None = None
    name: str = ""

    def convolved(self, fwhm):
        """Return the image at the resolution `fwhm` (arcsec), unchanged if it is coarser already, and its mask.

        Returns
        -------
        value : ndarray, shape (ny, nx)
            Invalid pixels are filled with the mean of the valid ones that the kernel reaches, or their median.
        valid : ndarray of bool, shape (ny, nx)
            Pixels whose blurred value comes from valid pixels.
        """
        good = np.isfinite(self.value)
        typical = np.median(self.value[good]) if good.any() else 0.0
        width = np.sqrt(max(fwhm**2 - self.fwhm**2, 0.0)) / FWHM / self.grid.pixel_scale
        if not width > 0:
            return np.where(good, self.value, typical), good
        covered = ndimage.gaussian_filter(good.astype(float), width, mode="nearest")
        total = ndimage.gaussian_filter(np.where(good, self.value, 0.0), width, mode="nearest")
        usable = covered > 1e-3
        return np.where(usable, total / np.where(usable, covered, 1.0), typical), covered > COVERED


def without_outliers(value, valid):
    """Mask single spaxels that stand out of their neighbours more than any PSF allows."""
    if not valid.any():
        return valid
    filled = np.where(valid, value, np.nanmedian(value[valid]))
    smooth = ndimage.median_filter(filled, size=3, mode="nearest")
    scatter = 1.4826 * np.median(np.abs(filled - smooth)[valid])
    deviant = np.abs(filled - smooth) > np.maximum(8 * scatter, 0.5 * np.ptp(smooth[valid]))
    return valid & ~deviant


def cross_correlate(product, band, template, radius):
    """Match a map of a band to an image by the shift that leaves the least chi-square.

    For each trial shift the image, at the resolution of the map, is scaled and set on a free background; chi-square is
    then 1 - r^2 of what it is without the image, r being the noise-weighted correlation coefficient of the spaxels
    valid in both. So masked spaxels and those outside the image have no say, which a Fourier cross-correlation (for
    example an upsampled DFT) does not provide. The maximum is found on a grid of shifts and refined by a parabola.

    Parameters
    ----------
    product : Map
        With errors, on the spaxels of `band`.
    band : Band
        Its noise correlation enters the error.
    template : Template
        Convolved to the resolution of the band before it is compared.
    radius : float
        Arcsec, largest trial shift on each axis.

    Returns
    -------
    Match or None
        None if there is nothing to match, no positive correlation, or its maximum lies at the edge of the search. The
        error is that of a least-squares fit of shift, amplitude and background, (G'WG)^-1 G'W Sigma WG (G'WG)^-1, with
        the full covariance Sigma of the noise and, where chi-square shows that map and image differ by more than
        noise, of that difference; where the template is noisy, with the curvature of chi-square in the place of G'WG.
    """
    if product.error is None:
        return None
    valid = valid_pixels(product) & (product.error > 0)
    valid = without_outliers(product.value, valid)
    if valid.sum() < MINIMUM_SPAXELS:
        return None
    # A spaxel averages over its own area, which widens the profile as a Gaussian of the same variance would.
    box = FWHM * band.grid.pixel_scale / np.sqrt(12.0)
    fwhm = np.hypot(band.psf_fwhm, box)
    match = Matcher(product, valid, band, template, fwhm)
    if not match.peak > 0:
        return None
    coarse = min(COARSE_STEP, fwhm / STEPS_PER_FWHM)
    fine = coarse * FINE_STEP / COARSE_STEP
    centre, surface = np.zeros(2), None
    for order, half, step in ((1, radius, coarse), (3, 4 * fine, fine)):
        ticks = step * np.arange(-round(half / step), round(half / step) + 1)
        trial = centre + np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
        gain = match.correlation(trial, order)
        surface = (trial, gain) if order == 1 else surface
        centre = trial[np.argmax(gain)]
        if gain.max() <= 0 or (np.abs(centre).max() > ticks[-1] - step / 2 and order == 1):
            return None
    offset = _vertex(match.correlation, centre, fine)
    return None if offset is None else match.result(centre + offset, fine, *surface)


def _vertex(function, centre, step):
    """Vertex of the parabola through a maximum and its eight neighbours, relative to it; None if there is none."""
    trial = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], dtype=float)
    value = function(centre + step * trial, 3)
    x, y = trial.T
    design = np.column_stack([np.ones(9), x, y, 0.5 * x**2, x * y, 0.5 * y**2])
    _, gx, gy, hxx, hxy, hyy = np.linalg.lstsq(design, value / value.max(), rcond=None)[0]
    hessian = -np.array([[hxx, hxy], [hxy, hyy]])
    if not (np.linalg.det(hessian) > 0 and hessian[0, 0] > 0):
        return None
    offset = np.linalg.solve(hessian, [gx, gy])
    return step * offset if np.abs(offset).max() <= 2 else None


def peak_position(value, grid, fwhm, start=None, radius=np.inf):
    """Position of the brightest peak of a map: its maximum, refined by a centroid with a Gaussian weight.

    Parameters
    ----------
    value : ndarray, shape (ny, nx)
        NaN is left out.
    grid : Grid
    fwhm : float
        Arcsec, of the weight.
    start : pair of float, optional
        Offsets (arcsec) around which the peak is searched within `radius`.
    radius : float
        Arcsec.

    Returns
    -------
    ndarray, shape (2,), or None
        Arcsec west and north; None if there is no positive peak or the centroid runs off.
    """
    west, north = grid.pixel_offsets()
    good = np.isfinite(value)
    if start is not None:
        good &= np.hypot(west - start[0], north - start[1]) <= radius
    if not good.any() or not np.max(value[good]) > 0:
        return None
    first = np.argmax(np.where(good, value, -np.inf))
    origin = position = np.array([west.flat[first], north.flat[first]])
    width = max(fwhm / FWHM, 0.7 * grid.pixel_scale)
    filled = np.where(np.isfinite(value), value, 0.0)
    for _ in range(50):
        weight = np.exp(-0.5 * ((west - position[0]) ** 2 + (north - position[1]) ** 2) / width**2) * filled
        total = weight.sum()
        if not total > 0:
            return None
        step = np.array([np.sum(weight * (west - position[0])), np.sum(weight * (north - position[1]))]) / total
        position = position + step  # the mean shift climbs to the peak of the map smoothed with the weight
        if np.hypot(*step) < 1e-4:
            break
    return position if np.hypot(*(position - origin)) < max(2 * fwhm, 2 * grid.pixel_scale) else None

"""Shift between a map and an image of the same object: masked, noise-weighted cross-correlation, and peak positions."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from klever.align.bandmaps import valid_pixels
from klever.grids import Grid

__all__ = ["FWHM", "Match", "Template", "cross_correlate", "peak_position", "without_outliers"]

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))
MINIMUM_SPAXELS = 25  # fewer do not show whether a maximum is one
COARSE_STEP = 0.1  # arcsec, of the search over the whole range
FINE_STEP = 0.03  # arcsec, around its best; the parabola through the best and its neighbours does the rest
STEPS_PER_FWHM = 5  # at least, where the resolution is so good that these steps would miss the maximum
COVERED = 0.9  # part of a pixel's blurred light that must come from valid pixels of the template
TRIALS_PER_BLOCK = 2_000_000  # trial shifts times spaxels held in memory


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


@dataclass
class Match:
    """Arcsec to the west and to the north by which a map must be moved to lie on the template.

    `error` is 1 sigma per axis, `snr` the S/N of the amplitude of the template in the map.
    """

    x: float
    y: float
    error: float
    snr: float


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
        noise, of that difference.
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
    match = _Matcher(product, valid, band, template, fwhm)
    if not match.peak > 0:
        return None
    coarse = min(COARSE_STEP, fwhm / STEPS_PER_FWHM)
    fine = coarse * FINE_STEP / COARSE_STEP
    centre = np.zeros(2)
    for order, half, step in ((1, radius, coarse), (3, 4 * fine, fine)):
        ticks = step * np.arange(-round(half / step), round(half / step) + 1)
        trial = centre + np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
        gain = match.correlation(trial, order)
        centre = trial[np.argmax(gain)]
        if gain.max() <= 0 or (np.abs(centre).max() > ticks[-1] - step / 2 and order == 1):
            return None
    offset = _vertex(match.correlation, centre, fine)
    return None if offset is None else match.result(centre + offset, fine)


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


class _Matcher:
    """The map's valid spaxels and the blurred template, both scaled to unit noise and unit peak."""

    def __init__(self, product, valid, band, template, fwhm):
        self.template, self.correlated = template, band.correlation[valid.ravel()][:, valid.ravel()]
        self.west, self.north = (coordinate[valid] for coordinate in band.grid.pixel_offsets())
        self.x, self.y = template.grid.pixels(self.west, self.north)
        self.inverse = np.linalg.inv(template.grid.axes)
        self.noise_scale = np.median(product.error[valid])
        self.data, self.sigma = product.value[valid] / self.noise_scale, product.error[valid] / self.noise_scale
        self.weight = 1.0 / self.sigma**2
        self.valid, self.fwhm, self.pixel_scale = valid, band.psf_fwhm, band.grid.pixel_scale
        model, self.usable = template.convolved(fwhm)
        self.peak = np.max(np.abs(model[self.usable]), initial=0.0)
        self.model = model / (self.peak or 1.0)
        self.cubic = ndimage.spline_filter(self.model, order=3, mode="nearest")
        self.masked = not self.usable.all()

    def sampled(self, trial, order):
        """Template and its mask at the spaxels moved by each trial shift, two arrays of shape (trial, spaxel)."""
        step = trial @ self.inverse.T
        position = [self.y + step[:, 1:], self.x + step[:, :1]]
        source = self.cubic if order == 3 else self.model
        value = ndimage.map_coordinates(source, position, order=order, mode="nearest", prefilter=False)
        ny, nx = self.model.shape
        inside = (position[0] > -0.5) & (position[0] < ny - 0.5) & (position[1] > -0.5) & (position[1] < nx - 0.5)
        if self.masked:
            inside &= ndimage.map_coordinates(self.usable.astype(float), position, order=1, mode="nearest") > 0.5
        return value, inside

    def template_noise(self, shift):
        """1 sigma of the template at the spaxels, as if it were correlated like the noise of the map."""
        if self.template.error is None:
            return 0.0
        error = self.template.error / (self.peak or 1.0)
        filled = np.where(np.isfinite(error), error, np.nanmedian(error))
        x, y = self.template.grid.pixels(self.west - shift[0], self.north - shift[1])
        return ndimage.map_coordinates(filled, [y, x], order=1, mode="nearest")

    def correlation(self, trial, order):
        """Square of the weighted correlation coefficient at each trial shift; 0 where it is not positive."""
        block = max(TRIALS_PER_BLOCK // self.data.size, 1)
        parts = [self._correlation(trial[i : i + block], order) for i in range(0, len(trial), block)]
        return np.concatenate(parts)

    def _correlation(self, trial, order):
        model, inside = self.sampled(trial, order)
        weight = inside * self.weight
        total = np.maximum(weight.sum(axis=1), np.finfo(float).tiny)
        model = model - (np.sum(weight * model, axis=1) / total)[:, None]
        data = self.data - (weight @ self.data / total)[:, None]
        covariance = np.sum(weight * model * data, axis=1)
        power = np.sum(weight * model**2, axis=1) * np.sum(weight * data**2, axis=1)
        enough = inside.sum(axis=1) >= MINIMUM_SPAXELS
        good = enough & (covariance > 0) & (power > 0)
        return np.divide(covariance**2, power, out=np.zeros_like(power), where=good)

    def result(self, shift, step):
        """Match at the best shift, with the errors of the linearised fit."""
        around = shift + step * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], dtype=float)
        (model, east, west, north, south), inside = self.sampled(around, 3)
        used = inside[0]
        weight = np.where(used, self.weight, 0.0)
        mean = weight / weight.sum()
        centred = model - mean @ model
        amplitude = (weight * self.data) @ centred / (weight @ centred**2)
        slopes = amplitude * np.stack([east - west, north - south]) / (2 * step)
        design = np.column_stack([*slopes, model, np.ones_like(model)])
        weighted = weight[:, None] * design
        try:
            inverse = np.linalg.inv(design.T @ weighted)
        except np.linalg.LinAlgError:
            return None
        noise = np.hypot(self.sigma, amplitude * self.template_noise(shift))
        scatter = noise[:, None] * weighted
        covariance = inverse @ (scatter.T @ (self.correlated @ scatter)) @ inverse
        residual = self.data - design @ (inverse @ (weighted.T @ self.data))
        covariance = covariance + inverse @ self.mismatch(weight, noise, residual, model, weighted) @ inverse
        variance = np.diag(covariance)
        if not (np.isfinite(variance) & (variance > 0)).all():
            return None
        error, snr = np.sqrt(variance[:2].mean()), amplitude / np.sqrt(variance[2])
        return Match(float(shift[0]), float(shift[1]), float(error), float(snr))

    def mismatch(self, weight, noise, residual, model, weighted):
        """Covariance of the scores `weighted` (spaxel, parameter) from what makes chi-square larger than noise does.

        A line ratio, a colour or a clump that only one of the two shows is a factor on the brightness, coherent over
        the PSF; its variance over the squared brightness is what explains the excess of chi-square.
        """
        freedom = 1.0 - weighted.shape[1] / np.count_nonzero(weight)
        excess = weight @ residual**2 - freedom * (weight @ noise**2)
        brightness = np.abs(model - np.median(model))
        power = weight @ brightness**2
        if excess <= 0 or not power > 0:
            return np.zeros((weighted.shape[1],) * 2)
        image = np.zeros((*self.valid.shape, weighted.shape[1]))
        image[self.valid] = brightness[:, None] * weighted
        # White structure seen through the PSF is correlated as exp(-d^2 / 4 sigma^2).
        width = np.sqrt(2.0) * self.fwhm / FWHM / self.pixel_scale
        smooth = ndimage.gaussian_filter(image, (width, width, 0), mode="constant", truncate=5.0)
        correlated = 2.0 * np.pi * max(width, 1.0 / np.sqrt(2.0 * np.pi)) ** 2 * smooth
        return excess / power * np.einsum("yxi,yxj->ij", image, correlated)


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

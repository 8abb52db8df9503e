"""Chi-square of a map against a shifted image of the same object, and the error of the shift that makes it least."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = ["FWHM", "MINIMUM_SPAXELS", "Match", "Matcher"]

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))
MINIMUM_SPAXELS = 25  # fewer do not show whether a maximum is one
TRIALS_PER_BLOCK = 2_000_000  # trial shifts times spaxels held in memory


@dataclass
class Match:
    """Arcsec to the west and to the north by which a map must be moved to lie on the template.

    `error` is 1 sigma per axis (their rms), `snr` the S/N of the amplitude of the template in the map, and `worst` the
    error in the direction that is least certain, along an arc; None if it is `error`.
    """

    x: float
    y: float
    error: float
    snr: float
    worst: float | None = None


class Matcher:
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

    def _correlation(self, trial, order, common=False):
        model, inside = self.sampled(trial, order)
        if common:
            inside = inside.all(axis=0, keepdims=True)
        weight = inside * self.weight
        total = np.maximum(weight.sum(axis=1), np.finfo(float).tiny)
        model = model - (np.sum(weight * model, axis=1) / total)[:, None]
        data = self.data - (weight @ self.data / total)[:, None]
        covariance = np.sum(weight * model * data, axis=1)
        power = np.sum(weight * model**2, axis=1) * np.sum(weight * data**2, axis=1)
        enough = inside.sum(axis=1) >= MINIMUM_SPAXELS
        good = enough & (covariance > 0) & (power > 0)
        return np.divide(covariance**2, power, out=np.zeros_like(power), where=good)

    def result(self, shift, step, trial, gain):
        """Match at the best shift; `step` (arcsec) is that of the derivatives, `gain` the correlation at `trial`.

        The errors are those of the linearised fit. The noise of a template looks like structure that fixes the position
        and so makes them too small, along an arc by far; the curvature that chi-square really has contains its
        residuals, too, which takes that out again. Where other shifts are about as likely, the errors hold them.
        """
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
        own = covariance[:2, :2]
        if self.template.error is not None:
            curvature = self.curvature(shift, step)
            if not np.linalg.eigvalsh(curvature)[0] > 0:
                return None
            linear = np.linalg.inv(inverse[:2, :2])
            growth = np.linalg.solve(curvature, linear)
            spread = self.spread(trial, gain, np.trace(own @ linear) / 2)
            own = max(own, growth @ own @ growth.T, spread, key=np.trace)
        widths = np.linalg.eigvalsh(own)
        error, worst, snr = np.sqrt(widths.mean()), np.sqrt(widths[-1]), amplitude / np.sqrt(variance[2])
        return Match(float(shift[0]), float(shift[1]), float(error), float(snr), float(worst))

    def spread(self, trial, gain, excess):
        """Covariance (2, 2) of the trial shifts, as likely as chi-square over `excess` says."""
        mean = self.weight @ self.data / self.weight.sum()
        chi2 = self.weight @ (self.data - mean) ** 2 * (gain.max() - gain)
        likely = np.exp(-0.5 * chi2 / excess)
        return np.cov(trial.T, aweights=likely, bias=True)

    def curvature(self, shift, step):
        """Half the second derivatives of chi-square with respect to the shift, shape (2, 2)."""
        trial = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], dtype=float)
        weight = self.weight * self.sampled(shift + step * trial, 3)[1].all(axis=0)  # the same spaxels for all of them
        if not np.count_nonzero(weight) >= MINIMUM_SPAXELS:
            return np.zeros((2, 2))
        total = weight @ (self.data - weight @ self.data / weight.sum()) ** 2
        value = total * (1.0 - self._correlation(shift + step * trial, 3, common=True))
        x, y = trial.T
        design = np.column_stack([np.ones(9), x, y, x**2, x * y, y**2])
        _, _, _, xx, xy, yy = np.linalg.lstsq(design, value, rcond=None)[0]
        return np.array([[xx, xy / 2], [xy / 2, yy]]) / step**2

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

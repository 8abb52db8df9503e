"""The pixels of an image that a lens model is fitted to, the rays traced through them, and the vertices of the source.

The vertices are traced pixels (Vegetti & Koopmans 2009, MNRAS 392, 945), so the source plane is finest where the lens
magnifies most.
"""

from copy import copy

import numpy as np

from klever.lensfit.epl import deflection

__all__ = ["ArcImage", "arc_brightness"]

_LEVELS = (0.05, 0.2)  # brightness from which on vertices are twice, and four times, as dense a side


class ArcImage:
    """The pixels of an image that a lens model is fitted to.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
    error : ndarray, shape (ny, nx)
        1 sigma, independent between pixels.
    mask : ndarray of bool, shape (ny, nx)
        Pixels to fit; data and error are finite there.
    x, y : ndarray, shape (ny, nx)
        Arcsec west and north of the centre of the lens.
    psf : ndarray, shape (odd, odd, rays, rays)
        Weights of the rays around a pixel, see `klever.lensfit.psf.psf_weights`; each pixel is traced by as many rays.
    light : ndarray, shape (k, ny, nx), optional
        Images, as seen through the PSF, whose amplitudes are fitted with the source: the lens galaxy, a background.
    vertices : int
        About so many pixels are traced to be the vertices of the source plane.
    brightness : ndarray, shape (ny, nx), optional
        Of the arc, smoothed, about 1 where it is brightest; vertices are dense where it is bright.

    Attributes
    ----------
    order : int
        Of the regularisation: 1 gradient, 2 curvature; may be changed.
    prior : ndarray or None
        Weight of the regularisation at the vertices, see `klever.lensfit.sourceprior`; may be changed.
    vertex_x, vertex_y : ndarray
        Arcsec.
    """

    def __init__(self, data, error, mask, x, y, psf, light=(), vertices=500, brightness=None):
        self.mask, self.order, self.rays, self.prior = mask, 1, psf.shape[2] * psf.shape[3], None
        self.data, self.weight = data[mask], 1.0 / error[mask] ** 2
        self.light = np.array([image[mask] for image in light]).reshape(len(light), self.data.size)
        self._find_seen(mask, psf)
        steps = (np.arange(psf.shape[2]) + 0.5) / psf.shape[2] - 0.5
        down, along = (part.ravel() for part in np.meshgrid(steps, steps, indexing="ij"))
        rays = [grid[self.seen][:, None] + np.gradient(grid, axis=1)[self.seen][:, None] * along
                + np.gradient(grid, axis=0)[self.seen][:, None] * down for grid in (x, y)]  # fmt: skip
        self.x, self.y = (values.ravel() for values in rays)
        self._level = np.digitize(np.zeros(mask.shape) if brightness is None else brightness, _LEVELS)
        self._grid, self._vertices = (x, y), vertices
        self._choose_vertices(0.0)

    def _find_seen(self, mask, psf):
        """Find the pixels whose light reaches the fitted ones, those around them included, and number their rays."""
        from scipy.ndimage import binary_dilation

        near = psf.sum(axis=(2, 3)) > 0
        self.seen = binary_dilation(mask, near[::-1, ::-1])
        number = np.full(mask.shape, -1)
        number[self.seen] = np.arange(self.seen.sum()) * self.rays
        half = np.array(near.shape) // 2
        padded = np.pad(number, [(size, size) for size in half], constant_values=-1)
        row, column = np.nonzero(mask)
        i, j = np.nonzero(near)
        self.first_ray = padded[row[:, None] + i, column[:, None] + j]
        self.psf = np.ascontiguousarray(psf[i, j].reshape(i.size, -1))

    def _choose_vertices(self, phase):
        """Every n-th pixel of each row that is taken, rows in turn shifted by half a step."""
        number = np.bincount(self._level[self.mask], minlength=len(_LEVELS) + 1)
        steps = np.geomspace(1.0, 64.0, 600)[:, None] / 2.0 ** np.arange(number.size)
        steps = np.maximum(steps, 1.0)
        steps = steps[np.argmin(np.abs((number / steps**2).sum(axis=1) - self._vertices))]
        rows, columns = np.indices(self.mask.shape)
        chosen = np.zeros(self.mask.shape, dtype=bool)
        for level, step in enumerate(steps):
            row, inside = np.divmod(rows + phase * step, step)
            shifted = columns + (0.618 * phase + 0.5 * (row % 2)) * step
            chosen |= self.mask & (self._level == level) & (inside < 1) & (np.mod(shifted, step) < 1)
        self.vertex_x, self.vertex_y = (grid[chosen] for grid in self._grid)

    def other_mesh(self, phase):
        """Return the same image with other vertices, their pattern shifted by a part of its step; without a prior."""
        other = copy(self)
        other.prior = None
        other._choose_vertices(phase)
        return other

    def blur(self, values):
        """Return the light of fitted pixels, shape (n, k), behind the PSF, from values of all rays, shape (m, k)."""
        from klever.lensfit.kernels import blur

        return blur(np.ascontiguousarray(values), self.first_ray, self.psf)

    def trace(self, parameters):
        """Positions of all rays in the source plane."""
        alpha = deflection(self.x, self.y, parameters)
        return self.x - alpha[0], self.y - alpha[1]

    def image(self, values):
        """Put values of the fitted pixels on the grid of the image, NaN elsewhere."""
        result = np.full(self.mask.shape, np.nan)
        result[self.mask] = values
        return result


def arc_brightness(data, mask, fwhm):
    """Return the brightness of an arc, smoothed so that noise chooses no vertices, 1 at the 99.5th percentile.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        Without the light of the lens.
    mask : ndarray of bool, shape (ny, nx)
        Pixels of the arc.
    fwhm : float
        Of the PSF, pixels.
    """
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.where(mask, data, 0.0), max(fwhm / 2.3548, 1.0))
    return smooth / max(float(np.quantile(smooth[mask], 0.995)), 1e-300)

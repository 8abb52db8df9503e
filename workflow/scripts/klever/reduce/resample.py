"""Drizzling: exposures to a common grid by the exact area in which shrunken spaxels overlap the new ones.

Fruchter & Hook (2002, PASP 114, 144). With drops as large as the spaxels (pixfrac 1) this is resampling by overlap of
areas; smaller drops blur less and correlate the noise less, and need more dithers.
"""

import numpy as np
from scipy import sparse

from klever.grids import Grid
from klever.source.polygon_overlap import overlap_area

__all__ = ["drizzle", "drizzle_operator"]

_NEGLIGIBLE = 1e-9


def drizzle_operator(header, shape, target, offset=(0.0, 0.0), pixfrac=1.0):
    """Return the areas in which the drops of an exposure overlap the spaxels of the output.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Celestial WCS of the exposure, of any orientation.
    shape : (int, int)
        (ny, nx) of the exposure.
    target : klever.grids.Grid
    offset : (float, float)
        Arcsec west and north that the header's positions are too large (`klever.reduce.staralign.Alignment.offset`).
    pixfrac : float
        Side of a drop over that of the spaxel, above 0, at most 1.

    Returns
    -------
    scipy.sparse.csr_matrix, shape (output spaxels, spaxels)
        In units of the drop's area, so that a column of a spaxel inside the grid sums to 1.

    Raises
    ------
    ValueError
        `pixfrac` is out of range.
    """
    if not 0 < pixfrac <= 1:
        raise ValueError(f"pixfrac = {pixfrac}: the drops must be larger than 0 and no larger than the spaxels.")
    source = Grid(header, shape, target.origin)
    half = 0.5 * pixfrac
    y, x = (c.ravel()[:, None] for c in np.mgrid[: shape[0], : shape[1]].astype(float))
    west, north = source.offsets(x + np.array([-half, half, half, -half]), y + np.array([-half, -half, half, half]))
    # spaxel (i, j) of the output is the square [j, j + 1] x [i, i + 1]
    corners = np.stack(target.pixels(west - offset[0], north - offset[1]), axis=-1) + 0.5
    ny, nx = target.shape
    first = np.floor(corners.min(axis=1)).astype(int)
    span = int((np.floor(corners.max(axis=1)).astype(int) - first).max()) + 1
    step_y, step_x = (c.ravel() for c in np.mgrid[:span, :span])
    column = np.repeat(np.arange(len(corners)), step_x.size)
    at_x = (first[:, :1] + step_x).ravel()
    at_y = (first[:, 1:] + step_y).ravel()
    inside = (at_x >= 0) & (at_x < nx) & (at_y >= 0) & (at_y < ny)
    column, at_x, at_y = column[inside], at_x[inside], at_y[inside]
    area = np.zeros(column.size)
    for triangle in ((0, 1, 2), (0, 2, 3)):
        area += overlap_area(corners[:, triangle][column], at_x, at_y)
    whole = 0.5 * np.abs(
        np.sum(
            corners[..., 0] * np.roll(corners[..., 1], -1, 1) - np.roll(corners[..., 0], -1, 1) * corners[..., 1],
            axis=1,
        )
    )
    area /= whole[column]
    kept = area > _NEGLIGIBLE
    parts = (area[kept], ((at_y * nx + at_x)[kept], column[kept]))
    return sparse.csr_matrix(parts, shape=(ny * nx, shape[0] * shape[1]))


def drizzle(operator, flux, error, area_ratio):
    """Resample one exposure; voxels without data have no drop.

    Parameters
    ----------
    operator : scipy.sparse.csr_matrix
        From `drizzle_operator`.
    flux, error : ndarray, shape (n_wave, ny, nx)
        Per spaxel; NaN is missing.
    area_ratio : float
        Area of an output spaxel over that of a spaxel: the flux per spaxel changes with it.

    Returns
    -------
    flux, variance, weight : ndarray of float32, shape (n_wave, output spaxels)
        Mean of the drops that reach a spaxel (zero where none does), its variance, and the sum of their areas.
    """
    n_wave = len(flux)
    values, sigma = flux.reshape(n_wave, -1).T, error.reshape(n_wave, -1).T
    good = np.isfinite(values) & np.isfinite(sigma)
    operator = operator.astype(np.float32)
    squared = operator.multiply(operator).tocsr()
    if good.all():
        weight = np.repeat(np.asarray(operator.sum(axis=1)), n_wave, axis=1)
    else:
        weight = operator @ good.astype(np.float32)
    usable = weight > 1e-6
    scale = np.divide(np.float32(area_ratio), weight, out=np.zeros_like(weight, np.float32), where=usable)
    new_flux = (operator @ np.where(good, values, 0).astype(np.float32)) * scale
    variance = np.where(good, sigma, 0).astype(np.float64) ** 2  # squares of 1e-20 underflow float32
    new_variance = (squared.astype(np.float64) @ variance) * scale.astype(np.float64) ** 2
    return new_flux.T, new_variance.T, np.where(usable, weight, 0).T

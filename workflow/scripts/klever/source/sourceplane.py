"""From the image to the source plane: which image pixels land in which source pixel, and how many images there are.

Curti et al. (2020), Sect. 3.2.3: a source pixel is the average of the image pixels that are mapped to it, because
lensing conserves surface brightness. Here every image pixel is divided in sub-pixels first, so that a magnified source
has no holes.
"""

import logging
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from klever.align.bandmaps import valid_pixels
from klever.errors import InputError
from klever.grids import tangent_header

__all__ = ["Reference", "SourceGrid", "averaging_operator", "multiplicity", "reference_pixel", "source_grid", "trace",
           "trace_corners"]  # fmt: skip

logger = logging.getLogger(__name__)

MAXIMUM_SIZE = 8.0  # arcsec, side of the source-plane grid
REFERENCE_SNR = 5.0


@dataclass
class Reference:
    """Pixel of the aligned grid that marks the galaxy: 0-based `x`, `y`, and the map it is from or "catalogue"."""

    x: int
    y: int
    name: str


def reference_pixel(maps, lines, usable, catalogue):
    """Find the pixel that marks the galaxy: the peak of the first line that is detected.

    Parameters
    ----------
    maps : MapSet
        Aligned maps.
    lines : list of str
        In order of preference.
    usable : ndarray of bool
        Pixels with a deflection.
    catalogue : pair of float
        0-based pixel of the catalogue position, the fallback; moved into the grid if outside.

    Returns
    -------
    Reference
    """
    for name in lines:
        if name not in maps or maps[name].error is None:
            continue
        product = maps[name]
        good = valid_pixels(product) & usable & (product.error > 0)
        if not good.any():
            continue
        snr = np.divide(product.value, product.error, out=np.zeros_like(product.value), where=good)
        # A mean over 5 x 5 pixels: the maps are oversampled, and a single bad pixel must not mark the galaxy.
        weight = ndimage.uniform_filter(good.astype(float), 5, mode="constant")
        scale = np.max(np.abs(product.value[good])) or 1.0
        filled = np.where(good, product.value / scale, 0.0)
        summed = ndimage.uniform_filter(filled, 5, mode="constant")
        mean = np.divide(summed, weight, out=np.zeros_like(weight), where=good)
        mean[~good | (snr < REFERENCE_SNR) | (weight < 0.5)] = -np.inf
        best = int(np.argmax(mean))
        if np.isfinite(mean.flat[best]):
            y, x = divmod(best, mean.shape[1])
            return Reference(x, y, name)
    ny, nx = usable.shape
    x, y = (int(np.clip(round(v), 0, n - 1)) for v, n in zip(catalogue, (nx, ny), strict=True))
    if not usable[y, x] and usable.any():  # the nearest pixel that has a deflection
        _, (iy, ix) = ndimage.distance_transform_edt(~usable, return_indices=True)
        x, y = int(ix[y, x]), int(iy[y, x])
    return Reference(x, y, "catalogue")


def trace(alpha_x, alpha_y, west, north, subpixels):
    """Trace sub-pixels of the image plane back to the source plane.

    Parameters
    ----------
    alpha_x, alpha_y : ndarray, shape (ny, nx)
        Deflection, arcsec west and north; NaN outside the lens model.
    west, north : ndarray, shape (ny, nx)
        Positions of the pixel centres of a regular grid, arcsec.
    subpixels : int
        Per side of a pixel.

    Returns
    -------
    x, y : ndarray, shape (n,)
        Source positions, arcsec west and north: source = image - alpha.
    pixel : ndarray of int, shape (n,)
        Flat index of the image pixel each sub-pixel belongs to. Pixels without deflection are left out.
    """
    ny, nx = alpha_x.shape
    usable = np.isfinite(alpha_x) & np.isfinite(alpha_y)
    if not usable.any():
        return np.empty(0), np.empty(0), np.empty(0, int)
    planes = _source_planes(alpha_x, alpha_y, west, north, usable)
    step = (np.arange(subpixels) + 0.5) / subpixels - 0.5
    iy, ix = np.nonzero(usable)
    sub_y, sub_x = (grid.ravel() for grid in np.meshgrid(step, step, indexing="ij"))
    x, y = (ix[:, None] + sub_x).ravel(), (iy[:, None] + sub_y).ravel()
    if min(ny, nx) == 1:
        return (planes[0, iy, ix].repeat(sub_x.size), planes[1, iy, ix].repeat(sub_x.size),
                (iy * nx + ix).repeat(sub_x.size))  # fmt: skip
    source = _interpolate(planes, x, y)
    return source[0], source[1], (iy * nx + ix).repeat(sub_x.size)


def trace_corners(alpha_x, alpha_y, west, north):
    """Trace points every half pixel, edges included, by the same interpolation as `trace`.

    Parameters
    ----------
    alpha_x, alpha_y, west, north : ndarray, shape (ny, nx)
        As for `trace`; at least two pixels a side.

    Returns
    -------
    x, y : ndarray, shape (2 ny + 1, 2 nx + 1)
        Source positions, arcsec west and north; NaN if no pixel has a deflection.

    Raises
    ------
    InputError
        The map is one pixel wide, so that its edges cannot be traced.
    """
    ny, nx = alpha_x.shape
    if min(ny, nx) < 2:
        raise InputError(f"Maps of {nx} x {ny} pixels have no edges to trace; set source.method to subpixels.")
    usable = np.isfinite(alpha_x) & np.isfinite(alpha_y)
    y, x = np.mgrid[: 2 * ny + 1, : 2 * nx + 1] / 2 - 0.5
    if not usable.any():
        return np.full(x.shape, np.nan), np.full(x.shape, np.nan)
    return tuple(_interpolate(_source_planes(alpha_x, alpha_y, west, north, usable), x, y))


def _source_planes(alpha_x, alpha_y, west, north, usable):
    if not usable.all():  # beside a missing pixel the nearest deflection stands in for it
        nearest = tuple(ndimage.distance_transform_edt(~usable, return_distances=False, return_indices=True))
        alpha_x, alpha_y = alpha_x[nearest], alpha_y[nearest]
    return np.array([west - alpha_x, north - alpha_y])


def _interpolate(planes, x, y):
    # All are interpolated linearly, so source and image positions refer to the same point; half a pixel beyond the
    # outer centres the gradient of the last pixels goes on.
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="reflect", reflect_type="odd")
    return [ndimage.map_coordinates(plane, [y + 1, x + 1], order=1) for plane in padded]


@dataclass
class SourceGrid:
    """North-up grid in the source plane.

    Parameters
    ----------
    scale : float
        Arcsec per pixel.
    shape : pair of int
        (ny, nx).
    x0, y0 : float
        Offset (arcsec west, north) of the centre of pixel (0, 0).
    """

    scale: float
    shape: tuple[int, int]
    x0: float
    y0: float

    def pixels(self, x, y):
        """Offsets in arcsec to 0-based pixel positions."""
        return (np.asarray(x) - self.x0) / self.scale, (np.asarray(y) - self.y0) / self.scale

    def offsets(self):
        """Offsets of all pixel centres, two arrays of the grid's shape."""
        y, x = np.mgrid[: self.shape[0], : self.shape[1]]
        return self.x0 + x * self.scale, self.y0 + y * self.scale

    def header(self, ra, dec):
        """FITS header of the grid; offsets are counted from (ra, dec)."""
        return tangent_header(ra, dec, self.scale, (-self.x0 / self.scale, -self.y0 / self.scale))


def source_grid(x, y, centre, scale, maximum_size=MAXIMUM_SIZE):
    """Make a square-pixel grid centred on the galaxy that covers the traced field.

    Parameters
    ----------
    x, y : ndarray
        Source positions of the sub-pixels, arcsec. The few that a critical line or a cluster member throws far away
        (more than 5 times the median distance from the median position) do not enlarge the grid.
    centre : pair of float
        Offset, arcsec, of the central pixel.
    scale : float
        Arcsec per pixel.
    maximum_size : float
        Arcsec, longest side.

    Returns
    -------
    SourceGrid
    """
    half = [10, 10]
    if x.size:
        distance = np.hypot(x - np.median(x), y - np.median(y))
        near = distance <= 5 * max(np.median(distance), scale)
        limit = int(maximum_size / 2 / scale)
        half = [min(int(np.ceil(np.max(np.abs(v[near] - c)) / scale - 0.5)), limit)
                for v, c in zip((x, y), centre, strict=True)]  # fmt: skip
        half = [max(h, 2) for h in half]
    x0, y0 = (c - h * scale for c, h in zip(centre, half, strict=True))
    return SourceGrid(scale, (2 * half[1] + 1, 2 * half[0] + 1), x0, y0)


def averaging_operator(x, y, pixel, n_pixels, grid):
    """Return the operator that averages, in every source pixel, the image pixels that land there.

    Parameters
    ----------
    x, y, pixel : ndarray
        From `trace`.
    n_pixels : int
        Of the image-plane grid.
    grid : SourceGrid

    Returns
    -------
    operator : scipy.sparse.csr_matrix, shape (ny * nx, n_pixels)
        Weights are the fractions of the sub-pixels in a source pixel; rows sum to 1, rows of holes are empty.
    landed : ndarray, shape (ny * nx,)
        Sub-pixels in each source pixel.
    """
    ny, nx = grid.shape
    fx, fy = grid.pixels(x, y)
    # Sub-pixel positions that fall on a pixel edge up to rounding must all go to the same side.
    ix, iy = np.floor(fx + 0.5 + 1e-7).astype(int), np.floor(fy + 0.5 + 1e-7).astype(int)
    inside = (ix >= 0) & (ix < nx) & (iy >= 0) & (iy < ny)
    row, column = (iy * nx + ix)[inside], pixel[inside]
    counts = sparse.csr_matrix((np.ones(row.size), (row, column)), shape=(ny * nx, n_pixels))
    counts.sum_duplicates()
    landed = np.asarray(counts.sum(axis=1)).ravel()
    inverse = np.divide(1.0, landed, out=np.zeros_like(landed), where=landed > 0)
    return (sparse.diags(inverse) @ counts).tocsr(), landed


def multiplicity(operator, width):
    """Count the images of every source pixel: connected groups of image pixels that land in it.

    Parameters
    ----------
    operator : scipy.sparse.csr_matrix
        From `averaging_operator`.
    width : int
        Pixels along x of the image-plane grid.

    Returns
    -------
    ndarray of int, shape (n_source,)
        0 in holes. Two images less than two pixels apart (on a critical line) count as one.
    """
    operator = operator.tocsr()
    operator.sort_indices()
    n_source, n_image = operator.shape
    row = np.repeat(np.arange(n_source), np.diff(operator.indptr))
    column = operator.indices.astype(np.int64)
    key = row * np.int64(n_image) + column  # ascending
    if not key.size:
        return np.zeros(n_source, int)
    first, second = [], []
    # Neighbours up to two pixels away: thin arcs are sampled with gaps.
    for dx, dy in [(1, 0), (2, 0)] + [(dx, dy) for dy in (1, 2) for dx in range(-2, 3)]:
        within = (column % width + dx >= 0) & (column % width + dx < width)
        target = key + dx + dy * width
        position = np.minimum(np.searchsorted(key, target), key.size - 1)
        hit = np.flatnonzero(within & (key[position] == target) & (row[position] == row))
        first.append(hit)
        second.append(position[hit])
    first, second = np.concatenate(first), np.concatenate(second)
    graph = sparse.coo_matrix((np.ones(first.size), (first, second)), shape=(key.size, key.size))
    _, group = csgraph.connected_components(graph, directed=False)
    representative = np.unique(group, return_index=True)[1]
    return np.bincount(row[representative], minlength=n_source)

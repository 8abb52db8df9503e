"""Exact reference for the averaging operator: areas in which mapped image pixels overlap the source pixels.

The sub-pixels of `klever.source.sourceplane.trace` sample what is integrated here. Every image pixel is divided in
triangles, which, unlike quadrilaterals, cannot fold over themselves on a critical line. The area of a triangle in a
source pixel is the contour integral of Green's theorem, area = |sum over edges of the integral of y dx|, with x and y
clamped to the sides of the source pixel: exact, and vectorised without building the clipped polygon (Sutherland &
Hodgman 1974).
"""

import numpy as np
from scipy import sparse

__all__ = ["overlap_area", "polygon_operator"]

CHUNK = 200_000  # pairs of triangle and source pixel at a time
SMALLEST = 1e-9  # image pixels; less is rounding at a shared edge


def overlap_area(triangles, left, bottom):
    """Area of triangles inside unit squares.

    Parameters
    ----------
    triangles : ndarray, shape (n, 3, 2)
        Vertices (x, y) in units of the squares' side, either orientation.
    left, bottom : ndarray, shape (n,)
        Lower-left corner of the square of each triangle.

    Returns
    -------
    ndarray, shape (n,)
        Between 0 and 1.
    """
    x, y = triangles[..., 0] - left[:, None], triangles[..., 1] - bottom[:, None]
    area = np.zeros(len(triangles))
    for i in range(3):
        x0, y0, x1, y1 = x[:, i], y[:, i], x[:, (i + 1) % 3], y[:, (i + 1) % 3]
        start, end = np.clip(x0, 0, 1), np.clip(x1, 0, 1)
        run = np.where(x1 == x0, 1.0, x1 - x0)
        low, high = (y0 + (y1 - y0) * ((at - x0) / run) for at in (start, end))
        area += (end - start) * _mean_clamped(low, high)
    return np.abs(area)


def _mean_clamped(low, high):
    """Mean of clip(y, 0, 1) for y that runs linearly from `low` to `high`."""
    rise = high - low
    flat = np.abs(rise) < 1e-9  # the difference of antiderivatives would lose its digits
    with np.errstate(invalid="ignore", over="ignore"):
        mean = (_integral(high) - _integral(low)) / np.where(flat, 1.0, rise)
    return np.where(flat, np.clip((low + high) / 2, 0, 1), mean)


def _integral(y):
    """Antiderivative of clip(y, 0, 1)."""
    inside = np.clip(y, 0, 1)
    return inside**2 / 2 + np.maximum(y - 1, 0)


def polygon_operator(corners_x, corners_y, usable, grid):
    """Return the operator that averages image pixels by the exact area in which they overlap a source pixel.

    Parameters
    ----------
    corners_x, corners_y : ndarray, shape (2 ny + 1, 2 nx + 1)
        Source positions, arcsec west and north, of points every half pixel of the image plane, from the outer edge of
        the first pixel to that of the last (`klever.source.sourceplane.trace_corners`).
    usable : ndarray of bool, shape (ny, nx)
        Pixels with a deflection; the others contribute nothing.
    grid : klever.source.sourceplane.SourceGrid

    Returns
    -------
    operator : scipy.sparse.csr_matrix, shape (source pixels, ny * nx)
        The fraction of each image pixel that lands in a source pixel, rows normalised to 1; rows of holes are empty.
    coverage : ndarray, shape (source pixels,)
        Image pixels (a sum of fractions) in each source pixel.
    """
    ny, nx = grid.shape
    # source pixel (i, j) is [i, i + 1] x [j, j + 1]
    points = np.stack(grid.pixels(corners_x, corners_y), axis=-1) + 0.5
    a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]
    # Quarters of a pixel are cut from its centre to its corners, so that flips and turns of the pixels change nothing.
    straight = np.stack([np.stack([a, b, c], axis=2), np.stack([a, c, d], axis=2)], axis=2)  # (2ny, 2nx, 2, 3, 2)
    crossed = np.stack([np.stack([a, b, d], axis=2), np.stack([b, c, d], axis=2)], axis=2)
    even = np.add.outer(np.arange(a.shape[0]), np.arange(a.shape[1])) % 2 == 0
    triangles = np.where(even[..., None, None, None], straight, crossed)
    owner = np.kron(np.arange(usable.size).reshape(usable.shape), np.ones((2, 2), int))
    owner = np.broadcast_to(owner[..., None], triangles.shape[:3]).ravel()
    triangles = triangles.reshape(-1, 3, 2)
    keep = usable.ravel()[owner]
    triangles, owner = triangles[keep], owner[keep]
    # Boxes of source pixels that each triangle can reach, cut to the grid.
    first = np.maximum(np.floor(triangles.min(axis=1)), 0).astype(int)
    last = np.minimum(np.floor(triangles.max(axis=1)), (nx - 1, ny - 1)).astype(int)
    size = np.maximum(last - first + 1, 0)
    pairs = size.prod(axis=1)
    ends = np.cumsum(pairs)
    counts = sparse.csr_matrix((nx * ny, usable.size))
    start = 0
    while start < len(pairs):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + CHUNK, side="right")))
        index = np.repeat(np.arange(start, stop), pairs[start:stop])
        within = np.arange(index.size) - (ends[index] - pairs[index] - done)
        ix = first[index, 0] + within % np.maximum(size[index, 0], 1)
        iy = first[index, 1] + within // np.maximum(size[index, 0], 1)
        fraction = _fraction(triangles[index], ix, iy) / 8  # eight triangles in an image pixel
        some = fraction > SMALLEST
        entries = (fraction[some], ((iy * nx + ix)[some], owner[index][some]))
        counts = counts + sparse.csr_matrix(entries, shape=counts.shape)
        start = stop
    coverage = np.asarray(counts.sum(axis=1)).ravel()
    inverse = np.divide(1.0, coverage, out=np.zeros_like(coverage), where=coverage > 0)
    return (sparse.diags(inverse) @ counts).tocsr(), coverage


def _fraction(triangles, ix, iy):
    """Fraction of each triangle in its source pixel; one without area (on a critical line) is all at its centroid."""
    side, other = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    area = np.abs(side[:, 0] * other[:, 1] - side[:, 1] * other[:, 0]) / 2
    centroid = np.floor(triangles.mean(axis=1))
    at_centroid = ((centroid[:, 0] == ix) & (centroid[:, 1] == iy)).astype(float)
    degenerate = area < 1e-10
    overlap = overlap_area(triangles, ix.astype(float), iy.astype(float))
    return np.where(degenerate, at_centroid, np.minimum(overlap / np.where(degenerate, 1.0, area), 1.0))

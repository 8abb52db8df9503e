"""Operators that bring maps of surface brightness from one pixel grid to another: interpolation or overlap of areas.

Both are sparse matrices whose rows sum to one (see `klever.operators`). "bilinear" interpolates between the centres of
the four nearest pixels. "exact" averages the input over the area of each output pixel, every input pixel being a
quadrilateral of constant brightness: the flux of the covered field is kept to rounding, as `reproject.reproject_exact`
does; on the sphere that works with areas of spherical polygons, here with those of the tangent plane, which differ by
about 1e-8 of a pixel over an IFU's field.
"""

import numpy as np
from scipy import sparse

from klever.operators import bilinear_operator

__all__ = ["METHODS", "overlap_operator", "reprojection_operator"]

METHODS = ("bilinear", "exact")
CORNERS = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
# Area of overlap over that of the input pixel below which it is rounding at a shared edge.
NEGLIGIBLE = 1e-12
PAIRS_PER_BLOCK = 200_000  # of quadrilaterals clipped at once


def reprojection_operator(source, target, shift=(0.0, 0.0), method="bilinear"):
    """Return the operator that resamples a map of surface brightness.

    Parameters
    ----------
    source, target : Grid
        With the same origin.
    shift : pair of float
        Arcsec west and north to add to the positions of `source`.
    method : str
        "bilinear" or "exact".

    Returns
    -------
    scipy.sparse.csr_matrix, shape (target pixels, source pixels)
        Rows sum to 1 where the output pixel's centre lies in the field (bilinear) or any part of it does (exact: the
        mean over the part that is covered); the others are empty.

    Raises
    ------
    ValueError
        Unknown method.
    """
    if method == "bilinear":
        west, north = target.pixel_offsets()
        return bilinear_operator(*source.pixels(west - shift[0], north - shift[1]), source.shape)
    if method != "exact":
        raise ValueError(f"no reprojection {method!r}; choose out of {', '.join(METHODS)}.")
    area = overlap_operator(source, target, shift)
    total = np.asarray(area.sum(axis=1)).ravel()
    return (sparse.diags(np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)) @ area).tocsr()


def overlap_operator(source, target, shift=(0.0, 0.0)):
    """Return the areas in which the pixels of two grids overlap.

    Parameters
    ----------
    source, target : Grid
        With the same origin; pixels are parallelograms of any shape, orientation and parity.
    shift : pair of float
        Arcsec west and north to add to the positions of `source`.

    Returns
    -------
    scipy.sparse.csr_matrix, shape (target pixels, source pixels)
        In units of an output pixel: a row of a pixel inside the field sums to 1.
    """
    rows, columns, areas = [np.empty(0, int)], [np.empty(0, int)], [np.empty(0)]
    corners = _corners(source, target, shift)
    for row, column in _candidates(corners, target.shape):
        x, y = (
            corners[0][column] - (row % target.shape[1])[:, None],
            corners[1][column] - (row // target.shape[1])[:, None],
        )
        area = _area_in_unit_square(x, y)
        kept = area > NEGLIGIBLE
        rows.append(row[kept])
        columns.append(column[kept])
        areas.append(area[kept])
    parts = (np.concatenate(areas), (np.concatenate(rows), np.concatenate(columns)))
    shape = (target.shape[0] * target.shape[1], source.shape[0] * source.shape[1])
    return sparse.csr_matrix(parts, shape=shape)


def _corners(source, target, shift):
    """Corners of the source's pixels in pixels of the target: two arrays of shape (source pixels, 4)."""
    y, x = (coordinate.ravel()[:, None] for coordinate in np.mgrid[: source.shape[0], : source.shape[1]])
    dx, dy = np.array(CORNERS).T
    west, north = source.offsets(x + dx, y + dy)
    return target.pixels(west + shift[0], north + shift[1])


def _candidates(corners, shape):
    """Yield blocks of pairs (target pixel, source pixel) whose bounding boxes touch."""
    x, y = corners
    first = [np.maximum(np.ceil(c.min(axis=1) - 0.5), 0).astype(int) for c in (x, y)]
    last = [
        np.minimum(np.floor(c.max(axis=1) + 0.5), n - 1).astype(int) for c, n in zip((x, y), shape[::-1], strict=True)
    ]
    width, height = (np.maximum(high - low + 1, 0) for low, high in zip(first, last, strict=True))
    count = width * height
    filled = np.flatnonzero(count)
    block = np.cumsum(count[filled]) // PAIRS_PER_BLOCK
    for part in np.split(filled, np.flatnonzero(np.diff(block)) + 1):
        column = np.repeat(part, count[part])
        index = np.arange(column.size) - np.repeat(np.cumsum(count[part]) - count[part], count[part])
        row_x, row_y = first[0][column] + index % width[column], first[1][column] + index // width[column]
        yield row_y * shape[1] + row_x, column


def _area_in_unit_square(x, y):
    """Areas of convex quadrilaterals inside the square -0.5..0.5, by clipping at its sides (Sutherland & Hodgman 1974).

    Parameters
    ----------
    x, y : ndarray, shape (n, 4)

    Returns
    -------
    ndarray, shape (n,)
    """
    for axis, sign in ((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0)):
        inside_by = 0.5 - sign * (x if axis == 0 else y)
        x, y = _clip(x, y, inside_by)
    return 0.5 * np.abs(np.sum(x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y, axis=1))


def _clip(x, y, distance):
    """Clip polygons at a line; `distance` of each corner is positive inside.

    Each corner yields itself, if it is inside, and the crossing of the side that starts in it, if there is one.
    """
    following = np.roll(distance, -1, axis=1)
    crosses = (distance >= 0) != (following >= 0)
    fraction = np.divide(distance, distance - following, out=np.zeros_like(distance), where=crosses)
    points = []
    for c in (x, y):
        crossing = c + fraction * (np.roll(c, -1, axis=1) - c)
        points.append(np.stack([c, crossing], axis=2).reshape(len(c), 2 * c.shape[1]))
    used = np.stack([distance >= 0, crosses], axis=2).reshape(len(x), 2 * x.shape[1])
    return _compressed(*points, used)


def _compressed(x, y, used):
    """Move the points in use to the front of each row, in order, and repeat the last of them behind."""
    count = used.sum(axis=1)
    order = np.argsort(~used, axis=1, kind="stable")[:, : max(int(count.max(initial=0)), 1)]
    order = np.where(
        np.arange(order.shape[1]) < count[:, None],
        order,
        order[np.arange(len(order)), np.maximum(count - 1, 0)][:, None],
    )
    x, y = np.take_along_axis(x, order, axis=1), np.take_along_axis(y, order, axis=1)
    x[count == 0], y[count == 0] = 0.0, 0.0
    return x, y

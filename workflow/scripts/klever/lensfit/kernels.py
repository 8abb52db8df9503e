"""Compiled loops of the fit of an arc: rays blurred by the PSF, and the normal equations of the source.

A pixel sees some tens of the vertices of the source plane, so sums over the vertices that each one sees are much
shorter than products of matrices.
"""

import numba
import numpy as np

__all__ = ["blur", "gram", "response"]

# sums may be reordered, so that they run on vector units
_compiled = numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})


@_compiled
def blur(values, first, weight):
    """Return the light of pixels, shape (n, k), from values of all rays.

    Parameters
    ----------
    values : ndarray, shape (m, k)
    first : ndarray of int, shape (n, p)
        First ray of each of the p pixels around a pixel, -1 where there is none.
    weight : ndarray, shape (p, rays)
        Of the PSF.
    """
    result = np.zeros((first.shape[0], values.shape[1]))
    for pixel in range(first.shape[0]):
        for part in range(first.shape[1]):
            start = first[pixel, part]
            if start < 0:
                continue
            for ray in range(weight.shape[1]):
                for column in range(values.shape[1]):
                    result[pixel, column] += weight[part, ray] * values[start + ray, column]
    return result


@_compiled
def response(vertex, share, first, weight, size):
    """Return how pixels see the vertices of the source plane, a matrix (n, size) in compressed rows.

    Parameters
    ----------
    vertex : ndarray of int, shape (m, 3)
        Vertices that each ray is interpolated between, -1 for one that is zero.
    share : ndarray, shape (m, 3)
        Their weights.
    first, weight
        See `blur`.
    size : int
        Number of vertices.

    Returns
    -------
    data : ndarray, shape (e,)
    column : ndarray of int, shape (e,)
        In increasing order in each row.
    pointer : ndarray of int, shape (n + 1,)
    """
    n = first.shape[0]
    pointer = np.zeros(n + 1, dtype=np.int64)
    data, column = np.empty(64 * n), np.empty(64 * n, dtype=np.int64)
    row = np.zeros(size)
    filled = 0
    for pixel in range(n):
        for part in range(first.shape[1]):
            start = first[pixel, part]
            if start < 0:
                continue
            for ray in range(weight.shape[1]):
                for corner in range(3):
                    target = vertex[start + ray, corner]
                    if target >= 0:
                        row[target] += weight[part, ray] * share[start + ray, corner]
        if filled + size > data.size:
            data, column = np.concatenate((data, np.empty(data.size))), np.concatenate((column, np.empty_like(column)))
        for target in range(size):
            if row[target] != 0:
                data[filled], column[filled] = row[target], target
                filled += 1
                row[target] = 0.0
        pointer[pixel + 1] = filled
    return data[:filled], column[:filled], pointer


@_compiled
def gram(data, column, pointer, weight, size):
    """Return the symmetric matrix sum_p weight_p A_pi A_pj of a matrix A in compressed rows."""
    result = np.zeros((size, size))
    for pixel in range(pointer.size - 1):
        stop = pointer[pixel + 1]
        for a in range(pointer[pixel], stop):
            value = weight[pixel] * data[a]
            for b in range(a, stop):
                result[column[a], column[b]] += value * data[b]
    for i in range(size):
        for j in range(i):
            result[i, j] = result[j, i]
    return result

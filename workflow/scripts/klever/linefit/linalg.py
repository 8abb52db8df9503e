"""Many small symmetric positive systems at once: matrices are stored index-first, shape (k, k, ...batch).

For k below ten this is much faster than a batched LAPACK call, as every operation runs along the batch.
"""

import numpy as np

__all__ = ["RIDGE", "cholesky", "inverse", "solve"]

RIDGE = 1e-12  # of a standardised diagonal: leaves good columns alone, keeps degenerate ones finite


def cholesky(matrix):
    """Factor standardised matrices.

    Parameters
    ----------
    matrix : ndarray, shape (k, k, ...)
        Symmetric, positive semi-definite.  A row of zeros (a column without data) is replaced by one of the identity.

    Returns
    -------
    factor : list of lists of ndarray
        Lower triangle of the factor of ``scale * matrix * scale``.
    scale : ndarray, shape (k, ...)
    """
    size = len(matrix)
    diagonal = np.array([matrix[i, i] for i in range(size)])
    dead = ~(diagonal > 0)
    scale = np.where(dead, 0.0, 1.0 / np.sqrt(np.where(dead, 1.0, diagonal)))
    factor = [[None] * size for _ in range(size)]
    for j in range(size):
        pivot = np.full(matrix.shape[2:], 1.0 + RIDGE)
        for m in range(j):
            pivot -= factor[j][m] ** 2
        np.sqrt(np.maximum(pivot, RIDGE), out=pivot)
        factor[j][j] = pivot
        for i in range(j + 1, size):
            value = matrix[i, j] * scale[i] * scale[j]
            for m in range(j):
                value -= factor[i][m] * factor[j][m]
            factor[i][j] = value / pivot
    return factor, scale


def solve(decomposition, right):
    """Solve for `right`, shape (k, ...); entries of dead columns come out zero."""
    factor, scale = decomposition
    size = len(factor)
    result = [None] * size
    for i in range(size):
        value = right[i] * scale[i]
        for m in range(i):
            value = value - factor[i][m] * result[m]
        result[i] = value / factor[i][i]
    for i in reversed(range(size)):
        value = result[i]
        for m in range(i + 1, size):
            value = value - factor[m][i] * result[m]
        result[i] = value / factor[i][i]
    return np.array(result) * scale


def inverse(decomposition):
    """Inverse, shape (k, k, ...); rows of dead columns are zero."""
    factor, _ = decomposition
    size, shape = len(factor), factor[0][0].shape
    columns = []
    for j in range(size):
        unit = np.zeros((size, *shape))
        unit[j] = 1.0
        columns.append(solve(decomposition, unit))
    return np.array(columns)

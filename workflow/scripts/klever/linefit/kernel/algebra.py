"""Small symmetric systems, as `klever.linefit.linalg` but one at a time."""

from klever.linefit.kernel.structures import inner
from klever.linefit.linalg import RIDGE

__all__ = ["factorise", "invert", "solve"]


@inner
def factorise(matrix, size, factor, inverse):
    """Factor L D L^T: `factor` gets L below the diagonal, `inverse` 1/D; dead columns (no data) get 0.

    Pivots keep the floor of `klever.linefit.linalg.cholesky` against degenerate columns.
    """
    for j in range(size):
        diagonal = matrix[j, j]
        pivot = diagonal * (1.0 + RIDGE)
        for m in range(j):
            pivot -= factor[j, m] * factor[m, j]
        inverse[j] = 1.0 / max(pivot, RIDGE * diagonal) if diagonal > 0 else 0.0
        for i in range(j + 1, size):
            value = matrix[i, j]
            for m in range(j):
                value -= factor[i, m] * factor[m, j]
            factor[j, i] = value
            factor[i, j] = value * inverse[j]


@inner
def solve(factor, inverse, size, right, out):
    """Solve with the factors of `factorise`; entries of dead columns come out zero."""
    for i in range(size):
        value = right[i]
        for m in range(i):
            value -= factor[i, m] * out[m]
        out[i] = value
    for i in range(size - 1, -1, -1):
        value = out[i] * inverse[i]
        for m in range(i + 1, size):
            value -= factor[m, i] * out[m]
        out[i] = value


@inner
def invert(factor, pivots, size, unit, column, inverse):
    """Fill `inverse`, column by column."""
    for j in range(size):
        for i in range(size):
            unit[i] = 0.0
        unit[j] = 1.0
        solve(factor, pivots, size, unit, column)
        for i in range(size):
            inverse[i, j] = column[i]

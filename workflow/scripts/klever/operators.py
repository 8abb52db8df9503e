"""Sparse linear operators between pixel grids: making, applying, the covariance of their inputs, saving.

Every step from spaxels to the source plane is a matrix that acts on flattened maps (row-major, x fastest); its rows sum
to one, so it maps surface brightness, and the noise of the result is W Sigma W^T (`klever.correlated_errors`).
"""

import numpy as np
from scipy import sparse

from klever.errors import InputError

__all__ = [
    "apply", "bilinear_operator", "dominant_column", "load_operators", "noise_covariance", "positive_acf",
    "renormalised", "save_operators",
]  # fmt: skip


def bilinear_operator(x, y, shape):
    """Return the operator that interpolates a map bilinearly at given pixel positions.

    Parameters
    ----------
    x, y : ndarray
        0-based pixel positions in the input map, any shape; NaN is outside.
    shape : pair of int
        (ny, nx) of the input map.

    Returns
    -------
    scipy.sparse.csr_matrix, shape (x.size, ny * nx)
        Rows sum to 1 inside the field, which reaches half a pixel beyond the centres of the outer pixels (there the
        outer pixel's value is held), and are empty outside.
    """
    ny, nx = shape
    x, y = np.ravel(x).astype(float), np.ravel(y).astype(float)
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero((x >= -0.5) & (x <= nx - 0.5) & (y >= -0.5) & (y <= ny - 0.5))
    fx, fy = np.clip(x[rows], 0, nx - 1), np.clip(y[rows], 0, ny - 1)
    ix, iy = np.minimum(fx.astype(int), max(nx - 2, 0)), np.minimum(fy.astype(int), max(ny - 2, 0))
    tx, ty = fx - ix, fy - iy
    column, row, weight = [], [], []
    for dy, wy in ((0, 1 - ty), (1, ty)):
        for dx, wx in ((0, 1 - tx), (1, tx)):
            used = wx * wy > 0
            column.append(((iy + dy) * nx + ix + dx)[used])
            row.append(rows[used])
            weight.append((wx * wy)[used])
    parts = (np.concatenate(weight), (np.concatenate(row), np.concatenate(column)))
    return sparse.csr_matrix(parts, shape=(x.size, ny * nx))


def apply(operator, value, valid, minimum_coverage=0.5, total=None):
    """Apply an operator to a map with holes: the weighted mean of the valid inputs.

    Parameters
    ----------
    operator : scipy.sparse matrix, shape (n_out, n_in)
    value : ndarray, size n_in
    valid : ndarray of bool, size n_in
        False where `value` must not be used.
    minimum_coverage : float
        Fraction of a row's weight that must be on valid inputs.
    total : ndarray, shape (n_out,), optional
        Sum of each row's weights, if it is known.

    Returns
    -------
    value : ndarray, shape (n_out,)
        NaN where the coverage is too small.
    coverage : ndarray, shape (n_out,)
        Valid fraction of each row's weight; 0 for empty rows.
    """
    valid = np.ravel(valid).astype(bool) & np.isfinite(np.ravel(value))
    total = np.asarray(operator.sum(axis=1)).ravel() if total is None else total
    weight = operator @ valid.astype(float)
    summed = operator @ np.where(valid, np.ravel(value), 0.0)
    coverage = np.divide(weight, total, out=np.zeros_like(total), where=total > 0)
    good = (weight > 0) & (coverage >= minimum_coverage - 1e-9)
    return np.divide(summed, weight, out=np.full(total.shape, np.nan), where=good), coverage


def renormalised(operator, weight):
    """Return the operator of the weighted mean: columns times `weight` (0 if unused), rows summing to 1 again."""
    scaled = (operator @ sparse.diags(np.ravel(weight).astype(float))).tocsr()
    total = np.asarray(scaled.sum(axis=1)).ravel()
    return (sparse.diags(np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)) @ scaled).tocsr()


def positive_acf(acf):
    """Return a noise autocorrelation that a stationary field can have, closest to a measured one.

    Parameters
    ----------
    acf : ndarray, odd-sized in both axes
        1 at the centre. A measured one is noisy and cut off, so its power spectrum dips below zero, which would make
        variances of sums negative.

    Returns
    -------
    ndarray, same shape
        Symmetric under inversion, non-negative power on a grid of twice the size, 1 at the centre.

    Raises
    ------
    InputError
        Even-sized, or no positive finite value at the centre.
    """
    acf = np.asarray(acf, dtype=float)
    if acf.ndim != 2 or acf.shape[0] % 2 == 0 or acf.shape[1] % 2 == 0:
        raise InputError(f"the noise autocorrelation has shape {acf.shape}; it must be a small image with odd sides.")
    cy, cx = acf.shape[0] // 2, acf.shape[1] // 2
    if not acf[cy, cx] > 0:
        raise InputError("the noise autocorrelation is not positive at its centre; make the line maps again.")
    acf = np.where(np.isfinite(acf), acf, 0.0)
    acf = 0.5 * (acf + acf[::-1, ::-1]) / acf[cy, cx]
    padded = np.zeros((4 * cy + 2, 4 * cx + 2))
    padded[: acf.shape[0], : acf.shape[1]] = acf
    power = np.fft.fft2(np.roll(padded, (-cy, -cx), axis=(0, 1))).real
    clipped = np.roll(np.fft.ifft2(np.maximum(power, 0.0)).real, (cy, cx), axis=(0, 1))[: acf.shape[0], : acf.shape[1]]
    return clipped / clipped[cy, cx]


def noise_covariance(error, acf):
    """Return the covariance of a map whose noise is stationary but for its amplitude.

    Parameters
    ----------
    error : ndarray, shape (ny, nx)
        1 sigma per pixel; NaN (no valid input) has no row.
    acf : ndarray, odd-sized
        Autocorrelation of the noise, 1 at the centre (see `positive_acf`).

    Returns
    -------
    scipy.sparse.csr_matrix, shape (ny * nx, ny * nx)
        ``error_i error_j acf(j - i)``, zero beyond the extent of `acf`.
    """
    error = np.asarray(error, dtype=float)
    ny, nx = error.shape
    sigma = np.where(np.isfinite(error), error, 0.0)
    y, x = np.mgrid[:ny, :nx]
    rows, columns, values = [], [], []
    cy, cx = acf.shape[0] // 2, acf.shape[1] // 2
    for dy in range(-cy, cy + 1):
        for dx in range(-cx, cx + 1):
            inside = (y + dy >= 0) & (y + dy < ny) & (x + dx >= 0) & (x + dx < nx)
            first = (y * nx + x)[inside]
            second = first + dy * nx + dx
            rows.append(first)
            columns.append(second)
            values.append(acf[cy + dy, cx + dx] * sigma.flat[first] * sigma.flat[second])
    parts = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    covariance = sparse.csr_matrix(parts, shape=(ny * nx, ny * nx))
    covariance.eliminate_zeros()
    return covariance


def dominant_column(operator):
    """Return the input with the largest weight in each row, -1 for empty rows."""
    operator = operator.tocsr()
    counts = np.diff(operator.indptr)
    filled = np.flatnonzero(counts)
    result = np.full(operator.shape[0], -1)
    if filled.size:
        largest = np.maximum.reduceat(operator.data, operator.indptr[filled])
        hits = np.flatnonzero(operator.data == np.repeat(largest, counts[filled]))
        rows = np.repeat(filled, counts[filled])[hits]
        first = np.unique(rows, return_index=True)[1]
        result[filled] = operator.indices[hits[first]]
    return result


def save_operators(path, operators, **extra):
    """Write named sparse operators and extra plain arrays into one ``.npz`` (no pickle, same bytes every time)."""
    arrays = {key: np.asarray(value) for key, value in extra.items()}
    for name, operator in operators.items():
        operator = operator.tocsr()
        operator.sort_indices()
        arrays[f"{name}.data"] = operator.data
        arrays[f"{name}.indices"] = operator.indices.astype(np.int32)
        arrays[f"{name}.indptr"] = operator.indptr.astype(np.int64)
        arrays[f"{name}.shape"] = np.array(operator.shape, dtype=np.int64)
    with open(path, "wb") as stream:  # noqa: PTH123  (np.savez would append .npz to another suffix)
        np.savez(stream, **arrays)


def load_operators(path):
    """Read what `save_operators` wrote.

    Returns
    -------
    operators : dict of str to scipy.sparse.csr_matrix
    extra : dict of str to ndarray

    Raises
    ------
    InputError
        The file is missing or not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {key: content[key] for key in content.files}
        names = [key.removesuffix(".shape") for key in arrays if key.endswith(".shape")]
        operators = {}
        for name in names:
            parts = tuple(arrays.pop(f"{name}.{part}") for part in ("data", "indices", "indptr"))
            operators[name] = sparse.csr_matrix(parts, shape=tuple(int(n) for n in arrays.pop(f"{name}.shape")))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a file of operators ({error}); delete it and run the step again.") from error
    return operators, arrays

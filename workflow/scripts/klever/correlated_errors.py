"""Errors of many maps that pass through one operator, their noise being correlated between pixels.

The variance of row r of W is the sum over pairs of its inputs, sum_ij w_ri w_rj c_ij s_i s_j. The products w_ri w_rj
belong to the operator and are made once; each map then costs one product of a sparse matrix with a vector.
"""

from functools import cached_property

import numpy as np
from scipy import sparse

from klever.operators import dominant_column

__all__ = ["CorrelatedErrors"]


class CorrelatedErrors:
    """sqrt(diag(W Sigma W^T)) of an operator for noise of given correlation and any amplitude.

    Parameters
    ----------
    operator : scipy.sparse.csr_matrix, shape (n_out, n_in)
    correlation : scipy.sparse matrix, shape (n_in, n_in)
        Symmetric.
    pairs_per_block : int
        Bounds the memory while the pairs are looked up.
    """

    def __init__(self, operator, correlation, pairs_per_block=1_000_000):
        operator, upper = operator.tocsr().copy(), sparse.triu(correlation).tocsr()
        operator.sort_indices()
        upper.sort_indices()
        self._operator, self._correlation = operator, upper.data
        # The pair (first, second) of inputs of every element of the upper triangle.
        self._first, self._second = np.repeat(np.arange(upper.shape[0]), np.diff(upper.indptr)), upper.indices
        self._diagonal = correlation.diagonal()
        self._pairs = self._pair_weights(operator, pairs_per_block)

    @cached_property
    def total(self):
        """Sum of the weights of each row, shape (n_out,)."""
        return np.asarray(self._operator.sum(axis=1)).ravel()

    @cached_property
    def dominant(self):
        """Input that counts most in each row, shape (n_out,); -1 for empty rows."""
        return dominant_column(self._operator)

    def _pair_weights(self, operator, pairs_per_block):
        """Return the matrix (n_out, pairs) of the products of the weights of both inputs of a pair, once per pair."""
        n_out, n_in = operator.shape
        shape = (n_out, self._first.size)
        if not self._first.size or not operator.nnz:
            return sparse.csr_matrix(shape)
        # Where a pair stands among the correlated ones, by its first input and the distance to the second.
        reach = int((self._second - self._first).max()) + 1
        place_of = np.full(n_in * reach, -1, dtype=np.int32)
        place_of[self._first * reach + self._second - self._first] = np.arange(self._first.size)
        row = np.repeat(np.arange(n_out), np.diff(operator.indptr))
        partners = operator.indptr[1:][row] - np.arange(operator.nnz)  # each element with itself and those after it
        ends, parts, start = np.cumsum(partners), [], 0
        while start < operator.nnz:
            done = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, done + pairs_per_block, side="right")))
            first = np.repeat(np.arange(start, stop), partners[start:stop])
            second = first + np.arange(first.size) - (ends[first] - partners[first] - done)
            column = operator.indices[first]
            distance = operator.indices[second] - column
            near = np.flatnonzero(distance < reach)
            place = place_of[column[near].astype(np.int64) * reach + distance[near]]
            near, place = near[place >= 0], place[place >= 0]
            first, second = first[near], second[near]
            weight = operator.data[first] * operator.data[second] * np.where(first == second, 1.0, 2.0)
            parts.append((weight, row[first], place))
            start = stop
        weight, row, place = (np.concatenate(items) for items in zip(*parts, strict=True))
        return sparse.csr_matrix((weight, (row, place)), shape=shape)

    def __call__(self, sigma):
        """Return the errors of the operator's output.

        Parameters
        ----------
        sigma : ndarray, shape (n_in,)
            1 sigma of each input; 0 for one that is not used.

        Returns
        -------
        ndarray, shape (n_out,)
            NaN for empty rows. Where a truncated autocorrelation makes a variance negative, the uncorrelated one is
            taken.
        """
        sigma = np.ravel(sigma)
        variance = self._pairs @ (self._correlation * sigma[self._first] * sigma[self._second])
        negative = np.flatnonzero(variance < 0)
        if negative.size:
            variance[negative] = self._operator[negative].power(2) @ (self._diagonal * sigma**2)
        variance[np.diff(self._operator.indptr) == 0] = np.nan
        return np.sqrt(variance)

"""Adaptive source plane: a Delaunay mesh of traced image pixels (Vegetti & Koopmans 2009, MNRAS 392, 945).

The source is linear within each triangle and zero on and beyond the convex hull of the mesh.
"""

import numpy as np

__all__ = ["SourceMesh"]


class SourceMesh:
    """Triangles between points of the source plane.

    Parameters
    ----------
    points : ndarray, shape (n, 2)
        Vertices, arcsec.

    Attributes
    ----------
    free : ndarray of int
        Vertices that carry an unknown: those not on the hull.
    area : float
        Of the mesh, arcsec2.

    Raises
    ------
    ValueError
        The points span no area, or all lie on their hull.
    """

    def __init__(self, points):
        from scipy.spatial import Delaunay, QhullError

        self.points = np.asarray(points, dtype=float)
        try:
            self._delaunay = Delaunay(self.points)
        except QhullError as error:
            raise ValueError("the vertices of the source plane span no area") from error
        self.triangles = self._delaunay.simplices
        inner = np.ones(len(self.points), dtype=bool)
        inner[self._delaunay.convex_hull.ravel()] = False
        inner[np.setdiff1d(np.arange(len(self.points)), self.triangles)] = False  # duplicates of other vertices
        self.free = np.flatnonzero(inner)
        if not self.free.size:
            raise ValueError("all vertices of the source plane lie on its edge")
        self._column = np.full(len(self.points), -1)
        self._column[self.free] = np.arange(self.free.size)
        self._slopes, areas = self._shape_functions()
        self.areas = areas
        self.area = float(areas.sum())

    def _shape_functions(self):
        """Gradients of the three linear shape functions of each triangle, shape (m, 3, 2), and the areas."""
        corner = self.points[self.triangles]
        opposite = np.roll(corner, -1, axis=1) - np.roll(corner, -2, axis=1)  # edge opposite to each corner
        twice = (corner[:, 1, 0] - corner[:, 0, 0]) * (corner[:, 2, 1] - corner[:, 0, 1])
        twice -= (corner[:, 2, 0] - corner[:, 0, 0]) * (corner[:, 1, 1] - corner[:, 0, 1])
        twice = np.where(twice == 0, 1e-300, twice)
        return np.stack([opposite[..., 1], -opposite[..., 0]], axis=-1) / twice[:, None, None], 0.5 * np.abs(twice)

    def locate(self, x, y):
        """Return the triangle of each position, -1 outside the hull."""
        return self._delaunay.find_simplex(np.column_stack([x, y]))

    def interpolation(self, x, y, triangle):
        """Return the free vertices that positions are interpolated between.

        Parameters
        ----------
        x, y : ndarray, shape (n,)
            Arcsec.
        triangle : ndarray of int, shape (n,)
            From `locate`.

        Returns
        -------
        vertex : ndarray of int, shape (n, 3)
            Numbers among the free vertices, -1 for those on the hull and outside it, where the source is zero.
        share : ndarray, shape (n, 3)
            Weights.
        """
        corners = self.triangles[triangle]
        slopes, zero = self._slopes[triangle], np.roll(self.points[self.triangles], -1, axis=1)[triangle]
        share = slopes[..., 0] * (x[:, None] - zero[..., 0]) + slopes[..., 1] * (y[:, None] - zero[..., 1])
        return np.where(triangle[:, None] >= 0, self._column[corners], -1), share

    def gradient(self, values, triangle):
        """Return the gradient of a source with values at the free vertices, shape (n, 2), zero outside the hull."""
        everywhere = np.zeros(len(self.points))
        everywhere[self.free] = values
        slope = np.einsum("mk,mkj->mj", everywhere[self.triangles], self._slopes)
        return np.where(triangle[:, None] >= 0, slope[triangle], 0.0)

    def roughness(self, order=1, weight=None):
        r"""Return the matrix H of the regularisation.

        Order 1 is the gradient, :math:`s^T H s = \int w |\nabla s|^2 dA`, order 2 the curvature,
        :math:`A \int |\nabla \cdot w \nabla s|^2 dA` with the area A of the mesh.  Both are the same for a source plane
        that is stretched, and hardly depend on where the vertices lie, so neither enters the evidence: a sum over
        vertices would prefer lenses that magnify more or less.

        Parameters
        ----------
        order : int
        weight : ndarray, shape (n,), optional
            w at all vertices, positive; 1 if None.

        Returns
        -------
        matrix : ndarray, shape (free.size, free.size)
            Symmetric, positive definite: the source is zero on the hull.
        log_det : float
            Logarithm of its determinant.
        """
        from scipy.linalg import cholesky
        from scipy.sparse import csr_array

        areas = self.areas if weight is None else self.areas * weight[self.triangles].mean(axis=1)
        local = np.einsum("mij,mkj,m->mik", self._slopes, self._slopes, areas)
        column = self._column[self.triangles]
        rows, columns = (np.broadcast_to(c, local.shape) for c in (column[:, :, None], column[:, None, :]))
        keep = (rows >= 0) & (columns >= 0)
        size = self.free.size
        matrix = np.bincount(rows[keep] * size + columns[keep], weights=local[keep], minlength=size * size)
        matrix = matrix.reshape(size, size)
        log_det = 2 * float(np.sum(np.log(np.diag(cholesky(matrix, lower=True, check_finite=False)))))
        if order == 1:
            return matrix, log_det
        mass = np.bincount(self.triangles.ravel(), np.repeat(self.areas / 3, 3), len(self.points))[self.free]
        sparse = csr_array(matrix)
        curvature = self.area * (sparse.multiply(1 / mass).tocsr() @ sparse).toarray()
        return curvature, 2 * log_det + size * np.log(self.area) - float(np.sum(np.log(mass)))

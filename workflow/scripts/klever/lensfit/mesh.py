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

    def interpolation(self, x, y, triangle, rays=1):
        """Return the operator from the free vertices to means of the source over groups of positions.

        Parameters
        ----------
        x, y : ndarray, shape (n * rays,)
            Arcsec; each `rays` positions in a row are averaged.
        triangle : ndarray of int
            From `locate`.
        rays : int

        Returns
        -------
        scipy.sparse.csr_array, shape (n, free.size)
        """
        from scipy.sparse import csr_array

        inside = triangle >= 0
        known = np.where(inside, triangle, 0)
        corners = self.triangles[known]
        slopes, zero = self._slopes[known], np.roll(self.points[corners], -1, axis=1)  # where each function is zero
        dx, dy = x[:, None] - zero[..., 0], y[:, None] - zero[..., 1]
        weights = slopes[..., 0] * dx + slopes[..., 1] * dy
        column = self._column[corners]
        keep = inside[:, None] & (column >= 0)
        row = np.repeat(np.arange(x.size) // rays, 3).reshape(-1, 3)
        number = np.bincount(row[keep], minlength=x.size // rays)
        pointer = np.concatenate([[0], np.cumsum(number)])
        return csr_array((weights[keep] / rays, column[keep], pointer), shape=(x.size // rays, self.free.size))

    def gradient(self, values, triangle):
        """Return the gradient of a source with values at the free vertices, shape (n, 2), zero outside the hull."""
        everywhere = np.zeros(len(self.points))
        everywhere[self.free] = values
        slope = np.einsum("mk,mkj->mj", everywhere[self.triangles], self._slopes)
        return np.where(triangle[:, None] >= 0, slope[triangle], 0.0)

    def roughness(self, order=1):
        r"""Return the matrix H of the regularisation.

        Order 1 is the gradient, :math:`s^T H s = \int |\nabla s|^2 dA`, order 2 the curvature,
        :math:`A \int |\nabla^2 s|^2 dA` with the area A of the mesh.  Both are the same for a source plane that is
        stretched, and hardly depend on where the vertices lie, so neither enters the evidence: a sum over vertices
        would prefer lenses that magnify more or less.

        Returns
        -------
        ndarray, shape (free.size, free.size)
            Symmetric, positive definite: the source is zero on the hull.
        """
        local = np.einsum("mij,mkj,m->mik", self._slopes, self._slopes, self.areas)
        column = self._column[self.triangles]
        rows, columns = (np.broadcast_to(c, local.shape) for c in (column[:, :, None], column[:, None, :]))
        keep = (rows >= 0) & (columns >= 0)
        size = self.free.size
        matrix = np.bincount(rows[keep] * size + columns[keep], weights=local[keep], minlength=size * size)
        matrix = matrix.reshape(size, size)
        if order == 1:
            return matrix
        mass = np.bincount(self.triangles.ravel(), np.repeat(self.areas / 3, 3), len(self.points))[self.free]
        return self.area * (matrix / mass) @ matrix

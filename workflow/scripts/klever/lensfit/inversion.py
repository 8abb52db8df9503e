"""Linear reconstruction of the source of an arc on an adaptive mesh, and the evidence of a lens model.

Warren & Dye (2003), Suyu et al. (2006, MNRAS 371, 983) for the evidence, Vegetti & Koopmans (2009) for the mesh.
"""

from dataclasses import dataclass

import numpy as np

from klever.lensfit.epl import deflection, deflection_derivatives
from klever.lensfit.mesh import SourceMesh

__all__ = ["ArcImage", "Inversion", "best_strength", "gauss_newton", "invert", "psf_kernel"]

_REACH = 2.2  # FWHM, radius of the PSF: 1e-6 of the light of a Gaussian lies beyond


def psf_kernel(fwhm, pixel_scale, rays=2):
    """Return a Gaussian PSF on the pixels, shape (2 m + 1, 2 m + 1), of sum 1.

    Parameters
    ----------
    fwhm, pixel_scale : float
        Arcsec.
    rays : int
        A side of each pixel: the width of the square that each ray stands for is added.
    """
    sigma = np.sqrt((fwhm / pixel_scale) ** 2 / (8 * np.log(2)) + 1 / (12 * rays**2))
    reach = int(np.ceil(_REACH * fwhm / pixel_scale))
    profile = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    return np.outer(profile, profile) / profile.sum() ** 2


class ArcImage:
    """The pixels of an image that a lens model is fitted to.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
    error : ndarray, shape (ny, nx)
        1 sigma, independent between pixels.
    mask : ndarray of bool, shape (ny, nx)
        Pixels to fit; data and error are finite there.
    x, y : ndarray, shape (ny, nx)
        Arcsec west and north of the centre of the lens.
    kernel : ndarray, shape (odd, odd)
        PSF on the pixels, of sum 1.
    light : ndarray, shape (k, ny, nx), optional
        Images, as seen through the PSF, whose amplitudes are fitted with the source: the lens galaxy, a background.
    rays : int
        A side, of each pixel when it is traced.
    vertices : int
        About so many pixels are traced to be the vertices of the source plane.
    order : int
        Of the regularisation: 1 gradient, 2 curvature; may be changed.
    dense : ndarray of bool, shape (ny, nx), optional
        Where vertices are twice as dense a side, the bright parts of the arc.
    phase : float
        Shift of the pattern of vertices, in its step: another mesh of the same image.
    """

    def __init__(self, data, error, mask, x, y, kernel, light=(), rays=2, vertices=500, order=1, dense=None, phase=0.0):
        self.mask, self.kernel, self.rays, self.order = mask, kernel, rays * rays, order
        self.data, self.weight = data[mask], 1.0 / error[mask] ** 2
        self.light = np.array([image[mask] for image in light]).reshape(len(light), self.data.size)
        seen = self._seen(mask, kernel)
        self.seen = seen
        self.blur = self._blur(mask, seen, kernel)
        steps = (np.arange(rays) + 0.5) / rays - 0.5
        offsets = np.array([(i, j) for j in steps for i in steps])
        along_x = np.array([np.gradient(x, axis=1)[seen], np.gradient(y, axis=1)[seen]])
        along_y = np.array([np.gradient(x, axis=0)[seen], np.gradient(y, axis=0)[seen]])
        rays_xy = [grid[seen][:, None] + along_x[k][:, None] * offsets[:, 0] + along_y[k][:, None] * offsets[:, 1]
                   for k, grid in enumerate((x, y))]  # fmt: skip
        self.x, self.y = (values.ravel() for values in rays_xy)
        self._choose_vertices(mask, x, y, vertices, mask if dense is None else mask & dense, phase)

    def _choose_vertices(self, mask, x, y, number, dense, phase):
        """Every n-th pixel of each row that is taken, rows in turn shifted by half a step."""
        finest = np.sqrt(max((dense.sum() + (mask & ~dense).sum() / 4) / number, 1.0))
        rows, columns = np.indices(mask.shape)
        chosen = np.zeros(mask.shape, dtype=bool)
        for where, step in ((dense, finest), (mask & ~dense, 2 * finest)):
            row, inside = np.divmod(rows + phase * step, step)
            shifted = columns + (0.618 * phase + 0.5 * (row % 2)) * step
            chosen |= where & (inside < 1) & (np.mod(shifted, step) < 1)
        self.vertex_x, self.vertex_y = x[chosen], y[chosen]

    @staticmethod
    def _seen(mask, kernel):
        from scipy.ndimage import binary_dilation

        return binary_dilation(mask, np.ones(kernel.shape, dtype=bool))

    @staticmethod
    def _blur(mask, seen, kernel):
        """Operator from the seen pixels to the fitted ones."""
        from scipy.sparse import coo_array

        number = np.full(mask.shape, -1)
        number[seen] = np.arange(seen.sum())
        row, column = np.nonzero(mask)
        rows, columns, values = [], [], []
        half = np.array(kernel.shape) // 2
        for (i, j), value in np.ndenumerate(kernel):
            r, c = row + half[0] - i, column + half[1] - j
            inside = (r >= 0) & (r < mask.shape[0]) & (c >= 0) & (c < mask.shape[1])
            rows.append(np.flatnonzero(inside))
            columns.append(number[r[inside], c[inside]])
            values.append(np.full(inside.sum(), value))
        parts = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        return coo_array(parts, shape=(row.size, int(seen.sum()))).tocsr()

    def trace(self, parameters):
        """Positions of all rays in the source plane."""
        alpha = deflection(self.x, self.y, parameters)
        return self.x - alpha[0], self.y - alpha[1]

    def image(self, values):
        """Put values of the fitted pixels on the grid of the image, NaN elsewhere."""
        result = np.full(self.mask.shape, np.nan)
        result[self.mask] = values
        return result


@dataclass
class Inversion:
    """Best source of a lens model.

    Parameters
    ----------
    mesh : SourceMesh
    source : ndarray
        Surface brightness at ``mesh.free``, in units of the image per pixel.
    amplitudes : ndarray
        Of `ArcImage.light`.
    model : ndarray
        Of the fitted pixels, with the light.
    arc : ndarray
        The same without the light.
    log_evidence : float
    chi2 : float
    """

    mesh: SourceMesh
    source: np.ndarray
    amplitudes: np.ndarray
    model: np.ndarray
    arc: np.ndarray
    log_evidence: float
    chi2: float
    strength: float


class _Problem:
    """Normal equations of one lens model; the strength of the regularisation is free."""

    def __init__(self, image, parameters):
        self.image = image
        alpha = deflection(image.vertex_x, image.vertex_y, parameters)
        self.mesh = SourceMesh(np.column_stack([image.vertex_x - alpha[0], image.vertex_y - alpha[1]]))
        self.source_x, self.source_y = image.trace(parameters)
        self.triangle = self.mesh.locate(self.source_x, self.source_y)
        lensing = self.mesh.interpolation(self.source_x, self.source_y, self.triangle, image.rays)
        lensing.sum_duplicates()
        response = image.blur @ lensing
        self.response = response
        self.size = self.mesh.free.size
        self.roughness = self.mesh.roughness(image.order)
        self.log_det_roughness = _log_det(np.linalg.cholesky(self.roughness))
        weighted = response.copy()
        weighted.data *= np.repeat(np.sqrt(image.weight), np.diff(response.indptr))
        number = self.size + len(image.light)
        self.normal = np.zeros((number, number))
        self.normal[: self.size, : self.size] = _gram(weighted)
        light = image.light * image.weight
        if len(light):
            cross = response.T @ light.T
            self.normal[: self.size, self.size :] = cross
            self.normal[self.size :, : self.size] = cross.T
            self.normal[self.size :, self.size :] = light @ image.light.T
        self.right = np.concatenate([response.T @ (image.weight * image.data), light @ image.data])

    def solve(self, strength):
        """Return the Cholesky factor, the solution and the evidence (Suyu et al. 2006, Eq. 19)."""
        from scipy.linalg import cho_solve, cholesky

        size, image = self.size, self.image
        matrix = self.normal.copy()
        matrix[:size, :size] += strength * self.roughness
        factor = cholesky(matrix, lower=True, check_finite=False)
        solution = cho_solve((factor, True), self.right, check_finite=False)
        arc = self.response @ solution[:size]
        model = arc + solution[size:] @ image.light
        chi2 = float(np.sum(image.weight * (image.data - model) ** 2))
        penalty = strength * float(solution[:size] @ self.roughness @ solution[:size])
        evidence = -0.5 * (chi2 + penalty + _log_det(factor) - self.log_det_roughness - size * np.log(strength))
        evidence += 0.5 * float(np.sum(np.log(image.weight / (2 * np.pi))))
        return factor, solution, arc, model, chi2, evidence


def _gram(matrix):
    dense = matrix.toarray()
    return dense.T @ dense


def _log_det(factor):
    return 2.0 * float(np.sum(np.log(np.diag(factor))))


def invert(image, parameters, strength):
    """Return the most probable source of a lens model and the model's evidence.

    Parameters
    ----------
    image : ArcImage
    parameters : sequence of 8 float
        See `klever.lensfit.epl`.
    strength : float
        Of the regularisation.

    Returns
    -------
    Inversion or None
        None if the model puts the source plane on a line, or the equations are singular.
    """
    try:
        problem = _Problem(image, parameters)
        _, solution, arc, model, chi2, evidence = problem.solve(strength)
    except (ValueError, np.linalg.LinAlgError):
        return None
    size = problem.size
    return Inversion(problem.mesh, solution[:size], solution[size:], model, arc, evidence, chi2, strength)


def best_strength(image, parameters, start=None):
    """Return the strength of the regularisation that maximises the evidence of a lens model.

    Parameters
    ----------
    image : ArcImage
    parameters : sequence of 8 float
    start : float, optional
        Search within a factor 30 of it; over twelve decades if None.
    """
    return _maximise_strength(_Problem(image, parameters), start)


def _maximise_strength(problem, start=None):
    from scipy.optimize import minimize_scalar

    size = problem.size
    scale = np.trace(problem.normal[:size, :size]) / np.trace(problem.roughness)
    middle, reach = (np.log(scale) - 4.6, 13.8) if start is None else (np.log(start), 3.4)

    def cost(logarithm):
        try:
            return -problem.solve(np.exp(logarithm))[-1]
        except np.linalg.LinAlgError:
            return np.inf

    found = minimize_scalar(cost, bounds=(middle - reach, middle + reach), method="bounded", options={"xatol": 0.02})
    return float(np.exp(found.x))


def gauss_newton(image, parameters, strength=None):
    """Return the step to the best lens model near one, and the covariance of its parameters.

    The model of the image is linear in the source and, for small changes, in the deflection, with the gradient of the
    source as slope; the source is marginalised over.

    Parameters
    ----------
    image : ArcImage
    parameters : sequence of 8 float
    strength : float, optional
        Maximises the evidence if None.

    Returns
    -------
    step : ndarray, shape (8,)
    covariance : ndarray, shape (8, 8)
    evidence : float
        Its logarithm at `parameters`.
    strength : float
    """
    from scipy.linalg import solve_triangular

    problem = _Problem(image, parameters)
    strength = _maximise_strength(problem) if strength is None else strength
    factor, solution, _, model, _, evidence = problem.solve(strength)
    slope = problem.mesh.gradient(solution[: problem.size], problem.triangle)
    derivatives = deflection_derivatives(image.x, image.y, parameters)
    change = -(slope[:, 0] * derivatives[:, 0] + slope[:, 1] * derivatives[:, 1])
    jacobian = image.blur @ change.reshape(len(change), -1, image.rays).mean(axis=2).T
    weighted = image.weight[:, None] * jacobian
    cross = np.concatenate([problem.response.T @ weighted, image.light @ weighted])
    reduced = solve_triangular(factor, cross, lower=True, check_finite=False)
    information = jacobian.T @ weighted - reduced.T @ reduced
    covariance = np.linalg.inv(information)
    return covariance @ (weighted.T @ (image.data - model)), covariance, evidence, strength

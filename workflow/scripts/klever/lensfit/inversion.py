"""Linear reconstruction of the source of an arc on an adaptive mesh, and the evidence of a lens model.

Warren & Dye (2003), Suyu et al. (2006, MNRAS 371, 983) for the evidence, Vegetti & Koopmans (2009) for the mesh.
"""

from dataclasses import dataclass

import numpy as np

from klever.lensfit.epl import deflection
from klever.lensfit.mesh import SourceMesh

__all__ = ["Inversion", "Problem", "best_strength", "invert", "maximise_strength"]


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
    strength : float
        Of the regularisation.
    """

    mesh: SourceMesh
    source: np.ndarray
    amplitudes: np.ndarray
    model: np.ndarray
    arc: np.ndarray
    log_evidence: float
    chi2: float
    strength: float


class Problem:
    """Normal equations of one lens model; the strength of the regularisation is free.

    Parameters
    ----------
    image : klever.lensfit.arcimage.ArcImage
    parameters : sequence of 8 float
        See `klever.lensfit.epl`.

    Raises
    ------
    ValueError
        The model puts the source plane on a line.
    """

    def __init__(self, image, parameters):
        from scipy.sparse import csr_array

        from klever.lensfit.kernels import gram, response

        self.image = image
        alpha = deflection(image.vertex_x, image.vertex_y, parameters)
        self.mesh = SourceMesh(np.column_stack([image.vertex_x - alpha[0], image.vertex_y - alpha[1]]))
        x, y = image.trace(parameters)
        self.triangle = self.mesh.locate(x, y)
        self.size = size = self.mesh.free.size
        parts = response(*self.mesh.interpolation(x, y, self.triangle), image.first_ray, image.psf, size)
        self.response = csr_array(parts, shape=(image.data.size, size))
        self.roughness, self.log_det_roughness = self.mesh.roughness(image.order, image.prior)
        self.normal = np.zeros((size + len(image.light),) * 2)
        self.normal[:size, :size] = gram(*parts, image.weight, size)
        light = image.light * image.weight
        self.normal[:size, size:] = self.response.T @ light.T
        self.normal[size:, :size] = self.normal[:size, size:].T
        self.normal[size:, size:] = light @ image.light.T
        self.right = np.concatenate([self.response.T @ (image.weight * image.data), light @ image.data])

    def solve(self, strength):
        """Return the Cholesky factor, the solution, and model, chi2 and evidence (Suyu et al. 2006, Eq. 19)."""
        from scipy.linalg import cho_solve, cholesky

        size, image = self.size, self.image
        matrix = self.normal.copy()
        matrix[:size, :size] += strength * self.roughness
        factor = cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
        solution = cho_solve((factor, True), self.right, check_finite=False)
        arc = self.response @ solution[:size]
        model = arc + solution[size:] @ image.light
        chi2 = float(np.sum(image.weight * (image.data - model) ** 2))
        penalty = strength * float(solution[:size] @ self.roughness @ solution[:size])
        log_det = 2.0 * float(np.sum(np.log(np.diag(factor))))
        evidence = -0.5 * (chi2 + penalty + log_det - self.log_det_roughness - size * np.log(strength))
        evidence += 0.5 * float(np.sum(np.log(image.weight / (2 * np.pi))))
        return factor, solution, arc, model, chi2, evidence


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
        problem = Problem(image, parameters)
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
    return maximise_strength(Problem(image, parameters), start)


def maximise_strength(problem, start=None):
    """Return the strength of greatest evidence of a `Problem`; see `best_strength`."""
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

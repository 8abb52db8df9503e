"""Step to the best lens model: the model of the image is linear in the source and nearly so in the lens."""

import numpy as np

from klever.lensfit.epl import deflection_derivatives
from klever.lensfit.inversion import Problem, maximise_strength

__all__ = ["gauss_newton"]


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

    problem = Problem(image, parameters)
    strength = maximise_strength(problem) if strength is None else strength
    factor, solution, _, model, _, evidence = problem.solve(strength)
    slope = problem.mesh.gradient(solution[: problem.size], problem.triangle)
    derivatives = deflection_derivatives(image.x, image.y, parameters)
    change = -(slope[:, 0] * derivatives[:, 0] + slope[:, 1] * derivatives[:, 1])
    jacobian = image.blur(change.T)
    weighted = image.weight[:, None] * jacobian
    cross = np.concatenate([problem.response.T @ weighted, image.light @ weighted])
    reduced = solve_triangular(factor, cross, lower=True, check_finite=False)
    information = jacobian.T @ weighted - reduced.T @ reduced
    covariance = np.linalg.inv(information)
    return covariance @ (weighted.T @ (image.data - model)), covariance, evidence, strength

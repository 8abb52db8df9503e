"""scipy.optimize.curve_fit with the Jacobian written out by hand."""

from linefit.peers import scipy_curve_fit

NAME = "scipy curve_fit, Jacobian"
PACKAGES = ("scipy",)
SPAXELS = 300
LIMITS = ()


def solver(problem):
    return scipy_curve_fit.solver(problem, analytic=True)

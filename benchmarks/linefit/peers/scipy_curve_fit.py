"""scipy.optimize.curve_fit: trust region with bounds, numerical Jacobian, default tolerances."""

from scipy.optimize import curve_fit

from linefit.peers.user_model import TiedModel

NAME = "scipy curve_fit"
PACKAGES = ("scipy",)
SPAXELS = 800
LIMITS = ()


def solver(problem, start=None, analytic=False):
    """Return row -> `Solution`; `start`, row -> parameters, replaces the user's start; `analytic`: the Jacobian."""
    model = TiedModel(problem)
    bounds, start = model.bounds(), start or model.start

    def solve(row):
        good = problem.valid[row]

        def curve(_, *parameters):
            return model.curve(*parameters)[good]

        def jacobian(_, *parameters):
            return model.jacobian(*parameters)[good]

        best, _ = curve_fit(
            curve, problem.wavelength[good], problem.flux[row, good], start(row), problem.error[row, good],
            absolute_sigma=True, bounds=bounds, method="trf", jac=jacobian if analytic else None,
        )  # fmt: skip
        return model.solution(best)

    return solve

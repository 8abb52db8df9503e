"""lmfit.minimize: MINPACK's Levenberg-Marquardt with transformed bounds, the second [N II] line tied in the model."""

import lmfit

from linefit.peers.user_model import NAMES, TiedModel

NAME = "lmfit minimize"
PACKAGES = ("lmfit",)
SPAXELS = 300
LIMITS = ()


def solver(problem):
    model = TiedModel(problem)
    low, high = model.bounds()

    def solve(row):
        good = problem.valid[row]
        data, error = problem.flux[row, good], problem.error[row, good]

        def residual(parameters):
            values = parameters.valuesdict()
            return (model.curve(*(values[name] for name in NAMES))[good] - data) / error

        parameters = lmfit.Parameters()
        for name, value, lowest, highest in zip(NAMES, model.start(row), low, high, strict=True):
            parameters.add(name, value=value, min=lowest, max=highest)
        result = lmfit.minimize(residual, parameters, method="leastsq")
        return model.solution(result.params.valuesdict()[name] for name in NAMES)

    return solve

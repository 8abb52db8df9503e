"""astropy.modeling with LevMarLSQFitter: a compound model of tied, pixel-integrated components."""

import warnings

from astropy.modeling.fitting import LevMarLSQFitter
from astropy.utils.exceptions import AstropyWarning

from linefit.peers.astropy_model import compound_model, solution_of
from linefit.peers.user_model import TiedModel

NAME = "astropy LevMar"
PACKAGES = ("astropy",)
SPAXELS = 150
LIMITS = ("bounds are kept by clipping the parameters",)


def solver(problem):
    user, fitter = TiedModel(problem), LevMarLSQFitter()

    def solve(row):
        good = problem.valid[row]
        data, weights = problem.flux[row, good], 1 / problem.error[row, good]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            fitted = fitter(compound_model(problem, user, row), problem.wavelength[good], data, weights=weights)
        return solution_of(user, fitted)

    return solve

"""astropy.modeling with TRFLSQFitter: a compound model of tied, pixel-integrated components."""

import warnings

from astropy.modeling.fitting import TRFLSQFitter
from astropy.utils.exceptions import AstropyWarning

from linefit.peers.astropy_model import compound_model, solution_of
from linefit.peers.user_model import TiedModel

NAME = "astropy TRF"
PACKAGES = ("astropy",)
SPAXELS = 150
LIMITS = ()


def solver(problem):
    user, fitter = TiedModel(problem), TRFLSQFitter()

    def solve(row):
        good = problem.valid[row]
        data, weights = problem.flux[row, good], 1 / problem.error[row, good]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            fitted = fitter(compound_model(problem, user, row), problem.wavelength[good], data, weights=weights)
        return solution_of(user, fitted)

    return solve

"""astropy.modeling with LevMarLSQFitter: a compound model of tied, pixel-integrated components."""

from astropy.modeling.fitting import LevMarLSQFitter

from linefit.peers.astropy_model import solver_with

NAME = "astropy LevMar"
PACKAGES = ("astropy",)
SPAXELS = 150
LIMITS = ("bounds are kept by clipping the parameters",)


def solver(problem):
    return solver_with(LevMarLSQFitter(), problem)

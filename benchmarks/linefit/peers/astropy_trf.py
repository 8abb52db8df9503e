"""astropy.modeling with TRFLSQFitter: a compound model of tied, pixel-integrated components."""

from astropy.modeling.fitting import TRFLSQFitter

from linefit.peers.astropy_model import solver_with

NAME = "astropy TRF"
PACKAGES = ("astropy",)
SPAXELS = 150
LIMITS = ()


def solver(problem):
    return solver_with(TRFLSQFitter(), problem)

"""specutils.fitting.fit_lines on a Spectrum, with the same compound model and the fitter it takes by default."""

import warnings

import astropy.units as u
from astropy.nddata import StdDevUncertainty
from astropy.utils.exceptions import AstropyWarning
from specutils import Spectrum
from specutils.fitting import fit_lines

from linefit.peers.astropy_model import compound_model, solution_of
from linefit.peers.user_model import TiedModel

NAME = "specutils fit_lines"
PACKAGES = ("specutils", "astropy")
SPAXELS = 150
LIMITS = ()


def solver(problem):
    user = TiedModel(problem)

    def solve(row):
        good = problem.valid[row]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            spectrum = Spectrum(
                flux=problem.flux[row, good] * u.dimensionless_unscaled, spectral_axis=problem.wavelength[good] * u.um,
                uncertainty=StdDevUncertainty(problem.error[row, good]),
            )  # fmt: skip
            fitted = fit_lines(spectrum, compound_model(problem, user, row), weights="unc")
        return solution_of(user, fitted)

    return solve

"""The group as an astropy compound model: one component per line or doublet, tied to Halpha, and Polynomial1D."""

import warnings

import numpy as np
from astropy.modeling import Fittable1DModel, Parameter
from astropy.modeling.models import Polynomial1D
from astropy.utils.exceptions import AstropyWarning
from scipy.special import erf

from klever.spectral_lines import SPEED_OF_LIGHT
from linefit.peers.user_model import FLUX_UNIT, VELOCITY_UNIT, TiedModel

__all__ = ["Doublet", "compound_model", "solution_of", "solver_with"]


class Doublet(Fittable1DModel):
    """Two lines, ``flux`` in the first and ``flux * ratio`` in the second, integrated over pixels.

    Parameters
    ----------
    flux, ratio, velocity, dispersion
        In the units of `linefit.peers.user_model`.
    centres : (float, float)
        At velocity zero, micrometre.
    step, instrument : float
        Pixel and instrumental sigma, micrometre.
    """

    flux = Parameter(default=1.0)
    ratio = Parameter(default=1.0)
    velocity = Parameter(default=0.0)
    dispersion = Parameter(default=1.0)

    def __init__(self, *args, centres, step, instrument, **kwargs):
        self.centres, self.step, self.instrument = centres, step, instrument
        super().__init__(*args, **kwargs)

    def evaluate(self, x, flux, ratio, velocity, dispersion):
        """Flux density of pixels centred on `x`."""
        first, second = self.centres
        total = self._profile(x, first, velocity, dispersion)
        if second is not None:
            total = total + ratio * self._profile(x, second, velocity, dispersion)
        return flux * FLUX_UNIT * total

    def _parameter_units_for_data_units(self, inputs_unit, outputs_unit):
        """Parameters have no units: specutils asks."""
        return {}

    def _profile(self, x, rest, velocity, dispersion):
        centre = rest * (1 + velocity * VELOCITY_UNIT / SPEED_OF_LIGHT)
        scale = 1 / (np.sqrt(2) * np.hypot(centre * dispersion * VELOCITY_UNIT / SPEED_OF_LIGHT, self.instrument))
        half = 0.5 * self.step
        return 0.5 * (erf((x + half - centre) * scale) - erf((x - half - centre) * scale)) / self.step


def compound_model(problem, user, row):
    """Return the model at the start of spaxel `row`, all ties and bounds set; `user` is its `TiedModel`."""
    instrument = {"step": float(np.median(user.step)), "instrument": user.instrument}
    halpha, nii, nii_weak, sii_blue, sii_red = user.centres
    velocity, dispersion, *fluxes, level, slope = user.start(row)
    low, high = user.bounds()
    motion = {"velocity": velocity, "dispersion": dispersion}
    main = Doublet(fluxes[0], 0.0, centres=(halpha, None), **instrument, **motion)
    nitrogen = Doublet(fluxes[1], 1 / user.nii_ratio, centres=(nii, nii_weak), **instrument, **motion)
    sulphur = Doublet(fluxes[2], fluxes[3], centres=(sii_red, sii_blue), **instrument, **motion)
    main.ratio.fixed = nitrogen.ratio.fixed = True
    main.velocity.bounds, main.dispersion.bounds = (low[0], high[0]), (low[1], high[1])
    sulphur.ratio.bounds = (low[5], high[5])
    for part in (nitrogen, sulphur):
        part.velocity.tied = lambda model: model.velocity_0.value
        part.dispersion.tied = lambda model: model.dispersion_0.value
    continuum = Polynomial1D(1, c0=level, c1=slope, domain=_ends(problem), window=(-1, 1))
    return main + nitrogen + sulphur + continuum


def solution_of(user, fitted):
    """Return the `Solution` of a fitted compound model."""
    names = ("velocity_0", "dispersion_0", "flux_0", "flux_1", "flux_2", "ratio_2", "c0_3", "c1_3")
    return user.solution(getattr(fitted, name).value for name in names)


def solver_with(fitter, problem):
    """Return the function that fits a row of `problem.flux` with an astropy `fitter`."""
    user = TiedModel(problem)

    def solve(row):
        good = problem.valid[row]
        data, weights = problem.flux[row, good], 1 / problem.error[row, good]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            fitted = fitter(compound_model(problem, user, row), problem.wavelength[good], data, weights=weights)
        return solution_of(user, fitted)

    return solve


def _ends(problem):
    return tuple(float(value) for value in problem.wavelength[[0, -1]])

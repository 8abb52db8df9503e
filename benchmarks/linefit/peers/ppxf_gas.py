"""pPXF with gas templates only: tied by construction, its own non-linear engine, on a logarithmic wavelength grid."""

import numpy as np
from ppxf.ppxf import ppxf
from ppxf.ppxf_util import gaussian, log_rebin

from klever.spectral_lines import SPEED_OF_LIGHT
from linefit.peers.user_model import TiedModel
from linefit.problem import Solution

NAME = "pPXF, gas only"
PACKAGES = ("ppxf",)
SPAXELS = 300
LIMITS = (
    "needs spectra rebinned to log wavelength: neighbouring pixels become correlated, masked channels grow",
    "line fluxes cannot be negative",
    "continuum linear in log wavelength",
)
_FWHM_PER_SIGMA = 2.3548200450309493


def solver(problem):
    model = TiedModel(problem)
    range_ = problem.wavelength[[0, -1]] * 1e4
    _, log_wavelength, velscale = log_rebin(range_, np.zeros(len(problem.wavelength)))
    templates = _templates(model, log_wavelength)
    low, high = problem.dispersion_range
    component, gas_component = [0] * templates.shape[1], [True] * templates.shape[1]
    bounds = [[-problem.velocity_range, problem.velocity_range], [max(low, velscale / 100), high]]

    def solve(row):
        good = problem.valid[row]
        middle = problem.wavelength
        filled = np.interp(middle, middle[good], problem.flux[row, good])
        variance = np.interp(middle, middle[good], problem.error[row, good] ** 2)
        galaxy, noise2, bad = (log_rebin(range_, values)[0] for values in (filled, variance, (~good).astype(float)))
        start = problem.start(row)
        with np.errstate(all="ignore"):
            fit = ppxf(
                templates, galaxy, np.sqrt(noise2), velscale, [start.velocity, start.dispersion], moments=2, degree=1,
                mdegree=0, goodpixels=np.flatnonzero(bad < 0.01), bounds=bounds, component=component,
                gas_component=gas_component, lam=np.exp(log_wavelength), quiet=True,
            )  # fmt: skip
        velocity, dispersion = fit.sol[:2]
        return Solution(float(np.expm1(velocity / SPEED_OF_LIGHT) * SPEED_OF_LIGHT), float(dispersion))

    return solve


def _templates(model, log_wavelength):
    """Halpha, the [N II] doublet, and [S II] at either end of its ratio's range; shape (n_pixels, 4)."""
    centres = dict(zip(model.names, model.centres * 1e4, strict=True))
    fwhm = model.instrument * 1e4 * _FWHM_PER_SIGMA
    unit = {name: gaussian(log_wavelength, np.array([centre]), fwhm, True)[:, 0] for name, centre in centres.items()}
    low, high = model.sii_bounds
    columns = [unit["Halpha"], unit["NII6584"] + unit["NII6548"] / model.nii_ratio]
    columns += [ratio * unit["SII6717"] + unit["SII6731"] for ratio in (low, high)]
    return np.column_stack(columns)

"""Our engines: all spaxels in one call."""

import inspect
import time

import numpy as np

from klever.linefit.varpro import fit_spectra
from linefit.peers.user_model import FLUX_UNIT, VELOCITY_UNIT, TiedModel
from linefit.problem import Solution

__all__ = ["ENGINES", "available", "fit", "parameters_of", "solutions", "timed"]

ENGINES = ("compiled", "numpy")
_SHORTEST, _FEWEST = 2.0, 3  # s of CPU and number of fits that are timed


def available(engine):
    """Return why an engine cannot run, empty if it can."""
    if "engine" not in inspect.signature(fit_spectra).parameters:
        return "" if engine == "numpy" else "this version of klever.linefit has only the NumPy engine"
    return ""


def fit(problem, engine, rows=slice(None)):
    """Fit spaxels `rows` with the engine; the search covers the whole velocity range, without a prior."""
    choice = {"engine": engine} if "engine" in inspect.signature(fit_spectra).parameters else {}
    return fit_spectra(
        problem.model, problem.wavelength, problem.flux[rows], problem.error[rows], problem.velocity_range,
        problem.dispersion_range, **choice,
    )  # fmt: skip


def timed(problem, engine):
    """Return the `FitResult` of all spaxels and the CPU seconds of each of some fits, compiled and warmed before."""
    fit(problem, engine, slice(0, 8))
    result, seconds = None, []
    while sum(seconds) < _SHORTEST or len(seconds) < _FEWEST:
        begin = time.process_time()
        result = fit(problem, engine)
        seconds.append(time.process_time() - begin)
    return result, seconds


def solutions(problem, result):
    """Return the `Solution` of every spaxel, None where the engine declares the spaxel not fitted."""
    half = 0.5 * (problem.wavelength[-1] - problem.wavelength[0])
    return [
        Solution(
            float(result.velocity[row]), float(result.dispersion[row]),
            dict(zip(problem.model.names, result.flux[:, row].tolist(), strict=True)),
            (float(result.continuum[0, row]), float(result.continuum[1, row] * half)),
        ) if np.isfinite(result.chi2[row]) else None
        for row in range(len(problem.flux))
    ]  # fmt: skip


def parameters_of(problem, solution):
    """Return a solution as parameters of the user's model, within its bounds: a start for curve_fit."""
    model, flux = TiedModel(problem), solution.fluxes
    ratio = flux["SII6717"] / flux["SII6731"] if flux["SII6731"] else 1.0
    fluxes = [flux[name] / FLUX_UNIT for name in ("Halpha", "NII6584", "SII6731")]
    values = [solution.velocity / VELOCITY_UNIT, solution.dispersion / VELOCITY_UNIT, *fluxes, ratio]
    return np.clip([*values, *solution.continuum], *model.bounds())

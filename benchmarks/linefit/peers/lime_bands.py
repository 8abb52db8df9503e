"""LiMe: one blend of five lines in one band, tied by expressions, its default minimiser."""

import logging
import warnings

import lime
import numpy as np
import pandas as pd

from klever.spectral_lines import SPEED_OF_LIGHT
from linefit.peers.user_model import TiedModel
from linefit.problem import Solution

NAME = "LiMe"
PACKAGES = ("lime-stable", "lmfit")
SPAXELS = 40
LIMITS = (
    "Gaussians sampled at pixel centres",
    "line fluxes cannot be negative",
    "no two-sided bound on [S II] (ratio free)",
    "linear continuum measured beside the lines first, then held",
)
_LABELS = {
    "Halpha": "H1_6563A", "NII6584": "N2_6583A", "NII6548": "N2_6548A", "SII6717": "S2_6716A", "SII6731": "S2_6731A"
}  # fmt: skip
_MAIN = _LABELS["Halpha"]
_LINE_REACH = 1000.0  # km/s around the lines that are not continuum


def solver(problem):
    logging.getLogger("LiMe").setLevel(logging.ERROR)
    model = TiedModel(problem)
    z = problem.model.z
    rest = dict(zip(model.names, model.centres * 1e4 / (1 + z), strict=True))
    bands = _bands(problem, rest, z)

    def solve(row):
        good = problem.valid[row]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spectrum = lime.Spectrum(
                problem.wavelength * 1e4, np.where(good, problem.flux[row], 0.0),
                np.where(good, problem.error[row], 1.0), redshift=z, norm_flux=1.0, pixel_mask=~good,
                review_inputs=True,
            )  # fmt: skip
            spectrum.fit.bands(f"{_MAIN}_b", bands, _configuration(problem, model, rest, row), cont_source="adjacent")
        centre, sigma = (spectrum.frame.loc[_MAIN, name] for name in ("center", "sigma"))
        velocity = (centre / (rest["Halpha"] * (1 + z)) - 1) * SPEED_OF_LIGHT
        intrinsic = np.sqrt(max(sigma**2 - (model.instrument * 1e4) ** 2, 0.0))
        return Solution(float(velocity), float(intrinsic / centre * SPEED_OF_LIGHT))

    return solve


def _bands(problem, rest, z):
    """Table of one band around all lines and the rest of the window beside it, rest frame, Angstrom."""
    bands = lime.lineDB.frame.loc[list(_LABELS.values())].copy()
    ends = problem.wavelength[[0, -1]] * 1e4 / (1 + z)
    reach = _LINE_REACH / SPEED_OF_LIGHT
    inner = min(rest.values()) * (1 - reach), max(rest.values()) * (1 + reach)
    bands["wavelength"] = [rest[name] for name in _LABELS]
    bands["wave_vac"] = bands["wavelength"]
    edges = (ends[0], inner[0], *inner, inner[1], ends[1])
    for name, value in zip(("w1", "w2", "w3", "w4", "w5", "w6"), edges, strict=True):
        bands[name] = value
    blend = bands.loc[[_MAIN]].rename(index={_MAIN: f"{_MAIN}_b"})
    return pd.concat([blend, bands])


def _configuration(problem, model, rest, row):
    """Start, bounds and ties of one spaxel in LiMe's notation; the instrument's width is in the tie of the sigmas."""
    start, instrument = problem.start(row), model.instrument * 1e4
    centre = rest["Halpha"] * (1 + problem.model.z)
    widths = (start.dispersion, *problem.dispersion_range)
    width, narrow, wide = (float(np.hypot(centre * value / SPEED_OF_LIGHT, instrument)) for value in widths)
    reach = problem.velocity_range / SPEED_OF_LIGHT
    amplitude = start.halpha * 1e4 / (width * np.sqrt(2 * np.pi))
    configuration = {
        f"{_MAIN}_b": "+".join(_LABELS.values()),
        f"{_MAIN}_center": {
            "value": rest["Halpha"] * (1 + start.velocity / SPEED_OF_LIGHT), "min": rest["Halpha"] * (1 - reach),
            "max": rest["Halpha"] * (1 + reach),
        },
        f"{_MAIN}_sigma": {"value": width, "min": narrow, "max": wide},
        f"{_MAIN}_amp": {"value": amplitude, "max": np.inf},
    }  # fmt: skip
    for name, label in _LABELS.items():
        if label == _MAIN:
            continue
        ratio = rest[name] / rest["Halpha"]
        configuration[f"{label}_center"] = {"expr": f"{ratio:.10f}*{_MAIN}_center"}
        square = f"{ratio**2:.10f}*({_MAIN}_sigma**2-{instrument**2:.10f})+{instrument**2:.10f}"
        configuration[f"{label}_sigma"] = {"expr": f"sqrt({square})"}
        configuration[f"{label}_amp"] = {"value": 0.3 * amplitude, "max": np.inf}
    configuration[f"{_LABELS['NII6548']}_amp"] = {
        "expr": f"{_LABELS['NII6584']}_amp*{_LABELS['NII6584']}_sigma/{_LABELS['NII6548']}_sigma/{model.nii_ratio:.10f}"
    }
    return configuration

"""The NumPy engine: one group of lines in all spectra at once, batch by batch."""

import numpy as np

from klever.linefit import linalg
from klever.linefit.normal import local_profiles, sandwich
from klever.linefit.posterior import marginalise
from klever.linefit.search import BATCH
from klever.linefit.window import prepare
from klever.spectral_lines import SPEED_OF_LIGHT

__all__ = ["CORE_SIGMAS", "CORE_VELOCITY", "SPIKE_PEAK", "fit_once", "marginalise", "search_starts"]

SPIKE_PEAK = 0.3  # of the model's peak: smaller residuals do not spoil a fit
CORE_SIGMAS, CORE_VELOCITY = 2.5, 400.0  # around a line, the larger of sigmas and km/s: where residuals count


def search_starts(search, wavelength, flux, error):
    """Return velocity and decrease of chi2, each of shape (n,), of the best start."""
    window, _ = prepare(wavelength, flux, error, search.padding(wavelength))
    velocity, _, gain, _ = search.starts(window, None, 1.0)
    return velocity, np.where(window.fittable, gain, 0.0)


def fit_once(search, wavelength, flux, error, prior, prior_width, excluded=None):
    """Search, refine, and collect everything, in physical units, with spaxels along the last axis."""
    window, spikes = prepare(wavelength, flux, error, search.padding(wavelength), excluded)
    velocity, dispersion, _, absorption = search.starts(window, prior, prior_width)
    position = search.refine(window, np.array([velocity, dispersion]))
    n_spaxels = len(flux)
    n_lines, n_columns = search.ties.shape
    out = {
        "position": position, "covariance": np.empty((n_lines, n_lines, n_spaxels)),
        "spread": np.empty((2, n_spaxels)), "flux": np.empty((n_lines, n_spaxels)),
        "continuum": np.empty((2, n_spaxels)), "chi2": np.empty(n_spaxels), "gain": np.empty(n_spaxels),
        "coverage": np.empty((n_lines, n_spaxels)), "on_ratio": np.empty(n_spaxels, bool),
        "far": np.empty((flux.shape[1], n_spaxels)), "core": np.empty((2, n_spaxels)), "absorption": absorption,
        "spikes": spikes.T.copy(), "fittable": window.fittable & (window.n_valid > n_columns + 4),
    }  # fmt: skip
    for begin in range(0, n_spaxels, BATCH):
        rows = np.arange(begin, min(begin + BATCH, n_spaxels))
        _collect(search, window, rows, out)
    out["dof"] = np.maximum(window.n_valid - n_columns - 4, 1)
    out["reduced"] = out["chi2"] / out["dof"]
    return out


def _collect(search, window, rows, out):
    position, ties, size = out["position"][:, rows], search.ties, search.ties.shape[1] + 2
    now = search.evaluate(window, rows, position)
    amplitude = ties @ now.amplitude[: size - 2]
    joint = now.joint
    at_bound = (position <= search.low[:, None]) | (position >= search.high[:, None])
    for p in range(2):
        # a parameter held at its bound is no free parameter: it leaves the covariance
        joint[size + p, :, at_bound[p]] = 0.0
        joint[:, size + p, at_bound[p]] = 0.0
    inverse = linalg.inverse(linalg.cholesky(joint))
    unit = window.unit[rows]
    scale = unit * window.step
    # the covariance of normalised data: their errors are 1/sqrt(weight), so the inverse is in normalised units already
    covariance = sandwich(ties.T, inverse[: size - 2, : size - 2])
    out["covariance"][:, :, rows] = covariance * scale**2
    out["flux"][:, rows] = amplitude * scale
    out["spread"][:, rows] = np.sqrt(np.maximum(np.array([inverse[size, size], inverse[size + 1, size + 1]]), 0.0))
    offset = window.continuum[:, rows] + now.amplitude[size - 2 :]
    out["continuum"][0, rows], out["continuum"][1, rows] = offset[0] * unit, offset[1] * unit / window.half_range
    out["on_ratio"][rows] = now.on_ratio_bound

    local = local_profiles(window, search.model, position[0], position[1])
    length = local.kinds.shape[3]
    residual = window.flux[rows] - now.amplitude[size - 2][:, None] - now.amplitude[size - 1][:, None] * window.x
    coverage, in_core = [], np.zeros(residual.shape, bool)
    peak = np.zeros(len(rows))
    index = np.arange(len(rows))[:, None]
    for i in range(len(ties)):
        channels = local.start[i][:, None] + np.arange(length)
        profile = local.kinds[0, i]
        residual[index, channels] -= amplitude[i][:, None] * profile
        peak = np.maximum(peak, np.abs(amplitude[i]) * profile.max(axis=1))
        seen = (profile * (window.weight[rows[:, None], channels] > 0)).sum(axis=1)
        coverage.append(seen / profile.sum(axis=1))
        in_core |= _near(window, search.model, i, position)
    share = ties**2  # information of tied lines adds with the square of their strengths
    per_column = (share.T @ np.array(coverage)) / share.sum(axis=0)[:, None]
    out["coverage"][:, rows] = (ties != 0).astype(float) @ per_column
    weight = window.weight[rows]
    out["chi2"][rows] = np.einsum("sc,sc->s", weight * residual, residual)
    out["gain"][rows] = window.square[rows] - out["chi2"][rows]
    inner = slice(window.pad, residual.shape[1] - window.pad)
    square = weight * residual**2
    core = in_core & (weight > 0)
    out["core"][0, rows], out["core"][1, rows] = (square * core).sum(axis=1), core.sum(axis=1)
    large = np.abs(residual) > SPIKE_PEAK * np.maximum(peak, 1e-300)[:, None]
    out["far"][:, rows] = np.where(large, np.sqrt(square), 0.0)[:, inner].T


def _near(window, model, line, position):
    """Channels of the window (padding excluded) that hold a line or lie near it, shape (n, n_padded)."""
    centres = model.centres(position[0])
    centre, sigma = centres[line], model.sigmas(centres, position[1])[line]
    reach = np.maximum(CORE_SIGMAS * sigma, centre * CORE_VELOCITY / SPEED_OF_LIGHT)
    first, last = (np.searchsorted(window.edges, centre + side * reach, "right") - 1 for side in (-1, 1))
    channel = np.arange(window.weight.shape[1])
    near = (channel >= first[:, None]) & (channel <= last[:, None])
    return near & (channel >= window.pad) & (channel < len(channel) - window.pad)

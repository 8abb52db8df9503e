"""Hands spectra to the compiled engine and its results back, in the form of `klever.linefit.varpro`."""

import numpy as np

from klever.linefit.kernel import fit as kernel_fit
from klever.linefit.kernel import posterior as kernel_posterior
from klever.linefit.kernel.structures import Nodes, Problem, gaussian_tables
from klever.linefit.normal import local_profiles, stretch_length
from klever.linefit.window import padded_axis

__all__ = ["fit_once", "marginalise", "search_starts"]


def fit_once(search, wavelength, flux, error, prior, prior_width, excluded=None):
    """Search, refine and collect; arguments and result as `klever.linefit.varpro`'s function for arrays."""
    problem, nodes = _problem(search, wavelength), _nodes(search, wavelength)
    flux, error, excluded, prior = _arrays(flux, error, excluded, prior)
    n, n_lines = len(flux), len(search.ties)
    out, out_lines = np.empty((14, n)), np.empty((2, n_lines, n))
    covariance, far = np.empty((n_lines, n_lines, n)), np.empty(flux.shape)
    spikes = np.zeros(flux.shape, bool)
    products = out, out_lines, covariance, far, spikes
    kernel_fit.fit(problem, nodes, flux, error, excluded, prior, float(prior_width), *products)
    dof = np.maximum(out[8] - search.ties.shape[1] - 4, 1)
    return {
        "position": out[:2], "spread": out[2:4], "continuum": out[4:6], "chi2": out[6], "gain": out[7],
        "fittable": (out[9] > 0) & (out[8] > search.ties.shape[1] + 4), "on_ratio": out[10] > 0, "absorption": out[11],
        "core": out[12:14], "flux": out_lines[0], "coverage": out_lines[1], "covariance": covariance, "far": far.T,
        "spikes": spikes.T.copy(), "dof": dof, "reduced": out[6] / dof,
    }  # fmt: skip


def search_starts(search, wavelength, flux, error):
    """Return velocity and decrease of chi2, each of shape (n,), of the best start."""
    flux, error, excluded, prior = _arrays(flux, error, None, None)
    velocity, gain = np.empty(len(flux)), np.empty(len(flux))
    kernel_fit.search(
        _problem(search, wavelength), _nodes(search, wavelength), flux, error, excluded, prior, 1.0, velocity, gain
    )
    return velocity, gain


def marginalise(search, wavelength, flux, error, prior, prior_width, best, spread, excluded, around_best=False):
    """Posterior of each spectrum; see `klever.linefit.posterior`."""
    flux, error, excluded, prior = _arrays(flux, error, excluded, prior)
    axis = padded_axis(wavelength, search.padding(wavelength))
    nodes = node_profiles(search.model, axis, search.grid(around_best))
    n, k = len(flux), search.ties.shape[1]
    result, moments = np.empty((8, n)), np.empty((k + k * k, n))
    kernel_posterior.posterior(
        _problem(search, wavelength), nodes, flux, error, excluded, prior, float(prior_width),
        np.ascontiguousarray(best), np.ascontiguousarray(spread), result, moments,
    )  # fmt: skip
    covariance = np.einsum("ik,kms,jm->ijs", search.ties, moments[k:].reshape(k, k, n), search.ties)
    return result, search.ties @ moments[:k], covariance


def _arrays(flux, error, excluded, prior):
    flux, error = (np.ascontiguousarray(values, dtype=float) for values in (flux, error))
    excluded = np.zeros(flux.shape, bool) if excluded is None else np.ascontiguousarray(excluded)
    prior = np.full(len(flux), np.nan) if prior is None else np.ascontiguousarray(prior, dtype=float)
    return flux, error, excluded, prior


def _problem(search, wavelength):
    model, pad = search.model, search.padding(wavelength)
    axis = padded_axis(wavelength, pad)
    top, bottom, low, high = search.bound or (0, 0, 0.0, 0.0)
    cdf, pdf = gaussian_tables()
    owner = np.argmax(search.ties, axis=1)
    return Problem(
        edges=axis.edges, density=axis.step / np.diff(axis.edges), x=axis.x,
        rest=np.ascontiguousarray(model.centres(0.0)), owner=owner,
        coefficient=search.ties[np.arange(len(owner)), owner], n_columns=search.ties.shape[1],
        sigma_instrument=model.instrumental, has_bound=search.bound is not None, top=top, bottom=bottom,
        ratio_low=float(low), ratio_high=float(high), low=search.low, high=search.high,
        main_column=int(owner[model.main]), pad=pad, step=axis.step, half_range=axis.half_range,
        cdf=cdf, pdf=pdf,
    )  # fmt: skip


def _nodes(search, wavelength):
    axis = padded_axis(wavelength, search.padding(wavelength))
    return node_profiles(search.model, axis, np.array(list(search.nodes())))


def node_profiles(model, axis, places):
    """Profiles of all lines at `places`, shape (n_nodes, 2): velocities and dispersions in km/s."""
    local = local_profiles(axis, model, places[:, 0], places[:, 1])
    longest = local.kinds.shape[3]
    length = np.array([stretch_length(model, dispersion, axis.step) for dispersion in places[:, 1]])
    trim = (longest - length) // 2
    profile = np.zeros((len(places), len(local.start), longest))
    for k in range(len(places)):
        profile[k, :, : length[k]] = local.kinds[0, :, k, trim[k] : trim[k] + length[k]]
    start = np.ascontiguousarray((local.start + trim).T)
    return Nodes(np.ascontiguousarray(places[:, 0]), np.ascontiguousarray(places[:, 1]), start, length, profile)

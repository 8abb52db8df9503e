"""Normal equations of one group of lines for many spaxels, each at its own velocity and width."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from klever.linefit import linalg
from klever.linefit.model import GroupModel, pixel_profile
from klever.linefit.window import Window
from klever.spectral_lines import SPEED_OF_LIGHT

__all__ = [
    "MARGIN",
    "PROFILE_SIGMAS",
    "Evaluation",
    "LocalProfiles",
    "evaluate",
    "local_profiles",
    "sandwich",
    "solve_bounded",
    "stretch_length",
]

PROFILE_SIGMAS = 4.5  # half width of a line's stretch of channels; the profile is 4e-5 of its peak there
MARGIN = 2  # channels: velocities move the lines of a group by slightly different numbers of channels


@dataclass
class LocalProfiles:
    """Stretches of channels around each line.

    Attributes
    ----------
    start : ndarray, shape (n_lines, n)
        First channel.
    offsets : ndarray, shape (n_lines,)
        Of the stretches from that of the main line, channels.
    kinds : ndarray, shape (3, n_lines, n, length)
        Profile and its derivatives with velocity and dispersion.
    """

    start: np.ndarray
    offsets: np.ndarray
    kinds: np.ndarray


@dataclass
class Evaluation:
    """Linear solution and second-order expansion at given velocities and dispersions.

    Attributes
    ----------
    chi2 : ndarray, shape (n,)
    amplitude : ndarray, shape (n_columns + 2, n)
        Columns, then continuum.
    gradient : ndarray, shape (2, n)
        Minus half the gradient of chi2 in (velocity, dispersion).
    curvature : ndarray, shape (2, 2, n)
        Half the Gauss-Newton Hessian, the linear parameters eliminated.
    on_ratio_bound : ndarray of bool, shape (n,)
    joint : ndarray, shape (n_columns + 4, n_columns + 4, n)
        Half the Gauss-Newton Hessian of all parameters: columns, continuum, velocity, dispersion.
    """

    chi2: np.ndarray
    amplitude: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray
    on_ratio_bound: np.ndarray
    joint: np.ndarray


def stretch_length(model: GroupModel, dispersion, step):
    """Return the number of channels that hold a line of `dispersion` (km/s)."""
    sigma = float(np.max(model.sigmas(model.centres(0.0), dispersion)))
    return int(np.ceil(2 * PROFILE_SIGMAS * sigma / step)) + 1 + 2 * MARGIN


def local_profiles(window: Window, model: GroupModel, velocity, dispersion):
    """Pixel-averaged profiles (times the channel width, so of order one) and derivatives around each line."""
    centres = model.centres(velocity)
    sigmas = model.sigmas(centres, dispersion)
    length = stretch_length(model, np.max(dispersion), window.step)
    middles = 0.5 * (window.edges[1:] + window.edges[:-1])
    index = np.arange(len(middles))
    rest = np.interp(model.centres(0.0), middles, index)
    offsets = np.rint(rest - rest[model.main]).astype(int)
    base = np.floor(np.interp(centres[model.main], middles, index) - 0.5 * (length - 1) + 0.5).astype(int)
    start = np.clip(base + offsets[:, None], 0, len(middles) - length)
    edges = sliding_window_view(window.edges, length + 1)[start]
    profile, d_centre, d_sigma = pixel_profile(edges, centres[..., None], sigmas[..., None], derivatives=True)
    per_velocity = centres / (SPEED_OF_LIGHT + velocity)
    intrinsic = np.square(centres / SPEED_OF_LIGHT) / sigmas
    sigma_per_velocity = intrinsic * np.square(dispersion) / (SPEED_OF_LIGHT + velocity)
    sigma_per_dispersion = intrinsic * dispersion
    kinds = np.empty((3, *profile.shape))
    kinds[0] = profile
    kinds[1] = d_centre * per_velocity[..., None] + d_sigma * sigma_per_velocity[..., None]
    kinds[2] = d_sigma * sigma_per_dispersion[..., None]
    kinds *= window.step
    return LocalProfiles(start, offsets, kinds)


def evaluate(window: Window, model: GroupModel, ties, bound, rows, velocity, dispersion):
    """Solve the linear problem of spaxels `rows` at `velocity`, `dispersion` (km/s) and expand around it."""
    local = local_profiles(window, model, velocity, dispersion)
    kinds, offsets = local.kinds, local.offsets
    n_lines, length = kinds.shape[1], kinds.shape[3]
    weight = sliding_window_view(window.weight, length, axis=1)[rows, local.start]
    weighted = sliding_window_view(window.weighted, length, axis=1)[rows, local.start]
    x = sliding_window_view(window.x, length)[local.start]

    products = np.zeros((3, 3, n_lines, n_lines, len(rows)))
    with_continuum = np.empty((3, 2, n_lines, len(rows)))
    with_flux = np.empty((3, n_lines, len(rows)))
    diagonal = np.arange(n_lines)
    for a in range(3):
        scaled = kinds[a] * weight
        with_flux[a] = np.einsum("isl,isl->is", kinds[a], weighted)
        with_continuum[a, 0] = scaled.sum(axis=-1)
        with_continuum[a, 1] = np.einsum("isl,isl->is", scaled, x)
        for b in range(a, 3):
            value = np.einsum("isl,isl->is", scaled, kinds[b])
            products[a, b, diagonal, diagonal] = value
            products[b, a, diagonal, diagonal] = value
        for i in range(n_lines):
            for j in range(n_lines):
                shift = offsets[j] - offsets[i]
                if i == j or abs(shift) >= length:
                    continue
                here = scaled[i, :, max(shift, 0) : length + min(shift, 0)]
                for b in range(a, 3):
                    there = kinds[b, j, :, max(-shift, 0) : length + min(-shift, 0)]
                    value = np.einsum("sl,sl->s", here, there)
                    products[a, b, i, j] = value
                    products[b, a, j, i] = value
    return _expand(window, ties, bound, rows, products, with_continuum, with_flux)


def _expand(window, ties, bound, rows, products, with_continuum, with_flux):
    n_columns = ties.shape[1]
    size = n_columns + 2
    joint = np.zeros((size + 2, size + 2, len(rows)))
    moments = window.moments[:, rows]
    joint[:n_columns, :n_columns] = sandwich(ties, products[0, 0])
    joint[:n_columns, n_columns:size] = np.einsum("ik,cis->kcs", ties, with_continuum[0])
    joint[n_columns:size, :n_columns] = joint[:n_columns, n_columns:size].transpose(1, 0, 2)
    joint[n_columns, n_columns], joint[n_columns + 1, n_columns + 1] = moments[0], moments[2]
    joint[n_columns, n_columns + 1] = joint[n_columns + 1, n_columns] = moments[1]
    right = np.empty((size, len(rows)))
    right[:n_columns] = ties.T @ with_flux[0]
    right[n_columns:] = window.projections[:, rows]

    linear = joint[:size, :size]
    amplitude, decomposition, on_bound = solve_bounded(linear, right, bound)
    explained = np.einsum("ks,ks->s", amplitude, 2 * right - np.einsum("kms,ms->ks", linear, amplitude))
    chi2 = window.square[rows] - explained

    flux = ties @ amplitude[:n_columns]
    gradient = np.empty((2, len(rows)))
    for p in (1, 2):
        row = joint[size + p - 1]
        row[:n_columns] = ties.T @ np.einsum("is,ijs->js", flux, products[p, 0])
        row[n_columns:size] = np.einsum("is,cis->cs", flux, with_continuum[p])
        joint[:size, size + p - 1] = row[:size]
        gradient[p - 1] = (flux * with_flux[p]).sum(axis=0) - (amplitude * row[:size]).sum(axis=0)
        for q in (1, 2):
            row[size + q - 1] = (np.einsum("is,ijs->js", flux, products[p, q]) * flux).sum(axis=0)
    coupling = joint[size:, :size]
    curvature = np.empty((2, 2, len(rows)))
    for p in range(2):
        eliminated = linalg.solve(decomposition, coupling[p])
        for q in range(2):
            curvature[q, p] = joint[size + q, size + p] - (coupling[q] * eliminated).sum(axis=0)
    return Evaluation(chi2, amplitude, gradient, curvature, on_bound, joint)


def sandwich(ties, matrix):
    """Return ``ties.T @ matrix @ ties`` for `matrix` of shape (n_lines, n_lines, n)."""
    half = np.tensordot(ties, matrix, (0, 0))
    return np.tensordot(half, ties, (1, 0)).transpose(0, 2, 1)


def solve_bounded(linear, right, bound):
    """Solve normal equations with the ratio of two amplitudes kept in a range, exactly.

    The free solution stands where its ratio is in range; elsewhere the best one lies on an edge, so both edges are
    solved and the better kept (fluxes may be negative: only the ratio is constrained).

    Parameters
    ----------
    linear : ndarray, shape (k, k, n)
    right : ndarray, shape (k, n)
    bound : (int, int, float, float) or None
        Numerator, denominator, lowest and highest ratio.

    Returns
    -------
    amplitude : ndarray, shape (k, n)
    decomposition
        Of the free problem, for `linalg.solve`.
    on_bound : ndarray of bool, shape (n,)
    """
    decomposition = linalg.cholesky(linear)
    amplitude = linalg.solve(decomposition, right)
    if bound is None:
        return amplitude, decomposition, np.zeros(right.shape[1], bool)
    top, bottom, low, high = bound
    numerator, denominator = amplitude[top], amplitude[bottom]
    sign = np.sign(denominator)
    on_bound = ~((numerator * sign >= low * denominator * sign) & (numerator * sign <= high * denominator * sign))
    outside = np.flatnonzero(on_bound)
    if outside.size:
        kept = [k for k in range(len(right)) if k != top]
        place = kept.index(bottom)
        matrix, vector = linear[:, :, outside], right[:, outside]
        best = np.full(outside.size, -np.inf)
        for ratio in (low, high):
            merged = matrix[np.ix_(kept, kept)].copy()
            cross = ratio * matrix[top][kept]
            merged[place] += cross
            merged[:, place] += cross
            merged[place, place] += ratio**2 * matrix[top, top]
            reduced = vector[kept].copy()
            reduced[place] += ratio * vector[top]
            solution = linalg.solve(linalg.cholesky(merged), reduced)
            explained = (solution * reduced).sum(axis=0)
            better = np.flatnonzero(explained > best)
            best[better] = explained[better]
            target = outside[better]
            for position, k in enumerate(kept):
                amplitude[k, target] = solution[position, better]
            amplitude[top, target] = ratio * solution[place, better]
    return amplitude, decomposition, on_bound

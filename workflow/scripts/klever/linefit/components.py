"""Columns of one or two components of lines, and the least squares of their amplitudes under bounds.

Every bound is on the sign of an amplitude, so a bounded solution is a free one with some columns left out.  A ratio
t/b kept within [low, high] becomes such a bound in the basis t = high u + low w, b = u + w, where u and w must have
the same sign.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from klever.linefit import linalg
from klever.linefit.model import GroupModel, pixel_profile
from klever.linefit.window import Window
from klever.spectral_lines import SPEED_OF_LIGHT

__all__ = ["Bounds", "Component", "Evaluation", "evaluate", "refine", "solve_signed"]

_PROFILE_SIGMAS = 6.0  # half width of the stretch of channels on which a line is computed
_ITERATIONS = 40
_TOLERANCE = 1e-4  # of chi2, in the predicted decrease of the next step
_STEP_LIMIT = 0.5  # of the range of a parameter, per step


class Component:
    """Lines that share velocity and dispersion, as columns of the linear problem.

    Parameters
    ----------
    model : GroupModel
    window : Window
        Gives the channels.
    velocity_range : float
        km/s, on each side of velocity zero.
    dispersion_range : (float, float)
        km/s.

    Attributes
    ----------
    ties : ndarray, shape (n_lines, n_columns)
        Line fluxes = ties @ amplitudes.
    pair : (int, int) or None
        Columns that must have the same sign: the edges of a bounded ratio.
    low, high : ndarray, shape (2,)
        Bounds of velocity and dispersion.
    support : slice
        Channels that a line can reach.
    """

    def __init__(self, model: GroupModel, window: Window, velocity_range, dispersion_range):
        self.model, self.edges, self.step = model, window.edges, window.step
        self.ties, self.pair = model.columns(), None
        if (bound := model.bound()) is not None:
            top, bottom, low, high = bound
            numerator, denominator = self.ties[:, top].copy(), self.ties[:, bottom].copy()
            self.ties[:, top] = high * numerator + denominator
            self.ties[:, bottom] = low * numerator + denominator
            self.pair = (top, bottom)
        self.low = np.array([-velocity_range, dispersion_range[0]], float)
        self.high = np.array([velocity_range, dispersion_range[1]], float)
        blue, red = model.centres(self.low[0]), model.centres(self.high[0])
        first = np.searchsorted(self.edges, blue - _PROFILE_SIGMAS * model.sigmas(blue, self.high[1])) - 1
        last = np.searchsorted(self.edges, red + _PROFILE_SIGMAS * model.sigmas(red, self.high[1]))
        n_channels = len(self.edges) - 1
        self.stretches = list(zip(np.clip(first, 0, n_channels - 1), np.clip(last, 1, n_channels), strict=True))
        self.support = slice(min(first for first, _ in self.stretches), max(last for _, last in self.stretches))

    def columns(self, velocity, dispersion, derivatives=True, whole=True):
        """Return the columns and, if asked for, their derivatives with velocity and dispersion.

        Parameters
        ----------
        velocity, dispersion : ndarray, shape (...)
            km/s.
        derivatives : bool
        whole : bool
            All channels; otherwise only those of `support`, outside of which the columns are zero.

        Returns
        -------
        ndarray, shape (3 or 1, ..., n_columns, n_channels)
            Pixel-averaged profiles times the channel width, so of order one.
        """
        centres = self.model.centres(velocity)
        sigmas = self.model.sigmas(centres, dispersion)
        inside = slice(0, len(self.edges) - 1) if whole else self.support
        n_channels = inside.stop - inside.start
        kinds = np.zeros((3 if derivatives else 1, *np.shape(velocity), self.ties.shape[1], n_channels))
        for i, (first, last) in enumerate(self.stretches):
            centre, sigma = centres[i][..., None], sigmas[i][..., None]
            found = pixel_profile(self.edges[first : last + 1], centre, sigma, derivatives)
            if derivatives:
                profile, d_centre, d_sigma = found
                v, s = np.asarray(velocity)[..., None], np.asarray(dispersion)[..., None]
                intrinsic = np.square(centre / SPEED_OF_LIGHT) / sigma
                slope = (centre * d_centre + intrinsic * s * s * d_sigma) / (SPEED_OF_LIGHT + v)
                found = (profile, slope, intrinsic * s * d_sigma)
            else:
                found = (found,)
            for k in np.flatnonzero(self.ties[i]):
                for kind, values in zip(kinds, found, strict=True):
                    kind[..., k, first - inside.start : last - inside.start] += (self.ties[i, k] * self.step) * values
        return kinds


@dataclass(frozen=True)
class Bounds:
    """Signs that amplitudes must have: `pair` the same one, `positive` none below zero (indices of columns)."""

    pair: tuple | None = None
    positive: tuple = ()

    def kept(self, amplitude):
        """Where `amplitude`, shape (k, ...), keeps the bounds."""
        good = np.ones(amplitude.shape[1:], bool)
        if self.pair is not None:
            good &= amplitude[self.pair[0]] * amplitude[self.pair[1]] >= 0
        for k in self.positive:
            good &= amplitude[k] >= 0
        return good

    def reductions(self):
        """All sets of columns whose absence can be the bounded solution."""
        pairs = [()] if self.pair is None else [(), (self.pair[0],), (self.pair[1],)]
        for pair, *dropped in product(pairs, *(((), (k,)) for k in self.positive)):
            yield [*pair, *(k for item in dropped for k in item)]


def solve_signed(gram, right, bounds):
    """Solve normal equations under `bounds`, exactly: where the free solution breaks them, all edges are compared.

    Parameters
    ----------
    gram : ndarray, shape (k, k, n)
    right : ndarray, shape (k, n)
    bounds : Bounds

    Returns
    -------
    amplitude : ndarray, shape (k, n)
    free : ndarray of bool, shape (k, n)
        Columns that are not held at zero.
    """
    amplitude = linalg.solve(linalg.cholesky(gram), right)
    free = np.ones(amplitude.shape, bool)
    broken = np.flatnonzero(~bounds.kept(amplitude))
    if broken.size:
        matrix, vector = gram[:, :, broken], right[:, broken]
        best = np.full(broken.size, -np.inf)
        for dropped in bounds.reductions():
            part = matrix.copy()
            part[dropped] = 0.0
            part[:, dropped] = 0.0
            trial = linalg.solve(linalg.cholesky(part), vector)
            explained = (trial * vector).sum(axis=0)
            better = np.flatnonzero(bounds.kept(trial) & (explained > best))
            best[better] = explained[better]
            amplitude[:, broken[better]] = trial[:, better]
            free[:, broken[better]] = True
            free[np.ix_(dropped, broken[better])] = False
    return amplitude, free


@dataclass
class Evaluation:
    """Bounded linear solution and second-order expansion at given velocities and dispersions.

    Attributes
    ----------
    chi2 : ndarray, shape (n,)
    amplitude : ndarray, shape (k, n)
        Columns of all components, then continuum.
    free : ndarray of bool, shape (k, n)
        Not held at zero by a bound.
    gradient : ndarray, shape (p, n)
        Minus half the gradient of chi2 in (velocity, dispersion) of each component.
    joint : ndarray, shape (k + p, k + p, n)
        Half the Gauss-Newton Hessian of all parameters.
    residual : ndarray, shape (n, n_channels)
    """

    chi2: np.ndarray
    amplitude: np.ndarray
    free: np.ndarray
    gradient: np.ndarray
    joint: np.ndarray
    residual: np.ndarray


def evaluate(window, rows, components, bounds, position):
    """Solve for the amplitudes of spectra `rows` at `position`, shape (2 n_components, n), and expand around it."""
    weight, flux = window.weight[rows], window.flux[rows]
    kinds = [part.columns(*position[2 * i : 2 * i + 2]) for i, part in enumerate(components)]
    continuum = np.broadcast_to(np.stack([np.ones_like(window.x), window.x]), (len(rows), 2, len(window.x)))
    linear = np.concatenate([*(kind[0] for kind in kinds), continuum], axis=1)
    size, count = linear.shape[1], len(position)
    weighted = linear * weight[:, None]
    gram = (weighted @ linear.transpose(0, 2, 1)).transpose(1, 2, 0)
    right = (weighted @ flux[:, :, None])[:, :, 0].T
    amplitude, free = solve_signed(gram, right, bounds)
    by_row = np.ascontiguousarray(amplitude.T)[:, None]  # or the last bit of products depends on the batch
    residual = flux - (by_row @ linear)[:, 0]
    slopes, begin = np.empty((len(rows), count, linear.shape[2])), 0
    for i, kind in enumerate(kinds):
        own = np.ascontiguousarray(by_row[..., begin : begin + kind.shape[2]])
        slopes[:, 2 * i], slopes[:, 2 * i + 1] = (own @ kind[1])[:, 0], (own @ kind[2])[:, 0]
        begin += kind.shape[2]
    weighted_slopes = slopes * weight[:, None]
    joint = np.empty((size + count, size + count, len(rows)))
    joint[:size, :size] = gram
    joint[size:, :size] = (weighted_slopes @ linear.transpose(0, 2, 1)).transpose(1, 2, 0)
    joint[:size, size:] = joint[size:, :size].transpose(1, 0, 2)
    joint[size:, size:] = (weighted_slopes @ slopes.transpose(0, 2, 1)).transpose(1, 2, 0)
    gradient = (weighted_slopes @ residual[:, :, None])[:, :, 0].T
    return Evaluation((weight * residual**2).sum(axis=1), amplitude, free, gradient, joint, residual)


def refine(window, rows, components, bounds, position):
    """Levenberg-Marquardt from `position`, shape (2 n_components, n), within the bounds of the components.

    Returns
    -------
    position : ndarray, shape (2 n_components, n)
    chi2 : ndarray, shape (n,)
    """
    low = np.concatenate([part.low for part in components])[:, None]
    high = np.concatenate([part.high for part in components])[:, None]
    position = np.clip(position, low, high)
    active, damping = np.arange(len(rows)), np.full(len(rows), 1e-2)
    now = evaluate(window, rows, components, bounds, position)
    final, gradient, curvature = now.chi2.copy(), now.gradient, _eliminate(now)
    chi2 = now.chi2
    for _ in range(_ITERATIONS):
        here = position[:, active]
        stuck = ((here <= low) & (gradient < 0)) | ((here >= high) & (gradient > 0))
        force = np.where(stuck, 0.0, gradient)
        matrix = np.where(stuck[:, None] | stuck[None], 0.0, curvature)
        for p in range(len(matrix)):
            matrix[p, p] *= 1 + damping[active]
        step = np.clip(linalg.solve(linalg.cholesky(matrix), force), -_STEP_LIMIT * (high - low),
                       _STEP_LIMIT * (high - low))  # fmt: skip
        moved = (step * force).sum(axis=0) > _TOLERANCE
        if not moved.any():
            break
        active, chi2, gradient, curvature = active[moved], chi2[moved], gradient[:, moved], curvature[:, :, moved]
        trial = np.clip(here[:, moved] + step[:, moved], low, high)
        new = evaluate(window, rows[active], components, bounds, trial)
        better = new.chi2 <= chi2
        position[:, active[better]] = trial[:, better]
        chi2 = np.where(better, new.chi2, chi2)
        final[active] = chi2
        gradient = np.where(better, new.gradient, gradient)
        curvature = np.where(better, _eliminate(new), curvature)
        damping[active] = np.clip(damping[active] * np.where(better, 0.1, 10.0), 1e-9, 1e12)
    return position, final


def _eliminate(now):
    """Half the Hessian in the non-linear parameters alone: the free amplitudes follow them."""
    size = len(now.amplitude)
    held = ~now.free
    linear = np.where(held[:, None] | held[None], 0.0, now.joint[:size, :size])
    coupling = now.joint[size:, :size]
    decomposition = linalg.cholesky(linear)
    curvature = now.joint[size:, size:].copy()
    for p in range(len(coupling)):
        curvature[p] -= (coupling * linalg.solve(decomposition, coupling[p])).sum(axis=1)
    return curvature

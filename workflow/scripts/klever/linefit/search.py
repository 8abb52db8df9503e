"""The non-linear part of a fit: where to start in velocity and dispersion, and how to get to the minimum."""

import numpy as np

from klever.linefit import linalg
from klever.linefit.normal import evaluate, local_profiles, stretch_length

__all__ = ["BATCH", "ITERATIONS", "TOLERANCE", "Search"]

BATCH = 384  # spaxels: keeps the working arrays in the cache
ITERATIONS = 40
TOLERANCE = 1e-3  # of chi2, in the predicted decrease of a step: that step is the last
_STEP_LIMIT = 0.5  # of the range of a parameter, per step


class Search:
    """Grid of starts and Levenberg-Marquardt refinement for one group.

    Parameters
    ----------
    model : GroupModel
    velocity_range : float
        km/s, on each side of velocity zero.
    dispersion_range : (float, float)
        km/s.
    """

    def __init__(self, model, velocity_range, dispersion_range):
        self.model, self.ties, self.bound = model, model.columns(), model.bound()
        self.low = np.array([-velocity_range, dispersion_range[0]], float)
        self.high = np.array([velocity_range, dispersion_range[1]], float)

    def padding(self, wavelength):
        """Channels by which spectra must be padded so that a line at any velocity and width stays inside."""
        step = float(np.median(np.diff(wavelength)))
        reach = np.max(self.model.centres(self.high[0]) - self.model.centres(0.0)) / step
        return stretch_length(self.model, self.high[1], step) + int(np.ceil(reach)) + 2

    def nodes(self):
        """Yield velocity and dispersion of each start: three widths, each with steps of 0.8 of its observed width."""
        low, high = self.low[1], self.high[1]
        for fraction in (0.25, 0.5, 0.75):
            dispersion = low * (high / low) ** fraction
            step = 0.8 * float(self.model.observed_dispersion(0.0, dispersion))
            count = int(np.ceil(self.high[0] / step))
            for velocity in np.linspace(self.low[0], self.high[0], 2 * count + 1)[1:-1]:
                yield velocity, dispersion

    def grid(self, around_best=False):
        """Nodes of the posterior, shape (n, 2): even in velocity (fastest) and in the logarithm of dispersion.

        A single one with `around_best`, where the box around the best fit is to say everything.
        """
        low, high = self.low[1], self.high[1]
        step = 0.6 * float(self.model.observed_dispersion(0.0, low))
        n_v = 1 if around_best else int(np.ceil((self.high[0] - self.low[0]) / step))
        n_s = 1 if around_best else max(int(np.ceil(np.log(high / low) / 0.35)), 3)
        velocity = self.low[0] + (np.arange(n_v) + 0.5) * (self.high[0] - self.low[0]) / n_v
        dispersion = low * (high / low) ** ((np.arange(n_s) + 0.5) / n_s)
        return np.stack([np.tile(velocity, n_s), np.repeat(dispersion, n_v)], axis=1)

    def starts(self, window, prior, prior_width):
        """Find the best node of each spaxel.

        Returns velocity, dispersion, decrease of chi2, and how much more absorption of the main line would decrease it.
        The profiles of a node are common to all spaxels, so its normal equations are matrix products.  Columns with a
        negative amplitude earn nothing, nor do nodes whose main line is negative: absorption is no start.
        """
        nodes = np.array(list(self.nodes()))
        n_spaxels, n_columns = len(window.flux), self.ties.shape[1]
        main = int(np.argmax(self.ties[self.model.main]))
        local = local_profiles(window, self.model, nodes[:, 0], nodes[:, 1])
        best = np.full(n_spaxels, -np.inf)
        gain_of_best, choice = np.zeros(n_spaxels), np.zeros(n_spaxels, int)
        highest, deepest = np.zeros(n_spaxels), np.zeros(n_spaxels)
        for k, (velocity, dispersion) in enumerate(nodes):
            length = stretch_length(self.model, dispersion, window.step)
            trim = (local.kinds.shape[3] - length) // 2
            first = int(local.start[:, k].min()) + trim
            last = int(local.start[:, k].max()) + trim + length
            columns = np.zeros((n_columns, last - first))
            for i, start in enumerate(local.start[:, k] + trim - first):
                profile = local.kinds[0, i, k, trim : trim + length]
                columns[:, start : start + length] += self.ties[i][:, None] * profile
            gain, absorbed = _gain(window, columns, first, main)
            np.maximum(highest, gain, out=highest)
            np.maximum(deepest, absorbed, out=deepest)
            score = gain if prior is None else gain - np.nan_to_num(((velocity - prior) / prior_width) ** 2)
            better = score > best
            best[better], gain_of_best[better], choice[better] = score[better], gain[better], k
        return nodes[choice, 0], nodes[choice, 1], gain_of_best, deepest - highest

    def evaluate(self, window, rows, position):
        """Evaluate spaxels `rows` at `position`, shape (2, n): velocities and dispersions."""
        return evaluate(window, self.model, self.ties, self.bound, rows, position[0], position[1])

    def refine(self, window, position):
        """Return where Levenberg-Marquardt ends that starts from `position`, shape (2, n), and keeps to the bounds."""
        order = np.argsort(position[1], kind="stable")
        position = position.copy()
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            position[:, rows] = self._refine_batch(window, rows, position[:, rows])
        return position

    def _refine_batch(self, window, rows, position):
        position = position.copy()
        reach = _STEP_LIMIT * (self.high - self.low)[:, None]
        active = np.arange(len(rows))
        now = self.evaluate(window, rows, position)
        chi2, gradient, curvature = now.chi2, now.gradient, now.curvature
        damping = np.full(len(rows), 1e-2)
        for _ in range(ITERATIONS):
            step, predicted = self._step(position[:, active], gradient, curvature, damping[active])
            step = np.clip(step, -reach, reach)
            trial = np.clip(position[:, active] + step, self.low[:, None], self.high[:, None])
            moved = predicted > TOLERANCE
            position[:, active[~moved]] = trial[:, ~moved]
            if not moved.any():
                break
            active, trial = active[moved], trial[:, moved]
            chi2, gradient, curvature = chi2[moved], gradient[:, moved], curvature[:, :, moved]
            new = self.evaluate(window, rows[active], trial)
            better = new.chi2 <= chi2
            position[:, active[better]] = trial[:, better]
            chi2 = np.where(better, new.chi2, chi2)
            gradient = np.where(better, new.gradient, gradient)
            curvature = np.where(better, new.curvature, curvature)
            damping[active] = np.clip(damping[active] * np.where(better, 0.1, 10.0), 1e-9, 1e12)
        return position

    def _step(self, position, gradient, curvature, damping):
        """Damped Newton step; a parameter at a bound that the gradient pushes outwards stays there."""
        stuck = ((position <= self.low[:, None]) & (gradient < 0)) | ((position >= self.high[:, None]) & (gradient > 0))
        pull = np.where(stuck, 0.0, gradient)
        diagonal = np.array([curvature[0, 0], curvature[1, 1]]) * (1 + damping)
        diagonal = np.where(diagonal > 0, diagonal, 1.0)
        cross = np.where(stuck.any(axis=0), 0.0, curvature[0, 1])
        determinant = diagonal[0] * diagonal[1] - cross**2
        singular = determinant <= 1e-12 * diagonal[0] * diagonal[1]
        cross = np.where(singular, 0.0, cross)
        determinant = np.where(singular, diagonal[0] * diagonal[1], determinant)
        step = np.array([diagonal[1] * pull[0] - cross * pull[1], diagonal[0] * pull[1] - cross * pull[0]])
        step /= determinant
        return step, (pull * step).sum(axis=0)


def _gain(window, columns, first, main):
    """Decrease of chi2 at one node, per spaxel.

    Returns that of positive columns, 0 where the main one is not positive; and that of the main column where negative.
    """
    n_columns = len(columns)
    used = np.flatnonzero(columns.any(axis=0))
    matrix = np.zeros((n_columns + 2, n_columns + 2, len(window.flux)))
    right = np.zeros((n_columns + 2, len(window.flux)))
    pieces = np.split(used, np.flatnonzero(np.diff(used) > 1) + 1)
    for piece in pieces:
        stretch = columns[:, piece]
        channels = slice(first + int(piece[0]), first + int(piece[-1]) + 1)
        here = [k for k in range(n_columns) if stretch[k].any()]
        pairs = [(a, b) for a in here for b in here if a <= b]
        x = window.x[channels]
        basis = np.stack([stretch[a] * stretch[b] for a, b in pairs] + [stretch[a] for a in here]
                         + [stretch[a] * x for a in here], axis=1)  # fmt: skip
        sums = (window.weight[:, channels] @ basis).T
        for (a, b), value in zip(pairs, sums, strict=False):
            matrix[a, b] += value
            if a != b:
                matrix[b, a] += value
        for position, a in enumerate(here):
            matrix[a, n_columns] += sums[len(pairs) + position]
            matrix[a, n_columns + 1] += sums[len(pairs) + len(here) + position]
        right[here] += (window.weighted[:, channels] @ stretch[here].T).T
    matrix[n_columns:, :n_columns] = matrix[:n_columns, n_columns:].transpose(1, 0, 2)
    matrix[n_columns, n_columns], matrix[n_columns + 1, n_columns + 1] = window.moments[0], window.moments[2]
    matrix[n_columns, n_columns + 1] = matrix[n_columns + 1, n_columns] = window.moments[1]
    right[n_columns:] = window.projections
    amplitude = linalg.solve(linalg.cholesky(matrix), right)[:n_columns]
    gain = (np.maximum(amplitude, 0.0) * right[:n_columns]).sum(axis=0)
    return np.where(amplitude[main] > 0, gain, 0.0), np.where(amplitude[main] < 0, amplitude[main] * right[main], 0.0)

"""The compiled engine: what `normal`, `search` and `window` do for batches, spectrum by spectrum in machine code.

The algorithm is theirs, step for step, so that both engines give the same answers; `klever.linefit.varpro` chooses.
All compiled functions are in this one file because numba's cache of a function notices changes of its own file only.
Everything is serial: a spectrum's result does not depend on the others to the last bit.
"""

from collections import namedtuple

import numpy as np
from numba import njit

__all__ = ["Nodes", "Problem", "fit", "posterior", "search"]

_TOLERANCE = 1e-3
_ITERATIONS = 40
_SIGMAS = 4.5
_MARGIN = 2
_RIDGE = 1e-12
_SPEED = 299792.458
_SPIKE_SIGMA = 10.0
_SPIKE_CONTRAST = 0.7
_SPIKE_PEAK = 0.3
_CORE = 2.5
_TABLE_REACH = 6.5
_TABLE_STEP = 1.0 / 64

# sums may be reordered (so that they run on vector units), but NaN and infinity keep their meaning
_OPTIONS = {
    "cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}  # fmt: skip
_compiled = njit(**_OPTIONS)
# inner functions borrow the arrays of their callers: counting references would take longer than the arithmetic
_inner = njit(**_OPTIONS, _nrt=False)

Problem = namedtuple(
    "Problem",
    "edges density x rest owner coefficient n_columns sigma_instrument has_bound top bottom ratio_low ratio_high low high "
    "main_column pad step half_range cdf pdf",
)
"""A group on a padded wavelength axis; see `klever.linefit.varpro` for how it is filled."""

Nodes = namedtuple("Nodes", "velocity dispersion start length profile")
"""Places in (velocity, dispersion) with the profiles of all lines there, common to all spectra."""

Scratch = namedtuple(
    "Scratch",
    "y w wy profile d_velocity d_dispersion first last cdf pdf t offset curve matrix right amplitude factor pivots joint work "
    "inverse matrix_joint moments projections",
)


def gaussian_tables():
    """Cumulative distribution and density of the unit Gaussian on the grid that `_profiles` expands around."""
    from scipy.special import ndtr

    t = np.arange(-_TABLE_REACH, _TABLE_REACH + _TABLE_STEP / 2, _TABLE_STEP)
    return ndtr(t), np.exp(-0.5 * t * t) / np.sqrt(2 * np.pi)


@_compiled
def _scratch(problem, n_channels):
    n_lines, n_padded, size = problem.rest.size, problem.x.size, problem.n_columns + 2
    return Scratch(
        np.zeros(n_padded), np.zeros(n_padded), np.zeros(n_padded), np.zeros((n_lines, n_padded)),
        np.zeros((n_lines, n_padded)), np.zeros((n_lines, n_padded)), np.zeros(n_lines, np.int64),
        np.zeros(n_lines, np.int64), np.zeros(n_padded + 1), np.zeros(n_padded + 1), np.zeros(n_padded + 1), np.zeros(n_padded + 1),
        np.zeros((2, n_padded)),
        np.zeros((size, size)), np.zeros(size), np.zeros(size), np.zeros((size + 2, size + 2)), np.zeros(size + 2),
        np.zeros((size + 2, size + 2)), np.zeros((3, size + 2)), np.zeros((size + 2, size + 2)), np.zeros((size + 2, size + 2)), np.zeros(3),
        np.zeros(2),
    )  # fmt: skip


@_inner
def _factor(matrix, size, factor, inverse):
    """Factor L D L^T: `factor` gets L below the diagonal, `inverse` 1/D; dead columns (no data) get 0.

    Pivots keep the floor of `klever.linefit.linalg.cholesky` against degenerate columns.
    """
    for j in range(size):
        diagonal = matrix[j, j]
        pivot = diagonal * (1.0 + _RIDGE)
        for m in range(j):
            pivot -= factor[j, m] * factor[m, j]
        inverse[j] = 1.0 / max(pivot, _RIDGE * diagonal) if diagonal > 0 else 0.0
        for i in range(j + 1, size):
            value = matrix[i, j]
            for m in range(j):
                value -= factor[i, m] * factor[m, j]
            factor[j, i] = value
            factor[i, j] = value * inverse[j]


@_inner
def _solve(factor, inverse, size, right, out):
    for i in range(size):
        value = right[i]
        for m in range(i):
            value -= factor[i, m] * out[m]
        out[i] = value
    for i in range(size - 1, -1, -1):
        value = out[i] * inverse[i]
        for m in range(i + 1, size):
            value -= factor[m, i] * out[m]
        out[i] = value


@_inner
def _invert(factor, pivots, size, unit, column, inverse):
    for j in range(size):
        for i in range(size):
            unit[i] = 0.0
        unit[j] = 1.0
        _solve(factor, pivots, size, unit, column)
        for i in range(size):
            inverse[i, j] = column[i]


@_inner
def _prepare(problem, flux, error, excluded, scratch, spikes):
    """As `klever.linefit.window.prepare`, for one spectrum.

    Returns the flux unit, number of valid channels, continuum level and slope, square, whether it can be fitted, and
    the mean weight of valid channels.
    """
    n, pad = flux.size, problem.pad
    y, w, wy, x = scratch.y, scratch.w, scratch.wy, problem.x
    n_valid, total = 0, 0.0
    inner_w, inner_y = w[pad : pad + n], y[pad : pad + n]
    spikes[:] = False
    for c in range(n):
        good = (abs(flux[c]) < np.inf) & (error[c] < np.inf) & (error[c] > 0) & ~excluded[c]
        inner_w[c] = 1.0 / error[c] if good else 0.0
    for c in range(n):
        n_valid += 1 if inner_w[c] > 0 else 0
        total += inner_w[c]
    typical = n_valid / total if total > 0 else 1.0
    if not (np.isfinite(typical) and typical > 0):
        typical = 1.0
    inverse = 1.0 / typical
    for c in range(n):
        weight = inner_w[c] * typical
        weight *= weight
        good = (weight < 1e100) & (abs(flux[c] * inverse) < 1e100)
        inner_w[c] = weight if good else 0.0
    for c in range(n):
        inner_y[c] = flux[c] * inverse if inner_w[c] > 0 else 0.0
    _mask_spikes(inner_y, inner_w, spikes)

    low, high, n_valid, m0, m1, m2, p0, p1 = np.inf, -np.inf, 0, 0.0, 0.0, 0.0, 0.0, 0.0
    inner_x, inner_wy = x[pad : pad + n], wy[pad : pad + n]
    for c in range(n):
        weight, value, position = inner_w[c], inner_y[c], inner_x[c]
        good = weight > 0
        n_valid += 1 if good else 0
        low, high = min(low, value if good else low), max(high, value if good else high)
        wx, product = weight * position, weight * value
        m0 += weight
        m1 += wx
        m2 += wx * position
        p0 += product
        p1 += product * position
    determinant = m0 * m2 - m1 * m1
    level = slope = 0.0
    if determinant > 1e-10 * m0 * m0 and m0 > 0:
        level, slope = (m2 * p0 - m1 * p1) / determinant, (m0 * p1 - m1 * p0) / determinant
    elif m0 > 0:
        level = p0 / m0
    square, q0, q1 = 0.0, 0.0, 0.0
    for c in range(n):
        inner_y[c] = inner_y[c] - level - slope * inner_x[c] if inner_w[c] > 0 else 0.0
    for c in range(n):
        inner_wy[c] = inner_w[c] * inner_y[c]
    for c in range(n):
        square += inner_wy[c] * inner_y[c]
        q0 += inner_wy[c]
        q1 += inner_wy[c] * inner_x[c]
    scratch.moments[0], scratch.moments[1], scratch.moments[2] = m0, m1, m2
    scratch.projections[0], scratch.projections[1] = q0, q1
    return typical, n_valid, level, slope, square, high > low


@_inner
def _mask_spikes(y, w, spikes):
    """As `klever.linefit.window.find_spikes`; all spikes are found before any is masked."""
    found = 0
    for c in range(2, y.size - 2):
        highest, lowest = max(y[c - 1], y[c + 1]), min(y[c - 1], y[c + 1])
        stands_out = max(y[c] - highest, lowest - y[c])
        found += 1 if (stands_out > 0) & (stands_out * stands_out * w[c] > _SPIKE_SIGMA**2) else 0
    if not found:
        return
    for c in range(2, y.size - 2):
        highest, lowest = max(y[c - 1], y[c + 1]), min(y[c - 1], y[c + 1])
        stands_out = max(y[c] - highest, lowest - y[c])
        height = abs(y[c] - 0.5 * (y[c - 2] + y[c + 2]))
        spikes[c] = (
            stands_out * np.sqrt(w[c]) > _SPIKE_SIGMA
            and w[c - 1] > 0
            and w[c + 1] > 0
            and stands_out > _SPIKE_CONTRAST * height
        )
    for c in range(y.size):
        if spikes[c]:
            y[c] = w[c] = 0.0


@_inner
def _system(problem, scratch, first, last, profile):
    """Fill the normal equations of columns and continuum for line profiles on the channels from first to last."""
    owner, coefficient, n_columns = problem.owner, problem.coefficient, problem.n_columns
    matrix, right = scratch.matrix, scratch.right
    size = n_columns + 2
    for k in range(size):
        right[k] = 0.0
        for m in range(size):
            matrix[k, m] = 0.0
    for i in range(owner.size):
        length = last[i] - first[i]
        w, wy, x = scratch.w[first[i] : last[i]], scratch.wy[first[i] : last[i]], problem.x[first[i] : last[i]]
        p = profile[i]
        level = slope = data = square = 0.0
        for c in range(length):
            wp = w[c] * p[c]
            level += wp
            slope += wp * x[c]
            data += wy[c] * p[c]
            square += wp * p[c]
        k, scale = owner[i], coefficient[i]
        matrix[k, n_columns] += scale * level
        matrix[k, n_columns + 1] += scale * slope
        right[k] += scale * data
        matrix[k, k] += scale * scale * square
        for j in range(i + 1, owner.size):
            start, stop = max(first[i], first[j]), min(last[i], last[j])
            if start >= stop:
                continue
            mine, other, weight = p[start - first[i] :], profile[j, start - first[j] :], scratch.w[start:stop]
            cross = 0.0
            for c in range(stop - start):
                cross += weight[c] * mine[c] * other[c]
            cross *= scale * coefficient[j]
            matrix[k, owner[j]] += cross
            matrix[owner[j], k] += cross
    for k in range(n_columns):
        matrix[n_columns, k], matrix[n_columns + 1, k] = matrix[k, n_columns], matrix[k, n_columns + 1]
    moments = scratch.moments
    matrix[n_columns, n_columns], matrix[n_columns + 1, n_columns + 1] = moments[0], moments[2]
    matrix[n_columns, n_columns + 1] = matrix[n_columns + 1, n_columns] = moments[1]
    right[n_columns], right[n_columns + 1] = scratch.projections[0], scratch.projections[1]


@_inner
def _solve_bounded(problem, scratch):
    """As `klever.linefit.normal.solve_bounded`; the factor left in scratch is that of the free problem."""
    matrix, right, amplitude, work = scratch.matrix, scratch.right, scratch.amplitude, scratch.work
    size = right.size
    _factor(matrix, size, scratch.factor, scratch.pivots)
    _solve(scratch.factor, scratch.pivots, size, right, amplitude)
    if not problem.has_bound:
        return False
    top, bottom = problem.top, problem.bottom
    sign = np.sign(amplitude[bottom])
    low, high = problem.ratio_low * amplitude[bottom] * sign, problem.ratio_high * amplitude[bottom] * sign
    if amplitude[top] * sign >= low and amplitude[top] * sign <= high:
        return False
    if scratch.pivots[top] == 0 or scratch.pivots[bottom] == 0:
        # one of them has no data: it follows the other at no cost
        if scratch.pivots[top] == 0:
            amplitude[top] = problem.ratio_low * amplitude[bottom]
        else:
            amplitude[bottom] = amplitude[top] / problem.ratio_low
        return True
    # the best point on an edge, a_top = ratio a_bottom, by a Lagrange multiplier: a - M^-1 c (c.a) / (c M^-1 c)
    least, chosen, pull = np.inf, 0, 0.0
    for edge in range(2):
        ratio = problem.ratio_low if edge == 0 else problem.ratio_high
        constraint, shift = work[2], work[edge]
        for k in range(size):
            constraint[k] = 0.0
        constraint[top], constraint[bottom] = 1.0, -ratio
        _solve(scratch.factor, scratch.pivots, size, constraint, shift)
        violation = amplitude[top] - ratio * amplitude[bottom]
        spread = shift[top] - ratio * shift[bottom]
        cost = violation * violation / spread
        if cost < least:
            least, chosen, pull = cost, edge, violation / spread
    for k in range(size):
        amplitude[k] -= pull * work[chosen, k]
    return True


@_inner
def _chi2(scratch, square):
    """Chi2 at ``scratch.amplitude``, which need not be the free solution."""
    amplitude, right, matrix = scratch.amplitude, scratch.right, scratch.matrix
    result = square
    for k in range(right.size):
        row = 0.0
        for m in range(right.size):
            row += matrix[k, m] * amplitude[m]
        result += amplitude[k] * (row - 2 * right[k])
    return result


@_inner
def _locate(edges, value):
    """Index of the channel that holds `value`."""
    low, high = 0, edges.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if edges[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@_inner
def _profiles(problem, scratch, velocity, dispersion):
    """Pixel-averaged profiles (times the channel width) and derivatives of all lines."""
    edges, density = problem.edges, problem.density
    cdf, pdf, t, offset = scratch.cdf, scratch.pdf, scratch.t, scratch.offset
    reach = _TABLE_REACH - _TABLE_STEP
    for i in range(problem.rest.size):
        centre = problem.rest[i] * (1 + velocity / _SPEED)
        thermal = centre * dispersion / _SPEED
        sigma = np.sqrt(thermal * thermal + problem.sigma_instrument**2)
        first = max(_locate(edges, centre - _SIGMAS * sigma) - _MARGIN, 0)
        last = min(_locate(edges, centre + _SIGMAS * sigma) + 1 + _MARGIN, density.size)
        scratch.first[i], scratch.last[i] = first, last
        inverse = 1.0 / sigma
        near, n_edges = edges[first : last + 1], last - first + 1
        # short loops that write to one array each: only such loops run on vector units
        for c in range(n_edges):
            t[c] = min(max((near[c] - centre) * inverse, -reach), reach)
        for c in range(n_edges):
            nearest = np.uint64((t[c] + _TABLE_REACH) * (1.0 / _TABLE_STEP) + 0.5)
            offset[c] = t[c] - (np.float64(nearest) * _TABLE_STEP - _TABLE_REACH)
            cdf[c], pdf[c] = problem.cdf[nearest], problem.pdf[nearest]
        # Taylor series of both around the grid point, whose coefficients are Hermite polynomials
        for c in range(n_edges):
            d = offset[c]
            t0 = t[c] - d
            h2, h3, h4 = t0 * t0 - 1, t0 * (t0 * t0 - 3), t0 * t0 * (t0 * t0 - 6) + 3
            series = 1 + d * (-t0 / 2 + d * (h2 / 6 + d * (-h3 / 24 + d * (h4 / 120))))
            cdf[c] += pdf[c] * d * series
        for c in range(n_edges):
            d = offset[c]
            t0 = t[c] - d
            h2, h3, h4 = t0 * t0 - 1, t0 * (t0 * t0 - 3), t0 * t0 * (t0 * t0 - 6) + 3
            pdf[c] *= 1 + d * (-t0 + d * (h2 / 2 + d * (-h3 / 6 + d * (h4 / 24))))
        per_velocity = -centre / (_SPEED + velocity) * inverse
        intrinsic = centre * centre / (_SPEED * _SPEED) * inverse * inverse
        sigma_per_velocity = -intrinsic * dispersion * dispersion / (_SPEED + velocity)
        sigma_per_dispersion = -intrinsic * dispersion
        profile, d_velocity, d_dispersion = scratch.profile[i], scratch.d_velocity[i], scratch.d_dispersion[i]
        width = density[first:last]
        for c in range(last - first):
            profile[c] = (cdf[c + 1] - cdf[c]) * width[c]
        for c in range(last - first):
            d_dispersion[c] = (pdf[c + 1] * t[c + 1] - pdf[c] * t[c]) * width[c]
        for c in range(last - first):
            d_velocity[c] = (pdf[c + 1] - pdf[c]) * width[c] * per_velocity + d_dispersion[c] * sigma_per_velocity
        for c in range(last - first):
            d_dispersion[c] *= sigma_per_dispersion


@_inner
def _evaluate(problem, scratch, velocity, dispersion, square):
    """As `klever.linefit.normal.evaluate` for one spectrum.

    Returns chi2, minus half its gradient (2), half its Hessian (3: vv, vs, ss) with the linear parameters eliminated,
    and whether the ratio is at its bound.  The joint matrix is left in scratch.
    """
    _profiles(problem, scratch, velocity, dispersion)
    owner, coefficient, first, last = problem.owner, problem.coefficient, scratch.first, scratch.last
    n_lines, n_columns = owner.size, problem.n_columns
    size = n_columns + 2
    _system(problem, scratch, first, last, scratch.profile)
    on_bound = _solve_bounded(problem, scratch)
    amplitude, joint = scratch.amplitude, scratch.joint
    chi2 = _chi2(scratch, square)

    # derivatives of the model curve
    low, high = first[0], last[0]
    for i in range(n_lines):
        low, high = min(low, first[i]), max(high, last[i])
    curve_v, curve_s = scratch.curve[0, low:high], scratch.curve[1, low:high]
    curve_v[:] = 0.0
    curve_s[:] = 0.0
    for i in range(n_lines):
        flux = coefficient[i] * amplitude[owner[i]]
        d_velocity, d_dispersion = scratch.d_velocity[i], scratch.d_dispersion[i]
        here_v, here_s = curve_v[first[i] - low :], curve_s[first[i] - low :]
        for c in range(last[i] - first[i]):
            here_v[c] += flux * d_velocity[c]
        for c in range(last[i] - first[i]):
            here_s[c] += flux * d_dispersion[c]

    for k in range(size):
        for m in range(size):
            joint[k, m] = scratch.matrix[k, m]
        joint[size, k] = joint[size + 1, k] = 0.0
    w, wy, x = scratch.w[low:high], scratch.wy[low:high], problem.x[low:high]
    level_v = slope_v = data_v = level_s = slope_s = data_s = vv = vs = ss = 0.0
    for c in range(high - low):
        wv, ws = w[c] * curve_v[c], w[c] * curve_s[c]
        level_v += wv
        slope_v += wv * x[c]
        data_v += wy[c] * curve_v[c]
        level_s += ws
        slope_s += ws * x[c]
        data_s += wy[c] * curve_s[c]
        vv += wv * curve_v[c]
        vs += wv * curve_s[c]
        ss += ws * curve_s[c]
    for c in range(high - low):
        curve_v[c] *= w[c]
    for c in range(high - low):
        curve_s[c] *= w[c]
    for i in range(n_lines):
        profile = scratch.profile[i]
        here_v, here_s = curve_v[first[i] - low :], curve_s[first[i] - low :]
        with_v = with_s = 0.0
        for c in range(last[i] - first[i]):
            with_v += here_v[c] * profile[c]
            with_s += here_s[c] * profile[c]
        joint[size, owner[i]] += coefficient[i] * with_v
        joint[size + 1, owner[i]] += coefficient[i] * with_s
    joint[size, n_columns], joint[size, n_columns + 1] = level_v, slope_v
    joint[size + 1, n_columns], joint[size + 1, n_columns + 1] = level_s, slope_s
    joint[size, size], joint[size + 1, size + 1] = vv, ss
    joint[size, size + 1] = joint[size + 1, size] = vs
    gradient_v, gradient_s = data_v, data_s
    for k in range(size):
        gradient_v -= amplitude[k] * joint[size, k]
        gradient_s -= amplitude[k] * joint[size + 1, k]
        joint[k, size], joint[k, size + 1] = joint[size, k], joint[size + 1, k]
    _solve(scratch.factor, scratch.pivots, size, joint[size], scratch.work[0])
    _solve(scratch.factor, scratch.pivots, size, joint[size + 1], scratch.work[1])
    for k in range(size):
        vv -= joint[size, k] * scratch.work[0, k]
        vs -= joint[size + 1, k] * scratch.work[0, k]
        ss -= joint[size + 1, k] * scratch.work[1, k]
    return chi2, gradient_v, gradient_s, vv, vs, ss, on_bound


@_inner
def _starts(problem, nodes, scratch, prior, prior_width):
    """As `klever.linefit.search.Search.starts`: best node, its gain, and what absorption would gain beyond emission."""
    n_lines, n_columns = problem.rest.size, problem.n_columns
    size, main = n_columns + 2, problem.main_column
    best, chosen, gain_of_best, highest, deepest = -np.inf, 0, 0.0, 0.0, 0.0
    for node in range(nodes.velocity.size):
        length = nodes.length[node]
        for i in range(n_lines):
            scratch.first[i] = nodes.start[node, i]
            scratch.last[i] = nodes.start[node, i] + length
        _system(problem, scratch, scratch.first, scratch.last, nodes.profile[node])
        _factor(scratch.matrix, size, scratch.factor, scratch.pivots)
        _solve(scratch.factor, scratch.pivots, size, scratch.right, scratch.amplitude)
        gain = absorbed = 0.0
        if scratch.amplitude[main] > 0:
            for k in range(n_columns):
                gain += max(scratch.amplitude[k], 0.0) * scratch.right[k]
        elif scratch.amplitude[main] < 0:
            absorbed = scratch.amplitude[main] * scratch.right[main]
        highest, deepest = max(highest, gain), max(deepest, absorbed)
        score = gain
        if np.isfinite(prior):
            offset = (nodes.velocity[node] - prior) / prior_width
            score -= offset * offset
        if score > best:
            best, chosen, gain_of_best = score, node, gain
    return chosen, gain_of_best, deepest - highest


@_inner
def _refine(problem, scratch, velocity, dispersion, square):
    """Levenberg-Marquardt as `klever.linefit.search.Search.refine`."""
    low, high = problem.low, problem.high
    reach_v, reach_s = 0.5 * (high[0] - low[0]), 0.5 * (high[1] - low[1])
    chi2, gv, gs, vv, vs, ss, _ = _evaluate(problem, scratch, velocity, dispersion, square)
    damping = 1e-2
    for _ in range(_ITERATIONS):
        stuck_v = (velocity <= low[0] and gv < 0) or (velocity >= high[0] and gv > 0)
        stuck_s = (dispersion <= low[1] and gs < 0) or (dispersion >= high[1] and gs > 0)
        pull_v = 0.0 if stuck_v else gv
        pull_s = 0.0 if stuck_s else gs
        diagonal_v, diagonal_s = vv * (1 + damping), ss * (1 + damping)
        diagonal_v = diagonal_v if diagonal_v > 0 else 1.0
        diagonal_s = diagonal_s if diagonal_s > 0 else 1.0
        cross = 0.0 if stuck_v or stuck_s else vs
        determinant = diagonal_v * diagonal_s - cross * cross
        if determinant <= 1e-12 * diagonal_v * diagonal_s:
            cross, determinant = 0.0, diagonal_v * diagonal_s
        step_v = (diagonal_s * pull_v - cross * pull_s) / determinant
        step_s = (diagonal_v * pull_s - cross * pull_v) / determinant
        trial_v = min(max(velocity + min(max(step_v, -reach_v), reach_v), low[0]), high[0])
        trial_s = min(max(dispersion + min(max(step_s, -reach_s), reach_s), low[1]), high[1])
        if not pull_v * step_v + pull_s * step_s > _TOLERANCE:
            return trial_v, trial_s
        new, ngv, ngs, nvv, nvs, nss, _ = _evaluate(problem, scratch, trial_v, trial_s, square)
        if new <= chi2:
            velocity, dispersion = trial_v, trial_s
            chi2, gv, gs, vv, vs, ss = new, ngv, ngs, nvv, nvs, nss
            damping = max(damping * 0.1, 1e-9)
        else:
            damping = min(damping * 10.0, 1e12)
    return velocity, dispersion


@_compiled
def search(problem, nodes, flux, error, excluded, prior, prior_width, velocity, gain):
    """Fill `velocity` and `gain`, shape (n,), with those of the best node of each spectrum."""
    scratch, spikes = _scratch(problem, flux.shape[1]), np.zeros(flux.shape[1], np.bool_)
    for s in range(len(flux)):
        _, _, _, _, _, fittable = _prepare(problem, flux[s], error[s], excluded[s], scratch, spikes)
        node, found, _ = _starts(problem, nodes, scratch, prior[s], prior_width)
        velocity[s], gain[s] = nodes.velocity[node], found if fittable else 0.0


@_compiled
def fit(problem, nodes, flux, error, excluded, prior, prior_width, out, out_lines, covariance, far, spikes):
    """Fit each spectrum.

    Parameters
    ----------
    problem : Problem
    nodes : Nodes
        Starts.
    flux, error : ndarray, shape (n, n_channels)
    excluded : ndarray of bool, same shape
    prior : ndarray, shape (n,)
        Velocity to prefer, NaN for none.
    prior_width : float
    out : ndarray, shape (14, n)
        Filled with velocity, dispersion, their errors, continuum level and slope, chi2, decrease of chi2, number of
        valid channels, 1 if it can be fitted, 1 if the ratio is at its bound, gain of absorption, chi2 in the cores of
        the lines and the number of channels there.
    out_lines : ndarray, shape (2, n_lines, n)
        Filled with flux and coverage.
    covariance : ndarray, shape (n_lines, n_lines, n)
    far : ndarray, shape (n, n_channels)
        Filled with the size of residuals that are large against the line, in sigma.
    spikes : ndarray of bool, shape (n, n_channels)
    """
    scratch = _scratch(problem, flux.shape[1])
    for s in range(len(flux)):
        unit, n_valid, level, slope, square, fittable = _prepare(
            problem, flux[s], error[s], excluded[s], scratch, spikes[s]
        )
        node, _, absorption = _starts(problem, nodes, scratch, prior[s], prior_width)
        velocity, dispersion = _refine(problem, scratch, nodes.velocity[node], nodes.dispersion[node], square)
        on_bound = _evaluate(problem, scratch, velocity, dispersion, square)[6]
        out[0, s], out[1, s] = velocity, dispersion
        out[8, s], out[9, s], out[10, s], out[11, s] = n_valid, fittable, on_bound, absorption
        n_columns = problem.n_columns
        out[4, s] = (level + scratch.amplitude[n_columns]) * unit
        out[5, s] = (slope + scratch.amplitude[n_columns + 1]) * unit / problem.half_range
        _collect_errors(problem, scratch, velocity, dispersion, unit, out[:, s], covariance[:, :, s])
        _collect_residuals(problem, scratch, unit, velocity, dispersion, out[:, s], out_lines[:, :, s], far[s])
        out[7, s] = square - out[6, s]


@_inner
def _collect_errors(problem, scratch, velocity, dispersion, unit, out, covariance):
    joint, owner, coefficient = scratch.joint, problem.owner, problem.coefficient
    size = problem.n_columns + 2
    position = (velocity, dispersion)
    for p in range(2):
        if position[p] <= problem.low[p] or position[p] >= problem.high[p]:
            # a parameter held at its bound is no free parameter: it leaves the covariance
            for k in range(size + 2):
                joint[size + p, k] = joint[k, size + p] = 0.0
    _factor(joint, size + 2, scratch.matrix_joint, scratch.work[0])
    _invert(scratch.matrix_joint, scratch.work[0], size + 2, scratch.work[1], scratch.work[2], scratch.inverse)
    scale = (unit * problem.step) ** 2
    for i in range(owner.size):
        for j in range(owner.size):
            covariance[i, j] = coefficient[i] * coefficient[j] * scratch.inverse[owner[i], owner[j]] * scale
    for p in range(2):
        out[2 + p] = np.sqrt(max(scratch.inverse[size + p, size + p], 0.0))


@_inner
def _collect_residuals(problem, scratch, unit, velocity, dispersion, out, out_lines, far):
    owner, coefficient, first, last = problem.owner, problem.coefficient, scratch.first, scratch.last
    n_lines, n_columns = owner.size, problem.n_columns
    amplitude, n, pad = scratch.amplitude, far.size, problem.pad
    level, slope = amplitude[n_columns], amplitude[n_columns + 1]
    y, w, x = scratch.y[pad : pad + n], scratch.w[pad : pad + n], problem.x[pad : pad + n]
    # the curves become the residual, and the cores of the lines
    residual, core = scratch.curve[0, pad : pad + n], scratch.curve[1, pad : pad + n]
    core[:] = 0.0
    for c in range(n):
        residual[c] = y[c] - level - slope * x[c]
    peak = 0.0
    for i in range(n_lines):
        flux = coefficient[i] * amplitude[owner[i]]
        out_lines[0, i] = flux * unit * problem.step
        profile, weight, curve = scratch.profile[i], scratch.w[first[i] :], scratch.curve[0, first[i] :]
        top = seen = total = 0.0
        for c in range(last[i] - first[i]):
            top = max(top, profile[c])
            total += profile[c]
            seen += profile[c] if weight[c] > 0 else 0.0
        for c in range(last[i] - first[i]):
            curve[c] -= flux * profile[c]
        peak = max(peak, abs(flux) * top)
        out_lines[1, i] = seen / total
        centre = problem.rest[i] * (1 + velocity / _SPEED)
        sigma = np.sqrt((centre * dispersion / _SPEED) ** 2 + problem.sigma_instrument**2)
        low = max(_locate(problem.edges, centre - _CORE * sigma) - pad, 0)
        high = min(_locate(problem.edges, centre + _CORE * sigma) + 1 - pad, n)
        for c in range(low, high):
            core[c] = 1.0
    # information of tied lines adds with the square of their strengths
    for k in range(n_columns):
        share = coverage = 0.0
        for i in range(n_lines):
            if owner[i] == k:
                share += coefficient[i] ** 2
                coverage += coefficient[i] ** 2 * out_lines[1, i]
        scratch.work[0, k] = coverage / share
    for i in range(n_lines):
        out_lines[1, i] = scratch.work[0, owner[i]]
    chi2 = in_core = n_core = 0.0
    limit = _SPIKE_PEAK * max(peak, 1e-300)
    for c in range(n):
        square = w[c] * residual[c] * residual[c]
        counted = core[c] if w[c] > 0 else 0.0
        chi2 += square
        in_core += counted * square
        n_core += counted
    for c in range(n):
        far[c] = np.sqrt(w[c]) * abs(residual[c]) if abs(residual[c]) > limit else 0.0
    out[6], out[12], out[13] = chi2, in_core, n_core

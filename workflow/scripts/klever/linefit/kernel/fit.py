"""Start, refine and collect: the fit of each spectrum, as `klever.linefit.search` and `klever.linefit.vectorised`."""

import numpy as np

from klever.linefit.kernel.algebra import factorise, invert, solve
from klever.linefit.kernel.spectrum import prepare
from klever.linefit.kernel.structures import inner, make_scratch, outer
from klever.linefit.kernel.system import chi2_of, fill_system, line_profiles, locate, solve_bounded
from klever.linefit.search import ITERATIONS, TOLERANCE
from klever.linefit.vectorised import CORE_SIGMAS, CORE_VELOCITY, SPIKE_PEAK
from klever.spectral_lines import SPEED_OF_LIGHT

__all__ = ["fit", "search"]


@inner
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
        fill_system(problem, scratch, scratch.first, scratch.last, nodes.profile[node])
        factorise(scratch.matrix, size, scratch.factor, scratch.pivots)
        solve(scratch.factor, scratch.pivots, size, scratch.right, scratch.amplitude)
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


@inner
def _evaluate(problem, scratch, velocity, dispersion, square):
    """As `klever.linefit.normal.evaluate` for one spectrum.

    Returns chi2, minus half its gradient (2), half its Hessian (3: vv, vs, ss) with the linear parameters eliminated,
    and whether the ratio is at its bound.  The joint matrix is left in scratch.
    """
    line_profiles(problem, scratch, velocity, dispersion, True)
    owner, coefficient, first, last = problem.owner, problem.coefficient, scratch.first, scratch.last
    n_lines, n_columns = owner.size, problem.n_columns
    size = n_columns + 2
    fill_system(problem, scratch, first, last, scratch.profile)
    on_bound = solve_bounded(problem, scratch)
    amplitude, joint = scratch.amplitude, scratch.joint
    chi2 = chi2_of(scratch, square)

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
    solve(scratch.factor, scratch.pivots, size, joint[size], scratch.work[0])
    solve(scratch.factor, scratch.pivots, size, joint[size + 1], scratch.work[1])
    for k in range(size):
        vv -= joint[size, k] * scratch.work[0, k]
        vs -= joint[size + 1, k] * scratch.work[0, k]
        ss -= joint[size + 1, k] * scratch.work[1, k]
    return chi2, gradient_v, gradient_s, vv, vs, ss, on_bound


@inner
def _refine(problem, scratch, velocity, dispersion, square):
    """Levenberg-Marquardt as `klever.linefit.search.Search.refine`."""
    low, high = problem.low, problem.high
    reach_v, reach_s = 0.5 * (high[0] - low[0]), 0.5 * (high[1] - low[1])
    chi2, gv, gs, vv, vs, ss, _ = _evaluate(problem, scratch, velocity, dispersion, square)
    damping = 1e-2
    for _ in range(ITERATIONS):
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
        if not pull_v * step_v + pull_s * step_s > TOLERANCE:
            return trial_v, trial_s
        new, ngv, ngs, nvv, nvs, nss, _ = _evaluate(problem, scratch, trial_v, trial_s, square)
        if new <= chi2:
            velocity, dispersion = trial_v, trial_s
            chi2, gv, gs, vv, vs, ss = new, ngv, ngs, nvv, nvs, nss
            damping = max(damping * 0.1, 1e-9)
        else:
            damping = min(damping * 10.0, 1e12)
    return velocity, dispersion


@outer
def search(problem, nodes, flux, error, excluded, prior, prior_width, velocity, gain):
    """Fill `velocity` and `gain`, shape (n,), with those of the best node of each spectrum."""
    scratch, spikes = make_scratch(problem), np.zeros(flux.shape[1], np.bool_)
    for s in range(len(flux)):
        _, _, _, _, _, fittable = prepare(problem, flux[s], error[s], excluded[s], scratch, spikes)
        node, found, _ = _starts(problem, nodes, scratch, prior[s], prior_width)
        velocity[s], gain[s] = nodes.velocity[node], found if fittable else 0.0


@outer
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
    scratch = make_scratch(problem)
    for s in range(len(flux)):
        unit, n_valid, level, slope, square, fittable = prepare(
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


@inner
def _collect_errors(problem, scratch, velocity, dispersion, unit, out, covariance):
    joint, owner, coefficient = scratch.joint, problem.owner, problem.coefficient
    size = problem.n_columns + 2
    position = (velocity, dispersion)
    for p in range(2):
        if position[p] <= problem.low[p] or position[p] >= problem.high[p]:
            # a parameter held at its bound is no free parameter: it leaves the covariance
            for k in range(size + 2):
                joint[size + p, k] = joint[k, size + p] = 0.0
    factorise(joint, size + 2, scratch.joint_factor, scratch.work[0])
    invert(scratch.joint_factor, scratch.work[0], size + 2, scratch.work[1], scratch.work[2], scratch.inverse)
    scale = (unit * problem.step) ** 2
    for i in range(owner.size):
        for j in range(owner.size):
            covariance[i, j] = coefficient[i] * coefficient[j] * scratch.inverse[owner[i], owner[j]] * scale
    for p in range(2):
        out[2 + p] = np.sqrt(max(scratch.inverse[size + p, size + p], 0.0))


@inner
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
        centre = problem.rest[i] * (1 + velocity / SPEED_OF_LIGHT)
        sigma = np.sqrt((centre * dispersion / SPEED_OF_LIGHT) ** 2 + problem.sigma_instrument[i] ** 2)
        reach = max(CORE_SIGMAS * sigma, centre * CORE_VELOCITY / SPEED_OF_LIGHT)
        low = max(locate(problem.edges, centre - reach) - pad, 0)
        high = min(locate(problem.edges, centre + reach) + 1 - pad, n)
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
    limit = SPIKE_PEAK * max(peak, 1e-300)
    for c in range(n):
        square = w[c] * residual[c] * residual[c]
        counted = core[c] if w[c] > 0 else 0.0
        chi2 += square
        in_core += counted * square
        n_core += counted
    for c in range(n):
        far[c] = np.sqrt(w[c]) * abs(residual[c]) if abs(residual[c]) > limit else 0.0
    out[6], out[12], out[13] = chi2, in_core, n_core

"""Line profiles, the normal equations of one spectrum and their solution, as `klever.linefit.normal`."""

import numpy as np

from klever.linefit.kernel.algebra import factorise, solve
from klever.linefit.kernel.structures import TABLE_REACH, TABLE_STEP, inner
from klever.linefit.normal import MARGIN, PROFILE_SIGMAS
from klever.spectral_lines import SPEED_OF_LIGHT

__all__ = ["chi2_of", "fill_system", "keep_ratio", "line_profiles", "locate", "solve_bounded"]

_TINY = 1e-300


@inner
def fill_system(problem, scratch, first, last, profile):
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


@inner
def solve_bounded(problem, scratch):
    """As `klever.linefit.normal.solve_bounded`; the factor left in scratch is that of the free problem."""
    size = scratch.right.size
    factorise(scratch.matrix, size, scratch.factor, scratch.pivots)
    solve(scratch.factor, scratch.pivots, size, scratch.right, scratch.amplitude)
    return keep_ratio(problem, scratch) > 0


@inner
def keep_ratio(problem, scratch):
    """Move the free solution in scratch into the range of the bounded ratio.

    Returns what that costs in chi2, at least a tiny number; 0 if it was in range.
    """
    if not problem.has_bound:
        return 0.0
    amplitude, work, size = scratch.amplitude, scratch.work, scratch.right.size
    top, bottom = problem.top, problem.bottom
    sign = np.sign(amplitude[bottom])
    low, high = problem.ratio_low * amplitude[bottom] * sign, problem.ratio_high * amplitude[bottom] * sign
    if amplitude[top] * sign >= low and amplitude[top] * sign <= high:
        return 0.0
    if scratch.pivots[top] == 0 or scratch.pivots[bottom] == 0:
        # one of them has no data: it follows the other at no cost
        if scratch.pivots[top] == 0:
            amplitude[top] = problem.ratio_low * amplitude[bottom]
        else:
            amplitude[bottom] = amplitude[top] / problem.ratio_low
        return _TINY
    # the best point on an edge, a_top = ratio a_bottom, by a Lagrange multiplier: a - M^-1 c (c.a) / (c M^-1 c)
    least, chosen, pull = np.inf, 0, 0.0
    for edge in range(2):
        ratio = problem.ratio_low if edge == 0 else problem.ratio_high
        constraint, shift = work[2], work[edge]
        for k in range(size):
            constraint[k] = 0.0
        constraint[top], constraint[bottom] = 1.0, -ratio
        solve(scratch.factor, scratch.pivots, size, constraint, shift)
        violation = amplitude[top] - ratio * amplitude[bottom]
        spread = shift[top] - ratio * shift[bottom]
        cost = violation * violation / spread
        if cost < least:
            least, chosen, pull = cost, edge, violation / spread
    for k in range(size):
        amplitude[k] -= pull * work[chosen, k]
    return max(least, _TINY)


@inner
def chi2_of(scratch, square):
    """Chi2 at ``scratch.amplitude``, which need not be the free solution."""
    amplitude, right, matrix = scratch.amplitude, scratch.right, scratch.matrix
    result = square
    for k in range(right.size):
        row = 0.0
        for m in range(right.size):
            row += matrix[k, m] * amplitude[m]
        result += amplitude[k] * (row - 2 * right[k])
    return result


@inner
def locate(edges, value):
    """Index of the channel that holds `value`."""
    low, high = 0, edges.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if edges[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@inner
def line_profiles(problem, scratch, velocity, dispersion, derivatives):
    """Pixel-averaged profiles (times the channel width) of all lines, and derivatives if asked for."""
    edges, density = problem.edges, problem.density
    cdf, pdf, t, offset = scratch.cdf, scratch.pdf, scratch.t, scratch.offset
    reach = TABLE_REACH - TABLE_STEP
    for i in range(problem.rest.size):
        centre = problem.rest[i] * (1 + velocity / SPEED_OF_LIGHT)
        thermal = centre * dispersion / SPEED_OF_LIGHT
        sigma = np.sqrt(thermal * thermal + problem.sigma_instrument[i] ** 2)
        first = max(locate(edges, centre - PROFILE_SIGMAS * sigma) - MARGIN, 0)
        last = min(locate(edges, centre + PROFILE_SIGMAS * sigma) + 1 + MARGIN, density.size)
        scratch.first[i], scratch.last[i] = first, last
        inverse = 1.0 / sigma
        near, n_edges = edges[first : last + 1], last - first + 1
        # short loops that write to one array each: only such loops run on vector units
        for c in range(n_edges):
            t[c] = min(max((near[c] - centre) * inverse, -reach), reach)
        for c in range(n_edges):
            nearest = np.uint64((t[c] + TABLE_REACH) * (1.0 / TABLE_STEP) + 0.5)
            offset[c] = t[c] - (np.float64(nearest) * TABLE_STEP - TABLE_REACH)
            cdf[c], pdf[c] = problem.cdf[nearest], problem.pdf[nearest]
        # Taylor series of both around the grid point, whose coefficients are Hermite polynomials
        for c in range(n_edges):
            d = offset[c]
            t0 = t[c] - d
            h2, h3, h4 = t0 * t0 - 1, t0 * (t0 * t0 - 3), t0 * t0 * (t0 * t0 - 6) + 3
            series = 1 + d * (-t0 / 2 + d * (h2 / 6 + d * (-h3 / 24 + d * (h4 / 120))))
            cdf[c] += pdf[c] * d * series
        profile, width = scratch.profile[i], density[first:last]
        for c in range(last - first):
            profile[c] = (cdf[c + 1] - cdf[c]) * width[c]
        if not derivatives:
            continue
        for c in range(n_edges):
            d = offset[c]
            t0 = t[c] - d
            h2, h3, h4 = t0 * t0 - 1, t0 * (t0 * t0 - 3), t0 * t0 * (t0 * t0 - 6) + 3
            pdf[c] *= 1 + d * (-t0 + d * (h2 / 2 + d * (-h3 / 6 + d * (h4 / 24))))
        per_velocity = -centre / (SPEED_OF_LIGHT + velocity) * inverse
        intrinsic = centre * centre / (SPEED_OF_LIGHT * SPEED_OF_LIGHT) * inverse * inverse
        sigma_per_velocity = -intrinsic * dispersion * dispersion / (SPEED_OF_LIGHT + velocity)
        sigma_per_dispersion = -intrinsic * dispersion
        d_velocity, d_dispersion = scratch.d_velocity[i], scratch.d_dispersion[i]
        for c in range(last - first):
            d_dispersion[c] = (pdf[c + 1] * t[c + 1] - pdf[c] * t[c]) * width[c]
        for c in range(last - first):
            d_velocity[c] = (pdf[c + 1] - pdf[c]) * width[c] * per_velocity + d_dispersion[c] * sigma_per_velocity
        for c in range(last - first):
            d_dispersion[c] *= sigma_per_dispersion

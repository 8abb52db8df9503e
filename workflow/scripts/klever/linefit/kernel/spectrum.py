"""One spectrum made ready for the fit, as `klever.linefit.window.prepare`."""

import numpy as np

from klever.linefit.kernel.structures import inner
from klever.linefit.window import SPIKE_CONTRAST, SPIKE_SIGMA

__all__ = ["prepare"]


@inner
def prepare(problem, flux, error, excluded, scratch, spikes):
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


@inner
def _mask_spikes(y, w, spikes):
    """As `klever.linefit.window.find_spikes`; all spikes are found before any is masked."""
    found = 0
    for c in range(2, y.size - 2):
        highest, lowest = max(y[c - 1], y[c + 1]), min(y[c - 1], y[c + 1])
        stands_out = max(y[c] - highest, lowest - y[c])
        found += 1 if (stands_out > 0) & (stands_out * stands_out * w[c] > SPIKE_SIGMA**2) else 0
    if not found:
        return
    for c in range(2, y.size - 2):
        highest, lowest = max(y[c - 1], y[c + 1]), min(y[c - 1], y[c + 1])
        stands_out = max(y[c] - highest, lowest - y[c])
        height = abs(y[c] - 0.5 * (y[c - 2] + y[c + 2]))
        spikes[c] = (
            stands_out * np.sqrt(w[c]) > SPIKE_SIGMA
            and w[c - 1] > 0
            and w[c + 1] > 0
            and stands_out > SPIKE_CONTRAST * height
        )
    for c in range(y.size):
        if spikes[c]:
            y[c] = w[c] = 0.0

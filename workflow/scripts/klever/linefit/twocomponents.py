"""The minimum of chi2 with one and with two components, and the evidence of both, spectrum by spectrum."""

import numpy as np

from klever.linefit import linalg
from klever.linefit.components import Bounds, Component, evaluate, refine, solve_signed
from klever.linefit.evidence import log_evidence
from klever.linefit.window import prepare

__all__ = ["fit_once", "unreachable"]

_BATCH = 96  # spectra: keeps the working arrays in the cache
_EVIDENCE_BATCH = 8  # spectra, each at 196 nodes
_NOTICED = 2.0  # decrease of chi2 by the second component
_SPIKE_SIGMA = 8.0
_SPIKE_PEAK = 0.3  # of the model's peak


def fit_once(models, ranges, wavelength, flux, error, start, excluded=None):
    """Fit one and two components to spectra.

    Parameters
    ----------
    models : (GroupModel, GroupModel)
        Narrow and broad.
    ranges : pair of (velocity range, dispersion range)
        Of each, km/s.
    wavelength, flux, error, excluded
        As for `klever.linefit.window.prepare`.
    start : ndarray, shape (2, n)
        Narrow velocity and dispersion where the search begins; NaN for no idea.

    Returns
    -------
    dict of ndarray
        Physical units, first axis the spectra: for ``single`` and ``double`` (prefixes) position, chi2, line fluxes
        and their covariance, spread of the non-linear parameters (0: not determined), held (at a bound), continuum;
        and delta (of ln evidence), gain, residual, far, coverage, fittable.
    """
    window, spikes = prepare(wavelength, flux, error, 0, excluded)
    narrow, broad = (Component(model, window, *limits) for model, limits in zip(models, ranges, strict=True))
    n_columns = narrow.ties.shape[1], broad.ties.shape[1]
    n_parameters = sum(n_columns) + 6
    n, n_channels = flux.shape
    n_lines = len(narrow.ties), len(broad.ties)
    out = {
        "fittable": window.fittable & (window.n_valid > n_parameters), "n_valid": window.n_valid, "spikes": spikes,
        "delta": np.zeros(n), "gain": np.zeros(n), "far": np.zeros((n, n_channels), bool),
        "coverage": np.zeros((n, sum(n_lines))),
    }  # fmt: skip
    for name, lines, count in (("single", n_lines[0], 2), ("double", sum(n_lines), 4)):
        out |= {
            f"{name}_position": np.ones((n, count)), f"{name}_chi2": np.zeros(n), f"{name}_flux": np.zeros((n, lines)),
            f"{name}_covariance": np.zeros((n, lines, lines)), f"{name}_spread": np.zeros((n, count)),
            f"{name}_continuum": np.zeros((n, 2)), f"{name}_on_ratio": np.zeros(n, bool),
        }  # fmt: skip
    nodes = _nodes(broad)
    profiles = broad.columns(nodes[:, 0], nodes[:, 1], derivatives=False)[0]
    rows = np.flatnonzero(out["fittable"])
    for begin in range(0, len(rows), _BATCH):
        part = rows[begin : begin + _BATCH]
        single, double = _minima(window, part, narrow, broad, start[:, part], nodes, profiles)
        spread_single = _collect(out, "single", window, part, [narrow], single)
        spread = _collect(out, "double", window, part, [narrow, broad], double)
        for first in range(0, len(part), _EVIDENCE_BATCH):
            few = slice(first, first + _EVIDENCE_BATCH)
            one = log_evidence(window, part[few], narrow, None, single[:, few], spread_single[:, few])
            two = log_evidence(window, part[few], narrow, broad, double[:, few], spread[:, few])
            out["delta"][part[few]] = two - one
    return out


def unreachable(found):
    """Channels far from any fit: many sigma away, and not small against the lines; shape (n, n_channels)."""
    return found["far"] & found["fittable"][:, None]


def _bounds(components):
    """Signs of the amplitudes: the narrow lines may be negative, broad ones not."""
    size = components[0].ties.shape[1]
    broad = components[1].ties.shape[1] if len(components) > 1 else 0
    return Bounds(components[0].pair, tuple(range(size, size + broad)))


def _nodes(broad):
    """Velocities and dispersions at which the search looks for a broad component, shape (n_nodes, 2)."""
    low, high = broad.low[1], broad.high[1]
    count = int(np.ceil(np.log(high / low) / np.log(1.5)))
    found = []
    for dispersion in low * (high / low) ** ((np.arange(count) + 0.5) / count):
        half = int(np.ceil(broad.high[0] / (0.8 * dispersion)))
        found += [(velocity, dispersion) for velocity in np.linspace(broad.low[0], broad.high[0], 2 * half + 1)[1:-1]]
    return np.array(found)


def _minima(window, rows, narrow, broad, start, nodes, profiles):
    """Positions of the minima with one and two components, shapes (2, n) and (4, n)."""
    middle = np.array([0.0, np.sqrt(narrow.low[1] * narrow.high[1])])[:, None]
    start = np.where(np.isfinite(start).all(axis=0), start, middle)
    alone, both = _bounds([narrow]), _bounds([narrow, broad])
    single, chi2 = refine(window, rows, [narrow], alone, start)
    begin = np.concatenate([single, _best_node(window, rows, narrow, single, both, nodes, profiles)])
    double, chi2_double = refine(window, rows, [narrow, broad], both, begin)
    # a broad line inflates the one narrow component: the width of an ordinary one is tried beside it
    if (wide := np.flatnonzero(single[1] > middle[1])).size:
        trial = np.array([single[0, wide], np.repeat(middle[1], wide.size)])
        begin = np.concatenate([trial, _best_node(window, rows[wide], narrow, trial, both, nodes, profiles)])
        _improve(double, chi2_double, wide, *refine(window, rows[wide], [narrow, broad], both, begin))
    # and where it does, the one component may have a second minimum on the narrow line
    if (gained := np.flatnonzero(chi2 - chi2_double > _NOTICED)).size:
        _improve(single, chi2, gained, *refine(window, rows[gained], [narrow], alone, double[:2, gained]))
    return single, double


def _improve(position, chi2, index, trial, value):
    """Replace the fits `index` by `trial` where its chi2, `value`, is lower."""
    better = value < chi2[index]
    position[:, index[better]], chi2[index[better]] = trial[:, better], value[better]


def _best_node(window, rows, narrow, position, bounds, nodes, profiles):
    """Broad velocity and dispersion out of `nodes` that lower chi2 most beside the narrow lines at `position`."""
    weight, flux = window.weight[rows], window.flux[rows]
    n, n_nodes, n_broad = len(rows), len(nodes), profiles.shape[1]
    continuum = np.broadcast_to(np.stack([np.ones_like(window.x), window.x]), (n, 2, len(window.x)))
    others = np.concatenate([narrow.columns(*position, derivatives=False)[0], continuum], axis=1)
    weighted = others * weight[:, None]
    size, n_columns = others.shape[1], narrow.ties.shape[1]
    order = [*range(n_columns), *range(n_columns + n_broad, size + n_broad), *range(n_columns, n_columns + n_broad)]
    gram, right = np.empty((size + n_broad,) * 2 + (n, n_nodes)), np.empty((size + n_broad, n, n_nodes))
    flat = profiles.reshape(n_nodes * n_broad, -1)
    cross = (weighted @ flat.T).reshape(n, size, n_nodes, n_broad).transpose(1, 3, 0, 2)
    gram[:size, :size] = (weighted @ others.transpose(0, 2, 1)).transpose(1, 2, 0)[..., None]
    gram[:size, size:], gram[size:, :size] = cross, cross.transpose(1, 0, 2, 3)
    squares = (profiles[:, :, None] * profiles[:, None]).reshape(-1, flat.shape[1])
    gram[size:, size:] = (weight @ squares.T).reshape(n, n_nodes, n_broad, n_broad).transpose(2, 3, 0, 1)
    right[:size] = (weighted @ flux[:, :, None])[:, :, 0].T[..., None]
    right[size:] = ((weight * flux) @ flat.T).reshape(n, n_nodes, n_broad).transpose(2, 0, 1)
    inverse = np.argsort(order)  # the bounds count the broad columns before the continuum
    gram, right = gram[np.ix_(inverse, inverse)], right[inverse]
    amplitude, _ = solve_signed(gram.reshape(*gram.shape[:2], -1), right.reshape(len(right), -1), bounds)
    gain = (amplitude * right.reshape(len(right), -1)).sum(axis=0).reshape(n, n_nodes)
    return nodes[gain.argmax(axis=1)].T.copy()


def _collect(out, name, window, rows, components, position):
    """Put the solution at `position` into `out`; returns the errors of velocities and ln dispersions."""
    now = evaluate(window, rows, components, _bounds(components), position)
    size = len(now.amplitude)
    low = np.concatenate([part.low for part in components])[:, None]
    high = np.concatenate([part.high for part in components])[:, None]
    held = (position <= low) | (position >= high)
    joint = now.joint.copy()
    for p in range(len(position)):
        # a parameter held at its bound is no free parameter: it leaves the covariance
        joint[size + p, :, held[p]] = 0.0
        joint[:, size + p, held[p]] = 0.0
    inverse = linalg.inverse(linalg.cholesky(joint))
    ties = np.zeros((sum(len(part.ties) for part in components), size - 2))
    line = column = 0
    for part in components:
        ties[line : line + len(part.ties), column : column + part.ties.shape[1]] = part.ties
        line, column = line + len(part.ties), column + part.ties.shape[1]
    unit = window.unit[rows]
    scale = unit * window.step
    out[f"{name}_position"][rows] = position.T
    out[f"{name}_chi2"][rows] = now.chi2
    out[f"{name}_flux"][rows] = (ties @ now.amplitude[: size - 2] * scale).T
    covariance = np.einsum("ik,kmn,jm->nij", ties, inverse[: size - 2, : size - 2], ties)
    out[f"{name}_covariance"][rows] = covariance * (scale**2)[:, None, None]
    variance = np.array([inverse[size + p, size + p] for p in range(len(position))])
    out[f"{name}_spread"][rows] = np.sqrt(np.maximum(variance, 0.0)).T
    offset = window.continuum[:, rows] + now.amplitude[size - 2 :]
    out[f"{name}_continuum"][rows] = np.array([offset[0] * unit, offset[1] * unit / window.half_range]).T
    pair = components[0].pair
    out[f"{name}_on_ratio"][rows] = False if pair is None else ~now.free[list(pair)].all(axis=0)
    if len(components) == 1:
        return _errors(variance, position, held)
    out["gain"][rows] = window.square[rows] - now.chi2
    profiles = [part.columns(*position[2 * i : 2 * i + 2], derivatives=False)[0] for i, part in enumerate(components)]
    lines = (now.amplitude[: size - 2].T[:, None] @ np.concatenate(profiles, axis=1))[:, 0]
    peak = np.abs(lines).max(axis=1)[:, None]
    pulls = np.abs(now.residual) * np.sqrt(window.weight[rows])
    # half of the channels of a good fit lie within 0.67 sigma: the scatter of this spectrum, whatever its outliers
    scatter = np.array([np.median(row[row > 0]) if (row > 0).any() else 0.0 for row in pulls])[:, None] / 0.6745
    far = pulls > _SPIKE_SIGMA * np.maximum(scatter, 1.0)
    out["far"][rows] = far & (np.abs(now.residual) > _SPIKE_PEAK * peak)
    out["coverage"][rows] = _coverage(window, rows, components, position)
    return _errors(variance, position, held)


def _errors(variance, position, held):
    """Errors of velocities and ln dispersions; infinite at a bound and without flux, where a Hessian says nothing."""
    spread = np.sqrt(np.where((variance > 0) & ~held, variance, np.inf))
    spread[1::2] /= position[1::2]
    return spread


def _coverage(window, rows, components, position):
    """Fraction of each line's whole flux that falls on unmasked channels, shape (n, n_lines)."""
    seen = window.weight[rows] > 0
    found = []
    for i, part in enumerate(components):
        lone = _Lines(part)
        profiles = lone.columns(*position[2 * i : 2 * i + 2], derivatives=False)[0]
        width = np.diff(window.edges) / window.step
        found.append((profiles * (seen * width)[:, None]).sum(axis=2))
    return np.concatenate(found, axis=1)


class _Lines(Component):
    """The lines of a component one by one, without ties."""

    def __init__(self, component):
        self.__dict__.update(component.__dict__)
        self.ties = np.eye(len(component.ties))

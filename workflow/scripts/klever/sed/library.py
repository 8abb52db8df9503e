"""A library of model galaxies in the manner of MAGPHYS (da Cunha et al. 2008, 2015).

History: exponential or delayed exponential, of any age, with random bursts. Dust: two components (Charlot & Fall 2000).
Nebular lines and continuum from the stars younger than 10 Myr. Masses are those of stars that still live, for a
Chabrier (2003) IMF: 0.94 of those of the grid's Kroupa IMF at the same light.
"""

import numpy as np

from klever.sed.grid import LOG_U, METALLICITIES, read_populations

__all__ = ["PARAMETERS", "build_library", "draw_parameters", "formed_mass"]

YOUNG = 1e7  # yr: birth clouds disperse (Charlot & Fall 2000), and ionising stars die
V_BAND = 5500.0  # Angstrom
BIRTH_SLOPE, MEDIUM_SLOPE = -1.3, -0.7  # of the optical depth with wavelength (da Cunha et al. 2008)
OLDEST = 1.38e10  # yr
PARAMETERS = ("age", "mass_age", "log_ssfr", "log_ssfr_10", "av", "tau_v", "mu", "metallicity", "living")
_BLOCK = 5000


def wave_edges():
    """Edges of the rest-frame bins: 1 per cent wide from 912 Angstrom to 1 um, 3 per cent to 2.5 um."""
    return np.concatenate([np.geomspace(912.0, 1e4, 241), np.geomspace(1e4, 2.5e4, 32)[1:]])


def age_edges():
    """Edges of the bins of stellar age, yr."""
    young = np.array([0.0, 1.5e6, 3e6, 4.5e6, 6.5e6, 1e7])
    return np.concatenate([young, np.geomspace(1e7, OLDEST, 46)[1:]])


def draw_parameters(n, rng):
    """Draw the parameters of `n` models from their priors.

    Age: uniform in its logarithm, 50 Myr to 13.8 Gyr, so that there are enough young models; `klever.sed.fitting`
    weights them with their age, which makes ages uniform (da Cunha et al. 2008), and leaves out those older than the
    universe. Time scale: uniform in its logarithm, 0.1 to 30 Gyr; half of the histories rise linearly first. Half have
    a burst in their last 2 Gyr that lasts 30 to 300 Myr and makes 0.03 to 4 times the mass of the rest. Optical depth
    tau_V and the share `mu` of it in the diffuse medium: da Cunha et al. (2008, Sect. 2.1), 1 - tanh(1.5 tau_V - 6.7)
    and 1 - tanh(8 mu - 6). Metallicity: uniform in its logarithm, 0.1 to 2 solar. Ionisation: log U of -3.5 to -2.

    Returns
    -------
    dict of ndarray, shape (n,)
    """
    return {
        "age": 10 ** rng.uniform(np.log10(5e7), np.log10(OLDEST), n),
        "timescale": 10 ** rng.uniform(8.0, np.log10(3e10), n),
        "delayed": rng.random(n) < 0.5,
        "burst": np.where(rng.random(n) < 0.5, 10 ** rng.uniform(np.log10(0.03), np.log10(4.0), n), 0.0),
        "burst_start": rng.random(n),  # of the last 2 Gyr, or of the age
        "burst_length": rng.uniform(3e7, 3e8, n),
        "tau_v": _draw(lambda tau: 1 - np.tanh(1.5 * tau - 6.7), 6.0, n, rng),
        "mu": _draw(lambda mu: 1 - np.tanh(8.0 * mu - 6.0), 1.0, n, rng),
        "metallicity": 10 ** rng.uniform(-1.0, np.log10(2.0), n),
        "ionisation": rng.integers(0, len(LOG_U), n),
    }


def _draw(density, largest, n, rng):
    x = np.linspace(0.0, largest, 2001)
    running = np.concatenate([[0.0], np.cumsum(0.5 * (density(x)[1:] + density(x)[:-1]))])
    return np.interp(rng.random(n) * running[-1], running, x)


def formed_mass(parameters, lookback):
    """Share of the mass that had formed, seen from today: at `lookback` (yr) or before, of each model.

    Parameters
    ----------
    parameters : dict of ndarray, shape (n,)
        From `draw_parameters`.
    lookback : ndarray, shape (m,)
        Yr.

    Returns
    -------
    ndarray, shape (n, m)
        1 at 0, 0 at the model's age.
    """
    age, scale = parameters["age"][:, None], parameters["timescale"][:, None]
    x = np.clip(age - lookback, 0.0, None) / scale
    whole = age / scale
    simple = -np.expm1(-x) / -np.expm1(-whole)
    rising = _delayed(x) / _delayed(whole)
    smooth = np.where(parameters["delayed"][:, None], rising, simple)
    amount = parameters["burst"][:, None]
    start = parameters["burst_start"][:, None] * np.minimum(age, 2e9)
    length = np.minimum(parameters["burst_length"][:, None], start)
    burst = np.clip((start - lookback) / length, 0.0, 1.0)
    return (smooth + amount * burst) / (1 + amount)


def _delayed(x):
    """Integral of x exp(-x); by its series where that would cancel."""
    return np.where(x < 1e-3, 0.5 * x**2 * (1 - 2 * x / 3), 1 - (1 + x) * np.exp(-x))


def build_library(folder, n_models, seed, imf_factor=0.94):
    """Compute the rest-frame light of all models, per solar mass of living stars.

    Parameters
    ----------
    folder : Path
        Grid files, from `klever.sed.grid.locate_grid`.
    n_models, seed : int
        Number of models, and seed of their parameters.
    imf_factor : float
        Mass of the wanted IMF over that of the grid's Kroupa IMF, at the same light.

    Returns
    -------
    dict of ndarray
        ``continuum`` (n_models, n_wave), Lsun/Angstrom; ``lines`` (n_models, n_line), Lsun; both float32;
        ``wave_edges``, ``line_wavelengths`` (vacuum), Angstrom; and each of `PARAMETERS` (n_models,): age and
        mass-weighted age (yr), log specific star formation rates over 100 and 10 Myr (1/yr), A_V of the whole light
        (mag), tau_v, mu, metallicity (solar), living (share of the mass formed).
    """
    edges, ages = wave_edges(), age_edges()
    grid = read_populations(folder, edges, ages, YOUNG)
    parameters = draw_parameters(n_models, np.random.default_rng(seed))
    continuum = np.empty((n_models, len(edges) - 1), np.float32)
    lines = np.empty((n_models, len(grid.line_wavelengths)), np.float32)
    derived = {name: np.empty(n_models) for name in PARAMETERS}
    for start in range(0, n_models, _BLOCK):
        block = slice(start, start + _BLOCK)
        part = {name: values[block] for name, values in parameters.items()}
        continuum[block], lines[block], found = _models(grid, part, imf_factor)
        for name in PARAMETERS:
            derived[name][block] = found[name]
    return {"continuum": continuum, "lines": lines, "wave_edges": edges, "line_wavelengths": grid.line_wavelengths,
            **{name: values.astype(np.float32) for name, values in derived.items()}}  # fmt: skip


def _models(grid, part, imf_factor):
    formed = formed_mass(part, grid.age_edges)
    weights = (formed[:, :-1] - formed[:, 1:]).astype(np.float32)
    n_young = grid.nebular.shape[2]
    low, share = _metallicity_shares(part["metallicity"])
    wave = np.sqrt(grid.wave_edges[1:] * grid.wave_edges[:-1])
    shape = (len(weights), len(wave))
    young, old = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    lines = np.zeros((len(weights), len(grid.line_wavelengths)), np.float32)
    living = np.zeros(len(weights))
    for i in range(len(METALLICITIES)):
        fraction = np.where(low == i, 1 - share, np.where(low + 1 == i, share, 0.0)).astype(np.float32)
        chosen = np.flatnonzero(fraction)
        mass = weights[chosen] * fraction[chosen, None]
        young[chosen] += mass[:, :n_young] @ grid.stars[i, :n_young].astype(np.float32)
        old[chosen] += mass[:, n_young:] @ grid.stars[i, n_young:].astype(np.float32)
        living[chosen] += mass @ grid.living[i]
        for u in range(len(LOG_U)):
            ionised = part["ionisation"][chosen] == u
            lines[chosen[ionised]] += mass[ionised, :n_young] @ grid.lines[i, u].astype(np.float32)
            young[chosen[ionised]] += mass[ionised, :n_young] @ grid.nebular[i, u].astype(np.float32)
    tau, mu = part["tau_v"][:, None], part["mu"][:, None]
    medium = np.exp(-mu * tau * (wave / V_BAND) ** MEDIUM_SLOPE)
    cloud = np.exp(-(1 - mu) * tau * (wave / V_BAND) ** BIRTH_SLOPE)
    rest = grid.line_wavelengths
    dimming = mu * (rest / V_BAND) ** MEDIUM_SLOPE + (1 - mu) * (rest / V_BAND) ** BIRTH_SLOPE
    seen = (young * cloud + old) * medium
    at_v = int(np.searchsorted(grid.wave_edges, V_BAND)) - 1
    solar = living * imf_factor
    derived = {
        "age": part["age"], "tau_v": part["tau_v"], "mu": part["mu"], "metallicity": part["metallicity"],
        "living": living, "av": -2.5 * np.log10(seen[:, at_v] / (young + old)[:, at_v]),
        "mass_age": _mean_age(weights, grid.age_edges, part["age"]),
    }  # fmt: skip
    for name, period in (("log_ssfr", 1e8), ("log_ssfr_10", 1e7)):
        recent = 1 - formed_mass(part, np.array([period]))[:, 0]
        derived[name] = np.log10(np.maximum(recent / period / living, 1e-14))
    return seen / solar[:, None], lines * np.exp(-tau * dimming) / solar[:, None], derived


def _mean_age(weights, edges, age):
    """Mass-weighted age; the oldest bin of a model ends with its first star."""
    middle = 0.5 * (edges[:-1] + np.minimum(edges[1:], np.maximum(age[:, None], edges[:-1])))
    return (weights * middle).sum(1)


def _metallicity_shares(metallicity):
    """Index of the grid's metallicity below, and the share of the one above (linear in the logarithm)."""
    log_z, known = np.log10(metallicity), np.log10(METALLICITIES)
    low = np.clip(np.searchsorted(known, log_z) - 1, 0, len(known) - 2)
    return low, np.clip((log_z - known[low]) / (known[low + 1] - known[low]), 0.0, 1.0)

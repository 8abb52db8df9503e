"""Beyond the radial average: whether a metallicity map is axisymmetric, and whether it follows the star formation.

Curti et al. (2020), Sect. 4.5, show by eye that flat gradients can hide non-axisymmetric maps. Here every statistic is
compared with what the noise of the line fluxes alone, correlated between pixels as it is, makes of a galaxy whose
abundance depends on radius only (or on nothing).
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Asymmetry", "measure_asymmetry"]

DRAWS = 400
FEWEST_PIXELS = 12


@dataclass
class Asymmetry:
    """What a metallicity map holds beside its radial profile; p values are those of noise alone.

    Parameters
    ----------
    n_pixels : int
    n_beams : float
        Area of the measured pixels over that of the PSF of the maps: independent elements. Below three, nothing
        can be said of a pattern.
    residual_rms, residual_rms_noise : float
        Of the map about its radial profile, and the median of that of pure noise, dex.
    residual_p : float
        Fraction of the noise realisations with at least that rms.
    dipole, dipole_angle : float
        Amplitude at the outer radius of the pattern cos(theta - angle) r / r_max, dex; direction of the maximum,
        degrees from north through east.
    quadrupole : float
        Amplitude at the outer radius of the pattern cos(2 theta - phase) (r / r_max)^2, dex.
    chi2, chi2_p : float
        Of the four amplitudes of dipole and quadrupole with their covariance, and its p value (4 degrees of freedom).
    plane_slope, plane_slope_error : float
        Of the plane through the map, dex/kpc, and its error along its direction.
    plane_angle : float
        Direction in which the abundance rises, degrees from north through east.
    plane_p : float
        Of a plane that steep or steeper.
    sfr_correlation, sfr_correlation_p : float
        Spearman's coefficient of log(O/H) with the star-formation surface density, and p value for a homogeneous
        galaxy.
    sfr_residual_correlation, sfr_residual_correlation_p : float
        The same of both maps' residuals about their radial trends (quadratic in radius).
    """

    n_pixels: int
    n_beams: float
    residual_rms: float
    residual_rms_noise: float
    residual_p: float
    dipole: float
    dipole_angle: float
    quadrupole: float
    chi2: float
    chi2_p: float
    plane_slope: float
    plane_slope_error: float
    plane_angle: float
    plane_p: float
    sfr_correlation: float
    sfr_correlation_p: float
    sfr_residual_correlation: float
    sfr_residual_correlation_p: float


def measure_asymmetry(log_oh, responses, light, noise, position, rings, beams, seed, tracer="HALPHA"):
    """Measure the patterns of a metallicity map.

    Parameters
    ----------
    log_oh : ndarray, shape (ny, nx)
        12+log(O/H); NaN where it is not measured or not part of the region.
    responses : dict of str to ndarray, shape (ny, nx)
        d log(O/H) / d flux by line, dex per unit of the source-plane map.
    light : ndarray, shape (ny, nx)
        Surface brightness that follows the star-formation surface density; pixels that are not positive are left out
        of the correlations.
    noise : SourceNoise
    position : pair of ndarray, shape (ny, nx)
        Offsets from the centre to the east and to the north, kpc.
    rings : ndarray of int, shape (ny, nx)
        Number of the annulus of each pixel, of which the mean is free.
    beams : float
        Area of a PSF, pixels.
    seed : int
        Of the noise realisations.
    tracer : str, optional
        The line whose map `light` is, so that its noise moves both quantities alike.

    Returns
    -------
    Asymmetry, or None
        None with fewer than twelve pixels.
    """
    used = np.flatnonzero(np.isfinite(log_oh))
    if used.size < FEWEST_PIXELS:
        return None
    value = log_oh.ravel()[used]
    east, north = (np.ravel(item)[used] for item in position)
    radius = np.hypot(east, north)
    slopes = {line: np.nan_to_num(item.ravel()[used]) for line, item in responses.items()}
    known = {line.upper(): slope for line, slope in slopes.items() if noise.has(line)}

    def covariance(operator):
        weights = {}
        for line, slope in known.items():
            weights[line] = np.zeros((len(operator), log_oh.size))
            weights[line][:, used] = operator * slope
        return noise.total_covariance(weights)

    _, ring = np.unique(np.ravel(rings)[used], return_inverse=True)
    indicator = np.eye(ring.max() + 1)[ring]
    reach = radius.max() or 1.0
    x, y = east / reach, north / reach
    patterns = np.column_stack([y, x, y**2 - x**2, 2 * x * y])
    amplitudes, chi2, chi2_p = _fit(np.column_stack([patterns, indicator]), value, 4, covariance)[:3]
    plane, _, plane_p, plane_covariance = _fit(np.column_stack([north, east, np.ones(used.size)]), value, 2, covariance)
    slope = float(np.hypot(*plane))
    along = plane / slope if slope > 0 else np.array([1.0, 0.0])
    profile = indicator @ (indicator.T @ value / indicator.sum(axis=0))

    random = np.random.default_rng(seed)
    drawn = {line: noise.draw(line, DRAWS, random)[used] for line in _drawn_lines(noise, known, tracer)}
    errors = sum((known[line][:, None] * drawn[line] for line in known), np.zeros((used.size, DRAWS)))
    means = indicator @ ((indicator.T @ errors) / indicator.sum(axis=0)[:, None])
    rms, null_rms = _rms(value - profile), _rms(errors - means)
    surface = np.ravel(light)[used]
    correlations = _correlations(value, profile, errors, surface, drawn.get(tracer), radius)
    return Asymmetry(
        int(used.size), float(used.size / beams), float(rms), float(np.median(null_rms)), _tail(null_rms, rms),
        float(np.hypot(*amplitudes[:2])), float(np.degrees(np.arctan2(amplitudes[1], amplitudes[0])) % 360),
        float(np.hypot(*amplitudes[2:])), chi2, chi2_p, slope, float(np.sqrt(along @ plane_covariance @ along)),
        float(np.degrees(np.arctan2(plane[1], plane[0])) % 360), plane_p, *correlations,
    )  # fmt: skip


def _drawn_lines(noise, known, tracer):
    return sorted(line for line in {*known, tracer} if noise.has(line))


def _fit(design, value, wanted, covariance):
    """Least squares: the first `wanted` coefficients, their chi-square for the noise, its p value, their covariance."""
    from scipy.special import chdtrc

    operator = np.linalg.pinv(design)[:wanted]
    found = operator @ value
    matrix = covariance(operator)
    total = float(found @ np.linalg.pinv(matrix, rcond=1e-6, hermitian=True) @ found)
    return found, total, float(chdtrc(wanted, total)), matrix


def _correlations(value, profile, errors, surface, surface_errors, radius):
    """Spearman's coefficients of the map and of its residuals with the light, and their p values."""
    good = np.isfinite(surface) & (surface > 0)
    if np.count_nonzero(good) < FEWEST_PIXELS:
        return np.nan, np.nan, np.nan, np.nan
    surface, radius = surface[good], radius[good]
    noisy = surface[:, None] + (0.0 if surface_errors is None else surface_errors[good])
    noisy = np.log10(np.maximum(np.broadcast_to(noisy, (surface.size, errors.shape[1])), 0.01 * surface[:, None]))
    light = np.log10(surface)
    trend = np.vander(radius / (radius.max() or 1.0), 3)
    flatten = np.eye(surface.size) - trend @ np.linalg.pinv(trend)
    results = []
    for operator in (None, flatten):
        first, second, null, null_light = (
            item if operator is None else operator @ item for item in (value[good], light, errors[good], noisy)
        )
        coefficient = _spearman(first[:, None], second[:, None])[0]
        results += [float(coefficient), _tail(np.abs(_spearman(null, null_light)), abs(coefficient))]
    return tuple(results)


def _spearman(first, second):
    """Spearman's coefficient of each pair of columns, shape (k,)."""
    ranks = [np.argsort(np.argsort(item, axis=0, kind="stable"), axis=0).astype(float) for item in (first, second)]
    ranks = [item - item.mean(axis=0) for item in ranks]
    return np.sum(ranks[0] * ranks[1], axis=0) / np.sqrt(np.sum(ranks[0] ** 2, axis=0) * np.sum(ranks[1] ** 2, axis=0))


def _rms(values):
    return np.sqrt(np.mean(values**2, axis=0))


def _tail(null, observed):
    """Fraction of the null distribution at or beyond the observed value, never zero."""
    return float((1 + np.count_nonzero(null >= observed)) / (1 + null.size))

"""Noise of simulated near-infrared cubes: sky continuum, thermal background, OH lines, correlation, bad voxels."""

import numpy as np

__all__ = [
    "BASE_SIGMA",
    "OH_STRENGTH",
    "apply_defects",
    "correlated_noise",
    "correlation_kernel",
    "noise_sigma",
    "read_oh_lines",
]

BASE_SIGMA = {"KMOS": 1.0e-16, "SINFONI": 1.5e-16}  # erg s-1 cm-2 um-1 per spaxel between sky lines, at depth 1
# Sky flux of a line of Rousselot strength 1 over the sky continuum, um. Real KMOS cubes ask for 1e-5 (K, 5 minutes) to
# 2.5e-5 (YJ: 84, 95, 98 per cent of the channels below 2.2, 4.4, 6.1 times the median noise); less is taken because the
# survey's targets were chosen to keep their lines off the bright sky lines (Curti et al. 2020, Sect. 2.1).
OH_STRENGTH = 7e-6
CORRELATION_SIGMA = 0.6  # spaxels; the reconstruction of a cube shares each detector pixel among neighbours


def read_oh_lines(path):
    """Read the OH lines of Rousselot et al. (2000): wavelength (um, vacuum) and strength, shape (n,)."""
    wavelength, strength = np.loadtxt(path, unpack=True)
    return wavelength * 1e-4, strength


def noise_sigma(detector, oh_lines, depth=1.0):
    """Return the noise of every channel, erg s-1 cm-2 um-1 per spaxel (1 sigma), shape (n_channels,).

    The variance is that of the sky's photons: a flat continuum, a thermal background that rises steeply beyond 2.2 um,
    and the OH lines convolved with the instrument's Gaussian.

    Parameters
    ----------
    detector : Detector
        The band.
    oh_lines : (ndarray, ndarray)
        From `read_oh_lines`.
    depth : float
        Factor on the noise.
    """
    wavelength, strength = oh_lines
    centres, sigma = detector.wavelength, detector.sigma
    variance = 1.0 + 1.5 * np.exp((centres - 2.35) / 0.07)
    near = (wavelength > centres[0] - 8 * sigma) & (wavelength < centres[-1] + 8 * sigma)
    for line, weight in zip(wavelength[near], strength[near], strict=True):
        low, high = np.searchsorted(centres, [line - 8 * sigma, line + 8 * sigma])
        profile = np.exp(-0.5 * ((centres[low:high] - line) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
        variance[low:high] += OH_STRENGTH * weight * profile
    return BASE_SIGMA[detector.instrument] * depth * np.sqrt(variance)


def correlation_kernel():
    """One-dimensional kernel that correlates the noise along x and along y, of unit sum of squares, shape (7,)."""
    kernel = np.exp(-0.5 * (np.arange(-3, 4) / CORRELATION_SIGMA) ** 2)
    return kernel / np.sqrt(np.sum(kernel**2))


def correlated_noise(shape, rng):
    """Gaussian noise of unit standard deviation, correlated in the last two axes, independent between channels."""
    kernel = correlation_kernel().astype(np.float32).astype(float)
    white = rng.standard_normal((shape[0], shape[1] + 6, shape[2] + 6), dtype=np.float32)
    smooth = np.empty(shape, dtype=np.float32)
    for start in range(0, shape[0], 32):  # channels that fit the processor's cache
        rows = _correlated(white[start : start + 32].astype(float), kernel, 1).astype(np.float32)
        smooth[start : start + 32] = _correlated(rows.astype(float), kernel, 2)
    return smooth


def _correlated(values, kernel, axis):
    """Correlate with a symmetric kernel of 7 along an axis, which gets 6 shorter."""
    lanes = np.moveaxis(values, axis, -1)
    parts = [lanes[..., k : k + lanes.shape[-1] - 6] for k in range(7)]
    result = parts[3] * kernel[3]
    for k in range(3):
        result += (parts[k] + parts[6 - k]) * kernel[k]
    return np.moveaxis(result, -1, axis)


def apply_defects(data, noise, sigma, rng, missing):
    """Put dead spaxels, cosmic rays and an empty border into a cube, in place.

    Parameters
    ----------
    data : ndarray, shape (n, ny, nx)
        The cube.
    noise : ndarray or None
        Its noise extension, treated alike.
    sigma : ndarray, shape (n,)
        Noise of a channel.
    rng : numpy.random.Generator
    missing : float
        What stands for missing data in dead spaxels: 0 (KMOS) or NaN.

    Returns
    -------
    ndarray, shape (n_dead, 2)
        Row and column of the dead spaxels.
    """
    n, ny, nx = data.shape
    for _ in range(20):
        k, j, i = rng.integers(n), rng.integers(1, ny - 1), rng.integers(1, nx - 1)
        data[k, j, i] += rng.choice([-1.0, 1.0]) * rng.uniform(30.0, 100.0) * sigma[k]
    dead = np.column_stack([rng.integers(1, size - 1, 6) for size in (ny, nx)])[: int(rng.integers(3, 7))]
    for cube in (data, noise):
        if cube is None:
            continue
        cube[:, dead[:, 0], dead[:, 1]] = missing
        cube[:, [0, -1], :] = np.nan
        cube[:, :, [0, -1]] = np.nan
    return dead

"""Noise-free cubes: pixel-integrated emission lines and continuum of a scene, seen through seeing and spaxels."""

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

__all__ = ["Detector", "Model", "blur_operator", "model_cube", "moment_maps", "spaxel_edges"]

SPEED_OF_LIGHT = 299792.458  # km/s
FWHM_PER_SIGMA = 2.3548200450309493
WINDOW_SIGMA = 8.0
_SATURATED = 4.2  # the error function of this is 1 in single precision
_CACHED = 2**16  # values worked on at a time
N_CHANNELS = 2048
SPAXELS = {"KMOS": (30, 0.1), "SINFONI": (64, 0.125)}  # number a side, size in arcsec
BROAD_SIGMA = 1800.0  # km/s, broad Balmer lines of a type-1 AGN
BROAD_BALMER_RATIO = 3.5  # broad Halpha/Hbeta
SUMS = {"OII": ("OII3726", "OII3729"), "SII": ("SII6717", "SII6731")}


@dataclass(frozen=True)
class Detector:
    """Channels and spaxels of one band.

    Parameters
    ----------
    instrument, band : str
        As in resources/instruments.yaml.
    wavelength_range : (float, float)
        Outer edges of the first and last channel, um, vacuum.
    resolution : float
        lambda/FWHM at the centre of the band; the FWHM is constant in wavelength.
    """

    instrument: str
    band: str
    wavelength_range: tuple
    resolution: float

    @property
    def edges(self):
        """Edges of the channels, um, shape (2049,)."""
        return np.linspace(*self.wavelength_range, N_CHANNELS + 1)

    @property
    def wavelength(self):
        """Centres of the channels, um."""
        edges = self.edges
        return 0.5 * (edges[1:] + edges[:-1])

    @property
    def sigma(self):
        """Gaussian sigma of the instrument's resolution element, um."""
        return 0.5 * sum(self.wavelength_range) / self.resolution / FWHM_PER_SIGMA

    @property
    def n_spaxels(self):
        """Spaxels a side."""
        return SPAXELS[self.instrument][0]

    @property
    def spaxel(self):
        """Size of a spaxel, arcsec."""
        return SPAXELS[self.instrument][1]


@dataclass
class Model:
    """A noise-free cube and the truth that belongs to it.

    Parameters
    ----------
    cube : ndarray, shape (n_channels, ny, nx)
        erg s-1 cm-2 um-1 per spaxel.
    fluxes : dict of ndarray, shape (ny, nx)
        Line and sum name to flux per spaxel, erg s-1 cm-2; only lines whose wavelength lies in the band.
    velocity, dispersion : ndarray, shape (ny, nx), or None
        Flux-weighted velocity and standard deviation (km/s, no instrument) of the brightest line; None without lines.
    continuum : ndarray, shape (ny, nx)
        Mean over the band, erg s-1 cm-2 um-1 per spaxel.
    brightest : str
        Line of `velocity` and `dispersion`, empty without lines.
    """

    cube: np.ndarray
    fluxes: dict
    velocity: np.ndarray | None
    dispersion: np.ndarray | None
    continuum: np.ndarray
    brightest: str


def spaxel_edges(centre, n, size):
    """Edges of `n` spaxels of `size` arcsec about `centre`, shape (n + 1,)."""
    return centre + (np.arange(n + 1) - n / 2) * size


def blur_operator(positions, edges, fwhm):
    """Fraction of the light of points that a Gaussian of `fwhm` puts between each pair of edges.

    Parameters
    ----------
    positions : ndarray, shape (m,)
        Arcsec along one axis.
    edges : ndarray, shape (n + 1,)
        Arcsec.
    fwhm : float
        Arcsec.

    Returns
    -------
    ndarray, shape (n, m)
    """
    t = (edges[:, None] - positions[None, :]) / (np.sqrt(2.0) * fwhm / FWHM_PER_SIGMA)
    return 0.5 * np.diff(erf(t), axis=0)


def _add_line(cube, edges, rest, z, flux, velocity, dispersion, sigma_instrument, down, across):
    """Add one line of one component; returns nothing. Fine-pixel arrays are (ny, nx)."""
    centre = rest * (1 + z) * (1 + velocity / SPEED_OF_LIGHT)
    sigma = np.hypot(rest * (1 + z) * dispersion / SPEED_OF_LIGHT, sigma_instrument)
    lit = flux > flux.max() * 1e-7
    reach = WINDOW_SIGMA * sigma[lit].max()
    low = int(np.searchsorted(edges, centre[lit].min() - reach)) - 1
    high = int(np.searchsorted(edges, centre[lit].max() + reach))
    low, high = max(low, 0), min(high, len(edges) - 1)
    if high <= low:
        return
    # in blocks of fine rows, so that the window never holds more than a few tens of MB
    rows = max(1, int(4e6 / ((high - low + 1) * flux.shape[1])))
    for start in range(0, flux.shape[0], rows):
        block = slice(start, start + rows)
        near = _reached(edges, centre[block], sigma[block], low, high)
        if near.stop <= near.start:
            continue
        own = edges[near.start : near.stop + 1]
        profile = _profiles(own, centre[block], sigma[block], flux[block].astype(np.float32))
        light = down[:, block].astype(np.float32) @ profile @ across.T.astype(np.float32)
        cube[near] += light / np.diff(own)[:, None, None]


def _reached(edges, centre, sigma, low, high):
    """Channels, of those from `low` to `high`, that the lines of these pixels put light into."""
    reach = _SATURATED * np.sqrt(2.0) * sigma
    first = int(np.searchsorted(edges, (centre - reach).min())) - 1
    last = int(np.searchsorted(edges, (centre + reach).max()))
    return slice(max(first, low), min(last, high))


def _profiles(edges, centre, sigma, flux):
    """Flux of a Gaussian line in each channel, float32, shape (n_channels, ny, nx); the other arrays are (ny, nx)."""
    result = np.zeros((len(edges) - 1, *flux.shape), dtype=np.float32)
    step = max(1, _CACHED // (len(edges) * flux.shape[1]))
    for start in range(0, len(flux), step):
        rows = slice(start, start + step)
        near = _reached(edges, centre[rows], sigma[rows], 0, len(edges) - 1)
        if near.stop > near.start:
            scaled = 1.0 / (np.sqrt(2.0) * sigma[rows])
            t = edges[near.start : near.stop + 1, None, None] * scaled - centre[rows] * scaled
            result[near, rows] = 0.5 * np.diff(erf(t.astype(np.float32)), axis=0) * flux[rows]
    return result


def _add_broad(cube, edges, rest, z, image, sigma_instrument):
    centre = rest * (1 + z)
    sigma = np.hypot(centre * BROAD_SIGMA / SPEED_OF_LIGHT, sigma_instrument)
    spectrum = 0.5 * np.diff(erf((edges - centre) / (np.sqrt(2.0) * sigma))) / np.diff(edges)
    cube += spectrum[:, None, None] * image


def moment_maps(flux, velocity, dispersion, down, across):
    """Blur components and return flux per spaxel and flux-weighted mean and standard deviation of the velocity.

    Parameters
    ----------
    flux, velocity, dispersion : ndarray, shape (component, ny, nx)
        On the fine grid.
    down, across : ndarray
        From `blur_operator`, for rows and columns.
    """

    def blur(image):
        return down @ image @ across.T

    total = blur(flux.sum(0))
    weight = np.maximum(total, np.finfo(float).tiny)
    mean = blur((flux * velocity).sum(0)) / weight
    square = blur((flux * (velocity**2 + dispersion**2)).sum(0)) / weight
    return total, mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def model_cube(scene, rest_wavelengths, detector, psf_fwhm, offset=(0.0, 0.0), lines=None):
    """Build the noise-free cube of one band.

    Parameters
    ----------
    scene : mapping
        Arrays of scene.npz.
    rest_wavelengths : dict
        Line name to vacuum wavelength, Angstrom.
    detector : Detector
        The band.
    psf_fwhm : float
        Seeing, arcsec.
    offset : (float, float)
        Pointing error (arcsec west, north): the field really observed is centred this much *against* the WCS, so that
        the WCS places a source `offset` away from its true position.
    lines : list of str, optional
        Only these lines.

    Returns
    -------
    Model
    """
    z, edges, n = float(scene["z"]), detector.edges, detector.n_spaxels
    field_x, field_y = float(scene["field_x"]) - offset[0], float(scene["field_y"]) - offset[1]
    down = blur_operator(scene["y"], spaxel_edges(field_y, n, detector.spaxel), psf_fwhm)
    across = blur_operator(scene["x"], spaxel_edges(field_x, n, detector.spaxel), psf_fwhm)

    cube = np.zeros((N_CHANNELS, n, n))
    names = [str(name) for name in scene["line_names"]]
    velocity, dispersion = np.asarray(scene["velocity"]), np.asarray(scene["dispersion"])
    fluxes, peak = {}, {}
    for name in lines or names:
        rest = rest_wavelengths[name] * 1e-4
        flux = np.asarray(scene["lines"][:, names.index(name)], float)
        if flux.max() > 0:
            for i in range(len(flux)):
                _add_line(cube, edges, rest, z, flux[i], velocity[i], dispersion[i], detector.sigma, down, across)
        if edges[0] < rest * (1 + z) < edges[-1]:
            fluxes[name] = down @ flux.sum(0) @ across.T
            peak[name] = flux.sum()
    for name, parts in SUMS.items():
        if all(part in fluxes for part in parts):
            fluxes[name] = fluxes[parts[0]] + fluxes[parts[1]]

    if np.any(scene["broad"]) and lines is None:
        broad = down @ np.asarray(scene["broad"], float) @ across.T
        _add_broad(cube, edges, rest_wavelengths["Halpha"] * 1e-4, z, broad, detector.sigma)
        _add_broad(cube, edges, rest_wavelengths["Hbeta"] * 1e-4, z, broad / BROAD_BALMER_RATIO, detector.sigma)

    stars = down @ np.asarray(scene["continuum"], float) @ across.T
    colour = (detector.wavelength / float(scene["reference_wavelength"])) ** float(scene["continuum_slope"])
    if lines is None:
        for start in range(0, len(cube), 64):  # channels that fit the processor's cache
            cube[start : start + 64] += colour[start : start + 64, None, None] * stars
    brightest = max(peak, key=peak.get) if peak else ""
    moments = (None, None, None)
    if brightest:
        flux = np.asarray(scene["lines"][:, names.index(brightest)], float)
        moments = moment_maps(flux, velocity, dispersion, down, across)
    return Model(cube, fluxes, moments[1], moments[2], stars * colour.mean(), brightest)

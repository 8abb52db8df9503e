"""Simulated exposures of KMOS: what the detectors record of a field, with the sky, flexure and pointing of the moment.

Everything is counted in electrons.  A sky line is integrated over the channels where it falls in that exposure, so the
critical sampling of the real instrument, and what interpolation costs, are part of the simulation.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import erf

__all__ = [
    "Instrument",
    "Sky",
    "State",
    "Target",
    "atmosphere",
    "expose",
    "moffat_image",
    "observing_block",
    "response",
]

FWHM_PER_SIGMA = 2.3548200450309493
PLANCK_LIGHT = 1.98644586e-12  # erg um
COLLECTING_AREA = 5.0e5  # cm2
SKY_CONTINUUM = 0.25  # electrons/s/channel/spaxel of 0.2 arcsec
THERMAL = 0.8  # the same, at 2.4 um
LINE_STRENGTH = 5.0e-3  # electrons/s per spaxel of 0.2 arcsec and unit of Rousselot et al. (2000)
READ_NOISE = 5.0  # electrons, many reads
BAND_EDGES = np.array([1.070, 1.127, 1.193, 1.254, 1.286, 1.403, 1.470, 1.556, 1.634, 1.727, 1.838, 1.959, 2.093])
DOUBLET = 5e-4  # um: largest separation of its lines
OVERLAP = 0.008  # um: within this of an edge a line belongs to either band, as bands overlap in the real sky


@dataclass(frozen=True)
class Instrument:
    """Channels and spaxels of one band.

    Parameters
    ----------
    band : str
    wavelength_range : (float, float)
        Outer edges of the first and last channel, um, vacuum.
    resolution : float
        Of the centre of the band.
    n_spaxel : int
    spaxel : float
        Arcsec.
    n_wave : int
    """

    band: str
    wavelength_range: tuple
    resolution: float
    n_spaxel: int = 14
    spaxel: float = 0.2
    n_wave: int = 2048

    @property
    def edges(self):
        """Edges of the channels, um."""
        return np.linspace(*self.wavelength_range, self.n_wave + 1)

    @property
    def wavelength(self):
        """Centres of the channels, um."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def sigma(self):
        """Of the Gaussian line-spread function, um."""
        return 0.5 * sum(self.wavelength_range) / self.resolution / FWHM_PER_SIGMA


@dataclass
class Target:
    """What one arm points at.

    Parameters
    ----------
    arm : int
        1-24; 1-8, 9-16, 17-24 share a detector.
    name : str
    position : (float, float)
        Arcsec west and north of the centre of the field.
    kind : str
        star | galaxy | sky
    flux : callable
        ``flux(west, north, fwhm)``: erg s-1 cm-2 um-1 per spaxel, (n_wave, ny, nx), for the arm's centre displaced
        by that many arcsec from `position` and a seeing of `fwhm`.
    """

    arm: int
    name: str
    position: tuple
    kind: str
    flux: object = None


@dataclass
class State:
    """What differs from exposure to exposure.

    Parameters
    ----------
    number : int
    kind : str
        O (object) or S (sky).
    time : float
        Seconds after the first.
    dither : (float, float)
        Arcsec west and north; the header knows it.
    drift : (float, float), rotation : float
        Error of the pointing (arcsec) and of the field's angle (degrees), which the header does not know.
    flexure : dict of ndarray
        Detector to polynomial coefficients of the shift (channels) in -1..1 along the band.
    groups : ndarray
        Factor on the lines of each vibrational band.
    rotational : float
        Relative change of the rotational temperature.
    continuum : float
        Factor on sky continuum and thermal background.
    seeing : float
        FWHM, arcsec.
    """

    number: int
    kind: str
    time: float
    dither: tuple = (0.0, 0.0)
    drift: tuple = (0.0, 0.0)
    rotation: float = 0.0
    flexure: dict = field(default_factory=dict)
    groups: np.ndarray = field(default_factory=lambda: np.ones(len(BAND_EDGES) + 1))
    rotational: float = 0.0
    continuum: float = 1.0
    seeing: float = 0.5


class Sky:
    """Emission of the night sky in one band.

    Parameters
    ----------
    instrument : Instrument
    lines : (ndarray, ndarray)
        Wavelength (um) and strength of Rousselot et al. (2000).
    seed : int
        Decides to which band a line between two of them belongs.
    """

    def __init__(self, instrument, lines, seed=0):
        self.instrument = instrument
        wavelength, strength = lines
        near = (
            (wavelength > instrument.edges[0] - 0.01) & (wavelength < instrument.edges[-1] + 0.01) & (strength > 0.01)
        )
        self.wavelength, self.strength = wavelength[near], strength[near]
        # the two lines of a Lambda doublet, equally strong and next to each other, are of one band
        first = np.ones(self.wavelength.size, bool)
        first[1:] = (np.diff(self.strength) != 0) | (np.diff(self.wavelength) > DOUBLET)
        doublet = np.cumsum(first) - 1
        blurred = self.wavelength + OVERLAP * (np.random.default_rng(seed).random(first.sum())[doublet] - 0.5)
        blurred = blurred[np.maximum.accumulate(np.where(first, np.arange(first.size), 0))]
        self.group = np.searchsorted(BAND_EDGES, blurred)
        # distance from the brightest line of the band stands for the rotational level
        self.level = np.zeros(self.wavelength.size)
        for group in np.unique(self.group):
            member = self.group == group
            centre = self.wavelength[member][np.argmax(self.strength[member])]
            self.level[member] = np.clip(np.abs(self.wavelength[member] - centre) / 0.05, 0, 1)

    def electrons_per_second(self, state, shift):
        """Return the sky of one exposure per channel and spaxel of 0.2 arcsec, shape (n_wave,).

        Parameters
        ----------
        state : State
        shift : ndarray, shape (n_wave,)
            Flexure: channels by which features move to the red.
        """
        instrument = self.instrument
        edges, centres = instrument.edges, instrument.wavelength
        step = edges[1] - edges[0]
        strength = self.strength * LINE_STRENGTH * state.groups[self.group] * (1 + state.rotational * self.level)
        position = self.wavelength + np.interp(self.wavelength, centres, shift) * step
        spectrum = SKY_CONTINUUM + THERMAL * np.exp((centres - 2.4) / 0.09)
        spectrum *= state.continuum
        first = np.clip(np.searchsorted(edges, position) - 9, 0, instrument.n_wave - 18)
        index = first[:, None] + np.arange(19)
        cumulative = 0.5 * erf(
            (edges[np.minimum(index, instrument.n_wave)] - position[:, None]) / (np.sqrt(2) * instrument.sigma)
        )
        np.add.at(spectrum, index[:, :-1], np.diff(cumulative, axis=1) * strength[:, None])
        return spectrum


def atmosphere(wavelength):
    """Return the transmission of a simple atmosphere: broad water bands and a comb of narrow lines, shape (n_wave,)."""
    depth = (
        0.05
        + 1.5 * np.exp(-0.5 * ((wavelength - 1.385) / 0.025) ** 2)
        + 1.5 * np.exp(-0.5 * ((wavelength - 1.88) / 0.03) ** 2)
    )
    rng = np.random.default_rng(7)
    for centre, weight, width in zip(
        rng.uniform(1.0, 2.5, 150), rng.exponential(0.15, 150), rng.uniform(2, 6, 150) * 1e-4, strict=True
    ):
        depth = depth + weight * np.exp(-0.5 * ((wavelength - centre) / width) ** 2)
    return np.exp(-depth)


def response(instrument):
    """Return electrons/s of an erg s-1 cm-2 um-1 above the atmosphere: area, efficiency, photon energy, (n_wave,)."""
    x = np.linspace(-1, 1, instrument.n_wave)
    efficiency = 0.28 * (1 - 0.25 * x**2 + 0.08 * x)
    step = instrument.edges[1] - instrument.edges[0]
    return COLLECTING_AREA * efficiency * step * instrument.wavelength / PLANCK_LIGHT


def moffat_image(n, spaxel, centre, fwhm, beta=None, oversample=7):
    """Return the fractions of a star's light in square spaxels, shape (n, n).

    Parameters
    ----------
    centre : (float, float)
        Of the star, arcsec along x and y from the centre of the array.
    beta : float, optional
        Of the Moffat profile; a Gaussian if not given.
    oversample : int
        Points a side of each spaxel.
    """
    fine = (np.arange(n * oversample) + 0.5) / oversample - n / 2
    x, y = fine * spaxel - centre[0], fine * spaxel - centre[1]
    radius2 = x[None, :] ** 2 + y[:, None] ** 2
    if beta is None:
        sigma2 = (fwhm / FWHM_PER_SIGMA) ** 2
        density = np.exp(-0.5 * radius2 / sigma2) / (2 * np.pi * sigma2)
    else:
        alpha2 = (fwhm / 2) ** 2 / (2 ** (1 / beta) - 1)
        density = (beta - 1) / (np.pi * alpha2) * (1 + radius2 / alpha2) ** -beta
    return density.reshape(n, oversample, n, oversample).mean(axis=(1, 3)) * spaxel**2


def observing_block(n_exposure, seed, band="H", interval=330.0, dither=0.3, drift=0.08, rotation=0.008, flexure=0.1,
                    variation=0.1, seeing=0.5, first=0):  # fmt: skip
    """Return the states of an A-B-A sequence, drawn from slow random walks.

    Parameters
    ----------
    dither, drift, rotation, flexure, variation : float
        Largest dither (arcsec); 1 sigma of pointing (arcsec), field angle (degrees), flexure (channels), sky strength.
    first : int
        Number of the first exposure.
    """
    rng = np.random.default_rng([seed, first])
    states = []
    walk = variation * rng.standard_normal(len(BAND_EDGES) + 1)
    for k in range(n_exposure):
        walk = 0.7 * walk + np.sqrt(1 - 0.49) * variation * rng.standard_normal(walk.size)
        common = flexure * rng.standard_normal(4) * [1.0, 0.5, 0.3, 0.2]
        states.append(
            State(
                number=first + k,
                kind="S" if k % 3 == 1 else "O",
                time=(first + k) * interval,
                dither=tuple(dither * (2 * rng.random(2) - 1)),
                drift=tuple(drift * rng.standard_normal(2)),
                rotation=rotation * rng.standard_normal(),
                flexure={d: common + 0.3 * flexure * rng.standard_normal(4) for d in (1, 2, 3)},
                groups=np.maximum(1 + walk, 0.3),
                rotational=0.5 * variation * rng.standard_normal(),
                continuum=1 + 0.3 * variation * rng.standard_normal(),
                seeing=seeing * (1 + 0.06 * rng.standard_normal()),
            )
        )
    return states


def expose(instrument, sky, target, state, exposure_time, seed, transmission=None, cosmic_rays=6):
    """Return one IFU of one exposure.

    Parameters
    ----------
    instrument : Instrument
    sky : Sky
    target : Target
    state : State
    exposure_time : float
        Seconds.
    seed : int
    transmission : ndarray, shape (n_wave,), optional
        Of the atmosphere; `atmosphere` if not given.
    cosmic_rays : int
        Mean number of voxels hit per IFU.

    Returns
    -------
    data, noise : ndarray of float32, shape (n_wave, ny, nx)
        Electrons/s and 1 sigma.
    hits : ndarray, shape (n_hit, 3)
        Voxels with a cosmic ray.
    """
    detector = (target.arm - 1) // 8 + 1
    rng = np.random.default_rng([seed, state.number, target.arm])
    abscissa = np.linspace(-1, 1, instrument.n_wave)
    shift = np.polynomial.polynomial.polyval(abscissa, state.flexure.get(detector, np.zeros(1)))
    illumination = 1 + 0.01 * np.random.default_rng([seed, target.arm]).standard_normal((instrument.n_spaxel,) * 2)
    area = (instrument.spaxel / 0.2) ** 2
    rate = area * sky.electrons_per_second(state, shift)[:, None, None] * illumination
    if target.flux is not None and state.kind == "O":
        angle = np.radians(state.rotation)
        west, north = target.position
        error = (state.drift[0] - angle * north, state.drift[1] + angle * west)
        centre = (state.dither[0] + error[0], state.dither[1] + error[1])
        through = response(instrument) * (atmosphere(instrument.wavelength) if transmission is None else transmission)
        rate = rate + target.flux(*centre, state.seeing) * through[:, None, None] * illumination
    electrons = np.maximum(rate, 0) * exposure_time
    sigma = np.sqrt(electrons + READ_NOISE**2)
    electrons = electrons + sigma * rng.standard_normal(electrons.shape)
    count = rng.poisson(cosmic_rays)
    hits = np.stack([rng.integers(0, size, count) for size in electrons.shape], axis=1)
    electrons[tuple(hits.T)] += rng.uniform(300, 6000, count)
    return (electrons / exposure_time).astype(np.float32), (sigma / exposure_time).astype(np.float32), hits

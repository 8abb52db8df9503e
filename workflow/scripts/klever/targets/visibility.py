"""Where the lines of a galaxy fall: in which band, on how much OH emission, and if the atmosphere is clear."""

from dataclasses import dataclass

import numpy as np

from klever.errors import InputError
from klever.spectral_lines import SPEED_OF_LIGHT, resolving_power

__all__ = ["Band", "SkyBand", "bands_of", "line_visibility", "read_sky_lines", "species_in_band"]

_FWHM = np.sqrt(8 * np.log(2))
_PROFILE = np.linspace(-3.0, 3.0, 61)  # standard deviations at which a line's profile is sampled


@dataclass(frozen=True)
class Band:
    """A band of an instrument.

    Parameters
    ----------
    name : str
    low, high : float
        Micrometre.
    resolution : float
        Resolving power at the centre; the width of the line-spread function is constant across the band.
    """

    name: str
    low: float
    high: float
    resolution: float

    @property
    def sigma(self):
        """Standard deviation of the line-spread function, micrometre."""
        return 0.5 * (self.low + self.high) / self.resolution / _FWHM

    def holds(self, wavelength):
        """Return whether wavelengths (micrometre) are inside the band."""
        return (wavelength >= self.low) & (wavelength <= self.high)


class SkyBand:
    """OH emission of a band as the instrument sees it.

    Parameters
    ----------
    band : Band
    sky_lines : ndarray, shape (n, 2)
        Vacuum wavelength (Angstrom) and strength (any unit).
    """

    def __init__(self, band, sky_lines):
        self.band = band
        position = sky_lines[:, 0] * 1e-4
        near = (position > band.low - 10 * band.sigma) & (position < band.high + 10 * band.sigma)
        order = np.argsort(position[near], kind="stable")
        self._position, self._strength = position[near][order], sky_lines[near, 1][order]
        total = self._strength[band.holds(self._position)].sum()
        self._mean = total / (band.high - band.low)

    def density(self, wavelength, sigma=0.0):
        """Return the OH emission per micrometre over the band's mean.

        Parameters
        ----------
        wavelength : ndarray
            Micrometre.
        sigma : float
            Micrometre: average over a Gaussian of this width instead of at a point.

        Returns
        -------
        ndarray
            1 is the mean of the band; 0 everywhere in a band without OH lines.
        """
        wavelength = np.asarray(wavelength, float)
        if not self._mean > 0:
            return np.zeros(wavelength.shape)
        width = np.hypot(self.band.sigma, sigma)
        flat = wavelength.ravel()
        first = np.searchsorted(self._position, flat - 6 * width)
        last = np.searchsorted(self._position, flat + 6 * width)
        # bounded memory: the lines near each wavelength only, one column of neighbours after the other
        result = np.zeros(flat.size)
        for step in range(int(np.max(last - first, initial=0))):
            index = first + step
            near = index < last
            distance = (flat[near] - self._position[index[near]]) / width
            result[near] += self._strength[index[near]] * np.exp(-0.5 * distance**2)
        return (result / (width * np.sqrt(2 * np.pi) * self._mean)).reshape(wavelength.shape)


def read_sky_lines(path):
    """Return the OH lines of a file such as that of Rousselot et al. (2000).

    Returns
    -------
    ndarray, shape (n, 2)
        Vacuum wavelength (Angstrom) and strength.

    Raises
    ------
    InputError
        The file has no two columns of numbers.
    """
    try:
        table = np.loadtxt(path, comments="#", ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a list of sky lines ({error}).") from error
    if table.shape[1] < 2 or not np.isfinite(table[:, :2]).all():
        raise InputError(f"{path} needs two columns of numbers: vacuum wavelength (Angstrom) and strength.")
    return table[:, :2]


def bands_of(instruments, instrument, names=None):
    """Return the bands of an instrument as a list of `Band`.

    Parameters
    ----------
    instruments : dict
        Content of ``resources/instruments.yaml``.
    instrument : str
    names : list of str, optional
        Only these.

    Raises
    ------
    InputError
        The instrument or a band is not known.
    """
    if instrument not in instruments:
        raise InputError(
            f"There is no instrument {instrument}; those in instruments.yaml are {', '.join(instruments)}."
        )
    known = instruments[instrument]
    unknown = [name for name in names or [] if name not in known]
    if unknown:
        raise InputError(f"{instrument} has no band {', '.join(unknown)}; its bands are {', '.join(known)}.")
    return [Band(name, *map(float, known[name]["range"]), resolving_power(known[name])) for name in names or known]


def line_visibility(wavelength, z, sky, windows, dispersion, bright):
    """Say how a line is seen in one band at redshifts `z`.

    Parameters
    ----------
    wavelength : float
        At rest, vacuum, micrometre.
    z : ndarray, shape (n,)
    sky : SkyBand
    windows : list of (float, float)
        Where the atmosphere is clear, micrometre.
    dispersion : float
        Of the galaxy's lines, km/s.
    bright : float
        OH emission, over the band's mean, above which a wavelength is lost.

    Returns
    -------
    in_band : ndarray of bool, shape (n,)
        The line's centre is inside the band.
    clear : ndarray of bool, shape (n,)
        It is in a window of the atmosphere.
    oh : ndarray, shape (n,)
        OH emission under the line's profile, in units of the band's mean; NaN outside the band.
    clean : ndarray, shape (n,)
        Fraction of the profile that is not on bright OH lines; NaN outside the band.
    """
    observed = wavelength * (1 + np.atleast_1d(np.asarray(z, float)))
    in_band = sky.band.holds(observed)
    clear = np.zeros(observed.shape, bool)
    for low, high in windows:
        clear |= (observed >= low) & (observed <= high)
    oh, clean = np.full((2, *observed.shape), np.nan)
    if in_band.any():
        sigma = np.hypot(observed[in_band] * dispersion / SPEED_OF_LIGHT, sky.band.sigma)
        weight = np.exp(-0.5 * _PROFILE**2)
        emission = sky.density(observed[in_band][:, None] + sigma[:, None] * _PROFILE)
        clean[in_band] = (emission < bright) @ weight / weight.sum()
        oh[in_band] = emission @ weight / weight.sum()
    return in_band, clear, oh, clean


def species_in_band(entry, seen):
    """Return whether a species is seen, given for each of its lines whether that is.

    Parameters
    ----------
    entry : dict
        ``{'all': [lines]}`` or ``{'any': [lines]}``.
    seen : dict of str to ndarray of bool
        By line.

    Returns
    -------
    ndarray of bool
    """
    if "all" in entry:
        return np.logical_and.reduce([seen[name] for name in entry["all"]])
    return np.logical_or.reduce([seen[name] for name in entry["any"]])

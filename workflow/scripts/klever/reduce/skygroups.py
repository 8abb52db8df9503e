"""Groups of OH lines that vary together: vibrational bands and rotational levels (Davies 2007, MNRAS 375, 1099)."""

import numpy as np

__all__ = ["BOUNDARIES", "GROUPS", "group_of", "line_channels", "rotational_class", "running_median"]

# Wavelength boundaries (um) between the vibrational bands, as coded in the public OSIRIS and SPIFFI software.
BOUNDARIES = (
    0.998, 1.067, 1.125, 1.196, 1.252, 1.289, 1.400, 1.472, 1.5543, 1.6356, 1.7253, 1.840, 1.957, 2.095, 2.30, 2.40,
)  # fmt: skip
GROUPS = ("4-1", "5-2", "6-3", "7-4", "O2", "8-5", "2-0", "3-1", "4-2", "5-3", "6-4", "7-5", "8-6", "9-7", "last")

# Lines from low and intermediate rotational levels (um), same source; all others count as high. Of these 50 all but the
# first and last of the second list lie within 0.4 Angstrom of a line of Rousselot et al. (2000).
_LOW = (
    1.00852, 1.03757, 1.09264, 1.15388, 1.22293, 1.30216, 1.45190, 1.52410, 1.60308, 1.69037, 1.78803, 2.02758, 2.18023,
    1.02895, 1.08343, 1.14399, 1.21226, 1.29057, 1.43444, 1.50555, 1.58333, 1.66924, 1.76532, 2.00082, 2.15073,
)  # fmt: skip
_MEDIUM = (
    1.00282, 1.02139, 1.04212, 1.07539, 1.09753, 1.13542, 1.15917, 1.20309, 1.22870, 1.28070, 1.30853, 1.41861, 1.46048,
    1.48877, 1.53324, 1.56550, 1.61286, 1.65024, 1.70088, 1.74500, 1.79940, 1.97719, 2.04127, 2.12496, 2.19956,
)  # fmt: skip
_REACH = 2.5  # channels on each side of a line that belong to it
_CONTINUUM = 121  # channels of the running median: wider than any blend of lines at R = 4000


def group_of(wavelength):
    """Return the index in `GROUPS` of each wavelength; those outside the boundaries go to the nearest group.

    Parameters
    ----------
    wavelength : ndarray, shape (n_wave,)
        Vacuum, um.
    """
    return np.clip(np.searchsorted(BOUNDARIES, wavelength, side="right") - 1, 0, len(GROUPS) - 1)


def rotational_class(wavelength):
    """Return 0, 1 or 2 for channels on lines from low, intermediate and all other rotational levels.

    Parameters
    ----------
    wavelength : ndarray, shape (n_wave,)
        Vacuum, um, increasing.
    """
    reach = _REACH * np.gradient(wavelength)
    result = np.full(wavelength.shape, 2)
    for level, lines in ((1, _MEDIUM), (0, _LOW)):
        for line in lines:
            result[np.abs(wavelength - line) <= reach] = level
    return result


def running_median(spectrum, width=_CONTINUUM):
    """Return the median in a window of `width` channels; NaN is left out, the ends are mirrored.

    Parameters
    ----------
    spectrum : ndarray, shape (n_wave,)
    """
    if not spectrum.size:
        return spectrum
    half = min(width // 2, spectrum.size - 1)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(spectrum, half, mode="reflect"), 2 * half + 1)
    ordered = np.sort(windows, axis=1)
    count = np.sum(np.isfinite(ordered), axis=1)
    middle = ordered[np.arange(spectrum.size), np.maximum(count - 1, 0) // 2]
    return np.where(count > 0, middle, np.nan)


def line_channels(sky, noise, threshold=5.0):
    """Return the channels on sky lines, and the continuum below them.

    Davies (2007) takes what exceeds the running median by a multiple of the spectrum's own median and scatter; here
    the multiple is one of the noise, so that the choice does not depend on how bright continuum and lines are.

    Parameters
    ----------
    sky : ndarray, shape (n_wave,)
        Mean spectrum of the sky; NaN is no line.
    noise : ndarray, shape (n_wave,)
        1 sigma of it.
    threshold : float
        In units of the noise above the continuum.

    Returns
    -------
    lines : ndarray of bool, shape (n_wave,)
        With one channel added on either side.
    continuum : ndarray, shape (n_wave,)
    """
    continuum = running_median(sky)
    with np.errstate(invalid="ignore"):
        peak = sky - continuum > threshold * noise
    grown = peak.copy()
    grown[1:] |= peak[:-1]
    grown[:-1] |= peak[1:]
    return grown & np.isfinite(sky), continuum

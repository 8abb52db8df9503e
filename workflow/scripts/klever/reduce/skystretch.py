"""Sky-stretch: a polynomial stretch of the wavelengths that brings the lines of the sky onto those of the exposure.

KMOS flexes between exposures by fractions of a channel, and a sky that is shifted by 0.2 channels leaves residuals of a
tenth of the line. The shift is fitted as a Chebyshev series together with one strength per vibrational group (Curti et
al. 2020, Sect. 2.2: "a relatively high degree polynomial").
"""

import numpy as np
from scipy import sparse

__all__ = ["cut_channels", "fit_stretch", "shift_operator"]

_TAPS = 6  # half width of the Lanczos kernel, channels
_CUT = 0.02  # of a kernel's weight beyond the ends above which a channel cannot be shifted
_STEP = 0.25  # channels: the derivative of the sky is a difference over twice this
_ITERATIONS = 6
_LARGEST = 2.0  # channels: a larger shift is no flexure
_CLIP = 5.0
_RANGE_PER_TERM = 3  # lines that each coefficient needs


def shift_operator(shift):
    """Return the operator that evaluates a spectrum at ``channel + shift`` (Lanczos kernel of 12 taps).

    At the critical sampling of KMOS and SINFONI (two channels per FWHM) it errs by 0.6 per cent of a line's peak for a
    shift of 0.2 channels, a cubic spline by 1.7 per cent.

    Parameters
    ----------
    shift : ndarray, shape (n_wave,)
        Channels.

    Returns
    -------
    scipy.sparse.csr_matrix, shape (n_wave, n_wave)
        Rows sum to 1; taps beyond the ends are left out.
    """
    n_wave = len(shift)
    position = np.arange(n_wave) + shift
    first = np.floor(position).astype(int)
    taps = first[:, None] + np.arange(-_TAPS + 1, _TAPS + 1)
    distance = position[:, None] - taps
    weight = np.sinc(distance) * np.sinc(distance / _TAPS)
    weight[(taps < 0) | (taps >= n_wave) | (np.abs(distance) >= _TAPS)] = 0.0
    total = weight.sum(axis=1, keepdims=True)
    beyond = np.abs(total[:, 0]) < 0.1  # shifted beyond the ends: the nearest channel
    weight[beyond] = 0.0
    weight /= np.where(beyond[:, None], 1.0, total)
    rows = np.repeat(np.arange(n_wave), 2 * _TAPS)
    columns = np.clip(taps, 0, n_wave - 1).ravel()
    matrix = sparse.csr_matrix((weight.ravel(), (rows, columns)), shape=(n_wave, n_wave))
    if beyond.any():
        index = np.flatnonzero(beyond)
        matrix = matrix + sparse.csr_matrix((np.ones(index.size), (index, index)), shape=matrix.shape)
    matrix.eliminate_zeros()
    return matrix


def cut_channels(shift):
    """Return the channels at the ends of the band whose shifted value would need channels beyond them.

    A line that the end cuts off is known in part only; what `shift_operator` makes of it is off by up to a fifth.

    Parameters
    ----------
    shift : ndarray, shape (n_wave,)
        Channels.

    Returns
    -------
    ndarray of bool, shape (n_wave,)
        None for a shift of whole channels inside the band; some five at each end for a shift of 0.2 channels.
    """
    position = np.arange(shift.size) + shift
    taps = np.floor(position).astype(int)[:, None] + np.arange(-_TAPS + 1, _TAPS + 1)
    distance = position[:, None] - taps
    weight = np.abs(np.sinc(distance) * np.sinc(distance / _TAPS))
    return np.sum(np.where((taps < 0) | (taps >= shift.size), weight, 0.0), axis=1) > _CUT


def fit_stretch(target, sky, noise, group, usable, degree=5):
    """Fit the shift of the sky's lines against those of an exposure.

    Gauss-Newton: the model is the shifted sky times one strength per group, plus its derivative times a Chebyshev
    series in wavelength; channels that deviate by 5 sigma are left out of the next round.

    Parameters
    ----------
    target, sky : ndarray, shape (n_wave,)
        Continuum-subtracted mean spectra of the exposure and the sky; finite.
    noise : ndarray, shape (n_wave,)
        1 sigma of `target` and `sky` together.
    group : ndarray of int, shape (n_wave,)
        Lines of one group vary together.
    usable : ndarray of bool, shape (n_wave,)
        Channels on sky lines that the source does not touch.
    degree : int
        Of the series; fewer if there are not three lines per coefficient.

    Returns
    -------
    ndarray, shape (n_wave,)
        Channels to add where the sky is evaluated; zero if there are no lines to fit.
    """
    n_wave = target.size
    lines = int(np.sum(np.diff(usable.astype(int)) == 1) + usable[0])
    degree = min(degree, lines // _RANGE_PER_TERM - 1)
    shift = np.zeros(n_wave)
    if degree < 0:
        return shift
    low, high = np.flatnonzero(usable)[[0, -1]]
    # beyond the outermost lines the series is held at its value there: a polynomial runs away
    abscissa = np.clip((np.arange(n_wave) - low) / max(high - low, 1) * 2 - 1, -1, 1)
    basis = np.polynomial.chebyshev.chebvander(abscissa, degree)
    members = [group == index for index in np.unique(group[usable])]
    kept = usable.copy()
    for _ in range(_ITERATIONS):
        shifted = shift_operator(shift) @ sky
        slope = (shift_operator(shift + _STEP) @ sky - shift_operator(shift - _STEP) @ sky) / (2 * _STEP)
        columns = np.stack([np.where(member, shifted, 0.0) for member in members], axis=1)
        strengths = np.linalg.lstsq(columns[kept] / noise[kept, None], target[kept] / noise[kept], rcond=None)[0]
        design = np.hstack(
            [columns, (columns @ strengths / np.where(shifted == 0, 1, shifted) * slope)[:, None] * basis]
        )
        solution = np.linalg.lstsq(design[kept] / noise[kept, None], target[kept] / noise[kept], rcond=None)[0]
        step = basis @ solution[len(members) :]
        deviation = np.abs(target - design @ solution) / noise
        scatter = np.median(deviation[kept]) / 0.6745
        # the first rounds are still far from the solution, where the lines' flanks deviate most
        shift = np.clip(shift + step, -_LARGEST, _LARGEST)
        if np.max(np.abs(step[kept])) < 1e-3:
            break
        kept = usable & (deviation < _CLIP * max(scatter, 1.0))
    return shift

"""How the lines of one vibrational band change against each other, when the rotational temperature of OH does.

Davies (2007, MNRAS 375, 1099) scales lines from low, intermediate and high rotational levels apart; a parabola in
wavelength per band comes before that.
"""

import numpy as np

__all__ = ["level_factor", "temperature_factor"]

_FEWEST = 3  # line channels
_LARGEST_ROTATIONAL = 0.25  # lines of one band do not change by more against each other
_PARABOLA, _LINES_PER_TERM = 3, 3  # coefficients of a band's parabola, lines that each of them needs


def temperature_factor(spectrum, sky, noise, group, usable):
    """Fit a parabola in wavelength to the lines of each band that has enough of them.

    The strength of a line goes with exp(-E/kT), E of its rotational level, and E rises with the square of the distance
    from the band's origin: a change of the rotational temperature is a parabola in wavelength, to first order.

    Parameters
    ----------
    spectrum, sky, noise : ndarray, shape (n_wave,)
        Continuum-subtracted mean spectra of exposure and sky, stretched and scaled; 1 sigma of both.
    group : ndarray of int, shape (n_wave,)
        Vibrational group of each channel.
    usable : ndarray of bool, shape (n_wave,)
        Channels on sky lines that the source does not touch.

    Returns
    -------
    ndarray, shape (n_wave,)
        1 in bands with fewer than nine lines, and where lines would change by more than a quarter.
    """
    factor = np.ones(spectrum.size)
    for band in np.unique(group):
        member = group == band
        chosen = usable & member
        runs = int(np.sum(np.diff(chosen.astype(int)) == 1) + chosen[0])
        if runs < _PARABOLA * _LINES_PER_TERM:
            continue
        index = np.flatnonzero(chosen)
        x = (np.arange(spectrum.size) - index[0]) / (index[-1] - index[0]) * 2 - 1
        basis = np.polynomial.legendre.legvander(np.clip(x, -1, 1), _PARABOLA - 1)
        for _ in range(2):
            design = (sky / noise)[chosen, None] * basis[chosen]
            shape = basis @ np.linalg.lstsq(design, (spectrum / noise)[chosen], rcond=None)[0]
            residual = np.abs(spectrum - shape * sky) / noise
            chosen = chosen & (residual < 3 * max(1.4826 * np.median(residual[chosen]), 1.0))
        if np.max(np.abs(shape[index] - 1)) < _LARGEST_ROTATIONAL:
            factor[member] = shape[member]
    return factor


def level_factor(spectrum, sky, noise, group, level, usable):
    """Fit a factor to the lines from each set of rotational levels, per vibrational group if it has enough lines.

    Parameters
    ----------
    spectrum, sky, noise, group, usable
        See `temperature_factor`.
    level : ndarray of int, shape (n_wave,)
        See `klever.reduce.skygroups.rotational_class`.

    Returns
    -------
    ndarray, shape (n_wave,)
    """
    factor = np.ones(spectrum.size)
    for index in range(3):
        whole = _robust_factor(spectrum, sky, noise, usable & (level == index))
        for band in np.unique(group):
            chosen = usable & (level == index) & (group == band)
            value = _robust_factor(spectrum, sky, noise, chosen) if chosen.sum() >= 2 * _FEWEST else whole
            if abs(value - 1) < _LARGEST_ROTATIONAL:
                factor[(level == index) & (group == band)] = value
    return factor


def _robust_factor(spectrum, sky, noise, chosen):
    """Weighted least squares of spectrum = factor * sky, with one 3-sigma clip and refit; 1 without channels."""
    value = 1.0
    for _ in range(2):
        if chosen.sum() < _FEWEST:
            return value
        weight = 1 / noise[chosen] ** 2
        value = float(np.sum(weight * spectrum[chosen] * sky[chosen]) / np.sum(weight * sky[chosen] ** 2))
        residual = np.abs(spectrum - value * sky) / noise
        chosen = chosen & (residual < 3 * max(1.4826 * np.median(residual[chosen]), 1.0))
    return value

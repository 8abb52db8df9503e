"""Spectra of one group's window, normalised and padded, ready for the fit."""

from dataclasses import dataclass

import numpy as np

from klever.linefit.model import pixel_edges
from klever.spectral_lines import SPEED_OF_LIGHT

__all__ = [
    "SPIKE_CONTRAST",
    "SPIKE_SIGMA",
    "Axis",
    "Window",
    "channels_of_group",
    "find_spikes",
    "padded_axis",
    "prepare",
]

SPIKE_SIGMA = 10.0
SPIKE_CONTRAST = 0.7  # a line of the instrument's width (sigma >= 0.75 channel) reaches 0.55


@dataclass
class Axis:
    """A window's wavelength axis, padded at both ends.

    Attributes
    ----------
    edges, x : ndarray, shape (n_padded + 1,), (n_padded,)
        Pixel edges (micrometre), and the wavelength standardised to -1 to 1 in the window.
    centre, half_range, step : float
        Micrometre.
    """

    edges: np.ndarray
    x: np.ndarray
    centre: float
    half_range: float
    step: float


@dataclass
class Window:
    """Spectra without their linear continuum, in units of each spaxel's typical error.

    Attributes
    ----------
    flux, weight, weighted : ndarray, shape (n_spaxels, n_padded)
        Flux, inverse variance (0 where masked) and their product.
    edges, x : ndarray, shape (n_padded + 1,), (n_padded,)
        Pixel edges (micrometre), and the standardised wavelength of the continuum.
    moments : ndarray, shape (3, n_spaxels)
        Sums of weight x^k.
    projections : ndarray, shape (2, n_spaxels)
        Sums of weight x^k flux.
    square : ndarray, shape (n_spaxels,)
        Sum of weight flux^2: chi2 of the continuum alone.
    unit : ndarray, shape (n_spaxels,)
        Flux density of one normalised unit.
    continuum : ndarray, shape (2, n_spaxels)
        Subtracted continuum: value at `centre` and slope per unit of x, normalised.
    """

    flux: np.ndarray
    weight: np.ndarray
    weighted: np.ndarray
    edges: np.ndarray
    x: np.ndarray
    moments: np.ndarray
    projections: np.ndarray
    square: np.ndarray
    unit: np.ndarray
    continuum: np.ndarray
    centre: float
    half_range: float
    step: float
    pad: int
    n_valid: np.ndarray
    fittable: np.ndarray


def channels_of_group(model, wavelength, velocity_window):
    """Channels within `velocity_window` (km/s) of a line of the group.

    Returns
    -------
    slice
        From the first to the last of them.
    ndarray of bool
        Within that slice, whether a channel belongs to the window (False in a gap between lines far apart).
    """
    near = np.zeros(len(wavelength), bool)
    for centre in model.centres(0.0):
        near |= np.abs(wavelength / centre - 1) * SPEED_OF_LIGHT <= velocity_window
    index = np.flatnonzero(near)
    if not index.size:
        return slice(0, 0), near[:0]
    chosen = slice(int(index[0]), int(index[-1]) + 1)
    return chosen, near[chosen]


def find_spikes(flux, weight):
    """Channels that stand out alone, narrower than the instrument can make a line: cosmic rays and dead pixels.

    Parameters
    ----------
    flux, weight : ndarray, shape (n_spaxels, n_channels)
        Weight 0 marks masked channels (flux finite there).

    Returns
    -------
    ndarray of bool, same shape
    """
    spikes = np.zeros(flux.shape, bool)
    if flux.shape[1] < 5:
        return spikes
    middle, left, right = flux[:, 2:-2], flux[:, 1:-3], flux[:, 3:-1]
    base = 0.5 * (flux[:, :-4] + flux[:, 4:])
    usable = (weight[:, 1:-3] > 0) & (weight[:, 3:-1] > 0)
    sigma = np.sqrt(weight[:, 2:-2])
    above = middle - np.maximum(left, right)
    below = np.minimum(left, right) - middle
    height = np.abs(middle - base)
    stands_out = np.maximum(above, below)
    spikes[:, 2:-2] = usable & (stands_out * sigma > SPIKE_SIGMA) & (stands_out > SPIKE_CONTRAST * height)
    return spikes


def padded_axis(wavelength, pad):
    """Extend the axis `wavelength` (micrometre, ascending) by `pad` channels at both ends."""
    centre = 0.5 * (wavelength[0] + wavelength[-1])
    half_range = 0.5 * (wavelength[-1] - wavelength[0])
    edges = pixel_edges(wavelength)
    before = edges[0] + (edges[1] - edges[0]) * np.arange(-pad, 0)
    after = edges[-1] + (edges[-1] - edges[-2]) * np.arange(1, pad + 1)
    edges = np.concatenate([before, edges, after])
    x = (0.5 * (edges[1:] + edges[:-1]) - centre) / half_range
    return Axis(edges, x, float(centre), float(half_range), float(np.median(np.diff(wavelength))))


def prepare(wavelength, flux, error, pad, excluded=None):
    """Normalise spectra, drop spikes, subtract a weighted linear continuum, pad both ends with weight 0.

    Parameters
    ----------
    wavelength : ndarray, shape (n,)
        Ascending, micrometre.
    flux, error : ndarray, shape (n_spaxels, n)
        Not finite, or an error that is not positive, masks a channel.
    pad : int
    excluded : ndarray of bool, shape (n_spaxels, n), optional
        Further channels to mask.

    Returns
    -------
    Window
    spikes : ndarray of bool, shape (n_spaxels, n)
    """
    with np.errstate(all="ignore"):
        valid = np.isfinite(flux) & np.isfinite(error) & (error > 0)
        if excluded is not None:
            valid &= ~excluded
        inverse = np.where(valid, 1.0 / error, 0.0)
        typical = valid.sum(axis=1) / inverse.sum(axis=1)
        typical = np.where(np.isfinite(typical) & (typical > 0), typical, 1.0)
        weight = inverse * typical[:, None]
        weight *= weight
        normalised = np.where(valid, flux / typical[:, None], 0.0)
        valid &= (np.abs(normalised) < 1e100) & (weight < 1e100)
        weight[~valid] = 0.0
        normalised[~valid] = 0.0
        spikes = find_spikes(normalised, weight)
        if spikes.any():
            weight[spikes] = 0.0
            normalised[spikes] = 0.0
        good = weight > 0
        n_valid = good.sum(axis=1)
        low = np.min(normalised, axis=1, where=good, initial=np.inf)
        high = np.max(normalised, axis=1, where=good, initial=-np.inf)
    fittable = high > low

    axis = padded_axis(wavelength, pad)
    x = axis.x[pad : len(axis.x) - pad]
    powers = np.stack([np.ones_like(x), x, x * x], axis=1)
    moments = (weight @ powers).T
    projections = ((weight * normalised) @ powers[:, :2]).T
    determinant = moments[0] * moments[2] - moments[1] ** 2
    safe = determinant > 1e-10 * np.maximum(moments[0], 1e-300) ** 2
    divisor = np.where(safe, determinant, 1.0)
    mean = projections[0] / np.where(moments[0] > 0, moments[0], 1.0)
    continuum = np.where(
        safe,
        np.array([moments[2] * projections[0] - moments[1] * projections[1],
                  moments[0] * projections[1] - moments[1] * projections[0]]) / divisor,
        np.array([mean, np.zeros_like(mean)]),
    )  # fmt: skip
    normalised = np.where(good, normalised - continuum[0][:, None] - continuum[1][:, None] * x, 0.0)
    weighted = weight * normalised

    padding = ((0, 0), (pad, pad))
    window = Window(
        flux=np.pad(normalised, padding), weight=np.pad(weight, padding), weighted=np.pad(weighted, padding),
        edges=axis.edges, x=axis.x, moments=moments,
        projections=(weighted @ powers[:, :2]).T, square=np.einsum("sc,sc->s", weighted, normalised), unit=typical,
        continuum=continuum, centre=axis.centre, half_range=axis.half_range, step=axis.step, pad=pad, n_valid=n_valid,
        fittable=fittable,
    )  # fmt: skip
    return window, spikes

"""Combination of aligned exposures: a 3-sigma-clipped mean with propagated errors (Curti et al. 2020, Sect. 2.2).

In an A-B-A sequence two exposures have the same sky: its noise is common to both and does not average out.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from klever.reduce.resample import drizzle

__all__ = ["Combined", "clip_exposures", "combine_exposures", "output_header", "shared_skies"]

_BLOCK = 256  # channels at a time: bounds the memory
_GRADIENT = 1.2  # of the difference between neighbouring spaxels: what subpixel positions change in a star's core
_FEWEST = 2  # exposures without which nothing can be clipped; two that disagree are both dropped
_ROUNDS = 3


@dataclass
class Combined:
    """A combined cube.

    Parameters
    ----------
    flux, error : ndarray of float32, shape (n_wave, ny, nx)
        Per output spaxel; NaN where no exposure has data.  The error is that of a single voxel; sums need also the
        covariance of neighbours (`klever.reduce.covariance`).
    exposures : ndarray of uint16, shape (n_wave, ny, nx)
        How many went into each voxel.
    exposure_map : ndarray, shape (ny, nx)
        Mean over channels of the summed exposure times, seconds.
    clipped : float
        Fraction of the values that was clipped.
    """

    flux: np.ndarray
    error: np.ndarray
    exposures: np.ndarray
    exposure_map: np.ndarray
    clipped: float


def output_header(ra, dec, size, scale):
    """Return shape and header of a square north-up grid.

    Parameters
    ----------
    ra, dec : float
        Centre, degrees.
    size : float
        Arcsec; rounded up to whole spaxels.
    scale : float
        Arcsec per spaxel.
    """
    from klever.grids import tangent_header

    n = int(np.ceil(size / scale - 1e-6))
    return (n, n), tangent_header(ra, dec, scale, ((n - 1) / 2, (n - 1) / 2))


def combine_exposures(operators, fluxes, errors, area_ratio, shape, times, sigma=3.0, scales=None, shared=()):
    """Drizzle and average exposures.

    Parameters
    ----------
    operators : list of scipy.sparse.csr_matrix
        From `klever.reduce.resample.drizzle_operator`, one per exposure.
    fluxes, errors : list of ndarray, shape (n_wave, ny, nx)
        Sky-subtracted exposures on one wavelength axis; NaN is missing.
    area_ratio : float
        Area of an output spaxel over that of a spaxel.
    shape : (int, int)
        Of the output.
    times : sequence of float
        Exposure times, seconds.
    sigma : float
        Clipping threshold; infinite for none.
    scales : sequence of float, optional
        Factor on each exposure's flux, for a change of transparency.
    shared : list of (int, int, ndarray, ndarray)
        Pairs of exposures from which the same sky was subtracted, and its error in each, (n_wave, ny, nx), see
        `shared_skies`.

    Returns
    -------
    Combined
        Exposures are weighted by the area of their drops in the spaxel.
    """
    n_wave = len(fluxes[0])
    n_out = shape[0] * shape[1]
    flux, error = (np.full((n_wave, n_out), np.nan, np.float32) for _ in range(2))
    number = np.zeros((n_wave, n_out), np.uint16)
    seconds, total, lost = np.zeros(n_out), 0, 0
    scales = np.ones(len(fluxes)) if scales is None else scales
    common = [(i, j, operators[i].multiply(operators[j]).tocsr(), one, two) for i, j, one, two in shared]
    for start in range(0, n_wave, _BLOCK):
        block = slice(start, min(start + _BLOCK, n_wave))
        parts = [
            drizzle(operator, f[block] * scale, e[block] * scale, area_ratio)
            for operator, f, e, scale in zip(operators, fluxes, errors, scales, strict=True)
        ]
        values, variance, weight = (np.stack(kind) for kind in zip(*parts, strict=True))
        present = weight > 0
        kept = present & clip_exposures(values, variance, weight, shape, sigma)
        total += int(present.sum())
        lost += int(present.sum() - kept.sum())
        weight = np.where(kept, weight, 0.0)
        norm = weight.sum(axis=0)
        seen = norm > 0
        norm = np.where(seen, norm, 1.0)
        flux[block] = np.where(seen, (weight * values).sum(axis=0) / norm, np.nan)
        total_variance = (weight.astype(float) ** 2 * variance).sum(axis=0)
        for i, j, overlap, one, two in common:
            covariance = np.nan_to_num(one[block].astype(float) * two[block]).reshape(len(norm), -1)
            factor = 2 * area_ratio**2 * scales[i] * scales[j]
            total_variance += factor * kept[i] * kept[j] * (overlap @ covariance.T).T
        error[block] = np.where(seen, np.sqrt(total_variance) / norm, np.nan)
        number[block] = kept.sum(axis=0)
        seconds += np.tensordot(np.asarray(times, float), kept, axes=(0, 0)).sum(axis=0)
    cube = (n_wave, *shape)
    flux, error, number = flux.reshape(cube), error.reshape(cube), number.reshape(cube)
    return Combined(flux, error, number, (seconds / n_wave).reshape(shape), lost / max(total, 1))


def shared_skies(skies, sky_errors):
    """Return which exposures have the noise of a sky in common, and how much.

    Parameters
    ----------
    skies : list of str
        Which sky was subtracted from each exposure.
    sky_errors : list of ndarray, shape (n_wave, ny, nx)
        Its 1 sigma error, in the unit of the exposure.

    Returns
    -------
    list of (int, int, ndarray, ndarray)
        For `combine_exposures`.
    """
    return [
        (i, j, sky_errors[i], sky_errors[j])
        for i, j in itertools.combinations(range(len(skies)), 2)
        if skies[i] == skies[j]
    ]


def clip_exposures(values, variance, weight, shape, sigma=3.0):
    """Return which values agree with the median of the exposures.

    A value is clipped if it is further from the median than `sigma` of its error and 1.2 times the difference between
    neighbouring spaxels: in the core of a star, or on a bright knot, exposures differ by where their spaxels fell.

    Parameters
    ----------
    values, variance, weight : ndarray, shape (n_exposure, n_wave, n_out)
        Weight 0 is missing.
    shape : (int, int)
        (ny, nx) of the output.
    sigma : float

    Returns
    -------
    ndarray of bool, shape (n_exposure, n_wave, n_out)
        True where a single exposure leaves nothing to compare with; of two that disagree neither is right.
    """
    present = weight > 0
    if not np.isfinite(sigma) or len(values) < _FEWEST:
        return np.ones(values.shape, bool)
    ordered = np.sort(np.where(present, values, np.inf), axis=0)
    count = present.sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.maximum(count // 2, 0)
    low, high = (np.take_along_axis(ordered, np.minimum(k, len(values) - 1)[None], axis=0)[0] for k in (low, high))
    with np.errstate(invalid="ignore"):
        median = np.where(count > 0, 0.5 * (low + high), 0.0)
    # of two exposures the one nearer to zero makes the gradient: it has not been hit
    image = np.where(count > 0, np.where(np.abs(low) < np.abs(high), low, high), 0.0).reshape(-1, *shape)
    gradient = np.zeros_like(image)
    for axis in (1, 2):
        difference = np.abs(np.diff(image, axis=axis))
        before, after = (
            tuple(s if k == axis else slice(None) for k in range(3)) for s in (slice(None, -1), slice(1, None))
        )
        np.maximum(gradient[before], difference, out=gradient[before])
        np.maximum(gradient[after], difference, out=gradient[after])
    # a difference that noise explains is no gradient; the error of the median adds to that of the value
    typical = np.sqrt(np.where(present, variance, 0).sum(axis=0) / np.maximum(count, 1))
    gradient = np.maximum(gradient.reshape(median.shape) - 3 * typical / np.sqrt(np.maximum(count, 1)), 0)
    allowed = sigma * np.sqrt(variance + 1.57 * typical**2 / np.maximum(count, 1)) + _GRADIENT * gradient
    return (np.abs(values - median) <= allowed) | (count < _FEWEST)

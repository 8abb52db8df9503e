"""Cosmic rays in pairs of an exposure and its sky, voxel by voxel."""

import numpy as np

from klever.cubes.skylines import outliers

__all__ = ["flag_pair", "hit_voxels"]


def hit_voxels(flux, error, sigma=8.0):
    """Return the voxels of a sky-subtracted exposure that stand out from their neighbours in all directions.

    Parameters
    ----------
    flux, error : ndarray, shape (n_wave, ny, nx)
        NaN is missing.
    sigma : float

    Returns
    -------
    ndarray of bool, shape (n_wave, ny, nx)
        See `klever.cubes.skylines.outliers`: real lines and stars pass.
    """
    return outliers(flux, error, sigma)


def flag_pair(flux, error, sky, sky_error, sigma=8.0):
    """Set the voxels that a cosmic ray hit in an exposure or its sky to NaN, in place.

    The difference of the two decides: sky lines are gone from it but for a few per cent, hits of the exposure are
    positive and those of the sky negative.

    Parameters
    ----------
    flux, error, sky, sky_error : ndarray, shape (n_wave, ny, nx)

    Returns
    -------
    int, int
        Voxels lost in the exposure and in the sky.
    """
    difference = flux - sky
    hit = hit_voxels(difference, np.hypot(error, sky_error), sigma)
    own, others = hit & (difference > 0), hit & (difference < 0)
    flux[own], error[own] = np.nan, np.nan
    sky[others], sky_error[others] = np.nan, np.nan
    return int(own.sum()), int(others.sum())

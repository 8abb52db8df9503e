"""Cosmic rays on the slices of SINFONI: L.A.Cosmic (van Dokkum 2001, PASP 113, 1420) by astroscrappy."""

import numpy as np

from klever.errors import ConfigError

__all__ = ["clean_slices"]

_BORDER = 4  # pixels


def clean_slices(cube, gain=1.0, read_noise=5.0, sigma=5.0, slices="y"):
    """Clean a cube with L.A.Cosmic on images (wavelength, position along the slice), as the detector saw them.

    Parameters
    ----------
    cube : ndarray, shape (n_wave, ny, nx)
        Counts, sky not subtracted (its photons are in the noise model).
    gain : float
        Electrons per count.
    read_noise : float
        Electrons.
    sigma : float
    slices : str
        Axis along which the slices are numbered: "y" (SINFONI: a slice is a row of spaxels) or "x".

    Returns
    -------
    cleaned : ndarray, shape (n_wave, ny, nx)
    hit : ndarray of bool, shape (n_wave, ny, nx)

    Raises
    ------
    ConfigError
        astroscrappy is not installed.
    """
    try:
        from astroscrappy import detect_cosmics
    except ImportError:
        raise ConfigError(
            "cosmic rays of SINFONI need the package astroscrappy, which is not installed; pip install astroscrappy."
        ) from None
    axis = {"y": 1, "x": 2}[slices]
    images = np.moveaxis(cube, axis, 0)
    cleaned, hit = images.astype(np.float32), np.zeros(images.shape, bool)
    for number, image in enumerate(images):
        bad = ~np.isfinite(image)
        if bad.all():
            continue
        # sky lines run across the slice: their median profile goes first, or their edges are taken for hits
        profile = np.nan_to_num(np.nanmedian(np.where(bad, np.nan, image), axis=1))
        filled = np.where(bad, profile[:, None], image)
        background = np.repeat(profile[:, None], image.shape[1], axis=1)
        # its median filters leave out the outermost three pixels, a fifth of a slice
        padded = [np.pad(array, _BORDER, mode="reflect") for array in (filled, background)]
        found, clean = detect_cosmics(
            padded[0].astype(np.float32), inmask=np.pad(bad, _BORDER, mode="reflect"),
            inbkg=padded[1].astype(np.float32), gain=gain, readnoise=read_noise, sigclip=sigma, objlim=5.0,
            cleantype="medmask", verbose=False,
        )  # fmt: skip
        found, clean = (array[_BORDER:-_BORDER, _BORDER:-_BORDER] for array in (found, clean))
        hit[number] = found & ~bad
        cleaned[number] = np.where(bad, np.nan, clean)
    return np.moveaxis(cleaned, 0, axis), np.moveaxis(hit, 0, axis)

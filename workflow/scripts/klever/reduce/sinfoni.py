"""SINFONI: from reconstructed exposures of one target to its combined cube (Curti et al. 2020, Sect. 2.2).

There is one field and no star beside it, and the files have no errors: these follow from the photons and the read
noise, cosmic rays are found slice by slice, and the exposures are placed by their WCS.
"""

from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from klever.cubes.axes import celestial_header
from klever.cubes.spectral import spectral_axis
from klever.errors import InputError
from klever.grids import Grid, sky_to_offsets
from klever.reduce.combine import combine_exposures, output_header
from klever.reduce.cosmicrays import flag_pair
from klever.reduce.resample import drizzle_operator
from klever.reduce.skysub import subtract_sky
from klever.reduce.slices import clean_slices

__all__ = ["SinfoniExposure", "photon_error", "read_sinfoni", "reduce_sinfoni"]


@dataclass
class SinfoniExposure:
    """One exposure.

    Parameters
    ----------
    flux : ndarray, shape (n_wave, ny, nx)
        Counts; NaN is missing.
    wavelength : ndarray, shape (n_wave,)
        Vacuum, um.
    header : astropy.io.fits.Header
        Celestial WCS.
    time : float
        MJD.
    exposure_time : float
        Seconds.
    """

    flux: np.ndarray
    wavelength: np.ndarray
    header: fits.Header
    time: float
    exposure_time: float


def read_sinfoni(path):
    """Read a reconstructed cube (OBS_OBJ or OBS_SKY).

    Raises
    ------
    InputError
        It cannot be read, or there is no cube in its primary HDU.
    """
    try:
        with fits.open(path, memmap=False) as hdus:
            header = hdus[0].header
            if header.get("NAXIS") != 3:
                raise InputError(f"{path} has no cube in its primary HDU; give reconstructed exposures of SINFONI.")
            flux = hdus[0].data.astype(np.float32)
            wavelength, _ = spectral_axis(header, len(flux), hdus)
            celestial = celestial_header(header)
    except OSError as error:
        raise InputError(f"{path} cannot be read as FITS ({error}); replace the exposure.") from error
    flux[flux == 0] = np.nan
    time, seconds = float(header.get("MJD-OBS", np.nan)), float(header.get("EXPTIME", header.get("ESO DET DIT", 1.0)))
    return SinfoniExposure(flux, wavelength, celestial, time, seconds)


def photon_error(flux, gain, read_noise):
    """Return the 1 sigma error of counts, sky included: photons and read noise.

    Parameters
    ----------
    flux : ndarray
        Counts.
    gain : float
        Electrons per count.
    read_noise : float
        Electrons.
    """
    return np.sqrt(np.maximum(flux * gain, 0) + read_noise**2) / gain


def reduce_sinfoni(objects, skies, factor, gain=2.42, read_noise=7.0, pixel_scale=0.125, pixfrac=0.6, protected=None):
    """Clean, sky-subtract, calibrate and combine the exposures of one target.

    Parameters
    ----------
    objects, skies : list of SinfoniExposure
        The sky nearest in time is taken for each exposure.
    factor : ndarray, shape (n_wave,), or None
        Flux density per count and second (`klever.reduce.telluric`).
    gain, read_noise : float
        Electrons per count; electrons.
    pixel_scale : float
        Of the combined cube, arcsec.
    pixfrac : float
        See `klever.reduce.resample`.
    protected : ndarray of bool, shape (n_wave,), optional
        Channels on the target's own lines.

    Returns
    -------
    cube : klever.reduce.combine.Combined
    header : astropy.io.fits.Header
    fits_of_sky : list of klever.reduce.skysub.SkySubtraction

    Raises
    ------
    InputError
        There is no sky exposure.
    """
    if not skies:
        raise InputError("no sky exposure of SINFONI was given; add one (OBS_SKY) near in time to the objects.")
    cleaned = {}
    for exposure in (*objects, *skies):
        error = photon_error(exposure.flux, gain, read_noise)
        flux, hit = clean_slices(exposure.flux, gain, read_noise)
        cleaned[id(exposure)] = np.where(hit, np.nan, flux), np.where(hit, np.nan, error)
    fluxes, errors, results = [], [], []
    for exposure in objects:
        sky = min(skies, key=lambda other, time=exposure.time: abs(other.time - time))
        pair = *cleaned[id(exposure)], *cleaned[id(sky)]
        flag_pair(*pair)  # what the slices did not show: hits on sky lines
        fit = subtract_sky(exposure.wavelength, *pair, protected=protected, rotational=True)
        scale = 1.0 if factor is None else factor[:, None, None]
        fluxes.append(fit.flux * scale / exposure.exposure_time)
        errors.append(fit.error * scale / exposure.exposure_time)
        results.append(fit)
    first, shape = objects[0].header, objects[0].flux.shape[1:]
    centres = np.array([Grid(e.header, shape).offsets((shape[1] - 1) / 2, (shape[0] - 1) / 2) for e in objects])
    sky = np.array([sky_to_offsets(e.header["CRVAL1"], e.header["CRVAL2"], first["CRVAL1"], first["CRVAL2"])
                    for e in objects]) + centres  # fmt: skip
    grid = Grid(first, shape)
    size = max(shape) * grid.pixel_scale + 2 * np.max(np.abs(sky - sky[0]))
    out_shape, header = output_header(first["CRVAL1"], first["CRVAL2"], size, pixel_scale)
    target = Grid(header, out_shape)
    operators = [drizzle_operator(e.header, shape, target, pixfrac=pixfrac) for e in objects]
    times = [exposure.exposure_time for exposure in objects]
    cube = combine_exposures(operators, fluxes, errors, target.pixel_area / grid.pixel_area, out_shape, times)
    return cube, header, results

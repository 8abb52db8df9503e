"""SINFONI: from reconstructed exposures of one target to its combined cube (Curti et al. 2020, Sect. 2.2).

There is one field and no star beside it, and the files have no errors: these follow from the photons and the read
noise, cosmic rays are found slice by slice, and the exposures are placed by their WCS.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from klever.cubes.axes import celestial_header
from klever.cubes.fitsfiles import open_fits, pixels
from klever.cubes.spectral import spectral_axis
from klever.errors import InputError
from klever.grids import Grid, sky_to_offsets
from klever.reduce.combine import combine_exposures, output_header, shared_skies
from klever.reduce.cosmicrays import flag_pair
from klever.reduce.frames import check_wavelengths
from klever.reduce.resample import drizzle_operator
from klever.reduce.skysub import source_free, subtract_sky
from klever.reduce.slices import clean_slices

__all__ = ["SinfoniCube", "SinfoniExposure", "measure_noise", "nearest", "noise_of", "photon_error", "read_sinfoni",
           "reduce_sinfoni"]  # fmt: skip

_FEWEST_SPAXELS = 20  # of a channel, and channels, that tell a scatter


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
        Seconds, of one integration: counts are their mean.
    integrations : int
        How many (``ESO DET NDIT``).
    path : str
    is_sky : bool
        It is of blank sky.
    """

    flux: np.ndarray
    wavelength: np.ndarray
    header: fits.Header
    time: float
    exposure_time: float
    integrations: int = 1
    path: str = ""
    is_sky: bool = False

    def blank(self, sky):
        """Return a sky exposure as it would be with this one's integration time."""
        if sky.exposure_time == self.exposure_time:
            return sky
        ratio = self.exposure_time / sky.exposure_time
        return replace(sky, flux=sky.flux * np.float32(ratio), exposure_time=self.exposure_time)


@dataclass
class SinfoniCube:
    """The combined cube of a target and how it was made.

    Parameters
    ----------
    cube : klever.reduce.combine.Combined
    header : astropy.io.fits.Header
        Its celestial WCS.
    wavelength : ndarray, shape (n_wave,)
        Vacuum, um.
    sky_fits : list of klever.reduce.skysub.SkySubtraction
        Of each exposure, without its cubes.
    hits : list of int
        Voxels lost to cosmic rays in each exposure.
    operators : list of scipy.sparse.csr_matrix
        See `klever.reduce.resample.drizzle_operator`.
    gain, read_noise : float
        Electrons per count; electrons.
    """

    cube: object
    header: fits.Header
    wavelength: np.ndarray
    sky_fits: list
    hits: list
    operators: list
    gain: float
    read_noise: float


def read_sinfoni(path):
    """Read a reconstructed cube, sky included (OBS_OBJ, OBS_STD, or OBS_SKY).

    It is of blank sky where the word SKY stands in ``ESO PRO CATG``, ``ESO DPR TYPE``, ``OBJECT`` or the file's name.

    Raises
    ------
    InputError
        It cannot be read, there is no cube in its primary HDU, or it has no MJD-OBS.
    """
    with open_fits(path) as hdus:
        header = hdus[0].header
        if header.get("NAXIS") != 3:
            raise InputError(f"{path} has no cube in its primary HDU; give reconstructed exposures of SINFONI.")
        flux = pixels(hdus[0], path).astype(np.float32)
        wavelength, _ = spectral_axis(header, len(flux), hdus)
        celestial = celestial_header(header)
    flux[flux == 0] = np.nan
    words = [str(header.get(key, "")) for key in ("ESO PRO CATG", "ESO DPR TYPE", "OBJECT")] + [Path(path).name]
    is_sky = any(re.search(r"(?<![A-Z])SKY(?![A-Z])", word.upper()) for word in words)
    time, seconds = float(header.get("MJD-OBS", np.nan)), float(header.get("EXPTIME", header.get("ESO DET DIT", 1.0)))
    if not np.isfinite(time):
        raise InputError(f"{path} has no MJD-OBS, so its nearest sky is not known; add the keyword.")
    number = int(header.get("ESO DET NDIT", 1))
    return SinfoniExposure(flux, wavelength, celestial, time, seconds, number, str(path), is_sky)


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


def measure_noise(flux, sky):
    """Measure gain and read noise from an exposure and its sky: scatter over the spaxels against brightness of the sky.

    The headers of SINFONI hold neither.  Between the spaxels of a channel the difference of the two exposures scatters
    by photons, twice, and read noise, twice; sky lines make channels of all brightnesses.  What reconstruction did to
    the noise of a voxel is part of the result, so these are effective values of the cube.

    Parameters
    ----------
    flux, sky : ndarray, shape (n_wave, ny, nx)
        Counts, sky included; NaN is missing.

    Returns
    -------
    gain, read_noise : float
        Electrons per count; electrons.

    Raises
    ------
    InputError
        The scatter does not rise with the brightness.
    """
    free = source_free(flux - sky)
    difference, level = (flux - sky)[:, free], 0.5 * (flux + sky)[:, free]
    count = np.sum(np.isfinite(difference), axis=1)
    good = count >= _FEWEST_SPAXELS
    if good.sum() >= _FEWEST_SPAXELS:
        difference, level, count = difference[good], np.nanmedian(level[good], axis=1), count[good]
        centred = np.abs(difference - np.nanmedian(difference, axis=1, keepdims=True))
        variance = (1.4826 * np.nanmedian(centred, axis=1)) ** 2 / 2
        slope, floor = _line(level, variance) if np.median(variance) > 0 else (0.0, 0.0)
        if slope > 0:
            gain = 1 / slope
            return float(gain), float(np.sqrt(max(floor, 0.0)) * gain)
    raise InputError(
        "gain and read noise of SINFONI cannot be measured: between the exposure and its sky the scatter of a channel "
        "does not rise with its brightness; give them as reduce.sinfoni_noise: {gain: ..., read_noise: ...}."
    )


def _line(level, variance):
    """Slope and floor of variance against level; the error of a variance is proportional to it."""
    design = np.stack([level, np.ones_like(level)], axis=1)
    model = np.full(level.size, np.median(variance))
    for _ in range(10):
        weight = 1 / model
        solution = np.linalg.lstsq(design * weight[:, None], variance * weight, rcond=None)[0]
        model = np.maximum(design @ solution, 0.2 * np.median(variance))
    return solution


def reduce_sinfoni(objects, skies, factor, options, protected=None):
    """Clean, sky-subtract, calibrate and combine the exposures of one target.

    Parameters
    ----------
    objects, skies : list of SinfoniExposure
        The sky nearest in time is taken for each exposure, scaled to its integration time.
    factor : ndarray, shape (n_wave,), or None
        Flux density per count and second (`klever.reduce.telluric`).
    options : dict
        sinfoni_noise (measured, or gain in electrons per count and read_noise in electrons), sinfoni_pixel_scale
        (arcsec), pixfrac, cosmic_ray_sigma, stretch_degree, rotational, clip_sigma.
    protected : ndarray of bool, shape (n_wave,), optional
        Channels on the target's own lines.

    Returns
    -------
    SinfoniCube

    Raises
    ------
    InputError
        There is no sky exposure, or one of another shape or on other channels.
    """
    first = objects[0]
    gain, read_noise = noise_of(objects, skies, options)
    cleaned = {id(sky): _cleaned(sky, gain, read_noise) for sky in skies}
    fluxes, errors, taken, results, lost = [], [], [], [], []
    for exposure in objects:
        sky = nearest(skies, exposure)
        flux, error, hits = _cleaned(exposure, gain, read_noise)
        # the sky's own arrays are used again by other exposures
        ratio = np.float32(exposure.exposure_time / sky.exposure_time)
        pair = flux, error, *(ratio * array for array in cleaned[id(sky)][:2])
        more, _ = flag_pair(*pair, options["cosmic_ray_sigma"])  # what the slices did not show: hits on sky lines
        fit = subtract_sky(exposure.wavelength, *pair, protected=protected, degree=options["stretch_degree"],
                           rotational=options["rotational"])  # fmt: skip
        scale = (1.0 if factor is None else factor[:, None, None]) / exposure.exposure_time
        fluxes.append((fit.flux * scale).astype(np.float32))
        errors.append((fit.error * scale).astype(np.float32))
        taken.append((id(sky), (fit.sky_error * scale).astype(np.float32)))
        results.append(fit)
        lost.append(hits + more)
        fit.flux = fit.error = fit.sky_error = None  # hundreds of MB, not used again
    shape, grid = first.flux.shape[1:], Grid(first.header, first.flux.shape[1:])
    centres = np.array([_centre(exposure.header, shape, first.header) for exposure in objects])
    size = max(shape) * grid.pixel_scale + 2 * np.max(np.abs(centres - centres[0]))
    ra, dec = grid.wcs.all_pix2world((shape[1] - 1) / 2, (shape[0] - 1) / 2, 0)
    out_shape, header = output_header(float(ra), float(dec), size, options["sinfoni_pixel_scale"])
    target = Grid(header, out_shape)
    operators = [drizzle_operator(e.header, shape, target, pixfrac=options["pixfrac"]) for e in objects]
    times = [exposure.exposure_time * exposure.integrations for exposure in objects]
    area_ratio = target.pixel_area / grid.pixel_area
    shared = shared_skies(*zip(*taken, strict=True))
    cube = combine_exposures(
        operators, fluxes, errors, area_ratio, out_shape, times, options["clip_sigma"], shared=shared
    )
    return SinfoniCube(cube, header, first.wavelength, results, lost, operators, gain, read_noise)


def noise_of(objects, skies, options):
    """Return gain and read noise that the options give, or that the first exposure and its sky show."""
    if not skies:
        raise InputError(
            f"there is no sky exposure of SINFONI beside {objects[0].path} (ESO DPR TYPE with SKY, or ESO PRO CATG "
            "*SKY*); add those taken near in time."
        )
    for exposure in (*objects, *skies):
        if exposure.flux.shape != objects[0].flux.shape:
            raise InputError(
                f"{exposure.path} has {exposure.flux.shape[::-1]} voxels, {objects[0].path} "
                f"{objects[0].flux.shape[::-1]}; reconstruct all exposures on one grid."
            )
        check_wavelengths(objects[0].path, objects[0].wavelength, exposure.path, exposure.wavelength)
    given = options["sinfoni_noise"]
    if given == "measured":
        pairs = [(exposure, nearest(skies, exposure)) for exposure in objects]
        alike = [pair for pair in pairs if pair[0].exposure_time == pair[1].exposure_time]
        if not alike:
            raise InputError(
                f"gain and read noise of SINFONI cannot be measured: no exposure beside {objects[0].path} has a sky of "
                "the same DIT; give them as reduce.sinfoni_noise: {gain: ..., read_noise: ...}."
            )
        return measure_noise(*(exposure.flux for exposure in alike[0]))
    return float(given["gain"]), float(given["read_noise"])


def nearest(skies, exposure):
    """Return the sky taken nearest in time."""
    return min(skies, key=lambda other: (abs(other.time - exposure.time), other.time))


def _cleaned(exposure, gain, read_noise):
    """Flux and error without cosmic rays, and how many voxels they hit."""
    error = photon_error(exposure.flux, gain, read_noise).astype(np.float32)
    flux, hit = clean_slices(exposure.flux, gain, read_noise)
    flux[hit], error[hit] = np.nan, np.nan
    return flux.astype(np.float32), error, int(hit.sum())


def _centre(header, shape, reference):
    """Where the middle of the field is, arcsec west and north of the reference of another header."""
    ra, dec = Grid(header, shape).wcs.all_pix2world([(shape[1] - 1) / 2], [(shape[0] - 1) / 2], 0)
    west, north = sky_to_offsets(ra, dec, reference["CRVAL1"], reference["CRVAL2"])
    return float(west[0]), float(north[0])

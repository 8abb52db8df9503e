"""Reduction of one pointing of KMOS in one band: from reconstructed exposures to combined, calibrated cubes."""

import logging
from dataclasses import dataclass, field

import numpy as np

from klever.errors import InputError
from klever.grids import Grid, sky_to_offsets
from klever.reduce.combine import combine_exposures, output_header, shared_skies
from klever.reduce.cosmicrays import flag_pair
from klever.reduce.covariance import covariance_factor, predicted_covariance
from klever.reduce.frames import check_times, check_wavelengths, nearest_sky, read_frame, read_ifu
from klever.reduce.resample import drizzle_operator
from klever.reduce.skysub import subtract_sky
from klever.reduce.staralign import StarPosition, solve_alignment
from klever.reduce.starfit import fit_star

__all__ = ["Pointing", "Target", "collapse", "cube_noise", "load_pointing", "measure_stars", "reduce_target"]

logger = logging.getLogger("klever")

_CHUNK = 256  # channels: a mean over blocks of them bounds the memory of a median


@dataclass
class Pointing:
    """The exposures of a pointing and how they are aligned.

    Parameters
    ----------
    frames : list of klever.reduce.frames.Frame
        All, in order of time.
    objects : list of klever.reduce.frames.Frame
        Those on the targets: what offsets and alignments are counted by.
    centre : (float, float)
        Degrees, of the field.
    stars : list of klever.reduce.staralign.StarPosition
    alignments : list of klever.reduce.staralign.Alignment
        One per entry of `objects`.
    sky : list of dict
        Rows of the table of sky groups.
    """

    frames: list
    objects: list
    centre: tuple
    stars: list = field(default_factory=list)
    alignments: list = field(default_factory=list)
    sky: list = field(default_factory=list)


@dataclass
class Target:
    """One combined cube and what is known of it.

    Parameters
    ----------
    ifu : int
    name : str
    cube : klever.reduce.combine.Combined
    wavelength : ndarray, shape (n_wave,)
    header : astropy.io.fits.Header
        Celestial WCS of the cube.
    covariance, predicted : dict of int to float
        `klever.reduce.covariance`.
    noise_ratio : float
        Scatter of the source-free voxels over the propagated error.
    """

    ifu: int
    name: str
    cube: object
    wavelength: np.ndarray
    header: object
    covariance: dict
    predicted: dict
    noise_ratio: float


def load_pointing(paths):
    """Read the headers of all exposures.

    Raises
    ------
    InputError
        None looks at the targets, or one is there twice.
    """
    frames = sorted((read_frame(path) for path in paths), key=lambda frame: (frame.time, frame.path))
    check_times(frames)
    objects = [frame for frame in frames if any(kind == "object" for kind in frame.kinds.values())]
    if not objects:
        raise InputError(
            f"none of the {len(frames)} exposures has an IFU on a target (ESO OCS ARMn TYPE = O); add exposures of it."
        )
    return Pointing(frames, objects, objects[0].centre)


def collapse(flux):
    """Return the mean over channels of blocks' medians, which cosmic rays and sky residuals do not move, (ny, nx)."""
    with np.errstate(invalid="ignore"):
        blocks = [flux[start : start + _CHUNK] for start in range(0, len(flux), _CHUNK)]
        medians = []
        for block in blocks:
            ordered = np.sort(block, axis=0)
            count = np.isfinite(ordered).sum(axis=0)
            middle = np.take_along_axis(ordered, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
            medians.append(np.where(count > len(block) // 2, middle, np.nan))
        medians = np.stack(medians)
        number = np.isfinite(medians).sum(axis=0)
    return np.where(number > 0, np.nansum(medians, axis=0) / np.maximum(number, 1), np.nan)


def sky_subtracted(pointing, frame, ifu, options, protected=None):
    """Return flux, error, wavelength, header and the fit of the sky of one IFU in one exposure."""
    sky_frame = nearest_sky(pointing.frames, frame, ifu)
    flux, error, wavelength, header = read_ifu(frame.path, ifu)
    sky, sky_error, sky_wavelength, _ = read_ifu(sky_frame.path, ifu)
    check_wavelengths(frame.path, wavelength, sky_frame.path, sky_wavelength)
    if sky.shape != flux.shape:
        raise InputError(
            f"{frame.path} and its sky {sky_frame.path} have IFU {ifu} on different spaxels; reconstruct both on "
            "one grid."
        )
    lost = flag_pair(flux, error, sky, sky_error, options["cosmic_ray_sigma"])
    fit = subtract_sky(
        wavelength, flux, error, sky, sky_error, protected=protected, degree=options["stretch_degree"],
        rotational=options["rotational"],
    )  # fmt: skip
    return wavelength, header, fit, lost


def measure_stars(pointing, ifus, options):
    """Fit the stars of all exposures and solve for the alignment, in place.

    Parameters
    ----------
    pointing : Pointing
    ifus : list of int
        IFUs on stars.
    options : dict
        cosmic_ray_sigma, stretch_degree, rotational.
    """
    for number, frame in enumerate(pointing.objects):
        for ifu in ifus:
            if frame.kinds.get(ifu) != "object":
                continue
            _, header, fit, _ = sky_subtracted(pointing, frame, ifu, options)
            image = collapse(fit.flux)
            grid = Grid(header, image.shape, pointing.centre)
            moffat, gauss = (fit_star(image, grid.pixel_scale, profile=profile) for profile in ("moffat", "gauss"))
            best = moffat if moffat.ok else gauss
            if not best.ok:
                logger.warning("%s: no star in IFU %d; its detector relies on the other stars", frame.path, ifu)
                continue
            west, north = grid.offsets(np.array([best.x]), np.array([best.y]))
            pointing.stars.append(
                StarPosition(number, ifu, float(west[0]), float(north[0]), moffat.fwhm, gauss.fwhm,
                             best.x_error * grid.pixel_scale)
            )  # fmt: skip
    pointing.alignments = solve_alignment(pointing.stars, len(pointing.objects))
    for alignment, frame in zip(pointing.alignments, pointing.objects, strict=True):
        if alignment.origin == "header":
            logger.warning("%s: no star was measured; its header's WCS is used", frame.path)


def reduce_target(pointing, ifu, factor, options, protected=None):
    """Subtract the sky, calibrate, align and combine the exposures of one IFU.

    Parameters
    ----------
    pointing : Pointing
        After `measure_stars`; rows are added to its table of the sky.
    ifu : int
    factor : ndarray, shape (n_wave,), or None
        Flux density per count (`klever.reduce.telluric`); None leaves counts.
    options : dict
        cosmic_ray_sigma, stretch_degree, rotational, pixel_scale, pixfrac, clip_sigma, alignment.
    protected : callable, optional
        ``protected(wavelength)``: channels on the target's own lines.

    Returns
    -------
    Target

    Raises
    ------
    InputError
        No exposure has data of this IFU on its target, or they are on different channels.
    """
    fluxes, errors, skies, frames, first = [], [], [], [], None
    for number, frame in enumerate(pointing.objects):
        if frame.kinds.get(ifu) != "object":
            continue
        wavelength = read_wavelength(frame.path, ifu) if protected else None
        wavelength, header, fit, lost = sky_subtracted(
            pointing, frame, ifu, options, protected(wavelength) if protected else None
        )
        if not np.isfinite(fit.flux).any():
            logger.warning("%s has no data in IFU %d, or its sky has none; it is left out", frame.path, ifu)
            continue
        first = first or (frame.path, wavelength)
        check_wavelengths(*first, frame.path, wavelength)
        pointing.sky += [{"exposure": number, "ifu": ifu, **group, "hits": lost[0]} for group in fit.groups]
        scale = np.ones(len(wavelength)) if factor is None else factor
        fluxes.append((fit.flux * scale[:, None, None]).astype(np.float32))
        errors.append((fit.error * scale[:, None, None]).astype(np.float32))
        own = (fit.sky_error * scale[:, None, None]).astype(np.float32)
        skies.append((nearest_sky(pointing.frames, frame, ifu).path, own))
        frames.append((number, frame, header))
    if not frames:
        raise InputError(f"no exposure has data of IFU {ifu} on its target; leave the target out of the pointing.")
    shape = fluxes[0].shape[1:]
    header = frames[0][2]
    position = _position(header, shape, pointing.centre)
    middle = Grid(header, shape)
    offsets = np.array([_position(h, shape, (header["CRVAL1"], header["CRVAL2"])) for _, _, h in frames])
    size = max(shape) * middle.pixel_scale + 2 * np.max(np.abs(offsets - offsets[0]))
    out_shape, out_header = output_header(header["CRVAL1"], header["CRVAL2"], size, options["pixel_scale"])
    target = Grid(out_header, out_shape)
    operators = [
        drizzle_operator(
            h,
            shape,
            target,
            pointing.alignments[number].offset(ifu, position, options["alignment"]),
            options["pixfrac"],
        )
        for number, _, h in frames
    ]
    area_ratio = target.pixel_area / middle.pixel_area
    times = [frame.exposure_time if np.isfinite(frame.exposure_time) else 1.0 for _, frame, _ in frames]
    shared = shared_skies(*zip(*skies, strict=True))
    cube = combine_exposures(
        operators, fluxes, errors, area_ratio, out_shape, times, options["clip_sigma"], shared=shared
    )
    measured, predicted, ratio = cube_noise(cube, operators, out_shape)
    name = frames[0][1].targets[ifu]
    logger.info("IFU %d %s: %d exposures, %.2f %% clipped, noise %.3f of the prediction", ifu, name, len(frames),
                100 * cube.clipped, ratio)  # fmt: skip
    return Target(ifu, name, cube, wavelength, out_header, measured, predicted, ratio)


def read_wavelength(path, ifu):
    """Return the wavelengths of an IFU, um."""
    return read_ifu(path, ifu)[2]


def _position(header, shape, centre):
    """Where the middle of an IFU is, arcsec west and north of a position."""
    grid = Grid(header, shape)
    ra, dec = grid.wcs.all_pix2world([(shape[1] - 1) / 2], [(shape[0] - 1) / 2], 0)
    west, north = sky_to_offsets(ra, dec, *centre)
    return float(west[0]), float(north[0])


def cube_noise(cube, operators, shape):
    """Return the covariance of a combined cube, measured and predicted, and how its scatter compares with its error.

    Parameters
    ----------
    cube : klever.reduce.combine.Combined
    operators : list of scipy.sparse.csr_matrix
        Of the exposures, see `klever.reduce.resample.drizzle_operator`.
    shape : (int, int)
        Of the cube's spaxels.

    Returns
    -------
    measured, predicted : dict of int to float
        See `klever.reduce.covariance`; measured on the spaxels without a source that most exposures cover.
    ratio : float
        Scatter of a voxel over its error.
    """
    white = collapse(cube.flux)
    faint = np.isfinite(white) & (cube.exposures.max(axis=0) >= 0.8 * cube.exposures.max())
    if faint.any():
        middle = np.median(white[faint])
        below = np.abs(white[faint & (white <= middle)] - middle)  # sources are on the other side
        faint &= white <= middle + 3 * np.quantile(below, 0.6827)
    residual = np.where(faint, cube.flux - white, np.nan)
    measured = covariance_factor(residual, cube.error)
    return measured, predicted_covariance(operators, shape), measured[1]

"""Read a cube of any supported format into the canonical form.

`klever.cubes.formats` says where a file keeps its layers; all after that, from units to parity, is the same for all.
"""

from pathlib import Path

import numpy as np

from klever.cubes import axes as cubeaxes
from klever.cubes.cube import DQ, Cube
from klever.cubes.fitsfiles import open_fits, pixels
from klever.cubes.fluxunits import contradiction, flux_factor
from klever.cubes.formats import ERROR_KINDS, Layers, find_format, register
from klever.cubes.frames import rest_frame, shift_to_barycentre
from klever.cubes.noise import estimate_error
from klever.cubes.spectral import check_order, spectral_axis
from klever.errors import InputError

__all__ = ["Layers", "read_cube", "register"]

_SQUARE, _RIGHT_ANGLE = 1.02, 1.0  # ratio of the sides, degrees


def read_cube(path, unit="header", extension=None, instrument=None, wavelength_range=None, barycentric=False):
    """Read a cube of any supported format.

    Exact zeros of floating-point data and NaN are missing data; errors that are not positive are no errors.  A cube
    without errors gets estimated ones (`klever.cubes.noise.estimate_error`).  A mirrored field is reversed along x, so
    that x always increases to the west on a north-up field; decreasing wavelengths are reversed, too.

    Parameters
    ----------
    path : str or pathlib.Path
        FITS, also compressed by gzip, bzip2 or xz.
    unit : str
        ``"header"`` for the file's BUNIT, else a unit that takes its place.
    extension : str or int, optional
        Which cube of a file with several: an extension's name with or without ``.DATA``, the number of a KMOS IFU, or
        the target that its arm was set to.
    instrument : str, optional
        As configured; a file that says otherwise gets a warning.
    wavelength_range : (float, float), optional
        Of the configured band, micrometre: must overlap the file's.
    barycentric : bool
        Shift topocentric wavelengths to the barycentre (`klever.cubes.frames`); otherwise they stay as they are.

    Returns
    -------
    Cube
        ``meta["notes"]`` and ``meta["warnings"]``: sentences on what was found or assumed.

    Raises
    ------
    InputError
        Anything that makes the cube unusable; names the file, the problem and the remedy.
    """
    path = Path(path)
    with open_fits(path) as hdus:
        reader = find_format(hdus)
        layers = reader.layers(hdus, extension)
        if layers.science.header.get("NAXIS") != 3:
            raise InputError(
                f"extension {layers.science.name} has NAXIS = {layers.science.header.get('NAXIS')} where a cube "
                "of 3 axes (x, y, wavelength) is expected; choose another extension or file."
            )
        cube = _upright(_assemble(hdus, layers, unit, path))
        cube.meta["reader"] = reader.name
        _set_frame(cube, (layers.science.header, hdus[0].header), getattr(reader, "frame", None), barycentric)
        _compare(cube, hdus[0].header, instrument, wavelength_range)
    return cube


def _assemble(hdus, layers, unit, path):
    """Put the layers together in the order of the file's axes."""
    header, notes = layers.science.header, []
    data = pixels(layers.science, path)  # first: it checks the sizes that the header claims
    if data.ndim != 3:
        raise InputError(
            f"extension {layers.science.name or 'PRIMARY'} is no image of 3 axes but holds data of the shape "
            f"{data.shape}: its header is damaged; copy the file again."
        )
    n_wave = data.shape[0]
    if n_wave < 2:
        raise InputError("the spectral axis has a single channel; this is an image, not a cube.")
    if layers.wavelength is None:
        wavelength, notes = spectral_axis(header, n_wave, hdus)
    else:
        wavelength = check_order(layers.wavelength)
        if wavelength.shape != (n_wave,):
            raise InputError(f"it stores wavelengths of {wavelength.shape} channels for a cube of {n_wave}.")
    wcs = cubeaxes.celestial_header(header)
    text = _unit_text(header, unit)
    area = cubeaxes.spaxel_scale(wcs) ** 2
    factor = flux_factor(text, wavelength, area)
    disagreement = "" if unit == "header" else contradiction(unit, _own_unit(header), wavelength, area)
    flux = data.astype(float)
    zero = flux == 0
    flux *= factor
    dq = np.zeros(flux.shape, dtype=np.uint8)
    missing = ~np.isfinite(flux)
    if data.dtype.kind == "f":
        missing |= zero
    if layers.weight is not None:
        missing |= _like(layers.weight, flux, path) == 0
    if layers.quality is not None:
        dq[_is_flagged(layers, flux, path)] |= np.uint8(DQ.INSTRUMENT)
    if missing.all():
        raise InputError("every voxel is missing (NaN or exactly zero); the reduction failed or this is an empty IFU.")
    flux[missing] = np.nan
    dq[missing] |= np.uint8(DQ.NODATA)
    if layers.error is None:
        error = estimate_error(flux if layers.quality is None else np.where(dq == 0, flux, np.nan), wavelength)
        notes = [*notes, "the file has no error: estimated from the scatter of the data"]
    else:
        error = _error(layers, _error_factor(layers, unit, factor, wavelength, area), flux, path)
    usable = np.isfinite(error) & (error > 0)
    dq[~usable] |= np.uint8(DQ.NO_ERROR)
    error[missing | ~usable] = np.nan
    if not (usable & ~missing).any():
        raise InputError("no voxel has both data and a positive error; check the error extension.")
    meta = {
        "source_file": path.name,
        "source_extension": layers.science.name or "PRIMARY",
        "source_unit": text,
        "error_origin": "estimated" if layers.error is None else "given",
        "error_extension": "" if layers.error is None else layers.error.name,
        "object": hdus[0].header.get("OBJECT"),
        "mirrored": cubeaxes.is_mirrored(wcs),
        "notes": notes,
        "warnings": [disagreement] if disagreement else [],
    }
    return Cube(flux, error, dq, wavelength, wcs, meta)


def _upright(cube):
    """Reverse decreasing wavelengths and a mirrored field; warn of spaxels that are no squares."""
    if cube.wavelength[0] > cube.wavelength[-1]:
        cube.meta["notes"].append("wavelengths decrease along FITS axis 3: the channels were reversed")
        cube.wavelength = np.ascontiguousarray(cube.wavelength[::-1])
        cube.flux, cube.error, cube.dq = (np.ascontiguousarray(a[::-1]) for a in (cube.flux, cube.error, cube.dq))
    if cube.meta["mirrored"]:
        cube.meta["warnings"].append(
            "the WCS has mirrored parity (east to the right when north is up): the cube was reversed along x; "
            "compare it with an image to make sure that the header is right"
        )
        cube.header = cubeaxes.mirror_x(cube.header, cube.shape[2])
        cube.flux, cube.error, cube.dq = (
            np.ascontiguousarray(a[:, :, ::-1]) for a in (cube.flux, cube.error, cube.dq)
        )  # fmt: skip
    ratio, skew = cubeaxes.spaxel_shape(cube.header)
    if ratio > _SQUARE or skew > _RIGHT_ANGLE:
        cube.meta["warnings"].append(
            f"the spaxels are no squares (sides {ratio:.3g} : 1, {skew:.2g} deg from a right angle): smoothing and "
            "apertures take them as squares of the same area; resample the cube to squares"
        )
    return cube


def _set_frame(cube, headers, usual, barycentric):
    frame, note = rest_frame(headers, usual)
    if note:
        cube.meta["notes"].append(note)
    if barycentric:
        cube.wavelength, velocity, note = shift_to_barycentre(cube.wavelength, frame, headers)
        if velocity:
            cube.meta["barycentric_velocity"], frame = velocity, "BARYCENT"
            cube.meta["notes"].append(note)
    elif frame == "TOPOCENT":
        cube.meta["notes"].append(
            "wavelengths are those at the observatory (TOPOCENT): the Earth's motion, up to 30 km/s, is in the "
            "velocities (ingest.barycentric: true removes it)"
        )
    cube.meta["specsys"] = frame


def _is_flagged(layers, flux, path):
    """Voxels that the pipeline calls bad; a quality that is no number is bad."""
    quality = _like(layers.quality, flux, path)
    if quality.dtype.kind == "f":
        quality = np.where(np.isfinite(quality), quality, 0 if layers.zero_is_bad else 1)
    quality = quality.astype(np.int64)
    if layers.zero_is_bad:
        return quality == 0
    return (quality if layers.bad_bits is None else quality & layers.bad_bits) != 0


def _error_factor(layers, unit, factor, wavelength, area):
    """Factor of the error extension: its own BUNIT counts if it differs; a variance goes with the data's."""
    own = str(layers.error.header.get("BUNIT", "")).strip()
    if (
        unit != "header"
        or layers.error_kind != "sigma"
        or not own
        or own == str(layers.science.header.get("BUNIT", "")).strip()
    ):
        return factor
    return flux_factor(own, wavelength, area)


def _error(layers, factor, flux, path):
    """1 sigma error in the canonical unit, NaN where what is stored is not positive."""
    values = _like(layers.error, flux, path).astype(float)
    if layers.error_kind not in ERROR_KINDS:
        raise InputError(f"its format states an error of kind {layers.error_kind!r}; known are {ERROR_KINDS}.")
    if layers.error_kind != "sigma":
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            values = np.where(values > 0, values, np.nan)
            if layers.error_kind.startswith("inverse"):
                values = 1 / values
            if layers.error_kind.endswith("variance"):
                values = np.sqrt(values)
    return values * factor


def _own_unit(header):
    return str(header.get("BUNIT", "")).strip()


def _unit_text(header, unit):
    if unit != "header":
        return unit
    text = _own_unit(header)
    if not text:
        raise InputError(
            "the header has no BUNIT; give the unit of the data in the column `unit` of observations.tsv, for example "
            "'erg s-1 cm-2 um-1'."
        )
    return text


def _compare(cube, primary, instrument, wavelength_range):
    """Compare the file with what is configured: an impossible band is an error, an odd one a warning."""
    named = {str(primary.get(key, "")).strip().upper() for key in ("INSTRUME", "TELESCOP")} - {""}
    if instrument and named and not any(instrument.upper() in name for name in named):
        told = " / ".join(sorted(named))
        cube.meta["warnings"].append(f"the file says instrument {told}, configured is {instrument}")
    if not 0.005 < cube.spaxel_scale < 3:
        cube.meta["warnings"].append(f"the spaxels measure {cube.spaxel_scale:.3g} arcsec: check the WCS")
    if wavelength_range is None:
        return
    low, high = wavelength_range
    first, last = cube.wavelength[[0, -1]]
    overlap = (min(high, last) - max(low, first)) / (high - low)
    if overlap <= 0:
        raise InputError(
            f"the wavelengths {first:.4g}-{last:.4g} um do not overlap the configured band "
            f"{low:g}-{high:g} um; check the column `band` of observations.tsv and CUNIT3 of the file."
        )
    if overlap < 0.5:
        cube.meta["warnings"].append(
            f"the wavelengths {first:.4g}-{last:.4g} um cover {100 * overlap:.0f} % of the configured band only"
        )


def _like(hdu, flux, path):
    data = pixels(hdu, path)
    if data.shape != flux.shape:
        raise InputError(
            f"extension {hdu.name} has shape {data.shape}, the data have {flux.shape}; use a file in which both "
            "describe the same voxels."
        )
    return data

"""Read a cube of any supported format into the canonical form.

`klever.cubes.formats` says where a file keeps its layers; all after that, from units to parity, is the same for all.
"""

from pathlib import Path

import numpy as np

from klever.cubes import axes as cubeaxes
from klever.cubes.cube import DQ, Cube
from klever.cubes.fitsfiles import open_fits, pixels
from klever.cubes.fluxunits import contradiction, flux_factor
from klever.cubes.formats import Layers, find_format, register
from klever.cubes.noise import estimate_error
from klever.errors import InputError

__all__ = ["Layers", "read_cube", "register"]


def read_cube(path, unit="header", extension=None, instrument=None, wavelength_range=None):
    """Read a cube of any supported format.

    Exact zeros of floating-point data and NaN are missing data; errors that are not positive are no errors.  A cube
    without errors gets estimated ones (`klever.cubes.noise.estimate_error`).  A mirrored field is reversed along x, so
    that x always increases to the west on a north-up field.

    Parameters
    ----------
    path : str or pathlib.Path
    unit : str
        ``"header"`` for the file's BUNIT, else a unit that takes its place.
    extension : str or int, optional
        Which cube of a file with several: an extension's name with or without ``.DATA``, or the number of a KMOS IFU.
    instrument : str, optional
        As configured; a file that says otherwise gets a warning.
    wavelength_range : (float, float), optional
        Of the configured band, micrometre: must overlap the file's.

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
        cube = _assemble(hdus, layers, unit, path)
        cube.meta["reader"] = reader.name
        _compare(cube, hdus[0].header, instrument, wavelength_range)
    return cube


def _assemble(hdus, layers, unit, path):
    header, notes = layers.science.header, []
    n_wave = int(header["NAXIS3"])
    if layers.wavelength is None:
        wavelength, notes = cubeaxes.spectral_axis(header, n_wave, hdus)
    else:
        wavelength = layers.wavelength
    if n_wave < 2:
        raise InputError("the spectral axis has a single channel; this is an image, not a cube.")
    wcs = cubeaxes.celestial_header(header)
    text = _unit_text(header, unit)
    area = cubeaxes.spaxel_scale(wcs) ** 2
    factor = flux_factor(text, wavelength, area)
    disagreement = "" if unit == "header" else contradiction(unit, _own_unit(header), wavelength, area)
    data = pixels(layers.science, path)
    flux = data.astype(float) * factor
    dq = np.zeros(flux.shape, dtype=np.uint8)
    missing = ~np.isfinite(flux)
    if data.dtype.kind == "f":
        missing |= data == 0
    if layers.weight is not None:
        missing |= _like(layers.weight, flux, path) == 0
    if layers.quality is not None:
        quality = _like(layers.quality, flux, path).astype(np.int64)
        if layers.bad_bits is not None:
            quality &= layers.bad_bits
        dq[quality != 0] |= np.uint8(DQ.INSTRUMENT)
    if missing.all():
        raise InputError("every voxel is missing (NaN or exactly zero); the reduction failed or this is an empty IFU.")
    flux[missing] = np.nan
    dq[missing] |= np.uint8(DQ.NODATA)
    if layers.error is None:
        error = estimate_error(flux, wavelength)
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
        "specsys": header.get("SPECSYS", hdus[0].header.get("SPECSYS")),
        "mirrored": cubeaxes.is_mirrored(wcs),
        "notes": notes,
        "warnings": [disagreement] if disagreement else [],
    }
    if meta["mirrored"]:
        meta["warnings"].append(
            "the WCS has mirrored parity (east to the right when north is up): the cube was reversed along x; "
            "compare it with an image to make sure that the header is right"
        )
        wcs = cubeaxes.mirror_x(wcs, flux.shape[2])
        flux, error, dq = (np.ascontiguousarray(layer[:, :, ::-1]) for layer in (flux, error, dq))
    return Cube(flux, error, dq, wavelength, wcs, meta)


def _error_factor(layers, unit, factor, wavelength, area):
    """Factor of the error extension: its own BUNIT counts if it differs; a variance is in the square of the data's."""
    own = str(layers.error.header.get("BUNIT", "")).strip()
    if unit != "header" or layers.variance or not own or own == str(layers.science.header.get("BUNIT", "")).strip():
        return factor
    return flux_factor(own, wavelength, area)


def _error(layers, factor, flux, path):
    """1 sigma error in the canonical unit, NaN where a variance is not positive."""
    values = _like(layers.error, flux, path).astype(float)
    if layers.variance:
        with np.errstate(invalid="ignore"):
            values = np.sqrt(np.where(values > 0, values, np.nan))
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

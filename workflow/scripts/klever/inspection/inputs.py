"""Inspection of a survey's inputs before hours are spent on them: every cube, lens map and image is opened."""

from pathlib import Path

import numpy as np
import yaml

from klever.cubes import axes as cubeaxes
from klever.cubes.readers import read_cube
from klever.cubes.skylines import broken_spaxels
from klever.errors import InputError
from klever.inspection.exposures import inspect_exposures
from klever.inspection.lenses import inspect_lens, read_image
from klever.spectral_lines import load_line_list

__all__ = ["COLUMNS", "inspect", "inspect_cube", "inspect_image", "inspect_lens", "write_inspection"]

RESOURCES = Path(__file__).resolve().parents[4] / "resources"

# name: (empty value, unit, description)
COLUMNS = {
    "kind": ("", None, "cube | exposures | lens | image"),
    "name": ("", None, "galaxy, pointing or lens"),
    "band": ("", None, "band of a cube, filter of an image"),
    "file": ("", None, "file, or files of a lens"),
    "state": ("", None, "ok | warning | error"),
    "message": ("", None, "what was found, and what to do"),
    "format": ("", None, "reader that opens the cube"),
    "error_extension": ("", None, "extension of the noise, or estimated"),
    "unit": ("", None, "unit of the data"),
    "wavelength_min": (np.nan, "um", "vacuum wavelength of the first channel"),
    "wavelength_max": (np.nan, "um", "vacuum wavelength of the last channel"),
    "band_coverage": (np.nan, None, "fraction of the band's range that the cube covers"),
    "lines": ("", None, "lines inside the cube's range at the catalogue redshift"),
    "nan_fraction": (np.nan, None, "fraction of missing voxels or pixels (the worst map of a lens)"),
    "parity": ("", None, "standard: east to the left with north up | mirrored"),
    "pixel_scale": (np.nan, "arcsec", "side of a spaxel or pixel"),
    "deflection_slope_x": (np.nan, None, "x deflection over what the convergence demands: +1 expected"),
    "deflection_slope_y": (np.nan, None, "y deflection over what the convergence demands: +1 expected"),
}


def inspect(inputs, resources=RESOURCES):
    """Inspect all inputs; a bad one becomes a row, never an exception.

    Parameters
    ----------
    inputs : list of dict
        A cube: galaxy, band, instrument, cube, unit, z, optionally ra, dec, extension, line_list.  Exposures: see
        `klever.inspection.exposures.inspect_exposures`.  A lens: see `klever.inspection.lenses.inspect_lens`, and
        optionally galaxies (redshift by name).  An image: galaxy or name, image, optionally ra, dec.
    resources : pathlib.Path
        Folder of lines.yaml and instruments.yaml.

    Returns
    -------
    list of dict
        One per input, in order, with the keys of `COLUMNS`.
    """
    instruments = yaml.safe_load((resources / "instruments.yaml").read_text(encoding="utf-8"))
    return [_row(request, resources / "lines.yaml", instruments) for request in inputs]


def write_inspection(rows, path):
    """Write the rows of `inspect` as an ECSV table with the columns of `COLUMNS`."""
    from astropy.table import Column, Table

    result = Table()
    for name, (empty, unit, description) in COLUMNS.items():
        values = [row[name] for row in rows]
        result[name] = Column(values, dtype=str if empty == "" else float, unit=unit, description=description)
    result.write(path, format="ascii.ecsv", overwrite=True)


def _row(request, shipped_lines, instruments):
    row = {name: empty for name, (empty, _, _) in COLUMNS.items()}
    try:
        if "cube" in request:
            kind, path = "cube", request["cube"]
            found, errors, warnings = inspect_cube(request, shipped_lines, instruments)
        elif "exposures" in request:
            kind = "exposures"
            path = "simulated" if request["exposures"] is None else ", ".join(request["exposures"])
            found, errors, warnings = inspect_exposures(request)
        elif "image" in request:
            kind, path = "image", request["image"]
            found, errors, warnings = inspect_image(request)
        else:
            maps = [request.get(key) for key in ("x_deflection", "y_deflection", "kappa", "gamma", "model", "chain")]
            kind, path = "lens", ", ".join(str(name) for name in maps if name)
            absent = not all(Path(name).is_file() for name in maps if name)
            if request.get("origin") == "simulated" and (absent or not path):
                path = "simulated"
            skip = path == "simulated" or (not path and request.get("origin") == "none")
            found, errors, warnings = ({}, [], []) if skip else inspect_lens(request)
            errors = [*errors, *_in_front(request)]
    except InputError as error:
        found, errors, warnings = {}, [str(error)], []
    except Exception as error:  # a table with every other input is worth more than a traceback
        found, warnings = {}, []
        errors = [f"the inspection failed unexpectedly ({type(error).__name__}: {error}); please report it"]
    simulated = path == "simulated" or (kind == "cube" and not path)
    usable = path or request.get("profiles")
    verdict = "made by the workflow" if simulated else "can be used" if usable else "nothing to open"
    row |= found
    row |= {
        "kind": kind,
        "name": str(
            request.get({"lens": "lens", "exposures": "pointing"}.get(kind, "galaxy")) or request.get("name") or ""
        ),
        "band": str(request.get("band") or ""),
        "file": "simulated" if simulated else str(path or ""),
        "state": "error" if errors else "warning" if warnings else "ok",
        "message": "; ".join([*errors, *warnings]) or verdict,
    }
    return row


def _in_front(request):
    """Say which galaxies of a lens are not behind it."""
    z_lens = request.get("z_lens")
    return [
        f"{galaxy} (z = {z:g}) is not behind the lens (z = {z_lens:g}): correct a redshift, or give it the lens none"
        for galaxy, z in request.get("galaxies", {}).items()
        if z_lens is not None and z <= z_lens
    ]


def inspect_cube(request, shipped_lines, instruments):
    """Open a cube as the ingest step will, and say what is in it.

    Parameters
    ----------
    request : dict
        See `inspect`.
    shipped_lines : pathlib.Path
        lines.yaml; the request's line_list, if it has one, is used instead.
    instruments : dict
        Content of instruments.yaml.

    Returns
    -------
    found : dict
        Columns of `COLUMNS`.
    errors, warnings : list of str

    Raises
    ------
    InputError
        The cube cannot be used.
    """
    if request["cube"] in (None, "", "simulated"):
        return {}, [], []
    instrument, band = request["instrument"], request["band"]
    if band not in instruments.get(instrument, {}):
        known = ", ".join(instruments.get(instrument, {})) or f"none: the instruments are {', '.join(instruments)}"
        return {}, [f"{instrument} has no band {band}; its bands are {known}"], []
    low, high = instruments[instrument][band]["range"]
    unit = request.get("unit") or "header"
    barycentric = request.get("barycentric", False)
    cube = read_cube(request["cube"], unit, request.get("extension"), instrument, (low, high), barycentric)
    warnings = list(cube.meta["warnings"])
    first, last = (float(value) for value in cube.wavelength[[0, -1]])
    lines = load_line_list(request.get("line_list") or shipped_lines, shipped_lines).lines
    inside = [name for name, line in lines.items() if first < line.wavelength * (1 + float(request["z"])) < last]
    if not inside:
        warnings.append(f"no line falls into {first:.4g}-{last:.4g} um at z = {request['z']}")
    if cube.meta["error_origin"] == "estimated":
        warnings.append("the file has no error: it will be estimated from the scatter of the data")
    missing = float(np.mean(~np.isfinite(cube.flux)))
    if missing > 0.5:
        warnings.append(f"{100 * missing:.0f} % of the voxels are missing")
    if broken := int(broken_spaxels(np.where(cube.dq == 0, cube.flux, np.nan)).sum()):
        warnings.append(f"{broken} dead or hot spaxels (scatter a thousand times off their neighbours') will be masked")
    _check_position(request, cube.header, cube.shape[1:], warnings)
    found = {
        "format": cube.meta["reader"],
        "error_extension": cube.meta["error_extension"] or "estimated",
        "unit": cube.meta["source_unit"],
        "wavelength_min": first,
        "wavelength_max": last,
        "band_coverage": max((min(high, last) - max(low, first)) / (high - low), 0.0),
        "lines": " ".join(inside),
        "nan_fraction": missing,
        "parity": "mirrored" if cube.meta["mirrored"] else "standard",
        "pixel_scale": cube.spaxel_scale,
    }
    return found, [], warnings


def inspect_image(request):
    """Open an image: two axes, celestial WCS, parity, and the galaxy inside it.

    Parameters
    ----------
    request : dict
        See `inspect`.

    Returns
    -------
    found : dict
    errors, warnings : list of str

    Raises
    ------
    InputError
        The image cannot be used.
    """
    if request["image"] in (None, "", "simulated"):
        return {}, [], []
    data, wcs, header = read_image(request["image"])
    warnings = []
    _check_position(request, wcs, data.shape, warnings)
    found = {
        "unit": str(header.get("BUNIT", "")),
        "nan_fraction": float(np.mean(~np.isfinite(data))),
        "parity": "mirrored" if cubeaxes.is_mirrored(wcs) else "standard",
        "pixel_scale": cubeaxes.spaxel_scale(wcs),
    }
    if not found["unit"] and "PHOTFLAM" not in header:
        warnings.append("neither BUNIT nor PHOTFLAM: photometry is not possible, registration is")
    return found, [], warnings


def _check_position(request, wcs, shape, warnings):
    """Warn if the catalogue position lies outside the field."""
    ra, dec = request.get("ra"), request.get("dec")
    if ra is None or dec is None:
        return
    x, y = cubeaxes.sky_to_pixel(wcs, float(ra), float(dec))
    ny, nx = shape
    if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
        warnings.append(
            f"the catalogue position ({float(ra):.5f}, {float(dec):.5f}) is outside the field (pixel {x:.0f}, {y:.0f} "
            f"of {nx} x {ny}): check the coordinates and the WCS"
        )

"""Put the line maps of all bands of a galaxy on one north-up grid (Curti et al. 2020, Sect. 3.1, 3.2.2)."""

import logging

import numpy as np

from klever.align.alignment import Limits, measure_shifts
from klever.align.bandmaps import choose_bands, read_bands, transform
from klever.align.registration import Template
from klever.align.reprojection import reprojection_operator
from klever.errors import InputError
from klever.grids import Grid, read_image, tangent_header
from klever.maps import Flag, Map, MapSet
from klever.operators import bilinear_operator, save_operators

logger = logging.getLogger(__name__)

FLUX_UNIT = "erg s-1 cm-2 arcsec-2"
CONTINUUM_UNIT = "erg s-1 cm-2 um-1 arcsec-2"


def align_bands(linemaps, images, aligned, operators, settings):
    """Measure the bands' shifts and resample their maps, as surface brightness, on the common grid.

    Parameters
    ----------
    linemaps : list of path
        ``linemaps.fits`` of each band, in the order of ``settings["bands"]``; fluxes per spaxel.
    images : list of path
        The HST image (none or one), value per pixel.
    aligned : path
        Output MapSet: every line (erg s-1 cm-2 arcsec-2), VELOCITY_*, DISPERSION_*, CONTINUUM_<BAND>, the image; header
        SHX_<BAND>, SHY_<BAND>, SHE_<BAND> (shift applied, arcsec west and north, and its error per axis; -1 not
        measured), SHM_<BAND> (method), SHR_<BAND> (what it was matched to), SHN_<BAND> (why a match was not used).
        Errors are sqrt(diag(R Sigma R^T)) with the noise correlation of each band.
    operators : path
        Output ``.npz``: operator R of each band, and ``area_<band>`` (arcsec2 per spaxel).
    settings : dict
        galaxy, ra, dec, z, bands, align (pixel_scale, method, image_filter, image_psf_fwhm, reprojection, max_shift,
        max_error, min_snr, shifts).

    Raises
    ------
    InputError
        A file is unusable, or no band has a single valid spaxel.
    """
    origin = (settings["ra"], settings["dec"])
    align = settings["align"]
    bands = read_bands(linemaps, settings["bands"], origin)
    image = _read_template(images[0], bands, origin, align) if images else None
    limits = Limits(align["max_shift"], align["max_error"], align["min_snr"])
    shifts = measure_shifts(bands, image, align["method"], align["shifts"], limits)
    header, shape = _common_grid(bands, shifts, origin, align["pixel_scale"])
    _describe(header, settings, bands, shifts)
    grid = Grid(header, shape, origin)
    resampling = {}
    for band in bands:
        shift = shifts[band.name]
        resampling[band.name] = reprojection_operator(band.grid, grid, (shift.x, shift.y), align["reprojection"])

    product = MapSet(header)
    chosen = choose_bands(bands)
    for name, band in chosen.items():
        if name in band.names("flux"):
            conversion = {"factor": 1.0 / band.grid.pixel_area, "unit": FLUX_UNIT}
        else:
            conversion = {}
        product[name] = transform(resampling[band.name], band.maps[name], band.correlation, shape, **conversion)
    for band in bands:
        if "CONTINUUM" in band.maps:
            product[f"CONTINUUM_{band.name}"] = transform(
                resampling[band.name], band.maps["CONTINUUM"], band.correlation, shape,
                factor=1.0 / band.grid.pixel_area, unit=CONTINUUM_UNIT,
            )  # fmt: skip
    if image is not None:
        product[align["image_filter"]] = _resample_image(image, grid, images[0])

    areas = {f"area_{band.name}": band.grid.pixel_area for band in bands}
    product.write(aligned)
    save_operators(operators, resampling, **areas)


def _read_template(path, bands, origin, align):
    """Cut the surroundings of the field out of an image, in surface brightness; None if it does not cover them."""
    data, header = read_image(path)
    grid = Grid(header, data.shape, origin, name=str(path))
    west, north = (np.concatenate(parts) for parts in zip(*(_field_offsets(band) for band in bands), strict=True))
    x, y = grid.pixels(west, north)
    margin = 3.0 / grid.pixel_scale
    x0, x1 = (int(v) for v in np.clip([x.min() - margin, x.max() + margin + 1], 0, data.shape[1]))
    y0, y1 = (int(v) for v in np.clip([y.min() - margin, y.max() + margin + 1], 0, data.shape[0]))
    cutout = np.asarray(data[y0:y1, x0:x1], dtype=float)
    if not np.isfinite(cutout).any() or not np.nanmax(np.abs(cutout), initial=0.0) > 0:
        logger.warning("the image %s does not cover the galaxy; the bands are aligned to one another", path)
        return None
    header = header.copy()
    header["CRPIX1"], header["CRPIX2"] = header["CRPIX1"] - x0, header["CRPIX2"] - y0
    cutout_grid = Grid(header, cutout.shape, origin, name=str(path))
    return Template(cutout / grid.pixel_area, cutout_grid, align["image_psf_fwhm"], name=align["image_filter"])


def _field_offsets(band):
    """Offsets of the corners of the spaxels that hold data."""
    y, x = np.nonzero(band.field)
    corners = [band.grid.offsets(x + dx, y + dy) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5)]
    return np.concatenate([c[0] for c in corners]), np.concatenate([c[1] for c in corners])


def _common_grid(bands, shifts, origin, scale):
    west, north = [], []
    for band in bands:
        x, y = _field_offsets(band)
        west.append(x + shifts[band.name].x)
        north.append(y + shifts[band.name].y)
    west, north = np.concatenate(west), np.concatenate(north)
    if not west.size:
        raise InputError("no band has a spaxel with data: the line maps are empty; check the cubes of this galaxy.")
    # The catalogue position is the centre of a pixel, so that offsets of pixels are whole multiples of the scale.
    x0, x1 = int(np.floor(west.min() / scale + 0.5)), int(np.ceil(west.max() / scale - 0.5))
    y0, y1 = int(np.floor(north.min() / scale + 0.5)), int(np.ceil(north.max() / scale - 0.5))
    return tangent_header(*origin, scale, (-x0, -y0)), (y1 - y0 + 1, x1 - x0 + 1)


def _describe(header, settings, bands, shifts):
    header["GALAXY"] = settings["galaxy"]
    header["Z"] = settings["z"]
    header["BANDS"] = ",".join(band.name for band in bands)
    header["PIXSCALE"] = (settings["align"]["pixel_scale"], "arcsec")
    states = {band.maps.header.get("STATE", "ok") for band in bands}
    header["STATE"] = "ok" if "ok" in states else "no_line_in_band"
    for band in bands:
        shift = shifts[band.name]
        error = shift.error if np.isfinite(shift.error) else -1.0  # FITS headers hold no NaN
        cards = {"SHX": round(shift.x, 5), "SHY": round(shift.y, 5), "SHE": round(error, 5), "SHM": shift.method}
        cards |= {"SHR": shift.target, "SHN": shift.note}
        for key, value in cards.items():
            name = f"{key}_{band.name}".upper()
            header[name if len(name) <= 8 else f"HIERARCH {name}"] = value
        logger.info(
            "band %s: shift %.3f %.3f +- %.3f arcsec (%s)", *(band.name, shift.x, shift.y, shift.error, shift.method)
        )


def _resample_image(image, grid, path):
    from scipy import ndimage

    x, y = image.grid.pixels(*grid.pixel_offsets())
    good = np.isfinite(image.value)
    value = ndimage.map_coordinates(np.where(good, image.value, 0.0), [y, x], order=3, mode="nearest")
    inside = bilinear_operator(x, y, image.value.shape)
    missing = (inside @ good.ravel().astype(float)).reshape(grid.shape) < 0.999
    flags = np.where(missing, int(Flag.NO_DATA), 0).astype(np.uint16)
    _, header = read_image(path)
    unit = header.get("BUNIT", "")
    return Map(np.where(missing, np.nan, value), None, flags, f"{unit} arcsec-2".strip() if unit else "")


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, align_bands)

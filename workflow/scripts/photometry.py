"""Photometry of a galaxy on its broad-band images, in one aperture at one resolution."""

import logging

import numpy as np

from klever.line_lists import read_line_list
from klever.photometry.line_light import aperture_share, line_contribution
from klever.photometry.measure import measure_photometry
from klever.row_tables import Column, read_table, write_table
from klever.sed.filters import read_filter

logger = logging.getLogger(__name__)

COLUMNS = [
    Column("band", str, "filter"),
    Column("pivot", float, "pivot wavelength", "Angstrom"),
    Column("flux", float, "in the aperture, magnified as it is seen", "uJy"),
    Column("flux_error", float, "1 sigma, from empty apertures and the level of the sky", "uJy"),
    Column("snr", float, "flux over error"),
    Column("line_flux", float, "part of flux that the measured emission lines make", "uJy"),
    Column("line_flux_error", float, "1 sigma", "uJy"),
    Column("flag", str, "why there is no flux: outside_image | no_sky"),
]


def measure(images, lines, line_list, shipped_lines, photometry, settings):
    """Measure a galaxy's fluxes.

    Parameters
    ----------
    images : list of path
        Of `settings`' filters, in that order; none is a state.
    lines : list of path
        lines.ecsv of every band of the galaxy.
    line_list, shipped_lines : path
        The galaxy's line list and resources/lines.yaml.
    photometry : path
        Table to write, a row per filter; none where the state in its metadata is not ``ok``.
    settings : dict
        galaxy, z, ra, dec, filters, psf_fwhm (of the cubes, by band) and the section ``photometry``.

    Raises
    ------
    InputError, ConfigError
        See `klever.errors`.
    """
    options = settings["photometry"]
    names = settings["filters"]
    filters = {name: read_filter(name, options["curves"]) for name in names}
    paths = dict(zip(names, _listed(images), strict=True))
    spectra = [read_table(path, ["line", "flux", "flux_error", "snr", "detected"]) for path in _listed(lines)]
    ra, dec, where = _position(spectra, settings)
    found = measure_photometry(paths, filters, ra, dec, options)
    meta = {"galaxy": settings["galaxy"], "z": settings["z"], "state": found.state, "detection": found.detection,
            "position": where}  # fmt: skip
    if found.state == "ok":
        wavelengths = read_line_list(line_list, shipped_lines)["lines"]
        contributors = _galaxy_lines(spectra, wavelengths, found, settings)
        flux, error = line_contribution(contributors, [filters[row["band"]] for row in found.rows], settings["z"])
        for row, added, added_error in zip(found.rows, flux, error, strict=True):
            row |= {"line_flux": added, "line_flux_error": added_error}
            row |= {"snr": row["flux"] / row["flux_error"]} if np.isfinite(row.get("flux_error", np.nan)) else {}
        meta |= {"lines": {line["name"]: round(line["wavelength"], 3) for line in contributors}}
        meta |= {"aperture": {key: round(float(value), 4) for key, value in found.aperture.shape.items()}}
        meta |= {"contaminated": round(found.aperture.contaminated, 4)}
        shown = ", ".join(f"{row['band']} {row.get('snr', np.nan):.0f}" for row in found.rows)
        logger.info("detected in %s; S/N: %s", found.detection, shown)
    else:
        logger.info("%s: %s", settings["galaxy"], found.state)
    write_table(photometry, found.rows, COLUMNS, meta)


def _listed(paths):
    return [paths] if isinstance(paths, str) else list(paths)


def _position(spectra, settings):
    """Return where the galaxy is: the peak of its brightest line, else its catalogue position, perhaps the lens's."""
    best = (0.0, settings["ra"], settings["dec"], "catalogue")
    for table in spectra:
        snr = [float(row["snr"]) for row in table if row["detected"]]
        if snr and "ra" in table.meta and max(snr) > best[0]:
            best = (max(snr), float(table.meta["ra"]), float(table.meta["dec"]), f"lines {table.meta['band']}")
    return best[1:]


def _galaxy_lines(spectra, wavelengths, found, settings):
    """Return detected lines with the flux of the whole galaxy: that of the pseudo-fibre over its share of the light."""
    lines = []
    for table in spectra:
        meta = table.meta
        if not len(table) or "ra" not in meta:
            continue
        position = found.image.wcs.all_world2pix(meta["ra"], meta["dec"], 0)
        seeing = meta.get("psf_fwhm", settings["psf_fwhm"][meta["band"]])
        share = aperture_share(found.light, found.image.pixel, tuple(map(float, position)), meta["radius"], seeing,
                               found.image.psf_fwhm)  # fmt: skip
        for row in table:
            name = str(row["line"])
            if name in wavelengths and row["detected"]:
                lines.append({"name": name, "wavelength": wavelengths[name], "flux": float(row["flux"]) / share,
                              "error": float(row["flux_error"]) / share})  # fmt: skip
    return lines


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, measure)

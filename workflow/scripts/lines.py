"""Fit the emission lines of one galaxy and band: line maps and pseudo-fibre spectrum (Curti et al. 2020, Sect. 3.1)."""

import logging
import os
from pathlib import Path

import numpy as np

from klever.cubes.cube import Cube
from klever.linefit.aperture import fit_aperture, line_rows, pixel_to_sky
from klever.linefit.broad import check_broad_lines
from klever.linefit.cubefit import band_models, fit_cube
from klever.row_tables import Column, write_table
from klever.spectral_lines import instrumental_sigma, load_instruments, load_line_list

logger = logging.getLogger("klever")

_FLUX, _DENSITY, _SPEED = "erg s-1 cm-2", "erg s-1 cm-2 um-1", "km s-1"

LINE_COLUMNS = [
    Column("galaxy", str, "galaxy of the catalogue"),
    Column("band", str, "band of the instrument"),
    Column("line", str, "emission line, or sum of lines"),
    Column("group", str, "lines that share velocity and width"),
    Column("flux", float, "flux in the aperture, not corrected for flux outside it", _FLUX),
    Column("flux_error", float, "1 sigma", _FLUX),
    Column("snr", float, "flux over error"),
    Column("detected", bool, "S/N reaches the detection threshold on enough unmasked channels"),
    Column("velocity", float, "relative to the catalogue redshift", _SPEED),
    Column("velocity_error", float, "1 sigma", _SPEED),
    Column("dispersion", float, "Gaussian sigma, instrumental width removed", _SPEED),
    Column("dispersion_error", float, "1 sigma", _SPEED),
    Column("dispersion_observed", float, "Gaussian sigma of the group's main line, instrument included", _SPEED),
    Column("dispersion_limit", float, "95 % upper limit of the dispersion", _SPEED),
    Column("z", float, "redshift"),
    Column("z_error", float, "1 sigma"),
    Column("upper_limit", float, "3 sigma flux of a line that is not detected", _FLUX),
    Column("flags", int, "bits of klever.maps.Flag"),
]

SPECTRUM_COLUMNS = [
    Column("wavelength", float, "vacuum, observed frame", "um"),
    Column("flux", float, "summed over the aperture", _DENSITY),
    Column("error", float, "1 sigma, correlation of spaxels included", _DENSITY),
    Column("masked", bool, "not used in the fit"),
    Column("model", float, "continuum and lines; missing outside the fitted windows", _DENSITY),
    Column("continuum", float, "linear continuum of the fit", _DENSITY),
]


def measure_lines(cube, line_list, shipped_lines, instruments, kernel, linemaps, spectrum, lines, settings):
    """Fit line maps and the pseudo-fibre spectrum of a band.

    Parameters
    ----------
    cube : str
        Canonical cube, see `klever.cubes.cube.Cube`.
    line_list, shipped_lines, instruments : str
        The galaxy's line list, ``resources/lines.yaml``, which it may include, and ``resources/instruments.yaml``.
    kernel : str
        File in the folder of the machine code, see ``compile_kernel.py``.
    linemaps : str
        MapSet to write, see `klever.linefit.cubefit.fit_cube`.
    spectrum, lines : str
        ECSV tables to write.
    settings : dict
        galaxy, band, instrument, z, ra, dec (degree), psf_fwhm (arcsec), optionally resolution (resolving power, if
        not that of ``instruments.yaml``), and ``lines``: groups, doublet_ratios,
        smoothing_fwhm, velocity_range, dispersion_range, window, minimum_coverage, aperture_radius, detection_snr.

    Raises
    ------
    InputError
        The cube cannot be read.
    ConfigError
        The line list, instrument, band or a setting cannot be used.
    """
    os.environ["KLEVER_KERNEL_CACHE"] = str(Path(kernel).parent)
    known = load_line_list(line_list, shipped_lines, settings["lines"]["doublet_ratios"])
    for note in known.notes:
        logger.info("%s", note)
    check_broad_lines(settings["lines"]["broad"], known)
    resolution = settings.get("resolution")
    sigma = instrumental_sigma(load_instruments(instruments), settings["instrument"], settings["band"], resolution)
    product = Cube.read(cube)
    # a cube reduced here has a measured width, the others that of the table
    settings = settings | {"psf_fwhm": float(product.meta.get("psf_fwhm", settings["psf_fwhm"]))}
    band = band_models(product, known, sigma, settings["z"], settings["lines"]["groups"])
    maps = fit_cube(product, band, settings)
    aperture = fit_aperture(product, band, maps, settings)
    rows = line_rows(aperture, band.sums, settings)
    _report(band, aperture, rows)

    ra, dec = pixel_to_sky(product.header, aperture.x, aperture.y)
    meta = {
        "galaxy": settings["galaxy"], "band": settings["band"], "instrument": settings["instrument"],
        "z": float(settings["z"]), "x": aperture.x, "y": aperture.y, "ra": ra, "dec": dec,
        "radius": float(settings["lines"]["aperture_radius"]), "centre_method": aperture.method,
        "centre_map": aperture.peak_map, "coverage": aperture.coverage, "error_scale": aperture.error_scale,
        "psf_fwhm": settings["psf_fwhm"], "state": band.state,
    }  # fmt: skip
    if resolution is not None:
        meta["resolution"] = float(resolution)
    maps.write(linemaps)
    write_table(spectrum, _spectrum_rows(product.wavelength, aperture), SPECTRUM_COLUMNS, meta)
    write_table(lines, rows, LINE_COLUMNS, meta)


def _spectrum_rows(wavelength, aperture):
    names = ("wavelength", "flux", "error", "masked", "model", "continuum")
    unused = ~(np.isfinite(aperture.flux) & (aperture.error > 0))
    columns = (wavelength, aperture.flux, aperture.error, unused, aperture.model, aperture.continuum)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _report(band, aperture, rows):
    if not band.models:
        logger.warning("none of the lines falls in this band; the products say so (no_line_in_band)")
        return
    logger.info("aperture at x, y = %.2f, %.2f (%s %s)", aperture.x, aperture.y, aperture.method, aperture.peak_map)
    for row in rows:
        logger.info("%s: %.3e +- %.1e erg/s/cm2, S/N %.1f, v = %.0f km/s", row["line"], row["flux"], row["flux_error"],
                    row["snr"], row["velocity"])  # fmt: skip
    if not any(row["detected"] for row in rows):
        logger.warning("no line is detected in the pseudo-fibre; if there should be one, check z of galaxies.tsv, the "
                       "line's groups (lines.groups) and lines.velocity_range")  # fmt: skip


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, measure_lines)

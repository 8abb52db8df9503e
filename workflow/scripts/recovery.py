"""How well the truth of the simulated galaxies is recovered: a row per measurement, and a summary."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from astropy.io import fits

from klever.errors import InputError
from klever.maps import Flag, MapSet
from klever.publish.recovery import (
    LEAVES_FIELD,
    aperture_fractions,
    fitted_gaussian,
    format_summary,
    recovery_row,
    summarise,
)
from klever.row_tables import Column, read_table, write_table

SPEED_OF_LIGHT = 299792.458  # km/s
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))

COLUMNS = [
    Column("galaxy", str, "name in galaxies.tsv"),
    Column("band", str, "band of a line; masked for quantities of the whole galaxy"),
    Column("region", str, "all, or a region of gradient.regions"),
    Column("quantity", str, "flux | velocity | dispersion | mu_halpha | mu_intrinsic | mu_whole | "
           "sfr | sfr_total | ebv | log_mstar | log_oh | "
           "slope_elliptical | slope_circular | slope_intrinsic_elliptical | slope_intrinsic_circular"),
    Column("line", str, "emission line, or sum of lines"),
    Column("truth", float, "of the simulation, in `unit`"),
    Column("measured", float, "by the workflow, in `unit`"),
    Column("error", float, "1 sigma of measured, in `unit`; of asymmetric errors the side towards the truth"),
    Column("pull", float, "(measured - truth) / error"),
    Column("unit", str, "of truth, measured and error; empty for pure numbers"),
    Column("state", str, "detected | not_detected | at_bound; resolved class of a gradient; state of the product, "
           "leaves_field of a rate whose galaxy leaves the field"),
    Column("used", bool, "enters the summary"),
    Column("resolution", float, "of a gradient: half-light radius of the galaxy over the HWHM of its maps' PSF"),
]  # fmt: skip


@dataclass(frozen=True)
class Quantity:
    """One number of a whole galaxy, and its truth.

    Parameters
    ----------
    name : str
        In `klever.publish.recovery.QUANTITIES`; the column of the product.
    errors : tuple of str
        Columns of the 1 sigma error, or of its lower and upper side.
    truth : str
        Column of truth.ecsv.
    """

    name: str
    errors: tuple
    truth: str


MAGNIFICATION = [
    Quantity("mu_halpha", ("mu_halpha_error",), "mu_halpha"),
    Quantity("mu_intrinsic", ("mu_intrinsic_error",), "mu_halpha"),
    Quantity("mu_whole", ("mu_whole_error",), "mu_whole"),
]
METALLICITY = [Quantity("log_oh", ("log_oh_error_minus", "log_oh_error_plus"), "log_oh")]
RATES = ("sfr", "sfr_total")
STAR_FORMATION = [
    Quantity("sfr", ("sfr_error",), "sfr"),
    Quantity("sfr_total", ("sfr_total_error",), "sfr"),
    Quantity("ebv", ("ebv_error",), "ebv"),
]
STELLAR_MASS = [Quantity("log_mstar", ("log_mstar_error_minus", "log_mstar_error_plus"), "log_mstar")]

SUMMARY_COLUMNS = [
    Column(
        "sample",
        str,
        "all | resolved: galaxies with a resolved gradient (of the gradients, the resolved ones) | "
        "in_field: without galaxies of which star_formation.ecsv says leaves_field",
    ),
    Column("quantity", str, "as in recovery.ecsv"),
    Column("line", str, "of a flux; masked for all others"),
    Column("n", int, "measurements"),
    Column("median_abs_pull", float, "0.67 for Gaussian errors"),
    Column("median_pull", float, "0 for unbiased measurements"),
    Column("pull_scatter", float, "1.4826 times the median absolute deviation; 1 for Gaussian errors"),
    Column("median_bias", float, "median of measured - truth, of fluxes and magnifications over the truth"),
    Column("flattening", float, "weighted regression slope of measured on true gradients; 1 for unbiased ones"),
    Column("unit", str, "of median_bias"),
    Column("note", str, "what is compared"),
]


def measure_recovery(
    truths, cube_truths, lines, magnifications, properties, gradients, instruments, recovery, summary, settings,
    star_formation=(), stellar_masses=(),
):  # fmt: skip
    """Compare what the workflow measured on simulated galaxies with what was put in.

    Parameters
    ----------
    truths : list of path-like
        truth.ecsv of each galaxy.
    cube_truths, lines : list of path-like
        Noise-free maps and lines.ecsv of each galaxy and band, matched by galaxy and band.
    magnifications, properties, gradients : list of path-like
        magnification.ecsv, properties.ecsv and gradient.ecsv of each galaxy.
    instruments : path-like
        resources/instruments.yaml, for the instrumental width at the centre of each band.
    recovery, summary : path-like
        Tables to write.
    settings : dict
        Not used but for provenance.
    star_formation, stellar_masses : list of path-like, optional
        star_formation.ecsv and stellar_mass.ecsv of each galaxy.

    Raises
    ------
    InputError
        A product cannot be read, or has no counterpart.
    """
    known = {}
    for path in truths:
        table = read_table(path, ["galaxy", "region", "log_oh", "slope_projected", "mu_halpha", "mu_whole"])
        known |= {(str(row["galaxy"]), str(row["region"])): row for row in table}
    maps = {_band_key(path): path for path in cube_truths}
    bands = yaml.safe_load(Path(instruments).read_text(encoding="utf-8"))
    rows = []
    for path in lines:
        table = read_table(path, ["line", "flux", "flux_error", "detected", "velocity", "dispersion"])
        key = tuple(str(table.meta.get(name)) for name in ("galaxy", "band"))
        if key not in maps:
            raise InputError(f"{path} has no truth of galaxy {key[0]}, band {key[1]}; simulate the galaxy again.")
        rows += _line_rows(*key, table, MapSet.read(maps[key]), bands)
    for quantities, paths in (
        (MAGNIFICATION, magnifications), (STAR_FORMATION, star_formation), (STELLAR_MASS, stellar_masses),
        (METALLICITY, properties),
    ):  # fmt: skip
        for path in paths:
            rows += _galaxy_rows(path, quantities, known)
    for path in gradients:
        for row in read_table(path, ["galaxy", "region", "aperture", "slope", "slope_error", "resolved", "state"]):
            if str(row["aperture"]) != "deprojected":  # the truth is linear in projected radius
                rows += _slope_rows(row, _truth(known, path, row, str(row["region"])))
    result = summarise(rows)
    meta = {"data": "simulated data"}
    write_table(recovery, rows, COLUMNS, meta | {"description": "Measurement against truth of every simulated galaxy"})
    write_table(summary, result, SUMMARY_COLUMNS, meta | {"description": "Pulls and biases of the simulated galaxies"})
    print(format_summary(result))


def _band_key(path):
    try:
        header = fits.getheader(path)
        return str(header["GALAXY"]), str(header["BAND"])
    except (OSError, KeyError) as error:
        raise InputError(f"{path} cannot be read as the truth of a cube ({error}); simulate it again.") from error


def _truth(known, path, row, region="all"):
    """Row of the truth; of a galaxy without that region a row that has no values."""
    galaxy = str(row["galaxy"])
    if (galaxy, "all") not in known:
        raise InputError(f"{path} has no truth of galaxy {galaxy}; run rule simulate_galaxy for it.")
    return known.get((galaxy, region), {})


def _number(row, name):
    """Value of a cell, NaN where it is masked or absent."""
    names = row if isinstance(row, dict) else row.colnames
    return float(np.ma.filled(np.ma.asarray(row[name], float), np.nan)) if name in names else np.nan


def _line_rows(galaxy, band, table, truth, bands):
    """Fluxes of all measured lines, and the kinematics of the main one, in the pseudo-fibre."""
    if not len(table) or "x" not in table.meta:
        return []
    header = truth.header
    spaxel = 3600 * np.sqrt(abs(header["CD1_1"] * header["CD2_2"] - header["CD1_2"] * header["CD2_1"]))
    shape = truth[truth.names()[0]].value.shape
    place = _aperture_centre(table.meta, header)
    circle = aperture_fractions(shape, *place, table.meta["radius"] / spaxel)
    rows = []
    for row in table:
        line, detected = str(row["line"]), bool(row["detected"])
        if line.endswith("_broad"):  # the truth has no maps of a second component
            continue
        state = "detected" if detected else "not_detected"
        where = {"band": band, "region": "all", "line": line}
        flux = float(np.nansum(circle * truth[line].value)) if line in truth else np.nan
        measured = _number(row, "flux"), _number(row, "flux_error")
        rows.append(recovery_row(galaxy, "flux", flux, *measured, state, detected, **where))
        if line != header.get("MAINLINE"):
            continue
        width = SPEED_OF_LIGHT / bands[header["INSTRUME"]][band]["resolution"] / FWHM
        moments = fitted_gaussian(circle, *(truth[name].value for name in (line, "VELOCITY", "DISPERSION")), width)
        bounds = {"velocity": Flag.VELOCITY_BOUND, "dispersion": Flag.DISPERSION_BOUND}
        for (name, bound), value in zip(bounds.items(), moments, strict=True):
            at_bound = detected and bool(int(row["flags"]) & bound)
            found = _number(row, name), _number(row, f"{name}_error"), "at_bound" if at_bound else state
            rows.append(recovery_row(galaxy, name, value, *found, detected and not at_bound, **where))
    return rows


def _aperture_centre(meta, header):
    """Where the pseudo-fibre is on the spaxels of the truth, which are not those of a cube combined from exposures."""
    if "POINTING" not in header:
        return meta["x"], meta["y"]
    from astropy.wcs import WCS

    return tuple(float(value) for value in WCS(header).all_world2pix(meta["ra"], meta["dec"], 0))


def _galaxy_rows(path, quantities, known):
    """Rows of the numbers of a whole galaxy in one product."""
    rows = []
    for row in read_table(path, ["galaxy", *(item.name for item in quantities)]):
        if "region" in row.colnames and str(row["region"]) != "all":
            continue
        truth, state = _truth(known, path, row), str(row["state"])
        for item in quantities:
            errors = tuple(_number(row, name) for name in item.errors)
            values = _number(truth, item.truth), _number(row, item.name), errors if len(errors) > 1 else errors[0]
            used = state == "ok" and _dust_corrected(row, item.name)
            leaves = item.name in RATES and state == "ok" and "leaves_field" in row.colnames and row["leaves_field"]
            told = LEAVES_FIELD if leaves else state
            rows.append(recovery_row(str(row["galaxy"]), item.name, *values, told, used, region="all"))
    return rows


def _dust_corrected(row, quantity):
    """Whether a star-formation rate is corrected by a Balmer decrement; one that is not is a lower limit."""
    return (
        quantity not in RATES
        or "dust_correction" not in row.colnames
        or str(row["dust_correction"]).startswith("balmer")
    )


def _slope_rows(row, truth):
    """Compare the gradient as measured, and that without the PSF."""
    state = str(row["resolved"]) if str(row["state"]) == "ok" else str(row["state"])
    used = state in {"resolved", "marginal"}
    resolution = _number(row, "r_e_kpc") / _number(row, "beam_hwhm_kpc")
    rows = []
    for name in ("slope", "slope_intrinsic"):
        values = _number(truth, "slope_projected"), _number(row, name), _number(row, f"{name}_error")
        where = {"region": str(row["region"])}
        made = recovery_row(str(row["galaxy"]), f"{name}_{row['aperture']}", *values, state, used, **where)
        rows.append(made | {"resolution": resolution})
    return rows


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, measure_recovery)

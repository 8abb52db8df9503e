"""The survey as the run measured it: the tables of ``results/tables``."""

import numpy as np

from klever.population.survey_table import SurveyTable, blank_row, derive
from klever.row_tables import read_table

__all__ = ["run_survey"]

# The paper's Horseshoe has its metallicity from one pointing and its SFR and magnification from both (Sect. 3.3).
_PUBLISHED_NAMES = {"horseshoe_west": "horseshoe", "horseshoe_full": "horseshoe"}
_MEASURED = ("log_mstar", "sfr", "log_oh", "mu_halpha", "mu_maps")
_SECOND_POINTINGS = {"horseshoe_full"}
_FULL = ("sfr", "mu_halpha", "mu_maps")


def run_survey(table2, table3, table4, tableA1, detection_rates, simulated, cosmology):
    """Return the survey of a run's tables.

    Parameters
    ----------
    table2, table3, table4, tableA1, detection_rates : path-like
        ECSV tables of ``results/tables``.
    simulated : bool
        Are the data simulated?
    cosmology : mapping
        H0, Om0, Ode0.

    Returns
    -------
    SurveyTable

    Raises
    ------
    InputError
        A table cannot be read or lacks a column.
    """
    galaxies = read_table(table2, ["galaxy", "lens", "ra", "dec", "z"])
    located = {str(row["galaxy"]): (str(row["lens"]), float(row["z"])) for row in galaxies}
    rows, systematics = {}, {}
    _read_properties(table3, located, rows, systematics)
    _read_gradients(table4, tableA1, located, rows)
    for row in rows.values():
        derive(row, cosmology)
    sample = {(float(row["ra"]), float(row["dec"])): (str(row["galaxy"]), float(row["z"])) for row in galaxies}
    detections = {
        str(row["line"]): {"detected": int(row["detected"]), "galaxies": int(row["galaxies"])}
        for row in read_table(detection_rates, ["line", "detected", "galaxies"])
    }
    observed = [{"galaxy": galaxy, "z": z} for galaxy, z in sample.values()]
    origin = "simulated" if simulated else "observed"
    return SurveyTable(origin, list(rows.values()), observed, detections, systematics)


def _read_properties(table3, located, rows, systematics):
    """Add masses, SFRs, metallicities and magnifications; of a second pointing what it alone sees whole."""
    table = read_table(table3, ["galaxy", *_MEASURED])
    for entry in sorted(table, key=lambda row: str(row["galaxy"]) not in _SECOND_POINTINGS):
        second = str(entry["galaxy"]) in _SECOND_POINTINGS
        row = _row(rows, entry, located)
        for name in _FULL if second else _MEASURED:
            _measurement(row, entry, name)
        if not second:
            row["fibre_fraction"] = _number(entry, "fibre_fraction")
        systematic = _number(entry, "mu_lens_models")
        if np.isfinite(systematic):
            systematics[row["id"]] = systematic


def _read_gradients(table4, tableA1, located, rows):
    """Add the gradients of both apertures."""
    for entry in read_table(tableA1, ["galaxy", "slope", "slope_error"]):
        row = _row(rows, entry, located)
        row["slope_circular"], row["slope_circular_error"] = _number(entry, "slope"), _number(entry, "slope_error")
    for entry in read_table(table4, ["galaxy", "slope", "slope_error", "resolved", "diagnostics"]):
        row = _row(rows, entry, located)
        row |= {"resolved": str(entry["resolved"]), "diagnostics": str(entry["diagnostics"]).replace(",", "+")}
        for name in ("slope", "slope_error", "psf_fwhm_major_kpc", "psf_fwhm_minor_kpc"):
            row[name] = _number(entry, name)


def _row(rows, entry, located):
    """Return the row of a galaxy or of a part of it, made if it is new."""
    galaxy = str(entry["galaxy"])
    region = str(entry["region"]) if "region" in entry.colnames else "all"
    name = _PUBLISHED_NAMES.get(galaxy, galaxy)
    identifier = name if region in {"all", ""} else f"{name}_{region}"
    return rows.setdefault(identifier, blank_row(identifier, *located.get(galaxy, ("", np.nan))))


def _measurement(row, entry, name):
    """Take a value and its errors, unless the row has one already."""
    value = _number(entry, name)
    if np.isfinite(row[name]) or not np.isfinite(value):
        return
    row[name] = value
    for end in ("minus", "plus"):
        row[f"{name}_error_{end}"] = _number(entry, f"{name}_error_{end}", f"{name}_error")


def _number(entry, *names):
    """Return the first of these columns that is there, NaN where it is masked or there is none."""
    name = next((name for name in names if name in entry.colnames), None)
    return np.nan if name is None else float(np.ma.filled(np.ma.asarray(entry[name], dtype=float), np.nan))

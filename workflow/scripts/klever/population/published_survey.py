"""The survey as the paper prints it: its Tables 2, 3, 4 and A1 in ``resources/published``."""

import math

from klever.population.survey_table import SurveyTable, blank_row, derive
from klever.publish.published import read_published

__all__ = ["published_survey"]

_FIELDS = {
    "MS2137": "ms2137",
    "RXJ2248": "rxj2248",
    "SDSSJ1148+1930": "horseshoe",
    "MACS0451": "macs0451",
    "CSWA164": "cswa164",
}
_TABLE3 = {
    "log_mstar_msun": "log_mstar", "sfr_msun_per_yr": "sfr", "logoh12": "log_oh", "mu_halpha": "mu_halpha",
    "mu_maps": "mu_maps",
}  # fmt: skip
_BANDS = ("lines_YJ", "lines_H", "lines_K")


def published_survey(table2, table3, table4, tableA1, detection_rates, lines, instruments, cosmology):
    """Return the survey of the printed tables.

    Parameters
    ----------
    table2, table3, table4, tableA1, detection_rates : path-like
        CSVs of ``resources/published``.
    lines : dict of str to float
        Vacuum wavelengths (micrometre).
    instruments : dict
        Of ``resources/instruments.yaml``.
    cosmology : mapping
        H0, Om0, Ode0.

    Returns
    -------
    SurveyTable

    Raises
    ------
    InputError
        A table cannot be read.
    """
    sample = read_published(
        table2, "the published sample", "id, field, ra_hms, dec_dms, z_halpha, lines_*", _sample_row
    )
    rows = {}
    for identifier, values in read_published(
        table3, "the published properties", "id and those of Table 3", _properties
    ):
        rows[identifier] = _located(identifier, sample) | values
    for path, parse in ((table4, _elliptical), (tableA1, _circular)):
        for identifier, values in read_published(path, "published gradients", "id, gradient_dex_per_kpc, ...", parse):
            rows.setdefault(identifier, _located(identifier, sample)).update(values)
    for row in rows.values():
        derive(row, cosmology)
    systems = {}
    for entry in sample:
        systems.setdefault((entry["ra"], entry["dec"], entry["z"]), []).append(entry)
    definitions = read_published(
        detection_rates, "published detection rates", "line, notation, any_of, z_above",
        lambda row: (row["line"], row["notation"].rstrip("0123456789,"), row["any_of"].split(), row["z_above"]),
    )  # fmt: skip
    detections = {line: _detection(systems.values(), *rest, lines, instruments) for line, *rest in definitions}
    observed = [{"galaxy": entries[0]["id"], "z": entries[0]["z"]} for entries in systems.values()]
    return SurveyTable("published", list(rows.values()), observed, detections)


def _sample_row(row):
    return {
        "id": row["id"], "lens": _FIELDS[row["field"]], "z": float(row["z_halpha"]), "ra": row["ra_hms"],
        "dec": row["dec_dms"], "instrument": row["instrument"], **{band: row[band] for band in _BANDS},
    }  # fmt: skip


def _located(identifier, sample):
    """Return a blank row with the lens and redshift of the galaxy of Table 2 whose name begins like the id."""
    for entry in sample:
        if entry["id"] == identifier:
            return blank_row(identifier, entry["lens"], entry["z"])
    for entry in sample:
        if entry["id"].startswith(f"{identifier}_") or identifier.startswith(f"{entry['id']}_"):
            return blank_row(identifier, entry["lens"], entry["z"])
    return blank_row(identifier)


def _properties(row):
    values = {}
    for printed, name in _TABLE3.items():
        values[name] = _number(row[printed])
        for end in ("plus", "minus"):
            values[f"{name}_error_{end}"] = _number(row[f"{printed}_err_{end}"])
    return row["id"], values


def _elliptical(row):
    return row["id"], {
        "slope": _number(row["gradient_dex_per_kpc"]), "slope_error": _number(row["gradient_err_dex_per_kpc"]),
        "resolved": row["resolved"], "diagnostics": row["diagnostics"],
        **{name: _number(row[name]) for name in ("psf_fwhm_major_kpc", "psf_fwhm_minor_kpc")},
    }  # fmt: skip


def _circular(row):
    return row["id"], {
        "slope_circular": _number(row["gradient_dex_per_kpc"]),
        "slope_circular_error": _number(row["gradient_err_dex_per_kpc"]),
    }  # fmt: skip


def _number(text):
    return float(text) if text.strip() else math.nan


def _detection(systems, species, members, z_above, lines, instruments):
    """Count systems with one of these lines inside an observed band, and those for which Table 2 lists the species."""
    counts = {"detected": 0, "galaxies": 0}
    wavelengths = [lines[name] for name in members if name in lines]
    for entries in systems:
        if z_above and entries[0]["z"] <= float(z_above):
            continue
        ranges = [
            instruments[entry["instrument"]][name]["range"]
            for entry in entries
            for name, column in zip(instruments[entry["instrument"]], _BANDS, strict=True)
            if entry[column] != "not_observed"
        ]
        covered = any(
            low <= value * (1 + entries[0]["z"]) <= high for value in wavelengths for low, high in ranges
        )  # fmt: skip
        listed = any(species in entry[column].split("+") for entry in entries for column in _BANDS)
        counts["galaxies"] += covered
        counts["detected"] += covered and listed
    return counts

"""One tidy table of a survey's galaxies, whatever it was read from."""

from dataclasses import dataclass, field

import numpy as np

from klever.errors import InputError
from klever.population.cosmic_age import age_of_universe
from klever.population.relations import delta_main_sequence
from klever.row_tables import Column, read_table, write_table

__all__ = [
    "COLUMNS", "HIGH_REDSHIFT", "ORIGINS", "SurveyTable", "blank_row", "derive", "mean_error", "read_survey",
    "write_survey",
]  # fmt: skip

# Between the two redshift windows of the survey (Sect. 2.1).
HIGH_REDSHIFT = 1.8

# Origin of a table and how figures call it.
ORIGINS = {
    "published": "printed tables of Curti et al. (2020)",
    "simulated": "simulated data",
    "observed": "own data",
}

_MEASURED = (
    ("log_mstar", "log10 of the stellar mass", "dex(Msun)"),
    ("sfr", "star formation rate", "Msun / yr"),
    ("log_oh", "12+log(O/H) of the integrated spectrum", "dex"),
    ("mu_halpha", "magnification, ratio of the Halpha fluxes", None),
    ("mu_maps", "magnification, of the lens maps", None),
)

COLUMNS = [
    Column("id", str, "galaxy or part of a system, as in the published tables"),
    Column("lens", str, "lens, as in galaxies.tsv or Table 2"),
    Column("z", float, "redshift"),
    *(
        Column(name + end, float, text + more, None if unit is None else unit.replace("dex(Msun)", "dex"))
        for name, text, unit in _MEASURED
        for end, more in (("", ""), ("_error_minus", ", lower error"), ("_error_plus", ", upper error"))
    ),
    Column("fibre_fraction", float, "Halpha flux in the pseudo-fibre over that of the significant spaxels"),
    Column("slope", float, "metallicity gradient in elliptical apertures", "dex / kpc"),
    Column("slope_error", float, "1 sigma", "dex / kpc"),
    Column("resolved", str, "resolved | marginal; missing without a gradient"),
    Column("diagnostics", str, "line ratios of the metallicity map"),
    Column("psf_fwhm_major_kpc", float, "of the source-plane PSF", "kpc"),
    Column("psf_fwhm_minor_kpc", float, "of the source-plane PSF", "kpc"),
    Column("slope_circular", float, "metallicity gradient in circular apertures", "dex / kpc"),
    Column("slope_circular_error", float, "1 sigma", "dex / kpc"),
    Column("age", float, "age of the Universe at the redshift", "Gyr"),
    Column("log_ssfr", float, "log10 of SFR over stellar mass", "dex"),
    Column("log_ssfr_error", float, "1 sigma, of SFR and mass in quadrature", "dex"),
    Column("log_sfr", float, "log10 of the SFR", "dex"),
    Column("log_sfr_error", float, "1 sigma", "dex"),
    Column("delta_ms", float, "distance from the main sequence of Speagle et al. (2014) at this redshift", "dex"),
    Column("delta_ms_error", float, "1 sigma, of SFR and mass (times the slope of the sequence)", "dex"),
]


@dataclass
class SurveyTable:
    """The galaxies of a survey.

    Parameters
    ----------
    origin : str
        Key of `ORIGINS`.
    rows : list of dict
        One per galaxy or part of a system, by the names of `COLUMNS`; missing numbers are NaN, missing texts empty.
    sample : list of dict
        The observed galaxies (Table 2): ``galaxy``, ``z``, pointings of one source once.
    detections : dict of str to dict
        By line: ``detected`` and ``galaxies`` with the line inside an observed band.
    systematics : dict of str to float
        Relative systematic error of each galaxy's magnification, where there are several lens models.
    """

    origin: str
    rows: list
    sample: list
    detections: dict = field(default_factory=dict)
    systematics: dict = field(default_factory=dict)

    @property
    def label(self):
        """How figures and tables call where the numbers come from."""
        return ORIGINS[self.origin]

    def having(self, *names):
        """Return the rows that have all of these numbers."""
        return [row for row in self.rows if all(np.isfinite(row[name]) for name in names)]

    def row(self, identifier):
        """Return the row of this id; None if there is none."""
        return next((row for row in self.rows if row["id"] == identifier), None)


def blank_row(identifier, lens="", z=np.nan):
    """Return a row without measurements."""
    row = {column.name: "" if column.kind is str else np.nan for column in COLUMNS}
    return row | {"id": identifier, "lens": lens, "z": z}


def derive(row, cosmology):
    """Add what follows from a row's mass, SFR and redshift, in place: age, log SFR, sSFR, main-sequence offset.

    Parameters
    ----------
    row : dict
        By `COLUMNS`. A SFR of zero or less has no logarithm: what needs it stays NaN.
    cosmology : mapping
        H0, Om0, Ode0.
    """
    row["age"] = float(age_of_universe(row["z"], cosmology)) if row["z"] >= 0 else np.nan
    sfr, mass = row["sfr"], row["log_mstar"]
    if not sfr > 0:
        return
    row["log_sfr"] = float(np.log10(sfr))
    row["log_sfr_error"] = mean_error(row, "sfr") / sfr / np.log(10)
    if not np.isfinite(mass):
        return
    row["log_ssfr"] = row["log_sfr"] - mass
    mass_error = mean_error(row, "log_mstar")
    row["log_ssfr_error"] = float(np.hypot(row["log_sfr_error"], mass_error))
    row["delta_ms"] = float(delta_main_sequence(row["log_sfr"], mass, row["age"]))
    sequence_slope = 0.84 - 0.026 * row["age"]
    row["delta_ms_error"] = float(np.hypot(row["log_sfr_error"], sequence_slope * mass_error))


def mean_error(row, name):
    """Return the mean of the lower and the upper error; NaN if either is missing."""
    return 0.5 * (row[f"{name}_error_minus"] + row[f"{name}_error_plus"])


def write_survey(path, survey):
    """Write a survey as ECSV; sample, detections and systematics go into the metadata."""
    meta = {"data": survey.label, "origin": survey.origin, "sample": survey.sample, "detections": survey.detections}
    write_table(path, survey.rows, COLUMNS, meta | {"systematics": survey.systematics})


def read_survey(path):
    """Read what `write_survey` wrote.

    Raises
    ------
    InputError
        The table cannot be read, or is not such a table.
    """
    table = read_table(path, [column.name for column in COLUMNS])
    if table.meta.get("origin") not in ORIGINS:
        raise InputError(f"{path} does not say where its numbers come from; make it again.")
    rows = []
    for entry in table:
        row = {}
        for column in COLUMNS:
            value = entry[column.name]
            missing = "" if column.kind is str else np.nan
            row[column.name] = missing if np.ma.is_masked(value) else column.kind(value)
        rows.append(row)
    parts = {name: table.meta.get(name, empty) for name, empty in (("detections", {}), ("systematics", {}))}
    sample = [dict(entry) for entry in table.meta.get("sample", [])]
    detections = {line: dict(counts) for line, counts in parts["detections"].items()}
    return SurveyTable(str(table.meta["origin"]), rows, sample, detections, dict(parts["systematics"]))

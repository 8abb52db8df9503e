"""Table 1: the ratios are those the paper defines, and their calibrations those of the settings."""

import pytest

from klever.errors import ConfigError
from klever.publish.table1 import ratio_rows, table1_latex

# Curti et al. (2020), Table 1, with the names of resources/lines.yaml.
PRINTED = {
    "R2": ("OII", "Hbeta"), "R3": ("OIII5007", "Hbeta"), "N2": ("NII6584", "Halpha"), "S2": ("SII", "Halpha"),
    "O3O2": ("OIII5007", "OII"), "O3N2": ("OIII5007 * Halpha", "Hbeta * NII6584"),
}  # fmt: skip


@pytest.fixture
def calibrations(pytestconfig):
    return pytestconfig.rootpath / "resources/calibrations.json"


def rows_of(calibrations, name="C20", dispersion="rms_ratio"):
    found = ratio_rows(calibrations, {"calibration": name, "dispersion": dispersion})
    return {row["notation"]: row for row in found}


def test_ratios_are_the_printed_ones(calibrations):
    rows = rows_of(calibrations)
    assert {name: (rows[name]["numerator"], rows[name]["denominator"]) for name in PRINTED} == PRINTED
    assert {name for name, row in rows.items() if row["dereddened"]} == {"R2", "O3O2", "S3S2"}
    assert {name for name, row in rows.items() if row["abundances"]} == {"R3", "N2", "S2", "O3O2"}


def test_calibrations_are_those_of_the_settings(calibrations):
    r3 = rows_of(calibrations)["R3"]
    assert (r3["calibration"], r3["dispersion"], r3["log_oh_minimum"], r3["log_oh_maximum"]) == ("C20", 0.09, 7.6, 8.9)
    assert rows_of(calibrations, dispersion=0.2)["R3"]["dispersion"] == 0.2
    assert rows_of(calibrations, "C17")["R3"]["log_oh_minimum"] == 8.3
    with pytest.raises(ConfigError, match="C2 "):
        rows_of(calibrations, "C2 ")


def test_latex_has_a_row_for_each_ratio(calibrations):
    text = table1_latex(list(rows_of(calibrations).values()))
    assert text.count(r" \\") == 2 + 7
    assert r"$R_{3}$ & [O\,\textsc{iii}]$\lambda$5007/H$\beta$ & C20 & 7.6--8.9 & 0.09 \\" in text
    assert r"\label{tab:ratios}" in text

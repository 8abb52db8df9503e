import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from klever.errors import InputError
from klever.publish.table3 import COLUMNS, published_properties, table3_latex, table3_rows
from klever.row_tables import read_table, write_table

PUBLISHED = Path(__file__).parents[2] / "resources" / "published" / "table3_global_properties.csv"
GALAXIES = [
    {"galaxy": "horseshoe_west", "name": "Horseshoe (W & S)", "lens": "horseshoe", "z": 2.383},
    {"galaxy": "horseshoe_full", "name": "Horseshoe", "lens": "horseshoe", "z": 2.383},
    {"galaxy": "macs0451", "name": "MACS0451 Arc", "lens": "macs0451", "z": 2.014},
    {"galaxy": "sp1", "name": "sp1", "lens": "ms2137", "z": 1.393},
    {"galaxy": "sp9", "name": "sp_9", "lens": "ms2137", "z": 1.65},
]


def sfr(region="all", value=40.0, dust="balmer", state="ok"):
    return {"region": region, "sfr": value, "sfr_error": 0.1 * value, "sfr_total": 1.1 * value,
            "sfr_total_error": 0.1 * value, "fibre_fraction": 0.7, "dust_correction": dust, "state": state}  # fmt: skip


def make_rows():
    star_formation = {entry["galaxy"]: [sfr()] for entry in GALAXIES}
    star_formation["macs0451"] = [sfr(), sfr("north", 24.0), sfr("south", 16.0)]
    star_formation["sp1"] = [sfr(dust="none")]
    star_formation["sp9"] = [sfr(value=np.nan, state="agn")]
    properties = {entry["galaxy"]: {
        "log_oh": 8.4, "log_oh_error_minus": 0.05, "log_oh_error_plus": 0.04, "calibration": "C20",
        "diagnostics": "R3,N2", "diagnostics_reason": "preferred",
        "limits_used": "", "ebv": 0.3, "ebv_error": 0.05, "ebv_state": "ok", "flags": 0,
        "state": "ok"} for entry in GALAXIES}  # fmt: skip
    properties["sp1"] |= {"flags": 1536, "limits_used": "N2", "ebv": -0.1, "ebv_state": "negative"}
    properties["sp9"] |= {"log_oh": np.nan, "diagnostics": None, "flags": None, "state": "excluded"}
    bpt = {entry["galaxy"]: {"agn": "type1" if entry["galaxy"] == "sp9" else "no"} for entry in GALAXIES}
    mu = {entry["galaxy"]: {"mu_halpha": 2.0, "mu_halpha_error": 0.1, "mu_intrinsic": 2.1, "mu_intrinsic_error": 0.1,
                            "mu_maps": 2.2, "mu_maps_error_minus": 0.2, "mu_maps_error_plus": 0.4}
          for entry in GALAXIES}  # fmt: skip
    masses = {"sp1": {"log_mstar": 9.0, "log_mstar_error_minus": 0.2, "log_mstar_error_plus": 0.1, "state": "ok"}}
    spreads = {entry["galaxy"]: {f"{name}_{end}": 0.1 * (i + 1) if end == "lens" else np.nan
                                 for i, name in enumerate(("mu", "length", "sfr", "log_mstar"))
                                 for end in ("lens", "lens_models")} for entry in GALAXIES}  # fmt: skip
    spreads["sp1"] |= {"mu_lens_models": 0.15, "sfr_lens_models": 0.2, "log_mstar_lens_models": 0.06}
    return table3_rows(GALAXIES, star_formation, properties, bpt, mu, spreads, masses,
                       published_properties(PUBLISHED))  # fmt: skip


def test_published_values_are_those_printed():
    published = published_properties(PUBLISHED)
    assert published["sp1"]["published_sfr"] == 40.48
    assert published["sp1"]["published_log_mstar"] == 8.95
    assert published["sp13"]["published_mu_maps_error_plus"] == 15.84
    assert np.isnan(published["sp9"]["published_sfr"])
    assert len(published) == 44


def test_rows_have_every_column_and_the_published_values_beside(tmp_path):
    rows = make_rows()
    assert [(row["galaxy"], row["region"]) for row in rows] == [
        ("horseshoe_west", "all"), ("horseshoe_full", "all"), ("macs0451", "all"), ("macs0451", "north"),
        ("macs0451", "south"), ("sp1", "all"), ("sp9", "all"),
    ]  # fmt: skip
    assert not {key for row in rows for key in row} - {column.name for column in COLUMNS}
    write_table(tmp_path / "t.ecsv", rows, COLUMNS, {})
    table = read_table(tmp_path / "t.ecsv", [column.name for column in COLUMNS])
    by = {(str(row["galaxy"]), str(row["region"])): row for row in table}
    # the Horseshoe's SFR is that of both pointings, its metallicity that of the western arc (Sect. 3.3)
    assert np.ma.is_masked(by["horseshoe_west", "all"]["published_sfr"])
    assert by["horseshoe_west", "all"]["published_log_oh"] == 8.49
    assert by["horseshoe_full", "all"]["published_sfr"] == 54.60
    assert by["macs0451", "north"]["published_sfr"] == 56.08
    assert by["macs0451", "north"]["sfr"] == 24.0
    sp1 = by["sp1", "all"]
    assert (sp1["metallicity_flags"], sp1["mu_lens_models"], sp1["mass_state"]) == ("edge,bimodal", 0.15, "ok")
    # errors from the lens model: relative ones become Msun/yr, those of a mass that is not there are masked
    assert (sp1["sfr_lens"], sp1["sfr_lens_models"]) == (pytest.approx(0.3 * 40), pytest.approx(0.2 * 40))
    assert (sp1["log_mstar_lens"], sp1["log_mstar_lens_models"], sp1["length_lens"]) == (0.4, 0.06, 0.2)
    north = by["macs0451", "north"]
    assert north["sfr_lens"] == pytest.approx(0.3 * 24) and np.ma.is_masked(north["sfr_lens_models"])
    assert np.ma.is_masked(north["length_lens"]) and np.ma.is_masked(by["macs0451", "all"]["log_mstar_lens"])
    assert np.ma.is_masked(by["sp9", "all"]["sfr_lens"])
    # a galaxy without a measured mass has none, whatever is published
    assert np.ma.is_masked(by["macs0451", "all"]["log_mstar"])
    assert by["macs0451", "all"]["mass_state"] == "not_measured"
    assert (by["sp9", "all"]["sfr_state"], by["sp9", "all"]["agn"]) == ("agn", "type1")


def test_latex_has_the_columns_of_the_paper_and_its_notes():
    text = table3_latex(make_rows(), simulated=True)
    assert r"\textbf{Simulated data.}" in text
    header = text[text.index(r"\hline") :].splitlines()[1]
    assert [cell.strip() for cell in header.rstrip("\\ ").split("&")][:6] == [
        "Galaxy", r"SFR(H$\alpha$)", r"$\log(M_\star/M_\odot)$", r"$12+\log(\mathrm{O/H})$",
        r"$\mu_{\mathrm{H}\alpha}$", r"$\mu_\mathrm{maps}$",
    ]  # fmt: skip
    (line, of_lens) = [line for line in text.splitlines() if line.startswith("sp1 ")]
    assert r"$40.00 \pm 4.00$$^{\star\star}$" in line
    assert line.count("&") == 8
    assert of_lens.replace(r" \\", "").split(" & ")[1:] == ["12.00 / 8.00", "0.40 / 0.06", "20.0 / --", "$15$"]
    assert "be$^{n}$$^{l}$" in line
    assert r"Horseshoe (W \& S)" in text and r"sp\_9" in text
    assert r"\textit{MS2137}" in text and "HORSESHOE" in text
    assert "Simulated" not in table3_latex(make_rows(), simulated=False)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX is installed")
def test_latex_compiles(tmp_path):
    (tmp_path / "table3.tex").write_text(table3_latex(make_rows(), simulated=True))
    (tmp_path / "t.tex").write_text("\\documentclass{article}\\begin{document}\\input{table3}\\end{document}\n")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").is_file()


def test_a_damaged_published_table_is_named(tmp_path):
    (tmp_path / "table3.csv").write_text("id,sfr_msun_per_yr\nsp1,many\n")
    with pytest.raises(InputError, match=r"table3\.csv.*needs the columns"):
        published_properties(tmp_path / "table3.csv")

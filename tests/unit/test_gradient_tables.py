"""Tables 4 and A1: which gradients are printed, the published values beside, LaTeX, bytes."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from gradient_tables import write_gradient_tables
from klever.errors import InputError
from klever.gradient.gradient_columns import ASYMMETRY
from klever.publish.gradient_tables import gradient_rows, gradient_table, gradient_table_latex, published_gradients
from klever.row_tables import write_table

PUBLISHED = Path(__file__).parents[2] / "resources/published"
NAMES = (
    "galaxy region aperture slope slope_error resolved psf_fwhm_major_kpc psf_fwhm_minor_kpc diagnostics state".split()
)


def gradient(galaxy, state="ok", resolved="resolved", regions=("all",), slope=-0.021):
    numbers = (slope, 0.008) if state == "ok" else (np.nan, np.nan)
    rows = [(galaxy, region, aperture, *numbers, resolved, 4.2, 2.1, "R3,N2", state)
            for region in regions for aperture in ("elliptical", "circular")]  # fmt: skip
    return Table(rows=rows, names=NAMES, meta={"galaxy": galaxy})


def entry(galaxy, lens="ms2137", name=None):
    return {"galaxy": galaxy, "name": name or galaxy, "lens": lens}


SURVEY = {
    "sp1": gradient("sp1"), "sp2": gradient("sp2", resolved="marginal"), "sp3": gradient("sp3", resolved="unresolved"),
    "sp9": gradient("sp9", "excluded", ""), "sp5": gradient("sp5", "not_detected", ""),
    "sp6": gradient("sp6", "too_few_annuli", "unresolved"),
    "macs0451": gradient("macs0451", regions=("north", "south")),
}  # fmt: skip
ENTRIES = [entry("macs0451", "macs0451", "MACS0451 Arc"), *(entry(f"sp{i}") for i in (1, 2, 3, 5, 6, 9)), entry("gone")]


def test_only_gradients_that_are_at_least_marginal_are_printed():
    rows, without = gradient_rows(SURVEY, "elliptical", ENTRIES)
    assert [row["name"] for row in rows] == ["MACS0451 Arc (North)", "MACS0451 Arc (South)", "sp1", "sp2"]
    assert {row["galaxy"]: row["state"] for row in without} == {
        "sp3": "unresolved", "sp5": "not_detected", "sp6": "too_few_annuli", "sp9": "excluded",
        "gone": "no_gradient_table",
    }  # fmt: skip


def test_published_values_stand_beside_and_are_masked_where_there_are_none():
    rows, without = gradient_rows(SURVEY | {"horseshoe_west": gradient("horseshoe_west")}, "elliptical",
                                  [*ENTRIES, entry("horseshoe_west", "horseshoe")])  # fmt: skip
    published = published_gradients(PUBLISHED / "table4_gradients_elliptical.csv")
    table = gradient_table(rows, without, published | {}, "elliptical", True)
    values = {(row["galaxy"], row["region"]): row["published_slope"] for row in table}
    assert values["macs0451", "north"] == pytest.approx(-0.011)
    assert values["horseshoe_west", "all"] == pytest.approx(0.012)
    table = gradient_table(rows, without, {}, "elliptical", True)
    assert table["published_slope"].mask.all() and table["published_slope_error"].mask.all()


def test_units_and_first_line_of_the_metadata():
    table = gradient_table(*gradient_rows(SURVEY, "circular", ENTRIES), {}, "circular", True)
    assert str(table["slope"].unit) == "dex / kpc"
    assert next(iter(table.meta.values())) == "simulated data"
    assert not [name for name in table.colnames if name.startswith("psf_")]
    assert gradient_table([], [], {}, "circular", False).meta["data"] == "observed data"


def test_latex_has_classes_psf_and_headings_of_lenses():
    text = gradient_table_latex(gradient_table(*gradient_rows(SURVEY, "elliptical", ENTRIES), {}, "elliptical", True))
    assert r"\textit{MS2137}" in text and r"\textit{MACS0451}" not in text
    assert r"sp2 & $-0.021 \pm 0.008$ & Marg & $4.20 \times 2.10$ & $R_{3}$, $N_{2}$ & -- & -- \\" in text
    assert r"\textbf{Simulated data.}" in text
    circular = gradient_table(*gradient_rows(SURVEY, "circular", ENTRIES), {}, "circular", False)
    assert "times" not in gradient_table_latex(circular).split(r"\hline")[2]
    assert "Simulated" not in gradient_table_latex(circular)


def test_both_errors_the_slope_without_the_psf_and_per_radius_are_given():
    table = gradient("sp1")
    for name, value in (("slope_paper", 0.03), ("slope_intrinsic", -0.05), ("slope_per_re", -0.06)):
        table[name], table[f"{name}_error"] = value, 0.01
    table["errors"] = "covariance"
    made = gradient_table(*gradient_rows({"sp1": table}, "elliptical", [entry("sp1")]), {}, "elliptical", True)
    assert made["slope_intrinsic"][0] == -0.05 and made["errors"][0] == "covariance"
    assert made["slope_lens"].mask.all() and not made["slope_paper"].mask.any()
    text = gradient_table_latex(made)
    assert r"$0.030 \pm 0.010$ & $-0.050 \pm 0.010$ \\" in text


def test_table_without_a_single_gradient():
    table = gradient_table([], gradient_rows({}, "elliptical", ENTRIES)[1], {}, "elliptical", True)
    assert len(table) == 0
    assert len(table.meta["without_gradient"]) == len(ENTRIES)
    assert r"\end{tabular}" in gradient_table_latex(table)


def test_files_are_the_same_bytes_each_time_in_any_order(tmp_path):
    paths = []
    for name, table in SURVEY.items():
        paths.append(tmp_path / name / "gradient.ecsv")
        paths[-1].parent.mkdir()
        table.write(paths[-1], format="ascii.ecsv")
    patterns = []
    for galaxy in ("sp1", "sp2"):
        patterns.append(tmp_path / f"{galaxy}_asymmetry.ecsv")
        write_table(patterns[-1], [{"galaxy": galaxy, "region": "all", "dipole": 0.1, "state": "ok"}], ASYMMETRY, {})
    outputs = ("table4", "table4_tex", "tableA1", "tableA1_tex", "asymmetry")
    made = []
    for i, order in enumerate((paths, paths[::-1])):
        files = {name: tmp_path / f"{name}_{i}" for name in outputs}
        write_gradient_tables(order, patterns[:: 1 - 2 * i], PUBLISHED / "table4_gradients_elliptical.csv",
                              PUBLISHED / "tableA1_gradients_circular.csv", **files,
                              settings={"galaxies": ENTRIES, "simulated": True})  # fmt: skip
        made.append([file.read_bytes() for file in files.values()])
    assert made[0] == made[1]
    table = Table.read(tmp_path / "table4_0", format="ascii.ecsv")
    assert list(table["galaxy"]) == ["macs0451", "macs0451", "sp1", "sp2"]


@pytest.mark.parametrize("text", ["id,gradient_dex_per_kpc\nsp1,0.1\n",
                                  "id,gradient_dex_per_kpc,gradient_err_dex_per_kpc\nsp1,abc,0.1\n"])  # fmt: skip
def test_damaged_published_table_is_named(tmp_path, text):
    path = tmp_path / "published.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"published\.csv"):
        published_gradients(path)

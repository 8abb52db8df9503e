"""The tables of a run as others use them: columns described and with units, LaTeX that a journal's page takes."""

import re

import pytest
from astropy.table import Table
from tex import compile_tables, pdflatex

pytestmark = pytest.mark.workflow

LATEX = ("table1", "table2", "table3", "table4", "tableA1", "magnification")

# Numbers without a dimension, by name: a new column has a unit or is added here on purpose.
PURE = re.compile(
    r"""z|z_above|z_error|published_z                                     # redshifts
    |(published_)?mu(_\w+)?|models_(median|16|84)|systematic               # magnifications
    |length_\w+|sfr_lens\w*                                                # relative spreads of lengths and of SFR
    |\w*_?(p|rho|rho_error|snr|chi2|correlation|fraction|significance)     # statistics
    |acceptance|autocorrelation|broad_delta_ln_evidence|n_beams|n_models
    |clean|oh|contained|coverage|disc_axis_ratio|psf_flattening|flattening|resolution|heii_hbeta
    |(median_)?(abs_)?pull|median_bias|pull_scatter
    |truth|measured|error|run_number|tables_number|tolerance|from_run_error  # column unit
    |x|y|axis_ratio""",
    re.VERBOSE,
)


def all_tables(results):
    found = sorted(results.rglob("*.ecsv"))
    assert len(found) > 50
    return found


def test_every_column_says_what_it_is_and_every_dimension_has_its_unit(finished):
    lacking = []
    for path in all_tables(finished / "results"):
        table = Table.read(path, format="ascii.ecsv")
        for name in table.colnames:
            where = f"{path.relative_to(finished / 'results')}: {name}"
            if len(table[name].info.description or "") < 3:
                lacking.append(f"{where} has no description")
            if table[name].dtype.kind == "f" and table[name].unit is None and not PURE.fullmatch(name):
                lacking.append(f"{where} has no unit")
    assert lacking == []


@pytest.mark.parametrize("name", LATEX)
def test_each_table_is_there_for_people_and_for_machines(finished, name):
    folder = finished / "results/tables"
    assert len(Table.read(folder / f"{name}.ecsv", format="ascii.ecsv")) > 0
    text = (folder / f"{name}.tex").read_text()
    assert text.count(r"\hline") == 3 * text.count(r"\end{table") > 0
    assert r"\caption{" in text
    assert r"\label{tab:" in text
    if name != "table1":
        assert r"\textbf{Simulated data.}" in text


@pytest.mark.skipif(pdflatex() is None, reason="there is no pdflatex (Debian package texlive-latex-base)")
def test_all_tables_compile_and_fit_the_page(finished, tmp_path):
    problems, pages = compile_tables([finished / f"results/tables/{name}.tex" for name in LATEX], tmp_path)
    assert problems == []
    assert pages >= len(LATEX)


@pytest.mark.skipif(pdflatex() is None, reason="there is no pdflatex (Debian package texlive-latex-base)")
def test_a_table_that_does_not_compile_or_fit_is_noticed(tmp_path):
    wide, wrong = tmp_path / "wide.tex", tmp_path / "wrong.tex"
    wide.write_text("\\begin{table*}\\begin{tabular}{l}" + "galaxy " * 100 + "\\end{tabular}\\end{table*}\n")
    wrong.write_text("\\begin{table}\\begin{tabular}{lc} a_b & \\unknown \\end{tabular}\\end{table}\n")
    assert any("too wide" in problem for problem in compile_tables([wide], tmp_path)[0])
    assert any(problem.startswith("!") for problem in compile_tables([wrong], tmp_path)[0])

"""LaTeX: escaping, numbers, structure of the tables."""

import pytest

from klever.publish.latex import escape, latex_table, measurement, ratio_names


def table(groups=(("", [["a", "1"]]),), **changes):
    arguments = {
        "header": ["Galaxy", "Gradient"],
        "units": ["", "[dex]"],
        "groups": groups,
        "caption": "C",
        "label": "tab:x",
    }
    return latex_table(**arguments | changes)


@pytest.mark.parametrize(("text", "expected"), [
    ("R2248_LRb_p1", r"R2248\_LRb\_p1"), ("50 %", r"50 \%"), ("A&B #1 $x$", r"A\&B \#1 \$x\$"),
    ("{a}^b~c", r"\{a\}\textasciicircum{}b\textasciitilde{}c"), ("a\\b", r"a\textbackslash{}b"), ("sp15", "sp15"),
])  # fmt: skip
def test_special_characters_are_escaped(text, expected):
    assert escape(text) == expected


@pytest.mark.parametrize(("value", "error", "expected"), [
    (-0.0123, 0.0046, r"$-0.012 \pm 0.005$"), (0.02, 0.008, r"$0.020 \pm 0.008$"),
    (-0.0001, 0.01, r"$0.000 \pm 0.010$"),
    (0.1, float("nan"), "$0.100$"), (float("nan"), 0.1, "--"), (float("inf"), 0.1, "--"),
])  # fmt: skip
def test_measurement(value, error, expected):
    assert measurement(value, error) == expected


@pytest.mark.parametrize("names", ["R3+O3O2", "R3,O3O2", "R3, O3O2"])
def test_ratios_are_in_math_mode(names):
    assert ratio_names(names) == "$R_{3}$, $O_{3}O_{2}$"


def test_unknown_and_missing_ratios():
    assert ratio_names("my_ratio") == r"my\_ratio"
    assert ratio_names("") == "--"


def test_environments_and_braces_are_balanced():
    text = table([("RXJ2248", [["a", "1"], ["b", "2"]]), ("", [["c", "3"]])], comments=["simulated data"])
    for name in ("table", "tabular"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") == 1
    assert text.count("{") == text.count("}")
    assert text.splitlines()[0] == "% simulated data"
    assert text.index(r"\end{tabular}") < text.index(r"\caption{C}") < text.index(r"\label{tab:x}")


def test_every_row_has_as_many_cells_as_the_columns():
    text = table([("", [["a", "1"], ["b", "2"]])])
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert [line.count("&") for line in body] == [1] * 4
    assert r"\begin{tabular}{lc}" in text


def test_heading_spans_the_table_and_an_empty_one_is_left_out():
    assert r"\multicolumn{2}{l}{\textit{RXJ2248}} \\" in table([("RXJ2248", [["a", "1"]])])
    assert "multicolumn" not in table()


def test_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="tab:x has 3 cells, the header has 2"):
        table([("", [["a", "1", "2"]])])


def test_table_without_rows_still_has_its_frame():
    assert table([]).count(r"\hline") == 3


def test_wide_tables_cross_both_columns_of_the_page():
    text = table(wide="footnotesize")
    assert text.count("{table*}") == 2
    assert "\\centering\n\\footnotesize\\setlength{\\tabcolsep}{4pt}\n\\begin{tabular}" in text
    assert "table*" not in table()

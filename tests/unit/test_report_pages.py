"""Pages of the report: tables with numbers to sort by, states of a run, and nothing from the network."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from klever.errors import InputError
from klever.publish.report_pages import input_page, status_page, table_page, write_pages
from klever.publish.sortable import html_table

NOTES = {
    "count": "1 galaxy", "grade": "simulated data", "grades": {}, "own": {"sp1": "lens.seed = 3"},
}  # fmt: skip


@pytest.fixture
def table(tmp_path):
    found = Table({"name": ["<b>sp1</b>", "sp2", "sp3"], "z": [1.5, np.nan, 2.5], "good": [True, False, True]})
    found["slope"] = MaskedColumn([-0.02, 0.01, 0.0], mask=[0, 0, 1], unit="dex / kpc", description="of the annuli")
    found.meta = {"description": "Gradients", "data": "simulated data", "provenance": {"version": "klever 9",
                  "config": "abc", "inputs": ["one", "two"]}}  # fmt: skip
    found.write(tmp_path / "table4.ecsv")
    return tmp_path / "table4.ecsv"


def survey():
    return SimpleNamespace(
        galaxies=["sp1"],
        galaxy=lambda name: {"z": 1.393, "lens": "ms2137"},
        bands=lambda name: ["YJ", "H"],
        instrument=lambda name: "KMOS",
        survey_settings=lambda: {"lens": {"seed": 2020}},
    )


def rows(**states):
    return [
        {"galaxy": galaxy, "stage": stage, "band": "", "state": state, "reason": reason, "log": log}
        for galaxy, entries in states.items()
        for stage, state, reason, log in entries
    ]


def test_cells_hold_the_numbers_they_are_sorted_by(table):
    page = table_page(table)
    assert "<h1>Table 4</h1>" in page
    assert "<td class='number' data-value='-0.02'>-0.02</td>" in page
    assert page.count("<td></td>") == 2  # the NaN and the masked one
    assert "<th title='of the annuli'>slope <small>[dex / kpc]</small></th>" in page
    assert "klever 9, settings abc, 2 inputs" in page


def test_simulated_data_are_named_so_and_text_is_no_markup(table):
    page = table_page(table)
    assert "SIMULATED DATA" in page
    assert "<b>sp1</b>" not in page
    assert "&lt;b&gt;sp1&lt;/b&gt;" in page
    own = Table.read(table)
    own.meta["data"] = "observed data"
    own.write(table, overwrite=True)
    assert "SIMULATED DATA" not in table_page(table)


def test_a_damaged_table_is_an_error_that_names_it(tmp_path):
    (tmp_path / "broken.ecsv").write_text("# %ECSV 1.0\n# ---\n# datatype: [\na b\n")
    with pytest.raises(InputError, match=r"broken\.ecsv cannot be read"):
        table_page(tmp_path / "broken.ecsv")


def test_a_number_in_full_precision_is_kept_for_sorting():
    assert "data-value='0.123456789'>0.1235<" in html_table([("x", "", "")], [[0.123456789]])
    assert "data-value='1234567'>1234567<" in html_table([("n", "", "")], [[1234567]])


def test_failures_come_first_with_those_that_wait():
    page = status_page(rows(
        sp1=[("ingest", "done", "", "")],
        sp2=[("ingest", "failed", "No valid <voxel>.", "logs/ingest/sp2.log"),
             ("lines", "blocked", "needs ingest", "")],
    ))  # fmt: skip
    failed, rest = page.split("Galaxies blocked by them")
    assert "No valid &lt;voxel&gt;." in failed
    assert "logs/ingest/sp2.log" in failed
    blocked = rest[: rest.index("Every stage")]
    assert "sp2" in blocked
    assert "sp1" not in blocked
    assert "1 blocked, 1 done, 1 failed" in page


def test_a_failed_job_of_the_whole_survey_is_named_so():
    entries = rows(sp1=[("ingest", "done", "", "")])
    entries.append({**entries[0], "galaxy": "", "stage": "audit", "state": "failed", "reason": "No claims.",
                    "log": "logs/audit.log", "previous": "results/previous/audit.ecsv"})  # fmt: skip
    failed = status_page(entries).split("Galaxies blocked by them")[0]
    for text in ("the whole survey", "audit", "No claims.", "results/previous/audit.ecsv"):
        assert text in failed


def test_a_run_without_failures_says_none():
    page = status_page(rows(sp1=[("ingest", "done", "", ""), ("gradient", "unresolved", "too_few_annuli", "")]))
    assert "<p>None.</p>" in page
    assert "Galaxies blocked" not in page
    assert "title='too_few_annuli'>unresolved<" in page


def test_bands_that_differ_are_named():
    entries = rows(sp1=[("lines", "done", "", ""), ("lines", "not_detected", "", "")])
    entries[0]["band"], entries[1]["band"] = "H", "K"
    assert ">K not detected<" in status_page(entries)


def test_the_input_page_lists_galaxies_and_settings():
    page = input_page(survey(), NOTES)
    for text in ("SIMULATED DATA", "1 galaxy: simulated data", "YJ, H", "lens.seed = 3", ">2020<"):
        assert text in page


def test_pages_need_no_network_and_replace_those_of_before(table, tmp_path):
    results = tmp_path / "results"
    (results / "tables").mkdir(parents=True)
    table.rename(results / "tables/table4.ecsv")
    (results / "report/tables").mkdir(parents=True)
    (results / "report/tables/old.html").write_text("stale")
    Table(rows=rows(sp1=[("ingest", "failed", "No voxel.", "a.log")])).write(results / "status.ecsv")
    assert write_pages(survey(), NOTES, results) == ["input.html", "tables/table4.html", "status.html"]
    written = sorted(path.relative_to(results / "report").as_posix() for path in (results / "report").rglob("*.html"))
    assert written == ["input.html", "status.html", "tables/table4.html"]
    assert "No voxel." in (results / "report/status.html").read_text()
    for name in written:
        text = (results / "report" / name).read_text()
        assert not re.search(r"https?://|src=|@import|<link", text)

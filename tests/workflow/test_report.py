"""The HTML report: what it holds, that a browser shows it from the file alone, and what is in it after a failure."""

import csv
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from astropy.table import Table
from browser import Browser, chromium
from survey_runs import ROOT

from klever.publish.runtimes import collect_runtimes

pytestmark = pytest.mark.workflow
needs_browser = pytest.mark.skipif(chromium() is None, reason="there is no chromium (Debian package chromium)")

SECTIONS = [
    "1 Targets", "3 Line fits", "4 Lensing", "5 Gas and stars", "6 Metallicity gradients", "7 Population", "8 Checks",
    "9 Run",
]  # fmt: skip


def make_report(directory):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, ROOT / "workflow/scripts/report.py", "--directory", directory]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def copy_of(finished, directory):
    """A copy of the finished survey whose large files are links."""

    def copy(source, target):
        (os.link if Path(source).stat().st_size > 1_000_000 else shutil.copy2)(source, target)

    shutil.copytree(finished, directory, symlinks=True, copy_function=copy)
    return directory


@pytest.fixture(scope="module")
def reported(finished, tmp_path_factory):
    directory = copy_of(finished, tmp_path_factory.mktemp("reported") / "survey")
    done = make_report(directory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "opens in a browser" in done.stdout
    return directory


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path / "profile") as found:
        yield found


def click(browser, text):
    """Click the link with this text."""
    links = "[...document.querySelectorAll('a')].filter(a => a.innerText.trim() === " + repr(text) + ")"
    browser.wait_for(f"{links}.length > 0")
    browser.evaluate(f"{links}[0].click()")


def row_icon(browser, *cells, icon):
    """Click the eye (0) or the circled i (1) of the row of a list with these cells."""
    rows = "[...document.querySelectorAll('tr')].filter(r => " + " && ".join(
        f"[...r.cells].some(c => c.innerText.trim() === {cell!r})" for cell in cells
    )
    browser.wait_for(f"{rows}).length > 0")
    browser.evaluate(f"{rows})[0].querySelectorAll('a')[{icon}].click()")


@needs_browser
def test_a_browser_shows_the_report_from_its_file_alone(reported, browser):
    browser.open(reported / "report.html")
    browser.wait_for("document.querySelector('#app').innerText.includes('RESULTS')")
    assert browser.evaluate("document.title") == "KLEVER survey: 3 galaxies, simulated data"
    assert (
        browser.evaluate("document.querySelector('h1.title').innerText") == "KLEVER survey: 3 galaxies, simulated data"
    )
    shown = browser.evaluate("[...document.querySelectorAll('#app li')].map(item => item.innerText.trim())")
    assert [text for text in shown[: shown.index("9 Run") + 1] if text[:1].isdigit()] == SECTIONS

    # a galaxy's page: the image is there, its caption says what it was made of and how
    click(browser, "6 Metallicity gradients")
    click(browser, "Galaxies")
    row_icon(browser, "sp3", icon=0)
    browser.wait_for("document.querySelector('#app .grow img')?.naturalWidth > 300")
    row_icon(browser, "sp3", icon=1)
    browser.wait_for("document.body.innerText.includes('DESCRIPTION')")
    caption = browser.evaluate("document.body.innerText")
    assert "Input: simulated data." in caption
    assert "calibration C20" in caption

    assert browser.requests == []


@needs_browser
def test_tables_sort_by_a_click_and_filter(reported, browser):
    browser.open(reported / "report.html")
    click(browser, "8 Checks")
    click(browser, "Recovery of the simulated truth")
    row_icon(browser, "every measurement against its truth", "a page", icon=0)
    page = browser.inner_page()
    heads = browser.evaluate("[...document.querySelectorAll('th')].map(head => head.innerText.trim())", page)
    column = heads.index("pull")

    def cells():
        script = f"[...document.querySelectorAll('tbody tr')].map(row => row.cells[{column}].dataset.value ?? '')"
        return browser.evaluate(script, page)

    with (reported / "results/recovery.ecsv").open() as stream:
        rows = list(csv.DictReader((line for line in stream if not line.startswith("#")), delimiter=" "))
    known = sorted(float(row["pull"]) for row in rows if row["pull"] not in ("", "nan"))
    assert len(known) > 20
    assert known[0] < 0 < known[-1]
    for order in (known, known[::-1]):
        browser.evaluate(f"document.querySelectorAll('th')[{column}].click()", page)
        values = cells()
        assert [float(value) for value in values[: len(known)]] == order
        assert set(values[len(known) :]) <= {""}
    browser.evaluate(
        "const box = document.querySelector('input[type=search]'); box.value = 'sp15';"
        "box.dispatchEvent(new Event('input'));",
        page,
    )
    left = browser.evaluate("[...document.querySelectorAll('tbody tr')].filter(row => !row.hidden).length", page)
    assert left == sum("sp15" in row.values() for row in rows)
    assert browser.requests == []


@needs_browser
def test_a_page_that_asks_the_network_would_be_noticed(tmp_path, browser):
    inner = "<img src=&quot;http://example.invalid/inner.png&quot;>"
    page = f"<img src='http://example.invalid/outer.png'><iframe src='data:text/html,{inner}'></iframe>"
    (tmp_path / "page.html").write_text(page)
    browser.open(tmp_path / "page.html")
    end = time.monotonic() + 20
    while len(browser.requests) < 2 and time.monotonic() < end:
        browser.evaluate("1")
        time.sleep(0.1)
    assert sorted(browser.requests) == [f"http://example.invalid/{name}.png" for name in ("inner", "outer")]
    # nothing answers but the proxy of the test, which got both
    assert sum(b"example.invalid" in call for call in browser.calls) >= 2


def test_every_product_flagged_for_the_report_is_in_it(reported):
    text = (reported / "report.html").read_text()
    for name in ("sp1", "sp15", "sp3"):
        assert f'"results/galaxies/{name}/summary.png": {{' in text
        assert f'"results/galaxies/{name}/quality.png": {{' in text
    for name in ("tables/table1", "tables/table2", "tables/table3", "tables/table4", "tables/tableA1", "recovery"):
        assert f'"results/{name}.ecsv": {{' in text
        assert f'"results/report/{name}.html": {{' in text
    for name in ("status", "runtimes", "input"):
        assert f'"results/report/{name}.html": {{' in text
    # every caption says what went in, and what was set
    captions = re.findall(r'"caption": "((?:[^"\\]|\\.)*)"', text)
    assert len(captions) > 30
    for caption in captions:
        assert "<em>Input:</em>" in caption


def test_after_a_failure_the_report_says_so_and_holds_what_is_done(finished, tmp_path):
    directory = copy_of(finished, tmp_path / "survey")
    path = directory / "results/status.ecsv"
    status = Table.read(path, format="ascii.ecsv")
    status["reason"] = status["reason"].astype("U80")
    status["log"] = status["log"].astype("U80")
    status["state"] = status["state"].astype("U20")
    for row in status:
        if (row["galaxy"], row["stage"], row["band"]) == ("sp3", "lines", "H"):
            row["state"], row["reason"], row["log"] = "failed", "The cube has no valid voxel.", "logs/lines/sp3_H.log"
        elif (row["galaxy"], row["stage"]) == ("sp3", "align"):
            row["state"], row["reason"] = "blocked", "needs lines H"
    status.write(path, format="ascii.ecsv", overwrite=True)
    (directory / "results/galaxies/sp3/summary.png").unlink()
    done = make_report(directory)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (directory / "report.html").read_text()
    assert '"results/galaxies/sp1/summary.png": {' in text
    assert "results/galaxies/sp3/summary.png" not in text
    assert "results/tables/table4.ecsv" not in text
    page = (directory / "results/report/status.html").read_text()
    assert "The cube has no valid voxel." in page
    assert "logs/lines/sp3_H.log" in page
    blocked = page[page.index("Galaxies blocked") : page.index("Every stage")]
    assert "sp3" in blocked
    assert "sp1<" not in blocked


def test_a_folder_without_results_is_refused_with_a_sentence(tmp_path):
    done = make_report(tmp_path)
    assert done.returncode == 1
    assert "run the survey first" in done.stdout


def test_runtimes_name_every_rule_that_ran(finished):
    rows = collect_runtimes(finished / "results/benchmarks")
    assert {"ingest", "lines", "source", "galaxy_page"} <= {row["rule"] for row in rows}
    assert [row["wall"] for row in rows] == sorted((row["wall"] for row in rows), reverse=True)
    assert next(row["jobs"] for row in rows if row["rule"] == "lines") == 9
    with (finished / "results/runtimes.ecsv").open() as stream:
        written = list(csv.DictReader((line for line in stream if not line.startswith("#")), delimiter=" "))
    assert [row["rule"] for row in written] == [row["rule"] for row in rows]

"""Pages of the HTML report that a run's tables become: sortable, each in one file that needs no network."""

import re
from html import escape
from pathlib import Path

from klever.errors import InputError
from klever.publish.sortable import html_page, html_table

__all__ = ["input_page", "status_page", "table_page", "write_pages"]

_LONGEST = 5000  # rows of a page; a browser sorts these in a moment
_SEARCH = "<input type='search' placeholder='show rows that contain ...' aria-label='filter'>"
_SURVEY = "the whole survey"
_SIMULATED = "<p class='simulated'>SIMULATED DATA</p>"
_COLOURS = {
    "done": "#dcefe3", "failed": "#fbc4a4", "blocked": "#fbe3d3", "not_run": "#eeeeee", "excluded": "#eeeeee",
    "not_detected": "#e6eef7", "no_line_in_band": "#e6eef7", "unresolved": "#e6eef7", "outside_lens_model": "#e6eef7",
}  # fmt: skip


def table_page(path):
    """Return a page of an ECSV table: its columns with units, sortable, and its metadata.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    str
        HTML; masked values and NaN are empty cells.

    Raises
    ------
    InputError
        The file is no ECSV table.
    """
    from astropy.table import Table

    path = Path(path)
    try:
        table = Table.read(path, format="ascii.ecsv")
    except Exception as error:  # astropy's readers raise whatever their parsers do
        raise InputError(f"{path} cannot be read as an ECSV table ({error}); delete it and run again.") from error
    heads = [
        (name, str(table[name].unit or ""), table[name].info.description or "") for name in table.colnames
    ]  # fmt: skip
    rows = (_plain_row(row) for row in table[:_LONGEST])
    shown = f"{len(table)} rows" if len(table) <= _LONGEST else f"the first {_LONGEST} of {len(table)} rows"
    meta = dict(table.meta)
    data = str(meta.pop("data", meta.pop("run", "")))
    about = ". ".join(filter(None, (str(meta.pop("description", "")), data and f"Data: {data}")))
    body = [
        _SIMULATED if data == "simulated data" else "", f"<p>{escape(about)}.</p>" if about else "",
        f"<p>{shown}, from <code>{escape(path.name)}</code>. Click a heading to sort; point at it for its meaning.</p>",
        _SEARCH, html_table(heads, rows), "<h2>About this table</h2>", _definitions(meta),
    ]  # fmt: skip
    return html_page(_title(path.stem), body)


def _title(stem):
    """Return the name of a table as it is read: Table A1, Detection rates."""
    number = re.fullmatch(r"table(A?\d)", stem)
    return f"Table {number.group(1)}" if number else stem.replace("_", " ").capitalize()


def _plain_row(row):
    return [_plain_value(value) for value in row]


def _plain_value(value):
    """Text or number of a cell; None where it is masked or not a number."""
    import numpy as np

    if value is np.ma.masked:
        return None
    if isinstance(value, (np.bool_, bool)):
        return "yes" if value else "no"
    if isinstance(value, (np.floating, float)):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, (np.integer, int)):
        return int(value)
    return str(value)


def _definitions(meta):
    """Metadata as a list; of the provenance the version and the digest of the settings, the inputs counted."""
    entries = []
    for key, value in meta.items():
        text = str(value)
        if key == "provenance":
            text = (
                f"{value.get('version', '')}, settings {value.get('config', '')}, {len(value.get('inputs', []))} inputs"
            )
        entries.append(f"<dt>{escape(str(key))}</dt><dd>{escape(text[:2000])}</dd>")
    return f"<dl>{''.join(entries)}</dl>"


def status_page(rows):
    """Return the page on the state of a run: what failed, what is blocked by it, and every stage of every galaxy.

    Parameters
    ----------
    rows : list of dict
        galaxy (empty for a job on the whole survey), stage, band, state, reason, log and previous, from
        `klever.publish.status.collect_status`.
    """
    failed = [row for row in rows if row["state"] == "failed"]
    blocked = {}
    for row in rows:
        if row["state"] == "blocked":
            blocked.setdefault(row["galaxy"] or _SURVEY, []).append(_step(row))
    body = ["<h2>Failed jobs</h2>", "<p>None.</p>"]
    if failed:
        heads = [(name, "", "") for name in ("galaxy", "step", "reason", "log", "last good product")]
        cells = [
            [row["galaxy"] or _SURVEY, _step(row), row["reason"], row["log"], row.get("previous", "")] for row in failed
        ]
        body = ["<h2>Failed jobs</h2>", html_table(heads, cells), "<h2>Galaxies blocked by them</h2>"]
        named = [[galaxy, ", ".join(steps)] for galaxy, steps in blocked.items()]
        body.append(html_table([("galaxy", "", ""), ("steps not done", "", "")], named) if named else "<p>None.</p>")
        body.append(
            "<p>The survey's own tables and figures come back into this report after a run without failures.</p>"
        )
    matrix = {}
    for row in rows:
        matrix.setdefault(row["galaxy"] or _SURVEY, {}).setdefault(row["stage"], []).append(row)
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    cells = [[galaxy, *(_states(of.get(stage, [])) for stage in stages)] for galaxy, of in matrix.items()]
    body += [
        "<h2>Every stage of every galaxy</h2>", f"<p>{_counts(rows)}</p>", _SEARCH,
        html_table([(name, "", "") for name in ("galaxy", *stages)], cells),
        "<p>The same with reasons is <code>results/status.ecsv</code>.</p>",
    ]  # fmt: skip
    return html_page("State of the run", body)


def _step(row):
    return " ".join(filter(None, (row["stage"], row["band"])))


def _states(rows):
    """One cell for the bands of a stage: its state, or the bands that are not done where they differ."""
    if not rows:
        return None
    states = {row["state"] for row in rows}
    special = [row for row in rows if row["state"] != "done"]
    text = states.copy().pop() if len(states) == 1 else ", ".join(f"{row['band']} {row['state']}" for row in special)
    worst = next(
        (state for state in ("failed", "blocked", "not_run") if state in states), (special or rows)[0]["state"]
    )
    reasons = "; ".join(sorted({row["reason"] for row in rows if row["reason"]}))
    html = f"<span title='{escape(reasons)}'>{escape(text.replace('_', ' '))}</span>"
    return {"html": html, "style": f"background:{_COLOURS.get(worst, '#fff')}"}


def _counts(rows):
    counts = {}
    for row in rows:
        counts[row["state"]] = counts.get(row["state"], 0) + 1
    return escape(", ".join(f"{number} {state.replace('_', ' ')}" for state, number in sorted(counts.items())))


def input_page(survey, notes):
    """Return the page on what a run works on: its galaxies with where their data come from, and all settings.

    Parameters
    ----------
    survey : klever.config.survey.Survey
    notes : dict
        From `klever.publish.captions.caption_notes`.
    """
    heads = [
        ("galaxy", "", "as in galaxies.tsv"), ("z", "", "catalogue redshift"), ("lens", "", "lens model"),
        ("bands", "", "of its cubes"), ("instrument", "", ""), ("data", "", "simulated or own"),
        ("settings of its own", "", "where they differ from the survey's"),
    ]  # fmt: skip
    rows = []
    for galaxy in survey.galaxies:
        entry = survey.galaxy(galaxy)
        rows.append([
            galaxy, entry["z"], entry["lens"], ", ".join(survey.bands(galaxy)), survey.instrument(galaxy),
            notes["grades"].get(galaxy, notes["grade"]), notes["own"].get(galaxy, ""),
        ])  # fmt: skip
    sections = survey.survey_settings()
    settings = [[section, key, str(value)] for section in sections for key, value in sections[section].items()]
    columns = [(name, "", "") for name in ("section", "key", "value")]
    body = [
        _SIMULATED if notes["grade"] == "simulated data" else "",
        f"<p>{notes['count']}: {escape(notes['grade'])}.</p>", _SEARCH, html_table(heads, rows),
        "<h2>Settings of the survey</h2>", html_table(columns, settings),
    ]  # fmt: skip
    return html_page("Input and settings", body)


def write_pages(survey, notes, results):
    """Write the pages of a survey's results into ``report/`` below them; pages of earlier runs are removed.

    Parameters
    ----------
    survey : klever.config.survey.Survey
    notes : dict
        From `klever.publish.captions.caption_notes`.
    results : path-like

    Returns
    -------
    list of str
        Paths of the pages below ``report/``: ``tables/table4.html`` of ``tables/table4.ecsv`` and so on, ``input.html``
        and, where the run has left a status, ``status.html``.
    """
    import csv
    import shutil

    results = Path(results)
    folder = results / "report"
    shutil.rmtree(folder, ignore_errors=True)
    pages = {"input.html": input_page(survey, notes)}
    for pattern in ("*.ecsv", "tables/*.ecsv", "targets/*.ecsv", "published/tables/*.ecsv"):
        for path in sorted(results.glob(pattern)):
            if path.name != "status.ecsv":
                pages[path.relative_to(results).with_suffix(".html").as_posix()] = table_page(path)
    if (results / "status.ecsv").is_file():
        text = (results / "status.ecsv").read_text(encoding="utf-8").splitlines()
        rows = list(csv.DictReader([line for line in text if not line.startswith("#")], delimiter=" "))
        pages["status.html"] = status_page(rows)
    for name, page in pages.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(page, encoding="utf-8")
    return list(pages)

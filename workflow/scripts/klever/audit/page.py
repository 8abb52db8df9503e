"""The audit as one HTML page without any network: a table that sorts and filters."""

from html import escape

from klever.publish.sortable import html_page, html_table

__all__ = ["audit_page"]

_COLOURS = {"agrees": "#dcefe3", "within its error": "#e6eef7", "differs": "#fbdcc8", "cannot be tested": "#eeeeee"}

_HEAD = (
    "section",
    "claim",
    "printed",
    "from the printed tables",
    "verdict",
    "from the run",
    "verdict on the run",
    "id",
)

_EXPLANATION = (
    "Each quantitative claim of the paper, recomputed from its own printed tables and from the results of this run. A "
    "recomputed value agrees if it rounds to the printed one (or satisfies it, where the claim is a bound or a list). "
    "Where the tables cannot test a claim, the reason is given. Claims are entries of "
    "<code>resources/claims.yaml</code>; the same table is <code>results/audit.ecsv</code>. Click a heading to sort."
)


def audit_page(rows, origin):
    """Return the page.

    Parameters
    ----------
    rows : list of dict
        Of `klever.audit.verdicts.audit`.
    origin : str
        Of the run's survey: simulated | observed | published.

    Returns
    -------
    str
        HTML that needs no other file.
    """
    simulated = (
        "<p class='simulated'>SIMULATED DATA: the run measured simulated galaxies. Its column tests this workflow, "
        "not the paper.</p>"
    )
    counts = {name: sum(row["verdict"] == name for row in rows) for name in ("agrees", "differs", "cannot be tested")}
    summary = ", ".join(f"{number} {name}" for name, number in counts.items())
    return html_page("Audit of Curti et al. (2020), MNRAS 492, 821", [
        simulated if origin == "simulated" else "", f"<p>{_EXPLANATION}</p>",
        f"<p>{len(rows)} claims against the printed tables: {summary}.</p>",
        "<input type='search' placeholder='show rows that contain ...' aria-label='filter'>",
        html_table([(name, "", "") for name in _HEAD], map(_cells, rows)),
    ])  # fmt: skip


def _cells(row):
    unit = f" {row['unit']}" if row["unit"] else ""
    error = f" ± {row['from_run_error']:.2g}" if row["from_run_error"] > 0 else ""
    note = f"<br><small>{escape(row['note'])}</small>" if row["note"] else ""
    return [
        row["section"], {"html": escape(row["claim"]) + note}, row["printed"] + unit, row["from_tables"],
        _verdict(row["verdict"], row["verdict_note"]), row["from_run"] + error,
        _verdict(row["run_verdict"], row["run_note"]), {"html": escape(row["id"]), "class": "id"},
    ]  # fmt: skip


def _verdict(text, note):
    colour = _COLOURS[text.removeprefix("simulated: ")]
    return {"html": f"<b>{escape(text)}</b><br>{escape(note)}", "class": "note", "style": f"background:{colour}"}

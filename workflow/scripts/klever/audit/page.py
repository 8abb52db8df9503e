"""The audit as one HTML page without any network: a table that sorts and filters."""

from html import escape

__all__ = ["audit_page"]

_COLOURS = {"agrees": "#dcefe3", "within its error": "#e6eef7", "differs": "#fbdcc8", "cannot be tested": "#eeeeee"}

_STYLE = """
body { font: 14px/1.4 sans-serif; margin: 1.5em; max-width: 1500px; color: #222; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #ccc; padding: 4px 7px; text-align: left; vertical-align: top; }
th { cursor: pointer; background: #f5f5f5; position: sticky; top: 0; white-space: nowrap; }
td.note { color: #555; font-size: 12px; max-width: 26em; overflow-wrap: anywhere; }
td.id { color: #777; font-size: 12px; }
.simulated { border: 2px solid #D55E00; color: #D55E00; font-weight: bold; padding: 0.4em; display: inline-block; }
input { width: 24em; padding: 3px; margin: 0.6em 0; }
"""

_SCRIPT = """
document.querySelectorAll('th').forEach(function (head, column) {
  head.addEventListener('click', function () {
    var body = document.querySelector('tbody');
    var up = head.dataset.up !== 'yes';
    document.querySelectorAll('th').forEach(function (other) { other.dataset.up = ''; });
    head.dataset.up = up ? 'yes' : 'no';
    Array.from(body.rows).sort(function (a, b) {
      return (up ? 1 : -1) * a.cells[column].innerText.localeCompare(b.cells[column].innerText, 'en', {numeric: true});
    }).forEach(function (row) { body.appendChild(row); });
  });
});
document.querySelector('input').addEventListener('input', function (event) {
  var words = event.target.value.toLowerCase();
  document.querySelectorAll('tbody tr').forEach(function (row) {
    row.hidden = !row.innerText.toLowerCase().includes(words);
  });
});
"""

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
    return "\n".join([
        "<!DOCTYPE html>", "<html lang='en'><head><meta charset='utf-8'>",
        "<title>Audit of Curti et al. (2020)</title>", f"<style>{_STYLE}</style></head><body>",
        "<h1>Audit of Curti et al. (2020), MNRAS 492, 821</h1>", simulated if origin == "simulated" else "",
        f"<p>{_EXPLANATION}</p>", f"<p>{len(rows)} claims against the printed tables: {summary}.</p>",
        "<input type='search' placeholder='show rows that contain ...' aria-label='filter'>",
        "<table><thead><tr>", *(f"<th>{name}</th>" for name in _HEAD), "</tr></thead><tbody>",
        *(_row(row) for row in rows), "</tbody></table>", f"<script>{_SCRIPT}</script></body></html>", "",
    ])  # fmt: skip


def _row(row):
    unit = f" {row['unit']}" if row["unit"] else ""
    error = f" ± {row['from_run_error']:.2g}" if row["from_run_error"] > 0 else ""
    note = f"<br><small>{escape(row['note'])}</small>" if row["note"] else ""
    cells = [
        f"<td>{escape(row['section'])}</td>", f"<td>{escape(row['claim'])}{note}</td>",
        f"<td>{escape(row['printed'] + unit)}</td>", f"<td>{escape(row['from_tables'])}</td>",
        _verdict(row["verdict"], row["verdict_note"]), f"<td>{escape(row['from_run'] + error)}</td>",
        _verdict(row["run_verdict"], row["run_note"]), f"<td class='id'>{escape(row['id'])}</td>",
    ]  # fmt: skip
    return f"<tr>{''.join(cells)}</tr>"


def _verdict(text, note):
    colour = _COLOURS[text.removeprefix("simulated: ")]
    return f"<td class='note' style='background:{colour}'><b>{escape(text)}</b><br>{escape(note)}</td>"

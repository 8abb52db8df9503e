"""Style and script of HTML tables that sort and filter without any network or other file."""

from html import escape

__all__ = ["SCRIPT", "STYLE", "html_page", "html_table"]

STYLE = """
body { font: 14px/1.4 sans-serif; margin: 1.5em; color: #222; background: #fff; }
h1 { font-size: 20px; } h2 { font-size: 16px; margin-top: 1.6em; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid #ccc; padding: 4px 7px; text-align: left; vertical-align: top; }
th { cursor: pointer; background: #f5f5f5; position: sticky; top: 0; white-space: nowrap; }
th small { font-weight: normal; color: #555; }
th[data-up=yes]::after { content: ' \\25B2'; } th[data-up=no]::after { content: ' \\25BC'; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.note { color: #555; font-size: 12px; min-width: 10em; max-width: 26em; overflow-wrap: anywhere; }
td.short { white-space: nowrap; }
td.id { color: #777; font-size: 12px; }
.simulated { border: 2px solid #D55E00; color: #D55E00; font-weight: bold; padding: 0.4em; display: inline-block; }
input { width: 24em; padding: 3px; margin: 0.6em 0; }
dt { font-weight: bold; } dd { margin-bottom: 0.3em; }
"""

# Cells with a number sort by it (data-value), others as text; empty ones come last in both directions.
SCRIPT = """
document.querySelectorAll('table').forEach(function (table) {
  var heads = table.querySelectorAll('th');
  function key(row, column) {
    var cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.innerText : Number(cell.dataset.value);
  }
  heads.forEach(function (head, column) {
    head.addEventListener('click', function () {
      var up = head.dataset.up !== 'yes';
      heads.forEach(function (other) { other.dataset.up = ''; });
      head.dataset.up = up ? 'yes' : 'no';
      var body = table.tBodies[0];
      Array.from(body.rows).map(function (row) { return [key(row, column), row]; }).sort(function (a, b) {
        if ((a[0] === '') !== (b[0] === '')) { return a[0] === '' ? 1 : -1; }
        var text = typeof a[0] === 'string' || typeof b[0] === 'string';
        var order = text ? String(a[0]).localeCompare(String(b[0]), 'en', {numeric: true}) : a[0] - b[0];
        return up ? order : -order;
      }).forEach(function (pair) { body.appendChild(pair[1]); });
    });
  });
});
document.querySelectorAll('input[type=search]').forEach(function (input) {
  input.addEventListener('input', function () {
    var words = input.value.toLowerCase();
    document.querySelectorAll('tbody tr').forEach(function (row) {
      row.hidden = !row.innerText.toLowerCase().includes(words);
    });
  });
});
"""


_SHORT = 32  # characters that are never broken


def html_page(title, body, style=""):
    """Return a page of its own.

    Parameters
    ----------
    title : str
        Plain text; also the first heading.
    body : list of str
        HTML, one line after the other.
    style : str, optional
        More CSS.
    """
    return "\n".join([
        "<!DOCTYPE html>", "<html lang='en'><head><meta charset='utf-8'>", f"<title>{escape(title)}</title>",
        f"<style>{STYLE}{style}</style></head><body>", f"<h1>{escape(title)}</h1>", *body,
        f"<script>{SCRIPT}</script></body></html>", "",
    ])  # fmt: skip


def html_table(heads, rows):
    """Return a table whose headings sort it.

    Parameters
    ----------
    heads : list of (str, str, str)
        Name, unit and description of each column, plain text; the last two may be empty.
    rows : iterable of list
        Cells: text, numbers, None for an empty cell, or HTML as ``{"html": ..., "class": ..., "style": ...}``.
    """
    lines = ["<table><thead><tr>"]
    for name, unit, description in heads:
        shown = f" <small>[{escape(unit)}]</small>" if unit else ""
        lines.append(f"<th title='{escape(description)}'>{escape(name)}{shown}</th>")
    lines.append("</tr></thead><tbody>")
    lines += [f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows]
    return "\n".join([*lines, "</tbody></table>"])


def _cell(value):
    if value is None:
        return "<td></td>"
    if isinstance(value, dict):
        attributes = "".join(f" {key}='{value[key]}'" for key in ("class", "style") if value.get(key))
        return f"<td{attributes}>{value['html']}</td>"
    if isinstance(value, str):
        kind = " class='short'" if len(value) <= _SHORT else ""
        return f"<td{kind}>{escape(value)}</td>"
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"<td class='number' data-value='{value!r}'>{shown}</td>"

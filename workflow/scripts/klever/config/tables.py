"""Read the tab-separated tables of a survey row by row; every cell is checked against the table's schema."""

import re
from dataclasses import dataclass

from klever.config.messages import describe
from klever.config.schema import NUMBER, nearest

__all__ = ["Row", "read_table"]


@dataclass
class Row:
    """One row of a table.

    Parameters
    ----------
    line : int
        Its line in the file, from 1.
    cells : dict
        Values by column; columns that are absent have the schema's default.
    where : str
        How messages name it, for example ``line 5, sp1 K``.
    bad : set of str
        Columns whose cell was already reported.
    """

    line: int
    cells: dict
    where: str
    bad: set

    def good(self, *columns):
        """Return whether these cells are there and valid."""
        return not self.bad.intersection(columns)


def read_table(path, label, schema, problems):
    """Return the rows of a table, None if it cannot be read as one.

    Blank lines and lines that start with ``#`` are skipped; a byte-order mark and Windows line ends are tolerated.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    label : str
        How messages name it.
    schema : dict
        JSON schema of a row.
    problems : klever.config.schema.Problems
        Receives the messages.

    Returns
    -------
    list of Row or None
    """
    text = _read(path, label, problems)
    if text is None:
        return None
    lines = enumerate(re.split(r"\r\n|\r|\n", text), start=1)
    lines = [(number, line) for number, line in lines if line.strip() and not line.startswith("#")]
    if not lines:
        problems.add(label, "", f"is empty; its first line must name the columns {', '.join(schema['required'])}.")
        return None
    columns = _header(lines[0][1], label, schema, problems)
    if columns is None:
        return None
    cell_problems = _CellChecker(schema)
    rows = []
    for number, line in lines[1:]:
        cells = [_unquoted(cell) for cell in line.split("\t")]
        if len(cells) != len(columns):
            problems.add(
                label, f"line {number}",
                f"has {len(cells)} cells, the header has {len(columns)}; cells are separated by single tabs.",
            )  # fmt: skip
        rows.append(_row(number, dict(zip(columns, cells, strict=False)), schema, cell_problems, label, problems))
    return rows


def _read(path, label, problems):
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        problems.add(label, "", f"the file does not exist ({path}).")
    except UnicodeDecodeError as error:
        problems.add(label, "", f"is not UTF-8 text (byte {error.start}); save it as UTF-8, tab-separated.")
    except (OSError, ValueError) as error:
        problems.add(label, "", f"the file cannot be read ({getattr(error, 'strerror', None) or error}).")
    return None


def _header(line, label, schema, problems):
    """Return the column names; None if the rows cannot be read with them."""
    columns = [_unquoted(cell) for cell in line.split("\t")]
    known, required = list(schema["properties"]), schema["required"]
    if len(columns) == 1:
        for mark, name in ((",", "commas"), (";", "semicolons"), ("|", "bars")):
            if line.count(mark) >= len(required) - 1:
                problems.add(label, "", f"its cells are separated by {name}; save it with tabs.")
                return None
        if len(line.split()) >= len(required):
            problems.add(label, "", "its cells are separated by spaces; save it with tabs.")
            return None
    for column in dict.fromkeys(columns):
        if columns.count(column) > 1:
            problems.add(label, "header", f"the column {column!r} is there twice.")
        if column not in known:
            absent = [name for name in known if name not in columns]
            problems.add(label, "header", f"unknown column {column!r}{nearest(column, absent or known)}")
    missing = [column for column in required if column not in columns]
    for column in missing:
        problems.add(label, "header", f"the column {column!r} is missing ({_about(schema, column)}).")
    return None if set(missing) == set(required) else columns


def _about(schema, column):
    return schema["properties"][column].get("description", "").rstrip(".")


def _unquoted(cell):
    """Strip blanks, and the quotes that spreadsheets put around text."""
    cell = cell.strip()
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _row(number, cells, schema, cell_problems, label, problems):
    values, bad = {}, set()
    name = cells.get("galaxy", "")
    where = f"line {number}" + (f", {name[:64]}" if name else "") + (f" {cells['band']}" if cells.get("band") else "")
    for column, entry in schema["properties"].items():
        if column not in cells:
            values[column] = entry.get("default")
            if column in schema["required"]:
                bad.add(column)
            continue
        value, found = cell_problems(column, cells[column])
        values[column] = value
        for problem in found:
            bad.add(column)
            problems.add(label, f"{where}: {column}", problem)
    return Row(number, values, where, bad)


class _CellChecker:
    """Convert and check cells by their column's schema; equal cells of a column are checked once."""

    def __init__(self, schema):
        from jsonschema import Draft202012Validator

        self.columns = schema["properties"]
        self.validators = {name: Draft202012Validator(entry) for name, entry in self.columns.items()}
        self.known = {}

    def __call__(self, column, text):
        """Return the value of a cell and a list of its problems."""
        if (column, text) not in self.known:
            self.known[column, text] = self._check(column, text)
        return self.known[column, text]

    def _check(self, column, text):
        entry = self.columns[column]
        about = entry.get("description", "").rstrip(".")
        if not text:
            remedy = "; write - for none" if entry.get("default") == "-" else ""
            return None, [f"the cell is empty{remedy} ({about})."]
        if text.casefold() == "nan" and column != "note":
            return None, [f"{text} is no value ({about})."]
        if entry["type"] != "number":
            value = text
        elif not NUMBER.fullmatch(text):
            return None, [f"{text[:80]!r} is not a number ({about})."]
        else:
            value = float(text)
        found = [problem for error in self.validators[column].iter_errors(value) for _, problem in describe(error, {})]
        return value, found

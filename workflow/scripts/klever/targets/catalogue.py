"""Catalogues of possible targets: any table with names, positions and redshifts."""

import csv
import logging
import re
from pathlib import Path

import numpy as np

from klever.errors import InputError

__all__ = ["read_catalogue"]

logger = logging.getLogger("klever")

# the names of a column, in the order of preference; capitals do not matter
_NAMES = {
    "galaxy": ("galaxy", "id", "name", "target", "object", "source"),
    "ra": ("ra", "raj2000", "ra_deg", "alpha_j2000", "alpha", "r.a."),
    "dec": ("dec", "dej2000", "decj2000", "dec_deg", "delta_j2000", "delta", "decl.", "decl"),
    "z": ("z", "redshift", "z_spec", "zspec", "z_best", "zbest", "z_phot", "zphot"),
}
_RANGES = {"ra": (0, 360), "dec": (-90, 90), "z": (0, 20)}
_SEXAGESIMAL = re.compile(r"([+-]?)(\d{1,3})[:hd ]\s*(\d{1,2})[:m' ]\s*(\d{1,2}(?:\.\d*)?)\s*[s\"]?")
_TABLES = (".fits", ".fit", ".fits.gz", ".vot", ".votable", ".xml")  # that astropy reads
_UNKNOWN = ("", "-", "--", "nan", "none", "null", "n/a", "-99", "-99.0", "-1", "-1.0", "-9.99", "-999")


def read_catalogue(path):
    """Read possible targets.

    Parameters
    ----------
    path : path-like
        FITS, VOTable, ECSV, CSV, or a table with tabs or blanks; lines that start with ``#`` are comments. Columns, in
        any capitals: ``galaxy`` (or ``id``, ``name``, ...), ``ra`` and ``dec`` (ICRS; degrees, or hours or degrees with
        colons, as in ``21:40:18.03``) and ``z`` (or ``redshift``, ``z_spec``, ...); others are ignored.

    Returns
    -------
    list of dict
        ``galaxy``, ``ra``, ``dec`` (degrees), ``z``; NaN where the catalogue has no redshift (empty, NaN, -, -1, -99).

    Raises
    ------
    InputError
        The file cannot be read, lacks a column or rows, names a target twice, or a number cannot be used.
    """
    path = Path(path)
    columns, rows, units = _fits_rows(path) if path.name.lower().endswith(_TABLES) else _text_rows(path)
    known = {str(column).strip().lower(): column for column in columns}
    found = {key: next((known[name] for name in names if name in known), None) for key, names in _NAMES.items()}
    if missing := [key for key, column in found.items() if column is None]:
        raise InputError(
            f"{path} has no column {', '.join(missing)}; a catalogue of targets needs galaxy, ra, dec (degrees, or "
            f"with colons) and z. Its columns are {', '.join(map(str, columns)) or 'none: it is empty'}."
        )
    if not rows:
        raise InputError(f"{path} has no rows; give the possible targets.")
    hours = str(units.get(found["ra"], "")).lower() in ("h", "hour", "hours", "hourangle", '"h:m:s"', "h:m:s")
    targets = [_target(path, number, row, found, hours) for number, row in enumerate(rows, 1)]
    names = [target["galaxy"] for target in targets]
    if twice := sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []:
        raise InputError(
            f"{path} names {', '.join(twice[:5])}{' and others' if len(twice) > 5 else ''} more than once; give each "
            "target a name of its own."
        )
    _check_hours(path, targets)
    return targets


def _text_rows(path):
    """Columns, rows (dict of str) and units of a text."""
    try:
        text = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a catalogue of targets ({error}).") from error
    units = {}
    if text and text[0].startswith("# %ECSV"):
        for line in text:
            if match := re.match(r"# - \{name: ([^,}]+),.*unit: ([^,}]+)", line):
                units[match[1].strip()] = match[2].strip()
    start = next((number for number, line in enumerate(text) if line.strip() and not line.startswith("#")), len(text))
    lines = [line if "\t" in line else line.strip() for line in text if line.strip() and not line.startswith("#")]
    head = text[start - 1].lstrip("#").strip() if start else ""
    if lines and _is_head(head) and not _is_head(lines[0]):
        lines.insert(0, head)  # as TOPCAT and numpy write it, in the last comment
    separator = "\t" if lines and "\t" in lines[0] else "," if lines and "," in lines[0] else " "
    rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    columns = [name.strip() for name in rows[0]] if rows else []
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(columns):
            raise InputError(f"{path}, row {number} has {len(row)} cells and the head {len(columns)}; correct it.")
    return columns, [dict(zip(columns, row, strict=True)) for row in rows[1:]], units


def _is_head(line):
    """Whether a line has the name of a column of right ascensions."""
    return any(word.strip().strip('"').lower() in _NAMES["ra"] for word in re.split(r"[\s,]+", line))


def _fits_rows(path):
    """Return the same of a table that astropy reads."""
    from astropy.table import Table

    try:
        table = Table.read(path)
    except Exception as error:  # readers of astropy raise errors of many kinds
        raise InputError(f"{path} cannot be read as a catalogue of targets ({error}).") from error
    plain = [name for name in table.colnames if table[name].ndim == 1]
    table = table[plain]
    units = {name: str(table[name].unit or "") for name in plain}
    return plain, [dict(zip(plain, map(_text, row), strict=True)) for row in table], units


def _text(value):
    """Return a cell of a table as text, empty where it is masked."""
    if value is np.ma.masked:
        return ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _target(path, number, row, found, hours):
    target = {"galaxy": row[found["galaxy"]].strip()}
    for column, (low, high) in _RANGES.items():
        text = row[found[column]].strip()
        value = _angle(text, column, hours)
        if column == "z" and text.lower() in _UNKNOWN:
            value = np.nan
        elif not low <= value <= high:
            raise InputError(f"{path}, row {number}: {column} is {text!r}; it must be a number in {low} to {high}.")
        target[column] = value
    if not target["galaxy"]:
        raise InputError(f"{path}, row {number} has no name; give the target one in the column {found['galaxy']}.")
    return target


def _angle(text, column, hours):
    """Return a number, or degrees of an angle with colons (right ascension in hours); NaN if it is neither."""
    match = _SEXAGESIMAL.fullmatch(text) if column != "z" else None
    try:
        if match:
            whole, minutes, seconds = (float(match[k]) for k in (2, 3, 4))
            if minutes >= 60 or seconds >= 60:
                return np.nan
            value = (-1 if match[1] == "-" else 1) * (whole + minutes / 60 + seconds / 3600)
            return value * 15 if column == "ra" else value
        return float(text) * (15 if hours and column == "ra" else 1)
    except ValueError:
        return np.nan


def _check_hours(path, targets):
    """Say if all right ascensions could be hours: no error, a field may be there."""
    if len(targets) > 1 and max(target["ra"] for target in targets) < 24:
        logger.warning(
            "%s: all right ascensions are below 24; they are taken as degrees (hours need colons, or the unit h)", path
        )

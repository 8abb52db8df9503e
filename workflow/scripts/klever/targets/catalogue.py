"""Catalogues of possible targets: any table with names, positions and redshifts."""

import csv
from pathlib import Path

import numpy as np

from klever.errors import InputError

__all__ = ["read_catalogue"]

_NAMES = ("galaxy", "id", "name")


def read_catalogue(path):
    """Read possible targets.

    Parameters
    ----------
    path : path-like
        ECSV, CSV, or a table with tabs (.tsv); lines that start with ``#`` are comments. Columns: ``galaxy`` (or ``id``
        or ``name``), ``ra``, ``dec`` (degree, ICRS) and ``z``; others are ignored.

    Returns
    -------
    list of dict
        ``galaxy``, ``ra``, ``dec``, ``z``.

    Raises
    ------
    InputError
        The file cannot be read, lacks a column, names a target twice, or a number cannot be used.
    """
    path = Path(path)
    try:
        text = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a catalogue of targets ({error}).") from error
    separator = "\t" if text and "\t" in text[0] else "," if text and "," in text[0] else " "
    rows = list(csv.DictReader(text, delimiter=separator, skipinitialspace=True))
    columns = rows[0].keys() if rows else ()
    name = next((column for column in _NAMES if column in columns), None)
    missing = [column for column in ("ra", "dec", "z") if column not in columns]
    if name is None or missing:
        wanted = ", ".join([] if name else ["galaxy"]) + ", ".join(missing)
        raise InputError(f"{path} has no column {wanted}; a catalogue of targets needs galaxy, ra, dec (degree) and z.")
    found = [_target(path, number, row, name) for number, row in enumerate(rows, 1)]
    names = [row["galaxy"] for row in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path} names {', '.join(twice)} more than once; give each target a name of its own.")
    return found


def _target(path, number, row, name):
    target = {"galaxy": (row[name] or "").strip()}
    for column, low, high in (("ra", 0, 360), ("dec", -90, 90), ("z", 0, 20)):
        try:
            value = float(row[column])
        except (TypeError, ValueError):
            value = np.nan
        if not low <= value <= high:
            raise InputError(
                f"{path}, row {number}: {column} is {row[column]!r}; it must be a number in {low} to {high}."
            )
        target[column] = value
    if not target["galaxy"]:
        raise InputError(f"{path}, row {number} has no name; give the target one in the column {name}.")
    return target

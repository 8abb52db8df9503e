"""ECSV tables whose missing numbers are masked, and reading them back with errors an astronomer can act on."""

import csv
from pathlib import Path

import numpy as np

from klever.ecsv import parse_ecsv, render_ecsv
from klever.errors import InputError
from klever.provenance import cards

__all__ = ["Column", "read_table", "write_table"]

# Units as astropy writes them: parsing them would cost every step the import.
_PLAIN_UNITS = {"%", "1 / kpc", "Angstrom", "Gyr", "arcsec", "deg", "dex", "dex / kpc", "dex2", "kpc", "log(Msun yr-1)"}
_PLAIN_UNITS |= {"log(Zsun)", "log(yr)", "log(yr-1)", "mag", "pix", "s", "uJy", "um"}
_UNITS = {
    "Msun / yr": "solMass / yr",
    "Msun yr-1": "solMass / yr",
    "dex(Msun)": "dex(solMass)",
    "erg s-1 cm-2": "erg / (s cm2)",
    "erg s-1 cm-2 um-1": "erg / (s um cm2)",
    "km s-1": "km / s",
}


class Column:
    """One column of a product: type, unit and what it means."""

    def __init__(self, name, kind, description, unit=None):
        self.name, self.kind, self.description, self.unit = name, kind, description, unit


def write_table(path, rows, columns, meta):
    """Write rows as ECSV; a NaN or absent value is masked.

    Parameters
    ----------
    path : str or Path
        The table to write; its folder is made.
    rows : list of dict
        Values by column name. May be empty.
    columns : list of Column
        All columns, in order, also of an empty table.
    meta : dict
        Plain values.
    """
    values = [[_value(row.get(column.name), column.kind) for column in columns] for row in rows]
    described = [(column.name, column.kind, _unit(column.unit), column.description) for column in columns]
    found = cards()
    text = render_ecsv(described, values, dict(meta) | ({"provenance": found} if found else {}))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def _value(value, kind):
    """Return the value as the type of its column, None if it is missing."""
    if value is None or (kind is float and not np.isfinite(value)):
        return None
    return np.array(value, dtype=kind)[()]


def _unit(text):
    """Return the unit as astropy writes it."""
    if text is None or text in _PLAIN_UNITS:
        return text
    if text not in _UNITS:
        from astropy.units import Unit

        _UNITS[text] = str(Unit(text, parse_strict="silent"))
    return _UNITS[text]


def read_table(path, required=()):
    """Read an ECSV table that a step wrote.

    Parameters
    ----------
    path : str or Path
    required : iterable of str
        Columns that it must have.

    Returns
    -------
    klever.ecsv.EcsvTable
        Missing values are masked.

    Raises
    ------
    InputError
        The file is missing, is no ECSV table, or lacks a required column.
    """
    try:
        table = parse_ecsv(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as an ECSV table ({error}); make it again.") from error
    absent = [name for name in required if name not in table.colnames]
    if absent:
        raise InputError(f"{path} has no column {', '.join(absent)}; make it again with the step that writes it.")
    return table

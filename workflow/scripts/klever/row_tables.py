"""ECSV tables whose missing numbers are masked, and reading them back with errors an astronomer can act on."""

from pathlib import Path

import numpy as np

from klever.errors import InputError
from klever.provenance import stamp_table

__all__ = ["Column", "read_table", "write_table"]


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
    from astropy.table import MaskedColumn, Table

    table = Table(meta=dict(meta))
    for column in columns:
        values = [row.get(column.name) for row in rows]
        missing = [value is None or (column.kind is float and not np.isfinite(value)) for value in values]
        fill = "" if column.kind is str else column.kind(0)
        data = np.array([fill if gone else value for value, gone in zip(values, missing, strict=True)],
                        dtype=column.kind)  # fmt: skip
        table[column.name] = MaskedColumn(data, mask=missing, unit=column.unit, description=column.description)
    stamp_table(table)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    table.write(path, format="ascii.ecsv", overwrite=True)


def read_table(path, required=()):
    """Read an ECSV table.

    Raises
    ------
    InputError
        The file is missing, is no ECSV table, or lacks a required column.
    """
    from astropy.table import Table

    try:
        table = Table.read(path, format="ascii.ecsv")
    except Exception as error:  # astropy raises many kinds for a damaged table
        raise InputError(f"{path} cannot be read as an ECSV table ({error}); make it again.") from error
    absent = [name for name in required if name not in table.colnames]
    if absent:
        raise InputError(f"{path} has no column {', '.join(absent)}; make it again with the step that writes it.")
    return table

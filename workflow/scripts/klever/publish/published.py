"""Tables of the paper, from ``resources/published``."""

import csv
from pathlib import Path

from klever.errors import InputError

__all__ = ["read_published"]


def read_published(path, content, columns, parse):
    """Read a table of published values.

    Parameters
    ----------
    path : path-like
        CSV with a header.
    content, columns : str
        What the table is to be and the columns that takes, for the message.
    parse : callable
        Makes something of one row, a dict of str by column.

    Returns
    -------
    list
        What `parse` returned, row by row.

    Raises
    ------
    InputError
        The file cannot be read, a column is missing or a number cannot be read.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as stream:
            return [parse(row) for row in csv.DictReader(stream)]
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} cannot be used as {content} ({error}); it needs the columns {columns}.") from error

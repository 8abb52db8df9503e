"""ECSV tables (APE 6) of plain columns, read and written as astropy.table does, byte for byte, without importing it.

That import and astropy's parser cost a step a third of a second and more, and the steps of a survey are a thousand.
Columns are one-dimensional numbers, booleans or strings; a missing value is an empty field.
"""

import csv
import io
import re

import numpy as np
import yaml

__all__ = ["EcsvTable", "Row", "parse_ecsv", "render_ecsv"]

# Stands for an empty field, which the csv module would write as nothing at all.
_EMPTY = "2b=48Av%0-V3p>bX"
_WIDTH = 130
_HEADER = re.compile(r"%ECSV \d+\.\d+(\.\d+)?$")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads ordered mappings and tuples besides plain YAML."""


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
    """Writes as astropy's: ordered mappings for the metadata, NumPy's numbers as plain ones."""


class _Ordered(dict):
    """A mapping written as ``!!omap``."""


class _Attributes(dict):
    """The attributes of a column, written in their own order."""


def _read_omap(loader, node):
    found = {}
    yield found
    for item in node.value:
        ((key, value),) = item.value
        found[loader.construct_object(key, deep=True)] = loader.construct_object(value, deep=True)


def _read_tuple(loader, node):
    return tuple(loader.construct_sequence(node, deep=True))


def _write_omap(dumper, data):
    items = [dumper.represent_data({key: value}) for key, value in data.items()]
    simple = all(isinstance(item, yaml.ScalarNode) and not item.style for item in items)
    return yaml.SequenceNode("tag:yaml.org,2002:omap", items, flow_style=simple)


def _write_tuple(dumper, data):
    return dumper.represent_sequence("tag:yaml.org,2002:python/tuple", data)


def _write_attributes(dumper, data):
    return dumper.represent_mapping("tag:yaml.org,2002:map", list(data.items()))


_Loader.add_constructor("tag:yaml.org,2002:omap", _read_omap)
_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _read_tuple)
_Dumper.add_representer(_Ordered, _write_omap)
_Dumper.add_representer(_Attributes, _write_attributes)
_Dumper.add_representer(tuple, _write_tuple)
_Dumper.add_multi_representer(np.generic, lambda dumper, value: dumper.represent_data(value.item()))
_Dumper.add_multi_representer(dict, lambda dumper, value: dumper.represent_dict(dict(value)))


class Row:
    """One row of a table; a missing value is ``numpy.ma.masked``.  Iterating gives the values, as astropy's rows do."""

    def __init__(self, table, index):
        self._table, self._index = table, index

    @property
    def colnames(self):
        """Names of the columns, in order."""
        return self._table.colnames

    def __getitem__(self, name):
        return self._table[name][self._index]

    def __iter__(self):
        return (self[name] for name in self.colnames)

    def __len__(self):
        return len(self.colnames)


class EcsvTable:
    """Columns by name, with the table's metadata.

    Parameters
    ----------
    columns : dict of str to ndarray
        One-dimensional, all of one length; a masked array where values are missing.
    meta : dict
    """

    def __init__(self, columns, meta):
        self._columns, self.meta = dict(columns), meta

    @property
    def colnames(self):
        """Names of the columns, in order."""
        return list(self._columns)

    def __len__(self):
        return len(next(iter(self._columns.values()), ()))

    def __getitem__(self, item):
        """Return a column by name, a row by number, or the rows that a boolean array selects."""
        if isinstance(item, str):
            return self._columns[item]
        if isinstance(item, (int, np.integer)):
            return Row(self, range(len(self))[item])
        return EcsvTable({name: values[item] for name, values in self._columns.items()}, self.meta)

    def __setitem__(self, name, values):
        self._columns[name] = values

    def __iter__(self):
        return (Row(self, index) for index in range(len(self)))


def render_ecsv(columns, rows, meta):
    """Return the text of an ECSV table.

    Parameters
    ----------
    columns : list of (str, type, str or None, str)
        Name, one of str, float, int and bool, unit and description.
    rows : list of list
        Values in the order of the columns; None where a value is missing.
    meta : dict
        Plain values.

    Returns
    -------
    str
        With the last newline.
    """
    datatypes = {str: "string", float: "float64", int: "int64", bool: "bool"}
    attributes = []
    for name, kind, unit, description in columns:
        about = {"name": name} | ({"unit": unit} if unit is not None else {})
        about |= {"datatype": datatypes[kind]} | ({"description": description} if description is not None else {})
        attributes.append(_Attributes(about))
    header = {"datatype": attributes} | ({"meta": _Ordered(meta)} if meta else {}) | {"schema": "astropy-2.0"}
    dumped = yaml.dump(header, default_flow_style=None, Dumper=_Dumper, width=_WIDTH, allow_unicode=False)
    lines = [f"# {line}" for line in ("%ECSV 1.0", "---", *dumped.splitlines())]
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=" ", lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow([name for name, *_ in columns])
    for row in rows:
        text = ["" if value is None else str(value) for value in row]
        writer.writerow([item or _EMPTY for item in text])
    return "\n".join(lines) + "\n" + stream.getvalue().replace(_EMPTY, '""')


def parse_ecsv(text):
    """Read the text of an ECSV table.

    Parameters
    ----------
    text : str

    Returns
    -------
    EcsvTable

    Raises
    ------
    ValueError
        It is no ECSV table of plain columns, or a field does not suit its column.
    """
    lines = text.splitlines()
    count = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    comments = [line[1:].removeprefix(" ") for line in lines[:count]]
    if not comments or not _HEADER.match(comments[0].strip()):
        raise ValueError('its first line is not "# %ECSV <version>"')
    try:
        header = yaml.load("\n".join(comments[1:]), Loader=_Loader)
        entries = [(str(entry["name"]), str(entry["datatype"])) for entry in header["datatype"]]
        delimiter = header.get("delimiter", " ")
        if any("subtype" in entry for entry in header["datatype"]) or delimiter not in (" ", ","):
            raise ValueError("it has columns of more than one dimension")
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its header is not that of an ECSV table: {error!r}") from None
    fields = list(csv.reader(filter(str.strip, lines[count:]), delimiter=delimiter, skipinitialspace=True, strict=True))
    names = [name for name, _ in entries]
    if not fields or fields[0] != names:
        raise ValueError("the line of names does not agree with its header")
    for number, row in enumerate(fields[1:], start=1):
        if len(row) != len(names):
            raise ValueError(f"row {number} has {len(row)} fields instead of {len(names)}")
    columns = zip(*fields[1:], strict=True) if len(fields) > 1 else [()] * len(names)
    found = {name: _column(name, kind, values) for (name, kind), values in zip(entries, columns, strict=True)}
    return EcsvTable(found, dict(header.get("meta") or {}))


def _column(name, datatype, values):
    """Return the values of a column, masked where a field is empty."""
    missing = [not value for value in values]
    try:
        if datatype == "string":
            data = np.array(values, dtype=str)
        elif datatype == "bool":
            words = {"True": True, "False": False, "": False}
            data = np.array([words[value] for value in values], dtype=bool)
        elif re.fullmatch(r"u?int(8|16|32|64)|float(16|32|64)", datatype):
            data = np.array([value or "0" for value in values]).astype(datatype) if values else np.zeros(0, datatype)
        else:
            raise ValueError(f"columns of {datatype} are not known here")
    except (KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"column {name} failed to convert: {error}") from None
    return np.ma.MaskedArray(data, mask=missing) if any(missing) else data

"""Open every input of the survey and write a table of what was found: the work behind ``make check``."""

import argparse
import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))  # for the command line; Snakemake sets its own path

from klever import provenance
from klever.inspection import COLUMNS, inspect


def check_inputs(inputs, table):
    """Inspect cubes, lens maps and images and write the findings.

    Parameters
    ----------
    inputs : list of dict
        See `klever.inspection.inspect`.
    table : str or pathlib.Path
        ECSV table to write, one row per input, columns of `klever.inspection.COLUMNS`; state is ``ok``, ``warning`` or
        ``error``.

    Returns
    -------
    int
        Number of inputs in state ``error``.
    """
    return write(inspect(inputs), table)


def write(rows, table):
    """Write the rows of an inspection and return the number of errors."""
    from astropy.table import Column, Table

    result = Table()
    for name, (empty, unit, description) in COLUMNS.items():
        values = [row[name] for row in rows]
        result[name] = Column(values, dtype=str if empty == "" else float, unit=unit, description=description)
    provenance.stamp_table(result)
    Path(table).parent.mkdir(parents=True, exist_ok=True)
    result.write(table, format="ascii.ecsv", overwrite=True)
    return sum(row["state"] == "error" for row in rows)


def main(arguments=None):
    """Read the requests from JSON, print what is not ok, and return 1 if an input has an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", required=True, help="file with a list of inputs, or {'inputs': [...]}")
    parser.add_argument("--table", default="results/checks/inputs.ecsv", help="ECSV table to write")
    options = parser.parse_args(arguments)
    requests = json.loads(Path(options.json).read_text(encoding="utf-8"))
    rows = inspect(requests["inputs"] if isinstance(requests, dict) else requests)
    errors = write(rows, options.table)
    for row in rows:
        if row["state"] != "ok":
            what = " ".join(filter(None, (row["name"], row["band"], row["kind"])))
            print(f"{row['state']}: {what}: {row['message']}")
    counts = [sum(row["state"] == state for row in rows) for state in ("ok", "warning", "error")]
    print("{} inputs: {} ok, {} with warnings, {} with errors; table: {}".format(len(rows), *counts, options.table))
    return int(errors > 0)


if __name__ == "__main__":
    sys.exit(main())

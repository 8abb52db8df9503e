"""Table of the magnifications of the survey, as ECSV and LaTeX."""

from pathlib import Path

import numpy as np

from klever.publish.magnification_table import (
    COLUMNS,
    magnification_latex,
    magnification_rows,
    published_magnifications,
)
from klever.row_tables import read_table, write_table


def write_magnification_table(magnifications, models, published, table, table_tex, settings):
    """Write the magnifications of all galaxies, the published ones beside (Curti et al. 2020, Table 3).

    Parameters
    ----------
    magnifications : list of path-like
        ``magnification.ecsv`` of each galaxy, in the order of `settings`.
    models : path-like
        ``magnification_models.ecsv``.
    published : path-like
        CSV of the published values.
    table, table_tex : path-like
        Outputs.
    settings : dict
        ``galaxies`` (list of dicts with ``galaxy``, ``name``, ``lens`` and ``z``, in the order to print) and
        ``simulated``.
    """
    measured = [{name: _plain(value) for name, value in zip(read.colnames, read[0], strict=True)}
                for read in map(read_table, magnifications)]  # fmt: skip
    spread = read_table(models, ["galaxy", "n_models", "systematic"])
    systematic = {str(row["galaxy"]): (int(row["n_models"]), _plain(row["systematic"])) for row in spread}
    rows = magnification_rows(measured, systematic, published_magnifications(published), settings["galaxies"])
    write_table(table, rows, COLUMNS, {"data": "simulated data" if settings["simulated"] else "observed data"})
    Path(table_tex).write_text(magnification_latex(rows, settings["simulated"]), encoding="utf-8")


def _plain(value):
    """Return a cell as a plain value, NaN if it is masked."""
    if np.ma.is_masked(value):
        return np.nan
    return value.item() if hasattr(value, "item") else value


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, write_magnification_table)

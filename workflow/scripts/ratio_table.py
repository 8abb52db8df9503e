"""Table 1: the line ratios of this run and their calibrations, as ECSV and LaTeX."""

from pathlib import Path

from klever.publish.table1 import TABLE1, ratio_rows, table1_latex
from klever.row_tables import write_table


def write_ratio_table(calibrations, table1, table1_tex, settings):
    """Write the definitions of the line ratios (Curti et al. 2020, Table 1).

    Parameters
    ----------
    calibrations : path-like
        ``resources/calibrations.json``.
    table1, table1_tex : path-like
        Outputs.
    settings : dict
        ``metallicity`` with ``calibration`` and ``dispersion``.

    Raises
    ------
    InputError, ConfigError
        The calibrations cannot be read, or have no such set.
    """
    rows = ratio_rows(calibrations, settings["metallicity"])
    meta = {"description": "Line ratios and their calibrations (Curti et al. 2020, Table 1)", "data": "definitions"}
    write_table(table1, rows, TABLE1, meta)
    Path(table1_tex).write_text(table1_latex(rows), encoding="utf-8")


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, write_ratio_table)

"""Tables 4 and A1: the metallicity gradients of the survey, as ECSV and LaTeX."""

from pathlib import Path

import numpy as np

from klever import provenance
from klever.gradient.gradient_columns import ASYMMETRY
from klever.publish.gradient_tables import gradient_rows, gradient_table, gradient_table_latex, published_gradients
from klever.row_tables import read_table, write_table


def write_gradient_tables(
    gradients,
    asymmetries,
    published_elliptical,
    published_circular,
    table4,
    table4_tex,
    tableA1,
    tableA1_tex,
    asymmetry,
    settings,
):
    """Write the gradients in elliptical (Table 4) and circular apertures (Table A1).

    Parameters
    ----------
    gradients : list of path-like
        ``gradient.ecsv`` of each galaxy, in any order.
    asymmetries : list of path-like
        ``asymmetry.ecsv`` of each galaxy.
    published_elliptical, published_circular : path-like
        CSV of the published values.
    table4, table4_tex, tableA1, tableA1_tex : path-like
        Outputs.
    asymmetry : path-like
        Table to write: the rows of all `asymmetries`.
    settings : dict
        ``galaxies`` (list of dicts with ``galaxy``, ``name``, ``lens``, in the order to print) and ``simulated``.
    """
    from astropy.table import Table

    read = [(Path(path), Table.read(path, format="ascii.ecsv")) for path in gradients]
    tables = {str(table.meta.get("galaxy", path.parent.name)): table for path, table in read}
    products = []
    for aperture, published, ecsv, tex in (
        ("elliptical", published_elliptical, table4, table4_tex),
        ("circular", published_circular, tableA1, tableA1_tex),
    ):
        rows, without = gradient_rows(tables, aperture, settings["galaxies"])
        table = gradient_table(rows, without, published_gradients(published), aperture, settings["simulated"])
        products.append((table, ecsv, gradient_table_latex(table), tex))
    rows = [dict(zip(table.colnames, row, strict=True)) for table in map(read_table, asymmetries) for row in table]
    rows = [{name: value for name, value in row.items() if value is not np.ma.masked} for row in rows]
    order = [entry["galaxy"] for entry in settings["galaxies"]]
    rows.sort(key=lambda row: order.index(row["galaxy"]))
    data = "simulated data" if settings["simulated"] else "observed data"
    write_table(asymmetry, rows, ASYMMETRY, {"data": data})
    for table, ecsv, text, tex in products:
        provenance.stamp_table(table)
        table.write(ecsv, format="ascii.ecsv", overwrite=True)
        Path(tex).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, write_gradient_tables)

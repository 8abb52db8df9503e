"""The page of one galaxy: maps in the source plane and the metallicity gradient."""

import numpy as np

from klever.maps import MapSet
from klever.publish.figure_style import paper_style, save_figure
from klever.publish.galaxy_page import draw_page
from klever.row_tables import read_table


def draw_galaxy_page(
    source, metallicity, annuli, gradient, asymmetry, residuals, source_psf, properties, pdf, png, settings
):
    """Draw the page of one galaxy (Curti et al. 2020, Fig. 7, B1-B10).

    Parameters
    ----------
    source, metallicity, residuals : path-like
        Source-plane MapSets.
    annuli, gradient, asymmetry, source_psf, properties : path-like
        ECSV tables of the galaxy.
    pdf, png : path-like
        Outputs.
    settings : dict
        ``galaxy``, ``name``, ``z``, ``lens``, ``simulated``, ``include`` and ``figures`` with ``dpi``.
    """
    tables = [_nan_for_masked(read_table(path)) for path in (annuli, gradient, source_psf, properties)]
    with paper_style():
        maps = (MapSet.read(path) for path in (source, metallicity, residuals))
        figure = draw_page(
            next(maps), next(maps), *tables, settings, next(maps), _nan_for_masked(read_table(asymmetry))
        )
        save_figure(figure, pdf, png, settings["figures"]["dpi"], page=True)


def _nan_for_masked(table):
    """Return the table with NaN for masked numbers."""
    for name in table.colnames:
        if table[name].dtype.kind == "f" and hasattr(table[name], "filled"):
            table[name] = table[name].filled(np.nan)
    return table


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, draw_galaxy_page)

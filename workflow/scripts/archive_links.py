"""What belongs to the science cubes of the survey's galaxies in the ESO archive: raw frames, calibrations, previews."""

import logging

import numpy as np

from klever.archive.eso import LINK_COLUMNS, linked_files
from klever.row_tables import read_table, write_table

logger = logging.getLogger("klever")

REACH = 10.0  # arcsec between the position of a cube and that of a galaxy


def list_links(products, links, settings):
    """Follow the datalinks of the cubes near a galaxy of the survey.

    Parameters
    ----------
    products : path-like
        ``results/archive/eso_products.ecsv``.
    links : path-like
        Output, one row per file; those of the archive have a `source` for archive.tsv.
    settings : dict
        ``positions`` (dict of galaxy to [ra, dec], deg), ``acquire`` with ``eso_files``.

    Raises
    ------
    InputError
        The archive does not answer.
    """
    names, positions = list(settings["positions"]), np.array(list(settings["positions"].values()), float)
    files = settings["acquire"]["eso_files"].rstrip("/") + "/"
    rows, cubes = [], 0
    for product in read_table(products):
        ra, dec = (float(np.ma.filled(product[key], np.nan)) for key in ("ra", "dec"))
        east = (ra - positions[:, 0] + 180.0) % 360.0 - 180.0
        distance = 3600.0 * np.hypot(east * np.cos(np.radians(dec)), dec - positions[:, 1])
        if not np.nanmin(distance, initial=np.inf) <= REACH or np.ma.is_masked(product["datalink"]):
            continue
        cubes += 1
        near = {"galaxy": names[int(np.nanargmin(distance))], "product": product["source"]}
        for link in linked_files(str(product["datalink"])):
            own = link["url"].startswith(files)
            rows.append(near | link | {"source": f"eso:{link['url'].removeprefix(files)}" if own else ""})
    write_table(links, rows, LINK_COLUMNS, {"reach": REACH})
    logger.info("%d files belong to %d cubes within %g arcsec of a galaxy", len(rows), cubes, REACH)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, list_links)

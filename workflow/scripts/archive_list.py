"""What the ESO archive has of the survey's programmes: science cubes and raw frames."""

import logging

from klever.archive.eso import PRODUCT_COLUMNS, RAW_COLUMNS, raw_frames, science_products
from klever.row_tables import write_table

logger = logging.getLogger("klever")


def list_archive(products, raw, settings):
    """Ask the archive and write two tables whose column ``source`` goes into archive.tsv.

    Parameters
    ----------
    products, raw : path-like
        Outputs.
    settings : dict
        ``acquire`` with ``programmes``, ``instruments`` and ``eso_tap``.

    Raises
    ------
    InputError
        The archive does not answer.
    """
    options = settings["acquire"]
    asked = (options["eso_tap"], options["programmes"], options["instruments"])
    meta = {"service": asked[0], "programmes": " ".join(asked[1]), "instruments": " ".join(asked[2])}
    for path, columns, ask, what in (
        (products, PRODUCT_COLUMNS, science_products, "science cubes"), (raw, RAW_COLUMNS, raw_frames, "raw frames"),
    ):  # fmt: skip
        rows = ask(*asked)
        write_table(path, rows, columns, meta)
        logger.info("%d %s of %s", len(rows), what, meta["programmes"])


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, list_archive)

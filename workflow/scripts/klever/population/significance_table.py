"""The trends that are fitted, what the paper found of them, and the table of their regressions."""

from typing import NamedTuple

import numpy as np

from klever.row_tables import Column, read_table

__all__ = ["SAMPLES", "SIGNIFICANCE_COLUMNS", "TRENDS", "Trend", "read_significance"]


class Trend(NamedTuple):
    """A quantity that gradients may depend on, and what the paper found."""

    label: str
    paper_slope: float
    paper_slope_error: float
    paper_rho: float
    paper_significance: float


TRENDS = {
    "log_ssfr": Trend(r"log(sSFR / yr$^{-1}$)", 0.013, 0.004, 0.29, 3.2),
    "log_mstar": Trend(r"log($M_\star$ / M$_\odot$)", -0.013, 0.005, -0.25, 2.7),
    "delta_ms": Trend(r"$\Delta$SFMS [dex]", np.nan, np.nan, 0.20, 2.0),
}

SAMPLES = {"all": "survey and literature", "survey": "the survey alone", "literature": "the literature alone"}

SIGNIFICANCE_COLUMNS = [
    Column("trend", str, "x of the regression: " + " | ".join(TRENDS)),
    Column("sample", str, "; ".join(f"{name}: {text}" for name, text in SAMPLES.items())),
    Column("method", str, "huber, theil_sen, ransac: robust, without errors; errors: errors in both axes and scatter"),
    Column("n", int, "galaxies in the fit"),
    Column("n_survey", int, "of these, galaxies of the survey"),
    Column("n_exact_x", int, "of these, galaxies whose x has no known error and is taken as exact"),
    Column("slope", float, "dex/kpc per dex of x", "1 / kpc"),
    Column("slope_error", float, "1 sigma: bootstrap; of errors, half the 16-84 % of the posterior", "1 / kpc"),
    Column("intercept", float, "gradient at x = 0", "dex / kpc"),
    Column("intercept_error", float, "1 sigma", "dex / kpc"),
    Column("significance", float, "|slope| / slope_error"),
    Column("rms", float, "of the residuals", "dex / kpc"),
    Column("scatter", float, "intrinsic, Gaussian, in the gradient", "dex / kpc"),
    Column("scatter_error", float, "1 sigma", "dex / kpc"),
    Column("spearman_rho", float, "rank correlation"),
    Column("spearman_rho_error", float, "1 sigma, bootstrap"),
    Column("spearman_p", float, "two-sided probability of such a |rho| without correlation"),
    Column(
        "paper_slope", float, "Curti et al. (2020), Sect. 4.4; its sample has galaxies that could not be had", "1 / kpc"
    ),
    Column("paper_slope_error", float, "as printed", "1 / kpc"),
    Column("paper_significance", float, "as printed"),
    Column("paper_rho", float, "as printed"),
    Column("note", str, "what else there is to know"),
]


def read_significance(path):
    """Return the rows of a table of `significance_rows`; missing numbers are NaN.

    Raises
    ------
    InputError
        The table cannot be read.
    """
    rows = []
    for entry in read_table(path, [column.name for column in SIGNIFICANCE_COLUMNS]):
        row = {}
        for column in SIGNIFICANCE_COLUMNS:
            value = entry[column.name]
            row[column.name] = (
                {str: "", int: 0, float: np.nan}[column.kind] if np.ma.is_masked(value) else column.kind(value)
            )
        rows.append(row)
    return rows

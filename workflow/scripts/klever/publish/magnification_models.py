"""Spread of the magnifications that several models of one field give its galaxies (Curti et al. 2020, Sect. 3.2.3).

Around critical lines models of different teams differ by far more than the statistical error of each (Meneghetti et al.
2017, MNRAS 472, 3177). The paper takes half the 16-84 % interval of the models' magnifications as the systematic error.
"""

import numpy as np

from klever.publish.figure_style import COLOURS, COLUMN_WIDTH, sample_style, stamp_simulated
from klever.row_tables import Column

__all__ = ["COLUMNS", "FIDUCIAL", "draw_models", "model_spread"]

FIDUCIAL = "fiducial"

COLUMNS = [
    Column("galaxy", str, "galaxy, as in galaxies.tsv"),
    Column("lens", str, "lens"),
    Column("z", float, "redshift"),
    Column("model", str, "model of the lens; fiducial: that of the analysis"),
    Column("mu", float, "1/|det A| of the model at the galaxy's reference position; masked outside the model"),
    Column("mu_16", float, "16 % of the model's own realisations, where it has some"),
    Column("mu_84", float, "84 % of the same"),
    Column("n_realisations", int, "realisations that cover the galaxy"),
    Column("n_models", int, "models that cover the galaxy, the fiducial one included"),
    Column("models_median", float, "median of mu over the models"),
    Column("models_16", float, "16 % of mu over the models"),
    Column("models_84", float, "84 % of mu over the models"),
    Column("systematic", float, "(84 % - 16 %) / 2 over the median of mu over the models: Fig. 4"),
    Column("length_systematic", float, "the same of 1/sqrt(mu), by which lengths in the source plane scale"),
]


def model_spread(magnifications):
    """Return the spread of a galaxy's magnification over models.

    Parameters
    ----------
    magnifications : sequence of float
        |mu| of each model; NaN outside a model.

    Returns
    -------
    dict
        n_models, models_median, models_16, models_84, systematic (half the 16-84 % interval over the median, the
        paper's), length_systematic (the same of 1/sqrt(mu): a length in the source plane, for isotropic stretching).
        All but n_models are NaN with fewer than two models.
    """
    mu = np.asarray(magnifications, dtype=float)
    mu = mu[np.isfinite(mu)]
    row = {"n_models": mu.size}
    names = ("models_16", "models_median", "models_84")
    if mu.size < 2:
        return row | dict.fromkeys((*names, "systematic", "length_systematic"), np.nan)
    row |= dict(zip(names, map(float, np.percentile(mu, [16, 50, 84])), strict=True))
    return row | {"systematic": _relative(mu), "length_systematic": _relative(mu**-0.5)}


def _relative(values):
    low, middle, high = np.percentile(values, [16, 50, 84])
    return float((high - low) / 2 / middle)


def draw_models(rows, settings):
    """Draw the systematic error against the magnification; call within `klever.publish.figure_style.paper_style`.

    Parameters
    ----------
    rows : list of dict
        Rows of the table, by `COLUMNS`.
    settings : dict
        ``simulated``.

    Returns
    -------
    matplotlib.figure.Figure
        8.4 cm wide. Each galaxy at the median of its models, the bar from their 16 to their 84 %; galaxies of one model
        only are left out.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(COLUMN_WIDTH, COLUMN_WIDTH * 0.92), layout=None)
    axes = figure.add_axes((0.145, 0.125, 0.835, 0.795))
    points = {row["galaxy"]: row for row in rows if np.isfinite(row["systematic"])}
    for row in points.values():
        style = sample_style(row["lens"], row["z"])
        bar = [[row["models_median"] - row["models_16"]], [row["models_84"] - row["models_median"]]]
        axes.errorbar(row["models_median"], 100 * row["systematic"], xerr=bar, elinewidth=0.6, zorder=3,
                      ecolor=style["color"], **style)  # fmt: skip
    axes.set(xlabel=r"magnification $\mu$ (median of the models)",
             ylabel=r"$\sigma_\mu/\mu$ between models [%]")  # fmt: skip
    if not points:
        axes.text(0.5, 0.5, "no lens has several models", transform=axes.transAxes, ha="center", color=COLOURS["truth"])
        axes.set(xticks=[], yticks=[])
    else:
        axes.set(xscale="log", yscale="log")
        largest = max(row["models_84"] for row in points.values())
        values = [100 * row["systematic"] for row in points.values()]
        axes.set(xlim=(0.9, 1.3 * largest), ylim=(0.6 * min(values), 2.2 * max(values)))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.axhspan(10, 25, color="#DDDDDD", lw=0, zorder=0)
        axes.text(0.98, 24.0, "Curti et al. (2020): 10\N{EN DASH}25 % for most", fontsize=5.2, ha="right",
                  va="top", color=COLOURS["truth"], transform=axes.get_yaxis_transform())  # fmt: skip
        _list_models(axes, rows)
        _legend(axes, points.values())
    if settings["simulated"]:
        stamp_simulated(figure, x=0.98)
    return figure


def _legend(axes, rows):
    """Explain the symbols of the samples that are drawn."""
    from matplotlib.lines import Line2D

    samples = {}
    for row in rows:
        style = sample_style(row["lens"], row["z"])
        text = f"{row['lens'].upper()}, $z$ {'<' if row['z'] < 1.8 else '>'} 1.8"
        samples.setdefault(text, Line2D([], [], **style))
    axes.legend(samples.values(), samples, loc="upper left", handletextpad=0.2, borderaxespad=0.3)


def _list_models(axes, rows):
    """Name the models of each lens in the lower right corner, as the paper does."""
    models = {}
    for row in rows:
        models.setdefault(row["lens"], dict.fromkeys([]))[row["model"]] = None
    several = {lens: list(names) for lens, names in models.items() if len(names) > 1}
    lines = []
    for lens, names in several.items():
        if len(names) > 12:
            names = [*names[:11], f"and {len(names) - 11} more"]
        lines.append("\n".join([f"models of {lens.upper()}:", *names]))
    text = "\n".join(lines).replace("_", " ")
    axes.text(0.98, 0.02, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=5.2, linespacing=1.15)

"""What the figures of the population share: symbols of the samples, and where the survey's numbers come from."""

import numpy as np

from klever.population.survey_table import mean_error
from klever.publish.figure_style import COLOURS, stamp_simulated

__all__ = [
    "SURVEY_STYLES", "errorbars", "mark_beyond", "plot_reference", "plot_survey", "sample_handle", "stamp_origin",
    "survey_handles", "survey_name",
]  # fmt: skip

# The paper's dark blue (resolved) and light blue (marginally resolved) circles.
SURVEY_STYLES = {
    "resolved": {"marker": "o", "color": "#0072B2", "markeredgecolor": "black"},
    "marginal": {"marker": "o", "color": "#9AD0F0", "markeredgecolor": "black"},
}
_NAMES = {"published": "KLEVER, printed", "simulated": "simulated survey", "observed": "this survey"}


def survey_name(survey):
    """Return how legends call the survey."""
    return _NAMES[survey.origin]


def stamp_origin(figure, survey, x=0.99, y=0.985):
    """Write in the upper right corner where the survey's numbers come from."""
    if survey.origin == "simulated":
        stamp_simulated(figure, x, y)
        return
    text = "PUBLISHED VALUES" if survey.origin == "published" else "OWN DATA"
    box = {"boxstyle": "square,pad=0.3", "facecolor": "white", "edgecolor": COLOURS["neutral"], "linewidth": 1.0}
    figure.text(x, y, text, ha="right", va="top", fontsize=7, fontweight="bold", color=COLOURS["truth"], bbox=box)


def errorbars(axes, x, y, x_error=None, y_error=None, **style):
    """Draw points with thin error bars; NaN errors have no bar."""
    keywords = {"linestyle": "none", "markersize": 3.8, "markeredgewidth": 0.4, "elinewidth": 0.5, "zorder": 3} | style
    errors = {
        name: None if values is None else np.nan_to_num(np.asarray(values, dtype=float))
        for name, values in (("xerr", x_error), ("yerr", y_error))
    }
    return axes.errorbar(x, y, **errors, **keywords)


def plot_survey(axes, survey, x, x_error=None):
    """Draw the survey's gradients against a column, in the colours of resolved and marginally resolved ones."""
    for kind, style in SURVEY_STYLES.items():
        rows = [row for row in survey.having("slope", x) if row["resolved"] == kind]
        if rows:
            bars = None if x_error is None else [_error(row, x_error) for row in rows]
            errorbars(axes, [row[x] for row in rows], [row["slope"] for row in rows], bars,
                      [row["slope_error"] for row in rows], markersize=4.6, zorder=5, ecolor=style["color"],
                      **style)  # fmt: skip


def _error(row, name):
    return row[name] if name in row else mean_error(row, name.removesuffix("_error"))


def plot_reference(axes, x, y, x_error, y_error, sample, **style):
    """Draw points of a sample of the literature with its symbol and colour."""
    look = {"marker": sample["marker"], "color": sample["colour"], "markeredgecolor": _edge(sample)}
    if sample["marker"] == "*":  # its area is small for its size
        look |= {"markersize": 6.0, "markeredgewidth": 0.2}
    errorbars(axes, x, y, x_error, y_error, **look | style)


def _edge(sample):
    return sample["colour"] if sample["marker"] in {"+", "x"} else "white"


def sample_handle(label, marker, colour, edge="white"):
    """Return a legend entry of a symbol."""
    from matplotlib.lines import Line2D

    edge = colour if marker in {"+", "x"} else edge
    return Line2D([], [], marker=marker, color=colour, markeredgecolor=edge, markeredgewidth=0.4, markersize=4.4,
                  linestyle="none", label=label)  # fmt: skip


def survey_handles(survey):
    """Return legend entries of the classes of gradients that the survey has; of resolved ones if it has none."""
    kinds = {row["resolved"] for row in survey.having("slope")} & set(SURVEY_STYLES) or {"resolved"}
    return [
        sample_handle(f"{survey_name(survey)}, {kind}", style["marker"], style["color"], "black")
        for kind, style in SURVEY_STYLES.items()
        if kind in kinds
    ]


def mark_beyond(axes, x, y, colour):
    """Draw an open triangle at the edge of the panel for each point above or below it."""
    low, high = axes.get_ylim()
    inset = 0.017 * (high - low)
    for abscissa, ordinate in zip(x, y, strict=True):
        if not low < ordinate < high:
            edge, marker = (low + inset, "v") if ordinate < low else (high - inset, "^")
            axes.plot([abscissa], [edge], marker=marker, color=colour, markersize=3.5, markerfacecolor="none", zorder=6)

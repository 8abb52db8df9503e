"""Distance from the main sequence: distributions, and the gradient against it (Curti et al. 2020, Fig. 10)."""

import numpy as np

from klever.population.figure_parts import stamp_origin, survey_name
from klever.population.significance_table import TRENDS
from klever.population.survey_table import HIGH_REDSHIFT
from klever.population.trends import trend_sample
from klever.population.trends_figure import draw_regression, draw_trend, sample_legend, shown_row
from klever.publish.figure_style import CENTIMETRE, COLOURS, COLUMN_WIDTH

__all__ = ["draw_main_sequence"]

_BIN = 0.25  # dex


def draw_main_sequence(survey, literature, significance, settings, cosmology):
    """Draw stacked histograms of the offset from the main sequence, and the gradient against it.

    Parameters
    ----------
    survey, literature, significance, settings, cosmology
        As for `klever.population.trends_figure.draw_trends`.

    Returns
    -------
    matplotlib.figure.Figure
        8.4 cm wide.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(COLUMN_WIDTH, 13.2 * CENTIMETRE), layout=None)
    lower = figure.add_axes((0.17, 0.195, 0.81, 0.40))
    used = draw_trend(lower, "delta_ms", survey, literature, settings, cosmology)
    draw_regression(lower, shown_row(significance, "delta_ms", settings["estimator"]))
    lower.axvline(0.0, color="0.6", linewidth=0.6, linestyle="--", zorder=0)
    limits = lower.get_xlim()
    own, other = figure.add_axes((0.17, 0.69, 0.37, 0.225)), figure.add_axes((0.61, 0.69, 0.37, 0.225))
    points = trend_sample("delta_ms", survey, literature, settings["minimum_redshift"], cosmology)
    rows = survey.having("slope", "delta_ms")
    low = [row["delta_ms"] for row in rows if row["z"] < HIGH_REDSHIFT]
    high = [row["delta_ms"] for row in rows if row["z"] >= HIGH_REDSHIFT]
    _stacked(own, limits, {
        f"z < {HIGH_REDSHIFT:g}": (low, COLOURS["low_redshift"]),
        f"z > {HIGH_REDSHIFT:g}": (high, COLOURS["high_redshift"]),
    })  # fmt: skip
    references = np.array(points.reference, dtype=object)
    _stacked(other, limits, {
        name.replace("+", " "): (points.x[references == name], literature.samples[name]["colour"])
        for name in dict.fromkeys(filter(None, points.reference))
    })  # fmt: skip
    own.set(ylabel="galaxies", title=survey_name(survey))
    other.set(title=f"literature, z > {settings['minimum_redshift']:g}")
    figure.text(0.03, 0.972, "Main-sequence offset (Fig. 10)", fontsize=7.5, fontweight="bold", va="center")
    sample_legend(figure, survey, literature, used, (0.03, 0.135))
    absent = sorted(name.replace("+", " ") for name, entry in literature.absent.items() if 10 in entry["figures"])
    figure.text(0.03, 0.008, f"Could not be had: {', '.join(absent)}", fontsize=5.2, color="0.35", va="bottom")
    stamp_origin(figure, survey, x=0.965)
    return figure


def _stacked(axes, limits, samples):
    edges = np.arange(np.floor(limits[0] / _BIN) * _BIN, limits[1] + _BIN, _BIN)
    samples = {name: item for name, item in samples.items() if len(item[0])}
    axes.axvline(0.0, color="0.6", linewidth=0.6, linestyle="--", zorder=0)
    axes.set(xlim=limits, xlabel=TRENDS["delta_ms"].label)
    axes.xaxis.labelpad = 2
    if not samples:
        axes.text(0.5, 0.5, "no galaxy", transform=axes.transAxes, ha="center", color=COLOURS["neutral"])
        return
    values, colours = zip(*samples.values(), strict=True)
    hatches = [None, "////", "....", "xxxx"]
    _, _, patches = axes.hist(list(values), bins=edges, stacked=True, color=list(colours), edgecolor="white",
                              linewidth=0.4, label=list(samples))  # fmt: skip
    for group, hatch in zip(patches if len(values) > 1 else [patches], hatches, strict=False):
        for patch in group:
            patch.set_hatch(hatch)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper left", fontsize=5.4, labelspacing=0.2, handlelength=1.2, borderaxespad=0.3)

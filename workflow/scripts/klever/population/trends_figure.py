"""Metallicity gradients against sSFR and stellar mass with the robust regression (Curti et al. 2020, Fig. 9)."""

import numpy as np

from klever.population.figure_parts import (
    SURVEY_STYLES,
    errorbars,
    mark_beyond,
    plot_reference,
    sample_handle,
    stamp_origin,
    survey_handles,
)
from klever.population.significance_table import TRENDS
from klever.population.trends import trend_sample
from klever.publish.figure_style import CENTIMETRE, COLUMN_WIDTH

__all__ = ["draw_regression", "draw_trend", "draw_trends", "sample_legend", "shown_row"]

_LIMITS = (-0.16, 0.21)  # dex/kpc; what lies beyond is an open triangle at the edge


def draw_trends(survey, literature, significance, settings, cosmology):
    """Draw gradients against sSFR (above) and stellar mass (below).

    Parameters
    ----------
    survey, literature
        As for `klever.population.trends.trend_sample`.
    significance : list of dict
        Rows of `klever.population.trends.significance_rows`.
    settings : dict
        The section ``population`` of the config.
    cosmology : mapping
        H0, Om0, Ode0.

    Returns
    -------
    matplotlib.figure.Figure
        8.4 cm wide.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(COLUMN_WIDTH, 14.6 * CENTIMETRE), layout=None)
    used = set()
    for trend, bottom in (("log_ssfr", 0.595), ("log_mstar", 0.185)):
        axes = figure.add_axes((0.17, bottom, 0.81, 0.335))
        used |= draw_trend(axes, trend, survey, literature, settings, cosmology)
        draw_regression(axes, shown_row(significance, trend, settings["estimator"]))
    figure.text(0.03, 0.97, "Trends of the gradient (Fig. 9)", fontsize=7.5, fontweight="bold", va="center")
    absent = sorted(name.replace("+", " ") for name, entry in literature.absent.items() if 9 in entry["figures"])
    sample_legend(figure, survey, literature, used, (0.03, 0.125))
    figure.text(0.03, 0.008, f"Could not be had: {', '.join(absent)}", fontsize=5.2, color="0.35", va="bottom")
    stamp_origin(figure, survey, x=0.965)
    return figure


def draw_trend(axes, trend, survey, literature, settings, cosmology):
    """Draw the galaxies of one trend; return the references drawn."""
    points = trend_sample(trend, survey, literature, settings["minimum_redshift"], cosmology)
    axes.set(ylim=_LIMITS, xlabel=TRENDS[trend].label, ylabel=r"gradient [dex kpc$^{-1}$]")
    axes.xaxis.labelpad = 2
    axes.locator_params(axis="x", nbins=7)
    axes.axhline(0.0, color="0.6", linewidth=0.6, linestyle=":", zorder=0)
    references = np.array(points.reference, dtype=object)
    for name in dict.fromkeys(filter(None, points.reference)):
        chosen = references == name
        values = (item[chosen] for item in (points.x, points.slope, points.x_error, points.slope_error))
        many = chosen.sum() > 50
        plot_reference(axes, *values, literature.samples[name], markersize=2.6 if many else 4.0,
                       zorder=1 if many else 3, elinewidth=0.3 if many else 0.5)  # fmt: skip
        mark_beyond(axes, points.x[chosen], points.slope[chosen], literature.samples[name]["colour"])
    resolved = np.array(points.resolved, dtype=object)
    for kind, style in SURVEY_STYLES.items():
        chosen = (references == "") & (resolved == kind)
        values = (item[chosen] for item in (points.x, points.slope, points.x_error, points.slope_error))
        errorbars(axes, *values, markersize=4.6, zorder=5, ecolor=style["color"], **style)
        mark_beyond(axes, points.x[chosen], points.slope[chosen], style["color"])
    return set(filter(None, points.reference))


def shown_row(significance, trend, estimator):
    """Return the regression of a trend that is drawn: all galaxies, the estimator of the config."""
    return next(
        row for row in significance if (row["trend"], row["sample"], row["method"]) == (trend, "all", estimator)
    )


def draw_regression(axes, row):
    """Draw a line with its rms band over the width of the panel, and write its numbers."""
    if not np.isfinite(row.get("slope", np.nan)):
        axes.text(0.03, 0.96, "too few galaxies for a regression", transform=axes.transAxes, va="top", fontsize=5.8)
        return
    x = np.array(axes.get_xlim())
    y = row["intercept"] + row["slope"] * x
    axes.fill_between(x, y - row["rms"], y + row["rms"], color="0.55", alpha=0.22, linewidth=0, zorder=0.5)
    axes.plot(x, y, color="black", linewidth=1.0, zorder=4)
    axes.set_xlim(x)
    probability = f"$p$ = {row['spearman_p']:.1g}" if row["spearman_p"] >= 1e-4 else r"$p < 10^{-4}$"
    text = (
        f"slope ${row['slope']:.4f} \\pm {row['slope_error']:.4f}$ ({row['significance']:.1f}$\\sigma$), "
        f"rms {row['rms']:.3f}\n"
        f"Spearman $\\rho={row['spearman_rho']:.2f} \\pm {row['spearman_rho_error']:.2f}$, {probability}, "
        f"$n$ = {row['n']}"
    )
    axes.text(0.03, 0.965, text, transform=axes.transAxes, va="top", fontsize=5.8, linespacing=1.35, zorder=7,
              bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0})  # fmt: skip


def sample_legend(figure, survey, literature, used, anchor):
    """Draw the legend of the samples that are used, below the panels."""
    handles = survey_handles(survey)
    handles += [
        sample_handle(name.replace("+", " "), entry["marker"], entry["colour"])
        for name, entry in literature.samples.items()
        if name in used
    ]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=anchor, borderaxespad=0.0, labelspacing=0.3,
                  ncols=2, handletextpad=0.3, columnspacing=1.0, fontsize=5.8)  # fmt: skip

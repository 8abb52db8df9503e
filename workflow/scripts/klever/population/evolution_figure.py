"""Metallicity gradients against redshift and age of the Universe (Curti et al. 2020, Fig. 8)."""

import numpy as np

from klever.population.cosmic_age import age_of_universe
from klever.population.figure_parts import (
    SURVEY_STYLES,
    mark_beyond,
    plot_reference,
    plot_survey,
    sample_handle,
    stamp_origin,
    survey_handles,
)
from klever.publish.figure_style import CENTIMETRE, PAGE_WIDTH

__all__ = ["draw_evolution", "sample_box"]

_PERCENTILES = (15.865, 84.135)
_AGES = (13, 10, 8, 6, 5, 4, 3, 2.5, 2)  # Gyr, ticks


def draw_evolution(survey, literature, cosmology):
    """Draw gradients of the survey, other samples and models against redshift.

    Parameters
    ----------
    survey : klever.population.survey_table.SurveyTable
    literature : klever.population.literature.Literature
        Every sample is drawn as its ``drawn`` says; what could not be had is named below the legend.
    cosmology : mapping
        H0, Om0, Ode0, of the axis of age.

    Returns
    -------
    matplotlib.figure.Figure
        17 cm wide.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PAGE_WIDTH, 10.6 * CENTIMETRE), layout=None)
    axes = figure.add_axes((0.075, 0.09, 0.60, 0.80))
    last = max([3.3, *(row["z"] + 0.1 for row in survey.having("slope", "z"))])
    axes.set(xlim=(-0.12, last), ylim=(-0.36, 0.20), xlabel="redshift", ylabel=r"metallicity gradient [dex kpc$^{-1}$]")
    axes.axhline(0.0, color="0.6", linewidth=0.6, linestyle=":", zorder=0)
    model_handles = _models(axes, literature)
    sample_handles = _samples(axes, literature)
    plot_survey(axes, survey, "z")
    rows = survey.having("slope", "z")
    mark_beyond(axes, [row["z"] for row in rows], [row["slope"] for row in rows], SURVEY_STYLES["resolved"]["color"])
    _age_axis(axes, cosmology)
    axes.set_title("Metallicity gradients and redshift", loc="left", fontsize=8, fontweight="bold", pad=22)
    place = {"loc": "upper left", "borderaxespad": 0.0, "labelspacing": 0.34, "handletextpad": 0.5}
    legend = figure.legend(handles=[*survey_handles(survey), *sample_handles], bbox_to_anchor=(0.69, 0.935), **place)
    figure.add_artist(legend)
    figure.legend(handles=model_handles, bbox_to_anchor=(0.69, 0.395), handlelength=2.2, fontsize=5.7, **place)
    names = sorted(name for name, entry in literature.absent.items() if 8 in entry["figures"])
    note = "* not in the figure of the paper\nIn the paper, but could not be had:\n" + _wrapped(names, 44)
    figure.text(0.69, 0.02, note, fontsize=5.6, color="0.35", ha="left", va="bottom", linespacing=1.25)
    stamp_origin(figure, survey)
    return figure


def sample_box(rows, low, high):
    """Return the 16th to 84th percentiles of redshift and gradient of the galaxies in a range of redshift.

    Returns
    -------
    (z_low, z_high, slope_low, slope_high) or None
        None with fewer than 3 galaxies.
    """
    chosen = [(row["z"], row["slope"]) for row in rows if low <= row["z"] < high]
    if len(chosen) < 3:
        return None
    z, slope = np.percentile(chosen, _PERCENTILES, axis=0).T
    return (*map(float, z), *map(float, slope))


def _samples(axes, literature):
    from matplotlib.patches import Patch, Rectangle

    handles = []
    for name, sample in literature.samples.items():
        label = name.replace("+", " ") + ("" if sample["paper"] else " *")
        averages = [row for row in literature.averages if row["reference"] == name]
        rows = literature.of(name)
        if sample["drawn"] == "no" or not (rows or averages):
            continue
        if averages:
            z, slope, error = ([row[key] for row in averages] for key in ("z", "slope", "slope_error"))
            plot_reference(axes, z, slope, None, error, sample, markersize=4.5, markeredgewidth=0.9)
        elif sample["drawn"] == "box":
            look = {"facecolor": sample["colour"], "alpha": 0.35, "edgecolor": sample["colour"]}
            for box in filter(None, (sample_box(rows, *limits) for limits in sample["ranges"])):
                left, right, bottom, top = box
                axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, linewidth=0.6, zorder=1, **look))
            handles.append(Patch(label=f"{label} ({len(rows)}, 16-84 %)", **look))
            continue
        elif sample["drawn"] == "mean":
            z, slope = (np.array([row[key] for row in rows]) for key in ("z", "slope"))
            plot_reference(
                axes, [z.mean()], [slope.mean()], [z.std(ddof=1)], [slope.std(ddof=1)], sample, markersize=5.5, zorder=6
            )
            label += f" ({len(rows)}, mean, scatter)"
        else:
            errors = [[row[f"slope_error_{end}"] for row in rows] for end in ("minus", "plus")]
            plot_reference(axes, [row["z"] for row in rows], [row["slope"] for row in rows], None, errors, sample)
        handles.append(sample_handle(label, sample["marker"], sample["colour"]))
    return handles


def _models(axes, literature):
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = []
    for name, style in literature.model_styles.items():
        label = name.replace("+", " ") + ("" if style["paper"] else " *")
        colour = style["colour"]
        if style["style"] in {"hatch", "band"}:
            (z, lower), (_, upper) = literature.curve(name, "lower"), literature.curve(name, "upper")
            if len(z) == 1:  # one epoch: a column as wide as the range of redshift it stands for
                z, lower, upper = z[0] + np.array([-0.05, 0.05]), np.repeat(lower, 2), np.repeat(upper, 2)
            look = {"facecolor": colour, "alpha": 0.3, "linewidth": 0.0}
            if style["style"] == "hatch":
                look = {"facecolor": "none", "hatch": "//////", "edgecolor": colour, "linewidth": 0.3}
            axes.fill_between(z, lower, upper, zorder=0.5, **look)
            handles.append(Patch(label=label, **look))
            continue
        z, slope = literature.curve(name)
        if len(z) == 1 and np.isnan(z[0]):
            axes.axhline(slope[0], color=colour, linestyle=style["style"], linewidth=1.0, zorder=2)
        else:
            axes.plot(z, slope, color=colour, linestyle=style["style"], linewidth=1.0, zorder=2)
        handles.append(Line2D([], [], color=colour, linestyle=style["style"], linewidth=1.0, label=label))
    return handles


def _age_axis(axes, cosmology):
    top = axes.secondary_xaxis("top")
    axes.tick_params(top=False)
    grid = np.linspace(0.0, 8.0, 801)
    ages = age_of_universe(grid, cosmology)
    limit = float(age_of_universe(axes.get_xlim()[1], cosmology))
    shown = [age for age in _AGES if limit <= age <= ages[0]]
    top.set_xticks(np.interp(shown, ages[::-1], grid[::-1]), [f"{age:g}" for age in shown])
    top.set_xlabel("age of the Universe [Gyr]", labelpad=3)


def _wrapped(names, width):
    lines = [""]
    for name in (name.replace("+", " ") for name in names):
        if len(lines[-1]) + len(name) > width:
            lines.append("")
        lines[-1] += name + ", "
    return "\n".join(lines).rstrip(", ")

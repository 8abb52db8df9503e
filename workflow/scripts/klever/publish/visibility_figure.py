"""Figure of the lines that the bands hold at every redshift, with the targets marked (Curti et al. 2020, Sect. 2.1)."""

import numpy as np

from klever.publish.figure_style import CENTIMETRE, COLOURS, PAGE_WIDTH
from klever.publish.spectrum_figure import line_label

__all__ = ["draw_visibility"]

_STEP = 0.0003  # of redshift: half of an element of resolution
_THIN = 0.4  # points: an OH line is seen at any size of the page
_BAND_COLOURS = ("#56B4E9", "#009E73", "#E69F00", "#CC79A7")  # Okabe & Ito (2008)
_SKY, _TELLURIC = "black", "#BBBBBB"


def draw_visibility(rule, ranges, targets, limits, head):
    """Draw where each line is seen: coloured by band, grey outside the atmosphere's windows, black under bright OH.

    Parameters
    ----------
    rule : klever.targets.choice.Rule
    ranges : dict of str to list of (float, float)
        From `klever.targets.choice.redshift_ranges`.
    targets : list of dict
        ``z`` and ``priority``.
    limits : (float, float)
        Redshifts shown.
    head : str
        Instrument and what the targets are.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    z = np.arange(limits[0], limits[1], _STEP)
    names = sorted(rule.lines, key=rule.lines.get)
    figure = Figure(figsize=(PAGE_WIDTH, (3.4 + 0.42 * len(names)) * CENTIMETRE), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(len(names), 2.2), hspace=0.03)
    axes, below = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    for row, name in enumerate(names):
        for band, colour in zip(rule.bands, _BAND_COLOURS, strict=False):
            in_band, clear, _, clean = rule.look(name, band, z)
            covered = in_band & (clean < rule.minimum_clean)
            for where, shade in ((in_band & clear, colour), (in_band & ~clear, _TELLURIC), (covered, _SKY)):
                width = _THIN if shade == _SKY else 0
                axes.broken_barh(_runs(z, where), (row - 0.36, 0.72), facecolor=shade, edgecolor=shade, lw=width)
    for found in ranges.values():
        for low, high in found:
            for panel in (axes, below):
                panel.axvspan(low, high, color=COLOURS["neutral"], alpha=0.15, lw=0, zorder=0)
            axes.annotate(f"{low:.2f}–{high:.2f}", (0.5 * (low + high), len(names) - 0.45), ha="center", va="center",
                          fontsize=6)  # fmt: skip
    axes.set(xlim=limits, ylim=(-0.6, len(names)), yticks=range(len(names)))
    axes.set_yticklabels([line_label(name) for name in names])
    axes.tick_params(labelbottom=False)
    axes.tick_params(axis="y", which="both", length=0)
    patches = [Patch(color=colour, label=band.name) for band, colour in zip(rule.bands, _BAND_COLOURS, strict=False)]
    patches += [Patch(color=_TELLURIC, label="outside clear windows"), Patch(color=_SKY, label="under bright OH lines")]
    figure.legend(handles=patches, loc="outside upper right", ncols=len(patches), handlelength=1.0, columnspacing=1.0)
    figure.suptitle(head, x=0.01, ha="left", fontsize=7.5)
    for priority in (1, 2, 3):
        chosen = [row["z"] for row in targets if row["priority"] == priority]
        below.plot(chosen, np.full(len(chosen), 3 - priority), "|", ms=7, mew=0.8, color=COLOURS["measurement"])
    below.set(xlim=limits, ylim=(-0.6, 2.6), yticks=(0, 1, 2), xlabel="redshift")
    below.set_yticklabels(["priority 3", "priority 2", "priority 1"])
    below.tick_params(axis="y", which="both", length=0)
    return figure


def _runs(z, where):
    """Return start and width of each run of True; a run of one step is one step wide."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(int)))
    return [
        (z[start] - 0.5 * _STEP, (stop - start) * _STEP) for start, stop in zip(edges[::2], edges[1::2], strict=True)
    ]

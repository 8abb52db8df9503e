"""Figure of what the PSF does to gradients: measured over true slopes, and pulls, against the size of the galaxy."""

import numpy as np

from klever.publish.figure_style import CENTIMETRE, COLOURS, PAGE_WIDTH, stamp_simulated

__all__ = ["draw_slope_bias_figure"]

PULL_LIMIT = 6.0
RATIO_LIMITS = (-1.0, 3.0)
SIGNIFICANT = 2.0  # a ratio to a truth closer to zero than this many errors says nothing
COLUMNS = (("slope", "as measured"), ("slope_intrinsic", "PSF removed"))
BINS = 4


def draw_slope_bias_figure(recovery):
    """Draw slopes over their truth and pulls against R_e over the HWHM of the PSF of the maps.

    Parameters
    ----------
    recovery : astropy.table.Table
        Rows of gradients that are `used`, with `resolution`.

    Returns
    -------
    matplotlib.figure.Figure
        17 cm wide. Left: as measured in the annuli; right: against the radius the light comes from. Above: ratio to
        the truth, where that is further from zero than twice the error; points beyond the axes are drawn on them as
        arrows. Below: pulls of all, with the median and 1.4826 MAD of bins of equal numbers.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PAGE_WIDTH, 11.5 * CENTIMETRE), layout=None)
    axes = figure.subplots(2, 2, sharex=True, sharey="row")
    figure.subplots_adjust(left=0.085, right=0.985, top=0.88, bottom=0.10, wspace=0.06, hspace=0.08)
    for column, (name, title) in enumerate(COLUMNS):
        upper, lower = axes[:, column]
        upper.set_title(title)
        for aperture, filled in (("circular", False), ("elliptical", True)):
            values = _values(recovery, f"{name}_{aperture}")
            if values.size:
                _ratios(upper, values, aperture, filled)
                _pulls(lower, values, aperture, filled)
        upper.axhline(1, color=COLOURS["fit"], lw=0.9, zorder=1)
        upper.axhline(0, color=COLOURS["neutral"], lw=0.6, ls=":", zorder=1)
        lower.axhspan(-1, 1, color=COLOURS["neutral"], alpha=0.2, lw=0, zorder=0)
        lower.axhline(0, color=COLOURS["fit"], lw=0.9, zorder=1)
        upper.set(xscale="log", ylim=RATIO_LIMITS)
        lower.set(ylim=(-PULL_LIMIT, PULL_LIMIT), xlabel=r"$R_\mathrm{e}$ / PSF HWHM of the maps")
        _ticks(lower)
    axes[0, 0].set_ylabel("slope / true slope")
    axes[1, 0].set_ylabel("(slope $-$ truth) / error")
    if axes[0, 0].get_legend_handles_labels()[0]:
        axes[0, 0].legend(loc="upper left")
    figure.text(0.085, 0.985, "Gradients against the size of the galaxy", ha="left", va="top", fontsize=9,
                fontweight="bold")  # fmt: skip
    stamp_simulated(figure, x=0.985, y=0.985)
    return figure


def _values(recovery, quantity):
    """Resolution, truth, measurement, error and pull of the used rows, shape (5, n)."""
    names = ("resolution", "truth", "measured", "error", "pull")
    rows = [[float(np.ma.filled(row[name], np.nan)) for name in names] for row in recovery
            if row["used"] and str(row["quantity"]) == quantity]  # fmt: skip
    rows = np.array(rows).reshape(-1, 5)
    return rows[np.all(np.isfinite(rows), axis=1)].T


def _ratios(axes, values, aperture, filled):
    resolution, truth, measured, error, _ = values
    used = np.abs(truth) > SIGNIFICANT * error
    ratio, error = measured[used] / truth[used], error[used] / np.abs(truth[used])
    inside = (ratio > RATIO_LIMITS[0]) & (ratio < RATIO_LIMITS[1])
    style = _style(filled)
    axes.errorbar(resolution[used][inside], ratio[inside], error[inside], fmt="o", ecolor=COLOURS["neutral"],
                  elinewidth=0.5, label=f"{aperture} annuli", zorder=2 + filled, **style)  # fmt: skip
    for x, y in zip(resolution[used][~inside], ratio[~inside], strict=True):
        limit, marker = (RATIO_LIMITS[1], "^") if y > 0 else (RATIO_LIMITS[0], "v")
        axes.plot(x, limit, marker=marker, clip_on=False, zorder=4, **style)


def _pulls(axes, values, aperture, filled):
    resolution, *_, pull = values
    axes.plot(resolution, np.clip(pull, -PULL_LIMIT, PULL_LIMIT), "o", clip_on=False, zorder=2, **_style(filled))
    if len(pull) < 3 * BINS:
        return
    order = np.array_split(np.argsort(resolution), BINS)
    middle = [np.median(resolution[part]) for part in order]
    median = np.array([np.median(pull[part]) for part in order])
    scatter = [1.4826 * np.median(np.abs(pull[part] - np.median(pull[part]))) for part in order]
    shift = 1.03 if filled else 0.97
    colour = COLOURS["measurement" if filled else "psf"]
    axes.errorbar(
        np.array(middle) * shift, np.clip(median, -PULL_LIMIT, PULL_LIMIT), scatter, fmt="D", ms=5, mfc="white",
        mec=colour, ecolor=colour, elinewidth=1.2, capsize=2, zorder=5,
    )  # fmt: skip
    total = 1.4826 * np.median(np.abs(pull - np.median(pull)))
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
    text = f"{aperture}: {np.median(pull):+.2f} ± {total:.2f} ({len(pull)})"
    axes.text(0.98, 0.96 - 0.08 * filled, text, transform=axes.transAxes, ha="right", va="top", fontsize=6.5,
              color=colour, bbox=box, zorder=6)  # fmt: skip


def _style(filled):
    colour = COLOURS["measurement" if filled else "psf"]
    return {"ms": 2.8, "mec": colour, "mfc": colour if filled else "white", "mew": 0.6}


def _ticks(axes):
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())

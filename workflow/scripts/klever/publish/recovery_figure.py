"""Figure of the recovery of the simulated truth: measurement against truth, and the pulls, of each quantity."""

import numpy as np

from klever.publish.figure_style import CENTIMETRE, COLOURS, PAGE_WIDTH, stamp_simulated

__all__ = ["draw_recovery_figure"]

# Title, axis, (quantity, line, filled) of each panel, whether it is logarithmic.
PANELS = (
    (r"H$\alpha$ flux", r"[$10^{-17}$ erg s$^{-1}$ cm$^{-2}$]", [("flux", "Halpha", True)], True),
    ("velocity", "[km/s]", [("velocity", None, True)], False),
    ("velocity dispersion", "[km/s]", [("dispersion", None, True)], False),
    ("magnification", "", [("mu_halpha", None, False), ("mu_intrinsic", None, True)], True),
    ("12 + log(O/H)", "", [("log_oh", None, True)], False),
    ("star-formation rate", r"[M$_\odot$/yr]", [("sfr_total", None, True)], True),
    ("E(B$-$V)", "[mag]", [("ebv", None, True)], False),
    (r"log stellar mass", r"[M$_\odot$]", [("log_mstar", None, True)], False),
    ("gradient", "[dex/kpc]", [("slope_circular", None, False), ("slope_elliptical", None, True)], False),
    ("gradient without the PSF", "[dex/kpc]",
     [("slope_intrinsic_circular", None, False), ("slope_intrinsic_elliptical", None, True)], False),
)  # fmt: skip
_LABELS = {"mu_halpha": r"$\mu_{\mathrm{H}\alpha}$", "mu_intrinsic": r"$\mu_\mathrm{intrinsic}$"}
PULL_LIMIT = 5.0
BIN = 0.5


def draw_recovery_figure(recovery, summary):
    """Draw measurement against truth with the pulls of each quantity below.

    Parameters
    ----------
    recovery : astropy.table.Table
        Only rows that are `used` are drawn.
    summary : astropy.table.Table
        Medians of the sample 'all', written into the panels.

    Returns
    -------
    matplotlib.figure.Figure
        17 cm wide, stamped as simulated data, one panel for each quantity that is measured. Pulls beyond 5 are counted
        in the outermost bins; the curve is the unit Gaussian with the area of the histogram. Numbers in brackets count
        the measurements. The axes of gradients leave out those with an error above three times the median.
    """
    from matplotlib.figure import Figure

    panels = [panel for panel in PANELS if any(_rows(recovery, *item[:2]).size for item in panel[2])] or PANELS[:1]
    rows = -(-len(panels) // 3)
    height = (1.2 + 7.1 * rows) * CENTIMETRE
    figure = Figure(figsize=(PAGE_WIDTH, height), layout=None)
    grid = figure.add_gridspec(rows, 3, left=0.085, right=0.985, top=1 - 1.5 * CENTIMETRE / height,
                               bottom=1.0 * CENTIMETRE / height, wspace=0.36, hspace=0.30)  # fmt: skip
    for index, (title, unit, series, logarithmic) in enumerate(panels):
        cell = grid[divmod(index, 3)].subgridspec(2, 1, height_ratios=(2.6, 1), hspace=0.42)
        upper, lower = figure.add_subplot(cell[0]), figure.add_subplot(cell[1])
        upper.set_title(title, pad=10)
        upper.set(xlabel=f"truth {unit}".strip(), ylabel=f"measured {unit}".strip())
        upper.xaxis.labelpad = upper.yaxis.labelpad = 1.5
        lower.set(xlabel="pull", ylabel="number", xlim=(-PULL_LIMIT, PULL_LIMIT))
        lower.xaxis.labelpad = lower.yaxis.labelpad = 1.5
        chosen = [(_rows(recovery, quantity, line), quantity, line, filled) for quantity, line, filled in series]
        lower.set_visible(any(values.size for values, *_ in chosen))
        _compare(upper, chosen, logarithmic)
        _histogram(lower, chosen)
        _numbers(upper, summary, chosen)
    figure.text(
        0.085,
        1 - 0.12 * CENTIMETRE / height,
        "Recovery of the simulated truth",
        ha="left",
        va="top",
        fontsize=9,
        fontweight="bold",
    )
    stamp_simulated(figure, x=0.985, y=1 - 0.12 * CENTIMETRE / height)
    return figure


def _rows(recovery, quantity, line):
    """Truth, measurement, error, pull of the used rows, fluxes in 1e-17 erg s-1 cm-2; shape (4, n)."""
    names = ("truth", "measured", "error", "pull")
    chosen = [
        [float(row[name]) for name in names]
        for row in recovery
        if row["used"] and str(row["quantity"]) == quantity and line in (None, str(row["line"]))
    ]
    scale = np.array([1e17, 1e17, 1e17, 1.0]) if quantity == "flux" else 1.0
    return (np.array(chosen).reshape(-1, 4) * scale).T


def _short(quantity):
    return _LABELS.get(quantity, quantity.removeprefix("slope_").removeprefix("intrinsic_"))


def _compare(axes, chosen, logarithmic):
    values = np.hstack([values for values, *_ in chosen])
    if not values.size:
        axes.text(0.5, 0.5, "no measurement", transform=axes.transAxes, ha="center", va="center",
                  color=COLOURS["neutral"])  # fmt: skip
        axes.set(xticks=[], yticks=[])
        return
    shown = values
    if any(quantity.startswith("slope_") for _, quantity, *_ in chosen):
        shown = values[:, values[2] <= 3 * np.median(values[2])]
    low, high = _range(shown[:2], logarithmic)
    if logarithmic:
        axes.set(xscale="log", yscale="log")
    for (truth, measured, error, _), quantity, _, filled in chosen:
        if not truth.size:
            continue
        colour = COLOURS["measurement"] if filled else COLOURS["psf"]
        # An error bar that reaches zero has no end on a logarithmic axis.
        below = np.minimum(error, 0.999 * measured) if logarithmic else error
        axes.errorbar(truth, measured, (np.maximum(below, 0), error), fmt="o", ms=2.8, mec=colour, mew=0.6,
                      mfc=colour if filled else "white", ecolor=COLOURS["neutral"], elinewidth=0.5, zorder=3,
                      label=_short(quantity))  # fmt: skip
    axes.plot([low, high], [low, high], color=COLOURS["fit"], lw=0.8, zorder=2)
    axes.set(xlim=(low, high), ylim=(low, high), box_aspect=1)
    _ticks(axes, logarithmic, low, high)
    if len(chosen) > 1:
        axes.legend(loc="lower right", handletextpad=0.2, borderpad=0.2, labelspacing=0.25)


def _range(values, logarithmic):
    values = values[(values > 0) | (not logarithmic)]
    low, high = float(values.min()), float(values.max())
    if logarithmic:
        factor = max((high / low) ** 0.08, (4 * low / high) ** 0.5)
        return low / factor, high * factor
    margin = 0.08 * max(high - low, 1e-6 * abs(high), 1e-12)
    return low - margin, high + margin


def _ticks(axes, logarithmic, low, high):
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        if not logarithmic:
            axis.set_major_locator(MaxNLocator(4))
            continue
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 60 else (1,)))
        if low > 1e-3 and high < 1e4:
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _histogram(axes, chosen):
    edges = np.arange(-PULL_LIMIT, PULL_LIMIT + BIN / 2, BIN)
    fine = np.linspace(-PULL_LIMIT, PULL_LIMIT, 201)
    gaussian = np.exp(-0.5 * fine**2) / np.sqrt(2 * np.pi)
    for (*_, pull), _, _, filled in chosen:
        if not pull.size:
            continue
        clipped = np.clip(pull, -PULL_LIMIT + BIN / 4, PULL_LIMIT - BIN / 4)
        style = (
            {"histtype": "stepfilled", "color": COLOURS["neutral"]}
            if filled
            else {"histtype": "step", "color": COLOURS["psf"]}
        )
        axes.hist(clipped, bins=edges, zorder=1 + (not filled), **style)
        if filled:
            axes.plot(fine, gaussian * pull.size * BIN, color=COLOURS["fit"], lw=0.9, zorder=3)
    axes.axvline(0, color="black", lw=0.5, ls=":", zorder=4)
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def _numbers(axes, summary, chosen):
    """Median |pull| and, in brackets, number of measurements, from the summary, below the title."""
    texts = []
    for _, quantity, line, _ in reversed(chosen):
        for row in summary:
            same = str(row["sample"]) == "all" and str(row["quantity"]) == quantity
            if same and line in (None, str(row["line"])) and row["n"]:
                name = _short(quantity) if len(chosen) > 1 else "median |pull|"
                texts.append(f"{name} {float(row['median_abs_pull']):.2f} ({row['n']})")
    axes.text(0.5, 1.02, ", ".join(texts), transform=axes.transAxes, ha="center", va="bottom", fontsize=5.8)

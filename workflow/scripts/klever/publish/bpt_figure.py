"""Both BPT diagrams of the survey (Curti et al. 2020, Fig. 5)."""

import numpy as np

from klever.publish.figure_style import CENTIMETRE, COLOURS, PAGE_WIDTH, sample_style, stamp_simulated

__all__ = ["draw_bpt_figure"]

_LIMITS = {"N2": (-2.0, 0.5), "S2": (-1.6, 0.5)}
_R3_LIMITS = (-0.9, 1.25)
_LABELS = {
    "N2": r"log([N$\,$II]$\lambda$6584 / H$\alpha$)",
    "S2": r"log([S$\,$II]$\lambda\lambda$6717,31 / H$\alpha$)",
}
_CURVES = {
    "Kewley01_N2": ("black", "-", "Kewley+01"),
    "Kewley01_S2": ("black", "-", "Kewley+01"),
    "Kauffmann03": ("black", "--", "Kauffmann+03"),
    "Kashino_FMOS": ("#56B4E9", "-", r"FMOS, $z\sim1.6$ (Kashino+17)"),
    "Shapley15_MOSDEF": ("#009E73", "-", r"MOSDEF, $z\sim2.3$ (Shapley+15)"),
    "Strom17_KBSS": ("#E69F00", "-", r"KBSS, $z\sim2.3$ (Strom+17)"),
}
_ARROW = 0.10  # dex


def draw_bpt_figure(rows, curves, simulated):
    """Draw log [O III]/Hbeta against [N II]/Halpha and [S II]/Halpha of the integrated spectra.

    Parameters
    ----------
    rows : list of dict
        Rows of ``bpt.ecsv``: ``lens``, ``z``, ``R3``, ``N2``, ``S2`` with ``_error`` and ``_kind`` (a limit is drawn as
        an arrow), ``agn`` (type-1 AGN are crossed out). Missing numbers are NaN.
    curves : dict of str to klever.gas.bpt.Curve
    simulated : bool

    Returns
    -------
    matplotlib.figure.Figure
        17 cm wide. The cross in the upper right is the median error. The paper's contours of SDSS galaxies are not at
        hand.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PAGE_WIDTH, 8.6 * CENTIMETRE))
    for index, ratio in enumerate(("N2", "S2")):
        axes = figure.add_axes((0.075 + 0.495 * index, 0.135, 0.405, 0.745))
        _lines(axes, ratio, curves)
        errors = [_point(axes, row, ratio) for row in rows]
        errors = np.array([pair for pair in errors if pair is not None]).reshape(-1, 2)
        if len(errors):
            x, y = np.median(errors, axis=0)
            axes.errorbar(_LIMITS[ratio][1] - 0.18, 1.1, xerr=x, yerr=y, color=COLOURS["measurement"], linewidth=0.8)
        axes.set(xlim=_LIMITS[ratio], ylim=_R3_LIMITS, xlabel=_LABELS[ratio])
        count = f"{len(errors)} galax{'y' if len(errors) == 1 else 'ies'}"
        axes.text(0.03, 0.03, count, transform=axes.transAxes, color=COLOURS["truth"], fontsize=6)
        if index == 0:
            axes.set_ylabel(r"log([O$\,$III]$\lambda$5007 / H$\beta$)")
            axes.legend(loc="lower left", bbox_to_anchor=(0.0, 0.06))
        else:
            _legend(axes)
    if simulated:
        stamp_simulated(figure, x=0.98, y=0.975)
    return figure


def _lines(axes, ratio, curves):
    for name, (colour, style, label) in _CURVES.items():
        curve = curves[name]
        if curve.ratio == ratio:
            x = np.linspace(_LIMITS[ratio][0], curve.b - 0.02, 400)
            axes.plot(x, curve.evaluate(x), color=colour, linestyle=style, label=label, zorder=1)


def _point(axes, row, ratio):
    """Draw one galaxy; return its errors if both ratios are measured."""
    x, y = row[ratio], row["R3"]
    if not np.isfinite(x + y):
        return None
    style = sample_style(row["lens"], row["z"]) | {"zorder": 3}
    axes.plot(x, y, **style)
    if row["agn"] == "type1":
        axes.plot(x, y, marker="x", markersize=7, color=COLOURS["measurement"], zorder=4)
    kinds = {"x": row[f"{ratio}_kind"], "y": row["R3_kind"]}
    directions = {"upper": -_ARROW, "lower": _ARROW}
    for axis, kind in kinds.items():
        if kind in directions:
            step = (directions[kind], 0.0) if axis == "x" else (0.0, directions[kind])
            axes.annotate("", (x + step[0], y + step[1]), (x, y), zorder=2,
                          arrowprops={"arrowstyle": "->", "color": style["color"], "linewidth": 0.7})  # fmt: skip
    if set(kinds.values()) == {"measured"}:
        return row[f"{ratio}_error"], row["R3_error"]
    return None


def _legend(axes):
    entries = [
        ("rxj2248", 1.4, r"RXJ2248, $z<1.8$"), ("ms2137", 1.4, r"MS2137, $z<1.8$"),
        ("rxj2248", 2.2, r"RXJ2248, $z>1.8$"), ("ms2137", 2.2, r"MS2137, $z>1.8$"), ("", 2.2, "lensed arcs"),
    ]  # fmt: skip
    handles = [axes.plot([], [], **sample_style(lens, z))[0] for lens, z, _ in entries]
    axes.legend(handles, [text for _, _, text in entries], loc="lower left", bbox_to_anchor=(0.0, 0.06))

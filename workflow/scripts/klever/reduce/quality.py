"""Quality page of a pointing: sky residuals by group, where the stars were, the seeing, and the noise."""

import numpy as np

from klever.publish.figure_style import COLOURS, PAGE_WIDTH, paper_style, save_figure, stamp_simulated

__all__ = ["draw_quality"]

_STAR_STYLES = (
    {"color": "#0072B2", "marker": "o"},
    {"color": "#D55E00", "marker": "s"},
    {"color": "#009E73", "marker": "^"},
)
_BOUND = 1.3  # of the photon noise: what the sky subtraction aims at


def draw_quality(pdf, png, title, stars, sky, cubes, simulated, dpi=150):
    """Draw the page.

    Parameters
    ----------
    pdf, png : path
    title : str
        Pointing and band.
    stars, sky, cubes : list of dict
        Rows of the tables of `klever.reduce.products`.
    simulated : bool
    dpi : int
    """
    from matplotlib.figure import Figure

    with paper_style():
        figure = Figure(figsize=(PAGE_WIDTH, 0.78 * PAGE_WIDTH))
        panels = figure.subplots(2, 2)
        figure.subplots_adjust(left=0.075, right=0.985, bottom=0.075, top=0.9, wspace=0.24, hspace=0.34)
        figure.text(0.075, 0.965, title, fontsize=9, va="center")
        _draw_sky(panels[0, 0], sky)
        _draw_offsets(panels[0, 1], stars)
        _draw_seeing(panels[1, 0], stars, cubes)
        _draw_noise(panels[1, 1], cubes)
        if simulated:
            stamp_simulated(figure)
        save_figure(figure, pdf, png, dpi)


def _draw_sky(axes, sky):
    names = list(dict.fromkeys(row["group"] for row in sky if row["channels"] > 0))
    for shift, key, colour, label in ((-0.15, "before", COLOURS["neutral"], "plain A−B"),
                                      (0.15, "after", COLOURS["psf"], "scaled and stretched")):  # fmt: skip
        for index, name in enumerate(names):
            values = np.array([row[key] for row in sky if row["group"] == name and np.isfinite(row[key])])
            if values.size:
                low, middle, high = np.quantile(values, (0.16, 0.5, 0.84))
                axes.errorbar(index + shift, middle, [[middle - low], [high - middle]], color=colour,
                              marker="o", linestyle="none", label=label if index == 0 else None)  # fmt: skip
    axes.axhline(_BOUND, color=COLOURS["fit"], linewidth=0.8, linestyle="--", label=f"{_BOUND} × photon noise")
    axes.axhline(1, color=COLOURS["truth"], linewidth=0.6)
    axes.set_xticks(range(len(names)), names)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set_yticks([1, 2, 5, 10])
    axes.set_ylim(0.7, max([20.0] + [3 * row["before"] for row in sky if np.isfinite(row["before"])]))
    axes.set_xlabel("group of sky lines")
    axes.set_ylabel("rms on sky lines / photon noise")
    axes.set_title("Sky residuals, all IFUs and exposures (median, 68 %)")
    axes.legend(loc="upper left")


def _draw_offsets(axes, stars):
    measured = [row for row in stars if row.get("ifu") is not None]
    if not measured:
        _without_stars(axes, "Stars by exposure")
        return
    for style, ifu in zip(_STAR_STYLES, sorted({row["ifu"] for row in measured}), strict=False):
        own = [row for row in measured if row["ifu"] == ifu]
        axes.plot([row["west"] for row in own], [row["north"] for row in own], linestyle="none", markersize=4,
                  label=f"IFU {ifu} (detector {own[0]['detector']})", **style)  # fmt: skip
    by_exposure = {row["exposure"]: row for row in stars if row["origin"] == "stars"}
    for number, row in by_exposure.items():
        axes.annotate(str(number + 1), (row["translation_west"], row["translation_north"]), (6, 3), fontsize=5.5,
                      textcoords="offset points", color=COLOURS["truth"])  # fmt: skip
    axes.axhline(0, color=COLOURS["neutral"], linewidth=0.5)
    axes.axvline(0, color=COLOURS["neutral"], linewidth=0.5)
    axes.set_aspect("equal", "datalim")
    axes.margins(0.15)
    axes.set_xlabel("offset from the header's WCS to the west (arcsec)")
    axes.set_ylabel("to the north (arcsec)")
    axes.set_title("Stars by exposure (number)")
    axes.legend(loc="best")


def _draw_seeing(axes, stars, cubes):
    measured = [row for row in stars if row.get("ifu") is not None]
    if not measured:
        _without_stars(axes, "Seeing")
        return
    for style, ifu in zip(_STAR_STYLES, sorted({row["ifu"] for row in measured}), strict=False):
        own = [row for row in measured if row["ifu"] == ifu]
        time = [row["time"] for row in own]
        axes.plot(time, [row["fwhm"] for row in own], linewidth=0.7, label=f"IFU {ifu}, Moffat", **style)
        hollow = style | {"markerfacecolor": "white"}
        axes.plot(time, [row["fwhm_gauss"] for row in own], linestyle="none", label=f"IFU {ifu}, Gauss", **hollow)
    widths = [row["psf_fwhm"] for row in cubes if np.isfinite(row.get("psf_fwhm", np.nan))]
    if widths:
        axes.axhline(
            np.mean(widths), color=COLOURS["fit"], linewidth=0.8, linestyle="--", label="combined, with spaxels"
        )
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.6 * (high - low))  # room for the legend
    axes.set_xlabel("time since the first exposure (h)")
    axes.set_ylabel("FWHM of the stars (arcsec)")
    axes.set_title("Seeing")
    axes.legend(loc="upper left", ncols=2)


def _without_stars(axes, title):
    """Say why a panel of the stars is empty."""
    axes.set_axis_off()
    axes.set_title(title)
    axes.text(0.5, 0.5, "No star was measured:\nexposures are placed by their headers", ha="center", va="center",
              transform=axes.transAxes)  # fmt: skip


def _draw_noise(axes, cubes):
    sizes = np.array([1, 2, 3, 5, 8, 12])
    labelled = False
    for row in cubes:
        values = [row["noise_ratio"], *(row.get(f"covariance_{size}", np.nan) for size in sizes[1:])]
        axes.plot(sizes, values, color=COLOURS["psf"], marker="o", markersize=2.5, linewidth=0.5, alpha=0.7,
                  label=None if labelled else "measured, each IFU")  # fmt: skip
        labelled = True
    predicted = np.array([[1.0, *(row.get(f"predicted_{size}", np.nan) for size in sizes[1:])] for row in cubes])
    if predicted.size:
        axes.plot(sizes, predicted.mean(axis=0), color=COLOURS["fit"], label="predicted from the drops")
    axes.axhline(1, color=COLOURS["truth"], linewidth=0.6)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("side of the square summed over (spaxels)")
    axes.set_ylabel("noise / propagated error of the sum")
    axes.set_title("Noise against prediction")
    axes.legend(loc="lower right")

"""One look for all figures: sizes, fonts, colours, and the symbols of the samples (Curti et al. 2020, Fig. 5)."""

from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "COLOURS",
    "COLUMN_WIDTH",
    "MAP_COLOURS",
    "PAGE_WIDTH",
    "RC",
    "SIMULATED_STAMP",
    "paper_style",
    "sample_style",
    "save_figure",
    "stamp_simulated",
]

CENTIMETRE = 1 / 2.54  # inches
PAGE_WIDTH = 17.0 * CENTIMETRE
COLUMN_WIDTH = 8.4 * CENTIMETRE

SIMULATED_STAMP = "SIMULATED DATA"

# Okabe & Ito (2008) hues, told apart by readers with any of the common colour-vision deficiencies, but for the global
# metallicity, which is lime green as in the paper and is also told by its label.
COLOURS = {
    "measurement": "black",
    "fit": "#D00000",
    "psf": "#0072B2",
    "global": "#32CD32",
    "truth": "#555555",
    "neutral": "#999999",
    "simulated": "#D55E00",
    "low_redshift": "#0072B2",
    "high_redshift": "#D55E00",
}

MAP_COLOURS = {
    "image": "gray_r",
    "flux": "cividis",
    "metallicity": "viridis",
    "ratio": "cividis",
    "diverging": "RdBu_r",
}

RC = {
    "font.family": "DejaVu Sans",
    "font.size": 7.0,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.0,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 6.0,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.5,
    "errorbar.capsize": 0.0,
    "image.origin": "lower",
    "image.interpolation": "nearest",
    "pdf.fonttype": 42,
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
}


@contextmanager
def paper_style():
    """Draw with the rcParams of the project, whatever the user's matplotlibrc says."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def sample_style(lens, z):
    """Return marker and colours of a galaxy in figures of the sample, as keywords of ``Axes.plot``.

    Colour tells the redshift (blue below 1.8, vermilion above), the symbol the sample: filled circles for RXJ2248, open
    circles for MS2137, open squares for the strongly lensed arcs (Curti et al. 2020, Fig. 5).
    """
    colour = COLOURS["low_redshift" if z < 1.8 else "high_redshift"]
    marker = "o" if lens in {"rxj2248", "ms2137"} else "s"
    face = colour if lens == "rxj2248" else "white"
    return {"marker": marker, "markeredgecolor": colour, "markerfacecolor": face, "linestyle": "none", "color": colour}


def stamp_simulated(figure, x=0.995, y=0.992):
    """Write 'SIMULATED DATA' in a box at the upper right corner of the figure."""
    box = {"boxstyle": "square,pad=0.3", "facecolor": "white", "edgecolor": COLOURS["simulated"], "linewidth": 1.0}
    figure.text(x, y, SIMULATED_STAMP, ha="right", va="top", fontsize=8, fontweight="bold",
                color=COLOURS["simulated"], bbox=box)  # fmt: skip


def save_figure(figure, pdf, png, dpi, page=False):
    """Write a figure as PDF and PNG without dates, so that the same content gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    pdf, png : path-like
    dpi : float
    page : bool
        A page of one galaxy, of which there are many and which goes into no paper: with the fonts of Type 3, which
        journals do not take and which cost a third of the time.
    """
    if page:
        import matplotlib

        matplotlib.rcParams["pdf.fonttype"] = 3
    for path, metadata in ((pdf, {"CreationDate": None, "Creator": None}), (png, {"Software": None})):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format=Path(path).suffix.lstrip("."), dpi=dpi, metadata=metadata)

"""Distance of the pixels from the line of Kewley et al. (2001), against radius and velocity dispersion."""

import numpy as np

from klever.publish.figure_style import CENTIMETRE, COLOURS, PAGE_WIDTH, stamp_simulated

__all__ = ["draw_offset_figure"]

_BINS = 10
_MINIMUM = 20  # pixels in a bin
_HIGH_REDSHIFT = 1.8


def draw_offset_figure(pixels, simulated):
    """Draw the offset in the N2 diagram of all source-plane pixels of the survey.

    Parameters
    ----------
    pixels : list of dict
        Of each galaxy: ``z`` and, of its n pixels with the four lines, ``offset`` and ``error`` (dex), ``radius`` (kpc)
        and ``dispersion`` (km/s), ndarray of shape (n,).
    simulated : bool

    Returns
    -------
    matplotlib.figure.Figure
        17 cm wide. Dots are pixels (correlated with their neighbours); the line is the median in bins of equal numbers,
        the band their 16 to 84 per cent. An AGN would lift the innermost pixels over zero, shocks those of high
        dispersion.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PAGE_WIDTH, 7.6 * CENTIMETRE))
    for index, (name, label) in enumerate(
        (("radius", "radius [kpc]"), ("dispersion", r"$\sigma_{\mathrm{H}\alpha}$ [km/s]"))
    ):
        axes = figure.add_axes((0.075 + 0.485 * index, 0.145, 0.42, 0.725))
        axes.axhline(0.0, color="black", label="Kewley+01")
        x, y = (np.concatenate([entry[key] for entry in pixels] or [np.zeros(0)]) for key in (name, "offset"))
        used = np.isfinite(x) & np.isfinite(y)
        for high, colour, text in ((False, "low_redshift", "$z<1.8$"), (True, "high_redshift", "$z>1.8$")):
            chosen = [entry for entry in pixels if (entry["z"] > _HIGH_REDSHIFT) == high and len(entry["offset"])]
            if chosen:
                axes.plot(*(np.concatenate([entry[key] for entry in chosen]) for key in (name, "offset")), ".",
                          markersize=1.2, color=COLOURS[colour], alpha=0.35, rasterized=True, label=text)  # fmt: skip
        _running(axes, x[used], y[used])
        axes.set(xlabel=label, ylabel="offset in the N2 diagram [dex]" if index == 0 else "")
        if used.any():
            axes.set(xlim=(0, np.percentile(x[used], 99.5) * 1.05), ylim=(min(np.min(y[used]), -0.3) - 0.05, 0.6))
        axes.legend(loc="upper right", markerscale=4)
        axes.text(0.03, 0.04, f"{np.count_nonzero(used)} pixels, {np.mean(y[used] > 0):.0%} above" if used.any() else
                  "no pixel", transform=axes.transAxes, fontsize=6, color=COLOURS["truth"])  # fmt: skip
    if simulated:
        stamp_simulated(figure, x=0.98, y=0.97)
    return figure


def _running(axes, x, y):
    """Draw the median and the 16 to 84 per cent of y in bins of equal numbers along x."""
    if x.size < 2 * _MINIMUM:
        return
    parts = np.array_split(np.argsort(x, kind="stable"), min(_BINS, x.size // _MINIMUM))
    middle = [np.median(x[part]) for part in parts]
    low, median, high = np.array([np.percentile(y[part], (16, 50, 84)) for part in parts]).T
    axes.fill_between(middle, low, high, color=COLOURS["neutral"], alpha=0.35, linewidth=0, zorder=3)
    axes.plot(middle, median, color=COLOURS["fit"], zorder=4, label="median, 16-84 %")

"""Figure of the point-spread function of a pointing: widths of the stars against time, and in the cubes by band."""

import numpy as np

from klever.publish.figure_style import CENTIMETRE, COLOURS, PAGE_WIDTH, paper_style, save_figure, stamp_simulated

__all__ = ["draw_seeing"]

_COLOURS = {
    "YJ": "#56B4E9",
    "H": "#009E73",
    "K": "#E69F00",
}  # Okabe & Ito (2008), as in the figure of the lines' visibility


def draw_seeing(pdf, png, pointing, stars, combined, simulated, dpi=150):
    """Draw the figure.

    Parameters
    ----------
    pdf, png : path
    pointing : str
    stars : dict of str to list of dict
        By band: ``time`` (h), ``fwhm`` and ``fwhm_gauss`` (arcsec) of every star in every exposure; NaN is not drawn.
    combined : dict of str to list of float
        By band: FWHM of each star in the combined cubes, spaxels and drops included, arcsec.
    simulated : bool
    dpi : int
    """
    from matplotlib.figure import Figure

    bands = list(stars)
    with paper_style():
        figure = Figure(figsize=(PAGE_WIDTH, 7.5 * CENTIMETRE), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(2.2, 1), sharey=True)
        figure.suptitle(f"{pointing}: point-spread function against time and band", x=0.01, ha="left", fontsize=9)
        for number, band in enumerate(bands):
            colour = _COLOURS.get(band, COLOURS["measurement"])
            for key, marker, face, label in (("fwhm", "o", colour, "Moffat"), ("fwhm_gauss", "s", "white", "Gauss")):
                time, low, middle, high = _by_time(stars[band], key)
                left.errorbar(time, middle, [middle - low, high - middle], color=colour, marker=marker, markersize=3.5,
                              markerfacecolor=face, linewidth=0.7 if key == "fwhm" else 0, elinewidth=0.7,
                              label=f"{band}, {label}")  # fmt: skip
            widths = np.array([row["fwhm"] for row in stars[band]], float)
            widths = widths[np.isfinite(widths)]
            if widths.size:
                low, middle, high = np.quantile(widths, (0.16, 0.5, 0.84))
                right.errorbar(number - 0.12, middle, [[middle - low], [high - middle]], color=colour, marker="o")
            cubes = np.array(combined[band], float)
            right.plot(
                np.full(len(cubes), number + 0.12), cubes, "D", color=colour, markerfacecolor="white", markersize=4
            )
        left.set(xlabel="time since the first exposure of the band (h)", ylabel="FWHM of the stars (arcsec)")
        left.set_title("Exposures: mean of the stars, and their range")
        left.legend(loc="best", ncols=max(len(bands), 1))
        right.set_xticks(range(len(bands)), bands)
        right.set(xlabel="band", xlim=(-0.6, len(bands) - 0.4))
        right.set_title("● seeing (68 %)   ◇ combined cubes")
        if simulated:
            stamp_simulated(figure)
        save_figure(figure, pdf, png, dpi)


def _by_time(rows, key):
    """Return times, and lowest, mean and highest width of the stars at each."""
    rows = [row for row in rows if np.isfinite(row[key])]
    times = sorted({row["time"] for row in rows})
    widths = [[row[key] for row in rows if row["time"] == time] for time in times]
    return np.array(times), *(np.array([pick(own) for own in widths]) for pick in (min, np.mean, max))

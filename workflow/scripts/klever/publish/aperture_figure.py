"""Gradients in elliptical against circular apertures, and one galaxy in both (Curti et al. 2020, Fig. A1)."""

import numpy as np

from klever.publish.figure_style import CENTIMETRE, COLOURS, COLUMN_WIDTH, stamp_simulated

__all__ = ["draw_aperture_figure"]


def draw_aperture_figure(gradients, example, simulated):
    """Draw Fig. A1.

    Parameters
    ----------
    gradients : list of astropy.table.Table
        gradient.ecsv of the galaxies; gradients at least marginally resolved in both apertures are drawn.
    example : dict or None
        ``name``; ``log_oh``, ``radius`` by aperture (of pixels, kpc); ``annuli``, ``gradient`` (tables).
    simulated : bool

    Returns
    -------
    matplotlib.figure.Figure
        One column wide. Above: slopes with 1 sigma errors, coloured with the axis ratio of the source-plane PSF. Below:
        pixels (grey), annuli and fit of one galaxy with a very elongated PSF, in elliptical and circular apertures.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(COLUMN_WIDTH, 15.5 * CENTIMETRE), layout=None)
    upper = figure.add_axes((0.17, 0.51, 0.64, 0.41))
    _compare(figure, upper, _pairs(gradients))
    for index, aperture in enumerate(("elliptical", "circular")):
        axes = figure.add_axes((0.17, 0.245 - 0.185 * index, 0.80, 0.185))
        _profile(axes, example, aperture)
        axes.tick_params(labelbottom=index == 1)
        if index == 1:
            axes.set_xlabel("radius [kpc]")
    if simulated:
        stamp_simulated(figure, x=0.98, y=0.99)
    return figure


def _pairs(gradients):
    """Slopes and errors in elliptical and circular annuli and the PSF's axis ratio, shape (5, n)."""
    pairs = []
    for table in gradients:
        good = [row for row in table if str(row["state"]) == "ok" and str(row["resolved"]) in {"resolved", "marginal"}]
        known = {(str(row["region"]), str(row["aperture"])): row for row in good}
        for region in dict.fromkeys(region for region, _ in known):
            both = [known.get((region, aperture)) for aperture in ("elliptical", "circular")]
            if None in both:
                continue
            ratio = float(both[0]["psf_fwhm_minor_kpc"]) / float(both[0]["psf_fwhm_major_kpc"])
            pairs.append([float(row[name]) for row in both for name in ("slope", "slope_error")] + [ratio])
    return np.array(pairs).reshape(-1, 5).T


def _compare(figure, axes, pairs):
    axes.set(xlabel="gradient, elliptical apertures [dex/kpc]", ylabel="gradient, circular apertures [dex/kpc]")
    axes.yaxis.labelpad = 1
    slope, error, circular, circular_error, ratio = pairs
    if not slope.size:
        axes.text(0.5, 0.5, "no gradient in both apertures", transform=axes.transAxes, ha="center", va="center",
                  color=COLOURS["neutral"])  # fmt: skip
        return
    # the least certain galaxies do not set the scale of the figure
    clear = np.maximum(error, circular_error) <= 3 * np.median(np.maximum(error, circular_error))
    values = np.concatenate([slope[clear], circular[clear]])
    margin = 0.15 * max(np.ptp(values), 1e-3)
    limits = values.min() - margin, values.max() + margin
    axes.errorbar(
        slope, circular, circular_error, error, fmt="none", ecolor=COLOURS["neutral"], elinewidth=0.5, zorder=2
    )
    shown = axes.scatter(
        slope, circular, 18, ratio, cmap="viridis", vmin=0, vmax=1, edgecolor="black", lw=0.5, zorder=3
    )
    axes.plot(limits, limits, color=COLOURS["fit"], lw=0.9, zorder=1)
    axes.set(xlim=limits, ylim=limits)
    agree = np.abs(slope - circular) <= np.maximum(error, circular_error)
    text = f"{np.count_nonzero(agree)} of {agree.size} within 1$\\sigma$"
    axes.text(0.04, 0.96, text, transform=axes.transAxes, va="top")
    box = axes.get_position()
    bar = figure.colorbar(shown, cax=figure.add_axes((box.x1 + 0.015, box.y0, 0.025, box.height)))
    bar.set_label("axis ratio of the PSF", labelpad=2)


def _profile(axes, example, aperture):
    if example is None:
        axes.text(0.5, 0.5, "no example", transform=axes.transAxes, ha="center", va="center", color=COLOURS["neutral"])
        return
    axes.set_ylabel("12 + log(O/H)", labelpad=1)
    axes.plot(example["radius"][aperture], example["log_oh"], ".", ms=1.8, color=COLOURS["neutral"], zorder=1)
    rows = [row for row in example["annuli"] if str(row["aperture"]) == aperture and str(row["method"]) == "pixels"
            and str(row["region"]) == example["region"]]  # fmt: skip
    points = np.array([[float(row[name]) for name in ("radius_kpc", "log_oh", "log_oh_noise_error")] for row in rows])
    if points.size:
        axes.errorbar(*points.T, fmt="o", ms=3.5, color="black", elinewidth=0.7, zorder=3)
    name = f"{example['name']}, {aperture}"
    for row in example["gradient"]:
        same = str(row["aperture"]) == aperture and str(row["region"]) == example["region"]
        if same and str(row["state"]) == "ok":
            at = np.array([0.0, 1.05 * points[:, 0].max()])
            axes.plot(at, float(row["intercept"]) + float(row["slope"]) * at, color=COLOURS["fit"], zorder=2)
            name += f": ${float(row['slope']):+.3f} \\pm {float(row['slope_error']):.3f}$ dex/kpc"
    axes.text(0.02, 0.95, name, transform=axes.transAxes, va="top", fontsize=6.5)
    if points.size:
        axes.set_xlim(0, 1.1 * points[:, 0].max())
        spread = np.nanpercentile(example["log_oh"], (1, 99))
        axes.set_ylim(spread[0] - 0.02, spread[1] + 0.35 * np.ptp(spread) + 0.02)

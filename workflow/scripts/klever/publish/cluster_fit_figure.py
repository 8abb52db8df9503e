"""Figure of a cluster fitted to multiple images: critical lines, observed and predicted images, and their offsets."""

import numpy as np

from klever.publish.figure_style import CENTIMETRE, COLOURS, PAGE_WIDTH, stamp_simulated

__all__ = ["draw_cluster_fit"]

SPACING = 0.2  # arcsec, of the grid on which critical lines are found
SHOWN = 12  # realisations
# Okabe & Ito (2008); the marker changes when the colours start again
HUES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v")


def draw_cluster_fit(model, images, z_source, cosmology, simulated, seed=0):
    """Draw the critical lines of a fitted cluster with its images, and the offsets of the images.

    Parameters
    ----------
    model : klever.lensmodels.parametric.ParametricModel
        From `klever.lensfit.cluster_products.open_fit`, its tangent point at the cluster's centre.
    images : astropy.table.Table
        From `klever.lensfit.cluster_products.write_images`.
    z_source : float
        Of the critical lines.
    cosmology : mapping
        H0, Om0, Ode0.
    simulated : bool
        Whether the figure is stamped.
    seed : int
        Of the choice of realisations, whose critical lines are drawn in grey.

    Returns
    -------
    matplotlib.figure.Figure
        17 cm wide.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PAGE_WIDTH, 9.4 * CENTIMETRE), layout=None)
    sky = figure.add_axes((0.07, 0.12, 0.49, 0.80))
    offsets = figure.add_axes((0.69, 0.12, 0.29, 0.50))
    x, y = (np.ma.filled(np.ma.asarray(images[name]).astype(float), np.nan) for name in ("x", "y"))
    half = 1.15 * np.nanmax(np.abs([x, y]))
    _critical_lines(sky, model, half, z_source, cosmology, seed)
    _members(sky, model)
    families = list(dict.fromkeys(str(name) for name in images["family"]))
    status = np.array([str(value) for value in images["status"]])
    for number, family in enumerate(families):
        own = np.array([str(name) == family for name in images["family"]])
        style = {"color": HUES[number % len(HUES)], "marker": MARKERS[number // len(HUES) % len(MARKERS)]}
        redshift = float(images["z"][np.argmax(own)])
        seen = own & (status != "predicted")
        observed = [_filled(images, f"{name}_observed")[seen] for name in ("x", "y")]
        sky.plot(*observed, linestyle="none", markersize=4, label=f"{family}  (z = {redshift:.2f})", **style)
        new = own & (status == "predicted")
        sky.plot(x[new], y[new], linestyle="none", markersize=6, markerfacecolor="none", **style)
        lost = own & (status == "missing")
        sky.plot(_filled(images, "x_observed")[lost], _filled(images, "y_observed")[lost], linestyle="none",
                 marker="x", markersize=8, color="black")  # fmt: skip
        found = own & (status == "observed")
        difference = [_filled(images, f"{name}_observed")[found] - v[found] for name, v in (("x", x), ("y", y))]
        offsets.plot(*difference, linestyle="none", markersize=3.5, **style)
    sky.set(xlim=(-half, half), ylim=(-half, half), aspect="equal", xlabel="offset to the west [arcsec]",
            ylabel="offset to the north [arcsec]")  # fmt: skip
    sky.set_title(f"critical lines for z = {z_source:g}; open symbols: predicted, not observed", pad=4, loc="left")
    figure.legend(*sky.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.665, 0.92), ncols=2,
                  title="family", title_fontsize=6.5, columnspacing=1.0, handletextpad=0.2)  # fmt: skip
    reach = 1.15 * max([float(np.abs(line.get_xydata()).max(initial=1e-3)) for line in offsets.lines])
    offsets.axhline(0, color=COLOURS["neutral"], linewidth=0.5)
    offsets.axvline(0, color=COLOURS["neutral"], linewidth=0.5)
    offsets.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="observed − model, west [arcsec]",
                ylabel="observed − model, north [arcsec]")  # fmt: skip
    if simulated:
        stamp_simulated(figure, x=0.985, y=0.985)
    return figure


def _filled(table, name):
    return np.ma.filled(np.ma.asarray(table[name]).astype(float), np.nan)


def _critical_lines(axes, model, half, z_source, cosmology, seed):
    axis = np.arange(-half, half + SPACING, SPACING)
    x, y = np.meshgrid(axis, axis)
    for one, style in [(other, ("#BBBBBB", 0.4, 1)) for other in model.realisations(SHOWN, seed)] + [
        (model, (COLOURS["fit"], 1.0, 2))
    ]:
        fields = one.evaluate(x, y, z_source, cosmology)
        determinant = (1 - fields.kappa) ** 2 - fields.gamma**2
        colour, width, order = style
        axes.contour(x, y, np.clip(determinant, -2, 2), levels=[0], colors=[colour], linewidths=[width], zorder=order)


def _members(axes, model):
    """Circles of the members, whose area is as their Einstein radius."""
    members = [
        (entry["center_x"], entry["center_y"], entry.get("theta_E", 2 * entry.get("sigma0", 0) * entry.get("Ra", 0)))
        for type_, entry in zip(model.types, model.parameters, strict=True)
        if type_ in ("SIS", "PJAFFE")
    ]
    for x, y, radius in members:
        axes.plot(x, y, marker="o", color=COLOURS["neutral"], markersize=5 * np.sqrt(radius / members[0][2]),
                  markeredgewidth=0, alpha=0.6, linestyle="none", zorder=0)  # fmt: skip

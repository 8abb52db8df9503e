"""Figure of a fitted galaxy lens: image, model, residual, and the source on its adaptive mesh."""

import numpy as np

from klever.lensfit import epl
from klever.publish.figure_style import COLOURS, MAP_COLOURS, PAGE_WIDTH, stamp_simulated

__all__ = ["draw_lens_fit"]

_RESIDUAL = 4.0  # sigma


def draw_lens_fit(cutout, fit, title=""):
    """Draw data, model, residual and source of a fit.

    Parameters
    ----------
    cutout : klever.lensfit.cutout.Cutout
    fit : klever.lensfit.evidencefit.GalaxyFit
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PAGE_WIDTH, 0.56 * PAGE_WIDTH))
    axes = figure.subplots(2, 3)
    image, inversion = fit.image, fit.inversion
    light = inversion.model - inversion.arc
    residual = (image.data - inversion.model) * np.sqrt(image.weight)
    exponent = int(np.floor(np.log10(max(np.quantile(np.abs(image.data), 0.998), 1e-300))))
    unit = 10.0**-exponent
    whole = np.where(cutout.good, cutout.data, np.nan) * unit
    arc = image.image(image.data - light) * unit
    model = image.image(inversion.arc) * unit
    top = float(np.nanquantile(arc, 0.998))
    label = f"surface brightness\n(10$^{{{exponent}}}$ {_unit(cutout.unit)} pixel$^{{-1}}$)"
    panels = [
        (whole, "image", MAP_COLOURS["image"], (-0.1 * top, 1.2 * top), label),
        (arc, "arc: image without lens light", MAP_COLOURS["flux"], (0, top), label),
        (model, "model of the arc", MAP_COLOURS["flux"], (0, top), label),
        (image.image(residual), "residual", "RdBu_r", (-_RESIDUAL, _RESIDUAL), "(data \N{MINUS SIGN} model) / σ"),
    ]
    for axis, (values, name, colours, limits, quantity) in zip(axes.flat, panels, strict=False):
        drawn = axis.pcolormesh(-cutout.x, cutout.y, values, cmap=colours, vmin=limits[0], vmax=limits[1],
                                shading="nearest", rasterized=True)  # fmt: skip
        _finish(figure, axis, drawn, name, quantity)
        axis.set(xlabel="east (arcsec)", ylabel="north (arcsec)")
        axis.set_xlim(-np.min(cutout.x), -np.max(cutout.x))
    _critical_line(axes[0, 0], cutout, fit.best)
    _draw_source(figure, axes[1, 1], inversion, unit, label)
    _draw_parameters(axes[1, 2], fit)
    figure.suptitle(title, x=0.01, ha="left", fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 0.97), w_pad=0.6, h_pad=0.8)
    if cutout.simulated:
        stamp_simulated(figure)
    return figure


def _unit(text):
    """Write a unit with superscripts instead of exponents."""
    import re

    return re.sub(r"(\w)(-\d+)", r"\1$^{\2}$", text.replace("um", "µm")) if text else "counts"


def _finish(figure, axis, drawn, name, quantity):
    bar = figure.colorbar(drawn, ax=axis, pad=0.02, fraction=0.05)
    bar.set_label(quantity, fontsize=6)
    axis.set_aspect("equal")
    axis.set_title(name)


def _critical_line(axis, cutout, parameters):
    step = 1e-3
    columns = [(np.array(epl.deflection(cutout.x + dx, cutout.y + dy, parameters))
                - np.array(epl.deflection(cutout.x - dx, cutout.y - dy, parameters))) / (2 * step)
               for dx, dy in ((step, 0.0), (0.0, step))]  # fmt: skip
    inverse = (1 - columns[0][0]) * (1 - columns[1][1]) - columns[0][1] * columns[1][0]
    away = np.hypot(cutout.x - parameters[4], cutout.y - parameters[5]) > 0.2 * parameters[0]
    axis.contour(-cutout.x, cutout.y, np.where(away, inverse, np.nan), levels=[0], colors=COLOURS["fit"],
                 linewidths=0.7)  # fmt: skip


def _draw_source(figure, axis, inversion, unit, label):
    mesh = inversion.mesh
    values = np.zeros(len(mesh.points))
    values[mesh.free] = inversion.source * unit
    east, north = -mesh.points[:, 0], mesh.points[:, 1]
    drawn = axis.tripcolor(east, north, mesh.triangles, values, cmap=MAP_COLOURS["flux"], shading="gouraud", vmin=0,
                           rasterized=True)  # fmt: skip
    axis.triplot(east, north, mesh.triangles, color="white", lw=0.15, alpha=0.5)
    _finish(figure, axis, drawn, "source", label)
    bright = values > 0.05 * values.max()
    centre = np.array([np.average(p[bright], weights=values[bright]) for p in (east, north)])
    reach = 1.3 * max(np.abs(east[bright] - centre[0]).max(), np.abs(north[bright] - centre[1]).max())
    axis.set(xlabel="east (arcsec)", ylabel="north (arcsec)", xlim=(centre[0] + reach, centre[0] - reach),
             ylim=(centre[1] - reach, centre[1] + reach))  # fmt: skip


def _draw_parameters(axis, fit):
    from textwrap import dedent

    samples = fit.posterior.samples
    names = ("θ$_E$ (arcsec)", "slope γ", "e$_1$", "e$_2$", "x west (arcsec)", "y north (arcsec)",
             "shear γ$_1$", "shear γ$_2$")  # fmt: skip
    low, middle, high = np.percentile(samples, [16, 50, 84], axis=0)
    axis.axis("off")
    for i, name in enumerate(names):
        height = 0.95 - 0.095 * i
        text = f"{middle[i]:.4f} ± {0.5 * (high[i] - low[i]):.4f}".replace("-", "\N{MINUS SIGN}")
        axis.text(0.0, height, name, transform=axis.transAxes, va="top")
        axis.text(0.62, height, text, transform=axis.transAxes, va="top")
    facts = f"""\
        χ² {fit.inversion.chi2:.0f} of {fit.image.data.size} pixels
        {len(fit.inversion.mesh.points)} source vertices, {("gradient", "curvature")[fit.image.order - 1]} prior"""
    axis.text(0.0, 0.15, dedent(facts), transform=axis.transAxes, va="top", color="0.35", linespacing=1.5)

"""Panel of a radial metallicity gradient: annuli, fit, PSF size and global value (Curti et al. 2020, Fig. 7)."""

import textwrap

import numpy as np

from klever.publish.figure_style import COLOURS

__all__ = ["draw_gradient", "draw_legend", "fit_band", "quoted_annuli", "rows_of"]


def rows_of(table, **values):
    """Return the rows of a table (or list of rows) whose columns have these values."""
    return [row for row in table if all(str(row[name]) == value for name, value in values.items())]


def quoted_annuli(annuli, **values):
    """Return the rows of annuli by mean abundances of pixels, as the paper's, that have these values."""
    if "method" in getattr(annuli, "colnames", ()):
        values["method"] = "pixels"
    return rows_of(annuli, **values)


def fit_band(radius, points, slope, intercept, slope_error, intercept_error, correlation=None):
    """Half the 16-84 % width of a linear fit at each radius.

    Slope and intercept of a line are anticorrelated. Without their correlation it is taken from the weighted points.

    Parameters
    ----------
    radius : ndarray
        Where, in kpc.
    points : (ndarray, ndarray)
        Radius (kpc) and error (dex) of the annuli of the fit.
    slope, intercept, slope_error, intercept_error : float
        In dex/kpc and dex.
    correlation : float, optional
        Of slope and intercept.

    Returns
    -------
    line, half_width : ndarray, shape of `radius`
        In dex.
    """
    at, error = (np.asarray(values, dtype=float) for values in points)
    good = np.isfinite(at) & np.isfinite(error) & (error > 0)
    weight = 1 / error[good] ** 2
    if correlation is not None and np.isfinite(correlation):
        good &= False
    else:
        correlation = 0.0
    if good.sum() >= 2 and np.ptp(at[good]) > 0:
        correlation = -np.sum(weight * at[good]) / np.sqrt(np.sum(weight) * np.sum(weight * at[good] ** 2))
    tilt = slope_error * radius
    variance = intercept_error**2 + 2 * correlation * intercept_error * tilt + tilt**2
    return intercept + slope * radius, np.sqrt(np.maximum(variance, 0.0))


def draw_gradient(axes, region, annuli, gradient, properties, sentence, title="", side="left"):
    """Draw the gradient of one region.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    region : str
        Of the tables.
    annuli, gradient, properties : astropy.table.Table
        Products of the galaxy; rows without a finite metallicity are left out.
    sentence : callable
        Gives the sentence of a state.
    title : str
        Above the panel.
    side : {'left', 'right'}
        Where the metallicity axis is labelled; right where a colour bar stands on the left.
    """
    axes.set_xlabel("radius [kpc]")
    axes.set_ylabel("12 + log(O/H)", labelpad=1.5)
    axes.yaxis.set_label_position(side)
    axes.tick_params(axis="y", labelleft=side == "left", labelright=side == "right")
    axes.set_title(title.capitalize() or "gradient", pad=3)
    fits = {str(row["aperture"]): row for row in rows_of(gradient, region=region)}
    points = {name: _points(annuli, region, name) for name in ("circular", "elliptical")}
    measured = [values for values in points.values() if len(values[0])]
    reach = max([float(values[0].max()) for values in measured], default=1.0)
    hwhm = next((float(row["psf_hwhm_kpc"]) for row in fits.values()), np.nan)
    axes.set_xlim(0, 1.12 * max(reach, hwhm if np.isfinite(hwhm) and measured else 0.0))
    fit = fits.get("elliptical")
    if not measured:
        text = sentence(str(fit["state"])) if fit is not None else "no annuli"
        text = "\n".join(textwrap.wrap(text, 21))
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=6.5)
        axes.set(xticks=[], yticks=[], xlabel="", ylabel="")
        return
    if np.isfinite(hwhm):
        axes.axvspan(0, hwhm, color=COLOURS["psf"], alpha=0.12, lw=0)
        axes.plot([0, hwhm], [0.04, 0.04], color=COLOURS["psf"], lw=2.2, transform=axes.get_xaxis_transform(),
                  solid_capstyle="butt", label="PSF HWHM")  # fmt: skip
    levels = _draw_global(axes, properties)
    if fit is not None and str(fit["state"]) == "ok":
        levels += _draw_fit(axes, fit, points["elliptical"])
    # The open symbols are the larger ones: with a round PSF both apertures give the same points.
    for name, face, size in (("circular", "white", 5.0), ("elliptical", "black", 3.0)):
        radius, value, error = points[name]
        if len(radius):
            axes.errorbar(radius, value, error, fmt="o", ms=size, mfc=face, mec="black", mew=0.7,
                          ecolor="black" if face == "black" else COLOURS["neutral"], elinewidth=0.7,
                          label=name, zorder=3 + (face == "black"))  # fmt: skip
            levels += [*(value - np.nan_to_num(error)), *(value + np.nan_to_num(error))]
    _limits(axes, levels)


def draw_legend(figure, panels, y):
    """Draw one legend for all gradients, in a line of its own that ends at height `y` of the figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Where.
    panels : list of matplotlib.axes.Axes
        Of `draw_gradient`; no legend is drawn if all are empty.
    y : float
        Top of the legend, fraction of the height.
    """
    entries = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        figure.legend(
            entries.values(), entries.keys(), loc="upper right", bbox_to_anchor=(0.98, y), borderaxespad=0, borderpad=0,
            ncols=len(entries), handlelength=1.6, columnspacing=1.4, handletextpad=0.5,
        )  # fmt: skip


def _points(annuli, region, aperture):
    """Radius, metallicity and error (of noise, where it is known apart) of the annuli with a finite value."""
    rows = quoted_annuli(annuli, region=region, aperture=aperture)
    own = "log_oh_noise_error" if "log_oh_noise_error" in getattr(annuli, "colnames", ()) else "log_oh_error"
    values = np.array([[float(row[name]) for name in ("radius_kpc", "log_oh", own)] for row in rows])
    values = values.reshape(-1, 3)
    return values[np.isfinite(values[:, 0]) & np.isfinite(values[:, 1])].T


def _draw_global(axes, properties):
    """Global metallicity with its uncertainty; returns the levels that must be in view."""
    if len(properties) == 0 or str(properties[0]["state"]) != "ok":
        return []
    row = properties[0]
    value, minus, plus = (float(row[f"log_oh{end}"]) for end in ("", "_error_minus", "_error_plus"))
    if not np.isfinite(value):
        return []
    axes.axhline(value, color=COLOURS["global"], lw=1.2, label="global", zorder=1)
    axes.axhspan(value - minus, value + plus, color=COLOURS["global"], alpha=0.2, lw=0, zorder=0)
    return [value - minus, value + plus]


def _draw_fit(axes, fit, points):
    """Line and 16-84 % band; returns the levels that must be in view."""
    radius = np.linspace(0, axes.get_xlim()[1], 50)
    names = ("slope", "intercept", "slope_error", "intercept_error")
    known = float(fit["correlation"]) if "correlation" in getattr(fit, "colnames", ()) else None
    line, half = fit_band(radius, (points[0], points[2]), *(float(fit[name]) for name in names), known)
    axes.plot(radius, line, color=COLOURS["fit"], label="fit", zorder=2.5)
    axes.fill_between(radius, line - half, line + half, color=COLOURS["fit"], alpha=0.18, lw=0, zorder=2)
    return [line.min(), line.max()]


def _limits(axes, levels):
    """All levels in view, at least 0.3 dex."""
    low, high = np.nanmin(levels), np.nanmax(levels)
    middle, span = (low + high) / 2, max(high - low, 0.3)
    axes.set_ylim(middle - 0.62 * span, middle + 0.62 * span)

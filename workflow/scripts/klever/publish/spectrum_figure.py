"""Figure of the integrated spectra of a galaxy with their fits (Curti et al. 2020, Fig. 2)."""

import re

import numpy as np

from klever.publish.figure_style import CENTIMETRE, COLOURS, PAGE_WIDTH, stamp_simulated

__all__ = ["draw_spectra", "fitted_windows", "line_label", "runs", "spread"]

RESIDUAL_LIMIT = 5.0
_MASKED = "#56B4E9"  # sky blue of Okabe & Ito (2008)
_NOISE = "#CCCCCC"
_ION = re.compile(r"([A-Z][a-z]?)(I{1,3}|IV|V)(\d+)")
_GREEK = {"Halpha": r"H$\alpha$", "Hbeta": r"H$\beta$", "Hgamma": r"H$\gamma$", "Hdelta": r"H$\delta$"}
_LEFT, _RIGHT = 0.085, 0.98
# Centimetres: head of the figure, one band with the names of its lines and its tick labels, and label of the x axis.
_HEAD, _BAND, _LABELS, _TICKS, _FOOT = 1.0, 6.1, 1.35, 0.5, 0.45


def runs(flags):
    """Return first and one-past-last index of each run of True.

    Parameters
    ----------
    flags : ndarray of bool, shape (n,)

    Returns
    -------
    list of (int, int)
    """
    edges = np.flatnonzero(np.diff(np.r_[0, np.asarray(flags, dtype=int), 0]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def fitted_windows(model):
    """Return the ranges of channels that were fitted: where the model is finite; the whole band if it is nowhere."""
    return runs(np.isfinite(model)) or [(0, len(model))]


def line_label(name):
    """Return a line's name as astronomers write it, for example ``[O III] 5007`` for OIII5007."""
    ion = _ION.fullmatch(name)
    return f"[{ion[1]} {ion[2].lower().upper()}] {ion[3]}" if ion else _GREEK.get(name, name)


def spread(positions, minimum, low, high):
    """Move positions apart so that labels there do not overlap.

    Parameters
    ----------
    positions : sequence of float
        Ascending.
    minimum : float
        Smallest distance wanted; less if they do not fit.
    low, high : float
        Limits.

    Returns
    -------
    ndarray
        Ascending, within the limits, as near the positions as a group that touches allows (its mean stays).
    """
    positions = np.asarray(positions, dtype=float)
    if len(positions) < 2:
        return np.clip(positions, low, high)
    minimum = min(minimum, (high - low) / (len(positions) - 1))
    # Isotonic regression of the positions less their wanted offsets (pool adjacent violators).
    offsets = minimum * np.arange(len(positions))
    blocks = []
    for value in positions - offsets:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            last, count = blocks.pop()
            blocks[-1] = [
                (blocks[-1][0] * blocks[-1][1] + last * count) / (blocks[-1][1] + count),
                blocks[-1][1] + count,
            ]
    pooled = np.concatenate([np.full(count, value) for value, count in blocks])
    return np.clip(pooled, low, high - offsets[-1]) + offsets


def draw_spectra(bands, settings):
    """Draw the pseudo-fibre spectrum of every band with its fit, and the residuals below.

    Parameters
    ----------
    bands : list of dict
        By wavelength: ``band``, ``instrument``, arrays ``wavelength`` (um), ``flux``, ``error``, ``model``,
        ``continuum`` (erg s-1 cm-2 um-1, NaN where missing), ``masked`` (bool), all of shape (n_channels,), and
        ``marks``: list of dicts with ``line``, ``wavelength`` (um, observed) and ``detected``.
    settings : dict
        ``name``, ``redshift`` (text), ``radius`` (arcsec), ``threshold`` (S/N of a detection) and ``simulated``.

    Returns
    -------
    matplotlib.figure.Figure
        17 cm wide. Each band shows the windows that were fitted, or all of it if nothing was fitted.
    """
    from matplotlib.figure import Figure

    height = _HEAD + _BAND * len(bands) + _FOOT
    figure = Figure(figsize=(PAGE_WIDTH, height * CENTIMETRE), layout=None)
    for index, band in enumerate(bands):
        top = 1 - (_HEAD + _BAND * index + _LABELS) / height
        bottom = 1 - (_HEAD + _BAND * (index + 1) - _TICKS) / height
        _draw_band(figure, band, bottom, top)
    figure.text(0.5 * (_LEFT + _RIGHT), 0.12 / height, r"observed wavelength, vacuum [$\mu$m]", fontsize=7, ha="center",
                va="bottom")  # fmt: skip
    _head(figure, settings, height)
    return figure


def _limits(band):
    """Lowest and highest flux to show: all of the fit, and the data but for the channels of largest noise."""
    shown = np.zeros(len(band["flux"]), dtype=bool)
    for start, stop in fitted_windows(band["model"]):
        shown[start:stop] = True
    flux = band["flux"][shown & ~band["masked"] & np.isfinite(band["flux"])]
    if not flux.size:
        return -1.0, 1.0
    model = band["model"][np.isfinite(band["model"])]
    noise = np.nanmedian(band["error"][shown])
    low = min(np.percentile(flux, 0.5), -1.5 * noise, model.min(initial=np.inf))
    high = max(np.percentile(flux, 99.5), 1.5 * noise, model.max(initial=-np.inf) + noise)
    return float(low - 0.06 * (high - low)), float(high + 0.12 * (high - low))


def _draw_band(figure, band, bottom, top):
    windows, fitted = fitted_windows(band["model"]), bool(np.isfinite(band["model"]).any())
    grid = figure.add_gridspec(
        2, len(windows), left=_LEFT, right=_RIGHT, bottom=bottom, top=top, wspace=0.04, hspace=0.05,
        height_ratios=(3, 1), width_ratios=[stop - start for start, stop in windows],
    )  # fmt: skip
    low, high = _limits(band)
    power = int(np.floor(np.log10(max(abs(low), abs(high)))))
    edges, residual = _edges(band["wavelength"]), _residual(band)
    for column, (start, stop) in enumerate(windows):
        upper = figure.add_subplot(grid[0, column] if fitted else grid[:, column])
        upper.set(xlim=(edges[start], edges[stop]), ylim=(low / 10.0**power, high / 10.0**power))
        upper.locator_params(axis="y", nbins=5)
        _wavelength_ticks(upper)
        _draw_flux(upper, band, slice(start, stop), edges[start : stop + 1], 10.0**-power)
        _label_lines(upper, [mark for mark in band["marks"] if edges[start] <= mark["wavelength"] <= edges[stop]])
        panels = [(upper, f"$F_\\lambda$ [$10^{{{power}}}$ erg s$^{{-1}}$ cm$^{{-2}}$ $\\mu$m$^{{-1}}$]")]
        if fitted:
            lower = figure.add_subplot(grid[1, column], sharex=upper)
            upper.tick_params(labelbottom=False)
            _shade(lower, band["masked"][start:stop], edges[start : stop + 1])
            _draw_residual(lower, residual[start:stop], band["wavelength"][start:stop], edges[start : stop + 1])
            panels.append((lower, r"$\Delta/\sigma$"))
        for axes, label in panels:
            if column:
                axes.tick_params(labelleft=False)
            else:
                axes.set_ylabel(label, fontsize=6.3)
                middle = 0.5 * (axes.get_position().y0 + axes.get_position().y1)
                axes.yaxis.set_label_coords(0.022, middle, transform=figure.transFigure)
    first, box = (
        figure.axes[-len(windows) * (1 + fitted)],
        {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.8},
    )
    _write(first, 0.25, f"{band['band']} ({band['instrument']})", fontsize=8, fontweight="bold", bbox=box)
    if not fitted:
        text = "no data" if not np.isfinite(band["flux"]).any() else "no fit" if band["marks"] else "none of the lines"
        _write(
            first,
            2.6,
            text + (" falls in this band" if text.startswith("none") else ""),
            color=COLOURS["truth"],
            bbox=box,
        )
    finite = residual[np.isfinite(residual)]
    if finite.size:
        text = f"residuals: rms {np.sqrt(np.mean(finite**2)):.2f}"
        _write(first, 0.25, text, below=0.65, fontsize=5.8, bbox=box)


def _write(axes, centimetres, text, below=0.2, **style):
    """Write so far from the left and the upper edge of a panel (centimetres)."""
    width, height = np.array(axes.get_position().size) * axes.figure.get_size_inches() / CENTIMETRE
    axes.text(centimetres / width, 1 - below / height, text, transform=axes.transAxes, va="top", zorder=6, **style)


def _draw_flux(axes, band, part, edges, scale):
    """Draw data, noise, continuum and fit of one window, with the masked channels shaded."""
    _shade(axes, band["masked"][part], edges)
    noise = band["error"][part] * scale
    axes.stairs(noise, edges, baseline=-noise, fill=True, color=_NOISE, zorder=1)
    axes.stairs(band["flux"][part] * scale, edges, baseline=None, color=COLOURS["measurement"],
                lw=0.55 if len(edges) < 1000 else 0.3, zorder=2)  # fmt: skip
    for name, style in (("continuum", {"lw": 0.6, "ls": ":"}), ("model", {"lw": 0.9})):
        axes.plot(band["wavelength"][part], band[name][part] * scale, color=COLOURS["fit"], zorder=3, **style)


def _wavelength_ticks(axes):
    """Set as many ticks as there is room for, none so near an edge that its label meets the next panel's."""
    from matplotlib.ticker import MaxNLocator

    low, high = axes.get_xlim()
    width = axes.get_position().width * axes.figure.get_size_inches()[0] / CENTIMETRE
    ticks = MaxNLocator(max(2, int(width / 1.6)), steps=(1, 2, 5, 10)).tick_values(low, high)
    margin = min(0.45 / width, 0.2) * (high - low)
    axes.set_xticks([tick for tick in ticks if low + margin <= tick <= high - margin])


def _shade(axes, masked, edges):
    for first, last in runs(masked):
        axes.axvspan(edges[first], edges[last], color=_MASKED, alpha=0.45, lw=0, zorder=0)


def _edges(wavelength):
    """Edges of the channels, half-way between their centres."""
    middle = 0.5 * (wavelength[1:] + wavelength[:-1])
    return np.r_[2 * wavelength[0] - middle[0], middle, 2 * wavelength[-1] - middle[-1]]


def _residual(band):
    """Return (data - model) / error of the channels that were fitted, NaN elsewhere."""
    good = ~band["masked"] & (band["error"] > 0) & np.isfinite(band["model"] + band["flux"])
    residual = np.full(len(good), np.nan)
    residual[good] = (band["flux"][good] - band["model"][good]) / band["error"][good]
    return residual


def _draw_residual(axes, residual, wavelength, edges):
    axes.axhspan(-1, 1, color=_NOISE, lw=0, zorder=1)
    axes.axhline(0, color=COLOURS["fit"], lw=0.7, zorder=3)
    axes.stairs(np.clip(residual, -RESIDUAL_LIMIT, RESIDUAL_LIMIT), edges, baseline=None, color=COLOURS["measurement"],
                lw=0.5, zorder=2)  # fmt: skip
    for beyond, marker, y in ((residual > RESIDUAL_LIMIT, "^", 4.3), (residual < -RESIDUAL_LIMIT, "v", -4.3)):
        axes.plot(
            wavelength[beyond], np.full(beyond.sum(), y), marker, color=COLOURS["simulated"], ms=2.5, lw=0, zorder=4
        )
    axes.set(ylim=(-RESIDUAL_LIMIT, RESIDUAL_LIMIT), yticks=(-3, 0, 3))


def _label_lines(axes, marks):
    """Write the names of the lines above the panel, joined to their wavelengths."""
    marks = sorted(marks, key=lambda mark: mark["wavelength"])
    low, high = axes.get_xlim()
    width = axes.get_position().width * axes.figure.get_size_inches()[0]
    letter = 0.115 / width * (high - low)  # inches a vertical label needs
    places = spread([mark["wavelength"] for mark in marks], letter, low + letter / 2, high - letter / 2)
    across = axes.get_xaxis_transform()
    for mark, place in zip(marks, places, strict=True):
        colour = COLOURS["measurement"] if mark["detected"] else COLOURS["neutral"]
        axes.axvline(mark["wavelength"], color=colour, lw=0.5, ls=(0, (1, 2)), zorder=1.5)
        joint = [mark["wavelength"], mark["wavelength"], place], [1.0, 1.02, 1.06]
        axes.plot(*joint, transform=across, color=colour, lw=0.5, clip_on=False)
        axes.text(place, 1.075, line_label(mark["line"]), transform=across, rotation=90, ha="center", va="bottom",
                  fontsize=5.8, color=colour)  # fmt: skip


def _head(figure, settings, height):
    """Name, redshift, what the lines and shades are, and whether the data are simulated."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    names = f"names of lines: black detected (S/N ≥ {settings['threshold']:g}), grey fainter or masked"
    figure.text(_LEFT, 1 - 0.15 / height, settings["name"], va="top", fontsize=9, fontweight="bold")
    figure.text(_LEFT, 1 - 0.62 / height, f"{settings['redshift']}; circle of {settings['radius']:g}″ radius; {names}",
                va="top", fontsize=6.3)  # fmt: skip
    handles = [
        Line2D([], [], color=COLOURS["measurement"], lw=0.8, label="data"),
        Line2D([], [], color=COLOURS["fit"], lw=1.0, label="fit"),
        Line2D([], [], color=COLOURS["fit"], lw=0.7, ls=":", label="continuum"),
        Patch(facecolor=_NOISE, label=r"$\pm1\sigma$"),
        Patch(facecolor=_MASKED, alpha=0.45, label="masked"),
    ]
    right = _RIGHT - (0.19 if settings["simulated"] else 0)
    figure.legend(handles=handles, loc="upper right", bbox_to_anchor=(right, 1 - 0.08 / height), ncols=5, borderpad=0.2,
                  handlelength=1.4, columnspacing=1.0, handletextpad=0.4, borderaxespad=0)  # fmt: skip
    if settings["simulated"]:
        stamp_simulated(figure, x=_RIGHT, y=1 - 0.1 / height)

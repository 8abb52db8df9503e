"""Spectra of single spaxels with their fit and residual: one panel, and the figure of all groups at one spaxel."""

import re
import textwrap
from itertools import pairwise

import numpy as np

from klever.maps import Flag
from klever.publish.figure_style import COLOURS, PAGE_WIDTH, stamp_simulated

__all__ = ["draw_fit", "draw_spaxel_figure", "flag_names", "flux_exponent", "line_label", "number_text", "power_of_ten"]

_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε"}
_MASK = {"color": "0.85", "lw": 0, "zorder": 0}
_COMPONENTS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00")
_RESIDUAL_LIMIT = 4.0  # sigma, of a residual panel without larger residuals
_REACH = 6.0  # times the typical error: noisy channels of sky lines beyond it do not set the height of a panel
_GROUP_HEIGHT = 2.35  # inches of one group in the figure of a spaxel
_ABOVE, _BELOW = 0.32, 0.24  # inches


def line_label(name):
    """Return a name of a line as it is printed: Hα, [O III] 5007; other names as they are."""
    base, _, suffix = name.partition("_")
    suffix = f" {suffix.lower()}" if suffix else ""
    if (match := re.fullmatch(r"(H|Pa|Br)(alpha|beta|gamma|delta|epsilon)", base, re.IGNORECASE)) is not None:
        series = {"h": "H", "pa": "Pa", "br": "Br"}[match[1].lower()]
        return f"{series}{_GREEK[match[2].lower()]}{suffix}"
    if (match := re.fullmatch(r"(He|Ne|Ar|Fe|[ONSC])([IV]+)(\d*)", base)) is not None:
        ion = f"{match[1]}\N{THIN SPACE}{match[2]}"
        return f"{ion if match[1] == 'He' else f'[{ion}]'} {match[3]}".rstrip() + suffix
    return name


def flag_names(flags):
    """Names of the flags set, in the order of their bits."""
    return [flag.name for flag in Flag if int(flags) & int(flag)]


def flux_exponent(values):
    """Power of ten that brings the largest of `values` between 1 and 10; 0 without one above zero."""
    finite = np.abs(values[np.isfinite(values)])
    return int(np.floor(np.log10(finite.max()))) if finite.size and finite.max() > 0 else 0


def power_of_ten(exponent, unit):
    """Label of a unit with its power of ten."""
    number = "" if exponent == 0 else rf"$10^{{{exponent}}}$ "
    return f"{number}{unit}"


def number_text(fit, separator="\n"):
    """S/N, chi2, velocity and dispersion of a fit."""
    if not fit.fitted:
        return "no fit"
    value = fit.numbers
    first = f"S/N {fit.snr:.1f}   χ² {value['chi2']:.2f}".replace("-", "\N{MINUS SIGN}")
    velocity = f"{value['velocity']:+.0f}".replace("-", "\N{MINUS SIGN}")
    speed = (f"v {velocity} ± {value['velocity_error']:.0f}   "
             f"σ {value['dispersion']:.0f} ± {value['dispersion_error']:.0f} km/s")  # fmt: skip
    return f"{first}{separator}{speed}"


def draw_fit(axes, residual_axes, fit, exponent=0, limits=None, headroom=0.0):
    """Draw data, error, fit and masked channels into `axes`, and the residual in units of the error below.

    Parameters
    ----------
    axes, residual_axes : matplotlib.axes.Axes
    fit : klever.publish.spaxel_fit.SpaxelFit
    exponent : int
        The flux density is shown in units of ten to this power.
    limits : (float, float), optional
        Range of wavelength (micrometre); the whole window by default.
    headroom : float
        Fraction of the height kept free at the top, for text.
    """
    low, high = limits or (fit.wavelength[0], fit.wavelength[-1])
    shown = (fit.wavelength >= low) & (fit.wavelength <= high)
    wavelength = fit.wavelength[shown]
    axes.set_xlim(low, high)
    residual_axes.set_xlim(low, high)
    axes.tick_params(labelbottom=False)
    if not shown.any():
        return
    unit = 10.0**-exponent
    flux, error = fit.flux[shown] * unit, fit.error[shown] * unit
    _shade(axes, residual_axes, wavelength, fit.used[shown])
    axes.fill_between(wavelength, flux - error, flux + error, step="mid", color="0.78", lw=0, zorder=1)
    axes.plot(wavelength, flux, drawstyle="steps-mid", color="0.15", lw=0.6, zorder=2)
    curves = [flux]
    if fit.fitted:
        curves.append(_draw_model(axes, fit, wavelength, shown, unit))
        residual = fit.residual[shown]
        residual_axes.plot(wavelength, residual, drawstyle="steps-mid", color="0.15", lw=0.6, zorder=2)
        largest = np.nanmax(np.abs(residual), initial=_RESIDUAL_LIMIT, where=np.isfinite(residual))
        residual_axes.set_ylim(-1.1 * largest, 1.1 * largest)
    else:
        residual_axes.set_ylim(-_RESIDUAL_LIMIT, _RESIDUAL_LIMIT)
    residual_axes.axhline(0.0, color=COLOURS["fit"], lw=0.6, zorder=1)
    if fit.fitted and np.isfinite(error).any():
        reach = _REACH * np.nanmedian(error)
        curves[0] = np.clip(flux, curves[1] - reach, curves[1] + reach)
    _set_height(axes, curves, headroom)
    _ticks(axes, residual_axes)


def _draw_model(axes, fit, wavelength, shown, unit):
    """Draw continuum, components and their sum; returns the sum."""
    total = fit.total[shown] * unit
    axes.plot(wavelength, fit.continuum[shown] * unit, color="#0072B2", lw=0.6, ls=(0, (4, 2)), zorder=3)
    if len(fit.lines) > 1:
        for colour, curve in zip(_COMPONENTS, fit.lines.values(), strict=False):
            component = (fit.continuum + curve)[shown] * unit
            axes.plot(wavelength, component, color=colour, lw=0.6, ls=(0, (1, 1)), zorder=3)
    axes.plot(wavelength, total, color=COLOURS["fit"], lw=0.9, zorder=4)
    return total


def _set_height(axes, curves, headroom):
    finite = np.concatenate([curve[np.isfinite(curve)] for curve in curves])
    if not finite.size:
        axes.set_ylim(0.0, 1.0)
        return
    low, high = finite.min(), finite.max()
    reach = (high - low) or abs(high) or 1.0
    axes.set_ylim(low - 0.06 * reach, low + 1.06 * reach / (1.0 - headroom))


def _shade(axes, residual_axes, wavelength, used):
    """Shade runs of channels that are not used."""
    if len(wavelength) < 2:
        return
    half = 0.5 * np.median(np.diff(wavelength))
    padded = np.concatenate([[True], used, [True]]).astype(int)
    starts, stops = np.flatnonzero(np.diff(padded) < 0), np.flatnonzero(np.diff(padded) > 0)
    for start, stop in zip(starts, stops, strict=True):
        for panel in (axes, residual_axes):
            panel.axvspan(wavelength[start] - half, wavelength[stop - 1] + half, **_MASK)


def _ticks(axes, residual_axes):
    from matplotlib.ticker import FormatStrFormatter, MaxNLocator

    width = axes.get_position().width * axes.figure.get_size_inches()[0]
    residual_axes.xaxis.set_major_locator(MaxNLocator(max(2, int(width / 0.45)), steps=[1, 2, 5, 10]))
    residual_axes.xaxis.set_major_formatter(FormatStrFormatter("%.3f"))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], prune="lower"))
    residual_axes.yaxis.set_major_locator(MaxNLocator(2, symmetric=True))


def draw_spaxel_figure(fits, title, notes=(), simulated=False):
    """Draw all groups of a band at one spaxel; call within `klever.publish.figure_style.paper_style`.

    Parameters
    ----------
    fits : list of klever.publish.spaxel_fit.SpaxelFit
    title : str
    notes : iterable of str
        Sentences written below, for example that the saved maps differ.
    simulated : bool

    Returns
    -------
    matplotlib.figure.Figure
        17 cm wide.
    """
    from matplotlib.figure import Figure

    notes = [line for note in notes for line in textwrap.wrap(note, 125)]
    below = _BELOW + 0.12 * len(notes)
    height = _ABOVE + _GROUP_HEIGHT * len(fits) + below
    figure = Figure(figsize=(PAGE_WIDTH, height), layout=None)
    for row, fit in enumerate(fits):
        _draw_group(figure, fit, height - _ABOVE - row * _GROUP_HEIGHT, height)
    figure.text(
        0.5,
        (below - 0.08) / height,
        "vacuum wavelength [µm]   (shaded: channels not used in the fit)",
        ha="center",
        va="center",
    )
    figure.text(0.02, 1 - 0.07 / height, title, ha="left", va="top", fontsize=9, fontweight="bold")
    if notes:
        figure.text(0.02, 0.05 / height, "\n".join(notes), ha="left", va="bottom", fontsize=6.5, color="#A03000",
                    linespacing=1.25)  # fmt: skip
    if simulated:
        stamp_simulated(figure, x=0.985, y=1 - 0.07 / height)
    return figure


def _draw_group(figure, fit, top, height):
    """Draw one group below `top` (inches from the bottom): a panel for each stretch of its window."""
    stretches = _stretches(fit)
    exponent = flux_exponent(fit.flux)
    left, right, gap = 0.075, 0.985, 0.045
    lengths = np.array([high - low for low, high in stretches])
    widths = lengths / lengths.sum() * (right - left - gap * (len(stretches) - 1))
    text = f"{line_label(fit.model.names[fit.model.main])} ({fit.model.group.name})   {_flux_text(fit)}   "
    text += number_text(fit, "   ")
    figure.text(left, (top - 0.20) / height, text, ha="left", va="bottom", fontsize=7)
    if names := flag_names(fit.flags):
        figure.text(right, (top - 0.20) / height, ", ".join(names), ha="right", va="bottom", fontsize=6,
                    color="#A03000")  # fmt: skip
    panels = []
    for (low, high), width in zip(stretches, widths, strict=True):
        axes = figure.add_axes((left, (top - 1.58) / height, width, 1.34 / height))
        residual_axes = figure.add_axes((left, (top - 2.05) / height, width, 0.45 / height))
        draw_fit(axes, residual_axes, fit, exponent, (low, high), headroom=0.12)
        _name_lines(axes, fit, low, high)
        panels.append((axes, residual_axes))
        left += width + gap
    for group in zip(*panels, strict=True):
        limits = [axes.get_ylim() for axes in group]
        for axes in group:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    axes, residual_axes = panels[0]
    axes.set_ylabel(power_of_ten(exponent, r"erg s$^{-1}$ cm$^{-2}$" "\n" r"µm$^{-1}$ spaxel$^{-1}$"), labelpad=3,
                    fontsize=6)  # fmt: skip
    residual_axes.set_ylabel("residual\n/ error", fontsize=6, labelpad=3)


def _flux_text(fit):
    flux, error = fit.numbers["flux"], fit.numbers["flux_error"]
    if not np.isfinite(flux):
        return "no flux"
    exponent = flux_exponent(np.array([flux, error]))
    scale = 10.0**-exponent
    value = f"{flux * scale:.2f}".replace("-", "\N{MINUS SIGN}")
    return f"({value} ± {error * scale:.2f}) {power_of_ten(exponent, r'erg s$^{-1}$ cm$^{-2}$')}"


def _stretches(fit):
    """Ranges of wavelength of the contiguous parts of the window."""
    index = np.flatnonzero(fit.near)
    if not index.size:
        return [(fit.wavelength[0], fit.wavelength[-1])]
    breaks = [-1, *np.flatnonzero(np.diff(index) > 1), index.size - 1]
    return [(fit.wavelength[index[a + 1]], fit.wavelength[index[b]]) for a, b in pairwise(breaks)]


def _name_lines(axes, fit, low, high):
    """Mark the lines at their fitted (else systemic) velocity; names that would touch are joined."""
    velocity = fit.numbers["velocity"] if fit.fitted else 0.0
    centres = fit.model.centres(velocity)
    named = sorted((centre, line_label(name)) for centre, name in zip(centres, fit.model.names, strict=True)
                   if low < centre < high)  # fmt: skip
    width = axes.get_position().width * PAGE_WIDTH
    room, groups = 0.42 / width * (high - low), []
    for centre, label in named:
        axes.axvline(centre, 0.0, 0.91, color="0.5", lw=0.5, ls=(0, (1, 2)), zorder=1)
        if groups and centre - groups[-1][0][-1] < room:
            groups[-1][0].append(centre)
            groups[-1][1].append(label)
        else:
            groups.append(([centre], [label]))
    for places, labels in groups:
        axes.text(np.mean(places), 0.985, _joined(labels), ha="center", va="top", fontsize=5.5, clip_on=True, zorder=5,
                  transform=axes.get_xaxis_transform())  # fmt: skip


def _joined(labels):
    """Join names of neighbouring lines: ``[S II] 6717, 6731``."""
    joined = labels[0]
    for before, label in pairwise(labels):
        ion = before.rpartition(" ")[0]
        joined += ", " + (label.removeprefix(f"{ion} ") if ion else label)
    return joined

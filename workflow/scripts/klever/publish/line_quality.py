"""The page on the quality of a galaxy's fits: maps and chosen spectra of every band and group of lines."""

import numpy as np

from klever.maps import Flag
from klever.publish.figure_style import PAGE_WIDTH, stamp_simulated
from klever.publish.quality_block import FLAG_COLOURS, OTHER_FLAG, matrix_of, worst_flag
from klever.publish.spaxel_figure import draw_fit, flag_names, flux_exponent, line_label, number_text, power_of_ten

__all__ = ["draw_quality_page"]

_KINDS = {"brightest": "brightest", "middle": "S/N near 5", "limit": "near the limit", "worst": "worst"}
_REACH = 1500.0  # km/s on both sides of the main line in the spectra
_SPEED_OF_LIGHT = 299792.458

# Inches, from the top of a block: its title, colour bars, maps, names of the flags, spectra, residuals.
_BLOCK, _HEADER, _NOTE = 3.88, 0.36, 0.30
_LEFT, _RIGHT, _GAP = 0.50, 0.10, 0.10
_MAP_TOP, _SPECTRUM_TOP, _SPECTRUM, _RESIDUAL = 0.64, 2.19, 0.98, 0.33


def draw_quality_page(blocks, notes, settings):
    """Draw the page; call within `klever.publish.figure_style.paper_style`.

    Parameters
    ----------
    blocks : list of klever.publish.quality_block.Block
        With their `fits`: (kind, `klever.publish.spaxel_fit.SpaxelFit`) in the order of their numbers.
    notes : list of str
        Sentences on bands without a block.
    settings : dict
        ``name``, ``z``, ``simulated`` and ``lines`` with ``detection_snr``.

    Returns
    -------
    matplotlib.figure.Figure
        17 cm wide, as tall as its blocks need.
    """
    from matplotlib.figure import Figure

    height = _HEADER + _BLOCK * len(blocks) + _NOTE * len(notes)
    figure = Figure(figsize=(PAGE_WIDTH, height), layout=None)
    title = f"{settings['name']}    $z$ = {settings['z']:.4g}    quality of the line fits"
    figure.text(0.02, 1 - 0.08 / height, title, ha="left", va="top", fontsize=9, fontweight="bold")
    if settings.get("simulated"):
        stamp_simulated(figure, x=0.985, y=1 - 0.08 / height)
    for row, block in enumerate(blocks):
        _draw_block(figure, block, height - _HEADER - row * _BLOCK, settings)
    for row, note in enumerate(notes):
        figure.text(0.02, (0.12 + _NOTE * (len(notes) - 1 - row)) / height, note, ha="left", va="bottom", fontsize=7.5)
    return figure


def _draw_block(figure, block, top, settings):
    """Draw maps and spectra of one group below `top` (inches from the bottom)."""
    width, height = figure.get_size_inches()
    header = block.maps.header
    side = (width - _LEFT - _RIGHT - 5 * _GAP) / 6
    snr = float(settings["lines"]["detection_snr"])
    spatial = f"smoothed by {header['SMOOTH']:.2f}″"
    if "BINLINE" in header:
        spatial = f"in bins of S/N {header['BINSNR']:g} in {line_label(header['BINLINE'])}"
    text = (f"{line_label(block.main)} ({block.group.lower()})    seeing {header['PSFFWHM']:.2f}″, {spatial}; errors × "
            f"{header.get('ERRSCALE', 1.0):.2f}; {int((block.snr >= snr).sum())} spaxels at S/N ≥ {snr:g}, with "
            f"velocity")  # fmt: skip
    figure.text(0.02, (top - 0.05) / height, block.band, ha="left", va="top", fontsize=8.5, fontweight="bold")
    figure.text(_LEFT / width, (top - 0.06) / height, text, ha="left", va="top", fontsize=7.5)
    figure.add_artist(_rule(0.02, 0.985, (top - 0.0) / height))
    maps = _maps(block, snr)
    ny, nx = block.shape
    wide, tall = side * min(1.0, nx / ny), side * min(1.0, ny / nx)
    for column, (kind, values, label, limits) in enumerate(maps):
        left, bottom = _LEFT + column * (side + _GAP) + 0.5 * (side - wide), top - _MAP_TOP - tall
        axes = figure.add_axes((left / width, bottom / height, wide / width, tall / height))
        _show(axes, block, kind, values, label, limits)
        axes.set(xlabel="Δx [arcsec]")
        axes.xaxis.labelpad = 1
        if column == 0:
            axes.set_ylabel("Δy [arcsec]", labelpad=0)
            _mark(axes, block)
        else:
            axes.tick_params(labelleft=False)
    _flag_legend(figure, block, (top - _MAP_TOP - side - 0.29) / height)
    _draw_spectra(figure, block, top, snr)


def _rule(left, right, y):
    from matplotlib.lines import Line2D

    return Line2D([left, right], [y, y], color="0.6", lw=0.5)


def _maps(block, snr):
    """Kind, values, label and limits of the six maps."""
    exponent = flux_exponent(block.flux)
    with np.errstate(invalid="ignore"):
        detected = block.snr >= snr
    flux = block.flux * 10.0**-exponent
    velocity, dispersion = (np.where(detected, values, np.nan) for values in (block.velocity, block.dispersion))
    unit = power_of_ten(exponent, r"erg s$^{-1}$ cm$^{-2}$")
    return [
        ("flux", flux, f"flux\n{unit}", _limits(flux, 1, 99.7)),
        ("flux", block.snr, "S/N", _limits(block.snr, 1, 99.7)),
        ("velocity", velocity, "velocity\nkm s$^{-1}$", _symmetric(velocity)),
        ("dispersion", dispersion, "dispersion\nkm s$^{-1}$", _limits(dispersion, 2, 98)),
        ("chi2", block.chi2, "reduced χ²", _limits(block.chi2, 1, 99)),
        ("flags", block.flags, "flags", None),
    ]


def _limits(values, low, high):
    """Percentiles, so that a few wild spaxels do not set the colours; a little apart where they coincide."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = np.percentile(finite, (low, high))
    return (low, high) if high - low > 1e-6 * max(abs(low), abs(high)) else (low - 0.5, high + 0.5)


def _symmetric(values):
    """Limits about the median, so that the middle colour is the systemic velocity of the galaxy."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    middle = np.median(finite)
    reach = max(np.percentile(np.abs(finite - middle), 95), 5.0)
    return middle - reach, middle + reach


_CMAPS = {"flux": "cividis", "velocity": "RdBu_r", "dispersion": "viridis", "chi2": "magma_r"}


def _show(axes, block, kind, values, label, limits):
    from matplotlib.ticker import MaxNLocator

    axes.set_facecolor("#DDDDDD")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], prune="both"))
    axes.set(xlim=block.extent[:2], ylim=block.extent[2:])
    centre = 0.5 * sum(axes.get_position().intervalx)
    figure = axes.figure
    height = figure.get_size_inches()[1]
    title_at = axes.get_position().y1 + (0.05 if kind == "flags" else 0.21) / height
    figure.text(centre, title_at, label, ha="center", va="bottom", fontsize=6.5, linespacing=1.05)
    if kind == "flags":
        from matplotlib.colors import ListedColormap

        colours = ListedColormap(["white", *FLAG_COLOURS.values(), OTHER_FLAG])
        axes.imshow(worst_flag(values), extent=block.extent, cmap=colours, vmin=-0.5, vmax=len(colours.colors) - 0.5,
                    aspect="auto")  # fmt: skip
        return
    if limits is None:
        axes.text(0.5, 0.5, "no spaxel", transform=axes.transAxes, ha="center", va="center", color="0.35")
        return
    axes.imshow(values, extent=block.extent, cmap=_CMAPS[kind], vmin=limits[0], vmax=limits[1], aspect="auto")
    box = axes.get_position()
    bar = figure.add_axes((box.x0, box.y1 + 0.03 / height, box.width, 0.05 / height))
    bar.imshow(np.linspace(0, 1, 128)[None], extent=[*limits, 0, 1], aspect="auto", cmap=_CMAPS[kind])
    bar.set_yticks([])
    ticks, margin = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(*limits), 0.07 * (limits[1] - limits[0])
    bar.set_xticks(ticks[(ticks > limits[0] + margin) & (ticks < limits[1] - margin)])
    bar.tick_params(axis="x", top=True, bottom=False, labeltop=True, labelbottom=False, length=1.5, pad=0.5,
                    labelsize=5.5, direction="out")  # fmt: skip


def _mark(axes, block):
    """Write the numbers of the chosen spaxels, show north and east, and the beam."""
    from matplotlib.patches import Circle
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=1.4, foreground="white")]
    for number, (_, fit) in enumerate(block.fits, start=1):
        x, y = block.offset(fit.x, fit.y)
        axes.plot(x, y, "+", color="#D55E00", ms=3.5, mew=0.9, path_effects=halo)
        axes.annotate(str(number), (x, y), xytext=(2.2, 1.6), textcoords="offset points", fontsize=6.5,
                      fontweight="bold", color="#B03000", path_effects=halo, clip_on=False)  # fmt: skip
    header = block.maps.header
    radius = 0.5 * np.hypot(header["PSFFWHM"], header["SMOOTH"])
    left, right, bottom, top = block.extent
    margin = 0.05 * (right - left)
    axes.add_patch(Circle((left + margin + radius, bottom + margin + radius), radius, fc="none", ec="white", lw=0.8))
    matrix = matrix_of(header)
    if abs(np.linalg.det(matrix)) < 1e-20:
        return
    length = 0.14 * (right - left)
    origin = (right - 0.12 * (right - left), bottom + 0.08 * (top - bottom))
    for direction, name in zip(np.linalg.inv(matrix).T, "EN", strict=True):
        step = direction / np.hypot(*direction) * length
        axes.annotate("", xy=(origin[0] + step[0], origin[1] + step[1]), xytext=origin,
                      arrowprops={"arrowstyle": "-|>", "lw": 0.7, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 4,
                                  "color": "white"})  # fmt: skip
        axes.text(origin[0] + 1.45 * step[0], origin[1] + 1.45 * step[1], name, ha="center", va="center", fontsize=5.5,
                  color="white")  # fmt: skip


def _flag_legend(figure, block, y):
    """Name the flags that occur with the number of spaxels that have them."""
    from matplotlib.patches import Patch

    present = [flag for flag in [*FLAG_COLOURS, *(set(Flag) - set(FLAG_COLOURS))]
               if np.any(block.flags & int(flag))]  # fmt: skip
    handles = [Patch(fc="white", ec="0.5", lw=0.4, label=f"no flag {int(np.sum(block.flags == 0))}")]
    for flag in present:
        count = int(np.count_nonzero(block.flags & int(flag)))
        handles.append(Patch(fc=FLAG_COLOURS.get(flag, OTHER_FLAG), ec="0.5", lw=0.4, label=f"{flag.name} {count}"))
    figure.legend(handles=handles, loc="upper right", bbox_to_anchor=(0.995, y), ncols=min(len(handles), 6),
                  fontsize=5.5, handlelength=0.9, handleheight=0.9, columnspacing=0.9, handletextpad=0.4,
                  borderpad=0.0)  # fmt: skip


def _draw_spectra(figure, block, top, snr):
    width, height = figure.get_size_inches()
    gap = 0.34
    panel = (width - _LEFT - _RIGHT - 3 * gap) / 4
    start = top - _SPECTRUM_TOP
    if not block.fits:
        figure.text(_LEFT / width, (start - 0.5) / height, "No spaxel of this group could be fitted.", fontsize=7.5)
        return
    exponent = max(flux_exponent(fit.flux) for _, fit in block.fits)
    for column, (kind, fit) in enumerate(block.fits):
        left = (_LEFT + column * (panel + gap)) / width
        box = (left, (start - _SPECTRUM) / height, panel / width, _SPECTRUM / height)
        axes = figure.add_axes(box)
        residual_axes = figure.add_axes((left, (start - _SPECTRUM - _RESIDUAL) / height, panel / width,
                                         _RESIDUAL / height))  # fmt: skip
        centre = fit.model.centres(0.0)[fit.model.main]
        reach = centre * _REACH / _SPEED_OF_LIGHT
        limits = max(centre - reach, fit.wavelength[0]), min(centre + reach, fit.wavelength[-1])
        draw_fit(axes, residual_axes, fit, exponent, limits, headroom=0.36)
        title = _KINDS[kind].replace("the limit", f"S/N {snr:g}")
        title = rf"$\mathbf{{{column + 1}}}$  {title}  ({fit.x}, {fit.y})"
        figure.text(left, (start + 0.03) / height, title, va="bottom", fontsize=6.5)
        axes.text(0.05, 0.965, number_text(fit), transform=axes.transAxes, va="top", fontsize=5.5, linespacing=1.3)
        below = "\n".join(filter(None, (", ".join(flag_names(fit.flags)), _outside(fit, limits))))
        axes.text(0.05, 0.74, below, transform=axes.transAxes, va="top", fontsize=5, color="#A03000")
        if column == 0:
            axes.set_ylabel(power_of_ten(exponent, r"erg s$^{-1}$" "\n" r"cm$^{-2}$ µm$^{-1}$"), fontsize=6, labelpad=2)
            residual_axes.set_ylabel("resid.\n/ error", fontsize=6, labelpad=2)
        residual_axes.set_xlabel("wavelength [µm]", labelpad=1)


def _outside(fit, limits):
    """Say where the largest residual is, if it is not on the panel."""
    residual = np.where(np.isfinite(fit.residual), np.abs(fit.residual), 0.0)
    place = int(np.argmax(residual))
    if residual[place] < 4.5 or limits[0] <= fit.wavelength[place] <= limits[1]:
        return ""
    return f"{residual[place]:.1f}σ at {fit.wavelength[place]:.4f} µm"

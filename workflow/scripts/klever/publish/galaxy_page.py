"""The page of one galaxy: source-plane maps and metallicity gradient (Curti et al. 2020, Fig. 7 and B1-B10)."""

import textwrap

import numpy as np

from klever.maps import MapSet, masked
from klever.publish.figure_style import COLOURS, MAP_COLOURS, PAGE_WIDTH, stamp_simulated
from klever.publish.gradient_panel import draw_gradient, draw_legend, quoted_annuli, rows_of
from klever.publish.page_frame import Frame

__all__ = ["draw_example", "draw_page", "gradient_sentence", "state_sentence"]

RATIOS = {
    "N2": r"log [N$\,$II]/H$\alpha$",
    "R3": r"log [O$\,$III]/H$\beta$",
    "S2": r"log [S$\,$II]/H$\alpha$",
    "S3S2": r"log [S$\,$III]/[S$\,$II]",
    "O3O2": r"log [O$\,$III]/[O$\,$II]",
}

_SENTENCES = {
    "not_detected": "No metallicity map: too few pixels pass the S/N thresholds.",
    "too_few_annuli": "No gradient: too few annuli hold enough measured pixels.",
    "excluded": "Left out of the metallicity analysis (see its note in the table of galaxies).",
    "outside_lens_model": "Outside the lens model: there is no source plane.",
    "no_line_in_band": "None of the lines of the analysis falls into the observed bands.",
    "unresolved": "The gradient is not resolved: it ends within the HWHM of the source-plane PSF.",
}


# Page: edges of the panels (fractions of the width), gap between columns (fraction of a panel, for a colour bar), title
# above and gap between rows (inches).
_OUTLINE_SPACING = 0.6  # mm between outlines of annuli on the page, along their minor axes
_LEFT, _RIGHT, _GAP, _ABOVE, _BETWEEN = 0.068, 0.932, 0.50, 0.56, 0.50


def state_sentence(state):
    """Return a sentence for a state that is not ``ok``; an empty one for ``ok``."""
    return "" if state == "ok" else _SENTENCES.get(state, f"No metallicity: {state.replace('_', ' ')}.")


def gradient_sentence(state, map_state, source_psf):
    """Return why there is no gradient; `not_detected` with a metallicity map is not the lack of a map."""
    if state != "not_detected" or map_state != "ok":
        return state_sentence(state)
    if len(source_psf) == 0 or not np.isfinite(float(source_psf[0]["fwhm_major"])):
        return "No gradient: the PSF in the source plane could not be measured."
    return "No gradient: no annulus about the centre holds a measured pixel."


def draw_page(source, metallicity, annuli, gradient, source_psf, properties, settings, residuals=None, asymmetry=()):
    """Draw the page; call within `klever.publish.figure_style.paper_style`.

    Parameters
    ----------
    source, metallicity : klever.maps.MapSet
        Source-plane products.  Any map may be missing or all NaN; then its panel says so or is left out.
    annuli, gradient, source_psf, properties : astropy.table.Table
        Any may be empty.
    settings : dict
        ``galaxy``, ``name``, ``z``, ``lens``, ``simulated``.
    residuals : klever.maps.MapSet, optional
        RESIDUAL: metallicity minus its radial profile.
    asymmetry : astropy.table.Table, optional
        What the map holds beside its profile.

    Returns
    -------
    matplotlib.figure.Figure
        17 cm wide; offsets in kpc from the mapped catalogue position.
    """
    from matplotlib.figure import Figure

    frame = Frame(source)
    regions = list(dict.fromkeys(str(row["region"]) for row in gradient)) or ["all"]
    halpha = _values(metallicity, "HALPHA", source)
    log_oh = _values(metallicity, "LOG_OH")
    ratios = {name: values for name in RATIOS if np.isfinite(values := _values(metallicity, name)).any()}
    velocity, residual = _velocity(source), _values(residuals or MapSet(), "RESIDUAL")
    beyond = {"residual": residual, "velocity": velocity}
    beyond = {name: values for name, values in beyond.items() if np.isfinite(values).any()}
    maps = ["image", "halpha", "metallicity", *ratios, *beyond]
    single = len(regions) == 1
    if single:
        maps.insert(3, "gradient")
    if len(maps) % 4 == 1 and maps[-1] == "velocity":
        maps.pop()  # not a row for it alone
    rows = -(-len(maps) // 4) + (not single)
    map_state = str(metallicity.header.get("STATE", "ok"))

    def sentence(state):
        return gradient_sentence(state, map_state, source_psf)

    footer = _footer(map_state, gradient, properties, settings, sentence, asymmetry)
    side = PAGE_WIDTH * (_RIGHT - _LEFT) / (4 + 3 * _GAP)
    below = 0.60 + 0.125 * len(footer.splitlines())
    height = _ABOVE + rows * side + (rows - 1) * _BETWEEN + below
    figure = Figure(figsize=(PAGE_WIDTH, height), layout=None)
    grid = figure.add_gridspec(rows, 4, left=_LEFT, right=_RIGHT, top=1 - _ABOVE / height, bottom=below / height,
                               wspace=_GAP, hspace=_BETWEEN / side)  # fmt: skip
    half = frame.half_width(log_oh, _significant(source, halpha), _reach(annuli))
    panels = []
    for index, name in enumerate(maps):
        axes = figure.add_subplot(grid[divmod(index, 4)])
        if name == "gradient":
            draw_gradient(axes, regions[0], annuli, gradient, properties, sentence, side="right")
            panels.append(axes)
            continue
        axes.set(xlim=(-half, half), ylim=(-half, half), aspect="equal", xlabel="$x$ [kpc]")
        if index % 4 == 0:
            axes.set_ylabel("$y$ [kpc]", labelpad=1)
        else:
            axes.set_yticklabels([])
        if name in {"image", "halpha", "metallicity"}:
            values = {"image": _values(source, "F160W"), "halpha": halpha, "metallicity": log_oh}[name]
            _main_map(axes, name, values, frame, half, annuli, source_psf)
        elif name in beyond:
            title = {"residual": "log(O/H) $-$ profile", "velocity": "velocity [km/s]"}[name]
            _show(axes, beyond[name], frame, "diverging", title, centred=name == "residual")
        else:
            _show(axes, ratios[name], frame, "ratio", RATIOS[name])
    if not single:
        line = grid[rows - 1, :].subgridspec(1, len(regions), wspace=0.22)
        for index, region in enumerate(regions):
            axes = figure.add_subplot(line[index])
            draw_gradient(axes, region, annuli, gradient, properties, sentence, title=region)
            panels.append(axes)
    draw_legend(figure, panels, (below - 0.34) / height)
    _titles(figure, height, settings)
    figure.text(0.02, 0.06 / height, footer, ha="left", va="bottom", fontsize=6.5, linespacing=1.25)
    return figure


def draw_example(panels, source, metallicity, annuli, gradient, source_psf, properties):
    """Draw one galaxy of Fig. 7: F160W, Halpha, metallicity with its apertures, gradient of its first region.

    Parameters
    ----------
    panels : list of matplotlib.axes.Axes
        Four.
    source, metallicity, annuli, gradient, source_psf, properties
        As for `draw_page`.
    """
    frame = Frame(source)
    region = next((str(row["region"]) for row in gradient), "all")
    halpha, log_oh = _values(metallicity, "HALPHA", source), _values(metallicity, "LOG_OH")
    map_state = str(metallicity.header.get("STATE", "ok"))
    half = frame.half_width(log_oh, _significant(source, halpha), _reach(annuli))
    maps = {"image": _values(source, "F160W"), "halpha": halpha, "metallicity": log_oh}
    for axes, (name, values) in zip(panels[:3], maps.items(), strict=True):
        axes.set(xlim=(-half, half), ylim=(-half, half), aspect="equal", xlabel="$x$ [kpc]")
        _main_map(axes, name, values, frame, half, annuli, source_psf)
        if axes is not panels[0]:
            axes.set_yticklabels([])
    panels[0].set_ylabel("$y$ [kpc]", labelpad=1)
    draw_gradient(panels[3], region, annuli, gradient, properties,
                  lambda state: gradient_sentence(state, map_state, source_psf), side="right")  # fmt: skip


def _main_map(axes, name, values, frame, half, annuli, source_psf):
    """Show the image, the line or the metallicity with what belongs on it."""
    if name == "image":
        _show(axes, values, frame, "image", "HST F160W", limits=(2, 99.7), stretch=True)
        _compass(axes, frame, half)
    elif name == "halpha":
        peak = np.nanmax(values) if np.isfinite(values).any() else np.nan
        _show(axes, values / peak if peak > 0 else values, frame, "flux", r"H$\alpha$ (peak = 1)", (None, 1.0))
    else:
        _show(axes, values, frame, "metallicity", "12 + log(O/H)")
        _apertures(axes, frame, annuli, source_psf)
        _psf(axes, source_psf, half)


def _values(maps, name, fallback=None):
    """Usable values of a map, from `fallback` when `maps` has none, all NaN without it."""
    for origin in (maps, fallback):
        if origin is not None and name in origin and np.isfinite(values := masked(origin, name)[0]).any():
            return values
    shape = next((product.value.shape for product in maps.maps.values()), (1, 1))
    return np.full(shape, np.nan)


def _velocity(source):
    """Velocity of the gas in the source plane about its median, where the line is significant."""
    for group, line in (("HALPHA", "HALPHA"), ("OIII", "OIII5007")):
        name = f"VELOCITY_{group}"
        if name in source and line in source and source[line].error is not None:
            values = np.where(np.isfinite(masked(source, line, snr=5.0)[0]), masked(source, name)[0], np.nan)
            if np.isfinite(values).any():
                return values - np.nanmedian(values)
    return _values(MapSet(), "")


def _significant(source, halpha):
    """Halpha where it exceeds 3 sigma (anywhere, without errors), to frame the page on the galaxy."""
    if "HALPHA" in source and source["HALPHA"].error is not None:
        return masked(source, "HALPHA", snr=3.0)[0]
    return halpha


def _reach(annuli):
    outer = [float(row["radius_outer_kpc"]) for row in annuli if np.isfinite(float(row["log_oh"]))]
    return max(outer, default=0.0)


def _show(axes, values, frame, kind, label, limits=(2, 98), stretch=False, centred=False):
    """Show a map with its colour bar; `limits` are percentiles, or (None, 1) for the range 0 to 1.

    `centred` puts the middle of the colours at zero.
    """
    axes.set_title(label, pad=3)
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color=COLOURS["neutral"])
        return
    low, high = (0.0, 1.0) if limits[0] is None else np.percentile(finite, limits)
    if high - low < 1e-6 * max(abs(high), abs(low)):
        low, high = low - 0.05, high + 0.05
    if centred:
        high = np.ceil(100 * max(abs(low), abs(high))) / 100
        low = -high
    norm = None
    if stretch:
        from matplotlib.colors import PowerNorm

        # The brightest pixel of an image says nothing of the shape of the galaxy; its faint parts do.
        norm, values = PowerNorm(0.5, 0.0, 1.0), (values - low) / (high - low)
    shown = axes.imshow(values, extent=frame.extent, cmap=MAP_COLOURS[kind], norm=norm,
                        **({} if norm else {"vmin": low, "vmax": high}))  # fmt: skip
    if kind == "image":
        return
    bar_axes = axes.inset_axes([1.03, 0.0, 0.05, 1.0])
    bar = axes.figure.colorbar(shown, cax=bar_axes)
    bar.outline.set_linewidth(0.5)
    bar.locator = _locator(4) if not centred else _ends(high)
    bar.ax.tick_params(length=1.5, pad=1.5)


def _ends(high):
    from matplotlib.ticker import FixedLocator

    return FixedLocator([-high, 0.0, high])


def _locator(bins):
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(bins)


def _apertures(axes, frame, annuli, source_psf):
    """Outline elliptical annuli that hold a value, about the centre of their region; the outermost one always.

    Where the PSF is so elongated that neighbouring outlines would run together, some are left out.
    """
    half, side = axes.get_xlim()[1], axes.get_position().width * PAGE_WIDTH * 25.4
    row = source_psf[0] if len(source_psf) else None
    flatness = np.sqrt(float(row["fwhm_minor"]) / float(row["fwhm_major"])) if row is not None else 1.0
    flatness = flatness if np.isfinite(flatness) else 1.0
    outer = {}
    for row in quoted_annuli(annuli, aperture="elliptical"):
        if np.isfinite(float(row["log_oh"])):
            outer.setdefault(str(row["region"]), []).append(float(row["radius_outer_kpc"]))
    for region, radii in outer.items():
        x, y = _region_centre(frame, annuli, region)
        drawn = np.inf
        for radius in sorted(radii, reverse=True):
            if (drawn - radius) * flatness * side / (2 * half) >= _OUTLINE_SPACING:
                drawn = radius
                _ellipse(axes, x, y, 2 * radius, source_psf, fill=False, lw=0.6, ec="black")


def _region_centre(frame, annuli, region):
    """Centre of a region in kpc, from the metadata of the annuli; the origin without it."""
    centre = annuli.meta.get("centres", {}).get(region)
    return (0.0, 0.0) if centre is None else frame.offset(float(centre["x"]), float(centre["y"]))


def _ellipse(axes, x, y, diameter, source_psf, **style):
    """Add an ellipse of the PSF's shape whose area is that of a circle of this diameter (kpc)."""
    from matplotlib.patches import Ellipse

    row = source_psf[0] if len(source_psf) else None
    major, minor = (1.0, 1.0) if row is None else (float(row["fwhm_major"]), float(row["fwhm_minor"]))
    # Position angles run from north (up) through east (left): the angle from +x is 90 degrees more.
    angle = 0.0 if row is None else 90.0 + float(row["position_angle"])
    stretch = np.sqrt(major / minor) if minor > 0 and np.isfinite(major) else 1.0
    angle = angle if np.isfinite(angle) else 0.0
    axes.add_patch(Ellipse((x, y), diameter * stretch, diameter / stretch, angle=angle, **style))


def _psf(axes, source_psf, half):
    """Shade the PSF's FWHM ellipse in the lower left corner."""
    if len(source_psf) == 0:
        return
    major, minor = (float(source_psf[0][f"fwhm_{axis}_kpc"]) for axis in ("major", "minor"))
    if not (major > 0 and minor > 0):
        return
    angle = np.radians(90.0 + float(source_psf[0]["position_angle"]))
    width, height = (np.hypot(major * a, minor * b) / 2 for a, b in ((np.cos(angle), np.sin(angle)),
                                                                     (np.sin(angle), np.cos(angle))))  # fmt: skip
    margin = 0.06 * half - half
    _ellipse(axes, margin + width, margin + height, np.sqrt(major * minor), source_psf, fc="black", alpha=0.55,
             ec="white", lw=0.6)  # fmt: skip


def _compass(axes, frame, half):
    """Arrows to north and east, and a scale bar."""
    x, y, length = 0.80 * half, 0.46 * half, 0.30 * half
    style = {"arrowstyle": "-|>", "lw": 0.7, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 5, "color": "black"}
    for direction, name in ((frame.north, "N"), (frame.east, "E")):
        end = (x + length * direction[0], y + length * direction[1])
        axes.annotate("", xy=end, xytext=(x, y), arrowprops=style)
        label = (x + 1.3 * length * direction[0], y + 1.3 * length * direction[1])
        axes.text(*label, name, ha="center", va="center", fontsize=6)
    lengths = np.array([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50])
    bar = lengths[np.argmin(np.abs(lengths - 0.5 * half))]
    axes.plot([-0.88 * half, -0.88 * half + bar], [-0.84 * half] * 2, color="black", lw=1.6, solid_capstyle="butt")
    axes.text(-0.88 * half + bar / 2, -0.79 * half, f"{bar:g} kpc", ha="center", va="bottom", fontsize=6)


def _titles(figure, height, settings):
    """Name, redshift and lens."""
    lens = str(settings.get("lens") or "none")
    title = f"{settings['name']}    $z$ = {settings['z']:.4g}    lens: {lens.upper() if lens != 'none' else lens}"
    figure.text(0.02, 1 - 0.08 / height, title, ha="left", va="top", fontsize=9, fontweight="bold")
    if settings.get("simulated"):
        stamp_simulated(figure, x=0.98, y=1 - 0.08 / height)


def _signed(value, digits=3):
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _footer(map_state, gradient, properties, settings, sentence, asymmetry=()):
    """Say what was measured, or why not."""
    parts = [] if settings.get("include", True) else [state_sentence("excluded")]
    if map_state not in {"ok", "excluded"} or (map_state == "excluded" and not parts):
        parts.append(state_sentence(map_state))
    for row in rows_of(gradient, aperture="elliptical"):
        region = "" if str(row["region"]) == "all" else f" ({row['region']})"
        if str(row["state"]) == "ok":
            parts.append(f"Gradient{region} {_signed(float(row['slope']))} ± {float(row['slope_error']):.3f} dex/kpc, "
                         f"{row['resolved']}{_intrinsic(row)}.")  # fmt: skip
        elif (reason := sentence(str(row["state"]))) not in parts and map_state == "ok":
            parts.append(f"{reason}{region}")
    if len(properties) and str(properties[0]["state"]) == "ok":
        row = properties[0]
        parts.append(f"Global 12 + log(O/H) = {float(row['log_oh']):.2f} from {row['diagnostics']}.")
    for row in asymmetry:
        if str(row["state"]) == "ok":
            region = "" if str(row["region"]) == "all" else f" ({row['region']})"
            parts.append(
                f"Beside the profile{region}: dipole {float(row['dipole']):.2f}, quadrupole "
                f"{float(row['quadrupole']):.2f} dex (p = {float(row['chi2_p']):.2g}); with star formation "
                f"ρ = {_signed(float(row['sfr_residual_correlation']), 2)} "
                f"(p = {float(row['sfr_residual_correlation_p']):.2g})."
            )
    return "\n".join(textwrap.wrap("  ".join(parts), 128))


def _intrinsic(row):
    """Say what the gradient is before the PSF flattens it, where that is known."""
    if "slope_intrinsic" not in row.colnames or not np.isfinite(float(row["slope_intrinsic"])):
        return ""
    value, error = float(row["slope_intrinsic"]), float(row["slope_intrinsic_error"])
    return f"; {_signed(value)} ± {error:.3f} without the PSF"

"""Systems whose metallicity maps are not axisymmetric (Curti et al. 2020, Fig. 11)."""

import numpy as np

from klever.maps import masked
from klever.publish.figure_style import CENTIMETRE, COLOURS, MAP_COLOURS, PAGE_WIDTH, stamp_simulated

__all__ = ["draw_disturbed_figure", "enclosed_levels"]

FRACTIONS = (0.50, 0.68, 0.85, 0.97)  # of the line's light inside the contours
TITLES = ("HST F160W", "HST F814W", "F814W, source plane", "velocity [km/s]", "12 + log(O/H)")
_SIDE = 2.55 * CENTIMETRE


def draw_disturbed_figure(systems, simulated):
    """Draw Fig. 11.

    Parameters
    ----------
    systems : list of dict
        ``name``; ``aligned``, ``source``, ``metallicity`` (MapSet); ``images`` (dict of str to ndarray on the grid of
        `aligned`: F160W, F814W); ``delensed`` (ndarray on the grid of `source`: F814W); ``slope`` (str).
    simulated : bool

    Returns
    -------
    matplotlib.figure.Figure
        17 cm wide, one row per system: the images in the image plane (arcsec), and in the source plane (kpc) the
        de-lensed image, the velocity of the gas and the metallicity. Contours hold 50, 68, 85 and 97 per cent of the
        light of Halpha ([O III] without it); crosses mark the peak of the F160W continuum.
    """
    from matplotlib.figure import Figure

    rows = max(len(systems), 1)
    height = 1.9 * CENTIMETRE + rows * (_SIDE + 0.62 * CENTIMETRE)
    figure = Figure(figsize=(PAGE_WIDTH, height), layout=None)
    grid = figure.add_gridspec(rows, 5, left=0.055, right=0.955, top=1 - 1.35 * CENTIMETRE / height,
                               bottom=0.95 * CENTIMETRE / height, wspace=0.42, hspace=0.24)  # fmt: skip
    for index, system in enumerate(systems):
        axes = [figure.add_subplot(grid[index, column]) for column in range(5)]
        _draw(axes, system)
        if index == 0:
            for panel, title in zip(axes, TITLES, strict=True):
                panel.set_title(title, pad=15)
        for column, panel in enumerate(axes):
            if index == rows - 1:
                panel.set_xlabel("[arcsec]" if column < 2 else "[kpc]", labelpad=1)
        text = f"{system['name']}   {system['slope']}".rstrip()
        axes[0].text(0.0, 1.03, text, transform=axes[0].transAxes, ha="left", va="bottom", fontsize=6.5,
                     fontweight="bold")  # fmt: skip
    if simulated:
        stamp_simulated(figure, x=0.985, y=1 - 0.08 * CENTIMETRE / height)
    return figure


def enclosed_levels(light, fractions=FRACTIONS):
    """Return the brightnesses, ascending, above which these fractions of the light of a map lie.

    Parameters
    ----------
    light : ndarray
        NaN where the map is not significant; only positive pixels count.
    fractions : tuple of float

    Returns
    -------
    ndarray
        Empty without light; levels that coincide are given once.
    """
    values = np.sort(light[np.isfinite(light) & (light > 0)])[::-1]
    if not values.size:
        return np.empty(0)
    share = np.cumsum(values / values[0])
    index = np.searchsorted(share, np.array(fractions) * share[-1])
    return np.unique(values[np.minimum(index, values.size - 1)])


def _draw(axes, system):
    line = next((name for name in ("HALPHA", "OIII5007") if name in system["source"]), None)
    image_light, source_light = (_light(system[name], line) for name in ("aligned", "source"))
    header = system["source"].header
    kpc = header["PIXSCALE"] * header["KPC_ARC"]
    image_scale = system["aligned"].header["PIXSCALE"]
    peak = _peak(system["images"].get("F160W"), image_light)
    source_peak = _peak(_values(system["source"], "F160W"), source_light)
    velocity = _values(system["source"], f"VELOCITY_{'HALPHA' if line == 'HALPHA' else 'OIII'}")
    velocity = np.where(np.isfinite(source_light), velocity, np.nan)
    velocity = velocity - np.nanmedian(velocity) if np.isfinite(velocity).any() else velocity
    panels = (
        (system["images"].get("F160W"), "image", image_light, image_scale, peak),
        (system["images"].get("F814W"), "image", image_light, image_scale, peak),
        (system["delensed"], "image", source_light, kpc, source_peak),
        (velocity, "diverging", source_light, kpc, source_peak),
        (_values(system["metallicity"], "LOG_OH"), "metallicity", source_light, kpc, source_peak),
    )
    for panel, (values, kind, light, size, mark) in zip(axes, panels, strict=True):
        _panel(panel, values, kind, light, size, mark)


def _light(maps, line):
    """Return the line where it is significant, in the connected region of its peak."""
    from scipy.ndimage import label

    shape = maps[maps.names()[0]].value.shape
    if line is None or line not in maps:
        return np.full(shape, np.nan)
    values = masked(maps, line, 3.0)[0]
    regions, number = label(np.isfinite(values))
    if not number:
        return values
    total = np.bincount(regions.ravel(), weights=np.nan_to_num(values).ravel())
    total[0] = 0
    return np.where(regions == np.argmax(total), values, np.nan)


def _values(maps, name):
    shape = maps[maps.names()[0]].value.shape
    return masked(maps, name)[0] if name in maps else np.full(shape, np.nan)


def _peak(image, light):
    """Return the pixel (x, y) of the brightest point of the smoothed image where the line is, else of the line."""
    from scipy.ndimage import gaussian_filter

    for values in (image, light):
        if values is None or not np.isfinite(values).any():
            continue
        smooth = gaussian_filter(np.nan_to_num(values / np.nanmax(np.abs(values))), 2.0)
        inside = np.isfinite(light) if np.isfinite(light).any() else np.ones(light.shape, bool)
        y, x = np.unravel_index(np.argmax(np.where(inside, smooth, -np.inf)), light.shape)
        return float(x), float(y)
    return None


def _panel(axes, values, kind, light, size, mark):
    ny, nx = light.shape
    rows, columns = np.nonzero(np.isfinite(light))
    axes.set(aspect="equal")
    x0, y0 = mark or ((nx - 1) / 2, (ny - 1) / 2)
    extent = [(-0.5 - x0) * size, (nx - 0.5 - x0) * size, (-0.5 - y0) * size, (ny - 0.5 - y0) * size]
    if rows.size:
        # a square about the line's light
        middle = (columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2
        half = 0.58 * max(np.ptp(columns), np.ptp(rows)) + 2
        axes.set(xlim=[(middle[0] + s * half - x0) * size for s in (-1, 1)],
                 ylim=[(middle[1] + s * half - y0) * size for s in (-1, 1)])  # fmt: skip
    axes.tick_params(labelsize=5.5, pad=1.5)
    if values is None or not np.isfinite(values).any():
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color=COLOURS["neutral"])
        return
    shown = np.isfinite(values) & (np.isfinite(light) if kind != "image" else True)
    low, high = np.percentile(
        values[shown] if shown.any() else values[np.isfinite(values)], (2, 99 if kind == "image" else 98)
    )
    if kind == "diverging":
        high = max(abs(low), abs(high))
        low = -high
    drawn = axes.imshow(values, extent=extent, cmap=MAP_COLOURS[kind], vmin=low, vmax=max(high, low + 1e-30))
    levels = enclosed_levels(light)
    if levels.size:
        x, y = (np.arange(nx) - x0) * size, (np.arange(ny) - y0) * size
        axes.contour(x, y, np.nan_to_num(light) / levels[-1], levels / levels[-1], linewidths=0.5,
                     colors=COLOURS["simulated"] if kind == "image" else "black")  # fmt: skip
    if mark:
        axes.plot(0, 0, "+", color="white", ms=7.5, mew=2.2)
        axes.plot(0, 0, "+", color="black", ms=6, mew=1.0)
    if kind != "image":
        bar_axes = axes.inset_axes([1.03, 0.0, 0.05, 1.0])
        bar = axes.figure.colorbar(drawn, cax=bar_axes)
        bar.outline.set_linewidth(0.5)
        bar.ax.tick_params(length=1.5, pad=1, labelsize=5.5)
        from matplotlib.ticker import MaxNLocator

        bar.locator = MaxNLocator(4)

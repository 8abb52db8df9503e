"""Figure of a lensed field: colour image, fields of the cubes, critical lines (Curti et al. 2020, Fig. 1)."""

import numpy as np

from klever.grids import Grid, read_image
from klever.publish.figure_style import CENTIMETRE, COLOURS, stamp_simulated

__all__ = ["RGB_FILTERS", "Mosaic", "colour_filters", "draw_field", "field_limits", "footprint"]

RGB_FILTERS = ("F814W", "F606W", "F435W")
CRITICAL_COLOURS = ("#00D7D7", "#E8402C")  # cyan and red, as in the paper; solid and dashed besides
_FOOTPRINT = "#3BDB3B"
_MARGIN = 0.06  # of the field, around what is to be seen
_WIDTH = 11.0 * CENTIMETRE


def colour_filters(available):
    """Return the filters of the red, green and blue channel.

    Parameters
    ----------
    available : collection of str
        Names such as ``F160W``.

    Returns
    -------
    list of str
        Those of the paper where all three exist, else the reddest, middle and bluest by name; of fewer than three the
        reddest alone; empty without any.
    """
    if set(RGB_FILTERS) <= set(available):
        return list(RGB_FILTERS)

    def wavelength(name):
        number = int("".join(c for c in name if c.isdigit()))
        return number * 10 if number < 200 else number  # F160W is 1.6 um, F814W 0.81 um

    names = sorted(available, key=wavelength, reverse=True)
    return [names[0], names[len(names) // 2], names[-1]] if len(names) >= 3 else names[:1]


def footprint(header, shape, origin):
    """Return the corners of an image on the sky, shape (5, 2): arcsec west and north of `origin`, closed."""
    ny, nx = shape
    x, y = np.array([-0.5, nx - 0.5, nx - 0.5, -0.5, -0.5]), np.array([-0.5, -0.5, ny - 0.5, ny - 0.5, -0.5])
    return np.column_stack(Grid(header, shape, origin).offsets(x, y))


def field_limits(outlines, lines):
    """Return the square that shows all cubes and the critical lines near them.

    Parameters
    ----------
    outlines, lines : list of ndarray, shape (n, 2)
        Fields of the cubes and critical lines, arcsec.

    Returns
    -------
    west, north : pair of (float, float)
        Limits of the two axes, ascending.
    """
    points = np.concatenate([*outlines, *lines])
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, (0.5 + _MARGIN) * (high - low).max()
    return tuple((float(centre - half), float(centre + half)) for centre in middle)


class Mosaic:
    """Images of one filter put together on a grid of the field.

    Parameters
    ----------
    west, north : ndarray, shapes (nx,) and (ny,)
        Positions of the columns and rows, arcsec.
    origin : pair of float
        (ra, dec) in degrees of the tangent point.
    """

    def __init__(self, west, north, origin):
        self.west, self.north, self.origin = west, north, origin
        self.value = np.full((north.size, west.size), np.nan)

    def add(self, path):
        """Put an image where nothing is yet, per square arcsec: its nearest pixel, or the mean of those of a cell.

        Parameters
        ----------
        path : path-like
            FITS image with a celestial WCS, read only where the field needs it.
        """
        data, header = read_image(path)
        grid = Grid(header, data.shape, self.origin, name=str(path))
        corners = footprint(header, data.shape, self.origin)
        columns, rows = (
            np.flatnonzero((axis >= corners[:, k].min()) & (axis <= corners[:, k].max()))
            for k, axis in enumerate((self.west, self.north))
        )
        if not (columns.size and rows.size):
            return
        part = np.ix_(rows, columns)
        binned = round((self.west[1] - self.west[0]) / grid.pixel_scale)
        if binned > 1:
            from scipy.ndimage import uniform_filter

            data = uniform_filter(np.asarray(data, dtype=float), binned)
        x, y = grid.pixels(*np.meshgrid(self.west[columns], self.north[rows]))
        x, y = np.rint(x).astype(int), np.rint(y).astype(int)
        inside = (x >= 0) & (x < data.shape[1]) & (y >= 0) & (y < data.shape[0]) & ~np.isfinite(self.value[part])
        value = self.value[part]
        value[inside] = np.asarray(data[y[inside], x[inside]], dtype=float) / grid.pixel_area
        self.value[part] = value


def draw_field(field, settings):
    """Draw the field; call within `klever.publish.figure_style.paper_style`.

    Parameters
    ----------
    field : dict
        ``west``, ``north`` (arcsec; of the columns and rows), ``channels`` (list of 0, 1 or 3 ndarrays, shape (ny, nx),
        reddest first, NaN where there is no image), ``filters`` (their names), ``kappa`` (ndarray, shape (ny, nx), the
        convergence, shown where there is no image), ``outlines`` (dict of galaxy to ndarray, shape (n, 2)),
        ``critical`` (list of (z, lines)).
    settings : dict
        ``title``, ``centre`` ((ra, dec), degrees, of the offsets) and ``simulated``.

    Returns
    -------
    matplotlib.figure.Figure
        11 cm wide, north up, east left.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    height = _WIDTH + 0.8 * CENTIMETRE
    figure = Figure(figsize=(_WIDTH, height), layout=None)
    axes = figure.add_axes((0.115, 1.55 * CENTIMETRE / height, 0.87, 0.87 * _WIDTH / height))
    west, north = field["west"], field["north"]
    steps = [(axis[-1] - axis[0]) / (axis.size - 1) / 2 for axis in (west, north)]
    extent = [west[0] - steps[0], west[-1] + steps[0], north[0] - steps[1], north[-1] + steps[1]]
    axes.imshow(_picture(field), extent=[-extent[0], -extent[1], *extent[2:]])
    handles = []
    for (z, lines), colour, style in zip(field["critical"], CRITICAL_COLOURS, ("-", (0, (4, 1.2))), strict=True):
        shown = [line * [-1, 1] for line in lines]
        axes.add_collection(LineCollection(shown, colors=colour, linewidths=0.9, linestyles=[style]))
        handles.append(Line2D([], [], color=colour, ls=style, lw=1.2, label=f"critical lines, $z$ = {z:g}"))
    outlines = [outline * [-1, 1] for outline in field["outlines"].values()]
    axes.add_collection(LineCollection(outlines, colors=_FOOTPRINT, linewidths=0.9))
    handles.append(Line2D([], [], color=_FOOTPRINT, lw=1.2, label="fields of the cubes"))
    _name(axes, field["outlines"], extent)
    axes.set(xlim=(-extent[0], -extent[1]), ylim=extent[2:], xlabel="offset to the east [arcsec]",
             ylabel="offset to the north [arcsec]", aspect="equal")  # fmt: skip
    axes.tick_params(color="white", which="both")
    legend = axes.legend(handles=handles, loc="lower left", labelcolor="white", handlelength=2.6, frameon=True,
                         facecolor="black", framealpha=0.6, edgecolor="none")  # fmt: skip
    legend.set_zorder(6)
    _compass(axes)
    figure.text(0.012, 0.988, settings["title"], ha="left", va="top", fontsize=8.5, fontweight="bold")
    centre = "offsets from RA {:.5f}, Dec {:+.5f} deg".format(*settings["centre"]).replace("-", "\N{MINUS SIGN}")
    foot = f"{_legend(field)}\n{centre}"
    figure.text(0.012, 0.012, foot, ha="left", va="bottom", fontsize=5.8, color=COLOURS["truth"])
    if settings["simulated"]:
        stamp_simulated(figure, x=0.985)
    return figure


def _picture(field):
    """Return red, green and blue (0 to 1), shape (ny, nx, 3): the image, and the convergence where there is none."""
    from astropy.visualization import make_lupton_rgb

    with np.errstate(invalid="ignore", divide="ignore"):
        grey = 0.10 + 0.32 * np.clip((np.log10(field["kappa"]) + 1.5) / 1.8, 0, 1)
    picture = np.repeat(np.nan_to_num(grey)[..., None], 3, axis=2)
    channels = field["channels"]
    if not channels:
        return picture
    channels = [channels[0]] * 3 if len(channels) == 1 else channels
    known = np.isfinite(channels).all(axis=0)
    if not known.any():
        return picture
    # One scale per channel: galaxies whose flux density does not change with wavelength would else all be blue.
    scales = [_bright(channel[known]) for channel in channels]
    scaled = [np.where(known, channel, 0.0) / scale for channel, scale in zip(channels, scales, strict=True)]
    noise = max(_noise(channel[known]) for channel in scaled)
    # Black a little below the sky, and noise well below white: clipped at zero the noise would be of all colours.
    image = make_lupton_rgb(*scaled, minimum=-1.5 * noise - 1e-3, stretch=max(0.5, 5 * noise), Q=5) / 255.0
    return np.where(known[..., None], image, picture)


def _bright(values):
    """Return the flux of the brightest pixels that are not single outliers; 1 for an empty image."""
    bright = float(np.percentile(values, 99.7) - np.median(values))
    return bright if bright > 0 else 1.0


def _noise(values):
    """Return the scatter of the faint half of the pixels, as 1 sigma."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _name(axes, outlines, extent):
    """Write the name of each galaxy beside its field, those of one field in one text, none over another's."""
    places = {}
    for galaxy, outline in outlines.items():
        key = tuple(np.round(outline.mean(axis=0), 0))
        names, corners = places.setdefault(key, ([], outline))
        names.append(galaxy)
    if len(places) > 8 and max(len(galaxy) for galaxy in outlines) > 8:
        return  # long catalogue names of a full field would cover it
    middle = (extent[0] + extent[1]) / 2
    for names, corners in places.values():
        right = corners[:, 0].mean() > middle
        x, y = (corners[:, 0].min() if right else corners[:, 0].max()), corners[:, 1].mean()
        axes.annotate(", ".join(names), (-x, y), xytext=(-2 if right else 2, 0), textcoords="offset points",
                      ha="right" if right else "left", va="center", fontsize=5, color="white", zorder=5)  # fmt: skip


def _compass(axes):
    """Arrows to north and east in the upper left corner."""
    style = {"arrowstyle": "-|>", "lw": 0.8, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 6, "color": "white"}
    start = (0.12, 0.88)
    for end, label, name in (((0.12, 0.96), (0.12, 0.975), "N"), ((0.04, 0.88), (0.025, 0.88), "E")):
        axes.annotate("", xy=end, xytext=start, xycoords="axes fraction", textcoords="axes fraction", arrowprops=style)
        axes.text(*label, name, transform=axes.transAxes, ha="center", va="center", fontsize=6, color="white")


def _legend(field):
    if not field["filters"]:
        return "background: log convergence of the lens model"
    names = field["filters"]
    image = "/".join(names) + " (red/green/blue)" if len(names) == 3 else names[0]
    covered = bool(np.isfinite(field["channels"]).all())
    return f"image: {image}" + ("" if covered else "; grey elsewhere: log convergence")

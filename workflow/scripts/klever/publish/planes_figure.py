"""Figure of one galaxy in the image and in the source plane: HST image, line contours, velocity (Fig. 3).

Curti et al. (2020), MNRAS 492, 821, Fig. 3.
"""

import numpy as np

from klever.maps import masked
from klever.publish.figure_style import CENTIMETRE, COLOURS, MAP_COLOURS, stamp_simulated

__all__ = ["LINES", "Plane", "contour_levels", "draw_planes", "velocity_limit"]

# Line whose contours are drawn, the name on the figure, and the group that gives the velocity.
LINES = {"HALPHA": (r"H$\alpha$", "HALPHA"), "OIII5007": (r"[O$\,$III] 5007", "OIII")}
FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the peak
_SNR = 3.0
_WIDTH = 13.7 * CENTIMETRE
_VELOCITY_COLOURS = "RdBu_r"


class Plane:
    """Maps of a galaxy in one plane, in arcsec from a centre.

    Parameters
    ----------
    maps : klever.maps.MapSet
        aligned.fits or source.fits; rows run north, columns west.
    centre : pair of float
        0-based pixel of the origin.
    psf : tuple of float
        FWHM along both axes (arcsec) and position angle of the first (degrees from north through east); NaN if unknown.
    """

    def __init__(self, maps, centre, psf):
        self.maps, self.psf = maps, psf
        self.shape = maps[maps.names()[0]].value.shape if maps.names() else (1, 1)
        self.scale = float(maps.header["PIXSCALE"])
        self.centre = tuple(float(value) for value in centre)
        ny, nx = self.shape
        west = (np.arange(nx) - self.centre[0]) * self.scale
        self.east, self.north = -west, (np.arange(ny) - self.centre[1]) * self.scale
        edge = self.scale / 2
        self.extent = [self.east[0] + edge, self.east[-1] - edge, self.north[0] - edge, self.north[-1] + edge]

    def values(self, name, snr=None):
        """Usable values of a map, NaN elsewhere; all NaN without the map."""
        if name not in self.maps:
            return np.full(self.shape, np.nan)
        return masked(self.maps, name, snr if self.maps[name].error is not None else None)[0]

    def galaxy(self, line):
        """Return where the line is significant, holes filled: the brightest connected region, and others that count.

        These are no smaller than the PSF and have 5 % of the flux of the brightest.
        """
        from scipy.ndimage import binary_fill_holes, label

        regions, number = label(np.isfinite(self.values(line, _SNR)))
        if not number:
            return regions > 0
        sizes = np.bincount(regions.ravel())
        fluxes = np.bincount(regions.ravel(), weights=np.nan_to_num(self.values(line)).ravel())
        fluxes[0] = 0.0
        area = np.pi / 4 * self.psf[0] * self.psf[1] / self.scale**2
        kept = (fluxes >= 0.05 * fluxes.max()) & ((sizes >= area) | (fluxes == fluxes.max()))
        kept[0] = False
        return binary_fill_holes(kept[regions])

    def window(self, line, psf_margin=0.8):
        """Return limits (east, west, south, north) of a square about `galaxy`; the whole grid without one."""
        y, x = np.nonzero(self.galaxy(line))
        if x.size == 0:
            return self.extent
        (w, e), (s, n) = np.percentile(-self.east[x], [0.5, 99.5]), np.percentile(self.north[y], [0.5, 99.5])
        margin = psf_margin * np.nan_to_num(max(self.psf[:2]), nan=0.0)
        half = max(e - w, n - s) / 2 + max(margin, 3 * self.scale)
        east, north = -(e + w) / 2, (s + n) / 2
        return [east + half, east - half, north - half, north + half]


def contour_levels(values):
    """Return the contour levels of a map, `FRACTIONS` of its peak; empty if it has no positive value."""
    peak = np.nanmax(values) if np.isfinite(values).any() else 0.0
    return [fraction * peak for fraction in FRACTIONS] if peak > 0 else []


def velocity_limit(fields, weights):
    """Return systemic velocity and half range (km/s) that suit velocity fields of both planes.

    Parameters
    ----------
    fields : list of ndarray
        NaN where there is no velocity.
    weights : list of ndarray
        Flux of the line, of the same shapes: faint pixels of large errors are not to spread the colours.

    Returns
    -------
    zero, limit : float
        The median of the flux, and the distance from it that holds 98 % of the flux, at least 10 km/s; (0, 10) without
        a velocity. Both planes count alike.
    """
    velocity, weight = [], []
    for field, flux in zip(fields, weights, strict=True):
        good = np.isfinite(field) & (flux > 0)
        if good.any():
            velocity.append(field[good])
            weight.append(flux[good] / flux[good].sum())
    if not velocity:
        return 0.0, 10.0
    velocity, weight = np.concatenate(velocity), np.concatenate(weight)
    zero = _quantile(velocity, weight, 0.5)
    return zero, max(_quantile(np.abs(velocity - zero), weight, 0.98), 10.0)


def _quantile(values, weights, fraction):
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulated, fraction * cumulated[-1])])


def draw_planes(image, source, settings):
    """Draw the figure; call within `klever.publish.figure_style.paper_style`.

    Parameters
    ----------
    image, source : Plane
    settings : dict
        ``name``, ``z``, ``line`` (a key of `LINES`), ``filter`` (name of the HST image, None without), ``mu`` (text),
        ``kpc`` (kpc per arcsec in the source plane), ``sentence`` (why there is nothing to see; empty) and
        ``simulated``.

    Returns
    -------
    matplotlib.figure.Figure
        13.7 cm wide. Columns: image and source plane; rows: HST image with contours, velocity with contours.
    """
    from matplotlib.figure import Figure

    below, above, side, left, between, gap = 1.55, 1.1, 4.85, 1.25, 1.1, 0.75
    height = below + 2 * side + gap + above
    figure = Figure(figsize=(_WIDTH, height * CENTIMETRE), layout=None)
    label, group = LINES.get(settings["line"], LINES["HALPHA"])
    planes = (image, source)
    velocities = [plane.values(f"VELOCITY_{group}") for plane in planes]
    velocities = [
        np.where(plane.galaxy(settings["line"]) & np.isfinite(plane.values(settings["line"], _SNR)), field, np.nan)
        for plane, field in zip(planes, velocities, strict=True)
    ]
    zero, limit = velocity_limit(velocities, [plane.values(settings["line"]) for plane in planes])
    shown = None
    for column, (plane, title) in enumerate(zip(planes, ("image plane", "source plane"), strict=True)):
        window = plane.window(settings["line"])
        x = (left + column * (side + between)) * CENTIMETRE / _WIDTH
        width = side * CENTIMETRE / _WIDTH
        upper = figure.add_axes((x, (below + side + gap) / height, width, side / height))
        lower = figure.add_axes((x, below / height, width, side / height))
        _show_image(upper, plane, settings, window)
        shown = lower.imshow(velocities[column] - zero, extent=plane.extent, cmap=_VELOCITY_COLOURS, vmin=-limit,
                             vmax=limit)  # fmt: skip
        lower.set_facecolor("#E6E6E6")
        for axes, colour in ((upper, COLOURS["fit"]), (lower, "black")):
            _contours(axes, plane, settings["line"], colour)
            axes.set(xlim=window[:2], ylim=window[2:], aspect="equal")
            axes.locator_params(nbins=5)
            _psf(axes, plane, window)
        upper.set_title(f"{title}", pad=3)
        lower.set_xlabel("offset to the east [arcsec]")
        if column == 0:
            upper.set_ylabel("offset to the north [arcsec]")
            lower.set_ylabel("offset to the north [arcsec]")
        else:
            _scale_bar(upper, window, settings["kpc"])
    place = (x + width + 0.12 * CENTIMETRE / _WIDTH, below / height, 0.22 * CENTIMETRE / _WIDTH, side / height)
    bar = figure.colorbar(shown, cax=figure.add_axes(place), extend="both")
    bar.set_label(f"{label} velocity [km s$^{{-1}}$]", labelpad=1)
    bar.outline.set_linewidth(0.5)
    title = f"{settings['name']}    $z$ = {settings['z']:.4g}    {settings['mu']}".rstrip()
    figure.text(0.015, 1 - 0.15 / height, title, ha="left", va="top", fontsize=8.5, fontweight="bold")
    foot = settings["sentence"] or _foot(settings, label, zero)
    figure.text(0.015, 0.08 / height, foot, ha="left", va="bottom", fontsize=5.8, color=COLOURS["truth"])
    if settings["simulated"]:
        stamp_simulated(figure, x=0.985, y=1 - 0.12 / height)
    return figure


def _foot(settings, label, zero):
    levels = ", ".join(f"{100 * fraction:g}" for fraction in FRACTIONS)
    image = f"Above: HST {settings['filter']}. " if settings["filter"] else f"Above: {label} flux. "
    text = f"{image}Contours: {label} at {levels} % of its peak in each plane. Hatched: FWHM of the PSF."
    velocity = f"{zero:+.0f}".replace("-", "\N{MINUS SIGN}")
    return f"{text}\nVelocities where S/N > {_SNR:g}, from {velocity} km/s with respect to the catalogue's redshift."


def _show_image(axes, plane, settings, window):
    """Show the HST image, or the line's flux without one, in the window's own range of brightness."""
    values = plane.values(settings["filter"] or settings["line"])
    east = (plane.east <= window[0]) & (plane.east >= window[1])
    north = (plane.north >= window[2]) & (plane.north <= window[3])
    part = values[np.ix_(north, east)]
    part = part[np.isfinite(part)]
    if not part.size:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color=COLOURS["neutral"])
        return
    low, high = np.percentile(part, [10, 99.8])
    if not high > low:
        low, high = low - 1.0, high + 1.0
    from matplotlib.colors import PowerNorm

    stretched = np.clip((values - low) / (high - low), 0, 1)
    axes.imshow(stretched, extent=plane.extent, cmap=MAP_COLOURS["image"], norm=PowerNorm(0.6, 0.0, 1.0))
    axes.set_facecolor("#E6E6E6")


def _contours(axes, plane, line, colour):
    values = plane.values(line)
    galaxy = plane.galaxy(line)
    levels = contour_levels(np.where(galaxy, values, np.nan))
    if levels and min(values.shape) > 1:
        # Noise outside the galaxy that exceeds the lowest level is not to be contoured.
        flux = np.where(galaxy | (values < levels[0]), values, np.nan)
        axes.contour(plane.east, plane.north, flux, levels=levels, colors=colour, linewidths=0.7)


def _psf(axes, plane, window):
    """Draw the ellipse of the PSF's FWHM in the lower right corner, on white so that it is seen on any map."""
    from matplotlib.patches import Ellipse, Rectangle

    major, minor, angle = plane.psf
    if not (major > 0 and minor > 0):
        return
    # Position angles run from north through east; x runs east to the left, so on screen as on the sky.
    angle = 0.0 if not np.isfinite(angle) else angle
    a = np.radians(angle)
    half_x = np.hypot(major * np.sin(a), minor * np.cos(a)) / 2
    half_y = np.hypot(major * np.cos(a), minor * np.sin(a)) / 2
    pad = 0.02 * (window[0] - window[1])
    x, y = window[1] + half_x + 2 * pad, window[2] + half_y + 2 * pad
    corner = (x + half_x + pad, y - half_y - pad)
    axes.add_patch(Rectangle(corner, -2 * (half_x + pad), 2 * (half_y + pad), fc="white", ec="black", lw=0.4, zorder=4))
    # In data coordinates x is east: the major axis (sin PA, cos PA) lies 90 - PA degrees from +x.
    axes.add_patch(Ellipse((x, y), major, minor, angle=90.0 - angle, fc="#BBBBBB", ec="black", lw=0.7, hatch="/////",
                           zorder=5))  # fmt: skip


def _scale_bar(axes, window, kpc):
    """Draw a bar of a round number of kiloparsecs in the lower left corner of the source plane."""
    lengths = np.array([0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50])
    size = window[0] - window[1]
    length = lengths[np.argmin(np.abs(lengths / kpc - 0.25 * size))]
    x, y = window[0] - 0.05 * size, window[2] + 0.06 * size
    axes.plot([x, x - length / kpc], [y, y], color="black", lw=1.6, solid_capstyle="butt")
    axes.text(x - length / kpc / 2, y + 0.02 * size, f"{length:g} kpc", ha="center", va="bottom", fontsize=6)

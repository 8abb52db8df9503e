"""Ray-tracing: the lensed scene of a galaxy on a fine image-plane grid, before any seeing.

Every fine pixel is the mean of a block of rays, each followed to the source plane with the lens' own deflection and
evaluated there.  No operator of the analysis is involved, so a sign, a half pixel or a factor of the magnification
that is wrong in the analysis shows up as a failed recovery.
"""

from dataclasses import dataclass

import numpy as np

from klever.errors import InputError
from klever_simulation.galaxies import component_from_row

__all__ = [
    "Identity", "Setting", "offsets_of", "place", "render", "render_brightness", "render_continuum", "sky_of",
]  # fmt: skip

MARGIN = 1.2  # arcsec around the field of view: seeing and pointing error reach into it
HIGH_MAGNIFICATION = 5.0  # the grid is halved where |mu| exceeds this anywhere in the field
EXTREME_MAGNIFICATION = 20.0  # 4 x 4 instead of 2 x 2 rays per fine pixel
ARCSEC = np.deg2rad(1 / 3600)


def offsets_of(ra, dec, ra_centre, dec_centre):
    """Tangent-plane (TAN) offsets of a position, arcsec west and north; all angles in degrees."""
    a, d, a0, d0 = np.deg2rad([ra, dec, ra_centre, dec_centre])
    cosine = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a - a0)
    east = np.cos(d) * np.sin(a - a0) / cosine
    north = (np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(a - a0)) / cosine
    return float(-east / ARCSEC), float(north / ARCSEC)


def sky_of(x, y, ra_centre, dec_centre):
    """Right ascension and declination (deg) at tangent-plane offsets (arcsec west, north): inverse of `offsets_of`."""
    xi, eta = -x * ARCSEC, y * ARCSEC
    a0, d0 = np.deg2rad([ra_centre, dec_centre])
    denominator = np.cos(d0) - eta * np.sin(d0)
    ra = a0 + np.arctan2(xi, denominator)
    dec = np.arctan2(np.sin(d0) + eta * np.cos(d0), np.hypot(xi, denominator))
    return float(np.rad2deg(ra) % 360), float(np.rad2deg(dec))


@dataclass(frozen=True)
class Identity:
    """No lens (`lens: none` in the table of galaxies)."""

    ra: float
    dec: float
    z_lens: float = 0.0
    source: tuple | None = None
    image: tuple | None = None

    def deflection(self, x, y, z_source):
        """Return no deflection."""
        return np.zeros_like(x), np.zeros_like(y)

    def magnification(self, x, y, z_source):
        """Return unit magnification."""
        return np.ones_like(x)


@dataclass(frozen=True)
class Setting:
    """A galaxy placed behind its lens.

    Parameters
    ----------
    lens : object
        `deflection`, `magnification`, `ra`, `dec` as in `klever_simulation.lenses`.
    components : list of Component
        In the lens' source plane.
    z : float
        Redshift of the galaxy.
    source : (float, float)
        Centre of the galaxy in the source plane, arcsec west and north of the lens' centre.
    image : (float, float)
        Its reference position in the image plane: the catalogue position, or `image` of lenses.yaml.
    field : (float, float)
        Centre of the field of view.
    field_size : float
        Side of the field of view, arcsec.
    """

    lens: object
    components: list
    z: float
    source: tuple
    image: tuple
    field: tuple
    field_size: float

    def trace(self, x, y):
        """Source-plane positions of image-plane positions (arcsec)."""
        ax, ay = self.lens.deflection(x, y, self.z)
        return x - ax, y - ay


def place(lens_parameters, calibrations, settings):
    """Put a galaxy of the table behind its lens.

    Parameters
    ----------
    lens_parameters : path
        resources/simulation/lenses.yaml. An entry with `source` and `image` fixes where the galaxy is (galaxy-scale
        lenses); otherwise the catalogue position is traced to the source plane.
    calibrations : dict
        Content of resources/calibrations.json.
    settings : dict
        galaxy, z, ra, dec, lens, seed, components (the galaxy's rows of resources/simulation/galaxies.tsv).

    Returns
    -------
    Setting
    """
    rows = settings["components"]
    name, z = settings["lens"], float(settings["z"])
    if name == "none":
        lens = Identity(settings["ra"], settings["dec"])
    else:
        from klever_simulation.lenses import load_lens

        lens = load_lens(name, lens_parameters)
    if lens.z_lens >= z:
        raise InputError(f"galaxy '{settings['galaxy']}' (z = {z}) is not behind its lens {name} (z = {lens.z_lens}).")
    if lens.source is not None:
        source, image = lens.source, lens.image
    else:
        image = offsets_of(settings["ra"], settings["dec"], lens.ra, lens.dec)
        ax, ay = lens.deflection(np.array(image[0]), np.array(image[1]), z)
        source = (image[0] - float(ax), image[1] - float(ay))
    components = [component_from_row(row, z, *source, calibrations, settings["seed"]) for row in rows]
    field = (image[0] - rows[0]["field_east"], image[1] + rows[0]["field_north"])
    return Setting(lens, components, z, source, image, field, rows[0]["field_size"])


def _axis(centre, size, scale):
    n = 2 * int(np.ceil(size / 2 / scale))
    return centre + (np.arange(n) - (n - 1) / 2) * scale


def _rays(n, scale):
    step = ((np.arange(n) + 0.5) / n - 0.5) * scale
    return [(dx, dy) for dy in step for dx in step]


def render(setting, line_names, fine_pixel_scale):
    """Ray-trace the field of view and a margin around it.

    Parameters
    ----------
    setting : Setting
        The galaxy behind its lens.
    line_names : list of str
        Lines to render, in this order.
    fine_pixel_scale : float
        Arcsec; halved when the magnification exceeds 5 in the field.

    Returns
    -------
    dict of ndarray
        ``x``, ``y`` (arcsec, fine pixel centres); ``lines`` (component, line, ny, nx), erg s-1 cm-2 per fine pixel;
        ``velocity``, ``dispersion`` (component, ny, nx), km/s, Halpha-weighted moments of the rays; ``continuum``
        (ny, nx), erg s-1 cm-2 um-1 per fine pixel at 1.5392 um; ``broad`` (ny, nx), flux of the broad Halpha of an AGN.
    """
    size = setting.field_size + 2 * MARGIN
    scale = float(fine_pixel_scale)
    x, y = np.meshgrid(*(_axis(c, size, scale) for c in setting.field))
    if np.nanmax(np.abs(setting.lens.magnification(x, y, setting.z))) > HIGH_MAGNIFICATION:
        scale /= 2
        x, y = np.meshgrid(*(_axis(c, size, scale) for c in setting.field))
    magnification = np.abs(setting.lens.magnification(x, y, setting.z))
    extreme = ~(magnification < EXTREME_MAGNIFICATION)
    result = _sample(setting, line_names, x, y, scale, 2)
    if extreme.any():
        finer = _sample(setting, line_names, x[extreme], y[extreme], scale, 4)
        for name, values in finer.items():
            result[name][..., extreme] = values
    return {"x": x[0], "y": y[:, 0], **result}


def _sample(setting, line_names, x, y, scale, n):
    components = setting.components
    lines = np.zeros((len(components), len(line_names), *x.shape))
    first, second = np.zeros((2, len(components), *x.shape))
    continuum, broad = np.zeros((2, *x.shape))
    area = (scale / n) ** 2
    halpha = line_names.index("Halpha")
    for dx, dy in _rays(n, scale):
        bx, by = setting.trace(x + dx, y + dy)
        for i, component in enumerate(components):
            brightness = component.lines(bx, by)
            for j, name in enumerate(line_names):
                lines[i, j] += brightness[name] * area
            velocity = component.velocity(bx, by)
            first[i] += brightness["Halpha"] * velocity * area
            second[i] += brightness["Halpha"] * velocity**2 * area
            continuum += component.continuum(bx, by) * area
            if component.row["agn"]:
                broad += _broad(component, bx, by) * area
    weight = np.maximum(lines[:, halpha], np.finfo(float).tiny)
    first, second = first / weight, second / weight
    sigma0 = np.array([component.row["sigma0"] for component in components]).reshape(-1, *[1] * x.ndim)
    dispersion = np.sqrt(sigma0**2 + np.maximum(second - first**2, 0.0))
    return {"lines": lines, "velocity": first, "dispersion": dispersion, "continuum": continuum, "broad": broad}


def _broad(component, x, y, radius=0.03, flux_ratio=2.0):
    """Broad Halpha of a type-1 AGN: unresolved (Gaussian of 0.03 arcsec), twice the narrow flux."""
    squared = ((x - component.x) ** 2 + (y - component.y) ** 2) / radius**2
    return flux_ratio * component.halpha_flux * np.exp(-0.5 * squared) / (2 * np.pi * radius**2)


def render_continuum(setting, x, y, subpixels=4):
    """Stellar flux density per pixel (erg s-1 cm-2 um-1 at 1.5392 um) on a regular grid with axes `x`, `y` (arcsec)."""
    return render_brightness(setting, x, y, [component.continuum for component in setting.components], subpixels).sum(0)


def render_brightness(setting, x, y, profiles, subpixels=4):
    """Lensed flux per pixel of surface brightnesses of the source plane, on a regular grid with axes `x`, `y` (arcsec).

    Parameters
    ----------
    setting : Setting
        Its lens traces the rays.
    x, y : ndarray
        Pixel centres.
    profiles : list of callable
        Of source-plane positions (arcsec), per arcsec2.
    subpixels : int
        Rays a side of each pixel.

    Returns
    -------
    ndarray, shape (profile, ny, nx)
    """
    scale = x[1] - x[0]
    gx, gy = np.meshgrid(x, y)
    images = np.zeros((len(profiles), *gx.shape))
    for dx, dy in _rays(subpixels, scale):
        bx, by = setting.trace(gx + dx, gy + dy)
        for image, profile in zip(images, profiles, strict=True):
            image += profile(bx, by) * (scale / subpixels) ** 2
    return images

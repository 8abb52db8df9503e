"""Public lens-model maps: reading them in their own units, scaling them to a redshift, interpolating without guessing.

Deflection maps give alpha along increasing FITS x and y of their own grid, in arcsec or in pixels, normalised to
Dls/Ds = 1 or to one source redshift. Here they become alpha in arcsec to the west and to the north at the redshift of a
galaxy: source = image - alpha (Curti et al. 2020, Sect. 3.2.2; conventions of the Frontier Fields lens models).
"""

import logging

import numpy as np
from scipy import ndimage

from klever.cosmology import distance_ratio
from klever.errors import ConfigError, InputError
from klever.grids import Grid, read_image

__all__ = [
    "LensMap",
    "LensModel",
    "convergence_and_shear",
    "convergence_slope",
    "interpolate",
    "magnification",
    "scale_factor",
]

logger = logging.getLogger(__name__)


def scale_factor(z, lens_model, cosmology):
    """Return the factor from the maps' normalisation to a source at redshift `z`, and Dls/Ds at `z`.

    Parameters
    ----------
    z : float
    lens_model : mapping
        `z_lens` and `normalisation`: the Dls/Ds of the maps (1.0 for Frontier Fields and CLASH maps) or
        ``{"z_source": z}``, the source redshift for which they were made.
    cosmology : mapping
        H0, Om0, Ode0.

    Returns
    -------
    factor, dls_ds : float
        Both 0 for a galaxy in front of the lens.

    Raises
    ------
    ConfigError
        The normalisation is not positive, or its redshift is not behind the lens.
    """
    z_lens, normalisation = float(lens_model["z_lens"]), lens_model.get("normalisation")
    normalisation = 1.0 if normalisation is None else normalisation
    if isinstance(normalisation, dict):
        reference = distance_ratio(z_lens, float(normalisation["z_source"]), cosmology)
    else:
        reference = float(normalisation)
    if not reference > 0:
        raise ConfigError(
            f"lens {lens_model.get('name', '')}: normalisation {normalisation} must be a positive Dls/Ds or a z_source "
            f"behind the lens (z = {z_lens})."
        )
    dls_ds = distance_ratio(z_lens, z, cosmology)
    return dls_ds / reference, dls_ds


def magnification(kappa, gamma):
    """Return the signed magnification 1 / ((1 - kappa)^2 - gamma^2); infinite on a critical line."""
    with np.errstate(divide="ignore"):
        return 1.0 / ((1.0 - kappa) ** 2 - gamma**2)


def interpolate(data, x, y, margin=12):
    """Interpolate an image bicubically at pixel positions, never beyond its pixel centres and never across NaN.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        May be memory-mapped: only the part around the positions is read. NaN has no data.
    x, y : ndarray
        0-based pixel positions.
    margin : int
        Pixels around the positions that the spline sees; its weights fall by 0.27 per pixel.

    Returns
    -------
    ndarray
        Shape of `x`; NaN outside the image and where one of the 4 x 4 pixels around the position is NaN.
    """
    ny, nx = data.shape
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    tolerance = 1e-6
    with np.errstate(invalid="ignore"):
        inside = (x >= -tolerance) & (x <= nx - 1 + tolerance) & (y >= -tolerance) & (y <= ny - 1 + tolerance)
    value = np.full(x.shape, np.nan)
    if not inside.any():
        return value
    px, py = x[inside], y[inside]
    x0, x1 = max(int(px.min()) - margin, 0), min(int(px.max()) + margin + 2, nx)
    y0, y1 = max(int(py.min()) - margin, 0), min(int(py.max()) + margin + 2, ny)
    cutout = np.array(data[y0:y1, x0:x1], dtype=float)
    bad = ~np.isfinite(cutout)
    if bad.all():
        return value
    if bad.any():  # the spline needs a number everywhere: the nearest one, whose neighbourhood is then rejected
        nearest = ndimage.distance_transform_edt(bad, return_distances=False, return_indices=True)
        cutout = cutout[tuple(nearest)]
    position = [py - y0, px - x0]
    result = ndimage.map_coordinates(cutout, position, order=3, mode="mirror")
    if bad.any():
        # The 4 x 4 pixels around a position between pixels i and i+1 are i-1 ... i+2.
        near = ndimage.maximum_filter(bad.astype(np.uint8), size=4, origin=-1, mode="constant")
        cell = tuple(np.floor(p + tolerance).astype(int) for p in position)
        result[near[cell] > 0] = np.nan
    value[inside] = result
    return value


class LensMap:
    """One map of a lens model on the sky.

    Parameters
    ----------
    path : path
        FITS image with a celestial WCS.
    origin : pair of float
        (ra, dec) in degrees of the tangent plane in which offsets are counted.
    """

    def __init__(self, path, origin):
        self.data, header = read_image(path)
        self.grid = Grid(header, self.data.shape, origin, name=str(path))
        self.path = path

    def __call__(self, west, north):
        """Return the map's value at offsets in arcsec; NaN outside (see `interpolate`)."""
        return interpolate(self.data, *self.grid.pixels(west, north))

    def local_axes(self, west, north):
        """Vectors (west, north; arcsec) of one pixel step in x and y near an offset; columns of a 2 x 2 array."""
        x, y = (float(v) for v in self.grid.pixels(np.array(west, float), np.array(north, float)))
        dx, dy = np.array([-0.5, 0.5, 0.0, 0.0]), np.array([0.0, 0.0, -0.5, 0.5])
        w, n = self.grid.offsets(x + dx, y + dy)
        return np.array([[w[1] - w[0], w[3] - w[2]], [n[1] - n[0], n[3] - n[2]]])


class LensModel:
    """Deflection field of a lens model at the redshift of a galaxy.

    Parameters
    ----------
    x_deflection, y_deflection : path
        Maps along increasing FITS x and y of their grid.
    origin : pair of float
        (ra, dec) in degrees.
    factor : float
        From the maps' normalisation to the galaxy's (see `scale_factor`).
    unit : str
        "arcsec" or "pixel".
    x_sign, y_sign : int
        -1 for a map with the opposite convention.

    Raises
    ------
    InputError
        The two maps are not on one grid.
    ConfigError
        Unknown unit or sign.
    """

    def __init__(self, x_deflection, y_deflection, origin, factor=1.0, unit="arcsec", x_sign=1, y_sign=1):
        if unit not in ("arcsec", "pixel"):
            raise ConfigError(f"deflection_unit is {unit!r}; it must be 'arcsec' or 'pixel'.")
        if x_sign not in (-1, 1) or y_sign not in (-1, 1):
            raise ConfigError(f"x_sign and y_sign are {x_sign} and {y_sign}; each must be 1 or -1.")
        self.x_map, self.y_map = LensMap(x_deflection, origin), LensMap(y_deflection, origin)
        if self.x_map.data.shape != self.y_map.data.shape:
            raise InputError(
                f"{x_deflection} and {y_deflection} have shapes {self.x_map.data.shape} and {self.y_map.data.shape}; "
                "the two deflection maps of a model must be on one grid."
            )
        self.factor, self.unit, self.signs = factor, unit, (x_sign, y_sign)

    def _rotation(self, west, north):
        """Matrix from deflections along the map's x and y, in its unit, to arcsec west and north."""
        axes = self.x_map.local_axes(west, north)
        if self.unit == "arcsec":
            axes = axes / np.hypot(axes[0], axes[1])
        return axes * np.array(self.signs) * self.factor

    def deflection(self, west, north):
        """Return alpha (arcsec west, arcsec north) at image positions in arcsec; NaN outside the maps."""
        along_x, along_y = self.x_map(west, north), self.y_map(west, north)
        (xx, xy), (yx, yy) = self._rotation(np.mean(west), np.mean(north))
        return xx * along_x + xy * along_y, yx * along_x + yy * along_y

    def jacobian(self, west, north, step):
        """Return d alpha / d theta by central differences.

        Parameters
        ----------
        west, north : ndarray
            Image positions, arcsec.
        step : float
            Arcsec between the two positions of a difference.

        Returns
        -------
        ndarray, shape (2, 2, ...)
            ``[i, j]`` is the derivative of component i (west, north) along j.
        """
        half = 0.5 * step
        plus, minus = self.deflection(west + half, north), self.deflection(west - half, north)
        along_west = [(p - m) / step for p, m in zip(plus, minus, strict=True)]
        plus, minus = self.deflection(west, north + half), self.deflection(west, north - half)
        along_north = [(p - m) / step for p, m in zip(plus, minus, strict=True)]
        return np.array([[along_west[0], along_north[0]], [along_west[1], along_north[1]]])


def convergence_and_shear(jacobian):
    """Return kappa and |gamma| of d alpha / d theta, shape (2, 2, ...)."""
    kappa = 0.5 * (jacobian[0, 0] + jacobian[1, 1])
    gamma1 = 0.5 * (jacobian[0, 0] - jacobian[1, 1])
    gamma2 = 0.5 * (jacobian[0, 1] + jacobian[1, 0])
    return kappa, np.hypot(gamma1, gamma2)


def convergence_slope(model, kappa_map, west, north):
    """Compare the divergence of the deflection with the model's own convergence map.

    A wrong sign, unit or normalisation of the deflection shows here.

    Parameters
    ----------
    model : LensModel
    kappa_map : LensMap
        Normalised as the deflection.
    west, north : ndarray
        Positions, arcsec; the comparison is made on a coarse grid that reaches 15 arcsec beyond them.

    Returns
    -------
    float
        Median over positions with kappa > 0.05 of the map, of (divergence / 2) / kappa; 1 if they agree, NaN if fewer
        than 20 positions can be compared.
    """
    step = max(model.x_map.grid.pixel_scale, kappa_map.grid.pixel_scale)
    x = np.linspace(np.min(west) - 15, np.max(west) + 15, 40)
    y = np.linspace(np.min(north) - 15, np.max(north) + 15, 40)
    x, y = np.meshgrid(x, y)
    given = kappa_map(x, y)
    derived, _ = convergence_and_shear(model.jacobian(x, y, 2 * step))
    used = np.isfinite(derived) & (given > 0.05)
    if used.sum() < 20 or model.factor == 0:
        return np.nan
    return float(np.median(derived[used] / model.factor / given[used]))

"""Public lens-model maps: reading them in their own units, scaling them to a redshift, interpolating without guessing.

Deflection maps give alpha along increasing FITS x and y of their own grid, in arcsec or in pixels, normalised to
Dls/Ds = 1 or to one source redshift. Here they become alpha in arcsec to the west and to the north at the redshift of a
galaxy: source = image - alpha (Curti et al. 2020, Sect. 3.2.2; conventions of the Frontier Fields lens models).
"""

import numpy as np
from scipy import ndimage

from klever.cosmology import distance_ratio
from klever.errors import ConfigError, InputError
from klever.grids import Grid, read_image
from klever.lensmodels.base import Fields, LensModel, convergence_and_shear, reference_ratio
from klever.lensmodels.consistency import compare

__all__ = ["DeflectionMaps", "LensMap", "MapModel", "RealisationMaps", "interpolate"]

_LAYOUT_KEYS = ("CRVAL1 CRVAL2 CRPIX1 CRPIX2 CDELT1 CDELT2 CROTA2 CD1_1 CD1_2 CD2_1 CD2_2 PC1_1 PC1_2 PC2_1 PC2_2 "
                "CTYPE1 CTYPE2").split()  # fmt: skip


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


class DeflectionMaps:
    """Deflection field of a lens model, with the normalisation of its maps or another.

    Parameters
    ----------
    x_deflection, y_deflection : path
        Maps along increasing FITS x and y of their grid.
    origin : pair of float
        (ra, dec) in degrees.
    factor : float
        From the maps' normalisation to the one wanted.
    unit : str
        "arcsec", "pixel" or "degree".
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
        if unit not in ("arcsec", "pixel", "degree"):
            raise ConfigError(f"deflection_unit is {unit!r}; it must be 'arcsec', 'pixel' or 'degree'.")
        if x_sign not in (-1, 1) or y_sign not in (-1, 1):
            raise ConfigError(f"x_sign and y_sign are {x_sign} and {y_sign}; each must be 1 or -1.")
        self.x_map, self.y_map = LensMap(x_deflection, origin), LensMap(y_deflection, origin)
        if problem := self._not_one_grid():
            raise InputError(
                f"{x_deflection} and {y_deflection} {problem}; the two deflection maps of a model must be on one grid."
            )
        self.factor, self.unit, self.signs = factor, unit, (x_sign, y_sign)

    def _not_one_grid(self):
        (ny, nx), other = self.x_map.data.shape, self.y_map.data.shape
        if (ny, nx) != other:
            return f"have shapes {(ny, nx)} and {other}"
        x, y = np.array([0.0, nx - 1.0, 0.0, nx - 1.0]), np.array([0.0, 0.0, ny - 1.0, ny - 1.0])
        found = self.y_map.grid.pixels(*self.x_map.grid.offsets(x, y))
        apart = np.max(np.hypot(found[0] - x, found[1] - y))
        return "" if apart < 0.5 else f"lie {apart:.3g} pixels apart on the sky at a corner"

    def _rotation(self, west, north):
        """Matrix from deflections along the map's x and y, in its unit, to arcsec west and north."""
        axes = self.x_map.local_axes(west, north)
        if self.unit != "pixel":
            axes = axes / np.hypot(axes[0], axes[1])
        if self.unit == "degree":
            axes = axes * 3600.0
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


class MapModel(LensModel):
    """Lens model given as FITS maps of deflection, convergence and shear.

    Parameters
    ----------
    name : str
    z_lens : float
    centre : pair of float
        (ra, dec) in degrees, tangent point of the positions.
    maps : dict
        Paths by kind: x_deflection, y_deflection; kappa, gamma may be missing or None.
    normalisation : float or dict
        Dls/Ds of the maps, or ``{"z_source": z}``; see `klever.lensmodels.base.reference_ratio`.
    unit : str
        "arcsec", "pixel" or "degree" of the deflection.
    x_sign, y_sign : int
        -1 for a deflection map with the opposite convention.
    kappa_realisations, gamma_realisations : list of path
        Maps of other realisations in the same order, normalised alike.
    """

    origin = "maps"

    def __init__(self, name, z_lens, centre, maps, normalisation=1.0, unit="arcsec", x_sign=1, y_sign=1,
                 kappa_realisations=(), gamma_realisations=()):  # fmt: skip
        super().__init__(name, float(z_lens))
        self.centre, self.maps, self.normalisation = tuple(centre), maps, normalisation
        self.convention = {"unit": unit, "x_sign": x_sign, "y_sign": y_sign}
        self.realisation_paths = list(kappa_realisations), list(gamma_realisations)
        self._deflection = None

    def factor(self, z_source, cosmology):
        """Return what the maps are multiplied with for a source redshift."""
        reference = reference_ratio(self.name, self.z_lens, self.normalisation, cosmology)
        return distance_ratio(self.z_lens, float(z_source), cosmology) / reference

    def _maps(self, factor):
        if self._deflection is None:
            paths = self.maps["x_deflection"], self.maps["y_deflection"]
            self._deflection = DeflectionMaps(*paths, self.centre, factor, **self.convention)
        self._deflection.factor = factor
        return self._deflection

    def _map(self, kind):
        path = self.maps.get(kind)
        return LensMap(path, self.centre) if path else None

    def evaluate(self, west, north, z_source, cosmology, step=0.065):
        """Return the fields for a source; see `LensModel.evaluate`."""
        factor = self.factor(z_source, cosmology)
        model = self._maps(factor)
        alpha = model.deflection(west, north)
        kappa, gamma = self._map("kappa"), self._map("gamma")
        derived = None if kappa and gamma else convergence_and_shear(model.jacobian(west, north, step))
        convergence = kappa(west, north) * factor if kappa else derived[0]
        shear = gamma(west, north) * factor if gamma else derived[1]
        return Fields(alpha, convergence, shear)

    def realisations(self, number, seed=0):
        """Return the first realisations; see `LensModel.realisations`. Nothing is drawn: their authors drew them.

        Raises
        ------
        InputError
            Different numbers of kappa and gamma maps.
        """
        kappa, gamma = self.realisation_paths
        if len(kappa) != len(gamma):
            raise InputError(f"{len(kappa)} realisations of kappa but {len(gamma)} of gamma; each needs both maps.")
        pixels = {}
        return [RealisationMaps(self, *paths, pixels) for paths in list(zip(kappa, gamma, strict=True))[:number]]

    def consistency(self, west, north):
        """Compare the deflection with the maps of convergence and shear up to 15 arcsec beyond the positions.

        Parameters
        ----------
        west, north : ndarray
            Arcsec.

        Returns
        -------
        Consistency
        """
        kappa, gamma = self._map("kappa"), self._map("gamma")
        model = self._maps(1.0)
        scale = model.x_map.grid.pixel_scale
        step = max([scale, *(map_.grid.pixel_scale for map_ in (kappa, gamma) if map_)])
        x = np.linspace(np.min(west) - 15, np.max(west) + 15, 40)
        y = np.linspace(np.min(north) - 15, np.max(north) + 15, 40)
        x, y = (values.ravel() for values in np.meshgrid(x, y))
        given = [map_(x, y) if map_ else None for map_ in (kappa, gamma)]
        # along the map's own axes, in which signs and exchanged components are to be recognised
        local = model.x_map.local_axes(np.mean(west), np.mean(north))
        scales = np.hypot(local[0], local[1])
        local = local / scales
        derivatives = np.einsum("ki,klm,lj->ijm", local, model.jacobian(x, y, 2 * step), local)
        return compare(derivatives, *given, self.convention["unit"], scales)


class RealisationMaps(LensModel):
    """Convergence and shear of one realisation of a `MapModel`; it has no deflection."""

    origin = "maps"

    def __init__(self, model, kappa, gamma, pixels):
        super().__init__(model.name, model.z_lens)
        self.model, self.paths, self.pixels = model, (kappa, gamma), pixels

    def evaluate(self, west, north, z_source, cosmology, step=0.065):
        """Return the fields for a source; only a small part of each file is read. See `LensModel.evaluate`."""
        factor = self.model.factor(z_source, cosmology)
        west, north = np.asarray(west, dtype=float), np.asarray(north, dtype=float)
        return Fields(None, *(self._values(path, west, north) * factor for path in self.paths))

    def _values(self, path, west, north):
        """Values of a map; the WCS is worked out once for files of one layout and the same positions."""
        data, header = read_image(path)
        layout = (data.shape, *(header.get(key) for key in _LAYOUT_KEYS), west.tobytes(), north.tobytes())
        if layout not in self.pixels:
            self.pixels[layout] = Grid(header, data.shape, self.model.centre, name=str(path)).pixels(west, north)
        return interpolate(data, *self.pixels[layout])

"""The part of a source that a field shows: what the light in the field is to be compared with."""

import numpy as np
from scipy import ndimage

__all__ = ["seen_fluxes"]

NODES = 0.05  # arcsec, image plane: rays are traced here and interpolated between
RAYS = 0.005  # arcsec, image plane
CELL = 0.01  # arcsec, source plane
BORDER = 0.1  # arcsec: half a spaxel of KMOS; maps end at the centres of the outermost spaxels
REACH = 10.0  # effective radii of a component that are looked at


def seen_fluxes(setting, border=BORDER):
    """Halpha fluxes of the components in the field, and of the part of each that has an image there.

    Parameters
    ----------
    setting : klever_simulation.scene.Setting
    border : float
        Arcsec along every side of the field that do not count.

    Returns
    -------
    lensed, unlensed : ndarray, shape (component,)
        erg s-1 cm-2. A point with several images in the field counts once in `unlensed`.
    """
    rays_x, rays_y = _rays(setting, setting.field_size / 2 - border)
    low = np.min(rays_x) - 2 * CELL, np.min(rays_y) - 2 * CELL
    shape = tuple(int((np.max(v) - start) / CELL) + 3 for v, start in ((rays_y, low[1]), (rays_x, low[0])))
    cell = ((rays_y - low[1]) / CELL).astype(int) * shape[1] + ((rays_x - low[0]) / CELL).astype(int)
    traced = np.bincount(cell.ravel(), _areas(rays_x, rays_y).ravel(), minlength=shape[0] * shape[1]).reshape(shape)
    seen = ndimage.binary_fill_holes(traced > 0)
    inside = ndimage.binary_erosion(seen)
    share = np.where(inside, 1.0, np.minimum(traced / CELL**2, 1.0))  # cells on the border are covered in part
    lensed, unlensed = [], []
    for component in setting.components:
        reach = REACH * component.effective_radius
        near = (np.abs(rays_x - component.x) < reach) & (np.abs(rays_y - component.y) < reach)
        lensed.append(component.halpha(rays_x[near], rays_y[near]).sum() * RAYS**2)
        iy, ix = np.nonzero(share)
        x, y = low[0] + (ix + 0.5) * CELL, low[1] + (iy + 0.5) * CELL
        close = (np.abs(x - component.x) < reach) & (np.abs(y - component.y) < reach)
        brightness = component.halpha(x[close], y[close])
        unlensed.append((share[iy[close], ix[close]] * brightness).sum() * CELL**2)
    return np.array(lensed), np.array(unlensed)


def _areas(x, y):
    """Area in the source plane that each ray stands for, arcsec2."""
    (y_y, y_x), (x_y, x_x) = np.gradient(y), np.gradient(x)
    return np.abs(x_x * y_y - x_y * y_x)


def _rays(setting, half):
    """Source positions of a fine grid of rays through the field, interpolated between those that are traced."""
    n = int(np.ceil(2 * half / NODES)) + 1
    node = np.linspace(-half, half, n)
    count = int(np.round(2 * half / RAYS))
    at = ((np.arange(count) + 0.5) / count) * (n - 1)
    y, x = np.meshgrid(at, at, indexing="ij")
    traced = setting.trace(*np.meshgrid(setting.field[0] + node, setting.field[1] + node))
    return [ndimage.map_coordinates(plane, [y, x], order=1) for plane in traced]

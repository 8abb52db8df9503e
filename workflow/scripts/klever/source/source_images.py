"""The images of one source in the field of a galaxy: parts of the image plane that critical lines separate.

Where det A, the Jacobian determinant of the lens mapping, keeps its sign, neighbouring points of the image plane stay
neighbours in the source plane; images on the two sides of a critical line are mirror images of each other (opposite
parity). A part in which the galaxy's centre appears more than once, as in a cluster with several images of one parity,
is divided between them: every pixel belongs to the nearest.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = ["SourceImage", "find_images", "positions_of", "source_jacobian"]

SMALLEST = 16  # pixels; smaller parts are noise of the deflection or the core of a cluster member
SAME = 1.5  # pixels; two positions of the centre closer than this are one
FAINTEST = 0.25  # magnification; what is fainter, as the image in the core of the lens, is not seen


@dataclass
class SourceImage:
    """One image of the galaxy.

    Parameters
    ----------
    number : int
        1 is the image that holds the reference pixel, the peak of the brightest line; then by decreasing flux.
    parity : int
        Sign of det A: -1 for a mirror image.
    x, y : int
        0-based pixel that maps closest to the galaxy's centre in the source plane.
    whole : bool
        Whether the centre itself appears in it; a part of the galaxy that crosses a caustic makes images without.
    pixels : ndarray of bool, shape (ny, nx)
    """

    number: int
    parity: int
    x: int
    y: int
    whole: bool
    pixels: np.ndarray


def source_jacobian(alpha, offsets):
    """Return the derivatives of the source position along the pixel axes of the image plane.

    Parameters
    ----------
    alpha, offsets : pair of ndarray, shape (ny, nx)
        Deflection and positions of the pixels, arcsec west and north.

    Returns
    -------
    ndarray, shape (2, 2, ny, nx)
        A of the lens equation, ``[i, j]`` the derivative of component i (west, north) along j, no unit. NaN beside
        pixels without deflection, and everywhere in a map that is one pixel wide.
    """
    if min(alpha[0].shape) < 2:
        return np.full((2, 2, *alpha[0].shape), np.nan)
    # d beta / d pixel = A . d theta / d pixel
    beta, theta = (
        np.array([np.gradient(plane)[::-1] for plane in planes])
        for planes in ([position - shift for position, shift in zip(offsets, alpha, strict=True)], offsets)
    )
    axes = np.moveaxis(theta, (0, 1), (-2, -1))
    return np.moveaxis(np.moveaxis(beta, (0, 1), (-2, -1)) @ np.linalg.inv(axes), (-2, -1), (0, 1))


def positions_of(point, planes):
    """Find the images of a point of the source plane, by the triangles of neighbouring pixels that contain it.

    Parameters
    ----------
    point : pair of float
        Arcsec west and north.
    planes : ndarray, shape (2, ny, nx)
        Source positions of the pixels; NaN outside the lens model.

    Returns
    -------
    ndarray, shape (n, 2)
        0-based x, y, interpolated linearly. A point on the side of two triangles is found twice.
    """
    ny, nx = planes.shape[1:]
    found = []
    for (ox, oy), sign in (((0, 0), 1), ((1, 1), -1)):
        y, x = np.mgrid[: ny - 1, : nx - 1] + np.array([oy, ox])[:, None, None]
        first = planes[:, y, x]
        a, b = planes[:, y, x + sign] - first, planes[:, y + sign, x] - first
        target = np.reshape(point, (2, 1, 1)) - first
        with np.errstate(divide="ignore", invalid="ignore"):
            area = a[0] * b[1] - a[1] * b[0]
            u, v = (target[0] * b[1] - target[1] * b[0]) / area, (a[0] * target[1] - a[1] * target[0]) / area
            inside = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9)
        found.append(np.stack([(x + sign * u)[inside], (y + sign * v)[inside]], axis=-1))
    return np.concatenate(found)


def find_images(alpha, offsets, reference, flux=None, detected=None):
    """Divide the image plane in the images of the galaxy.

    Parameters
    ----------
    alpha, offsets : pair of ndarray, shape (ny, nx)
        As for `source_jacobian`.
    reference : pair of int
        0-based pixel x, y of the galaxy's centre in its brightest image.
    flux : ndarray, shape (ny, nx), optional
        Of the line that marks the galaxy, by which images are ordered; NaN counts nothing.
    detected : ndarray of bool, shape (ny, nx), optional
        Where the line is significant. A part of the plane without an image of the centre counts if it holds at least
        `SMALLEST` such pixels.

    Returns
    -------
    list of SourceImage
        Disjoint; at least one, unless the reference has no deflection.
    """
    usable = np.isfinite(alpha[0]) & np.isfinite(alpha[1])
    if not usable[reference[1], reference[0]]:
        return []
    flux = np.zeros(usable.shape) if flux is None else np.where(usable, np.nan_to_num(flux), 0.0)
    planes = np.array([position - shift for position, shift in zip(offsets, alpha, strict=True)])
    centre = planes[:, reference[1], reference[0]]
    parts, signs, seen = _parts(alpha, offsets, usable)
    distance = np.where(usable, np.hypot(*(planes - centre[:, None, None])), np.inf)
    found = []
    positions = _distinct(reference, positions_of(centre, planes), seen)
    for part in np.unique(parts[parts > 0]):
        pixels = parts == part
        inside = [position for position in positions if pixels[_pixel(position)]]
        if not inside:
            if detected is None or np.count_nonzero(detected & pixels) < SMALLEST:
                continue
            inside = [np.unravel_index(np.argmin(np.where(pixels, distance, np.inf)), usable.shape)[::-1]]
            found.append((pixels, inside[0], signs[part], False))
            continue
        y, x = np.indices(usable.shape)
        nearest = np.argmin([np.hypot(x - px, y - py) for px, py in inside], axis=0)
        found += [(pixels & (nearest == index), at, signs[part], True) for index, at in enumerate(inside)]
    first = [item for item in found if item[0][reference[1], reference[0]]]
    others = [item for item in found if not item[0][reference[1], reference[0]]]
    others.sort(key=lambda item: -flux[item[0]].sum())
    return [
        SourceImage(number, int(sign), *(round(float(v)) for v in at), whole, pixels)
        for number, (pixels, at, sign, whole) in enumerate(first + others, start=1)
    ]


def _parts(alpha, offsets, usable):
    """Label the parts in which det A keeps its sign; small ones join the nearest large one.

    Returns labels (0 outside the lens model), signs by label, and in which pixels an image of a point can be seen.
    """
    jacobian = source_jacobian(_filled(alpha, usable), offsets)
    determinant = np.nan_to_num(jacobian[0, 0] * jacobian[1, 1] - jacobian[0, 1] * jacobian[1, 0], nan=1.0)
    labels, number = ndimage.label((determinant > 0) & usable)
    negative, more = ndimage.label((determinant <= 0) & usable)
    labels = np.where(negative > 0, negative + number, labels)
    sizes = np.bincount(labels.ravel(), minlength=number + more + 1)
    sizes[0] = 0
    large = sizes >= min(SMALLEST, sizes.max())
    nearest = ndimage.distance_transform_edt(~large[labels], return_distances=False, return_indices=True)
    parts = np.where(usable, labels[tuple(nearest)], 0)
    seen = usable & large[labels] & (np.abs(determinant) <= 1 / FAINTEST)
    return parts, np.where(np.arange(sizes.size) <= number, 1, -1), seen


def _filled(alpha, usable):
    if usable.all():
        return alpha
    nearest = tuple(ndimage.distance_transform_edt(~usable, return_distances=False, return_indices=True))
    return [component[nearest] for component in alpha]


def _distinct(reference, positions, seen):
    """Return the reference and the other positions of the centre that can be seen, close ones once."""
    kept = [tuple(float(v) for v in reference)]
    for position in positions:
        if seen[_pixel(position)] and all(np.hypot(*np.subtract(position, other)) >= SAME for other in kept):
            kept.append(tuple(float(v) for v in position))
    return kept


def _pixel(position):
    return round(float(position[1])), round(float(position[0]))

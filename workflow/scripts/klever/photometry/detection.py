"""The galaxy on the detection image: its segment and the ellipse of its light (photutils)."""

from dataclasses import dataclass
from importlib import metadata

import numpy as np

__all__ = ["Aperture", "detect", "sky_level"]

MAD_TO_SIGMA = 1.482602218505602
FWHM_PER_SIGMA = 2.3548200450309493


@dataclass
class Aperture:
    """Where a galaxy's light is measured, on the detection image.

    Parameters
    ----------
    inside : ndarray of float, shape (ny, nx)
        Share of each pixel that is inside.
    others : ndarray of bool, shape (ny, nx)
        Pixels of any source, this one and its neighbours.
    contaminated : float
        Share of the aperture that lies on neighbours.
    shape : dict of float
        x, y (pixels from 0), semi-major and semi-minor axis (arcsec), position angle (deg, from +x towards +y in
        pixels); area (arcsec2).
    """

    inside: np.ndarray
    others: np.ndarray
    contaminated: float
    shape: dict


def sky_level(data, blocked=None):
    """Median and noise of a pixel (from the median absolute deviation), clipped at 3 sigma; sources left out."""
    values = data[np.isfinite(data) & ~(np.zeros(data.shape, bool) if blocked is None else blocked)]
    level = sigma = np.nan
    for _ in range(10):
        if len(values) < 10:
            break
        level = float(np.median(values))
        sigma = MAD_TO_SIGMA * float(np.median(np.abs(values - level)))
        kept = values[np.abs(values - level) <= 3 * sigma]
        if len(kept) == len(values) or sigma == 0:
            break
        values = kept
    return level, sigma


def detect(data, pixel, psf_fwhm, position, settings):
    """Find the galaxy nearest to a position.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        Detection image; NaN where there are no data.
    pixel, psf_fwhm : float
        Arcsec.
    position : (float, float)
        x, y in pixels from 0.
    settings : dict
        Section ``photometry``: detection_snr, minimum_pixels, deblend_contrast, match_radius, aperture, kron_factor,
        minimum_radius.

    Returns
    -------
    Aperture or None
        None if nothing is detected within `match_radius` (arcsec) of the position.
    """
    from scipy.ndimage import gaussian_filter

    segmentation = _import_segmentation()
    missing = ~np.isfinite(data)
    level, _ = sky_level(data)
    filled = np.where(missing, 0.0, data - level)
    smooth = gaussian_filter(filled, psf_fwhm / pixel / FWHM_PER_SIGMA)
    _, sigma = sky_level(np.where(missing, np.nan, smooth))
    if not sigma > 0:
        return None
    found = _quiet(segmentation.detect_sources, smooth, settings["detection_snr"] * sigma, settings["minimum_pixels"],
                   mask=missing)  # fmt: skip
    if found is None:
        return None
    if settings["deblend_contrast"] < 1:
        import skimage.segmentation  # noqa: F401  (photutils needs it for this, and would only say so here)

        found = _quiet(segmentation.deblend_sources, smooth, found, settings["minimum_pixels"], progress_bar=False,
                       contrast=settings["deblend_contrast"])  # fmt: skip
    segments = found.data
    label = _nearest(segments, smooth, position, settings["match_radius"] / pixel)
    if label is None:
        return None
    return _aperture(segments, label, filled, pixel, settings)


def _import_segmentation():
    """Import photutils.segmentation.

    On import photutils goes through all packages installed to learn that its distribution has its own name; to be told
    of none leads it to the same name and saves a second.
    """
    found = metadata.packages_distributions
    metadata.packages_distributions = dict
    try:
        from photutils import segmentation
    finally:
        metadata.packages_distributions = found
    return segmentation


def _quiet(function, *arguments, **options):
    """Call without the warnings of photutils: nothing found is a result."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def _nearest(segments, smooth, position, radius):
    """Label of the segment under the position, else of the brightest pixel within the radius; None without one."""
    yy, xx = np.indices(segments.shape)
    distance = np.hypot(xx - position[0], yy - position[1])
    near = (segments > 0) & (distance <= radius)
    if not near.any():
        return None
    here = near & (distance <= 1.0)
    return int(segments[here][np.argmax(smooth[here])] if here.any() else segments[near][np.argmax(smooth[near])])


def _aperture(segments, label, data, pixel, settings):
    member = segments == label
    shape = _moments(member, data)
    inside = member.astype(float)
    if settings["aperture"] == "kron":
        axes = _kron_axes(shape, data, segments, label, settings["kron_factor"])
        least = settings["minimum_radius"] / pixel
        shape |= {"semimajor": max(axes[0], least), "semiminor": max(axes[1], least)}
        inside = _ellipse(shape, data.shape)
    area = inside.sum() * pixel**2
    contaminated = float((inside * ((segments > 0) & ~member)).sum() / inside.sum())
    semi = {"semimajor": shape["semimajor"] * pixel, "semiminor": shape["semiminor"] * pixel, "area": float(area)}
    return Aperture(inside, segments > 0, contaminated, shape | semi)


def _moments(member, data):
    """Centre and second moments of a segment: x, y, 1-sigma semi-axes in pixels, angle."""
    y, x = np.nonzero(member)
    weight = np.clip(data[member], 0.0, None)
    weight = weight / weight.sum() if weight.sum() > 0 else np.full(len(x), 1 / len(x))
    cx, cy = float(weight @ x), float(weight @ y)
    matrix = np.array([[weight @ (x - cx) ** 2, weight @ ((x - cx) * (y - cy))], [0.0, weight @ (y - cy) ** 2]])
    matrix[1, 0] = matrix[0, 1]
    values, vectors = np.linalg.eigh(matrix + np.eye(2) / 12)  # a pixel's own width
    angle = float(np.rad2deg(np.arctan2(vectors[1, 1], vectors[0, 1])) % 180)
    return {"x": cx, "y": cy, "semimajor": float(np.sqrt(values[1])), "semiminor": float(np.sqrt(values[0])),
            "angle": angle}  # fmt: skip


def _elliptical_radius(shape, size):
    yy, xx = np.indices(size)
    turned = ((xx - shape["x"]) + 1j * (yy - shape["y"])) * np.exp(-1j * np.deg2rad(shape["angle"]))
    return np.hypot(turned.real / shape["semimajor"], turned.imag / shape["semiminor"])


def _kron_axes(shape, data, segments, label, factor):
    """Semi-axes (pixels) of `factor` Kron radii (Kron 1980), as SExtractor: first moment within 6 sigma ellipses."""
    radius = _elliptical_radius(shape, data.shape)
    chosen = (radius < 6.0) & ((segments == label) | (segments == 0))
    light = data[chosen].sum()
    kron = float((radius[chosen] * data[chosen]).sum() / light) if light > 0 else 0.0
    scale = factor * float(np.clip(kron, 1.4, 4.0))
    return shape["semimajor"] * scale, shape["semiminor"] * scale


def _ellipse(shape, size, n=5):
    """Share of each pixel inside an ellipse, from n x n points a pixel."""
    steps = (np.arange(n) + 0.5) / n - 0.5
    inside = np.zeros(size)
    for dy in steps:
        for dx in steps:
            moved = shape | {"x": shape["x"] - dx, "y": shape["y"] - dy}
            inside += _elliptical_radius(moved, size) <= 1.0
    return inside / n**2

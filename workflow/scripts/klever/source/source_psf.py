"""Shape of the point-spread function in the source plane.

Curti et al. (2020), Sect. 3.2.3: a point source is lensed, blurred by the seeing as it would be observed, de-lensed
like the data, and an ellipse is fitted to the result.
"""

from dataclasses import dataclass

import numpy as np

from klever.operators import apply, dominant_column

__all__ = [
    "Ellipse", "PsfPoint", "adaptive_ellipse", "image_psf_fwhm", "jacobian_ellipse", "psf_map", "traced_ellipse",
]  # fmt: skip

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))
REACH = 2.5  # FWHM, 5.9 sigma, of the PSF that are traced
MAP_TOLERANCE = 1e-4
CONTAINED = 0.8  # of the light of a point source that must lie within the field for its shape to be measured


@dataclass
class Ellipse:
    """FWHM along the major and the minor axis (arcsec) and position angle of the major axis (degrees, N through E)."""

    fwhm_major: float = np.nan
    fwhm_minor: float = np.nan
    position_angle: float = np.nan

    @classmethod
    def from_covariance(cls, covariance):
        """Make the ellipse of a Gaussian with a 2 x 2 covariance in arcsec2, axes west and north."""
        if not np.isfinite(covariance).all():
            return cls()
        variance, axes = np.linalg.eigh(covariance)
        if not variance[0] > 0:
            return cls()
        west, north = axes[:, 1]
        minor, major = FWHM * np.sqrt(variance)
        return cls(float(major), float(minor), float(np.degrees(np.arctan2(-west, north)) % 180.0))


def image_psf_fwhm(psf_fwhm, smoothing_fwhm):
    """Return the FWHM of the maps in the image plane: mean over bands of seeing and smoothing added in quadrature.

    Parameters
    ----------
    psf_fwhm : mapping of str to float
        Seeing of each band, arcsec.
    smoothing_fwhm : float
        Arcsec, of the spatial smoothing of the cubes.
    """
    return float(np.mean([np.hypot(fwhm, smoothing_fwhm) for fwhm in psf_fwhm.values()]))


def jacobian_ellipse(alpha_x, alpha_y, x, y, scale, fwhm):
    """Map the circle of the seeing through the local Jacobian A = 1 - d alpha / d theta: covariance A Sigma A^T.

    Parameters
    ----------
    alpha_x, alpha_y : ndarray, shape (ny, nx)
        Arcsec west and north.
    x, y : int
        0-based pixel of the image.
    scale : float
        Arcsec per pixel.
    fwhm : float
        Of the image-plane PSF, arcsec.

    Returns
    -------
    Ellipse
        NaN if the deflection is missing beside the pixel.
    """
    derivative = np.empty((2, 2))
    for i, alpha in enumerate((alpha_x, alpha_y)):
        for j, (dx, dy) in enumerate(((1, 0), (0, 1))):
            high = min(x + dx, alpha.shape[1] - 1), min(y + dy, alpha.shape[0] - 1)
            low = max(x - dx, 0), max(y - dy, 0)
            distance = ((high[0] - low[0]) + (high[1] - low[1])) * scale
            difference = alpha[high[1], high[0]] - alpha[low[1], low[0]]
            derivative[i, j] = difference / distance if distance else np.nan
    jacobian = np.eye(2) - derivative
    return Ellipse.from_covariance(jacobian @ jacobian.T * (fwhm / FWHM) ** 2)


def adaptive_ellipse(value, x, y, start, tolerance=1e-7):
    """Fit an elliptical Gaussian to an image through moments with a matched Gaussian weight.

    The moments of a Gaussian under a weight of its own shape have half its covariance; the weight is iterated until
    they do (Bernstein & Jarvis 2002, AJ 123, 583, Sect. 3.1). Faint wings and noise count little, unlike in plain
    moments. Missing pixels take the value of the current Gaussian, so that holes do not bias the shape.

    Parameters
    ----------
    value : ndarray, shape (n,)
        Pixels of a regular grid; NaN is missing.
    x, y : ndarray, shape (n,)
        Positions, arcsec west and north.
    start : ndarray, shape (2, 2)
        First guess of the covariance, arcsec2.
    tolerance : float
        Relative change of the covariance at which it has converged.

    Returns
    -------
    Ellipse
        NaN if it does not converge.
    """
    good = np.isfinite(value)
    if good.sum() < 6 or not np.max(value[good]) > 0:
        return Ellipse()
    value, position = np.where(good, value / np.max(value[good]), 0.0), np.array([x, y])
    centre, covariance = position[:, np.argmax(value)], np.array(start, dtype=float)
    for _ in range(500):
        offset = position - centre[:, None]
        gaussian = np.exp(-0.5 * np.sum(offset * (np.linalg.inv(covariance) @ offset), axis=0))
        norm = np.sum(gaussian[good] ** 2)
        if not norm > 0:  # it has shrunk between the pixels
            return Ellipse()
        amplitude = gaussian[good] @ value[good] / norm
        weight = np.where(good, value, amplitude * gaussian) * gaussian
        total = weight.sum()
        if not total > 0:
            return Ellipse()
        shift = offset @ weight / total
        moments = (offset * weight) @ offset.T / total - np.outer(shift, shift)
        updated = 2.0 * moments
        if not (np.isfinite(updated).all() and np.linalg.det(updated) > 0):
            return Ellipse()
        change = np.max(np.abs(updated - covariance)) / np.trace(covariance)
        centre, covariance = centre + shift, updated
        if change < tolerance:
            return Ellipse.from_covariance(covariance)
    return Ellipse()


def traced_ellipse(operator, image_offsets, source_offsets, reference, fwhm, jacobian, tolerance=1e-7):
    """De-lens the image of a point source like the data and fit an ellipse.

    Parameters
    ----------
    operator : scipy.sparse.csr_matrix, shape (n_source, n_image)
        The averaging operator of the data.
    image_offsets, source_offsets : pair of ndarray
        Positions (arcsec west, north) of the pixels of both planes.
    reference : pair of float
        Offset of the image of the point source: the reference position. The point lies where this maps to, so the image
        needs no lens inversion. Of a multiply imaged galaxy only this image is used; the others, with their own
        ellipses, would be averaged with it.
    fwhm : float
        Of the circular Gaussian PSF in the image plane, arcsec.
    jacobian : Ellipse
        First guess (see `jacobian_ellipse`).
    tolerance : float
        As for `adaptive_ellipse`.

    Returns
    -------
    Ellipse
    """
    west, north = (np.ravel(v) for v in image_offsets)
    distance2 = (west - reference[0]) ** 2 + (north - reference[1]) ** 2
    image = np.exp(-0.5 * distance2 * (FWHM / fwhm) ** 2)
    near = distance2 <= (REACH * fwhm) ** 2  # beyond, the averaging must not see zeros of other images
    value, _ = apply(operator, image, near, minimum_coverage=0.0)
    if not np.isfinite(value).any():
        return Ellipse()
    guess = jacobian.fwhm_major if np.isfinite(jacobian.fwhm_major) else fwhm
    position = [np.ravel(v) for v in source_offsets]
    peak = np.nanargmax(value)
    close = np.all([np.abs(v - v[peak]) <= REACH * guess for v in position], axis=0)
    start = np.eye(2) * (guess / FWHM) ** 2
    return adaptive_ellipse(value[close], *(v[close] for v in position), start, tolerance)


@dataclass
class PsfPoint:
    """The PSF at one place of the source plane.

    Parameters
    ----------
    west, north : float
        Where, arcsec.
    x, y : int
        0-based pixel of the image plane that maps there.
    contained : float
        Fraction of the light of the point source's image that falls within the field.
    traced, jacobian : Ellipse
        By `traced_ellipse` and `jacobian_ellipse`; the first is NaN where less than `CONTAINED` of the image is there
        to be traced.
    """

    west: float
    north: float
    x: int
    y: int
    contained: float
    traced: Ellipse
    jacobian: Ellipse


def psf_map(operator, alpha, image_offsets, source_offsets, scale, fwhm, number=25):
    """Measure the PSF on a coarse grid over the part of the source plane that is covered.

    Parameters
    ----------
    operator : scipy.sparse.csr_matrix, shape (n_source, n_image)
        The averaging operator of the data.
    alpha, image_offsets : pair of ndarray, shape (ny, nx)
        Deflection and positions of the image pixels, arcsec west and north.
    source_offsets : pair of ndarray, shape of the source grid
        Arcsec west and north.
    scale, fwhm : float
        Of the image pixels and of the image-plane PSF, arcsec.
    number : int
        About so many points, evenly spread over the covered part.

    Returns
    -------
    list of PsfPoint
        Row by row. Each is the source position of the image pixel that counts most in the source pixel at the point of
        the grid; of several images of one point, that image's PSF is given.
    """
    shape = source_offsets[0].shape
    covered = np.diff(operator.tocsr().indptr).reshape(shape) > 0
    if not covered.any():
        return []
    rows, columns = (np.flatnonzero(covered.any(axis=axis)) for axis in (1, 0))
    step = max(1, int(np.sqrt(np.count_nonzero(covered) / number)))
    first = [(values[0] + values[-1]) // 2 % step for values in (rows, columns)]
    chosen = [(y, x) for y in range(first[0], shape[0], step) for x in range(first[1], shape[1], step)
              if covered[y, x]]  # fmt: skip
    width, sigma = alpha[0].shape[1], fwhm / FWHM
    image = dominant_column(operator[[y * shape[1] + x for y, x in chosen]])
    usable = np.isfinite(alpha[0]) & np.isfinite(alpha[1])
    found = []
    for column in image:
        y, x = divmod(int(column), width)
        at = [float(v[y, x]) for v in image_offsets]
        distance2 = (image_offsets[0] - at[0]) ** 2 + (image_offsets[1] - at[1]) ** 2
        light = np.exp(-0.5 * distance2[usable] / sigma**2).sum() * scale**2 / (2 * np.pi * sigma**2)
        jacobian = jacobian_ellipse(*alpha, x, y, scale, fwhm)
        traced = Ellipse()
        if light >= CONTAINED:
            traced = traced_ellipse(operator, image_offsets, source_offsets, at, fwhm, jacobian, MAP_TOLERANCE)
        position = [float(v - a[y, x]) for v, a in zip(at, alpha, strict=True)]
        found.append(PsfPoint(*position, x, y, min(float(light), 1.0), traced, jacobian))
    return found

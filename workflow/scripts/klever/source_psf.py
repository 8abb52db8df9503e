"""Shape of the point-spread function in the source plane.

Curti et al. (2020), Sect. 3.2.3: a point source is lensed, blurred by the seeing as it would be observed, de-lensed
like the data, and an ellipse is fitted to the result.
"""

from dataclasses import dataclass

import numpy as np

from klever.operators import apply

__all__ = ["Ellipse", "adaptive_ellipse", "image_psf_fwhm", "jacobian_ellipse", "traced_ellipse"]

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))


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


def adaptive_ellipse(value, x, y, start):
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
        gaussian = np.exp(-0.5 * np.sum(offset * np.linalg.solve(covariance, offset), axis=0))
        amplitude = gaussian[good] @ value[good] / np.sum(gaussian[good] ** 2)
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
        if change < 1e-7:
            return Ellipse.from_covariance(covariance)
    return Ellipse()


def traced_ellipse(operator, image_offsets, source_offsets, reference, fwhm, jacobian):
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

    Returns
    -------
    Ellipse
    """
    west, north = (np.ravel(v) for v in image_offsets)
    distance2 = (west - reference[0]) ** 2 + (north - reference[1]) ** 2
    image = np.exp(-0.5 * distance2 * (FWHM / fwhm) ** 2)
    near = distance2 <= (2.5 * fwhm) ** 2  # 5.9 sigma; beyond, the averaging must not see zeros of other images
    value, _ = apply(operator, image, near, minimum_coverage=0.0)
    guess = jacobian.fwhm_major if np.isfinite(jacobian.fwhm_major) else fwhm
    return adaptive_ellipse(value, *(np.ravel(v) for v in source_offsets), np.eye(2) * (guess / FWHM) ** 2)

"""Profiles of the oxygen abundance in annuli of the shape of the source-plane PSF (Curti et al. 2020, Sect. 4.2)."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Annulus", "Ellipse", "circle_overlap", "extract_annuli"]

# Area of a Gaussian beam of unit FWHM along both axes, integral of the profile over its peak.
_BEAM_AREA = np.pi / (4 * np.log(2))


@dataclass(frozen=True)
class Ellipse:
    """Shape of concentric apertures.

    The ellipse of equivalent radius r has the semi-axes r / sqrt(q) and r sqrt(q), so r = sqrt(a b): the paper's
    linear size of an ellipse, and the radius of a circle (q = 1).

    Parameters
    ----------
    x, y : float
        Centre, 0-based pixels.
    axis_ratio : float
        q, minor over major axis.
    position_angle : float
        Of the major axis, degrees from north (+y) through east (-x).
    """

    x: float
    y: float
    axis_ratio: float = 1.0
    position_angle: float = 0.0

    def transform(self, x, y):
        """Map pixel coordinates to a frame in which every ellipse is a circle of its equivalent radius.

        The map conserves area, so overlaps with circles in that frame are overlaps with the ellipses.
        """
        angle = np.deg2rad(self.position_angle)
        dx, dy = x - self.x, y - self.y
        along = -dx * np.sin(angle) + dy * np.cos(angle)
        across = dx * np.cos(angle) + dy * np.sin(angle)
        return along * np.sqrt(self.axis_ratio), across / np.sqrt(self.axis_ratio)

    def radius(self, x, y):
        """Return the equivalent radius of the ellipse through (x, y), pixels."""
        return np.hypot(*self.transform(x, y))

    def pixel_fractions(self, x, y, radius):
        """Return the fraction (exact) of each pixel that lies inside the ellipse of equivalent radius `radius`.

        Parameters
        ----------
        x, y : ndarray, shape (n,)
            Pixel centres, 0-based.
        radius : float
            Pixels.

        Returns
        -------
        ndarray, shape (n,)
        """
        corner_x = np.asarray(x)[:, None] + np.array([-0.5, 0.5, 0.5, -0.5])
        corner_y = np.asarray(y)[:, None] + np.array([-0.5, -0.5, 0.5, 0.5])
        # the sign of the area depends on the sense in which the frame turns; a fraction does not
        return np.clip(np.abs(circle_overlap(*self.transform(corner_x, corner_y), radius)), 0.0, 1.0)


@dataclass
class Annulus:
    """Abundance in one annulus; radii in pixels.

    `log_oh` is the mean of the pixels weighted with the fraction of each inside the annulus, `scatter` their weighted
    standard deviation, `weight` the summed fractions and `coverage` that sum over the annulus's area; `radius` is the
    mean equivalent radius of the pixels with the same weights, so that a linear profile stays linear.  `error` is
    described in `extract_annuli`.  `pixels` are the flat indices of the pixels that contribute, `fractions` the
    fraction of each inside the annulus.
    """

    radius: float
    inner: float
    outer: float
    log_oh: float
    error: float
    scatter: float
    weight: float
    n_pixels: int
    coverage: float
    pixels: np.ndarray = field(default=None, repr=False, compare=False)
    fractions: np.ndarray = field(default=None, repr=False, compare=False)


def circle_overlap(x, y, radius):
    """Return the signed area that polygons share with the circle of `radius` about the origin.

    Each edge contributes the part of the triangle origin-edge inside the circle: a triangle where the edge is inside
    it, circular sectors where it is outside.

    Parameters
    ----------
    x, y : ndarray, shape (..., n_corners)
        Corners, in order; counter-clockwise polygons have positive areas.
    radius : float

    Returns
    -------
    ndarray, shape (...)
    """
    end_x, end_y = np.roll(x, -1, axis=-1), np.roll(y, -1, axis=-1)
    dx, dy = end_x - x, end_y - y
    length2 = dx**2 + dy**2
    middle = -(x * dx + y * dy) / length2
    half2 = middle**2 - (x**2 + y**2 - radius**2) / length2
    half = np.sqrt(np.maximum(half2, 0.0))
    # where the edge's line misses the circle, the part inside has no length
    enter, leave = np.clip(middle - half, 0.0, 1.0), np.clip(middle + half, 0.0, 1.0)
    enter_x, enter_y, leave_x, leave_y = x + enter * dx, y + enter * dy, x + leave * dx, y + leave * dy
    inside = 0.5 * (enter_x * leave_y - enter_y * leave_x)
    sectors = _angle(x, y, enter_x, enter_y) + _angle(leave_x, leave_y, end_x, end_y)
    return np.sum(inside + 0.5 * radius**2 * sectors, axis=-1)


def extract_annuli(log_oh, error, ellipse, step, beam_fwhm, minimum_coverage, select=None):
    """Average the abundance in annuli of increasing radius until one is too poorly covered.

    The boundaries are at equivalent radii 0, step, 2 step, ... The error of an annulus follows Sect. 4.2, where it
    "takes into account both the 1 sigma dispersion of values of individual pixels inside the aperture and the error on
    each individual metallicity measurement". Our reading is error^2 = (scatter^2 + mean error^2) / N, the two added in
    quadrature, with N the number of independent elements: the area of the measured pixels in the annulus over that of
    the PSF, pi FWHM_x FWHM_y / (4 ln 2), and at least 1.

    Parameters
    ----------
    log_oh, error : ndarray, shape (ny, nx)
        12+log(O/H) and 1 sigma, dex; NaN where not measured.
    ellipse : Ellipse
        Centre and shape.
    step : float
        Width of an annulus in equivalent radius, pixels.
    beam_fwhm : float
        sqrt(FWHM_x FWHM_y) of the PSF, pixels.
    minimum_coverage : float
        Fraction of an annulus's area that must be measured. An inner annulus below it is left out, the first one
        after a measured one ends the profile.
    select : ndarray of bool, shape (ny, nx), optional
        Pixels that belong to the region.

    Returns
    -------
    list of Annulus
        Inside out; empty if nothing is measured.
    """
    usable = np.isfinite(log_oh) & np.isfinite(error)
    if select is not None:
        usable &= select
    y, x = np.nonzero(usable)
    value, sigma, flat = log_oh[usable], error[usable], np.flatnonzero(usable)
    found = []
    if not value.size:
        return found
    distance = ellipse.radius(x, y)
    # half the diagonal of a pixel in the frame where the ellipse is a circle
    reach = np.sqrt(0.5) / np.sqrt(ellipse.axis_ratio)
    inside, inner = np.zeros(value.size), 0.0
    for number in range(int(np.ceil((distance.max() + reach) / step))):
        inner, outer = number * step, (number + 1) * step
        new = (distance < outer - reach).astype(float)
        edge = np.abs(distance - outer) <= reach
        new[edge] = ellipse.pixel_fractions(x[edge], y[edge], outer)
        fraction, inside = np.maximum(new - inside, 0.0), new
        weight = fraction.sum()
        coverage = weight / (np.pi * (outer**2 - inner**2))
        if weight > 0 and coverage >= minimum_coverage:
            annulus = _average(value, sigma, distance, fraction, (inner, outer), coverage, beam_fwhm)
            part = fraction > 0
            annulus.pixels, annulus.fractions = flat[part], fraction[part]
            found.append(annulus)
        elif found:
            break
    return found


def _average(value, sigma, distance, fraction, bounds, coverage, beam_fwhm):
    weight = fraction.sum()
    mean = np.sum(fraction * value) / weight
    scatter = np.sqrt(np.sum(fraction * (value - mean) ** 2) / weight)
    independent = max(1.0, weight / (_BEAM_AREA * beam_fwhm**2))
    mean_error = np.sum(fraction * sigma) / weight
    return Annulus(
        radius=float(np.sum(fraction * distance) / weight), inner=bounds[0], outer=bounds[1], log_oh=float(mean),
        error=float(np.sqrt((scatter**2 + mean_error**2) / independent)), scatter=float(scatter), weight=float(weight),
        n_pixels=int(np.count_nonzero(fraction)), coverage=float(coverage),
    )  # fmt: skip


def _angle(x1, y1, x2, y2):
    return np.arctan2(x1 * y2 - y1 * x2, x1 * x2 + y1 * y2)

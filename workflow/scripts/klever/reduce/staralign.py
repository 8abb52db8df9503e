"""Where every exposure really pointed, from stars in three IFUs, one per detector (Curti et al. 2020, Sect. 2.2).

The header knows the dithers, but not how the arms moved since; each exposure's star tells the offset of the IFUs on its
detector, and the three together by how much the field turned.
"""

import logging
from dataclasses import dataclass, field

import numpy as np

from klever.reduce.frames import detector_of

__all__ = ["Alignment", "StarPosition", "field_solution", "solve_alignment"]

logger = logging.getLogger("klever")

_FEWEST = 2  # stars that give a rotation
_WILD = 1.0  # arcsec: a centroid further from the header's position is another source, unless other stars agree


@dataclass(frozen=True)
class StarPosition:
    """Centroid of one star in one exposure.

    Parameters
    ----------
    exposure : int
        Index of the exposure.
    ifu : int
    west, north : float
        Arcsec from the centre of the field, by the exposure's header.
    fwhm, fwhm_gauss : float
        Arcsec: seeing, Moffat and Gaussian.
    error : float
        1 sigma of each coordinate, arcsec.
    """

    exposure: int
    ifu: int
    west: float
    north: float
    fwhm: float
    fwhm_gauss: float
    error: float


@dataclass
class Alignment:
    """Offset of one exposure: true position = header position - offset.

    Parameters
    ----------
    exposure : int
    translation : (float, float)
        Arcsec west and north, at the centre of the field.
    rotation : float
        Degrees, west to north.
    stars : dict of int to (float, float)
        Offset of each detector's star, arcsec.
    positions : dict of int to (float, float)
        Where those stars are in the field, arcsec.
    residual : float
        Rms of the stars about translation and rotation, arcsec per coordinate; NaN with fewer than two stars.
    origin : str
        stars | header (no star was found: offsets are zero).
    """

    exposure: int
    translation: tuple = (0.0, 0.0)
    rotation: float = 0.0
    stars: dict = field(default_factory=dict)
    positions: dict = field(default_factory=dict)
    residual: float = np.nan
    origin: str = "header"

    def offset(self, ifu, position, method="detector"):
        """Return what to subtract from the header's positions of an IFU, arcsec west and north.

        Parameters
        ----------
        ifu : int
        position : (float, float)
            Of the IFU in the field, arcsec west and north.
        method : str
            detector (the offset of the star on the same detector, carried to the IFU by the rotation) | star (that
            offset alone, as in the paper) | field (translation and rotation) | header (nothing).

        Raises
        ------
        ValueError
            Unknown method.
        """
        if method not in ("detector", "star", "field", "header"):
            raise ValueError(f"no alignment {method!r}; choose out of detector, star, field, header.")
        detector = detector_of(ifu)
        if method == "header" or self.origin == "header":
            return 0.0, 0.0
        if method == "field" or detector not in self.stars:
            return tuple(np.add(self.translation, _turn(self.rotation, position)))
        if method == "star":
            return self.stars[detector]
        lever = np.subtract(position, self.positions[detector])
        return tuple(np.add(self.stars[detector], _turn(self.rotation, lever)))


def _turn(rotation, lever):
    """Displacement of a point by a small rotation (degrees, west to north)."""
    angle = np.radians(rotation)
    return np.array([-angle * lever[1], angle * lever[0]])


def field_solution(positions, offsets, errors):
    """Fit a translation and a rotation about the centre of the field to offsets of stars.

    Parameters
    ----------
    positions, offsets : ndarray, shape (n_star, 2)
        Arcsec west and north.
    errors : ndarray, shape (n_star,)
        1 sigma.

    Returns
    -------
    translation : (float, float)
        Arcsec.
    rotation : float
        Degrees; 0 with one star.
    residual : float
        Rms per coordinate over the degrees of freedom, arcsec; NaN with one star.
    """
    positions, offsets = np.atleast_2d(positions), np.atleast_2d(offsets)
    if len(positions) < _FEWEST:
        return tuple(offsets.mean(axis=0)), 0.0, np.nan
    design = np.zeros((2 * len(positions), 3))
    design[0::2, 0] = design[1::2, 1] = 1.0
    design[0::2, 2], design[1::2, 2] = -positions[:, 1], positions[:, 0]
    weight = np.repeat(1 / np.asarray(errors), 2)
    solution = np.linalg.lstsq(design * weight[:, None], offsets.ravel() * weight, rcond=None)[0]
    left = offsets.ravel() - design @ solution
    residual = np.sqrt(np.sum(left**2) / (left.size - 3))
    return tuple(float(v) for v in solution[:2]), float(np.degrees(solution[2])), float(residual)


def solve_alignment(stars, n_exposure):
    """Return the alignment of every exposure relative to the mean of all.

    Parameters
    ----------
    stars : list of StarPosition
    n_exposure : int

    Returns
    -------
    list of Alignment
        An exposure without stars keeps the header's positions; one whose detector has no star takes translation and
        rotation of the others.  A star far from where the header has it counts only if another one is off by as much:
        then it is the header that is wrong.
    """
    stars = [star for star in stars if np.isfinite([star.west, star.north]).all()]
    reference = _references(stars)
    result = []
    for exposure in range(n_exposure):
        own = _trusted([star for star in stars if star.exposure == exposure], reference)
        if not own:
            result.append(Alignment(exposure))
            continue
        positions = np.array([reference[star.ifu] for star in own])
        offsets = np.array([(star.west, star.north) for star in own]) - positions
        translation, rotation, residual = field_solution(positions, offsets, [max(star.error, 1e-4) for star in own])
        detectors = [detector_of(star.ifu) for star in own]
        result.append(
            Alignment(exposure, translation, rotation,
                      dict(zip(detectors, map(tuple, offsets.tolist()), strict=True)),
                      dict(zip(detectors, map(tuple, positions.tolist()), strict=True)), residual, "stars")
        )  # fmt: skip
    return result


def _trusted(stars, reference):
    """Stars of one exposure whose offsets are small, or the same as another star's."""
    offsets = [np.subtract((star.west, star.north), reference[star.ifu]) for star in stars]
    trusted = []
    for number, (star, own) in enumerate(zip(stars, offsets, strict=True)):
        others = offsets[:number] + offsets[number + 1 :]
        if np.hypot(*own) < _WILD or any(np.hypot(*(own - other)) < 0.5 * _WILD for other in others):
            trusted.append(star)
        else:
            logger.warning("exposure %d: the star in IFU %d is %.1f arcsec from where the header has it, and no other "
                           "is; it is not used", star.exposure + 1, star.ifu, np.hypot(*own))  # fmt: skip
    return trusted


def _references(stars):
    """Mean position of each star; a star is compared with its median first, so that a wrong one does not count."""
    reference = {}
    for ifu in sorted({star.ifu for star in stars}):
        points = np.array([(star.west, star.north) for star in stars if star.ifu == ifu])
        middle = np.median(points, axis=0)
        near = np.hypot(*(points - middle).T) < _WILD
        reference[ifu] = tuple(points[near].mean(axis=0)) if near.any() else tuple(middle)
    return reference

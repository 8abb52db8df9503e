"""Multiple images of point sources behind a simulated cluster, and the catalogue of its members.

Images are where the distance of the traced position to the source has a local minimum on a fine grid, polished with
differences of the deflection: nothing is shared with the search for images of the analysis.
"""

from dataclasses import dataclass, replace

import numpy as np

from klever.errors import InputError
from klever_simulation.lenses import LensModel, dls_over_ds

__all__ = ["REDSHIFTS", "Family", "isothermal", "members_of", "observe", "simulate_families", "sky", "solve"]

REDSHIFTS = (2.014, 1.405, 1.72, 2.5, 2.93, 3.3, 3.77, 4.2, 4.9)  # of the sources; first that of the MACS0451 arc
POSITION_ERROR = 0.05  # arcsec; HST positions of compact images

M_REFERENCE = 19.0  # magnitude of the most massive member; L ~ sigma^4 (Faber & Jackson 1976)
GRID = 0.2  # arcsec
FAINTEST = 0.5  # magnification below which an image is not seen
CLOSEST = 1.0  # arcsec, between images of one source and from a member, that can be told apart
LARGEST = 30.0  # magnification above which images merge in an arc without positions


@dataclass
class Family:
    """A simulated source: redshift, position and images, arcsec; `mu` signed."""

    z: float
    source: tuple
    x: np.ndarray
    y: np.ndarray
    mu: np.ndarray


def isothermal(lens):
    """Return the lens with all members made (almost) singular isothermal spheres of the same velocity dispersion."""
    parameters = [entry | {"core": 1e-4, "cut": 1e6} if entry["type"] == "dpie" else entry for entry in lens.parameters]
    return replace(lens, parameters=parameters)


def members_of(lens):
    """Return (name, x, y, magnitude) of the members, brightest first."""
    members = [entry for entry in lens.parameters if entry["type"] == "dpie" and entry["name"] != "halo"]
    if not members:
        return []
    largest = max(entry["sigma"] for entry in members)
    rows = [
        (entry["name"], entry["x"], entry["y"], M_REFERENCE - 10 * np.log10(entry["sigma"] / largest))
        for entry in members
    ]
    return sorted(rows, key=lambda row: row[3])


class _Plane:
    """Deflection of a lens on a grid, for Dls/Ds = 1."""

    def __init__(self, lens, radius):
        axis = np.arange(-radius, radius + GRID / 2, GRID)
        self.x, self.y = np.meshgrid(axis, axis)
        self.alpha = lens.deflection(self.x, self.y, None)


def solve(lens: LensModel, source, z_source, plane=None, radius=45.0):
    """Return x, y and signed magnification of the images of a point source, brightest first.

    Parameters
    ----------
    lens : LensModel
    source : pair of float
        Arcsec.
    z_source : float
    plane : optional
        Of an earlier call, to save time.
    radius : float
        Half the side of the field, arcsec.
    """
    plane = plane or _Plane(lens, radius)
    ratio = dls_over_ds(lens.z_lens, z_source)
    distance = np.hypot(plane.x - ratio * plane.alpha[0] - source[0], plane.y - ratio * plane.alpha[1] - source[1])
    inner = distance[1:-1, 1:-1]
    lowest = np.ones(inner.shape, bool)
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            if (dx, dy) != (1, 1):
                lowest &= inner <= distance[dy : dy + inner.shape[0], dx : dx + inner.shape[1]]
    lowest &= inner < 1.0
    x, y = plane.x[1:-1, 1:-1][lowest], plane.y[1:-1, 1:-1][lowest]
    for _ in range(30):
        bx, by = _traced(lens, x, y, z_source)
        a, b, c, d = _jacobian(lens, x, y, z_source)
        det = a * d - b * c
        det = np.where(np.abs(det) < 1e-6, 1e-6, det)
        rx, ry = source[0] - bx, source[1] - by
        step_x, step_y = (d * rx - b * ry) / det, (a * ry - c * rx) / det
        shorten = np.minimum(1.0, 0.1 / np.maximum(np.hypot(step_x, step_y), 1e-30))
        x, y = x + shorten * step_x, y + shorten * step_y
        if max(np.abs(step_x).max(initial=0.0), np.abs(step_y).max(initial=0.0)) < 1e-10:
            break
    bx, by = _traced(lens, x, y, z_source)
    good = np.hypot(bx - source[0], by - source[1]) < 1e-7
    x, y = x[good], y[good]
    a, b, c, d = _jacobian(lens, x, y, z_source)
    mu = 1 / (a * d - b * c)
    order = np.argsort(-np.abs(mu))
    kept = []
    for i in order:
        if all(np.hypot(x[i] - x[j], y[i] - y[j]) > 1e-3 for j in kept):
            kept.append(i)
    return x[kept], y[kept], mu[kept]


def _traced(lens, x, y, z_source):
    alpha_x, alpha_y = lens.deflection(x, y, z_source)
    return x - alpha_x, y - alpha_y


def _jacobian(lens, x, y, z_source, step=1e-5):
    right, left = _traced(lens, x + step, y, z_source), _traced(lens, x - step, y, z_source)
    up, down = _traced(lens, x, y + step, z_source), _traced(lens, x, y - step, z_source)
    a, c = ((r - m) / (2 * step) for r, m in zip(right, left, strict=True))
    b, d = ((u - m) / (2 * step) for u, m in zip(up, down, strict=True))
    return a, b, c, d


def simulate_families(lens, redshifts, seed=0, radius=45.0):
    """Return one family of at least three images for each redshift, sources drawn at random behind the cluster.

    Images are kept that are not too faint, do not merge with another and do not lie on a member.

    Raises
    ------
    InputError
        The lens is too weak to make three images at one of the redshifts.
    """
    rng = np.random.default_rng([seed, 451])
    plane = _Plane(lens, radius)
    members = members_of(lens)
    families = []
    for z in redshifts:
        for _ in range(200):
            source = tuple(rng.uniform(-5.0, 5.0, 2))
            x, y, mu = solve(lens, source, z, plane)
            seen = (np.abs(mu) > FAINTEST) & (np.hypot(x, y) > CLOSEST)
            for _, member_x, member_y, _ in members:
                seen &= np.hypot(x - member_x, y - member_y) > CLOSEST
            x, y, mu = x[seen], y[seen], mu[seen]
            apart = np.hypot(x[:, None] - x, y[:, None] - y) + 1e9 * np.eye(len(x))
            if len(x) >= 3 and np.abs(mu).max() < LARGEST and apart.min() > CLOSEST:
                break
        else:
            raise InputError(f"lens {lens.name}: no source at z = {z:g} with three images was found; is it too weak?")
        families.append(Family(float(z), source, x, y, mu))
    return families


def sky(lens, x, y):
    """Return (ra, dec) in degrees of offsets (arcsec west, north) from the centre of the lens."""
    from astropy.wcs import WCS

    from klever_simulation.formats import celestial_header

    header = celestial_header(lens.ra, lens.dec, 3, 3, 1.0)  # pixel 1, 1 is the centre; x increases to the west
    return WCS(header).wcs_pix2world(np.asarray(x, float) + 1.0, np.asarray(y, float) + 1.0, 0)


def observe(families, error=POSITION_ERROR, seed=0):
    """Return (family, image, x, y, z, error) of all images, with noise of `error` arcsec on each coordinate."""
    rng = np.random.default_rng([seed, 452])
    rows = []
    for number, family in enumerate(families, 1):
        noise = rng.normal(0.0, error, (2, len(family.x)))
        for i in range(len(family.x)):
            label = f"{number}.{i + 1}"
            rows.append((str(number), label, family.x[i] + noise[0, i], family.y[i] + noise[1, i], family.z, error))
    return rows

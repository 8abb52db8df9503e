"""A cluster of galaxies as a lens: its parameters, and how well they bring multiple images together.

Halo (elliptical power law) + external shear + members on sigma ~ L^(1/4) (Curti et al. 2020, Sect. 3.2.1). All Einstein
radii and shears are those for a source at `z_reference`. The source position of a family is not sampled: for any set of
parameters it is the one of the least chi2, and the posterior is integrated over it with a flat prior.
"""

from dataclasses import dataclass, field

import numpy as np

from klever.cosmology import distance_ratio
from klever.lensfit.cluster_profiles import (
    CORE,
    apply_inverse,
    halo_fields,
    member_fields,
    member_scaling,
    shear_fields,
    square_inverse,
)

__all__ = ["PARAMETERS", "ClusterLens", "Images", "Members"]

SPEED_OF_LIGHT = 299792.458  # km/s
RADIAN = np.rad2deg(1.0) * 3600.0  # arcsec

# name: unit, range of the flat prior. sigma_reference is the velocity dispersion at the reference magnitude.
PARAMETERS = {
    "theta_E": ("arcsec", 0.5, 80.0),
    "e1": ("", -0.6, 0.6),
    "e2": ("", -0.6, 0.6),
    "slope": ("", 1.3, 2.7),
    "centre_x": ("arcsec", -10.0, 10.0),
    "centre_y": ("arcsec", -10.0, 10.0),
    "gamma1": ("", -0.3, 0.3),
    "gamma2": ("", -0.3, 0.3),
    "sigma_reference": ("km / s", 1.0, 500.0),
}
CENTRE_SPREAD = 2.0  # arcsec, 1 sigma of the normal prior of the halo's centre about the centre of the lens
Z_SPAN = 0.05, 12.0  # free redshifts lie so far behind the lens, and below this
_LEAST_DETERMINANT = 0.01  # |mu| > 100 is not trusted in the weights
_LONGEST_STEP = 1.5  # arcsec, of one Newton step
_CONVERGED = 1e-4  # of the error; the next Newton step would be its square
_MISSING = 10.0  # sigma that an image costs which the model does not make


@dataclass
class Images:
    """Observed multiple images.

    Parameters
    ----------
    z : complex ndarray, shape (n,)
        Positions x + i y, arcsec to the west and north of the lens's centre.
    error : ndarray, shape (n,)
        1 sigma per coordinate, arcsec.
    family : int ndarray, shape (n,)
        Number of the family of each image, from 0.
    redshift : ndarray, shape (families,)
        NaN where it is free.
    names, labels : list of str
        Of the families, and of the images.
    """

    z: np.ndarray
    error: np.ndarray
    family: np.ndarray
    redshift: np.ndarray
    names: list
    labels: list


@dataclass
class Members:
    """Cluster members: complex positions (arcsec) and magnitudes, shape (m,)."""

    z: np.ndarray = field(default_factory=lambda: np.zeros(0, complex))
    magnitude: np.ndarray = field(default_factory=lambda: np.zeros(0))


class ClusterLens:
    """The model of one cluster and its images.

    Parameters
    ----------
    images : Images
    members : Members
    z_lens : float
    cosmology : mapping
        H0, Om0, Ode0.
    z_reference : float, optional
        Source redshift of the parameters; the first known one of a family if None.
    reference_magnitude : float, optional
        Of `sigma_reference`; that of the brightest member if None.
    cut : float, optional
        Truncation radius (arcsec) of a member of the reference magnitude, ~ L^(1/2); none (SIS members) if None.
    """

    def __init__(self, images, members, z_lens, cosmology, z_reference=None, reference_magnitude=None, cut=None):
        self.images, self.members, self.z_lens, self.cosmology = images, members, float(z_lens), dict(cosmology)
        known = images.redshift[np.isfinite(images.redshift)]
        self.z_reference = float(known[0] if z_reference is None else z_reference)
        brightest = members.magnitude.min() if len(members.magnitude) else 0.0
        self.reference_magnitude = float(brightest if reference_magnitude is None else reference_magnitude)
        self.reference_ratio = distance_ratio(self.z_lens, self.z_reference, self.cosmology)
        weights = member_scaling(members.magnitude, self.reference_magnitude)
        self.scaled = members.z, weights
        self.cut = None if cut is None else np.maximum(cut * weights, 1.1 * CORE)
        self.free = np.flatnonzero(~np.isfinite(images.redshift))
        self.names = [*PARAMETERS, *(f"z_{images.names[i]}" for i in self.free)]
        low, high = (np.array([entry[i] for entry in PARAMETERS.values()]) for i in (1, 2))
        span = (self.z_lens + Z_SPAN[0], Z_SPAN[1])
        self.lower = np.append(low, [span[0]] * len(self.free))
        self.upper = np.append(high, [span[1]] * len(self.free))
        self.table_z = np.linspace(*span, 400)
        self.table = np.array([distance_ratio(self.z_lens, z, self.cosmology) for z in self.table_z])
        self.table /= self.reference_ratio
        self.factors = np.ones(len(images.redshift))
        for i, redshift in enumerate(images.redshift):
            if np.isfinite(redshift):
                self.factors[i] = distance_ratio(self.z_lens, redshift, self.cosmology) / self.reference_ratio
        self.in_family = (images.family[:, None] == np.arange(len(images.names))).astype(float)
        first, second = np.triu_indices(len(images.z), 1)
        same = images.family[first] == images.family[second]
        self.pairs = first[same], second[same]
        self.members_at_images = self._members(images.z[None])
        self.degrees = 2 * len(images.z) - 2 * len(images.names) - len(self.names)

    def einstein_radius(self, sigma):
        """Return the Einstein radius (arcsec, at `z_reference`) of an isothermal sphere of `sigma` km/s."""
        return 4 * np.pi * (np.asarray(sigma) / SPEED_OF_LIGHT) ** 2 * self.reference_ratio * RADIAN

    def ratios(self, p):
        """Return Dls/Ds of each family over that of `z_reference`, shape (sets, families)."""
        ratios = np.tile(self.factors, (len(p), 1))
        if len(self.free):
            ratios[:, self.free] = np.interp(p[:, len(PARAMETERS) :], self.table_z, self.table)
        return ratios

    def fields(self, p, z, at_images=False):
        """Return deflection, convergence and complex shear at `z_reference`.

        Parameters
        ----------
        p : ndarray, shape (sets, parameters)
        z : complex ndarray, shape (sets, n) or (1, n)
        at_images : bool
            `z` are the observed images, where the members' part is known.
        """
        theta_e, e1, e2, slope, x, y, gamma1, gamma2, sigma = (p[:, i : i + 1] for i in range(len(PARAMETERS)))
        halo = halo_fields(z, theta_e, e1, e2, slope, x + 1j * y)
        shear = shear_fields(z, gamma1 + 1j * gamma2)
        unit = self.members_at_images if at_images else self._members(z)
        members = self.einstein_radius(sigma)
        return tuple(a + b + members * c for a, b, c in zip(halo, shear, unit, strict=True))

    def _members(self, z):
        if not len(self.scaled[0]):
            return 0.0, 0.0, 0.0
        return member_fields(z, self.scaled, self.cut)

    def _mapped(self, p, z, scale, at_images=False):
        """Source positions, kappa and gamma of images, each for the redshift of its family."""
        alpha, kappa, gamma = self.fields(p, z, at_images)
        return z - scale * alpha, scale * kappa, scale * gamma

    def _sources(self, beta, kappa, gamma, displacement):
        """Best source of each family for linearised images at `displacement` from the observed ones, and its weight."""
        a, b = square_inverse(kappa, gamma, _LEAST_DETERMINANT)
        a, b = a / self.images.error**2, b / self.images.error**2
        # A (theta_observed - theta): the observed image carried along the linearised mapping
        carried = beta + (1.0 - kappa) * displacement - gamma * np.conj(displacement)
        total_a, total_b = a @ self.in_family, b @ self.in_family
        right = (a * carried + b * np.conj(carried)) @ self.in_family
        determinant = total_a**2 - np.abs(total_b) ** 2
        return (total_a * right - total_b * np.conj(right)) / determinant, determinant

    def source_plane(self, p):
        """Return residuals of the images in sigma, carried from the source plane with each image's magnification.

        Parameters
        ----------
        p : ndarray, shape (sets, parameters)

        Returns
        -------
        residuals : complex ndarray, shape (sets, n)
            A^-1 (source of the image - source of the family) / error; the sum of squares is the chi2 of the image plane
            to first order (Oguri 2010, PASJ 62, 1017, Appendix 2).
        sources : complex ndarray, shape (sets, families)
        log_weight : ndarray, shape (sets,)
            Of the integral over the source positions.
        """
        scale = self.ratios(p)[:, self.images.family]
        beta, kappa, gamma = self._mapped(p, self.images.z[None], scale, at_images=True)
        sources, determinant = self._sources(beta, kappa, gamma, 0.0)
        away = apply_inverse(kappa, gamma, beta - sources[:, self.images.family], _LEAST_DETERMINANT)
        return away / self.images.error, sources, -0.5 * np.log(determinant).sum(1)

    def image_plane(self, p, iterations=6):
        """Return residuals of the images in sigma with the lens equation solved near each of them.

        The source position of the least chi2 and the images are found together, by Newton steps.

        Parameters
        ----------
        p : ndarray, shape (sets, parameters)
        iterations : int
            At most.

        Returns
        -------
        residuals, sources, log_weight
            As `source_plane`. An image that the model does not make costs `_MISSING` sigma on top of its distance
            in the source plane.
        theta : complex ndarray, shape (sets, n)
            Images of the model.
        found : bool ndarray, shape (sets, n)
            False where no image was found near the observed one, or only that of another observed image.
        """
        images = self.images
        scale = self.ratios(p)[:, images.family]
        theta = np.repeat(images.z[None], len(p), axis=0)
        beta, kappa, gamma = self._mapped(p, images.z[None], scale, at_images=True)
        first = None
        for _ in range(iterations):
            sources, determinant = self._sources(beta, kappa, gamma, images.z - theta)
            step = apply_inverse(kappa, gamma, sources[:, images.family] - beta, _LEAST_DETERMINANT)
            first = -step / images.error if first is None else first
            length = np.abs(step)
            theta = theta + step * np.minimum(1.0, _LONGEST_STEP / np.maximum(length, 1e-30))
            beta, kappa, gamma = self._mapped(p, theta, scale)
            if (length < _CONVERGED * images.error).all():
                break
        left = apply_inverse(kappa, gamma, sources[:, images.family] - beta)
        found = np.abs(left) < 0.05 * images.error
        residuals = (images.z - theta) / images.error
        one, other = self.pairs
        merged = np.abs(theta[:, one] - theta[:, other]) < 0.1 * np.abs(images.z[one] - images.z[other])
        for row, pair in np.argwhere(merged):  # hardly ever any
            found[row, other[pair]] &= ~found[row, one[pair]]
        size = np.abs(first)
        penalty = first * (1.0 + _MISSING / np.maximum(size, 1e-3))
        return np.where(found, residuals, penalty), sources, -0.5 * np.log(determinant).sum(1), theta, found

    def log_posterior(self, p, plane="image"):
        """Return the logarithm of the posterior, up to a constant, shape (sets,); -inf outside the priors."""
        p = np.atleast_2d(p)
        inside = ((p >= self.lower) & (p <= self.upper)).all(1) & (np.hypot(p[:, 1], p[:, 2]) < 0.7)
        result = np.full(len(p), -np.inf)
        if inside.any():
            residuals, _, log_weight = getattr(self, f"{plane}_plane")(p[inside])[:3]
            chi2 = (np.abs(residuals) ** 2).sum(1) + (self.prior_residuals(p[inside]) ** 2).sum(1)
            result[inside] = log_weight - 0.5 * chi2
        return np.where(np.isfinite(result), result, -np.inf)

    def prior_residuals(self, p):
        """Return the halo's offset from the centre in units of its prior's width, shape (sets, 2)."""
        return p[:, 4:6] / CENTRE_SPREAD

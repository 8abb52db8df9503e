"""Lens of greatest evidence on an adaptive source plane, and its posterior."""

import logging
from dataclasses import dataclass

import numpy as np

from klever.errors import InputError
from klever.lensfit import epl
from klever.lensfit.arcimage import ArcImage
from klever.lensfit.gaussnewton import gauss_newton
from klever.lensfit.inversion import Inversion, invert
from klever.lensfit.posterior import Posterior, climb, emcee_samples, weighted_samples
from klever.lensfit.sourceprior import choose_prior, follow_brightness

__all__ = ["GalaxyFit", "finish_fit"]

logger = logging.getLogger(__name__)

_LARGEST_MOVE = np.array([0.03, 0.15, 0.05, 0.05, 0.03, 0.03, 0.05, 0.05])  # a Gauss-Newton step; lengths in theta_E
_NEWTON_STEPS = 8


@dataclass
class GalaxyFit:
    """A fitted galaxy lens.

    Parameters
    ----------
    best : ndarray, shape (8,)
        Parameters of greatest evidence; see `klever.lensfit.epl`.
    covariance : ndarray, shape (8, 8)
    posterior : klever.lensfit.posterior.Posterior
    converged : bool
    image : klever.lensfit.arcimage.ArcImage
        With the first of the meshes.
    inversion : klever.lensfit.inversion.Inversion
        Of the best parameters on the first mesh.
    light : ndarray or None
        Shape of the lens galaxy's light; see `klever.lensfit.lenslight`.
    floor : float or None
        Of the prior; see `klever.lensfit.sourceprior`.
    mesh_noise : float
        What is left of the scatter of ln evidence, between lenses of the posterior, that comes from the choice of the
        meshes; NaN for a single mesh.
    """

    best: np.ndarray
    covariance: np.ndarray
    posterior: Posterior
    converged: bool
    image: ArcImage
    inversion: Inversion
    light: np.ndarray | None
    floor: float | None
    mesh_noise: float


class _Evidence:
    """Mean ln evidence of several meshes, whose prior is that of one lens.

    Edges of a mesh that flip between one lens and the next make its evidence jump by one to five; where they flip is
    different in every mesh.
    """

    def __init__(self, image, parameters, floor, number):
        self.meshes = [image, *(image.other_mesh(shift / number) for shift in range(1, number))]
        self.strengths = [follow_brightness(mesh, parameters, floor)[0] for mesh in self.meshes]
        self.values = []

    def __call__(self, parameters):
        if not _allowed(parameters):
            return -np.inf
        found = [invert(mesh, parameters, strength) for mesh, strength in zip(self.meshes, self.strengths, strict=True)]
        if None in found:
            return -np.inf
        self.values.append([one.log_evidence for one in found])
        return float(np.mean(self.values[-1]))

    def noise(self, since):
        """Return the standard error of differences of the mean ln evidence, from the calls after the first `since`."""
        values = np.array(self.values[since:])
        number = len(self.meshes)
        if number < 2 or len(values) < 2:
            return np.nan
        mean = values.mean(axis=1)
        near = mean > mean.max() - 10
        difference = (values - mean[:, None])[near]
        spread = np.sum((difference - difference.mean(axis=0)) ** 2) / (max(near.sum() - 1, 1) * (number - 1))
        return float(np.sqrt(spread / number))


def finish_fit(image, parameters, light, options, name):
    """Finish a fit on the adaptive source plane: Gauss-Newton, kind of regularisation, greatest evidence, samples.

    Parameters
    ----------
    image : klever.lensfit.arcimage.ArcImage
    parameters : ndarray, shape (8,)
        Start, near the best lens.
    light, options, name
        See `GalaxyFit` and `klever.lensfit.galaxyfit.fit_galaxy`.

    Returns
    -------
    GalaxyFit

    Raises
    ------
    InputError
        No lens explains the arc.
    """
    try:
        parameters, _ = _newton(image, parameters)
        floor = choose_prior(image, parameters)
        parameters, covariance = _newton(image, parameters)
        log_evidence = _Evidence(image, parameters, floor, options["meshes"])
    except (ValueError, np.linalg.LinAlgError) as error:
        raise InputError(f"{name}: no elliptical power law explains the arc ({error}); check centre, mask_radius and "
                         "theta_E of the lens.") from error  # fmt: skip
    rng = np.random.default_rng(options["seed"])
    best, covariance, converged = climb(log_evidence, parameters, 4 * covariance, rng, points=60)
    before = len(log_evidence.values)
    if options["sampler"] == "emcee":
        posterior = emcee_samples(log_evidence, best, covariance, rng, options["walkers"], options["steps"],
                                  options["samples"])  # fmt: skip
    else:
        posterior = weighted_samples(log_evidence, best, covariance, rng, options["draws"], options["samples"])
    inversion = invert(image, best, log_evidence.strengths[0])
    if inversion is None or not len(posterior.samples):
        raise InputError(f"{name}: the best lens model cannot be evaluated; check mask_radius and theta_E.")
    noise = log_evidence.noise(before)
    logger.info("chi2 %.0f of %d pixels, ln evidence %.1f (noise of the mesh %.1f), %.0f effective samples",
                inversion.chi2, image.data.size, inversion.log_evidence, noise, posterior.effective)  # fmt: skip
    return GalaxyFit(best, covariance, posterior, converged, image, inversion, light, floor, noise)


def _newton(image, parameters):
    """Return the lens that Gauss-Newton steps lead to, and its covariance."""
    largest = _LARGEST_MOVE * np.array([parameters[0], 1, 1, 1, parameters[0], parameters[0], 1, 1])
    reached, kept, covariance = -np.inf, parameters, None
    for _ in range(_NEWTON_STEPS):
        step, found, evidence, _ = gauss_newton(image, parameters)
        if evidence < reached + 1:  # what fits best with the best source need not have the greatest evidence
            return (kept if evidence < reached else parameters), covariance
        reached, kept, covariance = evidence, parameters, found
        parameters = parameters + step * min(1.0, 1.0 / max(float(np.max(np.abs(step) / largest)), 1e-9))
        if not _allowed(parameters):
            raise ValueError("the lens left the range of its parameters")
    return kept, covariance


def _allowed(p):
    return p[0] > 0 and 1.2 < p[1] < 2.8 and np.hypot(p[2], p[3]) < epl.LARGEST_ELLIPTICITY and np.isfinite(p).all()

"""All images that a fitted cluster makes of its sources: observed ones, and those nobody has seen yet."""

from dataclasses import dataclass

import numpy as np

from klever.lensfit.cluster_profiles import apply_inverse

__all__ = ["PredictedImage", "all_images", "predict"]


_PIXEL = 0.25  # arcsec, of the grid whose triangles are traced
_SAME = 0.02  # arcsec
_FAINTEST = 0.05  # magnification; images in the cores of galaxies are fainter


@dataclass
class PredictedImage:
    """An image of the model.

    Parameters
    ----------
    family : int
        Number of the family.
    z : complex
        Position, arcsec.
    mu : float
        Magnification, negative for mirrored images.
    parity : str
        ``minimum``, ``saddle`` or ``maximum`` of the arrival time.
    observed : int or None
        Number of the observed image that it is.
    offset : float
        Arcsec, between observed and predicted position; NaN if not observed.
    """

    family: int
    z: complex
    mu: float
    parity: str
    observed: int | None = None
    offset: float = np.nan


class TracedGrid:
    """Deflection of a set of parameters on a grid of triangles about the centre."""

    def __init__(self, lens, p, radius):
        self.lens, self.p = lens, np.atleast_2d(p)
        axis = np.arange(-radius, radius + _PIXEL, _PIXEL) + 0.0137  # off the centres of galaxies
        x, y = np.meshgrid(axis, axis)
        self.z = x + 1j * y
        self.alpha = np.concatenate([lens.fields(self.p, row[None])[0] for row in self.z])

    def candidates(self, source, ratio):
        """Return centres of the triangles that hold the source when they are traced."""
        beta = self.z - ratio * self.alpha - source
        a, b, c, d = beta[:-1, :-1], beta[:-1, 1:], beta[1:, :-1], beta[1:, 1:]
        za, zb, zc, zd = self.z[:-1, :-1], self.z[:-1, 1:], self.z[1:, :-1], self.z[1:, 1:]
        found = []
        for corners, places in (((a, b, c), (za, zb, zc)), ((d, c, b), (zd, zc, zb))):
            turns = [(np.conj(u) * v).imag for u, v in zip(corners, (*corners[1:], corners[0]), strict=True)]
            inside = ((turns[0] > 0) == (turns[1] > 0)) & ((turns[1] > 0) == (turns[2] > 0))
            found.append((sum(places) / 3)[inside])
        return np.concatenate(found)


def all_images(grid, source, ratio):
    """Return positions, magnifications and convergences of all images of a source, brightest first.

    Parameters
    ----------
    grid : TracedGrid
    source : complex
        Arcsec.
    ratio : float
        Dls/Ds of the source over that of the lens's `z_reference`.
    """
    z = grid.candidates(source, ratio)[None]
    if not z.size:
        return np.zeros(0, complex), np.zeros(0), np.zeros(0)
    for _ in range(25):
        alpha, kappa, gamma = (ratio * value for value in grid.lens.fields(grid.p, z))
        step = apply_inverse(kappa, gamma, source - (z - alpha), 1e-4)
        z = z + step * np.minimum(1.0, 0.5 * _PIXEL / np.maximum(np.abs(step), 1e-30))
    alpha, kappa, gamma = (ratio * value for value in grid.lens.fields(grid.p, z))
    good = np.abs(source - (z - alpha)) < 1e-6
    z, kappa, gamma = z[good], kappa[good], gamma[good]
    mu = 1.0 / ((1.0 - kappa) ** 2 - np.abs(gamma) ** 2)
    kept = []
    for i in np.argsort(-np.abs(mu)):
        if np.abs(mu[i]) > _FAINTEST and all(np.abs(z[i] - z[j]) > _SAME for j in kept):
            kept.append(i)
    return z[kept], mu[kept], kappa[kept]


def predict(lens, fit, radius=None):
    """Return all images that the best model makes of the fitted sources.

    Parameters
    ----------
    lens : klever.lensfit.cluster.ClusterLens
    fit : klever.lensfit.cluster_search.ClusterFit
    radius : float, optional
        Half the side of the field that is searched, arcsec; 1.3 times the distance of the outermost image if None.

    Returns
    -------
    list of PredictedImage
        By family, brightest first. An observed image is matched with the prediction that the fit found for it.
    """
    radius = 1.3 * float(np.abs(lens.images.z).max()) + 2.0 if radius is None else radius
    grid = TracedGrid(lens, fit.best, radius)
    ratios = lens.ratios(fit.best[None])[0]
    predictions = []
    for family, (source, ratio) in enumerate(zip(fit.sources, ratios, strict=True)):
        own = np.flatnonzero((lens.images.family == family) & fit.found)
        for z, mu, kappa in zip(*all_images(grid, source, ratio), strict=True):
            parity = "saddle" if mu < 0 else "minimum" if kappa < 1 else "maximum"
            image = PredictedImage(family, complex(z), float(mu), parity)
            near = own[np.abs(fit.predicted[own] - z) < _SAME] if len(own) else own
            if len(near):
                image.observed = int(near[0])
                image.offset = float(np.abs(lens.images.z[near[0]] - z))
            predictions.append(image)
    return predictions

"""Total magnification of a galaxy, in the two ways of Curti et al. (2020), Sect. 3.2.3.

mu_halpha: flux of the significant image pixels over their flux in the source plane. mu_maps: 1/|det A| at the galaxy's
position from the model's convergence and shear, with the spread of its realisations.
"""

from pathlib import Path

import numpy as np

from klever.align.bandmaps import valid_pixels
from klever.operators import renormalised

__all__ = ["FluxRatio", "find_realisations", "flux_ratio", "realisation_magnifications"]

MAXIMUM_MAGNIFICATION = 1e4  # a realisation whose critical line passes the position would be infinite


class FluxRatio:
    """Fluxes of one line before and after the reconstruction.

    Parameters
    ----------
    image, image_error : float
        Flux in the image plane and its error.
    source, source_error : float
        Flux in the source plane and its error.
    covariance : float
        Of the two; they are made of the same spaxels.
    """

    def __init__(self, image, image_error, source, source_error, covariance):
        self.image, self.image_error = image, image_error
        self.source, self.source_error = source, source_error
        self.covariance = covariance

    @property
    def mu(self):
        """Image over source flux."""
        return self.image / self.source

    @property
    def error(self):
        """Error of `mu` from the relative errors in quadrature, as in the paper; too large, for they are correlated."""
        return abs(self.mu) * float(np.hypot(self.image_error / self.image, self.source_error / self.source))

    @property
    def error_correlated(self):
        """Error of `mu` with the covariance of the two fluxes."""
        variance = (
            (self.image_error / self.image) ** 2
            + (self.source_error / self.source) ** 2
            - 2 * self.covariance / (self.image * self.source)
        )
        return abs(self.mu) * float(np.sqrt(max(variance, 0.0)))


def flux_ratio(line, band, resampling, averaging, areas, snr, landed, images):
    """Compare the flux of a line's significant pixels in the image plane with their flux in the source plane.

    Parameters
    ----------
    line : str
    band : Band
        Line maps on spaxels, flux per spaxel.
    resampling : scipy.sparse.csr_matrix
        Spaxels to aligned pixels.
    averaging : scipy.sparse.csr_matrix
        Aligned to source pixels.
    areas : pair of float
        Of an aligned and of a source pixel, arcsec2.
    snr : tuple (value, error) of ndarray, and float threshold
        Aligned map as ``(value, error, threshold)``.
    landed : ndarray, shape (n_source,)
        Sub-pixels in each source pixel.
    images : ndarray of int, shape (n_source,)
        Images of each source pixel.

    Returns
    -------
    FluxRatio or None
        None if no pixel is significant. A source pixel counts with the fraction of it that the significant pixels of an
        image cover: an image that is too faint to count must not dilute the one that does.
    """
    value, error, threshold = (np.ravel(v) for v in snr)
    with np.errstate(invalid="ignore", divide="ignore"):
        mask = np.isfinite(value) & (value / error > threshold)
    if not mask.any():
        return None
    product = band.maps[line]
    valid = valid_pixels(product)
    to_image = renormalised(resampling, valid)
    to_source = renormalised((averaging @ resampling).tocsr(), valid)
    fraction = np.minimum(averaging @ mask.astype(float) * images, 1.0) * (landed > 0)
    scale = np.max(np.abs(product.value[valid]))
    flux = np.where(valid, product.value, 0.0).ravel() / scale / band.grid.pixel_area
    sigma = np.where(valid, product.error, 0.0).ravel() / scale / band.grid.pixel_area
    image_sum = areas[0] * (to_image.T @ mask.astype(float))
    source_sum = areas[1] * (to_source.T @ fraction)
    blurred_image, blurred_source = (band.correlation @ (weight * sigma) for weight in (image_sum, source_sum))
    variance_image, variance_source = (image_sum * sigma) @ blurred_image, (source_sum * sigma) @ blurred_source
    if not source_sum @ flux > 0:
        return None
    return FluxRatio(
        float(image_sum @ flux * scale), float(np.sqrt(max(variance_image, 0.0)) * scale),
        float(source_sum @ flux * scale), float(np.sqrt(max(variance_source, 0.0)) * scale),
        float((image_sum * sigma) @ blurred_source * scale**2),
    )  # fmt: skip


def find_realisations(paths, kind):
    """List the maps of one kind among files and folders.

    Parameters
    ----------
    paths : list of path
        Folders stand for the files ``*_<kind>.fits`` in them, sorted by name.
    kind : str
        "kappa" or "gamma".

    Returns
    -------
    list of Path
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(path.glob(f"*_{kind}.fits*"))
        else:
            found.append(path)
    return found


def realisation_magnifications(realisations, west, north, z_source, cosmology):
    """Return |mu| at one position from each realisation of a lens model.

    Parameters
    ----------
    realisations : list of klever.lensmodels.LensModel
    west, north : float
        Position, arcsec.
    z_source : float
    cosmology : mapping
        H0, Om0, Ode0.

    Returns
    -------
    ndarray, shape (n,)
        NaN outside a realisation.
    """
    west, north = np.array([west], dtype=float), np.array([north], dtype=float)
    mu = [model.evaluate(west, north, z_source, cosmology).mu[0] for model in realisations]
    return np.minimum(np.abs(np.array(mu, dtype=float)), MAXIMUM_MAGNIFICATION)

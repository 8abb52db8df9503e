"""Total magnification of a galaxy, in the two ways of Curti et al. (2020), Sect. 3.2.3.

mu_halpha: flux of the significant image pixels over their flux in the source plane. mu_maps: 1/|det A| at the galaxy's
position from the model's convergence and shear, with the spread of its realisations.
"""

import logging
from pathlib import Path

import numpy as np

from klever.bandmaps import valid_pixels
from klever.errors import InputError
from klever.grids import read_image
from klever.lensmaps import LensMap, interpolate, magnification
from klever.operators import renormalised

__all__ = ["FluxRatio", "find_realisations", "flux_ratio", "realisation_magnifications"]

logger = logging.getLogger(__name__)

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


def find_realisations(paths, kind, by_name=False):
    """List the maps of one kind among files and folders.

    Parameters
    ----------
    paths : list of path
        Folders stand for the files ``*_<kind>.fits`` in them, sorted by name.
    kind : str
        "kappa" or "gamma".
    by_name : bool
        Keep only files whose name ends so, too.

    Returns
    -------
    list of Path
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(path.glob(f"*_{kind}.fits*"))
        elif not by_name or path.name.partition(".fits")[0].endswith(kind):
            found.append(path)
    return found


def realisation_magnifications(kappa, gamma, west, north, origin, factor):
    """Return |mu| at one position from each realisation of a lens model.

    Parameters
    ----------
    kappa, gamma : list of path
        Maps of each realisation, in the same order, all normalised as the best model.
    west, north : float
        Position, arcsec from `origin`.
    origin : pair of float
        (ra, dec), degrees.
    factor : float
        From the normalisation of the maps to the galaxy's redshift.

    Returns
    -------
    ndarray, shape (n,)
        NaN outside a map. Only a small part of each file is read; the WCS is worked out once for files of one layout.

    Raises
    ------
    InputError
        Different numbers of kappa and gamma maps.
    """
    if len(kappa) != len(gamma):
        raise InputError(f"{len(kappa)} realisations of kappa but {len(gamma)} of gamma; each needs both maps.")
    positions = {}
    values = np.full((2, len(kappa)), np.nan)
    for row, paths in enumerate((kappa, gamma)):
        for i, path in enumerate(paths):
            values[row, i] = _value_at(path, west, north, origin, positions)
    mu = np.abs(magnification(values[0] * factor, values[1] * factor))
    return np.minimum(mu, MAXIMUM_MAGNIFICATION)


def _value_at(path, west, north, origin, positions):
    data, header = read_image(path)
    layout = (data.shape, *(header.get(key) for key in _LAYOUT_KEYS))
    if layout not in positions:
        grid = LensMap(path, origin).grid
        positions[layout] = grid.pixels(np.array([west]), np.array([north]))
    return interpolate(data, *positions[layout])[0]


_LAYOUT_KEYS = ("CRVAL1 CRVAL2 CRPIX1 CRPIX2 CDELT1 CDELT2 CROTA2 CD1_1 CD1_2 CD2_1 CD2_2 PC1_1 PC1_2 PC2_1 PC2_2 "
                "CTYPE1 CTYPE2").split()  # fmt: skip

"""Total magnification of a galaxy, in the two ways of Curti et al. (2020), Sect. 3.2.3.

mu_halpha: flux of the significant image pixels over their flux in the source plane; both are of the part of the galaxy
that the field shows. mu_maps: 1/|det A| at the galaxy's position from the model's convergence and shear, with the
spread of its realisations.
"""

import hashlib
from pathlib import Path

import numpy as np
from scipy import ndimage

from klever.align.bandmaps import valid_pixels
from klever.errors import InputError
from klever.operators import renormalised
from klever.row_tables import read_table
from klever.source.sourceplane import multiplicity

__all__ = ["FluxRatio", "covered_fraction", "find_realisations", "flux_ratio", "magnification_flags",
           "realisation_magnifications"]  # fmt: skip

AGREEMENT = 1.3  # factor, as for the stellar masses
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


def covered_fraction(plane, field, significant, inverse_mu, areas):
    """Return the fraction of each source pixel that the significant image pixels cover.

    Parameters
    ----------
    plane : klever.source.delensing.Delensing
    field : ndarray of bool, shape (ny, nx)
        Image pixels with data.
    significant : ndarray of bool, shape (ny, nx)
        Those of them that count.
    inverse_mu : ndarray, shape (ny, nx)
        1/abs(mu) of the lens; 0 where it is not known.
    areas : pair of float
        Of an image and of a source pixel, arcsec2.

    Returns
    -------
    ndarray, shape (source pixels,)
        From 0 to 1. An image that is too faint to count does not dilute one that does. A pixel on the border of what
        the field shows counts with the area, traced from the image, that the field covers of it: counted whole, the
        border makes the source flux of a long, highly magnified arc 10 to 30 % too large.
    """
    inside, bright = np.ravel(field).astype(float), np.ravel(significant).astype(float)
    own = renormalised(plane.operator, inside)
    landed = plane.coverage * (plane.operator @ inside)
    images = multiplicity(own, field.shape[1])
    seen = (landed > 0).reshape(plane.grid.shape)
    interior = ndimage.binary_erosion(ndimage.binary_fill_holes(seen), np.ones((3, 3))).ravel()
    traced = landed * (own @ np.ravel(inverse_mu)) * areas[0] / areas[1] / np.maximum(images, 1)
    # inside, rays are counted, for their traced area is noisy where few of them land
    counted = plane.operator @ bright * multiplicity(plane.operator, field.shape[1])
    on_border = np.minimum(own @ bright * images, 1.0) * np.minimum(traced, 1.0)
    return np.where(interior, np.minimum(counted, 1.0), on_border) * (landed > 0)


def flux_ratio(line, band, resampling, plane, areas, snr, inverse_mu):
    """Compare the flux of a line's significant pixels in the image plane with their flux in the source plane.

    Parameters
    ----------
    line : str
    band : Band
        Line maps on spaxels, flux per spaxel.
    resampling : scipy.sparse.csr_matrix
        Spaxels to aligned pixels.
    plane : klever.source.delensing.Delensing
        Aligned to source pixels.
    areas : pair of float
        Of an aligned and of a source pixel, arcsec2.
    snr : tuple (value, error) of ndarray, shape (ny, nx), and float threshold
        Aligned map as ``(value, error, threshold)``.
    inverse_mu : ndarray, shape (ny, nx)
        As for `covered_fraction`, by which source pixels count.

    Returns
    -------
    FluxRatio or None
        None if no pixel is significant.
    """
    value, error, threshold = snr
    with np.errstate(invalid="ignore", divide="ignore"):
        mask = np.isfinite(value) & (value / error > threshold)
    if not mask.any():
        return None
    product = band.maps[line]
    valid = valid_pixels(product)
    to_image = renormalised(resampling, valid)
    to_source = renormalised((plane.operator @ resampling).tocsr(), valid)
    fraction = covered_fraction(plane, np.isfinite(value), mask, inverse_mu, areas)
    scale = np.max(np.abs(product.value[valid]))
    flux = np.where(valid, product.value, 0.0).ravel() / scale / band.grid.pixel_area
    sigma = np.where(valid, product.error, 0.0).ravel() / scale / band.grid.pixel_area
    image_sum = areas[0] * (to_image.T @ mask.ravel().astype(float))
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
    """List the maps of one kind among files, folders and tables of files.

    Parameters
    ----------
    paths : list of path
        Folders stand for the files ``*_<kind>.fits`` in them, sorted by name; tables (``.ecsv``, of the step
        `lens_realisations`) for the files of this kind that they name.
    kind : str
        "kappa" or "gamma".

    Returns
    -------
    list of Path

    Raises
    ------
    InputError
        A file that a table names is gone or has changed.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(path.glob(f"*_{kind}.fits*"))
        elif path.suffix == ".ecsv":
            found += [_listed(row, path) for row in read_table(path) if row["kind"] == kind]
        else:
            found.append(path)
    return found


def _listed(row, table):
    path = Path(row["path"])
    same = path.is_file() and path.stat().st_size == row["size"]
    if same and path.stat().st_mtime > table.stat().st_mtime:  # only then, for the maps are large
        with path.open("rb") as stream:
            same = hashlib.file_digest(stream, "sha256").hexdigest() == row["sha256"]
    if not same:
        raise InputError(f"{path} is gone or not what it was when {table} was made; run snakemake again without "
                         f"changing files meanwhile, or put the file back.")  # fmt: skip
    return path


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


def magnification_flags(mu_line, mu_maps, median):
    """Return what a user must know before a magnification is divided by.

    Parameters
    ----------
    mu_line, mu_maps, median : float
        Of the line fluxes, of the best model at the reference position, and the median of its realisations there; NaN
        where not known.

    Returns
    -------
    list of str
        "mu_differs": `mu_line` and `mu_maps` are more than a factor of 1.3 apart: the magnification changes along the
        galaxy, and that at one position is not that of its light. "near_critical_line": `mu_maps` and the median of
        the realisations are: a critical line is so near that each realisation puts the galaxy elsewhere relative to it,
        and both magnifications of the best model may agree and be wrong by a factor.
    """
    flags = []
    for name, other in (("mu_differs", mu_line), ("near_critical_line", median)):
        if other > 0 and mu_maps > 0 and abs(np.log(other / mu_maps)) > np.log(AGREEMENT):
            flags.append(name)
    return flags

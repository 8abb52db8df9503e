"""Line maps of one galaxy's bands, and how one of them passes through an operator with its error and flags."""

import logging
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from klever.correlated_errors import CorrelatedErrors
from klever.errors import InputError
from klever.grids import Grid
from klever.maps import Flag, Map, MapSet
from klever.operators import apply, noise_covariance, positive_acf

__all__ = ["UNUSABLE", "Band", "brightest_line", "choose_bands", "read_bands", "transform", "valid_pixels"]

logger = logging.getLogger(__name__)

UNUSABLE = Flag.NO_DATA | Flag.NOT_FITTED | Flag.LOW_COVERAGE | Flag.OUTSIDE_LENS | Flag.HOLE
_KINEMATIC = ("VELOCITY_", "DISPERSION_")
_NOT_FLUX = (*_KINEMATIC, "CHI2_", "CONTINUUM", "NOISE_ACF")


@dataclass
class Band:
    """Line maps of one band on its spaxels.

    Parameters
    ----------
    name : str
        For example "H".
    maps : MapSet
        Content of ``linemaps.fits``.
    grid : Grid
        Of the spaxels.
    correlation : scipy.sparse.csr_matrix, shape (n_spaxels, n_spaxels)
        Of the noise.
    correlated_spaxels : float
        Sum of the noise autocorrelation: how much the variance of a sum exceeds that of independent spaxels.
    """

    name: str
    maps: MapSet
    grid: Grid
    correlation: sparse.csr_matrix
    correlated_spaxels: float

    @property
    def psf_fwhm(self):
        """FWHM in arcsec of the maps: seeing and spatial smoothing."""
        header = self.maps.header
        return float(np.hypot(header.get("PSFFWHM", 0.0), header.get("SMOOTH", 0.0)))

    @property
    def field(self):
        """Spaxels on which any map has a value, shape (ny, nx)."""
        usable = [np.isfinite(self.maps[name].value) for name in self.names()]
        return np.any(usable, axis=0) if usable else np.zeros(self.grid.shape, bool)

    def names(self, kind="all"):
        """Names of the maps that live on the spaxels: "all", "flux" (emission lines) or "kinematic"."""
        names = [name for name in self.maps.names() if not name.startswith(("NOISE_ACF", "CHI2_"))]
        if kind == "flux":
            names = [name for name in names if not name.startswith(_NOT_FLUX)]
        elif kind == "kinematic":
            names = [name for name in names if name.startswith(_KINEMATIC)]
        return names


def read_bands(paths, names, origin):
    """Read the line maps of several bands.

    Parameters
    ----------
    paths : list of path
    names : list of str
        Band of each path.
    origin : pair of float
        (ra, dec) in degrees from which offsets are counted.

    Returns
    -------
    list of Band

    Raises
    ------
    InputError
        Different numbers of paths and bands, a file without maps or with maps of different shapes.
    """
    if len(paths) != len(names):
        raise InputError(f"{len(paths)} files of line maps for the bands {', '.join(names)}; give one per band.")
    bands = []
    for path, name in zip(paths, names, strict=True):
        maps = MapSet.read(path)
        shapes = {maps[key].value.shape for key in maps.names() if key != "NOISE_ACF"}
        if len(shapes) != 1:
            raise InputError(f"{path} holds maps of {len(shapes)} shapes; make the line maps again.")
        shape = shapes.pop()
        acf = positive_acf(maps["NOISE_ACF"].value) if "NOISE_ACF" in maps else np.ones((1, 1))
        correlation = noise_covariance(np.ones(shape), acf)
        grid = Grid(maps.header, shape, origin, name=str(path))
        bands.append(Band(name, maps, grid, correlation, max(float(acf.sum()), 1.0)))
    return bands


def valid_pixels(product):
    """Pixels of a map that may be averaged: finite value (and error), no flag that makes them unusable."""
    valid = np.isfinite(product.value)
    if product.error is not None:
        valid &= np.isfinite(product.error)
    if product.flags is not None:
        valid &= (product.flags & int(UNUSABLE)) == 0
    return valid


def _peak_snr(product):
    good = valid_pixels(product) & (product.value > 0)
    if product.error is None or not good.any():
        return 0.0
    error = product.error[good]
    snr = np.divide(product.value[good], error, out=np.zeros(error.shape), where=error > 0)
    # The third best spaxel: a single bad one must not make a line the brightest.
    return float(np.sort(snr)[-min(3, snr.size)])


def brightest_line(band):
    """Return name and peak S/N of the emission line that stands out most in a band; (None, 0.0) if there is none."""
    candidates = {name: _peak_snr(band.maps[name]) for name in band.names("flux")}
    best = max(candidates, key=candidates.get, default=None)
    return (best, candidates[best]) if best is not None and candidates[best] > 0 else (None, 0.0)


def choose_bands(bands):
    """Return the band of every line, velocity and dispersion map: the one with the highest S/N if two have it.

    Returns
    -------
    dict of str to Band
        Continuum maps are not in it; every band has its own.
    """
    chosen, snr = {}, {}
    for band in bands:
        lines = {name: _peak_snr(band.maps[name]) for name in band.names("flux")}
        for name in band.names("flux") + band.names("kinematic"):
            quality = lines.get(name, max(lines.values(), default=0.0))
            if name in chosen:
                logger.info("%s is in the bands %s and %s; the better one is used", name, chosen[name].name, band.name)
            if name not in chosen or quality > snr[name]:
                chosen[name], snr[name] = band, quality
    return chosen


def transform(operator, product, correlation, shape, *, factor=1.0, weight=None, unit=None, empty=Flag.NO_DATA):
    """Pass a map through an operator: value, error W Sigma W^T and flags.

    Parameters
    ----------
    operator : scipy.sparse.csr_matrix, shape (n_out, n_in)
        Rows that sum to 1 or are empty.
    product : Map
    correlation : scipy.sparse.csr_matrix, shape (n_in, n_in), or CorrelatedErrors
        Of the noise of the inputs; what `klever.correlated_errors.CorrelatedErrors` made of it and of this operator, if
        many maps pass through it.
    shape : pair of int
        Of the output map.
    factor : float
        Change of unit.
    weight : ndarray, optional
        Extra weight of each input, for example the line flux for a velocity; only positive weights count.
    unit : str, optional
        Of the output.
    empty : Flag
        Why pixels that no input reaches have no value.

    Returns
    -------
    Map
        NaN where less than half of a row's weight is on valid inputs. Flags of a pixel are those of the input that
        counts most in it.
    """
    errors = correlation
    if not isinstance(errors, CorrelatedErrors):
        errors = CorrelatedErrors(operator, correlation)
    valid = valid_pixels(product)
    if weight is not None:
        valid &= np.nan_to_num(weight) > 0
    value, _ = apply(operator, product.value * factor, valid, total=errors.total)
    used = valid.astype(float)
    if weight is not None and valid.any():
        used = np.where(valid, weight / np.max(weight[valid]), 0.0)
    lost = ~np.isfinite(value)
    total = operator @ used.ravel()
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    if weight is not None:
        mean = inverse * (operator @ (used * np.where(valid, product.value * factor, 0.0)).ravel())
        value = np.where(lost, np.nan, mean)
    error = None
    if product.error is not None:
        sigma = np.where(valid, product.error, 0.0) * factor
        scale = np.max(sigma, initial=0.0) or 1.0  # squares of 1e-20 times 1e-17 would leave the range of a float32 sum
        error = np.where(lost, np.nan, scale * inverse * errors(used * sigma / scale))
    flags = _transform_flags(errors.dominant, product, lost, empty)
    unit = product.unit if unit is None else unit
    return Map(value.reshape(shape), None if error is None else error.reshape(shape), flags.reshape(shape), unit)


def _transform_flags(source, product, lost, empty):
    flags = np.zeros(source.size, dtype=np.uint16)
    if product.flags is not None:
        flags = np.where(source >= 0, product.flags.ravel()[source], 0).astype(np.uint16)
    flags[~lost] &= np.uint16(~int(UNUSABLE) & 0xFFFF)
    flags[source < 0] |= np.uint16(empty)
    unexplained = lost & (flags & np.uint16(int(UNUSABLE)) == 0)
    flags[unexplained] |= np.uint16(Flag.NO_DATA)
    return flags

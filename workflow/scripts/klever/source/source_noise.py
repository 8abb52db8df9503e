"""Noise of the source-plane maps and its correlation between pixels, from the spaxels through the operators.

A source pixel is a weighted mean of spaxels, and the noise of neighbouring spaxels is correlated (smoothing, cube
reconstruction), so source pixels are correlated over more than the PSF. Nothing of the size pixels x pixels is made:
only what a few linear functions of the map (averages over annuli, amplitudes of patterns) need.
"""

import numpy as np

from klever.align.bandmaps import choose_bands, valid_pixels
from klever.errors import InputError
from klever.operators import positive_acf, renormalised

__all__ = ["SourceNoise"]


class SourceNoise:
    """Noise of the line maps of a galaxy in the source plane.

    Lines are taken as independent of each other.

    Parameters
    ----------
    bands : list of Band
        From `klever.align.bandmaps.read_bands`.
    operators : dict of str to scipy.sparse.csr_matrix
        ``M_<band>``, spaxels to source pixels, of source_operator.npz.

    Raises
    ------
    InputError
        The operators are not those of these bands.
    """

    def __init__(self, bands, operators):
        for band in bands:
            operator = operators.get(f"M_{band.name}")
            if operator is None or operator.shape[1] != band.grid.shape[0] * band.grid.shape[1]:
                raise InputError(f"source_operator.npz does not fit the line maps of band {band.name}; make it again.")
        self._bands = choose_bands(bands)
        self._operators = operators
        self._chosen = {}

    def has(self, line):
        """Whether the noise of this line's map is known."""
        line = line.upper()
        return line in self._bands and self._bands[line].maps[line].error is not None

    def factor(self, line, weights):
        """Return the weights of the spaxels, times their errors, in linear functions of a source-plane map.

        Parameters
        ----------
        line : str
        weights : ndarray or sparse matrix, shape (k, n_pixels)
            Of the pixels (flat) in each of the k functions.

        Returns
        -------
        ndarray, shape (k, n_spaxels)
            F: the covariance of the functions is F C F^T with C the correlation of the spaxels. Unit of the
            source-plane map (surface brightness) times that of the weights.
        """
        operator, sigma = self._choose(line.upper())
        return np.asarray((operator.T @ np.asarray(weights, dtype=float).T).T) * sigma

    def covariance(self, line, weights):
        """Return the covariance, shape (k, k), of linear functions of a source-plane map; arguments as `factor`."""
        factor = self.factor(line, weights)
        size = np.max(np.abs(factor), initial=0.0) or 1.0
        factor = factor / size
        return size**2 * np.asarray(factor @ (self._bands[line.upper()].correlation @ factor.T))

    def total_covariance(self, weights):
        """Return the covariance, shape (k, k), of functions of several maps.

        Parameters
        ----------
        weights : dict of str to ndarray, shape (k, n_pixels)
            By line.
        """
        return sum(self.covariance(line, item) for line, item in weights.items())

    def draw(self, line, count, random):
        """Draw realisations of the noise of a source-plane map.

        Parameters
        ----------
        line : str
        count : int
        random : numpy.random.Generator

        Returns
        -------
        ndarray, shape (n_pixels, count)
            In the unit of the source-plane map.
        """
        line = line.upper()
        operator, sigma = self._choose(line.upper())
        band = self._bands[line.upper()]
        ny, nx = band.grid.shape
        acf = positive_acf(band.maps["NOISE_ACF"].value) if "NOISE_ACF" in band.maps else np.ones((1, 1))
        cy, cx = acf.shape[0] // 2, acf.shape[1] // 2
        shape = (ny + 2 * cy + 1, nx + 2 * cx + 1)  # the field does not wrap onto itself
        padded = np.zeros(shape)
        padded[: acf.shape[0], : acf.shape[1]] = acf
        power = np.fft.fft2(np.roll(padded, (-cy, -cx), axis=(0, 1))).real
        amplitude = np.sqrt(np.maximum(power, 0.0))
        amplitude /= np.sqrt(np.mean(amplitude**2))
        white = random.standard_normal((count, *shape))
        noise = np.fft.ifft2(np.fft.fft2(white) * amplitude).real[:, :ny, :nx]
        return operator @ (noise.reshape(count, -1) * sigma).T

    def _choose(self, line):
        """Operator of a line's valid spaxels, and their errors as surface brightness (0 where not valid)."""
        if line not in self._chosen:
            band = self._bands[line]
            product = band.maps[line]
            valid = valid_pixels(product)
            operator = renormalised(self._operators[f"M_{band.name}"], valid)
            self._chosen[line] = operator, np.where(valid, product.error, 0.0).ravel() / band.grid.pixel_area
        return self._chosen[line]

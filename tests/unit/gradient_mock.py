"""A mock galaxy on spaxels, unlensed: an exponential disc with a linear profile, a PSF and correlated noise."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy import ndimage

from klever.abundance.calibrations import calibrations_for, load_calibrations
from klever.abundance.metallicity_maps import log_oh_maps, ratio_maps
from klever.align.bandmaps import Band, transform
from klever.align.reprojection import reprojection_operator
from klever.gradient.galaxy_gradient import GalaxyInputs
from klever.gradient.profile_errors import model_of
from klever.grids import Grid, tangent_header
from klever.maps import Map, MapSet
from klever.operators import noise_covariance, positive_acf
from klever.source.source_noise import SourceNoise

CALIBRATIONS = Path(__file__).resolve().parents[2] / "resources/calibrations.json"
DUST = {"balmer_ratio": 2.87, "rv": 3.1}
METALLICITY = {
    "calibration": "C20", "dispersion": "rms_ratio", "log_oh_range": [7.6, 8.9], "grid_step": 0.005, "limits": "none",
    "map_snr": {"Halpha": 5.0, "OIII5007": 5.0, "other": 2.5},
}  # fmt: skip
GRADIENT = {
    "apertures": ["elliptical", "circular"], "step": 0.5, "minimum_coverage": 0.2, "minimum_annuli": 3,
    "centre": "auto", "method": "pixels", "errors": "covariance", "intrinsic_scatter": False, "psf_error": 0.1,
    "deproject": "none",
    "regions": {}, "walkers": 16, "steps": 300, "burn_in": 100, "seed": 42,
}  # fmt: skip
SPAXEL, PIXEL, KPC = 0.2, 0.1, 8.0  # arcsec, arcsec, kpc per arcsec
SMOOTHING = 1.2  # sigma in spaxels, of the noise


class Mock:
    """Truth of the galaxy, and realisations of its products.

    Parameters
    ----------
    slope : float
        dex/kpc, of circles on the sky.
    psf : float
        FWHM, arcsec; 0 for none.
    half_light_radius : float
        Arcsec, along the major axis (the x axis).
    snr : float
        Of Halpha in the central spaxel.
    """

    def __init__(self, slope=-0.02, psf=0.6, half_light_radius=0.5, axis_ratio=0.7, snr=200.0, size=23, dipole=0.0):
        self.header = tangent_header(150.0, 2.0, SPAXEL, ((size - 1) / 2, (size - 1) / 2))
        self.shape, self.psf = (size, size), psf
        self.grid = Grid(self.header, self.shape, (150.0, 2.0))
        known = calibrations_for(load_calibrations(CALIBRATIONS), ("R3", "N2"), METALLICITY["log_oh_range"])
        self.known = known
        fine = 5
        at = (np.arange(size * fine) + 0.5) / fine - 0.5 - (size - 1) / 2
        x, y = np.meshgrid(at * SPAXEL, at * SPAXEL)
        light = np.exp(-1.678 * np.hypot(x, y / axis_ratio) / half_light_radius)
        log_oh = np.clip(8.6 + slope * KPC * np.hypot(x, y) + dipole * x, 7.7, 8.85)
        r3, n2 = (10 ** known[name].evaluate(log_oh) for name in ("R3", "N2"))
        lines = {"HALPHA": light, "NII6584": light * n2, "HBETA": light / 2.87, "OIII5007": light / 2.87 * r3}
        sigma = psf / SPAXEL * fine / np.sqrt(8 * np.log(2))

        def observe(image):
            if sigma:
                image = ndimage.gaussian_filter(image, sigma)
            return image.reshape(size, fine, size, fine).mean((1, 3))

        lines = {name: observe(image) for name, image in lines.items()}
        unit = 1e-17 / lines["HALPHA"].max()
        self.lines = {name: image * unit for name, image in lines.items()}
        self.sigma = 1e-17 / snr
        kernel = np.zeros((13, 13))
        kernel[6, 6] = 1
        kernel = ndimage.gaussian_filter(kernel, SMOOTHING * np.sqrt(2))
        self.acf = positive_acf(kernel / kernel[6, 6])
        self.correlation = noise_covariance(np.ones(self.shape), self.acf)
        pixels = int(size * SPAXEL / PIXEL) - 9
        header = tangent_header(150.0, 2.0, PIXEL, ((pixels - 1) / 2, (pixels - 1) / 2))
        self.source_grid = Grid(header, (pixels, pixels), (150.0, 2.0))
        self.operator = reprojection_operator(self.grid, self.source_grid)
        self.source_header = header

    def inputs(self, random=None, gradient=None, scale=1.0):
        """Return what `measure_galaxy_gradient` takes, with noise drawn from `random` (none without)."""
        maps = MapSet(fits.Header(self.header, copy=True))
        maps.header["PSFFWHM"], maps.header["SMOOTH"] = self.psf, 0.0
        good = np.zeros(self.shape, np.uint16)
        for name, image in self.lines.items():
            noise = 0.0
            if random is not None:
                white = random.standard_normal((self.shape[0] + 20, self.shape[1] + 20))
                noise = ndimage.gaussian_filter(white, SMOOTHING)[10:-10, 10:-10]
                noise *= self.sigma * np.sqrt(4 * np.pi) * SMOOTHING
            maps[name] = Map(scale * (image + noise), np.full(self.shape, scale * self.sigma), good, "")
        maps["NOISE_ACF"] = Map(self.acf)
        band = Band("H", maps, self.grid, self.correlation, float(self.acf.sum()))
        source = MapSet(fits.Header(self.source_header, copy=True))
        source.header["PIXSCALE"], source.header["KPC_ARC"] = PIXEL, KPC
        shape = self.source_grid.shape
        source.header["XC"], source.header["YC"] = (shape[1] - 1) / 2, (shape[0] - 1) / 2
        for name in self.lines:
            source[name] = transform(self.operator, maps[name], self.correlation, shape,
                                     factor=1 / self.grid.pixel_area)  # fmt: skip
        found = ratio_maps(source, shape, METALLICITY["map_snr"], lambda: (np.nan, np.nan), **DUST)
        abundance = MapSet(fits.Header(source.header, copy=True))
        abundance.header["DIAGNOST"], abundance.header["EBVMODE"] = "R3,N2", "none"
        abundance.maps.update(log_oh_maps(found, ("R3", "N2"), self.known, shape, METALLICITY, DUST))
        for name in ("R3", "N2"):
            abundance[name] = Map(*found.ratios[name])
        width = max(self.psf, 0.3)
        noise = SourceNoise([band], {"M_H": self.operator})
        model = model_of(abundance, load_calibrations(CALIBRATIONS), METALLICITY, DUST)
        return GalaxyInputs(source, abundance, (width, width, 0.0), width, [band], noise, model, CALIBRATIONS,
                            GRADIENT | (gradient or {}))  # fmt: skip

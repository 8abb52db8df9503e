"""Simulated HST images: the lensed light of stars and gas in seven bands, with HST's resolution and noise.

The stars have the spectrum of resources/simulation/photometry.tsv; to each band the emission lines of the scene are
added, the same ones as in the cubes, where the filter lets them pass (the broad lines of an AGN and its continuum are
not).
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from astropy.io import fits

from klever.errors import InputError
from klever_simulation.formats import celestial_header
from klever_simulation.galaxies import REFERENCE_WAVELENGTH, SPEED_OF_LIGHT_UM
from klever_simulation.scene import render_brightness
from klever_simulation.spectra import blur_operator

__all__ = ["FILTERS", "filter_of", "line_densities", "make_images", "read_curves"]

PIXEL_SCALE = 0.065  # arcsec
MARGIN = 2.0  # arcsec around the IFU field, on every side
SUBPIXELS = 3
DEPTH_APERTURE = 0.2  # arcsec, radius

# Pivot wavelength (um; WFC3 and ACS Instrument Handbooks), FWHM of the PSF (arcsec) and 5 sigma depth (AB mag,
# 0.4 arcsec aperture; of the order of the Frontier Fields', Lotz et al. 2017).
FILTERS = {
    "F435W": (0.4328, 0.10, 28.8), "F606W": (0.5921, 0.10, 28.8), "F814W": (0.8045, 0.11, 29.1),
    "F105W": (1.0552, 0.15, 28.9), "F125W": (1.2486, 0.16, 28.6), "F140W": (1.3923, 0.165, 28.6),
    "F160W": (1.5369, 0.18, 28.7),
}  # fmt: skip


def filter_of(path):
    """Return the filter named in a file name such as ``hst_f160w.fits``."""
    stem = str(path).rsplit("/", 1)[-1].lower()
    return next(name for name in FILTERS if name.lower() in stem)


def read_curves():
    """Read the curves of all `FILTERS` from the files of the package astro-sedpy.

    Returns
    -------
    dict of (ndarray, ndarray)
        Filter to wavelength (um) and throughput per photon.

    Raises
    ------
    InputError
        The package is not installed.
    """
    package = find_spec("sedpy")
    if package is None:
        raise InputError("HST images are simulated with the filter curves of astro-sedpy; pip install astro-sedpy.")
    folder = Path(package.submodule_search_locations[0]) / "data/filters"
    curves = {}
    for name, (wavelength, *_) in FILTERS.items():
        path = folder / f"{'acs_wfc' if wavelength < 1 else 'wfc3_ir'}_{name.lower()}.par"
        rows = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
        curve = np.array([row[-2:] for row in rows if row and row[0][0] not in "#K"], dtype=float)
        curves[name] = curve[:, 0] * 1e-4, curve[:, 1]
    return curves


def line_densities(component, z, rest_wavelengths, curves):
    """Mean flux density that a component's emission lines have in each filter, per unit of Halpha flux.

    Parameters
    ----------
    component : klever_simulation.galaxies.Component
        Its line ratios, averaged over the galaxy.
    z : float
        Redshift.
    rest_wavelengths : dict
        Line to vacuum wavelength, um.
    curves : dict
        From `read_curves`.

    Returns
    -------
    dict of float
        Filter to um-1: f_lambda at the pivot wavelength of `FILTERS` over Halpha flux.
    """
    fluxes = {name: flux.sum() for name, flux in component.lines(*component.grid()).items()}
    densities = {}
    for name, (wavelength, throughput) in curves.items():
        lines = sum(
            flux * rest_wavelengths[line] * (1 + z)
            * np.interp(rest_wavelengths[line] * (1 + z), wavelength, throughput, 0.0, 0.0)
            for line, flux in fluxes.items() if line in rest_wavelengths
        )  # fmt: skip
        # photons are counted: mean f_nu = sum(F T lambda) / (c int T dlambda/lambda); f_lambda = f_nu c / pivot^2
        width = np.trapezoid(throughput / wavelength, wavelength) * FILTERS[name][0] ** 2
        densities[name] = float(lines / width / fluxes["Halpha"])
    return densities


def make_images(setting, ra, dec, rng, lines=None):
    """Make the images of all filters.

    Parameters
    ----------
    setting : klever_simulation.scene.Setting
        The galaxy behind its lens.
    ra, dec : float
        Centre of the field of view, deg; the images have no pointing error.
    rng : numpy.random.Generator
        Noise.
    lines : list of dict, optional
        `line_densities` of each component; without them the images hold no lines.

    Returns
    -------
    dict of astropy.io.fits.PrimaryHDU
        Filter name to image, erg s-1 cm-2 um-1 per pixel; SKYSIGMA holds the noise of a pixel (1 sigma, independent).
    """
    n = int(np.ceil((setting.field_size + 2 * MARGIN) / PIXEL_SCALE))
    fine = PIXEL_SCALE / SUBPIXELS
    axis = (np.arange(n * SUBPIXELS) - (n * SUBPIXELS - 1) / 2) * fine
    edges = (np.arange(n + 1) - n / 2) * PIXEL_SCALE
    components = setting.components
    profiles = [component.continuum for component in components]
    profiles += [component.halpha for component in components] if lines else []
    light = render_brightness(setting, setting.field[0] + axis, setting.field[1] + axis, profiles, subpixels=2)
    images = {}
    for name, (wavelength, fwhm, depth) in FILTERS.items():
        weights = [_colour(component, name) for component in components] + [part[name] for part in lines or []]
        blur = blur_operator(axis, edges, fwhm)
        image = blur @ np.tensordot(weights, light, 1) @ blur.T
        limit = _flux_density(depth, wavelength)
        sigma = limit / 5 / np.sqrt(np.pi * DEPTH_APERTURE**2 / PIXEL_SCALE**2)
        image = image + rng.normal(0.0, sigma, image.shape)
        header = fits.Header()
        header["TELESCOP"], header["INSTRUME"] = "HST", "ACS" if wavelength < 1 else "WFC3"
        header["FILTER"] = name
        header.update(celestial_header(ra, dec, n, n, PIXEL_SCALE))
        header["BUNIT"] = "erg s-1 cm-2 um-1"
        header["PHOTPLAM"] = (wavelength, "pivot wavelength, um")
        header["PSFFWHM"] = (fwhm, "arcsec")
        header["SKYSIGMA"] = (sigma, "noise of a pixel, 1 sigma")
        header["SIMULATE"] = True
        header["HISTORY"] = "simulated by klever"
        images[name] = fits.PrimaryHDU(image.astype(np.float32), header=header)
    return images


def _flux_density(magnitude, wavelength):
    """Flux density (erg s-1 cm-2 um-1) of an AB magnitude at a pivot wavelength (um)."""
    return 10 ** (-0.4 * (magnitude + 48.6)) * SPEED_OF_LIGHT_UM / wavelength**2


def _colour(component, name):
    """Flux density of the stars in a filter over that at `REFERENCE_WAVELENGTH`."""
    wavelength = FILTERS[name][0]
    if component.light is None:
        return (wavelength / REFERENCE_WAVELENGTH) ** component.continuum_slope
    return _flux_density(component.light[name], wavelength) / component.continuum_flux

"""Simulated cubes of a galaxy in their instrument's native format, and the truth on their spaxels."""

import numpy as np

from klever.errors import InputError
from klever.maps import Map, MapSet
from klever_simulation.formats import celestial_header, write_native
from klever_simulation.galaxies import seeded
from klever_simulation.noise import apply_defects, correlated_noise, noise_sigma
from klever_simulation.spectra import Detector, model_cube

__all__ = ["detector_of", "simulate_cube"]

POINTING_ERROR = 0.08  # arcsec, 1 sigma on each axis
DEAD_VALUE = {"KMOS": 0.0, "SINFONI": np.nan}


def detector_of(bands, instrument, band, galaxy):
    """Return the detector of a band.

    Parameters
    ----------
    bands : dict
        Content of resources/instruments.yaml.
    instrument, band, galaxy : str

    Returns
    -------
    klever_simulation.spectra.Detector

    Raises
    ------
    InputError
        The instrument or band cannot be simulated.
    """
    known = bands.get(instrument, {})
    if instrument not in DEAD_VALUE or band not in known:
        raise InputError(
            f"galaxy '{galaxy}': band {band} of {instrument} cannot be simulated; simulated cubes are KMOS YJ, H, K or "
            "SINFONI J, H, K."
        )
    return Detector(instrument, band, tuple(known[band]["range"]), known[band]["resolution"])


def simulate_cube(scene, rest_wavelengths, oh_lines, detector, cube, truth, settings):
    """Write the cube of one band and the truth on its spaxels.

    Both depend on the seed, the galaxy and the band, not on which other bands are simulated.

    Parameters
    ----------
    scene : mapping
        Arrays of scene.npz.
    rest_wavelengths : dict
        Line to vacuum wavelength, Angstrom.
    oh_lines : (ndarray, ndarray)
        From `klever_simulation.noise.read_oh_lines`.
    detector : Detector
        From `detector_of`.
    cube, truth : path
        Outputs: the native cube; the noise-free maps on its spaxels.
    settings : dict
        galaxy, seed, noise_scale, psf_fwhm, components (rows of resources/simulation/galaxies.tsv).
    """
    galaxy, band = settings["galaxy"], detector.band
    rng = seeded(settings["seed"], galaxy, band)
    offset = POINTING_ERROR * rng.standard_normal(2)
    model = model_cube(scene, rest_wavelengths, detector, settings["psf_fwhm"], offset)

    depth = settings["components"][0][f"depth_{band}"] * settings["noise_scale"]
    sigma = noise_sigma(detector, oh_lines, depth)
    data = model.cube.astype(np.float32)
    scatter = correlated_noise(data.shape, rng)
    scatter *= sigma[:, None, None].astype(np.float32)
    data += scatter
    kmos = detector.instrument == "KMOS"  # the other has no extension for the noise
    noise = np.broadcast_to(sigma[:, None, None], data.shape).astype(np.float32) if kmos else None
    apply_defects(data, noise, sigma, rng, DEAD_VALUE[detector.instrument])

    ra, dec = float(scene["field_ra"]), float(scene["field_dec"])
    write_native(cube, detector, galaxy, data, noise, ra, dec)
    _truth(model, detector, ra, dec, settings, offset).write(truth)


def _truth(model, detector, ra, dec, settings, offset):
    n = detector.n_spaxels
    header = celestial_header(ra, dec, n, n, detector.spaxel)
    header["GALAXY"], header["BAND"], header["INSTRUME"] = settings["galaxy"], detector.band, detector.instrument
    header["OFFSET_X"] = (offset[0], "pointing error, arcsec west: WCS minus truth")
    header["OFFSET_Y"] = (offset[1], "pointing error, arcsec north: WCS minus truth")
    header["PSFFWHM"] = (settings["psf_fwhm"], "arcsec")
    header["MAINLINE"] = (model.brightest, "line of VELOCITY and DISPERSION")
    header["SIMULATE"] = True
    maps = MapSet(header=header)
    for name, flux in model.fluxes.items():
        maps[name] = Map(flux, unit="erg s-1 cm-2")
    if model.brightest:
        maps["VELOCITY"] = Map(model.velocity, unit="km s-1")
        maps["DISPERSION"] = Map(model.dispersion, unit="km s-1")
    maps["CONTINUUM"] = Map(model.continuum, unit="erg s-1 cm-2 um-1")
    return maps

"""Simulate the cube of one band of one galaxy in its instrument's native format, and the truth on its spaxels."""

from pathlib import Path

import numpy as np
import yaml

from klever.errors import InputError
from klever.maps import Map, MapSet
from klever_simulation.formats import celestial_header, write_native
from klever_simulation.galaxies import seeded
from klever_simulation.noise import apply_defects, correlated_noise, noise_sigma, read_oh_lines
from klever_simulation.spectra import Detector, model_cube

POINTING_ERROR = 0.08  # arcsec, 1 sigma on each axis
DEAD_VALUE = {"KMOS": 0.0, "SINFONI": np.nan}


def simulate_cube(*, scene, line_list, instruments, sky_lines, cube, truth, settings):
    """Simulate one cube.

    Parameters
    ----------
    scene : path
        scene.npz of `simulate_galaxy`.
    line_list, instruments, sky_lines : path
        resources/lines.yaml, instruments.yaml, oh_lines_rousselot2000.dat.
    cube, truth : path
        Outputs: the native cube; the noise-free maps on its spaxels.
    settings : dict
        galaxy, seed, noise_scale, band, instrument, psf_fwhm, components (rows of resources/simulation/galaxies.tsv).

    Raises
    ------
    InputError
        The instrument or band cannot be simulated.
    """
    galaxy, band, instrument = settings["galaxy"], settings["band"], settings["instrument"]
    bands = yaml.safe_load(Path(instruments).read_text(encoding="utf-8")).get(instrument, {})
    if instrument not in DEAD_VALUE or band not in bands:
        raise InputError(
            f"galaxy '{galaxy}': band {band} of {instrument} cannot be simulated; simulated cubes are KMOS YJ, H, K or "
            "SINFONI J, H, K."
        )
    detector = Detector(instrument, band, tuple(bands[band]["range"]), bands[band]["resolution"])
    lines = yaml.safe_load(Path(line_list).read_text(encoding="utf-8"))["lines"]
    with np.load(scene, allow_pickle=False) as archive:
        content = dict(archive)
    rng = seeded(settings["seed"], galaxy, band)
    offset = POINTING_ERROR * rng.standard_normal(2)
    rest = {name: entry["wavelength"] for name, entry in lines.items()}
    model = model_cube(content, rest, detector, settings["psf_fwhm"], offset)

    depth = settings["components"][0][f"depth_{band}"] * settings["noise_scale"]
    sigma = noise_sigma(detector, read_oh_lines(sky_lines), depth)
    data = model.cube.astype(np.float32)
    data += correlated_noise(data.shape, rng) * sigma[:, None, None].astype(np.float32)
    noise = np.broadcast_to(sigma[:, None, None], data.shape).astype(np.float32)
    apply_defects(data, noise, sigma, rng, DEAD_VALUE[instrument])

    ra, dec = float(content["field_ra"]), float(content["field_dec"])
    maps = _truth(model, detector, ra, dec, settings, offset)
    write_native(cube, detector, galaxy, data, noise, ra, dec)
    maps.write(truth)


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


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, simulate_cube)

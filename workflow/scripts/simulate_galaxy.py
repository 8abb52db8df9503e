"""Simulate one galaxy: its lensed scene, HST images, cubes, and the truth of all."""

import json
from pathlib import Path

import numpy as np
import yaml

from klever.row_tables import write_table
from klever_simulation.cubes import detector_of, simulate_cube
from klever_simulation.galaxies import REFERENCE_WAVELENGTH, read_light, seeded
from klever_simulation.hst import filter_of, line_densities, make_images, read_curves
from klever_simulation.noise import read_oh_lines
from klever_simulation.scene import place, render, sky_of
from klever_simulation.truth import TRUTH, source_maps, truth_rows


def simulate_galaxy(
    *, lens_parameters, line_list, calibrations, instruments, sky_lines, scene, source_truth, truth, hst_images: list,
    cubes: list, cube_truths: list, settings, photometry=None,
):  # fmt: skip
    """Simulate one galaxy.

    Parameters
    ----------
    lens_parameters, line_list, calibrations, instruments, sky_lines : path
        resources/simulation/lenses.yaml, and of resources lines.yaml, calibrations.json, instruments.yaml and
        oh_lines_rousselot2000.dat.
    photometry : path, optional
        resources/simulation/photometry.tsv; without it the stars of all galaxies have one power law.
    scene, source_truth, truth : path
        Outputs: scene.npz, source_truth.fits, truth.ecsv.
    hst_images : list of path
        Outputs, each with its filter in the file name.
    cubes, cube_truths : list of path
        Outputs, in the order of ``settings["bands"]``: native cubes, and the noise-free maps on their spaxels.
    settings : dict
        galaxy, z, ra, dec, lens, seed, fine_pixel_scale, noise_scale, components (rows of
        resources/simulation/galaxies.tsv), bands (band to ``instrument`` and ``psf_fwhm`` of the cubes to simulate).

    Raises
    ------
    InputError
        An instrument or band cannot be simulated.
    """
    relations = json.loads(Path(calibrations).read_text(encoding="utf-8"))
    lines = _read(line_list)["lines"]
    detectors = _detectors(instruments, settings)
    light = read_light(photometry) if photometry else {}
    rows = [row | {"light": light.get((settings["galaxy"], row["component"]))} for row in settings["components"]]
    setting = place(lens_parameters, relations, settings | {"components": rows})
    ra, dec = sky_of(*setting.field, setting.lens.ra, setting.lens.dec)
    rendered = render(setting, list(lines), settings["fine_pixel_scale"])
    images = _images(setting, ra, dec, lines, settings) if hst_images else {}

    content = _content(rendered, setting, list(lines), ra, dec)
    np.savez(scene, **content)
    source_maps(setting, settings["galaxy"]).write(source_truth)
    rows = truth_rows(setting, rendered, list(lines), settings["galaxy"])
    write_table(truth, rows, TRUTH, {"galaxy": settings["galaxy"], "simulated": True})
    for path in hst_images:
        images[filter_of(path)].writeto(path, overwrite=True)
    rest = {name: entry["wavelength"] for name, entry in lines.items()}
    oh_lines = read_oh_lines(sky_lines)
    for detector, cube, maps in zip(detectors, cubes, cube_truths, strict=True):
        own = settings | {"psf_fwhm": settings["bands"][detector.band]["psf_fwhm"]}
        simulate_cube(content, rest, oh_lines, detector, cube, maps, own)


def _read(path):
    return yaml.load(Path(path).read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _detectors(instruments, settings):
    known, bands = _read(instruments), settings["bands"].items()
    return [detector_of(known, entry["instrument"], band, settings["galaxy"]) for band, entry in bands]


def _images(setting, ra, dec, lines, settings):
    curves = read_curves()
    rest = {name: entry["wavelength"] * 1e-4 for name, entry in lines.items()}
    densities = [line_densities(component, setting.z, rest, curves) for component in setting.components]
    return make_images(setting, ra, dec, seeded(settings["seed"], settings["galaxy"], "HST"), densities)


def _content(rendered, setting, names, ra, dec):
    """Arrays of scene.npz, which the cubes and exposures are made from."""
    fine = {key: rendered[key].astype(np.float32) for key in ("lines", "velocity", "dispersion", "continuum", "broad")}
    return {
        "x": rendered["x"], "y": rendered["y"], **fine, "line_names": np.array(names),
        "components": np.array([component.name for component in setting.components]), "z": np.array(setting.z),
        "field_x": np.array(setting.field[0]), "field_y": np.array(setting.field[1]), "field_ra": np.array(ra),
        "field_dec": np.array(dec), "lens_ra": np.array(setting.lens.ra), "lens_dec": np.array(setting.lens.dec),
        "reference_wavelength": np.array(REFERENCE_WAVELENGTH),
        "continuum_slope": np.array(_slope(setting.components)),
    }  # fmt: skip


def _slope(components):
    """Slope of the continuum, weighted by the components' light."""
    weights = [component.continuum_flux for component in components]
    return np.average([component.continuum_slope for component in components], weights=weights)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, simulate_galaxy)

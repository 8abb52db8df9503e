"""Simulate one galaxy: its lensed scene, HST images and the truth."""

import json
from pathlib import Path

import numpy as np
import yaml

from klever_simulation.galaxies import CONTINUUM_SLOPE, REFERENCE_WAVELENGTH, seeded
from klever_simulation.hst import filter_of, make_images
from klever_simulation.scene import place, render, sky_of
from klever_simulation.truth import source_maps, truth_table


def simulate_galaxy(
    *, lens_parameters, line_list, calibrations, scene, source_truth, truth, hst_images: list, settings
):
    """Simulate one galaxy.

    Parameters
    ----------
    lens_parameters, line_list, calibrations : path
        resources/simulation/lenses.yaml, resources/lines.yaml and calibrations.json.
    scene, source_truth, truth : path
        Outputs: scene.npz, source_truth.fits, truth.ecsv.
    hst_images : list of path
        Outputs, each with its filter in the file name.
    settings : dict
        galaxy, z, ra, dec, lens, seed, fine_pixel_scale, components (rows of resources/simulation/galaxies.tsv).
    """
    relations = json.loads(Path(calibrations).read_text(encoding="utf-8"))
    names = list(yaml.safe_load(Path(line_list).read_text(encoding="utf-8"))["lines"])
    setting = place(lens_parameters, relations, settings)
    ra, dec = sky_of(*setting.field, setting.lens.ra, setting.lens.dec)
    rendered = render(setting, names, settings["fine_pixel_scale"])
    images = _images(setting, ra, dec, settings)
    maps = source_maps(setting, settings["galaxy"])
    table = truth_table(setting, rendered, names, settings["galaxy"])

    fine = {key: rendered[key].astype(np.float32) for key in ("lines", "velocity", "dispersion", "continuum", "broad")}
    np.savez(
        scene, x=rendered["x"], y=rendered["y"], **fine, line_names=np.array(names),
        components=np.array([component.name for component in setting.components]), z=np.array(setting.z),
        field_x=np.array(setting.field[0]), field_y=np.array(setting.field[1]), field_ra=np.array(ra),
        field_dec=np.array(dec), lens_ra=np.array(setting.lens.ra), lens_dec=np.array(setting.lens.dec),
        reference_wavelength=np.array(REFERENCE_WAVELENGTH), continuum_slope=np.array(CONTINUUM_SLOPE),
    )  # fmt: skip
    maps.write(source_truth)
    table.write(truth, format="ascii.ecsv", overwrite=True)
    for path in hst_images:
        images[filter_of(path)].writeto(path, overwrite=True)


def _images(setting, ra, dec, settings):
    return make_images(setting, ra, dec, seeded(settings["seed"], settings["galaxy"], "HST"))


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, simulate_galaxy)

"""Simulate one galaxy: its lensed scene, HST images and the truth."""

import json
from pathlib import Path

import numpy as np
import yaml

from klever_simulation.galaxies import REFERENCE_WAVELENGTH, read_light, seeded
from klever_simulation.hst import filter_of, line_densities, make_images, read_curves
from klever_simulation.scene import place, render, sky_of
from klever_simulation.truth import source_maps, truth_table


def simulate_galaxy(
    *, lens_parameters, line_list, calibrations, scene, source_truth, truth, hst_images: list, settings, photometry=None
):
    """Simulate one galaxy.

    Parameters
    ----------
    lens_parameters, line_list, calibrations : path
        resources/simulation/lenses.yaml, resources/lines.yaml and calibrations.json.
    photometry : path, optional
        resources/simulation/photometry.tsv; without it the stars of all galaxies have one power law.
    scene, source_truth, truth : path
        Outputs: scene.npz, source_truth.fits, truth.ecsv.
    hst_images : list of path
        Outputs, each with its filter in the file name.
    settings : dict
        galaxy, z, ra, dec, lens, seed, fine_pixel_scale, components (rows of resources/simulation/galaxies.tsv).
    """
    relations = json.loads(Path(calibrations).read_text(encoding="utf-8"))
    lines = yaml.safe_load(Path(line_list).read_text(encoding="utf-8"))["lines"]
    names = list(lines)
    light = read_light(photometry) if photometry else {}
    rows = [row | {"light": light.get((settings["galaxy"], row["component"]))} for row in settings["components"]]
    setting = place(lens_parameters, relations, settings | {"components": rows})
    ra, dec = sky_of(*setting.field, setting.lens.ra, setting.lens.dec)
    rendered = render(setting, names, settings["fine_pixel_scale"])
    rest = {name: entry["wavelength"] * 1e-4 for name, entry in lines.items()}
    images = _images(setting, ra, dec, rest, settings) if hst_images else {}
    maps = source_maps(setting, settings["galaxy"])
    table = truth_table(setting, rendered, names, settings["galaxy"])

    fine = {key: rendered[key].astype(np.float32) for key in ("lines", "velocity", "dispersion", "continuum", "broad")}
    np.savez(
        scene, x=rendered["x"], y=rendered["y"], **fine, line_names=np.array(names),
        components=np.array([component.name for component in setting.components]), z=np.array(setting.z),
        field_x=np.array(setting.field[0]), field_y=np.array(setting.field[1]), field_ra=np.array(ra),
        field_dec=np.array(dec), lens_ra=np.array(setting.lens.ra), lens_dec=np.array(setting.lens.dec),
        reference_wavelength=np.array(REFERENCE_WAVELENGTH), continuum_slope=np.array(_slope(setting.components)),
    )  # fmt: skip
    maps.write(source_truth)
    table.write(truth, format="ascii.ecsv", overwrite=True)
    for path in hst_images:
        images[filter_of(path)].writeto(path, overwrite=True)


def _images(setting, ra, dec, rest, settings):
    curves = read_curves()
    densities = [line_densities(component, setting.z, rest, curves) for component in setting.components]
    return make_images(setting, ra, dec, seeded(settings["seed"], settings["galaxy"], "HST"), densities)


def _slope(components):
    """Slope of the continuum, weighted by the components' light."""
    weights = [component.continuum_flux for component in components]
    return np.average([component.continuum_slope for component in components], weights=weights)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, simulate_galaxy)

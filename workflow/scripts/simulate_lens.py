"""Simulate the maps of one lens in the layout of the Frontier Fields and CLASH lens models."""

import shutil
from pathlib import Path

import numpy as np

from klever_simulation.lenses import load_lens
from klever_simulation.lensmaps import lens_image, map_grid


def simulate_lens(*, parameters, kappa, gamma, x_deflection, y_deflection, realisations, settings):
    """Write the maps of a lens, normalised to Dls/Ds = 1.

    Parameters
    ----------
    parameters : path
        resources/simulation/lenses.yaml.
    kappa, gamma, x_deflection, y_deflection : path
        Output images; deflections in arcsec along increasing FITS x and y.
    realisations : path
        Output folder of convergence and shear maps of the lens with its parameters drawn within their errors.
    settings : dict
        lens, simulation (seed, lens_pixel_scale, lens_realisations).
    """
    simulation = settings["simulation"]
    lens = load_lens(settings["lens"], parameters)
    size = lens.maps["size"]
    scale = lens.maps.get("pixel_scale", simulation["lens_pixel_scale"])
    x, y = map_grid(size, scale)
    alpha_x, alpha_y = lens.deflection(x, y, None)
    convergence, gamma1, gamma2 = lens.convergence_shear(x, y, None)
    images = {
        kappa: lens_image(lens, convergence, scale, "kappa"),
        gamma: lens_image(lens, np.hypot(gamma1, gamma2), scale, "gamma"),
        x_deflection: lens_image(lens, alpha_x, scale, "x deflection", "arcsec"),
        y_deflection: lens_image(lens, alpha_y, scale, "y deflection", "arcsec"),
    }
    folder = Path(realisations)
    stem = Path(kappa).name.removesuffix("_kappa.fits")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_realisations(lens, folder, stem, simulation["lens_realisations"], simulation["seed"])
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    for path, image in images.items():
        image.writeto(path, overwrite=True)


def _write_realisations(lens, folder, stem, number, seed):
    scale = lens.maps["range_pixel_scale"]
    x, y = map_grid(lens.maps["size"], scale)
    known = {}  # maps of the profiles that the realisations leave as they are
    total, share = np.empty((2, 3, *x.shape))
    for index in range(number):
        model = lens.realisation(seed + index)
        total[:] = 0.0
        for component in model.components:
            if component.profile not in known:
                parts = np.array(component.profile.convergence_shear(x, y))
                if component.profile in {best.profile for best in lens.components}:
                    known[component.profile] = parts
            else:
                parts = known[component.profile]
            total += np.multiply(parts, component.strength, out=share)
        for name, data in (("kappa", total[0]), ("gamma", np.hypot(total[1], total[2]))):
            lens_image(lens, data, scale, name).writeto(folder / f"{stem}_map{index:03d}_{name}.fits", overwrite=True)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, simulate_lens)

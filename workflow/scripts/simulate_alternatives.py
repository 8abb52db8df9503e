"""Simulate other models of a lens, as different teams would make them of the same field."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from klever_simulation.lenses import load_lens
from klever_simulation.lensmaps import lens_image, map_grid


def simulate_alternatives(*, parameters, folder, settings):
    """Write the maps of perturbed models of a lens, normalised to Dls/Ds = 1.

    Models of different teams differ by more than the statistical error of any of them (Meneghetti et al. 2017, MNRAS
    472, 3177): `scatter` multiplies the errors of the lens's parameters before they are drawn.

    Parameters
    ----------
    parameters : path
        resources/simulation/lenses.yaml.
    folder : path
        Output folder: ``{model}_{map}.fits`` with the maps x_deflection, y_deflection (arcsec along increasing FITS x
        and y), kappa and gamma.
    settings : dict
        lens, alternatives (`seed` and `scatter` by model name).
    """
    lens = load_lens(settings["lens"], parameters)
    scale = lens.maps["range_pixel_scale"] / 2
    x, y = map_grid(lens.maps["size"], scale)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = {}  # maps of the profiles that no model changes, only their strength: most of the members
        for name, entry in settings["alternatives"].items():
            errors = {
                group: {key: error * entry["scatter"] for key, error in spreads.items()}
                for group, spreads in lens.errors.items()
            }
            model = replace(lens, errors=errors).realisation(entry["seed"])
            alpha_x, alpha_y, kappa, gamma1, gamma2 = _fields(model, lens, x, y, known)
            maps = {"x_deflection": alpha_x, "y_deflection": alpha_y, "kappa": kappa, "gamma": np.hypot(gamma1, gamma2)}
            for kind, data in maps.items():
                image = lens_image(lens, data, scale, kind, "arcsec" if "deflection" in kind else "")
                image.writeto(folder / f"{name}_{kind}.fits", overwrite=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _fields(model, lens, x, y, known):
    """Return deflection, convergence and shear of a model, shape (5, ny, nx), keeping parts that are the lens's."""
    total = np.zeros((5, *x.shape))
    kept = {component.profile for component in lens.components}
    for component in model.components:
        profile = component.profile
        parts = known.get(profile)
        if parts is None:
            parts = np.array([*profile.deflection(x, y), *profile.convergence_shear(x, y)])
            if profile in kept:
                known[profile] = parts
        total += component.strength * parts
    return total


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, simulate_alternatives)

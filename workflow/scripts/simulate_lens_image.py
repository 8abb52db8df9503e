"""Simulate the HST image of a galaxy lens: the whole ring of its source, and the light of the lens."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from klever_simulation.galaxies import seeded
from klever_simulation.hst import FILTERS, PIXEL_SCALE, make_images
from klever_simulation.scene import place

FILTER = "F160W"
FIELD = 2.7  # side of the image, in Einstein radii
LENS_LIGHT = {"radius": 0.9, "index": 4.0, "axis_ratio": 0.85}  # arcsec
LENS_BRIGHTNESS = 1.0  # of the lens at its effective radius, over the 99th percentile of the arc
RAYS = 5


def simulate_lens_image(*, lens_parameters, calibrations, image, settings):
    """Write the image of a lens with one simulated source.

    Parameters
    ----------
    lens_parameters, calibrations : path
        resources/simulation/lenses.yaml, resources/calibrations.json.
    image : path
        Output FITS image, centred on the lens; header SKYSIGMA (noise of a pixel) and PSFFWHM.
    settings : dict
        As of `simulate_galaxy`, of the galaxy behind the lens.
    """
    relations = json.loads(Path(calibrations).read_text(encoding="utf-8"))
    setting = place(lens_parameters, relations, settings)
    radius = max(entry.get("einstein_radius", 0.0) for entry in setting.lens.parameters)
    setting = dataclasses.replace(setting, field=(0.0, 0.0), field_size=FIELD * radius)
    rng = seeded(settings["seed"], settings["lens"], "HST")
    hdu = make_images(setting, setting.lens.ra, setting.lens.dec, rng)[FILTER]
    halo = next(entry for entry in setting.lens.parameters if "einstein_radius" in entry)
    light = _lens_light(hdu.data.shape, halo.get("angle", 0.0))
    hdu.data = (hdu.data + LENS_BRIGHTNESS * np.quantile(hdu.data, 0.99) * light).astype(np.float32)
    hdu.writeto(image, overwrite=True)


def _lens_light(shape, angle):
    """Sersic profile behind the PSF, 1 at its effective radius before it; `angle` degrees of the major axis from x."""
    from scipy.ndimage import gaussian_filter

    fine = [(np.arange(n * RAYS) - (n * RAYS - 1) / 2) * PIXEL_SCALE / RAYS for n in shape]
    x, y = np.meshgrid(fine[1], fine[0])  # x to the west
    turned = (x + 1j * y) * np.exp(-1j * np.deg2rad(angle))
    q, n = LENS_LIGHT["axis_ratio"], LENS_LIGHT["index"]
    elliptical = np.sqrt(q * turned.real**2 + turned.imag**2 / q) / LENS_LIGHT["radius"]
    profile = np.exp(-(2 * n - 1 / 3) * (elliptical ** (1 / n) - 1))
    blurred = gaussian_filter(profile, FILTERS[FILTER][1] / 2.3548 / PIXEL_SCALE * RAYS, truncate=6)
    return blurred.reshape(shape[0], RAYS, shape[1], RAYS).mean(axis=(1, 3))


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, simulate_lens_image)

"""How often the true lens of a simulated ring lies in the posterior of its fit: one line for each noise seed.

Run as ``python benchmarks/lens_fit_coverage.py FIRST LAST`` (two minutes a seed); lenstronomy ray-traces the ring,
100 x 100 pixels of 0.05 arcsec, 500 source vertices, and the fit starts beside the truth.
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from klever.lensfit import epl
from klever.lensfit.galaxyfit import DEFAULTS, finish_fit
from klever.lensfit.inversion import ArcImage, psf_kernel

TRUTH = np.array([1.6, 2.05, 0.08, -0.05, 0.01, -0.02, 0.03, -0.02])
BESIDE = np.array([0.005, 0.02, 0.01, 0.005, 0.004, -0.003, 0.003, 0.003])
PIXELS, SCALE, FWHM, SNR, RAYS = 100, 0.05, 0.12, 30, 5
SOURCE = [
    {"amp": 1.0, "R_sersic": 0.18, "n_sersic": 1.0, "e1": 0.15, "e2": 0.1, "center_x": 0.06, "center_y": 0.08},
    {"amp": 0.5, "R_sersic": 0.06, "n_sersic": 1.0, "e1": -0.1, "e2": 0.1, "center_x": -0.1, "center_y": 0.2},
]


def ring():
    """Image of the ring without noise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lenstronomy.LensModel.lens_model import LensModel
        from lenstronomy.LightModel.light_model import LightModel
    fine = (np.arange(PIXELS * RAYS) - (PIXELS * RAYS - 1) / 2) * SCALE / RAYS
    x, y = np.meshgrid(fine, fine)
    lens = [{key: value for key, value in profile.items() if key != "type"} for profile in epl.as_profiles(TRUTH)]
    source = LensModel(["EPL", "SHEAR"]).ray_shooting(x.ravel(), y.ravel(), lens)
    image = LightModel(["SERSIC_ELLIPSE"] * 2).surface_brightness(*source, SOURCE).reshape(x.shape)
    image = gaussian_filter(image, FWHM / 2.3548 / SCALE * RAYS, truncate=6)
    return image.reshape(PIXELS, RAYS, PIXELS, RAYS).mean(axis=(1, 3))


def main(first, last):
    """Fit the ring with the noise of each seed."""
    clean = ring()
    sigma = clean.max() / SNR
    axis = (np.arange(PIXELS) - (PIXELS - 1) / 2) * SCALE
    x, y = np.meshgrid(axis, axis)
    mask = (np.hypot(x, y) > 0.8) & (np.hypot(x, y) < 2.4)
    inside = []
    for seed in range(first, last):
        data = clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)
        dense = data > 0.1 * np.quantile(data[mask], 0.99)
        image = ArcImage(data, np.full(data.shape, sigma), mask, x, y, psf_kernel(FWHM, SCALE), dense=dense)
        start = time.time()
        fit = finish_fit(image, TRUTH + BESIDE, None, DEFAULTS, f"seed {seed}")
        offset = fit.best - TRUTH
        chi2 = offset @ np.linalg.solve(fit.covariance, offset)
        inside.append(chi2 < 15.51)
        pulls = " ".join(f"{value:+.1f}" for value in offset / np.sqrt(np.diag(fit.covariance)))
        print(f"seed {seed}: pulls {pulls}, chi2 {chi2:.1f} of 8, {time.time() - start:.0f} s", flush=True)
    print(f"within the 95 % region: {sum(inside)} of {len(inside)}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

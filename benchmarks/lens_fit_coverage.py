"""How often the true lens of a simulated ring lies in the posterior of its fit, over noise seeds.

Run as ``python benchmarks/lens_fit_coverage.py FIRST LAST [SNR]`` (one to two minutes a seed); it writes
results/lens_fit_coverage.json, or lens_fit_coverage_snrSNR.json for a peak S/N other than 30.
lenstronomy ray-traces the ring, 100 x 100 pixels of 0.05 arcsec; 500 source vertices;
the fit starts beside the truth.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from klever.lensfit import epl
from klever.lensfit.arcimage import ArcImage, arc_brightness
from klever.lensfit.evidencefit import finish_fit
from klever.lensfit.galaxyfit import DEFAULTS
from klever.lensfit.inversion import invert
from klever.lensfit.psf import psf_weights

RESULTS = Path(__file__).resolve().parent / "results"
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


def fit(data, sigma):
    """Fit the ring; return the fit and the seconds of CPU that an evaluation takes on one mesh."""
    axis = (np.arange(PIXELS) - (PIXELS - 1) / 2) * SCALE
    x, y = np.meshgrid(axis, axis)
    mask = (np.hypot(x, y) > 0.8) & (np.hypot(x, y) < 2.4)
    brightness = arc_brightness(data, mask, FWHM / SCALE)
    image = ArcImage(data, np.full(data.shape, sigma), mask, x, y, psf_weights(FWHM, SCALE), brightness=brightness)
    found = finish_fit(image, TRUTH + BESIDE, None, DEFAULTS, "ring")
    times = []
    for _ in range(5):
        start = time.process_time()
        invert(image, TRUTH, found.inversion.strength)
        times.append(time.process_time() - start)
    return found, min(times)


def judge(found):
    """Compare the posterior with the truth."""
    samples = found.posterior.samples
    mean, root = samples.mean(axis=0), np.linalg.cholesky(np.cov(samples.T))
    distance = np.sum(np.linalg.solve(root, (samples - mean).T) ** 2, axis=0)
    chi2 = float(np.sum(np.linalg.solve(root, TRUTH - mean) ** 2))
    low, high = (np.percentile(samples, [0.5 * (100 - part), 0.5 * (100 + part)], axis=0) for part in (68.27, 95.45))
    return {
        "offset": (found.best - TRUTH).tolist(),
        "error": samples.std(axis=0).tolist(),
        "within_68": ((low[0] < TRUTH) & (TRUTH < low[1])).tolist(),
        "within_95": ((high[0] < TRUTH) & (TRUTH < high[1])).tolist(),
        "chi2_of_truth": chi2,
        "within_joint_68": bool(chi2 < np.quantile(distance, 0.68)),
        "within_joint_95": bool(chi2 < np.quantile(distance, 0.95)),
        "effective_samples": found.posterior.effective,
        "mesh_noise": found.mesh_noise,
        "converged": found.converged,
    }


def summary(seeds):
    """Summarise seeds: coverage, scatter against quoted error, bias, worst offsets."""
    offset, error = (np.array([one[key] for one in seeds]) for key in ("offset", "error"))
    scatter = offset.std(axis=0, ddof=1) if len(seeds) > 1 else np.full(8, np.nan)
    return {
        "seeds": len(seeds),
        "coverage_68": np.mean([one["within_68"] for one in seeds], axis=0).tolist(),
        "coverage_95": np.mean([one["within_95"] for one in seeds], axis=0).tolist(),
        "coverage_joint_68": float(np.mean([one["within_joint_68"] for one in seeds])),
        "coverage_joint_95": float(np.mean([one["within_joint_95"] for one in seeds])),
        "mean_chi2_of_truth": float(np.mean([one["chi2_of_truth"] for one in seeds])),
        "scatter_over_error": (scatter / error.mean(axis=0)).tolist(),
        "bias_over_error": (offset.mean(axis=0) / error.mean(axis=0)).tolist(),
        "worst": {
            "theta_E_percent": float(100 * np.abs(offset[:, 0]).max() / TRUTH[0]),
            "slope": float(np.abs(offset[:, 1]).max()),
            "shear": float(np.abs(offset[:, 6:]).max()),
        },
    }


def main(first, last, snr=SNR):
    """Fit the ring with the noise of each seed; write the results after each, beside those of other seeds."""
    results = RESULTS / ("lens_fit_coverage.json" if snr == SNR else f"lens_fit_coverage_snr{snr}.json")
    clean = ring()
    sigma = clean.max() / snr
    stored = json.loads(results.read_text(encoding="utf-8"))["seeds"] if results.is_file() and first > 0 else []
    seeds = [one for one in stored if one["seed"] < first]
    for seed in range(first, last):
        start = time.process_time()
        data = clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)
        found, evaluation = fit(data, sigma)
        seeds.append({"seed": seed, **judge(found), "seconds_of_an_evaluation": evaluation,
                      "seconds": time.process_time() - start})  # fmt: skip
        pulls = " ".join(f"{o / e:+.1f}" for o, e in zip(seeds[-1]["offset"], seeds[-1]["error"], strict=True))
        print(f"seed {seed}: chi2 of the truth {seeds[-1]['chi2_of_truth']:.1f} of 8, pulls {pulls}", flush=True)
        ring_of = {"pixels": PIXELS, "pixel_scale": SCALE, "psf_fwhm": FWHM, "peak_snr": snr, "truth": TRUTH.tolist(),
                   "vertices": len(found.image.vertex_x), "meshes": DEFAULTS["meshes"]}  # fmt: skip
        content = {"lens": "galaxy", "simulated": True, "parameters": list(epl.PARAMETERS), "ring": ring_of,
                   "summary": summary(seeds), "seeds": seeds}  # fmt: skip
        results.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content["summary"], indent=1))


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:4]))

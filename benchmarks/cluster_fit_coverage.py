"""How often the true lens of a simulated cluster lies in the posterior of its fit, over noise seeds.

Run as ``python benchmarks/cluster_fit_coverage.py FIRST LAST`` (from `config.yaml` the starts, walkers and steps); it
writes results/cluster_fit_coverage.json.  The truth is the simulated MACS0451 with isothermal members, five sources at
five redshifts, images displaced by 0.05 arcsec per axis; every fit starts with a blind search.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from klever.lensfit.cluster import PARAMETERS, ClusterLens, Images, Members
from klever.lensfit.cluster_search import fit_cluster
from klever_simulation.lenses import load_lens
from klever_simulation.multiple_images import isothermal, members_of, observe, simulate_families

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/cluster_fit_coverage.json"
REDSHIFTS = (2.014, 1.405, 2.93, 3.77, 4.9)
ERROR = 0.05  # arcsec per axis


def true_parameters(lens):
    """Parameters of the truth, in the order of the fit's."""
    halo, shear = (next(e for e in lens.parameters if e["type"] == kind) for kind in ("power_law", "shear"))
    flattening = (1 - halo["axis_ratio"]) / (1 + halo["axis_ratio"])
    e = flattening * np.exp(2j * np.radians(halo["angle"]))
    gamma = shear["gamma"] * np.exp(2j * np.radians(shear["angle"]))
    sigma = max(e["sigma"] for e in lens.parameters if e["type"] == "dpie")
    return np.array([halo["einstein_radius"], e.real, e.imag, halo["slope"], halo["x"], halo["y"], gamma.real,
                     gamma.imag, sigma])  # fmt: skip


def cluster(truth, families, cosmology, seed):
    """Return the lens to fit, with the noise of a seed."""
    rows = observe(families, ERROR, seed)
    z, family = np.array([row[2] + 1j * row[3] for row in rows]), np.array([int(row[0]) - 1 for row in rows])
    names = [str(i + 1) for i in range(len(REDSHIFTS))]
    images = Images(z, np.full(len(z), ERROR), family, np.array(REDSHIFTS), names, [row[1] for row in rows])
    galaxies = members_of(truth)
    members = Members(np.array([g[1] + 1j * g[2] for g in galaxies]), np.array([g[3] for g in galaxies]))
    return ClusterLens(images, members, truth.z_lens, cosmology)


def judge(found, truth):
    """Compare the posterior with the truth."""
    samples = found.samples
    mean, root = samples.mean(axis=0), np.linalg.cholesky(np.cov(samples.T))
    distance = np.sum(np.linalg.solve(root, (samples - mean).T) ** 2, axis=0)
    chi2 = float(np.sum(np.linalg.solve(root, truth - mean) ** 2))
    low, high = (np.percentile(samples, [0.5 * (100 - part), 0.5 * (100 + part)], axis=0) for part in (68.27, 95.45))
    return {
        "offset": (found.best - truth).tolist(), "error": samples.std(axis=0).tolist(),
        "within_68": ((low[0] < truth) & (truth < low[1])).tolist(),
        "within_95": ((high[0] < truth) & (truth < high[1])).tolist(),
        "chi2_of_truth": chi2, "within_joint_68": bool(chi2 < np.quantile(distance, 0.68)),
        "within_joint_95": bool(chi2 < np.quantile(distance, 0.95)), "rms_of_images": found.rms,
        "images_found": int(found.found.sum()), "images": len(found.found), "chi2": found.chi2,
        "autocorrelation": found.autocorrelation, "starts_agreeing": int(found.agreeing),
    }  # fmt: skip


def summary(seeds):
    """Summarise seeds: coverage, scatter against quoted error, bias, image positions."""
    offset, error = (np.array([one[key] for one in seeds]) for key in ("offset", "error"))
    return {
        "seeds": len(seeds),
        "coverage_68": np.mean([one["within_68"] for one in seeds], axis=0).tolist(),
        "coverage_95": np.mean([one["within_95"] for one in seeds], axis=0).tolist(),
        "mean_coverage_68": float(np.mean([one["within_68"] for one in seeds])),
        "mean_coverage_95": float(np.mean([one["within_95"] for one in seeds])),
        "coverage_joint_68": float(np.mean([one["within_joint_68"] for one in seeds])),
        "coverage_joint_95": float(np.mean([one["within_joint_95"] for one in seeds])),
        "mean_chi2_of_truth": float(np.mean([one["chi2_of_truth"] for one in seeds])),
        "scatter_over_error": (offset.std(axis=0, ddof=1) / error.mean(axis=0)).tolist() if len(seeds) > 1 else None,
        "bias_over_error": (offset.mean(axis=0) / error.mean(axis=0)).tolist(),
        "rms_of_images_arcsec": {
            "median": float(np.median([one["rms_of_images"] for one in seeds])),
            "largest": float(max(one["rms_of_images"] for one in seeds)),
        },
    }


def main(first, last):
    """Fit the cluster with the noise of each seed; write the results after each, beside those of other seeds."""
    lens = isothermal(load_lens("macs0451", ROOT / "resources/simulation/lenses.yaml"))
    truth, families = true_parameters(lens), simulate_families(lens, REDSHIFTS, seed=3)
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))["seeds"] if RESULTS.is_file() and first > 0 else []
    seeds = [one for one in stored if one["seed"] < first]
    for seed in range(first, last):
        start = time.process_time()
        fit = cluster(lens, families, config["cosmology"], seed)
        one = judge(fit_cluster(fit, **config["cluster_fit"] | {"seed": seed, "samples": 4000}), truth)
        seeds.append({"seed": seed, **one, "seconds": time.process_time() - start})
        print(f"seed {seed}: chi2 of the truth {one['chi2_of_truth']:.1f} of {len(truth)}, images "
              f"{one['rms_of_images']:.3f} arcsec, {seeds[-1]['seconds']:.0f} s", flush=True)  # fmt: skip
        of = {"redshifts": REDSHIFTS, "images": one["images"], "position_error": ERROR, "truth": truth.tolist()}
        content = {"lens": "cluster", "simulated": True, "parameters": list(PARAMETERS), "cluster": of,
                   "summary": summary(seeds), "seeds": seeds}  # fmt: skip
        RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content["summary"], indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

"""Pulls of E(B-V) over fresh draws of the noise, for a survey has one draw only.

Of each simulated galaxy with Halpha and Hbeta in a finished run, the cubes of these lines are simulated again with
other noise, ingested and fitted as in the run.

Run: PYTHONPATH=workflow/scripts python benchmarks/noise_redrawn.py FOLDER [--draws 2] [--galaxies sp1 sp3]

FOLDER is that of a finished survey with the shipped configuration.
"""

import argparse
import csv
import json
import tempfile
from pathlib import Path

import numpy as np
import yaml

from ingest import ingest_cube
from klever.gas.dust import color_excess
from klever.row_tables import read_table
from klever_simulation.cubes import detector_of, simulate_cube
from klever_simulation.noise import read_oh_lines
from lines import measure_lines

ROOT = Path(__file__).parents[1]
RESOURCES = ROOT / "resources"
LINES = ("Halpha", "Hbeta")
FIRST_SEED = 101  # none of a survey's


def rows_of(path):
    """Rows of a table with tabs, comments left out, numbers as numbers."""
    with Path(path).open(encoding="utf-8") as stream:
        return [
            {key: _number(value) for key, value in row.items()}
            for row in csv.DictReader((line for line in stream if not line.startswith("#")), delimiter="\t")
        ]


def _number(text):
    try:
        return float(text)
    except ValueError:
        return text


class Survey:
    """What a finished run and the shipped tables tell of its galaxies."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
        self.bands = yaml.safe_load((RESOURCES / "instruments.yaml").read_text(encoding="utf-8"))
        lines = yaml.safe_load((RESOURCES / "lines.yaml").read_text(encoding="utf-8"))["lines"]
        self.rest = {name: entry["wavelength"] for name, entry in lines.items()}
        self.sky = RESOURCES / "oh_lines_rousselot2000.dat"
        self.galaxies = {row["galaxy"]: row for row in rows_of(ROOT / "config/galaxies.tsv")}
        self.observations = {(row["galaxy"], row["band"]): row for row in rows_of(ROOT / "config/observations.tsv")}
        self.components = rows_of(RESOURCES / "simulation/galaxies.tsv")
        self.truth = list(read_table(self.folder / "results/recovery.ecsv"))

    def reddened(self):
        """{galaxy: (E(B-V), {line: band})} of the galaxies whose E(B-V) the run measured."""
        found = {}
        for row in self.truth:
            if row["quantity"] == "ebv" and row["used"]:
                fluxes = [
                    own for own in self.truth
                    if own["galaxy"] == row["galaxy"] and own["quantity"] == "flux" and own["region"] == "all"
                ]  # fmt: skip
                bands = {own["line"]: own["band"] for own in fluxes if own["line"] in LINES}
                if len(bands) == len(LINES):
                    found[row["galaxy"]] = float(row["truth"]), bands
        return found

    def fluxes(self, galaxy, band, seed, scratch):
        """{line: (flux, error)} of the pseudo-fibre in a cube with the noise of this seed."""
        row, seen = self.galaxies[galaxy], self.observations[galaxy, band]
        scene = np.load(self.folder / f"results/simulated/galaxies/{galaxy}/scene.npz")
        own = {"galaxy": galaxy, "name": galaxy, "band": band, "instrument": seen["instrument"], "unit": seen["unit"],
               "z": row["z"], "ra": row["ra"], "dec": row["dec"], "psf_fwhm": seen["psf_fwhm"]}  # fmt: skip
        raw, truth, cube = (scratch / f"{name}.fits" for name in ("raw", "truth", "cube"))
        detector = detector_of(self.bands, seen["instrument"], band, galaxy)
        parts = [part for part in self.components if part["galaxy"] == galaxy]
        simulate_cube(
            {name: scene[name] for name in scene.files}, self.rest, read_oh_lines(self.sky), detector, raw, truth,
            own | {"seed": seed, "noise_scale": self.config["simulation"]["noise_scale"], "components": parts},
        )  # fmt: skip
        instruments, line_list = RESOURCES / "instruments.yaml", RESOURCES / "lines.yaml"
        ingest_cube(raw, self.sky, instruments, cube, own | {"ingest": self.config["ingest"], "cube": str(raw)})
        outputs = [scratch / name for name in ("linemaps.fits", "spectrum.ecsv", "lines.ecsv")]
        kernel = self.folder / "results/kernel/compiled.txt"
        measure_lines(cube, line_list, line_list, instruments, kernel, *outputs, own | {"lines": self.config["lines"]})
        return {line["line"]: (line["flux"], line["flux_error"]) for line in read_table(outputs[-1])}


def main():
    """Measure, print, and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--galaxies", nargs="+")
    options = parser.parse_args()
    survey, pulls = Survey(options.folder), {}
    with tempfile.TemporaryDirectory() as folder:
        for galaxy, (truth, bands) in survey.reddened().items():
            if options.galaxies and galaxy not in options.galaxies:
                continue
            for seed in range(FIRST_SEED, FIRST_SEED + options.draws):
                measured = [survey.fluxes(galaxy, bands[line], seed, Path(folder))[line] for line in LINES]
                ebv, error = color_excess(*measured[0], *measured[1])
                pulls.setdefault(galaxy, []).append(round(float((ebv - truth) / error), 3))
            print(galaxy, *pulls[galaxy], flush=True)
    values = np.concatenate(list(pulls.values()))
    low, high = np.percentile(values, (15.87, 84.13))
    summary = {"n": len(values), "mean": round(float(values.mean()), 3), "half_width": round(float(high - low) / 2, 3),
               "standard_deviation": round(float(values.std(ddof=1)), 3),
               "median_abs": round(float(np.median(np.abs(values))), 3), "pulls": pulls}  # fmt: skip
    print({key: value for key, value in summary.items() if key != "pulls"})
    (ROOT / "benchmarks/results/noise_redrawn.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

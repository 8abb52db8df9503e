"""From exposures to gradients: the same simulated galaxies started from exposures and from cubes, against their truth.

Writes two survey folders with the galaxies of config/exposures.tsv, runs Snakemake on both as far as the recovery of
the truth, and joins the two tables in benchmarks/results/exposures.ecsv, with a summary in exposures.json.

Run: OMP_NUM_THREADS=1 python benchmarks/exposures.py FOLDER [--cores 2]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from astropy.table import Table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"
STARTS = ("exposures", "cubes")
KEYS = ("galaxy", "band", "region", "quantity", "line")
UNUSED = "figures: {spectra: [], disturbed: [], planes: [], apertures: auto}\n"


def galaxies_of_pointings():
    """Return the galaxies of config/exposures.tsv, and the bands that are reduced, by galaxy."""
    header, *rows = (ROOT / "config/exposures.tsv").read_text().splitlines()
    names = header.split("\t")
    bands = {}
    for row in rows:
        entry = dict(zip(names, row.split("\t"), strict=True))
        for galaxy in entry["galaxies"].split(","):
            bands.setdefault(galaxy, []).append(entry["band"])
    return bands


def write_survey(folder, galaxies, start):
    """Write a survey of these galaxies of the shipped tables, started from `start`."""
    target = folder / "config"
    target.mkdir(parents=True, exist_ok=True)
    (target / "config.yaml").write_text(f"reduce: {{start: {start}}}\n{UNUSED}")
    shutil.copy(ROOT / "config/exposures.tsv", target)
    shutil.copy(ROOT / "config/lenses.yaml", target)
    for name in ("galaxies.tsv", "observations.tsv"):
        header, *rows = (ROOT / "config" / name).read_text().splitlines()
        kept = [row for row in rows if row.split("\t")[0] in galaxies]
        (target / name).write_text("\n".join([header, *kept]) + "\n")


def run_survey(folder, cores):
    """Run Snakemake as far as results/recovery.ecsv and return that table."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([*command, "--cores", str(cores), "results/recovery.ecsv"], check=True, env=environment)
    return Table.read(folder / "results/recovery.ecsv")


def joined(tables, bands):
    """Return one row per measurement that both starts made: truth, measured, error and pull of each.

    The truth of a flux is the light in the aperture that was used, through the seeing and spaxels of that start, so the
    two may differ.
    """
    entries = {
        start: {tuple("" if np.ma.is_masked(row[key]) else str(row[key]) for key in KEYS): row for row in table}
        for start, table in tables.items()
    }
    rows = []
    for key, one in entries["exposures"].items():
        other = entries["cubes"].get(key)
        if other is None or (key[1] and key[1] not in bands.get(key[0], [])):
            continue
        row = dict(zip(KEYS, key, strict=True)) | {"unit": str(one["unit"])}
        for start, entry in (("exposures", one), ("cubes", other)):
            for name in ("truth", "measured", "error", "pull"):
                row[f"{name}_{start}"] = float(np.ma.filled(np.ma.asarray(entry[name], float), np.nan))
            row[f"state_{start}"], row[f"used_{start}"] = str(entry["state"]), bool(entry["used"])
        rows.append(row)
    return rows


def summary(rows):
    """Return per quantity how the two starts recover the truth, and how far they are from each other."""
    result = {}
    for quantity in dict.fromkeys(row["quantity"] for row in rows):
        own = [row for row in rows if row["quantity"] == quantity and row["used_exposures"] and row["used_cubes"]]
        if not own:
            continue
        entry = {"n": len(own)}
        for start in STARTS:
            truth, measured, pull = (np.array([row[f"{name}_{start}"] for row in own])
                                     for name in ("truth", "measured", "pull"))  # fmt: skip
            bias = (measured - truth) / np.where(quantity == "flux", truth, 1.0)
            entry[start] = {
                "median_abs_pull": float(np.median(np.abs(pull))), "largest_abs_pull": float(np.abs(pull).max()),
                "median_bias": float(np.median(bias)),
                "median_error": float(np.median([row[f"error_{start}"] for row in own])),
            }  # fmt: skip
        scale = np.array([np.hypot(row["error_exposures"], row["error_cubes"]) for row in own])
        offset = np.array([
            row["measured_exposures"] - row["measured_cubes"]
            - (row["truth_exposures"] - row["truth_cubes"]) for row in own
        ])  # fmt: skip
        entry["difference_over_error"] = {
            "median": float(np.median(np.abs(offset / scale))), "largest": float(np.abs(offset / scale).max())
        }  # fmt: skip
        result[quantity] = entry
    return result


def main():
    """Run both surveys and write the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the two surveys are written and run (3 GB)")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    bands = galaxies_of_pointings()
    tables = {}
    for start in STARTS:
        folder = arguments.folder.resolve() / start
        write_survey(folder, bands, start)
        tables[start] = run_survey(folder, arguments.cores)
    rows = joined(tables, bands)
    table = Table(rows)
    table.meta["description"] = "Simulated galaxies started from exposures and from cubes, against their truth"
    table.meta["data"] = "simulated data"
    table.meta["bands"] = {galaxy: ",".join(own) for galaxy, own in bands.items()}
    table.write(RESULTS / "exposures.ecsv", format="ascii.ecsv", overwrite=True, formats=_formats(table))
    text = json.dumps(_plain(summary(rows)), indent=1)
    (RESULTS / "exposures.json").write_text(text + "\n")
    print(text)


def _formats(table):
    return {name: "%.5g" for name in table.colnames if table[name].dtype.kind == "f"}


def _plain(value):
    """Round numbers to 4 digits."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()

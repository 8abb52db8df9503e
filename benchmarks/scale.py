"""Time and memory of Snakemake's planning for surveys of many galaxies.

Makes surveys of N observed galaxies: three bands each, forty galaxies to a field, every field with maps of its lens and
the realisations of these, and an HST image.  The files are empty, for a dry run reads none.  Measures the dry run of
the whole survey, of one galaxy, and of one batch of it, as wall time, CPU time and peak memory of the process.

Run: python benchmarks/scale.py [--galaxies 42 420 4200] [--batches 10] [--keep FOLDER]
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
BANDS = {"YJ": 0.55, "H": 0.5, "K": 0.45}
MAPS = ("x_deflection", "y_deflection", "kappa", "gamma")


def write_survey(folder, number, per_field=40, realisations=100):
    """Write the tables of a survey and the empty files they name.

    Parameters
    ----------
    folder : path-like
        Made if it does not exist.
    number : int
        Galaxies, g00000 and following.
    per_field, realisations : int
        Galaxies behind one lens; maps of convergence and of shear in its range.
    """
    folder = Path(folder)
    for name in ("config", "cubes", "maps", "images"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    galaxies = ["galaxy\tname\tlens\tra\tdec\tz\tmetallicity\tnote"]
    observations = ["galaxy\tband\tinstrument\tcube\tunit\tpsf_fwhm"]
    lenses = []
    for index in range(number):
        name, field = f"g{index:05d}", f"field{index // per_field:03d}"
        ra, dec = 10.0 + 0.3 * (index // per_field), -20.0 + 0.001 * (index % per_field)
        galaxies.append(f"{name}\t{name}\t{field}\t{ra:.5f}\t{dec:.5f}\t{1.2 + index % 200 * 0.01:.3f}\tyes\t-")
        for band, seeing in BANDS.items():
            cube = folder / f"cubes/{name}_{band}.fits"
            cube.touch()
            observations.append(f"{name}\t{band}\tKMOS\tcubes/{cube.name}\terg s-1 cm-2 um-1\t{seeing}")
        if index % per_field == 0:
            lenses.append(_field(folder, field, realisations))
    (folder / "config/config.yaml").write_text("{}\n", encoding="utf-8")
    (folder / "config/galaxies.tsv").write_text("\n".join(galaxies) + "\n", encoding="utf-8")
    (folder / "config/observations.tsv").write_text("\n".join(observations) + "\n", encoding="utf-8")
    (folder / "config/lenses.yaml").write_text("".join(lenses), encoding="utf-8")


def _field(folder, name, realisations):
    """Touch the files of one lens; return its entry in lenses.yaml."""
    files = [f"maps/{name}_{kind}.fits" for kind in MAPS] + [f"images/{name}_f160w.fits"]
    files += [f"maps/{name}_map{n:03d}_{kind}.fits" for n in range(realisations) for kind in ("kappa", "gamma")]
    for path in files:
        (folder / path).touch()
    lines = [f"{name}:", "  z_lens: 0.35", "  origin: maps"]
    lines += [f"  {kind}: maps/{name}_{kind}.fits" for kind in MAPS]
    lines += ["  deflection_unit: arcsec", "  normalisation: 1.0", "  x_sign: 1", "  y_sign: 1"]
    lines += ["  realisations:"] if realisations else []
    lines += [f"    {kind}: maps/{name}_map*_{kind}.fits" for kind in ("kappa", "gamma") if realisations]
    return "\n".join([*lines, f"  images: {{F160W: images/{name}_f160w.fits}}"]) + "\n"


def dry_run(folder, *arguments):
    """Plan a survey in a process of its own.

    Returns
    -------
    dict
        Wall and CPU time, s; peak memory, MB.
    """
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(folder), "-n",
               *arguments, "--quiet", "progress", "rules"]  # fmt: skip
    log = Path(folder) / "dry_run.log"
    start = time.monotonic()
    child = os.posix_spawn(
        sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
                      (os.POSIX_SPAWN_DUP2, 1, 2)],
    )  # fmt: skip
    _, status, used = os.wait4(child, 0)
    wall, text = time.monotonic() - start, log.read_text(encoding="utf-8")
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)}\nended with status {os.waitstatus_to_exitcode(status)}:\n{text[-2000:]}")
    return {
        "wall": round(wall, 1),
        "cpu": round(used.ru_utime + used.ru_stime, 1),
        "memory": round(used.ru_maxrss * 1024 / 1e6),
    }


def measure(number, batches, folder):
    """Measure one survey: all of it, one galaxy, and the first of some batches of galaxies."""
    write_survey(folder, number)
    target = f"results/galaxies/g{number // 2:05d}/summary.png"
    return {
        "galaxies": number,
        "all": dry_run(folder),
        "one galaxy": dry_run(folder, target),
        f"batch of {batches}": dry_run(folder, "galaxies", "--batch", f"galaxies=1/{batches}"),
    }


def table(results):
    """Return the results as lines of a Markdown table."""
    lines = ["| galaxies | target | wall [s] | CPU [s] | memory [MB] |", "|---|---|---|---|---|"]
    for entry in results:
        for target, found in entry.items():
            if target != "galaxies":
                numbers = (found[key] for key in ("wall", "cpu", "memory"))
                lines.append(f"| {entry['galaxies']} | {target} | {' | '.join(map(str, numbers))} |")
    return lines


def main():
    """Measure, print the table and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--galaxies", type=int, nargs="+", default=[42, 420, 4200])
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--keep", type=Path, help="write the surveys into this folder and leave them there")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for number in options.galaxies:
            folder = (options.keep or Path(temporary)) / f"survey_{number}"
            results.append(measure(number, options.batches, folder))
            print(*table(results[-1:])[2 if len(results) > 1 else 0 :], sep="\n", flush=True)
    kept = ROOT / "benchmarks/results/scale.json"
    text = json.dumps({"python": platform.python_version(), "surveys": results}, indent=1)
    kept.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Runs of small surveys by Snakemake, for the tests of the workflow."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNUSED = (".venv", ".git", ".snakemake", "results", "logs", "__pycache__")

CONFIG = """\
simulation: {lens_realisations: 10, lens_pixel_scale: 0.4}
metallicity: {steps: 400, burn_in: 100}
gradient: {steps: 400, burn_in: 100}
population: {bootstrap: 10, steps: 200, burn_in: 50}
figures: {dpi: 60}
"""


def copy_workflow(target):
    """Copy this repository without what a run leaves in it, so that a test may edit its code."""
    return Path(shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*UNUSED)))


def snakemake(directory, *arguments, root=ROOT, environment=None):
    """Run Snakemake on a survey folder; return the completed process with stdout and stderr in one text."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(root / "Snakefile"),
        "--directory",
        str(directory),
        *arguments,
    ]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "", **(environment or {})}
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables, check=False
    )


def planned(directory, *arguments, root=ROOT):
    """Return {rule: set of wildcards text} of the jobs a dry run would do."""
    done = snakemake(directory, "-n", *arguments, root=root)
    assert done.returncode == 0, done.stdout
    jobs, rule = {}, None
    for line in done.stdout.splitlines():
        if found := re.fullmatch(r"(?:local)?rule (\w+):", line):
            rule = found.group(1)
            jobs.setdefault(rule, set())
        elif line.startswith("    wildcards:") and rule:
            jobs[rule].add(line.split(":", 1)[1].strip())
    return jobs


def write_survey(directory, galaxies, config=CONFIG):
    """Write a survey folder with these galaxies (a dict from galaxy to lens) of the shipped tables, cubes simulated."""
    folder = Path(directory) / "config"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(config)
    shutil.copy(ROOT / "config/lenses.yaml", folder / "lenses.yaml")
    for name in ("galaxies.tsv", "observations.tsv"):
        header, *rows = (ROOT / "config" / name).read_text().splitlines()
        kept = [row.split("\t") for row in rows if row.split("\t")[0] in galaxies]
        if name == "galaxies.tsv":
            column = header.split("\t").index("lens")
            for row in kept:
                row[column] = galaxies[row[0]]
        (folder / name).write_text("\n".join([header, *["\t".join(row) for row in kept]]) + "\n")
    return Path(directory)

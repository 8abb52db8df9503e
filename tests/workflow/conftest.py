"""A small simulated survey, run once per test session, that tests copy and disturb."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """\
metallicity: {steps: 400, burn_in: 100}
gradient: {steps: 400, burn_in: 100}
figures: {dpi: 60}
"""


def snakemake(directory, *arguments, root=ROOT):
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
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, check=False
    )


def planned(directory, *arguments, root=ROOT):
    """Return {rule: set of wildcards text} of the jobs a dry run would do."""
    done = snakemake(directory, "-n", *arguments, root=root)
    assert done.returncode == 0, done.stdout
    jobs, rule = {}, None
    for line in done.stdout.splitlines():
        if line.startswith("rule ") and line.endswith(":"):
            rule = line[5:-1]
            jobs.setdefault(rule, set())
        elif line.startswith("    wildcards:") and rule:
            jobs[rule].add(line.split(":", 1)[1].strip())
    return jobs


def write_survey(directory, galaxies, lens="none", config=CONFIG):
    """Write a survey folder with these galaxies of the shipped tables, their cubes simulated."""
    folder = Path(directory) / "config"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(config)
    shutil.copy(ROOT / "config/lenses.yaml", folder / "lenses.yaml")
    for name in ("galaxies.tsv", "observations.tsv"):
        header, *rows = (ROOT / "config" / name).read_text().splitlines()
        kept = [row.split("\t") for row in rows if row.split("\t")[0] in galaxies]
        if name == "galaxies.tsv" and lens is not None:
            column = header.split("\t").index("lens")
            for row in kept:
                row[column] = lens
        (folder / name).write_text("\n".join([header, *["\t".join(row) for row in kept]]) + "\n")
    return Path(directory)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run of two unlensed simulated galaxies; do not change it, use `survey`."""
    directory = write_survey(tmp_path_factory.mktemp("finished"), ["sp1", "sp15"])
    done = snakemake(directory, "--cores", "2")
    assert done.returncode == 0, done.stdout
    return directory


@pytest.fixture
def survey(finished, tmp_path):
    """A private copy of the finished survey, with times and Snakemake's records."""
    directory = tmp_path / "survey"
    shutil.copytree(finished, directory, symlinks=True, copy_function=shutil.copy2)
    return directory

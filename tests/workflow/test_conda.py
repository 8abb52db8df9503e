"""The environments of the rules on conda-forge: each can be solved, and a survey runs in them.

That takes conda, a network and half an hour: KLEVER_CONDA=1 asks for it.
"""

import os
import subprocess

import pytest
from environments import ROOT, STEPS
from survey_runs import snakemake, write_survey

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif("KLEVER_CONDA" not in os.environ, reason="takes conda and a network; set KLEVER_CONDA=1"),
]


@pytest.mark.parametrize("rule", STEPS)
def test_environment_can_be_solved(rule):
    command = ["conda", "env", "create", "--dry-run", "--quiet", "--name", f"klever-{rule}", "--file"]
    done = subprocess.run([*command, str(ROOT / f"envs/{rule}.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_survey_runs_in_the_environments(tmp_path):
    directory = write_survey(tmp_path / "survey", {"sp1": "ms2137"})
    done = snakemake(directory, "--cores", "2", "--sdm", "conda")
    assert done.returncode == 0, done.stdout
    assert (directory / "results/tables/table4.ecsv").is_file()

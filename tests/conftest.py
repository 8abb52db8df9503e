"""A small simulated survey, run once per test session, that tests read, or copy and disturb."""

import os
import shutil

import pytest
from environments import guarded
from hypothesis import settings
from survey_runs import snakemake, write_survey

settings.register_profile("repeatable", derandomize=True, database=None)
if os.environ.get("CI"):
    settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run of three simulated galaxies, two of them unlensed; do not change it, use `survey`.

    Its jobs import only what their rules' environments bring.
    """
    galaxies = {"sp1": "none", "sp15": "none", "sp3": "ms2137"}
    directory = write_survey(tmp_path_factory.mktemp("finished"), galaxies)
    done = snakemake(directory, "--cores", "2", environment=guarded(tmp_path_factory.mktemp("environments")))
    assert done.returncode == 0, done.stdout
    return directory


@pytest.fixture
def survey(finished, tmp_path):
    """A private copy of the finished survey, with times and Snakemake's records."""
    directory = tmp_path / "survey"
    shutil.copytree(finished, directory, symlinks=True, copy_function=shutil.copy2)
    return directory

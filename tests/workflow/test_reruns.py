"""What runs again after a change, and what does not."""

import os
import shutil
from pathlib import Path

import pytest
from survey_runs import copy_workflow, planned, snakemake, write_survey

pytestmark = pytest.mark.workflow

AGGREGATES = {
    "gradient_tables", "detection_tables", "magnification_models", "magnification_table", "field_figure", "recovery",
    "recovery_figure", "run_population", "population", "audit", "gradient_figures", "global_properties", "all",
}  # fmt: skip


def test_a_second_run_has_nothing_to_do(survey):
    assert planned(survey) == {}


def test_touching_every_file_reruns_nothing(survey):
    """But of folders that are products, such as a lens's realisations: Snakemake has no checksum of those."""
    whole = {folder.parent for folder in survey.rglob(".snakemake_timestamp")}
    assert whole
    for folder, _, names in os.walk(survey):
        if ".snakemake" not in folder and Path(folder) not in whole:
            for name in names:
                os.utime(os.path.join(folder, name))  # noqa: PTH118
    assert planned(survey) == {}


def test_an_override_reruns_only_its_galaxy_from_that_step_on(survey):
    with (survey / "config/config.yaml").open("a") as stream:
        stream.write("overrides: {sp1: {lines: {smoothing_fwhm: 0.3}}}\n")
    jobs = planned(survey)
    assert jobs["lines"] == {"galaxy=sp1, band=YJ", "galaxy=sp1, band=H", "galaxy=sp1, band=K"}
    assert not any(rule.startswith("simulate") for rule in jobs)
    assert "ingest" not in jobs
    touched = set().union(*(jobs[rule] for rule in jobs if rule not in AGGREGATES))
    assert all("galaxy=sp1" in wildcards for wildcards in touched)
    assert {"gradient", "gradient_tables", "recovery"} <= set(jobs)


def test_a_gradient_override_reruns_only_gradients_and_after(survey):
    with (survey / "config/config.yaml").open("a") as stream:
        stream.write("overrides: {sp15: {gradient: {step: 0.4}}}\n")
    assert set(planned(survey)) - AGGREGATES == {"lens_spread", "gradient", "galaxy_page"}


@pytest.mark.parametrize(
    ("table", "old", "new"), [("galaxies.tsv", "1.393", "1.3931"), ("observations.tsv", "0.41", "0.43")]
)
def test_a_table_row_reruns_only_its_galaxy(survey, table, old, new):
    path = survey / "config" / table
    lines = path.read_text().splitlines()
    index = next(i for i, line in enumerate(lines) if line.startswith("sp1\t"))
    assert old in lines[index]
    lines[index] = lines[index].replace(old, new)
    path.write_text("\n".join(lines) + "\n")
    jobs = planned(survey)
    assert jobs["simulate_galaxy_YJ_H_K"] == {"galaxy=sp1"}
    touched = set().union(*(jobs[rule] for rule in jobs if rule not in AGGREGATES))
    assert touched
    assert all("galaxy=sp1" in wildcards and "sp15" not in wildcards for wildcards in touched)


def test_an_edited_module_reruns_only_what_uses_it(survey, tmp_path):
    """The page is made again because the gradient is; nothing else imports the module."""
    root = copy_workflow(tmp_path / "repository")
    directory = write_survey(tmp_path / "mini", {"ph7727": "none"})
    done = snakemake(directory, "--cores", "2", root=root)
    assert done.returncode == 0, done.stdout
    assert planned(directory, root=root) == {}
    module = root / "workflow/scripts/klever/gradient/gradients.py"
    module.write_text(module.read_text() + "\n# edited\n")
    jobs = planned(directory, root=root)
    assert set(jobs) - AGGREGATES == {"lens_spread", "gradient", "galaxy_page"}


def test_one_product_can_be_asked_for(survey):
    (survey / "results/galaxies/sp1/gradient.ecsv").unlink()
    assert set(planned(survey, "results/galaxies/sp1/gradient.ecsv")) == {"gradient"}


def test_two_runs_give_the_same_tables(finished, survey):
    shutil.rmtree(survey / "results")
    done = snakemake(survey, "--cores", "2")
    assert done.returncode == 0, done.stdout
    tables = sorted(path.relative_to(finished) for path in (finished / "results").rglob("*.ecsv"))
    tables += sorted(path.relative_to(finished) for path in (finished / "results").rglob("*.tex"))
    tables = [name for name in tables if name.name != "runtimes.ecsv"]  # the times it took
    assert len(tables) > 10
    different = [str(name) for name in tables if (finished / name).read_bytes() != (survey / name).read_bytes()]
    assert different == []

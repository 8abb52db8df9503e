"""Provenance of a results folder: every job and product in it, and every later change noticed."""

import base64
import json

import pytest

from klever.publish.crate import changed_products, make_crate, read_jobs

ABOUT = {
    "version": "0.1.0", "snakemake": "9.27.1", "python": "3.11.7", "packages": {"numpy": "2.4.6"},
    "config": ["config/config.yaml"], "simulated": True, "name": "a survey", "licence": "BSD-3-Clause",
}  # fmt: skip


def record(folder, output, rule, inputs, start, **changes):
    """Write what Snakemake writes for one output."""
    content = {
        "rule": rule, "input": inputs, "log": [f"logs/{rule}.log"], "params": ["{'a': 1}"], "incomplete": False,
        "starttime": start, "endtime": start + 2.0,
    } | changes  # fmt: skip
    name = base64.b64encode(output.encode()).decode()
    path = folder.joinpath(*[f"@{name[i : i + 250]}" if i + 250 < len(name) else name[i : i + 250]
                             for i in range(0, len(name), 250)])  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


LONG = "results/galaxies/" + "a" * 120 + "/H/" + "b" * 100 + ".fits"


@pytest.fixture
def survey(tmp_path):
    folder = tmp_path / ".snakemake/metadata"
    products = {"results/galaxies/sp1/cube.fits": "cube", "results/galaxies/sp1/map.fits": "map",
                "results/galaxies/sp1/map.png": "png", LONG: "long"}  # fmt: skip
    for name, content in {**products, "config/config.yaml": "{}", "raw.fits": "raw"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    record(folder, "results/galaxies/sp1/cube.fits", "ingest", ["raw.fits"], 1000.0)
    for number, name in enumerate(("map.fits", "map.png")):
        record(folder, f"results/galaxies/sp1/{name}", "lines", ["results/galaxies/sp1/cube.fits"], 2000.0 + number)
    record(folder, LONG, "ingest", ["raw.fits"], 1500.0, log=["logs/other.log"])
    record(folder, "results/gone.fits", "lines", [], 10.0)
    record(folder, "results/galaxies/sp1/broken.fits", "lines", [], 10.0, incomplete=True)
    (folder / "not base64 !").write_text("x")
    return tmp_path


def crate_of(survey):
    jobs = read_jobs(survey / ".snakemake/metadata", survey / "results")
    return jobs, make_crate(jobs, survey, survey / "workflow_root", ABOUT)


def test_outputs_of_one_job_are_one_job(survey):
    jobs, _ = crate_of(survey)
    assert [(job["rule"], len(job["outputs"])) for job in jobs] == [("ingest", 1), ("ingest", 1), ("lines", 2)]
    assert (jobs[2]["start"], jobs[2]["end"]) == (2000.0, 2003.0)


def test_every_reference_leads_somewhere_and_no_path_of_the_machine_is_told(survey):
    _, crate = crate_of(survey)
    identifiers = [entry["@id"] for entry in crate["@graph"]]
    assert len(identifiers) == len(set(identifiers))

    def references(value):
        if isinstance(value, dict):
            if set(value) == {"@id"}:
                yield value["@id"]
            for item in value.values():
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    outside = {name for name in references(crate["@graph"]) if not name.startswith("http")} - set(identifiers)
    assert outside == set()
    assert str(survey) not in json.dumps(crate)


def test_the_chain_from_a_product_to_the_raw_file(survey):
    _, crate = crate_of(survey)
    jobs = [entry for entry in crate["@graph"] if entry["@id"].startswith("#job-")]

    def made_from(name):
        job = next(job for job in jobs if {"@id": name} in job["result"])
        return [item["@id"] for item in job["object"] if not item["@id"].startswith("#settings")]

    assert made_from("galaxies/sp1/map.png") == ["galaxies/sp1/cube.fits"]
    assert made_from("galaxies/sp1/cube.fits") == ["#survey/raw.fits"]


def test_an_untouched_folder_is_as_it_was_made(survey):
    _, crate = crate_of(survey)
    assert changed_products(json.loads(json.dumps(crate)), survey / "results") == []


def test_every_change_is_told(survey):
    _, crate = crate_of(survey)
    results = survey / "results"
    (results / "galaxies/sp1/map.fits").write_text("mop")  # of the same length
    (results / "galaxies/sp1/map.png").unlink()
    (results / "galaxies/sp1/new.fits").write_text("new")
    (results / "status.ecsv").write_text("written by the run itself")
    assert changed_products(crate, results) == [
        "galaxies/sp1/map.fits was changed after it was made by lines",
        "galaxies/sp1/map.png is missing",
        "galaxies/sp1/new.fits is not in the provenance",
    ]

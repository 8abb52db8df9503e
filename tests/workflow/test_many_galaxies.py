"""What planning for many galaxies rests on: one table stands for the realisations of a lens."""

import sys

import pytest
from survey_runs import ROOT, planned, snakemake

sys.path.insert(0, str(ROOT / "benchmarks"))
from scale import write_survey

INDEX = "results/lenses/field000/realisations/analysis.ecsv"


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    write_survey(folder, number=3, per_field=2, realisations=2)
    for path in (folder / "maps").iterdir():
        path.write_bytes(path.name.encode())
    return folder


def test_realisations_are_listed_once_per_lens(survey):
    jobs = planned(survey)
    assert jobs["lens_realisations"] == {"lens=field000, model=analysis", "lens=field001, model=analysis"}
    assert len(jobs["magnification"]) == 3


def test_a_changed_realisation_renews_the_table_of_its_lens(survey):
    done = snakemake(survey, INDEX, "--cores", "1")
    assert done.returncode == 0, done.stdout
    before = (survey / INDEX).read_text()
    assert "lens_realisations" not in planned(survey, INDEX)
    (survey / "maps/field001_map000_kappa.fits").write_bytes(b"of another lens")
    assert "lens_realisations" not in planned(survey, INDEX)
    (survey / "maps/field000_map001_kappa.fits").write_bytes(b"renewed by its authors")
    assert planned(survey, INDEX)["lens_realisations"] == {"lens=field000, model=analysis"}
    assert snakemake(survey, INDEX, "--cores", "1").returncode == 0
    assert (survey / INDEX).read_text() != before

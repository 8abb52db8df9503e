"""A survey that starts from exposures: what is planned, and an own pointing without a cube in observations.tsv."""

from survey_runs import planned, write_survey

CONFIG = "reduce: {start: exposures}\n"
HEADER = "pointing\tband\tinstrument\texposures\tstandard\tgalaxies\tstars\n"


def test_galaxies_of_both_instruments_start_from_simulated_exposures(tmp_path):
    survey = write_survey(tmp_path, {"sp3": "ms2137", "cswa164": "cswa164"}, CONFIG)
    (survey / "config/exposures.tsv").write_text(
        HEADER
        + "p1\tH\tKMOS\tsimulated\tsimulated\tsp3\ts1,s2\n"
        + "arc\tK\tSINFONI\tsimulated\tsimulated\tcswa164\t-\n"
    )
    jobs = planned(survey, "results/recovery.ecsv")
    assert jobs["simulate_exposures"] == {"pointing=p1, band=H", "pointing=arc, band=K"}
    assert jobs["reduce_pointing"] == jobs["simulate_exposures"]
    assert jobs["simulate_exposure_truth"] == {
        "pointing=p1, band=H, galaxy=sp3", "pointing=arc, band=K, galaxy=cswa164",
    }  # fmt: skip
    assert jobs["simulate_galaxy_YJ_K"] == {"galaxy=sp3"}
    assert jobs["simulate_galaxy_J_H"] == {"galaxy=cswa164"}


def test_own_exposures_need_no_cube(tmp_path):
    survey = write_survey(tmp_path, {"sp3": "none"}, CONFIG)
    header, *_ = (survey / "config/observations.tsv").read_text().splitlines()
    (survey / "config/observations.tsv").write_text(f"{header}\nsp3\tH\tKMOS\t-\theader\t0.41\n")
    (survey / "raw").mkdir()
    (survey / "raw/a.fits").touch()
    (survey / "config/exposures.tsv").write_text(HEADER + "p1\tH\tKMOS\traw/*.fits\t-\tsp3\ts1\n")
    jobs = planned(survey, "results/galaxies/sp3/H/cube.fits")
    assert jobs == {"reduce_pointing": {"pointing=p1, band=H"}, "ingest": {"galaxy=sp3, band=H"}}

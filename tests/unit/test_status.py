"""State of a run from products and logs: done, states of products, failed, blocked, not run."""

import pytest
from astropy.io import fits
from astropy.table import Table

from klever.publish.status import STAGES, STATES, collect_status, format_failures, write_status

OBSERVATIONS = [("sp1", "YJ"), ("sp1", "H"), ("sp2", "H")]
OF_EXPOSURES = [stage.name for stage in STAGES if "{pointing}" in stage.product]
NAMES = [stage.name for stage in STAGES if not stage.silent and stage.name not in OF_EXPOSURES]


def product(results, stage, galaxy, band="", state="ok"):
    """Write a product of a stage, and the file its state is read from, with this state."""
    (stage,) = [entry for entry in STAGES if entry.name == stage]
    for pattern in dict.fromkeys(filter(None, (stage.product, stage.state_of))):
        path = results / pattern.format(galaxy=galaxy, band=band, lens="")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".fits":
            fits.PrimaryHDU(header=fits.Header({"STATE": state})).writeto(path, overwrite=True)
        elif stage.name == "lines":
            rows = {"line": ["Halpha"], "detected": [state != "not_detected"]}
            meta = {"state": state if state == "no_line_in_band" else "ok"}
            Table(rows, meta=meta).write(path, format="ascii.ecsv", overwrite=True)
        elif path.suffix == ".ecsv":
            row = {
                "state": ["ok" if state == "unresolved" else state],
                "resolved": [state if state == "unresolved" else "resolved"],
            }
            Table(row).write(path, format="ascii.ecsv", overwrite=True)
        else:
            path.write_bytes(b"page")


def complete(results, galaxy, bands, until=None, **states):
    for stage in STAGES:
        if stage.silent or stage.name in OF_EXPOSURES:
            continue
        if stage.name == until:
            return
        for band in bands if stage.per_band else [""]:
            product(results, stage.name, galaxy, band, states.get(stage.name, "ok"))


def log(logs, rule, name, text):
    path = logs / rule / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


@pytest.fixture
def folders(tmp_path):
    return tmp_path / "results", tmp_path / "logs"


def states_of(table, galaxy):
    return {(row["stage"], row["band"]): row["state"] for row in table if row["galaxy"] == galaxy}


def test_complete_run_is_done_everywhere(folders):
    complete(folders[0], "sp1", ["YJ", "H"])
    complete(folders[0], "sp2", ["H"])
    table = collect_status(folders[0], OBSERVATIONS, folders[1])
    assert {row["state"] for row in table} == {"done"}
    assert [row["stage"] for row in table if row["galaxy"] == "sp2"] == NAMES
    assert format_failures(table) == ""


def test_reduction_is_a_stage_of_what_starts_from_exposures(folders):
    results, logs = folders
    complete(results, "sp1", ["YJ", "H"])
    (results / "galaxies/sp1/YJ/cube.fits").unlink()
    made = results / "reduced/p1/H/cubes.fits"
    made.parent.mkdir(parents=True)
    fits.PrimaryHDU().writeto(made)
    path = log(logs, "reduce_pointing", "p1_YJ", "ERROR: no star\n")
    pointings = {("sp1", "YJ"): "p1", ("sp1", "H"): "p1"}
    table = collect_status(results, OBSERVATIONS, logs, pointings=pointings)
    states = states_of(table, "sp1")
    assert (states["reduce", "YJ"], states["reduce", "H"]) == ("failed", "done")
    assert (states["ingest", "YJ"], states["ingest", "H"]) == ("blocked", "done")
    assert [row["log"] for row in table if row["state"] == "failed"] == [path]
    assert "reduce" not in {row["stage"] for row in table if row["galaxy"] == "sp2"}


def test_nothing_has_run(folders):
    table = collect_status(folders[0], OBSERVATIONS, folders[1])
    assert {row["state"] for row in table} == {"not_run"}
    assert len(table) == 2 * len(NAMES) + 2


@pytest.mark.parametrize(("stage", "state", "expected"), [
    ("lines", "no_line_in_band", "no_line_in_band"), ("lines", "not_detected", "not_detected"),
    ("lens", "outside_lens_model", "outside_lens_model"), ("metallicity_map", "excluded", "excluded"),
    ("gradient", "too_few_annuli", "unresolved"), ("gradient", "unresolved", "unresolved"),
    ("global_metallicity", "not_detected", "not_detected"),
])  # fmt: skip
def test_state_is_the_one_the_product_reports(folders, stage, state, expected):
    complete(folders[0], "sp2", ["H"], **{stage: state})
    found = states_of(collect_status(folders[0], [("sp2", "H")], folders[1]), "sp2")
    (band,) = [band for name, band in found if name == stage]
    assert found[stage, band] == expected
    assert expected in STATES
    assert {value for key, value in found.items() if key[0] != stage} == {"done"}


def test_state_that_has_a_translation_keeps_its_own_name_as_reason(folders):
    complete(folders[0], "sp2", ["H"], gradient="too_few_annuli")
    (row,) = [row for row in collect_status(folders[0], [("sp2", "H")], folders[1]) if row["stage"] == "gradient"]
    assert row["reason"] == "too_few_annuli"


def test_failure_blocks_what_needs_it_and_no_other_galaxy(folders):
    results, logs = folders
    complete(results, "sp1", ["YJ"], until="lines")
    product(results, "ingest", "sp1", "H")
    product(results, "lines", "sp1", "H")
    complete(results, "sp2", ["H"])
    path = log(logs, "lines", "sp1_YJ", "INFO: lines sp1 YJ\nERROR: sp1 YJ: cube.fits has no wavelength axis.\n")
    table = collect_status(results, OBSERVATIONS, logs)
    found = states_of(table, "sp1")
    assert found["lines", "YJ"] == "failed"
    assert found["lines", "H"] == found["ingest", "YJ"] == "done"
    for stage in ("align", "lens", "source", "global_metallicity", "metallicity_map", "gradient", "page"):
        assert found[stage, ""] == "blocked"
    assert set(states_of(table, "sp2").values()) == {"done"}
    (row,) = [row for row in table if row["state"] == "failed"]
    assert (row["reason"], row["log"]) == ("sp1 YJ: cube.fits has no wavelength axis.", path)
    assert (
        next(row for row in table if row["stage"] == "align" and row["galaxy"] == "sp1")["reason"] == "needs lines YJ"
    )


def test_text_of_a_failure_names_sentence_log_and_what_is_not_affected(folders):
    results, logs = folders
    complete(results, "sp2", ["H"])
    path = log(logs, "ingest", "sp1_H", "ERROR: sp1 H: the cube is truncated.\n")
    text = format_failures(collect_status(results, OBSERVATIONS, logs))
    assert text.startswith("1 job failed:")
    assert "the cube is truncated." in text and path in text
    assert "Not done because of that:\n  sp1  lines H, quality, align" in text
    assert text.endswith("1 other galaxy is not affected.")


def test_job_that_died_without_a_word_is_named_when_snakemake_knows_it(folders):
    results, logs = folders
    path = log(logs, "ingest", "sp2_H", "INFO: ingest sp2 H\n")
    arguments = (results, [("sp2", "H")], logs)
    assert states_of(collect_status(*arguments), "sp2")["ingest", "H"] == "not_run"
    job = {"rule": "ingest", "galaxy": "sp2", "band": "H", "log": path}
    table = collect_status(*arguments, failed=[job])
    assert states_of(table, "sp2")["ingest", "H"] == "failed"
    assert "without saying why" in table[0]["reason"]


def test_a_job_that_is_no_stage_of_a_galaxy_is_named(folders):
    results, logs = folders
    complete(results, "sp2", ["H"])
    path = log(logs, "tables", "table2", "ERROR: tables: there is no room on the disk.\n")
    job = {"rule": "tables", "galaxy": "", "band": "", "log": path}
    table = collect_status(results, [("sp2", "H")], logs, failed=[job])
    (row,) = [row for row in table if row["state"] == "failed"]
    assert (row["galaxy"], row["stage"], row["log"]) == ("", "tables", path)
    assert row["reason"] == "tables: there is no room on the disk."
    text = format_failures(table)
    assert "  the survey  tables" in text
    assert text.endswith("\n1 galaxy is not affected.")


def test_old_error_does_not_count_once_the_product_is_there(folders):
    complete(folders[0], "sp2", ["H"])
    log(folders[1], "lines", "sp2_H", "ERROR: sp2 H: an old one\n")
    assert set(states_of(collect_status(folders[0], [("sp2", "H")], folders[1]), "sp2").values()) == {"done"}


def test_failed_simulation_of_a_lens_is_followed_to_its_galaxies_only(folders):
    results, logs = folders
    log(logs, "simulate_lens", "ms2137", "ERROR: ms2137: bad parameters\n")
    complete(results, "sp1", ["YJ", "H"], until="align")
    product(results, "align", "sp1")
    complete(results, "sp2", ["H"])
    table = collect_status(results, OBSERVATIONS, logs, lenses={"sp1": "ms2137", "sp2": "none"})
    found = states_of(table, "sp1")
    assert (found["simulate_lens", ""], found["align", ""], found["lens", ""]) == ("failed", "done", "blocked")
    assert set(states_of(table, "sp2").values()) == {"done"}


@pytest.mark.parametrize(("name", "content"), [("gradient.ecsv", b"not a table"), ("lens.fits", b"not FITS")])
def test_damaged_product_has_failed(folders, name, content):
    complete(folders[0], "sp2", ["H"])
    (folders[0] / "galaxies/sp2" / name).write_bytes(content)
    found = states_of(collect_status(folders[0], [("sp2", "H")], folders[1]), "sp2")
    assert found[name.split(".")[0], ""] == "failed"


def test_table_is_the_same_bytes_each_time(folders, tmp_path):
    complete(folders[0], "sp2", ["H"])
    for name in ("one.ecsv", "two.ecsv"):
        write_status(collect_status(folders[0], OBSERVATIONS, folders[1]), tmp_path / name)
    assert (tmp_path / "one.ecsv").read_bytes() == (tmp_path / "two.ecsv").read_bytes()
    assert len(Table.read(tmp_path / "one.ecsv", format="ascii.ecsv")) == 2 * len(NAMES) + 2

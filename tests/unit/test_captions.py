"""What captions say of input and settings."""

from pathlib import Path

import pytest
import yaml
from survey_runs import ROOT, write_survey

from klever.config.loading import load_survey
from klever.publish.captions import caption_note, caption_notes, input_grade


def survey_of(directory, config, simulated=("sp1", "sp3")):
    write_survey(directory, {"sp1": "none", "sp3": "none"}, config)
    table = Path(directory) / "config/observations.tsv"
    header, *rows = table.read_text().splitlines()
    column, cells = header.split("\t").index("cube"), [row.split("\t") for row in rows]
    for row in cells:
        if row[0] not in simulated:
            row[column] = f"{row[0]}.fits"
            (Path(directory) / row[column]).touch()
    table.write_text("\n".join([header, *("\t".join(row) for row in cells)]) + "\n")
    return load_survey(yaml.safe_load(config) or {}, directory, ROOT / "resources", ROOT / "workflow/schemas")


def test_settings_are_those_of_the_survey(tmp_path):
    notes = caption_notes(
        survey_of(
            tmp_path, "lines: {smoothing_fwhm: 0.7}\nmetallicity: {calibration: C17, log_oh_range: [8.3, 8.85]}\n"
        )
    )
    assert "smoothed to 0.7 arcsec" in notes["stages"]["lines"]
    assert "calibration C17" in notes["stages"]["gradients"]
    assert "calibration C17" in notes["stages"]["properties"]
    assert notes["own"] == {}


def test_a_galaxy_names_only_the_settings_that_differ(tmp_path):
    config = "overrides: {sp3: {lines: {smoothing_fwhm: 0.6, detection_snr: 3.0}}}\n"
    notes = caption_notes(survey_of(tmp_path, config))
    assert notes["own"] == {"sp3": "lines.smoothing_fwhm = 0.6"}
    assert caption_note(notes, "lines", "sp3").endswith("Of its own: lines.smoothing_fwhm = 0.6.")
    assert "sp3" not in caption_note(notes, "lines", "sp1")
    assert caption_note(notes, "lines").endswith("Settings of their own: sp3.")


@pytest.mark.parametrize(("simulated", "grade"), [
    (("sp1", "sp3"), "simulated data"), ((), "the survey's own data"),
    (("sp1",), "1 of 2 galaxies simulated, the others the survey's own data"),
])  # fmt: skip
def test_the_grade_of_the_input(tmp_path, simulated, grade):
    survey = survey_of(tmp_path, "{}\n", simulated)
    notes = caption_notes(survey)
    assert input_grade(survey) == notes["grade"] == grade
    assert notes["simulated"] == bool(simulated)
    assert notes["count"] == "2 galaxies"
    assert notes["grades"] == ({"sp1": "simulated data", "sp3": "the survey's own data"} if len(simulated) == 1 else {})
    assert caption_note(notes, "").startswith(f"Input: {grade}; klever ")
    assert "printed values" in caption_note(notes, "population", printed=True)


def test_the_digest_changes_with_any_setting_table_or_override(tmp_path):
    configs = ("{}\n", "lens: {seed: 1}\n", "overrides: {sp1: {lens: {seed: 1}}}\n")
    digests = [caption_notes(survey_of(tmp_path / str(i), text))["digest"] for i, text in enumerate(configs)]
    digests.append(caption_notes(survey_of(tmp_path / "own", "{}\n", ()))["digest"])
    assert len(set(digests)) == 4
    assert caption_notes(survey_of(tmp_path / "again", "{}\n"))["digest"] == digests[0]

"""The audit finds what is known of the printed tables, can fail, and says what is wrong with a claim."""

import dataclasses

import numpy as np
import pytest
import yaml
from population_mocks import RESOURCES, evidence, printed_survey

from klever.audit.claims import Claim, read_claims
from klever.audit.page import audit_page
from klever.audit.registry import STATISTICS, Result, Untestable
from klever.audit.verdicts import audit, evaluate, verdict
from klever.errors import InputError
from klever.population.survey_table import SurveyTable

CLAIMS = RESOURCES / "claims.yaml"


def value(name, survey=None, **arguments):
    return STATISTICS[name](evidence(survey), **arguments).value


@pytest.fixture(scope="module")
def rows():
    regression = {"slope": 0.01, "slope_error": 0.002, "significance": 5.0, "rms": 0.04, "spearman_rho": 0.3,
                  "spearman_rho_error": 0.1, "spearman_p": 1e-5, "n": 186, "note": ""}  # fmt: skip
    trends = ("log_ssfr", "log_mstar", "delta_ms")
    significance = [regression | {"trend": name, "sample": "all", "method": "huber"} for name in trends]
    run = dataclasses.replace(printed_survey(), origin="simulated")
    found = audit(read_claims(CLAIMS), evidence(significance=significance), evidence(run, significance))
    return {row["id"]: row for row in found}


def test_what_is_known_of_the_printed_tables(rows):
    assert value("share_shallower", limit=0.05) == pytest.approx(100 * 24 / 28)
    assert (value("gradients_of_sign", sign="negative"), value("gradients_of_sign", sign="positive")) == (7, 21)
    assert value("share_flat", sigma=1) == pytest.approx(100 * 18 / 28)
    assert value("share_apertures_agree", error="joint") == pytest.approx(100 * 26 / 28)
    assert value("magnifications_agree", errors="larger") == 15
    assert STATISTICS["magnifications_agree"](evidence(), errors="larger").note.startswith("15 of 29")
    assert sorted(value("inverted_gradients", sigma=3)) == ["ph3912", "ph6532", "sp6"]
    assert sorted(value("inverted_gradients", sigma=3, above=True)) == ["ph3912", "sp6"]  # ph6532 is at exactly 3
    names = ("shallow-050", "negative", "positive", "flat-1", "flat-3", "inverted-names", "mu-agree", "sp15")
    verdicts = {name: rows[name]["verdict"] for name in names}
    agreeing = {name for name, found in verdicts.items() if found == "agrees"}
    assert agreeing == {"shallow-050", "flat-3", "inverted-names"}
    assert set(verdicts.values()) == {"agrees", "differs"}


def test_counts_by_hand_of_the_main_sequence_at_high_redshift():
    # Table 3, z > 1.8: only GLASS_01845 (SFR 6.85, log M 9.83) is below log SFR = 0.58 log M - 4.65 = 1.051
    assert np.log10(6.85) < 0.58 * 9.83 - 4.65
    assert value("main_sequence_count", relation="shivaei15", window="high", side="under") == 1
    assert value("main_sequence_count", relation="shivaei15", window="high", side="total") == 10  # MACS0451 in two
    found = STATISTICS["main_sequence_count"](evidence(), relation="kashino19", window="low", side="within")
    assert "could not be had" in found.untested


def test_claims_that_rest_on_absent_samples_cannot_be_tested(rows):
    for name in ("ssfr-slope", "mass-rho", "offset-rho"):
        assert rows[name]["verdict"] == "cannot be tested" and "Troncoso+2014" in rows[name]["verdict_note"]
    assert rows["ssfr-slope"]["from_tables"] == "0.0100"  # shown all the same
    assert rows["variation"]["from_tables"] == "-" and "maps" in rows["variation"]["verdict_note"]


def test_a_simulated_run_is_called_simulated(rows):
    verdicts = {row["run_verdict"] for row in rows.values()}
    assert verdicts <= {"simulated: agrees", "simulated: differs", "simulated: within its error", "cannot be tested"}
    assert rows["ssfr-arithmetic"]["run_verdict"] == "cannot be tested"  # takes nothing from the run
    page = audit_page(list(rows.values()), "simulated")
    assert "SIMULATED DATA" in page and "SIMULATED DATA" not in audit_page(list(rows.values()), "observed")


def claim(**changes):
    entry = {"id": "a", "section": "4", "claim": "x", "printed": "86", "numbers": (86.0,), "tolerance": 0.5,
             "compare": "equal", "statistic": "sample_size"}  # fmt: skip
    return Claim(**(entry | changes))


@pytest.mark.parametrize(
    ("changes", "result", "expected"),
    [
        ({}, Result(85.71), "agrees"),
        ({}, Result(85.49), "differs"),
        ({}, Result(86.51), "differs"),
        ({"compare": "at_least", "tolerance": 0}, Result(86.0), "agrees"),
        ({"compare": "at_least", "tolerance": 0}, Result(85.99), "differs"),
        ({"compare": "at_most", "tolerance": 0}, Result(86.01), "differs"),
        ({"compare": "between", "numbers": (10.0, 25.0)}, Result(25.4), "agrees"),
        ({"compare": "between", "numbers": (10.0, 25.0)}, Result(9.4), "differs"),
        ({"compare": "names", "printed": "b, a"}, Result(["a", "b"]), "agrees"),
        ({"compare": "names", "printed": "b, a"}, Result(["a"]), "differs"),
        ({"compare": "names", "printed": "b, a"}, Result(["a", "b", "c"]), "differs"),
        ({}, Result(86.0, untested="because"), "cannot be tested"),
        ({}, "no galaxy", "cannot be tested"),
    ],
)
def test_verdicts(changes, result, expected):
    assert verdict(claim(**changes), result)[0] == expected


def test_a_sampling_error_counts_for_a_run_only():
    result = Result(80.0, error=4.0)
    assert verdict(claim(), result)[0] == "differs"
    assert verdict(claim(), result, sampling_error=True)[0] == "within its error"
    assert verdict(claim(), Result(70.0, error=4.0), sampling_error=True)[0] == "differs"


def test_verdicts_change_with_the_table():
    changed = [dict(row) for row in printed_survey().rows]
    for row in changed:
        if row["id"] == "sp2":
            row["slope"] = 0.007  # one negative gradient less: what the text says
    survey = SurveyTable("published", changed, printed_survey().sample, printed_survey().detections)
    assert (value("gradients_of_sign", survey, sign="negative"), value("number_of_gradients", survey)) == (6, 28)


def test_an_empty_survey_cannot_be_tested():
    empty = SurveyTable("observed", [], [])
    for entry in read_claims(CLAIMS):
        if entry.statistic in ("sample_size", "trend") or hasattr(STATISTICS[entry.statistic], "constant"):
            continue
        result = evaluate(entry, evidence(empty))
        assert isinstance(result, str) or result.value == [], entry.id
    with pytest.raises(Untestable):
        value("detection_rate", empty, line="Halpha")


def test_shipped_claims_cover_the_paper_and_each_statistic_is_used():
    claims = read_claims(CLAIMS)
    sections = {part.strip() for entry in claims for part in entry.section.split(",")}
    assert {"Abstract", "3.1", "4.1", "4.2", "4.3", "4.4", "4.5", "5", "A"} <= sections
    assert set(STATISTICS) == {entry.statistic for entry in claims}
    assert next(entry for entry in claims if entry.id == "offset-rho").tolerance == pytest.approx(0.005)


GOOD = {"id": "a", "section": "4", "claim": "x", "printed": "3", "statistic": "sample_size"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([GOOD | {"statistic": "sample_sise"}], "no statistic 'sample_sise'; did you mean sample_size"),
        ([GOOD | {"statistic": "share_flat"}], "share_flat cannot be called so .*sigma"),
        ([GOOD | {"arguments": {"sigma": 3}}], "sample_size cannot be called so .*sigma"),
        ([GOOD | {"arguments": [3]}], "arguments must be a mapping"),
        ([GOOD, GOOD], "claim 2: the id 'a' is there twice"),
        ([{key: item for key, item in GOOD.items() if key != "printed"}], r"claim 1 \(a\): printed is missing"),
        ([GOOD | {"printed": 3}], "printed is 3; write a number in quotes"),
        ([GOOD | {"printed": "three"}], "write a number in quotes"),
        ([GOOD | {"compare": "between"}], "write two numbers in quotes"),
        ([GOOD | {"compare": "atleast"}], "compare is 'atleast'; did you mean at_least"),
        ([GOOD | {"tolerance": -1}], "tolerance is -1"),
        ([GOOD | {"toleranse": 1}], "unknown key 'toleranse'; did you mean tolerance"),
        (["x"], "claim 1 is no mapping"),
        ({}, "must be a list of claims"),
    ],
)
def test_mistakes_in_claims_are_told(tmp_path, content, message):
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=message):
        read_claims(path)


def test_an_argument_that_a_statistic_does_not_know_names_the_claim():
    wrong = claim(statistic="gradients_of_sign", arguments={"sign": "up"})
    with pytest.raises(InputError, match=r"claim a: .*gradients_of_sign"):
        evaluate(wrong, evidence())


def test_the_page_needs_no_network_and_escapes(rows):
    row = dict(next(iter(rows.values()))) | {"claim": "<script>alert(1)</script>"}
    page = audit_page([row], "observed")
    assert "<script>alert" not in page and "&lt;script&gt;" in page
    assert "http" not in page.replace("<!DOCTYPE html>", "") and "src=" not in page and "@import" not in page

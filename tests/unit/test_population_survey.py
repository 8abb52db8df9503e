"""The same table from the run and from the printed tables; figures and regressions of both."""

import dataclasses

import numpy as np
import pytest
from population_mocks import COSMOLOGY, RESOURCES, literature, printed_survey

from klever.errors import InputError
from klever.population.evolution_figure import draw_evolution, sample_box
from klever.population.main_sequence_figure import draw_main_sequence
from klever.population.run_survey import run_survey
from klever.population.significance_table import SIGNIFICANCE_COLUMNS, read_significance
from klever.population.survey_table import SurveyTable, blank_row, read_survey, write_survey
from klever.population.trends import significance_rows, trend_sample
from klever.population.trends_figure import draw_trends
from klever.row_tables import Column, write_table

SETTINGS = {"minimum_redshift": 0.8, "estimator": "huber", "bootstrap": 10, "walkers": 16, "steps": 60, "burn_in": 20,
            "seed": 1}  # fmt: skip


def test_the_printed_tables_are_read_whole():
    survey = printed_survey()
    assert len(survey.sample) == 42 and len(survey.having("slope")) == 28 and len(survey.rows) == 44
    north = survey.row("macs0451_north")
    assert (north["z"], north["lens"], north["sfr"], north["slope"]) == (2.014, "macs0451", 56.08, -0.011)
    assert survey.row("horseshoe")["z"] == 2.383
    assert survey.detections["Halpha"] == {"detected": 35, "galaxies": 37}
    assert np.isnan(survey.row("sp9")["log_mstar"])


def test_a_survey_is_written_and_read_back(tmp_path):
    path = tmp_path / "population.ecsv"
    write_survey(path, printed_survey())
    again = read_survey(path)
    assert (again.origin, again.sample, again.detections) == (
        "published",
        printed_survey().sample,
        printed_survey().detections,
    )
    for before, after in zip(printed_survey().rows, again.rows, strict=True):
        for name, old in before.items():
            assert after[name] == old or (np.isnan(old) and np.isnan(after[name])), name
    write_table(path, [], [Column("id", str, "x")], {})
    with pytest.raises(InputError, match="has no column"):
        read_survey(path)


@pytest.fixture
def tables(tmp_path):
    """Tables of a run: the Horseshoe in two pointings, a pair, and a galaxy without a gradient."""
    place = [{"galaxy": "horseshoe_west", "lens": "horseshoe", "ra": 1.0, "dec": 1.0, "z": 2.38},
             {"galaxy": "horseshoe_full", "lens": "horseshoe", "ra": 1.0, "dec": 1.0, "z": 2.38},
             {"galaxy": "macs0451", "lens": "macs0451", "ra": 2.0, "dec": 1.0, "z": 2.01},
             {"galaxy": "sp10", "lens": "ms2137", "ra": 3.0, "dec": 1.0, "z": 3.08}]  # fmt: skip
    texts, numbers = ("galaxy", "lens", "region", "resolved", "diagnostics", "line"), ("detected", "galaxies")

    def write(name, rows):
        columns = dict.fromkeys(key for row in rows for key in row)
        kinds = {key: str if key in texts else int if key in numbers else float for key in columns}
        write_table(tmp_path / name, rows, [Column(key, kind, key) for key, kind in kinds.items()], {})
        return tmp_path / name

    properties = [
        {"galaxy": "horseshoe_west", "region": "all", "sfr": 26.2, "sfr_error": 4.3, "log_mstar": 10.2, "log_oh": 8.5,
         "mu_halpha": 12.0, "mu_halpha_error": 0.2, "mu_maps": np.nan, "log_mstar_error_minus": 0.1,
         "log_mstar_error_plus": 0.2, "mu_lens_models": 0.1, "fibre_fraction": 0.7},
        {"galaxy": "horseshoe_full", "region": "all", "sfr": 54.6, "sfr_error": 12.0, "log_mstar": np.nan,
         "log_oh": 9.9, "mu_halpha": 14.0, "mu_halpha_error": 0.3, "mu_maps": np.nan},
        {"galaxy": "macs0451", "region": "north", "sfr": 56.0, "sfr_error": 6.0, "log_mstar": 9.5, "log_oh": 8.2,
         "mu_halpha": 9.0, "mu_halpha_error": 1.0, "mu_maps": 9.0},
    ]  # fmt: skip
    gradient = {"slope": 0.01, "slope_error": 0.02, "resolved": "resolved", "diagnostics": "R3,N2"}
    regions = (("horseshoe_west", "all"), ("macs0451", "north"))
    gradients = [{"galaxy": galaxy, "region": region} | gradient for galaxy, region in regions]
    rates = [{"line": "Halpha", "detected": 3, "galaxies": 4}]
    return [write("table2.ecsv", place), write("table3.ecsv", properties), write("table4.ecsv", gradients),
            write("tableA1.ecsv", gradients[:1]), write("rates.ecsv", rates)]  # fmt: skip


def test_the_run_gives_the_same_table(tables):
    survey = run_survey(*tables, True, COSMOLOGY)
    assert survey.origin == "simulated" and len(survey.sample) == 3
    assert [row["id"] for row in survey.rows] == ["horseshoe", "macs0451_north"]
    row = survey.row("horseshoe")
    # metallicity and mass of the western arc, SFR and magnification of both pointings, as in the paper
    assert (row["sfr"], row["mu_halpha"], row["log_oh"], row["log_mstar"]) == (54.6, 14.0, 8.5, 10.2)
    assert (row["sfr_error_minus"], row["log_mstar_error_plus"], row["fibre_fraction"]) == (12.0, 0.2, 0.7)
    assert row["diagnostics"] == "R3+N2" and row["slope_circular"] == 0.01
    assert survey.systematics == {"horseshoe": 0.1} and survey.detections["Halpha"]["detected"] == 3
    assert row["delta_ms"] == pytest.approx(
        np.log10(54.6) - ((0.84 - 0.026 * row["age"]) * 10.2 - (6.51 - 0.11 * row["age"]))
    )
    assert set(row) == set(blank_row("x")) == set(printed_survey().rows[0])


def test_literature_below_the_minimum_redshift_stays_out_of_the_trends():
    points = trend_sample("log_ssfr", printed_survey(), literature(), 0.8, COSMOLOGY)
    assert len(points.x) == 28 + 153 + 4
    assert set(points.reference) == {"", "Wuyts+2016", "Jones+2013"}
    later = trend_sample("log_ssfr", printed_survey(), literature(), 2.0, COSMOLOGY)
    assert len(later.select("literature").x) < len(points.select("literature").x)
    assert len(later.select("survey").x) == 28


@pytest.fixture(scope="module")
def significance():
    return significance_rows(printed_survey(), literature(), SETTINGS, COSMOLOGY)


def test_regressions_of_the_printed_tables(significance, tmp_path):
    rows = {(row["trend"], row["sample"], row["method"]): row for row in significance}
    assert len(rows) == 24
    mass, ssfr = rows["log_mstar", "all", "huber"], rows["log_ssfr", "all", "huber"]
    assert mass["slope"] < 0 < ssfr["slope"] and mass["spearman_rho"] < 0 < ssfr["spearman_rho"]
    assert ssfr["n_survey"] == 28 and ssfr["paper_rho"] == 0.29
    assert rows["log_mstar", "survey", "huber"]["n_exact_x"] == 0
    write_table(tmp_path / "s.ecsv", significance, SIGNIFICANCE_COLUMNS, {})
    again = read_significance(tmp_path / "s.ecsv")
    assert [row["slope"] for row in again] == [row["slope"] for row in significance]


def test_a_survey_of_few_galaxies_says_so_instead_of_failing():
    few = SurveyTable("observed", printed_survey().rows[5:8], printed_survey().sample[:3])
    rows = significance_rows(few, literature(), SETTINGS, COSMOLOGY)
    alone = [row for row in rows if row["sample"] == "survey"]
    assert all("at least 5" in row["note"] and "slope" not in row for row in alone)
    draw_trends(few, literature(), rows, SETTINGS, COSMOLOGY)


def texts(figure):
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return " ".join([text.get_text() for text in figure.texts] + legends)


@pytest.mark.parametrize("origin", ["published", "simulated", "observed"])
def test_figures_say_where_the_numbers_come_from(origin, significance):
    survey = dataclasses.replace(printed_survey(), origin=origin)
    expected = {"published": "PUBLISHED VALUES", "simulated": "SIMULATED DATA", "observed": "OWN DATA"}
    for figure in (
        draw_evolution(survey, literature(), COSMOLOGY),
        draw_trends(survey, literature(), significance, SETTINGS, COSMOLOGY),
        draw_main_sequence(survey, literature(), significance, SETTINGS, COSMOLOGY),
    ):
        text = texts(figure)
        assert [name for name in expected.values() if name in text] == [expected[origin]]
        assert "Troncoso 2014" in text  # what could not be had is named


def test_no_point_without_a_source_is_drawn():
    figure = draw_evolution(printed_survey(), literature(), COSMOLOGY)
    named = texts(figure)
    for name, entry in literature().samples.items():
        drawn = literature().of(name) or any(row["reference"] == name for row in literature().averages)
        assert (name.replace("+", " ") in named) == bool(drawn and entry["drawn"] != "no"), name


def test_a_box_holds_two_thirds_of_a_sample():
    random = np.random.default_rng(2)
    rows = [
        {"z": z, "slope": slope}
        for z, slope in zip(random.uniform(1, 2, 900), random.normal(-0.02, 0.03, 900), strict=True)
    ]
    z_low, z_high, low, high = sample_box(rows, 1.0, 2.0)
    assert (low, high) == pytest.approx((-0.05, 0.01), abs=0.004)
    assert (z_low, z_high) == pytest.approx((1.159, 1.841), abs=0.04)
    assert sample_box(rows[:2], 1.0, 2.0) is None


def test_shipped_claims_and_literature_are_where_the_rules_look():
    assert (RESOURCES / "claims.yaml").is_file() and (RESOURCES / "literature/scaling_relations.json").is_file()

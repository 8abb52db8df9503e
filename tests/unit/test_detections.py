"""Table 2 and detection rates: what counts as detected, redshift, notation, intervals, published values, LaTeX."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from detection_tables import write_detection_tables
from klever.errors import InputError
from klever.maps import Flag
from klever.publish.detection_rates import detection_rates, published_rates, wilson_interval
from klever.publish.detections import (
    band_columns,
    detected_notation,
    galaxy_rows,
    published_sample,
    read_lines,
    redshift,
    sexagesimal,
)
from klever.publish.table2_latex import table2_latex
from klever.row_tables import Column, write_table

RESOURCES = Path(__file__).parents[2] / "resources"
PUBLISHED = RESOURCES / "published"
GROUPS = {"OII": "oii", "OIII5007": "oiii", "Hbeta": "oiii", "SIII9531": "siii"}
KINDS = {"galaxy": str, "band": str, "line": str, "group": str, "detected": bool, "flags": int}


def line(name, detected=True, z=1.5, z_error=1e-5, flags=0, snr=20.0, **more):
    group = GROUPS.get(name, "halpha")
    return {
        "line": name,
        "group": group,
        "snr": snr,
        "detected": detected,
        "z": z,
        "z_error": z_error,
        "flags": flags,
    } | more


def entry(galaxy, bands=("YJ", "H"), z=1.5, ra=10.0, dec=-20.0, **more):
    return {"galaxy": galaxy, "name": galaxy, "lens": "ms2137", "ra": ra, "dec": dec, "z": z, "simulated": True,
            "bands": dict.fromkeys(bands, "KMOS")} | more  # fmt: skip


def write_lines(path, galaxy, band, rows):
    names = ("galaxy", "band", "line", "group", "snr", "detected", "z", "z_error", "flags")
    columns = [Column(name, KINDS.get(name, float), name) for name in names]
    place = {"galaxy": galaxy, "band": band}
    write_table(path, [place | row for row in rows], columns, place)
    return path


def test_rows_of_lines_that_are_not_in_the_list_do_not_count(tmp_path):
    rows = [line("Halpha"), line("Halpha_broad"), line("SII", z=np.nan)]
    path = write_lines(tmp_path / "lines.ecsv", "sp1", "H", rows)
    galaxy, band, rows = read_lines(path, {"Halpha", "SII"})
    assert (galaxy, band, [row["line"] for row in rows]) == ("sp1", "H", ["Halpha", "SII"])
    assert np.isnan(rows[1]["z"])


def test_a_band_without_lines_is_observed_with_nothing_detected(tmp_path):
    galaxy, band, rows = read_lines(write_lines(tmp_path / "lines.ecsv", "sp1", "K", []), {"Halpha"})
    assert (galaxy, band, rows, detected_notation(rows)) == ("sp1", "K", [], "-")


def test_a_table_without_galaxy_is_an_input_error(tmp_path):
    path = write_lines(tmp_path / "lines.ecsv", "sp1", "H", [])
    path.write_text(path.read_text().replace("{galaxy: sp1}", "{object: sp1}"))
    with pytest.raises(InputError, match=r"lines\.ecsv does not name its galaxy"):
        read_lines(path, set())


def test_each_group_counts_once_in_the_redshift_with_its_inverse_variance():
    rows = [line("Halpha", z=1.5, z_error=1e-5, band="H"), line("NII6584", z=1.5, z_error=1e-5, band="H"),
            line("OIII5007", z=1.50003, z_error=2e-5, band="YJ")]  # fmt: skip
    z, error, groups = redshift(rows)
    assert z == pytest.approx(1.5 + 3e-5 / 5, abs=1e-12)
    assert error == pytest.approx(1 / np.sqrt(1e10 + 0.25e10) * np.sqrt(9 / 5), rel=1e-9)  # chi2 = 3e-5^2 / (5e-10)
    assert groups == ["H:halpha", "YJ:oiii"]


def test_a_faint_group_far_from_the_most_significant_one_does_not_move_the_redshift():
    bright, faint = line("Halpha", band="H", snr=30.0), line("SIII9531", band="K", snr=3.3, z_error=5e-5)
    assert redshift([faint | {"z": 1.5015}, bright]) == (pytest.approx(1.5), pytest.approx(1e-5), ["H:halpha"])
    assert redshift([faint | {"z": 1.5001}, bright])[2] == ["K:siii", "H:halpha"]
    assert redshift([faint | {"z": 1.5015, "snr": 6.0}, bright])[2] == ["K:siii", "H:halpha"]
    # One sure line makes the group sure, whatever the order of its lines.
    rows = [faint | {"z": 1.5015, "snr": 6.0}, faint | {"z": 1.5015, "line": "SIII9069"}]
    assert redshift([*rows, bright])[2] == redshift([*rows[::-1], bright])[2] == ["K:siii", "H:halpha"]
    # Alone it is all there is.
    assert redshift([faint])[2] == ["K:siii"]


def test_the_error_of_the_redshift_covers_the_truth():
    random = np.random.default_rng(3)
    errors, pulls = np.array([1e-5, 2e-5, 4e-5]), []
    for _ in range(2000):
        measured = zip(1.5 + errors * random.normal(size=3), errors, "JHK", strict=True)
        z, error, _ = redshift([line("Halpha", z=value, z_error=error, band=band) for value, error, band in measured])
        pulls.append((z - 1.5) / error)
    # Errors are never made smaller, so the interval covers a little more than 68.3 %.
    assert 0.683 < np.mean(np.abs(pulls) < 1) < 0.80
    assert abs(np.mean(pulls)) < 4 / np.sqrt(2000)


@pytest.mark.parametrize(
    "row",
    [line("Halpha", detected=False), line("Halpha", flags=int(Flag.VELOCITY_BOUND)), line("Halpha", z=np.nan),
     line("Halpha", z_error=0.0), line("Halpha", z_error=np.nan)],
)  # fmt: skip
def test_what_is_no_measurement_gives_the_catalogue_redshift(row):
    lines = {("sp1", "YJ"): [], ("sp1", "H"): [row]}
    (found,) = galaxy_rows(lines, [entry("sp1", z=1.393)], {})
    assert (found["z"], found["z_source"], found["z_groups"]) == (1.393, "catalogue", None)
    assert np.isnan(found["z_error"])


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["SII6731", "Halpha", "NII6584", "SII"], "Ha+[NII]+[SII]"), (["Hbeta", "OIII5007"], "[OIII]+Hb"),
        (["SII"], "-"), (["OII"], "[OII]"), (["OII3726"], "[OII]"), (["SIII9531", "Brgamma"], "[SIII]+Brgamma"),
        ([], "-"),
    ],
)  # fmt: skip
def test_notation_is_the_papers(names, text):
    # The blend of [S II] alone is no detection: the paper wants one of the lines.
    assert detected_notation([*map(line, names), line("OIII4959", detected=False)]) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((325.075125, 3, True), "21:40:18.030"), ((-23.643853, 2), "-23:38:37.87"), ((-0.001, 2), "-00:00:03.60"),
        ((359.9999999, 3, True), "00:00:00.000"), ((29.9999999, 2), "+30:00:00.00"), ((10.5, 0), "+10:30:00"),
    ],
)  # fmt: skip
def test_sexagesimal(arguments, text):
    assert sexagesimal(*arguments) == text


def test_sexagesimal_agrees_with_astropy_and_the_papers_table():
    import astropy.units as u
    from astropy.coordinates import Angle

    for degrees in np.random.default_rng(1).uniform(-90, 90, 50):
        expected = Angle(degrees, u.deg).to_string(unit=u.deg, sep=":", precision=2, pad=True, alwayssign=True)
        assert sexagesimal(degrees, 2) == expected
    rows = Table.read(PUBLISHED / "table2_sample.csv", format="ascii.csv")
    survey = Table.read(RESOURCES.parent / "config/galaxies.tsv", format="ascii.tab")
    ours = {row["galaxy"]: sexagesimal(row["ra"], 3, True) for row in survey}
    for row in rows[4:]:
        assert abs(float(ours[row["id"]][6:]) - float(row["ra_hms"].split(":")[2])) < 0.0011


def test_published_sample_and_not_observed_bands():
    sample = published_sample(PUBLISHED / "table2_sample.csv")
    assert len(sample) == 43
    assert sample["horseshoe_west"]["lines"] == {"J": None, "H": "[OIII]+Hb", "K": "Ha+[NII]+[SII]"}
    assert sample["sp1"] == {"z": 1.393, "lines": {"J": "[OIII]+Hb", "H": "Ha+[NII]+[SII]", "K": "-"}}


def test_published_rates_are_those_of_the_text():
    rates = {row["line"]: row for row in published_rates(PUBLISHED / "detection_rates.csv")}
    expected = {"Halpha": 92, "OIII5007": 83, "Hbeta": 71, "NII6584": 56, "SII": 53, "OII": 64}
    assert {name: row["published_rate"] for name, row in rates.items() if name != "SIII9531"} == expected
    assert np.isnan(rates["SIII9531"]["published_rate"]) and rates["SIII9531"]["published_detected"] == 7
    assert rates["OII"]["z_above"] == 2 and np.isnan(rates["Halpha"]["z_above"])


@pytest.mark.parametrize("reader", [published_sample, published_rates])
def test_broken_published_files_are_input_errors(reader, tmp_path):
    (tmp_path / "a.csv").write_text("id,line\nsp1,Halpha\n")
    for path in (tmp_path / "a.csv", tmp_path / "none.csv"):
        with pytest.raises(InputError, match="needs the columns"):
            reader(path)


def test_wilson_interval():
    # Roots of (p - share)^2 = sigma^2 p (1 - p) / n, solved apart.
    for detected, number in [(0, 5), (1, 7), (9, 13), (34, 37), (5, 5)]:
        share = detected / number
        roots = np.sort(np.roots([1 + 1 / number, -2 * share - 1 / number, share**2]))
        np.testing.assert_allclose(wilson_interval(detected, number), roots, atol=1e-9)
    low, high = wilson_interval(3, 10)
    assert (1 - high, 1 - low) == pytest.approx(wilson_interval(7, 10))
    assert np.isnan(wilson_interval(0, 0)).all()


def test_wilson_interval_covers_68_per_cent():
    random = np.random.default_rng(8)
    truth = random.uniform(0.2, 0.95, 20000)
    ends = np.array([wilson_interval(k, 37) for k in range(38)])[random.binomial(37, truth)]
    assert 0.66 < np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])) < 0.71


def definition(name, any_of, notation, z_above=np.nan):
    return {"line": name, "any_of": set(any_of.split()), "notation": notation, "z_above": z_above,
            "published_rate": 50.0, "published_detected": None, "source": "text"}  # fmt: skip


def test_rates_count_galaxies_where_the_line_is_in_an_observed_band():
    masked = int(Flag.LOW_COVERAGE)
    lines = {
        ("a", "H"): [line("Halpha"), line("SII6717", detected=False, flags=masked), line("SII6731")], ("a", "YJ"): [],
        ("b", "H"): [line("Halpha", detected=False, flags=masked)], ("b", "YJ"): [line("Hbeta")],
        ("c", "H"): [], ("c", "YJ"): [],
    }  # fmt: skip
    galaxies = [entry(name, ra=index, z=z) for index, (name, z) in enumerate([("a", 1.5), ("b", 2.0), ("c", 2.5)])]
    sample = {"a": {"z": 1.5, "lines": {"J": None, "H": "Ha+[SII]", "K": "-"}}}
    wanted = [definition("Halpha", "Halpha", "Ha"), definition("SII", "SII6717 SII6731", "[SII]6717,31"),
              definition("Halpha", "Halpha", "Ha", z_above=2.0), definition("OII", "OII", "[OII]3727,29")]  # fmt: skip
    halpha, sii, distant, oii = detection_rates(lines, galaxies, wanted, sample)
    counts = ("galaxies", "measurable", "detected", "table2_galaxies", "table2_detected")
    assert [halpha[name] for name in counts] == [2, 1, 1, 1, 1]
    assert halpha["rate"] == 50 and halpha["rate_low"] < 50 < halpha["rate_high"]
    assert [sii[name] for name in counts] == [1, 1, 1, 1, 1]
    assert distant["galaxies"] == 0 and np.isnan(distant["rate"])  # b is at, not above, the limit; c shows no Halpha
    assert oii["galaxies"] == 0


def test_pointings_at_the_same_place_are_one_galaxy():
    lines = {("west", "K"): [line("Halpha", detected=False)], ("full", "K"): [line("Halpha")]}
    galaxies = [entry("west", ["K"]), entry("full", ["K"])]
    (rate,) = detection_rates(lines, galaxies, [definition("Halpha", "Halpha", "Ha")], {})
    assert (rate["galaxies"], rate["detected"], rate["rate"]) == (1, 1, 100)
    galaxies[1]["ra"] += 0.01
    (rate,) = detection_rates(lines, galaxies, [definition("Halpha", "Halpha", "Ha")], {})
    assert (rate["galaxies"], rate["detected"]) == (2, 1)


def test_columns_of_bands():
    galaxies = [entry("a", ["optical", "K"]), entry("b", ["YJ", "NIRSPEC"]), entry("c", ["J"])]
    assert band_columns(galaxies) == ["J", "K", "optical", "NIRSPEC"]


def test_missing_lines_are_an_input_error():
    with pytest.raises(InputError, match=r"no lines\.ecsv of sp1, band H"):
        galaxy_rows({("sp1", "YJ"): []}, [entry("sp1")], {})


@pytest.fixture
def survey(tmp_path):
    galaxies = [
        entry("horseshoe_west", ["H", "K"], lens="horseshoe", name="Horseshoe (Western arc)", z=2.383),
        entry("sp1", ra=30.0),
        entry("R2248_LRb_p3_M4_Q3_93_1", ra=31.0, dec=0.5),
        entry("sp99", ra=32.0),
    ]
    paths = []
    for galaxy in galaxies:
        for band in galaxy["bands"]:
            rows = [] if galaxy["galaxy"] == "sp99" else [line("Halpha"), line("NII6584", detected=False)]
            paths.append(write_lines(tmp_path / galaxy["galaxy"] / band / "lines.ecsv", galaxy["galaxy"], band, rows))

    def run(folder, order=1, simulated=True):
        (tmp_path / folder).mkdir()
        outputs = [tmp_path / folder / name for name in ("table2.ecsv", "table2.tex", "detection_rates.ecsv")]
        settings = {"galaxies": [row | {"simulated": simulated} for row in galaxies], "lines": {"detection_snr": 3.0}}
        shipped = RESOURCES / "lines.yaml"
        published = (PUBLISHED / "table2_sample.csv", PUBLISHED / "detection_rates.csv")
        write_detection_tables(paths[::order], [shipped], shipped, *published, *outputs, settings)
        return outputs

    return run


def test_tables_have_units_masks_published_values_and_say_they_are_simulated(survey, caplog):
    with caplog.at_level(logging.INFO, "klever"):
        table2, tex, rates = survey("out")
    table = Table.read(table2)
    assert list(table["galaxy"]) == ["horseshoe_west", "sp1", "R2248_LRb_p3_M4_Q3_93_1", "sp99"]
    assert str(table["ra"].unit) == "deg" and all(table[name].info.description for name in table.colnames)
    assert list(table["lines_J"].mask) == [True, False, False, False] and table["lines_J"][3] == "-"
    assert table["lines_H"][1] == "Ha" and table["published_lines_H"][1] == "Ha+[NII]+[SII]"
    assert table["published_z"][1] == 1.393 and table["published_z"].mask[3]
    assert list(table["z_source"]) == ["lines"] * 3 + ["catalogue"] and table["z_error"].mask[3]
    assert next(iter(table.meta.items())) == ("data", "simulated data") and "simulated" in table.meta["note"]
    rate = Table.read(rates)
    assert rate.meta["data"] == "simulated data" and "denominators" in rate.meta["definition"]
    assert str(rate["rate"].unit) == "%" and rate["rate"][0] == 100 and rate["rate"].mask[1]
    assert tex.read_text().startswith("% simulated data") and r"\textbf{Simulated data.}" in tex.read_text()
    assert "Halpha: detected in 3 of 3 galaxies; the paper's rate is 92 %" in caplog.text and "nan" not in caplog.text


def test_observed_data_are_not_called_simulated(survey):
    table2, tex, rates = survey("out", simulated=False)
    assert Table.read(table2).meta["data"] == Table.read(rates).meta["data"] == "observed data"
    assert "note" not in Table.read(table2).meta and "imulated" not in tex.read_text()


def test_same_inputs_in_any_order_give_the_same_bytes(survey):
    for first, second in zip(survey("one"), survey("two", order=-1), strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_latex_has_the_papers_columns_in_every_row(survey):
    text = survey("out")[1].read_text()
    rows = [row for row in text.splitlines() if row.endswith(r"\\") and "multicolumn" not in row]
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {7}
    assert text.count("{table*}") == 2 and text.count("{") == text.count("}")
    assert r"R2248\_LRb\_p3\_M4\_Q3\_93\_1" in text and r"$1.5000^{c}$" in text and " n/o " in text
    assert r"$-$20:00:00.00 & $1.500000 \pm 0.000007$ & H$\alpha$ & H$\alpha$" in text


def test_a_single_lens_below_a_group_has_a_heading_of_its_own():
    rows = galaxy_rows(
        {(name, "H"): [] for name in "abcd"},
        [entry("a", ["H"], lens="one"), *(entry(name, ["H"], ra=i, lens="m2") for i, name in enumerate("bc")),
         entry("d", ["H"], lens="three")], {},
    )  # fmt: skip
    text = table2_latex(rows, ["H"], False, 3.0)
    assert re.findall(r"\\textit{(\w+)}", text) == ["M2", "THREE"]

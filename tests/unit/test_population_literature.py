"""The literature is complete, has sources, and mistakes in it are told apart."""

import csv
import shutil

import numpy as np
import pytest
import yaml
from population_mocks import LITERATURE, literature, literature_files

from klever.errors import InputError
from klever.population.literature import GRADIENT_COLUMNS, read_literature


def test_every_value_has_a_source_and_a_confidence():
    for row in literature().gradients + literature().averages + literature().models:
        assert row["provenance"].strip() and row["confidence"] in {"high", "medium", "low"}


def test_numbers_of_galaxies_are_those_of_the_sources():
    numbers = {name: len(literature().of(name)) for name in literature().samples}
    assert numbers["Jones+2013"] == 4 and numbers["Leethochawalit+2016"] == 11 and numbers["Wuyts+2016"] == 159
    assert numbers["Carton+2018"] == 84 - 19  # without those the source calls unreliable
    assert numbers["Swinbank+2012"] == 6  # without the one of which two transcriptions disagree


def test_wuyts_slopes_are_converted_and_say_so():
    row = next(row for row in literature().of("Wuyts+2016") if row["object"] == "KMOS3D 5")
    assert row["published_slope"] == -0.050 and row["slope"] == pytest.approx(-0.050 * 0.57)
    assert row["slope_error_plus"] == pytest.approx(0.014 * 0.57)
    assert row["log_sfr"] == pytest.approx(np.log10(21.0), abs=1e-3)
    assert all(row["note"].startswith("converted") for row in literature().of("Wuyts+2016"))
    others = [row for row in literature().gradients if row["reference"] != "Wuyts+2016"]
    assert all(row["conversion"] == 1 for row in others)


def test_no_sample_shares_its_symbol_and_what_is_absent_is_not_drawn():
    known = literature()
    styles = [(entry["marker"], entry["colour"]) for entry in known.samples.values()]
    assert len(set(styles)) == len(styles)
    drawn = {row["reference"] for row in known.used()} | {row["reference"] for row in known.averages}
    assert not drawn & set(known.absent)
    assert all(known.curve(name).size == 0 for name in known.absent)
    assert {"Troncoso+2014", "Stott+2014", "Rupke+2010", "Belfiore+2017"} <= set(known.absent)


def test_the_readme_names_all_columns_and_absent_samples():
    text = (LITERATURE / "README.md").read_text()
    assert all(f"`{name}`" in text for name in GRADIENT_COLUMNS)
    for name in literature().absent:
        assert name.split("+")[0].split(" & ")[0].replace("Molla", "Mollá") in text


def test_curves_are_ordered_and_of_one_transcription():
    z, slope = literature().curve("Gibson+2013 MUGS normal feedback")
    assert np.all(np.diff(z) > 0) and slope[0] == -0.035 and len(z) == 11
    assert literature().curve("Molla+2019").size == 0


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(LITERATURE, tmp_path / "literature")
    return tmp_path / "literature"


def read(folder):
    files = [folder / name for name in ("averages.csv", "models.csv", "samples.yaml")]
    return read_literature(sorted((folder / "gradients").glob("*.csv")), *files)


def change(folder, name, column, value, row=0):
    path = folder / "gradients" / name
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[row][column] = value
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, GRADIENT_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("slope", "abc", r"jones2013.csv, line 2: slope is 'abc'"),
        ("slope", "", "slope is empty"),
        ("slope", "-0.07", "published_slope times conversion is -0.06"),
        ("slope_error_plus", "-0.1", "slope_error_plus is -0.1, but must not be negative"),
        ("z", "nan", "z is 'nan'"),
        ("use", "maybe", "use is 'maybe'"),
        ("confidence", "hihg", "did you mean high"),
        ("provenance", " ", "provenance is empty"),
        ("reference", "Jones+2031", "did you mean Jones"),
        ("object", "S1038", "S1038 of Jones.2013 is also in"),
    ],
)
def test_mistakes_name_file_line_and_column(copy, column, value, message):
    change(copy, "jones2013.csv", column, value)
    with pytest.raises(InputError, match=message):
        read(copy)


def test_a_missing_column_and_a_stray_comma_are_named(copy):
    path = copy / "gradients/yuan2011.csv"
    text = path.read_text()
    path.write_text(text.replace(",provenance,", ",origin,"))
    with pytest.raises(InputError, match="no column provenance"):
        read(copy)
    path.write_text(text.rstrip("\n") + ",more\n")
    with pytest.raises(InputError, match="line 2: more or fewer cells"):
        read(copy)


def test_two_samples_of_one_symbol_and_a_sample_both_there_and_absent_are_refused(copy):
    path = copy / "samples.yaml"
    content = yaml.safe_load(path.read_text())
    content["samples"]["Yuan+2011"] |= {"marker": "s", "colour": "#D55E00"}
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"symbol and colour of"):
        read(copy)
    content["samples"]["Yuan+2011"] |= {"marker": "p"}
    content["absent"]["Yuan+2011"] = {"figures": [8], "reason": "x"}
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"both a sample and absent"):
        read(copy)


def test_a_new_sample_is_one_file_and_one_entry(copy):
    path = copy / "samples.yaml"
    content = yaml.safe_load(path.read_text())
    content["samples"]["New+2030"] = content["samples"]["Yuan+2011"] | {"marker": "$N$"}
    path.write_text(yaml.safe_dump(content))
    row = dict.fromkeys(GRADIENT_COLUMNS, "") | {
        "reference": "New+2030", "object": "a", "z": "2", "slope": "0.1", "published_slope": "0.1", "conversion": "1",
        "use": "yes", "confidence": "high", "provenance": "here",
    }  # fmt: skip
    with (copy / "gradients/new2030.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, GRADIENT_COLUMNS)
        writer.writeheader()
        writer.writerow(row)
    found = read(copy).of("New+2030")
    assert found[0]["slope"] == 0.1 and np.isnan(found[0]["log_mstar"])


def test_shipped_files_are_all_read():
    gradients = literature_files()[0]
    assert len(gradients) == len({row["reference"] for row in literature().gradients})

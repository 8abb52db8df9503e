"""config/README.md says what is true: every key and column is there, and its examples load."""

import re

import pytest
import yaml
from test_config import ROOT, Folder, shipped

README = (ROOT / "config/README.md").read_text()


def blocks(language=""):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def survey(tmp_path):
    return Folder(tmp_path)


def documented_settings():
    """Entries of the table of settings: key path -> text of its default."""
    found = {}
    for keys, defaults in re.findall(r"^\| `([a-z_]+\.[^|]*)\|([^|]*)\|", README, flags=re.MULTILINE):
        names = re.findall(r"`?([A-Za-z_.0-9]+)`", f"`{keys}")
        section = names[0].split(".")[0]
        full = [names[0], *(section + name for name in names[1:])]
        values = re.findall(r"\[.*?\]|\{.*?\}|[^,`\s][^,`]*", defaults.strip())
        found |= dict(zip(full, values if len(full) > 1 else [defaults.strip(" `")], strict=False))
    return found


def test_every_setting_is_documented_with_its_default():
    documented = {key: text for key, text in documented_settings().items() if key.split(".")[0] in shipped()}
    for section, values in shipped().items():
        if section in ("overrides", "exclude", "tables"):
            assert f"`{section}" in README
            continue
        for key, value in values.items():
            assert yaml.safe_load(documented.pop(f"{section}.{key}")) == value, (section, key)
    assert {key.split(".")[0] for key in documented} == {"tables"}


@pytest.mark.parametrize("name", ["galaxies", "observations", "lenses"])
def test_every_column_and_key_is_documented(name):
    schema = yaml.safe_load((ROOT / f"workflow/schemas/{name}.schema.yaml").read_text())
    keys = schema["$defs"]["lens"]["properties"] if name == "lenses" else schema["properties"]
    rows = " ".join(re.findall(r"^\| (`.*?) \|", README, flags=re.MULTILINE))
    assert all(f"`{key}`" in rows for key in keys if key != "origin")


def test_units_are_documented():
    schema = yaml.safe_load((ROOT / "workflow/schemas/observations.schema.yaml").read_text())
    assert all(f"`{unit}`" in README for unit in schema["properties"]["unit"]["examples"])


def test_examples_load(survey, monkeypatch):
    lenses, line_list, own_list, overrides = blocks("yaml")
    (survey.directory / "my_lines.yaml").write_text(line_list)
    table = next(block for block in blocks() if block.startswith("galaxy\t"))
    monkeypatch.setenv("LENSES", "maps")
    monkeypatch.setenv("DATA", "raw")
    survey.touch("raw/abc_H_COMBINED.fits", "cubes/abc1_K.fits", "images/abell370_f160w.fits", "images/sp1_f160w.fits")
    survey.touch("maps/range/a-map001_kappa.fits", "maps/range/a-map001_gamma.fits")
    for kind in ("x-arcsec-deflect", "y-arcsec-deflect", "kappa", "gamma"):
        survey.touch(f"maps/hlsp_frontier_model_abell370_cats_v4_{kind}.fits")
    survey.write("lenses.yaml", lenses)
    galaxies = "galaxy\tname\tlens\tra\tdec\tz\nabc1\tA\tabell370\t39.9\t-1.6\t1.5\nsp1\tB\tnone\t40.0\t-1.6\t1.5\n"
    survey.write("galaxies.tsv", galaxies)
    sp1 = "sp1\tK\tKMOS\tcubes/field.fits\tJy\t0.5\t-\n"
    survey.write("observations.tsv", table + sp1)
    survey.config = yaml.safe_load(own_list)
    assert survey.load().line_list("sp1") == "my_lines.yaml"
    survey.config = yaml.safe_load(overrides)
    loaded = survey.load()
    assert loaded.observation("abc1", "H")["extension"] == 14
    assert loaded.image("abc1") == "images/abell370_f160w.fits" and loaded.image("sp1") == "images/sp1_f160w.fits"
    assert len(loaded.realisation_files("abc1")) == 2
    assert loaded.settings("sp1", "metallicity")["metallicity"]["map_snr"]["Halpha"] == 5.0


def test_quoted_messages_are_real(survey):
    survey.config = {"lines": {"smoothing_fhwm": 0.4}}
    survey.replace("observations.tsv", "SINFONI", "SINFONY")
    assert blocks()[0].splitlines() == survey.problems()

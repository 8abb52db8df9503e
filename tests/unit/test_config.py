"""Loading of a survey: defaults, overrides, tables, and what the messages say about mistakes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from klever.config.loading import check_yaml, load_survey
from klever.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
GALAXIES = """galaxy\tname\tlens\tra\tdec\tz\tmetallicity\tnote
sp1\tSp 1\tms2137\t325.075129\t-23.643853\t1.393\tyes\t-
sp2\tSp 2\tms2137\t325.053042\t-23.647039\t2.2425\tno\tfree text
field1\tField 1\tnone\t0\t-90\t0.05\tyes\t-
"""
OBSERVATIONS = """galaxy\tband\tinstrument\tcube\tunit\tpsf_fwhm
sp1\tYJ\tKMOS\tsimulated\terg s-1 cm-2 um-1\t0.55
sp1\tK\tKMOS\tsimulated\theader\t0.55
sp2\tH\tSINFONI\tcubes/sp2_H.fits\t1e-20 erg s-1 cm-2 Angstrom-1\t0.6
field1\tH\tKMOS\tcubes/field.fits\tMJy sr-1\t0.5
"""
LENSES = "ms2137: {z_lens: 0.313, origin: simulated}\n"
MAPS = """  z_lens: 0.313
  origin: maps
  x_deflection: maps/x.fits
  y_deflection: maps/y.fits
  deflection_unit: arcsec
  normalisation: 1
  x_sign: 1
  y_sign: -1
"""


class Folder:
    """A small survey on disk, whose files tests change."""

    def __init__(self, directory):
        self.directory = directory
        self.config = {}
        (directory / "config").mkdir()
        self.resources = directory / "resources"
        self.resources.mkdir()
        for name in ("lines.yaml", "instruments.yaml", "calibrations.json"):
            (self.resources / name).write_bytes((ROOT / "resources" / name).read_bytes())
        for name, text in {"galaxies.tsv": GALAXIES, "observations.tsv": OBSERVATIONS, "lenses.yaml": LENSES}.items():
            self.write(name, text)
        self.touch("cubes/sp2_H.fits", "cubes/field.fits")

    def write(self, name, content):
        content = content if isinstance(content, bytes) else content.encode()
        (self.directory / "config" / name).write_bytes(content)

    def replace(self, name, old, new):
        path = self.directory / "config" / name
        text = path.read_text()
        assert old in text
        self.write(name, text.replace(old, new, 1))

    def touch(self, *paths):
        for path in paths:
            (self.directory / path).parent.mkdir(parents=True, exist_ok=True)
            (self.directory / path).touch()

    def load(self):
        return load_survey(self.config, self.directory, self.resources, ROOT / "workflow/schemas")

    def problems(self):
        with pytest.raises(ConfigError) as caught:
            self.load()
        return str(caught.value).splitlines()[1:]

    def only_problem(self):
        problems = self.problems()
        assert len(problems) == 1, problems
        return problems[0]


@pytest.fixture
def survey(tmp_path):
    return Folder(tmp_path)


def shipped():
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def load_shipped(config):
    return load_survey(config, ROOT, ROOT / "resources", ROOT / "workflow/schemas")


# The shipped survey


def test_shipped_survey_loads():
    loaded = load_shipped(shipped())
    assert len(loaded.galaxies) == 43
    assert all(loaded.simulated(galaxy) for galaxy in loaded.galaxies)
    assert loaded.lenses() == ["cswa164", "horseshoe", "macs0451", "ms2137", "rxj2248"]
    assert loaded.bands("horseshoe_west") == ["H", "K"]
    assert not loaded.galaxy("sp9")["include"]


def test_defaults_of_the_schema_are_the_shipped_values():
    config = shipped()
    overrides = config.pop("overrides")
    defaults = load_shipped({})
    for section, values in config.items():
        if section in ("tables", "exclude"):
            assert defaults._settings[section] == values
            continue
        assert defaults.survey_settings(section)[section] == values, section
    assert set(defaults._settings) == {*config, "overrides"}
    assert overrides and defaults._settings["overrides"] == {}


def test_every_key_of_the_shipped_config_has_a_default_a_description_and_its_type():
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())

    def leaf(section, key):
        part = dict(schema["$defs"][section]["properties"][key])
        return schema["$defs"].get(part.pop("$ref", "").removeprefix("#/$defs/"), {}) | part

    for section, values in shipped().items():
        if section in ("exclude", "overrides"):
            continue
        for key in values:
            entry = leaf(section, key)
            assert entry["description"]
            assert "default" in entry or key == "map_snr"


@pytest.mark.parametrize("name", ["config", "galaxies", "observations", "lenses"])
def test_schemas_are_valid_and_closed(name):
    from jsonschema import Draft202012Validator

    schema = yaml.safe_load((ROOT / f"workflow/schemas/{name}.schema.yaml").read_text())
    Draft202012Validator.check_schema(schema)

    def objects(part):
        if isinstance(part, dict):
            if part.get("type") == "object":
                yield part
            for item in part.values():
                yield from objects(item)
        elif isinstance(part, list):
            for item in part:
                yield from objects(item)

    found = list(objects(schema))
    assert found
    assert all(part.get("additionalProperties") is False for part in found)


def test_load_is_quick_and_imports_are_light():
    code = (
        "import sys, time; from pathlib import Path; start = time.process_time(); "
        "from klever.config.loading import load_survey; "
        f"root = Path({str(ROOT)!r}); load_survey({{}}, root, root / 'resources', root / 'workflow/schemas'); "
        "print(time.process_time() - start, *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow/scripts")}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    seconds, *modules = result.stdout.split()
    assert not {"numpy", "astropy", "pandas", "scipy", "snakemake"} & set(modules)
    assert float(seconds) < 0.6  # 0.12 s on an idle machine


# What a survey gives


def test_minimal_config_has_defaults(survey):
    loaded = survey.load()
    assert loaded.galaxies == ["sp1", "sp2", "field1"]
    assert loaded.settings("sp1", "lines")["lines"]["smoothing_fwhm"] == 0.4
    assert loaded.settings("sp1", "metallicity")["metallicity"]["map_snr"] == {
        "Halpha": 5.0, "OIII5007": 5.0, "other": 2.5,
    }  # fmt: skip
    assert loaded.galaxy("sp2") == {
        "name": "Sp 2", "lens": "ms2137", "ra": 325.053042, "dec": -23.647039, "z": 2.2425, "include": False,
        "note": "free text",
    }  # fmt: skip
    assert loaded.observation("sp2", "H") == {
        "instrument": "SINFONI", "cube": "cubes/sp2_H.fits", "unit": "1e-20 erg s-1 cm-2 Angstrom-1", "psf_fwhm": 0.6,
        "extension": None, "resolution": None,
    }  # fmt: skip
    assert (loaded.simulated("sp1"), loaded.simulated("sp2")) == (True, False)
    assert loaded.observation("sp1", "K")["cube"] is None
    assert loaded.instrument("sp2") == "SINFONI"


def test_empty_sections_count_as_missing(survey):
    survey.config = {"lines": None, "overrides": None, "align": {"shifts": None}}
    loaded = survey.load()
    assert loaded.settings("sp1") == Folder.load(survey).settings("sp2")
    assert loaded.survey_settings("align")["align"]["shifts"] == {}


def test_numbers_in_text_are_read_as_by_yaml(survey):
    # Snakemake hands over the values inside --config lines={window: 3000} as text
    survey.config = {
        "lines": {"window": "3000", "dispersion_range": ["2.0e+1", "300."]}, "source": {"subpixels": "2"},
        "metallicity": {"dispersion": "0.1"},
    }  # fmt: skip
    loaded = survey.load().survey_settings("lines", "source", "metallicity")
    assert repr(loaded["lines"]["window"]) == "3000.0"
    assert loaded["lines"]["dispersion_range"] == [20.0, 300.0]
    assert repr(loaded["source"]["subpixels"]) == "2"
    assert loaded["metallicity"]["dispersion"] == 0.1


def test_override_changes_one_galaxy(survey):
    before = survey.load()
    survey.config = {"overrides": {"sp1": {"source": {"pixel_scale": 0.025}, "lines": {"groups": ["oiii"]}}}}
    after = survey.load()
    assert after.settings("sp1", "source")["source"] == before.settings("sp1", "source")["source"] | {
        "pixel_scale": 0.025
    }
    assert after.settings("sp1", "lines")["lines"]["groups"] == ["oiii"]
    assert repr(after.settings("sp1", "dust", "align")) == repr(before.settings("sp1", "dust", "align"))
    assert repr(after.settings("sp2")) == repr(before.settings("sp2"))
    assert after.survey_settings("source") == before.survey_settings("source")


def test_override_merges_deeply(survey):
    survey.config = {"overrides": {"sp1": {"metallicity": {"map_snr": {"other": 3}}}}}
    assert survey.load().settings("sp1", "metallicity")["metallicity"]["map_snr"] == {
        "Halpha": 5.0, "OIII5007": 5.0, "other": 3.0,
    }  # fmt: skip


def test_text_form_is_stable(survey):
    first = {"lines": {"window": 3000.0, "smoothing_fwhm": 1.0}, "overrides": {"sp1": {"dust": {"rv": 4.0}}}}
    survey.config = first
    one = survey.load()
    survey.config = {"overrides": {"sp1": {"dust": {"rv": 4}}}, "lines": {"smoothing_fwhm": 1, "window": 3000}}
    two = survey.load()
    for get in (
        lambda loaded: loaded.settings("sp1"),
        lambda loaded: loaded.survey_settings(),
        lambda loaded: loaded.lens("sp1"),
        lambda loaded: loaded.galaxy("sp1"),
        lambda loaded: loaded.observation("sp1", "K"),
    ):
        assert repr(get(one)) == repr(get(two))

    def plain(value):
        if isinstance(value, dict):
            return list(value) == sorted(value) and all(plain(item) for item in value.values())
        if isinstance(value, list):
            return all(plain(item) for item in value)
        return value is None or type(value) in (str, int, float, bool)

    assert plain(one.settings("sp1")) and plain(one.lens("sp1"))


def test_jobs_share_what_holds_for_all_and_own_settings_stay_one_galaxys(survey):
    survey.config = {"overrides": {"sp1": {"dust": {"rv": 4.05}}}}
    loaded = survey.load()
    assert loaded.settings("sp2")["dust"] is loaded.survey_settings("dust")["dust"]
    assert loaded.settings("sp1")["dust"] is loaded.settings("sp1", "dust")["dust"]
    assert loaded.settings("sp1")["dust"]["rv"] == 4.05 != loaded.settings("sp2")["dust"]["rv"]
    assert loaded.lens_model("ms2137") is loaded.lens_model("ms2137")
    loaded.galaxies.remove("sp2")
    assert loaded.settings("sp2") and loaded.galaxies == ["sp1", "field1"]


def test_exclude_leaves_galaxies_out(survey):
    survey.config = {"exclude": ["sp2"]}
    (survey.directory / "cubes/sp2_H.fits").unlink()
    loaded = survey.load()
    assert loaded.galaxies == ["sp1", "field1"]
    with pytest.raises(ConfigError, match="no galaxy 'sp2'"):
        loaded.bands("sp2")
    survey.config = {"exclude": ["sp1", "sp2", "field1"]}
    assert "leaves no galaxy" in survey.only_problem()


def test_redshift_without_a_line_in_a_band_is_no_error(survey):
    survey.replace("galaxies.tsv", "2.2425", "9.5")
    assert survey.load().galaxy("sp2")["z"] == 9.5


def test_byte_order_mark_line_ends_quotes_blank_lines_and_comments_are_tolerated(survey):
    expected = survey.load()
    text = GALAXIES.replace("Sp 1", '"Sp 1"').replace("sp2", "\n# a comment\nsp2")
    survey.write("galaxies.tsv", b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    loaded = survey.load()
    assert [loaded.galaxy(name) for name in loaded.galaxies] == [expected.galaxy(name) for name in expected.galaxies]


def test_optional_columns(survey):
    survey.write("galaxies.tsv", "galaxy\tname\tlens\tra\tdec\tz\nsp1\tA\tnone\t1\t2\t3\n")
    survey.write(
        "observations.tsv",
        "galaxy\tband\tinstrument\tcube\tunit\tpsf_fwhm\textension\n"
        "sp1\tH\tKMOS\tcubes/field.fits\theader\t0.5\t14\nsp1\tK\tKMOS\tcubes/field.fits\theader\t0.5\tIFU.3.DATA\n"
        "sp1\tYJ\tKMOS\tcubes/field.fits\theader\t0.5\t-\n",
    )
    loaded = survey.load()
    assert (loaded.galaxy("sp1")["include"], loaded.galaxy("sp1")["note"]) == (True, "-")
    assert [loaded.observation("sp1", band)["extension"] for band in ("H", "K", "YJ")] == [14, "IFU.3.DATA", None]


def test_paths_expand_variables(survey, monkeypatch, tmp_path):
    monkeypatch.setenv("KLEVER_CUBES", str(tmp_path / "cubes"))
    survey.replace("observations.tsv", "cubes/sp2_H.fits", "${KLEVER_CUBES}/sp2_H.fits")
    assert survey.load().observation("sp2", "H")["cube"] == str(tmp_path / "cubes/sp2_H.fits")
    monkeypatch.delenv("KLEVER_CUBES")
    problem = survey.only_problem()
    assert problem.startswith("config/observations.tsv: line 4, sp2 H: cube: ")
    assert "environment variable KLEVER_CUBES" in problem and "is not defined" in problem


def test_tables_can_have_other_names(survey):
    (survey.directory / "config/galaxies.tsv").rename(survey.directory / "config/mine.tsv")
    survey.config = {"tables": {"galaxies": "mine.tsv"}}
    assert survey.load().galaxies == ["sp1", "sp2", "field1"]
    survey.replace("mine.tsv", "1.393", "-1")
    assert survey.only_problem().startswith("config/mine.tsv: line 2, sp1: z: ")


# Lenses


def test_simulated_lens_has_the_layout_of_its_programme(survey):
    survey.write("lenses.yaml", LENSES + "rxj2248: {z_lens: 0.348, origin: simulated}\n")
    loaded = survey.load()
    folder = "results/simulated/lenses/ms2137"
    model = loaded.lens("sp1")
    assert model["kappa"] == f"{folder}/hlsp_clash_model_ms2137_simulated_v1_kappa.fits"
    assert model["x_deflection"] == f"{folder}/hlsp_clash_model_ms2137_simulated_v1_x-arcsec-deflect.fits"
    assert (model["normalisation"], model["deflection_unit"], model["z_lens"]) == (1.0, "arcsec", 0.313)
    assert model["images"]["F160W"] == loaded.image("sp1") == "results/simulated/galaxies/sp1/hst_f160w.fits"
    assert loaded.lens("sp2")["images"] == {} and loaded.image("sp2") is None  # real cubes, no real image
    assert loaded.realisation_files("sp1") == [f"{folder}/range"]
    assert loaded.lens_model("rxj2248")["gamma"].endswith("/hlsp_frontier_model_rxj2248_simulated_v1_gamma.fits")
    assert loaded.lenses() == ["ms2137"]
    unlensed = loaded.lens("field1")
    assert unlensed["origin"] == "none" and unlensed["x_deflection"] is None and unlensed.keys() == model.keys()
    assert loaded.realisation_files("field1") == []


def test_lens_maps(survey):
    survey.write(
        "lenses.yaml",
        "ms2137:\n" + MAPS + "  realisations: {kappa: 'maps/r*_kappa.fits', gamma: 'maps/r*_gamma.fits'}\n"
        "  images: {F160W: 'images/{galaxy}.fits'}\nnone:\n  images: {F160W: images/field.fits}\n",
    )
    survey.touch("maps/x.fits", "maps/y.fits", "maps/r1_kappa.fits", "maps/r1_gamma.fits")
    survey.touch("images/sp2.fits", "images/field.fits")
    loaded = survey.load()
    model = loaded.lens("sp2")
    assert (model["x_deflection"], model["x_sign"], model["y_sign"]) == ("maps/x.fits", 1, -1)
    assert type(model["normalisation"]) is float
    assert loaded.image("sp2") == "images/sp2.fits" and loaded.image("field1") == "images/field.fits"
    assert loaded.realisation_files("sp2") == ["maps/r1_gamma.fits", "maps/r1_kappa.fits"]
    survey.touch("maps/r0_kappa.fits", "maps/r0_gamma.fits")
    assert survey.load().realisation_files("sp2", "kappa") == ["maps/r0_kappa.fits", "maps/r1_kappa.fits"]
    survey.touch("maps/r2_kappa.fits")
    assert survey.only_problem().startswith(
        "config/lenses.yaml: ms2137.realisations: 3 maps of the convergence and 2 of the shear match"
    )
    survey.touch("maps/r2_gamma.fits")
    assert loaded.lenses() == []
    (survey.directory / "images/sp2.fits").unlink()
    problem = survey.only_problem()
    assert problem.startswith("config/lenses.yaml: ms2137.images.F160W (sp2): image images/sp2.fits does not exist")
    survey.touch("images/sp2.fits")
    survey.config = {"align": {"image_filter": "F140W"}}
    assert survey.problems() == [
        "config/config.yaml: align.image_filter: the lens ms2137 has no image in F140W; did you mean F160W?",
        "config/config.yaml: align.image_filter: the lens none has no image in F140W; did you mean F160W?",
    ]


def test_normalisation_by_source_redshift(survey):
    survey.touch("maps/x.fits", "maps/y.fits")
    survey.write("lenses.yaml", "ms2137:\n" + MAPS.replace("normalisation: 1", "normalisation: {z_source: 2}"))
    assert survey.load().lens("sp2")["normalisation"] == {"z_source": 2.0}
    survey.replace("lenses.yaml", "z_source: 2", "z_source: 0.2")
    assert "ms2137.normalisation.z_source: 0.2 is not behind the lens" in survey.only_problem()


# Settings of the shipped kind in a YAML file


def test_duplicate_keys_are_found_at_any_depth(survey):
    survey.write(
        "config.yaml", "lines:\n  window: 3000.0\ndust: {rv: 3.1}\nlines:\n  groups: [oii]\n  groups: [oiii]\n"
    )
    found = check_yaml(survey.directory / "config/config.yaml", "config/config.yaml")
    assert found == [
        "config/config.yaml: line 4: lines: the key is given twice (first on line 1).",
        "config/config.yaml: line 6: lines.groups: the key is given twice (first on line 5).",
    ]
    assert survey.problems() == found
    assert check_yaml(ROOT / "config/config.yaml") == []


def test_broken_and_missing_yaml(survey):
    survey.write("lenses.yaml", "ms2137: {z_lens: 0.3\nother: 1\n")
    assert survey.only_problem().startswith("config/lenses.yaml: line 2: is not valid YAML")
    (survey.directory / "config/lenses.yaml").unlink()
    assert "config/lenses.yaml: the file does not exist" in survey.only_problem()
    assert "cannot be read" in check_yaml(survey.directory)[0]


def test_yaml_that_contains_itself_is_refused(survey):
    survey.write("lenses.yaml", "ms2137: &a\n  z_lens: *a\n")
    assert any("nested too deeply" in line for line in survey.problems())


OWN_LIST = "lines: {OI6302: {wavelength: 6300.304, medium: air}}\ngroups: {oi: {lines: [OI6302]}}\n"


def test_line_list_of_one_galaxy_changes_only_that_galaxy(survey, tmp_path, monkeypatch):
    before = survey.load()
    (survey.directory / "own.yaml").write_text("include: default\n" + OWN_LIST)
    survey.config = {"overrides": {"sp1": {"lines": {"line_list": "own.yaml", "groups": ["halpha", "oi"]}}}}
    after = survey.load()
    assert after.line_list("sp1") == "own.yaml" and after.line_list("sp2") is None
    assert after.settings("sp1", "lines")["lines"]["groups"] == ["halpha", "oi"]
    for galaxy in ("sp2", "field1"):
        assert repr(after.settings(galaxy)) == repr(before.settings(galaxy))
    assert repr(after.survey_settings()) == repr(before.survey_settings())
    monkeypatch.setenv("LISTS", str(tmp_path))
    survey.config["overrides"]["sp1"]["lines"]["line_list"] = "$LISTS/own.yaml"
    assert survey.load().line_list("sp1") == f"{tmp_path}/own.yaml"


def test_line_list_of_the_survey_and_back_to_the_shipped_one(survey):
    (survey.directory / "own.yaml").write_text(OWN_LIST)
    survey.config = {
        "lines": {"line_list": "own.yaml", "groups": ["oi"], "bin_line": "OI6302"},
        "overrides": {"sp1": {"lines": {"line_list": "default", "groups": ["oiii"], "bin_line": "auto"}}},
    }
    loaded = survey.load()
    assert loaded.line_list("sp1") is None and loaded.line_list("field1") == "own.yaml"


def test_line_list_of_an_excluded_galaxy_need_not_exist(survey):
    survey.config = {"exclude": ["sp1"], "overrides": {"sp1": {"lines": {"line_list": "none.yaml"}}}}
    assert survey.load().galaxies == ["sp2", "field1"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({"line_list": "nowhere.yaml"}, "line_list: line list nowhere.yaml does not exist (relative paths start at"),
        ({"line_list": "cubes"}, "line_list: line list cubes is not a file"),
        ({"line_list": "$NOT_SET/own.yaml"}, "line_list: the environment variable NOT_SET in '$NOT_SET/own.yaml'"),
        ({"line_list": "config/galaxies.tsv"}, "line_list: "),
        ({"line_list": 3}, "line_list: 3 is not text."),
        ({"line_list": "own.yaml", "groups": ["o1"]}, "groups[0]: 'o1' is not a valid choice; the only choice is oi"),
        ({"line_list": "own.yaml", "groups": ["oi", "oiii"]}, "groups[1]: 'oiii' is not a valid choice"),
        ({"line_list": "own.yaml", "groups": ["oi"], "bin_line": "OI6320"},
         "bin_line: 'OI6320' is no line of the groups that are fitted; did you mean OI6302?"),
        ({"line_list": "twice.yaml", "groups": ["oiii", "hb"]}, "groups: the groups oiii and hb both hold the line"),
        ({"line_list": "air.yaml", "groups": ["h"]}, "has 6562.8 A, its wavelength in air; add `medium: air`"),
        ({"bin_line": "Halfa"}, "bin_line: 'Halfa' is no line of the groups that are fitted; did you mean Halpha?"),
        ({"binning": "voronoi"}, "binning: 'voronoi' is not a valid choice; choose one of none, powerbin"),
        ({"doublet_ratios": "physics"}, "doublet_ratios: 'physics' is not a valid choice; did you mean physical?"),
        ({"bin_snr": 0}, "bin_snr: 0.0 must be greater than 0."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["lines.", "overrides.sp1.lines."])
def test_wrong_line_settings(survey, prefix, lines, expected):
    (survey.directory / "own.yaml").write_text(OWN_LIST)
    (survey.directory / "twice.yaml").write_text("include: default\ngroups: {hb: {lines: [Hbeta]}}\n")
    (survey.directory / "air.yaml").write_text(
        "lines: {Halpha: {wavelength: 6562.8}}\ngroups: {h: {lines: [Halpha]}}\n"
    )
    survey.config = {"lines": lines} if prefix == "lines." else {"overrides": {"sp1": {"lines": lines}}}
    problem = survey.only_problem()
    assert problem.startswith(f"config/config.yaml: {prefix}")
    assert expected in problem


def test_groups_of_the_survey_must_be_in_a_galaxys_own_list(survey):
    (survey.directory / "own.yaml").write_text(OWN_LIST)
    survey.config = {"overrides": {"sp1": {"lines": {"line_list": "own.yaml"}}}}
    assert survey.only_problem() == (
        "config/config.yaml: overrides.sp1.lines.line_list: own.yaml has no group oii, oiii, halpha, siii, which "
        "lines.groups asks for; choose from its groups (oi) with overrides.sp1.lines.groups."
    )


def test_resources_decide_what_is_valid(survey):
    (survey.resources / "simulation").mkdir()
    (survey.resources / "simulation/lenses.yaml").write_text("ms2138:\n  z_lens: 1\n")
    (survey.resources / "simulation/galaxies.tsv").write_text("# a\ngalaxy\tcomponent\teast\nsp3\tall\t0.0\n")
    assert survey.problems() == [
        "config/lenses.yaml: ms2137: resources/simulation/lenses.yaml does not say how to simulate it; "
        "did you mean ms2138?",
        "config/observations.tsv: sp1: cannot be simulated: resources/simulation/galaxies.tsv does not describe it; "
        "did you mean sp3?",
    ]
    (survey.resources / "simulation/lenses.yaml").write_text("ms2137:\n  z_lens: 1\n")
    (survey.resources / "simulation/galaxies.tsv").write_text("galaxy\tcomponent\teast\nsp1\t1\t0.5\nsp1\tb\t1\n")
    assert survey.load().simulated_components("sp1") == [
        {"component": "1", "east": 0.5, "galaxy": "sp1"},
        {"component": "b", "east": 1.0, "galaxy": "sp1"},
    ]
    assert survey.load().simulated_components("sp2") == []

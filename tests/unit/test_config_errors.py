"""Every mistake is reported with file, entry, problem and nearest valid choice."""

import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_config import GALAXIES, LENSES, MAPS, OBSERVATIONS, ROOT, Folder

from klever.config.loading import load_survey
from klever.errors import ConfigError

CONFIG = "config/config.yaml: "


@pytest.fixture
def survey(tmp_path):
    return Folder(tmp_path)


SETTINGS = [
    # misspelt and misplaced keys
    ({"lines": {"smoothing_fhwm": 0.4}}, "lines.smoothing_fhwm: unknown key; did you mean lines.smoothing_fwhm?"),
    ({"liness": {}}, "liness: unknown key; did you mean lines?"),
    ({"smoothing_fwhm": 0.4}, "smoothing_fwhm: unknown key; did you mean lines.smoothing_fwhm?"),
    ({"metallicity": {"map_snr": {"Haplha": 3.0}}},
     "metallicity.map_snr.Haplha: unknown key; did you mean metallicity.map_snr.Halpha?"),
    ({"overrides": {"sp1": {"lines": {"smoothing_fhwm": 0.4}}}},
     "overrides.sp1.lines.smoothing_fhwm: unknown key; did you mean overrides.sp1.lines.smoothing_fwhm?"),
    ({"overrides": {"sp1": {"metallicity": {"map_snr": {"othr": 1.0}}}}},
     "overrides.sp1.metallicity.map_snr.othr: unknown key; did you mean overrides.sp1.metallicity.map_snr.other?"),
    ({"overrides": {"sp1": {"pixel_scale": 0.1}}},
     "overrides.sp1.pixel_scale: unknown key; did you mean overrides.sp1."),
    ({"overrides": {"sp1": {"cosmology": {"H0": 70.0}}}}, "overrides.sp1.cosmology: unknown key"),
    ({"overrides": {"sp1": {"simulation": {"lens_realisations": 3}}}},
     "overrides.sp1.simulation.lens_realisations: unknown"),
    # names
    ({"overrides": {"sp11": {"dust": {"rv": 3.0}}}},
     "overrides.sp11: there is no galaxy 'sp11' in the table of galaxies; did you mean overrides.sp1?"),
    ({"exclude": ["sp1", "feild1"]},
     "exclude[1]: there is no galaxy 'feild1' in the table of galaxies; did you mean field1?"),
    ({"overrides": {"sp1": {"star_formation": {"reddening_of": "feild1"}}}},
     "overrides.sp1.star_formation.reddening_of: there is no galaxy 'feild1' in the table of galaxies; did you mean"),
    ({"star_formation": {"plane": "sky"}}, "star_formation.plane: 'sky' is not a valid choice"),
    ({"metallicity": {"limits": "some"}}, "metallicity.limits: 'some' is not a valid choice"),
    ({"metallicity": {"calibration": "C2O"}},
     "metallicity.calibration: 'C2O' is not a valid choice; did you mean C20?"),
    ({"metallicity": {"calibration": "N22"}}, "metallicity.calibration: 'N22' is not a valid choice"),
    ({"metallicity": {"diagnostics": ["R3", "O302"]}},
     "metallicity.diagnostics[1]: 'O302' is not a valid choice; did you mean O3O2?"),
    ({"metallicity": {"diagnostics": "atuo"}},
     "metallicity.diagnostics: 'atuo' is not a valid choice; did you mean auto?"),
    ({"metallicity": {"diagnostics": 3}}, "metallicity.diagnostics: 3 must be auto or a list of diagnostics."),
    ({"metallicity": {"dispersion": "rms"}}, "metallicity.dispersion: 'rms' is not a valid choice"),
    ({"lines": {"groups": ["oii", "oiiii"]}}, "lines.groups[1]: 'oiiii' is not a valid choice; did you mean oiii?"),
    ({"align": {"method": "continum"}}, "align.method: 'continum' is not a valid choice; did you mean continuum?"),
    ({"align": {"image_filter": "f160w"}}, "align.image_filter: 'f160w' must be the name of a filter"),
    ({"align": {"image_filter": "f160w"}}, "did you mean F160W?"),
    ({"align": {"image_filter": "F390W"}}, "align.image_filter: the simulation has no image in F390W"),
    ({"align": {"shifts": {"HH": [0.1, 0.2]}}}, "align.shifts.HH: no such band; did you mean align.shifts.H?"),
    ({"overrides": {"sp1": {"align": {"shifts": {"H": [0.0, 0.1]}}}}},
     "overrides.sp1.align.shifts.H: no such band; choose one of YJ, K"),
    ({"targets": {"instrument": "KMOSS"}}, "targets.instrument: there is no instrument 'KMOSS'; did you mean KMOS?"),
    ({"targets": {"bands": ["YJ", "HH"]}}, "targets.bands[1]: KMOS has no band 'HH'; did you mean H?"),
    ({"targets": {"catalogue": "none.csv"}}, "targets.catalogue: "),
    ({"gradient": {"regions": {"all": {"east": 0.0, "north": 0.0}}}},
     "gradient.regions.all: 'all' is not a valid name"),
    ({"gradient": {"regions": {"a": {"east": 0.0}}}}, "gradient.regions.a.north: is missing (Offset to the north"),
    ({"gradient": {"apertures": ["circular", "circular"]}}, "gradient.apertures: "),
    # types
    ({"metallicity": {"grid_step": "1e-3"}}, "metallicity.grid_step: '1e-3' is text to YAML"),
    ({"metallicity": {"grid_step": "1e-3"}}, "write 1.0e-3"),
    ({"lines": {"window": "4.5e3"}}, "write 4.5e+3"),
    ({"overrides": {"sp1": {"lines": {"window": "4e3"}}}}, "overrides.sp1.lines.window: '4e3' is text to YAML"),
    ({"lines": {"window": "4000."}, "dust": {"rv": "3,1"}}, "dust.rv: '3,1' is not a number."),
    ({"lines": {"window": "wide"}}, "lines.window: 'wide' is not a number."),
    ({"lines": {"window": True}}, "lines.window: True is not a number."),
    ({"lines": {"window": None}}, "lines.window: is empty; give a value or remove the key."),
    ({"lines": {"window": math.nan}}, "lines.window: nan is not a finite number."),
    ({"lines": {"dispersion_range": [20.0, math.nan]}}, "lines.dispersion_range[1]: nan is not a finite number."),
    ({"source": {"subpixels": 2.5}}, "source.subpixels: 2.5 is not a whole number."),
    ({"lines": 3}, "lines: 3 is not a section of keys."),
    ({"lines": {"groups": "oii"}}, "lines.groups: 'oii' is not a list"),
    ({"overrides": {"sp1": 3}}, "overrides.sp1: 3 is not a section of keys."),
    ({"overrides": {True: {}}}, "overrides: the key True is not text; put it in quotes."),
    ({"exclude": "sp1"}, "exclude: 'sp1' is not a list"),
    # ranges
    ({"lines": {"smoothing_fwhm": -1}}, "lines.smoothing_fwhm: -1.0 must be at least 0."),
    ({"lines": {"aperture_radius": 0}}, "lines.aperture_radius: 0.0 must be greater than 0."),
    ({"gradient": {"minimum_coverage": 1.2}}, "gradient.minimum_coverage: 1.2 must be at most 1."),
    ({"lines": {"dispersion_range": [300, 20]}},
     "lines.dispersion_range: the minimum must be smaller than the maximum."),
    ({"lines": {"dispersion_range": [20, 20]}},
     "lines.dispersion_range: the minimum must be smaller than the maximum."),
    ({"lines": {"dispersion_range": [20]}}, "lines.dispersion_range: has 1 values, at least 2 expected."),
    ({"overrides": {"sp1": {"metallicity": {"log_oh_range": [8.9, 7.6]}}}},
     "overrides.sp1.metallicity.log_oh_range: the minimum must be smaller"),
    ({"metallicity": {"log_oh_range": [7.0, 8.9]}}, "metallicity.log_oh_range: [7.0, 8.9] leaves the range in which"),
    ({"metallicity": {"log_oh_range": [7.0, 8.9]}}, "use [7.6, 8.9] or a part of it."),
    ({"metallicity": {"calibration": "M08", "log_oh_range": [7.6, 8.9]}},
     "metallicity.dispersion: M08 has no published dispersion of R3, N2, O3O2; give a number (dex)"),
    ({"metallicity": {"calibration": "C17", "log_oh_range": [8.4, 8.8], "diagnostics": ["R3", "S2"]}},
     "metallicity.diagnostics: C17 has no calibration of S2; it has R3, N2, O3O2."),
    ({"metallicity": {"steps": 400}},
     "metallicity.burn_in: must be smaller than metallicity.steps. It is 500 and 400."),
    ({"overrides": {"sp1": {"gradient": {"steps": 400}}}}, "overrides.sp1.gradient.burn_in: must be smaller than"),
    ({"lines": {"velocity_range": 4500}}, "lines.velocity_range: must be smaller than lines.window"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "expected"), SETTINGS)
def test_wrong_setting(survey, config, expected):
    survey.config = config
    problem = survey.only_problem()
    assert problem.startswith(CONFIG)
    assert expected in problem


def test_right_settings_that_look_unusual(survey):
    survey.config = {
        "metallicity": {
            "calibration": "M08", "dispersion": 0.1, "diagnostics": ["N2"], "steps": 600.0, "map_snr": {"SII": 1.5},
        },
        "align": {"shifts": {"YJ": [0.1, -0.2]}},
        "gradient": {"regions": {"north": {"east": 0, "north": 1}}},
    }  # fmt: skip
    loaded = survey.load().survey_settings("metallicity", "gradient")
    assert type(loaded["metallicity"]["steps"]) is int
    assert loaded["gradient"]["regions"] == {"north": {"east": 0.0, "north": 1.0}}


TABLES = [
    # file, what is replaced, by what, expected beginning (entry), expected end or part
    ("galaxies.tsv", "1.393", "abc", "line 2, sp1: z: 'abc' is not a number", "Redshift"),
    ("galaxies.tsv", "1.393", "1_3", "line 2, sp1: z: '1_3' is not a number", ""),
    ("galaxies.tsv", "1.393", "-1.393", "line 2, sp1: z: -1.393 must be greater than 0.", ""),
    ("galaxies.tsv", "1.393", "NaN", "line 2, sp1: z: NaN is no value", "Redshift"),
    ("galaxies.tsv", "1.393", "", "line 2, sp1: z: the cell is empty", "Redshift"),
    ("galaxies.tsv", "325.075129", "360.0", "line 2, sp1: ra: 360.0 must be less than 360.", "deg"),
    ("galaxies.tsv", "325.075129", "-5", "line 2, sp1: ra: -5.0 must be at least 0.", "deg"),
    ("galaxies.tsv", "325.075129", "21:40:18", "line 2, sp1: ra: '21:40:18' is not a number", "deg"),
    ("galaxies.tsv", "-23.643853", "-90.5", "line 2, sp1: dec: -90.5 must be at least -90.", "deg"),
    ("galaxies.tsv", "ms2137", "ms2173", "line 2, sp1: lens: there is no lens 'ms2173' in the file of lenses",
     "; did you mean ms2137?"),
    ("galaxies.tsv", "\tyes", "\tye", "line 2, sp1: metallicity: 'ye' is not a valid choice; did you mean yes?", ""),
    ("galaxies.tsv", "free text", "", "line 3, sp2: note: the cell is empty; write - for none", ""),
    ("galaxies.tsv", "\tz\t", "\tredshift\t", "header: unknown column 'redshift'", ""),
    ("galaxies.tsv", "\tdec", "\tdecl", "header: unknown column 'decl'; did you mean dec?", ""),
    ("galaxies.tsv", "\tdec", "\tra", "header: the column 'ra' is there twice.", ""),
    ("galaxies.tsv", "free text", "free\ttext", "line 3: has 9 cells, the header has 8", "tabs"),
    ("galaxies.tsv", "1.393\tyes\t-", "1.393", "line 2: has 6 cells, the header has 8", "tabs"),
    ("galaxies.tsv", "sp2\tSp 2", "sp1\tSp 2", "line 3, sp1: galaxy: 'sp1' is there twice (first on line 2)", ""),
    ("galaxies.tsv", "sp2\tSp 2", "SP1\tSp 2", "line 3, SP1: galaxy: 'SP1' differs from 'sp1' only in upper", ""),
    ("galaxies.tsv", "sp1", "sp/1", "line 2, sp/1: galaxy: 'sp/1' must be a safe file name", ""),
    ("galaxies.tsv", "sp1", "..", "line 2, ..: galaxy: '..' must be a safe file name", ""),
    ("galaxies.tsv", "sp1", "s..p", "line 2, s..p: galaxy: 's..p' must be a safe file name", ""),
    ("galaxies.tsv", "sp1", "-sp1", "line 2, -sp1: galaxy: '-sp1' must be a safe file name", ""),
    ("galaxies.tsv", "sp1", "a" * 65, f"line 2, {'a' * 64}: galaxy: '{'a' * 65}' must be a safe", "64 characters"),
    ("galaxies.tsv", "sp1", "sp 1", "line 2, sp 1: galaxy: 'sp 1' must be a safe file name", ""),
    ("galaxies.tsv", "sp2", "sp1a", "line 3, sp1a: has no row in config/observations.tsv", "add its cubes"),
    ("observations.tsv", "KMOS", "KMSO", "line 2, sp1 YJ: instrument: unknown instrument 'KMSO'; did you mean KMOS?",
     ""),
    ("observations.tsv", "YJ", "J", "line 2, sp1 J: band: KMOS has no band 'J'; did you mean YJ?", ""),
    ("observations.tsv", "sp1\tK", "sp1\tYJ", "line 3, sp1 YJ: band: sp1 has the band YJ twice (first on line 2)", ""),
    ("observations.tsv", "field1", "feild1", "line 5, feild1 H: galaxy: there is no galaxy 'feild1'",
     "; did you mean field1?"),
    ("observations.tsv", "0.6", "0", "line 4, sp2 H: psf_fwhm: 0.0 must be greater than 0.", "arcsec"),
    ("observations.tsv", "0.6", "-0.6", "line 4, sp2 H: psf_fwhm: -0.6 must be greater than 0.", "arcsec"),
    ("observations.tsv", "0.6", "inf", "line 4, sp2 H: psf_fwhm: 'inf' is not a number", "arcsec"),
    ("observations.tsv", "0.6", "1e999", "line 4, sp2 H: psf_fwhm: inf must be at most 10.", "arcsec"),
    ("observations.tsv", "header", "heder", "line 3, sp1 K: unit: 'heder' is no unit", "; did you mean header?"),
    ("observations.tsv", "MJy sr-1", "MJy/sr", "line 5, field1 H: unit: 'MJy/sr' is no unit",
     "; did you mean MJy sr-1?"),
    ("observations.tsv", "1e-20 erg s-1 cm-2 Angstrom-1", "1e-20 erg/s/cm2/A", "line 4, sp2 H: unit: ",
     "; did you mean 1e-20 erg s-1 cm-2 Angstrom-1?"),
    ("observations.tsv", "1e-20 erg s-1 cm-2 Angstrom-1", "1e-20 erg s-1 cm-2 micron-1", "line 4, sp2 H: unit: ",
     "; did you mean 1e-20 erg s-1 cm-2 um-1?"),
    ("observations.tsv", "1e-20 erg", "0 erg", "line 4, sp2 H: unit: ", ""),
    ("observations.tsv", "1e-20 erg", "10^-20 erg", "line 4, sp2 H: unit: ", "did you mean"),
    ("observations.tsv", "cubes/sp2_H.fits", "cubes", "line 4, sp2 H: cube: cube cubes is not a file", ""),
    ("observations.tsv", "cubes/sp2_H.fits", "x" * 5000, "line 4, sp2 H: cube: cube xxx", "no path that can be opened"),
    ("observations.tsv", "cubes/sp2_H.fits", "Simulate", "line 4, sp2 H: cube: cube Simulate does not exist",
     "; did you mean simulated?"),
    ("lenses.yaml", "z_lens", "z_lense", "ms2137.z_lense: unknown key; did you mean ms2137.z_lens?", ""),
    ("lenses.yaml", "simulated", "simulatd",
     "ms2137.origin: 'simulatd' is not a valid choice; did you mean simulated?", ""),
    ("lenses.yaml", "simulated", "simulated, kappa: a", "ms2137.kappa: belongs to lenses of `origin: maps`", ""),
    ("lenses.yaml", "0.313", "3e-1", "ms2137.z_lens: '3e-1' is text to YAML", "write 3.0e-1"),
    ("lenses.yaml", "0.313", "-0.3", "ms2137.z_lens: -0.3 must be greater than 0.", ""),
    ("lenses.yaml", "0.313", ".nan", "ms2137.z_lens: nan is not a finite number.", ""),
    ("lenses.yaml", LENSES, LENSES + LENSES, "line 2: ms2137: the key is given twice (first on line 1).", ""),
    ("lenses.yaml", LENSES, LENSES + "a/b: {z_lens: 1, origin: simulated}", "a/b: 'a/b' is not a valid name here", ""),
    ("lenses.yaml", LENSES, LENSES + "none: {z_lens: 1}", "none.z_lens: unknown key", ""),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "start", "part"), TABLES)
def test_wrong_table(survey, file, old, new, start, part):
    survey.replace(file, old, new)
    problems = [line for line in survey.problems() if line.startswith(f"config/{file}: {start}")]
    assert len(problems) == 1, survey.problems()
    assert part in problems[0]


def test_z_lens_missing(survey):
    survey.write("lenses.yaml", "ms2137: {origin: simulated}\n")
    assert survey.only_problem() == "config/lenses.yaml: ms2137.z_lens: is missing (Redshift of the lens)."


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  x_sign: 1\n", "", "ms2137.x_sign: is missing (1, or -1"),
        ("x_sign: 1", "x_sign: 2", "ms2137.x_sign: 2 is not a valid choice; choose one of 1, -1"),
        ("arcsec", "arcsecs", "ms2137.deflection_unit: 'arcsecs' is not a valid choice; did you mean arcsec?"),
        ("normalisation: 1", "normalisation: 1.5", "ms2137.normalisation: 1.5 must be at most 1."),
        ("normalisation: 1", "normalisation: {z: 2}",
         "ms2137.normalisation.z: unknown key; the only choice is ms2137.normalisation.z_source"),
        ("normalisation: 1", "normalisation: one", "ms2137.normalisation: 'one' must be Dls/Ds of the maps"),
        ("maps/x.fits", "maps/z.fits", "ms2137.x_deflection: lens map maps/z.fits does not exist"),
        ("maps/x.fits", "$KLEVER_NOT_SET/x.fits", "ms2137.x_deflection: the environment variable KLEVER_NOT_SET"),
        ("y_sign: -1\n", "y_sign: -1\n  realisations: {kappa: 'maps/*.fits', gamma: 'maps/*_gamma.fits'}\n",
         "ms2137.realisations.gamma: no file matches maps/*_gamma.fits"),
        ("y_sign: -1\n", "y_sign: -1\n  realisations: {kappa: 'maps/*.fits'}\n",
         "ms2137.realisations.gamma: is missing"),
    ],
)  # fmt: skip
def test_wrong_lens_maps(survey, old, new, expected):
    survey.touch("maps/x.fits", "maps/y.fits")
    survey.write("lenses.yaml", "ms2137:\n" + MAPS)
    survey.load()
    survey.replace("lenses.yaml", old, new)
    problems = [line for line in survey.problems() if expected in line]
    assert len(problems) == 1 and problems[0].startswith("config/lenses.yaml: ms2137."), survey.problems()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (GALAXIES.replace("\t", ","), "its cells are separated by commas; save it with tabs."),
        (GALAXIES.replace("\t", ";"), "its cells are separated by semicolons; save it with tabs."),
        (GALAXIES.replace("\t", "   "), "its cells are separated by spaces; save it with tabs."),
        ("", "is empty; its first line must name the columns galaxy, name, lens, ra, dec, z."),
        (GALAXIES.splitlines()[0], "has no galaxies; give each one a row."),
        (GALAXIES.encode("utf-16"), "is not UTF-8 text"),
        (b"\x93quoted\x94", "is not UTF-8 text"),
        ("what\never\n", "header: the column 'galaxy' is missing"),
    ],
)
def test_unreadable_table(survey, content, expected):
    survey.write("galaxies.tsv", content)
    problems = [line for line in survey.problems() if expected in line]
    assert len(problems) == 1 and problems[0].startswith("config/galaxies.tsv: "), survey.problems()


def test_missing_column(survey):
    rows = [line.split("\t") for line in OBSERVATIONS.splitlines()]
    survey.write("observations.tsv", "\n".join("\t".join(cells[:-1]) for cells in rows))
    assert survey.only_problem() == (
        "config/observations.tsv: header: the column 'psf_fwhm' is missing "
        "(FWHM of the point-spread function (arcsec))."
    )


@pytest.mark.parametrize("name", ["galaxies.tsv", "observations.tsv"])
def test_missing_and_unreadable_file(survey, name):
    path = survey.directory / "config" / name
    path.unlink()
    assert survey.only_problem().startswith(f"config/{name}: the file does not exist ({path})")
    path.mkdir()
    assert survey.only_problem().startswith(f"config/{name}: the file cannot be read (")


def test_all_problems_of_all_files_are_reported(survey):
    survey.config = {
        "lines": {"smoothing_fhwm": 0.4, "groups": ["oiiii"]},
        "metallicity": {"calibration": "C21", "log_oh_range": [8.0, 7.9]},
        "exclude": ["sp22"],
        "overrides": {"sp9": {"dust": {"rv": "3e0"}}},
    }
    survey.replace("galaxies.tsv", "1.393", "-1")
    survey.replace("galaxies.tsv", "2.2425", "x")
    survey.replace("observations.tsv", "KMOS", "KMSO")
    survey.replace("observations.tsv", "header", "headr")
    survey.replace("lenses.yaml", "origin", "orign")
    problems = survey.problems()
    for entry in (
        "config.yaml: lines.smoothing_fhwm: ", "config.yaml: lines.groups[0]: ",
        "config.yaml: metallicity.calibration: ", "config.yaml: metallicity.log_oh_range: ",
        "config.yaml: exclude[0]: ", "config.yaml: overrides.sp9: ", "config.yaml: overrides.sp9.dust.rv: ",
        "galaxies.tsv: line 2, sp1: z: ", "galaxies.tsv: line 3, sp2: z: ",
        "observations.tsv: line 2, sp1 YJ: instrument: ", "observations.tsv: line 3, sp1 K: unit: ",
        "lenses.yaml: ms2137.orign: ", "lenses.yaml: ms2137.origin: ",
    ):  # fmt: skip
        assert sum(line.startswith(f"config/{entry}") for line in problems) == 1, (entry, problems)
    assert len(problems) == 13


def test_config_that_is_no_section(survey):
    survey.config = ["lines"]
    assert "must hold sections" in survey.only_problem()


# Whatever is in the files, the answer is a survey or a ConfigError.

CELLS = st.one_of(
    st.sampled_from(["sp1", "K", "KMOS", "nan", "1e-3", "$X", "~x", "\0", "none", "", "*"]), st.text(max_size=6)
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda part: st.one_of(st.lists(part, max_size=3), st.dictionaries(st.text(max_size=5), part, max_size=3)),
    max_leaves=6,
)
SECTIONS = ["lines", "align", "metallicity", "gradient", "overrides", "exclude", "tables", "simulation", "lens"]
KEYS = ["groups", "shifts", "regions", "diagnostics", "log_oh_range", "sp1", "galaxies", "image_filter", "map_snr"]


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Folder(Path(name))


def attempt(folder, config=None):
    try:
        loaded = load_survey(config or {}, folder.directory, folder.resources, ROOT / "workflow/schemas")
    except ConfigError as error:
        assert len(str(error).splitlines()) > 1
    else:
        assert [loaded.lens(galaxy) and loaded.settings(galaxy) for galaxy in loaded.galaxies]


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["galaxies.tsv", "observations.tsv", "lenses.yaml", "config.yaml"]),
    content=st.binary(max_size=60),
)
def test_random_bytes(folder, name, content):
    originals = {"galaxies.tsv": GALAXIES, "observations.tsv": OBSERVATIONS, "lenses.yaml": LENSES, "config.yaml": "{}"}
    for other, text in originals.items():
        folder.write(other, text)
    folder.write(name, content)
    attempt(folder)


def test_lenses_file_that_is_null_is_empty(survey):
    survey.write("lenses.yaml", "~")
    assert any("there is no lens 'ms2137'" in problem for problem in survey.problems())


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["galaxies.tsv", "observations.tsv"]),
    row=st.integers(0, 3),
    column=st.integers(0, 5),
    cell=CELLS,
)
def test_random_cells(folder, name, row, column, cell):
    originals = {"galaxies.tsv": GALAXIES, "observations.tsv": OBSERVATIONS, "lenses.yaml": LENSES, "config.yaml": "{}"}
    for other, text in originals.items():
        folder.write(other, text)
    rows = [line.split("\t") for line in originals[name].splitlines()]
    rows[row][column] = cell
    folder.write(name, "\n".join("\t".join(cells) for cells in rows).encode("utf-8", "surrogatepass"))
    attempt(folder)


@settings(max_examples=60, deadline=None)
@given(section=st.sampled_from(SECTIONS), key=st.sampled_from(KEYS), value=VALUES, direct=st.booleans())
def test_random_settings(folder, section, key, value, direct):
    for other, text in {"galaxies.tsv": GALAXIES, "observations.tsv": OBSERVATIONS, "lenses.yaml": LENSES}.items():
        folder.write(other, text)
    folder.write("config.yaml", "{}")
    attempt(folder, {section: value if direct else {key: value}})


@settings(max_examples=40, deadline=None)
@given(
    key=st.sampled_from(["z_lens", "origin", "images", "normalisation", "realisations", "x_deflection"]), value=VALUES
)
def test_random_lenses(folder, key, value):
    import yaml

    for other, text in {"galaxies.tsv": GALAXIES, "observations.tsv": OBSERVATIONS, "config.yaml": "{}"}.items():
        folder.write(other, text)
    folder.write("lenses.yaml", yaml.safe_dump({"ms2137": yaml.safe_load(MAPS) | {key: value}}))
    attempt(folder)

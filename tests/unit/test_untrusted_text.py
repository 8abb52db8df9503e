"""Damaged and malicious tables, line lists, lens models and names end in a sentence; nothing in them is executed."""

import ast
import io
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_config import GALAXIES, LENSES, MAPS, OBSERVATIONS, ROOT, Folder
from untrusted import many, told

from klever.config.lenses import read_lenses
from klever.config.schema import Problems, load_schema
from klever.config.settings import read_settings
from klever.config.tables import read_table as read_survey_table
from klever.errors import ConfigError, InputError
from klever.lensfit.cluster_tables import read_members
from klever.lensmodels.lenstool.parfile import read_parameters
from klever.line_lists import SHIPPED, read_line_list
from klever.operators import load_operators
from klever.row_tables import read_table

NASTY = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=30).map(lambda content: content.decode("latin-1")),
    st.sampled_from(
        [
            "nan",
            "1e999",
            "-inf",
            "9" * 400,
            "0x10",
            "1_0",
            "\0",
            "\t\t",
            "../../etc/passwd",
            "$(reboot)",
            "`id`",
            "~root",
            "${HOME}",
            "%s%n",
            "!!python/object/apply:os.system [reboot]",
            "&a [*a, *a]",
            "*a",
            "{" * 200,
            "[" * 2000,
            "- " * 500,
            "? ",
            "<<: *x",
            "\u202e",
            "e\u0301",
            "#",
            "end",
            "fini",
            "potentiel O9",
            "1d400",
            '"',
            "\r",
            "\ufeff",
        ]
    ),
)


def mangled(text):
    """Strategy: `text` with some pieces replaced by something nasty."""
    cut = st.tuples(st.integers(0, len(text)), st.integers(0, 60), NASTY)

    def change(cuts):
        result = text
        for start, length, new in cuts:
            result = result[:start] + new + result[start + length :]
        return result

    return st.lists(cut, min_size=1, max_size=3).map(change)


BEST = """\
runmode
    reference 3 150.0 -30.0
    end
grille
    nlentille 2
    end
potentiel O1
    profil 81
    x_centre 0.5
    y_centre -0.5
    ellipticite 0.3
    angle_pos 20.0
    core_radius_kpc 50.0
    cut_radius_kpc 1000.0
    v_disp 900.0
    z_lens 0.4
    end
potentiel O2
    profil 14
    gamma 0.03
    angle_pos 10.0
    z_lens 0.4
    end
cosmologie
    H0 70.0
    omegaM 0.3
    omegaX 0.7
    end
champ
    dmax 100.0
    end
fini
"""
TABLE = "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: galaxy, datatype: string}\n# - {name: z, datatype: float64}\n"
TABLE += "# meta: {state: ok}\n# schema: astropy-2.0\ngalaxy z\nsp1 1.39\nsp2 2.1\n"
MEMBERS = "ra\tdec\tmagnitude\n150.0\t-30.0\t19.0\n150.01\t-30.01\t20.5\n"


def write(path, text):
    path.write_text(text, encoding="utf-8", errors="replace", newline="")
    return path


@many(200)
@given(mangled(BEST))
def test_mangled_parameter_files_of_lenstool(tmp_path, text):
    path = write(tmp_path / "best.par", text)
    told(lambda: read_parameters(path), path.name)


@many(200)
@given(mangled(SHIPPED.read_text(encoding="utf-8")))
def test_mangled_line_lists(tmp_path, text):
    path = write(tmp_path / "mylines.yaml", text)
    told(lambda: read_line_list(path), path.name)


@many(200)
@given(mangled(TABLE))
def test_mangled_tables_of_products(tmp_path, text):
    path = write(tmp_path / "table.ecsv", text)
    told(lambda: read_table(path, ["galaxy", "z"]), path.name)


@pytest.mark.filterwarnings("ignore")
@many(50)
@given(mangled(MEMBERS))
def test_mangled_tables_of_members(tmp_path, text):
    path = write(tmp_path / "members.tsv", text)
    told(lambda: read_members(path, (150.0, -30.0)), path.name)


@pytest.fixture
def survey(tmp_path):
    return Folder(tmp_path)


SCHEMAS = {name: load_schema(ROOT / f"workflow/schemas/{name}.schema.yaml") for name in ("galaxies", "observations")}
SCHEMAS |= {name: load_schema(ROOT / f"workflow/schemas/{name}.schema.yaml") for name in ("lenses", "config")}


def checked(read, path, label, name):
    """Result of a reader of tables, which gathers its problems; each is a sentence with the file's name."""
    problems = Problems()
    result = read(path, label, SCHEMAS[name], problems)
    assert all(problem.startswith(label) for problem in problems)
    if problems:
        raise ConfigError("\n".join(problems))
    return result


@pytest.mark.parametrize(("name", "text"), [("galaxies", GALAXIES), ("observations", OBSERVATIONS)])
@many(200)
@given(data=st.data())
def test_mangled_tables_of_the_survey(tmp_path, name, text, data):
    path = write(tmp_path / f"{name}.tsv", data.draw(mangled(text)))
    told(lambda: checked(read_survey_table, path, path.name, name), path.name)


@many(200)
@given(mangled(LENSES + "model:\n" + MAPS))
def test_mangled_lenses(tmp_path, text):
    path = write(tmp_path / "lenses.yaml", text)
    told(lambda: checked(read_lenses, path, path.name, "lenses"), path.name)


@many(25)
@given(st.sampled_from(["galaxies.tsv", "observations.tsv", "lenses.yaml"]), st.data())
def test_mangled_surveys(survey, name, data):
    text = {"galaxies.tsv": GALAXIES, "observations.tsv": OBSERVATIONS, "lenses.yaml": LENSES}[name]
    write(survey.directory / "config" / name, data.draw(mangled(text)))
    told(survey.load, "config/")
    write(survey.directory / "config" / name, text)


@many(150)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), NASTY),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NASTY, inner, max_size=3)),
        max_leaves=8,
    ),
    st.sampled_from(
        ["lines", "ingest", "overrides", "exclude", "tables", "simulation", "metallicity", "acquire", "reduce", "junk"]
    ),
)
def test_absurd_settings(survey, value, key):
    problems = Problems()
    read_settings({key: value}, SCHEMAS["config"], survey.resources, problems)
    assert all(problem.startswith("config/config.yaml") for problem in problems)


def laughs(first, step, levels=9):
    """A few lines of YAML whose aliases stand for 9 ** levels values."""
    lines = [f"x0: &x0 {first}"]
    lines += [f"x{level}: &x{level} {step(', '.join([f'*x{level - 1}'] * 9))}" for level in range(1, levels + 1)]
    return "\n".join(lines) + "\n"


BOMBS = {
    "lists": laughs("[a]", lambda aliases: f"[{aliases}]"),
    "mappings": laughs(
        "{a: 1}", lambda aliases: "{" + ", ".join(f"k{i}: {a}" for i, a in enumerate(aliases.split(", "))) + "}"
    ),
    "merges": laughs("{a: 1}", lambda aliases: f"{{<<: [{aliases}]}}"),
    "itself": "x: &x [*x, *x, *x]\n",
}


@pytest.mark.parametrize("kind", BOMBS)
def test_aliases_that_stand_for_millions_of_values(survey, kind):
    for name in ("config.yaml", "lenses.yaml"):
        path = survey.directory / "config" / name
        old = path.read_text() if path.exists() else None
        path.write_text(BOMBS[kind])
        with pytest.raises(ConfigError, match=f"config/{name}: (stands for more than|is nested too deeply)"):
            survey.load()
        told(survey.load, "config/")
        path.unlink() if old is None else path.write_text(old)
    path.with_name("mylines.yaml").write_text(BOMBS[kind])
    told(lambda: read_line_list(path.with_name("mylines.yaml")), "mylines.yaml")


def test_settings_that_snakemake_read_are_counted_too(survey):
    inner = ["a"]
    for _ in range(9):
        inner = [inner] * 9
    problems = Problems()
    read_settings({"lines": inner}, SCHEMAS["config"], survey.resources, problems)
    assert any("stands for more than" in problem for problem in problems)


NAMES = st.one_of(
    st.text(min_size=1, max_size=80),
    st.sampled_from(
        [
            "a/b",
            "/etc",
            "..",
            "a..b",
            ".hidden",
            "-rf",
            "a b",
            "a\u00a0b",
            "a;b",
            "$(id)",
            "`id`",
            "a|b",
            "a&b",
            "a>b",
            "a*",
            "a?",
            "{galaxy}",
            "a'b",
            'a"b',
            "a\\b",
            "\u0455p1",
            "sp\u0661",
            "caf\u00e9",
            "a\u202eb",
            "sp1\u2028",
            "sp1\x0b",
            "x" * 65,
            "~",
            "%00",
        ]
    ),
)
SAFE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+-")


@many(300)
@given(NAMES)
def test_names_of_galaxies_are_safe_names_of_files(tmp_path, name):
    path = write(tmp_path / "galaxies.tsv", GALAXIES.replace("sp1", name, 1))
    problems = Problems()
    rows = read_survey_table(path, "galaxies.tsv", SCHEMAS["galaxies"], problems)
    for row in rows or []:
        galaxy = row.cells["galaxy"]
        if row.good("galaxy"):
            assert set(galaxy) <= SAFE and ".." not in galaxy and galaxy[0].isalnum() and len(galaxy) <= 64
        else:
            assert problems


class Trap:
    """Unpickled, it would make a file."""

    def __reduce__(self):
        return (open, ("unpickled", "w"))


@pytest.mark.parametrize("form", ["pickle", "npy", "npz"])
def test_pickles_and_object_columns_are_never_loaded(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    path, trap = tmp_path / "operators.npz", np.array([Trap()], dtype=object)
    stream = io.BytesIO()
    if form == "pickle":
        stream.write(pickle.dumps(Trap()))
    elif form == "npy":
        np.save(stream, trap, allow_pickle=True)
    else:
        np.savez(stream, **{"a.data": trap, "a.indices": trap, "a.indptr": trap, "a.shape": np.array([1, 1])})
    path.write_bytes(stream.getvalue())
    with pytest.raises(InputError, match=r"operators\.npz"):
        load_operators(path)
    assert not (tmp_path / "unpickled").exists()


def test_nothing_is_unpickled_evaluated_or_given_to_a_shell():
    forbidden = {"eval", "exec", "system", "popen", "unsafe_load", "full_load"}
    for script in sorted((ROOT / "workflow/scripts").rglob("*.py")):
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.split(".")[0] for alias in node.names} | {getattr(node, "module", None)}
                assert not names & {"pickle", "marshal", "shelve", "dill"}, script
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
            options = {keyword.arg: keyword.value for keyword in node.keywords}
            assert name not in forbidden, f"{script}:{node.lineno}"
            assert getattr(options.get("shell"), "value", False) is False, f"{script}:{node.lineno}"
            if name == "load" and getattr(getattr(node.func, "value", None), "id", "") == "np":
                assert options["allow_pickle"].value is False, f"{script}:{node.lineno}"
    for rules in (ROOT / "workflow/rules").glob("*.smk"):
        assert "shell:" not in rules.read_text(encoding="utf-8"), rules

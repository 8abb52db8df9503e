"""Our own reader and writer of ECSV against astropy's."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from astropy.units import Unit

from klever import row_tables
from klever.ecsv import parse_ecsv
from klever.errors import InputError
from klever.row_tables import Column, read_table, write_table

COLUMNS = [
    Column("galaxy", str, "name, with a comma: and a colon"),
    Column("flux", float, "flux of a line whose description is so long that the header has to be folded over more than "
           "one line of the file, as astropy folds it", "erg s-1 cm-2"),
    Column("count", int, "a whole number", "pix"),
    Column("used", bool, "true or false"),
    Column("mass", float, "100 % 'quoted' \"twice\"", "dex(Msun)"),
]  # fmt: skip
ROWS = [
    {"galaxy": "sp1", "flux": 1.2345678901234567e-17, "count": 3, "used": True, "mass": 10.0},
    {"galaxy": "", "flux": np.nan, "count": None, "used": False, "mass": -np.inf},
    {"galaxy": 'a "b" c', "flux": np.float64(1e22), "count": np.int64(-7), "used": np.bool_(True), "mass": 1e-5},
    {"galaxy": "Hβ # 1"},
]
META = {
    "galaxy": "sp1", "z": np.float64(1.5), "state": "no", "regions": ["all", "north"], "pair": (1, 2.5), "none": None,
    "centres": {"south": {"y": 1.0, "x": 2}, "all": {"centre": "continuum"}}, "empty": {}, "number": "1.0",
}  # fmt: skip


def _by_astropy(path, rows, columns, meta):
    table = Table(meta=dict(meta))
    for column in columns:
        values = [row.get(column.name) for row in rows]
        missing = [value is None or (column.kind is float and not np.isfinite(value)) for value in values]
        fill = "" if column.kind is str else column.kind(0)
        data = np.array([fill if gone else v for v, gone in zip(values, missing, strict=True)], dtype=column.kind)
        table[column.name] = MaskedColumn(data, mask=missing, unit=column.unit, description=column.description)
    table.write(path, format="ascii.ecsv", overwrite=True)


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], []])
@pytest.mark.parametrize("meta", [META, {}])
def test_tables_are_those_of_astropy_to_the_byte(tmp_path, rows, meta):
    _by_astropy(tmp_path / "a.ecsv", rows, COLUMNS, meta)
    write_table(tmp_path / "k.ecsv", rows, COLUMNS, meta)
    assert (tmp_path / "k.ecsv").read_bytes() == (tmp_path / "a.ecsv").read_bytes()


def test_tables_are_read_as_astropy_reads_them(tmp_path):
    _by_astropy(tmp_path / "a.ecsv", ROWS, COLUMNS, META)
    ours, theirs = read_table(tmp_path / "a.ecsv"), Table.read(tmp_path / "a.ecsv", format="ascii.ecsv")
    assert ours.colnames == theirs.colnames
    assert ours.meta == dict(theirs.meta)
    assert len(ours) == len(theirs)
    for name in theirs.colnames:
        mask = np.ma.getmaskarray(theirs[name])
        assert np.array_equal(np.ma.getmaskarray(ours[name]), mask), name
        assert ours[name].dtype.kind == theirs[name].dtype.kind
        assert ours[name][~mask].tolist() == theirs[name][~mask].tolist()
    assert np.ma.is_masked(ours[1]["flux"])
    assert [next(iter(row)) for row in ours[~np.ma.getmaskarray(ours["galaxy"])]] == ["sp1", 'a "b" c', "Hβ # 1"]
    with pytest.raises(IndexError):
        ours[4]


def test_numbers_survive_to_the_last_bit(tmp_path):
    random = np.random.default_rng(3)
    values = random.standard_normal(500) * 10.0 ** random.integers(-300, 300, 500)
    values = np.concatenate([values, [0.0, -0.0, 1e16, 1e-4, 9.999e-5, 123456789012345680.0, 5e-324]])
    rows = [{"x": value} for value in values]
    columns = [Column("x", float, "number")]
    _by_astropy(tmp_path / "a.ecsv", rows, columns, {})
    write_table(tmp_path / "k.ecsv", rows, columns, {})
    assert (tmp_path / "k.ecsv").read_bytes() == (tmp_path / "a.ecsv").read_bytes()
    assert read_table(tmp_path / "k.ecsv")["x"].tobytes() == values.tobytes()


def test_units_are_those_of_astropy():
    for text in row_tables._PLAIN_UNITS:
        assert str(Unit(text, parse_strict="silent")) == text
    for text, written in row_tables._UNITS.items():
        assert str(Unit(text, parse_strict="silent")) == written


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[: len(text) // 3], "ECSV"),
        (lambda text: text.replace("%ECSV", "%CSV"), "first line"),
        (lambda text: text.replace("datatype: int64", "datatype: object"), "object"),
        (lambda text: text.replace(" 3 ", " three "), "count"),
        (lambda text: text.replace("True", "maybe"), "used"),
        (lambda text: text.rsplit(" ", 1)[0] + "\n", "row 1"),
        (lambda text: text.replace("- {name: flux,", "- !!python/object/apply:os.system {name: flux,"), "header"),
        (lambda text: "", "first line"),
        (lambda text: text.replace("galaxy flux", "galaxy fluss"), "names"),
    ],
)
def test_damaged_tables_are_refused_in_a_sentence(tmp_path, change, said):
    path = tmp_path / "t.ecsv"
    write_table(path, ROWS[:1], COLUMNS, META)
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(InputError, match=said) as error:
        read_table(path)
    assert str(path) in str(error.value)


def test_missing_columns_and_files_are_named(tmp_path):
    write_table(tmp_path / "t.ecsv", ROWS, COLUMNS, META)
    with pytest.raises(InputError, match="no column slope"):
        read_table(tmp_path / "t.ecsv", ["galaxy", "slope"])
    with pytest.raises(InputError, match=r"absent\.ecsv"):
        read_table(tmp_path / "absent.ecsv")


def test_other_delimiters_are_read():
    text = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {name: a, datatype: int32}\n# schema: astropy-2.0\n"
    assert parse_ecsv(text + "a\n1\n2\n")["a"].tolist() == [1, 2]

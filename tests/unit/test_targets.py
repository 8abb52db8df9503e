"""Choice of targets: redshift ranges of the paper, OH emission under lines, catalogues, and what Table 2 lists."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.table import Table

from klever.errors import InputError
from klever.publish.visibility_figure import draw_visibility
from klever.spectral_lines import load_line_list
from klever.targets.catalogue import read_catalogue
from klever.targets.choice import Rule, choose_targets, explain, redshift_ranges, visible_lines
from klever.targets.visibility import Band, SkyBand, bands_of, line_visibility, read_sky_lines
from target_choice import write_target_choice

RESOURCES = Path(__file__).parents[2] / "resources"
INSTRUMENTS = yaml.safe_load((RESOURCES / "instruments.yaml").read_text(encoding="utf-8"))
LINES = {name: line.wavelength for name, line in load_line_list(RESOURCES / "lines.yaml").lines.items()}
CONTENT = yaml.safe_load((RESOURCES / "target_choice.yaml").read_text(encoding="utf-8"))
SKY = RESOURCES / "oh_lines_rousselot2000.dat"
NO_SKY = np.zeros((0, 2))


def rule(sky=NO_SKY, bands=("YJ", "H", "K"), bright=3.0):
    return Rule(CONTENT, LINES, bands_of(INSTRUMENTS, "KMOS", bands), sky, 80.0, bright, 0.5)


def test_the_papers_redshift_ranges_follow_from_the_bands():
    """Sect. 2.1: z in 1.2 to 1.65 and in 2 to 2.6, rounded; the text gives no more digits."""
    found = redshift_ranges(rule())
    assert [np.round(found[name], 2).tolist() for name in ("low", "high")] == [[[1.22, 1.68]], [[1.99, 2.60]]]
    assert np.allclose(found["low"], [[1.2, 1.65]], atol=0.04)
    assert np.allclose(found["high"], [[2.0, 2.6]], atol=0.01)
    # ends by hand: Halpha enters H, [O III] 5007 leaves YJ; Hbeta enters H, [O II] 3729 leaves YJ
    ends = [1.456 / LINES["Halpha"], 1.344 / LINES["OIII5007"], 1.456 / LINES["Hbeta"], 1.344 / LINES["OII3729"]]
    assert np.allclose(np.ravel([found["low"], found["high"]]), np.array(ends) - 1, atol=2e-6)


def test_without_a_band_its_set_is_lost():
    assert redshift_ranges(rule(bands=("YJ", "H")))["low"] == []


def test_mean_oh_emission_of_a_band_is_one():
    for band in bands_of(INSTRUMENTS, "KMOS"):
        sky = SkyBand(band, read_sky_lines(SKY))
        wavelength = np.linspace(band.low, band.high, 20001)
        assert np.mean(sky.density(wavelength)) == pytest.approx(1.0, abs=0.01)


def test_emission_of_one_line_is_a_gaussian_of_the_instruments_width():
    band = Band("H", 1.5, 1.7, 4000.0)
    sky = SkyBand(band, np.array([[16000.0, 5.0]]))
    wavelength = np.linspace(1.59, 1.61, 8001)
    density = sky.density(wavelength)
    second = np.sum(density * (wavelength - 1.6) ** 2) / np.sum(density)
    assert np.sqrt(second) == pytest.approx(1.6 / 4000 / 2.354820, rel=1e-4)
    assert np.trapezoid(density, wavelength) == pytest.approx(band.high - band.low, rel=1e-6)
    blurred = sky.density(wavelength, sigma=3e-4)
    assert np.sqrt(np.sum(blurred * (wavelength - 1.6) ** 2) / np.sum(blurred)) == pytest.approx(
        np.hypot(1.6 / 4000 / 2.354820, 3e-4), rel=1e-4
    )


@pytest.mark.parametrize("factor", [1e-20, 1.0, 1e20])
def test_the_unit_of_the_sky_lines_does_not_matter(factor):
    lines = read_sky_lines(SKY)
    band = bands_of(INSTRUMENTS, "KMOS", ["K"])[0]
    wavelength = np.linspace(2.0, 2.2, 500)
    scaled = SkyBand(band, lines * [1.0, factor]).density(wavelength)
    assert np.allclose(scaled, SkyBand(band, lines).density(wavelength), rtol=1e-10)


def test_a_line_on_an_oh_line_is_lost_and_a_line_beside_it_is_not():
    band = Band("H", 1.456, 1.846, 4045.0)
    z = 1.4
    on = LINES["Halpha"] * (1 + z)
    sky = SkyBand(band, np.array([[on * 1e4, 100.0], [17500.0, 100.0]]))
    windows = [(1.49, 1.78)]
    in_band, clear, oh, clean = line_visibility(LINES["Halpha"], [z, z + 0.01, 3.0], sky, windows, 30.0, 3.0)
    assert in_band.tolist() == [True, True, False]
    assert clear.tolist() == [True, True, False]
    assert clean[0] < 0.1
    assert clean[1] == pytest.approx(1.0)
    assert oh[0] > 100 > 1e-6 > oh[1]
    assert np.isnan([oh[2], clean[2]]).all()


def test_a_wide_line_escapes_from_a_narrow_oh_line():
    band = Band("H", 1.456, 1.846, 4045.0)
    sky = SkyBand(band, np.array([[LINES["Halpha"] * 2.4e4, 1.0], [17500.0, 1.0]]))
    clean = [line_visibility(LINES["Halpha"], [1.4], sky, [], width, 3.0)[3][0] for width in (10.0, 100.0, 500.0)]
    assert clean[0] < clean[1] < clean[2]


def test_states_of_the_lines_of_one_galaxy():
    rows = {row["line"]: row for row in visible_lines(rule(read_sky_lines(SKY)), 1.23)}
    assert rows["SIII9531"]["state"] == "clean"
    assert rows["Halpha"]["state"] == "telluric"  # 1.464 um, in the band, not in the H window
    assert rows["OII3726"]["state"] == "outside"
    assert rows["OII3726"]["band"] is None


def test_more_lines_come_first_then_less_oh():
    catalogue = [{"galaxy": name, "ra": 0.0, "dec": 0.0, "z": z} for name, z in
                 (("none", 0.1), ("half", 3.1), ("complete", 1.45), ("dirty", 1.4199), ("high", 2.3014))]  # fmt: skip
    ranked = choose_targets(rule(read_sky_lines(SKY)), catalogue)
    assert [row["rank"] for row in ranked] == [1, 2, 3, 4, 5]
    assert [row["galaxy"] for row in ranked][-2:] == ["half", "none"]
    assert [row["priority"] for row in ranked] == [1, 1, 1, 2, 3]
    order = [row["galaxy"] for row in ranked]
    assert order.index("high") < order.index("complete") < order.index("dirty")


def test_explanations():
    chosen = rule(read_sky_lines(SKY))
    seen = {row["species"]: row for row in explain(chosen, 1.4317, {"YJ": "[OIII]+Hb", "H": "Ha+[NII]", "K": "-"})}
    assert (seen["Ha"]["listed"], seen["Ha"]["reason"]) == (True, "clean")
    assert (seen["[SIII]"]["listed"], seen["[SIII]"]["reason"]) == (False, "clean")
    assert (seen["[OII]"]["listed"], seen["[OII]"]["reason"]) == (False, "outside")
    gone = {row["species"]: row for row in explain(chosen, 2.3, {"YJ": None, "H": "[OIII]", "K": "Ha"})}
    assert gone["[OII]"]["reason"] == "not_observed"


def test_no_target_of_table_2_is_listed_where_no_band_holds_it(tmp_path):
    """The lines that the paper lists lie in the bands at the paper's redshifts: the bands and the line list agree."""
    outputs = [tmp_path / name for name in ("targets.ecsv", "lines.ecsv", "explained.ecsv", "v.pdf", "v.png")]
    table = RESOURCES / "published/table2_sample.csv"
    sample, printed = [], 0
    for text in table.read_text(encoding="utf-8").splitlines()[1:]:
        cells = text.split(",")
        sample.append({"galaxy": cells[0], "ra": 0.0, "dec": 0.0, "z": float(cells[6])})
        printed += sum(len(cell.split("+")) for cell in cells[7:10] if cell and cell != "not_observed")
    settings = {
        "targets": {"instrument": "KMOS", "bands": ["YJ", "H", "K"], "dispersion": 80.0, "bright": 3.0,
                    "minimum_clean": 0.5},
        "figures": {"dpi": 60}, "galaxies": sample,
    }  # fmt: skip
    inputs = [RESOURCES / "target_choice.yaml", RESOURCES / "lines.yaml", RESOURCES / "instruments.yaml", SKY, table]
    write_target_choice([], *inputs, *outputs, settings)
    explained = Table.read(outputs[2])
    assert len(explained) == 43 * 7
    listed = explained[np.asarray(explained["listed"], bool)]
    assert len(listed) == printed > 100
    assert not any("no band" in text or "not observed" in text for text in listed["explanation"])
    assert all(path.stat().st_size > 500 for path in outputs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("galaxy,ra,dec\na,1,2\n", "no column z"),
        ("ra,dec,z\n1,2,3\n", "no column galaxy"),
        ("galaxy,ra,dec,z\na,1,2,high\n", "row 1: z is 'high'"),
        ("galaxy,ra,dec,z\na,1,-95,1\n", "row 1: dec is '-95'"),
        ("galaxy,ra,dec,z\na,nan,5,1\n", "row 1: ra is 'nan'"),
        ("galaxy,ra,dec,z\n,1,5,1\n", "row 1 has no name"),
        ("galaxy,ra,dec,z\na,1,5,1\na,2,5,1\n", "names a more than once"),
        ("", "no column galaxy, ra, dec, z; .* Its columns are none: it is empty"),
        ("galaxy,ra,dec,z\n", "has no rows"),
        ("galaxy,ra,dec,z\na,1,5\n", "row 1 has 3 cells and the head 4"),
        ("galaxy,ra,dec,z\na,21:72:00,5,1\n", "row 1: ra is '21:72:00'"),
        ("galaxy,ra,dec,z\na,325,5,-0.5\n", "row 1: z is '-0.5'"),
    ],
)
def test_bad_catalogues_are_refused_with_a_sentence(tmp_path, text, message):
    path = tmp_path / "catalogue.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_catalogue(path)


@pytest.mark.parametrize("separator", [",", "\t", " "])
def test_catalogues_with_any_separator(tmp_path, separator):
    path = tmp_path / "catalogue.txt"
    rows = (("id", "ra", "dec", "z", "mag"), ("a", "10.5", "-3", "1.4", "23"), ("b", "11", "4", "2.2", "24"))
    path.write_text("# a comment\n" + "\n".join(separator.join(row) for row in rows) + "\n", encoding="utf-8")
    assert read_catalogue(path) == [
        {"galaxy": "a", "ra": 10.5, "dec": -3.0, "z": 1.4}, {"galaxy": "b", "ra": 11.0, "dec": 4.0, "z": 2.2},
    ]  # fmt: skip


def test_unknown_instrument_and_band_are_refused():
    with pytest.raises(InputError, match="no instrument GNIRS; those"):
        bands_of(INSTRUMENTS, "GNIRS")
    with pytest.raises(InputError, match="KMOS has no band Q; its bands are YJ, H, K"):
        bands_of(INSTRUMENTS, "KMOS", ["H", "Q"])


def test_a_list_of_sky_lines_without_numbers_is_refused(tmp_path):
    (tmp_path / "sky.dat").write_text("wavelength strength\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"sky\.dat cannot be read"):
        read_sky_lines(tmp_path / "sky.dat")


FOUND = [
    {"galaxy": "a", "ra": pytest.approx(325.075125), "dec": pytest.approx(-23.643853, abs=1e-6), "z": 1.393},
    {"galaxy": "b", "ra": pytest.approx(10.5), "dec": pytest.approx(-0.5), "z": pytest.approx(np.nan, nan_ok=True)},
]


@pytest.mark.parametrize(
    "text",
    [
        "ID,RA,DEC,redshift\na,21:40:18.03,-23:38:37.87,1.393\nb,00:42:00,-0:30:00,-99\n",
        "Name\tRAJ2000\tDEJ2000\tz_spec\tmag\na\t325.075125\t-23.643853\t1.393\t\nb\t10.5\t-0.5\t\t22\n",
        "# made by hand\n# id ra dec z\n  a  325.075125  -23.643853  1.393 \n  b  10.5  -0.5  nan\n",
        "\ufeffgalaxy, ra, dec, z\na, 21h40m18.03s, -23d38m37.87s, 1.393\nb, 10.5, -.5, -\n",
    ],
)
def test_catalogues_as_others_write_them(tmp_path, text):
    """Other names and capitals, right ascensions with colons in hours, a head in a comment, no redshift."""
    path = tmp_path / "catalogue.txt"
    path.write_text(text, encoding="utf-8")
    assert read_catalogue(path) == FOUND


@pytest.mark.parametrize("name", ["c.fits", "c.vot", "c.ecsv", "c.fits.gz"])
def test_tables_with_units(tmp_path, name):
    table = Table({"Target": ["a", "b"], "RA": [325.075125 / 15, 0.7], "Dec": [-23.643853, -0.5], "z": [1.393, np.nan]})
    table["RA"].unit = "h"
    if name.endswith("vot"):
        table.write(tmp_path / name, format="votable")
    else:
        table.write(tmp_path / name)
    assert read_catalogue(tmp_path / name) == FOUND


def test_a_damaged_table_is_told(tmp_path):
    (tmp_path / "c.fits").write_bytes(b"SIMPLE  = nothing")
    with pytest.raises(InputError, match="cannot be read as a catalogue"):
        read_catalogue(tmp_path / "c.fits")


def test_the_figure_shows_every_oh_line():
    """Halpha at each redshift where an OH line covers it; a stripe may be as thin as the figure's step, 0.0003."""
    chosen = rule(read_sky_lines(SKY), ("H",))
    figure = draw_visibility(chosen, {}, [{"z": 1.4, "priority": 1}], (1.3, 1.6), "head")
    row = sorted(chosen.lines, key=chosen.lines.get).index("Halpha")
    stripes = []
    for collection in figure.axes[0].collections:
        for path in collection.get_paths():
            box = path.get_extents()
            if tuple(collection.get_facecolor()[0]) == (0, 0, 0, 1) and box.y0 < row < box.y1:
                stripes.append((box.x0, box.x1))
    z = np.arange(1.3, 1.6, 6e-5)
    in_band, _, _, clean = chosen.look("Halpha", chosen.bands[0], z)
    edges = np.flatnonzero(np.diff(np.r_[False, in_band & (clean < 0.5), False].astype(int)))
    wide = [(z[start], z[stop - 1]) for start, stop in zip(edges[::2], edges[1::2], strict=True) if stop - start > 6]
    assert len(wide) > 8
    for low, high in wide:
        assert any(left < 0.5 * (low + high) < right for left, right in stripes), (low, high)


def test_targets_without_a_redshift_come_last():
    catalogue = [{"galaxy": name, "ra": 0.0, "dec": 0.0, "z": z} for name, z in (("a", np.nan), ("b", 9.0), ("c", 2.3))]
    ranked = choose_targets(rule(), catalogue)
    assert [row["galaxy"] for row in ranked] == ["c", "b", "a"]
    assert (ranked[2]["species"], ranked[2]["priority"]) == ("-", 3)

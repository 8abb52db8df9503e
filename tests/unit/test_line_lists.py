"""Lists of lines: the shipped one unchanged, lists of a user's own, air and vacuum, ties."""

import logging

import pytest
import yaml
from astropy.table import Table
from linefit_mocks import LINE_LIST, OPTIONS, RESOURCES
from test_linefit_cubefit import SETTINGS, mock_cube

import lines as step
from klever.air import air_to_vacuum
from klever.errors import ConfigError
from klever.line_lists import SHIPPED, check_selection, read_line_list
from klever.linefit.model import GroupModel
from klever.spectral_lines import BoundedRatio, FixedRatio, lines_in_band, load_line_list

VACUUM = {
    "OII3726": 3727.092, "OII3729": 3729.875, "Hbeta": 4862.691, "OIII4959": 4960.295, "OIII5007": 5008.240,
    "NII6548": 6549.859, "Halpha": 6564.632, "NII6584": 6585.279, "SII6717": 6718.294, "SII6731": 6732.668,
    "SIII9069": 9071.089, "SIII9531": 9533.214,
}  # fmt: skip
GROUPS = {
    "oii": (["OII3726", "OII3729"], "OII3729", (), (BoundedRatio("OII3729", "OII3726", 0.35, 1.5),)),
    "oiii": (["Hbeta", "OIII4959", "OIII5007"], "OIII5007", (FixedRatio("OIII5007", "OIII4959", 3.0),), ()),
    "halpha": (
        ["NII6548", "Halpha", "NII6584", "SII6717", "SII6731"], "Halpha", (FixedRatio("NII6584", "NII6548", 3.0),),
        (BoundedRatio("SII6717", "SII6731", 0.4, 1.45),),
    ),
    "siii": (["SIII9069", "SIII9531"], "SIII9531", (FixedRatio("SIII9531", "SIII9069", 2.47),), ()),
}  # fmt: skip


def written(tmp_path, text, name="own.yaml"):
    path = tmp_path / name
    path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
    return path


def group(**more):
    return {"lines": {name: {"wavelength": 5000.0 + 10 * i} for i, name in enumerate("ABCD")},
            "groups": {"g": {"lines": list("ABCD")} | more}}  # fmt: skip


def ratio(numerator, denominator, value):
    return {"numerator": numerator, "denominator": denominator, "ratio": value}


def test_shipped_list_means_what_it_did():
    assert {name: line.wavelength for name, line in LINE_LIST.lines.items()} == {
        name: wavelength * 1e-4 for name, wavelength in VACUUM.items()
    }
    found = {
        name: ([line.name for line in entry.lines], entry.main, entry.fixed_ratios, entry.bounded_ratios)
        for name, entry in LINE_LIST.groups.items()
    }
    assert found == GROUPS
    assert list(found) == list(GROUPS) and list(LINE_LIST.lines) == list(VACUUM)
    assert LINE_LIST.sums == {"OII": ("OII3726", "OII3729"), "SII": ("SII6717", "SII6731")}
    assert LINE_LIST.notes == ()


def test_physical_ratios_are_those_of_the_atomic_data():
    physical = load_line_list(SHIPPED, doublet_ratios="physical")
    assert [physical.groups[name].fixed_ratios[0].ratio for name in ("oiii", "halpha", "siii")] == [2.984, 2.942, 2.469]
    assert physical.groups["halpha"].bounded_ratios == LINE_LIST.groups["halpha"].bounded_ratios
    assert physical.lines == LINE_LIST.lines


def test_a_ratio_without_physical_value_keeps_its_only_one(tmp_path):
    path = written(tmp_path, group(fixed_ratios=[ratio("A", "B", 3.0), ratio("C", "D", 2.0) | {"physical": 2.5}]))
    fixed = load_line_list(path, doublet_ratios="physical").groups["g"].fixed_ratios
    assert [item.ratio for item in fixed] == [3.0, 2.5]


def test_a_list_of_ones_own_replaces_the_shipped_one(tmp_path):
    text = "lines: {PaB: {wavelength: 12821.6}, H2: {wavelength: 21218.3}}\ngroups: {pab: {lines: [PaB]}}\n"
    known = load_line_list(written(tmp_path, text))
    assert list(known.lines) == ["PaB", "H2"]
    assert list(known.groups) == ["pab"]
    assert known.groups["pab"].main == "PaB"
    assert known.sums == {}


def test_include_default_adds_and_replaces(tmp_path):
    known = load_line_list(written(tmp_path, {
        "include": "default",
        "lines": {"OI6302": {"wavelength": 6302.046}, "SIII9531": {"wavelength": 9533.2}},
        "groups": {"oi": {"lines": ["OI6302"]}, "siii": {"lines": ["SIII9531"]}},
        "sums": {"RED": ["OI6302", "SIII9531"]},
    }))  # fmt: skip
    assert set(known.groups) == {"oii", "oiii", "halpha", "siii", "oi"}
    assert known.groups["halpha"] == LINE_LIST.groups["halpha"]
    assert [line.name for line in known.groups["siii"].lines] == ["SIII9531"]
    assert known.lines["SIII9531"].wavelength == pytest.approx(0.95332)
    assert set(known.sums) == {"OII", "SII", "RED"}
    assert [entry.name for entry in known.select(["oi", "halpha"])] == ["oi", "halpha"]


def test_a_group_can_be_added_without_new_lines(tmp_path):
    text = "include: default\ngroups: {hb: {lines: [Hbeta]}}\n"
    assert [line.name for line in load_line_list(written(tmp_path, text)).groups["hb"].lines] == ["Hbeta"]


def test_air_of_nist_becomes_vacuum(tmp_path):
    # NIST: Halpha 6562.79 A in air, 6564.60 A in vacuum; [O III] 5006.843 and 5008.240 A
    text = (
        "medium: air\nlines: {Halpha: {wavelength: 6562.79}, OIII5007: {wavelength: 5006.843},"
        " X: {wavelength: 7000.0, medium: vacuum}}\ngroups: {h: {lines: [Halpha, OIII5007, X]}}\n"
    )
    known = load_line_list(written(tmp_path, text))
    assert 1e4 * known.lines["Halpha"].wavelength == pytest.approx(6564.60, abs=0.01)
    assert 1e4 * known.lines["OIII5007"].wavelength == pytest.approx(5008.240, abs=0.002)
    assert known.lines["X"].wavelength == 7000.0 * 1e-4
    assert known.notes == (
        "line Halpha given in air at 6562.790 A, used in vacuum at 6564.603 A",
        "line OIII5007 given in air at 5006.843 A, used in vacuum at 5008.240 A",
    )


def test_medium_of_the_file_does_not_reach_the_included_lines(tmp_path):
    text = "include: default\nmedium: air\nlines: {OI6302: {wavelength: 6300.304}}\n"
    known = load_line_list(written(tmp_path, text))
    assert known.lines["Halpha"] == LINE_LIST.lines["Halpha"]
    assert 1e4 * known.lines["OI6302"].wavelength == pytest.approx(6302.046, abs=0.002)


def test_air_to_vacuum_is_that_of_morton():
    # Morton (2000, ApJS 130, 403), eq. 8: lambda_vac = n lambda_air, n at the vacuum wavenumber
    for vacuum in (3727.092, 5008.240, 6564.632, 9533.214, 21661.2):
        s2 = (1e4 / vacuum) ** 2
        index = 1 + 8.34254e-5 + 2.406147e-2 / (130 - s2) + 1.5998e-4 / (38.9 - s2)
        assert 1e4 * air_to_vacuum(1e-4 * vacuum / index) == pytest.approx(vacuum, abs=0.003)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lines: {Halpha: {wavelength: 6562.8}}\ngroups: {h: {lines: [Halpha]}}\n", "line Halpha has 6562.8 A, its"),
        ("lines: {Halpha: {wavelength: 6562.8}}\ngroups: {h: {lines: [Halpha]}}\n", "add `medium: air`"),
        ("lines: {Halpha: {wavelength: 6564.6, medium: air}}\ngroups: {h: {lines: [Halpha]}}\n", "said to be in air"),
        ("lines: {X: {wavelength: 5000.0, medium: Air}}\ngroups: {h: {lines: [X]}}\n", "write air or vacuum"),
        ("medium: water\nlines: {X: {wavelength: 5000.0}}\ngroups: {h: {lines: [X]}}\n", "medium 'water'"),
        ("lines: {X: {wavelength: 1500.0, medium: air}}\ngroups: {h: {lines: [X]}}\n", "below 2000 A"),
        ("lines: {X: {wavelength: 656.46}}\ngroups: {h: {lines: [X]}}\n", "below the Lyman limit; give it in Angstrom"),
        ("lines: {X: {wavelength: 0.65646, medium: air}}\ngroups: {h: {lines: [X]}}\n", "below the Lyman limit"),
        ("lines: {X: {wavelenth: 5000.0}}\ngroups: {h: {lines: [X]}}\n", "wavelength None"),
        ("lines: {X: {wavelength: 5000.0, medum: air}}\ngroups: {h: {lines: [X]}}\n", "did you mean medium"),
        ("include: shipped\nlines: {}\n", "`default`"),
        ("lines: {X: {wavelength: 5000.0}}\n", "lacks"),
        ("lines: {X: {wavelength: 5000.0}}\ngroups: {g: {lines: X}}\n", "at least one line"),
        ("lines: {X: {wavelength: 5000.0}}\ngroups: {g: {lines: [[X]]}}\n", "unknown line"),
        ("lines: {X: {wavelength: 5000.0}}\ngroups: [g]\n", "entries by name"),
        ("lines: {X: {wavelength: 5000.0}}\ngroups: {g: {lines: [X]}}\nsums: {S: [X]}\n", "at least two lines"),
        ("include: default\nlines: {HALPHA: {wavelength: 6564.6}}\n", "HALPHA and Halpha are the same name"),
        ("include: default\nlines: {OII: {wavelength: 3728.5}}\n", "same name"),
        ("lines: {'[OI]': {wavelength: 6302.0}}\ngroups: {g: {lines: ['[OI]']}}\n", "cannot name a map"),
        ("lines: {Continuum: {wavelength: 6302.0}}\ngroups: {g: {lines: [Continuum]}}\n", "cannot name a map"),
        ("lines: {X: {wavelength: 5000.0}, X: {wavelength: 5001.0}}\ngroups: {g: {lines: [X]}}\n", "given twice"),
        ("", "holds no entries"),
        ("- a\n", "holds no entries"),
        ("lines: {", "not valid YAML"),
    ],
)  # fmt: skip
def test_a_wrong_list_is_refused_with_a_sentence(tmp_path, text, message):
    with pytest.raises(ConfigError, match=r"own\.yaml") as caught:
        load_line_list(written(tmp_path, text))
    assert message in str(caught.value)


def test_a_line_stated_to_be_in_vacuum_is_believed(tmp_path):
    text = "lines: {Halpha: {wavelength: 6562.8, medium: vacuum}}\ngroups: {h: {lines: [Halpha]}}\n"
    assert load_line_list(written(tmp_path, text)).lines["Halpha"].wavelength == pytest.approx(0.65628)


@pytest.mark.parametrize(
    "ratios",
    [
        [ratio("A", "B", 3.0), ratio("B", "A", 0.5)],
        [ratio("A", "B", 3.0), ratio("A", "B", 3.0)],
        [ratio("A", "B", 3.0), ratio("B", "C", 2.0), ratio("C", "A", 1.0)],
        [ratio("A", "B", 3.0), ratio("C", "D", 2.0), ratio("B", "C", 2.0), ratio("A", "D", 1.0)],
    ],
)
def test_ties_that_close_a_loop_are_refused(tmp_path, ratios):
    with pytest.raises(ConfigError, match="twice, directly or by way of other lines"):
        load_line_list(written(tmp_path, group(fixed_ratios=ratios)))


def test_a_ratio_both_fixed_and_bounded_is_refused(tmp_path):
    bounded = [{"numerator": "A", "denominator": "C", "range": [0.5, 2.0]}]
    fixed = [ratio("A", "B", 3.0), ratio("B", "C", 2.0)]
    with pytest.raises(ConfigError, match="both fixes and bounds A over C"):
        load_line_list(written(tmp_path, group(fixed_ratios=fixed, bounded_ratios=bounded)))


@pytest.mark.parametrize(("low", "kept"), [(0.0, "ABCD"), (0.5005, "BCD"), (0.5015, "CD"), (0.5025, "D")])
def test_lines_tied_by_way_of_a_lost_line_stay_tied(tmp_path, low, kept):
    # A : B : C : D = 12 : 2 : 3 : 6, all tied by way of A
    ratios = [ratio("A", "B", 6.0), ratio("C", "A", 0.25), ratio("A", "D", 2.0)]
    known = load_line_list(written(tmp_path, group(fixed_ratios=ratios)))
    (cut,) = lines_in_band(known.groups.values(), 0.0, (low, 0.6))
    assert "".join(line.name for line in cut.lines) == kept
    columns = GroupModel(cut, 0.0, 1e-4).columns()
    assert columns.shape == (len(kept), 1)
    true = dict(zip("ABCD", (12.0, 2.0, 3.0, 6.0), strict=True))
    fluxes = columns[:, 0] / columns[0, 0]
    assert fluxes == pytest.approx([true[name] / true[kept[0]] for name in kept])


def test_two_groups_that_share_a_line_cannot_both_be_fitted(tmp_path):
    known = load_line_list(written(tmp_path, "include: default\ngroups: {hb: {lines: [Hbeta]}}\n"))
    assert [entry.name for entry in known.select(["hb", "halpha"])] == ["hb", "halpha"]
    with pytest.raises(ConfigError, match="oiii and hb both hold the line Hbeta"):
        known.select(["oiii", "hb"])
    check_selection(["oiii", "halpha"], read_line_list(SHIPPED)["groups"])


def test_the_lines_job_says_what_it_converted(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("KLEVER_KERNEL_CACHE", str(tmp_path))  # the step sets it
    cube, _, _, _ = mock_cube(8)
    cube.write(tmp_path / "cube.fits")
    own = written(tmp_path, "medium: air\nlines: {Ha: {wavelength: 6562.819}, NII: {wavelength: 6583.46}}\n"
                            "groups: {h: {lines: [Ha, NII], main: Ha}}\n")  # fmt: skip
    found = {}
    for name, path, groups in (("own", own, ["h"]), ("shipped", SHIPPED, ["halpha"])):
        settings = SETTINGS | {"lines": OPTIONS | SETTINGS["lines"] | {"groups": groups, "engine": "numpy"}}
        with caplog.at_level(logging.INFO, logger="klever"):
            step.measure_lines(
                cube=str(tmp_path / "cube.fits"), line_list=str(path), shipped_lines=str(SHIPPED),
                instruments=str(RESOURCES / "instruments.yaml"), kernel=str(tmp_path / "kernel"),
                linemaps=str(tmp_path / "maps.fits"),
                spectrum=str(tmp_path / "spectrum.ecsv"), lines=str(tmp_path / "lines.ecsv"), settings=settings,
            )  # fmt: skip
        found[name] = {row["line"]: row for row in Table.read(tmp_path / "lines.ecsv")}
    assert "line Ha given in air at 6562.819 A, used in vacuum at 6564.632 A" in caplog.text
    assert list(found["own"]) == ["Ha", "NII"]
    mine, shipped = found["own"]["Ha"], found["shipped"]["Halpha"]
    assert mine["velocity"] == pytest.approx(shipped["velocity"], abs=0.5 * shipped["velocity_error"])
    assert mine["flux"] == pytest.approx(shipped["flux"], abs=shipped["flux_error"])

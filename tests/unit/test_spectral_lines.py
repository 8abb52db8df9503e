import numpy as np
import pytest
import yaml
from linefit_mocks import INSTRUMENTS, LINE_LIST, RESOURCES

from klever.errors import ConfigError
from klever.spectral_lines import LineSpread, instrumental_sigma, lines_in_band, load_line_list, resolving_power


def test_wavelengths_are_vacuum_micrometre():
    assert LINE_LIST.lines["Halpha"].wavelength == pytest.approx(0.6564632)
    assert LINE_LIST.lines["OIII5007"].wavelength == pytest.approx(0.5008240)


def test_ratios_of_the_paper():
    assert LINE_LIST.groups["oiii"].fixed_ratios[0].ratio == 3.0
    assert LINE_LIST.groups["siii"].fixed_ratios[0].ratio == 2.47
    bound = LINE_LIST.groups["halpha"].bounded_ratios[0]
    assert (bound.numerator, bound.denominator, bound.low, bound.high) == ("SII6717", "SII6731", 0.4, 1.45)


def test_instrumental_sigma_is_that_of_the_band_centre():
    sigma = instrumental_sigma(INSTRUMENTS, "KMOS", "H")
    assert sigma * 2.3548 * 4045 == pytest.approx(1.651, rel=1e-4)


def test_a_resolving_power_of_the_observation_takes_the_place_of_the_listed_one():
    listed, own = (instrumental_sigma(INSTRUMENTS, "KMOS", "H", value) for value in (None, 3700.0))
    assert own / listed == pytest.approx(4045 / 3700)


def test_a_table_of_resolving_powers_gives_each_wavelength_its_own_width():
    spread = LineSpread((1.0, 2.0), (1000.0, 3000.0))
    fwhm = 2.3548 * spread(np.array([0.9, 1.0, 1.5, 2.0, 2.4]))
    np.testing.assert_allclose(fwhm, [0.9 / 1000, 1.0 / 1000, 1.5 / 2000, 2.0 / 3000, 2.4 / 3000], rtol=1e-4)
    bands = {"X": {"A": {"range": [1.0, 2.0], "resolution": [[1.0, 1000], [2.0, 3000]]}}}
    assert resolving_power(bands["X"]["A"]) == 2000.0
    scaled = instrumental_sigma(bands, "X", "A", 4000.0)
    np.testing.assert_allclose(scaled(np.array([1.0, 1.5])), spread(np.array([1.0, 1.5])) / 2)


def test_every_listed_band_has_resolving_powers_inside_its_range():
    for instrument, bands in INSTRUMENTS.items():
        for band, entry in bands.items():
            sigma = instrumental_sigma(INSTRUMENTS, instrument, band)
            if callable(sigma):
                assert entry["range"] == [sigma.wavelength[0], sigma.wavelength[-1]]
                assert np.all(np.diff(sigma.wavelength) > 0)
            assert 500 < resolving_power(entry) < 6000


@pytest.mark.parametrize(("instrument", "band"), [("KMOS", "Z"), ("KMOZ", "H")])
def test_unknown_band_names_the_choices(instrument, band):
    with pytest.raises(ConfigError, match="unknown"):
        instrumental_sigma(INSTRUMENTS, instrument, band)


@pytest.mark.parametrize(
    ("z", "band", "names"),
    [
        (1.4, (1.456, 1.846), {"halpha"}),
        (1.4, (1.025, 1.344), {"oiii"}),
        (2.2, (1.456, 1.846), {"oiii"}),
        (2.2, (1.025, 1.344), {"oii"}),
        (1.4, (1.92, 2.46), {"siii"}),
        (5.0, (1.456, 1.846), set()),
    ],
)
def test_lines_in_band_of_the_survey(z, band, names):
    groups = lines_in_band(LINE_LIST.groups.values(), z, band)
    assert {group.name for group in groups} == names


def test_a_group_cut_by_the_band_drops_ratios_and_moves_its_main_line():
    edge = LINE_LIST.lines["Halpha"].wavelength * 2.4 - 0.002
    (cut,) = lines_in_band(LINE_LIST.select(["halpha"]), 1.4, (1.456, edge))
    assert [line.name for line in cut.lines] == ["NII6548"]
    assert cut.main == "NII6548"
    assert cut.fixed_ratios == ()
    assert cut.bounded_ratios == ()


def test_margin_leaves_out_lines_at_the_edge():
    centre = LINE_LIST.lines["SII6731"].wavelength * 2.4
    inside = lines_in_band(LINE_LIST.select(["halpha"]), 1.4, (1.456, centre * 1.0005), 0.0)[0]
    outside = lines_in_band(LINE_LIST.select(["halpha"]), 1.4, (1.456, centre * 1.0005), 300.0)[0]
    assert {line.name for line in inside.lines} - {line.name for line in outside.lines} == {"SII6731"}


def _damaged(tmp_path, change):
    content = yaml.safe_load((RESOURCES / "lines.yaml").read_text())
    change(content)
    path = tmp_path / "lines.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["groups"]["oii"]["lines"].append("OII3730"), "OII3729"),
        (lambda c: c["lines"]["Hbeta"].update(wavelength=-4862.0), "Hbeta has wavelength -4862"),
        (lambda c: c["lines"]["Hbeta"].update(wavelength="x"), "vacuum wavelength"),
        (lambda c: c["groups"]["halpha"]["bounded_ratios"][0].update(range=[1.45, 0.4]), "low < high"),
        (lambda c: c["groups"]["oiii"]["fixed_ratios"][0].update(ratio=0), "above zero"),
        (lambda c: c["groups"]["oiii"]["fixed_ratios"][0].update(denominator="OIII5007"), "itself"),
        (lambda c: c["groups"]["oiii"].update(fixed_ratio=[]), "did you mean fixed_ratios"),
        (lambda c: c["groups"]["oii"].update(lines=[]), "at least one line"),
        (lambda c: c["sums"].update(SII=["SII6717", "SII6730"]), "sum SII"),
        (lambda c: c.pop("groups"), "lacks"),
    ],
)
def test_a_damaged_list_is_refused_with_a_sentence(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        load_line_list(_damaged(tmp_path, change))


def test_missing_file():
    with pytest.raises(ConfigError, match="the file does not exist"):
        load_line_list("/nowhere/lines.yaml")


def test_unknown_group_suggests_the_nearest():
    with pytest.raises(ConfigError, match="did you mean halpha"):
        LINE_LIST.select(["oii", "halfa"])

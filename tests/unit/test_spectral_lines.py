import pytest
import yaml
from linefit_mocks import INSTRUMENTS, LINE_LIST, RESOURCES

from klever.errors import ConfigError
from klever.spectral_lines import instrumental_sigma, lines_in_band, load_line_list


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

from pathlib import Path

import numpy as np
import pytest
import yaml

from klever.errors import ConfigError
from klever.gas.dust import REST_WAVELENGTHS, color_excess, correct, extinction

LINES = yaml.safe_load((Path(__file__).parents[2] / "resources" / "lines.yaml").read_text())


@pytest.mark.parametrize("line", REST_WAVELENGTHS)
def test_wavelengths_are_those_of_the_line_list(line):
    members = LINES["sums"].get(line, ["SIII9069", "SIII9531"] if line == "SIII" else [line])
    weights = [1.0, 2.47] if line == "SIII" else None
    expected = np.average([LINES["lines"][name]["wavelength"] for name in members], weights=weights)
    assert REST_WAVELENGTHS[line] * 1e4 == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("rv", [2.5, 3.1, 5.0])
def test_law_agrees_with_dust_extinction(rv):
    import astropy.units as u
    from dust_extinction.parameter_averages import CCM89

    law = CCM89(Rv=rv)
    for line, wavelength in REST_WAVELENGTHS.items():
        assert extinction(line, rv) == pytest.approx(float(law(wavelength * u.um)) * rv, rel=1e-9)


def test_law_at_values_known_from_other_codes():
    # shared by pyMCZ, `extinction` and dust_extinction, at air wavelengths
    assert extinction("Halpha") == pytest.approx(2.535, abs=0.002)
    assert extinction("Hbeta") == pytest.approx(3.609, abs=0.002)
    assert extinction("OII") == pytest.approx(4.771, abs=0.002)
    assert extinction("OIII5007") == pytest.approx(3.473, abs=0.002)


# dust_extinction 1.7, CCM89(Rv=3.1) x 3.1 at vacuum wavelengths (micrometre for those of the table of the facts)
@pytest.mark.parametrize(
    ("line", "k"), [("OII", 4.7703), ("Hbeta", 3.6076), ("OIII5007", 3.4716), ("Halpha", 2.5342), ("NII6584", 2.5244)]
)
def test_law_to_four_digits(line, k):
    assert extinction(line) == pytest.approx(k, abs=5.1e-5)


def test_without_reddening_ratios_stay():
    assert correct(0.3, 0.02, "OIII5007", "OII", 0.0, 0.0) == (0.3, 0.02)
    assert color_excess(2.87, 0.0, 1.0, 0.0)[0] == pytest.approx(0.0, abs=1e-12)


def test_color_excess_by_hand():
    # Halpha/Hbeta = 4: 2.328 log10(4 / 2.87) = 0.3357; error 2.328 x sqrt(0.02^2 + 0.1^2) / ln 10 = 0.1031
    ebv, error = color_excess(4.0, 0.08, 1.0, 0.1)
    assert ebv == pytest.approx(0.3357, abs=5e-4)
    assert error == pytest.approx(0.1031, abs=2e-4)


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e20])
def test_reddened_fluxes_give_back_their_reddening_and_the_true_ratio(scale):
    ebv = 0.4
    true = {"Halpha": 2.87, "Hbeta": 1.0, "OIII5007": 3.0, "OII": 2.0}
    seen = {line: scale * flux * 10 ** (-0.4 * ebv * extinction(line)) for line, flux in true.items()}
    measured, error = color_excess(seen["Halpha"], 0.0, seen["Hbeta"], 0.0)
    assert measured == pytest.approx(ebv, rel=1e-10)
    ratio, _ = correct(np.log10(seen["OIII5007"] / seen["OII"]), 0.0, "OIII5007", "OII", measured, error)
    assert ratio == pytest.approx(np.log10(1.5), rel=1e-10)


def test_negative_color_excess_is_kept_and_corrects_nothing():
    ebv, error = color_excess(2.0, 0.1, 1.0, 0.1)
    assert ebv < 0
    ratio, ratio_error = correct(0.3, 0.02, "OIII5007", "OII", ebv, error)
    assert ratio == 0.3
    assert ratio_error > 0.02  # the reddening is no better known for being negative


def test_error_of_the_correction_by_hand():
    # 0.4 (4.771 - 3.473) = 0.519 dex per magnitude
    ratio, error = correct(0.0, 0.03, "OIII5007", "OII", 0.2, 0.1)
    assert ratio == pytest.approx(-0.519 * 0.2, abs=2e-4)
    assert error == pytest.approx(np.hypot(0.03, 0.0519), abs=2e-4)


def test_close_lines_hardly_change():
    assert abs(correct(0.0, 0.0, "NII6584", "Halpha", 1.0, 0.0)[0]) < 0.006


def test_unknown_reddening_is_not_zero_reddening():
    assert np.all(np.isnan(correct(0.3, 0.1, "OIII5007", "OII", np.nan, np.nan)))
    assert np.all(np.isnan(correct(0.3, 0.1, "OIII5007", "OII", 0.1, np.nan)))
    assert np.all(np.isnan(color_excess(-1.0, 0.1, 1.0, 0.1)))


def test_settings_out_of_range():
    with pytest.raises(ConfigError, match=r"dust\.rv"):
        extinction("Halpha", 7.0)
    with pytest.raises(ConfigError, match=r"dust\.balmer_ratio"):
        color_excess(3.0, 0.1, 1.0, 0.1, balmer_ratio=0.0)

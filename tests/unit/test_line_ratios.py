import numpy as np
import pytest

from klever.errors import ConfigError
from klever.gas.line_ratios import DIAGNOSTICS, diagnostic, log_ratio


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e20])
def test_ratio_and_error_at_any_flux_scale(scale):
    ratio, error = log_ratio(100 * scale, 3 * scale, 10 * scale, 0.4 * scale)
    assert ratio == pytest.approx(1.0)
    assert error == pytest.approx(0.05 / np.log(10))


def test_inverting_a_ratio_changes_its_sign_only():
    forward, inverse = log_ratio(3.0, 0.2, 7.0, 0.1), log_ratio(7.0, 0.1, 3.0, 0.2)
    assert forward[0] == pytest.approx(-inverse[0])
    assert forward[1] == pytest.approx(inverse[1])


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 2])
def test_unusable_flux_gives_nan_in_value_and_error(bad, position):
    arguments = [2.0, 0.1, 1.0, 0.1]
    arguments[position] = bad
    assert np.all(np.isnan(log_ratio(*arguments)))


@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf])
@pytest.mark.parametrize("position", [1, 3])
def test_unusable_error_gives_nan_in_value_and_error(bad, position):
    arguments = [2.0, 0.1, 1.0, 0.1]
    arguments[position] = bad
    assert np.all(np.isnan(log_ratio(*arguments)))


def test_arrays_keep_their_shape_and_only_bad_pixels_are_nan():
    flux = np.array([[1.0, 2.0, -1.0], [4.0, np.nan, 6.0]])
    ratio, error = log_ratio(flux, 0.1, 2.0, 0.1)
    assert ratio.shape == error.shape == (2, 3)
    np.testing.assert_array_equal(np.isnan(ratio), [[False, False, True], [False, True, False]])
    np.testing.assert_array_equal(np.isnan(ratio), np.isnan(error))


def test_error_is_the_scatter_of_noisy_fluxes():
    generator = np.random.default_rng(1)
    numerator, denominator = generator.normal(50, 2, 20000), generator.normal(20, 1, 20000)
    ratio, _ = log_ratio(numerator, 2.0, denominator, 1.0)
    assert np.std(ratio) == pytest.approx(log_ratio(50.0, 2.0, 20.0, 1.0)[1], rel=0.03)


def test_diagnostics_are_the_paper_s():
    assert DIAGNOSTICS["R3"].lines == ("OIII5007", "Hbeta")
    assert DIAGNOSTICS["N2"].lines == ("NII6584", "Halpha")
    assert DIAGNOSTICS["S2"].lines == ("SII", "Halpha")
    assert DIAGNOSTICS["O3O2"].lines == ("OIII5007", "OII")
    assert [name for name, item in DIAGNOSTICS.items() if item.dereddened] == ["O3O2"]


@pytest.mark.parametrize(("wrong", "nearest"), [("n2", "N2"), ("O32", "O3O2"), ("R33", "R3")])
def test_unknown_diagnostic_offers_the_nearest(wrong, nearest):
    with pytest.raises(ConfigError, match=f"did you mean {nearest}"):
        diagnostic(wrong)

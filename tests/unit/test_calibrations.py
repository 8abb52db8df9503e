import json
from pathlib import Path

import numpy as np
import pytest

from klever.abundance.calibrations import calibrations_for, load_calibrations
from klever.errors import ConfigError, InputError

PATH = Path(__file__).parents[2] / "resources" / "calibrations.json"
FILE = json.loads(PATH.read_text())["calibrations"]


# worked out by hand from the published polynomials (x = -0.39 and 0)
@pytest.mark.parametrize(
    ("name", "log_oh", "expected"),
    [
        ("R3", 8.69, -0.277),
        ("R3", 8.3, -0.277 + 3.549 * 0.39 - 3.593 * 0.39**2 + 0.981 * 0.39**3),
        ("N2", 8.69, -0.489),
        ("N2", 8.3, -0.489 - 1.513 * 0.39 - 2.554 * 0.39**2 + 5.293 * 0.39**3 - 2.867 * 0.39**4),
        ("S2", 8.69, -0.442),
        ("O3O2", 8.69, -0.691),
        ("O3O2", 8.3, -0.691 + 2.944 * 0.39 - 1.308 * 0.39**2),
        ("R2", 8.69, 0.435),
    ],
)
def test_c20_at_tabulated_points(name, log_oh, expected):
    assert load_calibrations(PATH)[name].evaluate(log_oh) == pytest.approx(expected, abs=1e-12)


# typed from Table 2 of Curti et al. (2020), summed power by power
@pytest.mark.parametrize(
    ("name", "powers"),
    [
        ("R3", (-0.277, -3.549, -3.593, -0.981)),
        ("N2", (-0.489, 1.513, -2.554, -5.293, -2.867)),
        ("S2", (-0.442, -0.360, -6.271, -8.339, -3.559)),
        ("O3O2", (-0.691, -2.944, -1.308)),
        ("R2", (0.435, -1.362, -5.655, -4.851, -0.478, 0.736)),
    ],
)
def test_c20_curves_at_seven_points(name, powers):
    log_oh = np.array([7.6, 7.8, 8.0, 8.25, 8.5, 8.69, 8.9])
    expected = [sum(c * (value - 8.69) ** n for n, c in enumerate(powers)) for value in log_oh]
    assert load_calibrations(PATH)[name].evaluate(log_oh) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("name", "key"), [("R3", "R3"), ("N2", "N2"), ("S2", "S2"), ("R2", "R2")])
def test_turnover_is_where_the_file_says_and_the_ratio_turns_there(name, key):
    calibration = load_calibrations(PATH)[name]
    turnover = calibration.turnover
    assert turnover == pytest.approx(FILE["C20"][key]["turnover_OH"], abs=1e-3)
    below, at, above = calibration.evaluate([turnover - 0.02, turnover, turnover + 0.02])
    assert (at > below and at > above) or (at < below and at < above)


def test_o3o2_is_monotonic_in_its_range():
    calibration = load_calibrations(PATH)["O3O2"]
    assert calibration.turnover is None
    assert np.all(np.diff(calibration.evaluate(np.linspace(7.6, 8.9, 200))) < 0)


def test_dispersions_are_those_of_the_file():
    known = load_calibrations(PATH)
    assert known["R3"].dispersion() == FILE["C20"]["R3"]["rms_ratio"]
    assert known["N2"].dispersion("sigma_oh") == FILE["C20"]["N2"]["sigma_OH"]
    assert known["N2"].dispersion(0.2) == 0.2


@pytest.mark.parametrize("kind", ["rms", 0.0, -0.1, np.nan, True])
def test_a_dispersion_that_is_none_is_refused(kind):
    with pytest.raises(ConfigError, match=r"metallicity\.dispersion"):
        load_calibrations(PATH)["R3"].dispersion(kind)


def test_c17_borrows_dispersions_only_where_the_coefficients_are_the_same():
    c17, c20 = load_calibrations(PATH, "C17"), load_calibrations(PATH, "C20")
    assert c17["N2"].coefficients == c20["N2"].coefficients
    assert c17["N2"].dispersion() == c20["N2"].dispersion()
    assert "C20" in c17["N2"].source
    assert c17["R2"].coefficients != c20["R2"].coefficients
    with pytest.raises(ConfigError, match="C17 has no published dispersion for R2"):
        c17["R2"].dispersion()


# worked out by hand: B18 in 12+log(O/H) itself (R3 for both [OIII] lines), S24 from 8.0
@pytest.mark.parametrize(
    ("set_name", "name", "log_oh", "expected"),
    [
        ("B18", "R3", 8.0, 43.9836 - 21.6211 * 8 + 3.4277 * 64 - 0.1747 * 512 + np.log10(0.75)),
        ("B18", "R3", 8.35, 43.9836 - 21.6211 * 8.35 + 3.4277 * 8.35**2 - 0.1747 * 8.35**3 + np.log10(0.75)),
        ("B18", "N2", 8.33, -1.0),
        ("S24", "R3", 8.0, 0.834),
        ("S24", "R3", 7.5, 0.834 + 0.036 - 0.453 * 0.25),
        ("S24", "O3O2", 8.2, 0.723 - 1.153 * 0.2),
        ("S24", "R2", 7.4, 0.067 - 1.069 * 0.6),
        ("M08", "R3", 8.19, 0.1549 + 1.5031 * 0.5 - 0.979 * 0.25 + 0.0297 * 0.125),
        ("C17", "O3O2", 8.19, -0.691 + 2.944 * 0.5 - 1.308 * 0.25),
    ],
)
def test_other_sets_at_points_worked_out_by_hand(set_name, name, log_oh, expected):
    assert load_calibrations(PATH, set_name)[name].evaluate(log_oh) == pytest.approx(expected, abs=1e-9)


def test_what_is_unverified_is_said_with_the_result():
    assert "unverified" in load_calibrations(PATH, "S24")["R3"].source
    assert "O3O2" not in load_calibrations(PATH, "B18")  # which [OIII] lines its O32 holds is not known


def test_m08_evaluates_and_asks_for_a_dispersion():
    m08 = load_calibrations(PATH, "M08")
    assert m08["N2"].evaluate(8.69) == pytest.approx(-0.7732)
    assert m08["N2"].dispersion(0.15) == 0.15
    with pytest.raises(ConfigError, match="M08 has no published dispersion for N2"):
        m08["N2"].dispersion()


@pytest.mark.parametrize("log_oh", [7.5, 9.0, [8.0, 8.95]])
def test_outside_the_range_is_an_error_that_names_it(log_oh):
    with pytest.raises(ValueError, match=r"outside the range 7\.6-8\.9"):
        load_calibrations(PATH)["R3"].evaluate(log_oh)


def test_nan_gives_nan():
    assert np.isnan(load_calibrations(PATH)["R3"].evaluate(np.nan))


@pytest.mark.parametrize("name", ["N22", "PP04_M13"])
def test_incomplete_sets_say_what_is_missing(name):
    with pytest.raises(ConfigError, match=f"{name} cannot be used, .+ use one of C20"):
        load_calibrations(PATH, name)


def test_unknown_set_offers_the_nearest():
    with pytest.raises(ConfigError, match=r"'c20' is not one of .*did you mean C20"):
        load_calibrations(PATH, "c20")


@pytest.mark.parametrize("content", [None, "not json", "{}", '{"calibrations": {"C20": {"R3": {"coeffs": [1]}}}}'])
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "calibrations.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"calibrations\.json.*restore"):
        load_calibrations(path)


def test_range_of_the_posterior_must_be_calibrated_and_the_remedy_works():
    c17 = load_calibrations(PATH, "C17")
    with pytest.raises(ConfigError, match=r"of C17 is calibrated; \[8\.3, 8\.85\] holds"):
        calibrations_for(c17, ["N2", "R3"], [7.6, 8.9])
    assert list(calibrations_for(c17, ["N2", "R3"], [8.3, 8.85])) == ["N2", "R3"]
    with pytest.raises(ConfigError, match="empty"):
        calibrations_for(c17, ["N2"], [8.5, 8.5])


def test_a_diagnostic_the_set_lacks():
    with pytest.raises(ConfigError, match="C17 has no calibration of S2"):
        calibrations_for(load_calibrations(PATH, "C17"), ["S2"], [8.3, 8.8])

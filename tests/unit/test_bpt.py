from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from klever.errors import InputError
from klever.gas.bpt import classify, correlation, load_curves, offsets
from klever.gas.galaxy_bpt import offset_maps, offset_trends, overall_class
from klever.maps import Map, MapSet

CURVES = load_curves(Path(__file__).parents[2] / "resources" / "bpt.json")


# worked out by hand from the published curves
@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("Kewley01_N2", -1.0, 0.61 / -1.47 + 1.19),
        ("Kewley01_N2", 0.0, 0.61 / -0.47 + 1.19),
        ("Kewley01_S2", -0.5, 0.72 / -0.82 + 1.30),
        ("Kauffmann03", -0.5, 0.61 / -0.55 + 1.30),
        ("Shapley15_MOSDEF", -1.0, 0.67 / -1.2 + 1.12),
    ],
)
def test_curves_at_points_worked_out_by_hand(name, x, y):
    assert CURVES[name].evaluate(x) == pytest.approx(y, abs=1e-12)


def test_beyond_its_asymptote_everything_is_above_a_curve():
    assert CURVES["Kewley01_N2"].evaluate(0.6) == -np.inf
    assert np.isnan(CURVES["Kewley01_N2"].evaluate(np.nan))


@pytest.mark.parametrize("distance", [-0.2, 0.0, 0.1])
def test_offset_is_the_distance_along_the_normal(distance):
    curve = CURVES["Kewley01_N2"]
    x = np.array([-1.5, -1.0, -0.5, 0.0])
    slope = -curve.a / (x - curve.b) ** 2
    norm = np.hypot(slope, 1)
    found, error = offsets(x - slope / norm * distance, curve.evaluate(x) + distance / norm, 0.1, 0.1 + 0 * x, curve)
    assert found == pytest.approx(np.full(4, distance), abs=2e-3)
    assert error == pytest.approx(np.full(4, 0.1))


def test_offset_of_nothing_is_nan():
    found, error = offsets([np.nan, -1.0], [0.5, np.nan], [0.1, 0.1], [0.1, 0.1], CURVES["Kewley01_S2"])
    assert np.isnan(found).all()
    assert np.isnan(error).all()


@pytest.mark.parametrize(
    ("r3", "n2", "expected"),
    [
        ((0.3, 0.05, 0), (-1.0, 0.05, 0), "star_forming"),
        ((0.4, 0.05, 0), (-0.5, 0.05, 0), "composite"),
        ((1.0, 0.05, 0), (0.0, 0.05, 0), "agn"),
        ((0.3, 0.05, 0), (-1.0, 0.05, -1), "star_forming"),
        ((1.0, 0.05, 0), (0.0, 0.05, -1), "unknown"),
        ((1.0, 0.05, 1), (0.0, 0.05, 0), "agn"),
        ((0.3, 0.05, 1), (-1.0, 0.05, 0), "unknown"),
    ],
)
def test_classes_of_measurements_and_limits(r3, n2, expected):
    row = classify({"R3": r3, "N2": n2}, CURVES)
    assert row["n2_class"] == expected
    assert row["s2_class"] == "unknown"
    assert np.isfinite(row["n2_offset"]) == (r3[2] == n2[2] == 0)


def test_nothing_measured_is_unknown():
    assert classify({}, CURVES)["n2_class"] == "unknown"


def test_correlation_counts_independent_elements():
    generator = np.random.default_rng(4)
    x = generator.normal(size=400)
    y = x + generator.normal(size=400)
    strong, few = correlation(x, y, 400), correlation(x, y, 8)
    assert strong[0] == few[0] == pytest.approx(0.7, abs=0.1)
    assert strong[1] < 1e-20
    assert few[1] > 1e-3
    assert np.isnan(correlation(x, y, 3)).all()
    assert np.isnan(correlation(np.ones(50), np.arange(50.0), 50)).all()


def test_independent_pixels_give_uniform_p_values():
    generator = np.random.default_rng(5)
    p = [correlation(*generator.normal(size=(2, 30)), 30)[1] for _ in range(400)]
    assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.05)


def source(n2_at_centre):
    """A disc whose N2 falls outwards from a value, with a velocity dispersion that follows it."""
    y, x = np.indices((40, 40))
    radius = np.hypot(x - 20, y - 20)
    n2 = n2_at_centre - 0.06 * radius
    ratios = {
        "N2": (n2, np.full(n2.shape, 0.05)),
        "S2": (np.full(n2.shape, np.nan),) * 2,
        "R3": (np.full(n2.shape, 0.6), np.full(n2.shape, 0.05)),
    }
    maps = MapSet(header=fits.Header({"XREF": 20.0, "YREF": 20.0}))
    maps["DISPERSION_HALPHA"] = Map(100 - radius, np.ones(n2.shape), np.zeros(n2.shape, np.uint16), "km s-1")
    return ratios, maps


def test_an_agn_in_the_centre_shows_in_the_trends():
    ratios, maps = source(0.3)
    row = offset_trends(offset_maps(ratios, CURVES), maps, 40.0)
    assert row["n2_radius_rho"] < -0.95
    assert row["n2_dispersion_rho"] > 0.95
    assert row["n2_radius_p"] < 1e-6
    assert 0 < row["n2_pixels_above"] < row["n2_pixels"] == 1600
    assert row["s2_pixels"] == 0
    assert np.isnan(row["s2_radius_rho"])
    ratios, maps = source(-0.6)
    assert offset_trends(offset_maps(ratios, CURVES), maps, 40.0)["n2_pixels_above"] == 0


def test_overall_class():
    row = {"broad_state": "narrow", "n2_offset": 0.3, "n2_offset_error": 0.1, "n2_class": "agn"}
    assert overall_class(row) == "line_ratios"
    assert overall_class(row | {"n2_offset_error": 0.2}) == "no"
    assert overall_class(row | {"broad_state": "broad"}) == "type1"
    assert overall_class(row | {"n2_offset": np.nan, "n2_class": "star_forming"}) == "no"
    assert overall_class(row | {"n2_offset": np.nan, "n2_class": "unknown"}) == "unknown"


@pytest.mark.parametrize("content", [None, "[]", '{"curves": {"x": {"ratio": "N2"}}}'])
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "bpt.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"bpt\.json.*restore"):
        load_curves(path)

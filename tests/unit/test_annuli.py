import numpy as np
import pytest

from klever.gradient.annuli import Ellipse, circle_overlap, extract_annuli
from klever.gradient.centres import find_centre, nearest_region

SCALE, KPC = 0.065, 8.5
GRADIENT = {"apertures": ["elliptical", "circular"], "step": 0.5, "minimum_coverage": 0.2, "minimum_annuli": 3,
            "centre": "auto", "regions": {}, "walkers": 32, "steps": 2000, "burn_in": 500, "seed": 42}  # fmt: skip


def blob(shape, x, y, fwhm=6.0):
    rows, columns = np.indices(shape)
    return np.exp(-4 * np.log(2) * ((columns - x) ** 2 + (rows - y) ** 2) / fwhm**2)


def linear_map(shape, x, y, slope=-0.01, extent=np.inf):
    rows, columns = np.indices(shape)
    radius = np.hypot(columns - x, rows - y)
    return np.where(radius <= extent, 8.5 + slope * radius, np.nan)


# --- overlap of pixels with ellipses


@pytest.mark.parametrize("radius", [0.3, 1.0, 3.7, 12.0])
@pytest.mark.parametrize(("axis_ratio", "angle"), [(1.0, 0.0), (0.5, 30.0), (0.2, -75.0), (0.7, 200.0)])
def test_pixel_fractions_sum_to_the_area_of_the_ellipse(radius, axis_ratio, angle):
    y, x = (item.ravel() for item in np.indices((71, 83)))
    fractions = Ellipse(40.3, 34.8, axis_ratio, angle).pixel_fractions(x, y, radius)
    semi_major, semi_minor = radius / np.sqrt(axis_ratio), radius * np.sqrt(axis_ratio)
    assert fractions.sum() == pytest.approx(np.pi * semi_major * semi_minor, rel=1e-10)
    assert fractions.min() >= 0 and fractions.max() <= 1


def test_pixel_fractions_against_counting_points():
    ellipse, size = Ellipse(0.2, -0.4, 0.4, 25.0), 201
    offsets = (np.arange(size) + 0.5) / size - 0.5
    y, x = (item.ravel() for item in np.mgrid[-6:7, -6:7])
    counted = [
        np.mean(ellipse.radius(column + offsets[None, :], row + offsets[:, None]) < 3.0)
        for row, column in zip(y, x, strict=True)
    ]
    np.testing.assert_allclose(ellipse.pixel_fractions(x, y, 3.0), counted, atol=2e-3)


@pytest.mark.parametrize("centre", [(5.0, 5.0), (5.5, 5.5), (5.5, 5.0)])
def test_centres_on_pixel_corners_and_edges(centre):
    y, x = (item.ravel() for item in np.indices((11, 12)))
    assert Ellipse(*centre).pixel_fractions(x, y, 2.0).sum() == pytest.approx(np.pi * 4, rel=1e-10)


def test_overlap_of_a_square_around_a_small_circle_and_inside_a_large_one():
    x, y = np.array([-1.0, 1.0, 1.0, -1.0]), np.array([-1.0, -1.0, 1.0, 1.0])
    assert circle_overlap(x, y, 0.5) == pytest.approx(np.pi / 4)
    assert circle_overlap(x, y, 10.0) == pytest.approx(4.0)
    assert circle_overlap(x[::-1], y[::-1], 10.0) == pytest.approx(-4.0)


def test_position_angle_runs_from_north_through_east():
    # east is -x on a north-up map: at 90 degrees the long axis lies along x, at 45 it points to the upper left
    assert Ellipse(0, 0, 0.25, 90.0).radius(4.0, 0.0) == pytest.approx(2.0)
    assert Ellipse(0, 0, 0.25, 0.0).radius(0.0, 4.0) == pytest.approx(2.0)
    assert Ellipse(0, 0, 0.25, 45.0).radius(-1.0, 1.0) < Ellipse(0, 0, 0.25, 45.0).radius(1.0, 1.0)


# --- profiles


def test_circular_annuli_recover_a_linear_slope_exactly():
    shape, x, y = (61, 75), 36.3, 29.6
    found = extract_annuli(linear_map(shape, x, y), np.full(shape, 0.1), Ellipse(x, y), 3.0, 6.0, 0.2)
    radius, log_oh = np.array([[item.radius, item.log_oh] for item in found]).T
    slope, intercept = np.polyfit(radius, log_oh, 1)
    assert slope == pytest.approx(-0.01, rel=1e-10) and intercept == pytest.approx(8.5, abs=1e-10)
    middle = [2 / 3 * (item.outer**3 - item.inner**3) / (item.outer**2 - item.inner**2) for item in found]
    np.testing.assert_allclose(radius[:8], middle[:8], atol=0.03)


def test_elliptical_annuli_recover_an_elliptical_profile_and_steepen_a_circular_one():
    shape, x, y, q = (81, 91), 45.2, 40.4, 0.4
    rows, columns = np.indices(shape)
    ellipse = Ellipse(x, y, q, 30.0)
    same = 8.5 - 0.01 * ellipse.radius(columns, rows)
    error = np.full(shape, 0.1)

    def slope_of(log_oh, aperture):
        found = extract_annuli(log_oh, error, aperture, 3.0, 6.0, 0.9)
        radius, value = np.array([[item.radius, item.log_oh] for item in found]).T
        return np.polyfit(radius, value, 1)[0]

    assert slope_of(same, ellipse) == pytest.approx(-0.01, rel=1e-10)
    # a circular pattern seen in annuli of r = sqrt(ab): the mean of hypot(cos / sqrt q, sin sqrt q) on the ellipse is
    # weighted with the area; it exceeds 1, so the slope per sqrt(ab) is steeper by that factor, whatever the angle
    phase = np.linspace(0, 2 * np.pi, 10000)
    factor = np.mean(np.hypot(np.cos(phase) / np.sqrt(q), np.sin(phase) * np.sqrt(q)))
    assert factor > 1
    assert slope_of(linear_map(shape, x, y), ellipse) == pytest.approx(-0.01 * factor, rel=0.01)
    assert slope_of(linear_map(shape, x, y), Ellipse(x, y)) == pytest.approx(-0.01, rel=1e-10)


def test_annuli_end_where_the_map_does_and_cover_its_area():
    shape, x, y = (61, 61), 30.0, 30.0
    log_oh = linear_map(shape, x, y, extent=14.0)
    found = extract_annuli(log_oh, np.full(shape, 0.1), Ellipse(x, y), 3.0, 6.0, 0.2)
    # the last one spans 12-15, of which 12-14 is measured: 64 per cent
    assert found[-1].outer == 15.0
    assert found[-1].coverage == pytest.approx((14**2 - 12**2) / (15**2 - 12**2), abs=0.05)
    assert sum(item.weight for item in found) == pytest.approx(np.isfinite(log_oh).sum())
    short = extract_annuli(log_oh, np.full(shape, 0.1), Ellipse(x, y), 3.0, 6.0, 0.9)
    assert short[-1].outer == 12.0


def test_the_profile_stops_at_a_gap_and_starts_after_a_central_hole():
    shape, x, y = (61, 61), 30.0, 30.0
    rows, columns = np.indices(shape)
    radius = np.hypot(columns - x, rows - y)
    log_oh = linear_map(shape, x, y)
    log_oh[(radius < 3.5) | ((radius > 11) & (radius < 16))] = np.nan
    found = extract_annuli(log_oh, np.full(shape, 0.1), Ellipse(x, y), 3.0, 6.0, 0.2)
    assert found[0].inner == 3.0
    assert found[-1].outer == 12.0


def test_error_combines_scatter_and_pixel_errors_over_the_independent_elements():
    shape = (61, 61)
    generator = np.random.default_rng(2)
    log_oh, error = 8.4 + generator.normal(0, 0.05, shape), np.full(shape, 0.12)
    for beam in (4.0, 8.0):
        for item in extract_annuli(log_oh, error, Ellipse(30, 30), 3.0, beam, 0.2):
            independent = max(1.0, item.weight / (np.pi * beam**2 / (4 * np.log(2))))
            assert item.error == pytest.approx(np.sqrt((item.scatter**2 + 0.12**2) / independent))
            assert item.scatter == pytest.approx(0.05, rel=0.35)


def test_pixels_without_a_finite_error_do_not_count():
    shape = (41, 41)
    error = np.full(shape, 0.1)
    error[:, :20] = np.nan
    found = extract_annuli(np.full(shape, 8.4), error, Ellipse(20, 20), 3.0, 6.0, 0.2)
    assert all(item.coverage < 0.7 for item in found) and found


def test_nothing_measured_gives_no_annuli():
    assert extract_annuli(np.full((5, 9), np.nan), np.full((5, 9), np.nan), Ellipse(2, 2), 1.0, 2.0, 0.2) == []


def test_transposed_and_flipped_maps_have_the_same_profile():
    log_oh = linear_map((33, 47), 20.4, 15.2, extent=12)
    log_oh += 0.01 * np.indices(log_oh.shape)[1]
    error = np.full(log_oh.shape, 0.1)

    def profile(value, x, y, angle):
        found = extract_annuli(value, np.full(value.shape, 0.1), Ellipse(x, y, 0.5, angle), 2.0, 4.0, 0.2)
        return np.array([[item.radius, item.log_oh, item.error, item.coverage] for item in found])

    straight = profile(log_oh, 20.4, 15.2, 30.0)
    np.testing.assert_allclose(profile(log_oh[:, ::-1], 46 - 20.4, 15.2, -30.0), straight, rtol=1e-10)
    # exchanging x and y takes an angle from +y through -x to one from +x through -y
    np.testing.assert_allclose(profile(log_oh.T, 15.2, 20.4, -90.0 - 30.0), straight, rtol=1e-10)
    assert error.shape == log_oh.shape


# --- centre


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e20])
def test_centre_is_the_continuum_peak_to_a_fraction_of_a_pixel(scale):
    shape = (41, 53)
    continuum, halpha = blob(shape, 27.3, 19.6) * scale, blob(shape, 20, 20) * scale
    error = np.full(shape, 0.01 * scale)
    maps = [("continuum", continuum, error), ("halpha", halpha, error)]
    name, x, y = find_centre(maps, np.ones(shape, bool), 2.0, 5.0)
    assert name == "continuum"
    assert (x, y) == pytest.approx((27.3, 19.6), abs=0.1)


def test_without_a_continuum_detection_halpha_is_the_centre():
    shape = (41, 53)
    noise = np.random.default_rng(4).normal(0, 1, shape)
    maps = [("continuum", noise, np.ones(shape)), ("halpha", blob(shape, 20.2, 18.9), np.full(shape, 0.01))]
    name, x, y = find_centre(maps, np.ones(shape, bool), 2.0, 5.0)
    assert name == "halpha" and (x, y) == pytest.approx((20.2, 18.9), abs=0.1)


def test_a_peak_outside_the_measured_region_is_none():
    shape = (41, 53)
    measured = np.zeros(shape, bool)
    measured[10:30, 5:25] = True
    error = np.full(shape, 0.001)
    maps = [("continuum", blob(shape, 45, 20, 20), error), ("halpha", blob(shape, 15, 20), error)]
    assert find_centre(maps, measured, 2.0, 5.0)[0] == "halpha"
    assert find_centre(maps[:1], measured, 2.0, 5.0) is None


@pytest.mark.parametrize("value", [np.full((9, 11), np.nan), np.zeros((9, 11)), None])
def test_maps_without_light_have_no_peak(value):
    assert find_centre([("continuum", value, None)], np.ones((9, 11), bool), 2.0, 5.0) is None


def test_each_pixel_belongs_to_the_nearest_seed():
    nearest = nearest_region((4, 10), [(2, 1), (7, 1)])
    assert np.all(nearest[:, :5] == 0) and np.all(nearest[:, 5:] == 1)

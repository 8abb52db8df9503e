import numpy as np
import pytest

from klever.gradient.gradients import fit_line, resolution_class, sample_line, slope_error_from

GRADIENT = {"apertures": ["elliptical", "circular"], "step": 0.5, "minimum_coverage": 0.2, "minimum_annuli": 3,
            "centre": "auto", "regions": {}, "walkers": 32, "steps": 400, "burn_in": 100, "seed": 42}  # fmt: skip
RADIUS = np.array([0.9, 2.1, 3.6, 5.2, 6.8])


def noisy(generator, slope=0.02, intercept=8.4, error=0.04):
    return intercept + slope * RADIUS + generator.normal(0, error, RADIUS.size), np.full(RADIUS.size, error)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_chain_agrees_with_the_analytic_solution(seed):
    y, error = noisy(np.random.default_rng(seed))
    exact, sampled = fit_line(RADIUS, y, error), sample_line(RADIUS, y, error, seed=42)
    assert sampled.slope == pytest.approx(exact.slope, abs=0.05 * exact.slope_error)
    assert sampled.intercept == pytest.approx(exact.intercept, abs=0.05 * exact.intercept_error)
    assert sampled.slope_error == pytest.approx(exact.slope_error, rel=0.05)
    assert sampled.intercept_error == pytest.approx(exact.intercept_error, rel=0.05)
    assert sampled.slope_error == pytest.approx(0.5 * (sampled.slope_error_minus + sampled.slope_error_plus))
    assert sampled.converged and 0.2 < sampled.acceptance < 0.7


def test_analytic_solution_against_polyfit():
    y, _ = noisy(np.random.default_rng(1))
    error = np.array([0.02, 0.05, 0.03, 0.08, 0.04])
    coefficients, covariance = np.polyfit(RADIUS, y, 1, w=1 / error, cov="unscaled")
    line = fit_line(RADIUS, y, error)
    assert (line.slope, line.intercept) == pytest.approx(tuple(coefficients))
    assert (line.slope_error, line.intercept_error) == pytest.approx(tuple(np.sqrt(np.diag(covariance))))


def test_two_points_give_the_line_through_them():
    line = fit_line(np.array([1.0, 3.0]), np.array([8.0, 8.4]), np.array([0.1, 0.2]))
    assert (line.slope, line.intercept, line.chi2) == pytest.approx((0.2, 7.8, 0.0), abs=1e-12)


def test_pulls_of_the_slope_are_standard_normal():
    generator = np.random.default_rng(7)
    lines = [fit_line(RADIUS, *noisy(generator)) for _ in range(4000)]
    pulls = np.array([(line.slope - 0.02) / line.slope_error for line in lines])
    # 4000 draws: 1 sigma is 0.016 for the mean, 0.011 for the width
    assert abs(pulls.mean()) < 0.05 and pulls.std() == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_radii_in_any_unit_give_the_same_line(scale):
    y, error = noisy(np.random.default_rng(1))
    plain, scaled = (sample_line(RADIUS * unit, y, error, seed=1, steps=200, burn_in=50) for unit in (1.0, scale))
    assert scaled.slope * scale == pytest.approx(plain.slope)
    assert scaled.intercept == pytest.approx(plain.intercept)


def test_same_seed_same_chain_whatever_the_global_state():
    y, error = noisy(np.random.default_rng(1))
    results = []
    for state in (1, 2):
        np.random.seed(state)
        results.append(sample_line(RADIUS, y, error, seed=3, steps=200, burn_in=50))
    assert results[0] == results[1]
    assert sample_line(RADIUS, y, error, seed=4, steps=200, burn_in=50) != results[0]


@pytest.mark.parametrize(
    ("radius", "expected"),
    [
        (0.0, "unresolved"),
        (0.999, "unresolved"),
        (1.0, "marginal"),
        (1.999, "marginal"),
        (2.0, "resolved"),
        (9.0, "resolved"),
    ],
)
@pytest.mark.parametrize("unit", [1.0, 1e-20, 1e20])
def test_limits_of_the_resolution_classes(radius, expected, unit):
    assert resolution_class(radius * unit, unit) == expected


def test_the_paper_s_marginal_and_resolved_psfs():
    # Table 4: ph8073 (3.59 x 3.15 kpc) is marginal; half of that PSF is 1.68 kpc
    hwhm = 0.5 * np.sqrt(3.59 * 3.15)
    assert hwhm == pytest.approx(1.68, abs=0.005)
    assert resolution_class(3.0, hwhm) == "marginal" and resolution_class(3.4, hwhm) == "resolved"


# --- covariance


def covariance_of(noise=0.03, shared=0.1, length=2.0):
    distance = np.abs(RADIUS[:, None] - RADIUS)
    return noise**2 * np.exp(-distance / length), shared**2 * np.ones((RADIUS.size, RADIUS.size))


def test_errors_and_their_diagonal_covariance_give_the_same_line():
    y, error = noisy(np.random.default_rng(3))
    one, other = fit_line(RADIUS, y, error), fit_line(RADIUS, y, np.diag(error**2))
    assert vars(one) == pytest.approx(vars(other), nan_ok=True)


def test_pulls_with_correlated_noise_and_a_common_shift_are_standard_normal():
    noise, common = covariance_of()
    generator = np.random.default_rng(11)
    root = np.linalg.cholesky(noise)
    pulls = []
    for _ in range(3000):
        y = 8.4 + 0.02 * RADIUS + root @ generator.normal(size=RADIUS.size) + 0.1 * generator.normal()
        line = fit_line(RADIUS, y, noise, common)
        pulls.append([(line.slope - 0.02) / line.slope_error, (line.intercept - 8.4) / line.intercept_error, line.chi2])
    slope, intercept, chi2 = np.array(pulls).T
    assert slope.std() == pytest.approx(1, abs=0.05) and intercept.std() == pytest.approx(1, abs=0.05)
    assert chi2.mean() == pytest.approx(RADIUS.size - 2, abs=0.15)
    assert fit_line(RADIUS, y, np.sqrt(np.diag(noise))).slope_error != pytest.approx(line.slope_error, rel=0.05)


def test_a_common_shift_adds_to_the_intercept_and_a_tilt_of_it_to_the_slope():
    noise, common = covariance_of()
    y, _ = noisy(np.random.default_rng(4))
    plain, shifted = fit_line(RADIUS, y, noise), fit_line(RADIUS, y, noise, common)
    assert (shifted.slope, shifted.intercept) == (plain.slope, plain.intercept)
    assert shifted.slope_error == pytest.approx(plain.slope_error)
    assert shifted.intercept_error == pytest.approx(np.hypot(plain.intercept_error, 0.1))
    tilt = 0.1 * (1 + 0.05 * RADIUS)
    assert slope_error_from(RADIUS, noise, np.outer(tilt, tilt)) == pytest.approx(0.005)
    tilted = fit_line(RADIUS, y, noise, np.outer(tilt, tilt))
    assert tilted.slope_error == pytest.approx(np.hypot(plain.slope_error, 0.005))


def test_the_chain_has_the_errors_of_the_analytic_solution_with_covariance():
    noise, common = covariance_of()
    y, _ = noisy(np.random.default_rng(5))
    exact, sampled = fit_line(RADIUS, y, noise, common), sample_line(RADIUS, y, noise, common, seed=2)
    assert sampled.slope == pytest.approx(exact.slope, abs=0.05 * exact.slope_error)
    assert sampled.slope_error == pytest.approx(exact.slope_error, rel=0.05)
    assert sampled.intercept_error == pytest.approx(exact.intercept_error, rel=0.05)
    assert sampled.correlation == pytest.approx(exact.correlation, abs=0.05) and np.isnan(sampled.intrinsic_scatter)


def test_intrinsic_scatter_is_found_and_widens_the_error():
    random, radius = np.random.default_rng(6), np.linspace(0.5, 12, 24)
    error = np.full(radius.size, 0.01)
    y = 8.4 - 0.02 * radius + random.normal(0, np.hypot(0.01, 0.06), radius.size)
    plain = sample_line(radius, y, error, seed=1)
    fitted = sample_line(radius, y, error, seed=1, intrinsic_scatter=True)
    assert fitted.intrinsic_scatter == pytest.approx(0.06, rel=0.35)
    assert fitted.slope_error > 3 * plain.slope_error and abs(fitted.slope + 0.02) < 3 * fitted.slope_error
    calm = sample_line(radius, 8.4 - 0.02 * radius + random.normal(0, 0.01, 24), error, seed=1, intrinsic_scatter=True)
    assert calm.intrinsic_scatter < 0.01


@pytest.mark.parametrize("error", [np.zeros(5), np.full(5, np.nan), np.ones((5, 5))])
def test_what_is_no_covariance_is_refused(error):
    with pytest.raises(ValueError, match="no covariance"):
        fit_line(RADIUS, np.ones(5), error)

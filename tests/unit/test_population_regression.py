"""Regressions recover the line of simulated samples."""

import numpy as np
import pytest
from population_mocks import linear_sample

from klever.errors import ConfigError, InputError
from klever.population.regression import ESTIMATORS, robust_line, robust_regression, with_errors

SLOPE, INTERCEPT = 0.013, 0.11


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_robust_lines_shrug_off_outliers(estimator):
    random = np.random.default_rng(11)
    clean, scattered, leverage, plain = [], [], [], []
    for _ in range(4):
        x, y, _ = linear_sample(random, 200, SLOPE, INTERCEPT, 0.01)
        clean.append(robust_line(x, y, estimator, seed=3)[0])
        anywhere, end = y.copy(), y.copy()
        anywhere[random.choice(200, 20, replace=False)] -= 0.4  # a tenth of the sample
        end[np.argsort(x)[-20:]] -= 0.4  # the same at one end, where no estimator is free of bias
        scattered.append(robust_line(x, anywhere, estimator, seed=3)[0])
        leverage.append(robust_line(x, end, estimator, seed=3)[0])
        plain.append(np.polyfit(x, end, 1)[0])
    assert np.mean(clean) == pytest.approx(SLOPE, abs=0.004 if estimator == "ransac" else 0.001)
    assert np.mean(scattered) == pytest.approx(SLOPE, abs=0.004 if estimator == "ransac" else 0.0015)
    assert abs(np.mean(leverage) - SLOPE) < 0.1 * abs(np.mean(plain) - SLOPE)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_exact_line_is_returned_in_any_unit(estimator):
    x = np.linspace(-10, -7, 25)
    for x_unit, y_unit in ((1.0, 1.0), (1e20, 1e-20), (1e-20, 1e20)):
        slope, intercept = robust_line(x * x_unit, (INTERCEPT + SLOPE * x) * y_unit, estimator)
        assert slope == pytest.approx(SLOPE * y_unit / x_unit, rel=1e-4)
        assert intercept == pytest.approx(INTERCEPT * y_unit, rel=1e-3)


def test_bootstrap_errors_and_rank_correlation_are_those_of_many_samples():
    random = np.random.default_rng(5)
    drawn = [linear_sample(random, 60, SLOPE, INTERCEPT, 0.03)[:2] for _ in range(24)]
    fits = [robust_regression(x, y, bootstrap=16, seed=1) for x, y in drawn]
    slopes, errors, rho = (np.array([getattr(fit, name) for fit in fits]) for name in ("slope", "slope_error", "rho"))
    assert np.mean(slopes) == pytest.approx(SLOPE, abs=3 * np.std(slopes) / np.sqrt(24))
    assert np.mean(errors) == pytest.approx(np.std(slopes), rel=0.35)
    assert np.mean([fit.rho_error for fit in fits]) == pytest.approx(np.std(rho), rel=0.35)
    assert np.mean([fit.rms for fit in fits]) == pytest.approx(0.03, rel=0.05)


def test_rank_correlation_of_monotonic_and_of_shuffled_values():
    x = np.arange(30.0)
    assert robust_regression(x, np.exp(x / 10), bootstrap=10).rho == pytest.approx(1.0)
    falling = robust_regression(x, -(x**3), bootstrap=10)
    assert falling.rho == pytest.approx(-1.0) and falling.p_value < 1e-10
    shuffled = robust_regression(x, np.random.default_rng(2).permutation(x), bootstrap=10)
    assert shuffled.p_value > 0.01


def test_the_same_seed_gives_the_same_numbers():
    x, y, _ = linear_sample(np.random.default_rng(8), 40, SLOPE, INTERCEPT, 0.02)
    for estimator in ESTIMATORS:
        first, second = (robust_regression(x, y, estimator=estimator, bootstrap=10, seed=9) for _ in range(2))
        assert first == second
    chains = [with_errors(x, y, 0.1 + 0 * x, 0.01 + 0 * x, steps=60, burn_in=20, seed=9) for _ in range(2)]
    assert chains[0] == chains[1]


def test_errors_in_x_do_not_flatten_the_line():
    random = np.random.default_rng(21)
    fits, naive = [], []
    for _ in range(3):
        x, y, _ = linear_sample(random, 800, 0.05, 0.4, 0.01, x_error=0.45, y_error=0.02)
        fits.append(with_errors(x, y, 0.45 + 0 * x, 0.02 + 0 * x, walkers=16, steps=600, burn_in=200, seed=4))
        naive.append(np.polyfit(x, y, 1)[0])
    slopes = np.array([fit.slope for fit in fits])
    assert np.mean(naive) < 0.04  # expected: 0.05 * 0.6^2 / (0.6^2 + 0.45^2) = 0.032
    errors = np.array([fit.slope_error for fit in fits])
    assert np.mean(slopes) == pytest.approx(0.05, abs=3 * np.mean(errors) / np.sqrt(3))
    assert np.max(np.abs(slopes - 0.05) / errors) < 3.5
    assert np.mean([fit.scatter for fit in fits]) == pytest.approx(0.01, abs=0.006)


def test_intrinsic_scatter_is_told_from_the_errors():
    random = np.random.default_rng(3)
    for scatter in (0.002, 0.04):
        x, y, _ = linear_sample(random, 200, SLOPE, INTERCEPT, scatter, y_error=0.02)
        fit = with_errors(x, y, 0 * x, 0.02 + 0 * x, steps=600, burn_in=200, seed=1)
        assert fit.scatter == pytest.approx(scatter, abs=0.008)
        assert fit.slope == pytest.approx(SLOPE, abs=4 * fit.slope_error)


def test_correlated_errors_are_not_taken_for_a_trend():
    # x = sfr - mass and y = mass share the error of the mass
    random = np.random.default_rng(7)
    shared, n = 0.4, 200
    mass_error = random.normal(0, shared, n)
    x, y = random.normal(0, 0.5, n) - mass_error, random.normal(0, 0.3, n) + mass_error
    errors = (np.full(n, shared), np.full(n, shared))
    blind = with_errors(x, y, *errors, steps=600, burn_in=200, seed=1)
    aware = with_errors(x, y, *errors, covariance=np.full(n, -(shared**2)), steps=600, burn_in=200, seed=1)
    assert blind.slope < -3 * blind.slope_error
    assert abs(aware.slope) < 3 * aware.slope_error


def test_what_is_no_sample_is_refused():
    x = np.arange(10.0)
    for call, message in (
        (lambda: robust_regression(x[:4], x[:4]), "at least 5"),
        (lambda: robust_line(x, x * np.nan), "finite"),
        (lambda: robust_line(x, x * 0), "differ"),
        (lambda: robust_line(x, x, "huver"), "huver"),
        (lambda: with_errors(x, x, -x, x), "not negative"),
        (lambda: with_errors(x[:3], x[:3], x[:3], x[:3]), "at least 5"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    with pytest.raises(ConfigError, match="population"):
        with_errors(x, x + 1, x, x, walkers=8)

import numpy as np
import pytest

from klever.linefit.smoothing import kernel, smooth, smoothed_autocorrelation, smoothed_variance

NY, NX = 7, 9
WHITE = np.ones((1, 1))


def _correlation(half=3, width=0.9):
    lag = np.arange(-half, half + 1)
    acf = np.exp(-0.5 * (lag[:, None] ** 2 + lag**2 + 0.6 * lag[:, None] * lag) / width**2)
    return acf


def test_kernel_has_unit_sum_and_the_width_asked_for():
    taps = kernel(4.0)
    offset = np.arange(len(taps)) - len(taps) // 2
    assert taps.sum() == pytest.approx(1.0)
    # integrating over a pixel adds its variance, 1/12
    assert np.sqrt((taps * offset**2).sum() - 1 / 12) * 2.3548 == pytest.approx(4.0, rel=0.002)


def test_no_smoothing_changes_nothing():
    values = np.random.default_rng(0).normal(size=(2, NY, NX))
    smoothed, weight = smooth(values, np.ones_like(values, bool), 0.0)
    np.testing.assert_allclose(smoothed, values)
    np.testing.assert_allclose(weight, 1.0)
    variance = smoothed_variance(np.full(values.shape, 3.0), np.ones_like(values, bool), 0.0, _correlation())
    np.testing.assert_allclose(variance, 9.0)


def test_a_constant_stays_constant_beside_holes_and_edges():
    values = np.full((NY, NX), 5.0)
    valid = np.ones((NY, NX), bool)
    valid[2, 3:6] = False
    smoothed, _ = smooth(np.where(valid, values, np.nan), valid, 2.0)
    np.testing.assert_allclose(smoothed, 5.0)


def test_flux_is_conserved_far_from_the_edges():
    image = np.zeros((31, 41))
    image[15, 20] = 7.0
    smoothed, _ = smooth(image, np.ones_like(image, bool), 3.0)
    assert smoothed.sum() == pytest.approx(7.0)


def test_transposed_input_gives_transposed_output():
    rng = np.random.default_rng(1)
    values, valid = rng.normal(size=(3, NY, NX)), rng.random((3, NY, NX)) > 0.2
    one, _ = smooth(values, valid, 2.0)
    other, _ = smooth(values.transpose(0, 2, 1), valid.transpose(0, 2, 1), 2.0)
    np.testing.assert_allclose(other.transpose(0, 2, 1), one)
    error, acf = rng.uniform(1, 2, values.shape), _correlation()
    variance = smoothed_variance(error, valid, 2.0, acf)
    turned = smoothed_variance(error.transpose(0, 2, 1), valid.transpose(0, 2, 1), 2.0, acf.T)
    np.testing.assert_allclose(turned.transpose(0, 2, 1), variance)


def test_little_support_is_missing():
    valid = np.zeros((20, 20), bool)
    valid[10, 10] = True
    smoothed, weight = smooth(np.ones((20, 20)), valid, 4.0)
    assert np.all(np.isnan(smoothed[weight <= 0.25]))
    assert np.isnan(smoothed[0, 0])


@pytest.mark.parametrize("fwhm", [1.0, 2.0, 3.3])
def test_variance_equals_the_full_covariance_product(fwhm):
    rng = np.random.default_rng(2)
    error, valid, acf = rng.uniform(1, 3, (2, NY, NX)), rng.random((2, NY, NX)) > 0.15, _correlation()
    variance = smoothed_variance(error, valid, fwhm, acf)
    taps = kernel(fwhm)
    radius = len(taps) // 2
    y, x = np.divmod(np.arange(NY * NX), NX)
    dy, dx = np.subtract.outer(y, y), np.subtract.outer(x, x)

    def lookup(table, index, half):
        return np.where(np.abs(index) <= half, table[np.clip(index + half, 0, 2 * half)], 0.0)

    weights = lookup(taps, dy, radius) * lookup(taps, dx, radius)
    near = (np.abs(dy) <= 3) & (np.abs(dx) <= 3)
    rho = np.where(near, acf[np.clip(dy + 3, 0, 6), np.clip(dx + 3, 0, 6)], 0.0)
    for plane in range(2):
        sigma = np.where(valid[plane], error[plane], 0.0).ravel()
        norm = weights @ valid[plane].ravel()
        expected = np.einsum("pi,pj,i,j,ij->p", weights, weights, sigma, sigma, rho) / norm**2
        found = variance[plane].ravel()
        known = np.isfinite(found)
        np.testing.assert_allclose(found[known], expected[known], rtol=1e-10)
        np.testing.assert_array_equal(known, norm > 0.25)


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_variance_scales_with_the_square_of_the_unit(factor):
    error, valid = np.random.default_rng(3).uniform(1, 3, (1, NY, NX)), np.ones((1, NY, NX), bool)
    one, other = (smoothed_variance(error * f, valid, 2.0, _correlation()) for f in (1.0, factor))
    np.testing.assert_allclose(other / factor**2, one)


def test_autocorrelation_and_variance_are_those_of_simulated_noise():
    rng = np.random.default_rng(4)
    white = rng.normal(size=(400, 46, 52))
    own = np.array([0.25, 0.5, 0.25])
    first = np.apply_along_axis(np.convolve, 1, np.apply_along_axis(np.convolve, 2, white, own, "same"), own, "same")
    first = first[:, 2:-2, 2:-2]
    taps = np.convolve(own, own)
    acf = np.outer(taps, taps) / taps.max() ** 2
    sigma = np.sqrt(taps.max() ** 2)
    smoothed, _ = smooth(first, np.ones_like(first, bool), 2.0)
    inner = smoothed[:, 8:-8, 8:-8]
    variance = smoothed_variance(np.full((1, *first.shape[1:]), sigma), np.ones((1, *first.shape[1:]), bool), 2.0, acf)
    assert inner.var() == pytest.approx(variance[0, 20, 20], rel=0.03)
    expected = smoothed_autocorrelation(acf, 2.0)
    half = expected.shape[0] // 2
    for lag_y, lag_x in ((0, 1), (1, 1), (2, 0), (3, 2)):
        measured = np.mean(inner[:, lag_y:, lag_x:] * inner[:, : inner.shape[1] - lag_y, : inner.shape[2] - lag_x])
        assert measured / inner.var() == pytest.approx(expected[half + lag_y, half + lag_x], abs=0.02)


def test_autocorrelation_is_odd_sized_and_one_at_the_centre():
    for fwhm in (0.0, 2.0):
        acf = smoothed_autocorrelation(_correlation(), fwhm)
        assert all(size % 2 for size in acf.shape)
        assert acf[acf.shape[0] // 2, acf.shape[1] // 2] == pytest.approx(1.0)
        np.testing.assert_allclose(acf, acf[::-1, ::-1])
    np.testing.assert_allclose(smoothed_autocorrelation(WHITE, 0.0), WHITE)

import numpy as np
import pytest

from klever.cubes.noise import continuum, estimate_error, noise_scale, spatial_autocorrelation

SHAPE = (640, 14, 11)
WAVELENGTH = 1.5 + 2e-4 * np.arange(SHAPE[0])


def scene(seed=3):
    """Noise with sky lines and a vignetted side, under a galaxy with continuum and a bright line."""
    rng = np.random.default_rng(seed)
    channel = np.where(np.arange(SHAPE[0]) % 37 == 5, 6.0, 1.0)
    spaxel = 1 + np.linspace(0, 1, SHAPE[2])[None, :] * np.ones((SHAPE[1], 1))
    truth = channel[:, None, None] * spaxel
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    galaxy = np.exp(-0.5 * ((y - 7) ** 2 + (x - 5) ** 2) / 2.0)
    spectrum = 20 + 0.02 * np.arange(SHAPE[0]) + 300 * np.exp(-0.5 * ((np.arange(SHAPE[0]) - 300.3) / 2.5) ** 2)
    return rng.normal(size=SHAPE) * truth + spectrum[:, None, None] * galaxy, truth


@pytest.mark.parametrize("scale", [1e-40, 1e-18, 1.0, 1e20])
def test_estimated_error_is_the_true_one_under_lines_and_continuum(scale):
    flux, truth = scene()
    ratio = estimate_error(flux * scale, WAVELENGTH) / (truth * scale)
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
    assert np.std(ratio) < 0.12  # 92 source-free spaxels a channel: 1 / sqrt(2 x 92 x 0.5)
    sky = np.arange(SHAPE[0]) % 37 == 5
    assert np.median(ratio[sky]) == pytest.approx(1, abs=0.06)
    assert np.median(ratio[300]) == pytest.approx(1, abs=0.2)  # the line's peak is not noise


def test_estimated_error_follows_gaps():
    flux, truth = scene()
    flux[:, :3, :] = np.nan
    flux[100:180] = np.nan
    error = estimate_error(flux, WAVELENGTH)
    np.testing.assert_array_equal(np.isfinite(error), np.isfinite(flux))
    assert np.nanmedian(error / truth) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_nothing_that_scatters_has_no_error(value):
    assert np.isnan(estimate_error(np.full((70, 4, 5), value), WAVELENGTH[:70])).all()


def test_continuum_is_linear_between_blocks_and_ignores_a_line():
    channels = np.arange(640.0)[:, None, None]
    flux = 3 + 0.01 * channels * np.array([[1.0, -2.0]])
    flux[200:208] += 1e3
    error = np.abs(continuum(flux) - (3 + 0.01 * channels * np.array([[1.0, -2.0]])))
    assert error[64:-64].max() < 0.1  # shifted by less than half the line's width in the block's ranks
    assert error[320:-64].max() < 1e-9


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.6])
def test_noise_scale_is_what_the_error_must_be_multiplied_with(factor):
    flux, truth = scene()
    assert noise_scale(flux * factor, truth, np.zeros(SHAPE, np.uint8)) == pytest.approx(factor, rel=0.04)


def test_noise_scale_of_nothing_is_nan():
    flux, truth = scene()
    assert np.isnan(noise_scale(flux, truth, np.ones(SHAPE, np.uint8)))


def test_autocorrelation_of_white_noise_is_a_delta():
    flux, truth = scene()
    acf = spatial_autocorrelation(flux, truth, np.zeros(SHAPE, np.uint8), 3)
    assert acf.shape == (7, 7)
    assert acf[3, 3] == 1
    acf[3, 3] = 0
    assert np.abs(acf).max() < 0.05


def test_autocorrelation_recovers_a_kernel():
    from scipy.ndimage import correlate1d

    rng = np.random.default_rng(5)
    kernel = np.array([1.0, 2.0, 1.0]) / 4
    flux = correlate1d(rng.normal(size=SHAPE), kernel, axis=2, mode="wrap")
    flux[:, 5, 5] = np.nan  # a gap must not bias the rest
    flux[200, 8, 8] = 1e6  # nor a cosmic ray
    dq = np.where(np.isfinite(flux), 0, 1).astype(np.uint8)
    acf = spatial_autocorrelation(flux, np.ones(SHAPE), dq)
    truth = np.correlate(kernel, kernel, "full") / np.sum(kernel**2)
    np.testing.assert_allclose(acf[4, 2:7], truth, atol=0.02)
    np.testing.assert_allclose(acf[[2, 3, 5, 6]], 0, atol=0.02)
    np.testing.assert_allclose(acf, acf[::-1, ::-1], atol=1e-6)


def test_autocorrelation_turns_with_the_cube():
    from scipy.ndimage import correlate1d

    flux = correlate1d(np.random.default_rng(6).normal(size=(200, 9, 13)), [0.5, 1.0, 0.5], axis=1)
    dq = np.zeros(flux.shape, np.uint8)
    acf = spatial_autocorrelation(flux, np.ones(flux.shape), dq)
    turned = spatial_autocorrelation(flux.transpose(0, 2, 1), np.ones((200, 13, 9)), dq.transpose(0, 2, 1))
    np.testing.assert_allclose(turned, acf.T, atol=1e-5)
    assert acf[3, 4] > 0.5 > abs(acf[4, 3])


def test_autocorrelation_beyond_a_narrow_field_is_zero():
    flux = np.random.default_rng(6).normal(size=(200, 3, 9))
    acf = spatial_autocorrelation(flux, np.ones(flux.shape), np.zeros(flux.shape, np.uint8))
    assert np.all(acf[[0, 1, 7, 8]] == 0)
    assert acf[4, 4] == 1


@pytest.mark.parametrize("value", [np.nan, 0.0, 5.0])
def test_autocorrelation_without_noise_is_white(value):
    flux = np.full((70, 6, 6), value)
    acf = spatial_autocorrelation(flux, np.ones(flux.shape), np.isnan(flux).astype(np.uint8), 2)
    assert acf[2, 2] == 1
    assert acf.sum() == 1


def source_fills_field(drift, seed=11):
    """White noise of 1 under a smooth source with bright lines in every spaxel."""
    rng = np.random.default_rng(seed)
    shape = (384, 26, 24)
    y, x = np.mgrid[: shape[1], : shape[2]]
    brightness = np.exp(-0.5 * ((y - 13) ** 2 + (x - 12) ** 2) / 12.0**2)
    centre = 200.0 + drift * (x - 12)
    line = 200 * np.exp(-0.5 * ((np.arange(shape[0])[:, None, None] - centre) / 2.5) ** 2)
    return rng.normal(size=shape) + (30 + line) * brightness


@pytest.mark.parametrize("drift", [0.0, 0.5])
def test_lines_of_a_source_that_fills_the_field_are_no_noise(drift):
    error = estimate_error(source_fills_field(drift), WAVELENGTH[:384])
    assert np.median(error[190:211]) == pytest.approx(1, abs=0.1)
    assert np.median(error) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("axis", "width"), [(0, 3), (1, 3), (2, 3)])
def test_estimated_error_of_correlated_noise(axis, width):
    from scipy.ndimage import uniform_filter1d

    noise = uniform_filter1d(np.random.default_rng(12).normal(size=(384, 20, 20)), width, axis=axis, mode="wrap")
    noise *= np.sqrt(width)
    sky = np.where(np.arange(384) % 37 == 5, 6.0, 1.0)[:, None, None]
    error = estimate_error(noise * sky, WAVELENGTH[:384]) / sky
    assert np.median(error) == pytest.approx(1, abs=0.05)
    assert np.median(error[sky[:, 0, 0] > 1]) == pytest.approx(1, abs=0.06)


def test_estimated_error_of_a_mosaic_follows_its_depth():
    depth = np.ones((24, 24))
    depth[:7] *= 2
    depth[:, :6] *= 1.5
    flux = np.random.default_rng(13).normal(size=(384, 24, 24)) * depth
    error = estimate_error(flux, WAVELENGTH[:384])
    for level in (1, 1.5, 2, 3):
        assert np.median(error[:, depth == level]) == pytest.approx(level, rel=0.04)


def test_estimated_error_of_a_small_field_is_not_biased():
    ratios = [
        np.median(estimate_error(np.random.default_rng(seed).normal(size=(384, 5, 5)), WAVELENGTH[:384]))
        for seed in range(8)
    ]
    assert np.mean(ratios) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("shape", [(60, 2, 9), (60, 1, 20), (60, 3, 3), (2, 6, 6)])
def test_fields_too_small_for_fine_structure_get_an_error(shape):
    flux = np.random.default_rng(14).normal(size=shape)
    assert np.isfinite(estimate_error(flux, WAVELENGTH[: shape[0]])).all()

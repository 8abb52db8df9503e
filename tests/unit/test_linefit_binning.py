"""Adaptive bins: they reach the S/N asked for, keep the flux, and know that neighbouring spaxels are correlated."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from linefit_mocks import LINE_LIST, OPTIONS
from scipy.ndimage import label, uniform_filter
from scipy.special import ndtr
from test_linefit_cubefit import NX, Z, mock_cube

from klever.cubes.cube import DQ
from klever.linefit.binned import NO_BIN, average_spectra, binned_autocorrelation, spread
from klever.linefit.binning import bin_spaxels, bins_of_band, narrow_band
from klever.linefit.cubefit import band_models
from klever.maps import Flag

TAPS = np.array([0.25, 0.5, 0.25]) / np.sqrt(0.375)
ACF = np.outer(*[np.convolve(TAPS, TAPS)] * 2)
WHITE = np.ones((1, 1))
TARGET = 10.0


def noise_field(rng, shape, correlated=True):
    """Noise of unit variance, shape (..., ny, nx), whose autocorrelation is `ACF`."""
    if not correlated:
        return rng.normal(size=shape)
    field = rng.normal(size=(*shape[:-2], shape[-2] + 2, shape[-1] + 2))
    field = sum(tap * field[..., i : i + shape[-2], :] for i, tap in enumerate(TAPS))
    return sum(tap * field[..., i : i + shape[-1]] for i, tap in enumerate(TAPS))


def disc(n=44, peak=15.0, scale=6.0):
    """Exponential disc, inclined, off the centre of the field."""
    y, x = np.mgrid[:n, :n]
    return peak * np.exp(-np.hypot(x - n / 2 + 0.3, (y - n / 2 - 0.2) / 0.6) / scale)


def pair_snr(signal, noise, bins, acf, number):
    """S/N of a bin by the sum over all pairs of its spaxels, written out."""
    y, x = np.nonzero(bins == number)
    half = len(acf) // 2
    lag_y, lag_x = np.subtract.outer(y, y), np.subtract.outer(x, x)
    near = (np.abs(lag_y) <= half) & (np.abs(lag_x) <= half)
    rho = np.where(near, acf[np.clip(lag_y + half, 0, 2 * half), np.clip(lag_x + half, 0, 2 * half)], 0.0)
    sigma = noise[y, x]
    return signal[y, x].sum() / np.sqrt(sigma @ rho @ sigma)


@pytest.fixture(scope="module", params=[False, True], ids=["white", "correlated"])
def binned_disc(request):
    correlated = request.param
    rng = np.random.default_rng(4)
    noise = 0.8 + 0.4 * rng.random((44, 44))
    acf = ACF if correlated else WHITE
    signal = disc() + noise * noise_field(rng, (44, 44), correlated)
    return signal, noise, acf, bin_spaxels(signal, noise, TARGET, acf)


def test_bins_of_a_disc_reach_the_target(binned_disc):
    signal, noise, acf, bins = binned_disc
    number = bins.max() + 1
    assert number > 15
    measured = np.array([pair_snr(signal, noise, bins, acf, k) for k in range(number)])
    true = np.array([pair_snr(disc(), noise, bins, acf, k) for k in range(number)])
    several = np.bincount(bins[bins != NO_BIN]) > 1
    assert several.sum() > 10
    assert measured.min() >= 0.8 * TARGET * (1 - 1e-9)
    assert np.median(measured[several]) == pytest.approx(TARGET, rel=0.15)
    assert measured[several].max() < 1.6 * TARGET
    pull = measured - true  # the S/N of the bins is that of the source, not of chosen noise
    assert abs(pull.mean()) < 4 / np.sqrt(number)


def test_bins_are_numbered_in_order_and_compact(binned_disc):
    bins = binned_disc[3]
    found = bins[bins != NO_BIN]
    assert set(found) == set(range(bins.max() + 1))
    first = [np.flatnonzero(found == k)[0] for k in range(bins.max() + 1)]
    assert first == sorted(first)
    for k in range(bins.max() + 1):
        assert label(bins == k, structure=np.ones((3, 3)))[1] == 1


def test_bright_spaxels_stay_alone_and_the_sky_is_left_out(binned_disc):
    *_, acf, bins = binned_disc
    if acf is WHITE:
        assert np.bincount(bins[bins != NO_BIN])[bins[22, 22]] == 1
    assert np.all(bins[[0, 0, -1, -1], [0, -1, 0, -1]] == NO_BIN)
    # 3 x 3 spaxels truly 3 sigma above the S/N of 1.5 that is asked for: all in bins (noise of a spaxel below 1.2)
    lags = 3 - np.abs(np.arange(-(len(acf) // 2), len(acf) // 2 + 1))
    spread_of_nine = 1.2 * np.sqrt((lags[:, None] * lags[None, :] * acf).sum() if len(acf) > 1 else 9.0)
    clear = 9 * uniform_filter(disc(), 3, mode="constant") / spread_of_nine > 4.5
    assert clear.sum() > 100 and np.all(bins[clear] != NO_BIN)


def test_same_bins_again_in_another_process(binned_disc, tmp_path):
    signal, noise, acf, bins = binned_disc
    np.savez(tmp_path / "in.npz", signal=signal, noise=noise, acf=acf)
    code = (
        "import sys, numpy as np; from klever.linefit.binning import bin_spaxels; f = np.load(sys.argv[1]); "
        f"np.save(sys.argv[2], bin_spaxels(f['signal'], f['noise'], {TARGET}, f['acf']))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "workflow/scripts")}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "in.npz"), str(tmp_path / "out.npy")], env=environment, check=True
    )
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), bins)


@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_bins_do_not_depend_on_the_unit(binned_disc, unit):
    signal, noise, acf, bins = binned_disc
    np.testing.assert_array_equal(bin_spaxels(signal * unit, noise * unit, TARGET, acf), bins)


def test_noise_alone_makes_no_bins_of_the_target():
    rng = np.random.default_rng(8)
    fields = noise_field(rng, (40, 24, 24))
    binned = [bin_spaxels(field, np.ones(field.shape), TARGET, ACF) for field in fields]
    assert sum(np.any(bins != NO_BIN) for bins in binned) <= 6
    one = np.ones((24, 24))
    for field, bins in zip(fields, binned, strict=True):
        assert all(pair_snr(field, one, bins, ACF, k) < TARGET for k in range(bins.max() + 1))


@pytest.mark.filterwarnings("error")
def test_fields_without_data_and_the_smallest_ones():
    for shape in ((1, 1), (1, 6), (5, 1), (2, 2), (6, 6)):
        empty = np.full(shape, np.nan)
        assert np.all(bin_spaxels(empty, empty, TARGET, ACF) == NO_BIN)
        assert np.all(bin_spaxels(np.ones(shape), np.zeros(shape), TARGET, ACF) == NO_BIN)
        bright = bin_spaxels(np.full(shape, 50.0), np.ones(shape), TARGET, ACF)
        np.testing.assert_array_equal(bright.ravel(), np.arange(bright.size))
    assert bin_spaxels(np.array([[6.0]]), WHITE, TARGET, ACF) == 0
    assert bin_spaxels(np.array([[4.9]]), WHITE, TARGET, ACF) == NO_BIN


@pytest.mark.filterwarnings("error")
def test_bad_spaxels_are_in_no_bin_and_do_not_spoil_others(binned_disc):
    signal, noise, acf, _ = binned_disc
    signal, noise = signal.copy(), noise.copy()
    signal[21, 14], noise[23, 28], noise[20, 15] = np.nan, np.inf, 0.0
    bins = bin_spaxels(signal, noise, TARGET, acf)
    assert bins[21, 14] == bins[23, 28] == bins[20, 15] == NO_BIN
    assert bins.max() > 10


def test_separate_images_are_binned_apart():
    y, x = np.mgrid[:22, :40]
    signal = np.exp(-0.5 * ((x - 19) ** 2 + (y - 17) ** 2) / 1.3**2) * 3.5  # S/N 7 as a whole: one bin
    signal[3:10, 4:11] = signal[3:10, 28:35] = 4.0
    bins = bin_spaxels(signal, np.ones(signal.shape), TARGET, WHITE)
    assert not set(bins[:, :16].ravel()) & set(bins[:, 24:].ravel()) - {NO_BIN}
    assert len(set(bins[16:19, 18:21].ravel())) == 1 and bins[17, 19] != NO_BIN
    assert not set(bins[13:].ravel()) & set(bins[:11].ravel()) - {NO_BIN}


def test_a_thin_arc_is_cut_across():
    y, x = np.mgrid[:40, :40]
    radius = np.hypot(x - 20, y - 5)
    signal = np.where((np.abs(radius - 20) < 1.6) & (y > 12), 4.0, 0.0)
    bins = bin_spaxels(signal, np.ones(signal.shape), TARGET, WHITE)
    number = bins.max() + 1
    assert number >= 8
    for k in range(number):
        member_y, member_x = np.nonzero(bins == k)
        assert np.hypot(np.ptp(member_y), np.ptp(member_x)) < 12


def test_spectra_keep_the_flux(binned_disc):
    bins, acf = binned_disc[3], binned_disc[2]
    rng = np.random.default_rng(1)
    flux = rng.normal(size=(7, 44, 44)) + disc()
    error = np.ones(flux.shape)
    mean, _ = average_spectra(flux, error, np.ones(flux.shape, bool), bins, acf)
    back = np.stack([spread(channel, bins, np.nan) for channel in mean.T])
    inside = bins != NO_BIN
    np.testing.assert_allclose(back[:, inside].sum(axis=1), flux[:, inside].sum(axis=1), rtol=1e-12)
    assert np.all(np.isnan(back[:, ~inside]))


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_errors_of_bins_are_the_scatter_of_correlated_noise(unit):
    rng = np.random.default_rng(2)
    bins = np.repeat(np.repeat(np.arange(6).reshape(2, 3), 4, axis=0), 3, axis=1)
    bins[0, :2] = NO_BIN
    sigma = unit * rng.uniform(0.5, 2.0, bins.shape)
    flux = sigma * noise_field(rng, (6000, *bins.shape))
    error = np.broadcast_to(sigma, flux.shape)
    valid = np.ones(flux.shape, bool)
    valid[:, 3, 3:5] = False
    mean, spectra_error = average_spectra(np.where(valid, flux, np.nan), error, valid, bins, ACF)
    assert mean.shape == spectra_error.shape == (6, 6000)
    np.testing.assert_allclose(mean.std(axis=1), spectra_error[:, 0], rtol=5 / np.sqrt(2 * 6000))
    naive, _ = average_spectra(flux, error, np.ones(flux.shape, bool), bins, WHITE)
    white_error = average_spectra(flux, error, np.ones(flux.shape, bool), bins, WHITE)[1]
    assert np.all(white_error[1:, 0] < 0.8 * naive[1:].std(axis=1))


def test_a_channel_that_most_of_a_bin_lacks_is_missing():
    bins = np.zeros((2, 2), int)
    flux = np.arange(12.0).reshape(3, 2, 2)
    valid = np.ones(flux.shape, bool)
    valid[1, 0] = False
    valid[2, 0], valid[2, 1, 0] = False, False
    mean, error = average_spectra(np.where(valid, flux, np.nan), np.ones(flux.shape), valid, bins, WHITE)
    np.testing.assert_allclose(mean[0], [1.5, 6.5, np.nan])
    np.testing.assert_allclose(error[0], [0.5, np.sqrt(0.5), np.nan])


def test_no_bins_no_spectra():
    bins = np.full((3, 4), NO_BIN)
    mean, error = average_spectra(np.ones((5, 3, 4)), np.ones((5, 3, 4)), np.ones((5, 3, 4), bool), bins, ACF)
    assert mean.shape == error.shape == (0, 5)
    assert np.all(np.isnan(spread(np.zeros(0), bins, np.nan)))
    white = binned_autocorrelation(bins, ACF, 2)
    assert white[2, 2] == 1 and white.sum() == 1


def test_flags_are_spread_with_their_type():
    bins = np.array([[0, 1, NO_BIN]])
    flags = spread(np.array([4, 8], np.uint16), bins, Flag.NOT_FITTED)
    assert flags.dtype == np.uint16
    assert flags.tolist() == [[4, 8, 2]]


def test_autocorrelation_of_bins_gives_the_variance_of_a_total():
    rng = np.random.default_rng(5)
    bins = np.repeat(np.repeat(np.arange(20).reshape(4, 5), 3, axis=0), 2, axis=1)
    noise = noise_field(rng, (20000, *bins.shape))
    mean, _ = average_spectra(noise, np.ones(noise.shape), np.ones(noise.shape, bool), bins, ACF)
    acf = binned_autocorrelation(bins, ACF, max(bins.shape))
    assert acf.shape == (25, 25) and acf[12, 12] == 1
    np.testing.assert_array_equal(acf, acf[::-1, ::-1])
    # bins of one shape: one error, so sum of pairs = sum over lags of (pairs at the lag) x (their mean correlation)
    ny, nx = bins.shape
    lags = np.arange(-12, 13)
    pairs = np.clip(ny - np.abs(lags), 0, None)[:, None] * np.clip(nx - np.abs(lags), 0, None)[None, :]
    total = spread(mean[:, 0], bins, np.nan).size * mean.mean(axis=0)
    assert np.sum(pairs * acf) * mean.var() == pytest.approx(total.var(), rel=0.05)


def test_autocorrelation_of_single_spaxels_is_that_of_the_cube():
    acf = binned_autocorrelation(np.arange(400).reshape(20, 20), ACF, 3)
    np.testing.assert_allclose(acf[1:-1, 1:-1], ACF, atol=1e-12)
    assert np.all(acf[0] == 0)


def caught(velocity):
    """Fraction of a line of 70 km/s, instrument 32 km/s, within 250 km/s of the systemic velocity."""
    width = np.hypot(70.0, 32.0)
    return ndtr((250.0 - velocity) / width) - ndtr((-250.0 - velocity) / width)


def band_of(cube):
    return band_models(cube, LINE_LIST, 1.651 / 4045 / 2.3548, Z, ["halpha"])


@pytest.mark.parametrize("unit", [1e-18, 1e-38])
def test_narrow_band_measures_the_line_and_its_error(unit):
    cube, _, truth, velocity = mock_cube(3, unit=unit)
    band = band_of(cube)
    for line in ("Halpha", "NII6584"):
        signal, noise = narrow_band(cube, band, band.models[0], OPTIONS, line)
        pull = (signal - truth[line] * caught(velocity)) / noise
        assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
        assert pull.std() == pytest.approx(1.0, rel=4 / np.sqrt(2 * pull.size))


def test_narrow_band_makes_up_for_masked_channels_and_gives_none_without_a_line():
    cube, model, truth, velocity = mock_cube(3, peak=300.0)
    core = np.flatnonzero(np.abs(cube.wavelength / model.centres(0.0)[1] - 1) * 299792.458 < 250)
    cube.dq[core[1::4], 5, 8] |= np.uint8(DQ.SKYLINE)
    cube.dq[core[2:], 5, 7] |= np.uint8(DQ.SKYLINE)
    cube.dq[:, 5, 6] |= np.uint8(DQ.SKYLINE)
    band = band_of(cube)
    signal, noise = narrow_band(cube, band, band.models[0], OPTIONS)
    assert signal[5, 8] == pytest.approx(truth["Halpha"][5, 8] * caught(velocity[5, 8]), rel=0.15)
    assert noise[5, 8] > noise[5, 9]
    assert np.isnan(signal[5, 6:8]).all() and np.isnan(noise[5, 6:8]).all()
    assert np.isfinite(np.delete(signal.ravel(), [5 * NX + 6, 5 * NX + 7])).all()


def test_bins_of_a_band_follow_the_line_asked_for():
    cube, *_ = mock_cube(3)
    band = band_of(cube)
    bins, line = bins_of_band(cube, band, OPTIONS | {"binning": "powerbin"})
    assert line == "Halpha"
    assert bins[5, 8] != NO_BIN and bins.max() > 5
    fainter, line = bins_of_band(cube, band, OPTIONS | {"bin_line": "NII6584"})
    assert line == "NII6584" and 0 <= fainter.max() < bins.max()
    same, line = bins_of_band(cube, band, OPTIONS | {"bin_line": "OIII5007"})  # in another band
    assert line == "Halpha"
    np.testing.assert_array_equal(same, bins)
    coarse, _ = bins_of_band(cube, band, OPTIONS | {"bin_snr": 30.0})
    assert coarse.max() < bins.max()


def test_a_band_without_lines_or_data_has_no_bins():
    cube, *_ = mock_cube(3)
    bins, line = bins_of_band(cube, band_models(cube, LINE_LIST, 1e-4, 5.0, ["halpha"]), OPTIONS)
    assert line is None and np.all(bins == NO_BIN)
    band = band_of(cube)
    band.valid[:] = False
    bins, line = bins_of_band(cube, band, OPTIONS)
    assert line == "Halpha" and np.all(bins == NO_BIN)


def test_fits_of_bins_recover_the_flux_of_the_source():
    from klever.linefit.varpro import fit_spectra

    cube, _, truth, velocity = mock_cube(3)
    band = band_of(cube)
    bins, _ = bins_of_band(cube, band, OPTIONS)
    flux, error = average_spectra(cube.flux, cube.error, band.valid, bins, band.autocorrelation)
    fit = fit_spectra(band.models[0], cube.wavelength, flux, error, engine="numpy")
    size = np.bincount(bins[bins != NO_BIN])
    true = np.bincount(bins[bins != NO_BIN], truth["Halpha"][bins != NO_BIN]) / size
    index = fit.model.names.index("Halpha")
    pull = (fit.flux[index] - true) / fit.flux_error[index]
    assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
    assert 0.5 < pull.std() < 1.6
    assert np.all(fit.flux[index] / fit.flux_error[index] > 0.6 * 10.0)
    halpha = spread(fit.flux[index], bins, np.nan)
    total, expected = np.nansum(halpha), truth["Halpha"][bins != NO_BIN].sum()
    sigma = np.sqrt(np.sum((size * fit.flux_error[index]) ** 2))
    assert total == pytest.approx(expected, abs=4 * sigma)
    weighted = np.bincount(bins[bins != NO_BIN], (truth["Halpha"] * velocity)[bins != NO_BIN]) / (true * size)
    assert abs(np.median(fit.velocity - weighted)) < 10

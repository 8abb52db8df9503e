import numpy as np
import pytest
from linefit_mocks import RELATIVE, C, band_wavelength, model_of, spectra, window_of
from scipy.optimize import curve_fit

from klever.errors import ConfigError
from klever.linefit.model import pixel_edges, pixel_profile
from klever.linefit.varpro import fit_spectra
from klever.maps import Flag

Z = 1.4


def _halpha(n, snr, seed, dispersion=None, reach=4000.0, **kwargs):
    rng = np.random.default_rng(seed)
    wavelength = window_of("halpha", Z, band_wavelength(), reach)
    model = model_of("halpha", Z, wavelength)
    velocity = rng.uniform(-250, 250, n)
    dispersion = rng.uniform(45, 150, n) if dispersion is None else np.full(n, float(dispersion))
    flux, error, truth = spectra(model, wavelength, snr, velocity, dispersion, rng, **kwargs)
    return model, wavelength, flux, error, truth, velocity, dispersion


def _pull(value, error, truth, good):
    pull = ((value - truth) / error)[good]
    return pull.mean(), pull.std(), 4 / np.sqrt(good.sum())


def _std_is_one(std, n):
    """Within four times the sampling error of a standard deviation, and 3 per cent for non-linearity at finite S/N."""
    return abs(std - 1) < 4 / np.sqrt(2 * n) + 0.03


def test_pulls_are_standard_normal_above_snr_8():
    model, wavelength, flux, error, truth, velocity, dispersion = _halpha(600, 25.0, 1)
    fit = fit_spectra(model, wavelength, flux, error)
    good = fit.flags == 0
    assert good.mean() > 0.98
    for name in ("Halpha", "NII6584"):
        i = model.names.index(name)
        mean, std, tolerance = _pull(fit.flux[i], fit.flux_error[i], truth[name], good)
        assert abs(mean) < tolerance
        assert _std_is_one(std, good.sum())
    for value, spread, true in (
        (fit.velocity, fit.velocity_error, velocity), (fit.dispersion, fit.dispersion_error, dispersion)
    ):  # fmt: skip
        mean, std, tolerance = _pull(value, spread, true, good)
        assert abs(mean) < tolerance
        assert _std_is_one(std, good.sum())
    assert np.median(fit.reduced_chi2) == pytest.approx(1.0, abs=0.02)


def test_weak_lines_of_a_group_are_unbiased_and_may_be_negative():
    relative = RELATIVE | {"NII6584": 0.0, "NII6548": 0.0}
    model, wavelength, flux, error, _, _, _ = _halpha(300, 25.0, 2, relative=relative)
    fit = fit_spectra(model, wavelength, flux, error)
    pull = (fit.flux / fit.flux_error)[model.names.index("NII6584")]
    assert abs(np.nanmean(pull)) < 4 / np.sqrt(300)
    assert 0.3 < np.mean(pull < 0) < 0.7
    assert np.nanstd(pull) == pytest.approx(1.0, abs=0.15)


def test_blended_doublet_sum_is_known_better_than_its_lines():
    rng = np.random.default_rng(3)
    wavelength = window_of("oii", 3.4, band_wavelength())
    model = model_of("oii", 3.4, wavelength)
    velocity, dispersion = rng.uniform(-200, 200, 300), np.full(300, 150.0)
    flux, error, truth = spectra(model, wavelength, 25.0, velocity, dispersion, rng)
    fit = fit_spectra(model, wavelength, flux, error)
    good = fit.flags == 0
    total, total_error, _ = fit.total(["OII3726", "OII3729"])
    mean, std, tolerance = _pull(total, total_error, truth["OII3726"] + truth["OII3729"], good)
    assert abs(mean) < tolerance
    assert _std_is_one(std, good.sum())
    naive = np.hypot(*fit.flux_error)
    assert np.median(total_error / naive) < 0.8


@pytest.mark.parametrize("dispersion", [30.0, 50.0])
def test_narrow_widths_are_unbiased_because_pixels_are_integrated(dispersion):
    model, wavelength, flux, error, _, _, _ = _halpha(60, 400.0, 4, dispersion=dispersion)
    fit = fit_spectra(model, wavelength, flux, error)
    assert np.median(fit.dispersion) == pytest.approx(dispersion, rel=0.005)


def test_sii_ratio_stays_in_range_and_is_flagged_on_the_bound():
    for relative, edge in ((RELATIVE | {"SII6717": 0.30, "SII6731": 0.10}, 1.45),
                           (RELATIVE | {"SII6717": 0.04, "SII6731": 0.30}, 0.4)):  # fmt: skip
        model, wavelength, flux, error, _, _, _ = _halpha(40, 80.0, 5, relative=relative)
        fit = fit_spectra(model, wavelength, flux, error)
        top, bottom = (model.names.index(name) for name in ("SII6717", "SII6731"))
        np.testing.assert_allclose(fit.flux[top] / fit.flux[bottom], edge, rtol=1e-9)
        assert np.all(fit.line_flags[top] & Flag.RATIO_BOUND)
        assert not np.any(fit.line_flags[model.names.index("Halpha")] & Flag.RATIO_BOUND)


def test_sii_ratio_within_its_range_is_free():
    model, wavelength, flux, error, truth, _, _ = _halpha(200, 120.0, 6)
    fit = fit_spectra(model, wavelength, flux, error)
    top, bottom = (model.names.index(name) for name in ("SII6717", "SII6731"))
    free = (fit.line_flags[top] & Flag.RATIO_BOUND) == 0
    assert free.mean() > 0.8
    total, total_error, _ = fit.total(["SII6717", "SII6731"])
    mean, std, tolerance = _pull(total, total_error, truth["SII6717"] + truth["SII6731"], free)
    assert abs(mean) < tolerance
    assert _std_is_one(std, free.sum())
    assert np.median(fit.flux[top][free] / fit.flux[bottom][free]) == pytest.approx(1.2, rel=0.05)


@pytest.mark.parametrize("factor", [1e-20, 1e20, 1e-40])
def test_units_do_not_matter(factor):
    model, wavelength, flux, error, _, _, _ = _halpha(40, 10.0, 7)
    one = fit_spectra(model, wavelength, flux, error)
    other = fit_spectra(model, wavelength, flux * factor, error * factor)
    np.testing.assert_array_equal(one.flags, other.flags)
    np.testing.assert_allclose(other.velocity, one.velocity, atol=1e-6)
    np.testing.assert_allclose(other.dispersion, one.dispersion, rtol=1e-6)
    np.testing.assert_allclose(other.flux / factor, one.flux, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(other.flux_error / factor, one.flux_error, rtol=1e-6)
    np.testing.assert_allclose(other.chi2, one.chi2, rtol=1e-9)


def test_spectra_do_not_influence_each_other():
    model, wavelength, flux, error, _, _, _ = _halpha(30, 10.0, 8)
    together = fit_spectra(model, wavelength, flux, error)
    order = np.random.default_rng(0).permutation(30)
    shuffled = fit_spectra(model, wavelength, flux[order], error[order])
    np.testing.assert_allclose(shuffled.flux, together.flux[:, order], rtol=1e-4, atol=1e-6)
    alone = fit_spectra(model, wavelength, flux[:1], error[:1])
    np.testing.assert_allclose(alone.velocity, together.velocity[:1], atol=0.1)


def test_same_chi2_as_curve_fit_from_the_truth():
    model, wavelength, flux, error, truth, velocity, dispersion = _halpha(25, 15.0, 9, reach=1500.0)
    names = ["Halpha", "NII6584", "SII6717", "SII6731"]
    edges, centre = pixel_edges(wavelength), wavelength.mean()

    def curve(_, v, sigma, ha, n2, s1, s2, c0, c1):
        total = c0 + c1 * (wavelength - centre) / 0.05
        fluxes = {"Halpha": ha, "NII6584": n2, "NII6548": n2 / 3, "SII6717": s1, "SII6731": s2}
        for line in model.group.lines:
            position = line.wavelength * (1 + Z) * (1 + v / C)
            width = np.hypot(position * sigma / C, model.sigma_instrument)
            total = total + fluxes[line.name] * 1e-3 * pixel_profile(edges, position, width)
        return total

    fit = fit_spectra(model, wavelength, flux, error)
    difference = []
    for s in range(25):
        if fit.line_flags[3, s] & Flag.RATIO_BOUND:
            continue
        start = [velocity[s], dispersion[s], *(truth[name][s] * 1e3 for name in names), 0.7, 0.3]
        bounds = ([-600, 20] + [-np.inf] * 6, [600, 300] + [np.inf] * 6)
        best, _ = curve_fit(curve, wavelength, flux[s], start, error[s], bounds=bounds)
        difference.append(fit.chi2[s] - np.sum(((flux[s] - curve(None, *best)) / error[s]) ** 2))
    assert len(difference) >= 8
    assert np.max(difference) < 0.02


def _flags_of(change, snr=40.0):
    """Flags of one damaged spectrum fitted among nine good ones."""
    model, wavelength, flux, error, _, velocity, _ = _halpha(10, snr, 10, dispersion=60)
    change(model, wavelength, flux, error, velocity)
    fit = fit_spectra(model, wavelength, flux, error)
    assert np.all(fit.flags[1:] & Flag.NOT_FITTED == 0)
    return fit


def _core(model, wavelength, velocity):
    return int(np.argmin(np.abs(wavelength - model.centres(velocity[0])[model.main])))


def _zero(model, wavelength, flux, error, velocity):
    flux[0] = 0.0


def _constant(model, wavelength, flux, error, velocity):
    flux[0] = 3.0


def _all_nan(model, wavelength, flux, error, velocity):
    flux[0] = np.nan


def _no_error(model, wavelength, flux, error, velocity):
    error[0] = 0.0


def _infinite_error(model, wavelength, flux, error, velocity):
    error[0] = np.inf


def _few_channels(model, wavelength, flux, error, velocity):
    error[0, 8:] = np.nan


def _cosmic_ray_on_the_core(model, wavelength, flux, error, velocity):
    flux[0, _core(model, wavelength, velocity)] += 500.0


def _outlier_on_the_core(model, wavelength, flux, error, velocity):
    flux[0, _core(model, wavelength, velocity)] = 1e30


def _outlier_beside_a_masked_channel(model, wavelength, flux, error, velocity):
    core = _core(model, wavelength, velocity)
    flux[0, core] = 1e30
    flux[0, core + 1] = np.nan


def _two_channel_cosmic_ray(model, wavelength, flux, error, velocity):
    core = _core(model, wavelength, velocity)
    flux[0, core : core + 2] = [3000.0, 2500.0]


def _negative(model, wavelength, flux, error, velocity):
    flux[0] = -flux[0]


@pytest.mark.parametrize(
    "change",
    [_zero, _constant, _all_nan, _no_error, _infinite_error, _few_channels, _cosmic_ray_on_the_core,
     _outlier_on_the_core, _outlier_beside_a_masked_channel, _two_channel_cosmic_ray, _negative],
)  # fmt: skip
def test_bad_spectra_are_never_ok(change):
    fit = _flags_of(change)
    assert fit.flags[0] != 0
    if fit.flags[0] & Flag.NOT_FITTED:
        assert np.all(np.isnan(fit.flux[:, 0]))
        assert np.isnan(fit.velocity[0])


@pytest.mark.parametrize("height", [1e30, 300.0, -300.0])
def test_an_outlier_off_the_lines_is_left_out(height):
    def change(model, wavelength, flux, error, velocity):
        flux[0, 20] = height

    clean = _flags_of(lambda *_: None)
    fit = _flags_of(change)
    assert fit.flags[0] == 0
    np.testing.assert_allclose(fit.flux[:, 0], clean.flux[:, 0], atol=0.2 * np.max(clean.flux_error[:, 0]))


def test_masked_lines_are_low_coverage_and_tied_partners_help():
    def change(model, wavelength, flux, error, velocity):
        for name in ("NII6584", "SII6717"):
            position = model.centres(velocity[0])[model.names.index(name)]
            flux[0, np.abs(wavelength / position - 1) * C < 250] = np.nan

    fit = _flags_of(change)
    flags = dict(zip(fit.model.names, fit.line_flags[:, 0], strict=True))
    assert flags["SII6717"] & Flag.LOW_COVERAGE
    assert flags["NII6584"] & Flag.LOW_COVERAGE
    assert not flags["Halpha"] & Flag.LOW_COVERAGE
    assert not flags["SII6731"] & Flag.LOW_COVERAGE


def test_a_masked_strong_line_of_a_tied_pair_marks_both():
    rng = np.random.default_rng(11)
    wavelength = window_of("oiii", 2.3, band_wavelength())
    model = model_of("oiii", 2.3, wavelength)
    flux, error, truth = spectra(model, wavelength, 60.0, np.zeros(30), np.full(30, 80.0), rng)
    position = model.centres(0.0)[model.names.index("OIII4959")]
    flux[:, np.abs(wavelength / position - 1) * C < 600] = np.nan
    fit = fit_spectra(model, wavelength, flux, error)
    i = model.names.index("OIII4959")
    assert np.all(fit.line_flags[i] & Flag.LOW_COVERAGE == 0)
    np.testing.assert_allclose(fit.flux[i], truth["OIII4959"], rtol=0.2)


def test_velocity_and_dispersion_bounds_are_flagged():
    rng = np.random.default_rng(12)
    wavelength = window_of("halpha", Z, band_wavelength())
    model = model_of("halpha", Z, wavelength)
    flux, error, _ = spectra(model, wavelength, 60.0, np.full(20, 330.0), np.full(20, 60.0), rng)
    fit = fit_spectra(model, wavelength, flux, error, velocity_range=300.0)
    assert np.all(fit.flags & Flag.VELOCITY_BOUND)
    flux, error, _ = spectra(model, wavelength, 200.0, np.zeros(20), np.full(20, 3.0), rng)
    fit = fit_spectra(model, wavelength, flux, error)
    assert np.mean(fit.flags & Flag.DISPERSION_BOUND != 0) > 0.8
    assert fit.dispersion.min() >= 20.0


def test_a_velocity_prior_rescues_faint_spectra():
    model, wavelength, flux, error, _, velocity, _ = _halpha(300, 4.0, 13, dispersion=60)
    free = fit_spectra(model, wavelength, flux, error)
    guided = fit_spectra(model, wavelength, flux, error, prior_velocity=velocity + 20.0)
    lost, kept = (np.mean(np.abs(fit.velocity - velocity) > 100) for fit in (free, guided))
    assert kept < 0.6 * lost


def test_a_line_at_the_end_of_the_data_is_fitted():
    wavelength = band_wavelength()
    centre = 0.6564632 * (1 + Z)
    wavelength = wavelength[(wavelength > 1.54) & (wavelength < centre * (1 + 250 / C))]
    model = model_of("halpha", Z, wavelength)
    flux, error, truth = spectra(model, wavelength, 60.0, np.zeros(30), np.full(30, 60.0), np.random.default_rng(14))
    fit = fit_spectra(model, wavelength, flux, error)
    i = model.names.index("Halpha")
    assert np.all(fit.flags == 0)
    assert abs(np.mean((fit.flux[i] - truth["Halpha"]) / fit.flux_error[i])) < 4 / np.sqrt(30)


def test_the_model_returned_is_the_model_fitted():
    model, wavelength, flux, error, _, _, _ = _halpha(5, 40.0, 15)
    fit = fit_spectra(model, wavelength, flux, error)
    residual = flux - fit.continuum_at(wavelength) - fit.lines_at(wavelength)
    np.testing.assert_allclose(np.sum((residual / error) ** 2, axis=1), fit.chi2, rtol=1e-4)


def test_settings_that_cannot_be_searched_are_refused():
    model, wavelength, flux, error, _, _, _ = _halpha(2, 10.0, 16)
    with pytest.raises(ConfigError, match="dispersion_range"):
        fit_spectra(model, wavelength, flux, error, dispersion_range=(300.0, 20.0))
    with pytest.raises(ValueError, match="must both be"):
        fit_spectra(model, wavelength, flux[:, :-1], error)

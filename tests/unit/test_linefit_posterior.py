"""Errors of the fit: posterior against its definition and against Monte Carlo, coverage, limits and flags."""

from dataclasses import replace

import numpy as np
import pytest
from linefit_mocks import band_wavelength, model_of, spectra, window_of
from scipy.special import log_ndtr

from klever.linefit.varpro import fit_spectra
from klever.maps import Flag

Z = 1.4
WAVELENGTH = window_of("halpha", Z, band_wavelength())
MODEL = model_of("halpha", Z, WAVELENGTH)
MAIN = MODEL.main


def _mock(n, snr, seed, velocity=200.0, dispersion=(40.0, 120.0)):
    rng = np.random.default_rng(seed)
    speed, width = rng.uniform(-velocity, velocity, n), rng.uniform(*dispersion, n)
    flux, error, truth = spectra(MODEL, WAVELENGTH, snr, speed, width, rng)
    return flux, error, truth["Halpha"], speed, width


def _brute_force(flux, error, n_v=161, n_s=60):
    """Posterior on a fine grid by plain linear algebra, without the [S II] bound: velocity, its weight, log sigma."""
    velocity = np.linspace(-400, 400, n_v)
    dispersion = 20.0 * 15.0 ** ((np.arange(n_s) + 0.5) / n_s)
    ties = MODEL.columns()
    log_weight = np.empty((n_v, n_s))
    x = WAVELENGTH - WAVELENGTH.mean()
    edges = np.concatenate([[1.5 * WAVELENGTH[0] - 0.5 * WAVELENGTH[1]], 0.5 * (WAVELENGTH[1:] + WAVELENGTH[:-1]),
                            [1.5 * WAVELENGTH[-1] - 0.5 * WAVELENGTH[-2]]])  # fmt: skip
    from klever.linefit.model import pixel_profile

    for i, v in enumerate(velocity):
        centres = MODEL.centres(v)
        for j, s in enumerate(dispersion):
            profile = pixel_profile(edges, centres[:, None], MODEL.sigmas(centres, s)[:, None])
            design = np.vstack([ties.T @ profile, np.ones_like(x), x]) / error
            matrix, right = design @ design.T, design @ (flux / error)
            inverse = np.linalg.inv(matrix)
            amplitude = inverse @ right
            main = np.argmax(ties[MAIN])
            log_weight[i, j] = 0.5 * amplitude @ right + log_ndtr(amplitude[main] / np.sqrt(inverse[main, main]))
    weight = np.exp(log_weight - log_weight.max())
    return velocity, weight.sum(axis=1) / weight.sum(), dispersion, weight.sum(axis=0) / weight.sum()


def _quantile(position, weight, level):
    step = position[1] - position[0]
    edges = np.concatenate([position - step / 2, [position[-1] + step / 2]])
    return np.interp(level, np.concatenate([[0], np.cumsum(weight)]), edges)


@pytest.mark.parametrize(("snr", "seed"), [(3.0, 3), (6.0, 4), (15.0, 5)])
def test_posterior_is_the_integral_it_says_it_is(snr, seed):
    """Main line and [N II] alone, for which the sum over a fine grid needs no bounded ratio."""
    flux, error, *_ = _mock(1, snr, seed)
    free = model_of("halpha", Z, WAVELENGTH)
    unbounded = replace(free, group=replace(free.group, bounded_ratios=()))
    fit = fit_spectra(unbounded, WAVELENGTH, flux, error, 400.0, errors="posterior")
    velocity, weight, dispersion, weight_s = _brute_force(flux[0], error[0])
    low, middle, high = (_quantile(velocity, weight, level) for level in (0.1587, 0.5, 0.8413))
    assert fit.velocity[0] == pytest.approx(middle, abs=0.15 * (high - low))
    assert fit.velocity_error[0] == pytest.approx(0.5 * (high - low), rel=0.15)
    width = np.exp(_quantile(np.log(dispersion), weight_s, 0.5))
    assert fit.dispersion[0] == pytest.approx(width, rel=0.12)


def test_posterior_is_the_hessian_for_strong_lines():
    flux, error, *_ = _mock(60, 40.0, 1)
    one, other = (fit_spectra(MODEL, WAVELENGTH, flux, error, errors=errors) for errors in ("jacobian", "posterior"))
    assert np.median(other.velocity_error / one.velocity_error) == pytest.approx(1.0, abs=0.06)
    assert np.median(other.flux_error[MAIN] / one.flux_error[MAIN]) == pytest.approx(1.0, abs=0.06)
    assert np.abs((other.velocity - one.velocity) / one.velocity_error).max() < 0.3


@pytest.mark.parametrize("engine", ["compiled", "numpy"])
def test_no_strong_line_has_errors_of_the_coarse_grid(engine):
    """Velocities everywhere between the nodes of the grid, also on them, where a node sees the peak of a narrow box."""
    n = 400 if engine == "compiled" else 60
    rng = np.random.default_rng(3)
    flux, error, *_ = _mock(n, rng.uniform(20.0, 400.0, n), 3, dispersion=(40.0, 120.0))
    one, other = (
        fit_spectra(MODEL, WAVELENGTH, flux, error, 400.0, errors=errors, engine=engine)
        for errors in ("jacobian", "posterior")
    )
    assert np.max(other.velocity_error / one.velocity_error) < 1.3
    assert np.max(other.dispersion_error / one.dispersion_error) < 1.3


@pytest.mark.parametrize(("low", "high"), [(2, 3), (3, 5), (5, 8), (8, 14)])
def test_quoted_errors_cover_the_truth(low, high):
    """68 % intervals hold the truth in 62 to 75 % of 800 spectra; those of the Hessian do not in velocity."""
    rng = np.random.default_rng(low)
    flux, error, truth, velocity, _ = _mock(800, rng.uniform(low, high, 800), low)
    prior = velocity + rng.normal(0, 40, 800)
    fit = fit_spectra(MODEL, WAVELENGTH, flux, error, 400.0, prior_velocity=prior, errors="posterior")
    good = np.isfinite(fit.velocity)
    assert good.mean() > 0.99
    assert 0.62 < np.mean(np.abs(fit.flux[MAIN] - truth)[good] < fit.flux_error[MAIN][good]) < 0.75
    assert 0.62 < np.mean(np.abs(fit.velocity - velocity)[good] < fit.velocity_error[good]) < 0.75
    if high <= 5:
        hessian = fit_spectra(MODEL, WAVELENGTH, flux, error, 400.0, prior_velocity=prior)
        assert np.mean(np.abs(hessian.velocity - velocity) < hessian.velocity_error) < 0.6


def test_monte_carlo_errors_are_the_scatter():
    flux, error, *_ = _mock(1, 12.0, 7)
    rng = np.random.default_rng(8)
    fit = fit_spectra(MODEL, WAVELENGTH, flux, error, errors="montecarlo", samples=300)
    best = (fit.continuum_at(WAVELENGTH) + fit.lines_at(WAVELENGTH))[0]
    many = fit_spectra(
        MODEL, WAVELENGTH, best + error[0] * rng.standard_normal((400, len(WAVELENGTH))), np.repeat(error, 400, axis=0)
    )
    assert fit.flux_error[MAIN, 0] == pytest.approx(many.flux[MAIN].std(), rel=0.15)
    assert fit.velocity_error[0] == pytest.approx(0.5 * np.ptp(np.quantile(many.velocity, [0.1587, 0.8413])), rel=0.2)
    again = fit_spectra(MODEL, WAVELENGTH, flux, error, errors="montecarlo", samples=300)
    assert np.array_equal(fit.flux_error, again.flux_error)


@pytest.mark.parametrize("errors", ["jacobian", "posterior"])
def test_unresolved_widths_get_an_upper_limit(errors):
    """Lines narrower than the lower bound: 95 per cent limits hold the bound, and shrink with S/N."""
    limits = []
    for snr in (10.0, 60.0):
        flux, error, *_ = _mock(300, snr, 11, dispersion=(5.0, 10.0))
        fit = fit_spectra(MODEL, WAVELENGTH, flux, error, errors=errors)
        at_bound = (fit.flags & Flag.DISPERSION_BOUND) != 0
        assert at_bound.mean() > 0.5
        assert np.all(fit.dispersion_limit[at_bound] >= 20.0)
        limits.append(np.median(fit.dispersion_limit[at_bound]))
    assert limits[1] < limits[0] < 60.0
    assert limits[1] < 30.0


def test_upper_limits_of_widths_hold_in_95_per_cent():
    flux, error, _, _, width = _mock(600, 6.0, 12, dispersion=(30.0, 100.0))
    fit = fit_spectra(MODEL, WAVELENGTH, flux, error, errors="posterior")
    good = np.isfinite(fit.velocity)
    assert np.mean(width[good] < fit.dispersion_limit[good]) == pytest.approx(0.95, abs=0.03)


def test_a_line_that_is_not_gaussian_is_flagged():
    """Two peaks 400 km/s apart, of S/N 35 each: one Gaussian takes one of them."""
    rng = np.random.default_rng(13)
    flux, error, _ = spectra(MODEL, WAVELENGTH, 35.0, np.full(20, -200.0), np.full(20, 40.0), rng)
    other, _, _ = spectra(MODEL, WAVELENGTH, 35.0, np.full(20, 200.0), np.full(20, 40.0), rng)
    fit = fit_spectra(MODEL, WAVELENGTH, np.concatenate([flux + other, _mock(80, 60.0, 14)[0]]),
                      np.concatenate([error * np.sqrt(2), _mock(80, 60.0, 14)[1]]))  # fmt: skip
    flagged = (fit.flags & Flag.RESIDUAL) != 0
    assert flagged[:20].mean() > 0.9
    assert flagged[20:].mean() < 0.02


def test_lines_on_masked_sky_lines_are_flagged():
    flux, error, *_ = _mock(10, 30.0, 15, velocity=5.0)
    centre = np.searchsorted(WAVELENGTH, MODEL.centres(0.0)[MAIN])
    sky = np.zeros(len(WAVELENGTH))
    sky[centre - 2 : centre + 3] = 1.0
    flux[:, sky > 0] = np.nan
    fit = fit_spectra(MODEL, WAVELENGTH, flux, error)
    fit.flag_sky_lines(WAVELENGTH, sky)
    assert np.all(fit.line_flags[MAIN] & Flag.ON_SKY_LINE)
    assert not np.any(fit.line_flags[MODEL.names.index("SII6717")] & Flag.ON_SKY_LINE)
    clean = fit_spectra(MODEL, WAVELENGTH, flux, error)
    clean.flag_sky_lines(WAVELENGTH, np.zeros(len(WAVELENGTH)))
    assert not np.any(clean.line_flags & Flag.ON_SKY_LINE)

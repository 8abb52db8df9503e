"""The compiled engine against the NumPy one, and the independence of spectra from each other."""

from pathlib import Path

import numpy as np
import pytest
from linefit_mocks import LINE_LIST, C, band_wavelength, model_of, spectra, window_of

from klever.codedigest import imported_modules
from klever.errors import ConfigError
from klever.linefit.model import GroupModel
from klever.linefit.varpro import fit_spectra, search_velocity
from klever.linefit.window import channels_of_group
from klever.maps import Flag
from klever.spectral_lines import Group, LineSpread

Z = 1.4
WAVELENGTH = window_of("halpha", Z, band_wavelength())
MODEL = model_of("halpha", Z, WAVELENGTH)
FIELDS = ("flux", "flux_error", "velocity", "velocity_error", "dispersion", "dispersion_error", "dispersion_limit",
          "chi2", "coverage")  # fmt: skip


def _mock(n=120, seed=0, low=1.0):
    rng = np.random.default_rng(seed)
    flux, error, _ = spectra(
        MODEL, WAVELENGTH, rng.uniform(low, 30, n), rng.uniform(-250, 250, n), rng.uniform(25, 150, n), rng
    )
    return flux, error


def _spoiled(seed=1):
    """Spectra of every kind that a cube may hold."""
    flux, error = _mock(40, seed)
    flux[0] = 0.0
    flux[1] = 3.0
    flux[2] = np.nan
    flux[3, 100] = 1e30
    flux[4] *= -1
    error[5] = 0.0
    error[6] = np.inf
    flux[7, 50:] = np.nan
    flux[8, np.arange(len(WAVELENGTH)) != 200] = np.nan
    flux[9, 230:233] += 80.0
    error[10, 180:240] = np.nan
    flux[11] = 1e30
    flux[12, 222] += 300.0
    return flux, error


def _assert_same(one, other, tolerance):
    for name in FIELDS:
        a, b = getattr(one, name), getattr(other, name)
        assert np.array_equal(np.isnan(a), np.isnan(b)), name
        scale = {"flux": one.flux_error, "velocity": one.velocity_error, "dispersion": one.dispersion_error}.get(
            name, b
        )
        assert np.nanmax(np.abs(a - b) / np.maximum(np.abs(scale), 1e-30)) < tolerance, name
    assert np.array_equal(one.flags, other.flags)
    assert np.array_equal(one.line_flags, other.line_flags)


@pytest.mark.parametrize("errors", ["jacobian", "posterior"])
def test_both_engines_give_the_same_answers(errors):
    flux, error = _mock(60, low=3.0)
    prior = np.where(np.arange(60) % 2, np.nan, 30.0)
    fits = [
        fit_spectra(MODEL, WAVELENGTH, flux, error, 400.0, prior_velocity=prior, engine=engine, errors=errors)
        for engine in ("compiled", "numpy")
    ]
    _assert_same(*fits, tolerance=0.01)


@pytest.mark.parametrize("engine", ["compiled", "numpy"])
def test_the_width_of_each_channel_is_taken_out_of_the_dispersion(engine):
    """Two lines far apart, of one intrinsic width, seen by an instrument whose width changes between them."""
    wavelength = np.arange(1.16, 1.62, 2e-4)
    hydrogen = Group("hydrogen", tuple(LINE_LIST.lines[name] for name in ("Hbeta", "Halpha")), "Halpha")
    model = GroupModel(hydrogen, Z, LineSpread((1.1, 1.7), (1500.0, 4500.0)))
    rng, n = np.random.default_rng(8), 200
    velocity, dispersion = rng.uniform(-150, 150, n), np.full(n, 70.0)
    relative = {"Hbeta": 0.9, "Halpha": 1.0}
    flux, error, truth = spectra(model, wavelength, 40.0, velocity, dispersion, rng, relative, continuum=(0.0, 0.0))
    window, near = channels_of_group(model, wavelength, 4000.0)
    flux, error = flux[:, window], np.where(near, error[:, window], np.nan)
    fit = fit_spectra(model, wavelength[window], flux, error, engine=engine, errors="jacobian")
    pulls = (fit.dispersion - 70.0) / fit.dispersion_error
    assert abs(np.mean(pulls)) < 4 / np.sqrt(n)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.2)
    pulls = (fit.flux[0] - truth["Hbeta"]) / fit.flux_error[0]
    assert abs(np.mean(pulls)) < 4 / np.sqrt(n)
    centre = 0.6564632 * (1 + Z)
    observed = np.hypot(70.0, C / np.interp(centre, (1.1, 1.7), (1500.0, 4500.0)) / 2.35482)
    assert np.median(fit.dispersion_observed) == pytest.approx(observed, rel=0.01)


def test_both_engines_agree_on_spoiled_spectra():
    flux, error = _spoiled()
    with np.errstate(all="ignore"):
        fits = [fit_spectra(MODEL, WAVELENGTH, flux, error, engine=engine) for engine in ("compiled", "numpy")]
    assert np.array_equal(*[fit.flags for fit in fits])
    good = (fits[0].flags & Flag.NOT_FITTED) == 0
    assert np.allclose(fits[0].chi2[good], fits[1].chi2[good], atol=0.01, rtol=1e-6)
    assert not good[[0, 1, 2, 5, 6, 8, 11]].any()


@pytest.mark.parametrize("group", ["oii", "oiii", "siii"])
def test_both_engines_agree_for_other_groups(group):
    rng = np.random.default_rng(5)
    wavelength = window_of(group, 2.0, np.linspace(1.05, 3.0, 9000))
    model = model_of(group, 2.0, wavelength, sigma=1.7e-4)
    flux, error, _ = spectra(model, wavelength, np.full(30, 15.0), rng.uniform(-100, 100, 30), np.full(30, 70.0), rng)
    fits = [fit_spectra(model, wavelength, flux, error, engine=engine) for engine in ("compiled", "numpy")]
    _assert_same(*fits, tolerance=0.01)


def test_uneven_channels_are_fitted_alike():
    rng = np.random.default_rng(6)
    wavelength = WAVELENGTH + 4e-5 * np.sin(np.arange(len(WAVELENGTH)) / 30)
    flux, error = _mock(20, low=10.0)
    error = np.full_like(error, 1.0) + 0.1 * rng.random(error.shape)
    fits = [fit_spectra(MODEL, wavelength, flux, error, engine=engine) for engine in ("compiled", "numpy")]
    _assert_same(*fits, tolerance=0.01)


@pytest.mark.parametrize("errors", ["jacobian", "posterior", "montecarlo"])
def test_a_bad_neighbour_changes_nothing_to_the_last_bit(errors):
    """Every other spectrum is replaced by a spoiled one."""
    flux, error = _mock(80, low=5.0)
    kept = np.arange(0, 80, 2)
    spoiled_flux, spoiled_error = flux.copy(), error.copy()
    spoiled_flux[1::2], spoiled_error[1::2] = _spoiled()
    fits = [fit_spectra(MODEL, WAVELENGTH, *data, errors=errors, samples=10) for data in
            ((flux, error), (spoiled_flux, spoiled_error))]  # fmt: skip
    for name in FIELDS:
        before, after = (getattr(fit, name)[..., kept] for fit in fits)
        assert np.array_equal(before, after, equal_nan=True), name


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_posterior_does_not_depend_on_the_unit(factor):
    flux, error = _mock(20)
    one = fit_spectra(MODEL, WAVELENGTH, flux, error, errors="posterior")
    other = fit_spectra(MODEL, WAVELENGTH, flux * factor, error * factor, errors="posterior")
    assert np.allclose(one.velocity, other.velocity, rtol=1e-6, equal_nan=True)
    assert np.allclose(one.flux_error * factor, other.flux_error, rtol=1e-6, equal_nan=True)


def test_the_starting_velocity_is_the_same():
    flux, error = _mock(40, low=8.0)
    found = [search_velocity(MODEL, WAVELENGTH, flux, error, engine=engine) for engine in ("compiled", "numpy")]
    assert np.array_equal(found[0][0], found[1][0])
    assert np.allclose(found[0][1], found[1][1], rtol=1e-6)


@pytest.mark.parametrize(("key", "value"), [("engine", "fortran"), ("errors", "bootstrap")])
def test_unknown_choices_are_refused(key, value):
    flux, error = _mock(2)
    with pytest.raises(ConfigError, match=f"lines.{key} is '{value}'"):
        fit_spectra(MODEL, WAVELENGTH, flux, error, **{key: value})


def test_the_machine_code_is_kept_under_everything_it_is_made_of():
    """Numba freezes constants of other modules: an edited one must not meet old machine code."""
    from klever.linefit.kernel import SOURCES

    scripts = Path(__file__).parents[2] / "workflow/scripts"
    kernel = sorted((scripts / "klever/linefit/kernel").glob("*.py"))
    names = {name for path in kernel for name in imported_modules(path) if name.startswith("klever.")}
    files = {scripts.joinpath(*name.split(".")).with_suffix(".py") for name in names}
    used = {path for path in files if path.is_file()} | set(kernel)
    assert len(used) > 10
    assert used <= set(SOURCES)

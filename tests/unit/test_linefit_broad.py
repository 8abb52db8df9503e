"""Broad components: truth recovered, errors that cover it, evidence against brute force, and no false detections."""

from dataclasses import replace

import numpy as np
import pytest
from linefit_mocks import (
    LINE_LIST,
    OPTIONS,
    RELATIVE,
    C,
    band_wavelength,
    binned_gaussian,
    model_of,
    spectra,
    window_of,
)
from scipy.optimize import least_squares, lsq_linear
from scipy.special import log_ndtr, logsumexp
from scipy.stats import multivariate_normal
from test_config import Folder

from klever.errors import ConfigError
from klever.linefit.broad import check_broad_lines, fit_broad, needed_window
from klever.linefit.components import Bounds, solve_signed
from klever.linefit.evidence import log_orthant
from klever.linefit.groupspectra import GroupSpectra
from klever.linefit.model import GroupModel, pixel_edges, pixel_profile
from klever.linefit.outflow import broad_components
from klever.linefit.varpro import fit_spectra
from klever.maps import Flag

Z = {"halpha": 1.45, "oiii": 2.2}
FIELDS = ("flux", "flux_error", "velocity", "dispersion", "delta_ln_evidence", "flags")


def setting(group, reach):
    wavelength = window_of(group, Z[group], band_wavelength(), reach)
    return wavelength, model_of(group, Z[group], wavelength)


def unit_flux(model, wavelength, name, dispersion):
    """Flux of a line of S/N 1 if all else were known and the noise 1.12, the rms of that of `spectra`."""
    sigma = np.hypot(model.group.line(name).wavelength * (1 + model.z) * dispersion / C, model.sigma_instrument)
    return 1.12 * np.sqrt(2 * np.sqrt(np.pi) * sigma * (wavelength[1] - wavelength[0]))


def add_line(flux, model, wavelength, name, amount, velocity, dispersion):
    centre = model.group.line(name).wavelength * (1 + model.z) * (1 + velocity / C)
    sigma = np.hypot(centre * dispersion / C, model.sigma_instrument)
    return flux + amount * binned_gaussian(wavelength, centre, sigma)


def agn(n, snr, broad, seed, dispersion=1500.0, velocity=80.0, reach=12000.0):
    """Spectra of a type-1 AGN: broad Halpha under narrow Halpha, [N II] and [S II]; and the truth."""
    wavelength, model = setting("halpha", reach)
    rng = np.random.default_rng(seed)
    narrow = rng.uniform(-100, 100, n), rng.uniform(60, 130, n)
    flux, error, truth = spectra(model, wavelength, snr, *narrow, rng)
    amount = broad * unit_flux(model, wavelength, "Halpha", dispersion)
    flux = add_line(flux, model, wavelength, "Halpha", amount, velocity, dispersion)
    return model, wavelength, flux, error, truth | {"broad": amount, "velocity": narrow[0], "dispersion": narrow[1]}


def outflow(n, snr, broad, seed, velocity=-200.0, dispersion=400.0):
    """Spectra of an outflow seen in [O III] beside narrow lines at -20 km/s; and the truth."""
    wavelength, model = setting("oiii", 4000.0)
    rng = np.random.default_rng(seed)
    flux, error, truth = spectra(model, wavelength, snr, np.full(n, -20.0), np.full(n, 70.0), rng)
    amount = broad * unit_flux(model, wavelength, "OIII5007", dispersion)
    for name, share in (("OIII5007", 1.0), ("OIII4959", 1 / 3)):
        flux = add_line(flux, model, wavelength, name, share * amount, velocity, dispersion)
    return model, wavelength, flux, error, truth | {"broad": amount}


def both(model, wavelength, flux, error, lines, **keywords):
    alone = fit_spectra(model, wavelength, flux, error, 400.0, engine="numpy")
    return fit_broad(model, wavelength, flux, error, alone, lines, **keywords)


@pytest.fixture(scope="module")
def agn_fit():
    case = agn(100, 25.0, 40.0, 1)
    return case, both(*case[:4], ["Halpha"])


def within(value, error, truth):
    return np.mean(np.abs(value - truth) < error)


def test_broad_line_under_the_complex_is_recovered_with_errors_that_cover(agn_fit):
    (_, _, _, _, truth), fit = agn_fit
    assert fit.chosen.all() and not fit.flags.any()
    narrow = fit.narrow
    cases = [
        (fit.flux[0], fit.flux_error[0], truth["broad"]),
        (fit.velocity, fit.velocity_error, 80.0),
        (fit.dispersion, fit.dispersion_error, 1500.0),
        (narrow.velocity, narrow.velocity_error, truth["velocity"]),
        (narrow.dispersion, narrow.dispersion_error, truth["dispersion"]),
    ]
    lines = {name: (narrow.flux[i], narrow.flux_error[i], truth[name]) for i, name in enumerate(narrow.model.names)}
    cases += [lines["Halpha"], lines["NII6584"]]
    for value, error, expected in [*cases, lines["SII6717"], lines["SII6731"]]:
        pull = (value - expected) / error
        assert abs(pull.mean()) < 0.35  # 100 spectra: 3.5 sigma
        assert pull.std() < 1.25
    assert all(np.std((value - expected) / error) > 0.8 for value, error, expected in cases)
    # not so [S II]: the bound on its ratio narrows the scatter, and the errors are those without it
    assert 0.6 < np.mean([within(*case) for case in cases]) < 0.75
    assert narrow.flux[2] == pytest.approx(3 * narrow.flux[0])
    assert fit.chi2 / fit.dof == pytest.approx(1.0, abs=0.2)
    np.testing.assert_array_less(fit.chi2, fit.single.chi2)


def test_outflow_is_recovered():
    *spectrum, truth = outflow(40, 40.0, 30.0, 2)
    fit = both(*spectrum, ["OIII5007", "OIII4959"])
    assert fit.chosen.all() and fit.model.names == ["OIII4959", "OIII5007"]
    for value, error, expected in (
        (fit.flux[1], fit.flux_error[1], truth["broad"]), (fit.velocity, fit.velocity_error, -200.0),
        (fit.dispersion, fit.dispersion_error, 400.0), (fit.narrow.velocity, fit.narrow.velocity_error, -20.0),
        (fit.narrow.flux[2], fit.narrow.flux_error[2], truth["OIII5007"]),
    ):  # fmt: skip
        assert abs(np.mean((value - expected) / error)) < 0.6  # 40 spectra: 3.8 sigma
        assert within(value, 3.5 * error, expected) == 1.0
    np.testing.assert_allclose(fit.flux[1], 3 * fit.flux[0])


def test_one_component_is_preferred_without_a_broad_line():
    for snr, seed in ((5.0, 3), (10.0, 4), (30.0, 5)):
        fit = both(*agn(12, snr, 0.0, seed)[:4], ["Halpha"])
        assert np.isfinite(fit.delta_ln_evidence).all() and not fit.chosen.any()
        assert np.median(fit.delta_ln_evidence) < -1.0
        assert np.nanmin(fit.flux) >= 0.0


def squares_of(model, wavelength, flux, error, narrow_ties, broad):
    """Weighted residuals of all parameters at once, nothing eliminated: [S II] as edges of its range, squared."""
    edges, x = pixel_edges(wavelength), (wavelength - wavelength.mean()) / np.ptp(wavelength)
    scale = np.abs(flux).max()

    def curves(tied, who, velocity, dispersion):
        centres = who.centres(velocity)
        sigmas = who.sigmas(centres, dispersion)
        lines = [f * pixel_profile(edges, c, s) for f, c, s in zip(tied, centres, sigmas, strict=True)]
        return np.sum(lines, axis=0) * scale * (wavelength[1] - wavelength[0]) * 10

    def residual(p):
        k = narrow_ties.shape[1]
        lines = curves(narrow_ties @ p[:k], model, 100 * p[k], 100 * p[k + 1])
        wide = curves([p[k + 2]], broad, 100 * p[k + 3], 100 * p[k + 4])
        return (flux - scale * (p[k + 5] + p[k + 6] * x) - lines - wide) / error

    return residual, scale * (wavelength[1] - wavelength[0]) * 10


def test_minimum_is_that_of_brute_force_least_squares():
    model, wavelength, flux, error, _ = agn(2, 30.0, 25.0, 6)
    fit = both(model, wavelength, flux, error, ["Halpha"])
    names = model.names
    ties = np.zeros((5, 4))
    ties[[names.index("Halpha"), names.index("NII6548"), names.index("NII6584")], [0, 1, 1]] = 1.0, 1 / 3, 1.0
    ties[names.index("SII6717"), 2:] = 1.45, 0.4  # positive amounts of the two edges keep the ratio in its range
    ties[names.index("SII6731"), 2:] = 1.0, 1.0
    broad = GroupModel(replace(model.group, lines=(model.group.line("Halpha"),), fixed_ratios=(), bounded_ratios=()),
                       model.z, model.sigma_instrument)  # fmt: skip
    low = np.array([-np.inf, -np.inf, 0, 0, -4, 0.2, 0, -4, 3, -np.inf, -np.inf])
    high = np.array([np.inf, np.inf, np.inf, np.inf, 4, 3, np.inf, 4, 30, np.inf, np.inf])
    for s in range(2):
        residual, unit = squares_of(model, wavelength, flux[s], error[s], ties, broad)
        starts = [[0.1, 0.03, 0.01, 0.01, fit.narrow.velocity[s] / 100, 1, 0.1, 0, wide, 0.05, 0] for wide in (8, 20)]
        exact = {"x_scale": "jac", "xtol": 1e-12, "ftol": 1e-12, "gtol": 1e-12, "bounds": (low, high)}
        best = min((least_squares(residual, start, **exact) for start in starts), key=lambda found: found.cost)
        assert fit.chi2[s] == pytest.approx(2 * best.cost, abs=1e-3)
        assert fit.flux[0, s] == pytest.approx(best.x[6] * unit, abs=0.02 * fit.flux_error[0, s])
        assert fit.dispersion[s] == pytest.approx(100 * best.x[8], abs=0.02 * fit.dispersion_error[s])


def brute_force(model, broad, wavelength, flux, error, reach, counts=(25, 25, 20, 20)):
    """Delta ln Z of one spectrum: sum over a grid of all four non-linear parameters, amplitudes integrated exactly.

    For groups without a bounded ratio and one broad column. `reach` is the range of narrow velocities that matters.
    """
    weight, x = error**-2.0, np.linspace(-1, 1, len(wavelength))
    edges = pixel_edges(wavelength)

    def middles(low, high, count):
        return low + (high - low) * (np.arange(count) + 0.5) / count

    def columns(who, velocities, dispersions):
        ties = who.columns()
        for v in velocities:
            for s in dispersions:
                centres = who.centres(v)
                sigmas = who.sigmas(centres, s)
                profiles = [pixel_profile(edges, c, w) for c, w in zip(centres, sigmas, strict=True)]
                yield 1e-3 * ties.T @ profiles

    narrow = list(columns(model, middles(*reach, counts[0]), np.exp(middles(*np.log([20.0, 300.0]), counts[1]))))
    wide = columns(broad, middles(-400.0, 400.0, counts[2]), np.exp(middles(*np.log([300.0, 3000.0]), counts[3])))
    wide = np.array([column[0] for column in wide])
    continuum = np.array([np.ones_like(x), x])
    line = (continuum * weight) @ continuum.T
    beside = (wide * weight) @ continuum.T
    information = (wide**2 * weight).sum(axis=1) - ((beside @ np.linalg.inv(line)) * beside).sum(axis=1)
    data = (continuum * weight) @ flux
    whole = (weight * flux**2).sum() - data @ np.linalg.solve(line, data)
    one, two = [], []
    for column in narrow:
        design = np.concatenate([column, continuum])
        gram, right = (design * weight) @ design.T, (design * weight) @ flux
        inverse = np.linalg.inv(gram)
        log_z = 0.5 * right @ inverse @ right - 0.5 * np.linalg.slogdet(gram)[1]
        cross = (wide * weight) @ design.T
        schur = (wide**2 * weight).sum(axis=1) - ((cross @ inverse) * cross).sum(axis=1)
        signal = ((wide * weight) @ flux - cross @ inverse @ right) / np.sqrt(schur)
        prior = 0.5 * np.log(information / whole)
        one.append(log_z)
        two.append(
            logsumexp(
                log_z + 0.5 * signal**2 - 0.5 * np.log(schur) + 0.5 * np.log(2 * np.pi) + log_ndtr(signal) + prior
            )
        )
    return logsumexp(two) - np.log(len(wide)) - logsumexp(one)


@pytest.mark.parametrize(("snr", "broad", "tolerance"), [(12.0, 8.0, 0.3), (30.0, 12.0, 0.1)])
def test_evidence_is_that_of_brute_force(snr, broad, tolerance):
    model, wavelength, flux, error, _ = outflow(1, snr, broad, 7)
    fit = both(model, wavelength, flux, error, ["OIII5007", "OIII4959"])
    reach = 8 * max(fit.narrow.velocity_error[0], fit.single.velocity_error[0])
    reach = fit.narrow.velocity[0] - reach, fit.narrow.velocity[0] + reach
    expected = brute_force(model, fit.model, wavelength, flux[0], error[0], reach)
    assert fit.delta_ln_evidence[0] == pytest.approx(expected, abs=tolerance)


def test_orthant_probability():
    assert log_orthant(np.array([[-1.3]]), np.array([[[4.0]]]))[0] == pytest.approx(log_ndtr(-0.65))
    for rho in (-0.7, 0.0, 0.5):
        pair = log_orthant(np.zeros((2, 1)), np.array([[[1.0], [rho]], [[rho], [1.0]]]))
        assert np.exp(pair[0]) == pytest.approx(0.25 + np.arcsin(rho) / (2 * np.pi), abs=0.005)
    mean = np.array([0.5, -0.8, 1.0])
    covariance = np.array([[1.0, -0.4, 0.2], [-0.4, 2.0, 0.3], [0.2, 0.3, 0.7]])
    expected = multivariate_normal.cdf(np.zeros(3), -mean, covariance)
    assert log_orthant(mean[:, None], covariance[..., None])[0] == pytest.approx(np.log(expected), abs=0.03)


def test_signed_solution_is_the_best_that_keeps_the_bounds():
    rng = np.random.default_rng(8)
    design = rng.normal(size=(30, 9, 4))
    data = rng.normal(size=(30, 9))
    gram, right = np.einsum("nci,ncj->ijn", design, design), np.einsum("nci,nc->in", design, data)
    bounds = Bounds((0, 1), (3,))
    amplitude, free = solve_signed(gram, right, bounds)
    assert bounds.kept(amplitude).all() and (amplitude[~free] == 0).all()
    for s in range(30):
        costs = []
        for sign in (1, -1):
            # the pair at either sign, the last column never below zero: two ordinary problems with bounds
            signed = design[s] * [sign, sign, 1, 1]
            costs.append(lsq_linear(signed, data[s], ([0, 0, -np.inf, 0], np.inf), tol=1e-12).cost * 2)
        assert ((design[s] @ amplitude[:, s] - data[s]) ** 2).sum() == pytest.approx(min(costs), rel=1e-4)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_units_do_not_matter(agn_fit, scale):
    (model, wavelength, flux, error, _), fit = agn_fit
    few = slice(0, 4)
    scaled = both(model, wavelength, flux[few] * scale, error[few] * scale, ["Halpha"])
    np.testing.assert_allclose(scaled.flux, fit.flux[:, few] * scale, rtol=1e-3)
    np.testing.assert_allclose(scaled.covariance, fit.covariance[..., few] * scale**2, rtol=1e-3)
    np.testing.assert_allclose(scaled.delta_ln_evidence, fit.delta_ln_evidence[few], atol=1e-2)
    np.testing.assert_allclose(scaled.velocity, fit.velocity[few], atol=0.5)


def test_bad_spectra_are_flagged_and_leave_their_neighbours_alone(agn_fit):
    (model, wavelength, flux, error, _), _ = agn_fit
    flux, error = flux[:9].copy(), error[:9].copy()
    alone = fit_spectra(model, wavelength, flux, error, 400.0, engine="numpy")
    clean = fit_broad(model, wavelength, flux, error, alone, ["Halpha"])
    on_line = np.argmin(np.abs(wavelength - model.centres(clean.narrow.velocity[6])[model.main]))
    flux[1], flux[2], flux[3], error[4] = np.nan, 3.0, 0.0, np.nan
    flux[5, 200] = 1e30
    flux[6, on_line] = 1e30
    flux[7] = -flux[7]
    fit = fit_broad(model, wavelength, flux, error, alone, ["Halpha"])
    bad = [1, 2, 3, 4, 6, 7]
    assert ((fit.flags[bad] & Flag.NOT_FITTED) > 0).all() and not (fit.flags[[0, 5, 8]] & Flag.NOT_FITTED).any()
    assert not fit.chosen[bad].any()
    for name in FIELDS[:-1]:
        assert np.isnan(getattr(fit, name)[..., bad]).all()
        np.testing.assert_array_equal(getattr(fit, name)[..., [0, 8]], getattr(clean, name)[..., [0, 8]])
    assert np.isnan(fit.narrow.flux[:, bad]).all() and np.isnan(fit.narrow.continuum[:, bad]).all()
    assert fit.chosen[5] and fit.flux[0, 5] == pytest.approx(clean.flux[0, 5], abs=0.5 * clean.flux_error[0, 5])


def test_a_broad_line_that_spoils_the_single_fit_is_found_and_nothing_else_is():
    """In maps: spectra that one component could not fit are tried; dead, negative and hit ones stay without a fit."""
    model, wavelength, flux, error, truth = agn(8, 300.0, 3000.0, 5)
    flux[1], flux[2], flux[3], error[4] = np.nan, 3.0, -flux[3], np.nan
    flux[5, np.argmin(np.abs(wavelength - model.centres(0.0)[model.main]))] = 1e30
    fit = fit_spectra(model, wavelength, flux, error, 400.0, engine="numpy")
    fit.take(np.array([6]), fit.part(np.array([2])), 1.0)  # as if the single fit had failed
    assert fit.flags[6] == Flag.NOT_FITTED
    cube = GroupSpectra(model, wavelength, flux, error, *[None] * 2, np.ones(len(wavelength), bool), None)
    options = OPTIONS | {"broad": {"halpha": ["Halpha"]}, "velocity_range": 400.0}
    broad = broad_components(cube, fit, options, 1.0)
    bad = [1, 2, 3, 4, 5]
    assert np.isnan(broad.flux[:, bad]).all() and np.isnan(broad.evidence[bad]).all()
    assert ((broad.flags[bad] & Flag.NOT_FITTED) > 0).all() and ((fit.flags[bad] & Flag.NOT_FITTED) > 0).all()
    good = [0, 6, 7]
    assert not (fit.flags[good] & Flag.NOT_FITTED).any()
    assert np.all(np.abs(broad.flux[0, good] - truth["broad"]) < 4 * broad.flux_error[0, good])
    main = fit.flux[model.main, good] - truth["Halpha"][good]
    assert np.all(np.abs(main) < 4 * fit.flux_error[model.main, good])


def test_narrow_windows_and_bounds_are_flagged():
    short = both(*agn(3, 25.0, 60.0, 9, dispersion=1900.0, reach=1000.0)[:4], ["Halpha"])
    assert ((short.flags & Flag.LOW_COVERAGE) > 0).all()
    spectrum = agn(3, 25.0, 60.0, 9, dispersion=1900.0)[:4]
    assert not both(*spectrum, ["Halpha"]).flags.any()
    bounded = both(*spectrum, ["Halpha"], broad_dispersion_range=(300.0, 1000.0))
    assert ((bounded.flags & Flag.DISPERSION_BOUND) > 0).all()
    np.testing.assert_allclose(bounded.dispersion, 1000.0)
    np.testing.assert_allclose(bounded.dispersion_error, 700 / np.sqrt(12))
    assert needed_window(400.0, (300.0, 3000.0)) == 9400.0


def test_a_start_is_not_needed(agn_fit):
    (model, wavelength, flux, error, _), fit = agn_fit
    none = replace(fit.single, velocity=np.full(5, np.nan), best=np.full((2, 5), np.nan))
    again = fit_broad(model, wavelength, flux[:5], error[:5], none, ["Halpha"])
    np.testing.assert_allclose(again.chi2, fit.chi2[:5], atol=0.01)


def test_curves_add_up_to_the_fit(agn_fit):
    (_, wavelength, flux, error, _), fit = agn_fit
    narrow, broad = fit.lines_at(wavelength)
    residual = flux - narrow - broad - fit.continuum_at(wavelength)
    np.testing.assert_allclose(((residual / error) ** 2).sum(axis=1), fit.chi2, rtol=1e-6)
    step = wavelength[1] - wavelength[0]
    np.testing.assert_allclose(broad.sum(axis=1) * step, fit.flux[0], rtol=1e-3)


def test_broad_sulphur_keeps_its_ratio():
    wavelength, model = setting("halpha", 6000.0)
    flux, error, _ = spectra(model, wavelength, 40.0, np.zeros(4), np.full(4, 80.0), np.random.default_rng(10))
    for name in ("Halpha", "SII6717", "SII6731"):
        amount = (
            40 * RELATIVE[name] * unit_flux(model, wavelength, "Halpha", 450.0) * (3.0 if name == "SII6717" else 1.0)
        )
        flux = add_line(flux, model, wavelength, name, amount, -100.0, 450.0)
    fit = both(model, wavelength, flux, error, model.names)
    broad = dict(zip(fit.model.names, fit.flux, strict=True))
    ratio = broad["SII6717"] / broad["SII6731"]
    assert ((ratio > 0.4 - 1e-6) & (ratio < 1.45 + 1e-6)).all() and fit.chosen.all()


def test_mistakes_are_explained():
    model, wavelength, flux, error, _ = agn(1, 20.0, 0.0, 11)
    alone = fit_spectra(model, wavelength, flux, error, 400.0, engine="numpy")
    with pytest.raises(ConfigError, match=r"lines.broad.halpha names Hbeta, but the group has NII6548, Halpha"):
        fit_broad(model, wavelength, flux, error, alone, ["Hbeta"])
    with pytest.raises(ConfigError, match="start where the narrow ones end"):
        fit_broad(model, wavelength, flux, error, alone, ["Halpha"], broad_dispersion_range=(200.0, 900.0))
    with pytest.raises(ValueError, match="both must be the same"):
        fit_broad(model, wavelength, flux.repeat(2, 0), error.repeat(2, 0), alone, ["Halpha"])
    check_broad_lines({"halpha": ["Halpha"], "oiii": ["Hbeta"]}, LINE_LIST)
    with pytest.raises(ConfigError, match="unknown group"):
        check_broad_lines({"halfa": ["Halpha"]}, LINE_LIST)
    with pytest.raises(ConfigError, match="must list at least one line"):
        check_broad_lines({"halpha": []}, LINE_LIST)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ({"broad": {"halfa": ["Halpha"]}}, "lines.broad.halfa: no such group in lines.groups; did you mean"),
        ({"broad": {"halpha": ["Halfa"]}}, "lines.broad.halpha: 'Halfa' is no line of that group; did you mean Halpha"),
        ({"broad": {"halpha": []}}, "lines.broad.halpha: has 0 values"),
        ({"broad_dispersion_range": [900.0, 300.0]}, "lines.broad_dispersion_range: the minimum must be smaller"),
        ({"broad": {"halpha": ["Halpha"]}, "broad_dispersion_range": [200.0, 900.0]},
         "lines.broad_dispersion_range: must start where lines.dispersion_range ends"),
    ],
)  # fmt: skip
def test_settings_are_checked(tmp_path, lines, problem):
    survey = Folder(tmp_path)
    survey.config = {"lines": lines}
    assert any(f"config/config.yaml: {problem}" in text for text in survey.problems())


def test_settings_of_one_galaxy(tmp_path):
    survey = Folder(tmp_path)
    survey.config = {"overrides": {"sp1": {"lines": {"broad": {"halpha": ["Halpha"]}, "window": 12000.0}}}}
    loaded = survey.load()
    assert loaded.settings("sp1", "lines")["lines"]["broad"] == {"halpha": ["Halpha"]}
    assert loaded.settings("field1", "lines")["lines"]["broad"] == {}

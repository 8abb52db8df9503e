"""Gradients end to end on a mock disc: noise covariance, both methods, the PSF, systematics, asymmetry, the step."""

import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from gradient_mock import CALIBRATIONS, DUST, GRADIENT, KPC, METALLICITY, Mock

import gradient as step
from klever.abundance.metallicity import grid_posterior
from klever.errors import ConfigError, InputError
from klever.gradient.galaxy_gradient import measure_galaxy_gradient
from klever.gradient.gradients import fit_line
from klever.gradient.profile_errors import average_abundances, average_fluxes
from klever.gradient.profiles import measure_profiles
from klever.maps import MapSet
from klever.operators import save_operators
from klever.source.source_noise import SourceNoise


@pytest.fixture(scope="module")
def disc():
    return Mock(psf=0.5, half_light_radius=0.8)


@pytest.fixture(scope="module")
def exact(disc):
    """Without noise, with the errors of noise."""
    inputs = disc.inputs()
    return inputs, measure_galaxy_gradient(inputs)


def row_of(result, aperture="circular"):
    return next(row for row in result.gradient if row["aperture"] == aperture)


# --- noise


def test_covariance_of_pixels_is_that_of_drawn_noise_and_reproduces_their_errors(disc, exact):
    inputs, _ = exact
    weights = np.zeros((3, disc.source_grid.shape[0] ** 2))
    middle = disc.source_grid.shape[0] // 2 * (disc.source_grid.shape[0] + 1)
    weights[[0, 1, 2], [middle, middle + 1, middle + 12]] = 1
    covariance = inputs.noise.covariance("Halpha", weights)
    drawn = weights @ inputs.noise.draw("HALPHA", 4000, np.random.default_rng(3))
    np.testing.assert_allclose(np.cov(drawn), covariance, atol=0.08 * covariance[0, 0])
    errors = inputs.source["HALPHA"].error.ravel()[[middle, middle + 1, middle + 12]]
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), errors, rtol=1e-6)
    assert covariance[0, 1] > 0.8 * covariance[0, 0] > 5 * covariance[0, 2]  # neighbours share their noise


def test_operators_of_another_galaxy_are_refused(disc):
    inputs = disc.inputs()
    with pytest.raises(InputError, match="band H"):
        SourceNoise(inputs.bands, {"M_H": disc.operator[:, :-1]})
    with pytest.raises(InputError, match="band H"):
        SourceNoise(inputs.bands, {})


def test_pulls_of_a_galaxy_much_larger_than_the_psf_are_standard_normal_for_both_methods():
    large = Mock(slope=-0.01, psf=0.2, half_light_radius=1.2, snr=60, size=31)
    found, random = {"pixels": [], "fluxes": []}, np.random.default_rng(3)
    for _ in range(16):
        inputs = large.inputs(random, {"apertures": ["circular"]})
        (profile,) = measure_profiles(inputs.source, inputs.abundance, inputs.psf, inputs.gradient)
        for item in (
            average_abundances(profile, inputs.abundance, inputs.model, inputs.noise),
            average_fluxes(profile, inputs.source, inputs.model, inputs.noise, inputs.gradient),
        ):
            line = fit_line(item.radius, item.log_oh, item.weighting, item.common)
            paper = fit_line(item.radius, item.log_oh, item.paper_error) if item.method == "pixels" else line
            found[item.method].append(((line.slope + 0.01) / line.slope_error, line.slope_error, paper.slope_error))
    for method, values in found.items():
        pull, error, paper = np.array(values).T
        # of 16 pulls the width is known to 18 per cent; the S/N cut and the PSF flatten by less than one error
        assert 0.6 < pull.std(ddof=1) < 1.5 and abs(pull.mean()) < 1, method
        if method == "pixels":
            assert paper.mean() > error.mean()  # it takes the calibration's dispersion as noise of the pixels


def test_common_errors_shift_all_annuli_together(exact):
    inputs, _ = exact
    profile = measure_profiles(inputs.source, inputs.abundance, inputs.psf, inputs.gradient)[1]
    item = average_abundances(profile, inputs.abundance, inputs.model, inputs.noise)
    correlation = item.common / np.sqrt(np.outer(np.diag(item.common), np.diag(item.common)))
    assert correlation.min() > 0.9
    # an offset of both ratios by their dispersion, through the posterior itself
    shifted = []
    for name in ("R3", "N2"):
        both = {key: (inputs.abundance[key].value.ravel(), inputs.abundance[key].error.ravel()) for key in ("R3", "N2")}
        value, error = both[name]
        step_size = 0.005
        both[name] = (value + step_size, error)
        moved = grid_posterior(both, inputs.model.calibrations).median - inputs.abundance["LOG_OH"].value.ravel()
        mean = [np.average(moved[ring.pixels], weights=ring.fractions) for ring in profile.annuli]
        shifted.append(inputs.model.dispersion(name) / step_size * np.array(mean))
    expected = sum(np.outer(item, item) for item in shifted)
    np.testing.assert_allclose(item.calibration, expected, rtol=0.1)


# --- the PSF


def test_the_psf_flattens_the_slope_and_the_disc_model_undoes_it(exact):
    row = row_of(exact[1])
    assert 0.3 < row["psf_flattening"] < 0.8
    assert row["slope"] == pytest.approx(-0.02 * row["psf_flattening"], rel=0.15)
    assert row["slope_intrinsic"] == pytest.approx(-0.02, rel=0.10)
    assert row["r_e_kpc"] == pytest.approx(0.8 * KPC, rel=0.03)
    assert row["disc_axis_ratio"] == pytest.approx(0.7, abs=0.03)
    assert abs(row["disc_position_angle"] - 90) < 2  # its major axis is along x
    assert row["slope_intrinsic_error"] > row["slope_error"]


def test_a_psf_larger_than_the_galaxy_leaves_no_slope_to_believe():
    result = measure_galaxy_gradient(Mock(psf=1.0, half_light_radius=0.15, size=19).inputs(np.random.default_rng(2)))
    row = row_of(result)
    assert row["state"] in {"ok", "too_few_annuli"}
    if row["state"] == "ok" and "slope_intrinsic" in row:
        assert row["psf_flattening"] < 0.2 and row["slope_intrinsic_error"] > 3 * row["slope_error"]


# --- methods, apertures, systematics


def test_round_apertures_of_a_round_psf_are_circles(exact):
    rows = [row_of(exact[1], aperture) for aperture in ("elliptical", "circular")]
    assert rows[0]["slope"] == rows[1]["slope"] and rows[0]["slope_aperture"] == 0


def test_annuli_of_mean_fluxes_reach_as_far_and_agree(exact):
    by_method = {
        method: [row for row in exact[1].annuli if row["method"] == method and row["aperture"] == "circular"]
        for method in ("pixels", "fluxes")
    }
    assert len(by_method["fluxes"]) >= len(by_method["pixels"]) >= 3
    for one, other in zip(by_method["pixels"], by_method["fluxes"], strict=False):
        assert one["log_oh"] == pytest.approx(other["log_oh"], abs=0.01)
        assert one["annulus"] == other["annulus"] and np.isnan(other["log_oh_paper_error"])


def test_the_paper_s_errors_can_be_asked_for(disc):
    row = row_of(measure_galaxy_gradient(disc.inputs(gradient={"errors": "paper"})))
    assert row["errors"] == "paper"
    assert row["slope"] == pytest.approx(row["slope_paper"], abs=0.2 * row["slope_error"])
    assert row["slope_error"] == pytest.approx(row["slope_paper_error"], rel=0.15)


def test_deprojected_radii_are_those_along_the_major_axis(disc):
    given = {"deproject": {"axis_ratio": 0.7, "position_angle": 90.0}, "apertures": ["circular"]}
    rows = {row["aperture"]: row for row in measure_galaxy_gradient(disc.inputs(gradient=given)).gradient}
    assert set(rows) == {"circular", "deprojected"}
    # the pattern is round on the sky: along the major axis an ellipse reaches further than its mean radius
    assert abs(rows["deprojected"]["slope"]) < abs(rows["circular"]["slope"])
    measured = measure_galaxy_gradient(disc.inputs(gradient=given | {"deproject": "measured"})).gradient
    assert measured[1]["slope"] == pytest.approx(rows["deprojected"]["slope"], rel=0.03)


def test_systematics_are_small_where_nothing_is_wrong(exact):
    row = row_of(exact[1])
    assert row["n_calibrations"] >= 2 and row["slope_calibrations"] < 0.5 * abs(row["slope"])
    assert np.isnan(row["slope_centre"])  # there is no continuum


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_units_of_the_flux_do_not_matter(disc, exact, scale):
    row, other = row_of(exact[1]), row_of(measure_galaxy_gradient(disc.inputs(scale=scale)))
    for name in ("slope", "slope_error", "slope_fluxes", "slope_intrinsic", "r_e_kpc"):
        assert other[name] == pytest.approx(row[name], rel=1e-4), name


# --- beyond the radial average


def test_an_axisymmetric_galaxy_is_and_a_dipole_is_found(disc):
    random = np.random.default_rng(7)
    (row,) = measure_galaxy_gradient(disc.inputs(random)).asymmetry
    assert row["state"] == "ok" and row["chi2_p"] > 0.01 and row["residual_p"] > 0.01
    tilted = Mock(slope=0.0, psf=0.5, half_light_radius=0.8, dipole=0.25)
    result = measure_galaxy_gradient(tilted.inputs(random))
    (row,) = result.asymmetry
    assert row["chi2_p"] < 1e-3 and row["plane_p"] < 1e-3
    # the abundance rises to +x, which is west
    assert abs(row["plane_angle"] - 270) < 20 and abs(row["dipole_angle"] - 270) < 20
    residual = result.residuals["RESIDUAL"].value
    middle = residual.shape[1] // 2
    assert np.nanmean(residual[:, middle + 2 :]) > 0.01 > -0.01 > np.nanmean(residual[:, : middle - 2])


def test_a_metal_poor_centre_correlates_with_star_formation_but_its_residuals_do_not():
    result = measure_galaxy_gradient(Mock(slope=0.03, psf=0.5, half_light_radius=0.8).inputs(np.random.default_rng(1)))
    (row,) = result.asymmetry
    assert row["sfr_correlation"] < -0.7 and row["sfr_correlation_p"] < 0.02
    assert row["sfr_residual_correlation_p"] > 0.02


def test_nothing_measured_gives_no_rows(disc):
    inputs = disc.inputs()
    inputs.abundance["LOG_OH"].value[:] = np.nan
    result = measure_galaxy_gradient(inputs)
    assert result.annuli == result.gradient == result.asymmetry == []
    assert np.isnan(result.residuals["RESIDUAL"].value).all()


def test_a_single_pixel_is_one_annulus_at_most(disc):
    inputs = disc.inputs()
    value = inputs.abundance["LOG_OH"].value
    keep = np.zeros(value.shape, bool)
    keep[value.shape[0] // 2, value.shape[1] // 2] = True
    value[~keep] = np.nan
    result = measure_galaxy_gradient(inputs)
    row = row_of(result)
    assert row["state"] in {"too_few_annuli", "not_detected"} and row["n_annuli"] <= 1
    assert result.asymmetry[0]["state"] == "too_few_pixels"


# --- the step


def products(folder, disc, state="ok", psf=(0.5, 0.5, 0.0, 0.5)):
    inputs = disc.inputs()
    inputs.source.write(folder / "source.fits")
    inputs.abundance.header["STATE"] = state
    if state != "ok":
        inputs.abundance["LOG_OH"].value[:] = np.nan
    inputs.abundance.write(folder / "metallicity.fits")
    inputs.bands[0].maps.write(folder / "linemaps.fits")
    save_operators(folder / "operator.npz", {"M_H": disc.operator})
    names = ["fwhm_major", "fwhm_minor", "position_angle", "image_fwhm", "fwhm_major_kpc", "fwhm_minor_kpc"]
    row = (*psf, psf[0] * KPC, psf[1] * KPC)
    Table(rows=[row], names=names).write(folder / "psf.ecsv", format="ascii.ecsv", overwrite=True)
    Table({"log_oh": [8.45]}).write(folder / "properties.ecsv", format="ascii.ecsv", overwrite=True)


def run(folder, lens_spread=None, **changes):
    settings = {"galaxy": "sp1", "z": 1.4, "ra": 150.0, "dec": 2.0, "bands": ["H"], "gradient": GRADIENT | changes,
                "metallicity": METALLICITY, "dust": DUST}  # fmt: skip
    outputs = [folder / name for name in ("annuli.ecsv", "covariance.ecsv", "gradient.ecsv", "asymmetry.ecsv")]
    step.measure_gradient(
        folder / "source.fits", folder / "psf.ecsv", folder / "metallicity.fits", folder / "properties.ecsv",
        CALIBRATIONS, [folder / "linemaps.fits"], folder / "operator.npz", *outputs, folder / "residual.fits", settings,
        lens_spread,
    )  # fmt: skip
    return [Table.read(path, format="ascii.ecsv") for path in outputs]


def test_step_writes_all_tables_and_the_residuals(tmp_path, disc, exact):
    products(tmp_path, disc)
    names = ["region", "aperture", "slope_lens", "slope_lens_models"]
    spread = Table(rows=[("all", "circular", 0.001, np.nan)], names=names)
    spread.write(tmp_path / "lens.ecsv", format="ascii.ecsv")
    annuli, covariance, gradient, asymmetry = run(tmp_path, tmp_path / "lens.ecsv")
    assert annuli.meta["state"] == "ok" and annuli.meta["centres"]["all"]["centre"] == "halpha"
    assert list(gradient["aperture"]) == ["elliptical", "circular"] and set(gradient["state"]) == {"ok"}
    row = gradient[1]
    assert row["slope"] == pytest.approx(row_of(exact[1])["slope"], rel=0.05)
    assert row["slope_per_re"] == pytest.approx(row["slope"] * row["r_e_kpc"])
    assert row["slope_lens"] == 0.001 and np.ma.is_masked(row["slope_lens_models"])
    assert row["diagnostics"] == "R3,N2" and row["global_log_oh"] == 8.45
    assert row["psf_hwhm_kpc"] == pytest.approx(0.25 * KPC) and row["beam_hwhm_kpc"] > row["psf_hwhm_kpc"]
    own = covariance[(covariance["aperture"] == "circular") & (covariance["method"] == "pixels")]
    rings = annuli[(annuli["aperture"] == "circular") & (annuli["method"] == "pixels")]
    diagonal = own[own["annulus"] == own["other_annulus"]]
    np.testing.assert_allclose(np.sqrt(diagonal["noise"]), rings["log_oh_noise_error"])
    np.testing.assert_allclose(np.diff(rings["radius_outer_kpc"]), 0.5 * 0.5 * KPC)
    assert asymmetry["state"][0] == "ok"
    residuals = MapSet.read(tmp_path / "residual.fits")
    assert np.isfinite(residuals["RESIDUAL"].value).any() and fits.getval(tmp_path / "residual.fits", "STATE") == "ok"


@pytest.mark.parametrize("state", ["not_detected", "excluded", "outside_lens_model"])
def test_states_pass_through_without_emcee(tmp_path, disc, state, monkeypatch):
    monkeypatch.setitem(sys.modules, "emcee", None)
    products(tmp_path, disc, state)
    annuli, _, gradient, asymmetry = run(tmp_path)
    assert len(annuli) == 0 and annuli.meta["state"] == state
    assert list(gradient["state"]) == [state] * 2 and list(asymmetry["state"]) == [state]
    assert np.ma.getmaskarray(gradient["slope"]).all()


def test_a_psf_without_a_size_is_a_state_and_an_impossible_one_an_error(tmp_path, disc):
    products(tmp_path, disc, psf=(np.nan,) * 4)
    assert set(run(tmp_path)[2]["state"]) == {"not_detected"}
    products(tmp_path, disc, psf=(0.2, 0.3, 0.0, 0.3))
    with pytest.raises(InputError, match="no ellipse"):
        run(tmp_path)


def test_wrong_settings_are_refused(tmp_path, disc):
    products(tmp_path, disc)
    for name, value in (("apertures", ["square"]), ("centre", "K"), ("step", 0), ("walkers", 4)):
        with pytest.raises(ConfigError, match=rf"gradient\.{name}"):
            run(tmp_path, **{name: value})


def test_same_bytes_every_time(tmp_path, disc):
    products(tmp_path, disc)
    names = ("annuli.ecsv", "covariance.ecsv", "gradient.ecsv", "asymmetry.ecsv", "residual.fits")
    made = []
    for _ in range(2):
        run(tmp_path)
        made.append([(tmp_path / name).read_bytes() for name in names])
    assert made[0] == made[1]

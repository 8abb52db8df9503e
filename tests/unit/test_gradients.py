import sys

import numpy as np
import pytest
from astropy.table import Table

import gradient as step
from klever.errors import ConfigError, InputError
from klever.gradients import fit_line, resolution_class, sample_line

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


# --- the step


def products(folder, rows=None, meta=None, psf=(3.6, 2.5)):
    if rows is None:
        y, error = 8.4 + 0.02 * RADIUS, np.full(RADIUS.size, 0.04)
        points = list(zip(RADIUS, y, error, strict=True))
        rows = [("all", aperture, *point) for aperture in GRADIENT["apertures"] for point in points]
    names = ["region", "aperture", "radius_kpc", "log_oh", "log_oh_error"]
    table = Table(rows=rows or None, names=names, dtype=[str, str, float, float, float])
    default = {"state": "ok", "diagnostics": "R3,N2", "centres": {"all": {"centre": "continuum", "x": 1.0, "y": 2.0}}}
    table.meta = default if meta is None else meta
    table.write(folder / "annuli.ecsv", format="ascii.ecsv", overwrite=True)
    Table(rows=[psf], names=["fwhm_major_kpc", "fwhm_minor_kpc"]).write(folder / "psf.ecsv", format="ascii.ecsv")
    Table({"log_oh": [8.45]}).write(folder / "properties.ecsv", format="ascii.ecsv")


def run(folder, **changes):
    step.fit_gradient(folder / "annuli.ecsv", folder / "psf.ecsv", folder / "properties.ecsv", folder / "gradient.ecsv",
                      {"galaxy": "sp1", "z": 1.4, "gradient": GRADIENT | changes})  # fmt: skip
    return Table.read(folder / "gradient.ecsv", format="ascii.ecsv")


def test_step_recovers_a_noise_free_line(tmp_path):
    products(tmp_path)
    table = run(tmp_path, steps=2000, burn_in=500)
    assert list(table["aperture"]) == ["elliptical", "circular"] and set(table["state"]) == {"ok"}
    row = table[0]
    assert row["slope"] == pytest.approx(0.02, abs=0.05 * row["slope_error"])
    assert row["intercept"] == pytest.approx(8.4, abs=0.05 * row["intercept_error"])
    assert row["resolved"] == "resolved" and row["max_radius_kpc"] == 6.8 and row["n_annuli"] == 5
    assert row["psf_hwhm_kpc"] == pytest.approx(0.5 * np.sqrt(3.6 * 2.5))
    assert row["diagnostics"] == "R3,N2" and row["centre"] == "continuum" and row["global_log_oh"] == 8.45
    assert table["slope"].unit.to_string() == "dex / kpc"


def test_step_fits_regions_apart(tmp_path):
    rows = [
        (region, "circular", radius, 8.4 + slope * radius, 0.02)
        for region, slope in (("north", 0.05), ("south", -0.03))
        for radius in RADIUS
    ]
    centres = {name: {"centre": "halpha", "x": 0.0, "y": 0.0} for name in ("north", "south")}
    products(tmp_path, rows, {"state": "ok", "diagnostics": "R3", "centres": centres})
    table = run(tmp_path, regions={"north": {}, "south": {}}, apertures=["circular"])
    assert list(table["region"]) == ["north", "south"]
    np.testing.assert_allclose(table["slope"], [0.05, -0.03], atol=0.2 * table["slope_error"].max())


@pytest.mark.parametrize("state", ["not_detected", "excluded", "outside_lens_model"])
def test_galaxies_without_annuli_have_rows_with_a_state_and_masked_numbers(tmp_path, state):
    products(tmp_path, rows=[], meta={"state": state, "diagnostics": "", "centres": {}}, psf=(np.nan, np.nan))
    table = run(tmp_path)
    assert list(table["state"]) == [state, state] and list(table["n_annuli"]) == [0, 0]
    for name in ("slope", "slope_error", "intercept", "max_radius_kpc", "psf_hwhm_kpc", "resolved", "diagnostics"):
        assert np.ma.getmaskarray(table[name]).all(), name


def test_empty_table_of_a_galaxy_with_a_map(tmp_path):
    products(tmp_path, rows=[])
    assert set(run(tmp_path)["state"]) == {"not_detected"}


def test_too_few_annuli(tmp_path):
    products(tmp_path, [("all", "elliptical", 0.8, 8.4, 0.1), ("all", "elliptical", 2.0, 8.4, 0.1)])
    row = run(tmp_path)[0]
    assert row["state"] == "too_few_annuli" and row["n_annuli"] == 2 and row["resolved"] == "unresolved"
    assert np.ma.is_masked(row["slope"]) and row["max_radius_kpc"] == 2.0


def test_emcee_is_not_imported_when_there_is_nothing_to_fit(tmp_path, monkeypatch):
    products(tmp_path, rows=[])
    monkeypatch.setitem(sys.modules, "emcee", None)
    run(tmp_path)


def test_same_bytes_every_time(tmp_path):
    products(tmp_path)
    run(tmp_path)
    first = (tmp_path / "gradient.ecsv").read_bytes()
    run(tmp_path)
    assert (tmp_path / "gradient.ecsv").read_bytes() == first


def test_bad_settings_and_inputs(tmp_path):
    products(tmp_path)
    with pytest.raises(ConfigError, match=r"gradient\.walkers"):
        run(tmp_path, walkers=4)
    (tmp_path / "annuli.ecsv").unlink()
    with pytest.raises(InputError, match=r"annuli\.ecsv"):
        run(tmp_path)

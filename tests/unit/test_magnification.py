import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from lensing_scene import COSMOLOGY, DEC, RA, Isothermal, gaussian, lens_settings, write_lens
from test_sourceplane import UNSCALED, lensed, pipeline

from klever.cosmology import distance_ratio
from klever.errors import InputError
from klever.lensmodels import open_model
from klever.source.magnification import FluxRatio, find_realisations, magnification_flags, realisation_magnifications
from magnification import measure_magnification


def measure(folder, kappa=(), gamma=(), settings=None):
    measure_magnification(
        folder / "aligned.fits", folder / "source.fits", folder / "lens.fits", folder / "magnification.ecsv",
        settings or lens_settings(**UNSCALED), kappa_realisations=list(kappa), gamma_realisations=list(gamma),
    )  # fmt: skip
    return Table.read(folder / "magnification.ecsv")[0]


def test_both_magnifications_agree_with_the_isothermal_sphere(tmp_path):
    lens = Isothermal(3.0, (-5.0, -3.0))
    pipeline(tmp_path, lensed(lens, lambda x, y: gaussian(x, y, -2.25, -1.4, 0.4)), lens, noise=0.01)
    row = measure(tmp_path)
    # The source is at 3.18" from the lens, its image at 6.18": mu = 1 / (1 - 3 / 6.18)
    mu = 1 / (1 - 3 / (3 + np.hypot(2.75, 1.6)))
    assert row["mu_maps"] == pytest.approx(mu, rel=0.03)
    assert row["mu_halpha"] == pytest.approx(mu, rel=0.04)
    assert 0 < row["mu_halpha_error_correlated"] < row["mu_halpha_error"] < 0.2
    assert (row["line"], row["state"], row["n_realisations"]) == ("HALPHA", "ok", 0)
    assert np.ma.is_masked(row["mu_maps_error_minus"])


def test_counter_image_below_the_threshold_does_not_dilute_the_source(tmp_path):
    # Images at 3.05" (mu = 2.9) and 0.95" (mu = -0.9) from the lens; the field holds both.
    lens = Isothermal(2.0, (-1.5, 0.0))
    pipeline(tmp_path, lensed(lens, lambda x, y: gaussian(x, y, -0.45, 0.0, 0.4)), lens, noise=0.01, shape=(40, 44))
    bright = measure(tmp_path)["mu_halpha"]
    assert bright == pytest.approx(
        2 * 2.0 / 1.05, rel=0.06
    )  # total of an isothermal sphere: 2 einstein / source radius


def test_no_lens_has_magnification_one(tmp_path):
    pipeline(tmp_path, lambda w, n: gaussian(w, n))
    row = measure(tmp_path)
    assert row["mu_halpha"] == pytest.approx(1, abs=1e-6)
    assert row["mu_maps"] == 1
    assert row["state"] == "unlensed"
    assert row["mu_halpha_error_correlated"] < 1e-3


def test_oxygen_stands_in_for_halpha(tmp_path):
    pipeline(tmp_path, lambda w, n: gaussian(w, n), Isothermal(), lines=("OIII5007", "HBETA"))
    assert measure(tmp_path)["line"] == "OIII5007"


def test_undetected_line_is_a_state(tmp_path):
    pipeline(tmp_path, lambda w, n: 0 * w - 1.0, Isothermal())
    row = measure(tmp_path)
    assert (row["state"], row["line"]) == ("not_detected", "none")
    assert np.ma.is_masked(row["mu_halpha"])
    assert row["mu_maps"] > 1


@pytest.mark.parametrize("unit", [1e-30, 1e10])
def test_flux_unit_cancels(tmp_path, unit):
    lens = Isothermal(3.0, (-5.0, -3.0))
    pipeline(tmp_path, lambda w, n: gaussian(w, n), lens, unit=1e-18)
    one = measure(tmp_path)
    pipeline(tmp_path, lambda w, n: gaussian(w, n), lens, unit=unit)
    other = measure(tmp_path)
    for name in ("mu_halpha", "mu_halpha_error", "mu_halpha_error_correlated"):
        assert other[name] == pytest.approx(one[name], rel=1e-3)


@pytest.fixture(scope="module")
def realisations(tmp_path_factory):
    folder = tmp_path_factory.mktemp("realisations")
    einstein = 3.0 + 0.1 * np.random.default_rng(0).normal(size=20)
    paths = [
        write_lens(folder, Isothermal(e, (-5.0, -3.0)), shape=(41, 43), name=f"map{i:03d}")
        for i, e in enumerate(einstein)
    ]
    return einstein, [p["kappa"][0] for p in paths], [p["gamma"][0] for p in paths]


def test_spread_of_the_realisations(tmp_path, realisations):
    einstein, kappa, gamma = realisations
    lens = Isothermal(3.0, (-5.0, -3.0))
    pipeline(tmp_path, lensed(lens, lambda x, y: gaussian(x, y, -2.25, -1.4, 0.4)), lens)
    row = measure(tmp_path, kappa, gamma)
    from klever.grids import Grid
    from klever.maps import MapSet

    header = MapSet.read(tmp_path / "source.fits").header
    aligned = MapSet.read(tmp_path / "aligned.fits")
    at = Grid(aligned.header, aligned["HALPHA"].value.shape, (RA, DEC)).offsets(
        np.array([header["IMGX"]]), np.array([header["IMGY"]])
    )
    truth = np.percentile([Isothermal(e, (-5.0, -3.0)).mu(*at)[0] for e in einstein], [16, 50, 84])
    assert row["n_realisations"] == 20
    assert row["mu_maps_median"] == pytest.approx(truth[1], rel=1e-3)
    assert row["mu_maps_error_minus"] == pytest.approx(truth[1] - truth[0], rel=0.02)
    assert row["mu_maps_error_plus"] == pytest.approx(truth[2] - truth[1], rel=0.02)


def magnifications(kappa, gamma, west, north, normalisation):
    description = {"name": "m", "origin": "maps", "z_lens": 0.35, "normalisation": normalisation}
    model = open_model(description, (RA, DEC), kappa, gamma)
    return realisation_magnifications(model.realisations(None), west, north, 1.5, COSMOLOGY)


def test_realisations_are_rescaled_and_layouts_may_differ(tmp_path, realisations):
    _, kappa, gamma = realisations
    other = write_lens(tmp_path, Isothermal(3.0, (-5.0, -3.0)), rotation=30, scale=0.15, shape=(80, 80))
    half = 2 * distance_ratio(0.35, 1.5, COSMOLOGY)  # normalisation of maps that are twice too strong
    found = magnifications([kappa[0], other["kappa"][0]], [gamma[0], other["gamma"][0]], 0.4, 0.3, half)
    assert found[1] == pytest.approx(Isothermal(1.5, (-5.0, -3.0)).mu(0.4, 0.3), rel=1e-3)
    assert found[0] == pytest.approx(Isothermal(1.5 * realisations[0][0] / 3.0, (-5.0, -3.0)).mu(0.4, 0.3), rel=1e-3)


def test_realisations_elsewhere_are_not_counted(tmp_path, realisations):
    _, kappa, gamma = realisations
    away = tmp_path / "away.fits"
    away.write_bytes(kappa[0].read_bytes())
    fits.setval(away, "CRVAL2", value=DEC + 1)
    found = magnifications([away, kappa[1]], [gamma[0], gamma[1]], 0.0, 0.0, 1.0)
    np.testing.assert_array_equal(np.isfinite(found), [False, True])
    with pytest.raises(InputError, match="needs both"):
        magnifications(kappa[:3], gamma[:2], 0.0, 0.0, 1.0)


def test_realisations_are_found_in_folders(realisations):
    _, kappa, gamma = realisations
    assert find_realisations([kappa[0].parent], "kappa") == kappa
    assert find_realisations(gamma, "gamma") == gamma
    assert find_realisations([], "gamma") == []


def test_folder_of_realisations_and_their_number(tmp_path, realisations):
    pipeline(tmp_path, lambda w, n: gaussian(w, n), Isothermal(3.0, (-5.0, -3.0)))
    folder = realisations[1][0].parent
    inputs = [tmp_path / name for name in ("aligned.fits", "source.fits", "lens.fits", "magnification.ecsv")]
    for wanted in (7, 100):
        settings = lens_settings(**UNSCALED) | {"lens": {"realisations": wanted, "seed": 1}}
        measure_magnification(*inputs, settings, [folder], [folder])
        assert Table.read(inputs[-1])["n_realisations"][0] == min(wanted, 20)


def test_parametric_realisations_give_the_spread(tmp_path):
    lens = Isothermal(3.0, (-5.0, -3.0))
    pipeline(tmp_path, lensed(lens, lambda x, y: gaussian(x, y, -2.25, -1.4, 0.4)), lens)
    halo = {"type": "SIS", "theta_E": 3.0, "center_x": -5.0, "center_y": -3.0, "errors": {"theta_E": 0.1}}
    model = {"origin": "parametric", "centre": [RA, DEC], "profiles": [halo], **UNSCALED}
    settings = lens_settings(**model) | {"lens": {"realisations": 1000, "seed": 1}}
    inputs = [tmp_path / name for name in ("aligned.fits", "source.fits", "lens.fits", "magnification.ecsv")]
    measure_magnification(*inputs, settings)
    row = Table.read(inputs[-1])[0]
    assert row["n_realisations"] == 1000
    radius = 3.0 / (1 - 1 / row["mu_maps"])  # of the position, from mu = 1 / (1 - 3 / radius)
    slope = radius / (radius - 3.0) ** 2  # d mu / d theta_E
    for name in ("mu_maps_error_minus", "mu_maps_error_plus"):
        assert row[name] == pytest.approx(0.1 * slope, rel=0.15)  # 5 % from the number of draws
    content = inputs[-1].read_bytes()
    measure_magnification(*inputs, settings)
    assert inputs[-1].read_bytes() == content  # one seed, one answer


def test_error_of_a_ratio():
    ratio = FluxRatio(10.0, 1.0, 5.0, 0.5, 0.5)  # fully correlated: the ratio is exact
    assert ratio.mu == 2
    assert ratio.error == pytest.approx(2 * np.hypot(0.1, 0.1))
    assert ratio.error_correlated == pytest.approx(0, abs=1e-6)


def test_magnification_near_a_critical_line_is_flagged():
    assert magnification_flags(2.0, 2.2, 2.1) == []
    assert magnification_flags(60.0, 54.0, 24.0) == ["near_critical_line"]  # agrees with the best model only
    assert magnification_flags(14.0, 8.0, 8.4) == ["mu_differs"]
    assert magnification_flags(np.nan, 8.0, np.nan) == []

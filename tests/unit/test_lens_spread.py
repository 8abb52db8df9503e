from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.table import Table
from lensing_scene import (
    COSMOLOGY,
    DEC,
    RA,
    Isothermal,
    Linear,
    align_settings,
    gaussian,
    lens_settings,
    source_settings,
    write_band,
    write_lens,
)
from test_sourceplane import reconstruct

from align import align_bands
from klever.abundance.calibrations import load_calibrations
from klever.grids import Grid
from klever.maps import MapSet
from klever.source.lens_spread import Scene, half_width, magnification_spread, moved, perturbed_deflection
from klever.source.source_images import source_jacobian
from lens import evaluate_lens
from lens_spread import spread_lens_models
from magnification import measure_magnification
from metallicity_map import map_metallicity

ROOT = Path(__file__).parents[2]
CALIBRATIONS = ROOT / "resources/calibrations.json"
DEFAULTS = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
KAPPA = 0.35
UNSCALED = {"normalisation": {"z_source": 1.5}}


def plane(shape=(31, 41), scale=0.1):
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    return (x - shape[1] // 2) * scale, (y - shape[0] // 2) * scale


def matrix(kappa, gamma, angle):
    """Deflection of constant convergence and shear."""
    cosine, sine = np.cos(2 * angle), np.sin(2 * angle)
    return kappa * np.eye(2) + gamma * np.array([[cosine, sine], [sine, -cosine]])


def isotropic(kappa):
    return Linear(matrix(kappa, 0.0, 0.0), (-3.0, 2.0))


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0, -1.2])
@pytest.mark.parametrize("turn", [np.array, np.fliplr])
def test_convergence_and_shear_of_a_realisation(angle, turn):
    offsets = [turn(v) for v in plane()]
    best, other = (Linear(matrix(*values, angle), (1.0, -2.0)) for values in ((0.3, 0.2), (0.37, 0.12)))
    alpha = best.deflection(*offsets)
    found = perturbed_deflection(alpha, offsets, (12, 5), (0.3, 0.2), (0.37, 0.12))
    for component, expected, start in zip(found, other.deflection(*offsets), alpha, strict=True):
        difference = component - expected  # but for a constant, which only moves the source
        np.testing.assert_allclose(difference, difference[0, 0], atol=1e-12)
        assert component[5, 12] == pytest.approx(start[5, 12])
    same = perturbed_deflection(alpha, offsets, (12, 5), (0.3, 0.2), (0.3, 0.2))
    np.testing.assert_allclose(same, alpha)
    assert np.isnan(perturbed_deflection(alpha, offsets, (12, 5), (0.3, 0.2), (np.nan, 0.1))).all()


def test_first_order_holds_for_a_lens_that_is_not_linear():
    offsets = plane((41, 41), 0.065)
    best, other = Isothermal(10.0, (-14.0, 0.0)), Isothermal(10.3, (-14.0, 0.0))
    at = (20, 20)
    place = offsets[0][20, 20], offsets[1][20, 20]
    fields, changed = ((float(lens.kappa(*place)),) * 2 for lens in (best, other))
    found = perturbed_deflection(best.deflection(*offsets), offsets, at, fields, changed)
    rest = np.array(found) - other.deflection(*offsets)
    rest -= rest[:, 20:21, 20:21]
    # the second order is smaller by the size of the field over the distance to the lens
    change = np.array(found) - best.deflection(*offsets)
    assert np.hypot(*rest).max() < np.hypot(1.3, 1.3) / 14 * np.hypot(*change).max()


def test_images_of_one_galaxy_still_meet():
    offsets = plane((41, 81), 0.1)
    best = Isothermal(2.0, (-0.04, 0.03))
    alpha = best.deflection(*offsets)
    left = offsets[0] < 0
    # two images of (0.76, 0.03): 0.8 from the centre of the lens
    positions = [(40 + round(10 * west), 20) for west in (2.76, -1.24)]
    scene = Scene(*[None] * 2, offsets, 0.1, alpha, positions[0], np.ones(left.shape, bool),
                  [(*positions[0], ~left), (*positions[1], left)], *[None] * 7)  # fmt: skip
    places = [np.array([v[y, x] for x, y in positions]) for v in offsets]
    fields = best.kappa(*places), best.gamma(*places)
    changed = fields[0] + 0.05, fields[1] - 0.02
    found = scene.perturbed(fields, changed)
    source = [[p[y, x] - a[y, x] for p, a in zip(offsets, found, strict=True)] for x, y in positions]
    before = [[p[y, x] - a[y, x] for p, a in zip(offsets, alpha, strict=True)] for x, y in positions]
    np.testing.assert_allclose(source, before)
    for (x, y), number in zip(positions, (0, 1), strict=True):
        jacobian = source_jacobian(found, offsets)[:, :, y, x]
        determinant = (1 - changed[0][number]) ** 2 - changed[1][number] ** 2
        assert np.linalg.det(jacobian) == pytest.approx(determinant, abs=0.02)
    outside = scene.perturbed(fields, (changed[0] * [1, np.nan], changed[1]))
    np.testing.assert_array_equal(np.isnan(outside).all(axis=0), left)


def test_image_of_a_moved_point_stays():
    offsets = plane()
    alpha, other = (Linear(matrix(*values), (1.0, 0.3)).deflection(*offsets)
                    for values in ((0.3, 0.2, 0.4), (0.4, 0.1, 1.0)))  # fmt: skip
    image = np.array([0.123, -0.456])
    one, two = ((np.eye(2) - matrix(*values)) @ image + matrix(*values) @ (1.0, 0.3)
                for values in ((0.3, 0.2, 0.4), (0.4, 0.1, 1.0)))  # fmt: skip
    found = moved(one, alpha, other, offsets, np.ones(offsets[0].shape, bool))
    np.testing.assert_allclose(found, two, atol=1e-9)
    np.testing.assert_allclose(moved(one, alpha, alpha, offsets, np.ones(offsets[0].shape, bool)), one, atol=1e-9)


def test_half_width_of_known_numbers():
    values = np.random.default_rng(1).normal(3.0, 0.2, 20000)
    assert half_width(values) == pytest.approx(0.2, rel=0.03)
    assert half_width([*values, np.nan]) == half_width(values)
    assert half_width([2.0] * 5) == 0.0
    assert np.isnan(half_width([1.0, 2.0, np.nan]))


def test_what_a_magnification_divides():
    values = np.percentile(10 ** np.random.default_rng(2).normal(1.0, 0.01, 50000), [16, 50, 84])
    found = magnification_spread(*values)
    relative = 0.01 * np.log(10)
    expected = {"mu": relative, "length": relative / 2, "sfr": relative, "log_mstar": 0.01}
    assert found == pytest.approx(expected, rel=0.03)
    assert magnification_spread(5.0, 5.0, 5.0) == dict.fromkeys(expected, 0.0)
    assert np.isnan(list(magnification_spread(np.nan, 2.0, 3.0).values())).all()


def line_fluxes(folder, slope=-0.08, kpc=8.68):
    """Write line maps of a disc with a metallicity gradient (dex/kpc) behind `isotropic(KAPPA)`."""
    lens = isotropic(KAPPA)

    def source(west, north):
        ax, ay = lens.deflection(west, north)
        return west - ax + 3.0 * KAPPA, north - ay - 2.0 * KAPPA  # centred where the field's centre maps

    sky = lambda w, n: gaussian(*source(w, n), fwhm=1.0)  # noqa: E731
    path = write_band(folder / "H.fits", sky, lines=("HALPHA", "NII6584", "OIII5007", "HBETA"), noise=0.002)
    maps = MapSet.read(path)
    radius = np.hypot(*source(*Grid(maps.header, maps["HALPHA"].value.shape, (RA, DEC)).pixel_offsets())) * kpc
    known = load_calibrations(CALIBRATIONS, "C20")
    log_oh = np.clip(8.6 + slope * radius, 7.7, 8.8)
    hbeta = maps["HBETA"].value / 2.87
    for name, factor, unit in (("NII6584", known["N2"].evaluate(log_oh), maps["HALPHA"].value),
                               ("OIII5007", known["R3"].evaluate(log_oh), hbeta), ("HBETA", 0.0, hbeta)):  # fmt: skip
        maps[name].value = unit * 10.0**factor
    maps.write(path)


@pytest.fixture(scope="module")
def galaxy(tmp_path_factory):
    """Products of a galaxy, realisations (kappa and gamma) and alternatives (with deflection) of the same kappas."""
    folder = tmp_path_factory.mktemp("spread")
    line_fluxes(folder)
    align_bands([folder / "H.fits"], [], folder / "aligned.fits", folder / "align.npz",
                align_settings(["H"], method="none"))  # fmt: skip
    paths = write_lens(folder, isotropic(KAPPA))
    settings = lens_settings(**UNSCALED)
    evaluate_lens(folder / "aligned.fits", paths["x"], paths["y"], paths["kappa"], paths["gamma"],
                  folder / "lens.fits", settings)  # fmt: skip
    source = source_settings(["H"], pixel_scale=0.065)
    source["source"]["psf_includes_smoothing"] = False
    reconstruct(folder, [folder / "H.fits"], source)
    sections = {key: dict(DEFAULTS[key]) for key in ("metallicity", "dust", "gradient")}
    sections["metallicity"]["diagnostics"] = ["R3", "N2"]
    sections["gradient"]["apertures"] = ["elliptical", "circular"]
    properties = Table({"ebv": [0.0], "ebv_error": [0.0], "contaminated": [""]})
    properties.write(folder / "properties.ecsv", format="ascii.ecsv")
    map_metallicity(folder / "source.fits", folder / "properties.ecsv", CALIBRATIONS, folder / "metallicity.fits",
                    source | sections, folder / "psf.ecsv")  # fmt: skip
    kappas = KAPPA + np.array([-0.08, -0.04, 0.0, 0.04, 0.08])
    others = [write_lens(folder, isotropic(kappa), name=f"other{i}") for i, kappa in enumerate(kappas)]
    realisations = [[paths[kind][0] for paths in others] for kind in ("kappa", "gamma")]
    best = settings["lens_model"]
    measure_magnification(
        folder / "aligned.fits", folder / "source.fits", folder / "lens.fits", folder / "magnification.ecsv",
        {"galaxy": "test", "z": 1.5, "cosmology": COSMOLOGY, "lens_model": best}, *realisations,
    )  # fmt: skip
    maps = {"x": "x_deflection", "y": "y_deflection", "kappa": "kappa", "gamma": "gamma"}
    alternatives = {
        f"other{i}": best | {long: str(paths[short][0]) for short, long in maps.items()}
        for i, paths in enumerate(others)
    }
    settings = source | sections | {"alternatives": alternatives, "lens_model": best}
    settings |= {"lens": {"gradient_realisations": 5, "seed": 1}}
    return folder, settings, realisations, kappas


def run(galaxy, name="spread.ecsv", realisations=None, **changes):
    folder, settings, known, _ = galaxy
    spread_lens_models(
        folder / "align.npz", [folder / "H.fits"], folder / "lens.fits", folder / "source.fits", folder / "source.npz",
        folder / "psf.ecsv", folder / "images.ecsv", folder / "metallicity.fits", folder / "magnification.ecsv",
        CALIBRATIONS, folder / name, settings | changes, *(known if realisations is None else realisations),
    )  # fmt: skip
    return Table.read(folder / name)


def test_gradient_scales_with_lengths_in_the_source_plane(galaxy):
    table, kappas = run(galaxy), galaxy[3]
    assert list(table["aperture"]) == ["elliptical", "circular"]
    assert list(table["state"]) == ["ok", "ok"]
    # lengths are 1 - kappa of those in the image: a gradient per kpc goes as its inverse
    for row in table:
        assert row["slope_fiducial"] < -0.03
        slopes = row["slope_fiducial"] * (1 - KAPPA) / (1 - kappas)
        assert row["slope_lens"] == pytest.approx(half_width(slopes), rel=0.15)
        # that of the analysis counts as one of them
        assert row["slope_lens_models"] == pytest.approx(half_width([*slopes, row["slope_fiducial"]]), rel=0.15)
        assert row["intercept_lens"] < 0.01
        assert (row["n_realisations"], row["n_models"], row["n_models_mu"]) == (5, 6, 6)
        assert row["length_lens"] == pytest.approx(half_width(1 - kappas) / (1 - KAPPA), rel=0.02)
        assert row["mu_lens"] == pytest.approx(half_width((1 - kappas) ** -2) * (1 - KAPPA) ** 2, rel=0.02)
        assert row["sfr_lens"] == pytest.approx(half_width((1 - kappas) ** 2) / (1 - KAPPA) ** 2, rel=0.02)
        assert row["log_mstar_lens"] == pytest.approx(half_width(-2 * np.log10(1 - kappas)), rel=0.02)
        assert row["mu_lens_models"] < row["mu_lens"]  # one more model, in the middle


def test_one_model_and_no_realisations_have_no_spread(galaxy):
    table = run(galaxy, "one.ecsv", realisations=((), ()), alternatives={})
    assert list(table["state"]) == ["ok", "ok"]
    for name in ("slope_lens", "slope_lens_models", "intercept_lens", "mu_lens_models"):
        assert np.ma.getmaskarray(table[name]).all()
    assert np.isfinite(table["slope_fiducial"]).all()
    none = run(galaxy, "none.ecsv", lens={"gradient_realisations": 0, "seed": 1}, alternatives={})
    assert list(none["n_realisations"]) == [0, 0]
    assert list(none["slope_fiducial"]) == list(table["slope_fiducial"])


def test_same_inputs_give_the_same_bytes(galaxy):
    few = {"alternatives": {}, "lens": {"gradient_realisations": 2, "seed": 1}}
    assert list(run(galaxy, "first.ecsv", **few)["state"]) == ["few_slopes"] * 2  # two are no interval
    run(galaxy, "second.ecsv", **few)
    assert (galaxy[0] / "first.ecsv").read_bytes() == (galaxy[0] / "second.ecsv").read_bytes()


def test_galaxy_without_a_map_has_the_spread_of_its_magnification(galaxy, tmp_path):
    folder = galaxy[0]
    maps = MapSet.read(folder / "metallicity.fits")
    maps.header["STATE"] = "not_detected"
    for name in ("align.npz", "H.fits", "lens.fits", "source.fits", "source.npz", "psf.ecsv", "images.ecsv",
                 "magnification.ecsv"):  # fmt: skip
        (tmp_path / name).symlink_to(folder / name)
    maps.write(tmp_path / "metallicity.fits")
    table = run((tmp_path, *galaxy[1:]))
    assert list(table["state"]) == ["no_gradient"] * 2
    assert np.ma.getmaskarray(table["slope_lens"]).all()
    assert (table["mu_lens"] > 0).all()
    assert (table["mu_lens_models"] > 0).all()


def test_unlensed_galaxy_is_a_state(galaxy, tmp_path):
    folder = galaxy[0]
    evaluate_lens(folder / "aligned.fits", [], [], [], [], tmp_path / "lens.fits", lens_settings())
    for name in ("align.npz", "H.fits", "metallicity.fits", "source.fits", "source.npz", "psf.ecsv", "images.ecsv",
                 "magnification.ecsv"):  # fmt: skip
        (tmp_path / name).symlink_to(folder / name)
    table = run((tmp_path, *galaxy[1:]))
    assert list(table["state"]) == ["unlensed"] * 2
    assert np.ma.getmaskarray(table["mu_lens"]).all()

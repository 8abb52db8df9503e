import warnings

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import gaussian_filter

from fit_galaxy_lens import fit_galaxy_lens
from klever.errors import ConfigError, InputError
from klever.grids import tangent_header
from klever.lensfit import epl
from klever.lensfit.arcimage import ArcImage, arc_brightness
from klever.lensfit.cutout import Cutout, read_cutout
from klever.lensfit.galaxyfit import DEFAULTS, fit_galaxy
from klever.lensfit.gaussnewton import gauss_newton
from klever.lensfit.inversion import invert
from klever.lensfit.posterior import climb, emcee_samples, weighted_samples
from klever.lensfit.psf import psf_weights
from klever.lensfit.sourceprior import choose_prior, follow_brightness
from klever.lensmodels import open_model
from klever.maps import MapSet
from klever.row_tables import read_table

TRUTH = np.array([1.6, 2.05, 0.08, -0.05, 0.01, -0.02, 0.03, -0.02])
CENTRE = (150.0, 2.0)
SCALE, FWHM, PIXELS = 0.1, 0.18, 50
COSMOLOGY = {"H0": 70.0, "Om0": 0.3, "Ode0": 0.7}
QUICK = DEFAULTS | {"mask_radius": [0.7, 2.4], "vertices": 160, "meshes": 1, "draws": 60, "samples": 60}
QUICK |= {"psf_fwhm": FWHM}


def ring(seed, lens_light=0.0, snr=40.0):
    """Image of a ring, its error, and positions: ray-traced by lenstronomy on 5 x 5 finer pixels, then blurred."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lenstronomy.LensModel.lens_model import LensModel
        from lenstronomy.LightModel.light_model import LightModel
    fine = (np.arange(5 * PIXELS) - (5 * PIXELS - 1) / 2) * SCALE / 5
    x, y = np.meshgrid(fine, fine)
    keywords = [{key: value for key, value in one.items() if key != "type"} for one in epl.as_profiles(TRUTH)]
    source = LensModel(["EPL", "SHEAR"]).ray_shooting(x.ravel(), y.ravel(), keywords)
    light = LightModel(["SERSIC_ELLIPSE"] * 2)
    arc = light.surface_brightness(*source, [
        {"amp": 1.0, "R_sersic": 0.2, "n_sersic": 1.0, "e1": 0.15, "e2": 0.1, "center_x": 0.06, "center_y": 0.08},
        {"amp": 0.5, "R_sersic": 0.1, "n_sersic": 1.0, "e1": -0.1, "e2": 0.1, "center_x": -0.1, "center_y": 0.2},
    ])  # fmt: skip
    galaxy = LightModel(["SERSIC_ELLIPSE"]).surface_brightness(x.ravel(), y.ravel(), [
        {"amp": 1.0, "R_sersic": 0.5, "n_sersic": 3.0, "e1": 0.08, "e2": -0.05, "center_x": 0.01, "center_y": -0.02},
    ])  # fmt: skip
    pixels = [gaussian_filter(image.reshape(x.shape), FWHM / 2.3548 / SCALE * 5, truncate=6)
              .reshape(PIXELS, 5, PIXELS, 5).mean(axis=(1, 3)) for image in (arc, galaxy)]  # fmt: skip
    sigma = pixels[0].max() / snr
    noise = np.random.default_rng(seed).normal(0, sigma, (PIXELS, PIXELS))
    axis = (np.arange(PIXELS) - (PIXELS - 1) / 2) * SCALE
    data = pixels[0] + lens_light * pixels[0].max() * pixels[1] + noise
    return data, np.full(data.shape, sigma), *np.meshgrid(axis, axis)


def write_ring(path, data, sigma, **cards):
    header = tangent_header(*CENTRE, SCALE, ((PIXELS - 1) / 2,) * 2)
    header["BUNIT"], header["SKYSIGMA"], header["PSFFWHM"], header["SIMULATE"] = "counts", sigma, FWHM, True
    header.update(cards)
    fits.writeto(path, data.astype(np.float32), header)
    return str(path)


def test_lens_of_a_simulated_ring():
    data, error, x, y = ring(3)
    cutout = Cutout(data, error, np.isfinite(data), x, y, SCALE, None, "", True, FWHM)
    fit = fit_galaxy(cutout, QUICK | {"lens_light": "none", "meshes": 2})
    offset = fit.best - TRUTH
    assert abs(offset[0]) < 0.002 * TRUTH[0]
    assert abs(offset[1]) < 0.05
    assert np.abs(offset[6:]).max() < 0.01
    assert fit.converged and len(fit.posterior.samples) == 60 and 0.05 < fit.mesh_noise < 3
    assert abs(fit.inversion.chi2 / fit.image.data.size - 1) < 0.15


def ring_image(data, error, x, y):
    mask = (np.hypot(x, y) > 0.7) & (np.hypot(x, y) < 2.4)
    brightness = arc_brightness(data, mask, FWHM / SCALE)
    return ArcImage(data, error, mask, x, y, psf_weights(FWHM, SCALE), (), 300, brightness)


def test_a_prior_that_follows_the_brightness_has_more_evidence_and_does_not_bias_the_lens():
    data, error, x, y = ring(6)
    image = ring_image(data, error, x, y)
    floor = choose_prior(image, TRUTH)
    best = invert(image, TRUTH, follow_brightness(image, TRUTH, floor)[0]).log_evidence
    assert floor is not None and best > follow_brightness(image, TRUTH, None)[1] + 20


def test_the_best_lens_of_a_ring_without_noise_is_the_true_one():
    """What the prior smooths away must not move the lens; one that is the same everywhere moves it by a chi2 of 4."""
    _, error, x, y = ring(6)
    image = ring_image(ring(6, snr=1e9)[0], error, x, y)
    strength = follow_brightness(image, TRUTH, choose_prior(image, TRUTH))[0]
    _, covariance, *_ = gauss_newton(image, TRUTH, strength)
    best, covariance, converged = climb(lambda p: invert(image, p, strength).log_evidence, TRUTH, 3 * covariance,
                                        np.random.default_rng(1), points=60)  # fmt: skip
    offset = best - TRUTH
    assert converged and offset @ np.linalg.solve(covariance, offset) < 1.5


def test_a_lens_without_a_source_has_no_prior():
    _, error, x, y = ring(6)
    image = ring_image(np.zeros(x.shape), error, x, y)
    with pytest.raises(ValueError, match="no source"):
        follow_brightness(image, TRUTH, 0.01)


def products(folder):
    return {"fit": str(folder / "fit.ecsv"), "samples": str(folder / "samples.ecsv"), "maps": str(folder / "maps.fits"),
            "figure": [str(folder / "fit.pdf"), str(folder / "fit.png")]}  # fmt: skip


def settings(**arc_fit):
    keep = ("mask_radius", "vertices", "meshes", "draws", "samples")
    return {"lens": "ring", "z_lens": 0.4, "z_source": 2.0, "centre": list(CENTRE), "figures": {"dpi": 60},
            "arc_fit": {key: QUICK[key] for key in keep} | arc_fit}  # fmt: skip


def test_products_of_a_ring_around_a_bright_galaxy_are_a_lens_model(tmp_path):
    data, error, x, y = ring(4, lens_light=1.0)
    image = write_ring(tmp_path / "ring.fits", data, error[0, 0])
    outputs = products(tmp_path)
    fit_galaxy_lens([image], [], **outputs, settings=settings())
    table = read_table(outputs["fit"])
    best = np.array(table["best"])
    assert abs(best[0] / TRUTH[0] - 1) < 0.003 and table.meta["simulated"] and "lens_light" in table.meta
    assert table.meta["mesh_noise"] is None and table.meta["prior_floor"] < 1
    assert abs(table.meta["chi2"] / table.meta["pixels"] - 1) < 0.15
    description = {"name": "ring", "origin": "fit_arc", "z_lens": 0.4, "model": outputs["fit"],
                   "chain": outputs["samples"]}  # fmt: skip
    model = open_model(description, CENTRE)
    fields = model.evaluate(x, y, 2.0, COSMOLOGY)
    np.testing.assert_allclose(fields.alpha, epl.deflection(x, y, best), atol=1e-5)
    maps = MapSet.read(outputs["maps"])
    assert maps["ALPHA_X"].value.shape == maps["DATA"].value.shape
    np.testing.assert_allclose(np.nanmean(maps["RESIDUAL"].value ** 2), 1, atol=0.15)
    drawn = model.realisations(30, seed=1)
    spread = np.std([one.parameters[0]["theta_E"] for one in drawn])
    assert model.origin == "fit_arc" and len(drawn) == 30 and 1e-4 < spread < 5e-3


def cut(tmp_path, data, **options):
    cards = options.pop("cards", {})
    return read_cutout(write_ring(tmp_path / "i.fits", data, 0.1, **cards), CENTRE, QUICK | options)


def test_images_that_cannot_be_fitted(tmp_path):
    outputs = products(tmp_path)
    with pytest.raises(InputError, match="no image"):
        fit_galaxy_lens([], [], **outputs, settings=settings())
    with pytest.raises(InputError, match=r"missing\.fits cannot be read"):
        fit_galaxy_lens([str(tmp_path / "missing.fits")], [], **outputs, settings=settings())
    with pytest.raises(ConfigError, match="not behind the lens"):
        fit_galaxy_lens(["x"], [], **outputs, settings=settings() | {"z_source": 0.3})
    assert not (tmp_path / "fit.ecsv").exists()


@pytest.mark.parametrize(("what", "message"), [
    ("nan", "100 % of the pixels"), ("psf", "too wide"), ("elsewhere", "does not show"), ("noise", "the noise is 0"),
    ("no psf", "give psf_fwhm"),
])  # fmt: skip
def test_images_that_cannot_be_read(tmp_path, what, message):
    data = np.full((PIXELS, PIXELS), np.nan) if what == "nan" else np.zeros((PIXELS, PIXELS))
    options = {"psf": {"psf_fwhm": 1.5}, "elsewhere": {"cards": {"CRVAL1": 151.0}}, "no psf": {"psf_fwhm": None}}
    options = options.get(what, {})
    if what == "noise":
        options = {"cards": {"SKYSIGMA": 0.0}}
    if what == "no psf":
        options["cards"] = {"PSFFWHM": None}
    with pytest.raises(InputError, match=message):
        cut(tmp_path, data, **options)


def test_a_mask_without_pixels_and_an_image_without_an_arc(tmp_path):
    noise = np.random.default_rng(1).normal(0, 0.1, (PIXELS, PIXELS))
    cutout = cut(tmp_path, noise, exclude=[[0.0, 0.0, 9.0]])
    with pytest.raises(InputError, match="leaves 0 pixels"):
        fit_galaxy(cutout, QUICK | {"lens_light": "none"})
    cutout.good[:] = True
    with pytest.raises(InputError, match="no arc"):
        fit_galaxy(cutout, QUICK | {"lens_light": "none"})


def test_missing_pixels_are_left_out(tmp_path):
    data, *_ = ring(1)
    data[10:14, 20:24] = np.nan
    cutout = cut(tmp_path, data)
    assert (~cutout.good).sum() == 16 and np.isnan(cutout.data[~cutout.good]).all()


def test_offsets_are_from_the_lens_to_the_west_and_north(tmp_path):
    cutout = cut(tmp_path, np.zeros((PIXELS, PIXELS)), mask_radius=1.0)
    assert (np.diff(cutout.x, axis=1) > 0).all() and (np.diff(cutout.y, axis=0) > 0).all()
    assert abs(np.median(cutout.x)) < SCALE and cutout.x.max() < 2.0


def normal(best, covariance):
    inverse = np.linalg.inv(covariance)
    return lambda p: float(-0.5 * (p - best) @ inverse @ (p - best))


def test_a_normal_posterior_is_climbed_and_sampled_from_a_bad_start_although_it_is_rough():
    rng = np.random.default_rng(2)
    mixing = rng.standard_normal((5, 5))
    covariance, best = mixing @ mixing.T + 0.1 * np.eye(5), np.arange(5.0)
    smooth = normal(best, covariance)
    rough = lambda p: smooth(p) + 0.5 * np.sin(1e4 * p.sum())  # noqa: E731
    start = best + np.linalg.cholesky(covariance) @ np.array([6.0, -5, 4, 0, 3])
    found, spread, converged = climb(rough, start, 0.3 * covariance, rng)
    assert converged and (found - best) @ np.linalg.solve(covariance, found - best) < 0.5
    np.testing.assert_allclose(np.linalg.eigvals(np.linalg.solve(covariance, spread)).real, 1, atol=0.5)
    for sample in (weighted_samples(smooth, found, spread, rng, 4000, 3000),
                   emcee_samples(smooth, found, spread, rng, 16, 600, 3000)):  # fmt: skip
        deviation = sample.samples.std(axis=0) / np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(deviation, 1, atol=0.2)
        assert sample.effective > 100


def test_a_bent_posterior_that_is_wider_than_assumed_is_drawn_again():
    log = lambda p: float(-0.5 * (p[0] ** 2 / 9 + (p[1] - 0.15 * p[0] ** 2) ** 2 + p[2] ** 2))  # noqa: E731
    asked = []
    found = weighted_samples(lambda p: asked.append(1) or log(p), np.zeros(3), np.diag([4.0, 0.5, 0.2]),
                             np.random.default_rng(4), 2000, 4000)  # fmt: skip
    assert len(asked) > 2000 and found.effective > 500
    np.testing.assert_allclose(found.samples.std(axis=0), [3, np.sqrt(1 + 2 * 0.15**2 * 81), 1], rtol=0.1)
    np.testing.assert_allclose(found.samples.mean(axis=0), [0, 1.35, 0], atol=0.2)


def test_one_evaluation_at_500_vertices_is_fast():
    from time import process_time

    data, error, x, y = (np.repeat(np.repeat(v, 2, axis=0), 2, axis=1) for v in ring(1))
    axis = (np.arange(2 * PIXELS) - PIXELS + 0.5) * SCALE / 2
    x, y = np.meshgrid(axis, axis)
    mask = (np.hypot(x, y) > 0.7) & (np.hypot(x, y) < 2.4)
    image = ArcImage(data, error, mask, x, y, psf_weights(0.12, SCALE / 2), vertices=500)
    invert(image, TRUTH, 1.0)  # compiles
    times = []
    for _ in range(5):
        start = process_time()
        invert(image, TRUTH, 1.0)
        times.append(process_time() - start)
    assert 450 < image.vertex_x.size < 550 and mask.sum() > 6000
    assert min(times) < 0.15  # 0.04 s alone on a core; loaded machines are slower

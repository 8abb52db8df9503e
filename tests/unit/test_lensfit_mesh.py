import warnings

import numpy as np
import pytest
from scipy.signal import fftconvolve
from scipy.stats import multivariate_normal

from klever.lensfit import epl
from klever.lensfit.inversion import ArcImage, best_strength, gauss_newton, invert, psf_kernel
from klever.lensfit.lenslight import fit_light, light_image, sersic
from klever.lensfit.mesh import SourceMesh
from klever.lensfit.shapelets import shapelets

LENSES = [
    (1.6, 2.05, 0.08, -0.05, 0.01, -0.02, 0.03, -0.02),
    (5.1, 1.7, -0.3, 0.2, 0.4, -0.3, 0.0, 0.1),
    (0.8, 2.4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
]
RNG = np.random.default_rng(3)


def lenstronomy_model():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lenstronomy.LensModel.lens_model import LensModel
    return LensModel(["EPL", "SHEAR"])


def keywords(parameters):
    return [{key: value for key, value in profile.items() if key != "type"} for profile in epl.as_profiles(parameters)]


@pytest.mark.parametrize("parameters", LENSES)
def test_deflection_is_that_of_lenstronomy(parameters):
    x, y = RNG.uniform(-8, 8, (2, 500))
    expected = np.array(lenstronomy_model().alpha(x, y, keywords(parameters)))
    np.testing.assert_allclose(epl.deflection(x, y, parameters), expected, rtol=1e-9, atol=1e-10)


def test_round_isothermal_lens_deflects_by_its_einstein_radius_everywhere_but_the_centre():
    x, y = np.array([0.0, 1e-9, 3.0, -50.0]), np.array([0.0, 0.0, 4.0, 0.0])
    alpha = np.hypot(*epl.deflection(x, y, (2.0, 2.0, 0, 0, 0, 0, 0, 0)))
    np.testing.assert_allclose(alpha, [0, 2, 2, 2], rtol=1e-12)


def test_derivatives_of_the_deflection():
    x, y = RNG.uniform(-3, 3, (2, 50))
    change = 1e-5 * RNG.standard_normal(8)
    ahead, here = (np.array(epl.deflection(x, y, np.array(LENSES[0]) + c)) for c in (change, -change))
    predicted = np.tensordot(2 * change, epl.deflection_derivatives(x, y, LENSES[0]), axes=1)
    np.testing.assert_allclose(ahead - here, predicted, atol=1e-9)


@pytest.fixture
def mesh():
    return SourceMesh(RNG.uniform(-1, 1, (120, 2)))


def test_a_source_that_is_linear_is_interpolated_exactly_inside(mesh):
    x, y = RNG.uniform(-0.4, 0.4, (2, 300))
    triangle = mesh.locate(x, y)
    inner = np.isin(mesh.triangles, mesh.free).all(axis=1)[triangle]
    values = (2 + 3 * mesh.points[:, 0] - mesh.points[:, 1])[mesh.free]
    assert inner.sum() > 200
    np.testing.assert_allclose((mesh.interpolation(x, y, triangle) @ values)[inner], (2 + 3 * x - y)[inner])
    np.testing.assert_allclose(mesh.gradient(values, triangle)[inner], [[3, -1]] * inner.sum(), atol=1e-9)


def test_the_source_vanishes_on_and_outside_the_hull(mesh):
    x, y = np.array([5.0, 0.0]), np.array([0.0, -9.0])
    triangle = mesh.locate(x, y)
    ones = np.ones(mesh.free.size)
    assert (mesh.interpolation(x, y, triangle) @ ones == 0).all() and (mesh.gradient(ones, triangle) == 0).all()
    hull = mesh.points[np.setdiff1d(np.arange(120), mesh.free)] * (1 - 1e-9)
    assert np.abs(mesh.interpolation(*hull.T, mesh.locate(*hull.T)) @ ones).max() < 1e-6


def test_means_over_rays(mesh):
    x, y = RNG.uniform(-1.2, 1.2, (2, 80))
    triangle = mesh.locate(x, y)
    source = RNG.standard_normal(mesh.free.size)
    single = mesh.interpolation(x, y, triangle) @ source
    np.testing.assert_allclose(mesh.interpolation(x, y, triangle, 4) @ source, single.reshape(-1, 4).mean(axis=1))


def test_gradient_regularisation_is_the_integral_of_the_squared_gradient(mesh):
    source = RNG.standard_normal(mesh.free.size)
    slopes = mesh.gradient(source, np.arange(len(mesh.triangles)))
    integral = np.sum(mesh.areas * np.sum(slopes**2, axis=1))
    np.testing.assert_allclose(source @ mesh.roughness(1) @ source, integral)


@pytest.mark.parametrize("order", [1, 2])
def test_regularisation_does_not_prefer_a_size_or_a_place_of_the_source(mesh, order):
    other = SourceMesh(7.0 * mesh.points @ np.array([[0.6, 0.8], [-0.8, 0.6]]) + 3.0)
    matrix = mesh.roughness(order)
    np.testing.assert_allclose(other.roughness(order), matrix, rtol=1e-8, atol=1e-9 * np.abs(matrix).max())
    assert np.linalg.eigvalsh(matrix).min() > 0


@pytest.mark.parametrize("points", [np.zeros((9, 2)), np.c_[np.arange(9), np.arange(9)], np.eye(3)[:, :2]])
def test_points_that_make_no_mesh_are_refused(points):
    with pytest.raises(ValueError, match="source plane"):
        SourceMesh(points)


def arc_image(light=(), rays=2, **more):
    axis = (np.arange(24) - 11.5) * 0.2
    x, y = np.meshgrid(axis, axis)
    radius = np.hypot(x, y)
    data = np.exp(-0.5 * ((radius - 1.6) / 0.2) ** 2) * (1.2 + np.cos(np.arctan2(y, x))) + RNG.normal(0, 0.1, x.shape)
    mask = (radius > 0.7) & (radius < 2.3)
    return ArcImage(data, np.full(x.shape, 0.1), mask, x, y, psf_kernel(0.4, 0.2), light, rays, 60, **more)


def test_blur_is_a_convolution():
    image = arc_image()
    sky = np.where(image.seen, RNG.standard_normal(image.mask.shape), 0.0)
    expected = fftconvolve(sky, image.kernel, mode="same")[image.mask]
    np.testing.assert_allclose(image.blur @ sky[image.seen], expected, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_evidence_is_the_probability_of_the_data_with_the_source_integrated_out(order):
    image, strength = arc_image(order=order), 0.7
    found = invert(image, LENSES[0], strength)
    mesh = found.mesh
    x, y = image.trace(LENSES[0])
    response = (image.blur @ mesh.interpolation(x, y, mesh.locate(x, y), image.rays)).toarray()
    prior = np.linalg.inv(strength * mesh.roughness(order))
    covariance = response @ prior @ response.T + np.diag(1 / image.weight)
    expected = multivariate_normal(np.zeros(len(covariance)), covariance).logpdf(image.data)
    np.testing.assert_allclose(found.log_evidence, expected, rtol=1e-8)
    gain = prior @ response.T @ np.linalg.solve(covariance, image.data)
    np.testing.assert_allclose(found.source, gain, rtol=1e-6, atol=1e-8)


def test_strength_of_greatest_evidence():
    image = arc_image()
    best = best_strength(image, LENSES[0])
    evidence = [invert(image, LENSES[0], factor * best).log_evidence for factor in (0.7, 1.0, 1.4)]
    assert evidence[1] > max(evidence[0], evidence[2])


@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_units_of_the_image_do_not_matter(unit):
    image, scaled = arc_image(light=[np.ones((24, 24))]), None
    scaled = arc_image(light=[np.ones((24, 24))])
    scaled.data, scaled.weight = image.data * unit, image.weight / unit**2
    step, covariance, _, strength = gauss_newton(image, LENSES[0])
    scaled_step, scaled_covariance, _, scaled_strength = gauss_newton(scaled, LENSES[0])
    np.testing.assert_allclose(scaled_strength, strength / unit**2, rtol=1e-3)
    np.testing.assert_allclose(scaled_step, step, rtol=1e-2, atol=1e-4)
    np.testing.assert_allclose(scaled_covariance, covariance, rtol=1e-2, atol=1e-7)


def test_light_of_the_lens_is_fitted_with_the_source():
    image = arc_image(light=[np.ones((24, 24))])
    strength = best_strength(image, LENSES[0])
    before = invert(image, LENSES[0], strength)
    image.data = image.data + 5.0
    after = invert(image, LENSES[0], strength)
    np.testing.assert_allclose(after.amplitudes, before.amplitudes + 5.0, rtol=1e-6)
    np.testing.assert_allclose(after.arc, before.arc, atol=1e-6)


def test_no_model_is_none():
    assert invert(arc_image(), (np.nan, *LENSES[0][1:]), 1.0) is None


def test_shapelets_are_orthogonal_and_of_their_number():
    axis = np.linspace(-8, 8, 161)
    x, y = np.meshgrid(axis, axis)
    functions = shapelets(x.ravel(), y.ravel(), 1.0, 5)
    product = functions.T @ functions * 0.01 / np.pi
    assert functions.shape[1] == 21
    np.testing.assert_allclose(product, np.eye(21), atol=1e-10)


def test_sersic_profile_and_its_fit():
    shape = np.array([0.6, 3.0, 0.1, -0.05, 0.05, -0.03])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lenstronomy.LightModel.light_model import LightModel
    x, y = RNG.uniform(-2, 2, (2, 100))
    keys = ("R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y")
    expected = LightModel(["SERSIC_ELLIPSE"]).surface_brightness(x, y, [dict(zip(keys, shape, strict=True), amp=1.0)])
    np.testing.assert_allclose(sersic(x, y, shape), expected, rtol=0.01)
    axis = (np.arange(41) - 20) * 0.1
    x, y = np.meshgrid(axis, axis)
    kernel = psf_kernel(0.2, 0.1)
    data = 4.0 * light_image(x, y, shape, kernel) + 0.3 + RNG.normal(0, 0.02, x.shape)
    found = fit_light(data, np.full(x.shape, 0.02), np.hypot(x, y) < 1.9, x, y, kernel)
    np.testing.assert_allclose(found, shape, atol=0.02, rtol=0.05)

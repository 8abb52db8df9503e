import warnings

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import multivariate_normal

from klever.lensfit import epl
from klever.lensfit.arcimage import ArcImage
from klever.lensfit.gaussnewton import gauss_newton
from klever.lensfit.inversion import Problem, best_strength, invert
from klever.lensfit.lenslight import fit_light, light_image, sersic
from klever.lensfit.mesh import SourceMesh
from klever.lensfit.psf import psf_weights
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


def interpolate(mesh, x, y, source):
    vertex, share = mesh.interpolation(x, y, mesh.locate(x, y))
    return np.sum(np.where(vertex >= 0, share * source[vertex], 0.0), axis=1)


@pytest.fixture
def mesh():
    return SourceMesh(RNG.uniform(-1, 1, (120, 2)))


def test_a_source_that_is_linear_is_interpolated_exactly_inside(mesh):
    x, y = RNG.uniform(-0.4, 0.4, (2, 300))
    triangle = mesh.locate(x, y)
    inner = np.isin(mesh.triangles, mesh.free).all(axis=1)[triangle]
    values = (2 + 3 * mesh.points[:, 0] - mesh.points[:, 1])[mesh.free]
    assert inner.sum() > 200
    np.testing.assert_allclose(interpolate(mesh, x, y, values)[inner], (2 + 3 * x - y)[inner])
    np.testing.assert_allclose(mesh.gradient(values, triangle)[inner], [[3, -1]] * inner.sum(), atol=1e-9)


def test_the_source_vanishes_on_and_outside_the_hull(mesh):
    x, y = np.array([5.0, 0.0]), np.array([0.0, -9.0])
    triangle = mesh.locate(x, y)
    ones = np.ones(mesh.free.size)
    assert (interpolate(mesh, x, y, ones) == 0).all() and (mesh.gradient(ones, triangle) == 0).all()
    hull = mesh.points[np.setdiff1d(np.arange(120), mesh.free)] * (1 - 1e-9)
    assert np.abs(interpolate(mesh, *hull.T, ones)).max() < 1e-6


def test_gradient_regularisation_is_the_integral_of_the_squared_gradient(mesh):
    source = RNG.standard_normal(mesh.free.size)
    slopes = mesh.gradient(source, np.arange(len(mesh.triangles)))
    integral = np.sum(mesh.areas * np.sum(slopes**2, axis=1))
    np.testing.assert_allclose(source @ mesh.roughness(1)[0] @ source, integral)


def test_a_weight_of_the_regularisation_counts_where_it_is(mesh):
    source = RNG.standard_normal(mesh.free.size)
    slopes = mesh.gradient(source, np.arange(len(mesh.triangles)))
    weight = RNG.uniform(0.1, 9.0, len(mesh.points))
    integral = np.sum(mesh.areas * np.sum(slopes**2, axis=1) * weight[mesh.triangles].mean(axis=1))
    np.testing.assert_allclose(source @ mesh.roughness(1, weight)[0] @ source, integral)
    for order in (1, 2):
        matrix, log_det = mesh.roughness(order, weight)
        np.testing.assert_allclose(log_det, np.linalg.slogdet(matrix)[1])
        scaled, _ = mesh.roughness(order, 3 * weight)
        np.testing.assert_allclose(scaled, 3**order * matrix)


@pytest.mark.parametrize("order", [1, 2])
def test_regularisation_does_not_prefer_a_size_or_a_place_of_the_source(mesh, order):
    other = SourceMesh(7.0 * mesh.points @ np.array([[0.6, 0.8], [-0.8, 0.6]]) + 3.0)
    matrix = mesh.roughness(order)[0]
    np.testing.assert_allclose(other.roughness(order)[0], matrix, rtol=1e-8, atol=1e-9 * np.abs(matrix).max())
    assert np.linalg.eigvalsh(matrix).min() > 0


@pytest.mark.parametrize("points", [np.zeros((9, 2)), np.c_[np.arange(9), np.arange(9)], np.eye(3)[:, :2]])
def test_points_that_make_no_mesh_are_refused(points):
    with pytest.raises(ValueError, match="source plane"):
        SourceMesh(points)


def arc_image(light=(), rays=2, order=1, **more):
    axis = (np.arange(24) - 11.5) * 0.2
    x, y = np.meshgrid(axis, axis)
    radius = np.hypot(x, y)
    data = np.exp(-0.5 * ((radius - 1.6) / 0.2) ** 2) * (1.2 + np.cos(np.arctan2(y, x))) + RNG.normal(0, 0.1, x.shape)
    mask = (radius > 0.7) & (radius < 2.3)
    image = ArcImage(data, np.full(x.shape, 0.1), mask, x, y, psf_weights(0.4, 0.2, rays), light, 60, **more)
    image.order = order
    return image


@pytest.mark.parametrize("rays", [1, 2, 3])
def test_blurred_rays_are_the_convolved_sky(rays):
    """A Gaussian blob of the sky, far inside the pixel grid, is a wider Gaussian, averaged over each pixel."""
    image, blob, pixel = arc_image(rays=rays), 0.25, 0.2
    middle = np.array([1.5, 0.1])
    sky = np.exp(-0.5 * ((image.x - middle[0]) ** 2 + (image.y - middle[1]) ** 2) / blob**2)
    wide = np.sqrt(blob**2 + (0.4 / 2.3548) ** 2)
    axis = (np.arange(24) - 11.5) * pixel
    profiles = [np.diff(ndtr((np.append(axis, axis[-1] + pixel) - pixel / 2 - m) / wide)) for m in middle]
    expected = 2 * np.pi * blob**2 / pixel**2 * np.outer(profiles[1], profiles[0])[image.mask]
    np.testing.assert_allclose(image.blur(sky[:, None])[:, 0], expected, atol=3e-4)


def test_psf_keeps_the_light_and_is_symmetric():
    for rays in (1, 2, 3):
        weights = psf_weights(0.31, 0.2, rays)
        np.testing.assert_allclose(weights.sum(), 1)
        np.testing.assert_allclose(weights, weights[::-1, :, ::-1, :], atol=1e-15)
        np.testing.assert_allclose(weights, weights.transpose(1, 0, 3, 2), atol=1e-15)
    assert psf_weights(1e-6, 0.2, 1).max() == 1


def test_vertices_are_dense_where_the_arc_is_bright_and_another_mesh_has_about_as_many():
    axis = np.arange(120.0)
    x, y = np.meshgrid(axis, axis)
    brightness = np.exp(-np.hypot(x - 60, y - 60) / 12)
    whole = np.ones(x.shape, dtype=bool)
    image = ArcImage(brightness, np.ones(x.shape), whole, x, y, psf_weights(2.0, 1.0), vertices=500,
                     brightness=brightness)  # fmt: skip
    other = image.other_mesh(0.4)
    for one in (image, other):
        assert 425 < one.vertex_x.size < 575
        core = np.hypot(one.vertex_x - 60, one.vertex_y - 60) < 15
        far = np.hypot(one.vertex_x - 60, one.vertex_y - 60) > 45
        assert core.sum() / (np.pi * 15**2) > 10 * far.sum() / (120**2 - np.pi * 45**2)
    shared = set(zip(image.vertex_x, image.vertex_y, strict=True)) & set(
        zip(other.vertex_x, other.vertex_y, strict=True)
    )
    assert len(shared) < 250


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_evidence_is_the_probability_of_the_data_with_the_source_integrated_out(order, weighted):
    image, strength = arc_image(order=order), 0.7
    if weighted:
        image.prior = RNG.uniform(0.3, 3.0, image.vertex_x.size)
    found = invert(image, LENSES[0], strength)
    mesh = found.mesh
    x, y = image.trace(LENSES[0])
    columns = np.column_stack([interpolate(mesh, x, y, one) for one in np.eye(mesh.free.size)])
    response = image.blur(columns)
    np.testing.assert_allclose(Problem(image, LENSES[0]).response.toarray(), response, atol=1e-12)
    prior = np.linalg.inv(strength * mesh.roughness(order, image.prior)[0])
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
    kernel = psf_weights(0.2, 0.1)
    data = 4.0 * light_image(x, y, shape, kernel) + 0.3 + RNG.normal(0, 0.02, x.shape)
    found = fit_light(data, np.full(x.shape, 0.02), np.hypot(x, y) < 1.9, x, y, kernel)
    np.testing.assert_allclose(found, shape, atol=0.02, rtol=0.05)

import numpy as np
import pytest
from lensing_scene import Isothermal, Linear, gaussian

from klever.correlated_errors import CorrelatedErrors
from klever.errors import ConfigError, InputError
from klever.operators import noise_covariance
from klever.source.delensing import delens
from klever.source.sourceplane import SourceGrid

METHODS = ("subpixels", "polygons")


def options(method="subpixels", pixel_scale=0.065, subpixels=4):
    return {"method": method, "pixel_scale": pixel_scale, "subpixels": subpixels}


def plane(shape=(61, 75), scale=0.065):
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    sx, sy = np.broadcast_to(scale, 2)
    return (x - shape[1] // 2) * sx, (y - shape[0] // 2) * sy


class SameEverywhere:
    """The whole field is deflected by a whole number of pixels."""

    def deflection(self, west, north):
        return np.full_like(west, 10 * 0.065), np.full_like(west, -4 * 0.065)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lens", [Linear(np.zeros((2, 2))), SameEverywhere()])
def test_no_lens_returns_the_image_exactly(method, lens):
    offsets = plane()
    alpha = lens.deflection(*offsets)
    centre = [-float(a[30, 37]) for a in alpha]
    found = delens(alpha, offsets, centre, options(method))
    image = np.random.default_rng(1).normal(size=offsets[0].shape)
    assert found.grid.shape == image.shape
    if method == "subpixels":
        np.testing.assert_array_equal((found.operator @ image.ravel()).reshape(image.shape), image)
    np.testing.assert_allclose((found.operator @ image.ravel()).reshape(image.shape), image, atol=1e-9)
    np.testing.assert_allclose(found.coverage, 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "lens", [Isothermal(3.0, (-4.0, 0.5)), Isothermal(1.0, (0.4, 0.03)), Linear([[0.9, 0.2], [0.2, -0.3]])]
)
def test_uniform_source_stays_uniform(method, lens):
    offsets = plane((45, 51))
    found = delens(lens.deflection(*offsets), offsets, (0.0, 0.0), options(method))
    value = found.operator @ np.full(offsets[0].size, 7.0)
    covered = found.coverage > 0
    assert covered.mean() > 0.1
    np.testing.assert_allclose(value[covered], 7.0, rtol=1e-12)
    assert (value[~covered] == 0).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pixel_scale", [0.065, 0.03])
@pytest.mark.parametrize(("mu", "tolerance"), [(2, 0.01), (5, 0.01), (10, 0.01), (20, 0.03), (30, 0.03)])
def test_flux_is_that_of_the_image_over_the_magnification(method, pixel_scale, mu, tolerance):
    # A cluster of 10 arcsec and one image of a source at the radius of the wanted magnification.
    radius = 10 * mu / (mu - 1)
    lens = Isothermal(10.0, (-radius, 0.0))
    fwhm = 0.5 * 10 / (mu - 1) if mu > 10 else 0.5  # the source must not reach the caustic
    offsets = plane((201, 81))
    alpha = lens.deflection(*offsets)
    image = gaussian(offsets[0] - alpha[0], offsets[1] - alpha[1], -radius + 10 / (mu - 1), 0.0, fwhm)
    found = delens(alpha, offsets, (10.0 / (mu - 1) - radius, 0.0), options(method, pixel_scale))
    recovered = np.sum(found.operator @ image.ravel()) * pixel_scale**2
    expected = np.sum(image / np.abs(lens.mu(*offsets))) * 0.065**2
    flux_weighted = image.sum() * 0.065**2 / expected
    assert flux_weighted == pytest.approx(mu, rel=0.35)  # it is the wanted magnification
    assert recovered == pytest.approx(expected, rel=tolerance)


def test_polygons_and_subpixels_agree():
    lens = Isothermal(3.0, (-4.6, 0.6))
    offsets = plane((81, 77))
    alpha = lens.deflection(*offsets)
    image = gaussian(offsets[0] - alpha[0], offsets[1] - alpha[1], -1.6, 0.2, 0.6)
    exact, few, many = (
        delens(alpha, offsets, (-1.6, 0.2), options(method, 0.05, subpixels))
        for method, subpixels in (("polygons", 4), ("subpixels", 4), ("subpixels", 12))
    )
    assert exact.grid == few.grid
    west, north = exact.grid.offsets()
    inner = (np.hypot(west + 1.6, north - 0.2) < 0.6).ravel()
    values = [item.operator @ image.ravel() for item in (exact, few, many)]
    apart = [np.abs(value - values[0])[inner & (item.coverage > 0)].max()
             for item, value in zip((few, many), values[1:], strict=True)]  # fmt: skip
    assert apart[0] < 0.08
    assert apart[1] < 0.5 * apart[0]  # the more rays, the closer
    assert (exact.coverage[inner] > 0).all()
    assert many.coverage[inner].sum() == pytest.approx(exact.coverage[inner].sum(), rel=0.005)
    for item in (exact, few, many):
        assert np.median(item.coverage[inner]) == pytest.approx(0.05**2 / 0.065**2 * 3, rel=0.5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("change", [np.fliplr, np.flipud, np.transpose, np.rot90])
def test_orientation_of_the_pixels_does_not_matter(method, change):
    lens = Isothermal(3.0, (-4.6, 0.6))
    offsets = plane((47, 59))
    image = np.random.default_rng(4).normal(size=offsets[0].shape)
    values = []
    for turn in (np.array, change):
        turned = [turn(v) for v in offsets]
        found = delens(lens.deflection(*turned), turned, (-1.6, 0.2), options(method))
        values.append(found.operator @ turn(image).ravel())
    np.testing.assert_allclose(values[1], values[0], atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_turning_the_sky_turns_the_source(method):
    lens, turned = Isothermal(3.0, (-4.6, 0.6)), Isothermal(3.0, (-0.6, -4.6))
    offsets = plane((51, 51))
    image = np.random.default_rng(4).normal(size=offsets[0].shape)
    grids = [SourceGrid(0.065, (41, 51), -1.6 - 25 * 0.065, 0.2 - 20 * 0.065),
             SourceGrid(0.065, (51, 41), -0.2 - 20 * 0.065, -1.6 - 25 * 0.065)]  # fmt: skip
    first, second = (
        delens(each.deflection(*offsets), offsets, None, options(method), grid=grid)
        for each, grid in zip((lens, turned), grids, strict=True)
    )
    # (west, north) -> (-north, west)
    value = (first.operator @ image.ravel()).reshape(41, 51)
    other = (second.operator @ np.fliplr(image.T).ravel()).reshape(51, 41)
    np.testing.assert_allclose(other, np.fliplr(value.T), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_pixels_need_not_be_square(method):
    lens = Linear([[0.3, 0.1], [0.1, -0.2]])
    truth = lambda x, y: gaussian(x, y, 0.2, -0.1, 0.9)  # noqa: E731
    offsets = plane((70, 40), (0.08, 0.05))
    alpha = lens.deflection(*offsets)
    image = truth(offsets[0] - alpha[0], offsets[1] - alpha[1])
    found = delens(alpha, offsets, (0.0, 0.0), options(method, 0.05))
    value, (west, north) = found.operator @ image.ravel(), (v.ravel() for v in found.grid.offsets())
    good = found.coverage > 0.3
    np.testing.assert_allclose(value[good], truth(west, north)[good], atol=0.03)


def test_only_selected_pixels_count():
    offsets = plane()
    alpha = Isothermal(1.0, (0.4, 0.03)).deflection(*offsets)
    west = offsets[0] > 0.5
    for method in METHODS:
        every = delens(alpha, offsets, (0.0, 0.0), options(method))
        some = delens(alpha, offsets, (0.0, 0.0), options(method), select=west)
        rest = delens(alpha, offsets, (0.0, 0.0), options(method), select=~west, grid=every.grid)
        assert some.grid == every.grid
        assert set(some.operator.indices) <= set(np.flatnonzero(west))
        np.testing.assert_allclose(some.coverage + rest.coverage, every.coverage, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_errors_are_those_of_noise_that_passes_through(method):
    from lensing_scene import correlated_noise

    generator = np.random.default_rng(8)
    lens, offsets = Isothermal(3.0, (-4.0, 0.0)), plane((31, 27))
    found = delens(lens.deflection(*offsets), offsets, (-1.0, 0.0), options(method, 0.05))
    _, acf = correlated_noise((9, 9), 0.85, generator)
    sigma = generator.uniform(0.5, 2.0, offsets[0].shape)
    predicted = CorrelatedErrors(found.operator, noise_covariance(np.ones(sigma.shape), acf))(sigma)
    draws = [found.operator @ (correlated_noise((61, 57), 0.85, generator)[0][15:46, 15:42] * sigma).ravel()
             for _ in range(600)]  # fmt: skip
    good = found.coverage > 0
    ratio = predicted[good] / np.std(draws, axis=0)[good]
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    assert np.percentile(np.abs(ratio - 1), 95) < 0.1
    assert np.isnan(predicted[~good]).all()


def test_mistakes_are_named():
    offsets = plane((1, 20))
    alpha = np.zeros((2, 1, 20))
    with pytest.raises(ConfigError, match=r"source\.method: 'exact'"):
        delens(alpha, offsets, (0, 0), options("exact"))
    with pytest.raises(InputError, match=r"set source\.method to subpixels"):
        delens(alpha, offsets, (0, 0), options("polygons"))
    found = delens(alpha * np.nan, plane((8, 20)), (0, 0), options())
    assert found.operator.nnz == 0
    assert (found.coverage == 0).all()

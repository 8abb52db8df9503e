"""Stars, alignment, drizzling, clipping and covariance of exposures."""

import numpy as np
import pytest

from klever.grids import Grid, tangent_header
from klever.reduce.combine import combine_exposures, output_header, shared_skies
from klever.reduce.covariance import covariance_factor, predicted_covariance
from klever.reduce.resample import drizzle, drizzle_operator
from klever.reduce.staralign import StarPosition, field_solution, solve_alignment
from klever.reduce.starfit import fit_star, star_image
from klever_simulation.exposures import moffat_image

CENTRE = (150.0, 2.0)


def header_of(west=0.0, north=0.0, n=14, scale=0.2, angle=0.0):
    """TAN header whose middle is displaced from the centre, turned by `angle` degrees."""
    header = tangent_header(CENTRE[0], CENTRE[1], scale, ((n - 1) / 2 - west / scale, (n - 1) / 2 - north / scale))
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    for key, value in zip(("PC1_1", "PC1_2", "PC2_1", "PC2_2"), (cosine, -sine, sine, cosine), strict=True):
        header[key] = value
    return header


@pytest.mark.parametrize(("beta", "profile"), [(None, "gauss"), (3.5, "moffat"), (2.5, "moffat")])
def test_star_fit_recovers_position_and_seeing(beta, profile):
    image = 1e-15 * moffat_image(14, 0.2, (0.13, -0.21), 0.45, beta, oversample=15) + 3e-18
    star = fit_star(image, 0.2, profile=profile)
    assert star.ok
    assert (star.x - 6.5) * 0.2 == pytest.approx(0.13, abs=0.002)
    assert (star.y - 6.5) * 0.2 == pytest.approx(-0.21, abs=0.002)
    assert star.fwhm == pytest.approx(0.45, rel=0.01)
    assert star.flux == pytest.approx(1e-15, rel=0.01)


def test_noise_and_nothing_are_no_stars():
    assert not fit_star(np.full((14, 14), np.nan), 0.2).ok
    assert not fit_star(np.ones((14, 14)), 0.2).ok
    noise = np.random.default_rng(0).standard_normal((14, 14))
    star = fit_star(noise, 0.2)
    assert not star.ok or star.x_error > 0.05


def test_model_of_a_star_holds_all_its_light():
    image = star_image((41, 41), 0.1, 20.3, 19.6, 0.5, boxes=(0.2, 0.1))
    assert image.sum() == pytest.approx(1, abs=1e-4)


def field(rotation, translation, positions):
    angle = np.radians(rotation)
    return {
        ifu: (translation[0] - angle * north, translation[1] + angle * west)
        for ifu, (west, north) in positions.items()
    }  # fmt: skip


POSITIONS = {2: (-80.0, 60.0), 11: (100.0, 20.0), 20: (-20.0, -110.0)}


def test_offsets_and_rotation_are_solved_for():
    truth = [(0.01, (0.1, -0.05)), (-0.02, (-0.2, 0.02)), (0.01, (0.1, 0.03))]
    stars = [
        StarPosition(number, ifu, POSITIONS[ifu][0] + offset[0], POSITIONS[ifu][1] + offset[1], 0.5, 0.5, 0.002)
        for number, state in enumerate(truth)
        for ifu, offset in field(*state, POSITIONS).items()
    ]
    science = {5: (-40.0, 90.0), 14: (60.0, -40.0)}
    for alignment, state in zip(solve_alignment(stars, 3), truth, strict=True):
        assert alignment.rotation == pytest.approx(state[0], abs=1e-5)
        for ifu, offset in field(*state, science).items():
            for method in ("detector", "field"):
                assert np.allclose(alignment.offset(ifu, science[ifu], method), offset, atol=1e-4)
        assert alignment.offset(5, science[5], "header") == (0.0, 0.0)
        star = field(*state, POSITIONS)[2]
        assert np.allclose(alignment.offset(5, science[5], "star"), star, atol=1e-4)


def test_a_lost_star_and_an_exposure_without_any():
    stars = [StarPosition(0, ifu, *np.add(POSITIONS[ifu], (0.1, 0.0)), 0.5, 0.5, 0.002) for ifu in (2, 11)]
    stars += [StarPosition(1, ifu, *np.add(POSITIONS[ifu], (-0.1, 0.0)), 0.5, 0.5, 0.002) for ifu in POSITIONS]
    first, second, third = solve_alignment(stars, 3)
    assert first.origin == "stars"
    assert first.offset(20, POSITIONS[20])[0] == pytest.approx(0.1, abs=1e-6)
    assert second.offset(2, POSITIONS[2])[0] == pytest.approx(-0.1, abs=1e-6)
    assert third.origin == "header"
    assert third.offset(2, POSITIONS[2]) == (0.0, 0.0)
    with pytest.raises(ValueError, match="no alignment"):
        first.offset(2, POSITIONS[2], "guess")


def test_a_header_that_is_wrong_is_told_from_a_wrong_star():
    """Exposure 2 has a WCS that is off by 2 arcsec: all its stars say so. In exposure 3 one star is another source."""
    offsets = [(0.1, 0.0), (-0.1, 0.05), (0.3, 2.0), (0.0, -0.05), (0.05, 0.0)]
    stars = [
        StarPosition(number, ifu, *np.add(POSITIONS[ifu], offset), 0.5, 0.5, 0.002)
        for number, offset in enumerate(offsets)
        for ifu in POSITIONS
        if (number, ifu) != (3, 11)
    ]
    stars.append(StarPosition(3, 11, *np.add(POSITIONS[11], (1.2, 0.9)), 0.5, 0.5, 0.002))
    found = solve_alignment(stars, 5)
    assert [alignment.origin for alignment in found] == ["stars"] * 5
    for alignment, offset in zip(found, offsets, strict=True):
        applied = np.subtract(alignment.offset(5, (-40.0, 90.0)), found[0].offset(5, (-40.0, 90.0)))
        assert np.allclose(applied, np.subtract(offset, offsets[0]), atol=0.02)
    assert sorted(found[3].stars) == [1, 3]


def test_one_star_gives_no_rotation():
    translation, rotation, residual = field_solution([(10.0, 5.0)], [(0.1, 0.2)], [0.01])
    assert translation == (0.1, 0.2)
    assert rotation == 0
    assert np.isnan(residual)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0])
@pytest.mark.parametrize("pixfrac", [1.0, 0.6])
def test_drizzle_keeps_flux_and_places_it(angle, pixfrac):
    shape, target_header = output_header(*CENTRE, 4.6, 0.02)
    target = Grid(target_header, shape)
    offset = (0.07, -0.11)
    operator = drizzle_operator(header_of(0.3, 0.1, angle=angle), (14, 14), target, offset, pixfrac)
    assert np.allclose(np.asarray(operator.sum(axis=0)), 1)
    source = Grid(header_of(0.3, 0.1, angle=angle), (14, 14), CENTRE)
    west, north = source.offsets(np.array([4.0]), np.array([9.0]))
    image = np.zeros((14, 14))
    image[9, 4] = 1.0
    x, y = (np.asarray(operator @ image.ravel()).reshape(shape) * c for c in np.indices(shape)[::-1])
    at_x, at_y = target.pixels(west - offset[0], north - offset[1])
    assert x.sum() == pytest.approx(at_x[0], abs=0.1)
    assert y.sum() == pytest.approx(at_y[0], abs=0.1)


def test_constant_surface_brightness_stays_constant():
    shape, header = output_header(*CENTRE, 3.0, 0.1)
    operator = drizzle_operator(header_of(0.13, -0.04, angle=10), (14, 14), Grid(header, shape), pixfrac=1.0)
    flux, error = np.full((3, 14, 14), 4e-16), np.full((3, 14, 14), 1e-17)
    flux[:, 5, 5] = np.nan
    value, variance, weight = drizzle(operator, flux, error, 0.25)
    assert np.allclose(value[weight > 0], 1e-16, rtol=1e-5)
    assert np.all(variance[weight > 0] <= (0.25 * 1e-17) ** 2 * 1.0001)


def test_drops_have_a_size():
    shape, header = output_header(*CENTRE, 1.0, 0.1)
    with pytest.raises(ValueError, match="pixfrac"):
        drizzle_operator(header_of(), (14, 14), Grid(header, shape), pixfrac=0.0)


@pytest.fixture(scope="module")
def dithered():
    rng = np.random.default_rng(8)
    shape, header = output_header(*CENTRE, 3.4, 0.1)
    target = Grid(header, shape)
    places = rng.uniform(-0.3, 0.3, (8, 2))
    operators = [drizzle_operator(header_of(*place), (14, 14), target, pixfrac=0.6) for place in places]
    noise = [rng.standard_normal((400, 14, 14)).astype(np.float32) for _ in places]
    return operators, noise, [np.ones_like(n) for n in noise], shape, places


def test_variance_of_the_combined_cube(dithered):
    operators, noise, error, shape, _ = dithered
    cube = combine_exposures(operators, noise, error, 0.25, shape, [300.0] * 8)
    inside = (slice(None), slice(6, -6), slice(6, -6))
    flux, sigma = cube.flux[inside], cube.error[inside]
    assert np.std(flux / sigma) == pytest.approx(1, abs=0.03)
    measured, predicted = covariance_factor(flux, sigma), predicted_covariance(operators, shape)
    for size in (2, 3, 5, 8):
        assert measured[size] ** 2 == pytest.approx(predicted[size] ** 2, rel=0.1)
    assert predicted[5] > 1.3  # else the factor would say nothing
    assert cube.exposure_map.max() == pytest.approx(2400, rel=0.01)


@pytest.mark.parametrize("step", [0.0, 0.07])
def test_noise_of_a_sky_that_two_exposures_share(step):
    """Of two exposures with one sky only their own noise averages out; a dither between them takes part of it away."""
    shape, header = output_header(*CENTRE, 2.0, 0.1)
    target, rng = Grid(header, shape), np.random.default_rng(8)
    operators = [drizzle_operator(header_of(west=k * step), (14, 14), target, pixfrac=0.6) for k in range(4)]
    own, sky = 1e-20 * rng.normal(size=(4, 400, 14, 14)), 1e-20 * rng.normal(size=(2, 400, 14, 14))
    fluxes = [(own[k] - sky[k // 2]).astype(np.float32) for k in range(4)]
    errors = [np.full(own[0].shape, np.sqrt(2) * 1e-20, np.float32)] * 4
    parts = [np.full(own[0].shape, 1e-20, np.float32)] * 4
    shared = shared_skies(["a", "a", "b", "b"], parts)
    assert [pair[:2] for pair in shared] == [(0, 1), (2, 3)]
    scatter = []
    for pairs in ((), shared):
        made = combine_exposures(operators, fluxes, errors, 0.25, shape, [1.0] * 4, np.inf, shared=pairs)
        scatter.append(np.std((made.flux / made.error)[:, 2:-2, 2:-2]))
    assert scatter[1] == pytest.approx(1, abs=0.02)
    if not step:
        assert scatter[0] == pytest.approx(np.sqrt(1.5), abs=0.02)


def test_a_cosmic_ray_leaves_no_trace(dithered):
    operators, noise, error, shape, _ = dithered
    hit = [n.copy() for n in noise]
    hit[2][100, 6, 7] += 1000
    clean = combine_exposures(operators, noise, error, 0.25, shape, [1.0] * 8)
    dirty = combine_exposures(operators, hit, error, 0.25, shape, [1.0] * 8)
    assert np.nanmax(np.abs(dirty.flux - clean.flux) / clean.error) < 4
    unclipped = combine_exposures(operators, hit, error, 0.25, shape, [1.0] * 8, sigma=np.inf)
    assert np.nanmax(np.abs(unclipped.flux - clean.flux) / clean.error) > 50


def test_clipping_spares_a_star(dithered):
    operators, _, error, shape, places = dithered
    rng = np.random.default_rng(3)
    images = [
        (1e4 * moffat_image(14, 0.2, tuple(-place), 0.5) + rng.standard_normal((20, 14, 14))).astype(np.float32)
        for place in places
    ]
    cube = combine_exposures(operators, images, [e[:20] for e in error], 0.25, shape, [1.0] * 8)
    assert np.nansum(cube.flux, axis=(1, 2)).mean() == pytest.approx(1e4, rel=0.02)
    assert cube.clipped < 0.02


def test_missing_exposures_are_missing(dithered):
    operators, noise, _, shape, _ = dithered
    empty = [np.full_like(n[:5], np.nan) for n in noise]
    cube = combine_exposures(operators, empty, empty, 0.25, shape, [1.0] * 8)
    assert np.isnan(cube.flux).all()
    assert not cube.exposures.any()


def test_of_two_exposures_that_disagree_none_is_kept(dithered):
    operators, noise, error, shape, _ = dithered
    pair = [noise[0][:5].copy(), noise[1][:5].copy()]
    pair[0][2, 7, 7] += 1000
    cube = combine_exposures(operators[:2], pair, [e[:5] for e in error[:2]], 0.25, shape, [1.0] * 2)
    clean = combine_exposures(
        operators[:2], [n[:5] for n in noise[:2]], [e[:5] for e in error[:2]], 0.25, shape, [1.0] * 2
    )
    lost = np.isnan(cube.flux) & np.isfinite(clean.flux)
    assert 1 <= lost.sum() <= 12
    alone = cube.exposures == 1  # a spaxel that one exposure reaches cannot be judged
    assert np.nanmax(np.abs(cube.flux / cube.error)[~alone]) < 6

import numpy as np
import pytest
from lensing_scene import DEC, RA, correlated_noise, wcs_header
from scipy import sparse

from klever.correlated_errors import CorrelatedErrors
from klever.errors import InputError
from klever.grids import Grid
from klever.operators import (
    apply,
    bilinear_operator,
    dominant_column,
    load_operators,
    noise_covariance,
    positive_acf,
    renormalised,
    save_operators,
)


@pytest.fixture
def generator():
    return np.random.default_rng(5)


def resampling(shape_in, shape_out, **wcs):
    source = Grid(wcs_header(shape_in, 0.2, **wcs), shape_in, (RA, DEC))
    target = Grid(wcs_header(shape_out, 0.065), shape_out, (RA, DEC))
    west, north = target.pixel_offsets()
    return bilinear_operator(*source.pixels(west, north), shape_in), source, (west, north)


@pytest.mark.parametrize(("rotation", "flip"), [(0, False), (0, True), (37, False), (-120, True)])
def test_linear_ramp_on_the_sky_survives_any_orientation(rotation, flip):
    operator, source, (west, north) = resampling((12, 9), (40, 36), rotation=rotation, flip=flip)
    x, y = source.pixel_offsets()
    value, coverage = apply(operator, 3 + 2 * x - 5 * y, np.ones((12, 9), bool))
    px, py = source.pixels(west, north)
    inner = ((px > 0) & (px < 8) & (py > 0) & (py < 11)).ravel()
    assert inner.sum() > 300
    np.testing.assert_allclose(value[inner], (3 + 2 * west - 5 * north).ravel()[inner], atol=1e-5)
    np.testing.assert_allclose(coverage[inner], 1)


def test_rows_sum_to_one_inside_and_are_empty_outside():
    x = np.array([-0.51, -0.5, 0, 3.3, 6.49, 6.51, np.nan])
    operator = bilinear_operator(x, np.full(7, 2.2), (5, 7))
    total = np.ravel(operator.sum(axis=1))
    np.testing.assert_allclose(total, [0, 1, 1, 1, 1, 0, 0])


def test_identity_and_single_pixel_maps():
    y, x = np.mgrid[:4, :6]
    assert abs(bilinear_operator(x, y, (4, 6)) - sparse.identity(24)).max() == 0
    assert bilinear_operator(np.array([0.3]), np.array([-0.2]), (1, 1)).toarray() == 1


def test_flux_of_a_compact_source_is_conserved():
    operator, source, _ = resampling((30, 28), (100, 96), rotation=20)
    x, y = source.pixel_offsets()
    image = np.exp(-((x - 0.13) ** 2 + (y + 0.2) ** 2) / 0.4)
    value, _ = apply(operator, image, np.ones(image.shape, bool))
    assert np.nansum(value) * 0.065**2 == pytest.approx(image.sum() * 0.04, rel=2e-3)


def test_apply_renormalises_over_valid_inputs(generator):
    operator = sparse.csr_matrix(generator.uniform(size=(20, 15)))
    value, valid = generator.normal(size=15), generator.uniform(size=15) < 0.7
    value[0], valid[0] = np.nan, True
    good = valid & np.isfinite(value)
    dense = operator.toarray()
    result, coverage = apply(operator, value, valid, minimum_coverage=0.0)
    np.testing.assert_allclose(result, dense[:, good] @ value[good] / dense[:, good].sum(axis=1))
    np.testing.assert_allclose(coverage, dense[:, good].sum(axis=1) / dense.sum(axis=1))
    strict, _ = apply(operator, value, valid, minimum_coverage=np.median(coverage))
    np.testing.assert_array_equal(np.isnan(strict), coverage < np.median(coverage) - 1e-9)


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_apply_is_linear_and_constants_stay(unit, generator):
    operator, _, _ = resampling((12, 9), (30, 31), rotation=10)
    a, b = generator.normal(size=(2, 108)) * unit
    valid = generator.uniform(size=108) < 0.8
    combined, _ = apply(operator, 2 * a - 3 * b, valid)
    np.testing.assert_allclose(combined, 2 * apply(operator, a, valid)[0] - 3 * apply(operator, b, valid)[0], rtol=1e-6,
                               atol=1e-9 * unit)  # fmt: skip
    constant, _ = apply(operator, np.full(108, unit), valid)
    np.testing.assert_allclose(constant[np.isfinite(constant)], unit)
    assert np.isnan(apply(operator, np.full(108, np.nan), valid)[0]).all()


def test_propagated_errors_agree_with_monte_carlo_of_correlated_noise(generator):
    shape = (14, 11)
    operator, _, _ = resampling(shape, (34, 40), rotation=25)
    valid = generator.uniform(size=shape) < 0.9
    operator = renormalised(operator, valid)
    sigma = generator.uniform(0.5, 2.0, shape)
    _, acf = correlated_noise((60, 60), 0.9, generator)
    draws = []
    for _ in range(1500):
        field = correlated_noise((60, 60), 0.9, generator)[0][20 : 20 + shape[0], 20 : 20 + shape[1]]
        draws.append(operator @ (field * sigma).ravel())
    measured = np.std(draws, axis=0)
    predicted = CorrelatedErrors(operator, noise_covariance(np.ones(shape), acf))(sigma)
    filled = np.isfinite(predicted)
    np.testing.assert_array_equal(filled, np.diff(operator.indptr) > 0)
    np.testing.assert_allclose(predicted[filled], measured[filled], rtol=0.1)
    # Were the spaxels taken as independent, the errors would be wrong by far more than the tolerance.
    independent = CorrelatedErrors(operator, noise_covariance(np.ones(shape), np.ones((1, 1))))(sigma)
    assert np.median(independent[filled] / measured[filled]) < 0.85


def test_covariance_matches_its_definition_and_blocks_do_not_matter(generator):
    error = generator.uniform(1, 2, (5, 4))
    error[2, 1] = np.nan
    acf = positive_acf(np.exp(-np.add.outer(np.arange(-2, 3) ** 2, np.arange(-1, 2) ** 2) / 3.0))
    dense = noise_covariance(error, acf).toarray()
    np.testing.assert_allclose(dense, dense.T)
    assert dense[0, 9] == pytest.approx(acf[4, 2] * error[0, 0] * error[2, 1] if np.isfinite(error[2, 1]) else 0)
    assert dense[0, 5] == pytest.approx(acf[3, 2] * error[0, 0] * error[1, 1])
    operator = sparse.csr_matrix(generator.uniform(size=(7, 20)))
    expected = np.sqrt(np.diag(operator @ dense @ operator.T))
    correlation, sigma = noise_covariance(np.ones(error.shape), acf), np.nan_to_num(error)
    np.testing.assert_allclose(CorrelatedErrors(operator, correlation)(sigma), expected)
    np.testing.assert_allclose(CorrelatedErrors(operator, correlation, pairs_per_block=3)(sigma), expected)


def test_errors_of_empty_rows_holes_and_impossible_correlations():
    operator = sparse.csr_matrix(np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]))
    correlation = np.eye(3)
    correlation[0, 1] = correlation[1, 0] = -2.0  # more than a covariance can be: the variance would be negative
    found = CorrelatedErrors(operator, sparse.csr_matrix(correlation))(np.array([1.0, 1.0, 3.0]))
    np.testing.assert_allclose(found, [np.sqrt(0.5), np.nan, 6.0])
    assert np.isnan(CorrelatedErrors(sparse.csr_matrix((2, 3)), sparse.identity(3))(np.ones(3))).all()


def test_positive_acf_repairs_a_noisy_one_and_keeps_a_good_one(generator):
    _, acf = correlated_noise((10, 10), 0.9, generator)
    np.testing.assert_allclose(positive_acf(3 * acf), acf, atol=2e-3)
    noisy = acf + 0.1 * generator.normal(size=acf.shape)
    noisy[0, 0] = np.nan
    repaired = positive_acf(noisy)
    np.testing.assert_allclose(repaired, repaired[::-1, ::-1])
    assert repaired[4, 4] == 1
    assert np.abs(repaired).max() <= 1 + 1e-12


@pytest.mark.parametrize("acf", [np.ones((4, 5)), np.zeros((3, 3)), np.full((3, 3), np.nan), np.ones(3)])
def test_impossible_acf(acf):
    with pytest.raises(InputError, match="autocorrelation"):
        positive_acf(acf)


def test_dominant_column():
    matrix = np.array([[0, 0.2, 0.8, 0], [0, 0, 0, 0], [0.5, 0, 0, 0.5], [0, 0, 0, 1.0]])
    np.testing.assert_array_equal(dominant_column(sparse.csr_matrix(matrix)), [2, -1, 0, 3])


def test_saved_operators_come_back_the_same_with_the_same_bytes(tmp_path, generator):
    operators = {"H": sparse.random(30, 20, 0.2, rng=generator).tocsr(), "YJ": sparse.csr_matrix((5, 4))}
    for name in ("a.npz", "b"):
        save_operators(tmp_path / name, operators, area_H=0.04)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b").read_bytes()
    loaded, extra = load_operators(tmp_path / "a.npz")
    assert list(loaded) == ["H", "YJ"]
    assert extra == {"area_H": 0.04}
    for name, operator in operators.items():
        assert loaded[name].shape == operator.shape
        assert abs(loaded[name] - operator).sum() == 0


def test_loading_something_else(tmp_path):
    with pytest.raises(InputError, match=r"x\.npz"):
        load_operators(tmp_path / "x.npz")
    (tmp_path / "y.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"y\.npz"):
        load_operators(tmp_path / "y.npz")

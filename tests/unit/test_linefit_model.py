import numpy as np
import pytest
from linefit_mocks import binned_gaussian, model_of

from klever.linefit import linalg
from klever.linefit.model import GroupModel, pixel_edges, pixel_profile
from klever.linefit.normal import solve_bounded
from klever.spectral_lines import FixedRatio, Group, Line

WAVELENGTH = np.linspace(1.4, 1.8, 801)


@pytest.mark.parametrize("sigma_pixels", [0.3, 0.8, 1.5, 6.0])
def test_profile_is_the_mean_over_the_pixel_and_conserves_flux(sigma_pixels):
    step = WAVELENGTH[1] - WAVELENGTH[0]
    profile = pixel_profile(pixel_edges(WAVELENGTH), 1.6037, sigma_pixels * step)
    expected = binned_gaussian(WAVELENGTH, 1.6037, sigma_pixels * step, fine=400)
    np.testing.assert_allclose(profile, expected, atol=1e-4 * expected.max())
    assert profile.sum() * step == pytest.approx(1.0, rel=1e-10)


def test_derivatives_are_those_of_the_profile():
    edges, step = pixel_edges(WAVELENGTH), WAVELENGTH[1] - WAVELENGTH[0]
    centre, sigma, small = 1.6037, 1.2 * step, 1e-4 * step
    profile, d_centre, d_sigma = pixel_profile(edges, centre, sigma, derivatives=True)
    by_centre = pixel_profile(edges, centre + small, sigma) - pixel_profile(edges, centre - small, sigma)
    by_sigma = pixel_profile(edges, centre, sigma + small) - pixel_profile(edges, centre, sigma - small)
    np.testing.assert_allclose(d_centre, by_centre / (2 * small), atol=1e-6 * np.abs(d_centre).max())
    np.testing.assert_allclose(d_sigma, by_sigma / (2 * small), atol=1e-6 * np.abs(d_sigma).max())
    assert profile.max() > 0


def test_edges_of_an_uneven_grid_lie_between_the_centres():
    edges = pixel_edges(np.array([1.0, 1.1, 1.3, 1.6]))
    np.testing.assert_allclose(edges, [0.95, 1.05, 1.2, 1.45, 1.75])


def test_width_adds_the_instrument_in_quadrature():
    model = model_of("halpha", 1.4, WAVELENGTH, sigma=2e-4)
    observed = model.observed_dispersion(100.0, 60.0)
    centre = 0.6564632 * 2.4 * (1 + 100 / 299792.458)
    assert observed == pytest.approx(np.hypot(60.0, 2e-4 / centre * 299792.458))
    assert model.observed_dispersion(0.0, 0.0) == pytest.approx(2e-4 / (0.6564632 * 2.4) * 299792.458)


def test_fixed_ratios_share_a_column():
    ties = model_of("oiii", 2.2, WAVELENGTH).columns()
    names = model_of("oiii", 2.2, WAVELENGTH).names
    assert ties.shape == (3, 2)
    fluxes = dict(zip(names, ties @ np.array([5.0, 9.0]), strict=True))
    assert fluxes["OIII5007"] == pytest.approx(3 * fluxes["OIII4959"])


def test_chained_ratios_are_followed():
    lines = tuple(Line(name, 0.5 + 0.01 * i) for i, name in enumerate("abc"))
    group = Group("g", lines, "a", (FixedRatio("b", "c", 4.0), FixedRatio("a", "b", 2.0)))
    ties = GroupModel(group, 0.0, 1e-4).columns()
    assert ties.shape == (3, 1)
    a, b, c = ties[:, 0]
    assert a == pytest.approx(2 * b)
    assert b == pytest.approx(4 * c)


def test_batched_cholesky_agrees_with_lapack_also_for_badly_scaled_columns():
    rng = np.random.default_rng(4)
    design = rng.normal(size=(50, 30, 6)) * np.array([1, 1e-8, 1e6, 1, 1e3, 1e-3])
    matrices = np.einsum("sci,scj->ijs", design, design)
    right = np.einsum("sci,sc->is", design, rng.normal(size=(50, 30)))
    decomposition = linalg.cholesky(matrices)
    solution, inverse = linalg.solve(decomposition, right), linalg.inverse(decomposition)
    for s in range(50):
        scale = np.sqrt(np.diag(matrices[:, :, s]))
        expected = np.linalg.inv(matrices[:, :, s] / np.outer(scale, scale)) / np.outer(scale, scale)
        np.testing.assert_allclose(inverse[:, :, s] * np.outer(scale, scale), expected * np.outer(scale, scale),
                                   rtol=1e-6, atol=1e-8)  # fmt: skip
        np.testing.assert_allclose(solution[:, s] * scale, expected @ right[:, s] * scale, rtol=1e-6, atol=1e-8)


def test_a_column_without_data_gets_zero():
    matrix = np.zeros((2, 2, 1))
    matrix[0, 0] = 4.0
    solution = linalg.solve(linalg.cholesky(matrix), np.array([[8.0], [0.0]]))
    np.testing.assert_allclose(solution[:, 0], [2.0, 0.0])


def test_bounded_ratio_is_the_best_of_a_fine_scan():
    rng = np.random.default_rng(5)
    design = rng.normal(size=(200, 40, 3))
    data = rng.normal(size=(200, 40)) + design @ np.array([0.5, 0.5, 1.0])
    matrices = np.einsum("sci,scj->ijs", design, design)
    right = np.einsum("sci,sc->is", design, data)
    amplitude, _, on_bound = solve_bounded(matrices, right, (0, 1, 0.4, 1.45))
    ratio = amplitude[0] / amplitude[1]
    assert np.all((ratio > 0.4 - 1e-9) & (ratio < 1.45 + 1e-9))
    assert 0.1 < on_bound.mean() < 0.9
    for s in range(200):
        chi2 = np.sum((data[s] - design[s] @ amplitude[:, s]) ** 2)
        best = min(
            np.sum((data[s] - merged @ np.linalg.lstsq(merged, data[s], rcond=None)[0]) ** 2)
            for merged in (np.stack([r * design[s, :, 0] + design[s, :, 1], design[s, :, 2]], axis=1)
                           for r in np.linspace(0.4, 1.45, 41))
        )  # fmt: skip
        assert chi2 <= best * (1 + 1e-9)

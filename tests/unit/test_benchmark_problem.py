"""The benchmark of the line fit: its common model, adapters and report."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from linefit_mocks import band_wavelength, model_of, spectra, window_of

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from linefit import measure, ours, report  # noqa: E402
from linefit.peers import scipy_curve_fit  # noqa: E402
from linefit.peers.user_model import TiedModel  # noqa: E402
from linefit.problem import Problem, Solution  # noqa: E402

Z = 1.4
STORED = {
    "problem": {"data": "simulated cube", "spaxels": 9, "channels": 400, "bright_spaxels": 3, "lines": ["Halpha"]},
    "machine": {"cpu": "some CPU", "python": "3.11", "threads": 1},
    "entries": [
        {"name": "klever, compiled", "ours": True, "limits": [], "absent": "", "versions": {"numba": "1"},
         "spaxels": 9, "speed": 9000.0, "ratio": 450.0},
        {"name": "scipy curve_fit", "ours": False, "limits": [], "absent": "", "versions": {"scipy": "1"},
         "spaxels": 4, "speed": 20.0, "ratio": 1.0,
         "comparison": {part: {"same": 0.75, "better": 0.25, "worse": 0.0, "worse_emission": 0.0}
                        for part in ("all", "bright")}},
        {"name": "LiMe", "ours": False, "limits": [], "absent": "not installed (lime)"},
    ],
    "convergence": {part: {"same": 1.0, "worse": 0.0} for part in ("all", "bright")},
}  # fmt: skip


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(3)
    wavelength = window_of("halpha", Z, band_wavelength())
    model = model_of("halpha", Z, wavelength)
    snr = np.array([12.0, 20.0, 40.0])
    flux, error, _ = spectra(model, wavelength, snr, np.array([40.0, -20.0, 10.0]), np.array([60.0, 90.0, 50.0]), rng)
    flux[1, 30:34] = np.nan
    return Problem(model, wavelength, flux, error, snr, 600.0, (20.0, 300.0))


def test_numpy_engine_and_curve_fit_reach_the_same_chi2(problem):
    best = ours.solutions(problem, ours.fit(problem, "numpy"))
    solve = scipy_curve_fit.solver(problem)
    found = [solve(row) for row in range(3)]
    comparison = measure.compare(problem, np.arange(3), best, found)
    assert comparison["all"] == comparison["bright"]
    assert comparison["all"]["spaxels"] == 3
    assert comparison["all"]["same"] == 1.0
    assert comparison["all"]["worse"] == comparison["all"]["failed"] == comparison["all"]["not_fitted"] == 0


def test_judge_agrees_with_the_engines_own_chi2_and_ignores_masked_channels(problem):
    result = ours.fit(problem, "numpy")
    chi2 = [problem.judge(row, solution)[0] for row, solution in enumerate(ours.solutions(problem, result))]
    np.testing.assert_allclose(chi2, result.chi2, rtol=1e-6)


def test_fluxes_left_open_are_the_best_ones(problem):
    for row, solution in enumerate(ours.solutions(problem, ours.fit(problem, "numpy"))):
        chi2, _ = problem.judge(row, solution)
        best, _ = problem.judge(row, Solution(solution.velocity, solution.dispersion))
        worse, _ = problem.judge(row, Solution(solution.velocity + 60.0, solution.dispersion))
        assert best == pytest.approx(chi2, abs=1e-4)
        assert worse > best + 1


def test_open_fluxes_keep_the_sulphur_ratio_in_its_bounds(problem):
    model = TiedModel(problem)
    curve = model.curve(0.0, 0.8, 20.0, 4.0, 6.0, 3.0, 1.0, 0.0)  # a ratio of 3, above its bound
    data = {"flux": curve[None], "error": problem.error[:1], "snr": problem.snr[:1]}
    outside = dataclasses.replace(problem, **data)
    chi2, _ = outside.judge(0, Solution(0.0, 80.0))
    held = [model.curve(0.0, 0.8, 20.0, 4.0, flux, 1.45, 1.0, 0.0) for flux in np.linspace(4.0, 14.0, 201)]
    by_hand = min(np.sum(((curve - other) / problem.error[0]) ** 2) for other in held)
    assert 0.1 < chi2 <= by_hand
    assert chi2 > 0.8 * by_hand  # the rest is what the other lines and the continuum can take up


def test_analytic_jacobian_is_that_of_the_curve(problem):
    model = TiedModel(problem)
    place = np.array([0.3, 0.7, 20.0, 5.0, 3.0, 1.2, 0.5, 0.1])
    analytic = model.jacobian(*place)
    for k, step in enumerate(np.eye(8) * 1e-5):
        numeric = (model.curve(*(place + step)) - model.curve(*(place - step))) / 2e-5
        np.testing.assert_allclose(analytic[:, k], numeric, atol=1e-6 * np.abs(numeric).max())


def test_no_solution_counts_as_failed_not_as_a_fit(problem):
    best = ours.solutions(problem, ours.fit(problem, "numpy"))
    found = [None, Solution(np.nan, 80.0), best[2]]
    part = measure.compare(problem, np.arange(3), best, found)["all"]
    assert part["failed"] == 2
    assert part["better"] == pytest.approx(2 / 3)
    json.dumps(part, allow_nan=False)


def test_a_package_that_is_not_there_is_skipped_and_named(problem, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmfit", None)
    monkeypatch.delitem(sys.modules, "linefit.peers.lmfit_minimize", raising=False)
    entry = measure._run_peer(problem, "lmfit_minimize", [])
    assert entry["absent"] == "not installed (lmfit)"


def test_subsets_are_nested_and_without_repeats(problem):
    many = dataclasses.replace(problem, flux=np.zeros((50, 2)), error=np.ones((50, 2)), snr=np.zeros(50))
    assert list(many.subset(10)) == list(many.subset(30)[:10])
    assert len(set(many.subset(80))) == 50


def test_tables_and_figure_come_from_the_stored_results(tmp_path):
    assert "450" in report.text_table(STORED)
    assert "LiMe: skipped, not installed (lime)" in report.text_table(STORED)
    assert "75.0 / 75.0" in report.markdown(STORED)
    for name in ("first.png", "second.png"):
        report.draw(STORED, tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert (tmp_path / "first.png").stat().st_size > 5000

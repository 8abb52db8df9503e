import time
from pathlib import Path

import numpy as np
import pytest

from klever.abundance.abundance_likelihood import LOWER, MEASURED, UPPER, chi_square, chi_square_of
from klever.abundance.calibrations import load_calibrations
from klever.abundance.diagnostic_sets import candidate_sets, choose_diagnostics, prefer_clean, with_limits
from klever.abundance.metallicity import grid_posterior, sample_posterior
from klever.errors import ConfigError
from klever.maps import Flag

RESOURCES = Path(__file__).parents[2] / "resources"
C20 = load_calibrations(RESOURCES / "calibrations.json")
AUTO = candidate_sets("auto", C20)


def ratios_at(log_oh, names, error=0.03):
    return {name: (C20[name].evaluate(log_oh), np.full(np.shape(log_oh), error)) for name in names}


# every set of the paper's rules, and both branches of R3 (it turns over at 8.00)
@pytest.mark.parametrize(
    ("names", "log_oh", "log_oh_range"),
    [(names, 8.4, (7.6, 8.9)) for names in AUTO if names != ("R3",)]
    + [
        (("R3", "N2"), 7.8, (7.6, 8.9)),
        (("R3", "O3O2"), 7.8, (7.6, 8.9)),
        (("R3",), 8.5, (8.0, 8.9)),
        (("R3",), 7.75, (7.6, 8.0)),
    ],
)
def test_grid_and_emcee_agree(names, log_oh, log_oh_range):
    ratios = {name: (float(value) + 0.03, float(error)) for name, (value, error) in ratios_at(log_oh, names).items()}
    grid = grid_posterior(ratios, C20, log_oh_range)
    sampled = sample_posterior(ratios, C20, log_oh_range, seed=42)
    assert sampled.median == pytest.approx(grid.median[0], abs=0.005)
    assert sampled.error_minus == pytest.approx(grid.error_minus[0], rel=0.1)
    assert sampled.error_plus == pytest.approx(grid.error_plus[0], rel=0.1)
    assert sampled.converged
    assert 0.2 < sampled.acceptance < 0.7


def test_a_map_of_a_thousand_pixels_takes_less_than_a_fifth_of_a_second():
    ratios = ratios_at(np.linspace(7.7, 8.8, 1000), ("R3", "N2", "O3O2"))
    grid_posterior(ratios, C20, respond=True)
    times = []
    for _ in range(3):
        start = time.process_time()
        grid_posterior(ratios, C20, respond=True)
        times.append(time.process_time() - start)
    assert min(times) < 0.2


def test_chain_and_grid_use_the_same_likelihood_of_limits():
    ratios = {"R3": (0.5, 0.05, MEASURED), "N2": (-1.1, 0.15, UPPER), "O3O2": (0.2, 0.1, LOWER)}
    log_oh = np.linspace(7.6, 8.9, 50)
    assert chi_square_of(ratios, C20)(log_oh) == pytest.approx(chi_square(log_oh, ratios, C20)[0], rel=1e-9, abs=1e-9)


def test_grid_and_emcee_agree_where_a_ratio_is_a_limit():
    ratios = {"O3O2": (0.1, 0.05, MEASURED), "N2": (-0.8, 0.15, UPPER)}
    grid = grid_posterior(ratios, C20)
    sampled = sample_posterior(ratios, C20, seed=3)
    assert sampled.median == pytest.approx(grid.median[0], abs=0.005)
    assert sampled.error_minus == pytest.approx(grid.error_minus[0], rel=0.1)
    assert sampled.error_plus == pytest.approx(grid.error_plus[0], rel=0.1)


def test_a_chain_that_has_not_converged_goes_on():
    ratios = {"R3": (0.1, 0.05), "N2": (-0.7, 0.05)}
    short = sample_posterior(ratios, C20, seed=5, steps=150, burn_in=50)
    assert short.converged  # 100 kept steps are not 50 autocorrelation times, of some five steps each
    assert short.autocorrelation > 2
    long = sample_posterior(ratios, C20, seed=5, steps=3000, burn_in=50)
    assert short.median == pytest.approx(long.median, abs=0.01)


def test_an_upper_limit_on_n2_tells_the_branches_of_r3_apart():
    alone = grid_posterior({"R3": (0.55, 0.03)}, C20)
    assert alone.flags[0] & Flag.BIMODAL
    low = grid_posterior({"R3": (0.55, 0.03), "N2": (-2.2, 0.1, UPPER)}, C20)
    assert low.median[0] < 8.0
    assert not low.flags[0] & Flag.BIMODAL
    loose = grid_posterior({"R3": (0.55, 0.03), "N2": (1.0, 0.1, UPPER)}, C20)
    assert loose.median[0] == pytest.approx(alone.median[0], abs=1e-6)


def test_a_measured_ratio_says_more_than_its_limit():
    measured = grid_posterior({"R3": (0.5, 0.05), "N2": (-1.3, 0.05)}, C20)
    limit = grid_posterior({"R3": (0.5, 0.05), "N2": (-1.3, 0.05, UPPER)}, C20)
    assert (limit.error_minus + limit.error_plus)[0] > (measured.error_minus + measured.error_plus)[0]


def test_limits_cover_the_truths_they_were_drawn_from():
    # fluxes with noise: N2 is detected at S/N 3 in some galaxies and a limit in the others
    generator = np.random.default_rng(11)
    truth = generator.uniform(7.7, 8.8, 4000)
    r3 = C20["R3"].evaluate(truth) + generator.normal(0, np.hypot(0.03, C20["R3"].dispersion()), 4000)
    true_n2 = C20["N2"].evaluate(truth) + generator.normal(0, C20["N2"].dispersion(), 4000)
    sigma = 0.03  # of the flux of [N II], in units of Halpha
    flux = 10**true_n2 + generator.normal(0, sigma, 4000)
    seen = flux > 3 * sigma
    value = np.where(seen, np.log10(np.where(seen, flux, 1.0)), np.log10(3 * sigma))
    error = np.where(seen, sigma / np.where(seen, flux, 1.0), 1 / 3) / np.log(10)
    posterior = grid_posterior({"R3": (r3, np.full(4000, 0.03)), "N2": (value, error, np.where(seen, MEASURED, UPPER))},
                               C20, (7.7, 8.8))  # fmt: skip
    limits = ~seen
    assert limits.sum() > 1000
    inside = (truth > posterior.median - posterior.error_minus) & (truth < posterior.median + posterior.error_plus)
    # 1 sigma of the fraction is 0.012; the Gaussian in dex is not quite that in flux
    assert np.mean(inside[limits]) == pytest.approx(0.68, abs=0.05)
    assert np.mean(truth[limits] < posterior.median[limits]) == pytest.approx(0.5, abs=0.06)


def test_emcee_finds_both_modes_of_r3_alone():
    ratios = {"R3": (0.72, 0.02)}
    grid = grid_posterior(ratios, C20)
    sampled = sample_posterior(ratios, C20, seed=1, steps=3000, burn_in=500)
    assert grid.flags[0] & Flag.BIMODAL
    assert sampled.error_minus + sampled.error_plus == pytest.approx(grid.error_minus[0] + grid.error_plus[0], abs=0.03)


def test_same_seed_same_chain_whatever_the_global_state():
    ratios = {"R3": (0.5, 0.05), "N2": (-1.0, 0.05)}
    np.random.seed(1)
    first = sample_posterior(ratios, C20, seed=7, steps=300, burn_in=100)
    np.random.seed(2)
    second = sample_posterior(ratios, C20, seed=7, steps=300, burn_in=100)
    other = sample_posterior(ratios, C20, seed=8, steps=300, burn_in=100)
    assert first == second
    assert first != other


def test_grid_against_a_gaussian_worked_out_by_hand():
    # O3O2 is nearly linear: sigma(log_oh) = sqrt(0.15^2 + 0.05^2) / |dR/dx|
    log_oh = 8.4
    value, x = float(C20["O3O2"].evaluate(log_oh)), log_oh - 8.69
    slope = abs(-2.944 - 2 * 1.308 * x)
    posterior = grid_posterior({"O3O2": (value, 0.05)}, C20)
    # the curvature R'' moves the median by -sigma^2 R'' / R'^3 to first order
    bend = -(0.15**2 + 0.05**2) * (-2 * 1.308) / (-slope) ** 3
    assert posterior.median[0] == pytest.approx(log_oh + bend, abs=0.001)
    width = 0.5 * (posterior.error_minus + posterior.error_plus)[0]
    assert width == pytest.approx(np.hypot(0.15, 0.05) / slope, rel=0.03)
    assert posterior.chi2[0] == pytest.approx(0, abs=1e-3)


def test_sets_with_a_contaminated_line_come_last():
    assert prefer_clean(AUTO, set()) == AUTO
    assert prefer_clean(AUTO, {"NII6584", "SII"}) == AUTO
    clean = prefer_clean(AUTO, {"NII6584", "Halpha"})
    assert sorted(clean) == sorted(AUTO)
    assert clean[:2] == [("R3", "O3O2"), ("R3", "S2")]
    assert choose_diagnostics(clean, ["R3", "N2", "S2"]) == ("R3", "S2")
    assert prefer_clean([("R3", "N2")], {"NII6584"}) == [("R3", "N2")]


def test_limits_that_join_a_set():
    ratios = {"R3": (0.5, 0.1, 0), "N2": (-1.0, 0.1, -1), "O3O2": (0.3, 0.1, 1), "S2": (-0.5, 0.1, -1)}
    assert with_limits(AUTO, ("R3",), ratios) == ("R3", "N2", "O3O2")
    assert with_limits(AUTO, ("R3",), {name: ratios[name] for name in ("R3", "S2")}) == ("R3", "S2")
    assert with_limits(AUTO, ("R3", "N2"), {"R3": (0.5, 0.1, 0), "N2": (-1.0, 0.1, 0)}) == ("R3", "N2")
    assert with_limits(AUTO, (), {}) == ()


def test_chi_square_is_eq_1():
    chi2 = chi_square(np.array([8.69]), {"R3": (0.0, 0.12), "N2": (-0.3, 0.0)}, C20)
    assert chi2[0, 0] == pytest.approx(0.277**2 / (0.12**2 + 0.09**2) + 0.189**2 / 0.16**2)


@pytest.mark.parametrize("names", [("R3", "N2"), ("R3", "S2"), ("R3", "N2", "O3O2"), ("R3", "O3O2"), ("R3",)])
def test_posteriors_of_synthetic_galaxies_cover_their_truths(names):
    # truths drawn from the prior, ratios scattered by noise and by the calibration's dispersion, as Eq. 1 assumes
    generator = np.random.default_rng(3)
    truth, noise = generator.uniform(7.6, 8.9, 4000), 0.05
    ratios = {}
    for name in names:
        spread = np.hypot(C20[name].dispersion(), noise)
        ratios[name] = (C20[name].evaluate(truth) + generator.normal(0, spread, 4000), np.full(4000, noise))
    posterior = grid_posterior(ratios, C20)
    below = truth < posterior.median
    within = np.where(below, truth > posterior.median - posterior.error_minus,
                      truth < posterior.median + posterior.error_plus)  # fmt: skip
    # 4000 draws: 1 sigma is 0.008 of the fraction below the median, 0.0074 of the fraction within 1 sigma
    assert np.mean(below) == pytest.approx(0.50, abs=0.025)
    assert np.mean(within) == pytest.approx(0.68, abs=0.025)


@pytest.mark.parametrize("truth", [8.2, 8.35, 8.5, 8.65])
def test_one_abundance_is_recovered_within_its_error(truth):
    generator = np.random.default_rng(5)
    ratios = {}
    for name in ("R3", "N2"):
        spread = np.hypot(C20[name].dispersion(), 0.05)
        ratios[name] = (C20[name].evaluate(truth) + generator.normal(0, spread, 2000), np.full(2000, 0.05))
    posterior = grid_posterior(ratios, C20)
    # a posterior of a curved relation is biased at a fixed truth, but by less than half its width
    width = np.median(0.5 * (posterior.error_minus + posterior.error_plus))
    assert abs(np.median(posterior.median) - truth) < 0.5 * width


def test_abundance_follows_the_ratios_monotonically():
    log_oh = np.linspace(8.1, 8.75, 60)
    posterior = grid_posterior(ratios_at(log_oh, ("R3", "N2")), C20)
    assert np.all(np.diff(posterior.median) > 0)


def test_larger_errors_give_wider_posteriors():
    value = {"R3": np.full(20, 0.5), "N2": np.full(20, -1.0)}
    error = np.linspace(0.01, 0.5, 20)
    posterior = grid_posterior({name: (item, error) for name, item in value.items()}, C20)
    assert np.all(np.diff(posterior.error_minus + posterior.error_plus) > 0)


def test_r3_alone_is_bimodal_between_its_branches_and_r3_with_n2_is_not():
    ratio = float(C20["R3"].evaluate(8.25))  # reached on both sides of 8.00
    alone = grid_posterior({"R3": (ratio, 0.02)}, C20)
    joint = grid_posterior({"R3": (ratio, 0.02), "N2": (float(C20["N2"].evaluate(8.25)), 0.02)}, C20)
    assert alone.flags[0] & Flag.BIMODAL
    assert not joint.flags[0] & Flag.BIMODAL
    assert joint.median[0] == pytest.approx(8.25, abs=0.05)


def test_two_modes_with_a_valley_between_are_flagged():
    # R3 has its maximum of 0.784, 1.8 sigma above 0.62, at 8.00; N2 with an error of 3 dex decides nothing
    posterior = grid_posterior({"R3": (0.62, 0.0), "N2": (-1.2, 3.0)}, C20)
    assert posterior.flags[0] & Flag.BIMODAL


def test_r3_alone_is_not_bimodal_where_only_one_branch_is_calibrated():
    assert grid_posterior({"R3": (0.0, 0.02)}, C20).flags[0] == 0


@pytest.mark.parametrize(("log_oh", "shift"), [(8.88, 0.1), (7.62, -0.1)])
def test_posterior_at_the_edge_is_flagged(log_oh, shift):
    posterior = grid_posterior({"O3O2": (float(C20["O3O2"].evaluate(log_oh)) - shift, 0.05)}, C20)
    assert posterior.flags[0] & Flag.OUTSIDE_CALIBRATION


def test_posterior_well_inside_is_not_flagged():
    posterior = grid_posterior(ratios_at(np.linspace(8.15, 8.65, 20), ("R3", "N2")), C20)
    assert not posterior.flags.any()


def test_nan_ratios_are_nan_and_flagged_and_leave_their_neighbours_alone():
    ratios = ratios_at(np.full(5, 8.4), ("R3", "N2"))
    ratios["N2"][0][2] = np.nan
    ratios["R3"][1][4] = np.nan
    posterior = grid_posterior(ratios, C20)
    np.testing.assert_array_equal(np.isnan(posterior.median), [False, False, True, False, True])
    np.testing.assert_array_equal(posterior.flags != 0, np.isnan(posterior.median))
    assert np.ptp(posterior.median[[0, 1, 3]]) == 0


def test_all_nan():
    posterior = grid_posterior({"R3": (np.full(3, np.nan), np.full(3, np.nan))}, C20)
    assert np.all(np.isnan(posterior.median)) and np.all(posterior.flags == Flag.NOT_DETECTED)


def test_chunks_do_not_show():
    ratios = ratios_at(np.full(5000, 8.4), ("R3", "N2"))
    posterior = grid_posterior(ratios, C20)
    assert np.ptp(posterior.median) == 0 and posterior.median.size == 5000


def test_finer_grids_do_not_change_the_answer():
    ratios = ratios_at(np.linspace(8.0, 8.7, 30), ("R3", "N2"))
    coarse, fine = grid_posterior(ratios, C20, step=0.005), grid_posterior(ratios, C20, step=0.001)
    np.testing.assert_allclose(coarse.median, fine.median, atol=2e-4)
    np.testing.assert_allclose(coarse.error_plus, fine.error_plus, atol=2e-4)


@pytest.mark.parametrize(
    ("usable", "expected"),
    [
        ("R3 N2 S2", "R3 N2"),
        ("R3 S2", "R3 S2"),
        ("R3 N2 S2 O3O2", "R3 N2 O3O2"),
        ("R3 S2 O3O2", "R3 O3O2"),
        ("N2 S2", "N2"),
        ("N2", "N2"),
        ("R3", "R3"),
        ("S2", "S2"),
        ("", ""),
    ],
)
def test_rules_of_the_paper(usable, expected):
    assert choose_diagnostics(AUTO, usable.split()) == tuple(expected.split())


def test_auto_leaves_out_what_the_set_lacks():
    c17 = load_calibrations(RESOURCES / "calibrations.json", "C17")
    assert all("S2" not in names for names in candidate_sets("auto", c17))


def test_a_list_is_the_only_set():
    assert candidate_sets(["R3", "S2"], C20) == [("R3", "S2")]
    assert choose_diagnostics(candidate_sets(["R3", "S2"], C20), ["R3", "N2"]) == ()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (["R3", "N3"], "did you mean"),
        ("automatic", "did you mean auto"),
        ("R3", "write it as a list"),
        ([], "is empty or repeats"),
        (["R3", "R3"], "is empty or repeats"),
    ],
)
def test_wrong_lists_are_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        candidate_sets(setting, C20)


@pytest.mark.parametrize("step", [0.0, -0.1, 0.5])
def test_unusable_grid_steps_are_refused(step):
    with pytest.raises(ConfigError, match="grid_step"):
        grid_posterior({"R3": (0.5, 0.1)}, C20, step=step)


def test_unusable_chains_are_refused():
    with pytest.raises(ConfigError, match="walkers"):
        sample_posterior({"R3": (0.5, 0.1)}, C20, seed=1, walkers=2)
    with pytest.raises(ConfigError, match="burn_in"):
        sample_posterior({"R3": (0.5, 0.1)}, C20, seed=1, steps=10, burn_in=10)

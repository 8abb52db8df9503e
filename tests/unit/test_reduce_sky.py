"""Sky subtraction of exposures: groups, stretch, strengths, protection of the source's lines, the extra pass."""

from pathlib import Path

import numpy as np
import pytest

from klever.reduce.residualpass import listed_lines, residual_pass, residual_statistics
from klever.reduce.skygroups import BOUNDARIES, GROUPS, group_of, rotational_class, running_median
from klever.reduce.skystretch import cut_channels, fit_stretch, shift_operator
from klever.reduce.skysub import clipped_mean, source_free, subtract_sky
from klever_simulation.exposures import Instrument, Sky, State, Target, expose

OH = np.loadtxt(Path(__file__).parents[2] / "resources/oh_lines_rousselot2000.dat")
H = Instrument("H", (1.456, 1.846), 4045, n_spaxel=8)
SKY = Sky(H, (OH[:, 0] * 1e-4, OH[:, 1]))
BLANK = Target(3, "blank", (10.0, 20.0), "sky")
FREE = np.ones((8, 8), bool)


def exposed(number, kind="O", target=BLANK, **state):
    return expose(H, SKY, target, State(number, kind, 0.0, **state), 300.0, 5, cosmic_rays=0)[:2]


@pytest.fixture(scope="module")
def pair():
    """Sky groups that differ by 10 per cent and lines that are 0.2 channels apart."""
    strengths = 1 + 0.1 * np.random.default_rng(2).standard_normal(14)
    own = exposed(0, groups=strengths, flexure={1: np.array([0.2, 0.03, -0.02])})
    return *own, *exposed(1, "S"), strengths


def test_every_wavelength_has_the_group_between_its_boundaries():
    middles = 0.5 * (np.array(BOUNDARIES[1:]) + BOUNDARIES[:-1])
    assert [GROUPS[index] for index in group_of(middles)] == list(GROUPS)
    assert list(group_of(np.array([0.9, 2.5]))) == [0, len(GROUPS) - 1]


def test_the_brightest_line_of_a_band_is_of_a_low_level():
    levels = rotational_class(H.wavelength)
    assert levels[np.argmin(np.abs(H.wavelength - 1.58333))] == 0
    assert set(levels) == {0, 1, 2}


def test_running_median_passes_over_lines_and_gaps():
    spectrum = np.full(500, 3.0)
    spectrum[::10] = 100.0
    spectrum[40:60] = np.nan
    assert np.allclose(running_median(spectrum, 101), 3.0)


def test_shift_operator_moves_a_line_and_keeps_its_flux():
    channels = np.arange(200.0)
    shift = np.full(200, 0.3)
    line = np.exp(-0.5 * ((channels - 100) / 1.2) ** 2)
    moved = shift_operator(shift) @ line
    assert np.max(np.abs(moved - np.exp(-0.5 * ((channels + 0.3 - 100) / 1.2) ** 2))) < 2e-3
    assert moved.sum() == pytest.approx(line.sum(), rel=1e-3)
    assert np.allclose(shift_operator(shift) @ np.ones(200), 1)
    assert np.allclose((shift_operator(np.zeros(200)) @ line), line)


def test_a_shift_beyond_the_ends_stays_finite():
    assert np.isfinite(shift_operator(np.full(50, 60.0)) @ np.arange(50.0)).all()


def test_no_lines_no_stretch():
    flat = np.ones(100)
    shift = fit_stretch(flat, flat, flat, np.zeros(100, int), np.zeros(100, bool))
    assert not shift.any()


def test_residuals_are_those_of_photons(pair):
    flux, error, sky, sky_error, strengths = pair
    fit = subtract_sky(H.wavelength, flux, error, sky, sky_error, free=FREE)
    bright = [row for row in fit.groups if row["channels"] > 100]
    assert len(bright) >= 4
    for row in bright:
        assert row["state"] == "fitted"
        assert row["after"] <= 1.3 * row["expected"]
        assert row["mean_before"] >= 5 * row["mean_after"]
        assert abs(row["over"]) < 0.005
    by_name = {row["group"]: row["strength"] for row in bright}
    # bands of the simulation, in order, whose middle lies in these groups
    assert by_name["4-2"] == pytest.approx(strengths[8], abs=0.02)
    assert by_name["3-1"] == pytest.approx(strengths[7], abs=0.02)


def test_stretch_is_recovered(pair):
    fit = subtract_sky(H.wavelength, *pair[:4], free=FREE)
    x = np.linspace(-1, 1, H.n_wave)
    assert np.max(np.abs(fit.shift + 0.2 + 0.03 * x - 0.02 * x**2)[50:-50]) < 0.02


def test_error_describes_the_scatter_off_the_lines(pair):
    fit = subtract_sky(H.wavelength, *pair[:4], free=FREE)
    ratio = fit.flux / fit.error
    assert np.nanstd(ratio) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_units_do_not_matter(pair, unit):
    fit = subtract_sky(H.wavelength, *pair[:4], free=FREE)
    scaled = subtract_sky(H.wavelength, *(np.asarray(a, float) * unit for a in pair[:4]), free=FREE)
    assert np.allclose(scaled.strength, fit.strength, rtol=1e-4)
    assert np.allclose(scaled.flux / unit, fit.flux, rtol=1e-2, atol=1e-3 * np.nanmax(np.abs(fit.flux)), equal_nan=True)


def test_protected_lines_do_not_change_the_sky(pair):
    """A source that fills the field with a line on a sky line: unprotected it is taken for sky."""
    flux, error, sky, sky_error, _ = pair
    line = np.exp(-0.5 * ((H.wavelength - 1.60308) / 2.5e-4) ** 2)
    source = (20 * line)[:, None, None] * np.ones((8, 8))
    near = np.abs(H.wavelength - 1.60308) < 1.2e-3
    plain = subtract_sky(H.wavelength, flux, error, sky, sky_error, free=FREE)
    fit = subtract_sky(H.wavelength, flux + source, error, sky, sky_error, free=FREE, protected=near)
    gained = (fit.flux - plain.flux)[near].sum() / source[near].sum()
    assert gained == pytest.approx(1, abs=0.03)


def test_missing_voxels_stay_missing_and_spoil_only_their_neighbours(pair):
    flux, error, sky, sky_error, _ = (np.array(a) for a in pair)
    flux[500, 3, 3], error[500, 3, 3] = np.nan, np.nan
    sky[900, 4, 4], sky_error[900, 4, 4] = np.nan, np.nan
    flux[:, 0, 0], error[:, 0, 0] = np.nan, np.nan
    fit = subtract_sky(H.wavelength, flux, error, sky, sky_error, free=FREE)
    assert np.isnan(fit.flux[500, 3, 3])
    assert np.isnan(fit.flux[900, 4, 4])
    assert np.isfinite(fit.flux[910, 4, 4])
    assert np.isnan(fit.flux[:, 0, 0]).all()
    assert np.isfinite(fit.flux[6:-6, 1, 1]).all()


def test_lines_that_the_end_of_the_band_cuts_off_are_left_out():
    assert not cut_channels(np.zeros(50)).any()
    cut = cut_channels(np.full(50, 0.2))
    assert np.array_equal(np.flatnonzero(~cut), np.arange(cut[:25].sum(), 50 - cut[25:].sum()))
    assert 3 <= cut[:25].sum() <= 6
    assert cut_channels(np.full(50, 3.0))[-3:].all()


def test_nothing_in_nothing_out():
    empty = np.full((60, 4, 4), np.nan)
    fit = subtract_sky(np.linspace(1.5, 1.6, 60), empty, empty, empty, empty)
    assert np.isnan(fit.flux).all()
    assert not fit.groups


def test_a_sky_that_is_another_sky_is_guarded(pair):
    flux, error, sky, sky_error, _ = pair
    fit = subtract_sky(H.wavelength, flux * 5, error * 5, sky, sky_error, free=FREE, stretch=False)
    assert {row["state"] for row in fit.groups if row["channels"] > 100} == {"guarded"}
    assert np.all(fit.strength == 1)


def test_clipped_mean_leaves_out_a_wild_spaxel():
    spectra = np.ones((30, 20)) + 0.01 * np.random.default_rng(1).standard_normal((30, 20))
    spectra[:, 3] = 50
    mean, error = clipped_mean(spectra, np.full((30, 20), 0.01))
    assert np.allclose(mean, 1, atol=0.02)
    assert np.allclose(error, 0.01 / np.sqrt(19), rtol=0.1)


def test_source_free_spaxels_are_the_faint_ones():
    cube = np.random.default_rng(0).standard_normal((100, 6, 6))
    cube[:, 2:4, 2:4] += 10
    free = source_free(cube)
    assert not free[2:4, 2:4].any()
    assert free.sum() == pytest.approx(0.6 * 36, abs=2)


def test_extra_pass_takes_off_what_is_left_and_nothing_else():
    rng = np.random.default_rng(4)
    lines = listed_lines(H.wavelength, OH, bright=0.2)
    left = np.where(lines, 0.8, 0.0)
    noise = rng.standard_normal((H.n_wave, 8, 8))
    flux, error = noise + left[:, None, None], np.ones_like(noise)
    protected = np.abs(H.wavelength - 1.58333) < 1e-3
    passed, new_error, residual = residual_pass(flux, error, lines, FREE, protected)
    assert residual[lines & ~protected].mean() == pytest.approx(0.8, abs=0.05)
    assert not residual[~lines | protected].any()
    assert np.all(new_error >= error)
    before, after = (residual_statistics(H.wavelength, cube, error, lines, FREE, protected) for cube in (flux, passed))
    for one, two in zip(before, after, strict=True):
        if one["channels"] > 20:
            assert two["mean_on"] < 0.4 * one["mean_on"]


def test_a_change_of_the_rotational_temperature_is_followed():
    """Lines of a band change by up to 5 per cent against each other; without the pass twice as much is left."""
    exposure = State(0, "O", 0.0, rotational=0.05)
    target = Target(3, "blank", (0.0, 0.0), "sky")
    sky_model = Sky(H, (OH[:, 0] * 1e-4, OH[:, 1]))
    own, other = (expose(H, sky_model, target, state, 900.0, 2, cosmic_rays=0)[:2]
                  for state in (exposure, State(1, "S", 300.0)))  # fmt: skip
    free = np.ones(own[0].shape[1:], bool)
    worst = {}
    for rotational in (True, False):
        fit = subtract_sky(H.wavelength, *own, *other, free=free, rotational=rotational)
        worst[rotational] = [row["mean_after"] / row["mean_expected"] for row in fit.groups if row["channels"] > 100]
        assert all(row["after"] <= 1.3 * row["expected"] for row in fit.groups if rotational and row["channels"] > 100)
    assert np.max(worst[True]) < 0.5 * np.max(worst[False])

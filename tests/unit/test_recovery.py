"""Recovery of the truth: apertures, pulls, what is used, the summary, the figure."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from klever.errors import InputError
from klever.maps import Flag, Map, MapSet
from klever.publish.recovery import (
    aperture_fractions,
    fitted_gaussian,
    format_summary,
    recovery_row,
    resolved_galaxies,
    summarise,
)
from klever.publish.recovery_figure import draw_recovery_figure
from recovery import measure_recovery
from recovery_figure import draw_recovery

SETTINGS = {"simulated": True, "figures": {"dpi": 40}}
SPAXEL = 0.1
INSTRUMENTS = Path(__file__).resolve().parents[2] / "resources/instruments.yaml"
FLUX, SPEED = "erg s-1 cm-2", "km s-1"


@pytest.mark.parametrize(("x", "y"), [(15.0, 12.0), (14.3, 11.8), (10.5, 13.5)])
def test_area_of_the_aperture_is_that_of_the_circle(x, y):
    fractions = aperture_fractions((25, 31), x, y, 6.0)
    assert fractions.sum() == pytest.approx(np.pi * 36, rel=3e-3)
    rows, columns = np.mgrid[:25, :31]
    assert np.average(columns, weights=fractions) == pytest.approx(x, abs=0.02)
    assert np.average(rows, weights=fractions) == pytest.approx(y, abs=0.02)


def test_half_of_an_aperture_on_the_edge_is_outside():
    assert aperture_fractions((40, 40), -0.5, 20.0, 6.0).sum() == pytest.approx(np.pi * 18, rel=3e-3)


def test_gaussian_of_one_width_is_found_without_the_instrument_and_nan_is_skipped():
    ones = np.ones((1, 3))
    velocity = np.array([[12.0, 12.0, np.nan]])
    for scale in (1e-20, 1e20):
        fitted = fitted_gaussian(ones, scale * ones, velocity, 40 * ones, instrumental=30.0)
        assert fitted == pytest.approx((12.0, 40.0), abs=1e-4)
    assert np.isnan(fitted_gaussian(ones, 0 * ones, velocity, ones)).all()
    assert np.isnan(fitted_gaussian(ones, np.nan * ones, velocity, ones)).all()


def test_gaussian_of_a_skewed_profile_follows_its_peak_not_its_mean():
    """A faint wing moves the mean by its share of the flux, the fit by less; a symmetric pair moves neither."""
    ones = np.ones((1, 2))
    wing = np.array([[0.9, 0.1]]), np.array([[0.0, 150.0]])
    mean, sigma = fitted_gaussian(ones, *wing, 40 * ones)
    assert 0 < mean < 8.0
    assert 40.0 < sigma < np.sqrt(40.0**2 + 0.09 * 150.0**2)
    mean, sigma = fitted_gaussian(ones, ones, np.array([[-30.0, 30.0]]), 40 * ones)
    assert mean == pytest.approx(0.0, abs=1e-3)
    assert 50.0 < sigma < 55.0  # flat-topped, so wider than its second moment


def test_swapping_truth_and_measurement_flips_the_pull():
    row = recovery_row("a", "velocity", 10.0, 16.0, 2.0, "detected", True)
    swapped = recovery_row("a", "velocity", 16.0, 10.0, 2.0, "detected", True)
    assert row["pull"] == pytest.approx(3.0)
    assert swapped["pull"] == pytest.approx(-3.0)


def test_asymmetric_error_is_the_side_towards_the_truth():
    above = recovery_row("a", "log_oh", 8.4, 8.5, (0.1, 0.05), "ok", True)
    below = recovery_row("a", "log_oh", 8.4, 8.3, (0.1, 0.05), "ok", True)
    assert above["pull"] == pytest.approx(1.0)
    assert below["pull"] == pytest.approx(-2.0)


@pytest.mark.parametrize("values", [(np.nan, 1.0, 1.0), (1.0, np.nan, 1.0), (1.0, 1.0, np.nan), (1.0, 2.0, 0.0)])
def test_row_without_a_pull_is_not_used(values):
    row = recovery_row("a", "velocity", *values, "detected", True)
    assert np.isnan(row["pull"])
    assert not row["used"]


def slopes(galaxy, state, truth, measured, error=0.01):
    return recovery_row(galaxy, "slope_elliptical", truth, measured, error, state, state in {"resolved", "marginal"})


def test_summary_of_known_pulls():
    pulls = np.array([-1.0, 0.0, 1.0, 2.0, 3.0])
    rows = [recovery_row("a", "flux", 10.0, 10.0 + p, 1.0, "detected", True, line="Halpha") for p in pulls]
    rows.append(recovery_row("a", "flux", 10.0, 90.0, 1.0, "not_detected", False, line="Halpha"))
    (found,) = [row for row in summarise(rows) if row["sample"] == "all" and row["quantity"] == "flux"]
    assert found["n"] == 5
    assert found["median_abs_pull"] == pytest.approx(1.0)
    assert found["median_pull"] == pytest.approx(1.0)
    assert found["pull_scatter"] == pytest.approx(1.4826)
    assert found["median_bias"] == pytest.approx(0.1)  # of the flux


def test_summary_of_resolved_galaxies_leaves_out_the_others():
    rows = [
        slopes("a", "resolved", -0.02, -0.01),
        slopes("b", "marginal", -0.02, 0.02),
        slopes("c", "unresolved", 0, 1),
    ]
    rows += [recovery_row(name, "log_oh", 8.4, 8.4 + 0.1 * i, 0.1, "ok", True) for i, name in enumerate("abc")]
    assert resolved_galaxies(rows) == {"a"}
    found = {(row["sample"], row["quantity"]): row for row in summarise(rows)}
    assert found["all", "log_oh"]["n"] == 3
    assert found["resolved", "log_oh"]["n"] == 1
    assert found["resolved", "log_oh"]["median_pull"] == pytest.approx(0.0)
    assert found["all", "slope_elliptical"]["n"] == 2
    assert found["resolved", "slope_elliptical"]["median_bias"] == pytest.approx(0.01)
    assert found["all", "slope_circular"]["n"] == 0


def test_flattening_is_the_slope_of_measured_on_true_gradients():
    truth = np.array([-0.06, -0.03, 0.0, 0.02, 0.05])
    rows = [slopes(f"g{i}", "resolved", t, 0.6 * t + 0.004, 0.01 + 0.002 * i) for i, t in enumerate(truth)]
    found = {(row["sample"], row["quantity"]): row for row in summarise(rows)}["all", "slope_elliptical"]
    assert found["flattening"] == pytest.approx(0.6)
    assert "slope 0.60" in found["note"]
    few = {(row["sample"], row["quantity"]): row for row in summarise(rows[:2])}["all", "slope_elliptical"]
    assert np.isnan(few["flattening"])


def write_galaxy(folder, galaxy, flux_pull=2.0, detected=True, resolved="resolved", regions=("all",), flags=0):
    """Truth and products of a galaxy with one band; the truth has 40 km/s/arcsec and sigma 40 km/s per spaxel."""
    folder = folder / galaxy
    folder.mkdir()
    ny, nx = 26, 34
    _, columns = np.mgrid[:ny, :nx]
    header = fits.Header({"CD1_1": -SPAXEL / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SPAXEL / 3600,
                          "GALAXY": galaxy, "BAND": "H", "INSTRUME": "KMOS", "MAINLINE": "Halpha"})  # fmt: skip
    maps = MapSet(header=header)
    maps["Halpha"] = Map(np.full((ny, nx), 1e-18), unit=FLUX)
    maps["NII6584"] = Map(np.full((ny, nx), 1e-19), unit=FLUX)
    maps["VELOCITY"] = Map(25.0 + 40 * SPAXEL * (columns - 18.0), unit=SPEED)
    maps["DISPERSION"] = Map(np.full((ny, nx), 40.0), unit=SPEED)
    maps.write(folder / "truth.fits")
    total = np.pi * 36 * 1e-18
    lines = Table({
        "line": ["Halpha", "NII6584"], "flux": [total * (1 + 0.1 * flux_pull), np.nan],
        "flux_error": [0.1 * total, np.nan], "detected": [detected, False], "velocity": [30.0, 30.0],
        "velocity_error": [5.0, 5.0], "dispersion": [70.0, 70.0], "dispersion_error": [3.0, 3.0], "flags": [flags, 0],
    }, meta={"galaxy": galaxy, "band": "H", "x": 18.0, "y": 12.0, "radius": 0.6})  # fmt: skip
    rows = [(galaxy, region, 8.4, -0.02 * (i + 1), 2.0, 1.5) for i, region in enumerate(regions)]
    if regions != ("all",):
        rows.insert(0, (galaxy, "all", 8.4, np.nan, 2.0, 1.5))
    truth = Table(rows=rows, names="galaxy region log_oh slope_projected mu_halpha mu_whole".split())
    gradient = Table(rows=[(galaxy, region, aperture, -0.01, 0.005, resolved, "ok") for region in regions
                           for aperture in ("elliptical", "circular")],
                     names="galaxy region aperture slope slope_error resolved state".split())  # fmt: skip
    products = {
        "truths": truth, "lines": lines, "gradients": gradient,
        "magnifications": Table({"galaxy": [galaxy], "mu_halpha": [2.5], "mu_halpha_error": [0.25],
                                 "mu_intrinsic": [2.2], "mu_intrinsic_error": [0.2], "mu_whole": [1.2],
                                 "mu_whole_error": [0.3], "state": ["ok"]}),
        "properties": Table({"galaxy": [galaxy], "log_oh": [8.3], "log_oh_error_minus": [0.2],
                             "log_oh_error_plus": [0.05], "state": ["ok"]}),
    }  # fmt: skip
    paths = {"cube_truths": folder / "truth.fits"}
    for name, table in products.items():
        paths[name] = folder / f"{name}.ecsv"
        table.write(paths[name], format="ascii.ecsv")
    return paths


def measure(tmp_path, *galaxies, out="out"):
    inputs = {name: [paths[name] for paths in galaxies] for name in galaxies[0]}
    recovery, summary = tmp_path / out / "recovery.ecsv", tmp_path / out / "summary.ecsv"
    measure_recovery(**inputs, recovery=recovery, summary=summary, settings=SETTINGS,
                     instruments=INSTRUMENTS)  # fmt: skip
    return recovery, summary


def rows_by_quantity(path):
    table = Table.read(path, format="ascii.ecsv")
    return table, {(row["galaxy"], row["quantity"], str(row["line"]), str(row["region"])): row for row in table}


def test_pulls_of_a_galaxy_with_known_offsets(tmp_path):
    paths, _ = measure(tmp_path, write_galaxy(tmp_path, "a"))
    _, rows = rows_by_quantity(paths)
    assert rows["a", "flux", "Halpha", "all"]["pull"] == pytest.approx(2.0, abs=0.05)
    assert rows["a", "velocity", "Halpha", "all"]["truth"] == pytest.approx(25.0, abs=0.1)
    assert rows["a", "velocity", "Halpha", "all"]["pull"] == pytest.approx(1.0, abs=0.03)
    # A uniform disc of radius r with the velocity gradient g adds (g r / 2)^2 to the variance; while that is small the
    # sum stays close to a Gaussian.
    sigma = np.hypot(40.0, 40 * 0.6 / 2)
    assert rows["a", "dispersion", "Halpha", "all"]["truth"] == pytest.approx(sigma, rel=5e-3)
    assert rows["a", "mu_halpha", "--", "all"]["pull"] == pytest.approx(2.0)
    assert rows["a", "mu_intrinsic", "--", "all"]["pull"] == pytest.approx(1.0)
    assert rows["a", "mu_whole", "--", "all"]["pull"] == pytest.approx(-1.0)
    assert rows["a", "log_oh", "--", "all"]["pull"] == pytest.approx(-2.0)
    assert rows["a", "slope_elliptical", "--", "all"]["pull"] == pytest.approx(2.0)
    assert rows["a", "slope_circular", "--", "all"]["state"] == "resolved"


def test_undetected_line_is_masked_and_not_used(tmp_path):
    paths, _ = measure(tmp_path, write_galaxy(tmp_path, "a", detected=False))
    _, rows = rows_by_quantity(paths)
    row = rows["a", "flux", "NII6584", "all"]
    assert np.ma.is_masked(row["measured"]) and np.ma.is_masked(row["pull"])
    assert row["truth"] == pytest.approx(np.pi * 36 * 1e-19, rel=3e-3)
    assert "nan" not in paths.read_text().lower()
    for quantity in ("flux", "velocity", "dispersion"):
        row = rows["a", quantity, "Halpha", "all"]
        assert (row["state"], bool(row["used"])) == ("not_detected", False)


def test_dispersion_at_a_bound_is_a_limit_and_not_used(tmp_path):
    paths, _ = measure(tmp_path, write_galaxy(tmp_path, "a", flags=int(Flag.DISPERSION_BOUND)))
    _, rows = rows_by_quantity(paths)
    assert rows["a", "dispersion", "Halpha", "all"]["state"] == "at_bound"
    assert not rows["a", "dispersion", "Halpha", "all"]["used"]
    assert rows["a", "velocity", "Halpha", "all"]["used"]


def test_each_region_has_its_own_true_gradient(tmp_path):
    paths, _ = measure(tmp_path, write_galaxy(tmp_path, "pair", regions=("north", "south")))
    _, rows = rows_by_quantity(paths)
    assert rows["pair", "slope_elliptical", "--", "north"]["truth"] == pytest.approx(-0.02)
    assert rows["pair", "slope_elliptical", "--", "south"]["truth"] == pytest.approx(-0.04)
    assert rows["pair", "slope_elliptical", "--", "south"]["pull"] == pytest.approx(6.0)


def test_files_are_matched_by_galaxy_not_by_position(tmp_path):
    one, two = write_galaxy(tmp_path, "a", flux_pull=1.0), write_galaxy(tmp_path, "b", flux_pull=-3.0)
    with fits.open(two["cube_truths"], mode="update") as hdus:
        hdus["HALPHA"].data *= 2
    inputs = {name: [one[name], two[name]] for name in one}
    inputs["cube_truths"] = inputs["cube_truths"][::-1]
    inputs["truths"] = inputs["truths"][::-1]
    recovery = tmp_path / "recovery.ecsv"
    measure_recovery(**inputs, recovery=recovery, summary=tmp_path / "summary.ecsv", settings=SETTINGS,
                     instruments=INSTRUMENTS)  # fmt: skip
    _, rows = rows_by_quantity(recovery)
    assert rows["a", "flux", "Halpha", "all"]["pull"] == pytest.approx(1.0, abs=0.05)
    assert rows["b", "flux", "Halpha", "all"]["pull"] == pytest.approx(-13.0, abs=0.1)


def test_band_without_a_truth_is_named(tmp_path):
    one, two = write_galaxy(tmp_path, "a"), write_galaxy(tmp_path, "b")
    with pytest.raises(InputError, match=r"galaxy b, band H"):
        measure(tmp_path, one, two | {"cube_truths": one["cube_truths"]})
    assert not (tmp_path / "out").exists()


def test_same_inputs_give_the_same_bytes_and_the_log_has_the_summary(tmp_path, capsys):
    galaxies = [write_galaxy(tmp_path, "a"), write_galaxy(tmp_path, "b", -1.0, resolved="marginal")]
    products = [measure(tmp_path, *galaxies, out=out) for out in ("one", "two")]
    assert capsys.readouterr().out.startswith("Recovery of the simulated truth")
    for i, (recovery, summary) in enumerate(products):
        draw_recovery(
            recovery, summary, *(tmp_path / f"{i}{end}" for end in (".pdf", ".png", "_bias.pdf", "_bias.png")), SETTINGS
        )
    for one, two in zip(*products, strict=True):
        assert one.read_bytes() == two.read_bytes()
    for kind in ("pdf", "png"):
        assert (tmp_path / f"0.{kind}").read_bytes() == (tmp_path / f"1.{kind}").read_bytes()


def test_figure_without_any_measurement_says_so():
    figure = draw_recovery_figure([], [])
    panels = figure.axes[::2]
    assert [axes.texts[0].get_text() for axes in panels] == ["no measurement"]
    assert "SIMULATED DATA" in [text.get_text() for text in figure.texts]


def test_text_names_the_bias_of_the_gradients():
    rows = [slopes(f"g{i}", "resolved", t, 0.5 * t) for i, t in enumerate((-0.04, 0.01, 0.03))]
    text = format_summary(summarise(rows))
    assert "flattened by the PSF and the S/N cut" in text
    assert "0.50" in text
    assert "nan" not in text


def test_rates_of_galaxies_that_leave_the_field_are_told_apart(tmp_path):
    galaxies = [write_galaxy(tmp_path, name) for name in "ab"]
    for paths, leaves in zip(galaxies, (False, True), strict=True):
        truth = Table.read(paths["truths"], format="ascii.ecsv")
        truth["sfr"], truth["ebv"] = 10.0, 0.2
        truth.write(paths["truths"], format="ascii.ecsv", overwrite=True)
        galaxy = str(truth["galaxy"][0])
        paths["star_formation"] = paths["truths"].parent / "star_formation.ecsv"
        names = "galaxy sfr sfr_error sfr_total sfr_total_error ebv ebv_error dust_correction leaves_field state"
        row = (galaxy, 9.0, 0.5, 14.0 if leaves else 10.5, 0.5, 0.2, 0.05, "balmer", leaves, "ok")
        Table(rows=[row], names=names.split()).write(paths["star_formation"], format="ascii.ecsv")
    recovery, summary = measure(tmp_path, *galaxies)
    _, rows = rows_by_quantity(recovery)
    assert (rows["a", "sfr_total", "--", "all"]["state"], rows["b", "sfr_total", "--", "all"]["state"]) == (
        "ok", "leaves_field")  # fmt: skip
    assert rows["a", "sfr", "--", "all"]["pull"] == pytest.approx(-2.0)
    found = {(row["sample"], row["quantity"]): row for row in Table.read(summary, format="ascii.ecsv")}
    assert (found["all", "sfr_total"]["n"], found["in_field", "sfr_total"]["n"]) == (2, 1)
    assert found["in_field", "sfr_total"]["median_pull"] == pytest.approx(1.0)
    assert found["in_field", "mu_halpha"]["n"] == 1

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from global_metallicity import COLUMNS, measure_global_metallicity
from klever.abundance.calibrations import load_calibrations
from klever.gas.dust import extinction
from klever.gas.galaxy_lines import detections, limits, read_galaxy_lines
from klever.gas.line_ratios import combined_ratio
from klever.maps import Flag

CALIBRATIONS = Path(__file__).parents[2] / "resources" / "calibrations.json"
C20 = load_calibrations(CALIBRATIONS)
METALLICITY = {
    "calibration": "C20", "dispersion": "rms_ratio", "diagnostics": "auto", "log_oh_range": [7.6, 8.9],
    "grid_step": 0.005, "global_snr": 3.0, "limits": "global", "walkers": 32, "steps": 200, "burn_in": 50, "seed": 42,
}  # fmt: skip


def galaxy(log_oh, ebv=0.2, scale=1e-17, noise=0.02):
    """Line -> (flux, error) with the ratios of C20 at an abundance, reddened."""
    ratio = {name: float(10 ** C20[name].evaluate(log_oh)) for name in ("R3", "N2", "S2", "O3O2")}
    flux = {"Hbeta": 1.0, "Halpha": 2.87, "OIII5007": ratio["R3"], "NII6584": 2.87 * ratio["N2"],
            "SII": 2.87 * ratio["S2"], "OII": ratio["R3"] / ratio["O3O2"]}  # fmt: skip
    return {line: (scale * value * 10 ** (-0.4 * ebv * (extinction(line) - extinction("Hbeta"))), scale * noise)
            for line, value in flux.items()}  # fmt: skip


@pytest.fixture
def measure(tmp_path):
    def run(lines, flags=None, include=True, **changes):
        rows = [(line, flux, error, (flags or {}).get(line, 0)) for line, (flux, error) in lines.items()]
        names = ["line", "flux", "flux_error", "flags"]
        table = Table(rows=rows, names=names) if rows else Table(names=names, dtype=[str, float, float, int])
        table.write(tmp_path / "l.ecsv", format="ascii.ecsv", overwrite=True)
        settings = {"galaxy": "sp1", "z": 2.2, "include": include, "metallicity": METALLICITY | changes,
                    "dust": {"balmer_ratio": 2.87, "rv": 3.1}}  # fmt: skip
        measure_global_metallicity([tmp_path / "l.ecsv"], CALIBRATIONS, tmp_path / "p.ecsv", settings)
        return Table.read(tmp_path / "p.ecsv", format="ascii.ecsv")[0]

    return run


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_everything_detected(measure, scale):
    row = measure(galaxy(8.4, scale=scale))
    assert row["diagnostics"] == "R3,N2,O3O2"
    assert row["ebv"] == pytest.approx(0.2, abs=1e-6)
    assert row["ebv_state"] == "ok"
    assert row["O3O2"] == pytest.approx(C20["O3O2"].evaluate(8.4), abs=1e-6)
    assert row["R2"] == pytest.approx(C20["R3"].evaluate(8.4) - C20["O3O2"].evaluate(8.4), abs=1e-6)
    assert row["O3N2"] == pytest.approx(row["R3"] - row["N2"])
    assert row["log_oh"] == pytest.approx(8.4, abs=0.03)
    assert row["limits_used"] is np.ma.masked or row["limits_used"] == ""


def test_an_undetected_line_is_an_upper_limit_and_joins_the_set(measure):
    lines = galaxy(8.0, noise=0.03) | {"NII6584": (1e-19, 4e-19)}
    del lines["OII"], lines["SII"]
    row = measure(lines)
    assert (row["diagnostics"], row["limits_used"]) == ("R3,N2", "N2")
    assert np.ma.is_masked(row["N2"])
    assert row["N2_limit_kind"] == "upper"
    assert row["N2_limit"] == pytest.approx(np.log10(3 * 4e-19 / lines["Halpha"][0]))
    assert row["O3N2_limit_kind"] == "lower"
    without = measure(lines, limits="none")
    assert (without["diagnostics"], bool(without["single_diagnostic"])) == ("R3", True)
    assert without["flags"] & Flag.BIMODAL
    assert row["log_oh_error_minus"] + row["log_oh_error_plus"] < (
        without["log_oh_error_minus"] + without["log_oh_error_plus"]
    )


def test_an_undetected_denominator_is_a_lower_limit(measure):
    row = measure(galaxy(8.3) | {"Hbeta": (1e-19, 1e-18)})
    assert (row["R3_limit_kind"], row["ebv_state"]) == ("lower", "no_hbeta")
    assert np.ma.is_masked(row["O3O2"]) and np.ma.is_masked(row["O3O2_limit"])  # no reddening to correct it with
    assert row["diagnostics"] == "R3,N2"


@pytest.mark.parametrize("flag", [Flag.ON_SKY_LINE, Flag.RESIDUAL])
def test_s2_takes_the_place_of_a_contaminated_n2(measure, flag):
    lines = galaxy(8.4)
    del lines["OII"]
    assert measure(lines)["diagnostics"] == "R3,N2"
    row = measure(lines, {"NII6584": int(flag)})
    assert (row["diagnostics"], row["contaminated"]) == ("R3,S2", "NII6584")
    # nothing is won if S2 is no better, and a list in the configuration is not overruled
    assert measure(lines, {"NII6584": int(flag), "SII": int(flag)})["diagnostics"] == "R3,N2"
    assert measure(lines, {"NII6584": int(flag)}, diagnostics=["R3", "N2"])["diagnostics"] == "R3,N2"


def test_halpha_over_hbeta_below_the_intrinsic_ratio_is_said(measure):
    row = measure(galaxy(8.4, ebv=-0.1))
    assert row["ebv_state"] == "negative"
    assert row["ebv_negative"]
    assert row["ebv"] == pytest.approx(-0.1, abs=1e-6)


@pytest.mark.parametrize("lines", [
    {}, {"Halpha": (0.0, 1e-18)}, {"Halpha": (-1e-16, 1e-18)}, {"Halpha": (np.nan, np.nan)},
    {"Halpha": (1e-16, 0.0)}, {"Halpha": (1e-16, np.inf)}, {"Halpha": (1e-18, 1e-18), "NII6584": (1e-18, 1e-18)},
])  # fmt: skip
def test_nothing_usable_is_a_state(measure, lines):
    row = measure(lines)
    assert row["state"] == "not_detected"
    assert row["ebv_state"] == "no_halpha"
    values = [row[column.name] for column in COLUMNS if column.kind is float and column.name not in {"z"}]
    assert all(np.ma.is_masked(value) for value in values)


def test_unusable_flags_hide_a_line_and_limits_alone_are_nothing(measure):
    lines = galaxy(8.4)
    assert measure(lines, dict.fromkeys(lines, int(Flag.NOT_FITTED)))["state"] == "not_detected"
    row = measure({"Halpha": lines["Halpha"], "NII6584": (1e-19, 4e-19)})
    assert (row["state"], row["N2_limit_kind"]) == ("not_detected", "upper")


def test_excluded_is_measured_without_an_abundance(measure):
    row = measure(galaxy(8.4), include=False)
    assert row["state"] == "excluded"
    assert np.isfinite(row["R3"])
    assert np.ma.is_masked(row["log_oh"])


def test_other_calibrations_are_named_with_their_result(measure):
    lines = galaxy(8.35)
    c20 = measure(lines)
    m08 = measure(lines, calibration="M08", dispersion=0.1, log_oh_range=[7.1, 9.2])
    b18 = measure(lines, calibration="B18", dispersion=0.1, log_oh_range=[7.8, 8.4])
    s24 = measure(lines, calibration="S24", dispersion=0.1, log_oh_range=[7.0, 8.4])
    assert [row["calibration"] for row in (c20, m08, b18, s24)] == ["C20", "M08", "B18", "S24"]
    assert (b18["diagnostics"], s24["diagnostics"]) == ("R3,N2", "R3,O3O2")
    assert abs(m08["log_oh"] - c20["log_oh"]) > 0.01


def test_the_sulphur_lines_are_summed_and_the_better_band_counts(tmp_path):
    for name, rows in {
        "a": [("SIII9069", 1.0, 0.1, 0), ("SIII9531", 2.47, 0.247, 2048), ("Halpha", 5.0, 1.0, 0)],
        "b": [("Halpha", 4.0, 0.1, 0)],
    }.items():
        Table(rows=rows, names=["line", "flux", "flux_error", "flags"]).write(tmp_path / name, format="ascii.ecsv")
    found = read_galaxy_lines([tmp_path / "a", tmp_path / "b"])
    assert found["SIII"].flux == pytest.approx(3.47)
    assert found["SIII"].snr == pytest.approx(10)
    assert found["SIII"].contaminated
    assert found["Halpha"].flux == 4.0
    assert set(detections(found, 20)) == {"Halpha"}
    assert limits(found, 20)["SIII"] == (pytest.approx(20 * 0.347), pytest.approx(0.347))


def test_limits_that_point_apart_say_nothing_together():
    assert np.isnan(combined_ratio((0.5, 0.1, -1), (-1.0, 0.1, -1))[0])
    assert combined_ratio((0.5, 0.1, 0), (-1.0, 0.1, -1)) == (1.5, pytest.approx(np.hypot(0.1, 0.1)), 1)
    assert combined_ratio((0.5, 0.1, 1), (-1.0, 0.1, -1))[2] == 1

"""Source-plane models: totals, metallicity, line ratios, kinematics."""

import json
from pathlib import Path

import numpy as np
import pytest

from klever.errors import InputError
from klever_simulation.emission import EXTINCTION, RATIOS, draw_offsets, line_fluxes, log_ratio
from klever_simulation.galaxies import LOG_OH_RANGE, angular_scales, component_from_row, read_rows

ROOT = Path(__file__).parents[2]
GALAXIES = ROOT / "resources/simulation/galaxies.tsv"
CALIBRATIONS = json.loads((ROOT / "resources/calibrations.json").read_text(encoding="utf-8"))
NO_OFFSETS = dict.fromkeys(RATIOS, 0.0)


def make_row(**changes):
    row = {
        "galaxy": "g", "component": "all", "source_name": "g", "east": 0.0, "north": 0.0, "log_mstar": 10.0,
        "sfr": 20.0, "log_oh": 8.4, "slope_dex_per_kpc": 0.03, "effective_radius_kpc": 3.0, "axis_ratio": 0.6,
        "position_angle": 30.0, "v_rot": 150.0, "sigma0": 45.0, "v_sys": 10.0, "ebv": 0.2, "siii_ratio": 0.1,
        "agn": False,
    }  # fmt: skip
    return {**row, **changes}


def make(seed=1, z=1.5, x=0.0, y=0.0, **changes):
    return component_from_row(make_row(**changes), z, x, y, CALIBRATIONS, seed)


def integrate(component, function, half=12.0, n=1201):
    x, y = component.grid(half * component.effective_radius, n)
    area = (x[0, 1] - x[0, 0]) * (y[1, 0] - y[0, 0])
    return np.sum(function(x, y)) * area


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_brightness_integrates_to_the_total(seed):
    component = make(seed, x=3.0, y=-2.0)
    assert integrate(component, component.halpha) == pytest.approx(component.halpha_flux, rel=2e-3)
    assert integrate(component, component.continuum) == pytest.approx(component.continuum_flux, rel=4e-3)


def test_halpha_flux_gives_back_the_star_formation_rate():
    component = make(z=2.0, sfr=33.0, ebv=0.37)
    luminosity = (
        component.halpha_flux * 10 ** (0.4 * EXTINCTION["Halpha"] * 0.37) * 4 * np.pi * angular_scales(2.0)[1] ** 2
    )
    # Kennicutt & Evans (2012), log SFR = log L - 41.27, to a Chabrier IMF (/1.06)
    assert 10 ** (np.log10(luminosity) - 41.27) / 1.06 == pytest.approx(33.0, rel=2e-3)


def test_continuum_magnitude_at_the_reference():
    flux = make(z=1.5, log_mstar=10.0).continuum_flux
    f_nu = flux * 1e4 * (1.5392e-4) ** 2 / 2.99792458e10  # erg s-1 cm-2 cm-1 times wavelength^2 / c
    assert -2.5 * np.log10(f_nu) - 48.6 == pytest.approx(23.5, abs=0.01)


@pytest.mark.parametrize("slope", [-0.1, -0.02, 0.0, 0.05, 0.1])
@pytest.mark.parametrize("mean", [8.14, 8.45, 8.79])
def test_metallicity_is_linear_and_has_the_published_weighted_mean(slope, mean):
    component = make(slope_dex_per_kpc=slope, log_oh=mean)
    x, y = component.grid()
    log_oh = component.log_oh(x, y)
    assert np.average(log_oh, weights=component.halpha(x, y)) == pytest.approx(mean, abs=2e-4)
    inside = (log_oh > LOG_OH_RANGE[0]) & (log_oh < LOG_OH_RANGE[1])
    fit = np.polyfit(component.radius_kpc(x, y)[inside], log_oh[inside], 1)
    assert fit == pytest.approx([slope, component.log_oh_central], abs=1e-6)


def test_metallicity_does_not_know_the_inclination():
    component = make(axis_ratio=0.4)
    angle = np.linspace(0, 2 * np.pi, 17)
    assert np.ptp(component.log_oh(0.4 * np.cos(angle), 0.4 * np.sin(angle))) < 1e-12


def test_rotation_is_antisymmetric_and_along_the_position_angle():
    component = make(position_angle=90.0, v_sys=20.0)  # major axis east-west
    r = np.array([0.1, 0.3, 1.0])
    receding, approaching = component.velocity(-r, 0 * r), component.velocity(r, 0 * r)
    assert receding + approaching == pytest.approx(40.0)
    assert np.all(receding > 20) and np.all(np.diff(receding) > 0)
    assert component.velocity(0 * r, r) == pytest.approx(20.0)
    assert receding.max() < 20 + 150.0
    assert make(axis_ratio=1.0).velocity(r, r) == pytest.approx(10.0)


def test_line_ratios_follow_the_calibration_and_the_dust():
    log_oh = np.array([8.0, 8.3, 8.6])
    offsets = {"R3": 0.1, "N2": -0.2, "S2": 0.05, "O3O2": 0.15}
    dusty = line_fluxes(np.ones(3), log_oh, 0.3, 0.1, offsets, CALIBRATIONS)
    clean = {name: flux * 10 ** (0.4 * EXTINCTION[name] * 0.3) for name, flux in dusty.items()}
    expected = {name: log_ratio(CALIBRATIONS, name, log_oh) + offset for name, offset in offsets.items()}
    assert dusty["Halpha"] == pytest.approx(1.0)
    assert clean["Halpha"] / clean["Hbeta"] == pytest.approx(2.87)
    assert dusty["Halpha"] / dusty["Hbeta"] == pytest.approx(2.87 * 10 ** (0.3 / 2.328), rel=1e-3)  # facts: E(B-V)
    assert np.log10(clean["OIII5007"] / clean["Hbeta"]) == pytest.approx(expected["R3"])
    assert np.log10(clean["NII6584"] / clean["Halpha"]) == pytest.approx(expected["N2"])
    assert np.log10((clean["SII6717"] + clean["SII6731"]) / clean["Halpha"]) == pytest.approx(expected["S2"])
    oii = clean["OII3726"] + clean["OII3729"]
    assert np.log10(clean["OIII5007"] / oii) == pytest.approx(expected["O3O2"])
    for strong, weak, ratio in [("OIII5007", "OIII4959", 3), ("NII6584", "NII6548", 3), ("SII6717", "SII6731", 1.2),
                                ("OII3729", "OII3726", 1.2)]:  # fmt: skip
        assert clean[strong] / clean[weak] == pytest.approx(ratio)
    assert dusty["SIII9531"] / dusty["SIII9069"] == pytest.approx(2.47)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_line_fluxes_scale(scale):
    one = line_fluxes(np.ones(1), np.array([8.3]), 0.1, 0.1, NO_OFFSETS, CALIBRATIONS)
    many = line_fluxes(np.full(1, scale), np.array([8.3]), 0.1, 0.1, NO_OFFSETS, CALIBRATIONS)
    assert all(many[name] / scale == pytest.approx(one[name]) for name in one)


def test_calibration_by_hand():
    # R3 at 12 + log(O/H) = 8.69 is the constant of the polynomial (Curti et al. 2020)
    assert log_ratio(CALIBRATIONS, "R3", 8.69) == pytest.approx(-0.277)
    assert log_ratio(CALIBRATIONS, "O3O2", 8.19) == pytest.approx(-0.691 + 2.944 * 0.5 - 1.308 * 0.25)


def test_offsets_have_the_scatter_of_the_calibrations():
    rng = np.random.default_rng(0)
    drawn = np.array([[draw_offsets(CALIBRATIONS, rng)[name] for name in RATIOS] for _ in range(2000)])
    rms = [CALIBRATIONS["calibrations"]["C20"][key]["rms_ratio"] for key in RATIOS.values()]
    assert drawn.std(0) == pytest.approx(rms, rel=0.06)
    assert np.all(np.abs(drawn.mean(0)) < 4 * np.array(rms) / np.sqrt(2000))
    assert np.all(np.abs(np.corrcoef(drawn.T)[np.triu_indices(4, 1)]) < 0.1)


def test_same_source_name_is_the_same_source():
    one, two = make(galaxy="west", source_name="horseshoe"), make(galaxy="full", source_name="horseshoe")
    assert one.offsets == two.offsets and np.array_equal(one.clumps, two.clumps)
    assert make(source_name="other").offsets != one.offsets
    assert make(seed=2).offsets != make(seed=1).offsets


def test_components_are_shifted_east_and_north():
    component = make(x=5.0, y=1.0, east=0.1, north=0.2)
    assert (component.x, component.y) == pytest.approx((4.9, 1.2))


def test_every_galaxy_of_the_survey_has_a_row_and_plausible_numbers():
    names = [line.split("\t")[0] for line in (ROOT / "config/galaxies.tsv").read_text().splitlines()[1:]]
    for name in names:
        for row in read_rows(GALAXIES, name):
            assert 0 < row["axis_ratio"] <= 1 and row["sfr"] > 0 and abs(row["slope_dex_per_kpc"]) <= 0.1
            assert 0 <= row["ebv"] <= 1 and min(row["depth_YJ"], row["depth_H"], row["depth_K"]) > 0
    assert [row["component"] for row in read_rows(GALAXIES, "macs0451")] == ["north", "south"]
    assert read_rows(GALAXIES, "sp9")[0]["agn"] and not read_rows(GALAXIES, "sp1")[0]["agn"]


def test_the_two_pointings_of_the_horseshoe_see_one_source():
    west, full = (read_rows(GALAXIES, f"horseshoe_{part}")[0] for part in ("west", "full"))
    other = {"galaxy", "field_east", "field_north", "depth_YJ", "depth_J", "depth_H", "depth_K"}
    assert {k: v for k, v in west.items() if k not in other} == {k: v for k, v in full.items() if k not in other}


def test_pair_is_two_kpc_apart():
    north, south = read_rows(GALAXIES, "macs0451")
    distance = np.hypot(north["east"] - south["east"], north["north"] - south["north"]) * angular_scales(2.014)[0]
    assert distance == pytest.approx(2.0, abs=0.2)


def test_unknown_galaxy_and_bad_numbers_are_told(tmp_path):
    with pytest.raises(InputError, match="no row for galaxy 'nobody'"):
        read_rows(GALAXIES, "nobody")
    text = GALAXIES.read_text(encoding="utf-8")
    header = next(line for line in text.splitlines() if line.startswith("galaxy\t")).split("\t")
    cells = next(line for line in text.splitlines() if line.startswith("sp1\t")).split("\t")
    cells[header.index("sfr")] = "many"
    broken = tmp_path / "galaxies.tsv"
    broken.write_text("\t".join(header) + "\n" + "\t".join(cells) + "\n")
    with pytest.raises(InputError, match="sfr of 'sp1' is 'many'"):
        read_rows(broken, "sp1")

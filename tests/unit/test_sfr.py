from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from klever.errors import InputError
from klever.gas.dust import extinction
from klever.gas.field_loss import light_outside
from klever.gas.galaxy_sfr import choose_magnification, sfr_maps, sfr_rows
from klever.gas.sfr import (
    load_sfr_calibration,
    luminosity_distance_cm,
    star_formation_rate,
    summed_flux,
    surface_density,
)
from klever.maps import Flag, Map, MapSet

RESOURCE = Path(__file__).parents[2] / "resources" / "star_formation.json"
CALIBRATION = load_sfr_calibration(RESOURCE)
COSMOLOGY = {"H0": 67.8, "Om0": 0.308, "Ode0": 0.69}
MU = {"mu_halpha": 2.0, "mu_halpha_error": 0.1, "mu_maps": 2.2, "mu_maps_error_minus": 0.2, "mu_maps_error_plus": 0.4}
SETTINGS = {"galaxy": "sp1", "z": 1.393, "cosmology": COSMOLOGY, "dust": {"balmer_ratio": 2.87, "rv": 3.1},
            "star_formation": {"plane": "image", "halpha_snr": 5.0, "grow": 0.6, "reddening_of": ""}}  # fmt: skip


def test_hand_worked_example():
    # D_L = 1e28 cm: 4 pi D_L^2 = 1.2566e57; F = 1e-16: L = 1.2566e41; x 10^(0.4 x 2.5342 x 0.3) = 2.0142: 2.5311e41;
    # x 5.37e-42 / 1.06 = 1.2823; / 2 = 0.6411
    found = star_formation_rate(1e-16, 1e-17, 1e28, CALIBRATION, (0.3, 0.05), (2.0, 0.1))
    assert found.sfr == pytest.approx(0.6411, abs=2e-4)
    assert found.error_flux == pytest.approx(0.06411, abs=2e-5)
    assert found.error_ebv == pytest.approx(0.6411 * 0.4 * 2.5342 * np.log(10) * 0.05, rel=1e-3)
    assert found.error_magnification == pytest.approx(0.6411 * 0.05, rel=1e-3)
    assert found.error == pytest.approx(
        np.sqrt(found.error_flux**2 + found.error_ebv**2 + found.error_magnification**2)
    )


def test_luminosity_distance_is_that_of_astropy():
    from astropy.cosmology import LambdaCDM

    expected = LambdaCDM(H0=67.8, Om0=0.308, Ode0=0.69).luminosity_distance(1.393).to("cm").value
    assert luminosity_distance_cm(1.393, COSMOLOGY) == pytest.approx(expected, rel=1e-5)


def test_without_reddening_nothing_is_corrected_and_a_negative_one_counts_as_none():
    plain = star_formation_rate(1e-16, 0.0, 1e28, CALIBRATION)
    assert plain.sfr == pytest.approx(4 * np.pi * 1e56 * 1e-16 * 5.37e-42 / 1.06)
    assert star_formation_rate(1e-16, 0.0, 1e28, CALIBRATION, (-0.2, 0.1)).sfr == plain.sfr


@pytest.mark.parametrize(("flux", "mu"), [(0.0, 1.0), (-1e-17, 1.0), (np.nan, 1.0), (1e-16, 0.0), (1e-16, np.nan)])
def test_what_has_no_rate_is_nan(flux, mu):
    found = star_formation_rate(flux, 1e-18, 1e28, CALIBRATION, (0.1, 0.1), (mu, 0.1))
    assert np.isnan(found.sfr)
    assert np.isnan(found.error)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_correlated_spaxels_have_the_error_of_their_sum(scale):
    generator = np.random.default_rng(1)
    kernel = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
    white = generator.normal(size=(4000, 12, 14))
    noise = sum(kernel[j, i] * white[:, j : j + 10, i : i + 12] for j in range(3) for i in range(3))
    sigma = np.sqrt((kernel**2).sum())
    correlation = np.array([[np.sum(kernel[max(j, 0):3 + min(j, 0), max(i, 0):3 + min(i, 0)]
                                    * kernel[max(-j, 0):3 + min(-j, 0), max(-i, 0):3 + min(-i, 0)])
                             for i in range(-2, 3)] for j in range(-2, 3)]) / sigma**2  # fmt: skip
    flux = np.full((10, 12), 100.0 * scale)
    total, error, count = summed_flux(flux, np.full(flux.shape, sigma * scale), 5.0, correlation)
    assert (total, count) == (pytest.approx(12000 * scale), 120)
    assert error == pytest.approx(scale * np.std(noise.sum(axis=(1, 2))), rel=0.04)  # 4000 draws: 1.1 per cent
    assert summed_flux(flux, np.full(flux.shape, sigma * scale), 5.0)[1] < 0.5 * error


def test_growing_completes_a_gaussian_galaxy():
    y, x = np.indices((41, 41)) - 20
    flux = np.exp(-0.5 * (x**2 + y**2) / 3.0**2)
    error = np.full(flux.shape, 0.02)
    threshold, complete = summed_flux(flux, error, 5.0), summed_flux(flux, error, 5.0, grow=6)
    truth = 2 * np.pi * 9
    # exp(-r^2 / 18) = 0.1 at the rim: a tenth of the flux is missed; the rim follows whole pixels
    assert threshold[0] == pytest.approx(0.9 * truth, rel=0.02)
    assert complete[0] == pytest.approx(truth, rel=0.005)
    assert complete[1] > threshold[1]


@pytest.mark.parametrize("flux", [np.zeros((4, 5)), np.full((4, 5), -1.0), np.full((4, 5), np.nan)])
def test_nothing_above_the_threshold(flux):
    total, error, count = summed_flux(flux, np.ones((4, 5)), 5.0, np.ones((1, 1)), grow=3)
    assert np.isnan(total)
    assert np.isnan(error)
    assert count == 0


def test_surface_density_adds_up_to_the_rate():
    # a source-plane map of pixels of 0.065 arcsec: SFR = sum of Sigma_SFR times their area
    z, scale = 1.393, 0.065
    from klever.cosmology import kpc_per_arcsec

    brightness = np.abs(np.random.default_rng(2).normal(1e-16, 1e-17, (20, 30)))
    value, error = surface_density(brightness, 0.1 * brightness, z, CALIBRATION, 0.3, 0.0)
    area = (scale * kpc_per_arcsec(z, COSMOLOGY)) ** 2
    flux = brightness.sum() * scale**2
    rate = star_formation_rate(flux, 0.0, luminosity_distance_cm(z, COSMOLOGY), CALIBRATION, (0.3, 0.0))
    assert value.sum() * area == pytest.approx(rate.sfr, rel=1e-6)
    assert error == pytest.approx(0.1 * value)


def rows(halpha=(1e-16, 1e-18, 50), ebv=(0.3, 0.05, "balmer"), mu=MU, shares=(), agn=False, outside=np.nan, **changes):
    settings = SETTINGS | {"star_formation": SETTINGS["star_formation"] | changes}
    return sfr_rows(halpha, (1.1e-16, 2e-18), 0.8e-16, ebv, mu, dict(shares), CALIBRATION, settings, agn, outside)


def test_states():
    (row,) = rows()
    assert (row["state"], row["dust_correction"], row["mu_source"]) == ("ok", "balmer", "mu_halpha")
    assert row["fibre_fraction"] == pytest.approx(0.8)
    assert row["sfr_total"] == pytest.approx(1.1 * row["sfr"])
    assert row["sfr_magnified"] == pytest.approx(2 * row["sfr"])
    (bare,) = rows(ebv=(np.nan, np.nan, "balmer"))
    assert bare["dust_correction"] == "none"
    assert bare["sfr"] == pytest.approx(row["sfr"] * 10 ** (-0.4 * extinction("Halpha") * 0.3))
    assert bare["sfr_error_ebv"] == 0
    (negative,) = rows(ebv=(-0.1, 0.05, "balmer"))
    assert negative["ebv_negative"]
    assert negative["sfr"] == pytest.approx(bare["sfr"])
    assert rows(halpha=(np.nan, np.nan, 0))[0]["state"] == "not_detected"
    assert rows(agn=True)[0]["state"] == "agn"
    assert "sfr" not in rows(agn=True)[0]
    nothing = dict.fromkeys(MU, np.nan)
    assert rows(mu=nothing)[0]["state"] == "no_magnification"
    (source,) = rows(plane="source")
    assert (source["mu"], source["mu_source"]) == (1.0, "source_plane")


def disc(cut, scale=6.0, noise=0.02):
    """Exponential disc in 2 dimensions, of which a field sees what lies left of its `cut` (pixels from the centre)."""
    y, x = np.mgrid[-60:61, -60:61]
    light = np.exp(-np.hypot(x, y) / scale)
    seen = x < cut
    lost = light[~seen].sum() / light.sum()
    return np.where(seen, light, np.nan), np.where(seen, noise / 3, np.nan), lost


@pytest.mark.parametrize("cut", [6, 9, 12, 15])
def test_light_beyond_the_border_is_estimated_from_the_light_along_it(cut):
    flux, error, lost = disc(cut)
    found = light_outside(flux, error)
    assert 0.04 < lost < 0.3
    # a round disc falls less steeply across a border than along its radius
    assert 0.4 * lost < found < 1.1 * lost
    assert found > light_outside(*disc(cut + 3)[:2])


def test_a_galaxy_inside_the_field_loses_nothing_even_with_bad_spaxels():
    flux, error, _ = disc(60)
    flux[58:60, 62:65] = np.nan
    assert light_outside(flux, error) == 0
    assert np.isnan(light_outside(np.full((9, 9), -1.0), np.ones((9, 9))))


def test_the_light_outside_is_added_and_all_of_it_is_an_error():
    inside, leaving = rows(outside=0.01)[0], rows(outside=0.2)[0]
    assert (inside["leaves_field"], leaving["leaves_field"], rows()[0]["leaves_field"]) == (False, True, False)
    seen = rows()[0]
    assert leaving["sfr"] == seen["sfr"]
    assert leaving["sfr_total"] == pytest.approx(seen["sfr_total"] / 0.8)
    assert leaving["sfr_total_error_outside"] == pytest.approx(0.25 * seen["sfr_total"])
    assert leaving["sfr_total_error"] == pytest.approx(
        np.hypot(seen["sfr_total_error"] / 0.8, leaving["sfr_total_error_outside"])
    )
    assert seen["sfr_total_error_outside"] == 0


def test_magnification_of_the_maps_where_the_lines_give_none():
    mu, error, name = choose_magnification(MU | {"mu_halpha": np.nan, "mu_halpha_error": np.nan})
    assert (mu, error, name) == (2.2, pytest.approx(0.3), "mu_maps")


def test_regions_share_the_rate():
    whole, north, south = rows(shares={"north": 0.7, "south": 0.3})
    assert north["sfr"] + south["sfr"] == pytest.approx(whole["sfr"])
    assert (north["region"], south["state"]) == ("north", "ok")


def test_maps_say_which_reddening_they_use():
    value = np.full((3, 4), 1e-16)
    value[0, 0] = -1e-16
    source = MapSet(header=fits.Header())
    source["HALPHA"] = Map(value, np.full((3, 4), 1e-18), np.zeros((3, 4), np.uint16), "erg s-1 cm-2 arcsec-2")
    own = np.full((3, 4), np.nan)
    own[1, 1], own[1, 2] = 0.5, -0.1
    maps = sfr_maps(source, Map(own, 0.1 * np.abs(own)), (0.3, 0.05), 1.4, CALIBRATION, 5.0)
    assert maps["EBV_ORIGIN"].value[1, 1:].tolist() == [2, 2, 1]
    assert np.isnan(maps["SIGMA_SFR"].value[0, 0])
    assert maps["SIGMA_SFR"].flags[0, 0] & Flag.NOT_DETECTED
    assert maps["SIGMA_SFR"].flags[1, 2] & Flag.NEGATIVE_EBV
    assert maps["SIGMA_SFR"].value[1, 1] > maps["SIGMA_SFR"].value[1, 3] > maps["SIGMA_SFR"].value[1, 2]
    none = sfr_maps(source, Map(own, 0.1 * np.abs(own)), (np.nan, np.nan), 1.4, CALIBRATION, 5.0)
    assert none["EBV_ORIGIN"].value[2, 3] == 0
    assert sfr_maps(MapSet(), Map(own, own), (0.3, 0.05), 1.4, CALIBRATION, 5.0) == {}


@pytest.mark.parametrize("content", [None, "{", '{"halpha": {"per_luminosity": "much"}}'])
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "star_formation.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"star_formation\.json.*restore"):
        load_sfr_calibration(path)

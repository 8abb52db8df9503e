"""Age, scale and scaling relations against values computed elsewhere."""

import json

import numpy as np
import pytest
from population_mocks import COSMOLOGY, LITERATURE, printed_survey

from klever.cosmology import kpc_per_arcsec
from klever.errors import InputError
from klever.population import relations
from klever.population.cosmic_age import age_of_universe
from klever.population.survey_table import blank_row, derive


@pytest.fixture(scope="module")
def published():
    return relations.load_relations(LITERATURE / "scaling_relations.json")


@pytest.mark.parametrize("z", [0.0, 0.07, 1.4, 2.2, 3.5, 20.0])
@pytest.mark.parametrize(
    "cosmology", [COSMOLOGY, {"H0": 70, "Om0": 0.3, "Ode0": 0.7}, {"H0": 50, "Om0": 0.2, "Ode0": 0}]
)
def test_age_and_scale_agree_with_astropy(z, cosmology):
    from astropy.cosmology import LambdaCDM

    reference = LambdaCDM(cosmology["H0"], cosmology["Om0"], cosmology["Ode0"])
    assert age_of_universe(z, cosmology) == pytest.approx(reference.age(z).value, rel=1.5e-8)  # that of its integral
    if z:
        scale = 1 / reference.arcsec_per_kpc_proper(z).value
        assert kpc_per_arcsec(z, cosmology) == pytest.approx(scale, rel=1e-7)


def test_age_of_an_empty_and_of_an_einstein_de_sitter_universe_by_hand():
    hubble_time = 977.7922216807891 / 50
    assert age_of_universe(1.0, {"H0": 50, "Om0": 1.0, "Ode0": 0.0}) == pytest.approx(2 / 3 * hubble_time * 2**-1.5)
    # a universe that is all but empty expands freely: t = 1 / (H0 (1 + z))
    assert age_of_universe(1.0, {"H0": 50, "Om0": 1e-9, "Ode0": 0.0}) == pytest.approx(hubble_time / 2, rel=1e-4)


def test_age_keeps_shapes_and_refuses_negative_redshifts():
    ages = age_of_universe([[0.0, 1.0], [2.0, np.nan]], COSMOLOGY)
    assert ages.shape == (2, 2) and np.isnan(ages[1, 1]) and np.all(np.diff(ages.ravel()[:3]) < 0)
    with pytest.raises(ValueError, match="negative"):
        age_of_universe(-0.1, COSMOLOGY)


def test_speagle_agrees_with_the_lines_transcribed_by_others(published):
    for row in published["SFMS_Speagle14"]["at_z"].values():
        for mass in (9.7, 11.1):
            expected = row["slope"] * mass + row["icpt"]
            assert relations.speagle14(mass, row["t"]) == pytest.approx(expected, abs=6e-4)


def test_main_sequence_offset_of_sp3_by_hand():
    # Table 3: SFR 92.89, log M 9.90, z = 1.2645; LambdaCDM(67.8, 0.308, 0.69).age(1.2645) of astropy is 4.929254 Gyr;
    # slope 0.84 - 0.026 * 4.929254 = 0.711839, intercept 6.51 - 0.11 * 4.929254 = 5.967782; the sequence is at 1.079428
    row = printed_survey().row("sp3")
    assert row["age"] == pytest.approx(4.929254, abs=1e-6)
    assert row["delta_ms"] == pytest.approx(1.967969 - 1.079428, abs=3e-6)
    assert row["log_ssfr"] == pytest.approx(1.967969 - 9.90, abs=1e-6)


def test_errors_of_derived_quantities_agree_with_sampling():
    random = np.random.default_rng(4)
    row = blank_row("x", z=2.0) | {"sfr": 30.0, "log_mstar": 9.5}
    row |= {
        f"{name}_error_{end}": error for name, error in (("sfr", 1.5), ("log_mstar", 0.1)) for end in ("minus", "plus")
    }
    derive(row, COSMOLOGY)
    sfr, mass = np.log10(random.normal(30, 1.5, 40000)), random.normal(9.5, 0.1, 40000)
    assert row["log_ssfr_error"] == pytest.approx(np.std(sfr - mass), rel=0.02)
    assert row["delta_ms_error"] == pytest.approx(
        np.std(relations.delta_main_sequence(sfr, mass, row["age"])), rel=0.02
    )


@pytest.mark.parametrize("sfr", [0.0, -1.0, np.nan])
def test_a_sfr_without_logarithm_stays_missing(sfr):
    row = blank_row("x", z=1.4) | {"sfr": sfr, "log_mstar": 9.5}
    derive(row, COSMOLOGY)
    assert np.isnan(row["log_ssfr"]) and np.isnan(row["delta_ms"]) and np.isfinite(row["age"])


def test_local_relation_turns_over_and_meets_the_binned_medians(published):
    mass, medians = np.loadtxt(LITERATURE / "mzr_curti2020_binned.csv", delimiter=",", skiprows=1, usecols=(0, 1)).T
    inside = (mass > 9.0) & (mass < 11.0)
    curve = relations.mzr_curti20(mass, published)
    assert np.all(np.diff(curve) > 0)
    assert np.abs(curve - medians)[inside].max() < 0.05


def test_steidel_relation_inverts_the_c17_calibration():
    mass, metallicity = relations.mzr_steidel14(LITERATURE / "mzr_steidel2014_stacks.csv")
    x = metallicity - 8.69
    pp04 = 8.73 - 0.32 * (0.281 - 4.765 * x - 2.268 * x**2)
    stacks = np.loadtxt(LITERATURE / "mzr_steidel2014_stacks.csv", delimiter=",", skiprows=1, usecols=(1, 2))
    assert np.allclose(mass, stacks[:, 0]) and np.allclose(pp04, stacks[:, 1], atol=2e-3)


def test_relations_that_cannot_be_read_are_named(tmp_path):
    path = tmp_path / "relations.json"
    path.write_text(json.dumps({"MZR_C20": {}}))
    with pytest.raises(InputError, match=r"relations.json.*Z0"):
        relations.load_relations(path)

import pytest
from lensing_scene import COSMOLOGY

from klever.cosmology import angular_diameter_distance, distance_ratio, kpc_per_arcsec


@pytest.mark.parametrize(
    "values", [(67.8, 0.308, 0.69), (70, 0.3, 0.7), (70, 0.3, 0.4), (70, 0.6, 0.9), (50, 1.0, 0.0)]
)
@pytest.mark.parametrize("redshifts", [(0.0, 0.1), (0.0, 2.5), (0.35, 1.4), (0.35, 9.0)])
def test_agrees_with_astropy(values, redshifts):
    from astropy.cosmology import LambdaCDM

    cosmology = dict(zip(("H0", "Om0", "Ode0"), values, strict=True))
    reference = LambdaCDM(*values)
    expected = reference.angular_diameter_distance(*redshifts).to_value("Mpc")
    assert angular_diameter_distance(*redshifts, cosmology) == pytest.approx(expected, rel=1e-6)


def test_kpc_per_arcsec_agrees_with_astropy():
    from astropy.cosmology import LambdaCDM

    expected = 1 / LambdaCDM(67.8, 0.308, 0.69).arcsec_per_kpc_proper(2.0).value
    assert kpc_per_arcsec(2.0, COSMOLOGY) == pytest.approx(expected, rel=1e-6)


def test_distance_ratio_limits():
    assert distance_ratio(0.35, 0.3, COSMOLOGY) == 0
    assert distance_ratio(0.35, 0.35, COSMOLOGY) == 0
    assert 0 < distance_ratio(0.35, 1.0, COSMOLOGY) < distance_ratio(0.35, 5.0, COSMOLOGY) < 1
    assert distance_ratio(0.348, 0.611, {"H0": 70, "Om0": 0.3, "Ode0": 0.7}) == pytest.approx(0.390, abs=0.002)


def test_redshifts_out_of_order():
    with pytest.raises(ValueError, match="redshifts"):
        angular_diameter_distance(2.0, 1.0, COSMOLOGY)

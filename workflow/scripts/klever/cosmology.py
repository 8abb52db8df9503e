"""Distances in a Lambda-CDM universe with curvature, without radiation (Hogg 1999, astro-ph/9905116).

The same numbers as `astropy.cosmology.LambdaCDM`, whose import alone costs as much time as one of the jobs.
"""

import numpy as np

__all__ = [
    "age_of_universe", "angular_diameter_distance", "distance_ratio", "kpc_per_arcsec", "luminosity_distance",
]  # fmt: skip

SPEED_OF_LIGHT = 299792.458  # km/s
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def angular_diameter_distance(z1, z2, cosmology):
    """Return the angular-diameter distance from redshift `z1` to `z2` in Mpc.

    Parameters
    ----------
    z1, z2 : float
        ``z2 >= z1 >= 0``; `z1` = 0 is the distance from the observer.
    cosmology : mapping
        H0 (km/s/Mpc), Om0, Ode0; the curvature is 1 - Om0 - Ode0 (the paper's values, Sect. 1, are not exactly flat).

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Redshifts out of order.
    """
    if not 0 <= z1 <= z2:
        raise ValueError(f"redshifts must satisfy 0 <= z1 <= z2, got {z1} and {z2}")
    h0, om0, ode0 = (float(cosmology[key]) for key in ("H0", "Om0", "Ode0"))
    ok0 = 1.0 - om0 - ode0
    z = z1 + 0.5 * (z2 - z1) * (_NODES + 1.0)
    expansion = np.sqrt(om0 * (1 + z) ** 3 + ok0 * (1 + z) ** 2 + ode0)
    comoving = 0.5 * (z2 - z1) * np.sum(_WEIGHTS / expansion)  # in units of c/H0
    if abs(ok0) > 1e-12:
        root = np.sqrt(abs(ok0))
        comoving = (np.sinh if ok0 > 0 else np.sin)(root * comoving) / root
    return float(SPEED_OF_LIGHT / h0 * comoving / (1.0 + z2))


def distance_ratio(z_lens, z_source, cosmology):
    """Return Dls/Ds, the factor that scales a lens's deflection to a source redshift; 0 in front of the lens."""
    if z_source <= z_lens:
        return 0.0
    lens_to_source = angular_diameter_distance(z_lens, z_source, cosmology)
    return lens_to_source / angular_diameter_distance(0.0, z_source, cosmology)


def kpc_per_arcsec(z, cosmology):
    """Return the physical length in kpc of one arcsec at redshift `z`."""
    return angular_diameter_distance(0.0, z, cosmology) * 1000.0 * np.pi / 180.0 / 3600.0


def luminosity_distance(z, cosmology):
    """Return the luminosity distance to redshift `z` in Mpc, (1 + z)^2 times the angular-diameter distance."""
    return (1 + z) ** 2 * angular_diameter_distance(0.0, z, cosmology)


def age_of_universe(z, cosmology):
    """Return the age of the universe at redshift `z` in Gyr; radiation is left out, a few Myr at the redshifts here."""
    h0, om0, ode0 = (float(cosmology[key]) for key in ("H0", "Om0", "Ode0"))
    ok0 = 1.0 - om0 - ode0
    a = 0.5 / (1 + z) * (_NODES + 1)
    integral = 0.5 / (1 + z) * np.sum(_WEIGHTS * np.sqrt(a / (om0 + ok0 * a + ode0 * a**3)))
    return float(977.7922217 / h0 * integral)

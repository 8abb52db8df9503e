"""Star formation rates from Halpha (Curti et al. 2020, Sect. 3.3)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from klever.cosmology import angular_diameter_distance
from klever.errors import InputError
from klever.gas.dust import extinction

__all__ = ["SfrCalibration", "StarFormation", "load_sfr_calibration", "luminosity_distance_cm", "star_formation_rate",
           "summed_flux", "surface_density"]  # fmt: skip

_CM_PER_MPC = 3.0856775814913673e24
_CM_PER_KPC = 3.0856775814913673e21
_LN10 = np.log(10)


@dataclass(frozen=True)
class SfrCalibration:
    """SFR = `per_luminosity` L(Halpha) / `imf_divisor`, Msun/yr for L in erg/s.

    Parameters
    ----------
    per_luminosity : float
        Msun/yr per erg/s, of the relation's own IMF.
    imf_divisor : float
        From that IMF to Chabrier (2003).
    source : str
    """

    per_luminosity: float
    imf_divisor: float
    source: str

    @property
    def factor(self):
        """Msun/yr per erg/s with a Chabrier IMF."""
        return self.per_luminosity / self.imf_divisor


@dataclass
class StarFormation:
    """A star formation rate and what its error is made of, Msun/yr.

    Parameters
    ----------
    sfr, error : float
        Corrected for dust and magnification; the error has the three parts below in quadrature.
    error_flux, error_ebv, error_magnification : float
        1 sigma from the flux, the reddening and the magnification.
    """

    sfr: float
    error: float
    error_flux: float
    error_ebv: float
    error_magnification: float


def load_sfr_calibration(path):
    """Read resources/star_formation.json.

    Raises
    ------
    InputError
        The file is missing or damaged.
    """
    try:
        entry = json.loads(Path(path).read_text(encoding="utf-8"))["halpha"]
        return SfrCalibration(float(entry["per_luminosity"]), float(entry["imf_divisor"]), str(entry["source"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as an SFR calibration ({error}); restore the file.") from error


def luminosity_distance_cm(z, cosmology):
    """Return the luminosity distance to redshift `z` in cm; `cosmology` as for `klever.cosmology`."""
    return angular_diameter_distance(0.0, z, cosmology) * (1 + z) ** 2 * _CM_PER_MPC


def summed_flux(flux, error, minimum_snr, autocorrelation=None, grow=0.0):
    """Return the summed flux of all spaxels above `minimum_snr`, its error and their number.

    A threshold leaves out the faint wings of a galaxy; `grow` adds the spaxels near those above it, whatever their
    S/N, which makes the sum complete at the price of noise.

    Parameters
    ----------
    flux, error : ndarray, shape (ny, nx)
        Flux of each spaxel and 1 sigma; NaN where unusable.
    minimum_snr : float
        5 in the paper.
    autocorrelation : ndarray, shape (2 k + 1, 2 l + 1), optional
        Correlation of the noise of two spaxels by their offset; independent without it.
    grow : float
        Spaxels within this distance (in spaxels) of one above the threshold count too.

    Returns
    -------
    flux, error : float
        NaN where no spaxel passes.
    count : int
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        used = np.isfinite(flux) & (error > 0) & (flux / error >= minimum_snr)
    count = int(np.count_nonzero(used))
    if not count:
        return np.nan, np.nan, 0
    if grow > 0:
        from scipy.ndimage import distance_transform_edt

        used = np.isfinite(flux) & (error > 0) & (distance_transform_edt(~used) <= grow)
        count = int(np.count_nonzero(used))
    sigma = np.where(used, error, 0.0)
    # scaled so that fluxes of 1e-20 and 1e+20 pass alike
    scale = sigma.max()
    variance = np.sum((sigma / scale) ** 2)
    if autocorrelation is not None:
        variance = _correlated_variance(sigma / scale, np.asarray(autocorrelation, float))
    return float(flux[used].sum()), float(scale * np.sqrt(max(variance, 0.0))), count


def star_formation_rate(flux, flux_error, distance_cm, calibration, ebv=(0.0, 0.0), magnification=(1.0, 0.0), rv=3.1):
    """Return the star formation rate of a galaxy.

    SFR = C 4 pi D_L^2 F(Halpha) 10^(0.4 k E(B-V)) / mu. The three errors are taken as independent; the aperture in
    which E(B-V) is measured shares a part of the flux's noise, which changes the total error by a few per cent at most
    because E(B-V) owes its error to Hbeta.

    Parameters
    ----------
    flux, flux_error : float
        Of Halpha, erg/s/cm2, as observed.
    distance_cm : float
        Luminosity distance.
    calibration : SfrCalibration
    ebv : pair of float
        E(B-V) as measured (below zero it is used as zero) and 1 sigma; (0, 0) for none.
    magnification : pair of float
        mu and 1 sigma.
    rv : float
        A(V) / E(B-V).

    Returns
    -------
    StarFormation
        NaN where an input is, or without a positive flux and magnification.
    """
    mu, mu_error = magnification
    if not (flux > 0 and mu > 0):
        return StarFormation(*(np.nan,) * 5)
    slope = 0.4 * extinction("Halpha", rv)
    luminosity = 4 * np.pi * distance_cm**2 * flux * 10 ** (slope * np.maximum(ebv[0], 0.0))
    sfr = calibration.factor * luminosity / mu
    parts = sfr * flux_error / flux, sfr * slope * _LN10 * ebv[1], sfr * mu_error / mu
    return StarFormation(*map(float, (sfr, np.sqrt(np.sum(np.square(parts))), *parts)))


def surface_density(brightness, error, z, calibration, ebv, ebv_error, rv=3.1):
    """Return a map of the star formation rate per area of the source plane.

    Parameters
    ----------
    brightness, error : ndarray, shape (ny, nx)
        Surface brightness of Halpha, erg/s/cm2/arcsec2, which lensing conserves, and 1 sigma.
    z : float
    calibration
        As above.
    ebv, ebv_error : float or ndarray
        E(B-V), below zero used as zero.
    rv : float
        A(V) / E(B-V).

    Returns
    -------
    value, error : ndarray, shape (ny, nx)
        Msun/yr/kpc2; NaN where an input is.
    """
    # 4 pi D_L^2 / (kpc per arcsec)^2 with both distances in cm: (1 + z)^4 and the angles of one arcsec remain
    arcsec = np.pi / 180 / 3600
    per_area = 4 * np.pi * (1 + z) ** 4 / arcsec**2 * _CM_PER_KPC**2
    slope = 0.4 * extinction("Halpha", rv)
    value = calibration.factor * per_area * brightness * 10 ** (slope * np.maximum(ebv, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.abs(value) * np.hypot(error / brightness, slope * _LN10 * np.asarray(ebv_error))
    return value, np.where(np.isfinite(value), total, np.nan)


def _correlated_variance(sigma, correlation):
    """Return sum_ij sigma_i sigma_j rho(i - j)."""
    rows, columns = (size // 2 for size in correlation.shape)
    padded = np.pad(sigma, ((rows, rows), (columns, columns)))
    ny, nx = sigma.shape
    total = 0.0
    for j in range(correlation.shape[0]):
        for i in range(correlation.shape[1]):
            if correlation[j, i]:
                total += correlation[j, i] * np.sum(sigma * padded[j : j + ny, i : i + nx])
    return total

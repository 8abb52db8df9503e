"""Source-plane models of the simulated galaxies: clumpy inclined discs with a linear metallicity gradient.

A galaxy is one or more `Component`; a component knows its brightness in every line, its velocity and its continuum at
any position of the source plane.  Nothing here is shared with the analysis.  Positions are arcsec in the lens' tangent
plane, x to the west and y to the north.

Truth: 12 + log(O/H) is linear in the *projected* distance from the component's centre (circles on the sky, because
Curti et al. 2020, Sect. 4.2, do not deproject), clipped to `LOG_OH_RANGE`.  Line ratios follow the calibrations at the
local metallicity plus one offset per ratio and component, drawn with the calibration's scatter: no galaxy lies on the
mean relation, so the errors of measured metallicities must hold that scatter.
"""

import csv
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from klever.errors import InputError
from klever_simulation.distances import angular_distance, luminosity_distance
from klever_simulation.emission import EXTINCTION, draw_offsets, line_fluxes

__all__ = ["Component", "angular_scales", "component_from_row", "read_light", "read_rows", "seeded"]

LOG_OH_RANGE = (7.7, 8.85)  # inside the calibrated range 7.6-8.9
SFR_PER_HALPHA = (
    5.066e-42  # Msun/yr per erg/s: Kennicutt & Evans (2012), log SFR = log L - 41.27, divided by 1.06 (Chabrier)
)
# Shape of every simulated galaxy, where the paper prints nothing.
CLUMP_FRACTION = 0.3  # of the Halpha flux
CONTINUUM_SIZE = 1.2  # effective radius of the stars over that of Halpha
DISC_THICKNESS = 0.2  # intrinsic axis ratio, for the inclination
TURNOVER = 0.35  # radius of the arctan rotation curve over the effective radius
EXPONENTIAL = 1.678347  # effective radius over scale length of an exponential disc
# Stellar light of a component that resources/simulation/photometry.tsv lacks: log M* = 10 at z = 1.5 has 23.5 mag
# (AB) in F160W, mass-to-light ratio the same for all; f_nu rises as wavelength^0.5.
REFERENCE_MAGNITUDE, REFERENCE_LOG_MSTAR, REFERENCE_Z = 23.5, 10.0, 1.5
REFERENCE_WAVELENGTH = 1.5392  # um, pivot of F160W
CONTINUUM_SLOPE = 0.5 - 2.0  # of f_lambda
SPEED_OF_LIGHT_UM = 2.99792458e14  # um/s
CM_PER_MPC = 3.0856775814913673e24

_NUMBERS = {
    "east", "north", "field_size", "field_east", "field_north", "log_mstar", "sfr", "log_oh", "slope_dex_per_kpc",
    "effective_radius_kpc", "axis_ratio", "position_angle", "v_rot", "sigma0", "v_sys", "ebv", "siii_ratio",
    "depth_YJ", "depth_J", "depth_H", "depth_K",
}  # fmt: skip


def seeded(seed, *names):
    """Return a Generator that depends on the survey's `seed` and on `names` only."""
    return np.random.default_rng(np.random.SeedSequence([int(seed), *(zlib.crc32(name.encode()) for name in names)]))


def read_rows(path, galaxy):
    """Read the rows (one per component) of `galaxy` from resources/simulation/galaxies.tsv.

    Raises
    ------
    InputError
        The galaxy has no row, or a number cannot be read.
    """
    with Path(path).open(newline="", encoding="utf-8") as table:
        rows = [row for row in csv.DictReader((line for line in table if line[0] != "#"), delimiter="\t")
                if row["galaxy"] == galaxy]  # fmt: skip
    if not rows:
        raise InputError(f"{path} has no row for galaxy '{galaxy}'; add one or mark its observations as real cubes.")
    for row in rows:
        for name in _NUMBERS & set(row):
            try:
                row[name] = float(row[name])
            except (TypeError, ValueError):
                raise InputError(f"{path}: {name} of '{galaxy}' is '{row[name]}'; it must be a number.") from None
        row["agn"] = row["agn"] == "yes"
    return rows


def read_light(path):
    """Read resources/simulation/photometry.tsv.

    Returns
    -------
    dict of (str, str) to dict of str to float
        Galaxy and component to ``slope`` (of f_lambda) and the unlensed AB magnitude in each filter.
    """
    with Path(path).open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader((line for line in table if line[0] != "#"), delimiter="\t"))
    return {
        (row["galaxy"], row["component"]): {
            name: float(value) for name, value in row.items() if name == "slope" or name[0] == "F"
        }
        for row in rows
    }


def angular_scales(z):
    """Return kpc per arcsec and luminosity distance (cm) at redshift `z`, for the paper's cosmology (Sect. 1)."""
    return angular_distance(0.0, z) * 1000.0 * np.deg2rad(1.0 / 3600.0), luminosity_distance(z) * CM_PER_MPC


@dataclass(frozen=True)
class Component:
    """One disc of a galaxy in the source plane.

    Parameters
    ----------
    x, y : float
        Centre, arcsec west and north in the lens' tangent plane.
    row : dict
        Its row of resources/simulation/galaxies.tsv.
    kpc_per_arcsec : float
        Scale at its redshift.
    halpha_flux : float
        Total Halpha flux, unlensed, dimmed by dust, erg s-1 cm-2.
    continuum_flux : float
        Total stellar flux density at `REFERENCE_WAVELENGTH`, unlensed, erg s-1 cm-2 um-1.
    clumps : ndarray, shape (n, 4)
        Position from the centre (arcsec west, north), Gaussian sigma (arcsec), share of the total flux.
    log_oh_central : float
        12 + log(O/H) at the centre.
    offsets : dict
        Offsets of log10 line ratios from the calibrations.
    calibrations : dict
        Content of resources/calibrations.json.
    """

    x: float
    y: float
    row: dict
    kpc_per_arcsec: float
    halpha_flux: float
    continuum_flux: float
    clumps: np.ndarray
    log_oh_central: float
    offsets: dict
    calibrations: dict

    @property
    def name(self):
        """Name of the region: 'all' for a galaxy of one component."""
        return self.row["component"]

    @property
    def light(self):
        """AB magnitude of the unlensed stars by filter; None for a power law."""
        return self.row.get("light")

    @property
    def continuum_slope(self):
        """Power of f_lambda in the near infrared."""
        return self.light["slope"] if self.light else CONTINUUM_SLOPE

    @property
    def effective_radius(self):
        """Effective radius of the Halpha disc, arcsec."""
        return self.row["effective_radius_kpc"] / self.kpc_per_arcsec

    def _disc_axes(self, x, y):
        angle = np.deg2rad(self.row["position_angle"])  # north through east; east is -x
        dx, dy = x - self.x, y - self.y
        return -dx * np.sin(angle) + dy * np.cos(angle), dx * np.cos(angle) + dy * np.sin(angle)

    def _exponential(self, x, y, effective_radius):
        major, minor = self._disc_axes(x, y)
        length, q = effective_radius / EXPONENTIAL, self.row["axis_ratio"]
        return np.exp(-np.hypot(major, minor / q) / length) / (2 * np.pi * length**2 * q)

    def halpha(self, x, y):
        """Halpha surface brightness, erg s-1 cm-2 arcsec-2, at source positions (arcsec)."""
        profile = (1 - CLUMP_FRACTION) * self._exponential(x, y, self.effective_radius)
        for dx, dy, sigma, share in self.clumps:
            squared = ((x - self.x - dx) ** 2 + (y - self.y - dy) ** 2) / sigma**2
            profile = profile + share * np.exp(-0.5 * squared) / (2 * np.pi * sigma**2)
        return self.halpha_flux * profile

    def continuum(self, x, y):
        """Stellar surface brightness, erg s-1 cm-2 um-1 arcsec-2, at `REFERENCE_WAVELENGTH`."""
        return self.continuum_flux * self._exponential(x, y, CONTINUUM_SIZE * self.effective_radius)

    def radius_kpc(self, x, y):
        """Projected distance from the centre, kpc."""
        return np.hypot(x - self.x, y - self.y) * self.kpc_per_arcsec

    def log_oh(self, x, y):
        """12 + log(O/H): linear in the projected radius, clipped."""
        return _linear_log_oh(self.radius_kpc(x, y), self.log_oh_central, self.row["slope_dex_per_kpc"])

    def velocity(self, x, y):
        """Line-of-sight velocity, km/s from the catalogue redshift: arctan rotation curve of a thin inclined disc."""
        q = self.row["axis_ratio"]
        sin_inclination = np.sqrt((1 - q**2) / (1 - DISC_THICKNESS**2)) if q > DISC_THICKNESS else 1.0
        major, minor = self._disc_axes(x, y)
        radius = np.hypot(major, minor / q)
        turnover = TURNOVER * self.effective_radius
        per_radius = np.arctan(radius / turnover) / np.maximum(radius, 1e-9 * turnover)
        return self.row["v_sys"] + self.row["v_rot"] * sin_inclination * (2 / np.pi) * per_radius * major

    def lines(self, x, y):
        """Surface brightness of every line, erg s-1 cm-2 arcsec-2, at source positions (arcsec)."""
        row = self.row
        return line_fluxes(
            self.halpha(x, y), self.log_oh(x, y), row["ebv"], row["siii_ratio"], self.offsets, self.calibrations
        )

    def grid(self, half_size=None, n=301):
        """Positions of a square grid about the centre (half the side in arcsec; 8 effective radii if not given)."""
        half = half_size or 8 * self.effective_radius
        axis = (np.arange(n) - (n - 1) / 2) * (2 * half / n)
        return np.meshgrid(self.x + axis, self.y + axis)


def _linear_log_oh(radius, central, slope):
    return np.clip(central + slope * radius, *LOG_OH_RANGE)


def _central_log_oh(radius, weight, mean, slope):
    """Return the central value that gives the weighted `mean`, by bisection (monotonic, clipping included)."""
    low, high = mean - 3.0, mean + 3.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if np.sum(weight * _linear_log_oh(radius, middle, slope)) < mean * np.sum(weight):
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _clumps(row, effective_radius, kpc_per_arcsec, rng):
    number = int(rng.integers(5, 11))
    # in the plane of the disc, radii as those of an exponential disc but for its outskirts
    radius = effective_radius / EXPONENTIAL * np.clip(rng.gamma(2.0, 1.0, number), 0.3, 4.0)
    azimuth = rng.uniform(0, 2 * np.pi, number)
    major, minor = radius * np.cos(azimuth), radius * np.sin(azimuth) * row["axis_ratio"]
    angle = np.deg2rad(row["position_angle"])
    dx, dy = -major * np.sin(angle) + minor * np.cos(angle), major * np.cos(angle) + minor * np.sin(angle)
    sigma = rng.uniform(0.3, 0.6, number) / kpc_per_arcsec
    return np.column_stack([dx, dy, sigma, CLUMP_FRACTION * rng.dirichlet(np.full(number, 3.0))])


def component_from_row(row, z, x, y, calibrations, seed):
    """Build the component of one row of resources/simulation/galaxies.tsv.

    Parameters
    ----------
    row : dict
        From `read_rows`; its ``light``, if there is one, is from `read_light`.
    z : float
        Redshift.
    x, y : float
        Centre of the galaxy in the source plane, arcsec west and north in the lens' tangent plane; the row's own shift
        (`east`, `north`) is added.
    calibrations : dict
        Content of resources/calibrations.json.
    seed : int
        Seed of the survey; clumps and ratio offsets depend on it, on `source_name` and on the component only.

    Returns
    -------
    Component
    """
    kpc_per_arcsec, distance = angular_scales(z)
    rng = seeded(seed, row["source_name"], row["component"])
    clumps = _clumps(row, row["effective_radius_kpc"] / kpc_per_arcsec, kpc_per_arcsec, rng)
    offsets = draw_offsets(calibrations, rng)
    dimming = 10 ** (-0.4 * EXTINCTION["Halpha"] * row["ebv"])
    halpha_flux = row["sfr"] / SFR_PER_HALPHA * dimming / (4 * np.pi * distance**2)
    reference = angular_scales(REFERENCE_Z)[1]
    magnitude = (
        REFERENCE_MAGNITUDE - 2.5 * (row["log_mstar"] - REFERENCE_LOG_MSTAR)
        + 5 * np.log10(distance / reference) - 2.5 * np.log10((1 + z) / (1 + REFERENCE_Z))
    )  # fmt: skip
    magnitude = row["light"]["F160W"] if row.get("light") else magnitude
    continuum_flux = 10 ** (-0.4 * (magnitude + 48.6)) * SPEED_OF_LIGHT_UM / REFERENCE_WAVELENGTH**2
    draft = Component(
        x - row["east"], y + row["north"], row, kpc_per_arcsec, halpha_flux, continuum_flux, clumps, row["log_oh"],
        offsets, calibrations,
    )  # fmt: skip
    gx, gy = draft.grid()
    central = _central_log_oh(draft.radius_kpc(gx, gy), draft.halpha(gx, gy), row["log_oh"], row["slope_dex_per_kpc"])
    return Component(**{**vars(draft), "log_oh_central": float(central)})

"""The benchmark's data and model: one simulated KMOS H-band cube and the tied Halpha group, for every package alike."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from klever.linefit.model import GroupModel, pixel_edges, pixel_profile
from klever.spectral_lines import SPEED_OF_LIGHT
from linefit import ROOT

__all__ = ["Problem", "Solution", "Start", "simulated_problem"]

GALAXY, BAND, GROUP = "sp1", "H", "halpha"
# factors on sp1 as the survey has it: every spaxel has a line, nine in ten of them at S/N > 5
SIZE, SFR = 8.0, 3.0
SEED = 1  # of the order in which spaxels are fitted


@dataclass(frozen=True)
class Start:
    """Where a package that needs a start begins: velocity (km/s), dispersion (km/s), Halpha flux, continuum."""

    velocity: float
    dispersion: float
    halpha: float
    continuum: float


@dataclass(frozen=True)
class Solution:
    """What a package found for one spaxel.

    Attributes
    ----------
    velocity, dispersion : float
        km/s; the dispersion is intrinsic.
    fluxes : dict of str to float, or None
        Line fluxes (normalised flux density x micrometre).  None where the package's own are those of a different
        model (sampled instead of integrated lines, other pixels): the best ones at its velocity and width are used.
    continuum : (float, float) or None
        Value at the window's centre and slope per half window.
    """

    velocity: float
    dispersion: float
    fluxes: dict | None = None
    continuum: tuple | None = None


@dataclass(frozen=True)
class Problem:
    """Spectra of the spaxels of one cube around one group of lines.

    Flux density is in units of the cube's median error, so that no package meets numbers of order 1e-17.

    Attributes
    ----------
    model : GroupModel
    wavelength : ndarray, shape (n_channels,)
        Micrometre, vacuum.
    flux, error : ndarray, shape (n, n_channels)
        NaN where masked.
    snr : ndarray, shape (n,)
        True Halpha flux over the error it would have if all else were known: independent of every fit.
    velocity_range : float
        km/s.
    dispersion_range : (float, float)
        km/s.
    """

    model: GroupModel
    wavelength: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    snr: np.ndarray
    velocity_range: float
    dispersion_range: tuple
    source: str = ""

    @property
    def valid(self):
        """Channels to fit, shape (n, n_channels)."""
        return np.isfinite(self.flux) & np.isfinite(self.error) & (self.error > 0)

    @property
    def x(self):
        """Wavelength standardised to -1 to 1, of the linear continuum."""
        first, last = self.wavelength[[0, -1]]
        return (self.wavelength - 0.5 * (first + last)) / (0.5 * (last - first))

    def subset(self, number):
        """Return the rows of the first `number` spaxels of one fixed random order: small subsets lie in larger ones."""
        return np.random.default_rng(SEED).permutation(len(self.flux))[:number]

    def start(self, row):
        """Start of a careful user: the velocity of the summed spectrum's peak, 80 km/s, fluxes read off the spaxel."""
        velocity, dispersion = self._summed_peak(), 80.0
        centres = self.model.centres(velocity)
        centre, sigma = centres[self.model.main], self.model.sigmas(centres, dispersion)[self.model.main]
        good = self.valid[row]
        near = good & (np.abs(self.wavelength - centre) < 2 * sigma)
        continuum = float(np.median(self.flux[row, good]))
        peak = float(np.max(self.flux[row, near])) - continuum if near.any() else 1.0
        return Start(velocity, dispersion, float(max(peak, 0.5) * sigma * np.sqrt(2 * np.pi)), continuum)

    def _summed_peak(self):
        """Velocity (km/s) of the highest channel of the spectrum summed over the spaxels."""
        bright = np.argsort(np.nanmedian(self.flux, axis=1))[-len(self.flux) // 4 :]
        centres = self.model.centres(0.0)[self.model.main]
        velocity = (self.wavelength / centres - 1) * SPEED_OF_LIGHT
        inside = np.flatnonzero((np.abs(velocity) < self.velocity_range) & self.valid[bright].any(axis=0))
        return float(velocity[inside[np.argmax(np.nanmean(self.flux[bright][:, inside], axis=0))]])

    def profiles(self, velocity, dispersion):
        """Pixel-integrated unit profiles of the lines, shape (n_lines, n_channels)."""
        centres = self.model.centres(velocity)
        sigmas = self.model.sigmas(centres, dispersion)
        return pixel_profile(pixel_edges(self.wavelength), centres[:, None], sigmas[:, None])

    def judge(self, row, solution):
        """Return chi2 of a solution in the common model over the spaxel's valid channels, and its lowest line flux.

        Infinity and NaN where there is no solution.
        """
        if solution is None or not np.isfinite([solution.velocity, solution.dispersion]).all():
            return np.inf, np.nan
        profiles = self.profiles(solution.velocity, solution.dispersion)
        good = self.valid[row]
        if solution.fluxes is None:
            return self._best(row, good, profiles)
        fluxes = np.array([solution.fluxes[name] for name in self.model.names])
        curve = fluxes @ profiles + solution.continuum[0] + solution.continuum[1] * self.x
        chi2 = np.sum(((self.flux[row] - curve)[good] / self.error[row, good]) ** 2)
        return (float(chi2), float(fluxes.min())) if np.isfinite(chi2) else (np.inf, np.nan)

    def _best(self, row, good, profiles):
        """Judge given profiles with the best fluxes and continuum, the bounded ratio kept in its bounds."""
        columns = np.vstack([self.model.columns().T @ profiles, np.ones_like(self.x), self.x])
        design, data = (columns / self.error[row])[:, good].T, (self.flux[row] / self.error[row])[good]
        top, bottom, low, high = self.model.bound()
        chi2, amplitude = _least_squares(design, data)
        if not low <= amplitude[top] / amplitude[bottom] <= high:
            edges = []
            for ratio in (low, high):
                tied = design.copy()
                tied[:, bottom] += ratio * tied[:, top]
                tied[:, top] = 0.0
                edges.append(_least_squares(tied, data))
                edges[-1][1][top] = ratio * edges[-1][1][bottom]
            chi2, amplitude = min(edges, key=lambda edge: edge[0])
        return chi2, float(amplitude[:-2].min())


def _least_squares(design, data):
    amplitude = np.linalg.lstsq(design, data, rcond=None)[0]
    return float(np.sum((data - design @ amplitude) ** 2)), amplitude


def simulated_problem(size=SIZE, sfr=SFR):
    """Simulate the cube with the project's simulator, ingest and smooth it as the pipeline does, cut out the group.

    Parameters
    ----------
    size, sfr : float
        Factors on the galaxy's effective radius and star formation rate; 1, 1 is the survey's galaxy, in a field two
        thirds of which are empty.

    Returns
    -------
    Problem
    """
    import yaml

    from klever.cubes.cube import Cube
    from klever.linefit.cubefit import band_models
    from klever.linefit.smoothing import smooth, smoothed_variance
    from klever.linefit.window import channels_of_group
    from klever.maps import MapSet
    from klever.spectral_lines import instrumental_sigma, load_instruments, load_line_list
    from linefit.simulation import simulate

    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    options = config["lines"]
    resources = ROOT / "resources"
    with tempfile.TemporaryDirectory() as folder:
        settings = simulate(Path(folder), ROOT, GALAXY, BAND, config, size, sfr)
        cube, truth = Cube.read(Path(folder) / "cube.fits"), MapSet.read(Path(folder) / "truth.fits")
    sigma = instrumental_sigma(load_instruments(resources / "instruments.yaml"), "KMOS", BAND)
    band = band_models(cube, load_line_list(resources / "lines.yaml"), sigma, settings["z"], [GROUP])
    model = band.models[0]
    channels, near = channels_of_group(model, cube.wavelength, options["window"])
    valid = band.valid[channels] & near[:, None, None]
    inside = valid.any(axis=0)
    fwhm = options["smoothing_fwhm"] / cube.spaxel_scale
    smoothed, weight = smooth(cube.flux[channels], valid, fwhm)
    error = np.sqrt(smoothed_variance(cube.error[channels], valid, fwhm, band.autocorrelation, weight))
    unit = float(np.nanmedian(error))
    problem = Problem(
        model, cube.wavelength[channels], smoothed[:, inside].T / unit, error[:, inside].T / unit,
        np.zeros(inside.sum()), float(options["velocity_range"]), tuple(map(float, options["dispersion_range"])),
        f"simulated KMOS {BAND} cube of {GALAXY} (z = {settings['z']}, size x {size:g}, SFR x {sfr:g}), smoothed to "
        f"{options['smoothing_fwhm']} arcsec",
    )  # fmt: skip
    flux = smooth(np.nan_to_num(truth["Halpha"].value), inside, fwhm)[0][inside] / unit
    motion = [np.nan_to_num(truth[name].value)[inside] for name in ("VELOCITY", "DISPERSION")]
    problem.snr[:] = flux / _ideal_error(problem, *motion)
    return problem


def _ideal_error(problem, velocity, dispersion):
    """Error of the main line's flux if all else were known, shape (n,)."""
    inverse = np.where(problem.valid, 1 / problem.error, 0.0)
    main = problem.model.main
    profiles = np.array([problem.profiles(v, s)[main] for v, s in zip(velocity, dispersion, strict=True)])
    return 1 / np.sqrt(np.sum((profiles * inverse) ** 2, axis=1))

"""Radial profiles with the covariance of their annuli, by two methods: mean abundances, and abundance of mean fluxes.

The errors of the annuli of one galaxy have two parts of a different nature. The noise of the line fluxes differs from
annulus to annulus, though neighbours share pixels' noise (smoothing, seeing-sized steps, de-lensing). The dispersion of
the calibration and the error of a global E(B-V) shift a line ratio of the galaxy everywhere alike: they move all annuli
together, and tilt the profile only as far as the calibration is curved.
"""

from dataclasses import dataclass

import numpy as np

from klever.abundance.flux_abundance import Reddening, abundance_of_fluxes
from klever.abundance.metallicity import grid_posterior
from klever.gas.line_ratios import DIAGNOSTICS
from klever.gradient.annuli import extract_annuli
from klever.maps import masked

__all__ = ["AbundanceModel", "MeasuredProfile", "average_abundances", "average_fluxes", "model_of"]

_TRACERS = ("HALPHA", "OIII5007")


@dataclass
class AbundanceModel:
    """How the abundances of a galaxy are made from fluxes.

    Parameters
    ----------
    names : tuple of str
        Diagnostics of every pixel.
    calibrations : dict of str to Calibration
    reddening : Reddening
    metallicity, dust : dict
        Sections of the configuration.
    """

    names: tuple
    calibrations: dict
    reddening: Reddening
    metallicity: dict
    dust: dict

    @property
    def lines(self):
        """Lines of the diagnostics, and of the Balmer decrement where each pixel has its own."""
        lines = [line for name in self.names for line in DIAGNOSTICS[name].lines]
        if self.reddening.mode == "map" and any(DIAGNOSTICS[name].dereddened for name in self.names):
            lines += ["Halpha", "Hbeta"]
        return list(dict.fromkeys(lines))

    def dispersion(self, name):
        """Dispersion of a diagnostic's calibration, dex."""
        return self.calibrations[name].dispersion(self.metallicity["dispersion"])


@dataclass
class MeasuredProfile:
    """Annuli of one region, aperture and method.

    Parameters
    ----------
    region, aperture, method : str
        `method`: ``pixels`` (mean of the pixels' abundances) or ``fluxes`` (abundance of the mean fluxes).
    centre : str
    ellipse : Ellipse
    radius, inner, outer : ndarray, shape (n,)
        kpc.
    log_oh : ndarray, shape (n,)
    noise, calibration, reddening : ndarray, shape (n, n)
        Covariances between annuli, dex^2.
    paper_error, scatter : ndarray, shape (n,)
        Of `klever.gradient.annuli.extract_annuli`; NaN for the method ``fluxes``.
    weight, n_pixels, coverage : ndarray, shape (n,)
        As in `Annulus`.
    annuli : list of Annulus
    psf_radius : ndarray, shape (n,)
        Mean radius that the light of an annulus comes from, before the PSF spread it, kpc; NaN if not known.
    """

    region: str
    aperture: str
    method: str
    centre: str
    ellipse: object
    radius: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    log_oh: np.ndarray
    noise: np.ndarray
    calibration: np.ndarray
    reddening: np.ndarray
    paper_error: np.ndarray
    scatter: np.ndarray
    weight: np.ndarray
    n_pixels: np.ndarray
    coverage: np.ndarray
    annuli: list
    psf_radius: np.ndarray = None

    @property
    def common(self):
        """Covariance of what shifts all annuli nearly together, dex^2."""
        return self.calibration + self.reddening

    @property
    def weighting(self):
        """Covariance of the noise, dex^2, made positive definite.

        The autocorrelation of the noise is cut off, so that a combination of overlapping annuli can seem noiseless.
        """
        if not len(self.noise):
            return self.noise
        values, vectors = np.linalg.eigh(0.5 * (self.noise + self.noise.T))
        least = 1e-4 * max(np.trace(self.noise) / len(self.noise), 1e-12)
        return (vectors * np.maximum(values, least)) @ vectors.T


def model_of(abundance, calibrations, metallicity, dust):
    """Return the `AbundanceModel` of a metallicity map.

    Parameters
    ----------
    abundance : MapSet
        metallicity.fits: DIAGNOST, EBVMODE, EBVGLOB, EBVGERR in its header.
    calibrations : dict of str to Calibration
        Of the set the map is made with.
    metallicity, dust : dict
        Sections of the configuration.
    """
    header = abundance.header
    names = tuple(name for name in str(header.get("DIAGNOST", "")).split(",") if name)
    mode = str(header.get("EBVMODE", "none"))
    reddening = Reddening(mode)
    if mode == "global":
        reddening = Reddening(mode, float(header["EBVGLOB"]), float(header["EBVGERR"]))
    return AbundanceModel(names, {name: calibrations[name] for name in names}, reddening, metallicity, dust)


def average_abundances(profile, abundance, model, noise):
    """Give the annuli of a profile their covariance: the mean abundance of pixels.

    Parameters
    ----------
    profile : klever.gradient.profiles.Profile
    abundance : MapSet
        metallicity.fits: LOG_OH, D_LOG_OH_<line> (dex per unit of the source-plane map), D_LOG_OH_EBV, and the ratios.
    model : AbundanceModel
    noise : SourceNoise

    Returns
    -------
    MeasuredProfile
    """
    annuli = profile.annuli
    size = abundance["LOG_OH"].value.size
    mean = np.zeros((len(annuli), size))
    for row, item in zip(mean, annuli, strict=True):
        row[item.pixels] = item.fractions / item.weight
    used = np.flatnonzero(mean.any(axis=0))
    weights = {}
    for line in model.lines:
        slope = abundance[f"D_LOG_OH_{line}"].value.ravel()
        weights[line] = mean * np.nan_to_num(slope)
    ratios = {name: (abundance[name].value.ravel()[used], abundance[name].error.ravel()[used]) for name in model.names}
    shared = [
        model.dispersion(name) * (mean[:, used] @ np.nan_to_num(slope))
        for name, slope in _ratio_responses(ratios, model).items()
    ]
    reddening = np.zeros(len(annuli))
    if model.reddening.mode == "global" and "D_LOG_OH_EBV" in abundance:
        reddening = model.reddening.ebv_error * (mean @ np.nan_to_num(abundance["D_LOG_OH_EBV"].value.ravel()))
    covariance = noise.total_covariance(weights)
    scatter = np.array([item.scatter for item in annuli])
    return _measured(
        profile,
        "pixels",
        annuli,
        profile.radius_kpc,
        profile.log_oh,
        covariance,
        shared,
        reddening,
        profile.error,
        scatter,
    )


def average_fluxes(profile, source, model, noise, gradient, select=None):
    """Return the abundances of the mean line fluxes of annuli about the centre of a profile.

    The means are over all pixels that have the lines' fluxes, whatever their S/N, so that no cut on a weak line
    chooses the pixels where noise or metallicity makes it bright; the S/N thresholds of the maps are applied to the
    means. The profile ends at the first annulus in which a line fails, or that is too poorly covered. The radius of an
    annulus is weighted with the light of Halpha ([O III] without it), as its ratios are.

    Parameters
    ----------
    profile : klever.gradient.profiles.Profile
        Centre and shape of the annuli.
    source : MapSet
        Source-plane line maps.
    model : AbundanceModel
    noise : SourceNoise
    gradient : dict
        The section of the configuration: step, minimum_coverage.
    select : ndarray of bool, shape (ny, nx), optional
        Pixels of the region.

    Returns
    -------
    MeasuredProfile
        Empty if a line is missing or fails in every annulus.
    """
    lines = model.lines
    maps = {line: masked(source, line)[0] for line in lines if line in source and noise.has(line)}
    empty = _measured(profile, "fluxes", [], np.empty(0), np.empty(0), np.empty((0, 0)), [], np.empty(0),
                      np.empty(0), np.empty(0))  # fmt: skip
    if len(maps) < len(lines):
        return empty
    usable = np.all([np.isfinite(item) for item in maps.values()], axis=0)
    flat = np.where(usable, 0.0, np.nan)
    step = gradient["step"] * profile.scale.beam
    annuli = extract_annuli(flat, flat, profile.ellipse, step, profile.scale.beam, gradient["minimum_coverage"], select)
    mean = np.zeros((len(annuli), flat.size))
    for row, item in zip(mean, annuli, strict=True):
        row[item.pixels] = item.fractions / item.weight
    means = {line: mean @ np.nan_to_num(item.ravel()) for line, item in maps.items()}
    covariances = {line: noise.covariance(line, mean) for line in lines}
    fluxes, good = {}, np.ones(len(annuli), bool)
    snr = model.metallicity["map_snr"]
    for line in lines:
        error = np.sqrt(np.diag(covariances[line]))
        fluxes[line] = means[line], error
        good &= means[line] >= snr.get(line, snr["other"]) * error
    first = int(np.argmax(good)) if good.any() else 0
    last = first + int(np.argmin(np.append(good[first:], False)))
    kept = slice(first, last)
    if last == first:
        return empty
    annuli = annuli[kept]
    fluxes = {line: (value[kept], error[kept]) for line, (value, error) in fluxes.items()}
    posterior, responses, _ = abundance_of_fluxes(
        fluxes, model.names, model.calibrations, model.reddening, model.metallicity, model.dust
    )
    covariance = sum(np.outer(responses[line], responses[line]) * covariances[line][kept, kept] for line in lines)
    shared = [model.dispersion(name) * slope for name, slope in posterior.response.items()]
    reddening = np.zeros(len(annuli))
    if "EBV" in responses:
        reddening = model.reddening.ebv_error * responses["EBV"]
    radius = _light_radius(profile, source, maps, annuli)
    nothing = np.full(len(annuli), np.nan)
    return _measured(
        profile, "fluxes", annuli, radius, posterior.median, covariance, shared, reddening, nothing, nothing
    )


def _ratio_responses(ratios, model):
    """Return d log(O/H) / d log10(ratio) of pixels by diagnostic."""
    section = model.metallicity
    grid = tuple(section["log_oh_range"]), section["grid_step"], section["dispersion"]
    return grid_posterior(ratios, model.calibrations, *grid, respond=True).response


def _light_radius(profile, source, maps, annuli):
    """Mean radius of annuli weighted with the light of the tracer line, kpc."""
    tracer = next((name for name in _TRACERS if name in source), None)
    light = masked(source, tracer)[0] if tracer else next(iter(maps.values()))
    light = np.maximum(np.nan_to_num(light), 0.0)
    y, x = np.indices(light.shape)
    distance = profile.ellipse.radius(x.ravel(), y.ravel()) * profile.kpc
    peak = light.max() or 1.0
    radii = []
    for item in annuli:
        weight = item.fractions * light.ravel()[item.pixels] / peak
        weight = weight if weight.sum() > 0 else item.fractions
        radii.append(np.average(distance[item.pixels], weights=weight))
    return np.array(radii)


def _measured(profile, method, annuli, radius, log_oh, noise, shared, reddening, paper_error, scatter):
    kpc = profile.kpc
    calibration = sum((np.outer(item, item) for item in shared), np.zeros((len(annuli), len(annuli))))
    numbers = {
        name: np.array([getattr(item, name) for item in annuli])
        for name in ("inner", "outer", "weight", "n_pixels", "coverage")
    }
    return MeasuredProfile(
        profile.region, profile.aperture, method, profile.centre, profile.ellipse, radius, numbers["inner"] * kpc,
        numbers["outer"] * kpc, log_oh, noise, calibration, np.outer(reddening, reddening), paper_error, scatter,
        numbers["weight"], numbers["n_pixels"], numbers["coverage"], annuli,
    )  # fmt: skip

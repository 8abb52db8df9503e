"""Mock spectra for the tests of the line fit, made without its engine: Gaussians integrated by fine sampling."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from klever.linefit.model import GroupModel
from klever.spectral_lines import lines_in_band, load_instruments, load_line_list

RESOURCES = Path(__file__).parents[2] / "resources"
LINE_LIST = load_line_list(RESOURCES / "lines.yaml")
INSTRUMENTS = load_instruments(RESOURCES / "instruments.yaml")
C = 299792.458
RELATIVE = {
    "OII3726": 0.8, "OII3729": 1.0, "Hbeta": 0.35, "OIII4959": 1 / 3, "OIII5007": 1.0, "NII6548": 0.1, "Halpha": 1.0,
    "NII6584": 0.3, "SII6717": 0.18, "SII6731": 0.15, "SIII9069": 1 / 2.47, "SIII9531": 1.0,
}  # fmt: skip
OPTIONS = {
    "smoothing_fwhm": 0.4, "groups": ["oii", "oiii", "halpha", "siii"], "velocity_range": 600.0,
    "dispersion_range": [20.0, 300.0], "window": 4000.0, "minimum_coverage": 0.5, "aperture_radius": 0.6,
    "detection_snr": 3.0, "doublet_ratios": "paper", "binning": "none", "bin_snr": 10.0, "bin_line": "auto",
    "engine": "compiled", "errors": "jacobian", "error_samples": 100, "error_seed": 42, "broad": {},
    "broad_dispersion_range": [300.0, 3000.0], "broad_evidence": 5.0,
}  # fmt: skip


def band_wavelength(n=2048):
    """KMOS H."""
    return np.linspace(1.456, 1.846, n)


def window_of(group, z, wavelength, reach=4000.0):
    """Part of `wavelength` within `reach` (km/s) of the group's lines."""
    rest = [line.wavelength * (1 + z) for line in LINE_LIST.groups[group].lines]
    low, high = min(rest) * (1 - reach / C), max(rest) * (1 + reach / C)
    return wavelength[(wavelength >= low) & (wavelength <= high)]


def model_of(group, z, wavelength, sigma=None):
    reduced = lines_in_band(LINE_LIST.select([group]), z, (wavelength[0], wavelength[-1]))
    return GroupModel(reduced[0], z, 1.651 / 4045 / 2.3548 if sigma is None else sigma)


def binned_gaussian(wavelength, centre, sigma, fine=25):
    """Mean of a unit Gaussian over each pixel, by the midpoint rule on `fine` points."""
    step = wavelength[1] - wavelength[0]
    offsets = ((np.arange(fine) + 0.5) / fine - 0.5) * step
    points = (wavelength[:, None] + offsets - centre) / sigma
    return np.exp(-0.5 * points**2).mean(axis=1) / (sigma * np.sqrt(2 * np.pi))


def spectra(model, wavelength, snr, velocity, dispersion, rng, relative=None, sigma_noise=1.0, continuum=(0.7, 0.3)):
    """Noisy spectra, errors and true fluxes.

    `snr` is that of the main line's flux if all else were known; arrays velocity and dispersion have one entry a
    spectrum.
    """
    relative = relative or RELATIVE
    n = len(velocity)
    snr = np.broadcast_to(snr, n)
    clean = np.zeros((n, len(wavelength)))
    truth = {}
    step = wavelength[1] - wavelength[0]
    x = (wavelength - wavelength.mean()) / np.ptp(wavelength) * 2
    for s in range(n):
        sigma_main = None
        for line in sorted(model.group.lines, key=lambda line: line.name != model.group.main):
            centre = line.wavelength * (1 + model.z) * (1 + velocity[s] / C)
            spread = model.sigma_instrument
            sigma = np.hypot(centre * dispersion[s] / C, spread(centre) if callable(spread) else spread)
            sigma_main = sigma_main or sigma
            unit = sigma_noise * np.sqrt(2 * np.sqrt(np.pi) * sigma_main * step)
            flux = snr[s] * unit * relative[line.name] / relative[model.group.main]
            truth.setdefault(line.name, np.zeros(n))[s] = flux
            clean[s] += flux * binned_gaussian(wavelength, centre, sigma)
    clean += sigma_noise * (continuum[0] + continuum[1] * x)
    error = np.full(clean.shape, sigma_noise) * (1 + 0.5 * np.sin(wavelength * 900) ** 2)
    return clean + rng.normal(size=clean.shape) * error, error, truth


def header(nx, ny, scale=0.2):
    """Celestial header of a north-up field at (150, 2) degrees."""
    result = fits.Header()
    result["WCSAXES"] = 2
    for axis, kind, size, centre in ((1, "RA---TAN", nx, 150.0), (2, "DEC--TAN", ny, 2.0)):
        result[f"CTYPE{axis}"], result[f"CUNIT{axis}"] = kind, "deg"
        result[f"CRPIX{axis}"], result[f"CRVAL{axis}"] = 0.5 * (size + 1), centre
    result["CD1_1"], result["CD1_2"], result["CD2_1"], result["CD2_2"] = -scale / 3600, 0.0, 0.0, scale / 3600
    return result

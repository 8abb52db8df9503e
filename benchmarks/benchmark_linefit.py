"""Speed of the line fit against `scipy.optimize.curve_fit` on the same mock spaxels, in one run on one thread.

Run: OMP_NUM_THREADS=1 PYTHONPATH=workflow/scripts python benchmarks/benchmark_linefit.py
"""

import sys
import time
from pathlib import Path

import numpy as np
from scipy.optimize import curve_fit

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "workflow/scripts"), str(ROOT / "tests/unit")]

from linefit_mocks import C, band_wavelength, model_of, spectra, window_of  # noqa: E402

from klever.linefit.model import pixel_edges, pixel_profile  # noqa: E402
from klever.linefit.varpro import fit_spectra  # noqa: E402

Z, N_SPAXELS, N_REFERENCE = 1.4, 900, 60
_FREE = ("Halpha", "NII6584", "SII6717", "SII6731")


def reference_fit(model, wavelength, flux, error):
    """Return chi2 of what a user would write: curve_fit (TRF, bounds, numeric Jacobian) on each spaxel."""
    edges, scale = pixel_edges(wavelength), np.ptp(wavelength) / 2
    x = (wavelength - wavelength.mean()) / scale

    def curve(_, v, sigma, halpha, n2, s2, ratio, c0, c1):
        fluxes = {"Halpha": halpha, "NII6584": n2, "NII6548": n2 / 3, "SII6717": s2 * ratio, "SII6731": s2}
        total = c0 + c1 * x
        for line in model.group.lines:
            position = line.wavelength * (1 + Z) * (1 + v / C)
            width = np.hypot(position * sigma / C, model.sigma_instrument)
            total = total + fluxes[line.name] * 1e-3 * pixel_profile(edges, position, width)
        return total

    inf = np.inf
    bounds = ([-600, 20, -inf, -inf, -inf, 0.4, -inf, -inf], [600, 300, inf, inf, inf, 1.45, inf, inf])
    chi2 = []
    for data, spread in zip(flux, error, strict=True):
        start = [0.0, 80.0, 5.0, 1.0, 1.0, 1.0, np.median(data), 0.0]
        best, _ = curve_fit(curve, wavelength, data, start, spread, bounds=bounds, max_nfev=2000)
        chi2.append(np.sum(((data - curve(None, *best)) / spread) ** 2))
    return np.array(chi2)


def main():
    rng = np.random.default_rng(0)
    wavelength = window_of("halpha", Z, band_wavelength())
    model = model_of("halpha", Z, wavelength)
    snr = rng.uniform(3, 30, N_SPAXELS)
    flux, error, _ = spectra(
        model, wavelength, snr, rng.uniform(-200, 200, N_SPAXELS), rng.uniform(40, 120, N_SPAXELS), rng
    )
    fit_spectra(model, wavelength, flux[:50], error[:50])
    began = time.process_time()
    fit = fit_spectra(model, wavelength, flux, error)
    ours = N_SPAXELS / (time.process_time() - began)
    began = time.process_time()
    chi2 = reference_fit(model, wavelength, flux[:N_REFERENCE], error[:N_REFERENCE])
    theirs = N_REFERENCE / (time.process_time() - began)
    difference = fit.chi2[:N_REFERENCE] - chi2
    print(f"{len(wavelength)} channels, {N_SPAXELS} spaxels of the Halpha group")
    print(f"klever.linefit        {ours:8.0f} spaxels/s of CPU")
    print(f"scipy curve_fit       {theirs:8.0f} spaxels/s of CPU ({N_REFERENCE} spaxels)")
    print(f"ratio                 {ours / theirs:8.1f}")
    worse, better = np.mean(difference > 1), np.mean(difference < -1)
    print(
        f"chi2(klever) - chi2(curve_fit): median {np.median(difference):.3f}, worse by more than 1 in {worse:.1%}, "
        f"better by more than 1 in {better:.1%}"
    )


if __name__ == "__main__":
    main()

"""Coverage of the quoted 68 % errors of the line fit: how often the truth lies within value +- error.

Many noise realisations of a simulated H-band cube are fitted as the workflow fits them (smoothing, velocity prior from
neighbours, noise correlation measured from the cube), with white and with spatially correlated noise.

Run: OMP_NUM_THREADS=1 PYTHONPATH=workflow/scripts python benchmarks/error_coverage.py [realisations]
"""

import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "workflow/scripts"), str(ROOT / "tests/unit")]

from linefit_mocks import LINE_LIST, OPTIONS, RELATIVE, band_wavelength, binned_gaussian, header, window_of  # noqa: E402

from klever.cubes.cube import Cube  # noqa: E402
from klever.linefit.cubefit import band_models, fit_cube  # noqa: E402
from klever.linefit.model import GroupModel  # noqa: E402
from klever.linefit.smoothing import kernel, smooth, smoothed_variance  # noqa: E402

Z, SIGMA_INSTRUMENT = 1.4, 1.651 / 4045 / 2.3548
NY, NX = 18, 16
BINS = ((2, 3), (3, 5), (5, 8), (8, 30))


def noiseless(seed, dispersion=(40.0, 110.0)):
    """Cube without noise and its truth: one velocity and width, Halpha flux that falls outwards.

    The last result is the flux error of one spectrum of unit noise, if position and width of the line are known.
    """
    rng = np.random.default_rng(seed)
    wavelength = window_of("halpha", Z, band_wavelength())
    model = GroupModel(LINE_LIST.groups["halpha"], Z, SIGMA_INSTRUMENT)
    velocity, width = rng.uniform(-200, 200), rng.uniform(*dispersion)
    y, x = np.mgrid[:NY, :NX]
    step = wavelength[1] - wavelength[0]
    centres = model.centres(velocity)
    sigmas = model.sigmas(centres, width)
    unit = np.sqrt(2 * np.sqrt(np.pi) * sigmas[model.main] * step)  # flux of S/N 1 for noise of unit density
    flux = unit * rng.uniform(1.0, 8.0) * np.exp(-np.hypot(x - 7.3, y - 8.1) / 5.0)
    line = sum(
        RELATIVE[name] * binned_gaussian(wavelength, centre, sigma)
        for name, centre, sigma in zip(model.names, centres, sigmas, strict=True)
    )
    return wavelength, flux, line, velocity, width, unit


def noise(rng, shape, correlated):
    """Draw unit noise, white or as after resampling: each channel smoothed with a Gaussian of 1.5 spaxels FWHM."""
    ny, nx = shape[1:]
    if not correlated:
        return rng.standard_normal(shape)
    taps = kernel(1.5)
    wide = rng.standard_normal((shape[0], ny + len(taps) - 1, nx + len(taps) - 1))
    wide = np.apply_along_axis(np.convolve, 1, wide, taps, "valid")
    wide = np.apply_along_axis(np.convolve, 2, wide, taps, "valid")
    return wide / (taps**2).sum()


def true_autocorrelation(correlated):
    """Of `noise`."""
    if not correlated:
        return np.ones((1, 1))
    taps = kernel(1.5)
    own = np.convolve(taps, taps[::-1])
    return np.outer(own, own) / own.max() ** 2


def realisations(count, errors, correlated, seed=0):
    """Return true and measured values of all fitted spaxels of `count` cubes: dict of arrays."""
    rows = []
    for k in range(count):
        wavelength, flux, line, velocity, width, unit = noiseless(seed + k)
        rng = np.random.default_rng(10_000 + seed + k)
        shape = (len(wavelength), NY, NX)
        data = flux * line[:, None, None] + 0.5 + noise(rng, shape, correlated)
        cube = Cube(data, np.ones(shape), np.zeros(shape, np.uint8), wavelength, header(NX, NY), {})
        options = OPTIONS | {"errors": errors, "velocity_range": 400.0}
        settings = {"galaxy": "mock", "band": "H", "instrument": "KMOS", "z": Z, "psf_fwhm": 0.5, "lines": options}
        maps = fit_cube(cube, band_models(cube, LINE_LIST, SIGMA_INSTRUMENT, Z, ["halpha"]), settings)
        truth, _ = smooth(flux, np.ones((NY, NX), bool), options["smoothing_fwhm"] / cube.spaxel_scale)
        scatter = smoothed_variance(np.ones((NY, NX)), np.ones((NY, NX), bool), options["smoothing_fwhm"] / 0.2,
                                    true_autocorrelation(correlated))  # fmt: skip
        snr = truth / (unit * np.sqrt(scatter))
        halpha, speed, spread = maps["Halpha"], maps["VELOCITY_HALPHA"], maps["DISPERSION_HALPHA"]
        good = np.isfinite(halpha.value)
        rows.append(np.array([
            truth[good], halpha.value[good], halpha.error[good], np.full(good.sum(), velocity), speed.value[good],
            speed.error[good], np.full(good.sum(), width), spread.value[good], spread.error[good],
            snr[good],
        ]))  # fmt: skip
    names = ("flux_true", "flux", "flux_error", "velocity_true", "velocity", "velocity_error", "dispersion_true",
             "dispersion", "dispersion_error", "snr")  # fmt: skip
    return dict(zip(names, np.concatenate(rows, axis=1), strict=True))


def coverage(sample):
    """Coverage by bins of the S/N of the Halpha flux if all else were known: list of dicts."""
    table = []
    for low, high in BINS:
        chosen = (sample["snr"] >= low) & (sample["snr"] < high)
        row = {"snr": [low, high], "spaxels": int(chosen.sum())}
        for name in ("flux", "velocity", "dispersion"):
            offset = np.abs(sample[name] - sample[f"{name}_true"]) < sample[f"{name}_error"]
            row[name] = float(np.mean(offset[chosen]))
        row["off_100_km_s"] = float(np.mean(np.abs(sample["velocity"] - sample["velocity_true"])[chosen] > 100))
        table.append(row)
    return table


def main(count=60):
    report = []
    for correlated in (False, True):
        for errors in ("jacobian", "posterior"):
            sample = realisations(count, errors, correlated)
            table = coverage(sample)
            report.append({"noise": "correlated" if correlated else "white", "errors": errors, "bins": table})
            print(f"{'correlated' if correlated else 'white'} noise, {errors}, {count} cubes")
            for row in table:
                low, high = row["snr"]
                print(
                    f"  S/N {low}-{high}: flux {row['flux']:.3f}, velocity {row['velocity']:.3f}, dispersion "
                    f"{row['dispersion']:.3f}, |dv| > 100 km/s {row['off_100_km_s']:.1%} ({row['spaxels']})"
                )
    return report


if __name__ == "__main__":
    result = main(*map(int, sys.argv[1:]))
    (ROOT / "benchmarks/results").mkdir(exist_ok=True)
    (ROOT / "benchmarks/results/error_coverage.json").write_text(json.dumps(result, indent=1) + "\n")

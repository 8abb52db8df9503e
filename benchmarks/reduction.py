"""How well the reduction of exposures does what it should: sky, line fluxes, alignment, PSF, noise, cosmic rays, speed.

Simulated exposures of KMOS in H (klever_simulation.exposures, which shares no code with the reduction) and, for the sky
residuals, the real combined cubes. Results go to benchmarks/results/reduction.json.

Run: OMP_NUM_THREADS=1 PYTHONPATH=workflow/scripts python benchmarks/reduction.py [--full] [--real FOLDER]
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from klever.cubes.readers import read_cube  # noqa: E402
from klever.reduce.covariance import covariance_factor  # noqa: E402
from klever.reduce.pointing import collapse, load_pointing, measure_stars, reduce_target  # noqa: E402
from klever.reduce.residualpass import listed_lines, residual_pass, residual_statistics  # noqa: E402
from klever.reduce.skysub import source_free, subtract_sky  # noqa: E402
from klever.reduce.starfit import fit_star  # noqa: E402
from klever_simulation.exposure_files import point_source, write_exposure  # noqa: E402
from klever_simulation.exposures import (  # noqa: E402
    Instrument,
    Sky,
    State,
    Target,
    expose,
    moffat_image,
    observing_block,
    response,
)

BANDS = {"YJ": ((1.025, 1.344), 3582), "H": ((1.456, 1.846), 4045), "K": ((1.92, 2.46), 4227)}
OPTIONS = {
    "cosmic_ray_sigma": 8.0, "stretch_degree": 5, "rotational": True, "pixel_scale": 0.1, "pixfrac": 0.6,
    "clip_sigma": 3.0, "alignment": "detector",
}  # fmt: skip
CENTRE = (342.18, -44.53)
TIME = 300.0
STARS = (2, 11, 20)
PLACES = {2: (-80.0, 60.0), 11: (100.0, 20.0), 20: (-20.0, -110.0)}
SHIFT, VARIATION = 0.2, 0.1  # channels, fraction


def oh_lines():
    """Return the table of Rousselot et al. (2000)."""
    return np.loadtxt(ROOT / "resources/oh_lines_rousselot2000.dat")


def scene(band):
    """Return instrument and sky of a band."""
    instrument = Instrument(band, *BANDS[band])
    table = oh_lines()
    return instrument, Sky(instrument, (table[:, 0] * 1e-4, table[:, 1]))


def pair(seed, variation=VARIATION, shift=SHIFT):
    """Return an exposure and a sky whose groups differ by `variation` (1 sigma) and lines by `shift` channels."""
    rng = np.random.default_rng(seed)
    flexure = {1: np.array([shift, 0.1 * shift, -0.1 * shift])}
    own = State(2 * seed, "O", 0.0, groups=1 + variation * rng.standard_normal(14), flexure=flexure)
    return own, State(2 * seed + 1, "S", 330.0)


def sky_residuals(band, count=4):
    """Rms on sky lines in units of photon noise, over pairs of exposures: voxels and mean spectra."""
    instrument, sky = scene(band)
    target = Target(3, "blank", (10.0, 20.0), "sky")
    rows = []
    for seed in range(count):
        own, other = pair(seed)
        flux, error, _ = expose(instrument, sky, target, own, TIME, seed, cosmic_rays=0)
        reference, noise, _ = expose(instrument, sky, target, other, TIME, seed, cosmic_rays=0)
        free = np.ones(flux.shape[1:], bool)
        for stretch in (True, False):
            fit = subtract_sky(instrument.wavelength, flux, error, reference, noise, free=free, stretch=stretch)
            rows += [row | {"stretch": stretch} for row in fit.groups if row["channels"] > 0]
    result = {}
    for name in dict.fromkeys(row["group"] for row in rows):
        own = [row for row in rows if row["group"] == name and row["stretch"]]
        without = [row for row in rows if row["group"] == name and not row["stretch"]]

        def rms(chosen, key, over):
            return float(np.sqrt(np.mean([(row[key] / row[over]) ** 2 for row in chosen])))

        result[name] = {
            "channels": own[0]["channels"],
            "plain": rms(own, "before", "expected"), "davies": rms(without, "after", "expected"),
            "davies_stretch": rms(own, "after", "expected"), "mean_plain": rms(own, "mean_before", "mean_expected"),
            "mean_davies": rms(without, "mean_after", "mean_expected"),
            "mean_davies_stretch": rms(own, "mean_after", "mean_expected"),
            "mean_plain_over_davies_stretch": rms(own, "mean_before", "mean_after"),
        }  # fmt: skip
    return result


def flux_bias(width=0.6, protect=False, count=12, band="H", line=1.60308):
    """Mean flux of a source's line on a bright sky line over its truth, and the error of that mean.

    Parameters
    ----------
    width : float
        FWHM of the source, arcsec.
    protect : bool
        Leave the line's channels out of the fits.
    """
    instrument, sky = scene(band)
    wavelength = instrument.wavelength
    sigma = np.hypot(60 / 299792.458 * line, instrument.sigma)
    profile = 2e-15 * np.exp(-0.5 * ((wavelength - line) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
    image = moffat_image(14, 0.2, (0.0, 0.0), width)
    target = Target(3, "source", (0.0, 0.0), "galaxy", lambda *_: profile[:, None, None] * image)
    protected = np.abs(wavelength - line) < 4 * sigma if protect else None
    window = np.abs(wavelength - line) < 3 * sigma
    clear = np.ones(wavelength.size)
    ratios = []
    for seed in range(count):
        own, other = pair(seed)
        own.drift = own.dither = (0.0, 0.0)
        flux, error, _ = expose(instrument, sky, target, own, TIME, seed, transmission=clear, cosmic_rays=0)
        reference, noise, _ = expose(instrument, sky, target, other, TIME, seed, transmission=clear, cosmic_rays=0)
        fit = subtract_sky(wavelength, flux, error, reference, noise, protected=protected, rotational=True)
        calibrated = fit.flux / response(instrument)[:, None, None]
        model = (profile[window, None, None] * image).astype(float)
        ratios.append(float(np.sum(calibrated[window] * model) / np.sum(model**2)))
    return {"ratio": float(np.mean(ratios)), "error": float(np.std(ratios, ddof=1) / np.sqrt(count))}


def simulate(folder, arms, count, seed=11, seeing=0.5, beta=None, cosmic_rays=6, band="H", extra=None):
    """Write an observing block with stars, blank arms and sources; return paths, states and targets."""
    instrument, sky = scene(band)
    spectrum = 2e-13 * (instrument.wavelength / 1.6) ** -3
    rng = np.random.default_rng(3)
    targets = []
    for arm in arms:
        place = PLACES.get(arm, tuple(rng.uniform(-120, 120, 2)))
        kind = "star" if arm in STARS else "galaxy"
        source = point_source(instrument, spectrum, beta) if kind == "star" else (extra or _nothing)
        targets.append(Target(arm, f"{kind}{arm}", place, kind, source))
    states = observing_block(count, seed, band, seeing=seeing)
    paths, hits = [], []
    for state in states:
        paths.append(str(Path(folder) / f"e{state.number:02d}.fits"))
        hits.append(
            write_exposure(paths[-1], instrument, sky, targets, state, CENTRE, TIME, seed, cosmic_rays=cosmic_rays)
        )
    return paths, states, {target.arm: target for target in targets}, hits


def _nothing(*_):
    return np.zeros((2048, 14, 14))


def alignment(pointing, states, targets):
    """Error of the offsets that are applied, about their mean (which is the combined cube's own zero point)."""
    objects = [state for state in states if state.kind == "O"]
    result = {}
    for method in ("detector", "star", "field", "header"):
        errors = []
        for arm, target in targets.items():
            own = []
            for found, state in zip(pointing.alignments, objects, strict=True):
                angle = np.radians(state.rotation)
                west, north = target.position
                truth = -np.array([state.drift[0] - angle * north, state.drift[1] + angle * west])
                own.append(np.subtract(found.offset(arm, target.position, method), truth))
            errors.append(np.array(own) - np.mean(own, axis=0))
        errors = np.concatenate(errors)
        result[method] = {"rms": float(errors.std()), "largest": float(np.abs(errors).max())}
    return result


def psf_and_noise(seed, beta):
    """Seeing of a combined star against the input, and variances of a combined blank field."""
    with tempfile.TemporaryDirectory() as folder:
        paths, states, targets, _ = simulate(folder, [*STARS, 5], 12, seed, beta=beta)
        pointing = load_pointing(paths)
        measure_stars(pointing, list(STARS), OPTIONS)
        star = reduce_target(pointing, 2, None, OPTIONS)
        blank = reduce_target(pointing, 5, None, OPTIONS)
    image = collapse(star.cube.flux)
    fit = fit_star(image, 0.1, profile="gauss" if beta is None else "moffat", boxes=(0.2, 0.12, 0.1))
    truth = float(np.mean([state.seeing for state in states if state.kind == "O"]))
    return {
        "seeing": truth, "recovered": fit.fwhm, "ratio": fit.fwhm / truth,
        "in_cube": fit_star(image, 0.1, profile="gauss", boxes=()).fwhm,
        "alignment": alignment(pointing, states, targets), "noise": _variance_check(blank),
    }  # fmt: skip


def _variance_check(target):
    """Covariance measured on every other channel, applied to the others: true over predicted variance, by size."""
    odd = [array[1::2] for array in (target.cube.flux - collapse(target.cube.flux), target.cube.error)]
    even = [array[0::2] for array in (target.cube.flux - collapse(target.cube.flux), target.cube.error)]
    full = target.cube.exposures.max(axis=0) >= 0.8 * target.cube.exposures.max()
    factor, check = (covariance_factor(np.where(full, flux, np.nan), error) for flux, error in (odd, even))
    return {
        "predicted": target.predicted, "measured": factor,
        "variance_ratio": {size: (check[size] / factor[size]) ** 2 for size in factor if np.isfinite(factor[size])},
        "voxel_variance": check[1] ** 2,
    }  # fmt: skip


def variance_over_seeds(seeds=range(1001, 7007, 1001)):
    """Return true over predicted variance, by size: mean over draws of the noise, and its error from their scatter."""
    found = [psf_and_noise(seed, None)["noise"]["variance_ratio"] for seed in seeds]
    ratios = {size: np.array([one[size] for one in found]) for size in found[0]}
    return {size: {"mean": r.mean(), "error": r.std(ddof=1) / np.sqrt(len(r))} for size, r in ratios.items()}


def cosmic_rays():
    """Combine a blank field with and without cosmic rays and count what stands out, in units of the error."""
    cubes, hits = [], 0
    for rate in (0, 30):
        with tempfile.TemporaryDirectory() as folder:
            paths, _, _, found = simulate(folder, [*STARS, 5], 12, cosmic_rays=rate)
            hits += sum(len(hit[5]) for hit in found)
            pointing = load_pointing(paths)
            measure_stars(pointing, list(STARS), OPTIONS)
            cubes.append(reduce_target(pointing, 5, None, OPTIONS).cube)
    clean, dirty = cubes
    good = np.isfinite(clean.flux) & np.isfinite(dirty.flux)
    # the noise is the same in both; a voxel that lacks a clipped exposure changes by less than its error allows
    clean, dirty = ((cube.flux / cube.error)[good] for cube in cubes)
    return {
        "hits": int(hits), "voxels": int(good.sum()),
        "beyond_5_sigma_with_and_without": [int(np.sum(np.abs(values) > 5)) for values in (dirty, clean)],
        "new_beyond_5_sigma": int(np.sum((np.abs(dirty) > 5) & (np.abs(clean) < 4))),
        "largest_change_sigma": float(np.max(np.abs(dirty - clean))),
    }  # fmt: skip


def speed(count=24, exposures=12):
    """Time and memory of a whole pointing, one process, one thread."""
    with tempfile.TemporaryDirectory() as folder:
        paths, *_ = simulate(folder, range(1, count + 1), exposures)
        start, busy = time.perf_counter(), time.process_time()
        pointing = load_pointing(paths)
        measure_stars(pointing, list(STARS), OPTIONS)
        for ifu in range(1, count + 1):
            reduce_target(pointing, ifu, None, OPTIONS)
        seconds, cpu = time.perf_counter() - start, time.process_time() - busy
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"ifus": count, "exposures": exposures, "seconds": seconds, "cpu_seconds": cpu, "memory_mb": memory}


def real_cubes(folder):
    """Residuals of the real combined cubes with and without the extra pass; the pass is made from half the spaxels."""
    own = {
        "cdfs294_YJ_COMBINED.fits": (0.9752, [0.6549, 0.6563, 0.6585, 0.6718, 0.6733, 0.6302]),
        "gum43_K_SCI_COMBINED.fits.gz": (
            0.0, [1.9576, 2.0338, 2.0587, 2.0735, 2.1218, 2.1542, 2.1661, 2.2014, 2.2233, 2.2477, 2.3556, 2.4066],
        ),
    }  # fmt: skip
    result = {}
    for name, (z, lines) in own.items():
        cube = read_cube(Path(folder) / "kmos" / name, "erg s-1 cm-2 um-1")
        protected = np.any([np.abs(cube.wavelength / (line * (1 + z)) - 1) < 400 / 299792 for line in lines], axis=0)
        sky, free = listed_lines(cube.wavelength, oh_lines()), source_free(cube.flux)
        even = np.add(*np.indices(free.shape)) % 2 == 0
        passed, error, residual = residual_pass(cube.flux, cube.error, sky, free & even, protected)
        before, after = (
            residual_statistics(cube.wavelength, flux, sigma, sky, free & ~even, protected)
            for flux, sigma in ((cube.flux, cube.error), (passed, error))
        )
        groups = [
            one | {"on_after": two["on"], "mean_on_after": two["mean_on"]}
            for one, two in zip(before, after, strict=True)
        ]
        result[name] = {"corrected_channels": int(np.sum(residual != 0)), "groups": groups}
    return result


def main():
    """Run what is asked for and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="also the pointing of 24 IFUs (minutes, 1 GB of disk)")
    parser.add_argument("--real", help="folder with kmos/: residuals of the real cubes")
    arguments = parser.parse_args()
    path = ROOT / "benchmarks/results/reduction.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    results["sky_residuals"] = {band: sky_residuals(band) for band in BANDS}
    results["flux_bias"] = {
        "compact": flux_bias(), "compact, protected": flux_bias(protect=True), "fills the field": flux_bias(2.5),
        "fills the field, protected": flux_bias(2.5, protect=True),
    }  # fmt: skip
    results["pointing"] = {"gauss": psf_and_noise(11, None), "moffat": psf_and_noise(12, 3.5)}
    results["variance_over_seeds"] = variance_over_seeds()
    results["cosmic_rays"] = cosmic_rays()
    if arguments.full:
        results["speed"] = speed()
    if arguments.real:
        results["real_cubes"] = real_cubes(arguments.real)
    text = json.dumps(_plain(results), indent=1)
    path.write_text(text + "\n")
    print(text)


def _plain(value):
    """Round numbers to 5 digits; JSON has no NaN."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    return value


if __name__ == "__main__":
    main()

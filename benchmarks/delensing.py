"""Time of de-lensing all line maps of a galaxy, with errors, for many realisations of its lens model.

The galaxies are mocks of the survey's extremes: a KMOS field on 0.065 arcsec pixels, and an arc on 0.025 arcsec pixels
in the source plane. Each realisation has its own deflection, so the rays are traced, the operators made and the noise
of the spaxels propagated anew; reading and writing of files is not counted. CPU time of one thread.

Run: OMP_NUM_THREADS=1 PYTHONPATH=workflow/scripts python benchmarks/delensing.py [realisations]
"""

import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "workflow/scripts"), str(ROOT / "tests/unit")]

from lensing_scene import DEC, RA, Isothermal, align_settings, gaussian, write_band  # noqa: E402

from align import align_bands  # noqa: E402
from klever.align.bandmaps import choose_bands, read_bands, transform  # noqa: E402
from klever.correlated_errors import CorrelatedErrors  # noqa: E402
from klever.grids import Grid  # noqa: E402
from klever.maps import MapSet  # noqa: E402
from klever.operators import load_operators  # noqa: E402
from klever.source.delensing import delens  # noqa: E402

LINES = {
    "YJ": ("OII3726", "OII3729", "OII", "SII6717", "SII6731"),
    "H": ("HBETA", "OIII4959", "OIII5007", "HGAMMA", "NII6548"),
    "K": ("HALPHA", "NII6584", "SII", "SIII9069", "SIII9531"),
}
GALAXIES = {
    "KMOS field": {"shape": (15, 15), "scale": 0.2, "pixel_scale": 0.065, "einstein": 10.0, "distance": 16.0},
    "arc": {"shape": (64, 64), "scale": 0.125, "pixel_scale": 0.025, "einstein": 5.0, "distance": 5.6},
}


def observe(folder, galaxy):
    """Write line maps of a galaxy behind an isothermal lens; return bands, resampling and the aligned grid."""
    lens = Isothermal(galaxy["einstein"], (-galaxy["distance"], 0.0))

    def sky(west, north):
        ax, ay = lens.deflection(west, north)
        return gaussian(west - ax, north - ay, galaxy["einstein"] * -1.0, 0.0, 0.8)

    paths = [write_band(folder / f"{name}.fits", sky, lines=lines, shape=galaxy["shape"], scale=galaxy["scale"], seed=i)
             for i, (name, lines) in enumerate(LINES.items())]  # fmt: skip
    align_bands(paths, [], folder / "aligned.fits", folder / "align.npz", align_settings(list(LINES), method="none"))
    aligned = MapSet.read(folder / "aligned.fits")
    grid = Grid(aligned.header, aligned["HALPHA"].value.shape, (RA, DEC))
    return read_bands(paths, list(LINES), (RA, DEC)), load_operators(folder / "align.npz")[0], grid


def reconstruct(bands, resampling, offsets, alpha, options):
    """De-lens every line with its error, as the step `source` does."""
    middle = tuple(n // 2 for n in alpha[0].shape)
    centre = [float(p[middle] - a[middle]) for p, a in zip(offsets, alpha, strict=True)]
    plane = delens(alpha, offsets, centre, options)
    composite = {band.name: (plane.operator @ resampling[band.name]).tocsr() for band in bands}
    errors = {band.name: CorrelatedErrors(composite[band.name], band.correlation) for band in bands}
    return {
        name: transform(composite[band.name], band.maps[name], errors[band.name], plane.grid.shape,
                        factor=1.0 / band.grid.pixel_area)
        for name, band in choose_bands(bands).items()
    }  # fmt: skip


def measure(name, galaxy, realisations):
    """Return the result of one mock galaxy."""
    with tempfile.TemporaryDirectory() as folder:
        bands, resampling, grid = observe(Path(folder), galaxy)
    offsets = grid.pixel_offsets()
    random = np.random.default_rng(2020)
    options = {"method": "subpixels", "subpixels": 4, "pixel_scale": galaxy["pixel_scale"]}
    radii = galaxy["einstein"] * random.normal(1.0, 0.01, realisations)
    seconds = []
    for einstein in radii:
        alpha = Isothermal(einstein, (-galaxy["distance"], 0.0)).deflection(*offsets)
        start = time.process_time()
        maps = reconstruct(bands, resampling, offsets, alpha, options)
        seconds.append(time.process_time() - start)
    return {
        "galaxy": name, "bands": len(bands), "lines": len(maps), "spaxels": int(np.prod(galaxy["shape"])),
        "image_pixels": int(np.prod(grid.shape)), "source_pixels": int(next(iter(maps.values())).value.size),
        "realisations": realisations, "seconds": round(sum(seconds), 2),
        "seconds_per_realisation": round(float(np.median(seconds)), 4),
    }  # fmt: skip


def main(realisations):
    """Measure all mock galaxies, write results/delensing.json and print it."""
    result = {"machine": platform.processor() or platform.machine(), "python": platform.python_version(),
              "galaxies": [measure(name, galaxy, realisations) for name, galaxy in GALAXIES.items()]}  # fmt: skip
    path = ROOT / "benchmarks/results/delensing.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)

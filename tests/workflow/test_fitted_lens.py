"""A galaxy lens fitted by its rule to the image of an arc is the lens model of a galaxy behind it."""

import numpy as np
import pytest
from astropy.table import Table
from survey_runs import CONFIG, snakemake

from klever.maps import Map, MapSet
from klever_simulation.formats import celestial_header
from klever_simulation.lenses import load_lens

pytestmark = pytest.mark.workflow

CENTRE = (150.0, 2.0)
THETA_E, SLOPE, PIXEL = 1.5, 2.0, 0.06
TRUTH = f"""\
ring:
  ra: {CENTRE[0]}
  dec: {CENTRE[1]}
  z_lens: 0.4
  z_reference: 2.0
  components:
  - {{name: galaxy, type: power_law, x: 0.0, y: 0.0, einstein_radius: {THETA_E}, slope: {SLOPE}, axis_ratio: 0.85,
     angle: 30.0}}
  - {{name: shear, type: shear, gamma: 0.03, angle: 70.0}}
"""
LENS = f"""\
ring:
  z_lens: 0.4
  origin: fit_arc
  centre: [{CENTRE[0]}, {CENTRE[1]}]
  normalisation: {{z_source: 2.0}}
  arc_image: ring.fits
  arc_fit: {{mask_radius: [0.7, 2.3], psf_fwhm: 0.12, lens_light: none, vertices: 500, meshes: 1, draws: 60,
            samples: 20}}
"""


def write_arc(path, lens):
    """Image of two round blobs behind the lens, 4 x 4 rays a pixel, peak S/N 40."""
    from astropy.io import fits
    from scipy.ndimage import gaussian_filter

    n, rays = 90, 4
    axis = (np.arange(n * rays) - (n * rays - 1) / 2) * PIXEL / rays
    x, y = np.meshgrid(axis, axis)
    ax, ay = lens.deflection(x, y, 2.0)
    image = sum(
        share * np.exp(-0.5 * ((x - ax - west) ** 2 + (y - ay - north) ** 2) / width**2)
        for share, west, north, width in ((1.0, 0.05, 0.06, 0.1), (0.6, -0.12, 0.1, 0.06))
    )
    image = gaussian_filter(image, 0.12 / 2.3548 / PIXEL * rays).reshape(n, rays, n, rays).mean(axis=(1, 3))
    sigma = image.max() / 40
    image += np.random.default_rng(1).normal(0, sigma, image.shape)
    header = celestial_header(*CENTRE, n, n, PIXEL)
    header["SKYSIGMA"] = sigma
    fits.writeto(path, image, header)


def test_the_deflection_of_a_fitted_ring_reaches_the_galaxy(tmp_path):
    (tmp_path / "truth.yaml").write_text(TRUTH)
    truth = load_lens("ring", tmp_path / "truth.yaml")
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "lenses.yaml").write_text(LENS)
    (folder / "galaxies.tsv").write_text(
        f"galaxy\tname\tlens\tra\tdec\tz\tmetallicity\tnote\narc\tArc\tring\t{CENTRE[0]}\t{CENTRE[1]}\t2.0\tyes\t-\n"
    )
    header = "galaxy\tband\tinstrument\tcube\tunit\tpsf_fwhm"
    (folder / "observations.tsv").write_text(f"{header}\narc\tH\tSINFONI\tcube.fits\terg s-1 cm-2 um-1\t0.5\n")
    (tmp_path / "cube.fits").touch()
    write_arc(tmp_path / "ring.fits", truth)
    galaxy = tmp_path / "results/galaxies/arc"
    galaxy.mkdir(parents=True)
    aligned = MapSet(header=celestial_header(*CENTRE, 41, 43, 0.1))
    aligned["HALPHA"] = Map(np.ones((43, 41)), np.ones((43, 41)))
    aligned.write(galaxy / "aligned.fits")

    rules = ["fit_galaxy_lens", "lens"]
    done = snakemake(tmp_path, "--cores", "1", "--allowed-rules", *rules, "--", "results/galaxies/arc/lens.fits")
    assert done.returncode == 0, done.stdout
    fit = Table.read(tmp_path / "results/lenses/ring/fit.ecsv")
    assert abs(fit["best"][0] / THETA_E - 1) < 0.01
    lens = MapSet.read(galaxy / "lens.fits")
    assert (lens.header["STATE"], lens.header["ORIGIN"]) == ("ok", "fit_arc")
    axis_x, axis_y = (np.arange(41) - 20) * 0.1, (np.arange(43) - 21) * 0.1
    x, y = np.meshgrid(axis_x, axis_y)
    ax, ay = truth.deflection(x, y, 2.0)
    near = np.abs(np.hypot(x, y) - THETA_E) < 0.25  # where the arc is: farther away the error of the slope grows
    for found, expected in ((lens["ALPHA_X"].value, ax), (lens["ALPHA_Y"].value, ay)):
        np.testing.assert_allclose(found[near], expected[near], atol=0.03)
    again = snakemake(tmp_path, "-n", "--allowed-rules", *rules, "--", "results/galaxies/arc/lens.fits")
    assert "Nothing to be done" in again.stdout

"""Line fits of real KMOS cubes against published values; the files stay outside the project."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from klever.cubes.readers import read_cube
from klever.linefit.aperture import extract_spectrum, fit_aperture, line_rows
from klever.linefit.cubefit import band_models, fit_cube
from klever.linefit.varpro import fit_spectra
from klever.linefit.window import channels_of_group
from klever.spectral_lines import (
    SPEED_OF_LIGHT,
    Group,
    Line,
    LineList,
    instrumental_sigma,
    load_instruments,
    load_line_list,
)

DATA = os.environ.get("KLEVER_TEST_DATA")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA, reason="KLEVER_TEST_DATA does not name the folder of the real files"),
]
ROOT = Path(__file__).parents[2]
INSTRUMENTS = load_instruments(ROOT / "resources/instruments.yaml")
OPTIONS = yaml.safe_load((ROOT / "config/config.yaml").read_text())["lines"]


def test_halpha_of_a_z1_galaxy_agrees_with_the_published_fit():
    cube = read_cube(Path(DATA) / "kmos/cdfs294_YJ_COMBINED.fits", unit="erg s-1 cm-2 um-1", instrument="KMOS")
    known = load_line_list(ROOT / "resources/lines.yaml")
    band = band_models(cube, known, instrumental_sigma(INSTRUMENTS, "KMOS", "YJ"), 0.975, ["halpha"])
    model = band.models[0]
    y, x = np.mgrid[: cube.shape[1], : cube.shape[2]]
    weights = (np.hypot(x - 6.53, y - 6.11) < 1.5).astype(float)
    flux, error, _ = extract_spectrum(cube.flux, cube.error, band.valid, weights, band.autocorrelation)
    channels, _ = channels_of_group(model, cube.wavelength, OPTIONS["window"])
    fit = fit_spectra(model, cube.wavelength[channels], flux[channels][None], error[channels][None])
    scale = np.sqrt(fit.reduced_chi2[0])
    i = model.main
    assert fit.flags[0] == 0
    assert fit.flux[i, 0] == pytest.approx(3.48e-17, abs=2 * fit.flux_error[i, 0] * scale)
    fwhm, fwhm_error = 2.3548 * fit.dispersion_observed[0], 2.3548 * fit.dispersion_error[0] * scale
    assert abs(fwhm - 284) < 2 * np.hypot(11, fwhm_error)
    z = 1.975 * (1 + fit.velocity[0] / SPEED_OF_LIGHT) - 1
    assert abs(z - 0.97520) < 0.0002
    naive = extract_spectrum(cube.flux, cube.error, band.valid, weights, np.ones((1, 1)))[1]
    assert np.nanmedian(error / naive) * scale == pytest.approx(1.6, abs=0.3)


def test_pseudo_fibre_of_a_z1_galaxy():
    cube = read_cube(Path(DATA) / "kmos/cdfs294_YJ_COMBINED.fits", unit="erg s-1 cm-2 um-1", instrument="KMOS")
    known = load_line_list(ROOT / "resources/lines.yaml")
    band = band_models(cube, known, instrumental_sigma(INSTRUMENTS, "KMOS", "YJ"), 0.975, OPTIONS["groups"])
    settings = {"galaxy": "cdfs294", "band": "YJ", "instrument": "KMOS", "z": 0.975, "ra": 53.0687, "dec": -27.7469,
                "psf_fwhm": 0.6, "lines": OPTIONS}  # fmt: skip
    maps = fit_cube(cube, band, settings)
    aperture = fit_aperture(cube, band, maps, settings)
    rows = {row["line"]: row for row in line_rows(aperture, band.sums, settings)}
    assert aperture.method == "emission_peak"
    # published (KASHz, aperture not recorded): 9.16e-17 and sigma 121.5 km/s
    assert rows["Halpha"]["flux"] == pytest.approx(9.16e-17, rel=0.25)
    assert rows["Halpha"]["dispersion"] == pytest.approx(121.5, abs=8)
    assert rows["NII6584"]["detected"]
    assert 1.0 < maps.header["ERRSCALE"] < 1.5


def test_two_species_of_a_nebula_agree_on_its_velocity():
    cube = read_cube(Path(DATA) / "kmos/gum43_K_SCI_COMBINED.fits.gz", unit="erg s-1 cm-2 um-1", instrument="KMOS")
    lines = {name: Line(name, wavelength) for name, wavelength in (("Brgamma", 2.166120), ("H2S1", 2.121833))}
    groups = {name: Group(name, (line,), name) for name, line in lines.items()}
    sigma = instrumental_sigma(INSTRUMENTS, "KMOS", "K")
    band = band_models(cube, LineList(lines, groups, {}), sigma, 0.0, list(groups))
    options = OPTIONS | {"dispersion_range": [1.0, 300.0]}
    settings = {"galaxy": "gum43", "band": "K", "instrument": "KMOS", "z": 0.0, "ra": 188.765, "dec": -61.6961,
                "psf_fwhm": 0.6, "lines": options}  # fmt: skip
    maps = fit_cube(cube, band, settings)
    rows = {row["line"]: row for row in line_rows(fit_aperture(cube, band, maps, settings), {}, settings)}
    for name in lines:
        assert rows[name]["snr"] > 20
        assert rows[name]["velocity"] == pytest.approx(-21, abs=3)

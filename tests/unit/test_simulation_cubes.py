"""Simulated cubes: wavelengths, fluxes, moments, noise, defects, formats."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from scipy.ndimage import correlate1d
from scipy.special import erf
from test_simulation_galaxies import CALIBRATIONS, GALAXIES, make_row

from klever.errors import InputError
from klever.maps import MapSet
from klever_simulation import cubes
from klever_simulation.galaxies import component_from_row, read_rows
from klever_simulation.noise import (
    BASE_SIGMA,
    OH_STRENGTH,
    apply_defects,
    correlated_noise,
    correlation_kernel,
    noise_sigma,
    read_oh_lines,
)
from klever_simulation.scene import Identity, Setting, render
from klever_simulation.spectra import _profiles, blur_operator, model_cube, spaxel_edges

ROOT = GALAXIES.parents[2]
REAL = Path(os.environ.get("KLEVER_TEST_DATA", ROOT.parent / "shared/real"))
BANDS = yaml.safe_load((ROOT / "resources/instruments.yaml").read_text(encoding="utf-8"))
LINES = yaml.safe_load((ROOT / "resources/lines.yaml").read_text(encoding="utf-8"))["lines"]
REST = {name: entry["wavelength"] for name, entry in LINES.items()}
Z = 1.5


def detector_of(instrument="KMOS", band="H"):
    return cubes.detector_of(BANDS, instrument, band, "g")


def scene_of(z=Z, **changes):
    row = make_row(effective_radius_kpc=1.5, **changes)
    component = component_from_row(row, z, 0.0, 0.0, CALIBRATIONS, 1)
    setting = Setting(Identity(150.0, 2.0), [component], z, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), 3.0)
    scene = render(setting, list(REST), 0.1)
    scene.update(
        z=z, field_x=0.0, field_y=0.0, field_ra=150.0, field_dec=2.0, line_names=np.array(list(REST)),
        reference_wavelength=1.5392, continuum_slope=-1.5,
    )  # fmt: skip
    return scene


def point_scene(z=Z, velocity=0.0, dispersion=50.0, x=0.0, y=0.0):
    scene = scene_of(z)
    n = scene["x"].size
    for name in ("lines", "continuum", "broad"):
        scene[name] = np.zeros_like(scene[name])
    j, i = int(np.abs(scene["y"] - y).argmin()), int(np.abs(scene["x"] - x).argmin())
    scene["lines"][0, :, j, i] = 1e-16
    scene["velocity"] = np.full((1, n, n), velocity)
    scene["dispersion"] = np.full((1, n, n), dispersion)
    return scene, scene["x"][i], scene["y"][j]


def total_spectrum(model):
    return model.cube.sum((1, 2))


@pytest.mark.parametrize(("line", "band", "z"), [("Halpha", "H", 1.5), ("OIII5007", "YJ", 1.5), ("Halpha", "K", 2.3)])
@pytest.mark.parametrize("velocity", [-250.0, 0.0, 120.0])
def test_line_is_at_its_vacuum_wavelength(line, band, z, velocity):
    scene, _, _ = point_scene(z, velocity)
    detector = detector_of("KMOS", band)
    spectrum = total_spectrum(model_cube(scene, REST, detector, 0.5, lines=[line]))
    centre = np.average(detector.wavelength, weights=spectrum)
    expected = REST[line] * 1e-4 * (1 + z) * (1 + velocity / 299792.458)
    channel = detector.edges[1] - detector.edges[0]
    assert abs(centre - expected) < 0.01 * channel


def test_line_width_is_intrinsic_and_instrumental():
    scene, _, _ = point_scene(dispersion=80.0)
    detector = detector_of()
    spectrum = total_spectrum(model_cube(scene, REST, detector, 0.5, lines=["Halpha"]))
    centre = np.average(detector.wavelength, weights=spectrum)
    width = np.sqrt(np.average((detector.wavelength - centre) ** 2, weights=spectrum))
    fwhm = 0.5 * (1.456 + 1.846) / 4045
    channel = detector.edges[1] - detector.edges[0]
    expected = np.sqrt((centre * 80 / 299792.458) ** 2 + (fwhm / 2.35482) ** 2 + channel**2 / 12)
    assert width == pytest.approx(expected, rel=1e-3)


def test_flux_does_not_depend_on_the_phase_of_the_channels():
    """A line much narrower than usual keeps its flux wherever it falls in a channel."""
    detector = detector_of("SINFONI", "J")
    channel = detector.edges[1] - detector.edges[0]
    for phase in (0.0, 0.25, 0.5, 0.9):
        z = (1.2 + phase * channel) / (REST["OIII5007"] * 1e-4) - 1
        scene, _, _ = point_scene(z, dispersion=1.0)
        spectrum = total_spectrum(model_cube(scene, REST, detector, 0.6, lines=["OIII5007"]))
        assert spectrum.sum() * channel == pytest.approx(1e-16, rel=1e-4)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_cube_scales_with_the_scene(scale):
    scene = scene_of()
    scaled = {**scene, **{name: scene[name] * scale for name in ("lines", "continuum", "broad")}}
    one, many = (model_cube(s, REST, detector_of(), 0.55).cube.sum() for s in (scene, scaled))
    assert many == pytest.approx(one * scale, rel=1e-5)


def test_cube_integrates_to_the_truth_maps():
    detector, scene = detector_of(), scene_of(v_rot=200.0)
    model = model_cube(scene, REST, detector, 0.55, lines=["Halpha"])
    width = np.diff(detector.edges)[:, None, None]
    flux = (model.cube * width).sum(0)
    assert flux == pytest.approx(model.fluxes["Halpha"], rel=1e-3)
    speed = (detector.wavelength / (REST["Halpha"] * 1e-4 * (1 + Z)) - 1)[:, None, None] * 299792.458
    velocity = (model.cube * width * speed).sum(0) / flux
    assert np.abs(velocity - model.velocity).max() < 1.0
    second = np.sqrt((model.cube * width * speed**2).sum(0) / flux - velocity**2)
    resolution = detector.sigma / (REST["Halpha"] * 1e-4 * (1 + Z)) * 299792.458
    channel = np.diff(detector.edges)[0] / (REST["Halpha"] * 1e-4 * (1 + Z)) * 299792.458
    expected = np.sqrt(model.dispersion**2 + resolution**2 + channel**2 / 12)
    assert np.abs(second - expected).max() < 1.0
    assert model.dispersion.max() > 60.0  # beam smearing raises the 45 km/s of the gas


def test_sums_and_lines_of_the_band_only():
    model = model_cube(scene_of(), REST, detector_of(), 0.55)
    assert set(model.fluxes) == {"NII6548", "Halpha", "NII6584", "SII6717", "SII6731", "SII"}
    assert model.fluxes["SII"] == pytest.approx(model.fluxes["SII6717"] + model.fluxes["SII6731"])
    assert model.brightest == "Halpha"
    empty = model_cube(scene_of(0.2), REST, detector_of(), 0.55)
    assert empty.fluxes == {} and empty.velocity is None and empty.cube.sum() > 0


def test_continuum_map_is_the_mean_of_the_cube():
    scene = scene_of()
    scene["lines"] = np.zeros_like(scene["lines"])
    model = model_cube(scene, REST, detector_of(), 0.55)
    assert model.cube.mean(0) == pytest.approx(model.continuum, rel=1e-6)


def test_agn_has_broad_balmer_lines():
    quiet, active = (model_cube(scene_of(agn=agn), REST, detector_of(), 0.55) for agn in (False, True))
    extra = total_spectrum(active) - total_spectrum(quiet)
    wavelength = detector_of().wavelength
    centre = np.average(wavelength, weights=extra)
    width = np.sqrt(np.average((wavelength - centre) ** 2, weights=extra)) / centre * 299792.458
    assert centre == pytest.approx(REST["Halpha"] * 1e-4 * (1 + Z), rel=1e-3)
    assert width > 1500


def test_blur_operator_keeps_light_and_place():
    edges = spaxel_edges(0.3, 40, 0.1)
    operator = blur_operator(np.array([0.31, 0.5]), edges, 0.5)
    assert operator.sum(0) == pytest.approx([1, 1], abs=1e-6)
    middle = 0.5 * (edges[1:] + edges[:-1])
    assert middle @ operator == pytest.approx([0.31, 0.5], abs=1e-4)
    width = np.sqrt(((middle - 0.31) ** 2) @ operator[:, 0])
    assert width == pytest.approx(np.hypot(0.5 / 2.35482, 0.1 / np.sqrt(12)), rel=1e-3)


@pytest.mark.parametrize("offset", [(0.2, 0.0), (0.0, -0.15)])
def test_pointing_error_moves_the_source_against_the_wcs(offset):
    scene, x, y = point_scene(x=0.3, y=-0.2)
    detector = detector_of()
    image = model_cube(scene, REST, detector, 0.5, offset).fluxes["Halpha"]
    middle = (np.arange(detector.n_spaxels) - (detector.n_spaxels - 1) / 2) * detector.spaxel
    seen = np.average(middle, weights=image.sum(0)), np.average(middle, weights=image.sum(1))
    assert seen == pytest.approx((x + offset[0], y + offset[1]), abs=2e-3)


def test_noise_has_its_standard_deviation_and_correlation():
    noise = correlated_noise((400, 30, 24), np.random.default_rng(1))
    assert noise.shape == (400, 30, 24)
    assert noise.std(0).mean() == pytest.approx(1.0, rel=0.01)
    assert noise[:, 0].std() == pytest.approx(1.0, rel=0.03)  # the edge is as noisy as the middle
    n = np.arange(-9, 10)  # autocorrelation at one pixel of a Gaussian of 0.6 pixels, sampled at the pixels
    expected = np.sum(np.exp(-(n**2 + (n + 1) ** 2) / (2 * 0.6**2))) / np.sum(np.exp(-(n**2) / 0.6**2))
    assert np.mean(noise[:, :, 1:] * noise[:, :, :-1]) == pytest.approx(expected, abs=0.01)
    assert np.mean(noise[:, 1:] * noise[:, :-1]) == pytest.approx(expected, abs=0.01)
    assert abs(np.mean(noise[1:] * noise[:-1])) < 0.01


def test_noise_is_correlated_as_scipy_does():
    kernel = correlation_kernel().astype(np.float32)
    white = np.random.default_rng(1).standard_normal((70, 26, 36), dtype=np.float32)
    expected = correlate1d(correlate1d(white, kernel, axis=1), kernel, axis=2)[:, 3:-3, 3:-3]
    np.testing.assert_array_equal(correlated_noise((70, 20, 30), np.random.default_rng(1)), expected)


def test_line_has_the_flux_of_its_channels_however_far_away():
    """Only channels that a line reaches are computed; the error function gives the others nothing."""
    edges = np.linspace(1.5, 1.6, 501)
    centre = np.array([[1.52, 1.55], [1.58, 1.7]])  # the last one is outside
    sigma, flux = np.array([[3e-4, 2e-3], [1e-3, 1e-3]]), np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    t = (edges[:, None, None] - centre) / (np.sqrt(2) * sigma)
    found = _profiles(edges, centre, sigma, flux)
    np.testing.assert_allclose(found, 0.5 * np.diff(erf(t), axis=0) * flux, atol=2e-7)
    np.testing.assert_allclose(found.sum(0), [[1, 2], [3, 0]], rtol=1e-6)


def test_noise_rises_at_sky_lines_and_in_the_thermal_infrared():
    line = (np.array([1.6]), np.array([500.0]))
    none = (np.array([9.0]), np.array([1.0]))
    detector = detector_of()
    sigma, quiet = noise_sigma(detector, line), noise_sigma(detector, none)
    assert quiet == pytest.approx(BASE_SIGMA["KMOS"], rel=0.01)
    assert abs(detector.wavelength[sigma.argmax()] - 1.6) < 2e-4
    excess = np.sum((sigma**2 - quiet**2) / BASE_SIGMA["KMOS"] ** 2) * np.diff(detector.edges)[0]
    assert excess == pytest.approx(500.0 * OH_STRENGTH, rel=1e-3)  # the line's photons, spread over the channels
    assert noise_sigma(detector, line, 3.0) == pytest.approx(3 * sigma)
    thermal = noise_sigma(detector_of("KMOS", "K"), none)
    assert np.all(np.diff(thermal) > 0) and thermal[-1] > 1.8 * thermal[0]


def test_defects():
    data, sigma = np.ones((300, 30, 20)), np.full(300, 0.01)
    noise = np.full(data.shape, 0.01)
    dead = apply_defects(data, noise, sigma, np.random.default_rng(3), 0.0)
    assert 3 <= len(dead) <= 6
    assert np.all(data[:, dead[:, 0], dead[:, 1]] == 0) and np.all(noise[:, dead[:, 0], dead[:, 1]] == 0)
    assert np.all(np.isnan(data[:, 0])) and np.all(np.isnan(data[:, :, -1]))
    hits = np.abs(data[:, 1:-1, 1:-1] - 1)
    hits = hits[(hits > 0) & (data[:, 1:-1, 1:-1] != 0)] / 0.01
    assert 15 <= hits.size <= 20 and hits.min() >= 30 and hits.max() <= 100


def simulate(folder, instrument, band, seed=5, galaxy="sp3", psf_fwhm=0.55):
    settings = {"galaxy": galaxy, "seed": seed, "noise_scale": 1.0, "psf_fwhm": psf_fwhm,
                "components": read_rows(GALAXIES, galaxy)}  # fmt: skip
    oh_lines = read_oh_lines(ROOT / "resources/oh_lines_rousselot2000.dat")
    outputs = folder / "cube.fits", folder / "truth.fits"
    cubes.simulate_cube(scene_of(1.2645), REST, oh_lines, detector_of(instrument, band), *outputs, settings)
    return folder / "cube.fits", folder / "truth.fits"


def test_kmos_format(tmp_path):
    cube, truth = simulate(tmp_path, "KMOS", "H")
    with fits.open(cube) as hdus:
        assert [hdu.header.get("EXTNAME") for hdu in hdus] == [None, "sp3.DATA", "sp3.NOISE"]
        assert hdus[0].data is None and hdus[0].header["SIMULATE"] is True and hdus[0].header["OBJECT"] == "sp3"
        assert "simulated by klever" in str(hdus[0].header["HISTORY"])
        header, data, noise = hdus[1].header, hdus[1].data, hdus[2].data
    assert data.shape == (2048, 30, 30) and "BUNIT" not in header and "SPECSYS" not in header
    assert (header["CTYPE3"], header["CUNIT3"], header["CRPIX3"]) == ("WAVE", "um", 1.0)
    assert header["CRVAL3"] == pytest.approx(1.456 + 0.5 * 0.39 / 2048)
    assert header["CD3_3"] == pytest.approx(0.39 / 2048)
    good = np.isfinite(data) & (data != 0)
    assert np.all(noise[good] > 0)
    assert 3 <= np.sum(np.all(data == 0, axis=0)) <= 6
    assert np.isnan(data[:, [0, -1]]).all() and np.isnan(data[:, :, [0, -1]]).all()
    corner = good & (np.add.outer(np.arange(30), np.arange(30)) < 9)  # far from the galaxy
    scaled = data[corner] / noise[corner]
    assert 1.4826 * np.median(np.abs(scaled - np.median(scaled))) == pytest.approx(1.0, rel=0.03)
    maps = MapSet.read(truth)
    assert {"HALPHA", "SII", "VELOCITY", "DISPERSION", "CONTINUUM"} <= set(maps.names())
    assert abs(maps.header["OFFSET_X"]) < 0.4 and maps.header["OFFSET_X"] != 0
    assert maps["HALPHA"].value.shape == (30, 30)


def test_sinfoni_format(tmp_path):
    cube, _ = simulate(tmp_path, "SINFONI", "K", galaxy="cswa164", psf_fwhm=0.6)
    with fits.open(cube) as hdus:
        assert len(hdus) == 1
        header, data = hdus[0].header, hdus[0].data
    assert data.shape == (2048, 64, 64) and header["SPECSYS"] == "TOPOCENT" and "BUNIT" not in header
    wavelength = header["CRVAL3"] + (np.arange(2048) + 1 - header["CRPIX3"]) * header["CDELT3"]
    assert (wavelength[0], wavelength[-1]) == pytest.approx((1.95 + 0.25 / 2048, 2.45 - 0.25 / 2048))
    assert header["SIMULATE"] is True and 3 <= np.isnan(data[:, 1:-1, 1:-1]).all(0).sum() <= 6


@pytest.mark.real
@pytest.mark.parametrize(("instrument", "real"), [("KMOS", "kmos/cdfs294_YJ_COMBINED.fits"),
                                                  ("SINFONI", "sinfoni/cswa164_K_header_cutout.fits")])  # fmt: skip
def test_structure_is_that_of_the_real_files(tmp_path, instrument, real):
    if not (REAL / real).exists():
        pytest.skip("real files are not here")
    cube, _ = simulate(tmp_path, instrument, "K", galaxy="sp3" if instrument == "KMOS" else "cswa164")
    with fits.open(cube) as ours, fits.open(REAL / real) as theirs:
        assert len(ours) == len(theirs)
        for mine, its in zip(ours, theirs, strict=True):
            assert mine.header["BITPIX"] == its.header["BITPIX"] and mine.header["NAXIS"] == its.header["NAXIS"]
            keys = {
                key for key in its.header if key.rstrip("_123") in {"CTYPE", "CUNIT", "CRPIX", "CRVAL", "CDELT", "CD"}
            }
            assert keys <= set(mine.header)
            assert {key: mine.header[key] for key in keys if key[:5] in {"CTYPE", "CUNIT"}} == {
                key: its.header[key] for key in keys if key[:5] in {"CTYPE", "CUNIT"}
            }
            assert ("BUNIT" in mine.header, "SPECSYS" in mine.header) == (
                "BUNIT" in its.header,
                "SPECSYS" in its.header,
            )


def test_same_seed_same_bytes_other_seed_other_noise(tmp_path):
    written = []
    for run, seed in (("a", 5), ("b", 5), ("c", 6)):
        (tmp_path / run).mkdir()
        cube, truth = simulate(tmp_path / run, "KMOS", "H", seed)
        written.append(cube.read_bytes() + truth.read_bytes())
    assert written[0] == written[1] != written[2]


def test_instrument_that_cannot_be_simulated(tmp_path):
    with pytest.raises(InputError, match="cannot be simulated"):
        simulate(tmp_path, "MUSE", "optical")

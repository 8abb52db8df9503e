"""Noise-free maps of the galaxies of simulated exposures."""

import json

import numpy as np
import pytest
import yaml

from klever.maps import MapSet
from klever_simulation.exposure_truth import GRID, mean_error, truth_maps
from simulate_exposure_truth import simulate_exposure_truth

REST = {"Halpha": 6564.6, "SII6717": 6718.3, "SII6731": 6732.7}
BAND = (1.456, 1.846)


def point_scene(x=0.02, y=-0.03):
    """A point of light in rotation-free gas, off the fine pixels' middle by nothing."""
    axis = np.arange(-40, 41) * 0.05
    lines = np.zeros((1, 3, 81, 81))
    place = np.abs(axis - y).argmin(), np.abs(axis - x).argmin()
    lines[0, :, place[0], place[1]] = 1e-16, 2e-17, 1e-17
    return {
        "z": 1.5, "x": axis, "y": axis, "field_x": 0.0, "field_y": 0.0, "field_ra": 150.0, "field_dec": 2.0,
        "line_names": np.array(list(REST)), "lines": lines, "velocity": np.full((1, 81, 81), 30.0),
        "dispersion": np.full((1, 81, 81), 55.0),
    }, axis[place[1]], axis[place[0]]  # fmt: skip


def moments(image):
    """Sum, centre and variance per axis, in pixels."""
    total = image.sum()
    y, x = np.indices(image.shape)
    centre = [(axis * image).sum() / total for axis in (x, y)]
    return total, centre, [((axis - c) ** 2 * image).sum() / total for axis, c in zip((x, y), centre, strict=True)]


def test_flux_place_and_width_of_a_point():
    scene, x, y = point_scene()
    offset = (0.1, -0.06)
    fluxes, velocity, dispersion, brightest = truth_maps(scene, REST, BAND, [0.4, 0.6], offset, "KMOS")
    total, centre, variance = moments(fluxes["Halpha"])
    number, scale = GRID["KMOS"]
    middle = (number - 1) / 2
    assert total == pytest.approx(1e-16, rel=1e-4)
    assert centre == pytest.approx([middle + (x + offset[0]) / scale, middle + (y + offset[1]) / scale], abs=1e-2)
    # variances add: seeing (the mean of both), spaxel and pixel
    expected = np.mean([0.4**2, 0.6**2]) / (8 * np.log(2)) + (0.2**2 + scale**2) / 12
    assert np.multiply(variance, scale**2) == pytest.approx([expected] * 2, rel=0.02)
    assert fluxes["SII"].sum() == pytest.approx(3e-17, rel=1e-4)
    assert brightest == "Halpha"
    lit = fluxes["Halpha"] > 1e-3 * fluxes["Halpha"].max()
    assert np.allclose(velocity[lit], 30.0)
    assert np.allclose(dispersion[lit], 55.0)


def test_no_line_in_the_band():
    fluxes, velocity, _, brightest = truth_maps(point_scene()[0], REST, (1.0, 1.3), [0.5], (0, 0), "KMOS")
    assert (fluxes, velocity, brightest) == ({}, None, "")


def test_mean_error_leaves_out_the_sky_and_knows_the_rotation():
    states = [
        {"kind": "O", "drift": [0.1, 0.0], "rotation": 0.01}, {"kind": "S", "drift": [9.0, 9.0], "rotation": 1.0},
        {"kind": "O", "drift": [0.3, 0.2], "rotation": 0.03},
    ]  # fmt: skip
    angle = np.radians(0.02)
    assert mean_error(states, (100.0, 50.0)) == pytest.approx((0.2 - 50 * angle, 0.1 + 100 * angle))


def test_file_of_the_truth(tmp_path):
    scene, _, _ = point_scene()
    np.savez(tmp_path / "scene.npz", **scene)
    states = [{"kind": "O", "drift": [0.05, 0.02], "rotation": 0.0, "seeing": 0.5}]
    (tmp_path / "truth.json").write_text(json.dumps({"centre": [150.0, 2.0], "exposures": states}))
    (tmp_path / "lines.yaml").write_text(yaml.safe_dump({"lines": {k: {"wavelength": v} for k, v in REST.items()}}))
    bands = {"KMOS": {"H": {"range": list(BAND), "resolution": 4045}}}
    (tmp_path / "instruments.yaml").write_text(yaml.safe_dump(bands))
    simulate_exposure_truth(
        scene=tmp_path / "scene.npz", states=tmp_path / "truth.json", line_list=tmp_path / "lines.yaml",
        instruments=tmp_path / "instruments.yaml", truth=tmp_path / "truth.fits",
        settings={"galaxy": "sp1", "band": "H", "instrument": "KMOS", "pointing": "p1"},
    )  # fmt: skip
    maps = MapSet.read(tmp_path / "truth.fits")
    assert maps.header["MAINLINE"] == "Halpha"
    assert (maps.header["OFFSET_X"], maps.header["OFFSET_Y"]) == pytest.approx((-0.05, -0.02))
    assert maps["Halpha"].value.sum() == pytest.approx(1e-16, rel=1e-4)

"""The disc of a galaxy's line light: error of its size in correlated noise, and what that means for the slope."""

import numpy as np
import pytest
from gradient_mock import PIXEL, Mock

from klever.gradient.annuli import Ellipse
from klever.gradient.galaxy_gradient import measure_galaxy_gradient
from klever.gradient.light_model import fit_light


def light_of(mock, random=None, psf_error=0.1):
    inputs = mock.inputs(random)
    shape = inputs.abundance["LOG_OH"].value.shape
    centre = Ellipse((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    return fit_light(inputs.source, inputs.noise, np.ones(shape, bool), centre, inputs.beam, 4.0, psf_error)


def test_error_of_the_size_covers_the_scatter_of_correlated_noise():
    mock, random = Mock(snr=30.0), np.random.default_rng(4)
    discs = [light_of(mock, random, 0.0).disc for _ in range(12)]
    sizes = np.array([disc.half_light_radius for disc in discs])
    error = np.mean([disc.half_light_radius_error for disc in discs])
    assert abs(sizes.mean() * PIXEL - 0.5) < 0.05
    assert 0.5 < sizes.std(ddof=1) / error < 1.8
    noise = mock.inputs().source["HALPHA"].error
    independent = np.mean([np.sqrt(np.sum((disc.size_weights * noise) ** 2)) for disc in discs])
    assert error > 1.5 * independent * sizes.mean()


def test_a_wider_psf_leaves_a_smaller_disc():
    light = light_of(Mock())
    size, psf = light.pairs
    assert size[0][0].half_light_radius < light.disc.half_light_radius < size[1][0].half_light_radius
    assert psf[0][0].half_light_radius > light.disc.half_light_radius > psf[1][0].half_light_radius
    assert psf[1][1][0] == pytest.approx(1.1 * light.beam[0])
    assert len(light_of(Mock(), psf_error=0.0).pairs) == 1


def test_error_of_the_slope_grows_with_that_of_the_psf_and_is_its_part():
    mock, parts = Mock(), {}
    for psf_error in (0.0, 0.1, 0.2):
        rows = measure_galaxy_gradient(mock.inputs(gradient={"psf_error": psf_error})).gradient
        parts[psf_error] = next(row for row in rows if row["aperture"] == "circular")
    model = {key: row["slope_intrinsic_model_error"] for key, row in parts.items()}
    assert 0 <= model[0.0] < model[0.1] < model[0.2]
    assert model[0.2] == pytest.approx(2 * model[0.1], rel=0.3)
    assert parts[0.1]["slope_intrinsic_error"] > model[0.1]
    assert parts[0.1]["slope_intrinsic"] == parts[0.2]["slope_intrinsic"]

import numpy as np
import pytest

from klever.gas.spaxel_stack import HEII, nearest_spaxels, stack_spectra, stacked_line
from klever.spectral_lines import SPEED_OF_LIGHT

Z = 1.4
WAVELENGTH = np.linspace(1.03, 1.34, 2048)


def spectra(velocity, line_flux, noise=0.0, scale=1.0, seed=0):
    """Spectra of a sloping continuum with He II of sigma 80 km/s at each velocity."""
    centre = HEII * (1 + Z) * (1 + velocity[:, None] / SPEED_OF_LIGHT)
    sigma = centre * 80 / SPEED_OF_LIGHT
    line = line_flux / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((WAVELENGTH - centre) / sigma) ** 2)
    random = np.random.default_rng(seed).normal(0, noise, line.shape) if noise else 0.0
    flux = 5.0 + 2.0 * (WAVELENGTH - 1.1) + line + random
    return scale * flux, np.full(flux.shape, scale * (noise or 0.1))


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_a_line_at_many_velocities_adds_up(scale):
    velocity = np.array([-150.0, 0.0, 60.0, 200.0])
    flux, error = spectra(velocity, 0.01, noise=0.2, scale=scale)
    stack = stack_spectra(WAVELENGTH, flux, error, velocity, Z)
    found = stacked_line(*stack, HEII, 80.0, 3.0)
    assert found.state == "detected"
    # flux per rest wavelength: four lines of 0.01 / (1 + z)
    assert found.flux == pytest.approx(4 * 0.01 / (1 + Z) * scale, abs=3 * found.error)
    assert found.error < 0.2 * found.flux


def test_shifting_before_adding_matters():
    velocity = np.array([-400.0, 0.0, 400.0])
    flux, error = spectra(velocity, 0.01, noise=0.05)
    shifted = stacked_line(*stack_spectra(WAVELENGTH, flux, error, velocity, Z), HEII, 80.0, 3.0)
    not_shifted = stacked_line(*stack_spectra(WAVELENGTH, flux, error, 0 * velocity, Z), HEII, 80.0, 3.0)
    assert not_shifted.flux < 0.6 * shifted.flux


def test_noise_alone_is_found_as_often_as_it_should():
    velocity, pulls = np.zeros(3), []
    for seed in range(300):
        stack = stack_spectra(WAVELENGTH, *spectra(velocity, 0.0, noise=0.2, seed=seed), velocity, Z)
        line = stacked_line(*stack, HEII, 80.0, 3.0)
        pulls.append(line.flux / line.error)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.13)  # 300 draws: 1 sigma is 0.04
    assert np.mean(np.array(pulls) > 3) < 0.02


def test_masked_channels_and_lines_outside_the_band():
    velocity = np.zeros(3)
    flux, error = spectra(velocity, 0.01, noise=0.05)
    hidden = flux.copy()
    hidden[:, np.abs(WAVELENGTH - HEII * (1 + Z)) < 0.002] = np.nan
    stack = stack_spectra(WAVELENGTH, hidden, error, velocity, Z)
    assert stacked_line(*stack, HEII, 80.0, 3.0).state == "not_covered"
    far = stack_spectra(WAVELENGTH, flux, error, velocity, 0.2)
    assert stacked_line(*far, HEII, 80.0, 3.0).state == "not_covered"
    empty = stack_spectra(WAVELENGTH, np.full(flux.shape, np.nan), error, velocity, Z)
    assert stacked_line(*empty, HEII, 80.0, 3.0).state == "not_covered"


def test_one_missing_spectrum_is_made_up_for():
    velocity = np.zeros(4)
    flux, error = spectra(velocity, 0.01)
    flux[0] = np.nan
    _, total, _ = stack_spectra(WAVELENGTH, flux, error, velocity, Z)
    assert total[10] == pytest.approx(4 * flux[1, 10], rel=1e-6)


def test_spaxels_follow_the_pixel_nearest_to_their_centre():
    # a map twice as fine as the cube, on a grid that is not square
    y, x = np.indices((6, 8)) / 2.0
    chosen = np.zeros((6, 8), bool)
    chosen[2, 4] = True  # exactly on spaxel (1, 2)
    chosen[3, 5] = True  # between spaxels
    rows, columns, pixels = nearest_spaxels(chosen, x, y, (3, 4))
    assert (rows.tolist(), columns.tolist(), pixels.tolist()) == ([1], [2], [20])
    assert nearest_spaxels(np.zeros((6, 8), bool), x, y, (3, 4))[0].size == 0
    assert nearest_spaxels(chosen, x + 100, y, (3, 4))[0].size == 0

from pathlib import Path

import numpy as np
import pytest

from klever.abundance.calibrations import load_calibrations
from klever.abundance.flux_abundance import Reddening, abundance_of_fluxes

C20 = load_calibrations(Path(__file__).parents[2] / "resources" / "calibrations.json")
METALLICITY = {"log_oh_range": [7.6, 8.9], "grid_step": 0.005, "dispersion": "rms_ratio"}
DUST = {"balmer_ratio": 2.87, "rv": 3.1}
CASES = [
    (("R3", "N2"), Reddening()),
    (("R3", "S2"), Reddening()),
    (("N2",), Reddening()),
    (("R3", "N2", "O3O2"), Reddening("map")),
    (("R3", "O3O2"), Reddening("global", 0.3, 0.1)),
]


def fluxes_at(log_oh, scale=1.0, relative=0.05):
    flux = {"Hbeta": np.ones_like(log_oh), "Halpha": np.full_like(log_oh, 3.5)}
    ratio = {name: 10 ** C20[name].evaluate(log_oh) for name in ("R3", "N2", "S2", "O3O2")}
    flux |= {"OIII5007": ratio["R3"], "NII6584": 3.5 * ratio["N2"], "SII": 3.5 * ratio["S2"],
             "OII": ratio["R3"] / ratio["O3O2"]}  # fmt: skip
    return {line: (scale * value, scale * relative * value) for line, value in flux.items()}


def measure(fluxes, names, reddening, **keywords):
    return abundance_of_fluxes(fluxes, names, C20, reddening, METALLICITY, DUST, **keywords)


@pytest.mark.parametrize(("names", "reddening"), CASES)
def test_response_is_the_derivative_with_respect_to_each_flux(names, reddening):
    fluxes = fluxes_at(np.linspace(7.8, 8.7, 40))
    _, responses, _ = measure(fluxes, names, reddening)
    for line in set(responses) - {"EBV"}:
        moved = []
        for step in (-1e-3, 1e-3):
            value, error = fluxes[line]
            # the relative error stays, and so do the weights of the ratios
            changed = fluxes | {line: (value * (1 + step), error * (1 + step))}
            moved.append(measure(changed, names, reddening)[0].median)
        expected = (moved[1] - moved[0]) / (2e-3 * fluxes[line][0])
        assert responses[line] == pytest.approx(expected, abs=0.02 * np.abs(expected).max())


def test_response_to_the_reddening_all_pixels_share():
    fluxes, names = fluxes_at(np.linspace(7.8, 8.7, 40)), ("R3", "O3O2")
    _, responses, _ = measure(fluxes, names, Reddening("global", 0.3, 0.1))
    low, high = (measure(fluxes, names, Reddening("global", ebv, 0.1))[0].median for ebv in (0.299, 0.301))
    assert responses["EBV"] == pytest.approx((high - low) / 0.002, abs=0.02)
    # a negative one is used as zero, whatever its value
    assert not measure(fluxes, names, Reddening("global", -0.1, 0.1))[1]["EBV"].any()


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_noise_error_is_the_scatter_of_noisy_fluxes(scale):
    generator = np.random.default_rng(1)
    truth = np.full(1500, 8.4)
    fluxes = fluxes_at(truth, scale, 0.03)
    _, _, noise = measure(fluxes, ("R3", "N2", "O3O2"), Reddening("map"))
    noisy = {line: (value + generator.normal(0, error), error) for line, (value, error) in fluxes.items()}
    posterior, _, _ = measure(noisy, ("R3", "N2", "O3O2"), Reddening("map"))
    # 1500 draws know their scatter to 2 per cent; the response is linear to some per cent at S/N 33
    assert noise[0] == pytest.approx(np.std(posterior.median), rel=0.07)


def test_noise_is_smaller_than_the_total_error_and_vanishes_with_it():
    log_oh = np.linspace(7.8, 8.7, 20)
    for relative in (1e-6, 0.05):
        posterior, _, noise = measure(fluxes_at(log_oh, relative=relative), ("R3", "N2"), Reddening())
        assert np.all(noise < 0.5 * (posterior.error_minus + posterior.error_plus))
    assert np.all(measure(fluxes_at(log_oh, relative=1e-6), ("R3", "N2"), Reddening())[2] < 1e-5)


def test_an_undetected_line_has_no_response_and_a_missing_one_no_abundance():
    fluxes = fluxes_at(np.array([8.3, 8.3, 8.3]))
    value, error = (item.copy() for item in fluxes["NII6584"])
    value[1:], error[1:] = np.nan, np.nan
    limit = np.array([np.nan, 0.3, np.nan])
    fluxes["NII6584"] = value, error
    posterior, responses, noise = measure(
        fluxes, ("R3", "N2"), Reddening(), limits={"NII6584": (3 * limit / 3, limit / 3)}
    )
    assert np.isfinite(posterior.median).tolist() == [True, True, False]
    assert responses["NII6584"][0] > 0
    assert responses["NII6584"][1] == 0
    assert responses["Halpha"][1] < 0  # a brighter Halpha lowers the limit on N2
    assert np.isfinite(noise).tolist() == [True, True, False]


def test_limits_alone_are_no_abundance():
    fluxes = {"Halpha": (np.ones(1), np.full(1, 0.01))}
    posterior, _, _ = measure(fluxes, ("N2",), Reddening(), limits={"NII6584": (np.full(1, 0.1), np.full(1, 0.03))})
    assert np.isnan(posterior.median[0])

from dataclasses import replace

import numpy as np
import pytest
from linefit_mocks import LINE_LIST, OPTIONS, band_wavelength, header, model_of, spectra

from draw_spaxel import _differences, draw_spaxel
from klever.cubes.cube import Cube
from klever.errors import ConfigError, InputError
from klever.linefit.cubefit import band_models, fit_cube
from klever.linefit.groupspectra import group_spectra
from klever.maps import Flag, Map
from klever.publish.figure_style import paper_style
from klever.publish.spaxel_figure import draw_spaxel_figure, flag_names, flux_exponent, line_label
from klever.publish.spaxel_fit import (
    components,
    fit_from_maps,
    fitted_groups,
    has_spectrum,
    refit,
    with_best_fits,
)

Z, NX, NY = 1.4, 9, 6
FIT = {"engine": "numpy", "errors": "jacobian", "error_samples": 20, "error_seed": 1} | OPTIONS
SETTINGS = {"galaxy": "mock", "band": "H", "instrument": "KMOS", "z": Z, "psf_fwhm": 0.5, "lines": FIT}


def mock_cube(unit=1e-18, bad_pixel=None, snr=25.0):
    """Cube around Halpha of a source at x = 5, y = 2; one spaxel may be empty."""
    rng = np.random.default_rng(3)
    wavelength = band_wavelength()[520:920]
    y, x = np.mgrid[:NY, :NX]
    peak = (snr * np.exp(-0.1 * ((x - 5) ** 2 + (y - 2) ** 2))).ravel()
    model = model_of("halpha", Z, wavelength)
    flux, error, _ = spectra(model, wavelength, peak, 12.0 * (x - 5).ravel(), np.full(NX * NY, 80.0), rng)
    shape = (len(wavelength), NY, NX)
    cube = Cube(flux.T.reshape(shape) * unit, error.T.reshape(shape) * unit, np.zeros(shape, np.uint8), wavelength,
                header(NX, NY), {"galaxy": "mock", "ra": 150.0, "dec": 2.0})  # fmt: skip
    if bad_pixel is not None:
        cube.dq[:, bad_pixel[1], bad_pixel[0]] = 1
    return cube


def fitted(cube):
    band = band_models(cube, LINE_LIST, 1.651 / 4045 / 2.3548, Z, ["halpha"])
    return group_spectra(cube, band, band.models[0], FIT), fit_cube(cube, band, SETTINGS)


@pytest.fixture(scope="module")
def product():
    return fitted(mock_cube(bad_pixel=(1, 4)))


@pytest.mark.parametrize(("name", "label"), [
    ("Halpha", "Hα"), ("HBETA", "Hβ"), ("Pabeta", "Paβ"), ("OIII5007", "[O\N{THIN SPACE}III] 5007"),
    ("SII", "[S\N{THIN SPACE}II]"), ("HeI5876", "He\N{THIN SPACE}I 5876"), ("HALPHA_BROAD", "Hα broad"),
    ("MyLine", "MyLine"),
])  # fmt: skip
def test_lines_are_named_as_they_are_printed(name, label):
    assert line_label(name) == label


def test_flags_are_named():
    assert flag_names(Flag.RESIDUAL | Flag.VELOCITY_BOUND) == ["VELOCITY_BOUND", "RESIDUAL"]
    assert flag_names(0) == []


def test_curve_of_the_maps_is_that_of_a_new_fit(product):
    spectra_, maps = product
    for x, y in ((5, 2), (2, 3), (8, 5)):
        saved, new = fit_from_maps(spectra_, maps, x, y), refit(spectra_, FIT, x, y, maps.header["ERRSCALE"])
        assert saved.fitted and new.fitted
        assert np.nanmax(np.abs(saved.total - new.total) / new.error) < 1e-3
        assert new.snr == pytest.approx(saved.snr, rel=1e-4)
        assert _differences(new, saved, "halpha") == []


def test_residual_reproduces_the_chi2_of_the_maps(product):
    spectra_, maps = product
    fit = fit_from_maps(spectra_, maps, 5, 2)
    n_free = 2 + 4 + 2  # velocity, width; Halpha, [N II], two [S II]; continuum
    assert np.nansum(fit.residual**2) / (fit.used.sum() - n_free) == pytest.approx(fit.numbers["chi2"], rel=0.01)


@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_curves_scale_with_the_unit(product, unit):
    spectra_, maps = fitted(mock_cube(unit=unit, bad_pixel=(1, 4)))
    here, there = fit_from_maps(*product, 5, 2), fit_from_maps(spectra_, maps, 5, 2)
    np.testing.assert_allclose(there.residual, here.residual, atol=1e-3)


def test_a_map_that_is_not_that_of_the_cube_is_noticed(product):
    spectra_, _ = product
    new = refit(spectra_, FIT, 5, 2)
    stale = replace(new, numbers=new.numbers | {"flux": new.numbers["flux"] * 1.1})
    assert "flux" in _differences(new, stale, "halpha")[0]
    lost = replace(new, numbers=new.numbers | {"velocity": np.nan})
    assert "velocity nan there" in _differences(new, lost, "halpha")[0]


def test_median_velocity_of_a_posterior_is_replaced_by_the_best_fit(product):
    spectra_, maps = product
    fit = fit_from_maps(spectra_, maps, 5, 2)
    moved = maps["VELOCITY_HALPHA"].value.copy()
    maps["VELOCITY_HALPHA"].value[2, 5] += 60.0
    shifted = fit_from_maps(spectra_, maps, 5, 2)
    maps["VELOCITY_HALPHA"].value[:] = moved
    (best,) = with_best_fits([shifted], spectra_, FIT)
    assert np.nansum(shifted.residual**2) > 2 * np.nansum(fit.residual**2)
    assert np.nansum(best.residual**2) == pytest.approx(np.nansum(fit.residual**2), rel=1e-4)
    assert best.numbers["velocity"] == pytest.approx(fit.numbers["velocity"] + 60.0)


def test_a_broad_component_of_the_maps_is_part_of_the_curve(product):
    spectra_, maps = product
    one = fit_from_maps(spectra_, maps, 5, 2)
    full = np.ones((NY, NX))
    added = {"HALPHA_BROAD": 4e-20 * full, "VELOCITY_HALPHA_BROAD": -50 * full, "DISPERSION_HALPHA_BROAD": 600 * full}
    for name, values in added.items():
        maps[name] = Map(values, 0.1 * np.abs(values), np.zeros((NY, NX), np.uint16))
    try:
        assert fitted_groups(maps) == ["HALPHA", "HALPHA_BROAD"]
        assert components(maps, "halpha") == ["", "_BROAD"]
        two = fit_from_maps(spectra_, maps, 5, 2, "_BROAD")
    finally:
        for name in added:
            del maps.maps[name]
    step = np.gradient(two.wavelength)
    assert (two.lines["_BROAD"] * step).sum() == pytest.approx(4e-20, rel=0.02)
    assert two.numbers["dispersion"] == 600
    np.testing.assert_allclose(two.lines[""], one.lines[""])


def test_a_spaxel_without_data_has_no_spectrum(product):
    spectra_, _ = product
    assert has_spectrum(spectra_, 5, 2)
    assert not has_spectrum(spectra_, 1, 4)


def test_figure_holds_data_fit_residual_and_numbers(product):
    fit = fit_from_maps(*product, 5, 2)
    with paper_style():
        figure = draw_spaxel_figure([replace(fit, flags=Flag.RESIDUAL)], "mock", ["The maps are stale."], True)
        figure.canvas.draw()
    text = " ".join(entry.get_text() for entry in figure.texts)
    for part in ("Hα", "S/N", "χ²", "RESIDUAL", "stale", "SIMULATED"):
        assert part in text
    spectrum, residual = figure.axes[:2]
    drawn = {line.get_color(): line.get_ydata() for line in spectrum.lines}
    np.testing.assert_allclose(np.nanmax(drawn["#D00000"]), np.nanmax(fit.total) * 10.0 ** -flux_exponent(fit.flux))
    np.testing.assert_array_equal(residual.lines[0].get_ydata(), fit.residual)


def test_a_spectrum_that_could_not_be_fitted_is_drawn_without_fit(product):
    fit = fit_from_maps(*product, 5, 2)
    empty = replace(fit, numbers=dict.fromkeys(fit.numbers, np.nan), flags=Flag.NOT_FITTED)
    with paper_style():
        figure = draw_spaxel_figure([empty], "mock")
        figure.canvas.draw()
    assert "no fit" in " ".join(entry.get_text() for entry in figure.texts)
    assert "#D00000" not in {line.get_color() for line in figure.axes[0].lines}


@pytest.mark.parametrize(("arguments", "words"), [
    (("sp33", "H", 1, 1), "did you mean"), (("sp3", "Z", 1, 1), "no band"), (("sp3", "H", 1, 1), "run: "),
])  # fmt: skip
def test_errors_say_what_to_do(tmp_path, monkeypatch, arguments, words):
    from survey_runs import write_survey

    monkeypatch.chdir(tmp_path)
    folder = write_survey(tmp_path / "survey", {"sp3": "none"})
    with pytest.raises((ConfigError, InputError), match=words):
        draw_spaxel(folder, *arguments)


def test_output_must_be_a_figure(tmp_path):
    with pytest.raises(InputError, match=r"\.png or \.pdf"):
        draw_spaxel(tmp_path, "sp3", "H", 1, 1, output="fit.jpg")

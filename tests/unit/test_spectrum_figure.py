"""Figure of the integrated spectra: windows, labels, what is drawn, any scale, bad inputs, bytes, which galaxies."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from klever.config.schema import Problems
from klever.config.settings import check_names, spectra_galaxies
from klever.errors import InputError
from klever.publish.figure_style import paper_style
from klever.publish.spectrum_figure import draw_spectra, fitted_windows, line_label, runs, spread
from klever.row_tables import Column, write_table
from spectrum_figure import draw_spectrum_figure

LINE_LIST = Path(__file__).parents[2] / "resources/lines.yaml"
HEAD = {"name": "sp1", "redshift": "z = 1.5", "radius": 0.6, "threshold": 3.0, "simulated": True}
HALPHA = 0.6564632 * 2.5


def spectrum(scale=1e-15, n=400, windows=((100, 300),), name="H", marks=True, seed=1):
    wavelength = 1.6 + np.arange(n) * 2e-4
    lines = scale * 20 * np.exp(-0.5 * ((wavelength - HALPHA) / 4e-4) ** 2)
    error = np.full(n, scale)
    model = np.full(n, np.nan)
    for start, stop in windows:
        model[start:stop] = lines[start:stop] + 2 * scale
    flux = lines + 2 * scale + error * np.random.default_rng(seed).normal(size=n)
    masked = np.zeros(n, dtype=bool)
    masked[150:155] = True
    flux[masked] = error[masked] = np.nan
    continuum = np.where(np.isfinite(model), 2 * scale, np.nan)
    return {"band": name, "instrument": "KMOS", "wavelength": wavelength, "flux": flux, "error": error, "model": model,
            "continuum": continuum, "masked": masked,
            "marks": [{"line": "Halpha", "wavelength": HALPHA, "detected": True}] if marks else []}  # fmt: skip


def draw(*bands, **more):
    with paper_style():
        figure = draw_spectra(list(bands), HEAD | more)
        FigureCanvasAgg(figure).draw()
    return figure


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [text.get_text() for text in figure.texts]


def test_runs_and_windows():
    assert runs([False, True, True, False, True]) == [(1, 3), (4, 5)]
    assert runs([True, True]) == [(0, 2)] and runs([False]) == []
    assert fitted_windows(np.array([np.nan, 1.0, 2.0, np.nan, 3.0])) == [(1, 3), (4, 5)]
    assert fitted_windows(np.full(4, np.nan)) == [(0, 4)]


@pytest.mark.parametrize(
    ("name", "label"),
    [("OIII5007", "[O III] 5007"), ("SII6717", "[S II] 6717"), ("Halpha", r"H$\alpha$"), ("OI6300", "[O I] 6300"),
     ("NeIII3869", "[Ne III] 3869"), ("Brgamma", "Brgamma"), ("H2_10S1", "H2_10S1")],
)  # fmt: skip
def test_names_of_lines(name, label):
    assert line_label(name) == label


def test_labels_are_spread_no_more_than_needed():
    np.testing.assert_array_equal(spread([1.0, 5.0], 2.0, 0, 10), [1, 5])
    np.testing.assert_allclose(spread([4.0, 4.0], 2.0, 0, 10), [3, 5])
    np.testing.assert_allclose(spread([0.0, 0.1, 9.0], 2.0, 0, 10), [0, 2, 9])
    for seed in range(50):
        positions = np.sort(np.random.default_rng(seed).uniform(0, 10, 7))
        moved = spread(positions, 1.2, 0, 10)
        assert np.diff(moved).min() > 1.2 - 1e-9 and moved[0] >= 0 and moved[-1] <= 10 + 1e-9
    assert np.all(np.diff(spread(np.full(30, 5.0), 1.0, 0, 10)) > 0.3)  # too many: evenly
    assert spread([], 1.0, 0, 1).size == 0 and spread([12.0], 1, 0, 10) == [10]


def test_a_band_shows_its_fitted_windows_with_fit_masks_and_residuals():
    band = spectrum()
    upper, lower = draw(band).axes
    low, high = upper.get_xlim()
    assert low == pytest.approx(band["wavelength"][100] - 1e-4) and high == pytest.approx(
        band["wavelength"][299] + 1e-4
    )
    assert lower.get_xlim() == (low, high)
    fits = [line for line in upper.lines if line.get_color() == "#D00000" and line.get_linestyle() == "-"]
    assert len(fits) == 1
    scale = fits[0].get_ydata() / band["model"][100:300]
    assert np.ptp(scale) < 1e-9 * scale.mean() and scale.mean() == pytest.approx(1e14)
    shades = [
        patch.get_extents().transformed(upper.transData.inverted()) for patch in upper.patches if patch.get_alpha()
    ]
    assert [(box.x0, box.x1) for box in shades] == [pytest.approx((1.6 + 149.5 * 2e-4, 1.6 + 154.5 * 2e-4), abs=1e-9)]
    steps = next(patch for patch in lower.patches if hasattr(patch, "get_data"))
    drawn = steps.get_data().values
    expected = (band["flux"] - band["model"])[100:300] / band["error"][100:300]
    assert np.isnan(drawn[50:55]).all()
    np.testing.assert_allclose(drawn, np.clip(expected, -5, 5), atol=1e-9)


def test_residuals_beyond_the_panel_are_marked():
    band = spectrum()
    band["flux"][200] += 9e-15
    band["flux"][210] -= 9e-15
    _, lower = draw(band).axes
    ups, downs = (line for line in lower.lines if line.get_marker() in "^v")
    assert list(ups.get_xdata()) == [band["wavelength"][200]] and list(downs.get_xdata()) == [band["wavelength"][210]]


def test_two_windows_are_two_columns_with_one_label_each_line_once():
    band = spectrum(windows=((20, 80), (150, 330)))
    figure = draw(band)
    assert len(figure.axes) == 4
    assert texts(figure).count(r"H$\alpha$") == 1
    assert [axes.get_ylabel() != "" for axes in figure.axes] == [True, True, False, False]


def test_lines_that_are_not_detected_are_grey():
    band = spectrum()
    band["marks"].append({"line": "NII6584", "wavelength": 0.6585279 * 2.5, "detected": False})
    colours = {text.get_text(): text.get_color() for text in draw(band).axes[0].texts}
    assert colours[r"H$\alpha$"] == "black" and colours["[N II] 6584"] == "#999999"


def test_a_band_without_lines_or_without_data_says_so_and_is_shown_whole():
    band = spectrum(windows=(), marks=False)
    figure = draw(band)
    (axes,) = figure.axes
    assert axes.get_xlim()[1] - axes.get_xlim()[0] == pytest.approx(400 * 2e-4)
    assert "none of the lines falls in this band" in texts(figure)
    assert "no fit" in texts(draw(spectrum(windows=())))
    empty = spectrum(windows=(), marks=False)
    empty["flux"][:] = empty["error"][:] = np.nan
    empty["masked"][:] = True
    assert "no data" in texts(draw(empty))


@pytest.mark.parametrize("scale", [1e-35, 1e5])
def test_any_scale_gives_the_same_figure_but_for_its_unit(scale):
    reference, scaled = draw(spectrum(1e-15)).axes, draw(spectrum(scale)).axes
    assert scaled[0].get_ylim() == pytest.approx(reference[0].get_ylim(), rel=1e-9)
    assert scaled[1].get_ylim() == reference[1].get_ylim()
    exponent = round(np.log10(scale)) + 1
    assert f"10^{{{exponent}}}" in scaled[0].get_ylabel()


def test_constant_and_zero_spectra_have_limits():
    band = spectrum()
    for value in (0.0, 3e-15):
        band["flux"] = np.where(band["masked"], np.nan, value)
        band["model"] = np.where(np.isfinite(band["model"]), value, np.nan)
        low, high = draw(band).axes[0].get_ylim()
        assert low < 0 < high


def test_only_simulated_data_are_stamped():
    assert "SIMULATED DATA" in texts(draw(spectrum()))
    assert "SIMULATED DATA" not in texts(draw(spectrum(), simulated=False))


def write_band(folder, band, marks=("Halpha", "Halpha_broad"), n=None):
    meta = {"galaxy": "sp1", "band": band["band"], "instrument": "KMOS"}
    names = ("wavelength", "flux", "error", "masked", "model", "continuum")
    rows = [dict(zip(names, values, strict=True)) for values in zip(*(band[name] for name in names), strict=True)]
    write_table(folder / "spectrum.ecsv", rows[:n],
                [Column(name, bool if name == "masked" else float, name) for name in names], meta)  # fmt: skip
    columns = [Column(name, str, name) for name in ("galaxy", "band", "line", "group")]
    columns += [
        Column("detected", bool, ""),
        Column("snr", float, ""),
        Column("z", float, ""),
        Column("z_error", float, ""),
        Column("flags", int, ""),
    ]
    rows = [
        meta | {"line": name, "group": "halpha", "snr": 9.0, "detected": True, "z": 1.5, "z_error": 1e-5, "flags": 0}
        for name in marks
    ]
    write_table(folder / "lines.ecsv", rows, columns, meta)
    return str(folder / "spectrum.ecsv"), str(folder / "lines.ecsv")


SETTINGS = {"name": "sp1", "z": 1.5, "simulated": True, "figures": {"dpi": 60},
            "lines": {"detection_snr": 3.0, "aperture_radius": 0.6}}  # fmt: skip


def test_step_orders_bands_by_wavelength_and_writes_the_same_bytes(tmp_path):
    first, second = spectrum(name="K"), spectrum(name="H")
    first["wavelength"] = first["wavelength"] + 0.5
    first["marks"] = []
    pairs = [write_band(tmp_path / "K", first, ()), write_band(tmp_path / "H", second)]
    contents = []
    for name, order in (("a", 1), ("b", -1)):
        files = [tmp_path / f"{name}.{ending}" for ending in ("pdf", "png")]
        draw_spectrum_figure(*zip(*pairs[::order], strict=True), LINE_LIST, LINE_LIST, *files, SETTINGS)
        contents.append([path.read_bytes() for path in files])
    assert contents[0] == contents[1]
    assert contents[0][0].startswith(b"%PDF") and contents[0][1].startswith(b"\x89PNG")


def test_a_spectrum_without_channels_is_an_input_error(tmp_path):
    spectra, lines = write_band(tmp_path, spectrum(), n=1)
    with pytest.raises(InputError, match=r"spectrum\.ecsv has 1 channels"):
        draw_spectrum_figure([spectra], [lines], LINE_LIST, LINE_LIST, tmp_path / "a.pdf", tmp_path / "a.png", SETTINGS)
    assert not (tmp_path / "a.pdf").exists()


def test_galaxies_that_are_drawn():
    paper = ["R2248_LRb_p3_M4_Q3_93_1", "GLASS_01845-99-99"]
    assert spectra_galaxies("auto", ["sp1", "sp2", *paper[::-1]]) == paper
    assert spectra_galaxies("auto", ["sp1", paper[1]]) == paper[1:]
    assert spectra_galaxies("auto", ["a", "b", "c"]) == ["a", "b"] and spectra_galaxies("auto", ["a"]) == ["a"]
    assert spectra_galaxies(["c", "a"], ["a", "b"]) == ["a"]  # c is excluded
    assert spectra_galaxies([], ["a"]) == []


def test_a_galaxy_that_does_not_exist_is_a_configuration_error():
    problems = Problems()
    settings = {"exclude": [], "overrides": {}, "figures": {"spectra": ["sp1", "GLASS_01845-99-9"]}}
    check_names(settings, ["sp1", "GLASS_01845-99-99"], {}, {}, problems)
    assert list(problems) == [
        "config/config.yaml: figures.spectra[1]: there is no galaxy 'GLASS_01845-99-9' in the table of galaxies; "
        "did you mean GLASS_01845-99-99?"
    ]
    problems.clear()
    check_names(settings | {"figures": {"spectra": "auto"}}, ["x"], {}, {}, problems)
    assert not problems


def test_tick_labels_of_neighbouring_windows_do_not_meet():
    figure = draw(spectrum(windows=((20, 80), (100, 180), (210, 330))), spectrum(windows=((0, 400),)))
    renderer = figure.canvas.get_renderer()
    for lower in (figure.axes[1:6:2], figure.axes[7:]):
        boxes = [label.get_window_extent(renderer) for axes in lower for label in axes.get_xticklabels()]
        assert len(boxes) >= 3
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))

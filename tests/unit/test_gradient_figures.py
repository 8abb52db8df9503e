"""Figures A1 and 11 and that of the bias of slopes: what they hold, and that nothing is cut off or missing."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from klever.config.settings import gradient_figure_galaxies
from klever.maps import Map, MapSet
from klever.publish.aperture_figure import draw_aperture_figure
from klever.publish.disturbed_figure import draw_disturbed_figure, enclosed_levels
from klever.publish.example_figure import draw_example_figure
from klever.publish.figure_style import paper_style
from klever.publish.slope_bias_figure import draw_slope_bias_figure


def gradient(slope=0.01, other=0.012, error=0.003, resolved="resolved"):
    names = "region aperture slope slope_error intercept resolved psf_fwhm_major_kpc psf_fwhm_minor_kpc state".split()
    rows = [("all", aperture, value, error, 8.4, resolved, 4.0, 1.0, "ok")
            for aperture, value in (("elliptical", slope), ("circular", other))]  # fmt: skip
    return Table(rows=rows, names=names)


def texts_of(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [text.get_text() for text in figure.texts]


def test_levels_enclose_their_fractions_of_the_light():
    y, x = np.mgrid[:81, :81] - 40.0
    light = np.exp(-(x**2 + y**2) / (2 * 9.0**2))
    levels = enclosed_levels(light, (0.5, 0.97))
    # the level of a Gaussian that holds a fraction f is 1 - f of its peak
    np.testing.assert_allclose(levels, [0.03, 0.5], atol=0.01)
    assert enclosed_levels(np.full((3, 3), np.nan)).size == 0
    np.testing.assert_allclose(enclosed_levels(light * 1e-20, (0.5,)), levels[1] * 1e-20, rtol=1e-6)


def test_apertures_are_compared_where_both_are_resolved():
    tables = [gradient(), gradient(0.02, 0.05), gradient(resolved="unresolved")]
    with paper_style():
        figure = draw_aperture_figure(tables, None, True)
    texts = texts_of(figure)
    assert "1 of 2 within 1$\\sigma$" in texts and "SIMULATED DATA" in texts and texts.count("no example") == 2
    with paper_style():
        assert "no gradient in both apertures" in texts_of(draw_aperture_figure([], None, False))


def test_the_example_is_drawn_in_both_apertures():
    annuli = Table(rows=[("all", aperture, method, 1.0 + i, 8.4 + 0.01 * i, 0.01) for i in range(3)
                         for aperture in ("elliptical", "circular") for method in ("pixels", "fluxes")],
                   names="region aperture method radius_kpc log_oh log_oh_noise_error".split())  # fmt: skip
    radius = np.linspace(0, 4, 50)
    example = {"name": "arc", "region": "all", "log_oh": 8.4 + 0.01 * radius, "annuli": annuli, "gradient": gradient(),
               "radius": {"elliptical": radius, "circular": radius[::-1]}}  # fmt: skip
    with paper_style():
        figure = draw_aperture_figure([gradient()], example, False)
    texts = texts_of(figure)
    assert any("arc, elliptical: $+0.010" in text for text in texts)
    assert any("arc, circular: $+0.012" in text for text in texts) and "SIMULATED DATA" not in texts


def system(images=True, empty=False):
    y, x = np.mgrid[:41, :45]
    light = np.exp(-((x - 25) ** 2 + (y - 18) ** 2) / 50) * 1e-17
    header = fits.Header({"PIXSCALE": 0.1, "KPC_ARC": 8.0})
    source, abundance = MapSet(header), MapSet(header)
    flags = np.zeros(light.shape, np.uint16)
    value = np.full(light.shape, np.nan) if empty else light
    source["HALPHA"] = Map(value, np.full(light.shape, 1e-19), flags)
    source["VELOCITY_HALPHA"] = Map(10.0 * (x - 25), None, flags)
    abundance["LOG_OH"] = Map(np.where(light > 1e-18, 8.4 + 0.01 * (x - 25), np.nan), None, flags)
    found = {"F160W": light, "F814W": np.roll(light, 3, axis=1)} if images else {}
    return {"name": "sp1", "aligned": source, "source": source, "metallicity": abundance, "images": found,
            "delensed": found.get("F814W"), "slope": ""}  # fmt: skip


@pytest.mark.parametrize("systems", [[system(), system(images=False)], [system(empty=True)], []])
def test_disturbed_systems_have_five_panels_each(systems):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with paper_style():
        figure = draw_disturbed_figure(systems, True)
        FigureCanvasAgg(figure).draw()
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    assert len(panels) == 5 * len(systems)
    missing = texts_of(figure).count("no data")
    assert missing == sum(3 for item in systems if not item["images"]) + (1 if systems and len(systems) == 1 else 0)


def example(name="sp15", resolved="resolved", empty=False):
    """What Fig. 7 shows of a galaxy whose metallicity rises by 0.01 dex/kpc."""
    y, x = np.mgrid[:41, :41] - 20.0
    radius, light = np.hypot(x, y) * 0.5, np.exp(-np.hypot(x, y) / 6)
    header = fits.Header({"PIXSCALE": 0.0625, "KPC_ARC": 8.0, "XC": 20.0, "YC": 20.0, "STATE": "ok"})
    source, abundance = MapSet(header), MapSet(header)
    flags = np.zeros(light.shape, np.uint16)
    source["F160W"], source["HALPHA"] = Map(light, None, flags), Map(light, light / 20, flags)
    abundance["LOG_OH"] = Map(np.where(radius < 4, 8.4 + 0.01 * radius, np.nan), None, flags)
    rows = [("all", aperture, "pixels", 1.0 + i, 1.5 + i, 8.41 + 0.01 * i, 0.01, 0.01) for i in range(3)
            for aperture in ("elliptical", "circular")]  # fmt: skip
    names = "region aperture method radius_kpc radius_outer_kpc log_oh log_oh_error log_oh_noise_error".split()
    annuli = Table(rows=rows, names=names)
    fit = gradient(0.01, 0.01, resolved=resolved)
    fit["psf_hwhm_kpc"], fit["intercept_error"] = 1.2, 0.01
    psf = Table({"fwhm_major": [0.3], "fwhm_minor": [0.2], "position_angle": [30.0], "fwhm_major_kpc": [2.4],
                 "fwhm_minor_kpc": [1.6]})  # fmt: skip
    properties = Table({"state": ["ok"], "log_oh": [8.42], "log_oh_error_minus": [0.05], "log_oh_error_plus": [0.05]})
    if empty:
        annuli, psf, properties = annuli[:0], psf[:0], properties[:0]
        abundance = MapSet(fits.Header({"STATE": "not_detected"}))
        fit["state"] = ["not_detected"] * len(fit)
    return {"name": name, "source": source, "metallicity": abundance, "annuli": annuli, "gradient": fit,
            "source_psf": psf, "properties": properties}  # fmt: skip


def test_examples_have_four_panels_with_map_and_gradient():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patches import Ellipse

    galaxies = [example(), example("ne111", "marginal"), example("faint", empty=True)]
    with paper_style():
        figure = draw_example_figure(galaxies, True)
        FigureCanvasAgg(figure).draw()
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    assert len(panels) == 12
    texts = texts_of(figure)
    assert any(text.startswith("sp15") and "+0.010" in text and text.endswith("resolved") for text in texts)
    assert any(text.startswith("ne111") and text.endswith("marginal") for text in texts)
    assert "faint" in texts and "SIMULATED DATA" in texts and "no data" in texts
    # three apertures and the PSF on a map of metallicity, none without
    found = [sum(isinstance(patch, Ellipse) for patch in panels[column].patches) for column in (2, 6, 10)]
    assert found == [4, 4, 0]
    (line,) = [line for line in panels[3].get_lines() if line.get_label() == "fit"]
    assert np.ptp(line.get_ydata()) == pytest.approx(0.01 * np.ptp(line.get_xdata()))
    with paper_style():
        assert "no galaxy is chosen" in texts_of(draw_example_figure([], False))


def test_bias_figure_names_pulls_and_needs_no_rows():
    random = np.random.default_rng(1)
    rows = []
    for name in ("slope", "slope_intrinsic"):
        for aperture in ("elliptical", "circular"):
            for _ in range(20):
                truth, error = random.normal(0, 0.03), 0.005
                factor = 0.4 if name == "slope" else 1.0
                measured = factor * truth + random.normal(0, error)
                pull = (measured - truth) / error
                rows.append((f"{name}_{aperture}", random.uniform(0.7, 5), truth, measured, error, pull, True))
    names = "quantity resolution truth measured error pull used".split()
    with paper_style():
        figure = draw_slope_bias_figure(Table(rows=rows, names=names))
        empty = draw_slope_bias_figure(Table(names=names, dtype=[str] + [float] * 5 + [bool]))
    named = [text for text in texts_of(figure) if "±" in text]
    assert len(named) == 4 and all("(20)" in text for text in named)
    widths = [float(text.split("±")[1].split("(")[0]) for text in named]
    assert min(widths[:2]) > 2 * max(widths[2:])  # the flattened slopes are off by many errors
    assert len(empty.axes) == 4


def test_galaxies_of_the_figures_are_the_paper_s_or_the_survey_s_first():
    auto = {"disturbed": "auto", "apertures": "auto", "maps": "auto"}
    assert gradient_figure_galaxies(auto, ["a", "sp1", "cswa164", "sp15"]) == (["sp15", "sp1"], ["cswa164"], ["sp15"])
    assert gradient_figure_galaxies(auto, list("abcdef")) == (list("abcd"), ["a"], ["a", "b"])
    chosen = {"disturbed": ["b", "gone"], "apertures": ["c"], "maps": ["c", "a"]}
    assert gradient_figure_galaxies(chosen, list("abc")) == (["b"], ["c"], ["c", "a"])
    assert gradient_figure_galaxies(auto, []) == ([], [], [])

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galaxy_page import draw_galaxy_page
from klever.maps import Flag, Map, MapSet
from klever.publish.figure_style import paper_style
from klever.publish.galaxy_page import draw_page, gradient_sentence, state_sentence
from klever.publish.gradient_panel import fit_band
from klever.publish.page_frame import Frame

KPC = 8.4
SETTINGS = {"galaxy": "sp_1", "name": "sp_1", "z": 1.393, "lens": "ms2137", "simulated": True, "include": True,
            "figures": {"formats": ["pdf", "png"], "dpi": 150}}  # fmt: skip


def header(shape):
    ny, nx = shape
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 1.0, "CRPIX2": 1.0, "CRVAL1": 325.0, "CRVAL2": -23.0,
             "CD1_1": -0.065 / 3600, "CD2_2": 0.065 / 3600, "PIXSCALE": 0.065, "KPC_ARC": KPC,
             "XC": (nx - 1) / 2, "YC": (ny - 1) / 2}  # fmt: skip
    return fits.Header(cards)


def galaxy(tmp_path, shape=(61, 45), state="ok", image=True, ratios=("R3", "N2"), regions=("all",), empty=False):
    """Write the six products of a galaxy with a gradient of -0.02 dex/kpc and return their paths."""
    head = header(shape)
    head["STATE"] = state
    y, x = np.mgrid[: shape[0], : shape[1]]
    kpc = np.hypot(x - head["XC"], (y - head["YC"]) * 0.8) * 0.065 * KPC
    halpha = 3e-17 * np.exp(-kpc / 2.5)
    rng = np.random.default_rng(1)
    inside = (kpc < 7.5) if not empty else np.zeros(shape, bool)

    def layer(values, mask=inside, unit=""):
        flags = np.where(mask, 0, Flag.NO_DATA).astype(np.uint16)
        return Map(np.where(mask, values, np.nan), np.where(mask, 0.03, np.nan), flags, unit)

    source, metallicity = MapSet(header=head), MapSet(header=head)
    everywhere = np.ones(shape, bool) & (not empty)
    flux = layer(halpha, everywhere, "erg s-1 cm-2 arcsec-2")
    flux.error = np.where(everywhere, 1e-19, np.nan)
    source["HALPHA"] = flux
    if image:
        source["F160W"] = Map(halpha * 1e17 + 0.01 * rng.normal(size=shape))
    metallicity["LOG_OH"] = layer(8.5 - 0.02 * kpc + 0.01 * rng.normal(size=shape))
    for name in ratios:
        metallicity[name] = layer(-0.3 + 0.05 * kpc)
    metallicity["HALPHA"] = flux
    residuals = MapSet(header=head)
    residuals["RESIDUAL"] = layer(0.01 * rng.normal(size=shape))
    source["VELOCITY_HALPHA"] = layer(80 * np.tanh((x - head["XC"]) / 5))
    measured = state == "ok"
    annuli, gradient = [], []
    for region in regions:
        for aperture in ("elliptical", "circular"):
            for i in range(5 * measured):
                radius = 1.0 + 1.4 * i
                value = 8.5 - 0.02 * radius + (0.01 if aperture == "circular" else 0)
                annuli.append((region, aperture, radius, radius - 0.7, radius + 0.7, value, 0.03 + 0.01 * i))
            numbers = (-0.02, 0.008, 8.5, 0.03, 5, 7.3, 1.5) if measured else (np.nan,) * 4 + (0, np.nan, 1.5)
            gradient.append((region, aperture, *numbers, "resolved" if measured else "unresolved", state))
    tables = {
        "annuli": Table(rows=annuli or None, names="region aperture radius_kpc radius_inner_kpc radius_outer_kpc "
                        "log_oh log_oh_error".split(),
                        dtype=[str, str] + [float] * 5),
        "gradient": Table(rows=gradient, names="region aperture slope slope_error intercept intercept_error n_annuli "
                          "max_radius_kpc psf_hwhm_kpc resolved state".split()),
        "source_psf": Table(rows=[(0.5, 0.25, 4.2, 2.1, 30.0)], names="fwhm_major fwhm_minor fwhm_major_kpc "
                            "fwhm_minor_kpc position_angle".split()),
        "asymmetry": Table(
            rows=[(region, 0.05, 0.04, 0.2, -0.3, 0.1, "ok" if measured else state) for region in regions],
            names="region dipole quadrupole chi2_p sfr_residual_correlation sfr_residual_correlation_p state".split()),
        "properties": Table(rows=[(8.45 if measured else np.nan, 0.04, 0.03, "R3+N2", "ok" if measured else state)],
                            names="log_oh log_oh_error_minus log_oh_error_plus diagnostics state".split()),
    }  # fmt: skip
    paths = {"source": tmp_path / "source.fits", "metallicity": tmp_path / "metallicity.fits"}
    source.write(paths["source"])
    metallicity.write(paths["metallicity"])
    paths["residuals"] = tmp_path / "residuals.fits"
    residuals.write(paths["residuals"])
    for name, table in tables.items():
        paths[name] = tmp_path / f"{name}.ecsv"
        table.write(paths[name], format="ascii.ecsv", overwrite=True)
    return paths


def draw(tmp_path, paths, settings=SETTINGS):
    pdf, png = tmp_path / "summary.pdf", tmp_path / "summary.png"
    draw_galaxy_page(**paths, pdf=pdf, png=png, settings=settings)
    return pdf, png


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """Make the figure of a page, once per case."""
    made = {}

    def page(**changes):
        key = repr(changes)
        if key not in made:
            made[key] = laid_out(tmp_path_factory.mktemp("page"), **changes)
        return made[key]

    return page


def laid_out(tmp_path, settings=SETTINGS, **changes):
    names = ("annuli", "gradient", "source_psf", "properties")
    paths = galaxy(tmp_path, **changes)
    with paper_style():
        return draw_page(MapSet.read(paths["source"]), MapSet.read(paths["metallicity"]),
                         *(Table.read(paths[name], format="ascii.ecsv") for name in names), settings,
                         MapSet.read(paths["residuals"]),
                         Table.read(paths["asymmetry"], format="ascii.ecsv"))  # fmt: skip


ALL_RATIOS = ("R3", "N2", "S2", "S3S2", "O3O2")


@pytest.mark.parametrize("changes", [{"ratios": ALL_RATIOS}, {"ratios": ("N2",)},
                                     {"state": "excluded", "empty": True, "image": False},
                                     {"ratios": ALL_RATIOS, "regions": ("north", "south")}])  # fmt: skip
def test_panels_do_not_overlap_and_nothing_is_cut_off(layout, changes):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = layout(**changes)
    with paper_style():
        FigureCanvasAgg(figure).draw()
        boxes = [axes.get_tightbbox() for axes in figure.axes]
    width, height = figure.canvas.get_width_height()
    boxes += [text.get_window_extent() for text in figure.texts] + [
        legend.get_window_extent() for legend in figure.legends
    ]
    for axes in figure.axes:
        for text in axes.texts if axes.get_title() == "gradient" else ():
            assert axes.bbox.x0 < text.get_window_extent().x0 and text.get_window_extent().x1 < axes.bbox.x1
    for i, one in enumerate(boxes):
        assert one.x0 >= 0 and one.y0 >= 0 and one.x1 <= width and one.y1 <= height
        for two in boxes[:i]:
            assert not one.overlaps(two)


def test_page_is_17_cm_wide_and_stamped(layout):
    figure = layout()
    assert figure.get_figwidth() * 2.54 == pytest.approx(17.0)
    assert "SIMULATED DATA" in [text.get_text() for text in figure.texts]


def test_real_data_are_not_stamped(tmp_path):
    figure = laid_out(tmp_path, settings=SETTINGS | {"simulated": False})
    assert "SIMULATED DATA" not in [text.get_text() for text in figure.texts]


def test_legend_names_both_apertures_once(layout):
    figure = layout(ratios=ALL_RATIOS, regions=("north", "south"))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["PSF HWHM", "global", "fit", "circular", "elliptical"]
    assert [axes.get_title() for axes in figure.axes[-2:]] == ["North", "South"]


def test_all_annuli_are_in_view(layout):
    figure = layout()
    (axes,) = [axes for axes in figure.axes if axes.get_title() == "gradient"]
    low, high = axes.get_ylim()
    for i in range(5):
        value, error = 8.5 - 0.02 * (1.0 + 1.4 * i), 0.03 + 0.01 * i
        assert low < value - error and value + 0.01 + error < high
    assert axes.get_xlim()[1] > 6.6


@pytest.mark.parametrize(
    "state", ["not_detected", "too_few_annuli", "excluded", "outside_lens_model", "no_line_in_band"]
)
def test_page_of_a_galaxy_without_a_gradient_says_why(layout, state):
    figure = layout(state=state, empty=True, image=False)
    footer = " ".join(figure.texts[-1].get_text().split())
    assert state_sentence(state) in footer
    assert not figure.legends


def test_missing_gradient_beside_a_map_is_not_blamed_on_the_map():
    psf = [{"fwhm_major": 0.4}]
    assert "PSF" in gradient_sentence("not_detected", "ok", [])
    assert "PSF" in gradient_sentence("not_detected", "ok", [{"fwhm_major": np.nan}])
    assert "annulus" in gradient_sentence("not_detected", "ok", psf)
    assert gradient_sentence("not_detected", "not_detected", psf) == state_sentence("not_detected")
    assert gradient_sentence("too_few_annuli", "ok", psf) == state_sentence("too_few_annuli")


def test_unknown_state_is_told_and_ok_is_silent():
    assert state_sentence("ok") == ""
    assert "some new state" in state_sentence("some_new_state")


def test_same_products_give_the_same_bytes(tmp_path):
    paths, small = galaxy(tmp_path), SETTINGS | {"figures": {"dpi": 40}}
    first = [path.read_bytes() for path in draw(tmp_path, paths, small)]
    assert first == [path.read_bytes() for path in draw(tmp_path, paths, small)]


def test_frame_has_the_catalogue_position_at_the_origin_and_north_up():
    maps = MapSet(header=header((61, 45)))
    maps["HALPHA"] = Map(np.ones((61, 45)))
    frame = Frame(maps)
    assert frame.offset(22.0, 30.0) == pytest.approx((0.0, 0.0))
    assert frame.extent[1] - frame.extent[0] == pytest.approx(45 * 0.065 * KPC)
    assert frame.north == pytest.approx([0, 1])
    assert frame.east == pytest.approx([-1, 0])


def test_a_noisy_pixel_far_out_does_not_shrink_the_galaxy():
    shape = (81, 101)
    maps = MapSet(header=header(shape))
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot(x - 50, y - 40)
    flux = np.exp(-((distance / 5) ** 2))
    maps["HALPHA"] = Map(flux)
    frame, nothing = Frame(maps), np.full(shape, np.nan)
    log_oh = np.where(distance < 10, 8.5, np.nan)
    size = 0.065 * KPC
    noisy = flux.copy()
    noisy[2, 99] = 0.05
    for image in (flux, noisy, 1e-20 * noisy, 1e20 * noisy):
        assert 7.5 * size < frame.half_width(nothing, image, 0.0) < 10 * size
        assert 9 * size < frame.half_width(log_oh, image, 0.0) < 13 * size
    assert frame.half_width(log_oh, noisy, 30 * size) >= 30 * size
    assert frame.half_width(nothing, nothing, 0.0) == pytest.approx(50.5 * size)


def outlines(figure):
    """Heights on the page in mm of the outlines of the annuli, outermost first."""
    from matplotlib.patches import Ellipse

    (axes,) = [axes for axes in figure.axes if axes.get_title() == "12 + log(O/H)"]
    scale = axes.get_position().width * 170 / (2 * axes.get_xlim()[1])
    ellipses = [patch for patch in axes.patches if isinstance(patch, Ellipse) and not patch.get_fill()]
    return sorted((patch.height * scale for patch in ellipses), reverse=True)


def test_outlines_of_annuli_never_run_together(tmp_path, layout):
    assert len(outlines(layout())) == 5
    paths = galaxy(tmp_path)
    psf = Table.read(paths["source_psf"], format="ascii.ecsv")
    psf["fwhm_minor"] = 0.02 * psf["fwhm_major"]
    tables = [Table.read(paths[name], format="ascii.ecsv") for name in ("annuli", "gradient", "properties")]
    maps = [MapSet.read(paths[name]) for name in ("source", "metallicity")]
    with paper_style():
        few = outlines(draw_page(*maps, *tables[:2], psf, tables[2], SETTINGS))
    assert 1 <= len(few) < 5
    assert np.all(-np.diff(few) / 2 >= 0.6 - 1e-9)


def test_masked_numbers_are_missing_values(tmp_path):
    paths, small = galaxy(tmp_path), SETTINGS | {"figures": {"dpi": 40}}
    for name, columns in (("annuli", ["log_oh", "log_oh_error"]), ("properties", ["log_oh"])):
        table = Table(Table.read(paths[name], format="ascii.ecsv"), masked=True)
        for column in columns:
            table[column].mask[-1] = True
        table.write(paths[name], format="ascii.ecsv", overwrite=True)
    pdf, png = draw(tmp_path, paths, small)
    assert pdf.read_bytes().startswith(b"%PDF") and png.read_bytes().startswith(b"\x89PNG")


def test_band_of_a_fit_is_narrowest_where_the_annuli_are():
    radius = np.linspace(0, 8, 81)
    at, error = np.array([2.0, 4.0, 6.0]), np.full(3, 0.05)
    slope_error = 0.05 / np.sqrt(8.0)
    intercept_error = 0.05 * np.sqrt(1 / 3 + 16 / 8.0)
    line, half = fit_band(radius, (at, error), -0.02, 8.5, slope_error, intercept_error)
    assert radius[np.argmin(half)] == pytest.approx(4.0)
    assert half.min() == pytest.approx(0.05 / np.sqrt(3))
    assert line[0] == 8.5 and half[0] == pytest.approx(intercept_error)

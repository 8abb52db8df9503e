"""Figure of one galaxy in the image and in the source plane."""

import numpy as np
import pytest

from klever.config.settings import planes_galaxies
from klever.grids import tangent_header
from klever.maps import Flag, Map, MapSet
from klever.publish.figure_style import paper_style, save_figure
from klever.publish.planes_figure import Plane, contour_levels, draw_planes, velocity_limit
from klever.row_tables import Column, write_table
from planes_figure import draw_planes_figure

SHAPE, SCALE = (61, 81), 0.1


def galaxy_maps(flux=1e-16, centre=(40.0, 30.0), scale=SCALE, seed=1, **replaced):
    """A galaxy of 0.6 arcsec FWHM at 0-based pixel `centre` that rotates about it, with noise of 2 % of its peak."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    r2 = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) * scale**2
    rng = np.random.default_rng(seed)
    line = flux * (np.exp(-r2 / (2 * 0.25**2)) + rng.normal(0, 0.02, SHAPE))
    header = tangent_header(10.0, 5.0, scale, (40.0, 30.0))
    header["PIXSCALE"], header["STATE"] = scale, "ok"
    maps = MapSet(header)
    good = np.zeros(SHAPE, dtype=np.uint16)
    maps["HALPHA"] = Map(line, np.full(SHAPE, 0.02 * flux), good, "erg s-1 cm-2 arcsec-2")
    maps["VELOCITY_HALPHA"] = Map(50 + 30 * (x - centre[0]) * scale, np.ones(SHAPE), good, "km s-1")
    maps["F160W"] = Map(line * 10, None, good, "")
    for name, value in replaced.items():
        maps[name] = Map(value, maps[name].error, maps[name].flags, maps[name].unit)
    return maps


def plane(maps=None, psf=(0.5, 0.5, 0.0), centre=(40.0, 30.0)):
    return Plane(galaxy_maps() if maps is None else maps, centre, psf)


def settings(**changed):
    return {"name": "Test", "z": 2.0, "line": "HALPHA", "filter": "F160W", "mu": "", "kpc": 8.5, "sentence": "",
            "simulated": True} | changed  # fmt: skip


def test_galaxy_is_found_and_noise_is_not():
    found = plane().galaxy("HALPHA")
    y, x = np.nonzero(found)
    assert np.hypot(x - 40, y - 30).max() * SCALE < 0.9  # 3 sigma of 2 % of the peak: at 0.6 arcsec
    assert found[30, 40] and found.sum() * SCALE**2 == pytest.approx(np.pi * 0.59**2, rel=0.15)


def test_second_image_counts_but_not_a_speck():
    line = galaxy_maps()["HALPHA"].value.copy()
    line[25:36, 5:16] = 0.5e-16
    line[50:52, 70:72] = 1e-16
    found = plane(galaxy_maps(HALPHA=line)).galaxy("HALPHA")
    assert found[30, 10] and found[30, 40] and not found[50, 70]


def test_narrow_source_smaller_than_the_psf_is_still_seen():
    found = plane(psf=(20.0, 20.0, 0.0)).galaxy("HALPHA")
    assert found[30, 40]


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_units_do_not_matter(factor):
    np.testing.assert_array_equal(
        plane(galaxy_maps(flux=factor)).galaxy("HALPHA"), plane(galaxy_maps(flux=1.0)).galaxy("HALPHA")
    )
    assert contour_levels(np.array([0.0, factor])) == pytest.approx([f * factor for f in (0.1, 0.3, 0.5, 0.7, 0.9)])


def test_window_is_a_square_about_the_galaxy_wherever_it_is():
    for centre in ((40.0, 30.0), (60.0, 20.0)):
        east0, east1, south, north = plane(galaxy_maps(centre=centre)).window("HALPHA")
        assert east0 - east1 == pytest.approx(north - south)
        assert (east0 + east1) / 2 == pytest.approx(-(centre[0] - 40) * SCALE, abs=0.1)
        assert (south + north) / 2 == pytest.approx((centre[1] - 30) * SCALE, abs=0.1)


def test_no_line_no_contours_and_the_whole_field():
    empty = plane(galaxy_maps(HALPHA=np.full(SHAPE, np.nan)))
    assert not empty.galaxy("HALPHA").any()
    assert empty.window("HALPHA") == empty.extent
    assert contour_levels(np.full(SHAPE, np.nan)) == contour_levels(-np.ones(3)) == []
    assert velocity_limit([np.full(3, np.nan)], [np.ones(3)]) == (0.0, 10.0)


def test_pixels_outside_the_lens_model_have_no_values():
    maps = galaxy_maps()
    maps["HALPHA"].flags[:, :41] = Flag.OUTSIDE_LENS
    assert not plane(maps).galaxy("HALPHA")[:, :41].any()


def test_velocities_are_weighted_with_the_flux():
    velocity = np.r_[np.linspace(-100, 100, 201), 3000.0]
    zero, limit = velocity_limit([velocity + 40], [np.r_[np.ones(201), 0.01]])
    assert zero == pytest.approx(40, abs=1.5) and limit == pytest.approx(98, abs=1.5)
    again = velocity_limit(
        [velocity + 40, velocity + 40], [np.r_[np.ones(201), 0.01], np.r_[np.ones(201), 0.01] * 1e20]
    )
    assert again == pytest.approx((zero, limit))


# The figure


def drawn(image=None, source=None, **changed):
    with paper_style():
        return draw_planes(image or plane(), source or plane(), settings(**changed))


@pytest.mark.parametrize(("angle", "direction"), [(0.0, (0.0, 1.0)), (90.0, (1.0, 0.0)), (45.0, (0.5**0.5, 0.5**0.5))])
def test_psf_points_where_its_position_angle_says(angle, direction):
    from matplotlib.patches import Ellipse

    figure = drawn(source=plane(psf=(0.6, 0.2, angle)))
    axes = figure.axes[2]
    assert axes.get_title() == "source plane" and axes.get_xlim()[0] > axes.get_xlim()[1]  # east is left
    ellipse = next(patch for patch in axes.patches if isinstance(patch, Ellipse))
    tip = np.array([np.cos(np.radians(ellipse.angle)), np.sin(np.radians(ellipse.angle))])
    assert abs(tip @ direction) == pytest.approx(1.0)  # (east, north)
    assert (ellipse.width, ellipse.height) == (0.6, 0.2)


def test_unknown_psf_is_not_drawn():
    assert not drawn(source=plane(psf=(np.nan, np.nan, np.nan))).axes[2].patches


@pytest.mark.parametrize("simulated", [True, False])
def test_figure_says_what_it_shows(simulated):
    figure = drawn(simulated=simulated, mu="mu = 5")
    words = " ".join(text.get_text() for text in figure.texts)
    assert ("SIMULATED DATA" in words) == simulated
    assert "HST F160W" in words and "mu = 5" in words and "S/N > 3" in words
    assert "flux" in " ".join(text.get_text() for text in drawn(filter=None).texts)


@pytest.mark.parametrize("value", [np.nan, 1.0])
def test_figure_of_empty_and_constant_maps(value):
    constant = np.full(SHAPE, value)
    maps = galaxy_maps(HALPHA=constant, VELOCITY_HALPHA=constant, F160W=constant)
    figure = drawn(plane(maps), plane(maps))
    shown = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert ("no data" in shown) == np.isnan(value)


def write_products(folder, source=None, state="ok"):
    galaxy_maps().write(folder / "aligned.fits")
    source = source or galaxy_maps()
    source.header.update({"KPC_ARC": 8.5, "XC": 40.0, "YC": 30.0, "STATE": state})
    source.write(folder / "source.fits")
    psf = {"fwhm_major": 0.4, "fwhm_minor": 0.1, "position_angle": 30.0, "image_fwhm": 0.5, "state": "ok"}
    columns = [Column(name, str if name == "state" else float, name) for name in psf]
    write_table(folder / "psf.ecsv", [psf if state == "ok" else {"state": state}], columns, {})
    measured = {"mu_halpha": 4.0 if state == "ok" else None, "mu_maps": None, "state": state}
    columns = [Column(name, str if name == "state" else float, name) for name in measured]
    write_table(folder / "magnification.ecsv", [measured], columns, {})


@pytest.mark.parametrize("state", ["ok", "outside_lens_model", "not_detected"])
def test_script_writes_the_same_figure_twice(tmp_path, state):
    nothing = np.full(SHAPE, np.nan)
    empty = galaxy_maps(HALPHA=nothing, VELOCITY_HALPHA=nothing, F160W=nothing)
    write_products(tmp_path, None if state == "ok" else empty, state)
    config = {"name": "A", "z": 2.0, "simulated": True, "align": {"image_filter": "F160W"}, "figures": {"dpi": 50}}
    for name in ("a", "b"):
        inputs = [tmp_path / file for file in ("aligned.fits", "source.fits", "psf.ecsv", "magnification.ecsv")]
        draw_planes_figure(*inputs, tmp_path / f"{name}.pdf", tmp_path / f"{name}.png", config)
    for kind in ("pdf", "png"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_same_maps_same_bytes(tmp_path):
    save_figure(drawn(), tmp_path / "a.pdf", tmp_path / "a.png", 40)
    save_figure(drawn(), tmp_path / "b.pdf", tmp_path / "b.png", 40)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_galaxies_that_are_drawn():
    lenses = {"a": "none", "b": "x", "macs0451": "macs0451"}
    assert planes_galaxies("auto", lenses) == ["macs0451"]
    assert planes_galaxies("auto", {"a": "none", "b": "x", "c": "x"}) == ["b"]
    assert planes_galaxies("auto", {"a": "none"}) == []
    assert planes_galaxies(["b", "gone"], lenses) == ["b"]
    assert planes_galaxies([], lenses) == []

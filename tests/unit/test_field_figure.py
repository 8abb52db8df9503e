"""Figure of the field of a lens, and critical lines."""

import numpy as np
import pytest
from astropy.io import fits

from klever.grids import Grid, tangent_header
from klever.lensmodels import open_model
from klever.lensmodels.base import Fields, LensModel
from klever.lensmodels.critical import critical_lines, eigenvalues
from klever.publish.field_figure import Mosaic, colour_filters, draw_field, field_limits, footprint
from klever.publish.figure_style import paper_style, save_figure

COSMOLOGY = {"H0": 67.8, "Om0": 0.308, "Ode0": 0.69}
ORIGIN = (10.0, -20.0)


class Isothermal(LensModel):
    """Isothermal sphere with a core: kappa = b / (2 sqrt(r^2 + c^2)), and a hole where it is not known."""

    def __init__(self, radius=10.0, core=0.0, z_lens=0.4, edge=np.inf):
        super().__init__("sphere", z_lens)
        self.radius, self.core, self.edge = radius, core, edge

    def evaluate(self, west, north, z_source, cosmology, step=0.065):
        b = self.radius * self.dls_ds(z_source, cosmology)
        r = np.hypot(west, north) + 1e-9
        s = np.hypot(r, self.core)
        kappa = b / (2 * s)
        mean = b / (s + self.core)
        outside = r > self.edge
        return Fields(None, np.where(outside, np.nan, kappa), np.where(outside, np.nan, np.abs(mean - kappa)))


def axis(half=15.0, number=301):
    return np.linspace(-half, half, number)


@pytest.mark.parametrize("z", [1.4, 2.2])
def test_critical_line_of_an_isothermal_sphere_is_its_einstein_ring(z):
    model = Isothermal()
    lines = critical_lines(model, axis(), axis(), z, COSMOLOGY)
    assert len(lines) == 1  # its radial eigenvalue is 1 everywhere
    np.testing.assert_allclose(np.hypot(*lines[0].T), 10.0 * model.dls_ds(z, COSMOLOGY), rtol=1e-3)
    np.testing.assert_allclose(lines[0][0], lines[0][-1])  # closed


def test_core_adds_a_radial_line_inside_the_tangential_one():
    model = Isothermal(core=1.0)
    tangential, radial = critical_lines(model, axis(), axis(), 2.2, COSMOLOGY)
    assert np.hypot(*radial.T).max() < np.hypot(*tangential.T).min()
    for line in (tangential, radial):
        values = eigenvalues(model.evaluate(*line.T, 2.2, COSMOLOGY))
        assert np.abs(np.array(values)).min(axis=0).max() < 0.01


def test_lines_grow_with_the_source_redshift_and_end_at_the_lens():
    radii = [np.hypot(*critical_lines(Isothermal(), axis(), axis(), z, COSMOLOGY)[0].T).mean() for z in (1.4, 2.2, 5)]
    assert radii == sorted(radii)
    assert critical_lines(Isothermal(), axis(), axis(), 0.3, COSMOLOGY) == []


def test_lines_stop_where_the_model_does():
    assert critical_lines(Isothermal(edge=3.0), axis(), axis(), 2.2, COSMOLOGY) == []
    assert critical_lines(Isothermal(edge=0.0), axis(), axis(), 2.2, COSMOLOGY) == []


def test_grid_may_be_oblong_and_shifted():
    west, north = axis(12, 200), np.linspace(-14, 10, 317)
    line = critical_lines(Isothermal(), west, north, 1.4, COSMOLOGY)[0]
    np.testing.assert_allclose(np.hypot(*line.T), 10.0 * Isothermal().dls_ds(1.4, COSMOLOGY), rtol=1e-3)


def test_magnification_diverges_on_the_lines_of_an_elliptical_lens():
    description = {
        "name": "ring", "origin": "parametric", "z_lens": 0.446, "centre": list(ORIGIN),
        "normalisation": {"z_source": 2.4},
        "profiles": [{"type": "EPL", "theta_E": 5.0, "gamma": 2.0, "e1": 0.1, "e2": -0.05, "center_x": 0.0,
                      "center_y": 0.0}, {"type": "SHEAR", "gamma1": 0.03, "gamma2": 0.02}],
    }  # fmt: skip
    model = open_model(description, ORIGIN)
    line = max(critical_lines(model, axis(8, 400), axis(8, 400), 2.4, COSMOLOGY), key=len)
    assert np.abs(1 / model.evaluate(*line.T, 2.4, COSMOLOGY).mu).max() < 5e-3
    assert np.hypot(*line.T).mean() == pytest.approx(5.0, rel=0.05)


# Images


def header_of(shape, scale=0.1, angle=0.0, flip=1):
    header = tangent_header(*ORIGIN, scale, ((shape[1] - 1) / 2, (shape[0] - 1) / 2))
    del header["CDELT1"], header["CDELT2"]
    a, s = np.radians(angle), scale / 3600
    header["CD1_1"], header["CD1_2"] = -s * flip * np.cos(a), s * np.sin(a)
    header["CD2_1"], header["CD2_2"] = s * flip * np.sin(a), s * np.cos(a)
    return header


@pytest.mark.parametrize(("angle", "flip"), [(0, 1), (30, 1), (90, 1), (200, -1)])
def test_footprint_has_the_area_of_the_field(angle, flip):
    corners = footprint(header_of((20, 30), 0.2, angle, flip), (20, 30), ORIGIN)
    x, y = corners[:-1].T
    area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    assert area == pytest.approx(20 * 30 * 0.04, rel=1e-6)
    np.testing.assert_allclose(corners[:-1].mean(axis=0), 0, atol=1e-6)


def write_image(path, data, **orientation):
    fits.PrimaryHDU(data.astype(np.float32), header_of(data.shape, **orientation)).writeto(path)
    return path


def gradient(shape, angle=0.0, flip=1, scale=0.1):
    """Flux per pixel of a sky that brightens to the north-west."""
    grid = Grid(header_of(shape, scale, angle, flip), shape)
    west, north = grid.pixel_offsets()
    return (10 + 2 * west + 3 * north) * scale**2


@pytest.mark.parametrize(("angle", "flip"), [(0, 1), (37, 1), (0, -1)])
@pytest.mark.parametrize("points", [201, 41])  # finer and coarser than the image
@pytest.mark.parametrize("scale", [0.1, 0.05])
def test_mosaic_keeps_place_and_surface_brightness(tmp_path, angle, flip, points, scale):
    shape = (round(8 / scale), round(10 / scale))
    path = write_image(tmp_path / "a.fits", gradient(shape, angle, flip, scale), angle=angle, flip=flip, scale=scale)
    west = north = axis(2.0, points)
    mosaic = Mosaic(west, north, ORIGIN)
    mosaic.add(path)
    x, y = np.meshgrid(west, north)
    np.testing.assert_allclose(mosaic.value, 10 + 2 * x + 3 * y, atol=0.4)


def test_mosaic_is_empty_beyond_its_images_and_keeps_the_first(tmp_path):
    west, north = axis(6.0, 121), axis(6.0, 121)
    mosaic = Mosaic(west, north, ORIGIN)
    mosaic.add(write_image(tmp_path / "a.fits", np.full((40, 60), 1.0)))
    mosaic.add(write_image(tmp_path / "b.fits", np.full((60, 60), 2.0)))
    x, y = np.meshgrid(west, north)
    assert np.isnan(mosaic.value[(np.abs(x) > 3.1) | (np.abs(y) > 3.1)]).all()
    np.testing.assert_allclose(mosaic.value[(np.abs(x) < 2.9) & (np.abs(y) < 1.9)], 100)
    np.testing.assert_allclose(mosaic.value[(np.abs(x) < 2.9) & (np.abs(y) > 2.1) & (np.abs(y) < 2.9)], 200)


@pytest.mark.parametrize(
    ("available", "chosen"),
    [
        (["F435W", "F606W", "F814W", "F160W"], ["F814W", "F606W", "F435W"]),
        (["F435W", "F160W", "F814W"], ["F160W", "F814W", "F435W"]),
        (["F814W", "F160W"], ["F160W"]),
        ([], []),
    ],
)
def test_filters_of_the_channels(available, chosen):
    assert colour_filters(available) == chosen


def test_limits_are_a_square_that_shows_everything():
    outlines = [np.array([[1.0, 2.0], [4.0, 2.5]]), np.array([[-9.0, 0.0], [-8.0, 1.0]])]
    (w0, w1), (n0, n1) = field_limits(outlines, [np.array([[0.0, -3.0], [2.0, 5.0]])])
    assert w1 - w0 == pytest.approx(n1 - n0)
    assert w0 < -9 and w1 > 4 and n0 < -3 and n1 > 5


# The figure


def field_of(channels, filters, number=60):
    west = north = axis(15.0, number)
    model = Isothermal()
    x, y = np.meshgrid(west, north)
    square = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]])
    return {
        "west": west, "north": north, "channels": channels, "filters": filters,
        "kappa": model.evaluate(x, y, 2.2, COSMOLOGY).kappa, "outlines": {"a1": square, "a2": square + 5},
        "critical": [(z, critical_lines(model, west, north, z, COSMOLOGY)) for z in (1.4, 2.2)],
    }  # fmt: skip


def texts(figure):
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        found += [text.get_text() for text in axes.get_legend().get_texts()]
    return found


@pytest.mark.parametrize("kind", ["none", "one", "three", "partial", "all nan", "constant"])
@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_figure_of_any_images(kind, scale):
    rng = np.random.default_rng(1)
    image = rng.normal(size=(60, 60)) * scale
    hole = np.where(np.arange(60) < 30, image, np.nan)
    channels = {
        "none": [], "one": [image], "three": [image] * 3, "partial": [hole] * 3, "all nan": [image * np.nan] * 3,
        "constant": [np.full((60, 60), scale)] * 3,
    }[kind]  # fmt: skip
    filters = [] if kind == "none" else ["F160W"] if kind == "one" else ["F814W", "F606W", "F435W"]
    with paper_style():
        figure = draw_field(field_of(channels, filters), {"title": "A", "centre": ORIGIN, "simulated": True})
    words = " ".join(texts(figure))
    assert "SIMULATED DATA" in words and "a1" in words and "z$ = 1.4" in words and "z$ = 2.2" in words
    assert ("convergence" in words) == (kind not in ("one", "three", "constant"))
    assert np.isfinite(figure.axes[0].images[0].get_array()).all()


def test_east_is_left_and_own_data_are_not_called_simulated():
    with paper_style():
        figure = draw_field(field_of([], []), {"title": "A", "centre": ORIGIN, "simulated": False})
    axes = figure.axes[0]
    assert axes.get_xlim()[0] > axes.get_xlim()[1]
    squares = axes.collections[-1].get_segments()
    assert squares[1][:, 0].mean() == pytest.approx(-5 + 0.2, abs=0.5)  # 5 arcsec to the west
    assert "SIMULATED" not in " ".join(texts(figure))


def test_same_field_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        with paper_style():
            figure = draw_field(field_of([], []), {"title": "A", "centre": ORIGIN, "simulated": True})
            save_figure(figure, tmp_path / f"{name}.pdf", tmp_path / f"{name}.png", 60)
    for kind in ("pdf", "png"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()

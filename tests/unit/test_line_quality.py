import numpy as np
import pytest
from linefit_mocks import LINE_LIST, RESOURCES
from test_spaxel_figure import FIT, SETTINGS, Z, fitted, mock_cube

from klever.errors import InputError
from klever.linefit.cubefit import band_models, fit_cube
from klever.maps import Flag
from klever.publish.figure_style import paper_style
from klever.publish.line_quality import draw_quality_page
from klever.publish.quality_block import FLAG_COLOURS, Block, choose_spaxels, worst_flag
from line_quality import draw_line_quality


def page(tmp_path, cubes, maps, bands, **changes):
    settings = {"galaxy": "mock", "name": "Mock", "z": Z, "bands": bands, "simulated": True, "lines": FIT,
                "figures": {"dpi": 60}} | changes  # fmt: skip
    paths = {}
    for band, cube, product in zip(bands, cubes, maps, strict=True):
        paths[band] = tmp_path / f"{band}_cube.fits", tmp_path / f"{band}_maps.fits"
        cube.write(paths[band][0])
        product.write(paths[band][1])
    output = tmp_path / "quality.pdf", tmp_path / "quality.png"
    lines = RESOURCES / "lines.yaml"
    draw_line_quality([paths[band][0] for band in bands], [paths[band][1] for band in bands], lines, lines,
                      RESOURCES / "instruments.yaml", *output, settings)  # fmt: skip
    return output


@pytest.fixture(scope="module")
def cube():
    return mock_cube()


@pytest.fixture(scope="module")
def maps(cube):
    return fitted(cube)[1]


def test_page_has_the_same_bytes_every_time(tmp_path, cube, maps):
    first = [path.read_bytes() for path in page(tmp_path, [cube], [maps], ["H"])]
    assert [path.read_bytes() for path in page(tmp_path, [cube], [maps], ["H"])] == first


def test_a_band_without_lines_is_a_sentence(tmp_path, cube):
    band = band_models(cube, LINE_LIST, 4e-4, 9.0, ["halpha"])
    empty = fit_cube(cube, band, SETTINGS | {"z": 9.0})
    assert empty.header["STATE"] == "no_line_in_band"
    assert all(path.stat().st_size > 1000 for path in page(tmp_path, [cube], [empty], ["H"]))


@pytest.mark.parametrize("simulated", [True, False])
def test_the_page_tells_simulated_data(simulated):
    settings = {"name": "Mock", "z": Z, "simulated": simulated, "lines": FIT}
    with paper_style():
        figure = draw_quality_page([], ["H    none of the lines falls into this band."], settings)
    words = " ".join(entry.get_text() for entry in figure.texts)
    assert "Mock" in words and "none of the lines" in words
    assert ("SIMULATED" in words) is simulated


def test_maps_of_another_line_list_are_refused(tmp_path, cube, maps):
    other = FIT | {"groups": ["oiii"]}
    with pytest.raises(InputError, match=r"HALPHA.*snakemake"):
        page(tmp_path, [cube], [maps], ["H"], lines=other)


def test_a_field_without_any_fit_is_drawn(tmp_path, cube, maps):
    from copy import deepcopy

    blank = deepcopy(maps)
    for product in blank.maps.values():
        if product.flags is not None:
            product.value[:] = np.nan
            product.flags[:] = int(Flag.NOT_FITTED)
    assert page(tmp_path, [cube], [blank], ["H"])[1].stat().st_size > 1000


def test_offsets_count_from_the_catalogue_position(cube, maps):
    from astropy.io.fits import Header

    centre = Block("H", "HALPHA", maps, "HALPHA", Header({"RA": 150.0, "DEC": 2.0}))
    assert centre.offset(4.0, 2.5) == pytest.approx((0.0, 0.0), abs=1e-6)
    north_east = Header({"RA": 150.0 + 0.4 / 3600 / np.cos(np.radians(2.0)), "DEC": 2.0 + 0.2 / 3600})
    moved = Block("H", "HALPHA", maps, "HALPHA", north_east)
    assert moved.offset(2.0, 3.5) == pytest.approx((0.0, 0.0), abs=1e-4)  # east is to the left
    assert Block("H", "HALPHA", maps, "HALPHA").offset(4.0, 2.5) == (0.0, 0.0)


def scene(ny=20, nx=25):
    y, x = np.mgrid[:ny, :nx]
    snr = 40 * np.exp(-0.03 * ((x - 10) ** 2 + (y - 8) ** 2))
    return snr * 2.0, snr, np.ones((ny, nx)), np.zeros((ny, nx), int)


def test_chosen_spaxels_are_what_they_are_called():
    flux, snr, chi2, flags = scene()
    chi2[3, 4], chi2[8, 12] = 9.0, 2.0
    chosen = choose_spaxels(flux, snr, chi2, flags, 3.0)
    assert list(chosen) == ["brightest", "middle", "limit", "worst"]
    assert chosen["brightest"] == (10, 8)
    for kind, wanted in (("middle", 5.0), ("limit", 3.0)):
        x, y = chosen[kind]
        assert snr[y, x] == pytest.approx(wanted, rel=0.13)
    assert len(set(chosen.values())) == 4
    assert chosen["worst"] == (4, 3)
    flags[8, 14] = Flag.RESIDUAL
    assert choose_spaxels(flux, snr, chi2, flags, 3.0)["worst"] == (14, 8)


def test_choice_follows_a_flip():
    flux, snr, chi2, flags = scene()
    chi2[8, 12] = 2.0
    chosen = choose_spaxels(flux, snr, chi2, flags, 3.0)
    turned = choose_spaxels(flux.T, snr.T, chi2.T, flags.T, 3.0)
    assert turned["brightest"] == chosen["brightest"][::-1]
    assert turned["worst"] == chosen["worst"][::-1]


def test_nothing_is_chosen_of_nothing():
    empty = np.full((4, 5), np.nan)
    assert choose_spaxels(empty, empty, empty, np.zeros((4, 5), int), 3.0) == {}


def test_without_a_detection_the_largest_snr_comes_first():
    flux, snr, chi2, flags = scene()
    flux[0, 0] = 1e5
    chosen = choose_spaxels(flux, snr / 100, chi2, flags, 3.0)
    assert chosen["brightest"] == (10, 8)
    assert "middle" not in chosen


def test_colour_of_a_spaxel_is_that_of_its_most_serious_flag():
    order = list(FLAG_COLOURS)
    flags = np.array([[0, Flag.DISPERSION_BOUND | Flag.RESIDUAL, Flag.BIMODAL, Flag.NO_DATA | Flag.RATIO_BOUND]])
    expected = [0, order.index(Flag.RESIDUAL) + 1, len(order) + 1, order.index(Flag.NO_DATA) + 1]
    assert worst_flag(flags).tolist() == [expected]

"""A small pointing from files to combined cubes: offsets, seeing, noise, and the file that ingest reads."""

from pathlib import Path

import numpy as np
import pytest

from klever.cubes.readers import read_cube
from klever.reduce import products
from klever.reduce.arms import star_ifus
from klever.reduce.pointing import collapse, load_pointing, measure_stars, reduce_target
from klever.reduce.quality import draw_quality
from klever.reduce.seeing_figure import _by_time
from klever.reduce.starfit import fit_star
from klever.row_tables import write_table
from klever_simulation.exposure_files import point_source, write_exposure
from klever_simulation.exposures import Instrument, Sky, Target, observing_block
from pointing_seeing import pointing_seeing

OH = np.loadtxt(Path(__file__).parents[2] / "resources/oh_lines_rousselot2000.dat")
H = Instrument("H", (1.58, 1.657), 4045, n_wave=400)
PLACES = {2: (-80.0, 60.0), 11: (100.0, 20.0), 20: (-20.0, -110.0), 5: (-40.0, 90.0)}
OPTIONS = {
    "cosmic_ray_sigma": 8.0, "stretch_degree": 3, "rotational": True, "pixel_scale": 0.1, "pixfrac": 0.6,
    "clip_sigma": 3.0, "alignment": "detector",
}  # fmt: skip


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pointing")
    sky = Sky(H, (OH[:, 0] * 1e-4, OH[:, 1]))
    star = point_source(H, np.full(H.n_wave, 4e-13))
    targets = [Target(arm, f"star{arm}", place, "star", star) for arm, place in PLACES.items() if arm != 5]
    targets.append(Target(5, "sp1", PLACES[5], "galaxy", lambda *_: np.zeros((H.n_wave, 14, 14))))
    states, paths = observing_block(9, 21, seeing=0.5), []
    for state in states:
        paths.append(str(folder / f"{state.number}.fits"))
        write_exposure(paths[-1], H, sky, targets, state, (150.0, 2.0), 300.0, 4, cosmic_rays=2)
    pointing = load_pointing(paths)
    measure_stars(pointing, star_ifus(pointing, ["star2", "star11", "star20"]), OPTIONS)
    cubes = [reduce_target(pointing, arm, None, OPTIONS) for arm in (2, 5)]
    return pointing, [state for state in states if state.kind == "O"], cubes, folder


def test_offsets_are_right_to_two_hundredths_of_an_arcsecond(reduced):
    pointing, states, _, _ = reduced
    errors = {"detector": [], "header": []}
    for alignment, state in zip(pointing.alignments, states, strict=True):
        west, north = PLACES[5]
        angle = np.radians(state.rotation)
        truth = -np.array([state.drift[0] - angle * north, state.drift[1] + angle * west])
        for method, own in errors.items():
            own.append(np.subtract(alignment.offset(5, PLACES[5], method), truth))
    about_mean = {method: np.array(own) - np.mean(own, axis=0) for method, own in errors.items()}
    assert np.abs(about_mean["detector"]).max() < 0.02
    assert np.abs(about_mean["header"]).max() > 0.05


def test_seeing_of_the_combined_star(reduced):
    _, states, (star, _), _ = reduced
    fit = fit_star(collapse(star.cube.flux), 0.1, profile="gauss", boxes=(0.2, 0.12, 0.1))
    assert fit.fwhm == pytest.approx(np.mean([state.seeing for state in states]), rel=0.03)


def test_noise_of_the_blank_field_is_what_its_error_says(reduced):
    assert reduced[2][1].noise_ratio == pytest.approx(1, abs=0.08)


def test_cubes_are_read_by_target(reduced, tmp_path):
    _, _, cubes, _ = reduced
    meta = {"pointing": "p1", "band": "H", "simulated": True, "psf_fwhm": 0.53, "calibrated": True,
            "instrument": "KMOS"}  # fmt: skip
    products.write_cubes(tmp_path / "cubes.fits", cubes, meta)
    cube = read_cube(tmp_path / "cubes.fits", "header", "sp1", "KMOS", (1.456, 1.846))
    target = cubes[1]
    assert np.allclose(cube.wavelength, H.wavelength)
    assert np.allclose(cube.flux[cube.dq == 0], target.cube.flux[cube.dq == 0])
    assert np.allclose(cube.error[cube.dq == 0], target.cube.error[cube.dq == 0])
    assert cube.spaxel_scale == pytest.approx(0.1)


def test_tables_and_page(reduced, tmp_path):
    pointing, _, cubes, _ = reduced
    stars, sky = products.star_rows(pointing), products.sky_rows(pointing.sky)
    rows = [products.cube_row(cube) for cube in cubes]
    for columns, content in (
        (products.STAR_COLUMNS, stars), (products.SKY_COLUMNS, sky), (products.CUBE_COLUMNS, rows)
    ):  # fmt: skip
        names = {column.name for column in columns}
        assert all(names & set(row) for row in content)
    assert len(stars) == 3 * len(pointing.objects)
    assert all(row["after"] < row["before"] * 1.05 for row in sky if row["channels"] > 50)
    for name in ("one", "two"):
        draw_quality(tmp_path / f"{name}.pdf", tmp_path / f"{name}.png", "p1, H", stars, sky, rows, True, 60)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()


def test_figure_of_the_seeing_in_all_bands(reduced, tmp_path):
    """Three stars in one band, none measured in another; tables as the reduction writes them."""
    pointing, _, _, _ = reduced
    meta = {"simulated": True}
    rows = {"H": products.star_rows(pointing), "K": []}
    paths = {"stars": [], "noise": []}
    for band, stars in rows.items():
        for name, columns, content in (
            ("stars", products.STAR_COLUMNS, stars),
            ("noise", products.CUBE_COLUMNS, [{"target": "a", "psf_fwhm": 0.52}]),
        ):  # fmt: skip
            paths[name].append(tmp_path / f"{band}_{name}.ecsv")
            write_table(paths[name][-1], content, columns, meta)
    settings = {"pointing": "p1", "bands": ["H", "K"], "figures": {"dpi": 60}}
    pointing_seeing(**paths, pdf=tmp_path / "s.pdf", png=tmp_path / "s.png", settings=settings)
    assert (tmp_path / "s.png").stat().st_size > 5000
    time, low, middle, high = _by_time(rows["H"], "fwhm")
    assert len(time) == len(pointing.objects)
    assert np.all((low <= middle) & (middle <= high) & (high < 0.7) & (low > 0.35))

import numpy as np
import pytest
from astropy.table import Table
from lensing_scene import (
    DEC,
    RA,
    Isothermal,
    Linear,
    align_settings,
    gaussian,
    lens_settings,
    source_settings,
    write_band,
    write_lens,
)  # fmt: skip

from align import align_bands
from klever.errors import InputError
from klever.grids import Grid
from klever.maps import Flag, Map, MapSet
from klever.operators import apply, load_operators
from klever.source.sourceplane import averaging_operator, multiplicity, reference_pixel, source_grid, trace
from lens import evaluate_lens
from source import reconstruct_source

UNSCALED = {"normalisation": {"z_source": 1.5}}  # maps made for the galaxy's redshift


def pipeline(folder, sky, lens=None, *, pixel_scale=0.065, z=1.5, settings=None, bands=("H",), smoothing=0.4,
             check=True, source=None, **band):  # fmt: skip
    """Run align, lens and source; return the source-plane and the aligned maps.

    Without `check`, the lens has no map of convergence or shear that the deflection could contradict.
    """
    for i, name in enumerate(bands):
        write_band(
            folder / f"{name}.fits", sky, seed=i + 1, **{"lines": ("HALPHA",) if i == 0 else (f"L{name}",), **band}
        )
    linemaps = [folder / f"{name}.fits" for name in bands]
    align_bands(linemaps, [], folder / "aligned.fits", folder / "align.npz", align_settings(bands, method="none"))
    paths = write_lens(folder, lens) if lens is not None else {"x": [], "y": [], "kappa": [], "gamma": []}
    settings = settings or lens_settings(z=z, **UNSCALED)
    kappa, gamma = (paths["kappa"], paths["gamma"]) if check else ([], [])
    evaluate_lens(folder / "aligned.fits", paths["x"], paths["y"], kappa, gamma, folder / "lens.fits", settings)
    reconstruct(folder, linemaps, source_settings(bands, pixel_scale=pixel_scale, smoothing=smoothing, **source or {}))
    return MapSet.read(folder / "source.fits"), MapSet.read(folder / "aligned.fits")


def reconstruct(folder, linemaps, settings, name="source"):
    reconstruct_source(
        folder / "aligned.fits", folder / "align.npz", linemaps, folder / "lens.fits", folder / f"{name}.fits",
        folder / f"{name}.npz", folder / "psf.ecsv", folder / "psf_map.ecsv", folder / "images.ecsv", settings,
    )  # fmt: skip


def offsets(maps, name="HALPHA"):
    return Grid(maps.header, maps[name].value.shape, (RA, DEC)).pixel_offsets()


def lensed(lens, source):
    """Image-plane surface brightness of a source-plane one."""

    def sky(west, north):
        ax, ay = lens.deflection(west, north)
        return source(west - ax, north - ay)

    return sky


def test_identity_lens_reproduces_the_aligned_map(tmp_path):
    source, aligned = pipeline(tmp_path, lambda w, n: gaussian(w, n, 0.3, -0.4), shape=(25, 31), rotation=15)
    assert source.header["STATE"] == "unlensed"
    west, north = offsets(source)
    x, y = Grid(aligned.header, aligned["HALPHA"].value.shape, (RA, DEC)).pixels(west, north)
    x, y = np.round(x).astype(int), np.round(y).astype(int)
    ny, nx = aligned["HALPHA"].value.shape
    inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
    for attribute in ("value", "error", "flags"):
        found, expected = getattr(source["HALPHA"], attribute), getattr(aligned["HALPHA"], attribute)
        np.testing.assert_allclose(found[inside], expected[y[inside], x[inside]], rtol=1e-5)
    assert np.nansum(source["HALPHA"].value) == pytest.approx(np.nansum(aligned["HALPHA"].value), rel=1e-6)
    assert (source["MULTIPLICITY"].value[inside] == 1).all()
    np.testing.assert_allclose(source["COVERAGE"].value[inside], 1)
    assert (source["HALPHA"].flags[~inside] == int(Flag.HOLE)).all()


def test_mapped_positions_are_in_the_header(tmp_path):
    lens = Isothermal(3.0, (-5.0, -3.0))
    source, _ = pipeline(tmp_path, lambda w, n: gaussian(w, n, 0.65, 0.65, 0.8), lens)
    grid = Grid(source.header, source["HALPHA"].value.shape, (RA, DEC))
    alpha = lens.deflection(np.zeros(1), np.zeros(1))
    x, y = grid.pixels(-alpha[0], -alpha[1])
    assert (source.header["XC"], source.header["YC"]) == (pytest.approx(x[0], abs=0.02), pytest.approx(y[0], abs=0.02))
    alpha = lens.deflection(np.array([0.65]), np.array([0.65]))
    x, y = grid.pixels(0.65 - alpha[0], 0.65 - alpha[1])
    assert (source.header["XREF"], source.header["YREF"]) == (pytest.approx(x[0], abs=2), pytest.approx(y[0], abs=2))
    assert source.header["REFMAP"] == "HALPHA"
    assert source.header["KPC_ARC"] == pytest.approx(8.68, abs=0.03)


@pytest.mark.parametrize("pixel_scale", [0.05, 0.065])
def test_lensed_source_comes_back_where_and_as_it_was(tmp_path, pixel_scale):
    lens = Isothermal(3.0, (-5.0, -3.0))
    at = np.array([-2.25, -1.4])
    truth = lambda x, y: gaussian(x, y, at[0], at[1], 0.7) + 0.4 * gaussian(x, y, at[0] + 0.5, at[1], 0.6)  # noqa: E731
    source, _ = pipeline(tmp_path, lensed(lens, truth), lens, pixel_scale=pixel_scale, noise=0.0)
    west, north = offsets(source)
    found = source["HALPHA"].value * 1e18
    good = np.isfinite(found)
    # Bilinear resampling of 0.2" spaxels lowers and widens the peak; a shift of half a pixel would show at 0.1.
    assert np.abs(found[good] - truth(west, north)[good]).max() < 0.06
    moments = [np.sum(found[good] * v[good]) / np.sum(found[good]) for v in (west, north)]
    expected = [np.sum(truth(west, north)[good] * v[good]) / np.sum(truth(west, north)[good]) for v in (west, north)]
    np.testing.assert_allclose(moments, expected, atol=0.01)


def test_flipped_deflection_does_not_bring_it_back(tmp_path):
    lens = Isothermal(3.0, (-5.0, -3.0))
    truth = lambda x, y: gaussian(x, y, -2.25, -1.4, 0.7)  # noqa: E731
    source, _ = pipeline(
        tmp_path, lensed(lens, truth), lens, settings=lens_settings(x_sign=-1, **UNSCALED), check=False
    )
    west, north = offsets(source)
    value = np.nan_to_num(source["HALPHA"].value)
    peak = np.argmax(value)
    assert np.hypot(west.flat[peak] + 2.25, north.flat[peak] + 1.4) > 1


def test_source_flux_is_the_image_flux_over_the_analytic_magnification(tmp_path):
    lens = Isothermal(3.0, (-5.0, -3.0))
    truth = lambda x, y: gaussian(x, y, -2.25, -1.4, 0.4)  # noqa: E731
    source, aligned = pipeline(tmp_path, lensed(lens, truth), lens, noise=0.0)
    west, north = offsets(aligned)
    image = np.nan_to_num(aligned["HALPHA"].value)
    expected = np.sum(image / np.abs(lens.mu(west, north))) * 0.065**2
    assert np.nansum(source["HALPHA"].value) * 0.065**2 == pytest.approx(expected, rel=0.02)
    assert expected < 0.7 * image.sum() * 0.065**2  # there is a magnification to measure


def test_errors_agree_with_monte_carlo_of_correlated_noise(tmp_path):
    from lensing_scene import correlated_noise

    lens = Isothermal(3.0, (-4.0, 0.0))
    source, _ = pipeline(tmp_path, lambda w, n: gaussian(w, n), lens, shape=(15, 14), noise=0.05)
    operators, _ = load_operators(tmp_path / "source.npz")
    generator = np.random.default_rng(2)
    draws = []
    for _ in range(400):
        noise = correlated_noise((45, 44), 0.85, generator)[0][15:30, 15:29] * 0.05
        draws.append(apply(operators["M_H"], noise, np.ones(noise.shape, bool))[0])
    measured = np.std(draws, axis=0).reshape(source["HALPHA"].value.shape) * 1e-18
    good = np.isfinite(measured)
    ratio = source["HALPHA"].error[good] / measured[good]
    assert np.median(ratio) == pytest.approx(1, abs=0.05)
    assert np.percentile(np.abs(ratio - 1), 95) < 0.15


def test_velocity_is_the_flux_weighted_mean(tmp_path):
    lens = Linear([[0.75, 0], [0, 0.75]])  # 16 image pixels in one
    source, _ = pipeline(tmp_path, lambda w, n: gaussian(w, n, 0, 0, 2.0), lens, velocity=lambda w, n: 100 + 40 * w)
    west, _ = offsets(source)
    good = (source["HALPHA"].value > 0.3e-18) & np.isfinite(source["VELOCITY_HALPHA"].value)
    assert good.sum() > 20
    np.testing.assert_allclose(source["VELOCITY_HALPHA"].value[good], (100 + 160 * west)[good], atol=2.0)
    assert source["VELOCITY_HALPHA"].unit == "km s-1"
    assert (source["VELOCITY_HALPHA"].error[good] < 5.0).all()


@pytest.mark.parametrize("unit", [1e-30, 1e2])
def test_units_do_not_matter(tmp_path, unit):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    lens = Isothermal(3.0, (-5.0, -3.0))
    one, _ = pipeline(tmp_path / "a", lambda w, n: gaussian(w, n), lens, unit=1e-18)
    other, _ = pipeline(tmp_path / "b", lambda w, n: gaussian(w, n), lens, unit=unit)
    for attribute in ("value", "error"):
        expected, found = (getattr(maps["HALPHA"], attribute) for maps in (one, other))
        np.testing.assert_allclose(found / unit, expected / 1e-18, rtol=1e-3, atol=1e-5)


def test_pixels_outside_the_lens_model_give_empty_maps(tmp_path):
    write_band(tmp_path / "H.fits", lambda w, n: gaussian(w, n))
    align_bands([tmp_path / "H.fits"], [], tmp_path / "aligned.fits", tmp_path / "align.npz", align_settings(["H"]))
    paths = write_lens(tmp_path, Isothermal(3.0, (-5.0, -3.0)))
    evaluate_lens(tmp_path / "aligned.fits", paths["x"], paths["y"], [], [], tmp_path / "lens.fits", lens_settings())
    model = MapSet.read(tmp_path / "lens.fits")
    for item in model.maps.values():
        item.value[:] = np.nan
    model.write(tmp_path / "lens.fits")
    reconstruct(tmp_path, [tmp_path / "H.fits"], source_settings(["H"]))
    maps = MapSet.read(tmp_path / "source.fits")
    assert maps.header["STATE"] == "outside_lens_model"
    assert np.isnan(maps["HALPHA"].value).all()
    assert (maps["HALPHA"].flags == int(Flag.OUTSIDE_LENS)).all()
    assert Table.read(tmp_path / "psf.ecsv")["state"][0] == "outside_lens_model"


def test_operators_of_another_run_are_refused(tmp_path):
    pipeline(tmp_path, lambda w, n: gaussian(w, n))
    write_band(tmp_path / "H.fits", lambda w, n: gaussian(w, n), shape=(20, 20))
    with pytest.raises(InputError, match="run the align step again"):
        reconstruct(tmp_path, [tmp_path / "H.fits"], source_settings(["H"]), "new")
    assert not (tmp_path / "new.fits").exists()


def plane(shape=(41, 37), scale=0.1):
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    return (x - shape[1] // 2) * scale, (y - shape[0] // 2) * scale


@pytest.mark.parametrize("subpixels", [1, 2, 4])
def test_traced_subpixels_follow_a_linear_lens_exactly(subpixels):
    west, north = plane()
    lens = Linear([[0.3, 0.1], [-0.05, -0.4]])
    x, y, pixel = trace(*lens.deflection(west, north), west, north, subpixels)
    assert x.size == west.size * subpixels**2
    inverse = np.linalg.inv(np.eye(2) - lens.matrix)
    image_x, image_y = inverse @ [x, y]
    assert np.abs(image_x - west.flat[pixel]).max() <= 0.05
    assert np.abs(image_y - north.flat[pixel]).max() <= 0.05
    np.testing.assert_allclose(np.bincount(pixel, image_x) / subpixels**2, west.ravel(), atol=1e-9)
    np.testing.assert_allclose(np.bincount(pixel, image_y) / subpixels**2, north.ravel(), atol=1e-9)


def test_pixels_without_deflection_are_not_traced():
    west, north = plane()
    alpha = np.zeros_like(west)
    alpha[10:20, :5] = np.nan
    _, _, pixel = trace(alpha, alpha, west, north, 4)
    assert set(pixel) == set(np.flatnonzero(np.isfinite(alpha)))
    assert trace(alpha * np.nan, alpha, west, north, 4)[0].size == 0


def test_grid_is_centred_capped_and_not_enlarged_by_outliers():
    generator = np.random.default_rng(0)
    x, y = generator.uniform(-1, 1, (2, 5000))
    x[0] = 300.0
    grid = source_grid(x, y, (0.5, 0.0), 0.05)
    west, north = grid.offsets()
    assert (west.mean(), north.mean()) == (pytest.approx(0.5), pytest.approx(0.0, abs=1e-9))
    assert 3.0 <= np.ptp(west) <= 3.1
    assert 2.0 <= np.ptp(north) <= 2.1
    wide = source_grid(*generator.uniform(-20, 20, (2, 5000)), (0.0, 0.0), 0.1)
    assert 7.5 < np.ptp(wide.offsets()[0]) <= 8.0


def test_more_subpixels_leave_fewer_holes():
    west, north = plane((60, 60), 0.065)
    lens = Isothermal(3.0, (-4.5, 0.0))  # magnification around 3
    holes = []
    for subpixels in (1, 4):
        x, y, pixel = trace(*lens.deflection(west, north), west, north, subpixels)
        grid = source_grid(x, y, (-1.5, 0.0), 0.03)
        _, landed = averaging_operator(x, y, pixel, west.size, grid)
        gx, gy = grid.offsets()
        inner = (np.hypot(gx + 1.5, gy) < 0.4).ravel()
        holes.append(np.mean(landed[inner] == 0))
    assert holes[0] > 0.1
    assert holes[1] < 0.02


def test_two_images_are_counted():
    west, north = plane((121, 121), 0.1)
    lens = Isothermal(2.0, (0.01, 0.013))
    alpha = np.array(lens.deflection(west, north))
    alpha[:, np.hypot(west, north) < 0.2] = np.nan  # interpolation would smear the singular centre into a third image
    x, y, pixel = trace(*alpha, west, north, 4)
    grid = source_grid(x, y, (0.0, 0.0), 0.1)
    operator, landed = averaging_operator(x, y, pixel, west.size, grid)
    images = multiplicity(operator, 121).reshape(grid.shape)
    gx, gy = grid.offsets()
    radius = np.hypot(gx - 0.01, gy - 0.013)
    assert (images[(radius > 0.8) & (radius < 1.7)] == 2).mean() > 0.98
    assert (images[(radius > 2.3) & (radius < 3.5)] == 1).mean() > 0.98
    np.testing.assert_array_equal(images.ravel() == 0, landed == 0)
    np.testing.assert_allclose(np.asarray(operator.sum(axis=1)).ravel()[landed > 0], 1)


def test_reference_is_the_peak_not_a_bad_pixel():
    y, x = np.mgrid[:50, :60]
    value = np.exp(-((x - 40) ** 2 + (y - 20) ** 2) / 50.0)
    value[5, 5] = 5.0  # of 25 pixels averaged, this one alone adds 0.2
    maps = MapSet(maps={"HALPHA": Map(value * 1e-19, np.full(value.shape, 0.02e-19), np.zeros(value.shape, np.uint16))})
    found = reference_pixel(maps, ["HALPHA"], np.ones(value.shape, bool), (30, 25))
    assert (found.x, found.y, found.name) == (40, 20, "HALPHA")


def test_reference_falls_back_to_the_catalogue():
    usable = np.zeros((50, 60), bool)
    usable[:, 20:] = True
    faint = MapSet(
        maps={"HALPHA": Map(np.ones(usable.shape), np.ones(usable.shape), np.zeros(usable.shape, np.uint16))}
    )
    assert reference_pixel(faint, ["HALPHA"], usable, (30.2, 25.4)).name == "catalogue"
    found = reference_pixel(faint, ["HALPHA"], usable, (-10.0, 25.0))
    assert (found.x, found.y) == (20, 25)

import numpy as np
import pytest
from astropy.io import fits
from lensing_scene import COSMOLOGY, DEC, RA, Isothermal, Linear, lens_settings, write_aligned, write_lens

from klever.cosmology import distance_ratio
from klever.errors import ConfigError, InputError
from klever.lensmodels.base import reference_ratio
from klever.lensmodels.maps import DeflectionMaps, MapModel, interpolate
from klever.maps import Flag, MapSet
from lens import evaluate_lens

ORIGIN = (RA, DEC)


def evaluate(tmp_path, paths, settings, shape=(40, 46), **keep):
    aligned = write_aligned(tmp_path / "aligned.fits", shape=shape)
    lists = {key: keep.get(key, paths[key]) for key in ("x", "y", "kappa", "gamma")}
    evaluate_lens(aligned, lists["x"], lists["y"], lists["kappa"], lists["gamma"], tmp_path / "lens.fits", settings)
    maps = MapSet.read(tmp_path / "lens.fits")
    from klever.grids import Grid

    return maps, Grid(maps.header, shape).pixel_offsets()


def test_interpolation_is_exact_for_cubics_inside_and_refuses_outside():
    y, x = np.mgrid[:30, :40].astype(float)
    image = 0.01 * (x - 20) ** 3 + (y - 10) ** 2 - x * y
    px, py = np.array([15.3, 20.5, 22.0]), np.array([12.1, 14.5, 15.0])
    expected = 0.01 * (px - 20) ** 3 + (py - 10) ** 2 - px * py
    np.testing.assert_allclose(interpolate(image, px, py), expected, atol=1e-4)
    corners = interpolate(image, np.array([0.0, 39.0, -0.01, 39.01, 5.0]), np.array([0.0, 29.0, 5.0, 5.0, 29.5]))
    np.testing.assert_allclose(corners[:2], [image[0, 0], image[29, 39]], atol=1e-6)
    assert np.isnan(corners[2:]).all()
    assert np.isnan(interpolate(image, np.array([np.nan]), np.array([3.0]))).all()


def test_cutout_gives_the_same_as_the_whole_image():
    generator = np.random.default_rng(1)
    image = generator.normal(size=(200, 180))
    x, y = generator.uniform(80, 95, (2, 30))
    np.testing.assert_allclose(interpolate(image, x, y), interpolate(image, x, y, margin=300), atol=1e-6)


def test_missing_pixels_spoil_their_neighbourhood_only():
    y, x = np.mgrid[:30, :40].astype(float)
    image = 2 * x + y
    image[10, 20] = np.nan
    px = np.array([18.5, 18.99, 17.99, 21.5, 21.99, 22.01])
    py = np.full(6, 10.5)
    value = interpolate(image, px, py)
    np.testing.assert_array_equal(np.isnan(value), [True, True, False, True, True, False])
    np.testing.assert_allclose(value[[2, 5]], 2 * px[[2, 5]] + 10.5, atol=0.05)
    assert np.isnan(interpolate(np.full((9, 9), np.nan), px, py)).all()


@pytest.mark.parametrize("unit", ["arcsec", "pixel", "degree"])
@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"shape": (131, 171)},
        {"scale": (0.15, 0.25)},
        {"rotation": 41.0},
        {"flip": True},
        {"rotation": -75.0, "flip": True, "scale": (0.2, 0.26)},
    ],
)
def test_deflection_is_the_analytic_one_whatever_the_grid_of_the_map(tmp_path, unit, geometry):
    lens = Isothermal(3.0, (-6.0, -3.0))
    paths = write_lens(tmp_path, lens, unit=unit, **{"shape": (161, 161), **geometry})
    model = DeflectionMaps(paths["x"][0], paths["y"][0], ORIGIN, 0.5, unit)
    west, north = np.random.default_rng(0).uniform(-2, 2, (2, 100))
    alpha = model.deflection(west, north)
    np.testing.assert_allclose(alpha, 0.5 * np.array(lens.deflection(west, north)), atol=2e-4)


def test_flipped_sign_is_a_different_answer(tmp_path):
    lens = Isothermal(3.0, (-6.0, -3.0))
    paths = write_lens(tmp_path, lens)
    west, north = np.array([0.5]), np.array([0.2])
    wrong = DeflectionMaps(paths["x"][0], paths["y"][0], ORIGIN, x_sign=-1).deflection(west, north)
    right = lens.deflection(west, north)
    assert abs(wrong[0] - right[0])[0] > 1.0
    np.testing.assert_allclose(wrong[1], right[1], atol=1e-3)


def test_lens_product_is_scaled_to_the_redshift_of_the_galaxy(tmp_path):
    lens = Isothermal(4.0, (-6.0, -3.0))
    settings = lens_settings(z=1.5)
    maps, (west, north) = evaluate(tmp_path, write_lens(tmp_path, lens), settings)
    dls_ds = distance_ratio(0.35, 1.5, COSMOLOGY)
    scaled = Isothermal(4.0 * dls_ds, lens.centre)
    np.testing.assert_allclose(maps["ALPHA_X"].value, scaled.deflection(west, north)[0], atol=3e-4)
    np.testing.assert_allclose(maps["ALPHA_Y"].value, scaled.deflection(west, north)[1], atol=3e-4)
    np.testing.assert_allclose(maps["MU"].value, scaled.mu(west, north), rtol=2e-3)
    assert maps.header["DLSDS"] == pytest.approx(dls_ds, rel=1e-6)
    assert maps.header["STATE"] == "ok"
    assert maps.header["LENSCHK"] == pytest.approx(1, abs=0.02)
    assert not maps["MU"].flags.any()


def test_normalisation_to_a_source_redshift():
    model = MapModel("m", 0.35, ORIGIN, {}, {"z_source": 2.0})
    dls_ds = distance_ratio(0.35, 1.5, COSMOLOGY)
    assert model.dls_ds(1.5, COSMOLOGY) == pytest.approx(dls_ds)
    assert model.factor(1.5, COSMOLOGY) == pytest.approx(dls_ds / distance_ratio(0.35, 2.0, COSMOLOGY))
    assert model.factor(2.0, COSMOLOGY) == pytest.approx(1)
    assert MapModel("m", 0.35, ORIGIN, {}, 0.5).factor(1.5, COSMOLOGY) == pytest.approx(2 * dls_ds)


@pytest.mark.parametrize("normalisation", [0.0, -1.0, {"z_source": 0.2}])
def test_impossible_normalisation(normalisation):
    with pytest.raises(ConfigError, match="lens m: normalisation"):
        reference_ratio("m", 0.35, normalisation, COSMOLOGY)


def test_kappa_and_shear_are_derived_where_no_map_is_given(tmp_path):
    lens = Linear([[0.3, 0.12], [0.12, 0.1]])
    paths = write_lens(tmp_path, lens)
    settings = lens_settings(normalisation={"z_source": 1.5})
    given, _ = evaluate(tmp_path, paths, settings)
    derived, _ = evaluate(tmp_path, paths, settings, kappa=[], gamma=[])
    for name in ("KAPPA", "GAMMA", "MU"):
        np.testing.assert_allclose(derived[name].value, given[name].value, rtol=2e-3)
    assert "LENSCHK" not in derived.header
    determinant = np.linalg.det(np.eye(2) - lens.matrix)
    np.testing.assert_allclose(derived["MU"].value, 1 / determinant, rtol=2e-3)


def test_parity_of_the_magnification_is_kept(tmp_path):
    maps, _ = evaluate(
        tmp_path, write_lens(tmp_path, Linear([[1.5, 0], [0, 0.2]])), lens_settings(normalisation={"z_source": 1.5})
    )
    np.testing.assert_allclose(maps["MU"].value, 1 / (-0.5 * 0.8), rtol=2e-3)


@pytest.mark.parametrize("geometry", [{}, {"rotation": -75.0, "flip": True, "scale": (0.17, 0.25)}])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"x_sign": -1}, "the x deflection has the opposite sign"),
        ({"y_sign": -1}, "the y deflection has the opposite sign"),
        ({"x_sign": -1, "y_sign": -1}, "set x_sign and y_sign to their opposite"),
        ({"deflection_unit": "pixel"}, "the deflection is in arcsec, not in pixel"),
        ({"deflection_unit": "degree"}, "the deflection is in arcsec, not in degree"),
        ({"deflection_unit": "pixel", "x_sign": -1, "y_sign": -1}, "in arcsec, not in pixel.*opposite sign"),
    ],
)
def test_wrong_convention_is_recognised(tmp_path, wrong, message, geometry):
    paths = write_lens(tmp_path, Isothermal(4.0, (-6.0, -3.0)), shape=(161, 191), **geometry)
    with pytest.raises(InputError, match=message) as error:
        evaluate(tmp_path, paths, lens_settings(**wrong))
    assert "m_kappa.fits" in str(error.value)


def test_deflection_in_pixels_read_as_arcsec_is_recognised(tmp_path):
    paths = write_lens(tmp_path, Isothermal(4.0, (-6.0, -3.0)), unit="pixel")
    with pytest.raises(InputError, match="set deflection_unit: pixel"):
        evaluate(tmp_path, paths, lens_settings())


def test_deflection_in_pixels_is_recognised_without_other_maps(tmp_path):
    paths = write_lens(tmp_path, Isothermal(4.0, (-6.0, -3.0)), unit="pixel", scale=0.06, shape=(400, 400))
    with pytest.raises(InputError, match=r"half the divergence.*deflection_unit"):
        evaluate(tmp_path, paths | {"kappa": [], "gamma": []}, lens_settings())


def test_deflection_in_degrees_read_as_arcsec_is_recognised(tmp_path):
    paths = write_lens(tmp_path, Isothermal(4.0, (-6.0, -3.0)), unit="degree")
    with pytest.raises(InputError, match="set deflection_unit: degree"):
        evaluate(tmp_path, paths, lens_settings())


def test_exchanged_deflections_are_recognised(tmp_path):
    paths = write_lens(tmp_path, Isothermal(4.0, (-6.0, -3.0)), shape=(161, 161))
    with pytest.raises(InputError, match="x and y deflections are exchanged"):
        evaluate(tmp_path, paths | {"x": paths["y"], "y": paths["x"]}, lens_settings())


def test_transposed_maps_are_recognised(tmp_path):
    paths = write_lens(tmp_path, Isothermal(4.0, (-6.0, -3.0)), shape=(161, 161))
    for path in (p for value in paths.values() for p in value):
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = hdus[0].data.T.copy()
    with pytest.raises(InputError, match="or the maps are transposed"):
        evaluate(tmp_path, paths, lens_settings())


@pytest.mark.parametrize(("kind", "check"), [("kappa", "LENSCHK"), ("gamma", "GAMCHK")])
@pytest.mark.parametrize("factor", [2.56, 0.39, 1.0, 1.15])
def test_normalisation_that_differs_is_named_with_its_factor(tmp_path, factor, kind, check):
    paths = write_lens(tmp_path, Isothermal(4.0, (-6.0, -3.0)))
    with fits.open(paths[kind][0], mode="update") as hdus:
        hdus[0].data *= factor
    if abs(factor - 1) < 0.2:
        maps, _ = evaluate(tmp_path, paths, lens_settings())
        assert maps.header[check] == pytest.approx(1 / factor, rel=0.01)
        return
    with pytest.raises(InputError, match=f"{kind} of the file is {factor} times that of the deflection: normalisation"):
        evaluate(tmp_path, paths, lens_settings())
    maps, _ = evaluate(tmp_path, paths, lens_settings(), **{kind: []})  # the remedy
    assert maps.header["STATE"] == "ok"


def test_maps_of_another_lens_are_refused(tmp_path):
    paths = write_lens(tmp_path, Isothermal(4.0, (-6.0, -3.0)))
    other = write_lens(tmp_path, Isothermal(9.0, (7.0, 9.0)), name="other")
    with pytest.raises(InputError, match="are these files of one model"):
        evaluate(tmp_path, paths, lens_settings(), kappa=other["kappa"], gamma=[])


def test_pixels_outside_the_maps_are_flagged_not_extrapolated(tmp_path):
    # The map ends inside the 2.6" x 3" grid.
    maps, (west, north) = evaluate(
        tmp_path, write_lens(tmp_path, Isothermal(), shape=(21, 13), scale=0.1), lens_settings()
    )
    outside = (np.abs(west) > 0.6 + 1e-6) | (np.abs(north) > 1.0 + 1e-6)
    for name in ("ALPHA_X", "ALPHA_Y", "KAPPA", "GAMMA", "MU"):
        np.testing.assert_array_equal(np.isnan(maps[name].value), outside)
        np.testing.assert_array_equal(maps[name].flags, np.where(outside, int(Flag.OUTSIDE_LENS), 0))
    assert maps.header["STATE"] == "ok"


def test_galaxy_outside_the_lens_model_is_refused(tmp_path):
    paths = write_lens(tmp_path, Isothermal())
    for path in (p for value in paths.values() for p in value):
        fits.setval(path, "CRVAL2", value=DEC + 1)
    with pytest.raises(
        InputError, match=r"lens sis: the model has no value at the position of test .*0 % of its field"
    ):
        evaluate(tmp_path, paths, lens_settings())
    assert not (tmp_path / "lens.fits").exists()


def test_nan_of_a_map_at_the_galaxy_is_refused_and_elsewhere_flagged(tmp_path):
    paths = write_lens(tmp_path, Isothermal())
    x = paths["x"][0]
    data = fits.getdata(x)
    data[0, 0] = np.nan
    fits.writeto(x, data, fits.getheader(x), overwrite=True)
    assert evaluate(tmp_path, paths, lens_settings())[0].header["STATE"] == "ok"
    data[data.shape[0] // 2, data.shape[1] // 2] = np.nan
    fits.writeto(x, data, fits.getheader(x), overwrite=True)
    with pytest.raises(InputError, match=r"no value at the position of test .*NaN pixels"):
        evaluate(tmp_path, paths, lens_settings())


@pytest.mark.parametrize("z", [0.2, 0.35])
def test_galaxy_in_front_of_the_lens_is_refused(tmp_path, z):
    with pytest.raises(InputError, match=rf"test at z = {z} is not behind it \(z = 0.35\)"):
        evaluate(tmp_path, write_lens(tmp_path, Isothermal()), lens_settings(z=z))


def test_no_lens_is_the_identity(tmp_path):
    maps, _ = evaluate(tmp_path, {"x": [], "y": [], "kappa": [], "gamma": []}, lens_settings(origin="none"))
    assert maps.header["STATE"] == "unlensed"
    assert (maps["ALPHA_X"].value == 0).all()
    assert (maps["MU"].value == 1).all()


def test_bad_descriptions_are_refused(tmp_path):
    paths = write_lens(tmp_path, Isothermal())
    with pytest.raises(ConfigError, match="deflection_unit"):
        DeflectionMaps(paths["x"][0], paths["y"][0], ORIGIN, unit="kpc")
    with pytest.raises(ConfigError, match="x_sign"):
        DeflectionMaps(paths["x"][0], paths["y"][0], ORIGIN, x_sign=2)
    with pytest.raises(ConfigError, match="both deflection maps"):
        evaluate(tmp_path, paths, lens_settings(), y=[])
    other = write_lens(tmp_path, Isothermal(), shape=(30, 40), name="other")
    with pytest.raises(InputError, match="one grid"):
        DeflectionMaps(paths["x"][0], other["y"][0], ORIGIN)
    moved = tmp_path / "moved.fits"
    moved.write_bytes(paths["y"][0].read_bytes())
    fits.setval(moved, "CRPIX2", value=fits.getval(moved, "CRPIX2") + 2)
    with pytest.raises(InputError, match=r"2 pixels apart on the sky.*one grid"):
        DeflectionMaps(paths["x"][0], moved, ORIGIN)

import numpy as np
import pytest
from astropy.table import Table
from lensing_scene import Isothermal, Linear, gaussian, lens_settings, source_settings, write_band
from test_sourceplane import UNSCALED, lensed, offsets, pipeline, reconstruct

from klever.errors import ConfigError
from klever.maps import MapSet
from klever.operators import load_operators
from klever.source.delensing import delens
from klever.source.source_images import find_images, positions_of, source_jacobian

OPTIONS = {"method": "subpixels", "pixel_scale": 0.03, "subpixels": 4}


class Fold:
    """The generic caustic: beta = (x^2 / (2 length), stretch y), critical on x = 0."""

    def __init__(self, length=2.0, stretch=0.7):
        self.length, self.stretch = length, stretch

    def deflection(self, west, north):
        return west - west**2 / (2 * self.length), (1 - self.stretch) * north


class Sum:
    """Several lenses in one plane."""

    def __init__(self, *lenses):
        self.lenses = lenses

    def deflection(self, west, north):
        return np.sum([lens.deflection(west, north) for lens in self.lenses], axis=0)


def plane(shape=(81, 95), scale=0.065, at=(0.0, 0.0)):
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    return (x - shape[1] // 2) * scale + at[0], (y - shape[0] // 2) * scale + at[1]


def at(field, west, north):
    """0-based x, y of the pixel nearest to an offset."""
    y, x = np.unravel_index(np.argmin(np.hypot(field[0] - west, field[1] - north)), field[0].shape)
    return int(x), int(y)


def test_jacobian_of_a_linear_lens_on_any_pixels():
    matrix = np.array([[0.3, 0.1], [-0.05, -0.4]])
    for turn in (np.array, np.fliplr, np.transpose):
        field = [turn(v) for v in plane((9, 12))]
        found = source_jacobian(Linear(matrix).deflection(*field), field)
        np.testing.assert_allclose(found, np.broadcast_to((np.eye(2) - matrix)[..., None, None], found.shape))


def test_positions_are_those_of_the_lens_equation():
    field = plane()
    alpha = Fold().deflection(*field)
    planes = np.array([p - a for p, a in zip(field, alpha, strict=True)])
    found = positions_of((0.25, 0.21), planes)
    west = np.sort((found[:, 0] - 47) * 0.065)
    np.testing.assert_allclose(west, [-1.0, 1.0], atol=0.005)
    np.testing.assert_allclose((found[:, 1] - 40) * 0.065, 0.3, atol=0.005)
    assert len(positions_of((-0.25, 0.0), planes)) == 0


def test_images_of_a_fold_are_mirrored_and_each_gives_the_source():
    truth = lambda x, y: gaussian(x, y, 0.45, 0.1, 0.5) + 0.5 * gaussian(x, y, 0.6, 0.0, 0.4)  # noqa: E731
    field = plane()
    alpha = Fold().deflection(*field)
    image = truth(field[0] - alpha[0], field[1] - alpha[1])
    west = np.sqrt(2 * 2.0 * 0.45)
    found = find_images(alpha, field, at(field, west, 0.1 / 0.7), image)
    assert [(item.number, item.parity, item.whole) for item in found] == [(1, 1, True), (2, -1, True)]
    assert (found[1].x, found[1].y) == (94 - found[0].x, found[0].y)
    # what a pixel of the image, constant over its area, can be off
    half_pixel = 0.5 * 0.065 * np.hypot(west / 2.0, 0.7)
    x, y = np.meshgrid(np.linspace(0, 1, 101), np.linspace(-0.5, 0.5, 101))
    steepest = np.hypot(*np.gradient(truth(x, y), 0.01)).max()
    values, centre = [], (0.45, 0.1)
    for item in found:
        alone = delens(alpha, field, centre, OPTIONS, select=item.pixels)
        x, y = (v.ravel() for v in alone.grid.offsets())
        near = np.hypot(x - 0.45, y - 0.1) < 0.25
        values.append((alone.operator @ image.ravel())[near])
        assert (alone.coverage[near] > 0).mean() > 0.98
        good = alone.coverage[near] > 0
        difference = np.abs(values[-1][good] - truth(x[near], y[near])[good])
        assert difference.max() < half_pixel * steepest
    both = delens(alpha, field, centre, OPTIONS)
    joint = (both.operator @ image.ravel())[near]
    np.testing.assert_allclose(values[0], values[1], atol=1e-6)  # mirror images of each other here
    np.testing.assert_allclose(joint, values[0], atol=1e-6)


def test_four_images_of_two_parities_and_no_faint_core():
    lens = Sum(Isothermal(2.0, (0.013, 0.007)), Linear([[0.15, 0.0], [0.0, -0.15]]))
    field = plane((121, 121))
    alpha = lens.deflection(*field)
    # the source at the centre has images on both axes: beta = theta (1 -+ 0.15) - 2 = 0
    radii = 2 / (1 - 0.15), 2 / (1 + 0.15)
    image = gaussian(field[0] - alpha[0], field[1] - alpha[1], 0.0, 0.0, 0.2)
    found = find_images(alpha, field, at(field, radii[0], 0.0), image)
    assert sorted(item.parity for item in found) == [-1, -1, 1, 1]
    assert all(item.whole for item in found)
    places = sorted((abs(field[0][item.y, item.x]) > 1, item.parity) for item in found)
    assert places == [(False, -1), (False, -1), (True, 1), (True, 1)]
    for item in found:
        radius = np.hypot(field[0][item.y, item.x], field[1][item.y, item.x])
        assert radius == pytest.approx(radii[0] if item.parity == 1 else radii[1], abs=0.08)
    pixels = np.sum([item.pixels for item in found], axis=0)
    assert pixels.max() == 1
    # each of them has the whole source
    fluxes = []
    for item in found:
        alone = delens(alpha, field, (0.0, 0.0), OPTIONS, select=item.pixels)
        fluxes.append(np.sum(alone.operator @ image.ravel()) * 0.03**2)
    truth = np.pi / (4 * np.log(2)) * 0.2**2
    np.testing.assert_allclose(fluxes, truth, rtol=0.03)


def test_part_beyond_a_caustic_is_an_image_without_centre():
    # A source whose centre is 2.2 from the lens has one image of it; its inner rim, less than 2 away, has two.
    field = plane()
    lens = Isothermal(2.0, (-2.613, 0.007))
    alpha = lens.deflection(*field)
    image = gaussian(field[0] - alpha[0], field[1] - alpha[1], -2.6 + 2.2, 0.0, 1.0)
    reference = at(field, -2.6 + 4.2, 0.0)
    found = find_images(alpha, field, reference, image, image > 0.2)
    assert [(item.parity, item.whole) for item in found] == [(1, True), (-1, False)]
    assert len(find_images(alpha, field, reference, image, image > 2)) == 1  # nothing seen there: no image


def test_no_lens_is_one_image_and_outside_the_model_none():
    field = plane((20, 30))
    zero = np.zeros((2, 20, 30))
    found = find_images(zero, field, (12, 7))
    assert [(item.number, item.parity, item.x, item.y) for item in found] == [(1, 1, 12, 7)]
    assert found[0].pixels.all()
    zero[0, :, :10] = np.nan
    found = find_images(zero, field, (12, 7))
    np.testing.assert_array_equal(found[0].pixels, np.isfinite(zero[0]))
    assert find_images(zero, field, (3, 7)) == []


LENS = Isothermal(2.0, (-2.0, 0.03))
AT = (-1.1, 0.03)  # the images are at -2 + 0.9 + 2 and -2 + 0.9 - 2


@pytest.fixture(scope="module")
def two_images(tmp_path_factory):
    """Pipelines on one field with two images: joint, and each image alone."""
    folder = tmp_path_factory.mktemp("images")
    sky = lensed(LENS, lambda x, y: gaussian(x, y, *AT, 0.45))
    results = {}
    for name, source in {"joint": {}, "1": {"images": "separate"}, "2": {"images": "separate", "image": 2}}.items():
        (folder / name).mkdir()
        maps, _ = pipeline(folder / name, sky, LENS, source=source, noise=1e-3, shape=(40, 44), pixel_scale=0.05)
        results[name] = folder / name, maps
    return results


def test_maps_of_one_image_alone(two_images):
    _, joint = two_images["joint"]
    assert (joint.header["IMAGES"], joint.header["NIMAGES"]) == ("joint", 2)
    assert not [name for name in joint.names() if "_IMAGE" in name]
    images = Table.read(two_images["joint"][0] / "images.ecsv")
    assert list(images["used"]) == [True, True]
    assert list(images["parity"]) == [1, -1]
    place = [at(offsets(MapSet.read(two_images["joint"][0] / "aligned.fits")), x, 0.03) for x in (0.9, -3.1)]
    np.testing.assert_allclose(images["image_x"], [x for x, _ in place], atol=2)
    np.testing.assert_allclose(images["image_y"], [y for _, y in place], atol=2)
    # mu = 1 / (1 - einstein / r) at r = 2.9 and 1.1
    np.testing.assert_allclose(images["mu"], [2.9 / 0.9, -1.1 / 0.9], rtol=0.12)
    assert images["flux"][0] > images["flux"][1]
    truth = np.pi / (4 * np.log(2)) * 0.45**2 * 1e-18
    # the spaxels of 0.2 arcsec and their smoothing widen the source, and more so in the image that is not magnified
    np.testing.assert_allclose(images["source_flux"], truth, rtol=0.12)
    for number in ("1", "2"):
        folder, maps = two_images[number]
        assert maps.header["IMAGES"] == number
        np.testing.assert_array_equal(Table.read(folder / "images.ecsv")["used"], [number == "1", number == "2"])
        found, own = maps["HALPHA"], maps[f"HALPHA_IMAGE{number}"]
        np.testing.assert_array_equal(found.value, own.value)
        np.testing.assert_array_equal(found.error, own.error)
        assert maps.header["FLUX_IMG"] == pytest.approx(images["flux"][int(number) - 1])
        labels = load_operators(folder / "source.npz")[1]["images"]
        assert labels[maps.header["IMGY"], maps.header["IMGX"]] == int(number)
    west, north = offsets(two_images["1"][1])
    inner = np.hypot(west - AT[0], north - AT[1]) < 0.3
    one, two = (two_images[name][1]["HALPHA"].value[inner] for name in "12")
    expected = gaussian(west, north, *AT, 0.45)[inner] * 1e-18
    assert np.abs(one - expected).max() < 0.12e-18
    assert np.nanmax(np.abs(two - one)) < 0.2e-18  # sampled with fewer spaxels
    for name, count in (("joint", 2), ("1", 1), ("2", 1)):
        # single rays from where the maps smear the singular centre of the lens add a third
        assert np.median(two_images[name][1]["MULTIPLICITY"].value[inner]) == count


def test_psf_is_that_of_the_chosen_image(two_images):
    psf = {name: Table.read(folder / "psf.ecsv")[0] for name, (folder, _) in two_images.items()}
    seeing = np.hypot(0.6, 0.4)
    # along the arc an isothermal lens stretches by |mu|, across it not at all
    for name, mu in (("1", 2.9 / 0.9), ("2", 1.1 / 0.9)):
        assert psf[name]["jacobian_fwhm_minor"] == pytest.approx(seeing / mu, rel=0.12)
    assert psf["joint"]["fwhm_minor"] == pytest.approx(psf["1"]["fwhm_minor"], rel=0.05)


def test_psf_varies_over_the_field_as_the_jacobian(two_images):
    table = Table.read(two_images["1"][0] / "psf_map.ecsv")
    assert 10 < len(table) < 60
    assert set(table["state"]) <= {"ok", "jacobian"}
    traced = table[table["state"] == "ok"]
    assert len(traced) > 5
    west = AT[0] - traced["east"]  # of the centre of the grid
    radius = np.hypot(west + 2.0, AT[1] + traced["north"] - 0.03) + 2.0
    np.testing.assert_allclose(traced["jacobian_fwhm_minor"], np.hypot(0.6, 0.4) * (1 - 2.0 / radius), rtol=0.12)
    ratio = traced["fwhm_major"] * traced["fwhm_minor"] / traced["jacobian_fwhm_major"] / traced["jacobian_fwhm_minor"]
    assert np.median(ratio) == pytest.approx(1, abs=0.15)
    np.testing.assert_allclose(traced["fwhm_major_kpc"] / traced["fwhm_major"], 8.68, atol=0.03)
    assert np.ptp(traced["fwhm_minor"]) > 0.1


def test_image_that_is_not_there(tmp_path):
    write_band(tmp_path / "H.fits", lambda w, n: gaussian(w, n))
    pipeline(tmp_path, lambda w, n: gaussian(w, n), settings=lens_settings(**UNSCALED))
    with pytest.raises(ConfigError, match=r"source\.image: 2, but the lens makes one image"):
        reconstruct(tmp_path, [tmp_path / "H.fits"], source_settings(["H"], images="separate", image=2), "other")
    assert not (tmp_path / "other.fits").exists()

import numpy as np
import pytest
from astropy.io import fits
from lensing_scene import DEC, RA, align_settings, correlated_noise, gaussian, wcs_header, write_band, write_image

from align import align_bands
from klever.align.adjustment import Link, Shift, adjust
from klever.align.alignment import Limits, measure_shifts
from klever.align.bandmaps import read_bands
from klever.align.registration import FWHM, Template, cross_correlate
from klever.errors import InputError
from klever.grids import Grid
from klever.maps import Flag, Map, MapSet
from klever.operators import load_operators

BROAD = np.hypot(0.6, 0.4)  # seeing and smoothing of the line maps


def sky(fwhm, x=0.35, y=-0.25, second=0.5):
    """Two knots blurred to `fwhm`, surface brightness 1 for an intrinsic FWHM of 0.5 arcsec."""
    width = np.hypot(0.5, fwhm)
    dilution = (0.5 / width) ** 2

    def brightness(west, north):
        return dilution * (gaussian(west, north, x, y, width) + second * gaussian(west, north, x - 0.5, y + 0.6, width))

    return brightness


def run(tmp_path, bands, image=None, **align):
    paths = [tmp_path / f"{name}.fits" for name in bands]
    out = tmp_path / "aligned.fits", tmp_path / "operators.npz"
    align_bands(paths, [image] if image else [], *out, align_settings(bands, **align))
    return MapSet.read(out[0])


def shift(maps, band):
    return np.array([maps.header[f"SHX_{band}"], maps.header[f"SHY_{band}"]])


@pytest.mark.parametrize("unit", [1e-18, 1.0, 1e-30])
def test_continuum_shift_is_recovered_with_its_error(tmp_path, unit):
    image = write_image(tmp_path / "hst.fits", sky(0.15), noise=0.02)
    offset = np.array([0.23, -0.31])
    deviations = []
    for seed in range(6):
        write_band(
            tmp_path / "H.fits", sky(BROAD), continuum=sky(BROAD), offset=offset, noise=0.02, seed=seed, unit=unit
        )
        maps = run(tmp_path, ["H"], image)
        assert maps.header["SHM_H"] == "continuum"
        deviations.append((shift(maps, "H") + offset) / maps.header["SHE_H"])
    assert np.abs(deviations).max() < 4
    assert 0.35 < np.sqrt(np.mean(np.square(deviations))) < 2  # neither far too small nor far too large errors


@pytest.mark.parametrize(("rotation", "flip"), [(0, True), (65, False)])
def test_shift_does_not_depend_on_the_orientation_of_the_cube(tmp_path, rotation, flip):
    image = write_image(tmp_path / "hst.fits", sky(0.15), rotation=-20)
    write_band(
        tmp_path / "H.fits",
        sky(BROAD),
        continuum=sky(BROAD),
        offset=(0.2, 0.1),
        noise=0.005,
        rotation=rotation,
        flip=flip,
    )
    np.testing.assert_allclose(shift(run(tmp_path, ["H"], image), "H"), [-0.2, -0.1], atol=0.02)


def test_line_peak_is_matched_when_there_is_no_continuum(tmp_path):
    image = write_image(tmp_path / "hst.fits", sky(0.15, second=0))
    faint = lambda west, north: 0 * west  # noqa: E731
    write_band(tmp_path / "H.fits", sky(BROAD, second=0), continuum=faint, offset=(-0.3, 0.2), noise=0.01)
    maps = run(tmp_path, ["H"], image)
    assert maps.header["SHM_H"] == "lines"
    np.testing.assert_allclose(shift(maps, "H"), [0.3, -0.2], atol=0.04)
    # gas need not lie where the stars do: klever.align.alignment.LINE_IMAGE_OFFSET
    assert 0.04 < maps.header["SHE_H"] < 0.06
    assert maps.header["SHR_H"] == "F160W"


def test_bands_are_aligned_to_h_without_an_image(tmp_path):
    for name, offset in {"YJ": (0.1, 0.0), "H": (0.3, 0.1), "K": (0.1, -0.2)}.items():
        write_band(
            tmp_path / f"{name}.fits", sky(BROAD), continuum=sky(BROAD), offset=offset, noise=0.005, lines=(f"L{name}",)
        )
    maps = run(tmp_path, ["YJ", "H", "K"])
    assert [maps.header[f"SHM_{band}"] for band in ("YJ", "H", "K")] == ["continuum", "reference", "continuum"]
    np.testing.assert_allclose(shift(maps, "YJ"), [0.2, 0.1], atol=0.03)
    np.testing.assert_allclose(shift(maps, "K"), [0.2, 0.3], atol=0.03)
    assert "F160W" not in maps


def test_methods_and_overrides(tmp_path):
    image = write_image(tmp_path / "hst.fits", sky(0.15))
    write_band(tmp_path / "H.fits", sky(BROAD), continuum=sky(BROAD), offset=(0.2, 0.0))
    assert run(tmp_path, ["H"], image, method="lines").header["SHM_H"] == "lines"
    nothing = run(tmp_path, ["H"], image, method="none")
    assert (nothing.header["SHM_H"], *shift(nothing, "H")) == ("none", 0, 0)
    given = run(tmp_path, ["H"], image, shifts={"H": [0.05, -0.1]})
    assert (given.header["SHM_H"], *shift(given, "H")) == ("config", 0.05, -0.1)


def test_implausible_shift_is_not_applied(tmp_path, caplog):
    image = write_image(tmp_path / "hst.fits", sky(0.15))
    write_band(tmp_path / "H.fits", sky(BROAD), continuum=sky(BROAD), offset=(0.8, 0.0))
    maps = run(tmp_path, ["H"], image)
    assert maps.header["SHM_H"] == "none"
    assert "implausible" in caplog.text
    assert "implausible" in maps.header["SHN_H"]
    assert maps.header["SHE_H"] == -1
    np.testing.assert_array_equal(shift(maps, "H"), 0)
    accepted = run(tmp_path, ["H"], image, max_shift=1.0)
    assert accepted.header["SHM_H"] == "continuum"
    np.testing.assert_allclose(shift(accepted, "H"), [-0.8, 0], atol=0.02)


def test_one_bad_spaxel_does_not_move_the_cube(tmp_path):
    image = write_image(tmp_path / "hst.fits", sky(0.15))
    path = write_band(tmp_path / "H.fits", sky(BROAD), continuum=sky(BROAD), offset=(0.2, -0.1), noise=0.01)
    with fits.open(path, mode="update") as hdus:
        for name in ("CONTINUUM", "HALPHA"):
            hdus[name].data[22, 6] = 1e4 * np.abs(hdus[name].data).max()
    for method in ("continuum", "lines"):
        maps = run(tmp_path, ["H"], image, method=method)
        assert maps.header["SHM_H"] == method
        np.testing.assert_allclose(shift(maps, "H"), [-0.2, 0.1], atol=0.06)


def test_grid_covers_the_field_and_flux_and_peak_are_kept(tmp_path):
    image = write_image(tmp_path / "hst.fits", sky(0.15))
    bands = {"YJ": {"shape": (28, 33), "rotation": 30}, "K": {"shape": (24, 30), "flip": True}}
    for name, geometry in bands.items():
        write_band(tmp_path / f"{name}.fits", sky(BROAD), noise=0.0, lines=(f"L{name}",), **geometry)
    maps = run(tmp_path, list(bands), image, method="none")
    grid = Grid(maps.header, maps["LYJ"].value.shape, (RA, DEC))
    west, north = grid.pixel_offsets()
    assert grid.pixel_scale == pytest.approx(0.065)
    assert np.ptp(west) < 9.5  # the diagonal of the rotated field, no more
    at_catalogue = grid.pixels(np.zeros(1), np.zeros(1))
    np.testing.assert_allclose(at_catalogue, np.round(at_catalogue), atol=1e-6)
    for name in bands:
        product = maps[f"L{name}"]
        assert product.unit == "erg s-1 cm-2 arcsec-2"
        inside = np.isfinite(product.value)
        truth = sky(BROAD)(west, north) * 1e-18
        # Linear interpolation errs by h^2 / 8 times the second derivatives, 1 / sigma^2 each at a peak.
        bound = 0.2**2 / 8 * 2 / (np.hypot(0.5, BROAD) / 2.3548) ** 2
        np.testing.assert_allclose(product.value[inside], truth[inside], atol=bound * truth.max())
        assert np.nansum(product.value) == pytest.approx(truth[inside].sum(), rel=2e-3)
        np.testing.assert_array_equal(product.flags != 0, ~inside)
        assert (product.flags[~inside] == int(Flag.NO_DATA)).all()
    found = maps["F160W"]
    truth = sky(0.15)(west, north) * 1e-18
    np.testing.assert_allclose(found.value, truth, atol=0.01 * truth.max())
    assert found.unit == "erg s-1 cm-2 um-1 arcsec-2"


def test_invalid_spaxels_carry_their_flags_and_qualifiers_stay(tmp_path):
    path = write_band(tmp_path / "H.fits", sky(BROAD))
    with fits.open(path, mode="update") as hdus:
        hdus["HALPHA"].data[5:9, 5:9] = np.nan
        hdus["HALPHA_FLAGS"].data[5:9, 5:9] = int(Flag.NOT_FITTED)
        hdus["HALPHA_FLAGS"].data[20:24, 20:24] = int(Flag.NOT_DETECTED)
    maps = run(tmp_path, ["H"], method="none")
    grid = Grid(maps.header, maps["HALPHA"].value.shape)
    west, north = grid.pixel_offsets()

    def pixel(x, y):
        return np.argmin(np.hypot(west - (x - 14.5) * 0.2, north - (y - 14.5) * 0.2))

    product = maps["HALPHA"]
    assert product.flags.flat[pixel(6.5, 6.5)] == int(Flag.NOT_FITTED)
    assert np.isnan(product.value.flat[pixel(6.5, 6.5)])
    assert product.flags.flat[pixel(21.5, 21.5)] == int(Flag.NOT_DETECTED)
    assert np.isfinite(product.value.flat[pixel(21.5, 21.5)])
    np.testing.assert_array_equal(np.isnan(product.value), np.isnan(product.error))


def test_band_without_line_still_gives_its_continuum(tmp_path):
    write_band(tmp_path / "H.fits", sky(BROAD))
    write_band(tmp_path / "K.fits", sky(BROAD), lines=(), continuum=sky(BROAD), state="no_line_in_band")
    maps = run(tmp_path, ["H", "K"])
    assert maps.names() == ["HALPHA", "CONTINUUM_K"]
    assert maps["CONTINUUM_K"].unit == "erg s-1 cm-2 um-1 arcsec-2"
    assert maps.header["STATE"] == "ok"


def test_line_in_two_bands_is_taken_from_the_better(tmp_path):
    write_band(tmp_path / "H.fits", sky(BROAD), noise=0.2)
    write_band(tmp_path / "K.fits", sky(BROAD), noise=0.01)
    maps = run(tmp_path, ["H", "K"])
    assert np.nanmedian(maps["HALPHA"].error) < 0.02e-18


def test_operators_reproduce_the_maps(tmp_path):
    path = write_band(tmp_path / "H.fits", sky(BROAD), rotation=12)
    maps = run(tmp_path, ["H"], method="none")
    operators, extra = load_operators(tmp_path / "operators.npz")
    assert extra["area_H"] == pytest.approx(0.04)
    value = (operators["H"] @ MapSet.read(path)["HALPHA"].value.ravel() / 0.04).reshape(maps["HALPHA"].value.shape)
    inside = np.isfinite(maps["HALPHA"].value)
    np.testing.assert_allclose(maps["HALPHA"].value[inside], value[inside], rtol=1e-5)


def test_long_band_names_and_images_elsewhere(tmp_path, caplog):
    image = write_image(tmp_path / "hst.fits", sky(0.15))
    fits.setval(image, "CRVAL2", value=DEC + 0.5)
    write_band(tmp_path / "optical.fits", sky(BROAD), continuum=sky(BROAD))
    maps = run(tmp_path, ["optical"], image)
    assert maps.header["SHM_OPTICAL"] == "reference"
    assert "does not cover" in caplog.text


def test_empty_and_mismatched_inputs(tmp_path):
    path = write_band(tmp_path / "H.fits", sky(BROAD), lines=("HALPHA",))
    with pytest.raises(InputError, match="one per band"):
        align_bands([path], [], tmp_path / "a", tmp_path / "b", align_settings(["H", "K"]))
    with fits.open(path, mode="update") as hdus:
        hdus["HALPHA"].data[:] = np.nan
    with pytest.raises(InputError, match="no band has a spaxel"):
        align_bands([path], [], tmp_path / "a", tmp_path / "b", align_settings(["H"]))
    assert not (tmp_path / "a").exists()


def template(sky_of_image, fwhm=0.15, shape=(140, 160)):
    header = wcs_header(shape, 0.065)
    grid = Grid(header, shape, (RA, DEC))
    return Template(sky_of_image(*grid.pixel_offsets()), grid, fwhm, name="F160W")


@pytest.mark.parametrize("noise", [0.02, 0.06])
def test_errors_of_the_shift_are_those_of_repeated_noise(tmp_path, noise):
    offset = np.array([0.17, -0.12])
    path = write_band(tmp_path / "H.fits", sky(BROAD), continuum=sky(BROAD), offset=offset, noise=0.0, rotation=20)
    band, image, pulls = read_bands([path], ["H"], (RA, DEC))[0], template(sky(0.15)), []
    product, generator = band.maps["CONTINUUM"], np.random.default_rng(7)
    unit = 0.2**2 * 1e-18
    for _ in range(60):
        noisy = product.value + noise * unit * correlated_noise(product.value.shape, 0.85, generator)[0]
        match = cross_correlate(Map(noisy, np.full(noisy.shape, noise * unit), product.flags), band, image, 1.0)
        pulls.append((np.array([match.x, match.y]) + offset) / match.error)
    assert 0.8 < np.std(pulls) < 1.3  # 120 pulls: their scatter is known to 6 %
    assert np.abs(np.mean(pulls, axis=0)).max() < 3.5 / np.sqrt(60)


def test_error_counts_the_noise_of_both_bands(tmp_path):
    from klever.align.alignment import _band_match

    bands = [write_band(tmp_path / "H.fits", sky(BROAD), noise=0.0, offset=(0.2, 0.1))]
    bands.append(write_band(tmp_path / "YJ.fits", sky(BROAD), noise=0.0, offset=(-0.1, 0.15)))
    bands = read_bands(bands, ["H", "YJ"], (RA, DEC))
    clean, generator, unit, pulls = [b.maps["HALPHA"] for b in bands], np.random.default_rng(2), 0.01 * 0.04e-18, []
    for _ in range(40):
        for band, product in zip(bands, clean, strict=True):
            noise = unit * correlated_noise(product.value.shape, 0.85, generator)[0]
            band.maps["HALPHA"] = Map(product.value + noise, np.full(noise.shape, unit), product.flags)
        match = _band_match(bands[0], "HALPHA", bands[1], "HALPHA", Limits())
        pulls.append((np.array([match.x, match.y]) - [-0.3, 0.05]) / match.error)
    assert 0.8 < np.std(pulls) < 1.3


def test_noise_of_the_template_does_not_fix_the_position_along_an_arc(tmp_path):
    from klever.align.alignment import _band_match

    def arc(west, north):  # about as long as the field
        return gaussian(west, 0.0 * north, 0.1, 0.0, BROAD) * gaussian(0.0 * west, north, 0.0, 0.2, 4.0)

    offsets = np.array([0.1, 0.2]), np.array([-0.1, -0.1])
    bands = [write_band(tmp_path / f"{name}.fits", arc, noise=0.0, offset=offset)
             for name, offset in zip(("H", "YJ"), offsets, strict=True)]  # fmt: skip
    bands = read_bands(bands, ["H", "YJ"], (RA, DEC))
    clean, generator, unit = [b.maps["HALPHA"] for b in bands], np.random.default_rng(5), 0.05 * 0.04e-18
    pulls = []
    for _ in range(12):
        for band, product in zip(bands, clean, strict=True):
            noise = unit * correlated_noise(product.value.shape, 0.85, generator)[0]
            band.maps["HALPHA"] = Map(product.value + noise, np.full(noise.shape, unit), product.flags)
        match = _band_match(bands[0], "HALPHA", bands[1], "HALPHA", Limits())
        if match is not None:
            off = np.array([match.x, match.y]) - (offsets[1] - offsets[0])
            assert abs(off[0]) < 0.1
            assert match.worst > match.error
            pulls.append(off[1] / match.worst)
    assert len(pulls) > 4
    assert np.sqrt(np.mean(np.square(pulls))) < 2, pulls


def test_masked_spaxels_and_pixels_have_no_say(tmp_path):
    path = write_band(tmp_path / "H.fits", sky(BROAD), continuum=sky(BROAD), offset=(0.3, -0.2), noise=0.003)
    with fits.open(path, mode="update") as hdus:
        hdus["CONTINUUM"].data[:, :9] = 50 * hdus["CONTINUUM"].data.max()  # an edge of the cube that is not data
        hdus["CONTINUUM_FLAGS"].data[:, :9] = int(Flag.LOW_COVERAGE)
    band = read_bands([path], ["H"], (RA, DEC))[0]
    image = template(sky(0.15))
    image.value[:55, :] = np.nan  # a gap between detectors
    match = cross_correlate(band.maps["CONTINUUM"], band, image, 1.0)
    np.testing.assert_allclose([match.x, match.y], [-0.3, 0.2], atol=0.03)


def test_template_reaches_the_resolution_it_is_asked_for():
    width = 0.3
    image = template(lambda west, north: gaussian(west, north, fwhm=width), fwhm=width)
    value, valid = image.convolved(0.7)
    west, _ = image.grid.pixel_offsets()
    measured = FWHM * np.sqrt(np.sum(value * west**2) / value.sum())
    assert measured == pytest.approx(0.7, rel=0.01)
    assert valid.all()
    np.testing.assert_array_equal(image.convolved(0.2)[0], image.value)  # nothing can be sharpened


def test_band_without_continuum_follows_the_lines_of_the_others(tmp_path):
    stars = sky(BROAD)
    gas = sky(BROAD, x=0.4, y=-0.3)
    write_band(tmp_path / "H.fits", gas, continuum=stars, offset=(0.2, 0.1), noise=0.004)
    faint = lambda west, north: 0 * west  # noqa: E731
    write_band(
        tmp_path / "YJ.fits", gas, continuum=faint, offset=(-0.1, 0.15), noise=0.004, lines=("OIII5007",), seed=5
    )
    image = write_image(tmp_path / "hst.fits", sky(0.15))
    maps = run(tmp_path, ["YJ", "H"], image)
    assert (maps.header["SHM_YJ"], maps.header["SHM_H"]) == ("lines", "continuum")
    assert {maps.header["SHR_YJ"], maps.header["SHR_H"]} & {"H", "F160W+YJ"}
    relative = shift(maps, "YJ") - shift(maps, "H") - [0.3, -0.05]
    assert maps.header["SHE_YJ"] < 0.015
    assert np.abs(relative).max() < 3 * maps.header["SHE_YJ"]
    np.testing.assert_allclose(shift(maps, "H"), [-0.2, -0.1], atol=0.01)  # by the stars, not the gas


def test_gas_far_from_the_stars_does_not_move_the_band(tmp_path):
    write_band(tmp_path / "H.fits", sky(BROAD, x=-0.05), continuum=sky(BROAD), offset=(0.1, 0.1), noise=0.01)
    maps = run(tmp_path, ["H"], write_image(tmp_path / "hst.fits", sky(0.15)))
    np.testing.assert_allclose(shift(maps, "H"), [-0.1, -0.1], atol=0.02)
    assert "off the continuum" in maps.header["SHN_H"]
    assert maps.header["SHE_H"] < 0.02


def test_sharper_band_is_blurred_to_the_coarser(tmp_path):
    lopsided = lambda fwhm: sky(fwhm, second=1.5)  # noqa: E731
    write_band(tmp_path / "H.fits", lopsided(0.9), noise=0.003, psf=np.sqrt(0.9**2 - 0.4**2))
    write_band(tmp_path / "K.fits", lopsided(0.5), noise=0.003, psf=0.3, offset=(0.2, 0.3), lines=("SIII9531",), seed=4)
    maps = run(tmp_path, ["H", "K"])
    np.testing.assert_allclose(shift(maps, "K"), [-0.2, -0.3], atol=0.02)


def test_noise_alone_is_no_match(tmp_path):
    dark = lambda west, north: 0 * west  # noqa: E731
    write_band(tmp_path / "H.fits", dark, continuum=dark, noise=0.05)
    bands = read_bands([tmp_path / "H.fits"], ["H"], (RA, DEC))
    found = measure_shifts(bands, template(sky(0.15)), "auto")["H"]
    assert (found.method, found.x, found.y) == ("none", 0.0, 0.0)
    assert np.isnan(found.error)
    assert "no line detected" in found.note


def test_adjustment_weighs_matches_and_finds_contradictions(caplog):
    image = [Link("H", "F160W", 0.10, 0.0, 0.01, "continuum"), Link("K", "F160W", 0.30, 0.0, 0.02, "continuum")]
    alone = adjust(image, {}, ["H", "K", "YJ"])
    assert set(alone) == {"H", "K"}  # nothing says where YJ is
    assert (alone["K"].x, alone["K"].error) == pytest.approx((0.30, 0.02))
    # A perfect tie K - H = 0.2: the mean of 0.10 +- 0.01 and 0.10 +- 0.02.
    tied = adjust([*image, Link("K", "H", 0.20, 0.0, 1e-6, "lines")], {}, ["H", "K"])
    assert tied["H"].x == pytest.approx(0.10)
    assert tied["H"].error == pytest.approx((0.01**-2 + 0.02**-2) ** -0.5, rel=1e-3)
    assert tied["K"].target == "F160W+H"
    torn = adjust([*image, Link("K", "H", 0.60, 0.0, 0.01, "lines")], {}, ["H", "K"])
    assert torn["H"].error > 5 * tied["H"].error
    assert "contradict" in caplog.text
    given = adjust([Link("K", "H", 0.20, 0.1, 0.01, "lines")], {"H": Shift(1.0, 2.0, 0.0, "config")}, ["H", "K"])
    assert (given["K"].x, given["K"].y, given["K"].error) == pytest.approx((1.2, 2.1, 0.01))


def test_exact_reprojection_keeps_the_flux_of_the_band(tmp_path):
    path = write_band(tmp_path / "H.fits", sky(BROAD), noise=0.02, rotation=33)
    total = MapSet.read(path)["HALPHA"].value.sum()
    maps = run(tmp_path, ["H"], method="none", reprojection="exact")
    operators, _ = load_operators(tmp_path / "operators.npz")
    assert np.nansum(maps["HALPHA"].value) * 0.065**2 == pytest.approx(total, rel=0.02)  # edges are cut
    assert np.median(np.diff(operators["H"].indptr)) <= 4
    assert np.isfinite(maps["HALPHA"].error[np.isfinite(maps["HALPHA"].value)]).all()

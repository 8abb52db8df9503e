"""Photometry on images whose fluxes, noise and resolution are known."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from scipy.ndimage import gaussian_filter

from klever.errors import ConfigError, InputError
from klever.photometry.detection import detect, sky_level
from klever.photometry.fluxes import aperture_flux, empty_box_noise, noise_in_area, transfer
from klever.photometry.images import Image, OutsideImageError, read_cutout
from klever.photometry.line_light import aperture_share, line_contribution
from klever.photometry.measure import measure_photometry
from klever.photometry.psf import gaussian_psf, match_resolution, matching_kernel
from klever.row_tables import Column, read_table, write_table
from klever.sed.filters import Filter, read_filter
from photometry import measure

RA, DEC = 150.0, 2.0
PIXEL = 0.065
OPTIONS = {
    "detection_filter": "F160W", "detection_snr": 2.0, "minimum_pixels": 9, "deblend_contrast": 0.01,
    "match_radius": 1.0, "aperture": "kron", "kron_factor": 2.5, "minimum_radius": 0.3, "field": 20.0, "psf_fwhm": {},
    "zero_points": {}, "curves": {},
}  # fmt: skip
FWHM = {"F606W": 0.10, "F160W": 0.18}
FLUX = {"F606W": 3.0, "F160W": 8.0}  # microjansky
LINES = "resources/lines.yaml"


def galaxy(flux, fwhm, size=150, radius=0.35, centre=(0.0, 0.0), pixel=PIXEL):
    """Exponential disc of axis ratio 0.5 behind a Gaussian PSF, of this total flux."""
    fine = 3
    axis = ((np.arange(size * fine) + 0.5) / fine - size / 2) * pixel
    x, y = np.meshgrid(axis - centre[0], axis - centre[1])
    light = np.exp(-np.hypot(x, y / 0.5) / (radius / 1.678))
    light = gaussian_filter(light, fwhm / 2.3548 / pixel * fine)
    light = light.reshape(size, fine, size, fine).sum((1, 3))
    return flux * light / light.sum()


def write(path, data, fwhm, unit="uJy", pixel=PIXEL, **cards):
    n = data.shape[0]
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = RA, DEC
    header["CRPIX1"] = header["CRPIX2"] = (n + 1) / 2
    header["CDELT1"], header["CDELT2"] = -pixel / 3600, pixel / 3600
    header["CUNIT1"] = header["CUNIT2"] = "deg"
    header["PSFFWHM"] = fwhm
    header["BUNIT"] = unit
    header.update(cards)
    fits.writeto(path, data.astype(np.float32), header, overwrite=True)
    return path


def images(folder, noise=0.0015, seed=1, scale=1.0, **options):
    rng = np.random.default_rng(seed)
    return {
        name: write(
            folder / f"{name}.fits",
            scale * (galaxy(FLUX[name], FWHM[name]) + rng.normal(0, noise, (150, 150))),
            FWHM[name],
            **options,
        )
        for name in FLUX
    }


@pytest.fixture(scope="module")
def curves():
    return {name: read_filter(name) for name in FLUX}


def by_band(found):
    return {row["band"]: row for row in found.rows}


def test_fluxes_and_colours_are_those_put_in(tmp_path, curves):
    found = measure_photometry(images(tmp_path), curves, RA, DEC, OPTIONS)
    assert found.state == "ok" and [row["band"] for row in found.rows] == ["F606W", "F160W"]
    rows = by_band(found)
    for name, flux in FLUX.items():
        assert 0.92 * flux < rows[name]["flux"] < flux * 1.02  # 2.5 Kron radii of an exponential disc hold 94-96 %
    colour = rows["F606W"]["flux"] / rows["F160W"]["flux"]
    relative = np.hypot(*(row["flux_error"] / row["flux"] for row in rows.values()))
    assert colour == pytest.approx(3 / 8, rel=max(3 * relative, 0.003))
    assert found.aperture.shape["semimajor"] > 1.5 * found.aperture.shape["semiminor"]
    assert found.aperture.shape["angle"] % 180 == pytest.approx(0.0, abs=5) or found.aperture.shape["angle"] > 175


def test_errors_are_the_scatter_of_repeated_noise(curves, tmp_path):
    clean = {name: galaxy(FLUX[name], FWHM[name]) for name in FLUX}
    inside = measure_photometry(images(tmp_path), curves, RA, DEC, OPTIONS).aperture.inside
    rng = np.random.default_rng(5)
    measured, errors = [], []
    for _ in range(60):
        noisy = Image("F606W", clean["F606W"] + rng.normal(0, 0.004, (150, 150)), None, PIXEL, 0.10)
        flux, error = aperture_flux(match_resolution(noisy, 0.18), inside, np.zeros((150, 150), bool))
        measured.append(flux)
        errors.append(error)
    assert np.median(errors) == pytest.approx(np.std(measured), rel=0.3)  # the scatter of 60 is known to 9 %


def test_correlated_noise_is_larger_than_that_of_a_pixel():
    rng = np.random.default_rng(2)
    white = rng.normal(0, 1.0, (300, 300))
    smooth = gaussian_filter(white, 1.5)
    none = np.zeros(white.shape, bool)
    for data, area in ((white, 100), (white, 3000), (smooth, 100), (smooth, 2000)):
        side = round(np.sqrt(area))
        sums = [
            data[i : i + side, j : j + side].sum()
            for i in range(0, 300 - side, side)
            for j in range(0, 300 - side, side)
        ]
        assert noise_in_area(empty_box_noise(data, none), side**2) == pytest.approx(np.std(sums), rel=0.35)
    pixel = empty_box_noise(smooth, none)[0][1]
    assert noise_in_area(empty_box_noise(smooth, none), 400) > 3 * pixel * np.sqrt(400)


def test_sources_do_not_enter_the_noise():
    rng = np.random.default_rng(3)
    data = rng.normal(0, 1.0, (120, 120))
    blocked = np.zeros(data.shape, bool)
    blocked[40:80, 40:80] = True
    clean = noise_in_area(empty_box_noise(data, blocked), 200)
    data[40:80, 40:80] += 1e4
    assert noise_in_area(empty_box_noise(data, blocked), 200) == clean
    assert empty_box_noise(data, np.ones(data.shape, bool)) == []
    assert np.isnan(noise_in_area([], 10))


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_unit_of_the_image_does_not_matter(tmp_path, curves, scale):
    # zero point of an image in units of `scale` microjansky^-1
    zero = {name: 23.9 + 2.5 * np.log10(scale) for name in FLUX}
    reference = measure_photometry(images(tmp_path), curves, RA, DEC, OPTIONS)
    scaled = measure_photometry(images(tmp_path, scale=scale), curves, RA, DEC, OPTIONS | {"zero_points": zero})
    for one, other in zip(reference.rows, scaled.rows, strict=True):
        assert (other["flux"], other["flux_error"]) == pytest.approx((one["flux"], one["flux_error"]), rel=1e-3)


def test_flux_scales_agree(tmp_path):
    pivot, c = 15369.0, 2.99792458e18
    data = galaxy(8.0, 0.18)  # microjansky
    per_angstrom = data * 1e-29 * c / pivot**2
    scales = [
        (data, "uJy", {}), (data * 1e-6, "Jy", {}), (per_angstrom, "erg s-1 cm-2 Angstrom-1", {}),
        (per_angstrom * 1e4, "erg s-1 cm-2 um-1", {"PHOTPLAM": pivot * 1e-4}),
        (per_angstrom / 1e-20, "ELECTRONS/S", {"PHOTFLAM": 1e-20, "PHOTPLAM": pivot}),
    ]  # fmt: skip
    for values, unit, cards in scales:
        # single precision holds no 1e-40: an image in cgs units per pixel is fine
        image = read_cutout(write(tmp_path / "a.fits", values, 0.18, unit, **cards), "F160W", RA, DEC, 20.0, pivot)
        assert np.nansum(image.data) == pytest.approx(8.0, rel=1e-4), unit
    image = read_cutout(write(tmp_path / "a.fits", data, 0.18, "?"), "F160W", RA, DEC, 20.0, pivot, None, 25.9)
    assert np.nansum(image.data) == pytest.approx(8.0 * 10 ** (-0.4 * 2.0), rel=1e-4)
    with pytest.raises(InputError, match=r"photometry.zero_points.F160W"):
        read_cutout(write(tmp_path / "a.fits", data, 0.18, "banana"), "F160W", RA, DEC, 20.0, pivot)


def test_matched_images_have_the_wider_resolution():
    narrow = Image("F606W", gaussian_psf(3.0, 61), None, 1.0, 3.0)
    matched = match_resolution(narrow, 6.0)
    assert matched.sum() == pytest.approx(1.0, abs=1e-3)
    assert np.abs(matched - gaussian_psf(6.0, 61)).max() < 0.01 * gaussian_psf(6.0, 61).max()
    assert matching_kernel(6.0, 6.0) is None and match_resolution(narrow, 3.0) is narrow.data
    assert matching_kernel(3.0, 6.0).sum() == pytest.approx(1.0)
    holed = Image("F606W", np.where(np.eye(61) > 0, np.nan, narrow.data), None, 1.0, 3.0)
    assert np.array_equal(np.isnan(match_resolution(holed, 6.0)), np.eye(61) > 0)


def test_another_pixel_grid_gives_the_same_flux(tmp_path, curves):
    paths = images(tmp_path, noise=0.0002)
    rng = np.random.default_rng(4)
    finer = galaxy(FLUX["F606W"], FWHM["F606W"], size=300, pixel=PIXEL / 2) + rng.normal(0, 0.00005, (300, 300))
    same = by_band(measure_photometry(paths, curves, RA, DEC, OPTIONS))["F606W"]
    paths["F606W"] = write(tmp_path / "fine.fits", finer, 0.10, pixel=PIXEL / 2)
    other = by_band(measure_photometry(paths, curves, RA, DEC, OPTIONS))["F606W"]
    assert other["flux"] == pytest.approx(same["flux"], rel=0.004)


def test_transfer_keeps_area_and_place():
    aperture = np.zeros((40, 40))
    aperture[10:20, 12:26] = 1
    shares = transfer(aperture, (80, 80), np.array([[0.5, 0.0, -0.25], [0.0, 0.5, -0.25]]))
    assert shares.sum() == pytest.approx(4 * aperture.sum())
    assert shares[20:40, 24:52].min() == 1 and shares[:20].max() == 0
    assert transfer(aperture, (40, 40), np.array([[1.0, 0, 100], [0, 1.0, 0]])).sum() == 0


def test_neighbour_is_split_off_and_reported():
    data = galaxy(8.0, 0.18) + galaxy(8.0, 0.18, centre=(1.5, 0.3))
    data += np.random.default_rng(6).normal(0, 0.0015, data.shape)
    found = detect(data, PIXEL, 0.18, (74.5, 74.5), OPTIONS)
    assert (found.shape["x"], found.shape["y"]) == pytest.approx((74.5, 74.5), abs=2.0)
    assert found.contaminated > 0.02
    blended = detect(data, PIXEL, 0.18, (74.5, 74.5), OPTIONS | {"deblend_contrast": 1.0, "aperture": "isophotal"})
    split = detect(data, PIXEL, 0.18, (74.5, 74.5), OPTIONS | {"aperture": "isophotal"})
    assert 1.6 < blended.shape["area"] / split.shape["area"] < 2.4 and split.contaminated == 0


def test_what_is_not_there_is_not_measured(tmp_path, curves):
    noise = np.random.default_rng(7).normal(0, 0.0015, (150, 150))
    empty = {name: write(tmp_path / f"{name}.fits", noise, FWHM[name]) for name in FLUX}
    assert measure_photometry(empty, curves, RA, DEC, OPTIONS).state == "not_detected"
    assert measure_photometry({}, {}, RA, DEC, OPTIONS).state == "no_images"
    assert measure_photometry(images(tmp_path), curves, RA + 1, DEC, OPTIONS).state == "outside_images"
    assert measure_photometry(images(tmp_path), curves, RA, DEC + 3 / 3600, OPTIONS).state == "not_detected"
    for bad in (np.full((150, 150), np.nan), np.zeros((150, 150))):
        paths = {name: write(tmp_path / f"{name}.fits", bad, FWHM[name]) for name in FLUX}
        assert measure_photometry(paths, curves, RA, DEC, OPTIONS).state == "outside_images"
    constant = {name: write(tmp_path / f"{name}.fits", np.ones((150, 150)), FWHM[name]) for name in FLUX}
    assert measure_photometry(constant, curves, RA, DEC, OPTIONS).state == "not_detected"


def test_one_missing_image_is_one_missing_flux(tmp_path, curves):
    paths = images(tmp_path)
    holed = galaxy(FLUX["F606W"], 0.10)
    holed[:, :80] = np.nan
    paths["F606W"] = write(tmp_path / "holed.fits", holed, 0.10)
    found = measure_photometry(paths, curves, RA, DEC, OPTIONS)
    rows = by_band(found)
    assert rows["F606W"]["flag"] in ("outside_image", "no_sky") and rows["F160W"]["flag"] == ""
    assert not np.isfinite(rows["F606W"].get("flux", np.nan)) and rows["F160W"]["flux"] > 7
    del paths["F160W"]
    paths["F606W"] = images(tmp_path)["F606W"]
    assert measure_photometry(paths, curves, RA, DEC, OPTIONS).detection == "F606W"


def test_negative_flux_is_kept(tmp_path, curves):
    paths = images(tmp_path)
    rng = np.random.default_rng(8)
    paths["F606W"] = write(tmp_path / "negative.fits", rng.normal(0, 0.0015, (150, 150)) - galaxy(0.5, 0.1), 0.10)
    row = by_band(measure_photometry(paths, curves, RA, DEC, OPTIONS))["F606W"]
    assert row["flux"] == pytest.approx(-0.48, abs=4 * row["flux_error"]) and row["flux"] < -3 * row["flux_error"]


def test_image_that_cannot_be_used_says_so(tmp_path):
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"not FITS")
    with pytest.raises(InputError, match=r"bad.fits"):
        read_cutout(bad, "F160W", RA, DEC, 20.0, 15369.0)
    fits.writeto(bad, np.ones((20, 20)), overwrite=True)
    with pytest.raises(InputError, match="celestial WCS"):
        read_cutout(bad, "F160W", RA, DEC, 20.0, 15369.0)
    path = write(bad, galaxy(1.0, 0.18), 0.18)
    fits.delval(path, "PSFFWHM")
    with pytest.raises(InputError, match=r"photometry.psf_fwhm.F160W"):
        read_cutout(path, "F160W", RA, DEC, 20.0, 15369.0)
    assert read_cutout(path, "F160W", RA, DEC, 5.0, 15369.0, 0.2).data.shape[0] == pytest.approx(5 / PIXEL, abs=2)
    with pytest.raises(OutsideImageError):
        read_cutout(path, "F160W", RA, DEC + 1, 20.0, 15369.0, 0.2)


def test_sky_level_is_clipped():
    data = np.random.default_rng(9).normal(5.0, 2.0, (100, 100))
    data[:10] = 1e6
    level, sigma = sky_level(data)
    assert (level, sigma) == (pytest.approx(5.0, abs=0.15), pytest.approx(2.0, rel=0.05))
    assert all(np.isnan(sky_level(np.full((5, 5), np.nan))))


def test_share_of_the_fibre():
    point = np.zeros((101, 101))
    point[50, 50] = 1.0
    seeing = 0.6
    expected = 1 - 0.5 ** ((2 * 0.6 / seeing) ** 2)  # of a round Gaussian within its radius 0.6
    assert aperture_share(point, 0.05, (50, 50), 0.6, seeing, 0.0) == pytest.approx(expected, abs=0.01)
    assert aperture_share(point, 0.05, (50, 50), 5.0, seeing, 0.0) == pytest.approx(1.0, abs=1e-3)
    assert aperture_share(point, 0.05, (0, 0), 0.2, seeing, 0.0) == 0.05
    assert aperture_share(0 * point, 0.05, (50, 50), 0.6, seeing, 0.0) == 1.0


def test_line_in_a_top_hat_filter():
    wavelength = np.linspace(14000.0, 16000.0, 2001)
    top_hat = Filter("T", wavelength, np.ones(2001))
    flux, error = line_contribution([{"wavelength": 6564.6, "flux": 1e-16, "error": 1e-17}], [top_hat], 1.3)
    # mean f_lambda F / width, as f_nu at the pivot; the line is 0.6 % redder than the pivot
    expected = 1e-16 / 2000 * top_hat.pivot**2 / 2.99792458e18 / 1e-29
    assert flux[0] == pytest.approx(expected * 6564.6 * 2.3 / np.mean(wavelength), rel=2e-3)
    assert error[0] == pytest.approx(flux[0] * np.hypot(0.1, 0.1), rel=1e-6)
    assert line_contribution([{"wavelength": 5008.2, "flux": 1e-16, "error": 1e-17}], [top_hat], 1.3)[0][0] == 0
    assert line_contribution([], [top_hat], 1.3)[0].tolist() == [0.0]


def test_filter_curves():
    assert read_filter("F160W").pivot == pytest.approx(15369, abs=5)
    assert read_filter("F435W").pivot == pytest.approx(4329, abs=5)
    assert read_filter("X", {"X": "twomass_Ks"}).pivot == pytest.approx(21600, rel=0.01)
    with pytest.raises(ConfigError, match=r"photometry.curves: .*F999W"):
        read_filter("F999W")


def test_filter_weights_conserve_a_flat_spectrum():
    curve = read_filter("F125W")
    edges = np.geomspace(5000.0, 30000.0, 400)
    middle = np.sqrt(edges[1:] * edges[:-1])
    flat = 2.99792458e18 / middle**2  # f_nu = 1
    assert curve.bin_weights(edges) @ flat == pytest.approx(1.0, rel=1e-3)


def _lines(path, band="H", detected=True, ra=RA, dec=DEC):
    columns = [Column("line", str, ""), *(Column(n, float, "") for n in ("flux", "flux_error", "snr")),
               Column("detected", bool, "")]  # fmt: skip
    row = {"line": "Halpha", "flux": 1e-16, "flux_error": 2e-18, "snr": 50.0, "detected": detected}
    total = row | {"line": "SII"}
    write_table(path, [row, total], columns, {"band": band, "ra": ra, "dec": dec, "radius": 0.6, "galaxy": "g"})
    return str(path)


def test_step_uses_the_position_and_the_light_of_the_lines(tmp_path):
    paths = images(tmp_path)
    settings = {"galaxy": "g", "z": 1.3, "ra": RA, "dec": DEC + 5 / 3600, "filters": list(paths),
                "psf_fwhm": {"H": 0.5}, "photometry": OPTIONS}  # fmt: skip
    listed = [str(path) for path in paths.values()]
    out = tmp_path / "photometry.ecsv"
    measure(listed, [_lines(tmp_path / "lines.ecsv")], LINES, LINES, out, settings)
    table = read_table(out, ["flux", "line_flux"])
    assert (
        table.meta["state"] == "ok" and table.meta["position"] == "lines H" and list(table.meta["lines"]) == ["Halpha"]
    )
    assert table["line_flux"][0] == 0 and 0 < table["line_flux"][1] < table["flux"][1]
    measure(listed, [_lines(tmp_path / "lines.ecsv", detected=False)], LINES, LINES, out, settings)
    table = read_table(out, ["flux"])
    assert table.meta["state"] == "not_detected" and len(table) == 0  # the position of the catalogue is empty sky
    measure([], [], LINES, LINES, out, settings | {"filters": []})
    assert read_table(out).meta["state"] == "no_images"
    first = out.read_bytes()
    measure([], [], LINES, LINES, out, settings | {"filters": []})
    assert out.read_bytes() == first


def test_wcs_of_the_cutout_is_that_of_the_image(tmp_path):
    path = write(tmp_path / "a.fits", galaxy(1.0, 0.18), 0.18)
    image = read_cutout(path, "F160W", RA, DEC, 5.0, 15369.0)
    x, y = image.wcs.all_world2pix(RA, DEC, 0)
    assert (
        np.unravel_index(np.argmax(image.data), image.data.shape) == (round(float(y)), round(float(x)))
        or abs(image.data[round(float(y)), round(float(x))] / image.data.max() - 1) < 0.01
    )
    assert WCS(fits.getheader(path)).wcs.crpix[0] - image.wcs.wcs.crpix[0] > 10

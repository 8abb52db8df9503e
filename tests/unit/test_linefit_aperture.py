import numpy as np
import pytest
from astropy.table import Table
from linefit_mocks import RESOURCES, header
from test_linefit_cubefit import NX, NY, SETTINGS, UNIT, maps_of, mock_cube

import lines as step
from klever.cubes.axes import sky_to_pixel
from klever.cubes.cube import DQ
from klever.linefit.aperture import (
    aperture_weights,
    emission_peak,
    extract_spectrum,
    fit_aperture,
    line_rows,
    pixel_to_sky,
)
from klever.maps import Flag, Map, MapSet

RADIUS = 3.0


@pytest.mark.parametrize(("x", "y", "radius"), [(8.0, 6.0, 3.0), (7.37, 6.81, 2.4), (8.5, 6.5, 0.4)])
def test_weights_sum_to_the_area_and_are_centred(x, y, radius):
    weights = aperture_weights((14, 17), x, y, radius)
    grid_y, grid_x = np.mgrid[:14, :17]
    assert weights.sum() == pytest.approx(np.pi * radius**2, rel=0.002, abs=0.01)
    assert (weights * grid_x).sum() / weights.sum() == pytest.approx(x, abs=0.01)
    assert (weights * grid_y).sum() / weights.sum() == pytest.approx(y, abs=0.01)
    assert weights.max() <= 1.0


def test_weights_are_transposed_with_the_frame():
    np.testing.assert_allclose(aperture_weights((14, 17), 7.3, 5.1, 2.5), aperture_weights((17, 14), 5.1, 7.3, 2.5).T)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (3.2, 9.9), (14.0, 11.0)])
def test_pixel_to_sky_inverts_sky_to_pixel(x, y):
    field = header(NX, NY)
    assert sky_to_pixel(field, *pixel_to_sky(field, x, y)) == pytest.approx((x, y), abs=1e-6)


def _correlated(rng, shape):
    """Noise of unit variance whose neighbours correlate, and its autocorrelation."""
    own = np.array([0.5, 1.0, 0.5]) / np.sqrt(1.5)
    white = rng.normal(size=(shape[0], shape[1] + 2, shape[2] + 2))
    rows = own[0] * white[:, :-2] + own[1] * white[:, 1:-1] + own[2] * white[:, 2:]
    noise = own[0] * rows[:, :, :-2] + own[1] * rows[:, :, 1:-1] + own[2] * rows[:, :, 2:]
    taps = np.convolve(own, own)
    return noise, np.outer(taps, taps)


def test_error_covers_the_scatter_of_correlated_noise():
    rng = np.random.default_rng(1)
    noise, acf = _correlated(rng, (4000, 12, 13))
    sigma = rng.uniform(0.5, 2.0, (12, 13))
    weights = aperture_weights((12, 13), 6.2, 5.9, RADIUS)
    valid = np.ones(noise.shape, bool)
    valid[:, 5, 5] = rng.random(4000) > 0.5
    flux, error, _ = extract_spectrum(noise * sigma, np.broadcast_to(sigma, noise.shape), valid, weights, acf)
    assert np.std(flux / error) == pytest.approx(1.0, abs=4 / np.sqrt(8000))
    _, naive, _ = extract_spectrum(noise * sigma, np.broadcast_to(sigma, noise.shape), valid, weights, np.ones((1, 1)))
    assert np.median(error / naive) > 1.5


def test_masked_voxels_are_made_up_and_mostly_masked_channels_dropped():
    flux, valid = np.full((5, 9, 9), 2.0), np.ones((5, 9, 9), bool)
    weights = aperture_weights((9, 9), 4.0, 4.0, RADIUS)
    valid[1, 4, 4] = False
    valid[2, :, :5] = False
    valid[3] = False
    flux[~valid] = np.nan
    spectrum, error, coverage = extract_spectrum(flux, np.ones_like(flux), valid, weights, np.ones((1, 1)))
    np.testing.assert_allclose(spectrum[[0, 1, 4]], 2.0 * weights.sum())
    assert error[1] > error[0]
    assert np.isnan(spectrum[[2, 3]]).all()
    assert coverage == pytest.approx(1.0)


def test_spaxels_without_data_are_not_made_up():
    flux, valid = np.full((5, 9, 9), 2.0), np.ones((5, 9, 9), bool)
    weights = aperture_weights((9, 9), 4.0, 4.0, RADIUS)
    valid[:, :, 6:] = False
    spectrum, _, coverage = extract_spectrum(flux, np.ones_like(flux), valid, weights, np.ones((1, 1)))
    np.testing.assert_allclose(spectrum, 2.0 * weights[:, :6].sum())
    assert coverage == pytest.approx(weights[:, :6].sum() / weights.sum())


def _line_maps(snr, continuum_snr):
    maps = MapSet(header=header(NX, NY))
    for name, values in (("Halpha", snr), ("CONTINUUM", continuum_snr)):
        maps[name] = Map(values.astype(float), np.ones(values.shape), np.zeros(values.shape, np.uint16))
    return maps


def _blob(x0, y0, peak, width=1.5):
    y, x = np.mgrid[:NY, :NX]
    return peak * np.exp(-0.5 * ((x - x0) ** 2 + (y - y0) ** 2) / width**2)


def test_centre_is_the_peak_of_the_line():
    x, y, method, name = emission_peak(_line_maps(_blob(6.3, 4.8, 20), _blob(9, 8, 50)), ["Halpha"], 3.0, 150.0, 2.0)
    assert (method, name) == ("emission_peak", "Halpha")
    assert (x, y) == (pytest.approx(6.3, abs=0.2), pytest.approx(4.8, abs=0.2))


def test_centre_ignores_rims_flags_and_lone_spaxels():
    snr = _blob(6.3, 4.8, 10)
    snr[11, 14] = snr[10, 14] = snr[11, 13] = snr[10, 13] = 500.0
    snr[9, 3] = 400.0
    maps = _line_maps(snr, _blob(9, 8, 50))
    maps["Halpha"].value[2:5, 10:13] = 300.0
    maps["Halpha"].flags[2:5, 10:13] = Flag.NOT_FITTED
    x, y, _, _ = emission_peak(maps, ["Halpha"], 3.0, 150.0, 2.0)
    assert (x, y) == (pytest.approx(6.3, abs=0.3), pytest.approx(4.8, abs=0.3))


def test_centre_falls_back_to_the_continuum_then_to_the_catalogue():
    faint = _blob(6.3, 4.8, 2.0)
    x, y, method, _ = emission_peak(_line_maps(faint, _blob(9, 7, 50)), ["Halpha"], 3.0, 150.0, 2.0)
    assert method == "continuum_peak"
    assert (x, y) == (pytest.approx(9, abs=0.2), pytest.approx(7, abs=0.2))
    x, y, method, name = emission_peak(_line_maps(faint, faint), ["Halpha"], 3.0, 150.0, 2.0)
    assert (method, name) == ("catalogue_position", "")
    assert (x, y) == pytest.approx((0.5 * (NX - 1), 0.5 * (NY - 1)), abs=1e-6)


def test_integrated_fluxes_are_those_of_the_aperture():
    pulls = []
    for seed in range(6):
        cube, _, truth, _ = mock_cube(seed, peak=20.0)
        maps, band = maps_of(cube)
        aperture = fit_aperture(cube, band, maps, SETTINGS)
        weights = aperture_weights((NY, NX), aperture.x, aperture.y, RADIUS)
        assert (aperture.x, aperture.y) == (pytest.approx(8, abs=0.6), pytest.approx(5, abs=0.6))
        rows = {row["line"]: row for row in line_rows(aperture, band.sums, SETTINGS)}
        for name in ("Halpha", "NII6584"):
            pulls.append((rows[name]["flux"] - (truth[name] * weights).sum()) / rows[name]["flux_error"])
        assert rows["Halpha"]["detected"]
        assert rows["SII"]["flux"] == pytest.approx(rows["SII6717"]["flux"] + rows["SII6731"]["flux"])
        assert rows["Halpha"]["z"] == pytest.approx(1.4, abs=3e-4)
    assert np.sqrt(np.mean(np.square(pulls))) < 1.8
    assert abs(np.mean(pulls)) < 4 / np.sqrt(len(pulls))


def test_errors_grow_to_the_scatter_of_the_residuals():
    cube, _, _, _ = mock_cube(7)
    maps, band = maps_of(cube)
    honest = fit_aperture(cube, band, maps, SETTINGS)
    cube.error *= 0.5
    maps, band = maps_of(cube)
    optimistic = fit_aperture(cube, band, maps, SETTINGS)
    assert optimistic.error_scale == pytest.approx(2 * honest.error_scale, rel=0.15)
    assert np.nanmedian(optimistic.error / honest.error) == pytest.approx(1.0, rel=0.15)


def _run(tmp_path, cube, settings=SETTINGS):
    cube.write(tmp_path / "cube.fits")
    paths = {name: str(tmp_path / name) for name in ("linemaps.fits", "spectrum.ecsv", "lines.ecsv")}
    step.measure_lines(
        cube=str(tmp_path / "cube.fits"), line_list=str(RESOURCES / "lines.yaml"),
        shipped_lines=str(RESOURCES / "lines.yaml"), instruments=str(RESOURCES / "instruments.yaml"),
        kernel=str(tmp_path / "compiled.txt"), linemaps=paths["linemaps.fits"], spectrum=paths["spectrum.ecsv"],
        lines=paths["lines.ecsv"], settings=settings,
    )  # fmt: skip
    return (MapSet.read(paths["linemaps.fits"]), Table.read(paths["spectrum.ecsv"]), Table.read(paths["lines.ecsv"]))


def test_the_step_writes_its_three_products_and_the_same_bytes_again(tmp_path):
    cube, _, _, _ = mock_cube(8)
    cube.dq[200:203] |= np.uint8(DQ.SKYLINE)
    maps, spectrum, lines = _run(tmp_path, cube)
    first = (tmp_path / "lines.ecsv").read_bytes(), (tmp_path / "spectrum.ecsv").read_bytes()
    assert list(lines["line"]) == ["NII6548", "Halpha", "NII6584", "SII6717", "SII6731", "SII"]
    assert lines.meta["state"] == "ok"
    assert lines.meta["centre_method"] == "emission_peak"
    assert sky_to_pixel(cube.header, lines.meta["ra"], lines.meta["dec"]) == pytest.approx(
        (lines.meta["x"], lines.meta["y"]), abs=1e-6
    )
    assert str(lines["flux"].unit) == "erg / (s cm2)"
    assert np.all(spectrum["masked"][200:203])
    assert not np.any(spectrum["masked"][:200])
    inside = np.isfinite(np.ma.filled(spectrum["model"], np.nan))
    step_width = spectrum["wavelength"][1] - spectrum["wavelength"][0]
    total = np.sum((spectrum["model"] - spectrum["continuum"])[inside]) * step_width
    assert total == pytest.approx(sum(lines["flux"][:5]), rel=1e-3)
    assert maps["Halpha"].unit == "erg s-1 cm-2"
    _run(tmp_path, cube)
    assert first == ((tmp_path / "lines.ecsv").read_bytes(), (tmp_path / "spectrum.ecsv").read_bytes())


def test_the_step_with_no_line_in_the_band_writes_empty_products(tmp_path):
    cube, _, _, _ = mock_cube(9)
    maps, spectrum, lines = _run(tmp_path, cube, SETTINGS | {"z": 6.0})
    assert maps.header["STATE"] == lines.meta["state"] == "no_line_in_band"
    assert len(lines) == 0
    assert "flux" in lines.colnames
    assert len(spectrum) == len(cube.wavelength)
    assert np.isfinite(spectrum["flux"]).all()


def test_noise_alone_gives_upper_limits(tmp_path):
    cube, _, _, _ = mock_cube(10, peak=0.0)
    _, _, lines = _run(tmp_path, cube)
    halpha = lines[lines["line"] == "Halpha"][0]
    assert not halpha["detected"]
    assert halpha["upper_limit"] == pytest.approx(3 * halpha["flux_error"])
    assert halpha["flux"] < 20 * UNIT

import numpy as np
import pytest
from linefit_mocks import LINE_LIST, OPTIONS, band_wavelength, header, model_of, spectra

from klever.cubes.cube import DQ, Cube
from klever.errors import ConfigError
from klever.linefit.cubefit import band_models, fit_cube
from klever.linefit.smoothing import smooth
from klever.maps import Flag, MapSet

Z, NY, NX = 1.4, 12, 15
UNIT = 1e-18
SETTINGS = {
    "galaxy": "mock", "band": "H", "instrument": "KMOS", "z": Z, "ra": 150.0, "dec": 2.0, "psf_fwhm": 0.5,
    "lines": OPTIONS,
}  # fmt: skip


def mock_cube(seed=0, ny=NY, nx=NX, peak=30.0, centre=(8.0, 5.0), unit=UNIT):
    """Cube in the Halpha part of KMOS H with a Gaussian source that rotates; its model and true Halpha fluxes."""
    rng = np.random.default_rng(seed)
    wavelength = band_wavelength()[470:970]
    model = model_of("halpha", Z, wavelength)
    y, x = np.mgrid[:ny, :nx]
    distance = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
    snr = (peak * np.exp(-0.5 * distance / 2.5**2)).ravel()
    velocity = (15.0 * (x - centre[0])).ravel()
    flux, error, truth = spectra(model, wavelength, snr, velocity, np.full(ny * nx, 70.0), rng)
    shape = (len(wavelength), ny, nx)
    cube = Cube(
        flux.T.reshape(shape) * unit, error.T.reshape(shape) * unit, np.zeros(shape, np.uint8), wavelength,
        header(nx, ny), {"galaxy": "mock"},
    )  # fmt: skip
    return cube, model, {name: value.reshape(ny, nx) * unit for name, value in truth.items()}, velocity.reshape(ny, nx)


def maps_of(cube, settings=SETTINGS, groups=("halpha",), sigma=1.651 / 4045 / 2.3548, z=Z):
    band = band_models(cube, LINE_LIST, sigma, z, list(groups))
    return fit_cube(cube, band, settings | {"z": z}), band


@pytest.fixture(scope="module")
def fitted():
    cube, model, truth, velocity = mock_cube()
    return cube, model, truth, velocity, *maps_of(cube)


def test_maps_recover_the_smoothed_truth(fitted):
    _, _, truth, velocity, maps, _ = fitted
    expected, _ = smooth(truth["Halpha"], np.ones((NY, NX), bool), 2.0)
    halpha = maps["Halpha"]
    bright = (expected > 6 * halpha.error) & (halpha.flags == 0)
    assert bright.sum() > 60
    pull = ((halpha.value - expected) / halpha.error)[bright]
    assert abs(pull.mean()) < 0.6  # about ten independent resolution elements
    assert 0.7 < pull.std() < 1.3
    shift = (maps["VELOCITY_HALPHA"].value - velocity)[bright]
    assert abs(np.median(shift)) < 5
    assert maps.header["ERRSCALE"] == pytest.approx(1.0, abs=0.05)


def test_products_are_those_of_the_data_model(fitted, tmp_path):
    *_, maps, _ = fitted
    assert set(maps.names()) == {
        "NII6548", "HALPHA", "NII6584", "SII6717", "SII6731", "SII", "VELOCITY_HALPHA", "DISPERSION_HALPHA",
        "DISPERSION_OBS_HALPHA", "DISPERSION_LIMIT_HALPHA", "CHI2_HALPHA", "CONTINUUM", "NOISE_ACF",
    }  # fmt: skip
    keys = {"GALAXY": "mock", "BAND": "H", "INSTRUME": "KMOS", "Z": Z, "PSFFWHM": 0.5, "SMOOTH": 0.4, "STATE": "ok"}
    assert {key: maps.header[key] for key in keys} == keys
    assert maps.header["SPAXEL"] == pytest.approx(0.2)
    maps.write(tmp_path / "linemaps.fits")
    again = MapSet.read(tmp_path / "linemaps.fits")
    np.testing.assert_allclose(again["SII"].value, maps["SII"].value, rtol=1e-6)
    assert again["VELOCITY_HALPHA"].unit == "km s-1"


def test_values_are_missing_exactly_where_a_flag_says_why(fitted):
    *_, maps, _ = fitted
    for name in maps.names():
        product = maps[name]
        if product.flags is None:
            continue
        missing = ~np.isfinite(product.value)
        unusable = Flag.NO_DATA | Flag.NOT_FITTED | Flag.LOW_COVERAGE
        assert np.all(product.flags[missing] & unusable)
        if product.error is not None:
            np.testing.assert_array_equal(missing, ~np.isfinite(product.error))


def test_observed_dispersion_contains_the_instrument(fitted):
    _, model, _, _, maps, _ = fitted
    intrinsic, observed = maps["DISPERSION_HALPHA"].value, maps["DISPERSION_OBS_HALPHA"].value
    instrument = model.sigma_instrument / model.centres(0.0)[model.main] * 299792.458
    good = np.isfinite(intrinsic)
    np.testing.assert_allclose(observed[good], np.hypot(intrinsic, instrument)[good], rtol=2e-3)


def test_continuum_is_the_mean_of_the_band(fitted):
    *_, maps, _ = fitted
    continuum = maps["CONTINUUM"]
    # 0.7 + 0.3 x with x from -1 to 1, in units of the noise
    pull = (continuum.value - 0.7 * UNIT) / continuum.error
    assert abs(np.median(continuum.value) / UNIT - 0.7) < 0.1
    assert pull.std() < 1.5


def test_a_transposed_cube_gives_transposed_maps(fitted):
    cube, *_, maps, _ = fitted
    turned = Cube(
        cube.flux.transpose(0, 2, 1).copy(), cube.error.transpose(0, 2, 1).copy(), cube.dq.transpose(0, 2, 1).copy(),
        cube.wavelength, header(NY, NX), {},
    )  # fmt: skip
    other, _ = maps_of(turned)
    good = (maps["Halpha"].flags == 0) & (maps["Halpha"].value > 5 * maps["Halpha"].error)
    for name in ("Halpha", "SII", "VELOCITY_HALPHA"):
        difference = (other[name].value.T - maps[name].value)[good]
        assert np.max(np.abs(difference) / maps[name].error[good]) < 0.02
    np.testing.assert_allclose(other["CONTINUUM"].value.T, maps["CONTINUUM"].value, rtol=1e-8)


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_units_do_not_matter(fitted, factor):
    cube, *_, maps, _ = fitted
    scaled = Cube(cube.flux * factor, cube.error * factor, cube.dq, cube.wavelength, cube.header, {})
    other, _ = maps_of(scaled)
    good = maps["Halpha"].flags == 0
    np.testing.assert_allclose(other["Halpha"].value[good] / factor, maps["Halpha"].value[good], rtol=1e-4, atol=1e-21)
    np.testing.assert_allclose(other["CONTINUUM"].error / factor, maps["CONTINUUM"].error, rtol=1e-6)


def test_dead_spaxels_sky_lines_and_cosmic_rays():
    cube, _, _, _ = mock_cube(1)
    clean, _ = maps_of(cube)
    cube.flux[:, 0, :] = np.nan
    cube.dq[:, 0, :] |= np.uint8(DQ.NODATA)
    cube.flux[:, 9, 2] = 7.0 * UNIT
    cube.error[:, 11, 14] = np.nan
    cube.dq[100:104] |= np.uint8(DQ.SKYLINE)
    core = int(np.argmin(np.abs(cube.wavelength - 0.6564632 * 2.4)))
    cube.flux[core, 5, 8] = 1e30
    cube.flux[core, 2, 4] += 400 * UNIT
    maps, _ = maps_of(cube)
    flags = maps["Halpha"].flags
    assert np.all(flags[0] == Flag.NO_DATA)
    assert flags[11, 14] == Flag.NO_DATA
    assert flags[5, 8] & Flag.NOT_FITTED
    assert flags[2, 4] & Flag.NOT_FITTED
    far = (slice(8, 12), slice(11, 14))
    np.testing.assert_allclose(maps["CONTINUUM"].value[far], clean["CONTINUUM"].value[far], rtol=0.2)
    assert np.isfinite(maps["CONTINUUM"].value[4:7, 6:10]).all()


def test_a_masked_voxel_is_made_up_from_its_neighbours():
    cube, _, _, _ = mock_cube(2)
    core = int(np.argmin(np.abs(cube.wavelength - 0.6564632 * 2.4)))
    before, _ = maps_of(cube)
    cube.flux[core, 5, 8] = 1e30
    cube.dq[core, 5, 8] |= np.uint8(DQ.OUTLIER)
    after, _ = maps_of(cube)
    assert after["Halpha"].flags[5, 8] == 0
    assert abs(after["Halpha"].value[5, 8] - before["Halpha"].value[5, 8]) < 2 * before["Halpha"].error[5, 8]


def test_underestimated_errors_are_scaled_and_said():
    cube, _, _, _ = mock_cube(3)
    honest, _ = maps_of(cube)
    cube.error *= 0.5
    maps, _ = maps_of(cube)
    assert maps.header["ERRSCALE"] == pytest.approx(2.0, rel=0.05)
    good = honest["Halpha"].flags == 0
    assert np.median(maps["Halpha"].error[good] / honest["Halpha"].error[good]) == pytest.approx(1.0, rel=0.05)


def test_no_line_in_the_band_is_a_state():
    cube, _, _, _ = mock_cube(4)
    maps, band = maps_of(cube, z=6.0, groups=("oii", "oiii", "halpha", "siii"))
    assert maps.header["STATE"] == "no_line_in_band"
    assert maps.names() == ["CONTINUUM", "NOISE_ACF"]
    assert band.models == []


def test_a_cube_without_data_is_a_state():
    cube, _, _, _ = mock_cube(5)
    cube.flux[:] = np.nan
    cube.dq[:] |= np.uint8(DQ.NODATA)
    maps, _ = maps_of(cube)
    assert maps.header["STATE"] == "no_line_in_band"
    assert np.all(maps["CONTINUUM"].flags == Flag.NO_DATA)


def test_unknown_group_is_refused():
    cube, _, _, _ = mock_cube(6)
    with pytest.raises(ConfigError, match="did you mean"):
        maps_of(cube, groups=("halfa",))

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from global_metallicity import measure_global_metallicity
from klever.abundance.calibrations import load_calibrations
from klever.abundance.diagnostic_sets import candidate_sets
from klever.abundance.metallicity_maps import choose_set, map_state, ratio_maps, resolved_pixels
from klever.errors import ConfigError, InputError
from klever.gas.dust import extinction
from klever.maps import Flag, Map, MapSet
from metallicity_map import map_metallicity

CALIBRATIONS = Path(__file__).parents[2] / "resources" / "calibrations.json"
C20 = load_calibrations(CALIBRATIONS)
METALLICITY = {
    "calibration": "C20", "dispersion": "rms_ratio", "diagnostics": "auto", "log_oh_range": [7.6, 8.9],
    "grid_step": 0.005, "global_snr": 3.0, "map_snr": {"Halpha": 5.0, "OIII5007": 5.0, "other": 2.5},
    "limits": "none", "minimum_pixels": 10, "walkers": 32, "steps": 200, "burn_in": 50, "seed": 42,
}  # fmt: skip
SHAPE = (14, 20)


def settings(include=True, **changes):
    return {"galaxy": "sp1", "z": 2.0, "include": include, "metallicity": METALLICITY | changes,
            "dust": {"balmer_ratio": 2.87, "rv": 3.1}}  # fmt: skip


def line_fluxes(log_oh, ebv=0.0, lines=("Hbeta", "OIII5007", "NII6584", "Halpha", "SII", "OII")):
    """Fluxes, relative to Hbeta before extinction, that the calibrations give at an abundance."""
    ratio = {name: 10 ** C20[name].evaluate(log_oh) for name in ("R3", "N2", "S2", "O3O2")}
    flux = {"Hbeta": np.ones_like(log_oh), "Halpha": np.full_like(log_oh, 2.87), "OIII5007": ratio["R3"],
            "NII6584": 2.87 * ratio["N2"], "SII": 2.87 * ratio["S2"], "OII": ratio["R3"] / ratio["O3O2"]}  # fmt: skip
    return {line: flux[line] * 10 ** (-0.4 * ebv * extinction(line)) for line in lines}


def source_maps(log_oh, snr=50.0, scale=1e-17, **keywords):
    maps = MapSet(header=fits.Header({"PIXSCALE": 0.065, "KPC_ARC": 8.5, "XC": 9.5, "YC": 6.5}))
    for line, flux in line_fluxes(log_oh, **keywords).items():
        flags = np.where(np.isfinite(log_oh), 0, int(Flag.HOLE)).astype(np.uint16)
        snr_here = snr.get(line, 50.0) if isinstance(snr, dict) else snr
        maps[line] = Map(flux * scale, np.abs(flux) * scale / snr_here, flags, "erg s-1 cm-2 arcsec-2")
    return maps


def ramp():
    return np.broadcast_to(np.linspace(8.2, 8.6, SHAPE[1]), SHAPE).copy()


def write_lines(path, fluxes, snr=30.0):
    rows = [(line, flux, flux / snr, snr, True, 0) for line, flux in fluxes.items()]
    names = ["line", "flux", "flux_error", "snr", "detected", "flags"]
    Table(rows=rows, names=names).write(path, format="ascii.ecsv", overwrite=True)
    return str(path)


def run_map(folder, maps, ebv=(np.nan, np.nan), psf=None, **changes):
    maps.write(folder / "source.fits")
    Table({"ebv": [ebv[0]], "ebv_error": [ebv[1]]}).write(folder / "p.ecsv", format="ascii.ecsv", overwrite=True)
    if psf:
        Table({"fwhm_major": [psf[0]], "fwhm_minor": [psf[1]]}).write(folder / "psf.ecsv", format="ascii.ecsv")
    map_metallicity(folder / "source.fits", folder / "p.ecsv", CALIBRATIONS, folder / "m.fits", settings(**changes),
                    source_psf=folder / "psf.ecsv" if psf else None)  # fmt: skip
    return MapSet.read(folder / "m.fits")


# --- the global value


@pytest.fixture
def measure(tmp_path):
    def run(*bands, **changes):
        paths = [write_lines(tmp_path / f"{index}.ecsv", band) for index, band in enumerate(bands)]
        measure_global_metallicity(paths, CALIBRATIONS, tmp_path / "properties.ecsv", settings(**changes))
        return Table.read(tmp_path / "properties.ecsv", format="ascii.ecsv")[0]

    return run


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_global_abundance_and_reddening_are_recovered_from_lines_of_several_bands(measure, scale):
    flux = {line: float(value) * scale for line, value in line_fluxes(np.array(8.4), ebv=0.3).items()}
    bands = [{line: flux[line] for line in names} for names in (["OII"], ["Hbeta", "OIII5007"],
                                                               ["Halpha", "NII6584", "SII"])]  # fmt: skip
    row = measure(*bands, steps=1500, burn_in=500)
    assert row["state"] == "ok" and row["diagnostics"] == "R3,N2,O3O2"
    assert row["log_oh"] == pytest.approx(8.4, abs=0.5 * row["log_oh_error_plus"])
    assert row["ebv"] == pytest.approx(0.3, abs=1e-6)
    assert row["O3O2"] == pytest.approx(float(C20["O3O2"].evaluate(8.4)), abs=1e-6)
    assert row["converged"] and not row["single_diagnostic"] and row["flags"] == 0


def test_without_nii_sii_takes_its_place_and_halpha_alone_is_not_detected(measure):
    flux = {line: float(value) for line, value in line_fluxes(np.array(8.4)).items()}
    row = measure({line: flux[line] for line in ("Hbeta", "OIII5007", "Halpha", "SII")})
    assert row["diagnostics"] == "R3,S2"
    assert row["diagnostics_reason"] == "N2 NII6584 not_observed; O3O2 OII not_observed"
    assert row["log_oh"] == pytest.approx(8.4, abs=row["log_oh_error_plus"])


def test_not_detected_is_a_row_with_masked_numbers(measure):
    row = measure({"Halpha": 1.0})
    assert row["state"] == "not_detected"
    assert np.ma.is_masked(row["log_oh"]) and np.ma.is_masked(row["R3"]) and np.ma.is_masked(row["ebv"])


def test_no_lines_at_all(measure):
    assert measure({"OIII5007": 0.0})["state"] == "not_detected"


def test_excluded_galaxies_keep_their_ratios_and_have_no_abundance(measure):
    row = measure({line: float(value) for line, value in line_fluxes(np.array(8.4)).items()}, include=False)
    assert row["state"] == "excluded" and np.ma.is_masked(row["log_oh"])
    assert row["R3"] == pytest.approx(float(C20["R3"].evaluate(8.4)))


def test_negative_reddening_is_kept_and_flagged(measure):
    flux = {line: float(value) for line, value in line_fluxes(np.array(8.4), ebv=-0.2).items()}
    row = measure(flux)
    assert row["ebv"] == pytest.approx(-0.2, abs=1e-6) and row["ebv_negative"]


def test_single_diagnostics_are_flagged(measure):
    flux = {line: float(value) for line, value in line_fluxes(np.array(8.0)).items()}
    row = measure({line: flux[line] for line in ("Hbeta", "OIII5007")})
    assert row["diagnostics"] == "R3" and row["single_diagnostic"] and row["flags"] & Flag.BIMODAL
    row = measure({line: flux[line] for line in ("Halpha", "NII6584")})
    assert row["diagnostics"] == "N2" and row["single_diagnostic"] and not row["flags"] & Flag.BIMODAL


def test_lines_below_the_threshold_do_not_count(tmp_path):
    flux = {line: float(value) for line, value in line_fluxes(np.array(8.4)).items()}
    path = write_lines(tmp_path / "lines.ecsv", flux, snr=2.9)
    measure_global_metallicity(path, CALIBRATIONS, tmp_path / "p.ecsv", settings())
    assert Table.read(tmp_path / "p.ecsv")["state"][0] == "not_detected"


def test_global_table_has_the_same_bytes_every_time(tmp_path):
    path = write_lines(tmp_path / "l.ecsv", {line: float(v) for line, v in line_fluxes(np.array(8.4)).items()})
    written = []
    for name in ("a", "b"):
        measure_global_metallicity([path], CALIBRATIONS, tmp_path / name, settings())
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_a_set_without_dispersions_works_with_one_given(measure):
    flux = {line: float(value) for line, value in line_fluxes(np.array(8.4)).items()}
    with pytest.raises(ConfigError, match="M08 has no published dispersion"):
        measure(flux, calibration="M08")
    row = measure(flux, calibration="M08", dispersion=0.1)
    assert row["state"] == "ok" and row["calibration"] == "M08"


def test_the_better_of_two_bands_counts_and_flagged_lines_do_not(tmp_path):
    flux = {line: float(value) for line, value in line_fluxes(np.array(8.4)).items()}
    faint = write_lines(tmp_path / "a.ecsv", {"NII6584": 10.0}, snr=4.0)
    good = write_lines(tmp_path / "b.ecsv", flux)
    flagged = Table.read(good)
    flagged["flags"][list(flagged["line"]).index("OII")] = int(Flag.LOW_COVERAGE)
    flagged.write(good, format="ascii.ecsv", overwrite=True)
    for order in ([faint, good], [good, faint]):
        measure_global_metallicity(order, CALIBRATIONS, tmp_path / "p.ecsv", settings())
        row = Table.read(tmp_path / "p.ecsv")[0]
        assert row["N2"] == pytest.approx(float(C20["N2"].evaluate(8.4)))
        assert row["diagnostics"] == "R3,N2"


def test_damaged_line_tables_are_named(tmp_path):
    (tmp_path / "lines.ecsv").write_text("nothing here")
    with pytest.raises(InputError, match=r"lines\.ecsv.*make it again"):
        measure_global_metallicity([str(tmp_path / "lines.ecsv")], CALIBRATIONS, tmp_path / "p.ecsv", settings())


# --- maps


@pytest.mark.parametrize("scale", [1e-17, 1e-30, 1e20])
def test_a_ramp_of_abundance_is_recovered_on_a_map_that_is_not_square(tmp_path, scale):
    truth = ramp()
    maps = source_maps(truth, ebv=0.2, scale=scale)
    product = run_map(tmp_path, maps)
    assert product.header["STATE"] == "ok" and product.header["DIAGNOST"] == "R3,N2,O3O2"
    assert product.header["DIAGREAS"] == "preferred"
    assert product.header["EBVMODE"] == "map" and product.header["NPIXELS"] == truth.size
    log_oh = product["LOG_OH"]
    assert log_oh.value.shape == SHAPE
    assert np.all(np.abs(log_oh.value - truth) < 0.5 * log_oh.error)
    np.testing.assert_allclose(product["EBV"].value, 0.2, atol=1e-3)
    half = 0.5 * (product["LOG_OH_MINUS"].value + product["LOG_OH_PLUS"].value)
    np.testing.assert_allclose(log_oh.error, half, rtol=1e-5)


def test_flipping_the_sky_flips_the_map(tmp_path):
    truth = ramp() + np.linspace(0, 0.1, SHAPE[0])[:, None]
    straight = run_map(tmp_path, source_maps(truth))["LOG_OH"].value
    flipped = run_map(tmp_path, source_maps(truth[::-1, ::-1]))["LOG_OH"].value
    np.testing.assert_array_equal(flipped, straight[::-1, ::-1])


def test_holes_and_faint_pixels_have_no_value_and_say_why(tmp_path):
    truth = ramp()
    truth[3, 4] = np.nan
    maps = source_maps(truth)
    maps["OIII5007"].error[7, 8] = maps["OIII5007"].value[7, 8] / 4.9
    maps["NII6584"].error[7, 9] = maps["NII6584"].value[7, 9] / 2.4
    maps["NII6584"].error[7, 10] = maps["NII6584"].value[7, 10] / 2.6
    product = run_map(tmp_path, maps)["LOG_OH"]
    assert np.isnan([product.value[3, 4], product.value[7, 8], product.value[7, 9]]).all()
    assert np.isfinite(product.value[7, 10])
    assert product.flags[3, 4] & Flag.HOLE and product.flags[7, 8] & Flag.NOT_DETECTED
    assert not product.flags[7, 8] & Flag.HOLE
    np.testing.assert_array_equal(np.isnan(product.value), (product.flags & (Flag.NOT_DETECTED | Flag.HOLE)) != 0)


def test_one_set_for_all_pixels(tmp_path):
    maps = source_maps(ramp(), lines=("Hbeta", "OIII5007", "NII6584", "Halpha", "SII"))
    maps["NII6584"].error[:, :10] = np.inf  # N2 in half of the map only, S2 everywhere
    product = run_map(tmp_path, maps)
    assert product.header["DIAGNOST"] == "R3,N2"
    assert np.isnan(product["LOG_OH"].value[:, :10]).all()


def test_s2_takes_the_place_of_n2_where_that_gives_no_resolved_gradient(tmp_path):
    maps = source_maps(ramp(), lines=("Hbeta", "OIII5007", "NII6584", "Halpha", "SII"))
    maps["NII6584"].error[:, 3:] = np.inf  # 42 pixels; an ellipse of 0.3 x 0.2 arcsec FWHM needs 45
    assert run_map(tmp_path, maps).header["DIAGNOST"] == "R3,N2"
    header = run_map(tmp_path, maps, psf=(0.3, 0.2)).header
    assert header["DIAGNOST"] == "R3,S2"
    assert "N2 too_few_pixels" in header["DIAGREAS"] and "with R3+N2" in header["DIAGREAS"]


def test_resolved_pixels_are_the_ellipse_of_semi_axes_fwhm():
    assert resolved_pixels(0.3, 0.2, 0.065) == pytest.approx(np.pi * 0.3 * 0.2 / 0.065**2)


def test_without_a_resolving_set_the_one_with_most_pixels_is_taken():
    def pixels(count):
        value = np.full(100, np.nan)
        value[:count] = 0.0
        return value, value

    ratios = {"R3": pixels(90), "N2": pixels(20), "S2": pixels(50), "O3O2": pixels(0)}
    candidates = candidate_sets("auto", C20)
    assert choose_set(candidates, ratios, 10) == (("R3", "N2"), 20)
    assert choose_set(candidates, ratios, 10, resolved=40) == (("R3", "S2"), 50)
    assert choose_set(candidates, ratios, 10, resolved=500) == (("R3", "S2"), 50)
    assert choose_set(candidates, ratios, 60) == (("R3",), 90)
    assert choose_set(candidates, ratios, 95) == ((), 0)


def test_global_reddening_where_hbeta_is_too_faint_for_a_map(tmp_path):
    truth = ramp()
    maps = source_maps(truth, ebv=0.2, snr={"Hbeta": 2.0})
    product = run_map(tmp_path, maps, ebv=(0.2, 0.05), diagnostics=["N2", "O3O2"])
    assert product.header["EBVMODE"] == "global" and product.header["EBVGLOB"] == 0.2
    np.testing.assert_allclose(product["O3O2"].value, C20["O3O2"].evaluate(truth), atol=1e-4)


def test_without_any_reddening_o3o2_is_dropped(tmp_path):
    product = run_map(tmp_path, source_maps(ramp(), snr={"Hbeta": 2.0}))
    assert product.header["EBVMODE"] == "none" and product.header["DIAGNOST"] == "N2" and product.header["SINGLE"]
    assert product.header["DIAGREAS"] == "R3 Hbeta not_detected; O3O2 no_ebv"
    assert np.isnan(product["O3O2"].value).all()


def test_the_global_reddening_is_not_asked_for_in_vain():
    def never():
        raise AssertionError

    found = ratio_maps(source_maps(ramp()), SHAPE, METALLICITY["map_snr"], never)
    assert found.reddening.mode == "map"


@pytest.mark.parametrize("maps", [MapSet(), source_maps(np.full(SHAPE, np.nan)), source_maps(ramp(), snr=1.0)])
def test_nothing_detected_is_a_product(tmp_path, maps):
    product = run_map(tmp_path, maps)
    assert product.header["STATE"] == "not_detected" and product.header["DIAGNOST"] == ""
    assert np.isnan(product["LOG_OH"].value).all() and np.all(product["LOG_OH"].flags != 0)


def test_too_few_pixels_are_no_map(tmp_path):
    truth = np.full(SHAPE, np.nan)
    truth[5, 3:12] = 8.4  # 9 pixels
    assert run_map(tmp_path, source_maps(truth)).header["STATE"] == "not_detected"


def test_excluded_and_outside_the_lens_model(tmp_path):
    maps = source_maps(ramp())
    product = run_map(tmp_path, maps, include=False)
    assert product.header["STATE"] == "excluded" and np.isnan(product["LOG_OH"].value).all()
    assert np.isfinite(product["R3"].value).all()
    for item in maps.maps.values():
        item.flags |= np.uint16(Flag.OUTSIDE_LENS)
    assert map_state(maps) == "outside_lens_model"
    product = run_map(tmp_path, maps)
    assert product.header["STATE"] == "outside_lens_model" and np.all(product["LOG_OH"].flags & Flag.OUTSIDE_LENS)


def test_map_has_the_same_bytes_every_time(tmp_path):
    maps = source_maps(ramp())
    run_map(tmp_path, maps)
    first = (tmp_path / "m.fits").read_bytes()
    run_map(tmp_path, maps)
    assert (tmp_path / "m.fits").read_bytes() == first


def test_wrong_settings_and_maps_without_errors_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="did you mean"):
        run_map(tmp_path, source_maps(ramp()), diagnostics=["R3", "N22"])
    maps = source_maps(ramp())
    maps["HALPHA"].error = None
    with pytest.raises(InputError, match="HALPHA has no errors"):
        run_map(tmp_path, maps)


# --- noise, limits and what qualifies a pixel


def test_noise_and_derivatives_belong_to_the_lines_of_the_set(tmp_path):
    maps = run_map(tmp_path, source_maps(ramp(), lines=("Hbeta", "OIII5007", "NII6584", "Halpha")))
    derivatives = {name for name in maps.names() if name.startswith("D_LOG_OH_")}
    assert derivatives == {f"D_LOG_OH_{line}" for line in ("HBETA", "OIII5007", "NII6584", "HALPHA")}
    assert np.all(maps["LOG_OH_NOISE"].value < maps["LOG_OH"].error)
    source = source_maps(ramp(), lines=("Hbeta", "OIII5007", "NII6584", "Halpha"))
    parts = [np.square(maps[name].value * source[name[9:]].error) for name in derivatives]
    assert np.sqrt(np.sum(parts, axis=0)) == pytest.approx(maps["LOG_OH_NOISE"].value, rel=1e-5)


def test_a_contaminated_n2_is_avoided_in_the_map(tmp_path):
    maps = source_maps(ramp(), lines=("Hbeta", "OIII5007", "NII6584", "Halpha", "SII"))
    assert run_map(tmp_path, maps).header["DIAGNOST"] == "R3,N2"
    Table({"ebv": [0.1], "ebv_error": [0.1], "contaminated": ["NII6584"]}).write(
        tmp_path / "p.ecsv", format="ascii.ecsv", overwrite=True
    )
    arguments = (tmp_path / "source.fits", tmp_path / "p.ecsv", CALIBRATIONS, tmp_path / "m.fits")
    map_metallicity(*arguments, settings())
    assert MapSet.read(tmp_path / "m.fits").header["DIAGNOST"] == "R3,S2"
    assert MapSet.read(tmp_path / "m.fits").header["DIAGREAS"].startswith("N2 contaminated")
    map_metallicity(*arguments, settings(diagnostics=["R3", "N2"]))
    assert MapSet.read(tmp_path / "m.fits").header["DIAGNOST"] == "R3,N2"


def test_undetected_pixels_have_an_abundance_only_where_limits_are_asked_for(tmp_path):
    maps = source_maps(ramp(), lines=("Hbeta", "OIII5007", "NII6584", "Halpha"))
    faint = np.zeros(SHAPE, bool)
    faint[:, :5] = True
    maps["NII6584"].error[faint] = maps["NII6584"].value[faint]  # S/N 1
    for limits, expected in (("none", False), ("global", False), ("all", True)):
        found = run_map(tmp_path, maps, limits=limits)
        assert np.isfinite(found["LOG_OH"].value)[faint].all() == expected
        assert np.isfinite(found["LOG_OH"].value)[~faint].all()
        assert found.header["NPIXELS"] == np.isfinite(found["LOG_OH"].value).sum()
    assert (found["D_LOG_OH_NII6584"].value[faint] == 0).all()
    assert (found["LOG_OH"].error[faint].mean()) > found["LOG_OH"].error[~faint].mean()


def test_balmer_decrement_below_the_intrinsic_one_is_flagged(tmp_path):
    maps = run_map(tmp_path, source_maps(ramp(), ebv=-0.2))
    assert (maps["EBV"].flags & Flag.NEGATIVE_EBV).all()
    assert maps["EBV"].value == pytest.approx(np.full(SHAPE, -0.2), abs=1e-4)
    # used as zero
    assert not (run_map(tmp_path, source_maps(ramp(), ebv=0.2))["EBV"].flags & Flag.NEGATIVE_EBV).any()


def test_sulphur_ratio_is_dereddened(tmp_path):
    maps = source_maps(ramp(), ebv=0.3)
    for line, share in (("SIII9069", 1.0), ("SIII9531", 2.47)):
        seen = maps["SII"].value * share / 3.47 * 10 ** (-0.4 * 0.3 * (extinction("SIII") - extinction("SII")))
        maps[line] = Map(seen, seen / 50, maps["SII"].flags.copy(), maps["SII"].unit)
    found = run_map(tmp_path, maps)
    assert found["S3S2"].value == pytest.approx(np.zeros(SHAPE), abs=1e-5)

from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table

from ionised_gas import measure_ionised_gas
from klever.cosmology import kpc_per_arcsec
from klever.cubes.cube import Cube
from klever.gas.dust import extinction
from klever.maps import Map, MapSet

ROOT = Path(__file__).parents[2]
RESOURCES = ROOT / "resources"
CONFIG = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
Z, SCALE = 1.4, 0.1
SHAPE = (12, 16)
RATIOS = {"Hbeta": 1.0, "Halpha": 2.87, "OIII5007": 3.0, "NII6584": 2.87 * 0.3, "SII": 2.87 * 0.2}
HEII = 0.468702


def header():
    return fits.Header({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 325.0, "CRVAL2": -23.6, "CRPIX1": 8.5, "CRPIX2": 6.5,
        "CD1_1": -SCALE / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SCALE / 3600, "PIXSCALE": SCALE, "KPC_ARC": 8.6,
        "SPAXEL": SCALE, "XREF": 7.5, "YREF": 5.5, "XC": 7.5, "YC": 5.5, "E_SRC": 1e-18, "FLUX_SRC": 1e-16,
    })  # fmt: skip


def line_maps(ebv=0.3, per_pixel=1e-18, area=1.0, lines=RATIOS):
    maps = MapSet(header=header())
    for name in lines:
        value = np.full(SHAPE, per_pixel / area * RATIOS[name] * 10 ** (-0.4 * ebv * extinction(name)))
        maps[name] = Map(value, value / 20, np.zeros(SHAPE, np.uint16))
    for name in ("VELOCITY_OIII", "DISPERSION_OBS_OIII", "DISPERSION_HALPHA"):
        maps[name] = Map(np.full(SHAPE, 0.0 if "VELO" in name else 80.0), np.ones(SHAPE), np.zeros(SHAPE, np.uint16))
    return maps


def write_cube(path, heii):
    wavelength = np.linspace(1.03, 1.34, 800)
    sigma = HEII * (1 + Z) * 80 / 299792.458
    line = heii / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((wavelength - HEII * (1 + Z)) / sigma) ** 2)
    noise = np.random.default_rng(1).normal(0, 1e-17, (wavelength.size, *SHAPE))
    flux = line[:, None, None] + noise
    meta = {"galaxy": "sp1", "band": "YJ", "instrument": "KMOS", "z": Z}
    Cube(flux, np.full(flux.shape, 1e-17), np.zeros(flux.shape, np.uint8), wavelength, header(), meta).write(path)


def write(path, **columns):
    Table({name: [value] for name, value in columns.items()}).write(path, format="ascii.ecsv", overwrite=True)
    return str(path)


@pytest.fixture
def run(tmp_path):
    def measure(lines=RATIOS, ebv=0.3, heii=0.0, mu=2.0, overrides=None, n2=None):
        area = SCALE**2
        source = line_maps(ebv, area=area, lines=lines)
        if n2 is not None and "NII6584" in source:
            source["NII6584"].value[:] = source["HALPHA"].value * 10**n2
        source.write(tmp_path / "source.fits")
        source.write(tmp_path / "aligned.fits")
        line_maps(ebv, lines=lines).write(tmp_path / "linemaps.fits")
        write_cube(tmp_path / "cube.fits", heii)
        names = list(lines) or ["Hbeta"]
        flux = [1e-16 * RATIOS[name] for name in names]
        Table({"line": names, "flux": flux, "flux_error": [1e-18] * len(names), "flags": [0] * len(names)}).write(
            tmp_path / "lines.ecsv", format="ascii.ecsv", overwrite=True)  # fmt: skip
        wavelength = np.linspace(1.03, 1.34, 50)
        empty = {"flux": np.zeros(50), "error": np.ones(50), "masked": np.zeros(50, bool)}
        Table({"wavelength": wavelength} | empty).write(tmp_path / "s.ecsv", format="ascii.ecsv", overwrite=True)
        known = "Halpha" in lines and "Hbeta" in lines
        ratio = {"R3": np.log10(3.0), "N2": -0.52 if n2 is None else n2, "S2": np.log10(0.2)} if lines else {}
        columns = {name: ratio.get(name, np.nan) for name in ("R3", "N2", "S2")}
        columns |= {f"{name}_error": 0.03 for name in ("R3", "N2", "S2")}
        properties = write(tmp_path / "p.ecsv", ebv=ebv if known else np.nan, ebv_error=0.05 if known else np.nan,
                           **columns)  # fmt: skip
        magnification = write(tmp_path / "mu.ecsv", mu_halpha=mu, mu_halpha_error=0.1, mu_maps=np.nan,
                              mu_maps_error_minus=np.nan, mu_maps_error_plus=np.nan)  # fmt: skip
        psf = write(tmp_path / "psf.ecsv", fwhm_major=0.3, fwhm_minor=0.3)
        section = CONFIG["star_formation"] | (overrides or {})
        settings = {name: CONFIG[name] for name in ("bpt", "dust", "metallicity", "lines", "gradient", "cosmology")}
        settings |= {"galaxy": "sp1", "lens": "ms2137", "z": Z, "bands": ["YJ"], "instruments": {"YJ": "KMOS"},
                     "star_formation": section}  # fmt: skip
        one = lambda name: [str(tmp_path / name)]  # noqa: E731
        measure_ionised_gas(
            one("lines.ecsv"), one("linemaps.fits"), one("s.ecsv"), one("cube.fits"), tmp_path / "aligned.fits",
            tmp_path / "source.fits", psf, properties, properties, magnification, RESOURCES / "star_formation.json",
            RESOURCES / "bpt.json", RESOURCES / "lines.yaml", RESOURCES / "lines.yaml", RESOURCES / "instruments.yaml",
            tmp_path / "sfr.ecsv", tmp_path / "bpt.ecsv", tmp_path / "gas.fits", settings,
        )  # fmt: skip
        tables = [Table.read(tmp_path / name, format="ascii.ecsv") for name in ("sfr.ecsv", "bpt.ecsv")]
        return tables[0][0], tables[1][0], MapSet.read(tmp_path / "gas.fits")

    return measure


def test_both_planes_agree_and_the_map_adds_up(run):
    image, bpt, maps = run()
    assert image["state"] == "ok"
    assert image["dust_correction"] == "balmer"
    source, *_ = run(overrides={"plane": "source"})
    # the same maps stand for both planes here, so they differ by the magnification alone
    assert source["sfr"] == pytest.approx(2.0 * image["sfr"], rel=1e-5)
    area = (SCALE * kpc_per_arcsec(Z, CONFIG["cosmology"])) ** 2
    assert np.nansum(maps["SIGMA_SFR"].value) * area == pytest.approx(source["sfr"], rel=0.01)
    assert set(np.unique(maps["EBV_ORIGIN"].value)) == {2.0}
    assert bpt["n2_class"] == "composite"
    assert (bpt["heii_state"], bpt["stacked_spaxels"]) == ("no_spaxels", 0)
    assert bpt["broad_state"] == "not_tested"


def test_spaxels_above_the_line_are_stacked_and_he_ii_is_found(run):
    _, bpt, maps = run(n2=0.2, heii=2e-19)
    assert np.nanmin(maps["N2_OFFSET"].value) > 0
    assert bpt["stacked_spaxels"] == SHAPE[0] * SHAPE[1]
    assert bpt["heii_state"] == "detected"
    expected = 2e-19 * SHAPE[0] * SHAPE[1]
    assert bpt["heii_flux"] == pytest.approx(expected, abs=3 * bpt["heii_error"])
    assert bpt["heii_error"] < 0.2 * expected
    assert bpt["agn"] == "line_ratios"
    assert run(n2=0.2, heii=0.0)[1]["heii_state"] == "not_detected"


def test_without_hbeta_the_rate_is_not_corrected_and_says_so(run):
    row, bpt, maps = run(lines={name: RATIOS[name] for name in ("Halpha", "NII6584")})
    assert (row["state"], row["dust_correction"]) == ("ok", "none")
    assert row["sfr_error_ebv"] == 0
    assert set(np.unique(maps["EBV_ORIGIN"].value)) == {0.0}
    assert bpt["n2_pixels"] == 0


def test_nothing_detected_is_a_state(run):
    row, bpt, maps = run(lines={})
    assert (row["state"], row["n_spaxels"]) == ("not_detected", 0)
    assert np.ma.is_masked(row["sfr"])
    assert (bpt["n2_class"], bpt["agn"], bpt["heii_state"]) == ("unknown", "unknown", "no_spaxels")
    assert "SIGMA_SFR" not in maps


def test_unknown_magnification_leaves_the_magnified_rate(run):
    row, *_ = run(mu=np.nan)
    assert row["state"] == "no_magnification"
    assert np.ma.is_masked(row["sfr"])
    assert row["sfr_magnified"] > 0

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galaxy_page import draw_galaxy_page
from klever.figure_style import paper_style
from klever.galaxy_page import Frame, draw_page, state_sentence
from klever.gradient_panel import fit_band
from klever.maps import Flag, Map, MapSet

KPC = 8.4
SETTINGS = {"galaxy": "sp_1", "name": "sp_1", "z": 1.393, "lens": "ms2137", "simulated": True, "include": True,
            "figures": {"formats": ["pdf", "png"], "dpi": 150}}  # fmt: skip


def header(shape):
    ny, nx = shape
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 1.0, "CRPIX2": 1.0, "CRVAL1": 325.0, "CRVAL2": -23.0,
             "CD1_1": -0.065 / 3600, "CD2_2": 0.065 / 3600, "PIXSCALE": 0.065, "KPC_ARC": KPC,
             "XC": (nx - 1) / 2, "YC": (ny - 1) / 2}  # fmt: skip
    return fits.Header(cards)


def galaxy(tmp_path, shape=(61, 45), state="ok", image=True, ratios=("R3", "N2"), regions=("all",), empty=False):
    """Write the six products of a galaxy with a gradient of -0.02 dex/kpc and return their paths."""
    head = header(shape)
    head["STATE"] = state
    y, x = np.mgrid[: shape[0], : shape[1]]
    kpc = np.hypot(x - head["XC"], (y - head["YC"]) * 0.8) * 0.065 * KPC
    halpha = 3e-17 * np.exp(-kpc / 2.5)
    rng = np.random.default_rng(1)
    inside = (kpc < 7.5) if not empty else np.zeros(shape, bool)

    def layer(values, mask=inside, unit=""):
        flags = np.where(mask, 0, Flag.NO_DATA).astype(np.uint16)
        return Map(np.where(mask, values, np.nan), np.where(mask, 0.03, np.nan), flags, unit)

    source, metallicity = MapSet(header=head), MapSet(header=head)
    everywhere = np.ones(shape, bool) & (not empty)
    flux = layer(halpha, everywhere, "erg s-1 cm-2 arcsec-2")
    flux.error = np.where(everywhere, 1e-19, np.nan)
    source["HALPHA"] = flux
    if image:
        source["F160W"] = Map(halpha * 1e17 + 0.01 * rng.normal(size=shape))
    metallicity["LOG_OH"] = layer(8.5 - 0.02 * kpc + 0.01 * rng.normal(size=shape))
    for name in ratios:
        metallicity[name] = layer(-0.3 + 0.05 * kpc)
    metallicity["HALPHA"] = flux
    measured = state == "ok"
    annuli, gradient = [], []
    for region in regions:
        for aperture in ("elliptical", "circular"):
            for i in range(5 * measured):
                radius = 1.0 + 1.4 * i
                value = 8.5 - 0.02 * radius + (0.01 if aperture == "circular" else 0)
                annuli.append((region, aperture, radius, radius - 0.7, radius + 0.7, value, 0.03 + 0.01 * i))
            numbers = (-0.02, 0.008, 8.5, 0.03, 5, 7.3, 1.5) if measured else (np.nan,) * 4 + (0, np.nan, 1.5)
            gradient.append((region, aperture, *numbers, "resolved" if measured else "unresolved", state))
    tables = {
        "annuli": Table(rows=annuli or None, names="region aperture radius_kpc radius_inner_kpc radius_outer_kpc "
                        "log_oh log_oh_error".split(),
                        dtype=[str, str] + [float] * 5),
        "gradient": Table(rows=gradient, names="region aperture slope slope_error intercept intercept_error n_annuli "
                          "max_radius_kpc psf_hwhm_kpc resolved state".split()),
        "source_psf": Table(rows=[(0.5, 0.25, 4.2, 2.1, 30.0)], names="fwhm_major fwhm_minor fwhm_major_kpc "
                            "fwhm_minor_kpc position_angle".split()),
        "properties": Table(rows=[(8.45 if measured else np.nan, 0.04, 0.03, "R3+N2", "ok" if measured else state)],
                            names="log_oh log_oh_error_minus log_oh_error_plus diagnostics state".split()),
    }  # fmt: skip
    paths = {"source": tmp_path / "source.fits", "metallicity": tmp_path / "metallicity.fits"}
    source.write(paths["source"])
    metallicity.write(paths["metallicity"])
    for name, table in tables.items():
        paths[name] = tmp_path / f"{name}.ecsv"
        table.write(paths[name], format="ascii.ecsv", overwrite=True)
    return paths


def draw(tmp_path, paths, settings=SETTINGS):
    pdf, png = tmp_path / "summary.pdf", tmp_path / "summary.png"
    draw_galaxy_page(**paths, pdf=pdf, png=png, settings=settings)
    return pdf, png

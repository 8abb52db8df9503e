"""Stellar mass of a galaxy: its photometry against the library, divided by its magnification."""

import logging

import numpy as np

from klever.row_tables import Column, read_table, write_table
from klever.sed.filters import read_filter
from klever.sed.fitting import MINIMUM_MODELS, compare, library_fluxes
from klever.sed.mass import choose_magnification, divide_by_magnification, magnifications_differ

logger = logging.getLogger(__name__)

MINIMUM_BANDS = 3
NAMES = {
    "log_sfr": ("star formation rate of the last 100 Myr", "log(Msun yr-1)"),
    "log_ssfr": ("its ratio to the stellar mass", "log(yr-1)"), "log_age": ("mass-weighted age", "log(yr)"),
    "av": ("attenuation of the whole light in V", "mag"), "log_metallicity": ("of the stars", "log(Zsun)"),
}  # fmt: skip
COLUMNS = [
    Column("galaxy", str, "name of the galaxy"),
    Column("log_mstar", float, "stellar mass, median of the likelihood, divided by the magnification", "dex(Msun)"),
    Column("log_mstar_error_minus", float, "median minus 16th percentile, with the error of the magnification", "dex"),
    Column("log_mstar_error_plus", float, "84th percentile minus median, with the error of the magnification", "dex"),
    Column("log_mstar_fit_minus", float, "of the fit alone", "dex"),
    Column("log_mstar_fit_plus", float, "of the fit alone", "dex"),
    Column("log_mstar_mu_error", float, "of the magnification alone", "dex"),
    Column("log_mstar_lensed", float, "not divided by the magnification", "dex(Msun)"),
    Column("mu", float, "magnification it is divided by"),
    Column("mu_error", float, "1 sigma, statistical"),
    Column("mu_kind", str, "halpha | maps | none: which magnification; none is that of a galaxy without a lens"),
    *(
        column
        for name, (meaning, unit) in NAMES.items()
        for column in (
            Column(name, float, f"{meaning}, median", unit),
            Column(f"{name}_error_minus", float, "median minus 16th percentile, of the fit alone", "dex"),
            Column(f"{name}_error_plus", float, "84th percentile minus median, of the fit alone", "dex"),
        )
    ),
    Column("n_bands", int, "bands that were fitted"),
    Column("chi2", float, "of the best model"),
    Column("n_models", float, "effective number of models that agree with the fluxes; below 10 the errors are widened"),
    Column("line_fluxes", str, "model | removed: how emission lines were treated"),
    Column("flags", str, "few_models | bad_fit | contaminated | mu_differs, separated by commas"),
    Column("state", str, "ok | no_magnification | too_few_bands | no_library | switched_off, or the photometry's"),
]  # fmt: skip


def measure_stellar_mass(photometry, magnification, library, stellar_mass, settings):
    """Measure a stellar mass.

    Parameters
    ----------
    photometry, magnification : path
        photometry.ecsv and magnification.ecsv of the galaxy.
    library : path
        From the rule ``stellar_library``.
    stellar_mass : path
        One-row table to write. A galaxy without a mass has a state that says why.
    settings : dict
        galaxy, z, the sections ``stellar``, ``photometry`` (its curves) and ``cosmology``.

    Raises
    ------
    InputError
        A product cannot be read.
    """
    options = settings["stellar"]
    table = read_table(photometry, ["band", "flux", "flux_error", "line_flux", "line_flux_error"])
    row = {"galaxy": settings["galaxy"], "line_fluxes": options["line_fluxes"]}
    meta = {"galaxy": settings["galaxy"], "z": settings["z"], "imf": "Chabrier", "imf_factor": options["imf_factor"]}
    with np.load(library, allow_pickle=False) as archive:
        state = str(archive["state"])
        if state == "ok":
            state = str(table.meta["state"])
        content = dict(archive) if state == "ok" else {}
    if state == "ok":
        estimate, bands = _fit(table, content, settings)
        state = "ok" if estimate else "too_few_bands"
    if state == "ok":
        lensing = read_table(magnification, ["state", "mu_halpha", "mu_maps"])[0]
        mu = choose_magnification(lensing, options["magnification"])
        flags = {"few_models": estimate.n_effective < MINIMUM_MODELS, "bad_fit": estimate.chi2 > 3.0 * len(bands),
                 "contaminated": table.meta.get("contaminated", 0.0) > 0.05,
                 "mu_differs": magnifications_differ(lensing)}  # fmt: skip
        row |= {"n_bands": len(bands), "chi2": estimate.chi2, "n_models": estimate.n_effective,
                "flags": ",".join(name for name, raised in flags.items() if raised)}  # fmt: skip
        row |= divide_by_magnification(estimate.values, mu)
        state = "ok" if mu is not None else "no_magnification"
        meta["model_flux"] = {band: float(f"{flux:.5g}") for band, flux in zip(bands, estimate.model, strict=True)}
        logger.info("log M* %.2f (lensed), magnification %s, chi2 %.1f", row["log_mstar_lensed"], mu, estimate.chi2)
    else:
        logger.info("%s: %s", settings["galaxy"], state)
    write_table(stellar_mass, [row | {"state": state}], COLUMNS, meta)


def _fit(table, content, settings):
    """Estimate, None with too few bands, and the names of the bands."""
    options = settings["stellar"]
    columns = ("flux", "flux_error", "line_flux", "line_flux_error")
    flux, error, lines, line_error = (np.ma.filled(np.ma.asarray(table[name], float), np.nan) for name in columns)
    floor = options["flux_error"] * np.abs(flux)  # of calibration and models
    without = ()
    if options["line_fluxes"] == "removed":
        flux, error = flux - lines, np.hypot(error, line_error)
        without = list(table.meta.get("lines", {}).values())
    good = np.isfinite(flux) & np.isfinite(error)
    names = [str(name) for name in table["band"]]
    filters = [read_filter(name, settings["photometry"]["curves"]) for name in names]
    cosmology = settings["cosmology"]
    fluxes = library_fluxes(content, filters, settings["z"], cosmology, without)
    good &= np.isfinite(fluxes[0])
    bands = [name for name, use in zip(names, good, strict=True) if use]
    if len(bands) < MINIMUM_BANDS:
        return None, bands
    total = np.hypot(error, floor)[good]
    return compare(content, fluxes[:, good], flux[good], total, settings["z"], cosmology), bands


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, measure_stellar_mass)

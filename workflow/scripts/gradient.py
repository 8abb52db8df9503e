"""Metallicity gradients of a galaxy from its annuli (Sect. 4.2, Table 4 and Table A1 of the paper)."""

import numpy as np

from klever.gradients import resolution_class, sample_line
from klever.row_tables import Column, read_table, write_table

COLUMNS = [
    Column("galaxy", str, "name in galaxies.tsv"),
    Column("region", str, "all, or a region of gradient.regions"),
    Column("aperture", str, "elliptical | circular"),
    Column("slope", float, "median of the posterior", "dex / kpc"),
    Column("slope_error", float, "half the 16-84 per cent width", "dex / kpc"),
    Column("slope_error_minus", float, "median minus 16th percentile", "dex / kpc"),
    Column("slope_error_plus", float, "84th percentile minus median", "dex / kpc"),
    Column("intercept", float, "12+log(O/H) at the centre, median", "dex"),
    Column("intercept_error", float, "half the 16-84 per cent width", "dex"),
    Column("chi2", float, "of the annuli about the least-squares line"),
    Column("n_annuli", int, "annuli in the fit"),
    Column("max_radius_kpc", float, "mean radius of the outermost annulus", "kpc"),
    Column("psf_hwhm_kpc", float, "sqrt(HWHM_x HWHM_y) of the source-plane PSF", "kpc"),
    Column("resolved", str, "resolved (max_radius >= 2 psf_hwhm) | marginal (1-2) | unresolved"),
    Column("psf_fwhm_major_kpc", float, "of the source-plane PSF", "kpc"),
    Column("psf_fwhm_minor_kpc", float, "of the source-plane PSF", "kpc"),
    Column("diagnostics", str, "of the metallicity map"),
    Column("centre", str, "continuum (H band) | halpha | oiii5007"),
    Column("global_log_oh", float, "12+log(O/H) of the integrated spectrum", "dex"),
    Column("autocorrelation", float, "autocorrelation time of the chain, steps"),
    Column("acceptance", float, "mean acceptance fraction of the chain"),
    Column("converged", bool, "the chain is longer than 50 autocorrelation times"),
    Column("state", str, "ok | not_detected | too_few_annuli | excluded | outside_lens_model"),
]


def fit_gradient(annuli, source_psf, properties, gradient, settings):
    """Fit 12+log(O/H) against radius in every region and kind of aperture.

    Parameters
    ----------
    annuli : str
        annuli.ecsv.
    source_psf : str
        source_psf.ecsv: fwhm_major_kpc, fwhm_minor_kpc.
    properties : str
        properties.ecsv: the global log_oh, to compare with.
    gradient : str
        Table to write: one row for each region and aperture, also where nothing is fitted; `state` says why.
    settings : dict
        ``galaxy``, ``z`` and the section ``gradient`` of the configuration.

    Raises
    ------
    InputError, ConfigError
        See `klever.errors`.
    """
    section = settings["gradient"]
    profile = read_table(annuli, ["region", "aperture", "radius_kpc", "log_oh", "log_oh_error"])
    psf = read_table(source_psf, ["fwhm_major_kpc", "fwhm_minor_kpc"])
    overall = read_table(properties, ["log_oh"])
    common = {
        "galaxy": settings["galaxy"],
        "psf_fwhm_major_kpc": _first(psf, "fwhm_major_kpc"),
        "psf_fwhm_minor_kpc": _first(psf, "fwhm_minor_kpc"),
        "global_log_oh": _first(overall, "log_oh"),
        "diagnostics": profile.meta.get("diagnostics") or None,
    }
    common["psf_hwhm_kpc"] = 0.5 * np.sqrt(common["psf_fwhm_major_kpc"] * common["psf_fwhm_minor_kpc"])
    rows = []
    for region in list(section["regions"]) or ["all"]:
        centre = profile.meta.get("centres", {}).get(region, {}).get("centre")
        for aperture in section["apertures"]:
            chosen = (np.asarray(profile["region"]) == region) & (np.asarray(profile["aperture"]) == aperture)
            row = {"region": region, "aperture": aperture, "centre": centre, **common}
            rows.append(row | _measure(profile[chosen], profile.meta.get("state", "ok"), row["psf_hwhm_kpc"], section))
    write_table(gradient, rows, COLUMNS, {"galaxy": settings["galaxy"], "z": settings["z"]})


def _measure(profile, state, psf_hwhm, section):
    """Return what one profile adds to its row."""
    if state != "ok" or not len(profile):
        return {"n_annuli": 0, "state": state if state != "ok" else "not_detected"}
    radius, log_oh, error = (np.asarray(profile[name], float) for name in ("radius_kpc", "log_oh", "log_oh_error"))
    measured = {"n_annuli": len(profile), "max_radius_kpc": float(radius.max())}
    if len(profile) < max(2, section["minimum_annuli"]):
        return measured | {"resolved": "unresolved", "state": "too_few_annuli"}
    line = sample_line(radius, log_oh, error, **{key: section[key] for key in ("seed", "walkers", "steps", "burn_in")})
    return measured | vars(line) | {"resolved": resolution_class(radius.max(), psf_hwhm), "state": "ok"}


def _first(table, name):
    return float(np.ma.filled(np.ma.asarray(table[name], float), np.nan)[0]) if len(table) else np.nan


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, fit_gradient)

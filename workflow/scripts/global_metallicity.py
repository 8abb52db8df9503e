"""Line ratios, reddening and oxygen abundance of a galaxy from its integrated spectra (Sect. 3.4 of the paper)."""

import numpy as np

from klever.abundance.abundance_likelihood import LOWER, MEASURED, UPPER
from klever.abundance.calibrations import calibrations_for, load_calibrations
from klever.abundance.diagnostic_sets import (
    candidate_sets,
    choose_diagnostics,
    line_reason,
    prefer_clean,
    reason_of_choice,
    with_limits,
)
from klever.abundance.flux_abundance import Reddening, dereddened_ratios
from klever.abundance.metallicity import grid_posterior, sample_posterior
from klever.gas.dust import color_excess
from klever.gas.galaxy_lines import detections, limits, read_galaxy_lines
from klever.gas.line_ratios import DIAGNOSTICS, RATIOS, combined_ratio
from klever.row_tables import Column, write_table

_CORRECTED = {True: ", extinction corrected", False: ""}
_KIND = {UPPER: "upper", LOWER: "lower"}
_TEXT = {name: f"log10 {item.numerator}/{item.denominator}{_CORRECTED[item.dereddened]}"
         for name, item in RATIOS.items()} | {"O3N2": "R3 - N2"}  # fmt: skip

COLUMNS = [
    Column("galaxy", str, "name in galaxies.tsv"),
    Column("z", float, "catalogue redshift"),
    Column("ebv", float, "E(B-V) of the gas from Halpha/Hbeta as measured; a negative one is used as zero", "mag"),
    Column("ebv_error", float, "1 sigma", "mag"),
    Column("ebv_negative", bool, "E(B-V) is negative as measured"),
    Column("ebv_state", str, "ok | negative | no_halpha | no_hbeta"),
    *(
        column
        for name, text in _TEXT.items()
        for column in (
            Column(name, float, text, "dex"),
            Column(f"{name}_error", float, "1 sigma", "dex"),
            Column(f"{name}_limit", float, f"where one line of {name} is not detected", "dex"),
            Column(f"{name}_limit_kind", str, "upper | lower"),
        )
    ),
    Column("log_oh", float, "12+log(O/H), median of the posterior", "dex"),
    Column("log_oh_error_minus", float, "median minus 16th percentile", "dex"),
    Column("log_oh_error_plus", float, "84th percentile minus median", "dex"),
    Column("chi2", float, "smallest chi-square of Eq. 1"),
    Column("diagnostics", str, "used for log_oh"),
    Column("diagnostics_reason", str, "preferred (R3, N2 and O3O2) | configured | why one of these is not used"),
    Column("limits_used", str, "those of them that are limits"),
    Column("contaminated", str, "lines of the diagnostics on a bright sky line or with a residual larger than noise"),
    Column("single_diagnostic", bool, "log_oh rests on one diagnostic only"),
    Column("calibration", str, "calibration set"),
    Column("flags", int, "bits of klever.maps.Flag: 512 at the edge of the calibration, 1024 bimodal"),
    Column("autocorrelation", float, "autocorrelation time of the chain, steps"),
    Column("acceptance", float, "mean acceptance fraction of the chain"),
    Column("converged", bool, "the chain is longer than 50 autocorrelation times"),
    Column("state", str, "ok | not_detected | excluded"),
]  # fmt: skip


def measure_global_metallicity(lines, calibrations, properties, settings):
    """Measure reddening, line ratios and 12+log(O/H) from the line fluxes in the pseudo-fibre of each band.

    Parameters
    ----------
    lines : list of str
        lines.ecsv of every band of the galaxy. Lines below S/N `global_snr` enter as limits, where `limits` says so.
    calibrations : str
        resources/calibrations.json.
    properties : str
        One-row table to write. `state` is ``ok``, ``not_detected`` (no usable diagnostics) or ``excluded`` (measured,
        but not to be given a metallicity, as an AGN).
    settings : dict
        ``galaxy``, ``z``, the sections ``metallicity`` and ``dust`` of the configuration, and ``include`` (False to
        exclude; default True).

    Raises
    ------
    InputError, ConfigError
        See `klever.errors`.
    """
    metallicity, dust = settings["metallicity"], settings["dust"]
    known = load_calibrations(calibrations, metallicity["calibration"])
    candidates = candidate_sets(metallicity["diagnostics"], known)
    found = read_galaxy_lines([lines] if isinstance(lines, str) else lines)
    row = {"galaxy": settings["galaxy"], "z": settings["z"], "calibration": metallicity["calibration"]}
    ratios, reddening = measure_ratios(found, metallicity["global_snr"], **dust)
    row |= reddening | _ratio_columns(ratios)
    needed = {line for item in DIAGNOSTICS.values() for line in item.lines}
    spoilt = {line for line in needed & found.keys() if found[line].contaminated}
    row["contaminated"] = ",".join(sorted(spoilt))
    usable = [name for name in DIAGNOSTICS if name in ratios and ratios[name][2] == MEASURED]
    if "S2" in usable:
        candidates = prefer_clean(candidates, spoilt)
    chosen = choose_diagnostics(candidates, usable)
    row["state"] = "excluded" if not settings.get("include", True) else "ok" if chosen else "not_detected"
    if row["state"] == "ok":
        if metallicity["limits"] != "none":
            chosen = with_limits(candidates, chosen, ratios)
        row |= _abundance({name: ratios[name] for name in chosen}, known, metallicity)
        detected = {name for name, line in found.items() if line.snr >= metallicity["global_snr"]}
        row["diagnostics_reason"] = reason_of_choice(
            metallicity["diagnostics"], chosen, lambda name: _why_not(name, known, found, detected, usable)
        )
    sources = {name: known[name].source for name in chosen}
    meta = {"galaxy": settings["galaxy"], "calibration_source": sources, "dispersion": metallicity["dispersion"]}
    write_table(properties, [row], COLUMNS, meta)


def measure_ratios(lines, minimum_snr, balmer_ratio=2.87, rv=3.1):
    """Return the ratios of a galaxy (value, error, kind; only those known) and its reddening (columns of the table)."""
    fluxes, censored = detections(lines, minimum_snr), limits(lines, minimum_snr)
    absent = (np.nan, np.nan)
    ebv, ebv_error = color_excess(*fluxes.get("Halpha", absent), *fluxes.get("Hbeta", absent), balmer_ratio, rv)
    known = np.isfinite(ebv)
    ratios, _ = dereddened_ratios(
        fluxes, RATIOS, Reddening("global" if known else "none", ebv, ebv_error), balmer_ratio, rv, censored
    )
    ratios = {name: (float(value), float(error), int(kind)) for name, (value, error, kind) in ratios.items()
              if np.isfinite(value)}  # fmt: skip
    if "R3" in ratios and "N2" in ratios:
        combined = combined_ratio(ratios["R3"], ratios["N2"])
        if np.isfinite(combined[0]):
            ratios["O3N2"] = combined
    state = "no_halpha" if "Halpha" not in fluxes else "no_hbeta" if not known else "negative" if ebv < 0 else "ok"
    row = {"ebv": ebv, "ebv_error": ebv_error, "ebv_negative": bool(ebv < 0), "ebv_state": state}
    return ratios, row


def _why_not(name, known, found, detected, usable):
    """Return why a diagnostic is not used: not calibrated, a line that fails, no reddening, or a spoilt line."""
    if name not in known:
        return "not_calibrated"
    item = DIAGNOSTICS[name]
    lines = line_reason(item.lines, found, detected)
    return lines or ("contaminated" if name in usable else "no_ebv" if item.dereddened else "no_value")


def _ratio_columns(ratios):
    row = {}
    for name, (value, error, kind) in ratios.items():
        if kind == MEASURED:
            row |= {name: value, f"{name}_error": error}
        else:
            row |= {f"{name}_limit": value, f"{name}_limit_kind": _KIND[kind]}
    return row


def _abundance(ratios, known, metallicity):
    used = calibrations_for(known, ratios, metallicity["log_oh_range"])
    shared = (ratios, used, tuple(metallicity["log_oh_range"]))
    dispersion = metallicity["dispersion"]
    grid = grid_posterior(*shared, metallicity["grid_step"], dispersion)
    chain = {key: metallicity[key] for key in ("seed", "walkers", "steps", "burn_in")}
    sampled = sample_posterior(*shared, dispersion, **chain)
    censored = [name for name, ratio in ratios.items() if ratio[2] != MEASURED]
    return {
        "log_oh": sampled.median, "log_oh_error_minus": sampled.error_minus, "log_oh_error_plus": sampled.error_plus,
        "chi2": float(grid.chi2[0]), "flags": int(grid.flags[0]), "diagnostics": ",".join(ratios),
        "limits_used": ",".join(censored), "single_diagnostic": len(ratios) == 1,
        "autocorrelation": sampled.autocorrelation, "acceptance": sampled.acceptance, "converged": sampled.converged,
    }  # fmt: skip


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, measure_global_metallicity)

"""Line ratios, reddening and oxygen abundance of a galaxy from its integrated spectra (Sect. 3.4 of the paper)."""

import numpy as np

from klever.calibrations import calibrations_for, load_calibrations
from klever.dust import color_excess, correct
from klever.line_ratios import DIAGNOSTICS, log_ratio
from klever.maps import Flag
from klever.metallicity import candidate_sets, choose_diagnostics, grid_posterior, sample_posterior
from klever.row_tables import Column, read_table, write_table

_UNUSABLE = int(Flag.NO_DATA | Flag.NOT_FITTED | Flag.LOW_COVERAGE)

_CORRECTED = {True: ", extinction corrected", False: ""}

COLUMNS = [
    Column("galaxy", str, "name in galaxies.tsv"),
    Column("z", float, "catalogue redshift"),
    Column("ebv", float, "E(B-V) of the gas from Halpha/Hbeta as measured; a negative one is used as zero", "mag"),
    Column("ebv_error", float, "1 sigma", "mag"),
    Column("ebv_negative", bool, "E(B-V) is negative as measured"),
    *(
        column
        for name, item in DIAGNOSTICS.items()
        for column in (
            Column(name, float, f"log10 {item.numerator}/{item.denominator}{_CORRECTED[item.dereddened]}", "dex"),
            Column(f"{name}_error", float, "1 sigma", "dex"),
        )
    ),
    Column("log_oh", float, "12+log(O/H), median of the posterior", "dex"),
    Column("log_oh_error_minus", float, "median minus 16th percentile", "dex"),
    Column("log_oh_error_plus", float, "84th percentile minus median", "dex"),
    Column("chi2", float, "smallest chi-square of Eq. 1"),
    Column("diagnostics", str, "used for log_oh"),
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
        lines.ecsv of every band of the galaxy. Only lines with S/N of at least `global_snr` count.
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
    fluxes = read_fluxes([lines] if isinstance(lines, str) else lines, metallicity["global_snr"])
    row = {"galaxy": settings["galaxy"], "z": settings["z"], "calibration": metallicity["calibration"]}
    ratios, reddening = measure_ratios(fluxes, **dust)
    row |= reddening
    for name, (value, error) in ratios.items():
        row |= {name: value, f"{name}_error": error}
    usable = [name for name, (value, _) in ratios.items() if np.isfinite(value)]
    chosen = choose_diagnostics(candidates, usable)
    row["state"] = "excluded" if not settings.get("include", True) else "ok" if chosen else "not_detected"
    if row["state"] == "ok":
        row |= _abundance({name: ratios[name] for name in chosen}, known, metallicity)
    sources = {name: known[name].source for name in chosen}
    meta = {"galaxy": settings["galaxy"], "calibration_source": sources, "dispersion": metallicity["dispersion"]}
    write_table(properties, [row], COLUMNS, meta)


def read_fluxes(paths, minimum_snr):
    """Return flux and error by line, of lines with S/N of at least `minimum_snr` (the better of two bands)."""
    best = {}
    for path in paths:
        table = read_table(path, ["line", "flux", "flux_error", "snr"])
        flags = np.ma.filled(table["flags"], _UNUSABLE) if "flags" in table.colnames else np.zeros(len(table), int)
        columns = [np.ma.filled(np.ma.asarray(table[name], float), np.nan) for name in ("flux", "flux_error", "snr")]
        for line, flux, error, snr, flag in zip(table["line"], *columns, flags, strict=True):
            if snr >= max(minimum_snr, best.get(str(line), (0, 0, 0))[2]) and not flag & _UNUSABLE:
                best[str(line)] = (float(flux), float(error), float(snr))
    return {line: (flux, error) for line, (flux, error, _) in best.items()}


def measure_ratios(fluxes, balmer_ratio=2.87, rv=3.1):
    """Return ratio and error of every diagnostic, NaN where a line or the reddening it needs is missing, and E(B-V)."""
    absent = (np.nan, np.nan)
    ebv, ebv_error = color_excess(*fluxes.get("Halpha", absent), *fluxes.get("Hbeta", absent), balmer_ratio, rv)
    ratios = {}
    for name, item in DIAGNOSTICS.items():
        ratio = log_ratio(*fluxes.get(item.numerator, absent), *fluxes.get(item.denominator, absent))
        ratios[name] = correct(*ratio, *item.lines, ebv, ebv_error, rv) if item.dereddened else ratio
    return ratios, {"ebv": ebv, "ebv_error": ebv_error, "ebv_negative": bool(ebv < 0)}


def _abundance(ratios, known, metallicity):
    used = calibrations_for(known, ratios, metallicity["log_oh_range"])
    shared = (ratios, used, tuple(metallicity["log_oh_range"]))
    dispersion = metallicity["dispersion"]
    grid = grid_posterior(*shared, metallicity["grid_step"], dispersion)
    chain = {key: metallicity[key] for key in ("seed", "walkers", "steps", "burn_in")}
    sampled = sample_posterior(*shared, dispersion, **chain)
    return {
        "log_oh": sampled.median, "log_oh_error_minus": sampled.error_minus, "log_oh_error_plus": sampled.error_plus,
        "chi2": float(grid.chi2[0]), "flags": int(grid.flags[0]), "diagnostics": ",".join(ratios),
        "single_diagnostic": len(ratios) == 1, "autocorrelation": sampled.autocorrelation,
        "acceptance": sampled.acceptance, "converged": sampled.converged,
    }  # fmt: skip


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, measure_global_metallicity)

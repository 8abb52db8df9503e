"""Map of the oxygen abundance in the source plane (Sect. 4.2 of the paper)."""

from pathlib import Path

import numpy as np

from klever.abundance.calibrations import calibrations_for, load_calibrations
from klever.abundance.diagnostic_sets import candidate_sets, line_reason, prefer_clean, reason_of_choice
from klever.abundance.metallicity_maps import choose_set, log_oh_maps, map_state, ratio_maps, resolved_pixels
from klever.errors import InputError
from klever.gas.line_ratios import DIAGNOSTICS, RATIOS
from klever.maps import Flag, Map, MapSet
from klever.row_tables import read_table

_NO_VALUE = int(Flag.NO_DATA | Flag.NOT_FITTED | Flag.LOW_COVERAGE | Flag.OUTSIDE_LENS | Flag.HOLE)


def map_metallicity(source, properties, calibrations, metallicity, settings, source_psf=None):
    """Measure line ratios, reddening and 12+log(O/H) in every source-plane pixel.

    Parameters
    ----------
    source : str
        source.fits, line maps with errors and flags.
    properties : str
        properties.ecsv; its E(B-V) is used where there is no map of it, and its contaminated lines are avoided.
    calibrations : str
        resources/calibrations.json.
    metallicity : str
        The MapSet to write: those of `klever.abundance.metallicity_maps.log_oh_maps`, each ratio, EBV, HALPHA. Its
        header has DIAGNOST, DIAGREAS (`klever.abundance.diagnostic_sets.reason_of_choice`), CALIBRAT, EBVMODE (``map``,
        ``global``, ``none``), NPIXELS, and STATE: ``ok``, ``not_detected`` (fewer than `minimum_pixels`), ``excluded``,
        ``outside_lens_model``; a state other than ok goes with an empty LOG_OH.
    settings : dict
        ``galaxy``, ``z``, the sections ``metallicity`` and ``dust`` of the configuration, ``include`` (default True).
    source_psf : str, optional
        source_psf.ecsv. With it, N2 gives way to S2 where N2 has too few pixels for a resolved gradient; without it,
        where it has fewer than `minimum_pixels`.

    Raises
    ------
    InputError, ConfigError
        See `klever.errors`.
    """
    section = settings["metallicity"]
    known = load_calibrations(calibrations, section["calibration"])
    candidates = candidate_sets(section["diagnostics"], known)
    maps = MapSet.read(source)
    shape = next(iter(maps.maps.values())).value.shape if maps.maps else (1, 1)
    state = map_state(maps, settings.get("include", True))
    measured = maps if state in {"ok", "excluded"} else MapSet()
    ebv_used = []

    def global_ebv():
        table = read_table(properties, ["ebv", "ebv_error"])
        values = [np.ma.filled(np.ma.asarray(table[name], float), np.nan) for name in ("ebv", "ebv_error")]
        ebv_used[:] = [float(item[0]) for item in values]
        return tuple(ebv_used)

    found = ratio_maps(measured, shape, section["map_snr"], global_ebv, **settings["dust"])
    chosen, reason = (), ""
    if state == "ok":
        spoilt = _contaminated(properties)
        candidates = prefer_clean(candidates, spoilt)
        needed = section["minimum_pixels"], _resolved(maps, source_psf)
        chosen, _ = choose_set(candidates, found.ratios, *needed)
        state = "ok" if chosen else "not_detected"
    if chosen:
        reason = reason_of_choice(
            section["diagnostics"], chosen, lambda name: _why_not(name, candidates, found, maps, spoilt, needed)
        )
    used = calibrations_for(known, chosen, section["log_oh_range"])
    product = MapSet(header=maps.header.copy())
    product.maps.update(log_oh_maps(found, chosen, used, shape, section, settings["dust"]))
    count = int(np.isfinite(product["LOG_OH"].value).sum())
    for name in RATIOS:
        product[name] = Map(*found.ratios[name], _detected(found.ratios[name][0]), "dex")
    negative = np.where(found.ebv < 0, int(Flag.NEGATIVE_EBV), 0).astype(np.uint16)
    product["EBV"] = Map(found.ebv, found.ebv_error, _detected(found.ebv) | negative, "mag")
    product["HALPHA"] = maps["HALPHA"] if "HALPHA" in maps else _blank(shape, "erg s-1 cm-2 arcsec-2")
    _pass_on_flags(product, maps)
    _describe(product.header, settings, state, chosen, reason, count, found.reddening.mode, ebv_used)
    Path(metallicity).parent.mkdir(parents=True, exist_ok=True)
    product.write(metallicity)


def _contaminated(properties):
    """Return the lines that sky residuals spoil in the integrated spectrum, hence in all pixels at that wavelength."""
    table = read_table(properties, ["ebv"])
    if "contaminated" not in table.colnames or np.ma.is_masked(table["contaminated"][0]):
        return set()
    return set(str(table["contaminated"][0]).split(","))


def _why_not(name, candidates, found, source, spoilt, needed):
    """Return why a diagnostic is not in the map: as in the whole galaxy, or in how few pixels it is with others."""
    if not any(name in names for names in candidates):
        return "not_calibrated"
    item = DIAGNOSTICS[name]
    detected = {line for line in item.lines if np.isfinite(found.fluxes[line][0]).any()}
    lines = line_reason(item.lines, [line for line in item.lines if line in source], detected)
    if lines:
        return lines
    if item.dereddened and found.reddening.mode == "none":
        return "no_ebv"
    if name == "N2" and "NII6584" in spoilt and "SII" not in spoilt:
        return "contaminated"
    names = next(names for names in candidates if name in names and len(names) > 1)
    count = np.sum(np.all([np.isfinite(found.ratios[other][0]) for other in names], axis=0))
    return f"too_few_pixels ({count} with {'+'.join(names)} of {max(needed[0], needed[1] or 0):.0f})"


def _resolved(maps, source_psf):
    if source_psf is None:
        return None
    table = read_table(source_psf, ["fwhm_major", "fwhm_minor"])
    sizes = [np.ma.filled(np.ma.asarray(table[name], float), np.nan) for name in ("fwhm_major", "fwhm_minor")]
    if not len(table) or not np.all(np.isfinite(sizes)):
        return None
    if "PIXSCALE" not in maps.header:
        raise InputError("source.fits has no PIXSCALE in its header; make it again with the step that writes it.")
    return resolved_pixels(float(sizes[0][0]), float(sizes[1][0]), maps.header["PIXSCALE"])


def _detected(value):
    return np.where(np.isfinite(value), 0, int(Flag.NOT_DETECTED)).astype(np.uint16)


def _blank(shape, unit):
    return Map(np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, int(Flag.NO_DATA), np.uint16), unit)


def _pass_on_flags(product, maps):
    """Add to every empty pixel why its lines had no value: a hole, outside the lens model or the field of view."""
    reason = np.zeros(product["LOG_OH"].value.shape, np.uint16)
    for name in ("HALPHA", "OIII5007"):
        if name in maps and maps[name].flags is not None:
            reason |= maps[name].flags & np.uint16(_NO_VALUE)
    for name, item in product.maps.items():
        if name != "HALPHA":
            item.flags = np.where(np.isfinite(item.value), item.flags, item.flags | reason).astype(np.uint16)


def _describe(header, settings, state, chosen, reason, count, mode, ebv_used):
    section = settings["metallicity"]
    header["GALAXY"] = settings["galaxy"]
    header["STATE"] = (state, "ok not_detected excluded outside_lens_model")
    header["DIAGNOST"] = (",".join(chosen), "diagnostics of every pixel of LOG_OH")
    # a comment would not fit beside the longest
    header["DIAGREAS"] = reason
    header["CALIBRAT"] = (section["calibration"], "strong-line calibration set")
    header["DISPERS"] = (section["dispersion"], "intrinsic dispersion in Eq. 1")
    header["NPIXELS"] = (count, "pixels with LOG_OH")
    header["SINGLE"] = (len(chosen) == 1, "LOG_OH rests on one diagnostic only")
    header["EBVMODE"] = (mode, "E(B-V) in O3O2 R2 S3S2: map global none")
    if mode == "global":
        header["EBVGLOB"] = (ebv_used[0], "[mag] E(B-V) as measured, used as 0 if < 0")
        header["EBVGERR"] = (ebv_used[1], "[mag] its error")


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, map_metallicity)

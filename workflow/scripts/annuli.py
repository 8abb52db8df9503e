"""Oxygen abundance in elliptical and circular annuli (Sect. 4.2 and Appendix A of the paper)."""

import numpy as np

from klever.annuli import Ellipse, extract_annuli, find_centre, nearest_region
from klever.errors import ConfigError, InputError
from klever.maps import MapSet, masked
from klever.row_tables import Column, read_table, write_table

# S/N that makes a continuum or line peak a detection.
CENTRE_SNR = 5.0
# FWHM of the smoothing before a peak is looked for, as a fraction of sqrt(FWHM_x FWHM_y).
CENTRE_SMOOTHING = 0.3

COLUMNS = [
    Column("region", str, "all, or a region of gradient.regions"),
    Column("aperture", str, "elliptical (shape of the source-plane PSF) | circular"),
    Column("radius_kpc", float, "mean equivalent radius sqrt(a b) of the pixels, weighted as log_oh", "kpc"),
    Column("radius_inner_kpc", float, "inner boundary, sqrt(a b)", "kpc"),
    Column("radius_outer_kpc", float, "outer boundary, sqrt(a b)", "kpc"),
    Column("log_oh", float, "mean 12+log(O/H), pixels weighted with their fraction inside", "dex"),
    Column("log_oh_error", float, "sqrt((scatter^2 + mean pixel error^2) / independent elements)", "dex"),
    Column("log_oh_scatter", float, "weighted standard deviation of the pixels", "dex"),
    Column("weight", float, "summed pixel fractions", "pix"),
    Column("n_pixels", int, "pixels that contribute"),
    Column("coverage", float, "measured fraction of the annulus's area"),
]


def measure_annuli(source, source_psf, metallicity, annuli, settings):
    """Average 12+log(O/H) in annuli about the peak of the H-band continuum, else of Halpha.

    Annuli are bounded by ellipses with the axis ratio and position angle of the source-plane PSF (or circles) of
    equivalent radius sqrt(a b) = k step sqrt(FWHM_x FWHM_y), k = 0, 1, 2, ... (Sect. 4.2; App. A for the circles).

    Parameters
    ----------
    source : str
        source.fits: CONTINUUM_H, HALPHA, OIII5007 for the centre; PIXSCALE, KPC_ARC, XC, YC.
    source_psf : str
        source_psf.ecsv: fwhm_major, fwhm_minor (arcsec), position_angle (degrees, north through east).
    metallicity : str
        metallicity.fits.
    annuli : str
        Table to write, rows region x aperture x annulus. Its meta has the galaxy, ``state`` (that of the metallicity
        map; ``not_detected`` also without a PSF), ``diagnostics``, and under ``centres``, by region, ``x``, ``y``
        (0-based source-plane pixels) and ``centre`` (``continuum``, ``halpha``, or ``oiii5007`` where there is no
        Halpha). Without anything measured the table is empty.
    settings : dict
        ``galaxy``, ``z`` and the section ``gradient`` of the configuration.

    Raises
    ------
    InputError, ConfigError
        See `klever.errors`.
    """
    gradient = settings["gradient"]
    abundance = MapSet.read(metallicity)
    _check_settings(gradient)
    state = str(abundance.header.get("STATE", "ok"))
    meta = {
        "galaxy": settings["galaxy"], "z": settings["z"], "state": state, "centres": {},
        "diagnostics": str(abundance.header.get("DIAGNOST", "")), "regions": list(gradient["regions"]) or ["all"],
    }  # fmt: skip
    rows = []
    if state == "ok":
        psf = _psf(source_psf)
        if psf is None:
            meta["state"] = "not_detected"
        else:
            rows, meta["centres"] = _profiles(MapSet.read(source), abundance, psf, gradient, source)
    write_table(annuli, rows, COLUMNS, meta)


def _profiles(maps, abundance, psf, gradient, source):
    missing = [key for key in ("PIXSCALE", "KPC_ARC") if key not in maps.header]
    if missing:
        raise InputError(f"{source} has no {', '.join(missing)} in its header; make it again with the step source.")
    scale, kpc = maps.header["PIXSCALE"], maps.header["PIXSCALE"] * maps.header["KPC_ARC"]
    major, minor, angle = psf
    size = np.sqrt(major * minor) / scale
    log_oh, error = masked(abundance, "LOG_OH")
    rows, centres = [], {}
    for region, select in _regions(log_oh.shape, maps.header, scale, gradient["regions"], source).items():
        centre = _centre(maps, np.isfinite(log_oh) & select, CENTRE_SMOOTHING * size, gradient["centre"])
        if centre is None:
            continue
        name, x, y = centre
        centres[region] = {"centre": name, "x": x, "y": y}
        for aperture in gradient["apertures"]:
            ellipse = Ellipse(x, y, minor / major, angle) if aperture == "elliptical" else Ellipse(x, y)
            found = extract_annuli(
                log_oh, error, ellipse, gradient["step"] * size, size, gradient["minimum_coverage"], select
            )
            rows += [_row(region, aperture, annulus, kpc) for annulus in found]
    return rows, centres


def _centre(maps, measured, smoothing, setting):
    """Return name and position of the centre, or None if nothing is measured here."""
    if not measured.any():
        return None
    maps_of = {"continuum": "CONTINUUM_H", "halpha": "HALPHA", "oiii5007": "OIII5007"}
    names = ["continuum", "halpha"] if setting == "auto" else [setting]
    if setting == "auto" and ("HALPHA" not in maps or not np.isfinite(masked(maps, "HALPHA")[0]).any()):
        names = ["continuum", "oiii5007"]
    choices = [(name, *masked(maps, maps_of[name])) for name in names if maps_of[name] in maps]
    found = find_centre(choices, measured, smoothing, CENTRE_SNR)
    if found is None and setting == "auto":
        # the brightest measured pixel of the line, where no peak stands out
        lines = [(name, np.where(measured, value, np.nan), None) for name, value, _ in choices if name != "continuum"]
        found = find_centre(lines, measured, smoothing, minimum_snr=0.0)
    if found is None and setting != "auto":
        raise ConfigError(
            f"gradient.centre: {setting} has no peak within the measured region ({maps_of[setting]} in source.fits); "
            "set gradient.centre to auto for this galaxy."
        )
    return found


def _regions(shape, header, scale, regions, source):
    """Return by name which pixels belong to each region: those nearest to its seed; or all."""
    if not regions:
        return {"all": np.ones(shape, bool)}
    if "XC" not in header or "YC" not in header:
        raise InputError(f"{source} has no XC, YC in its header, which regions are counted from; make it again.")
    seeds = [(header["XC"] - item["east"] / scale, header["YC"] + item["north"] / scale) for item in regions.values()]
    nearest = nearest_region(shape, seeds)
    return {name: nearest == index for index, name in enumerate(regions)}


def _psf(path):
    """Return FWHM along both axes (arcsec) and position angle of the source-plane PSF, or None if it has none."""
    table = read_table(path, ["fwhm_major", "fwhm_minor", "position_angle"])
    if not len(table):
        return None
    values = [
        float(np.ma.filled(np.ma.asarray(table[name], float), np.nan)[0])
        for name in ("fwhm_major", "fwhm_minor", "position_angle")
    ]
    if not np.all(np.isfinite(values)):
        return None
    if not values[0] >= values[1] > 0:
        raise InputError(f"{path}: fwhm_major {values[0]} and fwhm_minor {values[1]} are no ellipse; make it again.")
    return values


def _check_settings(gradient):
    if not gradient["step"] > 0:
        raise ConfigError(f"gradient.step: {gradient['step']} is no width; the default is 0.5.")
    for key, known in (("apertures", ["elliptical", "circular"]), ("centre", ["auto", "continuum", "halpha"])):
        given = gradient[key] if isinstance(gradient[key], list) else [gradient[key]]
        wrong = [item for item in given if item not in known]
        if wrong or not given:
            raise ConfigError(f"gradient.{key}: {wrong or given} is not among {', '.join(known)}.")


def _row(region, aperture, annulus, kpc):
    return {
        "region": region, "aperture": aperture, "radius_kpc": annulus.radius * kpc,
        "radius_inner_kpc": annulus.inner * kpc, "radius_outer_kpc": annulus.outer * kpc, "log_oh": annulus.log_oh,
        "log_oh_error": annulus.error, "log_oh_scatter": annulus.scatter, "weight": annulus.weight,
        "n_pixels": annulus.n_pixels, "coverage": annulus.coverage,
    }  # fmt: skip


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, measure_annuli)

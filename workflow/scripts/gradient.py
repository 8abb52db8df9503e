"""Metallicity profiles, gradients and asymmetry of a galaxy (Sect. 4.2 and 4.5, Tables 4 and A1 of the paper)."""

import numpy as np

from klever.abundance.calibrations import load_calibrations
from klever.align.bandmaps import read_bands
from klever.errors import InputError
from klever.gradient.galaxy_gradient import GalaxyGradient, GalaxyInputs, measure_galaxy_gradient
from klever.gradient.gradient_columns import ANNULI, ASYMMETRY, COVARIANCE, GRADIENT
from klever.gradient.profile_errors import model_of
from klever.gradient.profiles import check_gradient_settings
from klever.maps import MapSet
from klever.operators import load_operators
from klever.row_tables import read_table, write_table
from klever.source.source_noise import SourceNoise


def measure_gradient(
    source,
    source_psf,
    metallicity,
    properties,
    calibrations,
    linemaps,
    source_operator,
    annuli,
    annuli_covariance,
    gradient,
    asymmetry,
    residuals,
    settings,
    lens_spread=None,
):
    """Average 12+log(O/H) in annuli, fit it against radius, and look for what the average hides.

    Annuli are bounded by ellipses with the axis ratio and position angle of the source-plane PSF (or circles, or the
    ellipses of an inclined disc) of equivalent radius sqrt(a b) = k step sqrt(FWHM_x FWHM_y), k = 0, 1, 2, ...

    Parameters
    ----------
    source, source_psf, metallicity, properties : path
        Products of the steps source, metallicity_map and global_metallicity.
    calibrations : path
        resources/calibrations.json.
    linemaps : list of path
        In the order of ``settings["bands"]``: the noise of the spaxels.
    source_operator : path
        Spaxels to source pixels.
    annuli, annuli_covariance, gradient, asymmetry : path
        Tables to write; see `klever.gradient.gradient_columns`. Without anything measured `annuli` is empty, and the
        others say why in their column ``state``. The meta of `annuli` has ``state``, ``diagnostics``, and under
        ``centres``, by region, ``x``, ``y`` (0-based source-plane pixels) and ``centre``.
    residuals : path
        MapSet to write: RESIDUAL (metallicity minus PROFILE, error: noise alone), PROFILE (the fit).
    settings : dict
        ``galaxy``, ``z``, ``ra``, ``dec``, ``bands`` and the sections ``gradient``, ``metallicity`` and ``dust``.
    lens_spread : path, optional
        Spread of the slope over lens models: columns region, aperture, slope_lens, slope_lens_models.

    Raises
    ------
    InputError, ConfigError
        See `klever.errors`.
    """
    section = settings["gradient"]
    check_gradient_settings(section)
    abundance = MapSet.read(metallicity)
    state = str(abundance.header.get("STATE", "ok"))
    psf = _psf(source_psf)
    found = GalaxyGradient()
    if state == "ok" and psf is None:
        state = "not_detected"
    if state == "ok":
        bands = read_bands(linemaps, settings["bands"], (settings["ra"], settings["dec"]))
        known = load_calibrations(calibrations, settings["metallicity"]["calibration"])
        noise = SourceNoise(bands, load_operators(source_operator)[0])
        inputs = GalaxyInputs(
            MapSet.read(source), abundance, psf[:3], psf[3], bands, noise,
            model_of(abundance, known, settings["metallicity"], settings["dust"]), calibrations, section,
        )  # fmt: skip
        found = measure_galaxy_gradient(inputs)
    regions = list(section["regions"]) or ["all"]
    meta = {"galaxy": settings["galaxy"], "z": settings["z"]}
    diagnostics = str(abundance.header.get("DIAGNOST", ""))
    profile_meta = meta | {"state": state, "centres": found.centres, "diagnostics": diagnostics, "regions": regions}
    write_table(annuli, found.annuli, ANNULI, profile_meta)
    write_table(annuli_covariance, found.covariance, COVARIANCE, meta)
    reason = str(abundance.header.get("DIAGREAS", ""))
    common = {"galaxy": settings["galaxy"], "diagnostics": diagnostics or None, "diagnostics_reason": reason or None,
              **_sizes(source_psf, properties)}  # fmt: skip
    rows = _complete(found.gradient, regions, section["apertures"], state)
    lens = {} if lens_spread is None else _lens_spread(lens_spread)
    rows = [row | common | _per_radius(row) | lens.get((row["region"], row["aperture"]), {}) for row in rows]
    write_table(gradient, rows, GRADIENT, meta)
    patterns = _complete_regions(found.asymmetry, regions, state)
    write_table(asymmetry, [row | {"galaxy": settings["galaxy"]} for row in patterns], ASYMMETRY, meta)
    maps = found.residuals if found.residuals is not None else _no_residuals(abundance)
    maps.header["STATE"] = state
    maps.write(residuals)


def _complete(rows, regions, apertures, state):
    """Rows of all regions and apertures in order, with a state where nothing is measured."""
    reason = state if state != "ok" else "not_detected"
    known = {(row["region"], row["aperture"]): row for row in rows}
    extra = list(dict.fromkeys(row["aperture"] for row in rows if row["aperture"] not in apertures))
    return [
        known.get((region, aperture), {"region": region, "aperture": aperture, "n_annuli": 0, "state": reason})
        for region in regions for aperture in [*apertures, *extra]
    ]  # fmt: skip


def _complete_regions(rows, regions, state):
    reason = state if state != "ok" else "not_detected"
    known = {row["region"]: row for row in rows}
    return [known.get(region, {"region": region, "n_pixels": 0, "state": reason}) for region in regions]


def _per_radius(row):
    """Slopes per half-light radius, with the errors of both."""
    size, size_error = row.get("r_e_kpc"), row.get("r_e_error_kpc")
    found = {}
    for name in ("slope", "slope_intrinsic"):
        if size is not None and row.get(name) is not None:
            found[f"{name}_per_re"] = row[name] * size
            found[f"{name}_per_re_error"] = np.hypot(row[f"{name}_error"] * size, row[name] * size_error)
    return found


def _psf(path):
    """FWHM along both axes (arcsec), position angle and FWHM in the image plane of the PSF, or None if it has none."""
    names = ["fwhm_major", "fwhm_minor", "position_angle", "image_fwhm"]
    table = read_table(path, names)
    if not len(table):
        return None
    values = [_first(table, name) for name in names]
    if not np.all(np.isfinite(values[:3])):
        return None
    if not values[0] >= values[1] > 0:
        raise InputError(f"{path}: fwhm_major {values[0]} and fwhm_minor {values[1]} are no ellipse; make it again.")
    return values


def _sizes(source_psf, properties):
    psf = read_table(source_psf, ["fwhm_major_kpc", "fwhm_minor_kpc"])
    major, minor = (_first(psf, f"fwhm_{axis}_kpc") for axis in ("major", "minor"))
    return {
        "psf_fwhm_major_kpc": major, "psf_fwhm_minor_kpc": minor, "psf_hwhm_kpc": 0.5 * np.sqrt(major * minor),
        "global_log_oh": _first(read_table(properties, ["log_oh"]), "log_oh"),
    }  # fmt: skip


def _lens_spread(path):
    table = read_table(path, ["region", "aperture", "slope_lens", "slope_lens_models"])
    return {
        (str(row["region"]), str(row["aperture"])): {
            name: float(np.ma.filled(np.ma.asarray(row[name], float), np.nan))
            for name in ("slope_lens", "slope_lens_models")
        }
        for row in table
    }


def _no_residuals(abundance):
    return MapSet(header=abundance.header.copy())


def _first(table, name):
    return float(np.ma.filled(np.ma.asarray(table[name], float), np.nan)[0]) if len(table) else np.nan


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, measure_gradient)

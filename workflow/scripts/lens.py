"""Evaluate a galaxy's lens model on its aligned grid (Curti et al. 2020, Sect. 3.2)."""

import logging

import numpy as np

from klever.errors import ConfigError
from klever.grids import Grid
from klever.lensmaps import LensMap, LensModel, convergence_and_shear, convergence_slope, magnification, scale_factor
from klever.maps import Flag, Map, MapSet

logger = logging.getLogger(__name__)

CONSISTENCY = 0.25  # relative difference of div(alpha)/2 and kappa beyond which sign, unit or normalisation are suspect


def evaluate_lens(aligned, x_deflection, y_deflection, kappa, gamma, lens, settings):
    """Write deflection, convergence, shear and magnification at the galaxy's redshift on the aligned grid.

    Parameters
    ----------
    aligned : path
        MapSet that defines the grid.
    x_deflection, y_deflection, kappa, gamma : list of path
        None or one map each. Without deflection the galaxy is unlensed; missing kappa or gamma are derived.
    lens : path
        Output MapSet: ALPHA_X, ALPHA_Y (arcsec west and north), KAPPA, GAMMA, MU (signed). Pixels outside the maps are
        NaN and flagged OUTSIDE_LENS; nothing is extrapolated. Header: LENS, ORIGIN, Z_LENS, Z, DLSDS, LENSCHK (ratio of
        the divergence of the deflection to kappa, should be 1; absent if it cannot be checked), STATE: 'ok',
        'unlensed', 'in_front_of_lens' or 'outside_lens_model'.
    settings : dict
        galaxy, z, cosmology, lens_model (name, origin, z_lens, deflection_unit, normalisation, x_sign, y_sign).

    Raises
    ------
    ConfigError
        Only one of the two deflection maps is given, or the description of the maps is impossible.
    """
    if len(x_deflection) != len(y_deflection):
        raise ConfigError(f"galaxy {settings['galaxy']}: give both deflection maps of the lens model, or none.")
    model_settings = settings["lens_model"]
    reference = MapSet.read(aligned)
    shape = reference[reference.names()[0]].value.shape
    grid = Grid(reference.header, shape, name=str(aligned))
    lensed = bool(x_deflection) and model_settings.get("origin", "maps") != "none"
    factor, dls_ds = scale_factor(settings["z"], model_settings, settings["cosmology"]) if lensed else (0.0, 0.0)

    checked = np.nan
    if lensed and factor > 0:
        west, north = grid.pixel_offsets()
        model = LensModel(
            x_deflection[0], y_deflection[0], grid.origin, factor, model_settings.get("deflection_unit") or "arcsec",
            int(model_settings.get("x_sign") or 1), int(model_settings.get("y_sign") or 1),
        )  # fmt: skip
        maps = _evaluate(model, kappa, gamma, west, north, grid)
        if kappa:
            checked = convergence_slope(model, LensMap(kappa[0], grid.origin), west, north)
        state = "ok" if np.isfinite(maps["MU"]).any() else "outside_lens_model"
    else:
        zero = np.zeros(shape)
        maps = {"ALPHA_X": zero, "ALPHA_Y": zero, "KAPPA": zero, "GAMMA": zero, "MU": np.ones(shape)}
        state = "in_front_of_lens" if lensed else "unlensed"

    if np.isfinite(checked) and abs(checked - 1) > CONSISTENCY:
        logger.warning(
            "galaxy %s: the divergence of the deflection is %.2f times what kappa says; check deflection_unit, "
            "normalisation, x_sign and y_sign of lens %s", settings["galaxy"], checked, model_settings.get("name"),
        )  # fmt: skip
    outside = ~np.isfinite(maps["ALPHA_X"]) | ~np.isfinite(maps["ALPHA_Y"]) | np.isnan(maps["MU"])
    if state == "ok" and outside.any():
        logger.info("%.0f %% of the field lies outside the lens model", 100 * outside.mean())
    flags = np.where(outside, int(Flag.OUTSIDE_LENS), 0).astype(np.uint16)
    product = MapSet(_header(reference.header, settings, dls_ds, state, checked))
    for name, value in maps.items():
        unit = "arcsec" if name.startswith("ALPHA") else ""
        product[name] = Map(np.where(outside, np.nan, value), None, flags, unit)
    product.write(lens)


def _evaluate(model, kappa, gamma, west, north, grid):
    alpha_x, alpha_y = model.deflection(west, north)
    derived = convergence_and_shear(model.jacobian(west, north, grid.pixel_scale)) if not (kappa and gamma) else None
    convergence = LensMap(kappa[0], grid.origin)(west, north) * model.factor if kappa else derived[0]
    shear = LensMap(gamma[0], grid.origin)(west, north) * model.factor if gamma else derived[1]
    mu = np.clip(magnification(convergence, shear), -1e6, 1e6)  # a pixel centre may fall on a critical line
    return {"ALPHA_X": alpha_x, "ALPHA_Y": alpha_y, "KAPPA": convergence, "GAMMA": shear, "MU": mu}


def _header(aligned, settings, dls_ds, state, checked):
    header = aligned.copy()
    for key in [key for key in set(header) if key.startswith(("SHX_", "SHY_", "SHE_", "SHM_", "KLV", "HISTORY"))]:
        del header[key]
    model = settings["lens_model"]
    header["GALAXY"] = settings["galaxy"]
    header["LENS"] = (str(model.get("name", "none")), "lens model")
    header["ORIGIN"] = (str(model.get("origin", "none")), "origin of the lens model")
    if model.get("z_lens") is not None:
        header["Z_LENS"] = float(model["z_lens"])
    header["Z"] = float(settings["z"])
    header["DLSDS"] = (round(float(dls_ds), 8), "Dls/Ds at the redshift of the galaxy")
    if np.isfinite(checked):
        header["LENSCHK"] = (round(checked, 4), "div(alpha)/2 over kappa; should be 1")
    header["STATE"] = state
    return header


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, evaluate_lens)

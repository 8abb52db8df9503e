"""Evaluate a galaxy's lens model on its aligned grid (Curti et al. 2020, Sect. 3.2)."""

import logging

import numpy as np

from klever.errors import InputError
from klever.grids import Grid
from klever.lensmodels import MAP_KINDS, open_model
from klever.lensmodels.base import Consistency
from klever.maps import Flag, Map, MapSet

logger = logging.getLogger(__name__)

NOTICED = 0.1  # relative difference of div(alpha)/2 and kappa that is worth a line in the log


def evaluate_lens(aligned, x_deflection, y_deflection, kappa, gamma, lens, settings, model=()):
    """Write deflection, convergence, shear and magnification at the galaxy's redshift on the aligned grid.

    Parameters
    ----------
    aligned : path
        MapSet that defines the grid.
    x_deflection, y_deflection, kappa, gamma : list of path
        None or one map each, for a model of maps. Without deflection the galaxy is unlensed; missing kappa or gamma
        are derived.
    lens : path
        Output MapSet: ALPHA_X, ALPHA_Y (arcsec west and north), KAPPA, GAMMA, MU (signed). Pixels outside the model are
        NaN and flagged OUTSIDE_LENS; nothing is extrapolated. Header: LENS, ORIGIN, Z_LENS, Z, DLSDS, LENSCHK and
        GAMCHK (ratio of kappa and gamma of the deflection to the maps', should be 1; absent if it cannot be checked),
        STATE: 'ok' or 'unlensed'.
    settings : dict
        galaxy, z, cosmology, lens_model (an entry of lenses.yaml; see `klever.lensmodels.open_model`).
    model : list of path, optional
        Lenstool's best.par, for a model of that origin.

    Raises
    ------
    ConfigError
        The description of the model is impossible.
    InputError
        A file cannot be used; deflection, convergence and shear of the model contradict each other; the galaxy is in
        front of the lens, or the model has no value at its position.
    """
    description = dict(settings["lens_model"])
    for kind, paths in zip((*MAP_KINDS, "model"), (x_deflection, y_deflection, kappa, gamma, model), strict=True):
        description[kind] = paths[0] if paths else None
    reference = MapSet.read(aligned)
    shape = reference[reference.names()[0]].value.shape
    grid = Grid(reference.header, shape, name=str(aligned))
    lens_model = open_model(description, grid.origin)
    dls_ds = lens_model.dls_ds(settings["z"], settings["cosmology"])

    checked = Consistency()
    if lens_model.origin == "none":
        zero = np.zeros(shape)
        maps = {"ALPHA_X": zero, "ALPHA_Y": zero, "KAPPA": zero, "GAMMA": zero, "MU": np.ones(shape)}
        state = "unlensed"
    elif dls_ds <= 0:
        raise InputError(
            f"lens {description.get('name')}: {settings['galaxy']} at z = {settings['z']:g} is not behind it "
            f"(z = {lens_model.z_lens:g}); correct one of the redshifts, or give the galaxy the lens `none`."
        )
    else:
        west, north = grid.pixel_offsets()
        fields = lens_model.evaluate(west, north, settings["z"], settings["cosmology"], grid.pixel_scale)
        checked = lens_model.consistency(west, north)
        mu = np.clip(fields.mu, -1e6, 1e6)  # a pixel centre may fall on a critical line
        maps = {"ALPHA_X": fields.alpha[0], "ALPHA_Y": fields.alpha[1], "KAPPA": fields.kappa, "GAMMA": fields.gamma,
                "MU": mu}  # fmt: skip
        state = "ok"
        _require_cover(maps, west, north, description, settings)

    if checked.problem:
        files = ", ".join(str(path) for path in (*x_deflection, *y_deflection, *kappa, *gamma))
        raise InputError(f"lens {description.get('name')} ({files}): {checked.problem}.")
    for kind in ("kappa", "gamma"):
        ratio = getattr(checked, kind)
        if np.isfinite(ratio) and abs(ratio - 1) > NOTICED:
            logger.warning("%s of the deflection is %.2f times the map's near the galaxy", kind, ratio)
    outside = ~np.isfinite(maps["ALPHA_X"]) | ~np.isfinite(maps["ALPHA_Y"]) | np.isnan(maps["MU"])
    if outside.any():
        logger.info("%.0f %% of the field lies outside the lens model", 100 * outside.mean())
    flags = np.where(outside, int(Flag.OUTSIDE_LENS), 0).astype(np.uint16)
    product = MapSet(_header(reference.header, settings, lens_model, dls_ds, state, checked))
    for name, value in maps.items():
        unit = "arcsec" if name.startswith("ALPHA") else ""
        product[name] = Map(np.where(outside, np.nan, value), None, flags, unit)
    product.write(lens)


def _require_cover(maps, west, north, description, settings):
    """Raise InputError if the model has no value where the galaxy is; its surroundings may lack some."""
    centre = np.unravel_index(np.argmin(np.hypot(west, north)), west.shape)
    missing = [name for name, value in maps.items() if not np.isfinite(value[centre])]
    if missing:
        covered = 100 * np.isfinite(maps["MU"]).mean()
        raise InputError(
            f"lens {description.get('name')}: the model has no value at the position of {settings['galaxy']} "
            f"({', '.join(missing)}; {covered:.0f} % of its field is covered); check the galaxy's position and the "
            "WCS and NaN pixels of the maps, or give the galaxy another lens."
        )


def _header(aligned, settings, lens_model, dls_ds, state, checked):
    header = aligned.copy()
    foreign = ("SHX_", "SHY_", "SHE_", "SHM_", "SHR_", "SHN_", "KLV", "HISTORY")
    for key in [key for key in set(header) if key.startswith(foreign)]:
        del header[key]
    description = settings["lens_model"]
    header["GALAXY"] = settings["galaxy"]
    header["LENS"] = (str(description.get("name", "none")), "lens model")
    header["ORIGIN"] = (str(description.get("origin", "none")), "origin of the lens model")
    if lens_model.z_lens is not None:
        header["Z_LENS"] = float(lens_model.z_lens)
    header["Z"] = float(settings["z"])
    header["DLSDS"] = (round(float(dls_ds), 8), "Dls/Ds at the redshift of the galaxy")
    if np.isfinite(checked.kappa):
        header["LENSCHK"] = (round(checked.kappa, 4), "div(alpha)/2 over kappa; should be 1")
    if np.isfinite(checked.gamma):
        header["GAMCHK"] = (round(checked.gamma, 4), "shear of alpha over gamma; should be 1")
    header["STATE"] = state
    return header


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, evaluate_lens)

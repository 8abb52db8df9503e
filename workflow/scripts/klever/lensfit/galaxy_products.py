"""Tables and maps of a fitted galaxy lens; `klever.lensfit.cluster_products.open_fit` opens them as a lens model."""

import numpy as np

from klever.lensfit import epl
from klever.lensmodels.base import convergence_and_shear, magnification
from klever.maps import Flag, Map, MapSet
from klever.row_tables import Column, write_table

__all__ = ["write_fit", "write_maps", "write_samples"]

_UNITS = {"theta_E": "arcsec", "center_x": "arcsec", "center_y": "arcsec"}
_MEANING = {
    "theta_E": "Einstein radius", "gamma": "slope of the density, 2 is isothermal", "e1": "ellipticity along x",
    "e2": "ellipticity along 45 degrees", "center_x": "to the west of the centre", "center_y": "to the north",
    "gamma1": "external shear along x", "gamma2": "external shear along 45 degrees",
}  # fmt: skip
_COLUMNS = [
    Column("parameter", str, "as lenstronomy names it, with the number of the profile"),
    Column("unit", str, "of the parameter"),
    Column("best", float, "of the greatest evidence"),
    Column("median", float, "of the posterior"),
    Column("p16", float, "16th percentile of the posterior"),
    Column("p84", float, "84th percentile of the posterior"),
    Column("p2_5", float, "2.5th percentile of the posterior"),
    Column("p97_5", float, "97.5th percentile of the posterior"),
    Column("meaning", str, "of the parameter"),
]
_STEP = 1e-3  # arcsec, of derivatives


def write_fit(path, fit, settings, centre):
    """Write the parameters with their posterior; the metadata hold the best model.

    Parameters
    ----------
    path : path
        Output ECSV.
    fit : klever.lensfit.evidencefit.GalaxyFit
    settings : dict
        lens, z_lens, z_source, simulated.
    centre : pair of float
        (ra, dec) of x = y = 0, degrees.
    """
    percentiles = np.percentile(fit.posterior.samples, [50, 16, 84, 2.5, 97.5], axis=0)
    rows = []
    for i, name in enumerate(epl.PARAMETERS):
        key = name.rpartition("_lens")[0]
        rows.append({"parameter": name, "unit": _UNITS.get(key, ""), "best": float(fit.best[i]),
                     **dict(zip(("median", "p16", "p84", "p2_5", "p97_5"), map(float, percentiles[:, i]), strict=True)),
                     "meaning": _MEANING[key]})  # fmt: skip
    meta = {
        "lens": settings["lens"],
        "simulated": bool(settings["simulated"]),
        "z_lens": float(settings["z_lens"]),
        "z_reference": float(settings["z_source"]),
        "centre": [float(value) for value in centre],
        "profiles": epl.as_profiles(fit.best),
        "regularisation": {1: "gradient", 2: "curvature"}[fit.image.order],
        "prior_floor": fit.floor,
        "strength": float(fit.inversion.strength),
        "log_evidence": round(float(fit.inversion.log_evidence), 3),
        "chi2": round(float(fit.inversion.chi2), 3),
        "pixels": int(fit.image.data.size),
        "source_vertices": len(fit.inversion.mesh.points),
        "mesh_noise": None if np.isnan(fit.mesh_noise) else round(float(fit.mesh_noise), 3),
        "effective_samples": round(float(fit.posterior.effective), 1),
        "converged": bool(fit.converged),
    }
    if fit.light is not None:
        names = ("R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y")
        meta["lens_light"] = {key: round(float(value), 5) for key, value in zip(names, fit.light, strict=True)}
    write_table(path, rows, _COLUMNS, meta)


def write_samples(path, fit, settings):
    """Write the samples of the posterior, one row each, as a parametric lens model reads them."""
    columns = [
        Column(name, float, _MEANING[name.rpartition("_lens")[0]], _UNITS.get(name.rpartition("_lens")[0]))
        for name in epl.PARAMETERS
    ]
    rows = [dict(zip(epl.PARAMETERS, map(float, sample), strict=True)) for sample in fit.posterior.samples]
    write_table(path, rows, columns, {"lens": settings["lens"], "simulated": bool(settings["simulated"])})


def write_maps(path, cutout, fit, settings):
    """Write data, model, residual, and the deflection, convergence, shear and magnification of the best lens.

    Parameters
    ----------
    path : path
        Output MapSet on the pixels of the image: DATA, MODEL, ARC (without the light of the lens), RESIDUAL (in sigma),
        NaN where not fitted; ALPHA_X, ALPHA_Y (arcsec west and north), KAPPA, GAMMA, MU of the reference redshift.
    cutout : klever.lensfit.cutout.Cutout
    fit : klever.lensfit.evidencefit.GalaxyFit
    settings : dict
        lens, z_lens, z_source.
    """
    header = cutout.header.copy()
    for key in [key for key in set(header) if key.startswith(("NAXIS", "KLV"))] + ["HISTORY", "COMMENT", "BUNIT"]:
        header.remove(key, ignore_missing=True, remove_all=True)
    header["LENS"], header["ORIGIN"] = settings["lens"], "fit_arc"
    header["Z_LENS"], header["Z"] = float(settings["z_lens"]), (float(settings["z_source"]), "of the source")
    product = MapSet(header)
    image, inversion = fit.image, fit.inversion
    error = np.sqrt(1 / image.weight)
    fitted = {"DATA": image.data, "MODEL": inversion.model, "ARC": inversion.arc,
              "RESIDUAL": (image.data - inversion.model) / error}  # fmt: skip
    flags = np.where(image.mask, 0, int(Flag.NOT_FITTED)).astype(np.uint16)
    for name, values in fitted.items():
        unit = "" if name == "RESIDUAL" else cutout.unit
        product[name] = Map(image.image(values), image.image(error) if name == "DATA" else None, flags, unit)
    alpha = epl.deflection(cutout.x, cutout.y, fit.best)
    along = [(np.array(epl.deflection(cutout.x + dx, cutout.y + dy, fit.best))
              - np.array(epl.deflection(cutout.x - dx, cutout.y - dy, fit.best))) / (2 * _STEP)
             for dx, dy in ((_STEP, 0.0), (0.0, _STEP))]  # fmt: skip
    kappa, gamma = convergence_and_shear(np.stack(along, axis=1))
    maps = {"ALPHA_X": alpha[0], "ALPHA_Y": alpha[1], "KAPPA": kappa, "GAMMA": gamma,
            "MU": np.clip(magnification(kappa, gamma), -1e6, 1e6)}  # fmt: skip
    for name, values in maps.items():
        product[name] = Map(values, None, np.zeros(values.shape, dtype=np.uint16),
                            "arcsec" if name.startswith("ALPHA") else "")  # fmt: skip
    product.write(path)

"""Tables of a fitted cluster, and the lens model that they are: parametric profiles with realisations."""

import numpy as np

from klever.errors import InputError
from klever.grids import offsets_to_sky
from klever.lensfit.cluster import CENTRE_SPREAD, PARAMETERS
from klever.lensfit.cluster_profiles import CORE
from klever.row_tables import Column, read_table, write_table

__all__ = ["open_fit", "profiles_of", "write_fit", "write_images", "write_samples"]

PARAMETER_COLUMNS = [
    Column("parameter", str, "halo (theta_E, e1, e2, slope, centre), external shear, members, free redshifts"),
    Column("unit", str, "of the parameter"),
    Column("best", float, "of the greatest posterior"),
    Column("median", float, "of the posterior"),
    Column("p16", float, "16th percentile of the posterior"),
    Column("p84", float, "84th percentile of the posterior"),
    Column("p2_5", float, "2.5th percentile of the posterior"),
    Column("p97_5", float, "97.5th percentile of the posterior"),
    Column("prior_low", float, "lower end of the flat prior"),
    Column("prior_high", float, "upper end of the flat prior"),
]
IMAGE_COLUMNS = [
    Column("family", str, "source"),
    Column("image", str, "observed image; masked if the model predicts one that is not in the table of images"),
    Column("status", str, "observed | predicted (not observed) | missing (observed, but the model makes none)"),
    Column("x", float, "of the model's image, to the west of the centre; masked if missing", "arcsec"),
    Column("y", float, "of the model's image, to the north", "arcsec"),
    Column("ra", float, "of the model's image, of the observed one if missing", "deg"),
    Column("dec", float, "of the model's image, of the observed one if missing", "deg"),
    Column("x_observed", float, "of the observed image, to the west", "arcsec"),
    Column("y_observed", float, "of the observed image, to the north", "arcsec"),
    Column("z", float, "redshift of the source, known or fitted"),
    Column("mu", float, "magnification, negative if mirrored"),
    Column("parity", str, "minimum | saddle | maximum of the arrival time"),
    Column("offset", float, "between observed and predicted position", "arcsec"),
]


def profiles_of(lens, p):
    """Return the profiles of lenstronomy, with parameters, of one set of parameters; see `ParametricModel`."""
    theta_e, e1, e2, slope, x, y, gamma1, gamma2, sigma = (float(value) for value in p[: len(PARAMETERS)])
    profiles = [
        {"type": "EPL", "theta_E": theta_e, "gamma": slope, "e1": e1, "e2": e2, "center_x": x, "center_y": y},
        {"type": "SHEAR", "gamma1": gamma1, "gamma2": gamma2},
    ]
    reference = float(lens.einstein_radius(sigma))
    for i, (position, weight) in enumerate(zip(*lens.scaled, strict=True)):
        place = {"center_x": float(position.real), "center_y": float(position.imag)}
        radius = float(reference * weight)
        if lens.cut is None:
            profiles.append({"type": "SIS", "theta_E": radius, **place})
        else:
            member = {"sigma0": 0.5 * radius / CORE, "Ra": CORE, "Rs": float(lens.cut[i])}
            profiles.append({"type": "PJAFFE", **member, **place})
    return profiles


def write_fit(path, lens, fit, centre, meta):
    """Write the parameters with their posterior; the metadata hold the profiles of the best model."""
    percentiles = np.percentile(fit.samples, [50, 16, 84, 2.5, 97.5], axis=0)
    rows = []
    for i, name in enumerate(lens.names):
        found = (float(value) for value in percentiles[:, i])
        values = dict(zip(("median", "p16", "p84", "p2_5", "p97_5"), found, strict=True))
        rows.append({"parameter": name, "unit": PARAMETERS.get(name, ("",))[0], "best": float(fit.best[i]), **values,
                     "prior_low": float(lens.lower[i]), "prior_high": float(lens.upper[i])})  # fmt: skip
    meta = meta | {
        "z_lens": lens.z_lens,
        "centre": [float(value) for value in centre],
        "z_reference": lens.z_reference,
        "reference_magnitude": lens.reference_magnitude,
        "members": "SIS" if lens.cut is None else "dPIE",
        "centre_prior_sigma": CENTRE_SPREAD,
        "images": len(lens.images.z),
        "images_found": int(fit.found.sum()),
        "rms_arcsec": round(fit.rms, 5),
        "chi2": round(fit.chi2, 4),
        "degrees_of_freedom": int(lens.degrees),
        "autocorrelation_steps": round(fit.autocorrelation, 2),
        "acceptance": round(fit.acceptance, 4),
        "starts_agreeing": int(fit.agreeing),
        "profiles": profiles_of(lens, fit.best),
    }
    write_table(path, rows, PARAMETER_COLUMNS, meta)


def write_samples(path, lens, fit, meta):
    """Write posterior samples: the fit's parameters, and those of the profiles as lenstronomy names them."""
    rows = []
    for sample in fit.samples:
        row = {name: float(value) for name, value in zip(lens.names, sample, strict=True)}
        for i, profile in enumerate(profiles_of(lens, sample)):
            for key in _varied(profile):
                row[f"{key}_lens{i}"] = profile[key]
        rows.append(row)
    units = {name: PARAMETERS.get(name, ("",))[0] or None for name in lens.names}
    columns = [Column(name, float, "parameter of the fit", units[name]) for name in lens.names]
    columns += [Column(name, float, "parameter of a profile") for name in rows[0] if name not in units]
    write_table(path, rows, columns, meta)


def _varied(profile):
    """Parameters of a profile that the fit varies."""
    if profile["type"] in ("EPL", "SHEAR"):
        return [key for key in profile if key != "type"]
    return ["theta_E"] if profile["type"] == "SIS" else ["sigma0"]


def write_images(path, lens, fit, predictions, centre, meta):
    """Write observed, predicted and missing images."""
    images = lens.images
    redshift = images.redshift.copy()
    redshift[lens.free] = fit.best[len(PARAMETERS) :]
    rows, matched = [], set()
    for one in predictions:
        observed = one.observed is not None
        matched |= {one.observed} if observed else set()
        rows.append({"family": one.family, "image": images.labels[one.observed] if observed else None,
                     "status": "observed" if observed else "predicted", "position": one.z, "mu": one.mu,
                     "x": one.z.real, "y": one.z.imag, "parity": one.parity, "offset": one.offset,
                     "seen": images.z[one.observed] if observed else complex(np.nan, np.nan)})  # fmt: skip
    for i in sorted(set(range(len(images.z))) - matched):
        rows.append({"family": int(images.family[i]), "image": images.labels[i], "status": "missing",
                     "position": images.z[i], "seen": images.z[i]})  # fmt: skip
    rows.sort(key=lambda row: row["family"])
    for row in rows:
        position, seen, family = row.pop("position"), row.pop("seen"), row["family"]
        ra, dec = offsets_to_sky(position.real, position.imag, *centre)
        row |= {"x_observed": float(seen.real), "y_observed": float(seen.imag), "ra": float(ra), "dec": float(dec),
                "family": images.names[family], "z": float(redshift[family])}  # fmt: skip
    write_table(path, rows, IMAGE_COLUMNS, meta)


def open_fit(path, samples, name, centre, radius=None):
    """Return the fitted cluster as a lens model that gives deflection, convergence and shear anywhere.

    Parameters
    ----------
    path : path
        From `write_fit`.
    samples : path or None
        From `write_samples`; without them the model has no realisations.
    name : str
        Of the lens, for messages.
    centre : pair of float
        (ra, dec) of the tangent point of the positions at which the model will be evaluated, degrees.
    radius : float, optional
        Arcsec from the cluster's centre beyond which the model is not used.

    Returns
    -------
    klever.lensmodels.parametric.ParametricModel

    Raises
    ------
    InputError
        The table cannot be read or holds no model.
    """
    from klever.lensmodels.parametric import ParametricModel

    meta = read_table(path).meta
    absent = [key for key in ("profiles", "z_lens", "centre", "z_reference") if key not in meta]
    if absent:
        raise InputError(f"{path} is no fit of a cluster: its metadata lack {', '.join(absent)}; make it again.")
    model = ParametricModel(
        name, meta["z_lens"], centre, [dict(profile) for profile in meta["profiles"]], meta["centre"],
        {"z_source": float(meta["z_reference"])}, "west", radius, samples,
    )  # fmt: skip
    model.origin = "fit_images"
    return model

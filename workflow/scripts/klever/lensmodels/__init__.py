"""Lens models of four origins behind one interface: maps, Lenstool, parametric profiles, none.

`open_model` makes a `klever.lensmodels.base.LensModel` of an entry of lenses.yaml, whatever its origin.
"""

from klever.errors import ConfigError
from klever.lensmodels.base import LensModel

__all__ = ["MAP_KINDS", "LensModel", "open_model"]

MAP_KINDS = ("x_deflection", "y_deflection", "kappa", "gamma")


def open_model(description, centre, kappa_realisations=(), gamma_realisations=()):
    """Return the lens model that an entry of lenses.yaml describes.

    Parameters
    ----------
    description : mapping
        name, origin ('maps', 'simulated', 'lenstool', 'parametric', 'fit_images' or 'none'), z_lens, and what belongs
        to the origin; see config/README.md and `klever.config.survey.Survey.lens_model`.
    centre : pair of float
        (ra, dec) in degrees of the tangent point of the positions at which the model will be evaluated.
    kappa_realisations, gamma_realisations : list of path
        Files of the realisations of a model of origin maps.

    Returns
    -------
    LensModel

    Raises
    ------
    ConfigError, InputError
        The description or one of its files cannot be used.
    """
    get = description.get
    name, origin = str(get("name") or ""), get("origin") or "maps"
    if origin == "none":
        from klever.lensmodels.unlensed import NoLens

        return NoLens(name)
    if origin == "lenstool":
        from klever.lensmodels.lenstool.model import LenstoolModel

        return LenstoolModel(
            get("model"), centre, name, get("z_lens"), get("chain"), get("reference_magnitude"),
            get("cosmology") != "survey", get("radius"),
        )  # fmt: skip
    if origin == "parametric":
        from klever.lensmodels.parametric import ParametricModel

        return ParametricModel(
            name, get("z_lens"), centre, get("profiles"), get("centre"), get("normalisation"), get("x_axis") or "west",
            get("radius"), get("chain"),
        )  # fmt: skip
    if origin in ("fit_images", "fit_arc"):
        from klever.lensfit.cluster_products import open_fit

        model = open_fit(get("model"), get("chain"), name, centre, get("radius"))
        model.origin = origin
        return model
    if origin not in ("maps", "simulated"):
        origins = "maps, simulated, lenstool, parametric, fit_images or fit_arc"
        raise ConfigError(f"lens {name}: origin is {origin!r}; it must be {origins}.")
    from klever.lensmodels.maps import MapModel

    maps = {kind: get(kind) for kind in MAP_KINDS}
    if bool(maps["x_deflection"]) != bool(maps["y_deflection"]):
        raise ConfigError(f"lens {name}: give both deflection maps of the lens model, or none.")
    if not maps["x_deflection"] and not (kappa_realisations or gamma_realisations):
        from klever.lensmodels.unlensed import NoLens

        return NoLens(name, get("z_lens"))
    return MapModel(
        name, get("z_lens"), centre, maps, get("normalisation"), get("deflection_unit") or "arcsec",
        int(get("x_sign") or 1), int(get("y_sign") or 1), kappa_realisations, gamma_realisations,
    )  # fmt: skip

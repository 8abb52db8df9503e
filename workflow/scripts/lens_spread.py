"""What the uncertainty of the lens model does to a galaxy's gradient, lengths, SFR and stellar mass."""

import logging

import numpy as np

from klever.abundance.calibrations import load_calibrations
from klever.align.bandmaps import choose_bands, read_bands
from klever.errors import InputError
from klever.gradient.profile_errors import model_of
from klever.gradient.profiles import measure_profiles
from klever.grids import Grid
from klever.lensmodels import open_model
from klever.maps import MapSet
from klever.operators import load_operators
from klever.row_tables import Column, read_table, write_table
from klever.source.lens_spread import MINIMUM_SLOPES, Scene, half_width, magnification_spread
from klever.source.magnification import MAXIMUM_MAGNIFICATION, find_realisations
from klever.source.source_psf import image_psf_fwhm

logger = logging.getLogger(__name__)

MAGNIFIED = {
    "mu": ("magnification, relative", None),
    "length": ("lengths in the source plane (kpc per arcsec of the image), relative", None),
    "sfr": ("star-formation rate, relative", None),
    "log_mstar": ("stellar mass", "dex"),
}
COLUMNS = [
    Column("galaxy", str, "name in galaxies.tsv"),
    Column("region", str, "all, or a region of gradient.regions"),
    Column("aperture", str, "elliptical | circular"),
    Column("slope_fiducial", float, "least-squares slope with the best model, weights as in the paper", "dex / kpc"),
    Column("slope_lens", float, "error of slope: half the 16-84 % interval over realisations", "dex / kpc"),
    Column("slope_lens_models", float, "the same over models of the field", "dex / kpc"),
    Column("intercept_lens", float, "error of intercept: half the 16-84 % interval over realisations", "dex"),
    Column("intercept_lens_models", float, "the same over models of the field", "dex"),
    *(
        Column(f"{name}_lens{end}", float, f"error of the {what}: half the 16-84 % interval over {over}", unit)
        for name, (what, unit) in MAGNIFIED.items()
        for end, over in (("", "realisations"), ("_models", "models of the field"))
    ),
    Column("n_realisations", int, "realisations with a slope"),
    Column("n_models", int, "models with a slope, that of the analysis included"),
    Column("n_models_mu", int, "models that cover the galaxy, that of the analysis included"),
    Column(
        "state",
        str,
        "ok | few_slopes (fewer than three realisations or models that were tried give a slope) | "
        "no_gradient (magnification only) | unlensed | outside_lens_model",
    ),
]


def spread_lens_models(
    align_operators, linemaps, lens, source, source_operator, source_psf, source_images, metallicity, magnification,
    calibrations, lens_spread, settings, kappa_realisations=(), gamma_realisations=(), model=(), chain=(),
    alternatives=(),
):  # fmt: skip
    """Measure a galaxy again with other models of its field.

    Parameters
    ----------
    align_operators, linemaps, lens, source, source_operator, source_psf, source_images, metallicity : path
        Products of the galaxy; `linemaps` one per band.
    magnification : path
        Its table, which has the spread of mu over realisations.
    calibrations : path
        resources/calibrations.json.
    lens_spread : path
        Output table, one row for each region and aperture: the spreads of `COLUMNS`.
    settings : dict
        galaxy, z, ra, dec, bands, psf_fwhm, cosmology, lens_model, alternatives (description by name of the other
        models, with ``kappa_files`` and ``gamma_files``), lens (gradient_realisations, seed), source, lines, gradient,
        metallicity, dust.
    kappa_realisations, gamma_realisations, model, chain : list of path, optional
        Files of the best model, as for the magnification.
    alternatives : list of path, optional
        Files of the other models; Snakemake makes them, the descriptions in `settings` name them.
    """
    header, evaluated = MapSet.read(source).header, MapSet.read(lens)
    state = "ok"
    if evaluated.header["STATE"] != "ok":
        state = evaluated.header["STATE"]
    rows, spreads = {}, {}
    if state == "ok":
        field = Grid(evaluated.header, evaluated["MU"].value.shape, name=str(lens))
        scene = _scene(align_operators, linemaps, evaluated, header, field, source, source_operator, source_psf,
                       source_images, metallicity, calibrations, settings)  # fmt: skip
        best = _best_model(settings, field, kappa_realisations, gamma_realisations, model, chain)
        others = {name: _open(item, field) for name, item in settings["alternatives"].items()}
        spreads = _magnifications(magnification, others, evaluated, header, field, settings)
        if scene is None:
            state = "no_gradient"
        else:
            rows = _slopes(scene, best, others, evaluated, settings)
            state = "ok" if rows else "no_gradient"
    complete = []
    for region in list(settings["gradient"]["regions"]) or ["all"]:
        for aperture in settings["gradient"]["apertures"]:
            row = {"galaxy": settings["galaxy"], "region": region, "aperture": aperture, **spreads}
            measured = rows.get((region, aperture), {"n_realisations": 0, "n_models": 0})
            own = state if state != "ok" or (region, aperture) in rows else "no_gradient"
            complete.append(row | {"state": own} | measured)
    write_table(lens_spread, complete, COLUMNS, {"galaxy": settings["galaxy"], "z": settings["z"]})


def _open(description, field):
    return open_model(description, field.origin, find_realisations(description.get("kappa_files", ()), "kappa"),
                      find_realisations(description.get("gamma_files", ()), "gamma"))  # fmt: skip


def _best_model(settings, field, kappa_realisations, gamma_realisations, model, chain):
    description = dict(settings["lens_model"])
    description |= {"model": model[0] if model else None, "chain": chain[0] if chain else None}
    return _open(description | {"kappa_files": kappa_realisations, "gamma_files": gamma_realisations}, field)


def _scene(align_operators, linemaps, evaluated, header, field, source, source_operator, source_psf, source_images,
           metallicity, calibrations, settings):  # fmt: skip
    """Return the `Scene` of the galaxy; None if it has no metallicity map or no profile."""
    abundance = MapSet.read(metallicity)
    if abundance.header.get("STATE", "ok") != "ok":
        return None
    psf = read_table(source_psf, ["fwhm_major", "fwhm_minor", "position_angle"])
    psf = [float(np.ma.filled(psf[name], np.nan)[0]) for name in ("fwhm_major", "fwhm_minor", "position_angle")]
    if not np.isfinite(psf).all():
        return None
    section = settings["metallicity"]
    model = model_of(abundance, load_calibrations(calibrations, section["calibration"]), section, settings["dust"])
    profiles = measure_profiles(MapSet.read(source), abundance, psf, settings["gradient"], str(source))
    if not any(len(item.annuli) >= settings["gradient"]["minimum_annuli"] for item in profiles):
        return None
    alpha = evaluated["ALPHA_X"].value, evaluated["ALPHA_Y"].value
    reference = int(header["IMGX"]), int(header["IMGY"])
    offsets = field.pixel_offsets()
    labels = load_operators(source_operator)[1]["images"]
    pixels = np.ones(field.shape, bool)
    if header["IMAGES"] != "joint":
        pixels = labels == int(header["IMAGES"])
    table = read_table(source_images, ["image", "image_x", "image_y"])
    images = [(int(row["image_x"]), int(row["image_y"]), labels == row["image"]) for row in table]

    grid = Grid(header, abundance["LOG_OH"].value.shape, field.origin, name=str(source))
    centres = {item.region: (item.centre, _offset(grid, item.ellipse.x, item.ellipse.y)) for item in profiles}
    bands = read_bands(linemaps, settings["bands"], (settings["ra"], settings["dec"]))
    needed = {line.upper() for line in (*model.lines, "Halpha")}
    chosen = {name: band for name, band in choose_bands(bands).items() if name in needed}
    lines = settings["lines"]
    smoothing = lines["smoothing_fwhm"] if lines["binning"] == "none" else 0.0
    smoothing = smoothing if settings["source"]["psf_includes_smoothing"] else 0.0
    resampling, _ = load_operators(align_operators)
    if missing := [name for name in settings["bands"] if name not in resampling]:
        raise InputError(f"{align_operators} has no operator of band {missing[0]}; run the align step again.")
    return Scene(
        chosen, resampling, offsets, field.pixel_scale, alpha, reference, pixels, images, centres,
        _offset(grid, header["XC"], header["YC"]), {key: header[key] for key in ("PIXSCALE", "KPC_ARC")},
        image_psf_fwhm(settings["psf_fwhm"], smoothing), model, settings["source"], settings["gradient"],
    )  # fmt: skip


def _offset(grid, x, y):
    return tuple(float(v) for v in grid.offsets(np.array(float(x)), np.array(float(y))))


def _magnifications(path, others, evaluated, header, field, settings):
    """Return the spreads of quantities that the magnification divides, over realisations and over models."""
    measured = read_table(path, ["mu_maps_median", "mu_maps_error_minus", "mu_maps_error_plus"])[0]
    middle, minus, plus = (
        float(np.ma.filled(measured[f"mu_maps_{end}"], np.nan)) for end in ("median", "error_minus", "error_plus")
    )
    spreads = {f"{name}_lens": value
               for name, value in magnification_spread(middle - minus, middle, middle + plus).items()}  # fmt: skip
    x, y = int(header["IMGX"]), int(header["IMGY"])
    place = field.offsets(np.array([float(x)]), np.array([float(y)]))
    mu = [evaluated["MU"].value[y, x]]
    mu += [item.evaluate(*place, settings["z"], settings["cosmology"]).mu[0] for item in others.values()]
    mu = np.minimum(np.abs(mu), MAXIMUM_MAGNIFICATION)
    mu = mu[np.isfinite(mu)]
    percentiles = np.percentile(mu, [16, 50, 84]) if mu.size > 1 else [np.nan] * 3
    spreads |= {f"{name}_lens_models": value for name, value in magnification_spread(*percentiles).items()}
    return spreads | {"n_models_mu": int(mu.size)}


def _slopes(scene, best, others, evaluated, settings):
    """Return the spreads of slope and intercept by region and aperture."""
    fiducial = scene.gradients(scene.alpha)
    if not fiducial:
        return {}
    number, seed = settings["lens"]["gradient_realisations"], settings["lens"]["seed"]
    drawn = best.realisations(number, seed) if number else []
    statistical = [scene.gradients(alpha) for alpha in _deflections(drawn, scene, evaluated, settings)]
    systematic = [scene.gradients(alpha) for alpha in _deflections(others.values(), scene, evaluated, settings)]
    rows = {}
    for key, line in fiducial.items():
        realisations = [item[key] for item in statistical if key in item]
        models = [line, *(item[key] for item in systematic if key in item)]
        if len(realisations) < len(drawn):
            logger.info("%s %s: %d of %d realisations give no slope", *key, len(drawn) - len(realisations), len(drawn))
        sets = (drawn, realisations), (others, models)
        few = [len(tried) > 0 and len(found) < MINIMUM_SLOPES for tried, found in sets]
        rows[key] = {
            "state": "few_slopes" if any(few) else "ok",
            "slope_fiducial": line[0], "n_realisations": len(realisations), "n_models": len(models),
            "slope_lens": half_width([item[0] for item in realisations]),
            "slope_lens_models": half_width([item[0] for item in models]),
            "intercept_lens": half_width([item[1] for item in realisations]),
            "intercept_lens_models": half_width([item[1] for item in models]),
        }  # fmt: skip
    return rows


def _deflections(models, scene, evaluated, settings):
    """Yield the deflection of each model on the galaxy's pixels."""
    x, y = (np.array([image[axis] for image in scene.images]) for axis in (0, 1))
    known = evaluated["KAPPA"].value[y, x], evaluated["GAMMA"].value[y, x]
    places = [offset[y, x] for offset in scene.offsets]
    for model in models:
        fields = model.evaluate(*places, settings["z"], settings["cosmology"], scene.scale)
        if fields.alpha is None:
            yield scene.perturbed(known, (fields.kappa, fields.gamma))
        else:
            yield model.evaluate(*scene.offsets, settings["z"], settings["cosmology"], scene.scale).alpha


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, spread_lens_models)

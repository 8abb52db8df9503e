"""Magnification of each galaxy by every model of its field."""

import logging

import numpy as np
from astropy.io import fits

from klever.errors import InputError
from klever.grids import Grid
from klever.lensmodels import open_model
from klever.publish.figure_style import paper_style, save_figure
from klever.publish.magnification_models import COLUMNS, FIDUCIAL, draw_models, model_spread
from klever.row_tables import read_table, write_table
from klever.source.magnification import MAXIMUM_MAGNIFICATION, find_realisations, realisation_magnifications

logger = logging.getLogger(__name__)


def compare_magnification_models(sources, lenses, magnifications, models, table, pdf, png, settings):
    """Write magnifications by all models of each galaxy's field, and their spread (Curti et al. 2020, Fig. 4).

    Parameters
    ----------
    sources, lenses, magnifications : list of path
        ``source.fits``, ``lens.fits`` and ``magnification.ecsv`` of each galaxy, in the order of `settings`. The
        reference pixel in the header of the first, of the grid of the second, is that of mu_maps in the third.
    models : list of path
        Files and folders of the other models; Snakemake makes them, the descriptions in `settings` name them.
    table, pdf, png : path
        Outputs.
    settings : dict
        ``galaxies`` (list of dicts with galaxy, lens and z), ``alternatives`` (dict of lens to dict of model name to
        description, see `klever.config.survey.Survey.alternative_models`, with lists of paths ``kappa_files`` and
        ``gamma_files`` of its realisations), ``realisations`` (their `number` and the `seed` of their draw),
        ``cosmology``, ``simulated``, ``figures`` with ``dpi``.
    """
    rows = []
    for galaxy, source, lens, table_path in zip(settings["galaxies"], sources, lenses, magnifications, strict=True):
        rows += _galaxy_rows(galaxy, source, lens, read_table(table_path)[0], settings)
    meta = {"fiducial": "the model of the analysis", "simulated": settings["simulated"]}
    write_table(table, rows, COLUMNS, meta)
    with paper_style():
        save_figure(draw_models(rows, settings), pdf, png, settings["figures"]["dpi"])


def _galaxy_rows(galaxy, source, lens, measured, settings):
    """Return one row per model of a galaxy, the fiducial one first; none for an unlensed galaxy."""
    if measured["state"] == "unlensed":
        return []
    best, low, middle, high = (
        float(np.ma.filled(measured[f"mu_maps{end}"], np.nan)) for end in ("", "_error_minus", "_median", "_error_plus")
    )
    fiducial = {"model": FIDUCIAL, "mu": best, "mu_16": middle - low, "mu_84": middle + high,
                "n_realisations": int(measured["n_realisations"])}  # fmt: skip
    rows = [fiducial]
    alternatives = settings["alternatives"].get(galaxy["lens"], {})
    if alternatives:
        origin, west, north = _reference(source, lens)
        for name, description in alternatives.items():
            rows.append({"model": name, **_evaluate(description, origin, west, north, galaxy["z"], settings)})
            if not np.isfinite(rows[-1]["mu"]):
                logger.warning("%s: %s does not lie within the model", name, galaxy["galaxy"])
    spread = model_spread([row["mu"] for row in rows])
    return [{**{key: galaxy[key] for key in ("galaxy", "lens", "z")}, **row, **spread} for row in rows]


def _reference(source, lens):
    """Return the tangent point (degrees) of a galaxy's grid and its reference position (arcsec west and north)."""
    headers = []
    for path in (source, lens):
        try:
            with fits.open(path) as hdus:
                headers.append((hdus[0].header, hdus[1].shape))
        except (OSError, IndexError) as error:
            raise InputError(f"{path} cannot be read as FITS ({error}); make it again.") from error
    grid = Grid(*headers[1], name=str(lens))
    west, north = grid.offsets(*(np.array(float(headers[0][0][key])) for key in ("IMGX", "IMGY")))
    return grid.origin, float(west), float(north)


def _evaluate(description, origin, west, north, z, settings):
    model = open_model(description, origin, find_realisations(description.get("kappa_files", ()), "kappa"),
                       find_realisations(description.get("gamma_files", ()), "gamma"))  # fmt: skip
    point = np.array([west]), np.array([north])
    mu = np.minimum(np.abs(model.evaluate(*point, z, settings["cosmology"]).mu[0]), MAXIMUM_MAGNIFICATION)
    drawn = model.realisations(settings["realisations"]["number"], settings["realisations"]["seed"])
    values = realisation_magnifications(drawn, west, north, z, settings["cosmology"])
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, [16, 84]) if values.size else (np.nan, np.nan)
    return {"mu": float(mu), "mu_16": float(low), "mu_84": float(high), "n_realisations": int(values.size)}


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, compare_magnification_models)

"""Total magnification of a galaxy from its line flux and from the lens model (Curti et al. 2020, Sect. 3.2.3)."""

import logging

import numpy as np

from klever.gas.field_loss import light_outside
from klever.grids import Grid
from klever.lensmodels import open_model
from klever.maps import MapSet, masked
from klever.row_tables import Column, write_table
from klever.source.magnification import FluxRatio, find_realisations, magnification_flags, realisation_magnifications

logger = logging.getLogger(__name__)

COLUMNS = [
    Column("galaxy", str, "name of the galaxy"),
    Column("mu_halpha", float, "line flux of the significant pixels, image over source plane (the paper's)"),
    Column("mu_halpha_error", float, "from the relative errors of both fluxes in quadrature (the paper's)"),
    Column("mu_halpha_error_correlated", float, "with the covariance of the two fluxes"),
    Column("mu_intrinsic", float, "mu_halpha with the seeing removed: of the part of the galaxy that the field shows"),
    Column("mu_intrinsic_error", float, "that of mu_halpha, and that of the removal of the seeing"),
    Column("mu_whole", float, "line flux in the field over that of the whole galaxy, the part outside extrapolated"),
    Column("mu_whole_error", float, "that of mu_intrinsic, and all that is added for the part outside"),
    Column("line", str, "line of mu_halpha: HALPHA | OIII5007 | none"),
    Column("mu_maps", float, "1/|det A| of the best model at the reference position"),
    Column("mu_maps_error_minus", float, "median - 16 % of the realisations"),
    Column("mu_maps_error_plus", float, "84 % - median of the realisations"),
    Column("mu_maps_median", float, "median of the realisations"),
    Column("n_realisations", int, "realisations that cover the galaxy"),
    Column("flags", str, "mu_differs | near_critical_line, separated by commas"),
    Column("state", str, "ok | not_detected | outside_lens_model | unlensed"),
]


def measure_magnification(
    aligned, source, lens, magnification, settings, kappa_realisations=(), gamma_realisations=(), model=(), chain=()
):
    """Write the magnification table of a galaxy.

    Parameters
    ----------
    aligned, source, lens : path
        Products of the align, source and lens steps; the source step has summed the line fluxes of the significant
        pixels with the covariance of their spaxels.
    magnification : path
        Output table, one row: mu_halpha, mu_halpha_error (relative errors of the two fluxes in quadrature, as in the
        paper), mu_halpha_error_correlated (with their covariance), mu_intrinsic (without the seeing) and mu_whole (of
        the whole galaxy, also the part outside the field) with errors, line (HALPHA, or OIII5007 for galaxies without),
        mu_maps at the reference position, mu_maps_error_minus, mu_maps_error_plus (from the median of the realisations
        to their 16 and 84 %), mu_maps_median, n_realisations; flags, see
        `klever.source.magnification.magnification_flags`; state: 'ok', 'not_detected' (no significant line pixel),
        'outside_lens_model', 'unlensed'.
    settings : dict
        galaxy, z, cosmology, lens_model; of ``lens``, if given, `realisations`: how many are used at most, and `seed`
        of their draw.
    kappa_realisations, gamma_realisations : list of path, optional
        For a model of maps: those of its realisations in the same order, or folders of them.
    model, chain : list of path, optional
        For models of other origins: Lenstool's best.par, and the samples that realisations are drawn from.
    """
    reconstructed, evaluated = MapSet.read(source), MapSet.read(lens)
    header = reconstructed.header
    x, y = header["IMGX"], header["IMGY"]
    state = evaluated.header["STATE"] if header["STATE"] == "no_line_in_band" else header["STATE"]
    mu_maps = float(np.abs(evaluated["MU"].value[y, x]))

    flux, intrinsic, whole = [np.nan] * 3, [np.nan] * 2, [np.nan] * 2
    if "FLUX_IMG" in header:
        ratio = FluxRatio(*(header[key] for key in ("FLUX_IMG", "E_IMG", "FLUX_SRC", "E_SRC", "C_IMGSRC")))
        flux = [ratio.mu, ratio.error, ratio.error_correlated]
        factor, error = header["F_SEEING"], header["E_SEEING"]
        intrinsic = [factor * ratio.mu, float(np.hypot(factor * ratio.error, error * ratio.mu))]
        outside = np.nan_to_num(light_outside(*masked(reconstructed, header["FLUXLINE"])))
        added = intrinsic[0] * outside
        whole = [intrinsic[0] - added, float(np.hypot(intrinsic[1] * (1 - outside), added))]
    elif state == "ok":
        state = "not_detected"

    spread, count = np.full(3, np.nan), 0
    if state in ("ok", "not_detected"):
        grid = Grid(evaluated.header, evaluated["MU"].value.shape)
        west, north = (float(v) for v in grid.offsets(np.array(float(x)), np.array(float(y))))
        description = dict(settings["lens_model"])
        description |= {"model": model[0] if model else None, "chain": chain[0] if chain else None}
        models = open_model(
            description, grid.origin, find_realisations(kappa_realisations, "kappa"),
            find_realisations(gamma_realisations, "gamma"),
        )  # fmt: skip
        drawing = settings.get("lens", {})
        drawn = models.realisations(drawing.get("realisations"), drawing.get("seed", 0))
        values = realisation_magnifications(drawn, west, north, settings["z"], settings["cosmology"])
        values = values[np.isfinite(values)]
        count = values.size
        if count < len(drawn):
            logger.warning("%d realisations do not cover the galaxy", len(drawn) - count)
        if count:
            spread = np.percentile(values, [16, 50, 84])

    row = {
        "galaxy": settings["galaxy"],
        "mu_halpha": flux[0],
        "mu_halpha_error": flux[1],
        "mu_halpha_error_correlated": flux[2],
        "mu_intrinsic": intrinsic[0],
        "mu_intrinsic_error": intrinsic[1],
        "mu_whole": whole[0],
        "mu_whole_error": whole[1],
        "line": header.get("FLUXLINE", "none"),
        "mu_maps": mu_maps,
        "mu_maps_error_minus": spread[1] - spread[0],
        "mu_maps_error_plus": spread[2] - spread[1],
        "mu_maps_median": spread[1],
        "n_realisations": count,
        "flags": ",".join(magnification_flags(flux[0], mu_maps, spread[1])),
        "state": state,
    }
    write_table(magnification, [row], COLUMNS, {"galaxy": settings["galaxy"], "reference": header["REFMAP"]})


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, measure_magnification)

"""Figures of the gradients: examples (Fig. 7), both apertures (A1), maps that are not axisymmetric (Fig. 11)."""

import numpy as np

from klever.align.reprojection import reprojection_operator
from klever.gradient.annuli import Ellipse
from klever.grids import Grid, read_image
from klever.maps import MapSet, masked
from klever.operators import apply, load_operators
from klever.publish.aperture_figure import draw_aperture_figure
from klever.publish.disturbed_figure import draw_disturbed_figure
from klever.publish.example_figure import draw_example_figure
from klever.publish.figure_style import paper_style, save_figure
from klever.row_tables import read_table


def draw_gradient_figures(
    gradients, example_annuli, example_gradient, example_metallicity, example_psf, aligned, source, source_operators,
    metallicity, disturbed_gradients, images, fig7_source, fig7_metallicity, fig7_annuli, fig7_gradient, fig7_psf,
    fig7_properties, fig07_pdf, fig07_png, figA1_pdf, figA1_png, fig11_pdf, fig11_png, settings,
):  # fmt: skip
    """Draw Figs. 7, A1 and 11 of Curti et al. (2020).

    Parameters
    ----------
    gradients : list of path-like
        gradient.ecsv of all galaxies.
    example_annuli, example_gradient, example_metallicity, example_psf : list of path-like
        Products of the galaxy that is drawn in both kinds of apertures, one each; empty for none.
    aligned, source, source_operators, metallicity, disturbed_gradients : list of path-like
        Products of the galaxies of Fig. 11, in the order of ``settings["disturbed"]``.
    images : list of path-like
        Broad-band images of these galaxies, in the order of their ``filters``.
    fig7_source, fig7_metallicity, fig7_annuli, fig7_gradient, fig7_psf, fig7_properties : list of path-like
        Products of the galaxies of Fig. 7, in the order of ``settings["maps"]``.
    fig07_pdf, fig07_png, figA1_pdf, figA1_png, fig11_pdf, fig11_png : path-like
        Outputs.
    settings : dict
        ``example`` (list of its name), ``maps`` (list of names), ``disturbed`` (list of dict:
        ``name``, ``ra``, ``dec``, ``filters``), ``simulated`` and ``figures`` with ``dpi``.

    Raises
    ------
    InputError
        A product or an image cannot be read.
    """
    tables = [_nan_for_masked(read_table(path)) for path in gradients]
    example = None
    if example_annuli:
        products = (example_annuli, example_gradient, example_metallicity, example_psf)
        example = _example(*(paths[0] for paths in products), settings["example"][0])
    systems, remaining = [], list(images)
    for entry, *paths in zip(
        settings["disturbed"], aligned, source, source_operators, metallicity, disturbed_gradients, strict=True
    ):
        own, remaining = remaining[: len(entry["filters"])], remaining[len(entry["filters"]) :]
        systems.append(_system(entry, *paths, dict(zip(entry["filters"], own, strict=True))))
    examples = []
    for name, plane, abundance, *found in zip(
        settings["maps"], fig7_source, fig7_metallicity, fig7_annuli, fig7_gradient, fig7_psf, fig7_properties,
        strict=True,
    ):  # fmt: skip
        keys = ("annuli", "gradient", "source_psf", "properties")
        own = {key: _nan_for_masked(read_table(path)) for key, path in zip(keys, found, strict=True)}
        examples.append({"name": name, "source": MapSet.read(plane), "metallicity": MapSet.read(abundance)} | own)
    dpi = settings["figures"]["dpi"]
    with paper_style():
        save_figure(draw_example_figure(examples, settings["simulated"]), fig07_pdf, fig07_png, dpi)
        save_figure(draw_aperture_figure(tables, example, settings["simulated"]), figA1_pdf, figA1_png, dpi)
        save_figure(draw_disturbed_figure(systems, settings["simulated"]), fig11_pdf, fig11_png, dpi)


def _example(annuli, gradient, metallicity, psf, name):
    """Collect what the lower panels of Fig. A1 show; None of a galaxy without annuli."""
    profile, fit, maps = read_table(annuli), _nan_for_masked(read_table(gradient)), MapSet.read(metallicity)
    if not len(profile):
        return None
    region = str(profile["region"][0])
    centre = profile.meta["centres"][region]
    shape = read_table(psf, ["fwhm_major", "fwhm_minor", "position_angle"])[0]
    kpc = maps.header["PIXSCALE"] * maps.header["KPC_ARC"]
    log_oh = masked(maps, "LOG_OH")[0]
    y, x = np.nonzero(np.isfinite(log_oh))
    ellipses = {
        "elliptical": Ellipse(centre["x"], centre["y"], float(shape["fwhm_minor"]) / float(shape["fwhm_major"]),
                              float(shape["position_angle"])),
        "circular": Ellipse(centre["x"], centre["y"]),
    }  # fmt: skip
    return {
        "name": name, "region": region, "log_oh": log_oh[y, x], "annuli": _nan_for_masked(profile), "gradient": fit,
        "radius": {aperture: ellipse.radius(x, y) * kpc for aperture, ellipse in ellipses.items()},
    }  # fmt: skip


def _system(entry, aligned, source, source_operator, metallicity, gradient, files):
    """Collect what one row of Fig. 11 shows."""
    maps = MapSet.read(aligned)
    origin = entry["ra"], entry["dec"]
    shape = maps[maps.names()[0]].value.shape
    grid = Grid(maps.header, shape, origin, name=str(aligned))
    images = {}
    for name in ("F160W", "F814W"):
        path = files.get(name, files.get(name.lower()))
        if path is None:
            continue
        values, header = read_image(path)
        operator = reprojection_operator(Grid(header, values.shape, origin, name=str(path)), grid)
        images[name] = apply(operator, values, np.isfinite(values))[0].reshape(shape)
    if "F160W" not in images and "F160W" in maps:
        images["F160W"] = masked(maps, "F160W")[0]
    plane, delensed = MapSet.read(source), None
    if "F814W" in images:
        operator = load_operators(source_operator)[0]["W"]
        delensed = apply(operator, images["F814W"], np.isfinite(images["F814W"]))[0]
        delensed = delensed.reshape(plane[plane.names()[0]].value.shape)
    slope = ""
    for row in read_table(gradient, ["region", "aperture", "slope", "slope_error", "state"]):
        if str(row["state"]) == "ok" and str(row["aperture"]) == "circular" and str(row["region"]) == "all":
            slope = f"${float(row['slope']):+.3f} \\pm {float(row['slope_error']):.3f}$ dex/kpc"
    return {
        "name": entry["name"], "aligned": maps, "source": plane, "metallicity": MapSet.read(metallicity),
        "images": images, "delensed": delensed, "slope": slope,
    }  # fmt: skip


def _nan_for_masked(table):
    for name in table.colnames:
        if table[name].dtype.kind == "f" and hasattr(table[name], "filled"):
            table[name] = table[name].filled(np.nan)
    return table


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, draw_gradient_figures)

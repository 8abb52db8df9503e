"""One galaxy in the image and in the source plane."""

import numpy as np

from klever.maps import MapSet
from klever.publish.figure_style import paper_style, save_figure
from klever.publish.planes_figure import LINES, Plane, draw_planes
from klever.row_tables import read_table


def draw_planes_figure(aligned, source, source_psf, magnification, pdf, png, settings):
    """Draw image, line contours and velocity of a galaxy in both planes (Curti et al. 2020, Fig. 3).

    Parameters
    ----------
    aligned, source : path-like
        MapSets of the galaxy in the image and in the source plane.
    source_psf, magnification : path-like
        ECSV tables of the galaxy.
    pdf, png : path-like
        Outputs; the same files give the same bytes.
    settings : dict
        ``name``, ``z``, ``simulated``, ``align`` with ``image_filter`` and ``figures`` with ``dpi``.
    """
    image, mapped = MapSet.read(aligned), MapSet.read(source)
    psf, measured = read_table(source_psf)[0], read_table(magnification)[0]
    header = mapped.header
    seeing = _number(psf["image_fwhm"])
    planes = (
        Plane(image, (image.header["CRPIX1"] - 1, image.header["CRPIX2"] - 1), (seeing, seeing, 0.0)),
        Plane(mapped, (header.get("XC", 0.0), header.get("YC", 0.0)),
              tuple(_number(psf[name]) for name in ("fwhm_major", "fwhm_minor", "position_angle"))),
    )  # fmt: skip
    line = next((name for name in LINES if name in image and np.isfinite(image[name].value).any()), "HALPHA")
    name = settings["align"]["image_filter"]
    figure_settings = {
        "name": settings["name"], "z": settings["z"], "line": line, "simulated": settings["simulated"],
        "filter": name if name in image else None, "mu": _magnification(measured),
        "kpc": float(header.get("KPC_ARC", 1.0)), "sentence": _sentence(header, measured),
    }  # fmt: skip
    with paper_style():
        save_figure(draw_planes(*planes, figure_settings), pdf, png, settings["figures"]["dpi"])


def _number(value):
    return float(np.ma.filled(value, np.nan))


def _magnification(row):
    """Return the magnification as the title has it: of the line's flux if it was measured, else of the lens model."""
    flux, maps = _number(row["mu_halpha"]), _number(row["mu_maps"])
    return next((f"$\\mu$ = {value:.3g}" for value in (flux, maps) if np.isfinite(value)), "")


def _sentence(header, measured):
    state = str(header.get("STATE", "ok"))
    if state == "outside_lens_model":
        return "Outside the lens model: there is no source plane."
    if state == "no_line_in_band":
        return "None of the lines of the analysis falls into the observed bands."
    return "No spaxel has a significant line." if str(measured["state"]) == "not_detected" else ""


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, draw_planes_figure)

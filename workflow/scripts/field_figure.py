"""The field of a lens with the galaxies of the survey and the critical lines."""

import numpy as np
from astropy.io import fits

from klever.errors import InputError
from klever.lensmodels import MAP_KINDS, open_model
from klever.lensmodels.critical import critical_lines
from klever.publish.field_figure import Mosaic, colour_filters, draw_field, field_limits, footprint
from klever.publish.figure_style import paper_style, save_figure

REDSHIFTS = (1.4, 2.2)  # Curti et al. (2020), Fig. 1
_COARSE, _FINE = 200, 700  # points a side, to find the field and to draw it


def draw_field_figure(linemaps, images, pdf, png, settings, **lens_files):
    """Draw the field of a lens (Curti et al. 2020, Fig. 1).

    Parameters
    ----------
    linemaps : list of path-like
        ``linemaps.fits`` of one band of each galaxy, whose grid is the cube's.
    images : list of path-like
        All images of the field in the filters of `settings`; may be empty.
    pdf, png : path-like
        Outputs; the same files give the same bytes.
    settings : dict
        ``lens``, ``lens_model`` (an entry of lenses.yaml), ``galaxies`` (names, as `linemaps`), ``filters`` (dict of
        filter to the images in it), ``centre`` ((ra, dec), degrees, of the galaxies), ``cosmology``, ``simulated``,
        ``figures`` with ``dpi``.
    **lens_files : list of path-like
        x_deflection, y_deflection, kappa, gamma, model, chain: the files of the lens model, none or one each.
    """
    description = dict(settings["lens_model"])
    for kind in (*MAP_KINDS, "model", "chain"):
        paths = lens_files.get(kind)
        description[kind] = paths[0] if paths else None
    origin = tuple(settings["centre"])
    model = open_model(description, origin)
    outlines = {}
    for galaxy, path in zip(settings["galaxies"], linemaps, strict=True):
        outlines[galaxy] = _outline(path, origin)
    every = np.concatenate(list(outlines.values()))
    # The centre of the cluster may lie beyond the galaxies: look for lines as far again as the galaxies reach.
    reach = max(30.0, 1.2 * float(np.abs(every).max()))
    axis = np.linspace(-reach, reach, _COARSE)
    coarse = [line for z in REDSHIFTS for line in critical_lines(model, axis, axis, z, settings["cosmology"])]
    limits = field_limits(list(outlines.values()), [line for line in coarse if len(line) > 8])
    west, north = (np.linspace(*limit, _FINE) for limit in limits)
    filters = colour_filters(settings["filters"])
    channels = []
    for name in filters:
        mosaic = Mosaic(west, north, origin)
        for path in settings["filters"][name]:
            mosaic.add(path)
        channels.append(mosaic.value)
    fields = model.evaluate(*np.meshgrid(west, north), REDSHIFTS[-1], settings["cosmology"], west[1] - west[0])
    field = {
        "west": west, "north": north, "channels": channels, "filters": filters, "kappa": fields.kappa,
        "outlines": outlines,
        "critical": [(z, critical_lines(model, west, north, z, settings["cosmology"])) for z in REDSHIFTS],
    }  # fmt: skip
    title = f"{settings['lens'].upper()}    $z_\\mathrm{{lens}}$ = {float(model.z_lens):.4g}"
    with paper_style():
        figure = draw_field(field, {"title": title, "centre": origin, "simulated": settings["simulated"]})
        save_figure(figure, pdf, png, settings["figures"]["dpi"])


def _outline(path, origin):
    try:
        with fits.open(path) as hdus:
            header, shape = hdus[0].header, hdus[1].shape
    except (OSError, IndexError) as error:
        raise InputError(f"{path} cannot be read as FITS ({error}); make it again with the step lines.") from error
    return footprint(header, shape, origin)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, draw_field_figure)

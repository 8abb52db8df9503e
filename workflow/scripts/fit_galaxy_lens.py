"""Fit a galaxy lens to an image of its arcs (Curti et al. 2020, Sect. 3.2.1)."""

from klever.errors import ConfigError, InputError
from klever.lensfit.cutout import read_cutout
from klever.lensfit.galaxy_products import write_fit, write_maps, write_samples
from klever.lensfit.galaxyfit import DEFAULTS, fit_galaxy
from klever.publish.figure_style import paper_style, save_figure
from klever.publish.lens_fit_figure import draw_lens_fit


def fit_galaxy_lens(image, error, fit, samples, maps, figure, settings):
    """Fit an elliptical power law with external shear; write the lens, its posterior, maps and a figure.

    Parameters
    ----------
    image : list of path
        FITS image.
    error : list of path
        None or one image of 1 sigma errors.
    fit : path
        Output ECSV: parameters; its metadata hold the best model.
    samples : path
        Output ECSV: samples of the posterior.
    maps : path
        Output MapSet: data, model, residual, deflection; see `klever.lensfit.galaxy_products.write_maps`.
    figure : list of path
        Output PDF and PNG.
    settings : dict
        lens, z_lens, z_source, centre ([ra, dec], degrees), figures (dpi), and ``arc_fit``: options of
        `klever.lensfit.galaxyfit.fit_galaxy` that are not the default.

    Raises
    ------
    ConfigError, InputError
        See the messages.
    """
    if not image:
        raise InputError(f"lens {settings['lens']}: there is no image to fit; name one as arc_image in lenses.yaml.")
    if not settings["z_source"] > settings["z_lens"]:
        raise ConfigError(f"lens {settings['lens']}: the source at z = {settings['z_source']:g} is not behind the lens "
                          f"at z = {settings['z_lens']:g}; correct the redshifts.")  # fmt: skip
    options = DEFAULTS | settings["arc_fit"]
    cutout = read_cutout(image[0], settings["centre"], options, error[0] if error else None)
    result = fit_galaxy(cutout, options, image[0])
    settings = settings | {"simulated": cutout.simulated}
    write_fit(fit, result, settings, settings["centre"])
    write_samples(samples, result, settings)
    write_maps(maps, cutout, result, settings)
    with paper_style():
        drawn = draw_lens_fit(cutout, result, f"Lens {settings['lens']}")
        save_figure(drawn, *figure, settings["figures"]["dpi"])


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, fit_galaxy_lens)

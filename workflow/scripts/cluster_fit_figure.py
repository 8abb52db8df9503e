"""Figure of a cluster fitted to multiple images."""

from klever.lensfit.cluster_products import open_fit
from klever.publish.cluster_fit_figure import draw_cluster_fit
from klever.publish.figure_style import paper_style, save_figure
from klever.row_tables import read_table


def draw_fit(fit, samples, predicted, pdf, png, settings):
    """Draw critical lines, observed and predicted images.

    Parameters
    ----------
    fit, samples, predicted : path
        Products of the rule fit_cluster_lens.
    pdf, png : path
        Outputs; the same tables give the same bytes.
    settings : dict
        lens, cosmology, ``figures`` with ``dpi``.

    Raises
    ------
    InputError
        A table cannot be read.
    """
    images = read_table(predicted, ["family", "status", "x", "y", "x_observed", "y_observed", "z"])
    meta = read_table(fit).meta
    model = open_fit(fit, samples, settings["lens"], meta["centre"])
    with paper_style():
        figure = draw_cluster_fit(
            model, images, float(meta["z_reference"]), settings["cosmology"], bool(meta.get("simulated"))
        )
        save_figure(figure, pdf, png, settings["figures"]["dpi"])


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, draw_fit)

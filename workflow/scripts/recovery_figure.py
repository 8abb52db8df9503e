"""Figure of the recovery of the simulated truth."""

from klever.publish.figure_style import paper_style, save_figure
from klever.publish.recovery_figure import draw_recovery_figure
from klever.publish.slope_bias_figure import draw_slope_bias_figure
from klever.row_tables import read_table


def draw_recovery(recovery, summary, pdf, png, bias_pdf, bias_png, settings):
    """Draw measurement against truth, the pulls, and the bias of gradients, of the simulated galaxies.

    Parameters
    ----------
    recovery, summary : path-like
        Tables of rule recovery.
    pdf, png, bias_pdf, bias_png : path-like
        Outputs; the same tables give the same bytes.
    settings : dict
        ``figures`` with ``dpi``.

    Raises
    ------
    InputError
        A table cannot be read.
    """
    rows = read_table(recovery, ["quantity", "line", "truth", "measured", "error", "pull", "used", "resolution"])
    medians = read_table(summary, ["sample", "quantity", "line", "n", "median_abs_pull"])
    with paper_style():
        save_figure(draw_recovery_figure(rows, medians), pdf, png, settings["figures"]["dpi"])
        save_figure(draw_slope_bias_figure(rows), bias_pdf, bias_png, settings["figures"]["dpi"])


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, draw_recovery)

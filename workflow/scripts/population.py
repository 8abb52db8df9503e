"""The survey among other samples: gradients against redshift, sSFR, mass and main-sequence offset (Figs 8 to 10)."""

from klever.population.evolution_figure import draw_evolution
from klever.population.literature import read_literature
from klever.population.main_sequence_figure import draw_main_sequence
from klever.population.significance_table import SIGNIFICANCE_COLUMNS
from klever.population.survey_table import read_survey
from klever.population.trends import significance_rows
from klever.population.trends_figure import draw_trends
from klever.publish.figure_style import paper_style, save_figure
from klever.row_tables import write_table


def draw_population(
    population, gradients, averages, models, samples, significance, fig08, fig08_png, fig09, fig09_png, fig10,
    fig10_png, settings,
):  # fmt: skip
    """Fit the trends of the gradients and draw Figs 8, 9 and 10, of a run or of the printed tables alike.

    Parameters
    ----------
    population : path-like
        Table of rule run_population or published_population.
    gradients : list of path-like
        ``resources/literature/gradients/*.csv``.
    averages, models, samples : path-like
        ``averages.csv``, ``models.csv``, ``samples.yaml`` of ``resources/literature``.
    significance : path-like
        Output: the regressions, ECSV.
    fig08, fig08_png, fig09, fig09_png, fig10, fig10_png : path-like
        Outputs.
    settings : dict
        ``population``, ``cosmology``, ``figures`` with ``dpi``.
    """
    survey = read_survey(population)
    literature = read_literature(gradients, averages, models, samples)
    choice, cosmology = settings["population"], settings["cosmology"]
    rows = significance_rows(survey, literature, choice, cosmology)
    meta = {
        "data": survey.label,
        "description": "Regressions of metallicity gradients (Curti et al. 2020, Sect. 4.4, Figs 9 and 10)",
        "literature": f"z >= {choice['minimum_redshift']:g}, resources/literature",
        "absent": sorted(name for name, entry in literature.absent.items() if {9, 10} & set(entry["figures"])),
    }
    write_table(significance, rows, SIGNIFICANCE_COLUMNS, meta)
    with paper_style():
        for figure, pdf, png in (
            (draw_evolution(survey, literature, cosmology), fig08, fig08_png),
            (draw_trends(survey, literature, rows, choice, cosmology), fig09, fig09_png),
            (draw_main_sequence(survey, literature, rows, choice, cosmology), fig10, fig10_png),
        ):
            save_figure(figure, pdf, png, settings["figures"]["dpi"])


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, draw_population)

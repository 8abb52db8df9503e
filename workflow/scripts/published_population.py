"""The survey's table from the tables that the paper prints."""

from klever.population.published_survey import published_survey
from klever.population.survey_table import write_survey
from klever.spectral_lines import load_instruments, load_line_list


def tabulate_published(table2, table3, table4, tableA1, detection_rates, lines, instruments, population, settings):
    """Write one tidy table of the printed Tables 2, 3, 4 and A1.

    Parameters
    ----------
    table2, table3, table4, tableA1, detection_rates : path-like
        CSVs of ``resources/published``.
    lines, instruments : path-like
        ``resources/lines.yaml`` and ``resources/instruments.yaml``, for the lines that fall in a band.
    population : path-like
        Output, ECSV.
    settings : dict
        ``cosmology``.
    """
    wavelengths = {name: line.wavelength for name, line in load_line_list(lines).lines.items()}
    survey = published_survey(
        table2, table3, table4, tableA1, detection_rates, wavelengths, load_instruments(instruments),
        settings["cosmology"],
    )  # fmt: skip
    write_survey(population, survey)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, tabulate_published)

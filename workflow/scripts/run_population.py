"""The survey's table from the results of the run."""

from klever.population.run_survey import run_survey
from klever.population.survey_table import write_survey


def tabulate_run(table2, table3, table4, tableA1, detection_rates, population, settings):
    """Write one tidy table of the run's Tables 2, 3, 4 and A1.

    Parameters
    ----------
    table2, table3, table4, tableA1, detection_rates : path-like
        ECSV tables of ``results/tables``.
    population : path-like
        Output, ECSV.
    settings : dict
        ``cosmology`` and ``simulated``.
    """
    tables = (table2, table3, table4, tableA1, detection_rates)
    write_survey(population, run_survey(*tables, settings["simulated"], settings["cosmology"]))


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, tabulate_run)

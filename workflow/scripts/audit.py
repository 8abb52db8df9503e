"""Audit: each claim of the paper recomputed from its printed tables and from the run."""

from pathlib import Path

from klever.audit.claims import read_claims
from klever.audit.page import audit_page
from klever.audit.registry import Evidence
from klever.audit.verdicts import AUDIT_COLUMNS, audit
from klever.population.literature import read_literature
from klever.population.relations import load_relations, mzr_steidel14
from klever.population.significance_table import read_significance
from klever.population.survey_table import read_survey
from klever.row_tables import write_table


def audit_paper(
    population, published_population, significance, published_significance, claims, gradients, averages, models,
    samples, relations, steidel, table, page, settings,
):  # fmt: skip
    """Write the audit as a table and as a page.

    Parameters
    ----------
    population, published_population : path-like
        Tables of rules run_population and published_population.
    significance, published_significance : path-like
        Their regressions.
    claims : path-like
        ``resources/claims.yaml``.
    gradients, averages, models, samples, relations, steidel : path-like
        Of ``resources/literature``.
    table, page : path-like
        Outputs: ECSV and HTML.
    settings : dict
        ``population`` with ``estimator``.
    """
    listed = read_claims(claims)
    shared = (read_literature(gradients, averages, models, samples), load_relations(relations), mzr_steidel14(steidel))
    evidence = [
        Evidence(read_survey(survey), *shared, read_significance(regressions), settings["population"]["estimator"])
        for survey, regressions in ((published_population, published_significance), (population, significance))
    ]
    rows = audit(listed, *evidence)
    origin = evidence[1].survey.origin
    meta = {
        "description": "Claims of Curti et al. (2020) against its printed tables and against this run",
        "run": evidence[1].survey.label,
    }
    write_table(table, rows, AUDIT_COLUMNS, meta)
    Path(page).write_text(audit_page(rows, origin), encoding="utf-8")


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, audit_paper)

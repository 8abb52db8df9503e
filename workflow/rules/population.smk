# The survey among other samples, and the audit of the paper: from the run's tables and, alike, from the printed ones.
rule run_population:
    input:
        table2="results/tables/table2.ecsv",
        table3="results/tables/table3.ecsv",
        table4="results/tables/table4.ecsv",
        tableA1="results/tables/tableA1.ecsv",
        detection_rates="results/tables/detection_rates.ecsv",
    output:
        population="results/tables/population.ecsv",
    log:
        "logs/run_population.log",
    conda:
        "../../envs/run_population.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=survey_settings("run_population", **SURVEY.survey_settings("cosmology")),
    script:
        "../scripts/run_population.py"


rule published_population:
    input:
        table2=RESOURCES / "published/table2_sample.csv",
        table3=RESOURCES / "published/table3_global_properties.csv",
        table4=RESOURCES / "published/table4_gradients_elliptical.csv",
        tableA1=RESOURCES / "published/tableA1_gradients_circular.csv",
        detection_rates=RESOURCES / "published/detection_rates.csv",
        lines=RESOURCES / "lines.yaml",
        instruments=RESOURCES / "instruments.yaml",
    output:
        population="results/published/tables/population.ecsv",
    log:
        "logs/published_population.log",
    conda:
        "../../envs/published_population.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=survey_settings("published_population", **SURVEY.survey_settings("cosmology")),
    script:
        "../scripts/published_population.py"


rule population:
    input:
        **literature_inputs(),
        population="results/tables/population.ecsv",
    output:
        significance=report(
            "results/tables/significance.ecsv",
            caption="../report/population_significance.rst",
            category="Population",
            labels={"table": "regressions", "numbers": "this run"},
        ),
        fig08=population_figures("results", "fig08", figure="8, redshift", numbers="this run"),
        fig08_png="results/figures/fig08.png",
        fig09=population_figures("results", "fig09", figure="9, sSFR and mass", numbers="this run"),
        fig09_png="results/figures/fig09.png",
        fig10=population_figures("results", "fig10", figure="10, main sequence", numbers="this run"),
        fig10_png="results/figures/fig10.png",
    log:
        "logs/population.log",
    conda:
        "../../envs/population.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        settings=survey_settings("population", **SURVEY.survey_settings("population", "cosmology")),
    script:
        "../scripts/population.py"


use rule population as population_of_the_paper with:
    input:
        **literature_inputs(),
        population="results/published/tables/population.ecsv",
    output:
        significance="results/published/tables/significance.ecsv",
        fig08=population_figures("results/published", "fig08", figure="8, redshift", numbers="printed tables"),
        fig08_png="results/published/figures/fig08.png",
        fig09=population_figures("results/published", "fig09", figure="9, sSFR and mass", numbers="printed tables"),
        fig09_png="results/published/figures/fig09.png",
        fig10=population_figures("results/published", "fig10", figure="10, main sequence", numbers="printed tables"),
        fig10_png="results/published/figures/fig10.png",
    log:
        "logs/population_of_the_paper.log",


rule audit:
    input:
        **literature_inputs(),
        population="results/tables/population.ecsv",
        published_population="results/published/tables/population.ecsv",
        significance="results/tables/significance.ecsv",
        published_significance="results/published/tables/significance.ecsv",
        claims=RESOURCES / "claims.yaml",
        relations=LITERATURE / "scaling_relations.json",
        steidel=LITERATURE / "mzr_steidel2014_stacks.csv",
    output:
        table=report("results/audit.ecsv", caption="../report/audit.rst", category="Audit", labels={"audit": "table"}),
        page=report("results/audit.html", caption="../report/audit.rst", category="Audit", labels={"audit": "page"}),
    log:
        "logs/audit.log",
    conda:
        "../../envs/audit.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=survey_settings("audit", **SURVEY.survey_settings("population")),
    script:
        "../scripts/audit.py"


rule population_products:
    input:
        "results/figures/fig08.png",
        "results/published/figures/fig08.png",
        "results/audit.html",

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
    benchmark:
        "results/benchmarks/run_population.tsv"
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
    benchmark:
        "results/benchmarks/published_population.tsv"
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
        significance=population_regressions("results"),
        fig08="results/figures/fig08.pdf",
        fig08_png=population_figure("results", "fig08", "Fig. 8, redshift"),
        fig09="results/figures/fig09.pdf",
        fig09_png=population_figure("results", "fig09", "Fig. 9, sSFR and mass"),
        fig10="results/figures/fig10.pdf",
        fig10_png=population_figure("results", "fig10", "Fig. 10, main sequence"),
    log:
        "logs/population.log",
    benchmark:
        "results/benchmarks/population.tsv"
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
        significance=population_regressions("results/published"),
        fig08="results/published/figures/fig08.pdf",
        fig08_png=population_figure("results/published", "fig08", "Fig. 8, redshift"),
        fig09="results/published/figures/fig09.pdf",
        fig09_png=population_figure("results/published", "fig09", "Fig. 9, sSFR and mass"),
        fig10="results/published/figures/fig10.pdf",
        fig10_png=population_figure("results/published", "fig10", "Fig. 10, main sequence"),
    log:
        "logs/population_of_the_paper.log",
    benchmark:
        "results/benchmarks/population_of_the_paper.tsv"


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
        table=report(
            "results/audit.ecsv",
            caption="../report/audit.rst",
            category="8 Checks",
            subcategory="Audit of the paper",
            labels={"result": "audit", "as": "an ECSV file"},
        ),
        page=report(
            "results/audit.html",
            caption="../report/audit.rst",
            category="8 Checks",
            subcategory="Audit of the paper",
            labels={"result": "audit", "as": "a page"},
        ),
    log:
        "logs/audit.log",
    benchmark:
        "results/benchmarks/audit.tsv"
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

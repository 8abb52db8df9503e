# Which galaxies to observe (paper, Sect. 2.1); needs no data but a catalogue.
rule target_choice:
    input:
        catalogue=target_catalogue(),
        rule=RESOURCES / "target_choice.yaml",
        line_list=RESOURCES / "lines.yaml",
        instruments=RESOURCES / "instruments.yaml",
        sky_lines=RESOURCES / "oh_lines_rousselot2000.dat",
        published_table2=RESOURCES / "published/table2_sample.csv",
    output:
        targets=report(
            "results/targets/targets.ecsv",
            caption="../report/targets.rst",
            category="1 Targets",
            labels={"result": "ranking of the targets", "as": "an ECSV file"},
        ),
        lines="results/targets/lines.ecsv",
        comparison="results/targets/table2_explained.ecsv",
        pdf="results/targets/visibility.pdf",
        png=report(
            "results/targets/visibility.png",
            caption="../report/targets.rst",
            category="1 Targets",
            labels={"result": "lines in the bands by redshift", "as": "a figure"},
        ),
    log:
        "logs/target_choice.log",
    benchmark:
        "results/benchmarks/target_choice.tsv"
    conda:
        "../../envs/target_choice.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=survey_settings(
            "target_choice",
            **SURVEY.survey_settings("targets"),
            galaxies=[
                {"galaxy": name} | {key: SURVEY.galaxy(name)[key] for key in ("ra", "dec", "z")} for name in GALAXIES
            ],
        ),
    script:
        "../scripts/target_choice.py"

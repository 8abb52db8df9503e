# Files from archives, on request: `make fetch`, or as inputs of the run where tables name them. Off unless `acquire.enabled`.
DOWNLOADS = SURVEY.downloads()


rule fetch:
    output:
        file="archive/{file}",
    log:
        "logs/fetch/{file}.log",
    benchmark:
        "results/benchmarks/fetch/{file}.tsv"
    wildcard_constraints:
        file="|".join(re.escape(path.removeprefix("archive/")) for path in DOWNLOADS) or "none",
    conda:
        "../../envs/fetch.yaml"
    resources:
        mem_mb=500,
        runtime=600,
        downloads=1,
    params:
        settings=lambda wildcards: {
            "code": code_digest(SCRIPTS / "fetch.py"),
            "lock": "config/archive.lock",
            **SURVEY.survey_settings("acquire"),
            **SURVEY.download(f"archive/{wildcards.file}"),
        },
    script:
        "../scripts/fetch.py"


rule archive_list:
    output:
        products="results/archive/eso_products.ecsv",
        raw="results/archive/eso_raw.ecsv",
    log:
        "logs/archive_list.log",
    benchmark:
        "results/benchmarks/archive_list.tsv"
    conda:
        "../../envs/archive_list.yaml"
    resources:
        mem_mb=500,
        runtime=60,
    params:
        settings=survey_settings("archive_list", **SURVEY.survey_settings("acquire")),
    script:
        "../scripts/archive_list.py"


rule archive_links:
    input:
        products="results/archive/eso_products.ecsv",
    output:
        links="results/archive/eso_links.ecsv",
    log:
        "logs/archive_links.log",
    benchmark:
        "results/benchmarks/archive_links.tsv"
    conda:
        "../../envs/archive_links.yaml"
    resources:
        mem_mb=500,
        runtime=60,
    params:
        settings=survey_settings(
            "archive_links",
            **SURVEY.survey_settings("acquire"),
            positions={galaxy: [SURVEY.galaxy(galaxy)[key] for key in ("ra", "dec")] for galaxy in GALAXIES},
        ),
    script:
        "../scripts/archive_links.py"


rule downloads:
    input:
        DOWNLOADS,

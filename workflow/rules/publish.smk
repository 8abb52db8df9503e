# What a person looks at: a page per galaxy, the tables, the recovery of the truth, and the state of the run.
SIMULATED = [galaxy for galaxy in GALAXIES if SURVEY.simulated(galaxy)]


def simulated_bands(pattern):
    """The file `pattern` of every simulated galaxy and band."""
    return [
        pattern.format(galaxy=galaxy, band=band)
        for galaxy in SIMULATED
        for band in SURVEY.bands(galaxy)
    ]


def survey_settings(rule, **more):
    """Parameters of a step on the whole survey."""
    return {
        "code": code_digest(SCRIPTS / f"{rule}.py"),
        "simulated": bool(SIMULATED),
        **SURVEY.survey_settings("figures"),
        **more,
    }


rule galaxy_page:
    input:
        source=GALAXY + "source.fits",
        metallicity=GALAXY + "metallicity.fits",
        annuli=GALAXY + "annuli.ecsv",
        gradient=GALAXY + "gradient.ecsv",
        source_psf=GALAXY + "source_psf.ecsv",
        properties=GALAXY + "properties.ecsv",
    output:
        pdf=report(
            GALAXY + "summary.pdf",
            caption="../report/galaxy_page.rst",
            category="Galaxies",
            labels={"galaxy": "{galaxy}"},
        ),
        png=GALAXY + "summary.png",
    log:
        "logs/galaxy_page/{galaxy}.log",
    conda:
        "../../envs/galaxy_page.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        settings=lambda wildcards: galaxy_settings(
            "galaxy_page", wildcards.galaxy, "figures"
        )
        | {"simulated": SURVEY.simulated(wildcards.galaxy)},
    script:
        "../scripts/galaxy_page.py"


rule gradient_tables:
    input:
        gradients=expand(GALAXY + "gradient.ecsv", galaxy=GALAXIES),
        published_elliptical=RESOURCES / "published/table4_gradients_elliptical.csv",
        published_circular=RESOURCES / "published/tableA1_gradients_circular.csv",
    output:
        table4=report(
            "results/tables/table4.ecsv",
            caption="../report/gradient_table.rst",
            category="Tables",
        ),
        table4_tex="results/tables/table4.tex",
        tableA1=report(
            "results/tables/tableA1.ecsv",
            caption="../report/gradient_table.rst",
            category="Tables",
        ),
        tableA1_tex="results/tables/tableA1.tex",
    log:
        "logs/gradient_tables.log",
    conda:
        "../../envs/gradient_tables.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=survey_settings(
            "gradient_tables",
            galaxies=[{"galaxy": name} | SURVEY.galaxy(name) for name in GALAXIES],
        ),
    script:
        "../scripts/gradient_tables.py"


rule recovery:
    input:
        truths=expand(SIMULATED_GALAXY + "truth.ecsv", galaxy=SIMULATED),
        cube_truths=simulated_bands(SIMULATED_CUBE + "_truth.fits"),
        lines=simulated_bands(BAND + "lines.ecsv"),
        magnifications=expand(GALAXY + "magnification.ecsv", galaxy=SIMULATED),
        properties=expand(GALAXY + "properties.ecsv", galaxy=SIMULATED),
        gradients=expand(GALAXY + "gradient.ecsv", galaxy=SIMULATED),
        instruments=RESOURCES / "instruments.yaml",
    output:
        recovery=report(
            "results/recovery.ecsv",
            caption="../report/recovery.rst",
            category="Recovery",
        ),
        summary="results/recovery_summary.ecsv",
    log:
        "logs/recovery.log",
    conda:
        "../../envs/recovery.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        settings=survey_settings("recovery"),
    script:
        "../scripts/recovery.py"


rule recovery_figure:
    input:
        recovery="results/recovery.ecsv",
        summary="results/recovery_summary.ecsv",
    output:
        pdf=report(
            "results/figures/recovery.pdf",
            caption="../report/recovery.rst",
            category="Recovery",
        ),
        png="results/figures/recovery.png",
    log:
        "logs/recovery_figure.log",
    conda:
        "../../envs/recovery_figure.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=survey_settings("recovery_figure"),
    script:
        "../scripts/recovery_figure.py"


rule galaxies:
    input:
        expand(GALAXY + "summary.png", galaxy=GALAXIES),
        expand(GALAXY + "magnification.ecsv", galaxy=GALAXIES),


rule tables:
    input:
        "results/tables/table4.ecsv",
        "results/tables/tableA1.ecsv",


rule recovery_products:
    input:
        ["results/recovery.ecsv", "results/figures/recovery.png"] if SIMULATED else [],


def report_run(failed):
    """Write results/status.ecsv; print what failed, or how well the truth was recovered."""
    from klever.publish.status import collect_status, format_failures, write_status

    observations = [
        (galaxy, band) for galaxy in GALAXIES for band in SURVEY.bands(galaxy)
    ]
    lenses = {galaxy: SURVEY.lens(galaxy)["name"] for galaxy in GALAXIES}
    started = [str(log) for log in Path("logs").glob("*/*.log")] if failed else []
    status = collect_status(
        "results", observations, "logs", failed=started, lenses=lenses
    )
    write_status(status, "results/status.ecsv")
    if failed:
        print(format_failures(status), file=sys.stderr)
    elif SIMULATED and Path("logs/recovery.log").is_file():
        print(Path("logs/recovery.log").read_text(), file=sys.stderr)

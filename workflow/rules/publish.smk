# What a person looks at: a page per galaxy, the tables, the recovery of the truth, and the state of the run.


rule galaxy_page:
    input:
        source="results/galaxies/{galaxy}/source.fits",
        metallicity="results/galaxies/{galaxy}/metallicity.fits",
        annuli="results/galaxies/{galaxy}/annuli.ecsv",
        gradient="results/galaxies/{galaxy}/gradient.ecsv",
        asymmetry="results/galaxies/{galaxy}/asymmetry.ecsv",
        residuals="results/galaxies/{galaxy}/metallicity_residual.fits",
        source_psf="results/galaxies/{galaxy}/source_psf.ecsv",
        properties="results/galaxies/{galaxy}/properties.ecsv",
    output:
        pdf=report(
            "results/galaxies/{galaxy}/summary.pdf",
            caption="../report/galaxy_page.rst",
            category="Galaxies",
            labels={"galaxy": "{galaxy}"},
        ),
        png="results/galaxies/{galaxy}/summary.png",
    log:
        "logs/galaxy_page/{galaxy}.log",
    conda:
        "../../envs/galaxy_page.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        settings=lambda wildcards: galaxy_settings("galaxy_page", wildcards.galaxy, "figures")
        | {"simulated": SURVEY.simulated(wildcards.galaxy)},
    script:
        "../scripts/galaxy_page.py"


rule line_quality:
    input:
        cubes=per_band("results/galaxies/{galaxy}/{band}/cube.fits"),
        linemaps=per_band("results/galaxies/{galaxy}/{band}/linemaps.fits"),
        line_list=line_list,
        shipped_lines=RESOURCES / "lines.yaml",
        instruments=RESOURCES / "instruments.yaml",
        kernel=ancient("results/kernel/compiled.txt"),
    output:
        pdf=report(
            "results/galaxies/{galaxy}/quality.pdf",
            caption="../report/line_quality.rst",
            category="Quality of the line fits",
            labels={"galaxy": "{galaxy}"},
        ),
        png="results/galaxies/{galaxy}/quality.png",
    log:
        "logs/line_quality/{galaxy}.log",
    conda:
        "../../envs/line_quality.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        settings=lambda wildcards: bands_settings("line_quality", wildcards.galaxy, "lines", "figures")
        | {"simulated": SURVEY.simulated(wildcards.galaxy)},
    script:
        "../scripts/line_quality.py"


rule gradient_tables:
    input:
        gradients=expand("results/galaxies/{galaxy}/gradient.ecsv", galaxy=GALAXIES),
        asymmetries=expand("results/galaxies/{galaxy}/asymmetry.ecsv", galaxy=GALAXIES),
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
        asymmetry="results/tables/asymmetry.ecsv",
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


rule global_properties:
    input:
        star_formation=expand("results/galaxies/{galaxy}/star_formation.ecsv", galaxy=GALAXIES),
        properties=expand("results/galaxies/{galaxy}/properties.ecsv", galaxy=GALAXIES),
        bpt=expand("results/galaxies/{galaxy}/bpt.ecsv", galaxy=GALAXIES),
        magnifications=expand("results/galaxies/{galaxy}/magnification.ecsv", galaxy=GALAXIES),
        magnification_models="results/tables/magnification_models.ecsv",
        stellar_masses=expand("results/galaxies/{galaxy}/stellar_mass.ecsv", galaxy=GALAXIES),
        gas=expand("results/galaxies/{galaxy}/ionised_gas.fits", galaxy=GALAXIES),
        published=RESOURCES / "published/table3_global_properties.csv",
        bpt_lines=RESOURCES / "bpt.json",
        relations=RESOURCES / "literature/scaling_relations.json",
        mzr_local=RESOURCES / "literature/mzr_curti2020_binned.csv",
        mzr_steidel=RESOURCES / "literature/mzr_steidel2014_stacks.csv",
    output:
        table3=report(
            "results/tables/table3.ecsv",
            caption="../report/properties_table.rst",
            category="Tables",
        ),
        table3_tex="results/tables/table3.tex",
        table_bpt="results/tables/bpt.ecsv",
        fig05=report(
            "results/figures/fig05.pdf",
            caption="../report/bpt_figure.rst",
            category="Figures",
        ),
        fig05_png="results/figures/fig05.png",
        fig06=report(
            "results/figures/fig06.pdf",
            caption="../report/scaling_figure.rst",
            category="Figures",
        ),
        fig06_png="results/figures/fig06.png",
        offsets=report(
            "results/figures/bpt_offsets.pdf",
            caption="../report/offset_figure.rst",
            category="Figures",
        ),
        offsets_png="results/figures/bpt_offsets.png",
    log:
        "logs/global_properties.log",
    conda:
        "../../envs/global_properties.yaml"
    resources:
        mem_mb=1000,
        runtime=15,
    params:
        settings=survey_settings(
            "global_properties",
            **SURVEY.survey_settings("cosmology"),
            galaxies=[{"galaxy": name} | SURVEY.galaxy(name) for name in GALAXIES],
        ),
    script:
        "../scripts/global_properties.py"


rule gradient_figures:
    input:
        gradients=expand("results/galaxies/{galaxy}/gradient.ecsv", galaxy=GALAXIES),
        example_annuli=expand("results/galaxies/{galaxy}/annuli.ecsv", galaxy=APERTURE_EXAMPLE),
        example_gradient=expand("results/galaxies/{galaxy}/gradient.ecsv", galaxy=APERTURE_EXAMPLE),
        example_metallicity=expand("results/galaxies/{galaxy}/metallicity.fits", galaxy=APERTURE_EXAMPLE),
        example_psf=expand("results/galaxies/{galaxy}/source_psf.ecsv", galaxy=APERTURE_EXAMPLE),
        aligned=expand("results/galaxies/{galaxy}/aligned.fits", galaxy=DISTURBED),
        source=expand("results/galaxies/{galaxy}/source.fits", galaxy=DISTURBED),
        source_operators=expand("results/galaxies/{galaxy}/source_operator.npz", galaxy=DISTURBED),
        metallicity=expand("results/galaxies/{galaxy}/metallicity.fits", galaxy=DISTURBED),
        disturbed_gradients=expand("results/galaxies/{galaxy}/gradient.ecsv", galaxy=DISTURBED),
        images=[path for galaxy in DISTURBED for path in disturbed_images(galaxy).values()],
    output:
        figA1_pdf=report(
            "results/figures/figA1.pdf",
            caption="../report/aperture_figure.rst",
            category="Figures",
        ),
        figA1_png="results/figures/figA1.png",
        fig11_pdf=report(
            "results/figures/fig11.pdf",
            caption="../report/disturbed_figure.rst",
            category="Figures",
        ),
        fig11_png="results/figures/fig11.png",
    log:
        "logs/gradient_figures.log",
    conda:
        "../../envs/gradient_figures.yaml"
    resources:
        mem_mb=1500,
        runtime=15,
    params:
        settings=survey_settings(
            "gradient_figures",
            example=[SURVEY.galaxy(name)["name"] for name in APERTURE_EXAMPLE],
            disturbed=[
                {"galaxy": name, "filters": list(disturbed_images(name))} | SURVEY.galaxy(name) for name in DISTURBED
            ],
        ),
    script:
        "../scripts/gradient_figures.py"


rule detection_tables:
    input:
        lines=observed_bands("results/galaxies/{galaxy}/{band}/lines.ecsv"),
        line_lists=survey_line_lists(),
        shipped_lines=RESOURCES / "lines.yaml",
        published_table2=RESOURCES / "published/table2_sample.csv",
        published_detections=RESOURCES / "published/detection_rates.csv",
    output:
        table2=report(
            "results/tables/table2.ecsv",
            caption="../report/detection_table.rst",
            category="Tables",
        ),
        table2_tex="results/tables/table2.tex",
        rates=report(
            "results/tables/detection_rates.ecsv",
            caption="../report/detection_table.rst",
            category="Tables",
        ),
    log:
        "logs/detection_tables.log",
    conda:
        "../../envs/detection_tables.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=survey_settings(
            "detection_tables",
            **SURVEY.survey_settings("lines"),
            galaxies=[
                {"galaxy": name, "simulated": SURVEY.simulated(name)}
                | SURVEY.galaxy(name)
                | {"bands": {band: SURVEY.observation(name, band)["instrument"] for band in SURVEY.bands(name)}}
                for name in GALAXIES
            ],
        ),
    script:
        "../scripts/detection_tables.py"


rule spectrum_figure:
    input:
        spectra=per_band("results/galaxies/{galaxy}/{band}/spectrum.ecsv"),
        lines=per_band("results/galaxies/{galaxy}/{band}/lines.ecsv"),
        line_list=line_list,
        shipped_lines=RESOURCES / "lines.yaml",
    output:
        pdf=report(
            "results/figures/spectrum_{galaxy}.pdf",
            caption="../report/spectrum_figure.rst",
            category="Spectra",
            labels={"galaxy": "{galaxy}"},
        ),
        png="results/figures/spectrum_{galaxy}.png",
    log:
        "logs/spectrum_figure/{galaxy}.log",
    conda:
        "../../envs/spectrum_figure.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=lambda wildcards: galaxy_settings("spectrum_figure", wildcards.galaxy, "lines", "figures")
        | {"simulated": SURVEY.simulated(wildcards.galaxy)},
    script:
        "../scripts/spectrum_figure.py"


rule recovery:
    input:
        truths=expand("results/simulated/galaxies/{galaxy}/truth.ecsv", galaxy=SIMULATED),
        cube_truths=simulated_bands("results/simulated/cubes/{galaxy}/{band}_truth.fits"),
        lines=simulated_bands("results/galaxies/{galaxy}/{band}/lines.ecsv"),
        magnifications=expand("results/galaxies/{galaxy}/magnification.ecsv", galaxy=SIMULATED),
        properties=expand("results/galaxies/{galaxy}/properties.ecsv", galaxy=SIMULATED),
        gradients=expand("results/galaxies/{galaxy}/gradient.ecsv", galaxy=SIMULATED),
        star_formation=expand("results/galaxies/{galaxy}/star_formation.ecsv", galaxy=SIMULATED),
        stellar_masses=expand("results/galaxies/{galaxy}/stellar_mass.ecsv", galaxy=SIMULATED),
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
        bias_pdf=report(
            "results/figures/slope_bias.pdf",
            caption="../report/slope_bias.rst",
            category="Recovery",
        ),
        bias_png="results/figures/slope_bias.png",
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
        expand("results/galaxies/{galaxy}/summary.png", galaxy=GALAXIES),
        expand("results/galaxies/{galaxy}/quality.png", galaxy=GALAXIES),
        expand("results/galaxies/{galaxy}/magnification.ecsv", galaxy=GALAXIES),


rule tables:
    input:
        "results/tables/table2.ecsv",
        "results/tables/detection_rates.ecsv",
        "results/tables/table3.ecsv",
        "results/tables/table4.ecsv",
        "results/tables/tableA1.ecsv",


rule spectra:
    input:
        expand(
            "results/figures/spectrum_{galaxy}.png",
            galaxy=spectra_galaxies(SURVEY.survey_settings("figures")["figures"]["spectra"], GALAXIES),
        ),


rule gradient_products:
    input:
        rules.gradient_figures.output,


rule recovery_products:
    input:
        ["results/recovery.ecsv", "results/figures/recovery.png"] if SIMULATED else [],

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
        pdf="results/galaxies/{galaxy}/summary.pdf",
        png=report(
            "results/galaxies/{galaxy}/summary.png",
            caption="../report/galaxy_page.rst",
            category="6 Metallicity gradients",
            subcategory="Galaxies",
            labels={"galaxy": "{galaxy}"},
        ),
    log:
        "logs/galaxy_page/{galaxy}.log",
    benchmark:
        "results/benchmarks/galaxy_page/{galaxy}.tsv"
    priority: -1  # nothing waits for it
    conda:
        "../../envs/galaxy_page.yaml"
    resources:
        mem_mb=1000,
        runtime=5,
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
    output:
        pdf="results/galaxies/{galaxy}/quality.pdf",
        png=report(
            "results/galaxies/{galaxy}/quality.png",
            caption="../report/line_quality.rst",
            category="3 Line fits",
            subcategory="Quality of the fits",
            labels={"galaxy": "{galaxy}"},
        ),
    log:
        "logs/line_quality/{galaxy}.log",
    benchmark:
        "results/benchmarks/line_quality/{galaxy}.tsv"
    priority: -1  # nothing waits for it
    conda:
        "../../envs/line_quality.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=lambda wildcards: bands_settings("line_quality", wildcards.galaxy, "lines", "figures")
        | {"simulated": SURVEY.simulated(wildcards.galaxy)},
    script:
        "../scripts/line_quality.py"


rule ratio_table:
    input:
        calibrations=RESOURCES / "calibrations.json",
    output:
        table1=report(
            "results/tables/table1.ecsv",
            caption="../report/ratio_table.rst",
            category="6 Metallicity gradients",
            subcategory="Tables and figures",
            labels={"result": "Table 1, line ratios", "as": "an ECSV file"},
        ),
        table1_tex="results/tables/table1.tex",
    log:
        "logs/ratio_table.log",
    benchmark:
        "results/benchmarks/ratio_table.tsv"
    conda:
        "../../envs/ratio_table.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=survey_settings("ratio_table", **SURVEY.survey_settings("metallicity")),
    script:
        "../scripts/ratio_table.py"


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
            category="6 Metallicity gradients",
            subcategory="Tables and figures",
            labels={"result": "Table 4, elliptical apertures", "as": "an ECSV file"},
        ),
        table4_tex="results/tables/table4.tex",
        tableA1=report(
            "results/tables/tableA1.ecsv",
            caption="../report/gradient_table.rst",
            category="6 Metallicity gradients",
            subcategory="Tables and figures",
            labels={"result": "Table A1, circular apertures", "as": "an ECSV file"},
        ),
        tableA1_tex="results/tables/tableA1.tex",
        asymmetry="results/tables/asymmetry.ecsv",
    log:
        "logs/gradient_tables.log",
    benchmark:
        "results/benchmarks/gradient_tables.tsv"
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
        lens_spreads=expand("results/galaxies/{galaxy}/lens_spread.ecsv", galaxy=GALAXIES),
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
            category="5 Gas and stars",
            labels={"result": "Table 3, global properties", "as": "an ECSV file"},
        ),
        table3_tex="results/tables/table3.tex",
        table_bpt="results/tables/bpt.ecsv",
        fig05="results/figures/fig05.pdf",
        fig05_png=report(
            "results/figures/fig05.png",
            caption="../report/bpt_figure.rst",
            category="5 Gas and stars",
            labels={"result": "Fig. 5, BPT diagrams", "as": "a figure"},
        ),
        fig06="results/figures/fig06.pdf",
        fig06_png=report(
            "results/figures/fig06.png",
            caption="../report/scaling_figure.rst",
            category="5 Gas and stars",
            labels={"result": "Fig. 6, scaling relations", "as": "a figure"},
        ),
        offsets="results/figures/bpt_offsets.pdf",
        offsets_png=report(
            "results/figures/bpt_offsets.png",
            caption="../report/offset_figure.rst",
            category="5 Gas and stars",
            labels={"result": "offsets from the BPT line", "as": "a figure"},
        ),
    log:
        "logs/global_properties.log",
    benchmark:
        "results/benchmarks/global_properties.tsv"
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
        fig7_source=expand("results/galaxies/{galaxy}/source.fits", galaxy=MAP_EXAMPLES),
        fig7_metallicity=expand("results/galaxies/{galaxy}/metallicity.fits", galaxy=MAP_EXAMPLES),
        fig7_annuli=expand("results/galaxies/{galaxy}/annuli.ecsv", galaxy=MAP_EXAMPLES),
        fig7_gradient=expand("results/galaxies/{galaxy}/gradient.ecsv", galaxy=MAP_EXAMPLES),
        fig7_psf=expand("results/galaxies/{galaxy}/source_psf.ecsv", galaxy=MAP_EXAMPLES),
        fig7_properties=expand("results/galaxies/{galaxy}/properties.ecsv", galaxy=MAP_EXAMPLES),
    output:
        fig07_pdf="results/figures/fig07.pdf",
        fig07_png=report(
            "results/figures/fig07.png",
            caption="../report/example_figure.rst",
            category="6 Metallicity gradients",
            subcategory="Tables and figures",
            labels={"result": "Fig. 7, maps and gradients of examples", "as": "a figure"},
        ),
        figA1_pdf="results/figures/figA1.pdf",
        figA1_png=report(
            "results/figures/figA1.png",
            caption="../report/aperture_figure.rst",
            category="6 Metallicity gradients",
            subcategory="Tables and figures",
            labels={"result": "Fig. A1, both apertures", "as": "a figure"},
        ),
        fig11_pdf="results/figures/fig11.pdf",
        fig11_png=report(
            "results/figures/fig11.png",
            caption="../report/disturbed_figure.rst",
            category="6 Metallicity gradients",
            subcategory="Tables and figures",
            labels={"result": "Fig. 11, single systems", "as": "a figure"},
        ),
    log:
        "logs/gradient_figures.log",
    benchmark:
        "results/benchmarks/gradient_figures.tsv"
    conda:
        "../../envs/gradient_figures.yaml"
    resources:
        mem_mb=1500,
        runtime=15,
    params:
        settings=survey_settings(
            "gradient_figures",
            example=[SURVEY.galaxy(name)["name"] for name in APERTURE_EXAMPLE],
            maps=[SURVEY.galaxy(name)["name"] for name in MAP_EXAMPLES],
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
            category="3 Line fits",
            subcategory="Tables",
            labels={"result": "Table 2, detected lines", "as": "an ECSV file"},
        ),
        table2_tex="results/tables/table2.tex",
        rates=report(
            "results/tables/detection_rates.ecsv",
            caption="../report/detection_table.rst",
            category="3 Line fits",
            subcategory="Tables",
            labels={"result": "detection rates", "as": "an ECSV file"},
        ),
    log:
        "logs/detection_tables.log",
    benchmark:
        "results/benchmarks/detection_tables.tsv"
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
        pdf="results/figures/spectrum_{galaxy}.pdf",
        png=report(
            "results/figures/spectrum_{galaxy}.png",
            caption="../report/spectrum_figure.rst",
            category="3 Line fits",
            subcategory="Integrated spectra",
            labels={"galaxy": "{galaxy}"},
        ),
    log:
        "logs/spectrum_figure/{galaxy}.log",
    benchmark:
        "results/benchmarks/spectrum_figure/{galaxy}.tsv"
    priority: -1  # nothing waits for it
    conda:
        "../../envs/spectrum_figure.yaml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        settings=lambda wildcards: galaxy_settings("spectrum_figure", wildcards.galaxy, "lines", "figures")
        | {"simulated": SURVEY.simulated(wildcards.galaxy)},
    script:
        "../scripts/spectrum_figure.py"


rule recovery:
    input:
        truths=expand("results/simulated/galaxies/{galaxy}/truth.ecsv", galaxy=SIMULATED),
        cube_truths=cube_truths(),
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
            category="8 Checks",
            subcategory="Recovery of the simulated truth",
            labels={"result": "every measurement against its truth", "as": "an ECSV file"},
        ),
        summary=report(
            "results/recovery_summary.ecsv",
            caption="../report/recovery.rst",
            category="8 Checks",
            subcategory="Recovery of the simulated truth",
            labels={"result": "pulls and biases", "as": "an ECSV file"},
        ),
    log:
        "logs/recovery.log",
    benchmark:
        "results/benchmarks/recovery.tsv"
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
        pdf="results/figures/recovery.pdf",
        png=report(
            "results/figures/recovery.png",
            caption="../report/recovery.rst",
            category="8 Checks",
            subcategory="Recovery of the simulated truth",
            labels={"result": "measurement against truth", "as": "a figure"},
        ),
        bias_pdf="results/figures/slope_bias.pdf",
        bias_png=report(
            "results/figures/slope_bias.png",
            caption="../report/slope_bias.rst",
            category="8 Checks",
            subcategory="Recovery of the simulated truth",
            labels={"result": "bias of the gradients", "as": "a figure"},
        ),
    log:
        "logs/recovery_figure.log",
    benchmark:
        "results/benchmarks/recovery_figure.tsv"
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
        "results/tables/table1.ecsv",
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

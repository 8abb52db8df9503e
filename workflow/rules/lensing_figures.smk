# Figures of the lensing: the fields, a galaxy in both planes, and the spread of the magnification between models.


rule simulate_alternatives:
    input:
        parameters=RESOURCES / "simulation/lenses.yaml",
    output:
        folder=directory("results/simulated/alternatives/{lens}"),
    log:
        "logs/simulate_alternatives/{lens}.log",
    benchmark:
        "results/benchmarks/simulate_alternatives/{lens}.tsv"
    conda:
        "../../envs/simulate_alternatives.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        settings=lambda wildcards: {
            "code": code_digest(SCRIPTS / "simulate_alternatives.py"),
            "lens": wildcards.lens,
            "alternatives": SURVEY.simulated_alternatives(wildcards.lens),
        },
    script:
        "../scripts/simulate_alternatives.py"


rule field_figure:
    input:
        linemaps=lambda wildcards: [
            f"results/galaxies/{galaxy}/{SURVEY.bands(galaxy)[0]}/linemaps.fits"
            for galaxy in lens_members(wildcards.lens)
        ],
        images=lambda wildcards: [path for paths in field_images(wildcards.lens).values() for path in paths],
        x_deflection=field_map("x_deflection"),
        y_deflection=field_map("y_deflection"),
        kappa=field_map("kappa"),
        gamma=field_map("gamma"),
        model=field_map("model"),
        chain=field_map("chain"),
    output:
        pdf="results/figures/field_{lens}.pdf",
        png=report(
            "results/figures/field_{lens}.png",
            caption="../report/field_figure.rst",
            category="4 Lensing",
            subcategory="Fields",
            labels={"lens": "{lens}"},
        ),
    log:
        "logs/field_figure/{lens}.log",
    benchmark:
        "results/benchmarks/field_figure/{lens}.tsv"
    priority: -1  # nothing waits for it
    conda:
        "../../envs/field_figure.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        settings=field_settings,
    script:
        "../scripts/field_figure.py"


rule planes_figure:
    input:
        aligned="results/galaxies/{galaxy}/aligned.fits",
        source="results/galaxies/{galaxy}/source.fits",
        source_psf="results/galaxies/{galaxy}/source_psf.ecsv",
        magnification="results/galaxies/{galaxy}/magnification.ecsv",
    output:
        pdf="results/figures/planes_{galaxy}.pdf",
        png=report(
            "results/figures/planes_{galaxy}.png",
            caption="../report/planes_figure.rst",
            category="4 Lensing",
            subcategory="Image and source plane",
            labels={"galaxy": "{galaxy}"},
        ),
    log:
        "logs/planes_figure/{galaxy}.log",
    benchmark:
        "results/benchmarks/planes_figure/{galaxy}.tsv"
    priority: -1  # nothing waits for it
    conda:
        "../../envs/planes_figure.yaml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        settings=lambda wildcards: galaxy_settings("planes_figure", wildcards.galaxy, "align", "figures")
        | {"simulated": SURVEY.simulated(wildcards.galaxy)},
    script:
        "../scripts/planes_figure.py"


rule magnification_models:
    input:
        sources=expand("results/galaxies/{galaxy}/source.fits", galaxy=GALAXIES),
        lenses=expand("results/galaxies/{galaxy}/lens.fits", galaxy=GALAXIES),
        magnifications=expand("results/galaxies/{galaxy}/magnification.ecsv", galaxy=GALAXIES),
        models=alternative_files([model for of_lens in alternatives().values() for model in of_lens.values()]),
    output:
        table=report(
            "results/tables/magnification_models.ecsv",
            caption="../report/magnification_models.rst",
            category="4 Lensing",
            subcategory="Magnifications",
            labels={"result": "magnifications by model", "as": "an ECSV file"},
        ),
        pdf="results/figures/magnification_models.pdf",
        png=report(
            "results/figures/magnification_models.png",
            caption="../report/magnification_models.rst",
            category="4 Lensing",
            subcategory="Magnifications",
            labels={"result": "Fig. 4, spread over models", "as": "a figure"},
        ),
    log:
        "logs/magnification_models.log",
    benchmark:
        "results/benchmarks/magnification_models.tsv"
    conda:
        "../../envs/magnification_models.yaml"
    resources:
        mem_mb=1500,
        runtime=20,
    params:
        settings=survey_settings(
            "magnification_models",
            **SURVEY.survey_settings("cosmology"),
            realisations={
                "number": SURVEY.survey_settings("lens")["lens"]["realisations"],
                "seed": SURVEY.survey_settings("lens")["lens"]["seed"],
            },
            galaxies=[
                {"galaxy": name} | {key: SURVEY.galaxy(name)[key] for key in ("lens", "z")} for name in GALAXIES
            ],
            alternatives=alternatives(),
        ),
    script:
        "../scripts/magnification_models.py"


rule magnification_table:
    input:
        magnifications=expand("results/galaxies/{galaxy}/magnification.ecsv", galaxy=GALAXIES),
        models="results/tables/magnification_models.ecsv",
        published=RESOURCES / "published/table3_global_properties.csv",
    output:
        table=report(
            "results/tables/magnification.ecsv",
            caption="../report/magnification_table.rst",
            category="4 Lensing",
            subcategory="Magnifications",
            labels={"result": "magnifications", "as": "an ECSV file"},
        ),
        table_tex="results/tables/magnification.tex",
    log:
        "logs/magnification_table.log",
    benchmark:
        "results/benchmarks/magnification_table.tsv"
    conda:
        "../../envs/magnification_table.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=survey_settings(
            "magnification_table",
            galaxies=[
                {"galaxy": name} | {key: SURVEY.galaxy(name)[key] for key in ("name", "lens", "z")}
                for name in GALAXIES
            ],
        ),
    script:
        "../scripts/magnification_table.py"


rule lensing_figures:
    input:
        expand("results/figures/field_{lens}.png", lens=LENSES),
        expand(
            "results/figures/planes_{galaxy}.png",
            galaxy=planes_galaxies(
                SURVEY.survey_settings("figures")["figures"]["planes"],
                {galaxy: SURVEY.galaxy(galaxy)["lens"] for galaxy in GALAXIES},
            ),
        ),
        ["results/figures/magnification_models.png", "results/tables/magnification.ecsv"] if LENSES else [],
        expand("results/galaxies/{galaxy}/lens_spread.ecsv", galaxy=GALAXIES),

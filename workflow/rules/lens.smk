# Deflection, convergence and shear at the galaxy's redshift, on the aligned grid.
rule lens:
    input:
        aligned="results/galaxies/{galaxy}/aligned.fits",
        x_deflection=lens_map("x_deflection"),
        y_deflection=lens_map("y_deflection"),
        kappa=lens_map("kappa"),
        gamma=lens_map("gamma"),
        model=lens_map("model"),
    output:
        lens="results/galaxies/{galaxy}/lens.fits",
    log:
        "logs/lens/{galaxy}.log",
    benchmark:
        "results/benchmarks/lens/{galaxy}.tsv"
    conda:
        "../../envs/lens.yaml"
    resources:
        mem_mb=1500,
        runtime=5,
    params:
        settings=lambda wildcards: galaxy_settings("lens", wildcards.galaxy, "cosmology")
        | {"lens_model": SURVEY.lens(wildcards.galaxy)},
    script:
        "../scripts/lens.py"


# One table stands for the maps of all realisations of a model, which would be inputs of every galaxy otherwise.
rule lens_realisations:
    input:
        kappa=realisation_maps("kappa"),
        gamma=realisation_maps("gamma"),
    output:
        index="results/lenses/{lens}/realisations/{model}.ecsv",
    log:
        "logs/lens_realisations/{lens}/{model}.log",
    benchmark:
        "results/benchmarks/lens_realisations/{lens}/{model}.tsv"
    wildcard_constraints:
        model="analysis|alternatives/[^/]+",
    conda:
        "../../envs/lens_realisations.yaml"
    resources:
        mem_mb=500,
        runtime=30,
    params:
        settings=lambda wildcards: {
            "code": code_digest(SCRIPTS / "lens_realisations.py"),
            "lens": wildcards.lens,
            "model": wildcards.model.removeprefix("analysis").removeprefix("alternatives/"),
        },
    script:
        "../scripts/lens_realisations.py"

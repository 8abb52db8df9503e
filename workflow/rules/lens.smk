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

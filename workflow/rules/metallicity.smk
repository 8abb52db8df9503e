# Ionised gas: star formation, BPT; metallicity: global, map, annuli, gradients.
rule global_metallicity:
    input:
        lines=per_band("results/galaxies/{galaxy}/{band}/lines.ecsv"),
        calibrations=RESOURCES / "calibrations.json",
    output:
        properties="results/galaxies/{galaxy}/properties.ecsv",
    log:
        "logs/global_metallicity/{galaxy}.log",
    benchmark:
        "results/benchmarks/global_metallicity/{galaxy}.tsv"
    conda:
        "../../envs/global_metallicity.yaml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        settings=lambda wildcards: galaxy_settings("global_metallicity", wildcards.galaxy, "metallicity", "dust"),
    script:
        "../scripts/global_metallicity.py"


rule ionised_gas:
    input:
        lines=per_band("results/galaxies/{galaxy}/{band}/lines.ecsv"),
        linemaps=per_band("results/galaxies/{galaxy}/{band}/linemaps.fits"),
        spectra=per_band("results/galaxies/{galaxy}/{band}/spectrum.ecsv"),
        cubes=per_band("results/galaxies/{galaxy}/{band}/cube.fits"),
        aligned="results/galaxies/{galaxy}/aligned.fits",
        source="results/galaxies/{galaxy}/source.fits",
        source_psf="results/galaxies/{galaxy}/source_psf.ecsv",
        properties="results/galaxies/{galaxy}/properties.ecsv",
        reddening=lambda wildcards: "results/galaxies/{}/properties.ecsv".format(
            gas_sections(wildcards.galaxy)["star_formation"]["reddening_of"] or wildcards.galaxy
        ),
        magnification="results/galaxies/{galaxy}/magnification.ecsv",
        sfr_calibration=RESOURCES / "star_formation.json",
        bpt_lines=RESOURCES / "bpt.json",
        line_list=line_list,
        shipped_lines=RESOURCES / "lines.yaml",
        instruments=RESOURCES / "instruments.yaml",
    output:
        star_formation="results/galaxies/{galaxy}/star_formation.ecsv",
        bpt="results/galaxies/{galaxy}/bpt.ecsv",
        maps="results/galaxies/{galaxy}/ionised_gas.fits",
    log:
        "logs/ionised_gas/{galaxy}.log",
    benchmark:
        "results/benchmarks/ionised_gas/{galaxy}.tsv"
    conda:
        "../../envs/ionised_gas.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=lambda wildcards: galaxy_settings("ionised_gas", wildcards.galaxy)
        | gas_sections(wildcards.galaxy)
        | {
            "bands": SURVEY.bands(wildcards.galaxy),
            "instruments": {
                band: SURVEY.observation(wildcards.galaxy, band)["instrument"]
                for band in SURVEY.bands(wildcards.galaxy)
            },
        },
    script:
        "../scripts/ionised_gas.py"


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
    benchmark:
        "results/benchmarks/metallicity_map/{galaxy}.tsv"
    conda:
        "../../envs/metallicity_map.yaml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        settings=lambda wildcards: galaxy_settings("metallicity_map", wildcards.galaxy, "metallicity", "dust"),
    script:
        "../scripts/metallicity_map.py"


rule gradient:
    input:
        source="results/galaxies/{galaxy}/source.fits",
        source_psf="results/galaxies/{galaxy}/source_psf.ecsv",
        metallicity="results/galaxies/{galaxy}/metallicity.fits",
        properties="results/galaxies/{galaxy}/properties.ecsv",
        calibrations=RESOURCES / "calibrations.json",
        linemaps=per_band("results/galaxies/{galaxy}/{band}/linemaps.fits"),
        source_operator="results/galaxies/{galaxy}/source_operator.npz",
        lens_spread="results/galaxies/{galaxy}/lens_spread.ecsv",
    output:
        annuli="results/galaxies/{galaxy}/annuli.ecsv",
        annuli_covariance="results/galaxies/{galaxy}/annuli_covariance.ecsv",
        gradient="results/galaxies/{galaxy}/gradient.ecsv",
        asymmetry="results/galaxies/{galaxy}/asymmetry.ecsv",
        residuals="results/galaxies/{galaxy}/metallicity_residual.fits",
    log:
        "logs/gradient/{galaxy}.log",
    benchmark:
        "results/benchmarks/gradient/{galaxy}.tsv"
    conda:
        "../../envs/gradient.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=lambda wildcards: galaxy_settings("gradient", wildcards.galaxy, "gradient", "metallicity", "dust")
        | {"bands": SURVEY.bands(wildcards.galaxy)},
    script:
        "../scripts/gradient.py"

# Emission-line maps and the integrated spectrum of each band.
rule lines:
    input:
        cube="results/galaxies/{galaxy}/{band}/cube.fits",
        line_list=RESOURCES / "lines.yaml",
        instruments=RESOURCES / "instruments.yaml",
    output:
        linemaps="results/galaxies/{galaxy}/{band}/linemaps.fits",
        spectrum="results/galaxies/{galaxy}/{band}/spectrum.ecsv",
        lines="results/galaxies/{galaxy}/{band}/lines.ecsv",
    log:
        "logs/lines/{galaxy}_{band}.log",
    benchmark:
        "results/benchmarks/lines/{galaxy}_{band}.tsv"
    conda:
        "../../envs/lines.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=lambda wildcards: band_settings("lines", wildcards.galaxy, wildcards.band, "lines"),
    script:
        "../scripts/lines.py"

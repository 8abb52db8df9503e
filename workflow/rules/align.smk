# All bands of a galaxy on one grid, registered on the HST image.
rule align:
    input:
        linemaps=per_band("results/galaxies/{galaxy}/{band}/linemaps.fits"),
        images=reference_image,
    output:
        aligned="results/galaxies/{galaxy}/aligned.fits",
        operators="results/galaxies/{galaxy}/align_operators.npz",
    log:
        "logs/align/{galaxy}.log",
    benchmark:
        "results/benchmarks/align/{galaxy}.tsv"
    conda:
        "../../envs/align.yaml"
    resources:
        mem_mb=1500,
        runtime=5,
    params:
        settings=lambda wildcards: bands_settings("align", wildcards.galaxy, "align"),
    script:
        "../scripts/align.py"

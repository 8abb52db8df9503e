# Emission-line maps and the integrated spectrum of each band.


# Machine code of the line fit, once per run.
rule compile_kernel:
    input:
        line_list=RESOURCES / "lines.yaml",
    output:
        kernel="results/kernel/compiled.txt",
    log:
        "logs/compile_kernel.log",
    benchmark:
        "results/benchmarks/compile_kernel.tsv"
    conda:
        "../../envs/compile_kernel.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings={"code": code_digest(SCRIPTS / "compile_kernel.py")},
    script:
        "../scripts/compile_kernel.py"


rule lines:
    input:
        cube="results/galaxies/{galaxy}/{band}/cube.fits",
        line_list=line_list,
        shipped_lines=RESOURCES / "lines.yaml",
        instruments=RESOURCES / "instruments.yaml",
        kernel=ancient("results/kernel/compiled.txt"),
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
        runtime=20,
    params:
        settings=lambda wildcards: band_settings("lines", wildcards.galaxy, wildcards.band, "lines"),
    script:
        "../scripts/lines.py"

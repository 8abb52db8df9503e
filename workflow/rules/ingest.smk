# One canonical cube per galaxy and band, from any instrument's format.
rule ingest:
    input:
        raw=raw_cube,
        sky_lines=RESOURCES / "oh_lines_rousselot2000.dat",
        instruments=RESOURCES / "instruments.yaml",
    output:
        cube="results/galaxies/{galaxy}/{band}/cube.fits",
    log:
        "logs/ingest/{galaxy}_{band}.log",
    benchmark:
        "results/benchmarks/ingest/{galaxy}_{band}.tsv"
    conda:
        "../../envs/ingest.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=ingest_settings,
    script:
        "../scripts/ingest.py"

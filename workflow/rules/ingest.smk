# One canonical cube per galaxy and band, from any instrument's format.
def raw_cube(wildcards):
    return (
        SURVEY.observation(wildcards.galaxy, wildcards.band)["cube"]
        or SIMULATED_CUBE.format(**wildcards) + ".fits"
    )


rule ingest:
    input:
        raw=raw_cube,
        sky_lines=RESOURCES / "oh_lines_rousselot2000.dat",
        instruments=RESOURCES / "instruments.yaml",
    output:
        cube=BAND + "cube.fits",
    log:
        "logs/ingest/{galaxy}_{band}.log",
    conda:
        "../../envs/ingest.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        settings=lambda wildcards: band_settings(
            "ingest", wildcards.galaxy, wildcards.band, "ingest"
        ),
    script:
        "../scripts/ingest.py"

# All bands of a galaxy on one grid, registered on the HST image.
def reference_image(wildcards):
    image = SURVEY.image(wildcards.galaxy)
    return [image] if image else []


rule align:
    input:
        linemaps=per_band(BAND + "linemaps.fits"),
        images=reference_image,
    output:
        aligned=GALAXY + "aligned.fits",
        operators=GALAXY + "align_operators.npz",
    log:
        "logs/align/{galaxy}.log",
    conda:
        "../../envs/align.yaml"
    resources:
        mem_mb=1500,
        runtime=20,
    params:
        settings=lambda wildcards: bands_settings("align", wildcards.galaxy, "align"),
    script:
        "../scripts/align.py"

# Lens models fitted here.
rule simulate_multiple_images:
    input:
        parameters=RESOURCES / "simulation/lenses.yaml",
    output:
        multiple_images="results/simulated/lenses/{lens}/multiple_images.ecsv",
        members="results/simulated/lenses/{lens}/members.ecsv",
        truth="results/simulated/lenses/{lens}/multiple_images_truth.ecsv",
    log:
        "logs/simulate_multiple_images/{lens}.log",
    benchmark:
        "results/benchmarks/simulate_multiple_images/{lens}.tsv"
    conda:
        "../../envs/simulate_multiple_images.yaml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        settings=lambda wildcards: {
            "code": code_digest(SCRIPTS / "simulate_multiple_images.py"),
            "lens": wildcards.lens,
            "simulation": {"seed": SURVEY.survey_settings("simulation")["simulation"]["seed"]},
        },
    script:
        "../scripts/simulate_multiple_images.py"


# The table of images and the galaxies of a cluster: those of lenses.yaml, or simulated ones for a simulated lens.
rule fit_cluster_lens:
    input:
        multiple_images=lambda wildcards: cluster_inputs(wildcards.lens)["multiple_images"],
        members=lambda wildcards: cluster_inputs(wildcards.lens)["members"],
    output:
        fit="results/lenses/{lens}/cluster_fit.ecsv",
        samples="results/lenses/{lens}/cluster_samples.ecsv",
        predicted="results/lenses/{lens}/cluster_images.ecsv",
    log:
        "logs/fit_cluster_lens/{lens}.log",
    benchmark:
        "results/benchmarks/fit_cluster_lens/{lens}.tsv"
    conda:
        "../../envs/fit_cluster_lens.yaml"
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        settings=lambda wildcards: cluster_settings(wildcards.lens),
    script:
        "../scripts/fit_cluster_lens.py"


rule cluster_fit_figure:
    input:
        fit="results/lenses/{lens}/cluster_fit.ecsv",
        samples="results/lenses/{lens}/cluster_samples.ecsv",
        predicted="results/lenses/{lens}/cluster_images.ecsv",
    output:
        pdf="results/lenses/{lens}/cluster_fit.pdf",
        png=report(
            "results/lenses/{lens}/cluster_fit.png",
            caption="../report/cluster_fit.rst",
            category="4 Lensing",
            subcategory="Fitted models",
            labels={"lens": "{lens}"},
        ),
    log:
        "logs/cluster_fit_figure/{lens}.log",
    benchmark:
        "results/benchmarks/cluster_fit_figure/{lens}.tsv"
    conda:
        "../../envs/cluster_fit_figure.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=lambda wildcards: {
            "code": code_digest(SCRIPTS / "cluster_fit_figure.py"),
            "lens": wildcards.lens,
            **for_steps(SURVEY.survey_settings("figures", "cosmology")),
        },
    script:
        "../scripts/cluster_fit_figure.py"


rule simulate_lens_image:
    input:
        lens_parameters=RESOURCES / "simulation/lenses.yaml",
        calibrations=RESOURCES / "calibrations.json",
    output:
        image="results/simulated/lenses/{lens}/arc.fits",
    log:
        "logs/simulate_lens_image/{lens}.log",
    benchmark:
        "results/benchmarks/simulate_lens_image/{lens}.tsv"
    conda:
        "../../envs/simulate_lens_image.yaml"
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        settings=lambda wildcards: galaxy_settings("simulate_lens_image", arc_galaxy(wildcards.lens))
        | simulation_settings(arc_galaxy(wildcards.lens), "seed", "fine_pixel_scale"),
    script:
        "../scripts/simulate_lens_image.py"


# A galaxy lens from the image of its arc: that of lenses.yaml, or a simulated one for a simulated lens.
rule fit_galaxy_lens:
    input:
        image=arc_files("arc_image"),
        error=arc_files("arc_error"),
    output:
        fit="results/lenses/{lens}/fit.ecsv",
        samples="results/lenses/{lens}/fit_samples.ecsv",
        maps="results/lenses/{lens}/fit_maps.fits",
        figure=[
            "results/lenses/{lens}/fit.pdf",
            report(
                "results/lenses/{lens}/fit.png",
                caption="../report/arc_fit.rst",
                category="4 Lensing",
                subcategory="Fitted models",
                labels={"lens": "{lens}"},
            ),
        ],
    log:
        "logs/fit_galaxy_lens/{lens}.log",
    benchmark:
        "results/benchmarks/fit_galaxy_lens/{lens}.tsv"
    conda:
        "../../envs/fit_galaxy_lens.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=lambda wildcards: arc_fit_settings(wildcards.lens),
    script:
        "../scripts/fit_galaxy_lens.py"

# From exposures to combined cubes (paper, Sect. 2.2), for the pointings of config/exposures.tsv; nothing unless
# `reduce.start` is exposures.
wildcard_constraints:
    pointing="|".join(re.escape(name) for name, _ in POINTINGS) or "none",


rule simulate_exposures:
    input:
        scenes=lambda wildcards: [
            f"results/simulated/galaxies/{name}/scene.npz"
            for name in pointing_entry(wildcards)["galaxies"]
            if name in GALAXIES
        ],
        line_list=RESOURCES / "lines.yaml",
        instruments=RESOURCES / "instruments.yaml",
        sky_lines=RESOURCES / "oh_lines_rousselot2000.dat",
    output:
        exposures=[
            "results/simulated/exposures/{pointing}/{band}/exposures_%02d.fits" % number
            for number in range(SIMULATED_EXPOSURES)
        ],
        standard=["results/simulated/exposures/{pointing}/{band}/standard_%02d.fits" % number for number in range(2)],
        truth="results/simulated/exposures/{pointing}/{band}/truth.json",
    log:
        "logs/simulate_exposures/{pointing}_{band}.log",
    benchmark:
        "results/benchmarks/simulate_exposures/{pointing}_{band}.tsv"
    conda:
        "../../envs/simulate_exposures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=pointing_settings("simulate_exposures", "simulation"),
    script:
        "../scripts/simulate_exposures.py"


rule simulate_exposure_truth:
    input:
        scene="results/simulated/galaxies/{galaxy}/scene.npz",
        states="results/simulated/exposures/{pointing}/{band}/truth.json",
        line_list=RESOURCES / "lines.yaml",
        instruments=RESOURCES / "instruments.yaml",
    output:
        truth="results/simulated/exposures/{pointing}/{band}/{galaxy}_truth.fits",
    log:
        "logs/simulate_exposure_truth/{pointing}_{band}_{galaxy}.log",
    benchmark:
        "results/benchmarks/simulate_exposure_truth/{pointing}_{band}_{galaxy}.tsv"
    conda:
        "../../envs/simulate_exposure_truth.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=exposure_truth_settings,
    script:
        "../scripts/simulate_exposure_truth.py"


rule reduce_pointing:
    input:
        exposures=exposure_files("exposures"),
        standard=exposure_files("standard"),
        line_list=RESOURCES / "lines.yaml",
        sky_lines=RESOURCES / "oh_lines_rousselot2000.dat",
    output:
        cubes="results/reduced/{pointing}/{band}/cubes.fits",
        stars="results/reduced/{pointing}/{band}/stars.ecsv",
        sky="results/reduced/{pointing}/{band}/sky.ecsv",
        noise="results/reduced/{pointing}/{band}/noise.ecsv",
        calibration="results/reduced/{pointing}/{band}/calibration.ecsv",
        pdf="results/reduced/{pointing}/{band}/quality.pdf",
        png=report(
            "results/reduced/{pointing}/{band}/quality.png",
            caption="../report/reduction.rst",
            category="2 Reduction",
            labels={"pointing": "{pointing}", "band": "{band}"},
        ),
    log:
        "logs/reduce_pointing/{pointing}_{band}.log",
    benchmark:
        "results/benchmarks/reduce_pointing/{pointing}_{band}.tsv"
    conda:
        "../../envs/reduce_pointing.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=pointing_settings("reduce_pointing", "reduce", "figures"),
    script:
        "../scripts/reduce_pointing.py"


rule pointing_seeing:
    input:
        stars=lambda wildcards: pointing_tables(wildcards.pointing, "stars"),
        noise=lambda wildcards: pointing_tables(wildcards.pointing, "noise"),
    output:
        pdf="results/reduced/{pointing}/seeing.pdf",
        png=report(
            "results/reduced/{pointing}/seeing.png",
            caption="../report/seeing.rst",
            category="2 Reduction",
            labels={"pointing": "{pointing}", "band": "seeing in all"},
        ),
    log:
        "logs/pointing_seeing/{pointing}.log",
    benchmark:
        "results/benchmarks/pointing_seeing/{pointing}.tsv"
    conda:
        "../../envs/pointing_seeing.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        settings=lambda wildcards: survey_settings(
            "pointing_seeing", pointing=wildcards.pointing, bands=pointing_bands(wildcards.pointing)
        ),
    script:
        "../scripts/pointing_seeing.py"


rule reduction_pages:
    input:
        [f"results/reduced/{name}/seeing.png" for name in pointings_with_stars()],

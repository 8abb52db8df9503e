# From exposures to combined cubes (paper, Sect. 2.2), for the pointings of config/exposures.tsv; nothing unless
# `reduce.start` is exposures.
from klever.config.exposures import SIMULATED_EXPOSURES

POINTINGS = SURVEY.pointings()


wildcard_constraints:
    pointing="|".join(re.escape(name) for name, _ in POINTINGS) or "none",


def pointing_entry(wildcards):
    return POINTINGS[wildcards.pointing, wildcards.band]


def exposure_files(kind):
    """Input function: the exposures of a pointing, or of its standard star."""
    numbers = range(SIMULATED_EXPOSURES if kind == "exposures" else 2)

    def paths(wildcards):
        entry = pointing_entry(wildcards)
        if entry[kind] is not None:
            return entry[kind]
        folder = f"results/simulated/exposures/{wildcards.pointing}/{wildcards.band}"
        return [f"{folder}/{kind}_{number:02d}.fits" for number in numbers]

    return paths


def pointing_settings(rule, *sections):
    """Parameters of a step on one pointing in one band."""

    def settings(wildcards):
        entry = pointing_entry(wildcards)
        names = [name for name in entry["galaxies"] if name in GALAXIES]
        return {
            "code": code_digest(SCRIPTS / f"{rule}.py"),
            "pointing": wildcards.pointing,
            "band": wildcards.band,
            "galaxies": names,
            "stars": entry["stars"],
            "standard": {"temperature": entry["temperature"], "magnitude": entry["magnitude"]},
            "seeing": SURVEY.observation(names[0], wildcards.band)["psf_fwhm"] if names else 0.5,
            "redshifts": {name: SURVEY.galaxy(name)["z"] for name in names},
            **SURVEY.survey_settings(*sections),
        }

    return settings


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
    conda:
        "../../envs/simulate_exposures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=pointing_settings("simulate_exposures", "simulation"),
    script:
        "../scripts/simulate_exposures.py"


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
        pdf=report(
            "results/reduced/{pointing}/{band}/quality.pdf",
            caption="../report/reduction.rst",
            category="Reduction",
            labels={"pointing": "{pointing}", "band": "{band}"},
        ),
        png="results/reduced/{pointing}/{band}/quality.png",
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

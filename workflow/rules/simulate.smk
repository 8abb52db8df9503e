# Simulated sky and observations, for observations marked `simulated`. Independent of the analysis.
SIMULATED_LENS = (
    "results/simulated/lenses/{lens}/hlsp_frontier_model_{lens}_simulated_v1_"
)
SIMULATED_CLASH_LENS = (
    "results/simulated/lenses/{lens}/hlsp_clash_model_{lens}_simulated_v1_"
)
SIMULATED_GALAXY = "results/simulated/galaxies/{galaxy}/"
SIMULATED_CUBE = "results/simulated/cubes/{galaxy}/{band}"
HST_FILTERS = ["f435w", "f606w", "f814w", "f105w", "f125w", "f140w", "f160w"]


def simulation_settings(galaxy, *names):
    """What the simulated galaxy is made of, and these settings of the simulation."""
    settings = SURVEY.settings(galaxy, "simulation")["simulation"]
    return {
        "components": SURVEY.simulated_components(galaxy),
        **{name: settings[name] for name in names},
    }


def lens_simulation(wildcards):
    return {
        "code": code_digest(SCRIPTS / "simulate_lens.py"),
        "lens": wildcards.lens,
        **SURVEY.survey_settings("simulation"),
    }


rule simulate_lens:
    input:
        parameters=RESOURCES / "simulation/lenses.yaml",
    output:
        kappa=SIMULATED_LENS + "kappa.fits",
        gamma=SIMULATED_LENS + "gamma.fits",
        x_deflection=SIMULATED_LENS + "x-arcsec-deflect.fits",
        y_deflection=SIMULATED_LENS + "y-arcsec-deflect.fits",
        realisations=directory("results/simulated/lenses/{lens}/range"),
    log:
        "logs/simulate_lens/{lens}.log",
    benchmark:
        "results/benchmarks/simulate_lens/{lens}.tsv"
    wildcard_constraints:
        lens="rxj2248",
    conda:
        "../../envs/simulate_lens.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        settings=lens_simulation,
    script:
        "../scripts/simulate_lens.py"


use rule simulate_lens as simulate_clash_lens with:
    output:
        kappa=SIMULATED_CLASH_LENS + "kappa.fits",
        gamma=SIMULATED_CLASH_LENS + "gamma.fits",
        x_deflection=SIMULATED_CLASH_LENS + "x-arcsec-deflect.fits",
        y_deflection=SIMULATED_CLASH_LENS + "y-arcsec-deflect.fits",
        realisations=directory("results/simulated/lenses/{lens}/range"),
    wildcard_constraints:
        lens="(?!rxj2248)[A-Za-z0-9_-]+",


rule simulate_galaxy:
    input:
        lens_parameters=RESOURCES / "simulation/lenses.yaml",
        line_list=RESOURCES / "lines.yaml",
        calibrations=RESOURCES / "calibrations.json",
    output:
        scene=SIMULATED_GALAXY + "scene.npz",
        source_truth=SIMULATED_GALAXY + "source_truth.fits",
        truth=SIMULATED_GALAXY + "truth.ecsv",
        hst_images=[f"{SIMULATED_GALAXY}hst_{name}.fits" for name in HST_FILTERS],
    log:
        "logs/simulate_galaxy/{galaxy}.log",
    conda:
        "../../envs/simulate_galaxy.yaml"
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        settings=lambda wildcards: galaxy_settings("simulate_galaxy", wildcards.galaxy)
        | simulation_settings(wildcards.galaxy, "seed", "fine_pixel_scale"),
    script:
        "../scripts/simulate_galaxy.py"


rule simulate_cube:
    input:
        scene=SIMULATED_GALAXY + "scene.npz",
        line_list=RESOURCES / "lines.yaml",
        instruments=RESOURCES / "instruments.yaml",
        sky_lines=RESOURCES / "oh_lines_rousselot2000.dat",
    output:
        cube=SIMULATED_CUBE + ".fits",
        truth=SIMULATED_CUBE + "_truth.fits",
    log:
        "logs/simulate_cube/{galaxy}_{band}.log",
    conda:
        "../../envs/simulate_cube.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=lambda wildcards: band_settings(
            "simulate_cube", wildcards.galaxy, wildcards.band
        )
        | simulation_settings(wildcards.galaxy, "seed", "noise_scale"),
    script:
        "../scripts/simulate_cube.py"

# Simulated sky and observations, for observations marked `simulated`. Independent of the analysis.
HST_FILTERS = ["f435w", "f606w", "f814w", "f105w", "f125w", "f140w", "f160w"]


rule simulate_lens:
    input:
        parameters=RESOURCES / "simulation/lenses.yaml",
    output:
        kappa="results/simulated/lenses/{lens}/hlsp_frontier_model_{lens}_simulated_v1_kappa.fits",
        gamma="results/simulated/lenses/{lens}/hlsp_frontier_model_{lens}_simulated_v1_gamma.fits",
        x_deflection="results/simulated/lenses/{lens}/hlsp_frontier_model_{lens}_simulated_v1_x-arcsec-deflect.fits",
        y_deflection="results/simulated/lenses/{lens}/hlsp_frontier_model_{lens}_simulated_v1_y-arcsec-deflect.fits",
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
        kappa="results/simulated/lenses/{lens}/hlsp_clash_model_{lens}_simulated_v1_kappa.fits",
        gamma="results/simulated/lenses/{lens}/hlsp_clash_model_{lens}_simulated_v1_gamma.fits",
        x_deflection="results/simulated/lenses/{lens}/hlsp_clash_model_{lens}_simulated_v1_x-arcsec-deflect.fits",
        y_deflection="results/simulated/lenses/{lens}/hlsp_clash_model_{lens}_simulated_v1_y-arcsec-deflect.fits",
        realisations=directory("results/simulated/lenses/{lens}/range"),
    wildcard_constraints:
        lens="(?!rxj2248)[A-Za-z0-9_-]+",


rule simulate_galaxy:
    input:
        lens_parameters=RESOURCES / "simulation/lenses.yaml",
        line_list=RESOURCES / "lines.yaml",
        calibrations=RESOURCES / "calibrations.json",
        photometry=RESOURCES / "simulation/photometry.tsv",
    output:
        scene="results/simulated/galaxies/{galaxy}/scene.npz",
        source_truth="results/simulated/galaxies/{galaxy}/source_truth.fits",
        truth="results/simulated/galaxies/{galaxy}/truth.ecsv",
        hst_images=["results/simulated/galaxies/{galaxy}/hst_%s.fits" % name for name in HST_FILTERS],
    log:
        "logs/simulate_galaxy/{galaxy}.log",
    benchmark:
        "results/benchmarks/simulate_galaxy/{galaxy}.tsv"
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
        scene="results/simulated/galaxies/{galaxy}/scene.npz",
        line_list=RESOURCES / "lines.yaml",
        instruments=RESOURCES / "instruments.yaml",
        sky_lines=RESOURCES / "oh_lines_rousselot2000.dat",
    output:
        cube="results/simulated/cubes/{galaxy}/{band}.fits",
        truth="results/simulated/cubes/{galaxy}/{band}_truth.fits",
    log:
        "logs/simulate_cube/{galaxy}_{band}.log",
    benchmark:
        "results/benchmarks/simulate_cube/{galaxy}_{band}.tsv"
    conda:
        "../../envs/simulate_cube.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=lambda wildcards: band_settings("simulate_cube", wildcards.galaxy, wildcards.band)
        | simulation_settings(wildcards.galaxy, "seed", "noise_scale"),
    script:
        "../scripts/simulate_cube.py"

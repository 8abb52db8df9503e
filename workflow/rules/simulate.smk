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


# All bands of a galaxy are one job: they are seen in the same scene, and a job costs half a second before it begins. What
# a rule makes is fixed, so there is one for each set of bands, also for the empty one: galaxies that start from exposures.
for BANDS, MEMBERS in by_simulated_cubes().items():

    rule simulate_galaxy:
        name:
            "_".join(["simulate_galaxy", *BANDS])
        input:
            lens_parameters=RESOURCES / "simulation/lenses.yaml",
            line_list=RESOURCES / "lines.yaml",
            calibrations=RESOURCES / "calibrations.json",
            photometry=RESOURCES / "simulation/photometry.tsv",
            instruments=RESOURCES / "instruments.yaml",
            sky_lines=RESOURCES / "oh_lines_rousselot2000.dat",
        output:
            scene="results/simulated/galaxies/{galaxy}/scene.npz",
            source_truth="results/simulated/galaxies/{galaxy}/source_truth.fits",
            truth="results/simulated/galaxies/{galaxy}/truth.ecsv",
            hst_images=["results/simulated/galaxies/{galaxy}/hst_%s.fits" % name for name in HST_FILTERS],
            cubes=[f"results/simulated/cubes/{{galaxy}}/{band}.fits" for band in BANDS],
            cube_truths=[f"results/simulated/cubes/{{galaxy}}/{band}_truth.fits" for band in BANDS],
        log:
            "logs/simulate_galaxy/{galaxy}.log",
        benchmark:
            "results/benchmarks/simulate_galaxy/{galaxy}.tsv"
        wildcard_constraints:
            galaxy="|".join(map(re.escape, MEMBERS)),
        conda:
            "../../envs/simulate_galaxy.yaml"
        resources:
            mem_mb=2000,
            runtime=15,
        params:
            settings=galaxy_simulation,
        script:
            "../scripts/simulate_galaxy.py"

"""Simulate and ingest one cube with the project's own steps, without a workflow."""

from pathlib import Path

from klever.config.loading import load_survey

__all__ = ["simulate"]


def simulate(folder, root, galaxy, band, config, size=1.0, sfr=1.0):
    """Write ``cube.fits`` (canonical) and ``truth.fits`` of one band of a simulated galaxy into `folder`.

    Parameters
    ----------
    folder, root : Path
        Where to write; the project.
    galaxy, band : str
    config : dict
        Content of config/config.yaml.
    size, sfr : float
        Factors on the galaxy's effective radius and star formation rate.

    Returns
    -------
    dict
        Settings of the band: z, psf_fwhm, ...
    """
    from ingest import ingest_cube
    from simulate_galaxy import simulate_galaxy

    folder, resources = Path(folder), root / "resources"
    survey = load_survey(config, root, resources, root / "workflow/schemas")
    components = [
        row | {"effective_radius_kpc": size * row["effective_radius_kpc"], "sfr": sfr * row["sfr"]}
        for row in survey.simulated_components(galaxy)
    ]
    settings = {
        "galaxy": galaxy, "band": band, "components": components, **survey.galaxy(galaxy),
        **survey.settings(galaxy, "simulation")["simulation"], **survey.settings(galaxy, "ingest"),
        **survey.observation(galaxy, band), "bands": {band: survey.observation(galaxy, band)},
    }  # fmt: skip
    sky = resources / "oh_lines_rousselot2000.dat"
    instruments = resources / "instruments.yaml"
    simulate_galaxy(
        lens_parameters=resources / "simulation/lenses.yaml", calibrations=resources / "calibrations.json",
        line_list=resources / "lines.yaml", instruments=instruments, sky_lines=sky, scene=folder / "scene.npz",
        source_truth=folder / "source_truth.fits", truth=folder / "truth.ecsv", hst_images=[],
        cubes=[folder / "raw.fits"], cube_truths=[folder / "truth.fits"], settings=settings,
    )  # fmt: skip
    ingest_cube(folder / "raw.fits", sky, instruments, folder / "cube.fits", settings)
    return settings

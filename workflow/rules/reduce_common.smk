# What the rules of the reduction share: pointings, exposures and parameters.
from klever.config.exposures import SIMULATED_EXPOSURES

POINTINGS = SURVEY.pointings()


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


def pointing_bands(pointing):
    """Bands of a pointing, in the order of the table."""
    return [band for name, band in POINTINGS if name == pointing]


def pointing_tables(pointing, table):
    """One table of the reduction of a pointing in each of its bands."""
    return [f"results/reduced/{pointing}/{band}/{table}.ecsv" for band in pointing_bands(pointing)]


def pointings_with_stars():
    """Pointings whose seeing is measured on stars: those of KMOS."""
    return sorted({name for (name, _), entry in POINTINGS.items() if entry["stars"]})


def pointing_settings(rule, *sections):
    """Parameters of a step on one pointing in one band."""

    def settings(wildcards):
        entry = pointing_entry(wildcards)
        names = [name for name in entry["galaxies"] if name in GALAXIES]
        return {
            "code": code_digest(SCRIPTS / f"{rule}.py"),
            "pointing": wildcards.pointing,
            "band": wildcards.band,
            "instrument": entry["instrument"],
            "galaxies": names,
            "stars": entry["stars"],
            "standard": {"temperature": entry["temperature"], "magnitude": entry["magnitude"]},
            "seeing": SURVEY.observation(names[0], wildcards.band)["psf_fwhm"] if names else 0.5,
            "redshifts": {name: SURVEY.galaxy(name)["z"] for name in names},
            **SURVEY.survey_settings(*sections),
        }

    return settings


def exposure_truth_settings(wildcards):
    """Parameters of the truth of one galaxy of a simulated pointing."""
    return {
        "code": code_digest(SCRIPTS / "simulate_exposure_truth.py"),
        "pointing": wildcards.pointing,
        "galaxy": wildcards.galaxy,
        "band": wildcards.band,
        "instrument": pointing_entry(wildcards)["instrument"],
    }


def cube_truths():
    """Noise-free maps of every simulated galaxy and band, as its cube or its exposures show them."""
    paths = []
    for galaxy in SIMULATED:
        for band in SURVEY.bands(galaxy):
            pointing = SURVEY.pointing(galaxy, band)
            if pointing is None:
                paths.append(f"results/simulated/cubes/{galaxy}/{band}_truth.fits")
            elif POINTINGS[pointing, band]["exposures"] is None:
                paths.append(f"results/simulated/exposures/{pointing}/{band}/{galaxy}_truth.fits")
    return paths

# What every stage shares: the validated survey, paths, and the parameters of a rule.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(str(workflow.current_basedir)).parents[1]
SCRIPTS = ROOT / "workflow/scripts"
RESOURCES = ROOT / "resources"
sys.path.append(str(SCRIPTS))

from klever.codedigest import code_digest
from klever.config.loading import load_survey
from klever.errors import ConfigError

try:
    SURVEY = load_survey(config, Path.cwd(), RESOURCES, ROOT / "workflow/schemas")
except ConfigError as error:
    raise WorkflowError(str(error)) from None

GALAXIES = SURVEY.galaxies
GALAXY = "results/galaxies/{galaxy}/"
BAND = "results/galaxies/{galaxy}/{band}/"
FIGURES = SURVEY.survey_settings("figures")["figures"]


wildcard_constraints:
    galaxy="|".join(map(re.escape, GALAXIES)) or "none",
    band="[A-Za-z0-9]+",
    lens="[A-Za-z0-9_-]+",


def galaxy_settings(rule, galaxy, *sections):
    """Parameters of a step on one galaxy: what it needs to know of it, the sections of the config, the code's digest."""
    return {
        "code": code_digest(SCRIPTS / f"{rule}.py"),
        "galaxy": galaxy,
        **SURVEY.galaxy(galaxy),
        **(SURVEY.settings(galaxy, *sections) if sections else {}),
    }


def band_settings(rule, galaxy, band, *sections):
    """Parameters of a step on one band of one galaxy."""
    return (
        galaxy_settings(rule, galaxy, *sections)
        | {"band": band}
        | SURVEY.observation(galaxy, band)
    )


def bands_settings(rule, galaxy, *sections):
    """Parameters of a step on all bands of one galaxy."""
    bands = SURVEY.bands(galaxy)
    seeing = {band: SURVEY.observation(galaxy, band)["psf_fwhm"] for band in bands}
    return galaxy_settings(rule, galaxy, *sections) | {
        "bands": bands,
        "psf_fwhm": seeing,
    }


def per_band(pattern):
    """Input function: `pattern` for each band of the galaxy."""
    return lambda wildcards: [
        pattern.format(galaxy=wildcards.galaxy, band=band)
        for band in SURVEY.bands(wildcards.galaxy)
    ]

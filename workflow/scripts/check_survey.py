"""Check the configuration and open every input file of a survey; write what was found to results/checks/inputs.ecsv.

Exit status 1 if anything cannot be used.
"""

import argparse
import os
import sys
from pathlib import Path

import yaml

from check_inputs import check_inputs
from klever.config import load_survey
from klever.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def survey_inputs(survey):
    """Return one request per cube, lens map and image of a `klever.config.Survey`, as `check_inputs` takes them."""
    requests, lenses = [], set()
    for galaxy in survey.galaxies:
        entry = survey.galaxy(galaxy)
        for band in survey.bands(galaxy):
            observation = survey.observation(galaxy, band)
            requests.append({"kind": "cube", "galaxy": galaxy, "band": band, "z": entry["z"], **observation})
        model = survey.lens(galaxy)
        if model.get("x_deflection") and model["name"] not in lenses:
            lenses.add(model["name"])
            requests.append({"kind": "lens", "lens": model["name"], **model})
        if image := survey.image(galaxy):
            requests.append({"kind": "image", "galaxy": galaxy, "image": image})
    return requests


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(), help="survey folder with its config/")
    os.chdir(parser.parse_args().directory)
    try:
        file = Path("config/config.yaml")
        settings = yaml.safe_load(file.read_text()) if file.is_file() else {}
        survey = load_survey(settings, Path.cwd(), ROOT / "resources", ROOT / "workflow/schemas")
    except ConfigError as error:
        sys.exit(f"The configuration cannot be used:\n{error}")
    print(f"Configuration: {len(survey.galaxies)} galaxies, no error.")
    table = Path("results/checks/inputs.ecsv")
    table.parent.mkdir(parents=True, exist_ok=True)
    errors = check_inputs(survey_inputs(survey), table)
    print(f"What was found in the input files is in {table}.")
    sys.exit(min(errors, 1))

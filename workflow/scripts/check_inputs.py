"""Check the configuration and open every input file of a survey: the work behind ``make check``.

What was found is written to results/checks/inputs.ecsv; the exit status is 1 if anything cannot be used.
"""

import argparse
import os
import sys
from pathlib import Path

from klever.config.loading import load_survey
from klever.config.schema import Problems, read_yaml
from klever.errors import ConfigError
from klever.inspection.inputs import inspect, write_inspection

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path("results/checks/inputs.ecsv")


def survey_inputs(survey):
    """Return one request per cube, pointing, lens model and image of a `klever.config.survey.Survey` for `inspect`."""
    requests, lenses = [], set()
    for galaxy in survey.galaxies:
        entry = survey.galaxy(galaxy)
        position = {"galaxy": galaxy, "z": entry["z"], "ra": entry["ra"], "dec": entry["dec"]}
        lines = survey.line_list(galaxy)
        barycentric = survey.settings(galaxy, "ingest")["ingest"]["barycentric"]
        for band in survey.bands(galaxy):
            if survey.pointing(galaxy, band):  # its cube is reduced from exposures
                continue
            observation = survey.observation(galaxy, band)
            requests.append(position | {"band": band, "barycentric": barycentric, "line_list": lines} | observation)
        model = survey.lens(galaxy)
        if model["origin"] != "none" and model["name"] not in lenses:
            lenses.add(model["name"])
            behind = {name: survey.galaxy(name)["z"] for name in survey.galaxies
                      if survey.galaxy(name)["lens"] == model["name"]}  # fmt: skip
            places = {galaxy: [survey.galaxy(galaxy)[key] for key in ("ra", "dec")] for galaxy in behind}
            requests.append({"lens": model["name"], "galaxies": behind, "places": places, **model})
        if not survey.simulated(galaxy):
            requests += [
                position | {"image": path, "band": name} for name, path in survey.lens(galaxy)["images"].items()
            ]
    for (pointing, band), entry in survey.pointings().items():
        requests.append({"pointing": pointing, "band": band, **entry})
    return requests


def check_inputs(directory):
    """Check a survey folder, print what is not right, and return the exit status."""
    if not directory.is_dir():
        print(f"The survey folder {directory} does not exist; name one that holds config/.")
        return 1
    os.chdir(directory)
    file, problems = Path("config/config.yaml"), Problems()
    settings = read_yaml(file, str(file), problems) if file.is_file() else {}
    if problems:
        print("\n".join(problems))
        return 1
    try:
        survey = load_survey(settings, Path.cwd(), ROOT / "resources", ROOT / "workflow/schemas")
    except ConfigError as error:
        print(error)
        return 1
    print(f"Configuration: {len(survey.galaxies)} galaxies, nothing wrong.")
    rows = inspect(survey_inputs(survey))
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    write_inspection(rows, TABLE)
    for row in rows:
        if row["state"] != "ok":
            what = " ".join(filter(None, (row["name"], row["band"], row["kind"])))
            print(f"{row['state']}: {what}: {row['message']}")
    counts = {state: sum(row["state"] == state for row in rows) for state in ("ok", "warning", "error")}
    simulated = sum(row["file"] == "simulated" for row in rows)
    print(
        f"Inputs: {counts['ok']} ok ({simulated} of them simulated by the workflow), "
        f"{counts['warning']} with warnings, {counts['error']} that cannot be used; see {directory / TABLE}."
    )
    return int(counts["error"] > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(), help="survey folder with its config/")
    sys.exit(check_inputs(parser.parse_args().directory))

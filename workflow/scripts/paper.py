"""Gather figures, tables and captions of a survey's results in results/paper/, and all of them in one PDF."""

import argparse
import sys
from pathlib import Path

import yaml

from klever import __version__
from klever.config.loading import load_survey
from klever.errors import KleverError
from klever.publish.paper_sheet import find_products, gather, write_sheet

ROOT = Path(__file__).resolve().parents[2]


def make_paper(directory):
    """Gather what a survey folder has; returns the exit status."""
    results, config = directory / "results", directory / "config/config.yaml"
    settings = yaml.safe_load(config.read_text(encoding="utf-8")) if config.is_file() else {}
    try:
        survey = load_survey(settings or {}, directory, ROOT / "resources", ROOT / "workflow/schemas")
        products = find_products(ROOT / "resources/paper_products.yaml", results)
    except KleverError as error:
        print(error)
        return 1
    missing = [product.name for product in products if product.file is None]
    if len(missing) == len(products):
        print(f"{results} has no figure and no table; run the survey first.")
        return 1
    origin = _origin(survey)
    gather(products, results / "paper", origin)
    write_sheet(products, results / "paper/sheet.pdf", origin)
    absent = f"; missing: {', '.join(missing)}" if missing else ""
    print(f"{results / 'paper'}: {len(products) - len(missing)} products{absent}")
    return 0


def _origin(survey):
    """Return what the data are and the settings that decide most."""
    simulated = sum(survey.simulated(galaxy) for galaxy in survey.galaxies)
    kind = "Simulated data." if simulated == len(survey.galaxies) else "The survey's own data."
    if 0 < simulated < len(survey.galaxies):
        kind = f"{simulated} of {len(survey.galaxies)} galaxies are simulated."
    chosen = survey.survey_settings("metallicity", "gradient", "lines")
    return (
        f"{kind} Calibration {chosen['metallicity']['calibration']}, "
        f"smoothing {chosen['lines']['smoothing_fwhm']} arcsec, "
        f"gradient errors: {chosen['gradient']['errors']}; klever {__version__}."
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(), help="survey folder")
    sys.exit(make_paper(parser.parse_args().directory))

"""Gather figures, tables and captions of a survey's results in results/paper/, and all of them in one PDF."""

import argparse
import sys
from pathlib import Path

import yaml

from klever.config.loading import load_survey
from klever.errors import KleverError
from klever.publish.captions import caption_notes
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
    notes = caption_notes(survey)
    gather(products, results / "paper", notes)
    write_sheet(products, results / "paper/sheet.pdf", notes)
    absent = f"; missing: {', '.join(missing)}" if missing else ""
    print(f"{results / 'paper'}: {len(products) - len(missing)} products{absent}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(), help="survey folder")
    sys.exit(make_paper(parser.parse_args().directory))

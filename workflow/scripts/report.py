"""Write report.html, Snakemake's report of a survey's results with a sortable page for every table."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import yaml

from klever.config.loading import load_survey
from klever.errors import KleverError
from klever.publish.captions import caption_notes
from klever.publish.report_pages import write_pages
from klever.publish.runtimes import write_runtimes

ROOT = Path(__file__).resolve().parents[2]
_TITLE = "<title>Snakemake Report</title>"


def make_report(directory, output):
    """Report what a survey folder has; returns the exit status."""
    results, config = directory / "results", directory / "config/config.yaml"
    settings = yaml.safe_load(config.read_text(encoding="utf-8")) if config.is_file() else {}
    if not (results / "galaxies").is_dir():
        print(f"{results} holds nothing that a run made; run the survey first.")
        return 1
    try:
        survey = load_survey(settings or {}, directory, ROOT / "resources", ROOT / "workflow/schemas")
        notes = caption_notes(survey)
        write_runtimes(results / "benchmarks", results / "runtimes.ecsv")
        write_pages(survey, notes, results)
    except KleverError as error:
        print(error)
        return 1
    command = [
        sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(directory), "--nolock",
        "--report", str(output.resolve()), "--report-stylesheet", str(ROOT / "workflow/report/report.css"),
        "report_sections",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": ""}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        print(done.stdout)
        return done.returncode
    if output.suffix == ".html":
        title = f"<title>KLEVER survey: {notes['count']}, {notes['grade']}</title>"
        text = output.read_text(encoding="utf-8").replace(_TITLE, title, 1)
        output.write_text(text, encoding="utf-8")
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, opens in a browser without a network.")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(), help="survey folder")
    parser.add_argument(
        "--output", type=Path, help="file to write, .html or .zip (default: report.html in the survey folder)"
    )
    options = parser.parse_args()
    sys.exit(make_report(options.directory, options.output or options.directory / "report.html"))

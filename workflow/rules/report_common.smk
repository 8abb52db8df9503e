# What the report holds: every product that the rules flag for it and that is there, and the pages of `make report`.
import csv
from functools import cache

from snakemake.io import flag, get_flag_value, glob_wildcards, is_flagged, strip_wildcard_constraints

from klever.publish.captions import caption_notes

# Captions quote the survey as it was read, with its defaults.
config["report"] = caption_notes(SURVEY)

# Pages that are of no flagged table. Flags that an input function gives need the place of their captions themselves.
PAGES = {"status": "state of the run", "runtimes": "run times and memory", "input": "input and settings"}
CAPTIONS = {name: workflow.current_basedir.join(f"../report/{name}.rst") for name in PAGES}


def stopped_galaxies():
    """Galaxies of which a step failed, or waits for one that did, when the last run ended."""
    path = Path("results/status.ecsv")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = csv.DictReader([line for line in lines if not line.startswith("#")], delimiter=" ")
    return {row["galaxy"] for row in rows if row["state"] in ("failed", "blocked")}


@cache
def flagged_products():
    """Products that rules flag for the report and that are there: {path: pattern}.

    After a failure those of the whole survey and of the galaxies that wait are left out: they are of an earlier run.
    """
    stopped, found = stopped_galaxies(), {}
    for step in workflow.rules:
        for pattern in step.output:
            if is_flagged(pattern, "report"):
                found |= dict.fromkeys(existing(pattern, stopped), pattern)
    return found


def existing(pattern, stopped):
    """The files of a flagged pattern that are there."""
    if not pattern.get_wildcard_names():
        return [str(pattern)] if Path(str(pattern)).is_file() and not stopped else []
    plain, values = strip_wildcard_constraints(str(pattern)), glob_wildcards(str(pattern))
    found = []
    for names in [dict(zip(values._fields, entry)) for entry in zip(*values)]:
        galaxies = [names["galaxy"]] if "galaxy" in names else []
        if "lens" in names:
            galaxies = [galaxy for galaxy in GALAXIES if SURVEY.galaxy(galaxy)["lens"] == names["lens"]]
        if stopped.isdisjoint(galaxies):
            found.append(plain.format(**names))
    return found


def report_products(wildcards):
    """Input function: the flagged products."""
    return list(flagged_products())


def report_pages(wildcards):
    """Input function: the pages that `make report` wrote, each beside the table it shows."""
    pages = []
    for path, pattern in flagged_products().items():
        page = Path("results/report", *Path(path).parts[1:]).with_suffix(".html")
        own = Path(path).with_suffix(".html").is_file()
        if path.endswith(".ecsv") and page.is_file() and not own:
            of_table = get_flag_value(pattern, "report")
            labels = of_table.labels | {"as": "a page"}
            pages.append(flag(str(page), "report", of_table._replace(labels=labels)))
    for name, title in PAGES.items():
        path, labels = f"results/report/{name}.html", {"result": title, "as": "a page"}
        if Path(path).is_file():
            page = report(path, caption=CAPTIONS[name], category="9 Run", labels=labels)
            pages.append(page)
    return pages

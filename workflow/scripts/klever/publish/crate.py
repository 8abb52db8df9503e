"""Provenance of a results folder as an RO-Crate: what made each product, when, from which inputs and settings."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

from klever.archive.download import file_digest

__all__ = ["changed_products", "make_crate", "read_jobs"]

# https://www.researchobject.org/workflow-run-crate/profiles/provenance_run_crate/
_PROFILES = [
    "https://w3id.org/ro/wfrun/process/0.5", "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/ro/wfrun/provenance/0.5", "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
]  # fmt: skip
_CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
_WORKFLOW = "workflow/Snakefile"
_OWN = ("provenance.json", "ro-crate-metadata.json")
_BYPRODUCTS = (
    "README.md", "previous", "status.ecsv", "runtimes.ecsv", "benchmarks", "kernel", "checks", "paper", "report",
)  # fmt: skip
_MEDIA = {
    ".fits": "application/fits", ".ecsv": "text/csv", ".pdf": "application/pdf", ".png": "image/png",
    ".tex": "application/x-tex", ".json": "application/json", ".npz": "application/zip", ".html": "text/html",
    ".txt": "text/plain",
}  # fmt: skip


def read_jobs(metadata, results):
    """Return the jobs that made the products in a results folder, from Snakemake's own records.

    Parameters
    ----------
    metadata : path-like
        ``.snakemake/metadata`` of the survey folder.
    results : path-like
        Products that are no longer there are left out.

    Returns
    -------
    list of dict
        ``rule``, ``inputs``, ``outputs`` (paths as Snakemake has them, sorted), ``settings`` (text), ``start`` and
        ``end`` (seconds since 1970); in the order of the outputs.
    """
    folder, results = Path(metadata), Path(results)
    jobs = {}
    for record in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = "".join(part.removeprefix("@") for part in record.relative_to(folder).parts)
        try:
            output = base64.b64decode(name, validate=True).decode()
            content = json.loads(record.read_text(encoding="utf-8"))
        except (ValueError, OSError):
            continue  # a record that Snakemake could not use either
        path = Path(output)
        if not path.is_relative_to(results.name) or not (results.parent / path).exists() or content.get("incomplete"):
            continue
        # each output has a record of its own, with a time of its own
        key = (content["rule"], tuple(content["log"]), tuple(content["input"]), tuple(content["params"]))
        job = jobs.setdefault(key, {
            "rule": content["rule"], "inputs": sorted(content["input"]), "outputs": [],
            "settings": "\n".join(content["params"]), "start": content["starttime"], "end": content["endtime"],
        })  # fmt: skip
        job["outputs"].append(output)
        job["start"], job["end"] = min(job["start"], content["starttime"]), max(job["end"], content["endtime"])
    for job in jobs.values():
        job["outputs"].sort()
    return sorted(jobs.values(), key=lambda job: job["outputs"][0])


def make_crate(jobs, survey, root, about):
    """Describe products and jobs as JSON-LD (RO-Crate 1.1, Provenance Run Crate 0.5).

    Parameters
    ----------
    jobs : list of dict
        From `read_jobs`.
    survey, root : path-like
        The survey folder, which holds ``results``, and the workflow's.
    about : dict
        ``version`` of the workflow, ``snakemake``, ``python``, ``packages`` (dict of versions), ``config`` (list of
        files under ``config/``), ``simulated`` (bool), ``name``, ``licence``.

    Returns
    -------
    dict
    """
    survey, root = Path(survey), Path(root)
    names, files = _Names(survey, root), {}

    def file(path):
        identifier, place = names(path)
        if identifier not in files and place.is_file():
            files[identifier] = _file(identifier, place)
        elif identifier not in files:
            files[identifier] = {"@id": identifier, "@type": "Dataset", "name": Path(path).name}
        return {"@id": identifier}

    rules = sorted({job["rule"] for job in jobs})
    software = [_software(name, version) for name, version in sorted(about["packages"].items())]
    actions, steps, controls = [], [], []
    for number, job in enumerate(jobs):
        actions.append({
            "@id": f"#job-{number:05d}", "@type": "CreateAction", "name": f"{job['rule']}: {job['outputs'][0]}",
            "instrument": {"@id": f"#script-{job['rule']}"}, "object": [file(path) for path in job["inputs"]]
            + [{"@id": f"#settings-{number:05d}"}], "result": [file(path) for path in job["outputs"]],
            "startTime": _time(job["start"]), "endTime": _time(job["end"]),
            "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
        })  # fmt: skip
        actions.append({
            "@id": f"#settings-{number:05d}", "@type": "PropertyValue", "name": "settings", "value": job["settings"],
        })  # fmt: skip
    for position, rule in enumerate(rules):
        steps.append({
            "@id": f"{_WORKFLOW}#step-{rule}", "@type": "HowToStep", "name": rule, "position": str(position),
            "workExample": {"@id": f"#script-{rule}"},
        })  # fmt: skip
        steps.append({
            "@id": f"#script-{rule}", "@type": "SoftwareApplication", "name": rule,
            "softwareVersion": about["version"], "url": f"workflow/scripts/{rule}.py",
            "softwareRequirements": [{"@id": entry["@id"]} for entry in software],
        })  # fmt: skip
        made = [{"@id": f"#job-{number:05d}"} for number, job in enumerate(jobs) if job["rule"] == rule]
        controls.append({
            "@id": f"#control-{rule}", "@type": "ControlAction", "name": f"orchestrate {rule}",
            "instrument": {"@id": f"{_WORKFLOW}#step-{rule}"}, "object": made,
        })  # fmt: skip
    config = [file(path) for path in about["config"]]
    products = [file(path) for job in jobs for path in job["outputs"]]
    start, end = (pick(job[key] for job in jobs) for pick, key in ((min, "start"), (max, "end")))
    kind = "simulated data" if about["simulated"] else "the survey's own data"
    graph = [
        {
            "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"},
            "conformsTo": [{"@id": "https://w3id.org/ro/crate/1.1"}, {"@id": _PROFILES[-1]}],
        },
        {
            "@id": "./", "@type": "Dataset", "name": about["name"], "datePublished": _time(end),
            "description": f"Products of klever {about['version']} from {kind}.", "license": about["licence"],
            "conformsTo": [{"@id": profile} for profile in _PROFILES], "mainEntity": {"@id": _WORKFLOW},
            "hasPart": [{"@id": _WORKFLOW}, *products], "mentions": [{"@id": "#run"}, *controls_of(controls)],
        },
        *({"@id": profile, "@type": "CreativeWork", "name": profile.rsplit("/", 2)[-2]} for profile in _PROFILES),
        {
            "@id": _WORKFLOW, "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "klever", "programmingLanguage": {"@id": "#snakemake"}, "version": about["version"],
            "step": [{"@id": f"{_WORKFLOW}#step-{rule}"} for rule in rules],
            "hasPart": [{"@id": f"#script-{rule}"} for rule in rules],
        },
        {"@id": "#snakemake", "@type": ["ComputerLanguage", "SoftwareApplication"], "name": "Snakemake",
         "url": "https://snakemake.github.io", "version": about["snakemake"]},
        _software("python", about["python"]),
        {
            "@id": "#run", "@type": "CreateAction", "name": "run of the workflow", "instrument": {"@id": _WORKFLOW},
            "object": config, "result": products, "startTime": _time(start), "endTime": _time(end),
        },
        {"@id": "#orchestration", "@type": "OrganizeAction", "name": "orchestration by Snakemake",
         "instrument": {"@id": "#snakemake"}, "result": {"@id": "#run"}, "object": controls_of(controls)},
        *controls, *software, *steps, *(files[name] for name in sorted(files)), *actions,
    ]  # fmt: skip
    return {"@context": _CONTEXT, "@graph": graph}


def controls_of(controls):
    """Return references to the control actions."""
    return [{"@id": entry["@id"]} for entry in controls]


def changed_products(crate, results):
    """Compare a results folder with its provenance.

    Parameters
    ----------
    crate : dict
        From `make_crate`.
    results : path-like

    Returns
    -------
    list of str
        A sentence for every product that is missing, was changed, or is not in the provenance; empty if all is well.
    """
    results = Path(results)
    known = {entry["@id"]: entry for entry in crate["@graph"] if entry.get("@type") == "File" and "sha256" in entry}
    found = []
    for name, entry in sorted(known.items()):
        if name.startswith("#"):
            continue
        path = results / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif str(path.stat().st_size) != entry["contentSize"] or file_digest(path) != entry["sha256"]:
            found.append(f"{name} was changed after it was made by {_maker(crate, name)}")
    described = [entry["@id"] for entry in crate["@graph"] if entry.get("@type") == "Dataset"]
    for path in sorted(item for item in results.rglob("*") if item.is_file()):
        name = path.relative_to(results).as_posix()
        inside = any(name.startswith(f"{folder.rstrip('/')}/") for folder in described if folder != "./")
        if name not in known and name not in _OWN and not inside and not _byproduct(name):
            found.append(f"{name} is not in the provenance")
    return found


def _byproduct(name):
    """Return whether a file is written by the run itself and not by a job."""
    return name in _BYPRODUCTS or name.split("/")[0] in _BYPRODUCTS


def _maker(crate, name):
    jobs = (entry for entry in crate["@graph"] if entry["@id"].startswith("#job-"))
    return next((job["name"].split(":")[0] for job in jobs if {"@id": name} in job["result"]), "the run")


class _Names:
    """Identifiers of files: products relative to ``results``, files of the workflow and of the survey with a ``#``."""

    def __init__(self, survey, root):
        self.survey, self.root = survey.resolve(), root.resolve()

    def __call__(self, path):
        place = Path(path) if Path(path).is_absolute() else self.survey / path
        if place.is_relative_to(self.survey / "results"):
            return place.relative_to(self.survey / "results").as_posix(), place
        for base, label in ((self.survey, "survey"), (self.root, "workflow")):
            if place.is_relative_to(base):
                return f"#{label}/{place.relative_to(base).as_posix()}", place
        return f"#elsewhere/{place.name}", place  # no path of a machine goes into what is published


def _file(identifier, place):
    return {
        "@id": identifier, "@type": "File", "name": place.name, "contentSize": str(place.stat().st_size),
        "sha256": file_digest(place), "encodingFormat": _MEDIA.get(place.suffix, "application/octet-stream"),
    }  # fmt: skip


def _software(name, version):
    return {"@id": f"#package-{name}", "@type": "SoftwareApplication", "name": name, "softwareVersion": version}


def _time(seconds):
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="seconds")

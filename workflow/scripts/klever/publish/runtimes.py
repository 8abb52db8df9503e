"""Resource use of a run, rule by rule, from the benchmark file that each of its jobs leaves.

Called when a run ends, also from the main Snakemake process, so astropy is imported only to write.
"""

import csv
import statistics
from pathlib import Path

__all__ = ["collect_runtimes", "write_runtimes"]

_COLUMNS = {
    "rule": (None, "rule of the workflow"),
    "jobs": (None, "jobs that ended well, each counted with its last run"),
    "cpu": ("s", "processor time of all jobs"),
    "wall": ("s", "wall time of all jobs, as if one ran after the other"),
    "wall_median": ("s", "wall time of a job, median"),
    "wall_longest": ("s", "wall time of the slowest job"),
    "slowest": (None, "wildcards of the slowest job; empty where the rule has one job"),
    "memory_largest": ("MB", "largest resident memory of a job; masked where all were too short to be sampled"),
    "largest": (None, "wildcards of the job with the largest memory"),
}


def collect_runtimes(folder):
    """Return the resource use of each rule, the most wall time first.

    Parameters
    ----------
    folder : path-like
        ``results/benchmarks`` with ``<rule>.tsv`` of rules that run once and ``<rule>/<wildcards>.tsv`` of others.

    Returns
    -------
    list of dict
        The columns of ``results/runtimes.ecsv``: ``rule``, ``jobs``, ``cpu`` and ``wall`` (s, sums),
        ``wall_median`` and ``wall_longest`` (s), ``slowest`` (wildcards), ``memory_largest`` (MB; NaN where Snakemake
        could not sample any job) and ``largest`` (wildcards).  Files that cannot be read are left out.
    """
    folder = Path(folder)
    jobs = {}
    for path in sorted(folder.rglob("*.tsv")):
        parts = path.relative_to(folder).with_suffix("").parts
        measured = _read(path)
        if measured is not None:
            jobs.setdefault(parts[0], []).append(("/".join(parts[1:]), *measured))
    rows = [_summary(rule, measured) for rule, measured in jobs.items()]
    return sorted(rows, key=lambda row: (-row["wall"], row["rule"]))


def _read(path):
    """Return wall time (s), processor time (s) and memory (MB) of a job; None if the file has no such numbers."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        return float(rows[-1]["s"]), _number(rows[-1]["cpu_time"]), _number(rows[-1]["max_rss"])
    except (OSError, UnicodeDecodeError, IndexError, KeyError, ValueError, TypeError, csv.Error):
        return None


def _number(text):
    """Return the number of a cell; NaN for the dashes and NA of jobs that ended before they were sampled."""
    return float("nan") if text in {"NA", "-", ""} else float(text)


def _summary(rule, jobs):
    sampled = [job for job in jobs if job[3] == job[3]]
    slowest = max(jobs, key=lambda job: job[1])
    largest = max(sampled, key=lambda job: job[3], default=("", 0.0, 0.0, float("nan")))
    return {
        "rule": rule,
        "jobs": len(jobs),
        "cpu": round(sum(job[2] for job in jobs if job[2] == job[2]), 2),
        "wall": round(sum(job[1] for job in jobs), 2),
        "wall_median": round(statistics.median(job[1] for job in jobs), 2),
        "wall_longest": slowest[1],
        "slowest": slowest[0],
        "memory_largest": largest[3],
        "largest": largest[0],
    }


def write_runtimes(folder, path):
    """Write `collect_runtimes` of a folder of benchmarks as an ECSV table; returns its number of rules.

    Parameters
    ----------
    folder, path : path-like
    """
    import numpy as np
    from astropy.table import MaskedColumn, Table

    rows = collect_runtimes(folder)
    kinds = {"jobs": int, "rule": str, "slowest": str, "largest": str}
    columns = []
    for name, (unit, description) in _COLUMNS.items():
        values = np.array([row[name] for row in rows], dtype=kinds.get(name, float))
        mask = np.isnan(values) if values.dtype.kind == "f" else False
        columns.append(MaskedColumn(values, name=name, unit=unit, description=description, mask=mask))
    table = Table(columns)
    table.meta["description"] = (
        "Resource use by rule: the last run of every job that left a benchmark, also those of earlier runs whose "
        "results still stand"
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    table.write(path, format="ascii.ecsv", overwrite=True)
    return len(rows)

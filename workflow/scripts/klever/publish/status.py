"""State of a run: what became of each galaxy at each stage, read from products and logs.

The functions are called when a run ends, also from the main Snakemake process, so nothing heavy is imported before it
is needed and only headers are read.
"""

import csv
import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["STAGES", "STATES", "Stage", "collect_status", "format_failures", "write_status"]

STATES = (
    "done",
    "not_detected",
    "no_line_in_band",
    "unresolved",
    "excluded",
    "outside_lens_model",
    "failed",
    "blocked",
    "not_run",
)

_COLUMNS = {
    "galaxy": "as in galaxies.tsv; empty for a job on the whole survey",
    "stage": "of the flow",
    "band": "of a stage on one cube; empty for a stage on the whole galaxy",
    "state": "done, a state that is a result, or failed, blocked, not_run",
    "reason": "why it failed, what it waits for, or the state the product reports of itself",
    "log": "of a job that failed",
    "previous": "the last good product, of an earlier run, of a step that was not done",
}


class Stage(NamedTuple):
    """One stage of the flow of a galaxy.

    Parameters
    ----------
    name : str
        Name in the table.
    rule : str
        Snakemake rule, which names the folder of its logs.
    product : str
        Path under the results folder; the file whose existence means that the job ended well.
    state_of : str
        File that carries the state; empty when it is the product.
    per_band : bool
        One job per band, not per galaxy.
    needs : tuple of str
        Names of the stages directly before it.
    silent : bool
        Listed only when it failed: simulations, which a run on real data does not have.
    """

    name: str
    rule: str
    product: str
    state_of: str = ""
    per_band: bool = False
    needs: tuple = ()
    silent: bool = False


_GALAXY = "galaxies/{galaxy}/"
STAGES = (
    Stage("simulate_lens", "simulate_lens", "simulated/lenses/{lens}/range", silent=True),
    Stage("lens_realisations", "lens_realisations", "lenses/{lens}/realisations/analysis.ecsv", silent=True),
    Stage("simulate_galaxy", "simulate_galaxy", "simulated/galaxies/{galaxy}/scene.npz", silent=True),
    Stage("simulate_exposures", "simulate_exposures", "simulated/exposures/{pointing}/{band}/truth.json", per_band=True,
          needs=("simulate_galaxy",), silent=True),
    Stage("reduce", "reduce_pointing", "reduced/{pointing}/{band}/cubes.fits", per_band=True,
          needs=("simulate_exposures",)),
    Stage("ingest", "ingest", _GALAXY + "{band}/cube.fits", per_band=True, needs=("simulate_galaxy", "reduce")),
    Stage("lines", "lines", _GALAXY + "{band}/linemaps.fits", _GALAXY + "{band}/lines.ecsv", True, ("ingest",)),
    Stage("quality", "line_quality", _GALAXY + "quality.pdf", needs=("lines",)),
    Stage("align", "align", _GALAXY + "aligned.fits", needs=("simulate_galaxy", "lines")),
    Stage("lens", "lens", _GALAXY + "lens.fits", needs=("simulate_lens", "align")),
    Stage("source", "source", _GALAXY + "source.fits", needs=("align", "lens")),
    Stage("magnification", "magnification", _GALAXY + "magnification.ecsv",
          needs=("source", "lens", "lens_realisations")),
    Stage("photometry", "photometry", _GALAXY + "photometry.ecsv", needs=("simulate_galaxy", "lines")),
    Stage("stellar_mass", "stellar_mass", _GALAXY + "stellar_mass.ecsv", needs=("photometry", "magnification")),
    Stage("global_metallicity", "global_metallicity", _GALAXY + "properties.ecsv", needs=("lines",)),
    Stage("ionised_gas", "ionised_gas", _GALAXY + "star_formation.ecsv",
          needs=("source", "magnification", "global_metallicity")),
    Stage("metallicity_map", "metallicity_map", _GALAXY + "metallicity.fits", needs=("source", "global_metallicity")),
    Stage("gradient", "gradient", _GALAXY + "gradient.ecsv", needs=("source", "metallicity_map", "global_metallicity")),
    Stage("lens_spread", "lens_spread", _GALAXY + "lens_spread.ecsv", needs=("magnification", "metallicity_map")),
    Stage("page", "galaxy_page", _GALAXY + "summary.pdf", needs=("gradient",)),
)  # fmt: skip


def collect_status(results_dir, observations, logs_dir, failed=(), lenses=None, previous=None, pointings=None):
    """Return the state of every stage of every galaxy, and of every other job that failed.

    Parameters
    ----------
    results_dir, logs_dir : path-like
        Folders ``results`` and ``logs`` of the run.
    observations : iterable of (str, str)
        Galaxy and band of each cube, in the order of the tables (a dict keyed by such pairs will do).
    failed : iterable of dict, optional
        Jobs known to have failed: ``rule``, ``galaxy`` (or lens; empty for a job on the whole survey), ``band`` and
        ``log``.  Without them a stage has failed when its product is missing and its log holds a line that starts with
        ``ERROR: ``; with them also a job that died without a word is named, and one that is no stage of a galaxy.
    lenses : dict of str to str, optional
        Lens of each galaxy, to follow a failed simulation of a lens to its galaxies.
    previous : dict of str to str, optional
        From `klever.previous.settle`.
    pointings : dict of (str, str) to str, optional
        Pointing of each galaxy and band that starts from exposures; the others have no stage ``reduce``.

    Returns
    -------
    list of dict
        ``galaxy``, ``stage``, ``band`` (empty for stages on the whole galaxy), ``state`` (one of `STATES`), ``reason``
        (one sentence, or the state that the product itself reports when it is not in `STATES`; empty when done),
        ``log`` (path of a job that failed, else empty) and ``previous`` (where the last good product is).
    """
    results, logs = Path(results_dir), Path(logs_dir)
    failed = {job["log"]: job for job in failed}
    bands = {}
    for galaxy, band in observations:
        bands.setdefault(galaxy, []).append(band)
    rows = []
    for galaxy, its_bands in bands.items():
        states = {}
        for stage in STAGES:
            for band in its_bands if stage.per_band else [""]:
                names = {"galaxy": galaxy, "band": band, "lens": (lenses or {}).get(galaxy, "")}
                names["pointing"] = (pointings or {}).get((galaxy, band), "")
                if "{pointing}" in stage.product and not names["pointing"]:
                    continue
                state, reason, log = _state(stage, names, states, results, logs, failed)
                states[stage.name, band] = state
                if not stage.silent or state == "failed":
                    kept = (previous or {}).get(str(results / stage.product.format(**names)), "")
                    row = (galaxy, stage.name, band, state, reason, log, kept)
                    rows.append(dict(zip(_COLUMNS, row, strict=True)))
    told = {row["log"] for row in rows}
    for log, job in sorted(failed.items()):
        if log not in told:
            row = (job["galaxy"], job["rule"], job["band"], "failed", _last_error(Path(log)) or _DIED, log, "")
            rows.append(dict(zip(_COLUMNS, row, strict=True)))
    return rows


_DIED = "The job ended without saying why: it was killed, or ran out of memory or time; see the end of its log."


def _state(stage, names, states, results, logs, failed):
    """State, reason and log of one stage of a galaxy whose earlier `states` are known."""
    broken = [key for key, state in states.items() if _precedes(key, stage, names["band"]) and state in _STOPPING]
    if broken:
        name, band = broken[0]
        return "blocked", f"needs {name}{f' {band}' if band else ''}", ""
    log = logs / stage.rule / f"{_log_name(stage, names)}.log"
    product = results / stage.product.format(**names)
    if not product.exists():
        reason = _last_error(log)
        if reason is None and str(log) in failed:
            reason = _DIED
        return ("not_run", "", "") if reason is None else ("failed", reason, str(log))
    try:
        reported = _reported_state(results / (stage.state_of or stage.product).format(**names), stage)
    except (OSError, ValueError, KeyError, StopIteration) as error:
        return "failed", f"{product} cannot be read ({error}); delete it and run again.", str(log)
    state = _TRANSLATION.get(reported, reported if reported in STATES else "done")
    return state, "" if reported in {"ok", state} else reported, ""


_STOPPING = {"failed", "blocked"}
_TRANSLATION = {"ok": "done", "too_few_annuli": "unresolved"}


def _precedes(key, stage, band):
    """Whether the stage of `key` = (name, band) must be done before `stage` (of this band)."""
    return key[0] in stage.needs and not (stage.per_band and key[1] not in {"", band})


def _log_name(stage, names):
    if "{lens}" in stage.product:
        return f"{names['lens']}/analysis" if stage.name == "lens_realisations" else names["lens"]
    if "{pointing}" in stage.product:
        return f"{names['pointing']}_{names['band']}"
    return f"{names['galaxy']}_{names['band']}" if stage.per_band else names["galaxy"]


def _last_error(log):
    """Text of the last line of a log that starts with ``ERROR: ``, None without one."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.removeprefix("ERROR: ") for line in reversed(lines) if line.startswith("ERROR: ")), None)


def _reported_state(path, stage):
    """State that a product reports of itself; 'ok' where it has nothing to report."""
    if stage.silent or path.suffix not in {".fits", ".ecsv"}:
        return "ok"
    if path.suffix == ".fits":
        from astropy.io import fits

        return str(fits.getheader(path, 0).get("STATE", "ok"))
    meta_state, rows = _read_ecsv(path)
    if stage.name == "lines":
        detected = any(row["detected"] == "True" for row in rows)
        return meta_state if meta_state != "ok" or detected else "not_detected"
    states = [_row_state(row) for row in rows if "state" in row]
    return "ok" if "ok" in states else (states or [meta_state])[0]


def _row_state(row):
    """State of one row: a gradient inside the PSF is unresolved though it was measured."""
    return "unresolved" if row["state"] == "ok" and row.get("resolved") == "unresolved" else row["state"]


def _read_ecsv(path):
    """State in the metadata ('ok' without one) and the rows as dicts of text; astropy.table takes 50 times as long."""
    with Path(path).open(encoding="utf-8", newline="") as stream:
        lines = stream.read().splitlines()
    if not lines or not lines[0].startswith("# %ECSV"):
        raise ValueError("it is not an ECSV table")
    header = " ".join(line for line in lines if line.startswith("#"))
    found = re.search(r"[ {]state: '?(\w+)", header[header.find("# meta:") :] if "# meta:" in header else "")
    body = [line for line in lines if line and not line.startswith("#")]
    return found.group(1) if found else "ok", list(csv.DictReader(body, delimiter=" "))


def write_status(table, path):
    """Write the rows of `collect_status` as an ECSV table."""
    from astropy.table import Table

    columns = {name: [row[name] for row in table] for name in _COLUMNS}
    dtypes = [f"U{max([1, *map(len, columns[name])])}" for name in _COLUMNS]
    written = Table(columns, names=list(_COLUMNS), dtype=dtypes)
    for name, description in _COLUMNS.items():
        written[name].info.description = description
    written.meta["description"] = "State of every stage of every galaxy at the end of the last run"
    written.meta["states"] = list(STATES)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    written.write(path, format="ascii.ecsv", overwrite=True)


def format_failures(table):
    """Return what failed and what is blocked by it as text for a terminal; empty when nothing failed.

    Parameters
    ----------
    table : list of dict
        From `collect_status`.
    """
    failures = [row for row in table if row["state"] == "failed"]
    if not failures:
        return ""
    galaxies = {row["galaxy"] for row in failures}
    lines = [f"{len(failures)} {'job' if len(failures) == 1 else 'jobs'} failed:"]
    for row in failures:
        lines.append(f"  {row['galaxy'] or 'the survey'}  {' '.join(filter(None, (row['stage'], row['band'])))}")
        lines += [f"      {row['reason']}", f"      log: {row['log']}"]
        lines += [f"      last good product: {row['previous']}"] if row["previous"] else []
    blocked = {}
    for row in table:
        if row["state"] == "blocked":
            blocked.setdefault(row["galaxy"], []).append(" ".join(filter(None, (row["stage"], row["band"]))))
    if blocked:
        lines.append("Not done because of that:")
        lines += [f"  {galaxy}  {', '.join(stages)}" for galaxy, stages in blocked.items()]
    names = {stage.name for stage in STAGES}
    untouched = len({row["galaxy"] for row in table if row["stage"] in names} - galaxies)
    other = "other " if any(galaxies) else ""
    lines.append(f"{untouched} {other}{'galaxy is' if untouched == 1 else 'galaxies are'} not affected.")
    return "\n".join(lines)

"""Time every package on the same spaxels, and compare its chi2 with ours in the same model."""

import importlib
import importlib.metadata
import platform
import time
from pathlib import Path

import numpy as np

from klever.codedigest import code_digest
from linefit import ROOT, ours
from linefit.peers import scipy_curve_fit

__all__ = ["PEERS", "compare", "measure"]

PEERS = (
    "scipy_curve_fit", "scipy_jacobian", "lmfit_minimize", "astropy_trf", "astropy_levmar", "specutils_fit_lines",
    "ppxf_gas", "lime_bands",
)  # fmt: skip
REFERENCE = "scipy curve_fit"
_SAME, _DIFFERENT, _BRIGHT = 0.01, 1.0, 5.0


def measure(problem, peers=PEERS, progress=print):
    """Run our engines and `peers` (modules of ``linefit.peers``) on the problem.

    Returns
    -------
    dict
        What ``results/linefit.json`` holds; see benchmarks/README.md.
    """
    entries, best = [], None
    for engine in ours.ENGINES:
        entry = {"name": f"klever, {engine}", "ours": True, "limits": []}
        entry["absent"] = ours.available(engine)
        if not entry["absent"]:
            result, seconds = ours.timed(problem, engine)
            entry |= {"spaxels": len(problem.flux), **_speed(np.array(seconds) / len(problem.flux))}
            entry["versions"] = _versions(("numpy", "numba") if engine == "compiled" else ("numpy",))
            found = ours.solutions(problem, result)
            if best is None:
                best, fitted_by = found, entry["name"]
            else:
                rows = np.arange(len(problem.flux))
                entry["comparison"] = compare(problem, rows, best, found)
        entries.append(entry)
        progress(_line(entry))
    for name in peers:
        entries.append(_run_peer(problem, name, best))
        progress(_line(entries[-1]))
    reference = next((entry["speed"] for entry in entries if entry["name"] == REFERENCE and not entry["absent"]), None)
    for entry in entries:
        if reference and not entry["absent"]:
            entry["ratio"] = entry["speed"] / reference
    return {
        "problem": {
            "data": problem.source, "spaxels": len(problem.flux), "channels": len(problem.wavelength),
            "bright_spaxels": int(np.sum(problem.snr > _BRIGHT)), "lines": problem.model.names,
            "chi2_compared_with": fitted_by,
        },
        "machine": {"cpu": _cpu(), "python": platform.python_version(), "threads": 1},
        "code": code_digest(ROOT / "workflow/scripts/lines.py"),
        "entries": entries,
        "convergence": _convergence(problem, best),
    }  # fmt: skip


def compare(problem, rows, best, found):
    """Compare our chi2 with a package's on spaxels `rows`, all and those of true S/N > 5.

    Parameters
    ----------
    rows : ndarray of int
    best, found : list of Solution
        Ours of all spaxels; the package's of `rows`.

    Returns
    -------
    dict
        For ``all`` and ``bright``: spaxels compared, and the fractions of them where the two agree to 0.01 (``same``),
        ours is ``better`` or ``worse`` by more than 1, or worse and the package has no line in absorption
        (``worse_emission``; our search starts only where lines are in emission); ``failed``, spaxels where the package
        gave no solution (counted as better); ``not_fitted``, where ours gave none (not compared).
    """
    mine = np.array([problem.judge(row, best[row])[0] for row in rows])
    theirs, lowest = np.array([problem.judge(row, solution) for row, solution in zip(rows, found, strict=True)]).T
    result = {}
    for name, chosen in (("all", np.ones(len(rows), bool)), ("bright", problem.snr[rows] > _BRIGHT)):
        fitted = chosen & np.isfinite(mine)
        difference = mine[fitted] - theirs[fitted]
        worse = difference > _DIFFERENT
        finite = difference[np.isfinite(difference)]
        result[name] = {
            "spaxels": int(fitted.sum()), "same": _mean(np.abs(difference) < _SAME),
            "better": _mean(difference < -_DIFFERENT), "worse": _mean(worse),
            "worse_emission": _mean(worse & (lowest[fitted] >= 0)),
            "median_difference": float(np.median(finite)) if finite.size else None,
            "failed": int(np.isinf(theirs[chosen]).sum()), "not_fitted": int((chosen & ~np.isfinite(mine)).sum()),
        }  # fmt: skip
    return result


def _run_peer(problem, name, best):
    """Time one package on its subset of the spaxels."""
    try:
        peer = importlib.import_module(f"linefit.peers.{name}")
    except ImportError as error:
        return {"name": name, "ours": False, "limits": [], "absent": f"not installed ({error.name})"}
    rows = problem.subset(peer.SPAXELS)
    solve = peer.solver(problem)
    _attempt(solve, rows[0])
    seconds, found = [], []
    for row in rows:
        begin = time.process_time()
        found.append(_attempt(solve, row))
        seconds.append(time.process_time() - begin)
    return {
        "name": peer.NAME, "ours": False, "limits": list(peer.LIMITS), "absent": "", "spaxels": len(rows),
        **_speed(seconds),
        "versions": _versions(peer.PACKAGES), "comparison": compare(problem, rows, best, found),
    }  # fmt: skip


def _speed(seconds):
    """Spaxels per second and the standard error, from the CPU seconds per spaxel of several measurements."""
    mean = float(np.mean(seconds))
    return {"speed": 1 / mean, "speed_error": float(np.std(seconds) / mean**2 / np.sqrt(len(seconds)))}


def _convergence(problem, best):
    """Compare ours with curve_fit started at our own solution: how far we stop from the minimum we are in."""
    rows = np.array([row for row in range(len(best)) if best[row] is not None])
    solve = scipy_curve_fit.solver(problem, lambda row: ours.parameters_of(problem, best[row]))
    return compare(problem, rows, best, [_attempt(solve, row) for row in rows])


def _attempt(solve, row):
    """Return the solution of a spaxel; a package that raises has none."""
    try:
        return solve(row)
    except (ArithmeticError, RuntimeError, TypeError, ValueError, np.linalg.LinAlgError):
        return None


def _versions(packages):
    return {package: importlib.metadata.version(package) for package in packages}


def _mean(values):
    return float(np.mean(values)) if len(values) else None


def _line(entry):
    return f"{entry['name']}: " + (entry["absent"] or f"{entry['speed']:.4g} spaxels/s")


def _cpu():
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()

"""Whether recomputed values bear out what the paper says."""

import logging
import math

from klever.audit.registry import STATISTICS, Result, Untestable
from klever.errors import InputError
from klever.row_tables import Column

__all__ = ["AUDIT_COLUMNS", "audit", "evaluate", "verdict"]

logger = logging.getLogger(__name__)

AGREES, DIFFERS, UNTESTABLE, WITHIN_ERROR = "agrees", "differs", "cannot be tested", "within its error"
_SIGMA = 2.0  # a run's value that differs by less than this many sampling errors is within its error

AUDIT_COLUMNS = [
    Column("id", str, "of resources/claims.yaml"),
    Column("section", str, "where the paper says so"),
    Column("claim", str, "what it says"),
    Column("printed", str, "the value as printed"),
    Column("unit", str, "of the values"),
    Column("tolerance", float, "rounding of the printed value"),
    Column("compare", str, "equal | at_least | at_most | between | names"),
    Column("from_tables", str, "recomputed from the printed tables"),
    Column("verdict", str, "of that: agrees | differs | cannot be tested"),
    Column("verdict_note", str, "why it cannot be tested, what was counted"),
    Column("from_run", str, "from the run's own results"),
    Column("from_run_error", float, "1 sigma sampling error"),
    Column("run_verdict", str, f"of that, also: within its error ({_SIGMA:g} sigma); simulated: of simulated galaxies"),
    Column("run_note", str, "why it cannot be tested, what was counted"),
    Column("tables_number", float, "from_tables as a number"),
    Column("run_number", float, "from_run as a number"),
    Column("statistic", str, "function of klever.audit"),
    Column("arguments", str, "of that function"),
    Column("note", str, "how the claim was read"),
]


def evaluate(claim, evidence):
    """Return the `Result` of a claim's statistic, or the reason (str) why there is none.

    Raises
    ------
    InputError
        An argument of the claim has a value that the statistic does not know.
    """
    try:
        result = STATISTICS[claim.statistic](evidence, **claim.arguments)
    except Untestable as reason:
        return str(reason)
    except (KeyError, StopIteration) as error:
        text = f"the arguments {claim.arguments} do not fit the statistic {claim.statistic} ({error!r})"
        raise InputError(f"claim {claim.id}: {text}; mend resources/claims.yaml.") from error
    if isinstance(result.value, float) and not math.isfinite(result.value):
        return "the value is not finite"
    return result


def verdict(claim, result, sampling_error=False):
    """Return the verdict on a value.

    Parameters
    ----------
    claim : klever.audit.claims.Claim
    result : klever.audit.registry.Result or str
        Of `evaluate`.
    sampling_error : bool
        Accept what is within `_SIGMA` sampling errors of the result: for other galaxies than the paper's.

    Returns
    -------
    verdict, note : str
    """
    if isinstance(result, str):
        return UNTESTABLE, result
    if result.untested:
        return UNTESTABLE, "; ".join(filter(None, [result.untested, result.note]))
    if claim.compare == "names":
        more = [name for name in result.value if name not in claim.names]
        fewer = [name for name in claim.names if name not in result.value]
        note = "; ".join(filter(None, [f"not printed: {', '.join(more)}" if more else "",
                                       f"printed only: {', '.join(fewer)}" if fewer else "", result.note]))  # fmt: skip
        return (DIFFERS if more or fewer else AGREES), note
    distance = _distance(claim, result.value)
    if distance <= claim.tolerance + 1e-9:
        return AGREES, result.note
    if sampling_error and distance <= claim.tolerance + _SIGMA * (result.error if result.error > 0 else 0.0):
        return WITHIN_ERROR, result.note
    return DIFFERS, result.note


def _distance(claim, value):
    """How far a value is from what the claim asserts; 0 if it is true."""
    if claim.compare == "between":
        low, high = claim.numbers
        return max(low - value, value - high, 0.0)
    difference = value - claim.numbers[0]
    return {"equal": abs(difference), "at_least": max(-difference, 0.0), "at_most": max(difference, 0.0)}[claim.compare]


def audit(claims, published, run):
    """Test all claims against the printed tables and against the run.

    Parameters
    ----------
    claims : list of klever.audit.claims.Claim
    published, run : klever.audit.registry.Evidence

    Returns
    -------
    list of dict
        By `AUDIT_COLUMNS`.
    """
    prefix = "simulated: " if run.survey.origin == "simulated" else ""
    rows = []
    for claim in claims:
        from_tables = evaluate(claim, published)
        constant = getattr(STATISTICS[claim.statistic], "constant", False)
        from_run = "takes nothing from the run" if constant else evaluate(claim, run)
        found, note = verdict(claim, from_tables)
        run_found, run_note = verdict(claim, from_run, sampling_error=True)
        error = from_run.error if isinstance(from_run, Result) else math.nan
        rows.append({
            "id": claim.id, "section": claim.section, "claim": claim.claim, "printed": claim.printed,
            "unit": claim.unit, "tolerance": claim.tolerance, "compare": claim.compare,
            "from_tables": _text(claim, from_tables), "verdict": found, "verdict_note": note,
            "from_run": _text(claim, from_run), "from_run_error": error,
            "run_verdict": run_found if run_found == UNTESTABLE else prefix + run_found, "run_note": run_note,
            "tables_number": _number(from_tables), "run_number": _number(from_run), "statistic": claim.statistic,
            "arguments": ", ".join(f"{key}={value}" for key, value in claim.arguments.items()), "note": claim.note,
        })  # fmt: skip
    return rows


def _number(result):
    return result.value if isinstance(result, Result) and isinstance(result.value, float) else math.nan


def _text(claim, result):
    """Return a value with a digit more than was printed."""
    if isinstance(result, str):
        return "-"
    if claim.compare == "names":
        return ", ".join(result.value) or "none"
    decimals = len(claim.printed.partition(".")[2].split()[0]) if "." in claim.printed else 0
    whole = float(result.value).is_integer() and not decimals
    return f"{result.value:.{0 if whole else decimals + 1}f}"

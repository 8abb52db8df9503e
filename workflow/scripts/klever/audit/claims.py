"""Claims of the paper, from ``resources/claims.yaml``; a new claim with a known statistic is a new entry there."""

import inspect
import math
import re
from dataclasses import dataclass, field

from klever.audit import gradients, properties  # noqa: F401 - registers their statistics
from klever.audit.registry import STATISTICS
from klever.config.schema import Problems, nearest, read_yaml
from klever.errors import InputError

__all__ = ["COMPARISONS", "Claim", "read_claims"]

COMPARISONS = ("equal", "at_least", "at_most", "between", "names")
_REQUIRED = ("id", "section", "claim", "printed", "statistic")
_OPTIONAL = ("tolerance", "compare", "unit", "arguments", "note")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")


@dataclass
class Claim:
    """One claim.

    Parameters
    ----------
    id, section, claim : str
        Its key, where the paper makes it, and what it says, in our words.
    printed : str
        As printed; names are separated by commas.
    numbers : tuple of float
        What a value is compared with: one number, two for ``between``, none for ``names``.
    tolerance : float
        Half a unit of the last printed digit unless given.
    compare : str
        One of `COMPARISONS`.
    statistic : str
    arguments : dict
    unit, note : str
    """

    id: str
    section: str
    claim: str
    printed: str
    numbers: tuple
    tolerance: float
    compare: str
    statistic: str
    arguments: dict = field(default_factory=dict)
    unit: str = ""
    note: str = ""

    @property
    def names(self):
        """The printed names of a claim that compares names."""
        return [name.strip() for name in self.printed.split(",") if name.strip()]


def read_claims(path):
    """Read and check the claims.

    Parameters
    ----------
    path : path-like
        YAML, a list of mappings.

    Returns
    -------
    list of Claim

    Raises
    ------
    InputError
        The file cannot be read, or an entry is not a claim; the message names the file, the entry and the remedy.
    """
    problems = Problems()
    content = read_yaml(path, str(path), problems)
    if problems:
        raise InputError(problems[0])
    if not isinstance(content, list) or not content:
        raise InputError(f"{path} must be a list of claims, each with {', '.join(_REQUIRED)}.")
    claims, seen = [], set()
    for number, entry in enumerate(content, 1):
        claim = _claim(entry, f"{path}: claim {number}")
        if claim.id in seen:
            raise InputError(f"{path}: claim {number}: the id {claim.id!r} is there twice; give each claim its own.")
        seen.add(claim.id)
        claims.append(claim)
    return claims


def _claim(entry, where):
    if not isinstance(entry, dict):
        raise InputError(f"{where} is no mapping; it needs {', '.join(_REQUIRED)}.")
    where = f"{where} ({entry['id']})" if entry.get("id") else where
    for name in _REQUIRED:
        if entry.get(name) in (None, ""):
            raise InputError(f"{where}: {name} is missing.")
    for name in entry:
        if name not in _REQUIRED + _OPTIONAL:
            raise InputError(f"{where}: unknown key {name!r}{nearest(name, _REQUIRED + _OPTIONAL)}")
    arguments = entry.get("arguments") or {}
    _check_statistic(entry["statistic"], arguments, where)
    compare = entry.get("compare", "equal")
    if compare not in COMPARISONS:
        raise InputError(f"{where}: compare is {compare!r}{nearest(compare, COMPARISONS)}")
    printed = str(entry["printed"])
    found = [match.group() for match in _NUMBER.finditer(printed)]
    expected = {"names": 0, "between": 2}.get(compare, 1)
    if expected and (len(found) < expected or not isinstance(entry["printed"], str)):
        what = "two numbers" if expected == 2 else "a number"
        raise InputError(
            f"{where}: printed is {entry['printed']!r}; write {what} in quotes, with the digits as printed."
        )
    tolerance = entry.get("tolerance", _rounding(found[0]) if expected else 0.0)
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0 <= tolerance < math.inf:
        raise InputError(f"{where}: tolerance is {tolerance!r}, but must be a number that is not negative.")
    numbers = tuple(float(text) for text in found[:expected])
    texts = {name: str(entry.get(name, "")) for name in ("id", "section", "claim", "statistic", "unit", "note")}
    return Claim(
        printed=printed, numbers=numbers, tolerance=float(tolerance), compare=compare, arguments=arguments, **texts
    )


def _rounding(text):
    """Half a unit of the last digit of a number as printed."""
    return 0.5 * 10.0 ** -len(text.partition(".")[2])


def _check_statistic(name, arguments, where):
    if name not in STATISTICS:
        raise InputError(f"{where}: there is no statistic {name!r}{nearest(name, STATISTICS)}")
    if not isinstance(arguments, dict):
        raise InputError(f"{where}: arguments must be a mapping, not {arguments!r}.")
    try:
        inspect.signature(STATISTICS[name]).bind(None, **arguments)
    except TypeError as error:
        raise InputError(f"{where}: the statistic {name} cannot be called so ({error}).") from None

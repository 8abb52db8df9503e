"""Files of emission lines: read, checked, and completed from the shipped list ``resources/lines.yaml``.

Only YAML and the standard library are imported: the configuration checks the lists at the start of every job.
"""

import re
from difflib import get_close_matches
from pathlib import Path

from klever.air import air_to_vacuum
from klever.config.schema import Problems, read_yaml
from klever.errors import ConfigError

__all__ = ["DOUBLET_RATIOS", "SHIPPED", "check_selection", "read_line_list", "require_known"]

SHIPPED = Path(__file__).resolve().parents[3] / "resources/lines.yaml"
DOUBLET_RATIOS = ("paper", "physical")

_LYMAN_LIMIT = 911.0  # Angstrom: a shorter wavelength is one in another unit
_AIR_LIMIT = 2000.0  # Angstrom: shorter wavelengths are given in vacuum
_SAME, _OTHER = 0.15, 0.5  # Angstrom: is a wavelength that of a known line, or is it not?
_EMPTY = {"lines": {}, "groups": {}, "sums": {}}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,31}")
# Maps that are no lines and the extensions of a map: lines and groups are extensions of FITS files.
_TAKEN = re.compile(r"(VELOCITY|DISPERSION|CHI2|OBS|LIMIT)_.*|.*_(ERR|FLAGS|BROAD)|CONTINUUM|NOISE_ACF|BIN|PRIMARY")


def read_line_list(path, shipped=SHIPPED, doublet_ratios="paper"):
    """Read and check a list of lines.

    Parameters
    ----------
    path : path-like
        YAML with ``lines``, ``groups``, ``sums``, ``include`` and ``medium``; see ``resources/lines.yaml``.
    shipped : path-like
        The list that ``include: default`` starts from, and whose wavelengths unmask air taken for vacuum.
    doublet_ratios : {'paper', 'physical'}
        Which value of the fixed ratios that have both; the others have one for both.

    Returns
    -------
    dict
        ``lines``: vacuum wavelength (Angstrom) by name.  ``groups``: by name, dicts of ``lines`` (names), ``main``,
        ``fixed_ratios`` (numerator, denominator, ratio) and ``bounded_ratios`` (numerator, denominator, low, high).
        ``sums``: names of lines by name.  ``notes``: sentences for the log on wavelengths that were converted.

    Raises
    ------
    ConfigError
        The file is not such a list; the message names file, entry and remedy.
    """
    content = _content(path)
    include = content.get("include")
    if include not in (None, "default"):
        raise ConfigError(f"{path}: include is {include!r}; the only list that can be included is `default`.")
    required = set() if include else {"lines", "groups"}
    _keys(content, {"include", "medium", "lines", "groups", "sums"}, path, "the top level", required)
    sections = {key: _section(content, key, path) for key in ("lines", "groups", "sums")}
    own = Path(path).absolute() != Path(shipped).absolute()
    base = read_line_list(shipped, shipped, doublet_ratios) if own else _EMPTY
    known, notes = base["lines"], []
    medium = _medium(content, None, path, "the top level")
    lines = {name: _wavelength(name, entry, medium, known, path, notes) for name, entry in sections["lines"].items()}
    started = base if include else _EMPTY
    lines = started["lines"] | lines
    groups = started["groups"] | {
        name: _group(name, entry, lines, path, doublet_ratios) for name, entry in sections["groups"].items()
    }
    sums = started["sums"] | {name: _sum(name, entry, lines, path) for name, entry in sections["sums"].items()}
    _check_names([*lines, *sums], "line or sum", path)
    _check_names(groups, "group", path)
    return {"lines": lines, "groups": groups, "sums": sums, "notes": notes}


def check_selection(names, groups):
    """Check that groups exist and have no line in common.

    Parameters
    ----------
    names : list of str
        Groups to fit.
    groups : dict of str to dict
        From `read_line_list`.

    Raises
    ------
    ConfigError
        A name is no group, or two of the groups hold the same line: it would be measured twice under one name.
    """
    owner = {}
    for name in names:
        require_known(name, groups, "lines.groups", "group")
        for line in groups[name]["lines"]:
            if owner.setdefault(line, name) != name:
                raise ConfigError(f"the groups {owner[line]} and {name} both hold the line {line}; choose one of them.")


def require_known(name, choices, where, kind):
    """Raise ConfigError, with the nearest choice or all of them, if `name` is not one of `choices`."""
    if not isinstance(name, str) or name not in choices:
        near = get_close_matches(str(name), [str(choice) for choice in choices], 1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(sorted(map(str, choices)))}."
        raise ConfigError(f"{where} names the unknown {kind} {name!r}; {hint}")


def _content(path):
    problems = Problems()
    content = read_yaml(path, str(path), problems)
    if problems:
        raise ConfigError(f"{problems[0].rstrip('.')}: the line list cannot be read.")
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{path} holds no entries; give it `lines` and `groups`, as in resources/lines.yaml.")
    return content


def _section(content, key, path):
    section = content.get(key)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: {key} must hold entries by name.")
    return section


def _medium(entry, default, path, where):
    medium = entry.get("medium", default)
    if medium not in (None, "air", "vacuum"):
        raise ConfigError(f"{path}: {where} has the medium {medium!r}; write air or vacuum.")
    return medium


def _wavelength(name, entry, medium, known, path, notes):
    """Return the vacuum wavelength of a line, Angstrom, and note how it came about."""
    where = f"line {name}"
    given = entry.get("wavelength") if isinstance(entry, dict) else None
    if not _number(given) or given <= 0:
        raise ConfigError(
            f"{path}: {where} has wavelength {given}; give its vacuum wavelength in Angstrom, above zero."
        )
    if given < _LYMAN_LIMIT:
        raise ConfigError(
            f"{path}: {where} has wavelength {given}, which in Angstrom is below the Lyman limit; give it in Angstrom "
            "(nm x 10, micrometre x 10000)."
        )
    _keys(entry, {"wavelength", "medium"}, path, where, {"wavelength"})
    medium = _medium(entry, medium, path, where)
    usual = known.get(name)
    if given < _AIR_LIMIT:
        if medium == "air":
            raise ConfigError(f"{path}: {where} has no wavelength in air: below 2000 A lines are given in vacuum.")
        return given
    vacuum = 1e4 * air_to_vacuum(1e-4 * given)
    if medium == "air":
        if usual is not None and abs(given - usual) < _SAME and abs(vacuum - usual) > _OTHER:
            raise ConfigError(
                f"{path}: {where} is said to be in air, but {given} A is its wavelength in vacuum; "
                "remove `medium: air` or give the wavelength in air."
            )
        notes.append(f"line {name} given in air at {given:.3f} A, used in vacuum at {vacuum:.3f} A")
        return vacuum
    if medium is None and usual is not None and abs(vacuum - usual) <= _SAME and abs(given - usual) > _OTHER:
        raise ConfigError(
            f"{path}: {where} has {given} A, its wavelength in air; add `medium: air`, or give that in vacuum, "
            f"{usual:.3f} A."
        )
    return given


def _group(name, entry, lines, path, doublet_ratios):
    where = f"{path}: group {name}"
    _keys(entry, {"lines", "main", "fixed_ratios", "bounded_ratios"}, path, f"group {name}", {"lines"})
    names = entry["lines"]
    if not isinstance(names, list) or not names or len(set(map(str, names))) != len(names):
        raise ConfigError(f"{where} must list at least one line, and each line once; it lists {names}.")
    for member in names:
        require_known(member, lines, where, "line")
    main = entry.get("main", names[0])
    require_known(main, names, f"{where}, main", "line of the group")
    fixed = [_fixed(item, names, where, doublet_ratios) for item in _items(entry, "fixed_ratios", where)]
    bounded = [_bounded(item, names, where) for item in _items(entry, "bounded_ratios", where)]
    if len(bounded) > 1:
        raise ConfigError(f"{where} bounds {len(bounded)} ratios; at most one can be solved exactly: split the group.")
    tied = {member: {member} for member in names}
    for numerator, denominator, _ in fixed:
        if tied[numerator] is tied[denominator]:
            raise ConfigError(
                f"{where} ties {numerator} and {denominator} twice, directly or by way of other lines; "
                "remove one of the fixed ratios."
            )
        tied[numerator] |= tied[denominator]
        for member in tied[numerator]:
            tied[member] = tied[numerator]
    for numerator, denominator, *_ in bounded:
        if tied[numerator] is tied[denominator]:
            raise ConfigError(f"{where} both fixes and bounds {numerator} over {denominator}; keep one of the two.")
    return {"lines": names, "main": main, "fixed_ratios": fixed, "bounded_ratios": bounded}


def _fixed(item, names, where, doublet_ratios):
    pair = _pair(item, {"ratio"}, {"physical"}, names, where)
    for key in ("ratio", "physical"):
        if key in item and not (_number(item[key]) and item[key] > 0):
            raise ConfigError(f"{where}: the fixed ratio of {pair[0]} and {pair[1]} must be a number above zero.")
    ratio = item.get("physical", item["ratio"]) if doublet_ratios == "physical" else item["ratio"]
    return (*pair, float(ratio))


def _bounded(item, names, where):
    pair = _pair(item, {"range"}, set(), names, where)
    limits = item["range"]
    if not (isinstance(limits, list) and len(limits) == 2 and all(map(_number, limits)) and 0 < limits[0] < limits[1]):
        raise ConfigError(f"{where}: the range of {pair[0]} over {pair[1]} must be [low, high], 0 < low < high.")
    return (*pair, *map(float, limits))


def _items(entry, key, where):
    items = entry.get(key) or []
    if not isinstance(items, list):
        raise ConfigError(f"{where}: {key} must be a list, each item after a dash.")
    return items


def _pair(item, required, optional, names, where):
    required = {"numerator", "denominator"} | required
    _keys(item, required | optional, where, "a ratio", required)
    for key in ("numerator", "denominator"):
        require_known(item[key], names, f"{where}, {key}", "line of the group")
    if item["numerator"] == item["denominator"]:
        raise ConfigError(f"{where} has a ratio of {item['numerator']} with itself; name two lines.")
    return item["numerator"], item["denominator"]


def _sum(name, members, lines, path):
    if not isinstance(members, list) or len(members) < 2:
        raise ConfigError(f"{path}: sum {name} must list at least two lines; it is {members}.")
    for member in members:
        require_known(member, lines, f"{path}: sum {name}", "line")
    return members


def _check_names(names, kind, path):
    """Names become names of maps, which do not know upper from lower case."""
    seen = {}
    for name in names:
        if not _NAME.fullmatch(name) or _TAKEN.fullmatch(name.upper()):
            raise ConfigError(
                f"{path}: the {kind} {name!r} cannot name a map, which takes up to 32 letters, digits and _.+- and "
                "is not one of the names that other maps have; choose another name."
            )
        if name.upper() in seen:
            raise ConfigError(f"{path}: {name} and {seen[name.upper()]} are the same name to a map; rename one {kind}.")
        seen[name.upper()] = name


def _keys(entry, allowed, path, where, required):
    if not isinstance(entry, dict):
        raise ConfigError(f"{path}: {where} must hold the entries {sorted(required)}.")
    for key in entry:
        require_known(key, allowed, f"{path}: {where}", "entry")
    if missing := required - set(entry):
        raise ConfigError(f"{path}: {where} lacks {sorted(missing)}; add it.")


def _number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)

"""The line list: rest wavelengths, groups of lines fitted together, and sums of lines (``resources/lines.yaml``)."""

from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import yaml

from klever.errors import ConfigError

__all__ = [
    "SPEED_OF_LIGHT",
    "BoundedRatio",
    "FixedRatio",
    "Group",
    "Line",
    "LineList",
    "instrumental_sigma",
    "lines_in_band",
    "load_instruments",
    "load_line_list",
]

SPEED_OF_LIGHT = 299792.458  # km/s
_FWHM_PER_SIGMA = 2.3548200450309493


@dataclass(frozen=True)
class Line:
    """An emission line: name and vacuum rest wavelength (micrometre)."""

    name: str
    wavelength: float


@dataclass(frozen=True)
class FixedRatio:
    """Flux of `numerator` is `ratio` times the flux of `denominator`."""

    numerator: str
    denominator: str
    ratio: float


@dataclass(frozen=True)
class BoundedRatio:
    """Flux of `numerator` over flux of `denominator` lies within [`low`, `high`]."""

    numerator: str
    denominator: str
    low: float
    high: float


@dataclass(frozen=True)
class Group:
    """Lines that share velocity and width (Curti et al. 2020, Sect. 3.1); `main` is the one they are named after."""

    name: str
    lines: tuple[Line, ...]
    main: str
    fixed_ratios: tuple[FixedRatio, ...] = ()
    bounded_ratios: tuple[BoundedRatio, ...] = ()

    def line(self, name):
        """Return the line called `name`."""
        return next(line for line in self.lines if line.name == name)


@dataclass(frozen=True)
class LineList:
    """All lines and groups by name, and sums as names of lines by name of the sum."""

    lines: dict[str, Line]
    groups: dict[str, Group]
    sums: dict[str, tuple[str, ...]]

    def select(self, names):
        """Return the groups called `names`, in that order.

        Raises
        ------
        ConfigError
            A name is no group of the list.
        """
        for name in names:
            _known(name, self.groups, "lines.groups", "group")
        return [self.groups[name] for name in names]


def load_line_list(path):
    """Read and check a line list.

    Parameters
    ----------
    path : path-like
        YAML with the entries ``lines`` (vacuum Angstrom), ``groups`` and ``sums``; see ``resources/lines.yaml``.

    Returns
    -------
    LineList
        Wavelengths in micrometre.

    Raises
    ------
    ConfigError
        The file is not such a list; the message names the entry and the remedy.
    """
    content = _read_yaml(path)
    _keys(content, {"lines", "groups", "sums"}, path, "the top level", required={"lines", "groups"})
    lines = {}
    for name, entry in content["lines"].items():
        wavelength = entry.get("wavelength") if isinstance(entry, dict) else None
        if not _number(wavelength) or wavelength <= 0:
            raise ConfigError(
                f"{path}: line {name} has wavelength {wavelength}; give its vacuum wavelength in Angstrom, above zero."
            )
        lines[name] = Line(name, wavelength * 1e-4)
    groups = {name: _group(name, entry, lines, path) for name, entry in content["groups"].items()}
    sums = {name: tuple(members) for name, members in (content.get("sums") or {}).items()}
    for name, members in sums.items():
        for member in members:
            _known(member, lines, f"{path}: sum {name}", "line")
    return LineList(lines, groups, sums)


def load_instruments(path):
    """Read ``resources/instruments.yaml``: band entries (``range`` in micrometre, ``resolution``) by instrument."""
    return _read_yaml(path)


def instrumental_sigma(instruments, instrument, band):
    """Return the Gaussian sigma (micrometre) of the line-spread function of a band, constant in wavelength across it.

    The resolving power is that at the band's centre: FWHM = centre / R (Curti et al. 2020, Sect. 3.1).

    Raises
    ------
    ConfigError
        Instrument or band is not listed.
    """
    _known(instrument, instruments, "resources/instruments.yaml", "instrument")
    _known(band, instruments[instrument], f"resources/instruments.yaml: {instrument}", "band")
    entry = instruments[instrument][band]
    return 0.5 * sum(entry["range"]) / entry["resolution"] / _FWHM_PER_SIGMA


def lines_in_band(groups, z, wavelength_range, margin=0.0):
    """Reduce groups to the lines that fall in a band.

    Parameters
    ----------
    groups : iterable of Group
    z : float
        Redshift.
    wavelength_range : (float, float)
        Observed range of the band, micrometre.
    margin : float
        A line closer than this to an edge (km/s) is left out.

    Returns
    -------
    list of Group
        Without the empty ones.  A ratio whose partner is out of the band is dropped; where the main line is out, the
        reddest line left takes its place.
    """
    low, high = wavelength_range
    reduced = []
    for group in groups:
        kept = tuple(
            line
            for line in group.lines
            if low * (1 + margin / SPEED_OF_LIGHT) <= line.wavelength * (1 + z) <= high * (1 - margin / SPEED_OF_LIGHT)
        )
        if not kept:
            continue
        names = {line.name for line in kept}
        fixed, bounded = (
            tuple(ratio for ratio in ratios if {ratio.numerator, ratio.denominator} <= names)
            for ratios in (group.fixed_ratios, group.bounded_ratios)
        )
        main = group.main if group.main in names else max(kept, key=lambda line: line.wavelength).name
        reduced.append(replace(group, lines=kept, main=main, fixed_ratios=fixed, bounded_ratios=bounded))
    return reduced


def _group(name, entry, lines, path):
    where = f"{path}: group {name}"
    _keys(entry, {"lines", "main", "fixed_ratios", "bounded_ratios"}, path, f"group {name}", required={"lines"})
    names = entry["lines"]
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"{where} must list at least one line, and each line once; it lists {names}.")
    for member in names:
        _known(member, lines, where, "line")
    main = entry.get("main", names[0])
    _known(main, names, f"{where}, main", "line of the group")
    fixed, bounded = [], []
    for item in entry.get("fixed_ratios") or []:
        pair = _pair(item, {"ratio"}, names, where)
        if not _number(item["ratio"]) or item["ratio"] <= 0:
            raise ConfigError(f"{where}: the fixed ratio of {pair[0]} and {pair[1]} must be a number above zero.")
        fixed.append(FixedRatio(*pair, float(item["ratio"])))
    for item in entry.get("bounded_ratios") or []:
        pair = _pair(item, {"range"}, names, where)
        limits = item["range"]
        if not (isinstance(limits, list) and len(limits) == 2 and all(map(_number, limits)) and
                0 < limits[0] < limits[1]):  # fmt: skip
            raise ConfigError(f"{where}: the range of {pair[0]} over {pair[1]} must be [low, high], 0 < low < high.")
        bounded.append(BoundedRatio(*pair, *map(float, limits)))
    if len(bounded) > 1:
        raise ConfigError(f"{where} bounds {len(bounded)} ratios; at most one can be solved exactly: split the group.")
    return Group(name, tuple(lines[member] for member in names), main, tuple(fixed), tuple(bounded))


def _pair(item, extra, names, where):
    _keys(item, {"numerator", "denominator"} | extra, where, "a ratio", required={"numerator", "denominator"} | extra)
    for key in ("numerator", "denominator"):
        _known(item[key], names, f"{where}, {key}", "line of the group")
    if item["numerator"] == item["denominator"]:
        raise ConfigError(f"{where} has a ratio of {item['numerator']} with itself; name two lines.")
    return item["numerator"], item["denominator"]


def _read_yaml(path):
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML ({error}); restore it from the project.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no entries; restore it from the project.")
    return content


def _keys(entry, allowed, path, where, required):
    if not isinstance(entry, dict):
        raise ConfigError(f"{path}: {where} must hold the entries {sorted(required)}.")
    for key in entry:
        _known(key, allowed, f"{path}: {where}", "entry")
    if missing := required - set(entry):
        raise ConfigError(f"{path}: {where} lacks {sorted(missing)}; add it.")


def _known(name, choices, where, kind):
    if name not in choices:
        near = get_close_matches(str(name), [str(choice) for choice in choices], 1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(sorted(map(str, choices)))}."
        raise ConfigError(f"{where} names the unknown {kind} {name!r}; {hint}")


def _number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)

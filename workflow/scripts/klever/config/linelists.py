"""Check the line list of the survey and of single galaxies, and the groups of lines chosen from each."""

from klever.config.schema import nearest
from klever.config.survey import merged
from klever.errors import ConfigError
from klever.line_lists import check_selection, read_line_list

__all__ = ["DEFAULT_LIST", "check_line_lists"]

DEFAULT_LIST = "default"
_CONFIG = "config/config.yaml"


def check_line_lists(settings, excluded, files, resources):
    """Check every line list in use against the groups and the line of the bins chosen from it.

    Parameters
    ----------
    settings : dict
        From `klever.config.settings.read_settings`; the paths of line lists are replaced by expanded ones.
    excluded : collection of str
        Galaxies whose line lists need not exist.
    files : klever.config.files.Files
        Checks the paths; holds the problems.
    resources : pathlib.Path
        The folder ``resources``, with the shipped list.
    """
    shipped = resources / "lines.yaml"
    survey = settings.get("lines")
    if not isinstance(survey, dict):
        return  # reported by the schema
    known = _read(survey, "lines.", shipped, files)
    _check_choice(survey, survey, known, "lines.", files.problems)
    overrides = settings["overrides"] if isinstance(settings["overrides"], dict) else {}
    for galaxy, override in overrides.items():
        own = override.get("lines") if isinstance(override, dict) else None
        if not isinstance(own, dict) or galaxy in excluded:
            continue
        prefix = f"overrides.{galaxy}.lines."
        listed = _read(own, prefix, shipped, files) if "line_list" in own else known
        _check_choice(merged(survey, own), own, listed, prefix, files.problems)


def _read(part, prefix, shipped, files):
    """Return the list that `part` names, whose path becomes the expanded one; None if it cannot be used."""
    name, entry = part.get("line_list"), f"{prefix}line_list"
    if not isinstance(name, str) or not name:
        return None  # reported by the schema
    path = shipped
    if name != DEFAULT_LIST:
        found = files.existing(name, _CONFIG, entry, "line list")
        if found is None:
            return None
        part["line_list"], path = found, files.directory / found
    try:
        return read_line_list(path, shipped)
    except ConfigError as error:
        files.problems.add(_CONFIG, entry, str(error))
        return None


def _check_choice(lines, own, known, prefix, problems):
    """Check the groups and ``bin_line`` of `lines`; an override is asked only for what its part `own` changes."""
    if known is None:
        return
    groups, entry = lines.get("groups"), f"{prefix}groups"
    if not (isinstance(groups, list) and all(isinstance(name, str) for name in groups)):
        return  # reported by the schema
    if "groups" in own:
        for index, name in enumerate(groups):
            if name not in known["groups"]:
                text = f"{name!r} is not a valid choice{nearest(name, known['groups'])}"
                problems.add(_CONFIG, f"{entry}[{index}]", text)
    elif "line_list" in own and (lost := [name for name in groups if name not in known["groups"]]):
        remedy = f"choose from its groups ({', '.join(known['groups'])}) with {entry}."
        text = f"has no group {', '.join(lost)}, which lines.groups asks for; {remedy}"
        problems.add(_CONFIG, f"{prefix}line_list", f"{own['line_list']} {text}")
    if {"broad", "line_list"}.intersection(own):
        _check_broad_lines(lines.get("broad"), known["groups"], prefix, problems)
    if not {"groups", "line_list", "bin_line"}.intersection(own) or any(name not in known["groups"] for name in groups):
        return
    try:
        check_selection(groups, known["groups"])
    except ConfigError as error:
        problems.add(_CONFIG, entry, str(error))
    line = lines.get("bin_line")
    fitted = [member for name in groups for member in known["groups"][name]["lines"]]
    if isinstance(line, str) and line != "auto" and line not in fitted:
        text = f"{line!r} is no line of the groups that are fitted{nearest(line, ['auto', *fitted])}"
        problems.add(_CONFIG, f"{prefix}bin_line", text)


def _check_broad_lines(broad, groups, prefix, problems):
    """Report lines with a broad component that are not in their group; unknown groups were reported already."""
    for name, lines in broad.items() if isinstance(broad, dict) else ():
        members = groups.get(name, {}).get("lines", [])
        for line in lines if members and isinstance(lines, list) else ():
            if line not in members:
                text = f"{line!r} is no line of that group{nearest(line, members)}"
                problems.add(_CONFIG, f"{prefix}broad.{name}", text)

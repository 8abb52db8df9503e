"""Check the tables of a survey against each other and against the files they name."""

import os
import re
from pathlib import Path

from klever.config.schema import closest, nearest
from klever.config.survey import matches

__all__ = ["Files", "check_galaxies", "check_observations"]

_WHERE = "relative paths start at the survey folder; $VARIABLES are expanded"
_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")


class Files:
    """Paths written in tables: variables expanded, existence checked.

    Parameters
    ----------
    directory : pathlib.Path
        The survey folder, where relative paths start.
    problems : klever.config.schema.Problems
        Receives the messages.
    promised : collection of str, optional
        Paths that need not exist yet: the run downloads them.
    """

    def __init__(self, directory, problems, promised=()):
        self.directory, self.problems, self.promised = Path(directory), problems, promised

    def expanded(self, path, label, entry):
        """Return the path with ``~`` and $VARIABLES expanded; None, and a message, if a variable is not defined."""
        for match in _VARIABLE.finditer(path):
            name = match[1].strip("{}")
            if name not in os.environ:
                text = f"the environment variable {name} in {path!r} is not defined; set it or write the path out."
                self.problems.add(label, entry, text)
                return None
        path = os.path.expandvars(path)
        try:
            return str(Path(path).expanduser()) if path.startswith("~") else path
        except RuntimeError:
            return path

    def existing(self, path, label, entry, what):
        """Return the expanded path of a file that must exist; None, and a message, if it does not.

        A cube may be absent: its galaxy fails when it is read, and the others are measured.
        """
        found = self.expanded(path, label, entry)
        if found is None or found in self.promised:
            return found
        hint = ""
        try:
            if (self.directory / found).is_file():
                return found
            hint = "; did you mean simulated?" if what == "cube" and closest(path, ["simulated"]) else ""
            if (self.directory / found).exists():
                reason = "is not a file"
            elif what == "cube" and not hint:
                return found
            else:
                reason = "does not exist"
        except (OSError, ValueError):
            reason = "is no path that can be opened"
        self.problems.add(label, entry, f"{what} {found} {reason} ({_WHERE}){hint}")
        return None

    def existing_set(self, pattern, label, entry):
        """Return a pattern that must match files; None, and a message, if it matches none."""
        found = self.expanded(pattern, label, entry)
        if found is None:
            return None
        try:
            if matches(found, self.directory, self.promised):
                return found
            reason = "no file matches"
        except (OSError, ValueError, NotImplementedError, IndexError):
            reason = "is no pattern of file names:"
        self.problems.add(label, entry, f"{reason} {found} ({_WHERE}).")
        return None


def check_galaxies(rows, label, lenses, problems):
    """Return the galaxies by id, after checking ids and lenses.

    Parameters
    ----------
    rows : list of klever.config.tables.Row
        The table.
    label : str
        How messages name it.
    lenses : dict or None
        Content of lenses.yaml; None if it could not be read.
    problems : klever.config.schema.Problems
        Receives the messages.
    """
    galaxies, folded = {}, {}
    for row in rows:
        name = row.cells["galaxy"]
        if not row.good("galaxy"):
            continue
        if name.casefold() in folded:
            other, line = folded[name.casefold()]
            same = "is there twice" if other == name else f"differs from {other!r} only in upper and lower case"
            text = f"{name!r} {same} (first on line {line}); give each galaxy one row and an id of its own."
            problems.add(label, f"{row.where}: galaxy", text)
            continue
        folded[name.casefold()] = (name, row.line)
        galaxies[name] = {key: value for key, value in row.cells.items() if key not in {"galaxy", "metallicity"}}
        galaxies[name]["include"] = row.cells["metallicity"] == "yes"
        if lenses is not None:
            _check_lens(row, label, lenses, problems)
    return galaxies


def _check_lens(row, label, lenses, problems):
    """Report a lens that does not exist."""
    lens = row.cells["lens"]
    if row.good("lens") and lens != "none" and lens not in lenses:
        hint = nearest(lens, ["none", *lenses])
        problems.add(label, f"{row.where}: lens", f"there is no lens {lens!r} in the file of lenses{hint}")


def check_observations(rows, label, galaxies, instruments, excluded, files):
    """Return the observations by galaxy and band, after checking galaxies, instruments, bands and cubes.

    Parameters
    ----------
    rows : list of klever.config.tables.Row
        The table.
    label : str
        How messages name it.
    galaxies : collection of str or None
        Known galaxies; None if their table could not be read.
    instruments : dict
        Bands of each instrument.
    excluded : collection of str
        Galaxies whose cubes need not exist.
    files : Files
        Checks the paths; holds the problems.
    """
    observations, lines = {}, {}
    for row in rows:
        name, band = row.cells["galaxy"], row.cells["band"]
        _check_names(row, label, galaxies, instruments, files.problems)
        if not row.good("galaxy", "band"):
            continue
        if (name, band) in lines:
            text = f"{name} has the band {band} twice (first on line {lines[name, band]}); keep one."
            files.problems.add(label, f"{row.where}: band", text)
            continue
        lines[name, band] = row.line
        entry = {key: value for key, value in row.cells.items() if key not in {"galaxy", "band"}}
        entry["extension"] = _extension(entry["extension"])
        given = row.good("resolution") and entry["resolution"] not in (None, "-")
        entry["resolution"] = float(entry["resolution"]) if given else None
        cube = entry["cube"]
        if not row.good("cube") or cube == "simulated":
            entry["cube"] = None
        elif name not in excluded:
            entry["cube"] = files.existing(cube, label, f"{row.where}: cube", "cube") or cube
        observations.setdefault(name, {})[band] = entry
    return observations


def _check_names(row, label, galaxies, instruments, problems):
    """Report a galaxy, instrument or band that does not exist."""
    name, band, instrument = (row.cells[key] for key in ("galaxy", "band", "instrument"))
    if row.good("galaxy") and galaxies is not None and name not in galaxies:
        text = f"there is no galaxy {name!r} in the table of galaxies{nearest(name, galaxies)}"
        problems.add(label, f"{row.where}: galaxy", text)
    if row.good("instrument") and instrument not in instruments:
        text = f"unknown instrument {instrument!r}{nearest(instrument, instruments)}"
        problems.add(label, f"{row.where}: instrument", text)
    elif row.good("instrument", "band") and band not in instruments[instrument]:
        text = f"{instrument} has no band {band!r}{nearest(band, instruments[instrument])}"
        problems.add(label, f"{row.where}: band", text)


def _extension(text):
    """Return an IFU number, an extension name or None."""
    if text in (None, "-"):
        return None
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else text

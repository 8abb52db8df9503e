"""Priorities of targets by the lines that they show, and why a line of a galaxy is seen or not (paper, Sect. 2.1)."""

import numpy as np

from klever.targets.visibility import SkyBand, line_visibility, species_in_band

__all__ = ["Rule", "choose_targets", "explain", "redshift_ranges", "visible_lines"]

_EDGES = 4000  # redshifts at which a range is searched; its ends are then bisected


class Rule:
    """The lines that are wanted, where the atmosphere is clear, and what counts as lost to the sky.

    Parameters
    ----------
    content : dict
        ``resources/target_choice.yaml``: ``species``, ``sets`` and ``windows``.
    lines : dict of str to float
        Vacuum wavelengths at rest, micrometre.
    bands : list of klever.targets.visibility.Band
    sky_lines : ndarray, shape (n, 2)
        Vacuum wavelength (Angstrom) and strength of the OH lines.
    dispersion : float
        Of the galaxies' lines, km/s.
    bright : float
        OH emission, over the band's mean, above which a wavelength is lost.
    minimum_clean : float
        Smallest fraction of a line's profile off bright OH lines for it to count as clean.
    """

    def __init__(self, content, lines, bands, sky_lines, dispersion, bright, minimum_clean):
        self.species = content["species"]
        self.sets = {name: entry["species"] for name, entry in content["sets"].items()}
        self.windows = [tuple(map(float, window["range"])) for window in content["windows"]]
        names = {name for entry in self.species.values() for key in ("all", "any") for name in entry.get(key, [])}
        self.lines = {name: lines[name] for name in lines if name in names}
        self.bands = bands
        self.dispersion, self.bright, self.minimum_clean = float(dispersion), float(bright), float(minimum_clean)
        self._sky = {band.name: SkyBand(band, sky_lines) for band in bands}

    def look(self, name, band, z):
        """Return what `klever.targets.visibility.line_visibility` says of line `name` in `band` (a `Band`)."""
        sky = self._sky[band.name]
        return line_visibility(self.lines[name], z, sky, self.windows, self.dispersion, self.bright)

    def in_band(self, z):
        """Return for each species whether one of the bands holds it at redshifts `z`, a dict of bool arrays."""
        z = np.atleast_1d(np.asarray(z, float))
        found = {name: np.zeros(z.shape, bool) for name in self.species}
        for band in self.bands:
            seen = {name: band.holds(rest * (1 + z)) for name, rest in self.lines.items()}
            for name, entry in self.species.items():
                found[name] |= species_in_band(entry, seen)
        return found

    def complete(self, name, z):
        """Return whether all species of the set `name` fall in bands at redshifts `z`."""
        found = self.in_band(z)
        return np.logical_and.reduce([found[species] for species in self.sets[name]])


def redshift_ranges(rule, low=0.0, high=8.0):
    """Return the redshifts at which each set of species falls in the bands.

    Returns
    -------
    dict of str to list of (float, float)
        By set; ends to 1e-6.
    """
    z = np.linspace(low, high, _EDGES)
    ranges = {}
    for name in rule.sets:
        inside = rule.complete(name, z)
        edges = np.flatnonzero(np.diff(np.r_[False, inside, False].astype(int)))
        ranges[name] = [
            (
                _edge(rule, name, z[max(first - 1, 0)], z[first]),
                _edge(rule, name, z[min(last, len(z) - 1)], z[last - 1]),
            )
            for first, last in zip(edges[::2], edges[1::2], strict=True)
        ]
    return ranges


def _edge(rule, name, outside, inside):
    """Bisect between a redshift outside a range and one inside."""
    for _ in range(40):
        middle = 0.5 * (outside + inside)
        if rule.complete(name, middle)[0]:
            inside = middle
        else:
            outside = middle
    return float(inside)


def visible_lines(rule, z):
    """Return every wanted line of a galaxy in every band that holds it.

    Parameters
    ----------
    rule : Rule
    z : float

    Returns
    -------
    list of dict
        ``line``, ``band``, ``wavelength`` (observed, micrometre), ``oh``, ``clean``, ``clear`` and ``state``:
        ``clean``, ``on_sky_line``, or ``telluric`` for a line outside the windows of the atmosphere. A line in no band
        has one row with ``state`` ``outside``.
    """
    rows = []
    for name, rest in rule.lines.items():
        observed, found = rest * (1 + z), []
        for band in rule.bands:
            in_band, clear, oh, clean = (float(value[0]) for value in rule.look(name, band, z))
            if in_band:
                state = "telluric" if not clear else "clean" if clean >= rule.minimum_clean else "on_sky_line"
                found.append({"band": band.name, "oh": oh, "clean": clean, "clear": bool(clear), "state": state})
        missing = {"band": None, "oh": np.nan, "clean": np.nan, "clear": None, "state": "outside"}
        rows += [{"line": name, "wavelength": observed} | entry for entry in found or [missing]]
    return rows


def choose_targets(rule, catalogue):
    """Order a catalogue by the paper's rule: most lines in the bands first, then least OH emission under them.

    Parameters
    ----------
    rule : Rule
    catalogue : list of dict
        ``galaxy``, ``ra``, ``dec``, ``z`` (NaN: not known; such targets come last).

    Returns
    -------
    list of dict
        The best first: ``rank``, ``priority`` (1: all species of a set; 2: at least half of one; 3: fewer), ``set``
        (that of which most is seen), ``species`` (those in bands) and ``n_species``, ``clean_species`` (those with
        every needed line clean, or one of several) and ``n_clean``, ``oh`` (mean OH emission under the lines in bands).
    """
    rows = []
    for entry in catalogue:
        lines = visible_lines(rule, entry["z"])
        in_band = [name for name, seen in rule.in_band(entry["z"]).items() if seen[0]]
        clean = [name for name in in_band if species_in_band(rule.species[name], _states(lines, {"clean"}))]
        shares = {name: np.mean([species in in_band for species in wanted]) for name, wanted in rule.sets.items()}
        best = max(shares, key=lambda name: (shares[name], sum(species in clean for species in rule.sets[name])))
        emission = [row["oh"] for row in lines if row["band"]]
        rows.append(
            {
                **entry, "priority": 1 if shares[best] == 1 else 2 if shares[best] >= 0.5 else 3,
                "set": best if shares[best] > 0 else None, "species": "+".join(in_band) or "-",
                "n_species": len(in_band), "clean_species": "+".join(clean) or "-", "n_clean": len(clean),
                "oh": float(np.mean(emission)) if emission else np.nan,
            }
        )  # fmt: skip
    rows.sort(
        key=lambda row: (
            np.isnan(row["z"]), row["priority"], -row["n_species"], -row["n_clean"], np.nan_to_num(row["oh"], nan=9e9)
        )
    )  # fmt: skip
    return [{"rank": rank} | row for rank, row in enumerate(rows, 1)]


def _states(lines, states):
    """Whether each line is in one of `states` in some band."""
    names = {row["line"] for row in lines}
    return {name: np.array([any(r["line"] == name and r["state"] in states for r in lines)])[0] for name in names}


def explain(rule, z, listed):
    """Say for each species why the published table lists it or lacks it.

    Parameters
    ----------
    rule : Rule
    z : float
    listed : dict of str to str or None
        The paper's cells by band: species joined by ``+``, ``-`` for none, None for not observed.

    Returns
    -------
    list of dict
        ``species``, ``listed`` (bool) and ``reason``: ``outside`` (in no band), ``not_observed`` (its band was not),
        ``on_sky_line``, ``telluric``, ``clean``.  A species that is clean and not listed is too faint for the data; one
        that is listed although under OH lines is bright, or seen in one of several lines.
    """
    lines = visible_lines(rule, z)
    found = {part for cell in listed.values() for part in (cell or "").split("+")}
    rows = []
    for name, entry in rule.species.items():
        members = entry.get("all", entry.get("any"))
        seen = [row for row in lines if row["line"] in members and row["band"]]
        observed = [row for row in seen if listed.get(row["band"], "-") is not None]
        if not rule.in_band(z)[name][0]:
            reason = "outside"
        elif not observed:
            reason = "not_observed"
        else:
            reason = next(
                state
                for state in ("clean", "telluric", "on_sky_line", "outside")
                if state == "outside" or species_in_band(entry, _at_least(observed, members, state))
            )
        rows.append({"species": name, "listed": name in found, "reason": reason})
    return rows


def _at_least(lines, members, state):
    """Whether each line is in `state` or a better one."""
    better = {
        "clean": {"clean"},
        "telluric": {"clean", "telluric"},
        "on_sky_line": {"clean", "telluric", "on_sky_line"},
    }
    found = _states(lines, better[state])
    return {name: found.get(name, np.bool_(False)) for name in members}

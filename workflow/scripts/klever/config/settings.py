"""Check config.yaml: its schema, choices that resources/ offers, and values that must fit each other."""

import json
import math
from pathlib import Path

from klever.config.messages import check
from klever.config.schema import complete, nearest, plain
from klever.config.survey import merged

__all__ = [
    "CONFIG", "CalibrationSets", "check_names", "gradient_figure_galaxies", "planes_galaxies", "read_settings",
    "spectra_galaxies", "value_at",
]  # fmt: skip

CONFIG = "config/config.yaml"

_FIG3 = "macs0451"
_FIG11 = ("sp15", "sp1", "MUSE_SW_461-99-99", "R2248_LRb_p1_M3_Q4_58_2")
_FIGA1 = ("cswa164",)
# Fig. 7 shows a resolved and a marginally resolved gradient without naming the galaxies: one of each of Table 4
_FIG7 = ("sp15", "MUSE_NE_111-99-99")
_FIG2 = ("R2248_LRb_p3_M4_Q3_93_1", "GLASS_01845-99-99")  # Curti et al. (2020)

# Keys, condition on their values, and what to say if it does not hold.
_RULES = (
    (["lines.dispersion_range"], lambda pair: pair[0] < pair[1], "the minimum must be smaller than the maximum."),
    (["lines.broad_dispersion_range"], lambda pair: pair[0] < pair[1], "the minimum must be smaller than the maximum."),
    (["metallicity.log_oh_range"], lambda pair: pair[0] < pair[1], "the minimum must be smaller than the maximum."),
    (["lines.velocity_range", "lines.window"], lambda search, window: search < window,
     "must be smaller than lines.window, which holds the line and its continuum."),
    (["metallicity.burn_in", "metallicity.steps"], lambda burn_in, steps: burn_in < steps,
     "must be smaller than metallicity.steps."),
    (["gradient.burn_in", "gradient.steps"], lambda burn_in, steps: burn_in < steps,
     "must be smaller than gradient.steps."),
    (["population.burn_in", "population.steps"], lambda burn_in, steps: burn_in < steps,
     "must be smaller than population.steps."),
    (["gradient.errors", "gradient.method"], lambda errors, method: errors == "covariance" or method == "pixels",
     "paper needs gradient.method pixels: the paper has no such errors for mean fluxes."),
)  # fmt: skip


def read_settings(config, schema, resources, problems):
    """Return config.yaml as plain values with all defaults; what is wrong goes into `problems`.

    Parameters
    ----------
    config : dict or None
        As Snakemake has it.
    schema : dict
        The schema of config.yaml; calibrations are added to it.
    resources : pathlib.Path
        The folder ``resources``.
    problems : klever.config.schema.Problems
        Receives the messages.
    """
    calibrations = CalibrationSets(resources / "calibrations.json")
    schema["$defs"]["metallicity"]["properties"]["calibration"]["enum"] = list(calibrations.sets)
    settings = plain({} if config is None else config, CONFIG, problems)
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        problems.add(CONFIG, "", "must hold sections such as `lines:`, not a single value.")
        settings = {}
    settings = complete(settings, schema)
    check(settings, schema, CONFIG, problems)
    _check_rules(settings, None, "", calibrations, problems)
    overrides = settings["overrides"] if isinstance(settings["overrides"], dict) else {}
    for galaxy, override in overrides.items():
        if isinstance(override, dict):
            _check_rules(merged(settings, override), override, f"overrides.{galaxy}.", calibrations, problems)
    return settings


def value_at(settings, entry):
    """Return the value at a key path such as ``lines.window``, None if there is none."""
    for key in entry.split("."):
        settings = settings.get(key) if isinstance(settings, dict) else None
    return settings


def _check_rules(settings, override, prefix, calibrations, problems):
    """Check values against each other; of an override only those it changes, with the survey's for the rest."""

    def touched(keys):
        return [key for key in keys if override is None or value_at(override, key) is not None]

    for keys, holds, sentence in _RULES:
        values = [value_at(settings, key) for key in keys]
        if touched(keys) and _numbers(values) and not holds(*values):
            given = values[0] if len(values) == 1 else f"{values[0]:g} and {values[1]:g}"
            problems.add(CONFIG, prefix + keys[0], f"{sentence} It is {given}.")
    if touched([f"lines.{key}" for key in ("broad", "groups", "dispersion_range", "broad_dispersion_range")]):
        _check_broad(settings, prefix, problems)
    keys = [f"metallicity.{key}" for key in ("calibration", "diagnostics", "dispersion", "log_oh_range")]
    if touched(keys):
        for key, problem in calibrations.check(*(value_at(settings, key) for key in keys)):
            problems.add(CONFIG, f"{prefix}metallicity.{key}", problem)


def _check_broad(settings, prefix, problems):
    """Report broad components of groups that are not fitted, and dispersions that both components could have."""
    broad, groups = value_at(settings, "lines.broad"), value_at(settings, "lines.groups")
    if not (isinstance(broad, dict) and broad and isinstance(groups, list)):
        return
    for name in broad:
        if name not in groups:
            hint = nearest(name, [group for group in groups if isinstance(group, str)], f"{prefix}lines.broad.")
            problems.add(CONFIG, f"{prefix}lines.broad.{name}", f"no such group in lines.groups{hint}")
    narrow, wide = value_at(settings, "lines.dispersion_range"), value_at(settings, "lines.broad_dispersion_range")
    if _numbers([narrow]) and _numbers([wide]) and narrow[1] > wide[0]:
        sentence = "must start where lines.dispersion_range ends, or above, for the two components to be told apart."
        given = f"They are {wide[0]:g} and {narrow[1]:g}."
        problems.add(CONFIG, f"{prefix}lines.broad_dispersion_range", f"{sentence} {given}")


def _numbers(values):
    """Are these two finite numbers, as two values or one pair? What is not was reported by the schema."""
    pair = len(values) == 1
    if pair and not (isinstance(values[0], list) and len(values[0]) == 2):
        return False
    numbers = values[0] if pair else values
    return all(isinstance(item, int | float) and not isinstance(item, bool) and math.isfinite(item) for item in numbers)


class CalibrationSets:
    """What each set of resources/calibrations.json can do: calibrated range and dispersions of its diagnostics.

    Only sets that give line ratios as polynomials with a range, R3 among them, can be used (Curti et al. 2020, Eq. 1).

    Parameters
    ----------
    path : pathlib.Path
        The file.
    """

    keys = {"R3": "R3", "N2": "N2", "S2": "S2", "O3O2": "O32"}  # noqa: RUF012

    def __init__(self, path):
        found = json.loads(Path(path).read_text(encoding="utf-8"))["calibrations"]
        self.sets = {}
        for name, entries in found.items():
            usable = {key: entries[stored] for key, stored in self.keys.items() if self._usable(entries.get(stored))}
            if "R3" in usable:
                self.sets[name] = usable
        self.reference = self.sets.get("C20", {})

    @staticmethod
    def _usable(entry):
        return isinstance(entry, dict) and isinstance(entry.get("range_OH"), list) and "coeffs" in entry

    def _has_dispersion(self, entry, key, kind):
        if "rms_ratio" not in entry and entry["coeffs"] == self.reference.get(key, {}).get("coeffs"):
            entry = self.reference[key]  # the same polynomial under another name has the same scatter
        return entry.get({"sigma_oh": "sigma_OH"}.get(kind, kind)) is not None

    def check(self, name, diagnostics, dispersion, log_oh_range):
        """Yield (key, problem) if the set cannot do what the settings ask for."""
        entries = self.sets.get(name) if isinstance(name, str) else None
        listed = isinstance(diagnostics, list)
        if entries is None or not (listed or diagnostics == "auto"):
            return
        wanted = [key for key in diagnostics if key in list(self.keys)] if listed else list(entries)
        for key in wanted:
            if key not in entries:
                yield "diagnostics", f"{name} has no calibration of {key}; it has {', '.join(entries)}."
        wanted = [key for key in wanted if key in entries]
        if dispersion in ("rms_ratio", "sigma_oh"):
            bare = [key for key in wanted if not self._has_dispersion(entries[key], key, dispersion)]
            if bare:
                remedy = "give a number (dex), or use the calibration C20"
                yield "dispersion", f"{name} has no published dispersion of {', '.join(bare)}; {remedy}."
        if wanted and isinstance(log_oh_range, list) and _numbers([log_oh_range]):
            low = max(entries[key]["range_OH"][0] for key in wanted)
            high = min(entries[key]["range_OH"][1] for key in wanted)
            if log_oh_range[0] < low - 1e-9 or log_oh_range[1] > high + 1e-9:
                remedy = f"use [{low}, {high}] or a part of it"
                names = ", ".join(wanted)
                yield (
                    "log_oh_range",
                    f"{log_oh_range} leaves the range in which {names} of {name} are calibrated; {remedy}.",
                )


def check_names(settings, galaxies, bands, instruments, problems):
    """Report galaxies that settings name and bands of ``align.shifts`` that do not exist.

    Parameters
    ----------
    settings : dict
        From `read_settings`.
    galaxies : list of str or None
        All galaxies of the table; None if it could not be read.
    bands : dict of str to list of str
        Bands of each galaxy.
    instruments : dict
        Bands of each instrument.
    problems : klever.config.schema.Problems
        Receives the messages.
    """
    overrides = settings["overrides"] if isinstance(settings["overrides"], dict) else {}
    if galaxies is not None:
        excluded = settings["exclude"] if isinstance(settings["exclude"], list) else []
        for index, name in enumerate(excluded):
            if name not in galaxies:
                text = f"there is no galaxy {name!r} in the table of galaxies{nearest(name, galaxies)}"
                problems.add(CONFIG, f"exclude[{index}]", text)
        for name in overrides:
            if name not in galaxies:
                text = f"there is no galaxy {name!r} in the table of galaxies{nearest(name, galaxies, 'overrides.')}"
                problems.add(CONFIG, f"overrides.{name}", text)
        for key in ("figures.spectra", "figures.planes", "figures.disturbed", "figures.apertures", "figures.maps"):
            drawn = value_at(settings, key)
            for index, name in enumerate(drawn if isinstance(drawn, list) else []):
                if name not in galaxies:
                    text = f"there is no galaxy {name!r} in the table of galaxies{nearest(name, galaxies)}"
                    problems.add(CONFIG, f"{key}[{index}]", text)
        for prefix, part in [("", settings), *((f"overrides.{name}.", entry) for name, entry in overrides.items())]:
            name = value_at(part, "star_formation.reddening_of")
            if isinstance(name, str) and name and name not in galaxies:
                text = f"there is no galaxy {name!r} in the table of galaxies{nearest(name, galaxies)}"
                problems.add(CONFIG, f"{prefix}star_formation.reddening_of", text)
    every = list(dict.fromkeys(band for entry in instruments.values() for band in entry))
    places = [("", settings, every)]
    places += [(f"overrides.{name}.", entry, bands.get(name) or every) for name, entry in overrides.items()]
    for prefix, part, known in places:
        shifts = value_at(part, "align.shifts")
        for band in shifts if isinstance(shifts, dict) else []:
            if band not in known:
                entry = f"{prefix}align.shifts"
                problems.add(CONFIG, f"{entry}.{band}", f"no such band{nearest(band, known, entry + '.')}")


def spectra_galaxies(chosen, galaxies):
    """Return the galaxies whose integrated spectra are drawn.

    Parameters
    ----------
    chosen : 'auto' or list of str
        ``figures.spectra``. ``auto``: the galaxies of Fig. 2 of Curti et al. (2020) that the survey has, else its first
        two.
    galaxies : list of str
        The galaxies of the run; others (those of ``exclude``) are left out.
    """
    if chosen == "auto":
        chosen = [name for name in _FIG2 if name in galaxies] or galaxies[:2]
    return [name for name in chosen if name in galaxies]


def gradient_figure_galaxies(figures, galaxies):
    """Return the galaxies of Fig. 11 of Curti et al. (2020), the one of Fig. A1, and those of Fig. 7.

    Parameters
    ----------
    figures : dict
        The section: ``disturbed``, ``apertures`` and ``maps``, each 'auto' or a list. ``auto``: those of the
        paper, else the first of the survey.
    galaxies : list of str
        Of the run; others (those of ``exclude``) are left out.

    Returns
    -------
    disturbed, apertures, maps : list of str
        At most one in `apertures`.
    """
    found = []
    choices = (figures["disturbed"], _FIG11, 4), (figures["apertures"], _FIGA1, 1), (figures["maps"], _FIG7, 2)
    for chosen, paper, number in choices:
        if chosen == "auto":
            chosen = [name for name in paper if name in galaxies] or list(galaxies)[:number]
        found.append([name for name in chosen if name in galaxies])
    return tuple(found)


def planes_galaxies(chosen, lenses):
    """Return the galaxies that are drawn in the image and the source plane.

    Parameters
    ----------
    chosen : 'auto' or list of str
        ``figures.planes``. ``auto``: the galaxy of Fig. 3 of Curti et al. (2020) if the survey has it, else its first
        lensed one.
    lenses : dict of str to str
        Lens (or ``none``) of each galaxy of the run; others (those of ``exclude``) are left out.
    """
    if chosen == "auto":
        lensed = [galaxy for galaxy, lens in lenses.items() if lens != "none"]
        chosen = [_FIG3] if _FIG3 in lenses else lensed[:1]
    return [name for name in chosen if name in lenses]

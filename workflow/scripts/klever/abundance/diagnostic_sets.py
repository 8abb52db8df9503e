"""Which line ratios make the metallicity of a galaxy (Curti et al. 2020, Sect. 3.4 and 4.2)."""

import difflib

from klever.abundance.abundance_likelihood import MEASURED
from klever.errors import ConfigError
from klever.gas.line_ratios import DIAGNOSTICS, diagnostic

__all__ = ["candidate_sets", "choose_diagnostics", "line_reason", "prefer_clean", "reason_of_choice", "with_limits"]

PREFERRED = ("R3", "N2", "O3O2")


def candidate_sets(setting, calibrations):
    """Return the sets of diagnostics that may be used for a galaxy, the preferred one first.

    Parameters
    ----------
    setting : str or list of str
        ``auto``, the rules of the paper (Sect. 4.2, Table 4): R3 and N2; at z > 2, where [OII] is covered, O3O2 with
        them, and without N2 if that is not detected; S2 takes the place of N2 where nothing else joins R3; a single
        diagnostic is the last resort. Or a list, which is then the only set.
    calibrations : dict of str to Calibration
        Diagnostics that the calibration set lacks are left out of ``auto``.

    Returns
    -------
    list of tuple of str

    Raises
    ------
    ConfigError
        An unknown, repeated or uncalibrated diagnostic, or an empty list; the message offers the nearest choice.
    """
    if setting == "auto":
        order = ["R3 N2 O3O2", "R3 O3O2", "R3 N2", "R3 S2", "N2 O3O2", "N2", "O3O2", "S2", "R3"]
        return [names for names in map(_split, order) if all(name in calibrations for name in names)]
    if isinstance(setting, str):
        nearest = difflib.get_close_matches(setting.lower(), ["auto"], n=1, cutoff=0.5)
        hint = "did you mean auto?" if nearest else f"write it as a list, for example [{', '.join(DIAGNOSTICS)}]."
        raise ConfigError(f"metallicity.diagnostics: '{setting}' is neither auto nor a list; {hint}")
    names = tuple(diagnostic(name).name for name in setting)
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"metallicity.diagnostics: {list(setting)} is empty or repeats itself; list each one once.")
    absent = [name for name in names if name not in calibrations]
    if absent:
        set_name = next(iter(calibrations.values())).set_name
        raise ConfigError(f"metallicity.diagnostics: {set_name} has no calibration of {', '.join(absent)}.")
    return [names]


def choose_diagnostics(candidates, usable):
    """Return the first of the `candidates` all of whose diagnostics are `usable`, or an empty tuple."""
    return next((names for names in candidates if set(names) <= set(usable)), ())


def prefer_clean(candidates, contaminated):
    """Return the candidates with those that hold N2 last, if sky residuals spoil [N II] and not [S II] (Sect. 4.2).

    Parameters
    ----------
    candidates : list of tuple of str
        From `candidate_sets`; a single one, a list of the configuration, stays.
    contaminated : set of str
        Lines.
    """
    if "NII6584" not in contaminated or "SII" in contaminated:
        return candidates
    return sorted(candidates, key=lambda names: "N2" in names)


def with_limits(candidates, chosen, ratios):
    """Return the preferred candidate that adds only limits to the diagnostics `chosen`; `chosen` if there is none.

    So an upper limit on N2 tells on which branch of R3 a galaxy is.

    Parameters
    ----------
    candidates : list of tuple of str
        Preferred first, from `candidate_sets`.
    chosen : tuple of str
        From `choose_diagnostics`.
    ratios : dict of str to tuple
        All ratios that are measured or limits, see `klever.abundance.abundance_likelihood.ratio_arrays`.
    """
    limits = {name for name, ratio in ratios.items() if ratio[2] != MEASURED}
    return next((names for names in candidates if set(chosen) < set(names) <= set(chosen) | limits), chosen)


def reason_of_choice(setting, chosen, why_not):
    """Return why a galaxy has these diagnostics and not R3, N2 and O3O2, the paper's first choice (Sect. 4.2).

    Parameters
    ----------
    setting : str or list of str
        ``metallicity.diagnostics`` of the configuration.
    chosen : sequence of str
        Diagnostics that are used.
    why_not : callable
        Takes the name of a diagnostic that is not used, returns why, in a word or a few.

    Returns
    -------
    str
        ``configured`` (a list of the configuration), ``preferred`` (nothing was passed over), or as
        ``N2 contaminated; O3O2 OII not_observed``.
    """
    if setting != "auto":
        return "configured"
    return "; ".join(f"{name} {why_not(name)}" for name in PREFERRED if name not in chosen) or "preferred"


def line_reason(lines, observed, detected):
    """Return the first of the `lines` that is not `observed`, or else not `detected`, with that word; '' if none."""
    for word, group in (("not_observed", observed), ("not_detected", detected)):
        missing = next((line for line in lines if line not in group), None)
        if missing:
            return f"{missing} {word}"
    return ""


def _split(names):
    return tuple(names.split())

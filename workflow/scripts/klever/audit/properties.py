"""Statistics of the global properties: detections, magnifications, main sequence, mass-metallicity relation, trends."""

import numpy as np

from klever.audit.registry import Result, Untestable, constant, counted, percentage, shared, statistic
from klever.population.relations import kashino19, mzr_curti20, shivaei15
from klever.population.survey_table import HIGH_REDSHIFT

__all__ = []

_ROUNDING = 1e-9


def _window(evidence, window, *columns):
    """Return the galaxies of a redshift window (low | high | all) that have these numbers.

    A system whose parts have rows of their own is left out (MACS0451 Arc).
    """
    rows = evidence.survey.having(*columns)
    names = [row["id"] for row in rows]
    parts = [row for row in rows if not any(name.startswith(f"{row['id']}_") for name in names if name != row["id"])]
    kept = {"low": lambda z: z < HIGH_REDSHIFT, "high": lambda z: z >= HIGH_REDSHIFT, "all": lambda _: True}[window]
    found = [row for row in parts if kept(row["z"])]
    if not found:
        raise Untestable(f"no galaxy has {' and '.join(columns)}")
    return found


@statistic
def detection_rate(evidence, line):
    """Return the percentage of galaxies in which a line is detected, of those with it inside an observed band."""
    found = evidence.survey.detections.get(line)
    if not found or not found["galaxies"]:
        raise Untestable(f"no observed band holds {line}")
    note = (
        f"{found['detected']} of {found['galaxies']} with the line in a band; the paper does not state its denominators"
    )
    return percentage(found["detected"], found["galaxies"], note)


@statistic
def number_of_detections(evidence, line):
    """Count the galaxies in which a line is detected."""
    found = evidence.survey.detections.get(line)
    if not found:
        raise Untestable(f"no observed band holds {line}")
    return Result(float(found["detected"]), note=f"of {found['galaxies']} with the line in a band")


@statistic
def magnifications_agree(evidence, errors="larger", percent=False):
    """Count the galaxies whose two magnifications agree within their joint 1 sigma error.

    `errors`: that of mu_maps is its `larger` one, or the one `facing` mu_halpha.
    """
    rows = evidence.survey.having("mu_halpha", "mu_maps", "mu_halpha_error_plus", "mu_maps_error_plus")
    if not rows:
        raise Untestable("there is no galaxy with both magnifications")
    agree = [row["id"] for row in rows if abs(row["mu_halpha"] - row["mu_maps"]) <= _joint(row, errors) + _ROUNDING]
    return (shared if percent else counted)(agree, [row["id"] for row in rows])


def _joint(row, errors):
    ends = ("minus", "plus") if row["mu_maps"] > row["mu_halpha"] else ("plus", "minus")
    maps, other = (row[f"mu_maps_error_{end}"] for end in ends)
    return np.hypot(row["mu_halpha_error_plus"], max(maps, other) if errors == "larger" else maps)


@statistic
def typical_systematic(evidence):
    """Return the median systematic error of the magnification between lens models, per cent."""
    values = list(evidence.survey.systematics.values())
    if not values:
        raise Untestable("the tables do not list magnifications by other lens models (the paper shows them in Fig. 4)")
    return Result(100 * float(np.median(values)), note=f"{len(values)} galaxies")


@statistic
def mean_of(evidence, column, factor=1.0):
    """Return the mean of a column over the galaxies that have it, times a factor (100 for per cent)."""
    values = [factor * row[column] for row in evidence.survey.having(column)]
    if not values:
        raise Untestable(f"the tables have no {column}")
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return Result(float(np.mean(values)), float(error), f"of {len(values)} galaxies")


@statistic
def value_of(evidence, galaxy, column):
    """Return a number of one galaxy."""
    row = evidence.survey.row(galaxy)
    if row is None or not np.isfinite(row[column]):
        raise Untestable(f"{galaxy} has no {column}")
    return Result(row[column])


@statistic
def extreme(evidence, column, end, gradients=False):
    """Return the smallest or largest value of a column (end: minimum | maximum), of all or of those with a gradient."""
    rows = _window(evidence, "all", column, *(["slope"] if gradients else ["log_ssfr"]))
    row = {"minimum": min, "maximum": max}[end](rows, key=lambda row: row[column])
    return Result(row[column], note=row["id"])


def _offsets(evidence, relation, window):
    """Return rows and their distance in dex from a main sequence, and the scatter of that relation."""
    rows = _window(evidence, window, "log_sfr", "log_mstar")
    mass, sfr = (np.array([row[name] for row in rows]) for name in ("log_mstar", "log_sfr"))
    if relation == "shivaei15":
        expected, scatter = shivaei15(mass, evidence.relations)
    elif relation == "kashino19":
        expected, scatter = kashino19(mass, evidence.relations), 0.3  # the scatter the paper draws (Sect. 4.1)
    else:
        return rows, np.array([row["delta_ms"] for row in rows]), 0.2  # Speagle et al. (2014), as drawn in Fig. 6
    return rows, sfr - expected, scatter


@statistic
def main_sequence_count(evidence, relation, window, side):
    """Count galaxies within, above or below (by more than the scatter), or anywhere over or under a main sequence.

    Parameters are relation (shivaei15 | kashino19 | speagle14), window (low | high) and side (within | above | below |
    over | under | over_within | total).
    """
    rows, offset, scatter = _offsets(evidence, relation, window)
    chosen = {
        "within": np.abs(offset) <= scatter, "above": offset > scatter, "below": offset < -scatter, "over": offset > 0,
        "under": offset < 0, "over_within": (offset > 0) & (offset <= scatter), "total": np.isfinite(offset),
    }[side]  # fmt: skip
    found = counted([row["id"] for row, kept in zip(rows, chosen, strict=True) if kept], [row["id"] for row in rows])
    if relation == "kashino19":
        found.untested = (
            "the power law of Kashino et al. (2019) could not be had; the value is for their flattening curve"
        )
    return found


@statistic
def starbursts(evidence, offset, window="all"):
    """Count the galaxies at least `offset` dex above the main sequence of Speagle et al. (2014)."""
    rows = _window(evidence, window, "delta_ms")
    return counted([row["id"] for row in rows if row["delta_ms"] >= offset], [row["id"] for row in rows])


@statistic
def median_main_sequence_offset(evidence, window, gradients=True):
    """Return the median distance from the main sequence of Speagle et al. (2014), dex."""
    values = [row["delta_ms"] for row in _window(evidence, window, "delta_ms", *(["slope"] if gradients else []))]
    return Result(
        float(np.median(values)), float(1.2533 * np.std(values) / np.sqrt(len(values))), f"{len(values)} galaxies"
    )


@statistic
def metallicity_offset(evidence, window):
    """Return the mean offset from the local mass-metallicity relation of Curti et al. (2020a), dex."""
    rows = _window(evidence, window, "log_oh", "log_mstar")
    local = mzr_curti20([row["log_mstar"] for row in rows], evidence.relations)
    offsets = np.array([row["log_oh"] for row in rows]) - local
    error = np.std(offsets, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.nan
    return Result(float(np.mean(offsets)), float(error), f"{len(rows)} galaxies, median {np.median(offsets):.3f}")


@statistic
def on_steidel14(evidence, window):
    """Count the galaxies that agree within their errors of both axes with the relation of Steidel et al. (2014)."""
    rows = _window(evidence, window, "log_oh", "log_mstar")
    mass, metallicity = evidence.steidel14
    near = []
    for row in rows:
        reach = np.linspace(
            row["log_mstar"] - row["log_mstar_error_minus"], row["log_mstar"] + row["log_mstar_error_plus"], 21
        )
        curve = np.interp(reach, mass, metallicity)
        low, high = row["log_oh"] - row["log_oh_error_minus"], row["log_oh"] + row["log_oh_error_plus"]
        near += [row["id"]] if curve.min() <= high and curve.max() >= low else []
    found = counted(near, [row["id"] for row in rows])
    found.note += "; constant below the lowest stack"
    return found


@statistic
def trend(evidence, x, quantity, sample="all"):
    """Return a quantity of the robust regression of gradients (a column of significance.ecsv, or confidence)."""
    key = (x, sample, evidence.estimator)
    row = next(row for row in evidence.significance if (row["trend"], row["sample"], row["method"]) == key)
    if not np.isfinite(row.get("slope", np.nan)):
        raise Untestable(row["note"])
    value = 100 * (1 - row["spearman_p"]) if quantity == "confidence" else row[quantity]
    error = {"slope": row["slope_error"], "spearman_rho": row["spearman_rho_error"], "significance": 1.0}.get(
        quantity, np.nan
    )
    absent = ", ".join(name for name, entry in evidence.literature.absent.items() if {9, 10} <= set(entry["figures"]))
    partial = ", ".join(
        name for name, entry in evidence.literature.samples.items() if entry["correlations"] and not entry["complete"]
    )
    why = f"other galaxies than the paper's: {absent} could not be had, {partial} only in part"
    return Result(
        float(value), float(error), f"{row['n']} galaxies, {evidence.estimator}", why if sample != "survey" else ""
    )


@constant
def quotient(_, numerator, denominator):
    """Return the quotient of two printed numbers, to compare with a third."""
    return Result(numerator / denominator, note="arithmetic of printed numbers")


@constant
def not_in_tables(_, reason):
    """Stand for a claim that no table can test."""
    raise Untestable(reason)

"""How often each line is detected, beside the rates of Curti et al. (2020, Sect. 3.1)."""

import numpy as np

from klever.maps import Flag
from klever.publish.published import read_published
from klever.row_tables import Column

__all__ = ["RATE_COLUMNS", "RATE_DEFINITION", "detection_rates", "published_rates", "wilson_interval"]

RATE_DEFINITION = (
    "rate = detected / galaxies. galaxies: those with the line inside an observed band at their catalogue redshift, "
    "also where sky lines mask it; pointings with the same position and redshift are one galaxy. detected: the line "
    "(of a doublet at least one line, or the blend) reaches the detection threshold in the pseudo-fibre of any band. "
    "The paper does not state its denominators."
)

RATE_COLUMNS = [
    Column("line", str, "emission line; SII and OII are the doublets"),
    Column("notation", str, "the line as the paper writes it"),
    Column("z_above", float, "only galaxies above this redshift count; missing: all"),
    Column("galaxies", int, "galaxies with the line inside an observed band"),
    Column(
        "measurable", int, "of these, galaxies where enough channels of the line are unmasked and the fit converged"
    ),
    Column("detected", int, "galaxies where the line is detected"),
    Column("rate", float, "detected / galaxies; missing without galaxies", "%"),
    Column("rate_low", float, "lower end of the 68 % Wilson interval of the rate", "%"),
    Column("rate_high", float, "upper end of the 68 % Wilson interval of the rate", "%"),
    Column("published_rate", float, "rate of the real galaxies in the text of Curti et al. (2020)", "%"),
    Column("published_detected", int, "number of detections in the text of Curti et al. (2020), where it gives one"),
    Column("table2_galaxies", int, "of `galaxies`, those in Table 2 of Curti et al. (2020)"),
    Column("table2_detected", int, "of these, galaxies for which that table lists the species"),
    Column("source", str, "where the published number is from"),
]


def published_rates(path):
    """Return the paper's detection rates.

    Parameters
    ----------
    path : path-like
        CSV with the columns line, notation, any_of (lines that count, separated by blanks), z_above, rate_percent,
        detected and source; numbers may be empty.

    Returns
    -------
    list of dict
        ``line``, ``notation``, ``any_of`` (set of str), ``z_above``, ``published_rate`` (per cent),
        ``published_detected`` (NaN or None where empty) and ``source``.

    Raises
    ------
    InputError
        A column is missing or a number cannot be read.
    """
    return read_published(
        path, "published detection rates", "line, notation, any_of, z_above, rate_percent, detected, source",
        lambda row: {
            "line": row["line"], "notation": row["notation"], "any_of": set(row["any_of"].split()),
            "z_above": float(row["z_above"] or "nan"), "published_rate": float(row["rate_percent"] or "nan"),
            "published_detected": int(row["detected"]) if row["detected"] else None, "source": row["source"],
        },
    )  # fmt: skip


def wilson_interval(detected, number, sigma=1.0):
    """Return the Wilson (1927) score interval of a binomial proportion; NaN without trials.

    Parameters
    ----------
    detected, number : int
        Successes and trials.
    sigma : float
        Half-width in standard deviations; 1 for 68 %.

    Returns
    -------
    low, high : float
        Within [0, 1], also for 0 and all successes.
    """
    if number == 0:
        return np.nan, np.nan
    share, square = detected / number, sigma**2
    centre = (share + square / (2 * number)) / (1 + square / number)
    half = sigma / (1 + square / number) * np.sqrt(share * (1 - share) / number + square / (4 * number**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def detection_rates(lines, galaxies, definitions, published):
    """Return the detection rate of each line, as `RATE_DEFINITION` says.

    Parameters
    ----------
    lines : dict of (str, str) to list of dict
        Rows of `klever.publish.detections.read_lines` by galaxy and band.
    galaxies : list of dict
        ``galaxy``, ``ra``, ``dec``, ``z`` and ``bands``.
    definitions : list of dict
        From `published_rates`.
    published : dict
        From `klever.publish.detections.published_sample`.

    Returns
    -------
    list of dict
        By the names of `RATE_COLUMNS`.
    """
    pointings = {}
    for entry in galaxies:
        pointings.setdefault((entry["ra"], entry["dec"], entry["z"]), []).append(entry)
    return [_rate(lines, list(pointings.values()), definition, published) for definition in definitions]


def _rate(lines, systems, definition, published):
    counts = dict.fromkeys(("galaxies", "measurable", "detected", "table2_galaxies", "table2_detected"), 0)
    species = definition["notation"].rstrip("0123456789,")
    for system in systems:
        if system[0]["z"] <= definition["z_above"]:  # false for NaN: no limit
            continue
        rows = [
            row
            for entry in system
            for band in entry["bands"]
            for row in lines.get((entry["galaxy"], band), [])
            if row["line"] in definition["any_of"]
        ]
        if not rows:
            continue
        counts["galaxies"] += 1
        counts["measurable"] += any(not row["flags"] & (Flag.NOT_FITTED | Flag.LOW_COVERAGE) for row in rows)
        counts["detected"] += any(row["detected"] for row in rows)
        paper = [published[entry["galaxy"]]["lines"] for entry in system if entry["galaxy"] in published]
        counts["table2_galaxies"] += bool(paper)
        counts["table2_detected"] += any(species in (text or "").split("+") for row in paper for text in row.values())
    number, detected = counts["galaxies"], counts["detected"]
    low, high = wilson_interval(detected, number)
    return counts | {
        "line": definition["line"], "notation": definition["notation"], "z_above": definition["z_above"],
        "rate": 100 * detected / number if number else np.nan, "rate_low": 100 * low, "rate_high": 100 * high,
        **{key: definition[key] for key in ("published_rate", "published_detected", "source")},
    }  # fmt: skip

"""Metallicity gradients and model curves of other works, from ``resources/literature`` (format: its README)."""

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from klever.config.schema import Problems, nearest, read_yaml
from klever.errors import InputError

__all__ = ["GRADIENT_COLUMNS", "Literature", "read_literature"]

_NUMBERS = (
    "z", "slope", "slope_error_minus", "slope_error_plus", "log_mstar", "log_mstar_error_minus", "log_mstar_error_plus",
    "log_sfr", "log_sfr_error_minus", "log_sfr_error_plus", "published_slope", "conversion",
)  # fmt: skip
_NECESSARY = ("reference", "object", "z", "slope", "published_slope", "conversion", "use", "confidence", "provenance")
GRADIENT_COLUMNS = ("reference", "object", *_NUMBERS[:-2], "diagnostics", "technique", *_NUMBERS[-2:], "use",
                    "confidence", "provenance", "note")  # fmt: skip
_CHOICES = {"use": ("yes", "no"), "confidence": ("high", "medium", "low"), "edge": ("line", "lower", "upper")}
_DRAWN = ("points", "box", "mean", "no")
_SAMPLE_KEYS = ("citation", "drawn", "correlations", "paper", "complete", "marker", "colour")
# Rounding of a published slope and of its product with the conversion, dex/kpc.
_CONVERSION_TOLERANCE = 2e-5


@dataclass
class Literature:
    """What is known of other samples.

    Parameters
    ----------
    gradients : list of dict
        One per galaxy, by `GRADIENT_COLUMNS`; numbers are float, NaN where the source has none.
    averages : list of dict
        ``reference``, ``z``, ``slope``, ``slope_error`` of averages over several galaxies.
    models : list of dict
        Points of curves: ``model``, ``edge`` (line | lower | upper), ``z`` (NaN: a constant), ``slope``.
    samples, model_styles, absent : dict of str to dict
        Of ``samples.yaml``, in its order: how samples are cited and drawn, and what could not be had.
    """

    gradients: list
    averages: list
    models: list
    samples: dict
    model_styles: dict
    absent: dict = field(default_factory=dict)

    def used(self, minimum_z=-math.inf, correlations=False):
        """Return the galaxies that are drawn, from a redshift on, and only of the samples of Figs 9 and 10 if asked."""
        return [
            row
            for row in self.gradients
            if row["use"] == "yes"
            and row["z"] >= minimum_z
            and (not correlations or self.samples[row["reference"]]["correlations"])
        ]

    def of(self, reference):
        """Return the galaxies of a sample that are drawn."""
        return [row for row in self.used() if row["reference"] == reference]

    def curve(self, model, edge="line"):
        """Return z and slope of a curve that is drawn, ordered by z; shape (2, n)."""
        rows = [
            row for row in self.models if row["model"] == model and row["edge"] == edge and row["use"] == "yes"
        ]  # fmt: skip
        return np.array(sorted((row["z"], row["slope"]) for row in rows)).reshape(-1, 2).T


def read_literature(gradients, averages, models, samples):
    """Read and check the literature.

    Parameters
    ----------
    gradients : list of path-like
        Files of ``resources/literature/gradients``.
    averages, models, samples : path-like
        ``averages.csv``, ``models.csv`` and ``samples.yaml``.

    Returns
    -------
    Literature

    Raises
    ------
    InputError
        A file cannot be read, lacks a column, or holds a cell that cannot be: the message names file, line and column.
    """
    described = _read_samples(samples)
    rows, seen = [], {}
    for path in gradients:
        for line, row in _read_csv(path, GRADIENT_COLUMNS, _NUMBERS, _NECESSARY):
            _check_gradient(path, line, row, described["samples"], samples)
            key = (row["reference"], row["object"])
            if key in seen:
                raise InputError(f"{path}, line {line}: {key[1]} of {key[0]} is also in {seen[key]}; keep one row.")
            seen[key] = f"{path}, line {line}"
            rows.append(row)
    mean_columns = ("reference", "z", "slope", "slope_error", "confidence", "provenance", "note")
    means = [row for _, row in _read_csv(averages, mean_columns, mean_columns[1:4], mean_columns[:-1])]
    curve_columns = ("model", "edge", "z", "slope", "use", "confidence", "provenance", "note")
    curves = [row for _, row in _read_csv(models, curve_columns, ("z", "slope"),
                                          ("model", "edge", "slope", "use", "provenance"))]  # fmt: skip
    for row in means:
        _known(averages, row["reference"], described["samples"], samples)
    for row in curves:
        if row["use"] == "yes":
            _known(models, row["model"], described["models"], samples)
    return Literature(rows, means, curves, described["samples"], described["models"], described["absent"])


def _read_csv(path, columns, numbers, necessary):
    """Yield line number and row of a CSV; numbers as float, NaN where empty."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            absent = [name for name in columns if name not in (reader.fieldnames or [])]
            if absent:
                raise InputError(f"{path} has no column {', '.join(absent)}; see resources/literature/README.md.")
            content = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table of the literature ({error}).") from error
    for line, row in content:
        if None in row or None in row.values():
            raise InputError(f"{path}, line {line}: more or fewer cells than columns; quote text that holds a comma.")
        for name in necessary:
            if not row[name].strip():
                raise InputError(f"{path}, line {line}: {name} is empty; every row needs it.")
        for name, choices in _CHOICES.items():
            if name in row and row[name] not in choices:
                raise InputError(f"{path}, line {line}: {name} is {row[name]!r}{nearest(row[name], choices)}")
        for name in numbers:
            row[name] = _number(path, line, name, row[name])
        yield line, row


def _number(path, line, name, text):
    if not text.strip():
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}, line {line}: {name} is {text!r}, which is no number; leave unknown cells empty.")
    if value < 0 and ("error" in name or name == "z"):
        raise InputError(f"{path}, line {line}: {name} is {text}, but must not be negative.")
    return value


def _check_gradient(path, line, row, samples, samples_path):
    _known(f"{path}, line {line}", row["reference"], samples, samples_path)
    converted = row["published_slope"] * row["conversion"]
    if abs(converted - row["slope"]) > _CONVERSION_TOLERANCE:
        text = f"slope is {row['slope']:g}, but published_slope times conversion is {converted:g}; mend one of them."
        raise InputError(f"{path}, line {line}: {text}")


def _known(where, name, known, samples_path):
    if name not in known:
        raise InputError(f"{where}: {name!r} is not described in {samples_path}; add it there{nearest(name, known)}")


def _read_samples(path):
    problems = Problems()
    content = read_yaml(path, str(path), problems)
    if not problems:
        for part in ("samples", "models", "absent"):
            if not isinstance(content, dict) or not isinstance(content.get(part), dict):
                problems.add(str(path), part, "must be a mapping.")
    if problems:
        raise InputError(problems[0])
    styles = {}
    for name, entry in content["samples"].items():
        absent = [key for key in _SAMPLE_KEYS if key not in (entry or {})]
        if absent:
            raise InputError(f"{path}: {name} has no {', '.join(absent)}; the other samples show what it takes.")
        if entry["drawn"] not in _DRAWN:
            raise InputError(f"{path}: {name}: drawn is {entry['drawn']!r}{nearest(entry['drawn'], _DRAWN)}")
        style = (entry["marker"], entry["colour"])
        if style in styles:
            raise InputError(f"{path}: {name} has the symbol and colour of {styles[style]}; give it its own.")
        styles[style] = name
    both = [name for name in content["absent"] if name in content["samples"]]
    if both:
        raise InputError(f"{path}: {', '.join(both)} is both a sample and absent; take it from absent.")
    return content

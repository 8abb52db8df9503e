"""Samples with a known line, and the survey, literature and evidence of the paper's printed tables."""

from functools import cache
from pathlib import Path

import numpy as np

from klever.audit.registry import Evidence
from klever.population.literature import read_literature
from klever.population.published_survey import published_survey
from klever.population.relations import load_relations, mzr_steidel14
from klever.spectral_lines import load_instruments, load_line_list

RESOURCES = Path(__file__).parents[2] / "resources"
LITERATURE = RESOURCES / "literature"
COSMOLOGY = {"H0": 67.8, "Om0": 0.308, "Ode0": 0.69}


def literature_files():
    """Return the arguments of `read_literature` for the shipped files."""
    files = [LITERATURE / name for name in ("averages.csv", "models.csv", "samples.yaml")]
    return sorted((LITERATURE / "gradients").glob("*.csv")), *files


@cache
def literature():
    return read_literature(*literature_files())


@cache
def printed_survey():
    names = ("table2_sample", "table3_global_properties", "table4_gradients_elliptical", "tableA1_gradients_circular")
    tables = [RESOURCES / f"published/{name}.csv" for name in (*names, "detection_rates")]
    lines = {name: line.wavelength for name, line in load_line_list(RESOURCES / "lines.yaml").lines.items()}
    return published_survey(*tables, lines, load_instruments(RESOURCES / "instruments.yaml"), COSMOLOGY)


def evidence(survey=None, significance=()):
    """Return evidence without regressions, of the printed tables unless told."""
    relations = load_relations(LITERATURE / "scaling_relations.json")
    steidel = mzr_steidel14(LITERATURE / "mzr_steidel2014_stacks.csv")
    return Evidence(survey or printed_survey(), literature(), relations, steidel, list(significance), "huber")


def linear_sample(random, n, slope, intercept, scatter, x_error=0.0, y_error=0.0):
    """Return x, y, true x of points about a line; x is drawn from a Gaussian of width 0.6 about -8.5."""
    true = random.normal(-8.5, 0.6, n)
    y = intercept + slope * true + random.normal(0, scatter, n) + random.normal(0, 1, n) * y_error
    return true + random.normal(0, 1, n) * x_error, y, true


def line_at(x, slope, intercept):
    return intercept + slope * np.asarray(x)

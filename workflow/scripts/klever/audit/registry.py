"""Statistics that claims can be tested with: how they are registered, what they get and what they return."""

from dataclasses import dataclass

import numpy as np

from klever.publish.detection_rates import wilson_interval

__all__ = [
    "STATISTICS", "Evidence", "Result", "Untestable", "binomial", "constant", "counted", "percentage", "shared",
    "statistic",
]  # fmt: skip

STATISTICS = {}


class Untestable(Exception):  # noqa: N818 - not an error, a verdict
    """The claim cannot be tested with what there is; the message says why."""


@dataclass
class Evidence:
    """What a claim is tested against.

    Parameters
    ----------
    survey : klever.population.survey_table.SurveyTable
    literature : klever.population.literature.Literature
    relations : dict
        Of `klever.population.relations.load_relations`.
    steidel14 : tuple of ndarray
        Of `klever.population.relations.mzr_steidel14`.
    significance : list of dict
        Of `klever.population.trends.significance_rows`.
    estimator : str
        The robust regression of the config.
    """

    survey: object
    literature: object
    relations: dict
    steidel14: tuple
    significance: list
    estimator: str


@dataclass
class Result:
    """What a statistic finds.

    Parameters
    ----------
    value : float or list of str
        A number, or names.
    error : float
        1 sigma sampling error; NaN where it has none.
    note : str
        For example which galaxies were counted.
    untested : str
        Why the value is no test of the claim although it can be computed; empty if it is one.
    """

    value: float | list
    error: float = np.nan
    note: str = ""
    untested: str = ""


def statistic(function):
    """Register a function of an `Evidence` and keyword arguments that returns a `Result`, under its name."""
    STATISTICS[function.__name__] = function
    return function


def constant(function):
    """Register, as `statistic`, a function that takes nothing from the survey: it is not evaluated for a run."""
    function.constant = True
    return statistic(function)


def binomial(number, total, note=""):
    """Return a number of galaxies with its sampling error, half the 68 % Wilson interval.

    Raises
    ------
    Untestable
        There is none to count among.
    """
    if not total:
        raise Untestable("there is no galaxy that this could be counted among")
    low, high = wilson_interval(number, total)
    return Result(float(number), total * (high - low) / 2, note or f"{number} of {total}")


def percentage(number, total, note=""):
    """Return `binomial` in per cent."""
    found = binomial(number, total, note)
    return Result(100 * found.value / total, 100 * found.error / total, found.note)


def counted(names, everyone):
    """Return how many of `everyone` the `names` are, and who is in or out in the note."""
    return binomial(len(names), len(everyone), _listed(names, everyone))


def shared(names, everyone):
    """Return the percentage that `names` are of `everyone`; notes as `counted`."""
    return percentage(len(names), len(everyone), _listed(names, everyone))


def _listed(names, everyone):
    out = [name for name in everyone if name not in set(names)]
    text = f"{len(names)} of {len(everyone)}"
    if 0 < len(out) < len(names):
        return f"{text}, all but {', '.join(out)}"
    return f"{text}: {', '.join(names)}" if names and out else text

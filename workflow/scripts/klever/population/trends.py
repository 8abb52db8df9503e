"""Trends of the metallicity gradient with sSFR, stellar mass and distance from the main sequence (Sect. 4.4)."""

from dataclasses import dataclass

import numpy as np

from klever.errors import InputError
from klever.population.cosmic_age import age_of_universe
from klever.population.regression import ESTIMATORS, robust_regression, with_errors
from klever.population.relations import delta_main_sequence
from klever.population.significance_table import SAMPLES, TRENDS
from klever.population.survey_table import mean_error

__all__ = ["TrendSample", "significance_rows", "trend_sample"]


@dataclass
class TrendSample:
    """Galaxies with a gradient and the x of a trend.

    Parameters
    ----------
    x, x_error, slope, slope_error : ndarray, shape (n,)
        NaN errors are unknown.
    reference : list of str
        Key of the literature's sample; empty for galaxies of the survey.
    resolved : list of str
        Of galaxies of the survey.
    """

    x: np.ndarray
    x_error: np.ndarray
    slope: np.ndarray
    slope_error: np.ndarray
    reference: list
    resolved: list

    def select(self, sample):
        """Return the part that is all, survey or literature."""
        own = np.array([not name for name in self.reference], dtype=bool)
        chosen = {"all": np.ones_like(own), "survey": own, "literature": ~own}[sample]
        arrays = (getattr(self, name)[chosen] for name in ("x", "x_error", "slope", "slope_error"))
        lists = ([item for item, kept in zip(items, chosen, strict=True) if kept]
                 for items in (self.reference, self.resolved))  # fmt: skip
        return TrendSample(*arrays, *lists)


def trend_sample(trend, survey, literature, minimum_z, cosmology):
    """Collect the galaxies of a trend.

    Parameters
    ----------
    trend : str
        Key of `klever.population.significance_table.TRENDS`.
    survey : klever.population.survey_table.SurveyTable
    literature : klever.population.literature.Literature
    minimum_z : float
        Literature from this redshift on (0.8 in the paper).
    cosmology : mapping
        H0, Om0, Ode0.

    Returns
    -------
    TrendSample
    """
    rows = []
    for row in survey.having("slope", trend):
        error = mean_error(row, "log_mstar") if trend == "log_mstar" else row[f"{trend}_error"]
        rows.append((row[trend], error, row["slope"], row["slope_error"], "", row["resolved"]))
    for row in literature.used(minimum_z, correlations=True):
        x, x_error = _literature_x(trend, row, cosmology)
        if np.isfinite(x):
            rows.append((x, x_error, row["slope"], mean_error(row, "slope"), row["reference"], ""))
    columns = list(zip(*rows, strict=True)) or [()] * 6
    return TrendSample(*(np.array(column, dtype=float) for column in columns[:4]), *map(list, columns[4:]))


def _literature_x(trend, row, cosmology):
    """Return x of a trend and its error, NaN where unknown."""
    mass, sfr = row["log_mstar"], row["log_sfr"]
    mass_error, sfr_error = mean_error(row, "log_mstar"), mean_error(row, "log_sfr")
    if trend == "log_mstar":
        return mass, mass_error
    if trend == "log_ssfr":
        return sfr - mass, np.hypot(mass_error, sfr_error)
    age = age_of_universe(row["z"], cosmology)
    return float(delta_main_sequence(sfr, mass, age)), float(np.hypot(sfr_error, (0.84 - 0.026 * age) * mass_error))


def significance_rows(survey, literature, settings, cosmology):
    """Fit all trends, each with and without errors.

    Parameters
    ----------
    survey, literature
        As for `trend_sample`.
    settings : dict
        The section ``population`` of the config.
    cosmology : mapping
        H0, Om0, Ode0.

    Returns
    -------
    list of dict
        By `klever.population.significance_table.SIGNIFICANCE_COLUMNS`; a sample that is too small has a row without
        numbers, and says so in ``note``.
    """
    rows = []
    for trend in TRENDS:
        points = trend_sample(trend, survey, literature, settings["minimum_redshift"], cosmology)
        for sample in SAMPLES:
            chosen = points.select(sample)
            methods = ESTIMATORS if sample == "all" else (settings["estimator"],)
            rows += [_robust_row(trend, sample, method, chosen, settings) for method in methods]
            rows.append(_errors_row(trend, sample, chosen, settings))
    return rows


def _start(trend, sample, method, points):
    paper = TRENDS[trend]
    row = {
        "trend": trend, "sample": sample, "method": method, "n": len(points.x),
        "n_survey": sum(not name for name in points.reference),
        "n_exact_x": int(np.sum(~np.isfinite(points.x_error))), "note": "",
    }  # fmt: skip
    printed = (paper.paper_slope, paper.paper_slope_error, paper.paper_significance, paper.paper_rho)
    names = ("paper_slope", "paper_slope_error", "paper_significance", "paper_rho")
    return row | (dict(zip(names, printed, strict=True)) if sample == "all" else {})


def _robust_row(trend, sample, method, points, settings):
    row = _start(trend, sample, method, points)
    try:
        # the other estimators, ten times slower, are for comparison: their errors need not be known as well
        number = settings["bootstrap"] if method == settings["estimator"] else max(settings["bootstrap"] // 4, 10)
        fit = robust_regression(points.x, points.slope, estimator=method, bootstrap=number, seed=settings["seed"])
    except InputError as error:
        return row | {"note": str(error)}
    return row | {
        "slope": fit.slope, "slope_error": fit.slope_error, "intercept": fit.intercept,
        "intercept_error": fit.intercept_error, "significance": abs(fit.slope) / fit.slope_error, "rms": fit.rms,
        "spearman_rho": fit.rho, "spearman_rho_error": fit.rho_error, "spearman_p": fit.p_value,
    }  # fmt: skip


def _errors_row(trend, sample, points, settings):
    known = np.isfinite(points.slope_error)
    reference = [name for name, kept in zip(points.reference, known, strict=True) if kept]
    resolved = [name for name, kept in zip(points.resolved, known, strict=True) if kept]
    chosen = TrendSample(points.x[known], points.x_error[known], points.slope[known], points.slope_error[known],
                         reference, resolved)  # fmt: skip
    row = _start(trend, sample, "errors", chosen)
    if known.sum() < len(known):
        row["note"] = f"{int(np.sum(~known))} galaxies without an error of the gradient are left out"
    chain = {name: settings[name] for name in ("walkers", "steps", "burn_in", "seed")}
    try:
        x_error = np.nan_to_num(chosen.x_error, nan=0.0)
        fit = with_errors(chosen.x, chosen.slope, x_error, chosen.slope_error, **chain)
    except InputError as error:
        return row | {"note": str(error)}
    residual = chosen.slope - fit.intercept - fit.slope * chosen.x
    if not fit.converged:
        row["note"] = "; ".join(filter(None, [row["note"], "the chain is shorter than 50 autocorrelation times"]))
    return row | {
        "slope": fit.slope, "slope_error": fit.slope_error, "intercept": fit.intercept,
        "intercept_error": fit.intercept_error, "significance": abs(fit.slope) / fit.slope_error,
        "scatter": fit.scatter, "scatter_error": fit.scatter_error, "rms": float(np.sqrt(np.mean(residual**2))),
    }  # fmt: skip

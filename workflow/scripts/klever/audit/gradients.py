"""Statistics of the gradients: their number, size, sign, significance, and what the apertures do to them."""

import numpy as np

from klever.audit.registry import Result, Untestable, constant, counted, percentage, shared, statistic
from klever.population.survey_table import mean_error

__all__ = []

# Ratios of printed numbers are not exact in binary: 0.036 / 0.012 is 3 to 4e-16.
_ROUNDING = 1e-9


def _gradients(evidence):
    rows = evidence.survey.having("slope", "slope_error")
    if not rows:
        raise Untestable("there is no gradient")
    return rows


def _names(rows):
    return [row["id"] for row in rows]


def _sigma(row):
    return abs(row["slope"]) / row["slope_error"]


@statistic
def sample_size(evidence):
    """Return the number of observed galaxies; pointings at one position are one."""
    return Result(float(len(evidence.survey.sample)))


@statistic
def galaxies_in_redshift_range(evidence, low, high):
    """Count the galaxies with a gradient inside a range of redshift."""
    rows = _gradients(evidence)
    return counted(_names([row for row in rows if low < row["z"] < high]), _names(rows))


@statistic
def number_of_gradients(evidence, resolved=None):
    """Count the gradients, all or those of one class (resolved | marginal)."""
    rows = _gradients(evidence)
    return counted(_names([row for row in rows if resolved in (None, row["resolved"])]), _names(rows))


@statistic
def gradients_of_sign(evidence, sign):
    """Count the gradients that are negative or positive; exact zeros are neither."""
    rows, factor = _gradients(evidence), {"negative": -1, "positive": 1}[sign]
    return counted(_names([row for row in rows if factor * row["slope"] > 0]), _names(rows))


@statistic
def share_shallower(evidence, limit):
    """Return the percentage of gradients of at most `limit` dex/kpc, of either sign."""
    rows = _gradients(evidence)
    return shared(_names([row for row in rows if abs(row["slope"]) <= limit + _ROUNDING]), _names(rows))


@statistic
def share_flat(evidence, sigma):
    """Return the percentage of gradients less than `sigma` errors from zero."""
    rows = _gradients(evidence)
    return shared(_names([row for row in rows if _sigma(row) < sigma - _ROUNDING]), _names(rows))


@statistic
def number_flat(evidence, sigma):
    """Count the gradients less than `sigma` errors from zero."""
    rows = _gradients(evidence)
    return counted(_names([row for row in rows if _sigma(row) < sigma - _ROUNDING]), _names(rows))


@statistic
def inverted_gradients(evidence, sigma, above=False):
    """Name the positive gradients at least (or, `above`, more than) `sigma` errors from zero."""
    limit = sigma + (_ROUNDING if above else -_ROUNDING)
    rows = [row for row in _gradients(evidence) if row["slope"] > 0 and _sigma(row) >= limit]
    return Result(_names(rows), note=", ".join(f"{row['id']}: {_sigma(row):.2f} sigma" for row in rows))


@statistic
def number_inverted(evidence, sigma, above=False):
    """Count the galaxies of `inverted_gradients`."""
    found = inverted_gradients(evidence, sigma, above)
    return Result(float(len(found.value)), counted(found.value, _names(_gradients(evidence))).error, found.note)


def _row(evidence, galaxy):
    row = evidence.survey.row(galaxy)
    if row is None or not np.isfinite(row["slope"]):
        raise Untestable(f"{galaxy} has no gradient")
    return row


@statistic
def significance_of_gradient(evidence, galaxy):
    """Return the gradient of a galaxy over its error."""
    return Result(_sigma(_row(evidence, galaxy)))


@statistic
def gradient_of(evidence, galaxy):
    """Return the gradient of a galaxy, dex/kpc."""
    row = _row(evidence, galaxy)
    return Result(row["slope"], row["slope_error"])


@statistic
def source_resolution(evidence):
    """Return the median of sqrt(FWHM_x FWHM_y) of the source-plane PSF, kpc."""
    rows = evidence.survey.having("psf_fwhm_major_kpc", "psf_fwhm_minor_kpc")
    sizes = [np.sqrt(row["psf_fwhm_major_kpc"] * row["psf_fwhm_minor_kpc"]) for row in rows]
    if not sizes:
        raise Untestable("there is no source-plane PSF")
    return Result(float(np.median(sizes)), note=f"{min(sizes):.2f} to {max(sizes):.2f} kpc in {len(sizes)} galaxies")


def _pairs(evidence):
    rows = evidence.survey.having("slope", "slope_error", "slope_circular", "slope_circular_error")
    if not rows:
        raise Untestable("there is no galaxy with gradients in both apertures")
    return rows


def _diverge(row, error):
    """Whether the gradients in the two apertures differ by more than the elliptical one's or the joint error."""
    joint = np.hypot(row["slope_error"], row["slope_circular_error"])
    limit = {"joint": joint, "elliptical": row["slope_error"]}[error]
    return abs(row["slope"] - row["slope_circular"]) > limit + _ROUNDING


@statistic
def share_apertures_agree(evidence, error="joint"):
    """Return the percentage of galaxies whose elliptical and circular gradients agree within an error."""
    rows = _pairs(evidence)
    return shared(_names([row for row in rows if not _diverge(row, error)]), _names(rows))


@statistic
def apertures_diverge(evidence, error="joint"):
    """Count the galaxies of which `share_apertures_agree` is not true."""
    rows = _pairs(evidence)
    return counted(_names([row for row in rows if _diverge(row, error)]), _names(rows))


@statistic
def apertures_invert(evidence, error="elliptical", only=None):
    """Count diverging galaxies with gradients of opposite sign; `only` from_negative or from_positive (elliptical)."""
    rows, sign = _pairs(evidence), {"from_negative": -1, "from_positive": 1, None: 0}[only]
    apart = [row for row in rows if _diverge(row, error) and row["slope"] * row["slope_circular"] < 0]
    return counted(_names([row for row in apart if sign == 0 or sign * row["slope"] > 0]), _names(rows))


@statistic
def flat_in_both_apertures(evidence, galaxy, sigma=1.0):
    """Return 1 if a galaxy's gradients are less than `sigma` errors from zero in both apertures, else 0."""
    row = next((row for row in _pairs(evidence) if row["id"] == galaxy), None)
    if row is None:
        raise Untestable(f"{galaxy} has no gradients in both apertures")
    values = [(row["slope"], row["slope_error"]), (row["slope_circular"], row["slope_circular_error"])]
    note = ", ".join(f"{slope:.3f} +- {error:.3f}" for slope, error in values)
    return Result(float(all(abs(slope) < sigma * error for slope, error in values)), note=note)


@statistic
def consistent_with_model(evidence, model, sigma, percent=False):
    """Count (or give in per cent) the gradients less than `sigma` errors from a model's curve at their redshifts."""
    z, slope = evidence.literature.curve(model)
    if not len(z):
        raise Untestable(f"the curve of {model} could not be had")
    rows = [row for row in _gradients(evidence) if z[0] <= row["z"] <= z[-1]]
    near = [row for row in rows if abs(row["slope"] - np.interp(row["z"], z, slope)) < sigma * row["slope_error"]]
    return (shared if percent else counted)(_names(near), _names(rows))


@constant
def literature_share_shallower(evidence, limit, low, high):
    """Return the percentage of other samples' gradients of at most `limit` dex/kpc in a range of redshift."""
    rows = [row for row in _of_the_paper(evidence) if low < row["z"] < high and np.isfinite(row["slope"])]
    near = [row for row in rows if abs(row["slope"]) <= limit]
    return _literature_share(near, rows)


@constant
def literature_share_flat(evidence, sigma, low, high):
    """Return the percentage of other samples' gradients less than `sigma` errors from zero."""
    rows = [row for row in _of_the_paper(evidence) if low < row["z"] < high and mean_error(row, "slope") > 0]
    near = [row for row in rows if abs(row["slope"]) < sigma * mean_error(row, "slope")]
    return _literature_share(near, rows)


def _of_the_paper(evidence):
    """Return the galaxies of the samples that the paper draws."""
    samples = evidence.literature.samples
    return [row for row in evidence.literature.used() if samples[row["reference"]]["paper"]]


def _literature_share(near, rows):
    """Return the percentage, and how many there are of each sample."""
    samples = dict.fromkeys(row["reference"] for row in rows)
    counts = [f"{name} {sum(row['reference'] == name for row in rows)}" for name in samples]
    return percentage(len(near), len(rows), f"{len(near)} of {len(rows)}: {', '.join(counts)}")

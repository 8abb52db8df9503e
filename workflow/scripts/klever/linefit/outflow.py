"""The broad second component in maps and pseudo-fibre: where it is tried, and where it replaces the single fit."""

from dataclasses import dataclass

import numpy as np

from klever.linefit.broad import fit_broad
from klever.maps import Flag

__all__ = ["BROAD", "BroadComponent", "broad_components"]

BROAD = "_BROAD"
_TRIED_SNR = 10.0  # of the main line: below, no broad component can be told from noise
_SPURIOUS = Flag.DISPERSION_BOUND | Flag.LOW_COVERAGE | Flag.NOT_FITTED


@dataclass
class BroadComponent:
    """Broad component of n spectra; NaN where it is not kept.

    Attributes
    ----------
    group : str
    names : list of str
        Lines with a broad component.
    flux, flux_error : ndarray, shape (n_broad, n)
    velocity, velocity_error, dispersion, dispersion_error : ndarray, shape (n,)
        km/s.
    evidence : ndarray, shape (n,)
        Rise of ln Z; NaN where the component was not tried.
    flags : ndarray of uint16, shape (n,)
        ``NOT_DETECTED`` where it was tried and not kept, ``NOT_FITTED`` where it was not tried.
    curve : ndarray, shape (n, n_channels)
        Its flux density; 0 where it is not kept.
    """

    group: str
    names: list
    flux: np.ndarray
    flux_error: np.ndarray
    velocity: np.ndarray
    velocity_error: np.ndarray
    dispersion: np.ndarray
    dispersion_error: np.ndarray
    evidence: np.ndarray
    flags: np.ndarray
    curve: np.ndarray


def broad_components(spectra, fit, options, scale):
    """Try a broad component where the configuration asks for one; `fit` gets the narrow part where it is kept.

    It is kept where the evidence rises by ``broad_evidence`` and its width is at no bound: at the lower one it would be
    a narrow line that is not Gaussian.  It is tried on strong lines, and on spectra that one component could not fit: a
    bright broad line is the usual reason.

    Parameters
    ----------
    spectra : klever.linefit.groupspectra.GroupSpectra
    fit : klever.linefit.result.FitResult
        Of one component; changed in place.
    options : dict
        ``lines`` as in ``config.yaml``.
    scale : float
        By which all errors are too small; those returned are to be multiplied by it like those of `fit`.

    Returns
    -------
    BroadComponent or None
        None if no line of the group is to have one.
    """
    model = spectra.model
    names = [name for name in options["broad"].get(model.group.name, []) if name in model.names]
    if not names:
        return None
    n, n_channels = spectra.flux.shape
    missing = np.full(n, np.nan)
    result = BroadComponent(
        model.group.name, names, np.full((len(names), n), np.nan), np.full((len(names), n), np.nan), missing.copy(),
        missing.copy(), missing.copy(), missing.copy(), missing.copy(), np.full(n, Flag.NOT_FITTED, np.uint16),
        np.zeros((n, n_channels)),
    )  # fmt: skip
    unfitted = ((fit.flags & Flag.NOT_FITTED) != 0) & np.isfinite(spectra.flux).any(axis=1)
    rows = np.flatnonzero(unfitted | _is_strong(fit, scale))
    if not rows.size:
        return result
    error = np.where(spectra.near, spectra.error[rows] * scale, np.nan)
    two = fit_broad(
        model, spectra.wavelength, spectra.flux[rows], error, fit.part(rows), names, options["velocity_range"],
        tuple(options["dispersion_range"]), tuple(options["broad_dispersion_range"]),
        minimum_coverage=options["minimum_coverage"], threshold=options["broad_evidence"],
    )  # fmt: skip
    kept = two.chosen & ((two.flags & _SPURIOUS) == 0)
    kept &= ~unfitted[rows] | _is_strong(two.narrow, 1.0)
    result.evidence[rows] = np.where(unfitted[rows] & ~kept, np.nan, two.delta_ln_evidence)
    refused = np.where(unfitted[rows], Flag.NOT_FITTED, Flag.NOT_DETECTED)
    result.flags[rows] = np.where(kept, two.flags, refused).astype(np.uint16)
    target = rows[kept]
    order = [two.model.names.index(name) for name in names]
    result.flux[:, target], result.flux_error[:, target] = (
        two.flux[order][:, kept],
        two.flux_error[order][:, kept] / scale,
    )
    for name in ("velocity", "dispersion"):
        getattr(result, name)[target] = getattr(two, name)[kept]
        getattr(result, f"{name}_error")[target] = getattr(two, f"{name}_error")[kept] / scale
    result.curve[target] = two.lines_at(spectra.wavelength)[1][kept]
    fit.take(target, two.narrow.part(np.flatnonzero(kept)), scale)
    return result


def _is_strong(fit, scale):
    """Whether the S/N of the main line is worth a second component, shape (n,); `scale` multiplies the errors."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return fit.flux[fit.model.main] / (fit.flux_error[fit.model.main] * scale) >= _TRIED_SNR

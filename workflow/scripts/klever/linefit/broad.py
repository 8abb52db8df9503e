"""An optional second, broad component of a group of lines, chosen by its evidence: type-1 AGN and outflows.

Permitted lines only (Halpha, Hbeta) are broad in a type-1 AGN, all lines in an outflow.  Four parameters are
non-linear, velocity and dispersion of each component; all fluxes and the linear continuum follow exactly for any of
them, as in `klever.linefit.varpro`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from klever.errors import ConfigError
from klever.linefit.model import GroupModel, pixel_edges, pixel_profile
from klever.linefit.result import FitResult
from klever.linefit.twocomponents import fit_once, unreachable
from klever.maps import Flag
from klever.spectral_lines import LineList

__all__ = ["BroadResult", "check_broad_lines", "fit_broad", "needed_window"]

_WINGS = 2.0  # sigmas of a broad line that the window must hold on both sides
_CORE_SIGMAS = 3.0
_NEGATIVE_SNR = -5.0


@dataclass
class BroadResult:
    """Fit of two components to n spectra; NaN where `flags` holds ``NOT_FITTED``.

    Attributes
    ----------
    narrow : FitResult
        The narrow component beside the broad one, with the common continuum, chi2 and degrees of freedom.
    single : FitResult
        The narrow component alone, fitted to the same channels.
    model : GroupModel
        Of the broad lines.
    flux, flux_error : ndarray, shape (n_broad, n)
        Broad fluxes (flux density x micrometre), never negative, and 1 sigma.
    covariance : ndarray, shape (n_broad, n_broad, n)
    velocity, velocity_error, dispersion, dispersion_error : ndarray, shape (n,)
        km/s, of the broad component; the dispersion is intrinsic.  At a bound (flagged), and without any broad flux,
        the error is that of a uniform distribution over the range.
    delta_ln_evidence : ndarray, shape (n,)
        Ln Z of two components minus ln Z of one; priors in `klever.linefit.evidence`.
    chosen : ndarray of bool, shape (n,)
        `delta_ln_evidence` exceeds the threshold.  A component flagged ``DISPERSION_BOUND`` at the lower bound may be
        just a narrow line that is not Gaussian (beam-smeared rotation), at the upper one a curved continuum.
    flags : ndarray of uint16, shape (n,)
        Of the broad component: ``VELOCITY_BOUND``, ``DISPERSION_BOUND``, ``LOW_COVERAGE`` (the window does not hold two
        sigmas of each broad line on both sides, or too much of them is masked), ``NOT_FITTED``.
    """

    narrow: FitResult
    single: FitResult
    model: GroupModel
    flux: np.ndarray
    flux_error: np.ndarray
    covariance: np.ndarray
    velocity: np.ndarray
    velocity_error: np.ndarray
    dispersion: np.ndarray
    dispersion_error: np.ndarray
    delta_ln_evidence: np.ndarray
    chosen: np.ndarray
    flags: np.ndarray

    @property
    def chi2(self):
        """Chi2 of the fit with two components, shape (n,)."""
        return self.narrow.chi2

    @property
    def dof(self):
        """Degrees of freedom of the fit with two components, shape (n,)."""
        return self.narrow.dof

    def continuum_at(self, wavelength):
        """Continuum, shape (n, n_wavelengths)."""
        return self.narrow.continuum_at(wavelength)

    def lines_at(self, wavelength):
        """Narrow and broad lines, averaged over the pixels centred on `wavelength`, each (n, n_wavelengths)."""
        edges, centres = pixel_edges(wavelength), self.model.centres(self.velocity)
        sigmas = self.model.sigmas(centres, self.dispersion)
        broad = sum(
            self.flux[i][:, None] * pixel_profile(edges, centres[i][:, None], sigmas[i][:, None])
            for i in range(len(centres))
        )
        return self.narrow.lines_at(wavelength), broad


def needed_window(velocity_range, dispersion_range):
    """Velocity (km/s) to keep on each side of the lines: where the broadest line has 3 sigmas of wing."""
    return velocity_range + 3.0 * dispersion_range[1]


def check_broad_lines(broad: Mapping[str, Sequence[str]], line_list: LineList):
    """Check ``lines.broad`` of the settings against the line list.

    Raises
    ------
    ConfigError
        A group is not in the list, or a line is not in its group.
    """
    for name, lines in broad.items():
        (group,) = line_list.select([name])
        _check_lines(lines, group)


def _check_lines(lines, group):
    members = [line.name for line in group.lines]
    if not lines or len(set(lines)) != len(lines):
        raise ConfigError(f"lines.broad.{group.name} must list at least one line, and each once; it is {list(lines)}.")
    if unknown := [name for name in lines if name not in members]:
        raise ConfigError(
            f"lines.broad.{group.name} names {', '.join(unknown)}, but the group has {', '.join(members)}; "
            "choose from those."
        )


def _broad_model(model, lines):
    """Reduce the group to its broad lines, with the ties between them."""
    _check_lines(lines, model.group)
    group = model.group
    kept = tuple(line for line in group.lines if line.name in lines)
    fixed, bounded = (
        tuple(ratio for ratio in ratios if {ratio.numerator, ratio.denominator} <= set(lines))
        for ratios in (group.fixed_ratios, group.bounded_ratios)
    )
    main = group.main if group.main in lines else kept[-1].name
    return replace(model, group=replace(group, lines=kept, main=main, fixed_ratios=fixed, bounded_ratios=bounded))


def fit_broad(
    model,
    wavelength,
    flux,
    error,
    narrow,
    broad_lines,
    velocity_range=400.0,
    dispersion_range=(20.0, 300.0),
    broad_dispersion_range=(300.0, 3000.0),
    broad_velocity_range=None,
    minimum_coverage=0.5,
    threshold=5.0,
):
    """Fit a group of lines with and without a broad component to many spectra, and compare their evidence.

    Parameters
    ----------
    model : GroupModel
        Of the narrow lines.
    wavelength : ndarray, shape (n_channels,)
        Micrometre, vacuum, ascending.  It should reach `needed_window` on both sides of the lines: a broad line that
        the window does not hold cannot be told from the continuum.
    flux, error : ndarray, shape (n, n_channels)
        Flux density and 1 sigma, the latter true: evidence grows as the inverse square of the errors.  A channel that
        is not finite, or whose error is not positive, is masked.
    narrow : FitResult
        Fit of the narrow component to the n spectra, where its search starts; NaN starts at velocity zero.
    broad_lines : sequence of str
        Lines of the group with a broad component.
    velocity_range : float
        Narrow component, +- km/s of velocity zero.
    dispersion_range, broad_dispersion_range : (float, float)
        Bounds of the intrinsic dispersions, km/s; those of the broad component lie above those of the narrow one.
    broad_velocity_range : float, optional
        +- km/s of velocity zero; that of the narrow component if left out.
    minimum_coverage : float
        Fraction of each broad line, and of narrow ones, that must fall on unmasked channels.
    threshold : float
        The broad component is chosen where ln Z rises by more than this.

    Returns
    -------
    BroadResult

    Raises
    ------
    ConfigError
        Broad lines that the group lacks, or ranges that cannot be searched.
    ValueError
        Arrays of unequal shapes, or fewer than five channels.
    """
    wavelength = np.asarray(wavelength, float)
    flux, error = np.atleast_2d(np.asarray(flux, float)), np.atleast_2d(np.asarray(error, float))
    if flux.shape != error.shape or flux.shape[1] != len(wavelength) or len(wavelength) < 5:
        raise ValueError(
            f"flux {flux.shape} and error {error.shape} must both be (n, {len(wavelength)}), n_channels at least 5."
        )
    if len(narrow.velocity) != len(flux):
        raise ValueError(f"narrow holds {len(narrow.velocity)} spectra and flux {len(flux)}; both must be the same.")
    reach = velocity_range if broad_velocity_range is None else broad_velocity_range
    (low, high), (broad_low, broad_high) = dispersion_range, broad_dispersion_range
    if not (velocity_range > 0 and reach > 0 and 0 < low < high <= broad_low < broad_high):
        raise ConfigError(
            f"velocity ranges {velocity_range} and {reach}, dispersion_range {list(dispersion_range)}, "
            f"broad_dispersion_range {list(broad_dispersion_range)} km/s: all must be positive and ascending, and the "
            "broad dispersions start where the narrow ones end, or above."
        )
    models = model, _broad_model(model, broad_lines)
    ranges = (velocity_range, dispersion_range), (reach, broad_dispersion_range)
    start = np.asarray(narrow.best)
    found = fit_once(models, ranges, wavelength, flux, error, start)
    far = unreachable(found)
    if (again := np.flatnonzero(far.any(axis=1))).size:
        second = fit_once(models, ranges, wavelength, flux[again], error[again], start[:, again], far[again])
        second["spikes"] |= far[again]
        for key, value in second.items():
            found[key][again] = value
    bad = _not_fitted(found, models, wavelength)
    delta = np.where(bad, np.nan, found["delta"])
    with np.errstate(invalid="ignore"):
        chosen = delta > threshold
    n_narrow = len(model.names)
    edge = wavelength[0], wavelength[-1]
    broad = _component(found, "double", 1, models[1], ranges[1], bad)
    low_coverage = found["coverage"][:, n_narrow:].T < minimum_coverage
    centres = models[1].centres(found["double_position"][:, 2])
    wing = _WINGS * models[1].sigmas(centres, found["double_position"][:, 3])
    low_coverage |= (centres - wing < edge[0]) | (centres + wing > edge[1])
    broad["flags"] |= np.where(low_coverage.any(axis=0), Flag.LOW_COVERAGE, 0).astype(np.uint16)
    return BroadResult(
        narrow=_as_fit(narrow, found, "double", models, ranges, bad, wavelength, minimum_coverage),
        single=_as_fit(narrow, found, "single", models, ranges, bad, wavelength, minimum_coverage),
        model=models[1], delta_ln_evidence=delta, chosen=chosen, **broad,
    )  # fmt: skip


def _not_fitted(found, models, wavelength):
    """Spectra without a fit: too few channels, spikes on a narrow line, no emission, or nothing near the fit."""
    narrow = models[0]
    centres = narrow.centres(found["double_position"][:, 0])
    sigmas = narrow.sigmas(centres, found["double_position"][:, 1])
    bad = ~found["fittable"] | unreachable(found).any(axis=1) | ~(found["gain"] > 0)
    for row in np.flatnonzero(found["spikes"].any(axis=1)):
        distance = np.abs(wavelength[found["spikes"][row]][:, None] - centres[:, row]) / sigmas[:, row]
        bad[row] |= (distance < _CORE_SIGMAS).any()
    main = narrow.main
    error = np.sqrt(np.maximum(found["double_covariance"][:, main, main], 0.0))
    bad |= (error > 0) & (found["double_flux"][:, main] < _NEGATIVE_SNR * error)
    return bad | ~np.isfinite(found["double_chi2"]) | ~np.isfinite(found["delta"])


def _component(found, fit, which, model, limits, bad):
    """Fluxes, kinematics, errors and flags of component `which` of a fit, NaN where `bad`."""
    first = 0 if which == 0 else found[f"{fit}_flux"].shape[1] - len(model.names)
    lines = slice(first, first + len(model.names))
    hide = np.where(bad, np.nan, 1.0)
    covariance = found[f"{fit}_covariance"][:, lines, lines].transpose(1, 2, 0)
    error = np.sqrt(np.maximum(np.einsum("iin->in", covariance), 0.0))
    position, spread = (found[f"{fit}_{key}"].T[2 * which : 2 * which + 2] for key in ("position", "spread"))
    low = np.array([-limits[0], limits[1][0]])[:, None]
    high = np.array([limits[0], limits[1][1]])[:, None]
    margin = 1e-6 * (high - low)
    at_bound = (position <= low + margin) | (position >= high - margin)
    # at a bound the data say only which side of it they prefer: the distance to one sigma is not known
    spread = np.where(at_bound | ~(spread > 0), (high - low) / np.sqrt(12.0), np.minimum(spread, high - low))
    flags = np.where(bad, Flag.NOT_FITTED, 0).astype(np.uint16)
    flags |= np.where(at_bound[0], Flag.VELOCITY_BOUND, 0).astype(np.uint16)
    flags |= np.where(at_bound[1], Flag.DISPERSION_BOUND, 0).astype(np.uint16)
    hide_line = hide * np.where(error > 0, 1.0, np.nan)
    return {
        "flux": found[f"{fit}_flux"].T[lines] * hide_line, "flux_error": error * hide_line,
        "covariance": covariance * hide, "velocity": position[0] * hide, "velocity_error": spread[0] * hide,
        "dispersion": position[1] * hide, "dispersion_error": spread[1] * hide, "flags": flags,
    }  # fmt: skip


def _as_fit(narrow, found, fit, models, ranges, bad, wavelength, minimum_coverage):
    """Return the narrow component of a fit as a `FitResult`; what `narrow` holds besides is kept."""
    model = models[0]
    values = _component(found, fit, 0, model, ranges[0], bad)
    coverage = found["coverage"][:, : len(model.names)].T
    low_coverage = ~(coverage >= minimum_coverage)
    line_flags = np.repeat(values["flags"][None], len(model.names), axis=0)
    line_flags |= np.where(low_coverage, Flag.LOW_COVERAGE, 0).astype(np.uint16)
    for ratio in model.group.bounded_ratios:
        tied = np.isin(model.names, [ratio.numerator, ratio.denominator])
        line_flags |= np.where(tied[:, None] & found[f"{fit}_on_ratio"], Flag.RATIO_BOUND, 0).astype(np.uint16)
    values["flags"] |= np.where(low_coverage.all(axis=0), Flag.LOW_COVERAGE, 0).astype(np.uint16)
    hide = np.where(bad, np.nan, 1.0)
    n_parameters = model.columns().shape[1] + 4
    if fit == "double":
        n_parameters += models[1].columns().shape[1] + 2
    continuum_chi2 = found["gain"] + found["double_chi2"]
    observed = model.observed_dispersion(*found[f"{fit}_position"].T[:2])
    return replace(
        narrow, model=model, coverage=coverage, dispersion_observed=observed * hide,
        dispersion_limit=np.full(len(bad), np.nan), best=found[f"{fit}_position"].T[:2] * hide,
        continuum=found[f"{fit}_continuum"].T * hide, centre=0.5 * (wavelength[0] + wavelength[-1]),
        chi2=found[f"{fit}_chi2"] * hide, dof=np.maximum(found["n_valid"] - n_parameters, 1),
        improvement=(continuum_chi2 - found[f"{fit}_chi2"]) * hide, line_flags=line_flags, **values,
    )  # fmt: skip

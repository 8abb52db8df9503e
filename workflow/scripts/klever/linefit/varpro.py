"""Variable projection for whole cubes: all spaxels of a group of lines at once.

Only velocity and dispersion are non-linear.  For any pair of them the line fluxes and the linear continuum follow
exactly from weighted normal equations (Golub & Pereyra 1973), so a grid finds the start of each spaxel and a
Levenberg-Marquardt search in two dimensions finishes.  Two engines do this: `klever.linefit.kernel` spectrum by
spectrum in machine code, `klever.linefit.vectorised` in NumPy for all spectra at once.
"""

import numpy as np

from klever.errors import ConfigError
from klever.linefit.posterior import monte_carlo
from klever.linefit.result import ONE_SIDED, FitResult
from klever.linefit.search import Search
from klever.linefit.vectorised import CORE_VELOCITY
from klever.maps import Flag
from klever.spectral_lines import SPEED_OF_LIGHT

__all__ = ["fit_spectra", "search_velocity"]

_SPIKE_SIGMA = 8.0
_LIMIT_SNR = 3.0
_RESIDUAL_SIGMA = 5.0  # chi2 around the lines above its expectation, in units of its standard deviation
_CORE_SIGMAS = 3.0
_NEGATIVE_SNR = -5.0
_ABSORPTION_GAIN = 36.0  # a main line in absorption that explains this much more chi2 than any emission: not fitted


def fit_spectra(
    model,
    wavelength,
    flux,
    error,
    velocity_range=600.0,
    dispersion_range=(20.0, 300.0),
    minimum_coverage=0.5,
    prior_velocity=None,
    prior_width=100.0,
    engine="compiled",
    errors="jacobian",
    samples=100,
    seed=0,
):
    """Fit one group of lines to many spectra.

    Parameters
    ----------
    model : GroupModel
    wavelength : ndarray, shape (n_channels,)
        Micrometre, vacuum, ascending.
    flux, error : ndarray, shape (n, n_channels)
        Flux density and 1 sigma.  A channel that is not finite, or whose error is not positive, is masked.
    velocity_range : float
        Search within +- this (km/s) of velocity zero.
    dispersion_range : (float, float)
        Bounds of the intrinsic dispersion, km/s.
    minimum_coverage : float
        Lines with less of their profile on unmasked channels are flagged ``LOW_COVERAGE``.
    prior_velocity : ndarray, shape (n,), optional
        Where to look first (km/s; NaN for no preference): starts away from it lose ((v - prior) / `prior_width`)^2
        of their chi2 gain.  The fit that follows is free.
    prior_width : float
        km/s.
    engine : {"compiled", "numpy"}
        The same algorithm twice.
    errors : {"jacobian", "posterior", "montecarlo"}
        ``jacobian``: from the inverse Hessian at the minimum.  ``posterior``: marginalised over velocity and dispersion
        with the priors of `klever.linefit.posterior` (`prior_velocity` with `prior_width` is one); velocity and
        dispersion are then medians, fluxes remain those of the best fit.  ``montecarlo``: scatter of `samples` fits to
        the best model with new noise, each with its own search.
    samples, seed : int
        Of ``montecarlo``.

    Returns
    -------
    FitResult

    Raises
    ------
    ConfigError
        Ranges that cannot be searched.
    ValueError
        Arrays of unequal shapes, or fewer than five channels.

    Notes
    -----
    Spikes narrower than the instrument's resolution, and channels that the fit cannot reach, are masked and the
    spectrum fitted again; where one falls on a line the spectrum is flagged ``NOT_FITTED``.
    """
    wavelength = np.asarray(wavelength, float)
    flux, error = np.atleast_2d(np.asarray(flux, float)), np.atleast_2d(np.asarray(error, float))
    low, high = dispersion_range
    if not (velocity_range > 0 and 0 < low < high):
        raise ConfigError(
            f"velocity_range is {velocity_range} and dispersion_range {list(dispersion_range)} km/s; they must be "
            "positive, and the second dispersion larger than the first."
        )
    if flux.shape != error.shape or flux.shape[1] != len(wavelength) or len(wavelength) < 5:
        raise ValueError(
            f"flux {flux.shape} and error {error.shape} must both be (n, {len(wavelength)}), n_channels at least 5."
        )
    search = Search(model, velocity_range, (low, high))
    fit_once = _engine(engine).fit_once
    fit = fit_once(search, wavelength, flux, error, prior_velocity, prior_width)
    # rounded, so that one spectrum does not change the others through the median
    excess = np.round(np.sqrt(max(1.0, _median(fit["reduced"][fit["fittable"]]))), 1)
    struck = _unreachable(fit, excess)
    again = np.flatnonzero(struck.any(axis=1))
    if again.size:
        prior = None if prior_velocity is None else prior_velocity[again]
        second = fit_once(search, wavelength, flux[again], error[again], prior, prior_width, struck[again])
        second["spikes"] |= struck[again].T
        for key, value in second.items():
            fit[key][..., again] = value
    still = _unreachable(fit, excess).any(axis=1)
    result = _finish(search, wavelength, fit, minimum_coverage, excess, still)
    _flag_left_out(result, wavelength, struck)
    struck |= fit["spikes"].T
    _set_errors(result, search, wavelength, (flux, error, prior_velocity, prior_width, struck), engine, errors, samples,
                seed)  # fmt: skip
    return result


def _flag_left_out(result, wavelength, struck):
    """Set ``RESIDUAL`` where channels near a line were left out because no fit reaches them (another component)."""
    for row in np.flatnonzero(struck.any(axis=1) & np.isfinite(result.velocity)):
        centres = result.model.centres(result.best[0, row])
        distance = np.abs(wavelength[struck[row]][:, None] / centres - 1) * SPEED_OF_LIGHT
        if (distance < CORE_VELOCITY).any():
            result.flags[row] |= np.uint16(Flag.RESIDUAL)
            result.line_flags[:, row] |= np.uint16(Flag.RESIDUAL)


def _set_errors(result, search, wavelength, data, engine, errors, samples, seed):
    """Replace the errors of the Hessian by those asked for; give widths at the lower bound an upper limit."""
    flux, error, prior, prior_width, excluded = data
    fitted = np.isfinite(result.velocity)
    at_low = fitted & ((result.flags & Flag.DISPERSION_BOUND) != 0) & (result.dispersion < search.low[1] * 1.001)
    main = search.model.main
    with np.errstate(invalid="ignore", divide="ignore"):
        # the width of noise needs no upper limit
        at_low &= result.flux[main] / result.flux_error[main] >= _LIMIT_SNR
    rows = np.flatnonzero(fitted if errors == "posterior" else at_low)
    if rows.size:
        best = np.array([result.velocity, result.dispersion])
        unbound = np.array([(result.flags & bit) == 0 for bit in (Flag.VELOCITY_BOUND, Flag.DISPERSION_BOUND)])
        spread = np.where(unbound, [result.velocity_error, result.dispersion_error], np.nan)
        quantiles, _, covariance = _engine(engine).marginalise(
            search, wavelength, flux[rows], error[rows], None if prior is None else prior[rows], prior_width,
            best[:, rows], spread[:, rows], excluded[rows], around_best=errors != "posterior",
        )  # fmt: skip
        result.dispersion_limit[rows] = quantiles[6]
        if errors == "posterior":
            result.set_posterior(rows, quantiles, covariance)
    if errors == "montecarlo" and fitted.any():
        rows = np.flatnonzero(fitted)
        model_flux = (result.continuum_at(wavelength) + result.lines_at(wavelength))[rows]
        prior = None if prior is None else prior[rows]
        spread, covariance = monte_carlo(
            _engine(engine).fit_once, search, wavelength, model_flux, np.where(np.isfinite(flux), error, np.nan)[rows],
            prior, prior_width, excluded[rows], samples, seed, rows,
        )  # fmt: skip
        result.set_scatter(rows, spread, covariance)
    if errors not in ("jacobian", "posterior", "montecarlo"):
        raise ConfigError(f"lines.errors is {errors!r}; it must be jacobian, posterior or montecarlo.")


def search_velocity(
    model, wavelength, flux, error, velocity_range=600.0, dispersion_range=(20.0, 300.0), engine="compiled"
):
    """Return the best velocity of a coarse grid (km/s) and its decrease of chi2; arguments as for `fit_spectra`."""
    search = Search(model, velocity_range, dispersion_range)
    return _engine(engine).search_starts(search, np.asarray(wavelength, float), flux, error)


def _engine(name):
    if name == "compiled":
        from klever.linefit import compiled as engine
    elif name == "numpy":
        from klever.linefit import vectorised as engine
    else:
        raise ConfigError(f"lines.engine is {name!r}; it must be compiled or numpy.")
    return engine


def _unreachable(fit, excess):
    """Channels far from any fit: many sigma away, and not small against the line; shape (n, n_channels)."""
    return (fit["far"] > _SPIKE_SIGMA * excess).T & fit["fittable"][:, None]


def _finish(search, wavelength, fit, minimum_coverage, excess, still_unreachable):
    """Set flags, and NaN where there is no fit."""
    model = search.model
    velocity, dispersion = fit["position"]
    centres = model.centres(velocity)
    sigmas = model.sigmas(centres, dispersion)
    struck = np.zeros(len(velocity), bool)
    for row in np.flatnonzero(fit["spikes"].any(axis=0)):
        where = wavelength[fit["spikes"][:, row]]
        distance = np.abs(where[:, None] - centres[:, row]) / sigmas[:, row]
        struck[row] = (distance < _CORE_SIGMAS).any()
    variance = fit["covariance"][np.arange(len(centres)), np.arange(len(centres))]
    flux_error = np.sqrt(np.maximum(variance, 0.0))
    measured = (flux_error > 0) & np.isfinite(flux_error)
    main = model.main
    bad = ~fit["fittable"] | struck | still_unreachable | ~(fit["gain"] > 0) | ~np.isfinite(fit["chi2"])
    bad |= ~measured.any(axis=0) | (fit["absorption"] > _ABSORPTION_GAIN)
    bad |= measured[main] & (fit["flux"][main] < _NEGATIVE_SNR * flux_error[main])
    flags = np.where(bad, Flag.NOT_FITTED, 0).astype(np.uint16)
    margin = 1e-6 * (search.high - search.low)[:, None]
    at_bound = (fit["position"] <= search.low[:, None] + margin) | (fit["position"] >= search.high[:, None] - margin)
    flags |= np.where(at_bound[0], Flag.VELOCITY_BOUND, 0).astype(np.uint16)
    flags |= np.where(at_bound[1], Flag.DISPERSION_BOUND, 0).astype(np.uint16)
    core, n_core = fit["core"]
    suspicious = core / excess**2 > n_core + _RESIDUAL_SIGMA * np.sqrt(2 * n_core)
    flags |= np.where(suspicious, Flag.RESIDUAL, 0).astype(np.uint16)
    flags = np.where(bad, np.uint16(Flag.NOT_FITTED), flags)  # what never was cannot be at a bound
    line_flags = np.repeat(flags[None], len(centres), axis=0)
    low_coverage = ~(fit["coverage"] >= minimum_coverage) | ~measured
    line_flags |= np.where(low_coverage, Flag.LOW_COVERAGE, 0).astype(np.uint16)
    flags |= np.where(low_coverage.all(axis=0), Flag.LOW_COVERAGE, 0).astype(np.uint16)
    if search.bound is not None:
        tied = (search.ties[:, list(search.bound[:2])] != 0).any(axis=1)
        line_flags |= np.where(tied[:, None] & fit["on_ratio"], Flag.RATIO_BOUND, 0).astype(np.uint16)
    hide, hide_line = np.where(bad, np.nan, 1.0), np.where(bad | ~measured, np.nan, 1.0)
    spread = np.where(at_bound | (fit["spread"] <= 0), np.nan, fit["spread"])
    # at a bound the data say only which side of it they prefer: the distance to one sigma is not known
    spread = np.where(np.isnan(spread) & ~bad, (search.high - search.low)[:, None] / np.sqrt(12.0), spread)
    return FitResult(
        model=model, flux=fit["flux"] * hide_line, flux_error=flux_error * hide_line,
        covariance=fit["covariance"] * hide, coverage=fit["coverage"], velocity=velocity * hide,
        velocity_error=spread[0] * hide, dispersion=dispersion * hide, dispersion_error=spread[1] * hide,
        dispersion_observed=model.observed_dispersion(velocity, dispersion) * hide,
        dispersion_limit=(dispersion + ONE_SIDED * spread[1]) * hide, best=np.array([velocity, dispersion]) * hide,
        continuum=fit["continuum"] * hide, centre=0.5 * (wavelength[0] + wavelength[-1]), chi2=fit["chi2"] * hide,
        dof=fit["dof"], improvement=fit["gain"] * hide, flags=flags, line_flags=line_flags,
    )  # fmt: skip


def _median(values):
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else 1.0

"""How a galaxy's gradient changes with choices that are not errors: the calibration and the centre (Sect. 4.2, 4.5)."""

import numpy as np

from klever.abundance.calibrations import calibrations_for, load_calibrations
from klever.abundance.metallicity import grid_posterior
from klever.errors import ConfigError
from klever.gradient.gradients import fit_line
from klever.gradient.profile_errors import average_abundances
from klever.gradient.profiles import galaxy_centre, measure_profiles

__all__ = ["calibration_slopes", "other_centre_slope"]

# Those that cannot be used for a galaxy (a diagnostic or the range is missing) are passed over.
_MARGIN = 0.05  # dex
CALIBRATION_SETS = ("C20", "C17", "M08", "B18", "S24")


def calibration_slopes(profile, abundance, model, path, covariance):
    """Return the slope with every set of calibrations that has the galaxy's diagnostics.

    Parameters
    ----------
    profile : klever.gradient.profiles.Profile
        At least two annuli.
    abundance : MapSet
        metallicity.fits: the line ratios.
    model : AbundanceModel
        Of the set in use.
    path : path-like
        resources/calibrations.json.
    covariance : ndarray, shape (n, n)
        Of the annuli; the same for all sets, so that only the abundances differ.

    Returns
    -------
    dict of str to float
        dex/kpc by set. A set without a dispersion takes that of the set in use; one whose range does not hold all
        annuli is left out.
    """
    section = model.metallicity
    pixels = np.concatenate([item.pixels for item in profile.annuli])
    ratios = {name: tuple(item.ravel()[pixels] for item in (abundance[name].value, abundance[name].error))
              for name in model.names}  # fmt: skip
    bounds = np.cumsum([item.pixels.size for item in profile.annuli])[:-1]
    found = {}
    for name in CALIBRATION_SETS:
        dispersion = section["dispersion"]
        try:
            known = load_calibrations(path, name)
            ends = [known[item].log_oh_range if item in known else (np.nan, np.nan) for item in model.names]
            low, high = (
                float(f(own, *values))
                for f, own, *values in zip((max, min), section["log_oh_range"], *ends, strict=True)
            )
            # at the end of a set's range its abundances pile up, and a gradient is lost
            if not (low + _MARGIN < profile.log_oh.min() and profile.log_oh.max() < high - _MARGIN):
                continue
            known = calibrations_for(known, model.names, (low, high))
            try:
                for item in known.values():
                    item.dispersion(dispersion)
            except ConfigError:
                dispersion = float(np.mean([model.dispersion(item) for item in model.names]))
        except ConfigError:
            continue
        posterior = grid_posterior(ratios, known, (low, high), section["grid_step"], dispersion)
        parts = np.split(posterior.median, bounds)
        if not all(np.isfinite(part).any() for part in parts):
            continue
        means = [
            np.average(part[np.isfinite(part)], weights=item.fractions[np.isfinite(part)])
            for part, item in zip(parts, profile.annuli, strict=True)
        ]
        found[name] = fit_line(profile.radius_kpc, np.array(means), covariance).slope
    return found


def other_centre_slope(profile, source, abundance, psf, gradient, model, noise):
    """Return the slope about the other centre: Halpha's peak instead of the continuum's, or the reverse.

    Parameters
    ----------
    profile : klever.gradient.profiles.Profile
    source, abundance : MapSet
    psf : tuple of float
        As for `klever.gradient.profiles.measure_profiles`.
    gradient : dict
        The section of the configuration.
    model : AbundanceModel
    noise : SourceNoise

    Returns
    -------
    name : str or None
        ``halpha`` or ``continuum``; None if there is no such peak, or no profile about it.
    slope, offset : float
        dex/kpc; distance between the two centres, kpc.
    """
    other = "continuum" if profile.centre != "continuum" else "halpha"
    measured = np.zeros(abundance["LOG_OH"].value.size, bool)
    measured[np.concatenate([item.pixels for item in profile.annuli])] = True
    try:
        centre = galaxy_centre(source, measured.reshape(abundance["LOG_OH"].value.shape), profile.scale, other)
    except ConfigError:
        return None, np.nan, np.nan
    if centre is None:
        return None, np.nan, np.nan
    only = {**gradient, "apertures": [profile.aperture]}
    again = [item for item in measure_profiles(source, abundance, psf, only, centres={profile.region: centre})
             if item.region == profile.region]  # fmt: skip
    offset = float(np.hypot(centre[1] - profile.ellipse.x, centre[2] - profile.ellipse.y) * profile.scale.kpc)
    if not again or len(again[0].annuli) < max(2, gradient["minimum_annuli"]):
        return None, np.nan, offset
    result = average_abundances(again[0], abundance, model, noise)
    return other, fit_line(result.radius, result.log_oh, result.weighting).slope, offset

"""Oxygen abundance of source-plane pixels, one set of diagnostics per galaxy (Curti et al. 2020, Sect. 4.2)."""

from dataclasses import dataclass

import numpy as np

from klever.dust import color_excess, correct
from klever.errors import InputError
from klever.line_ratios import DIAGNOSTICS, log_ratio
from klever.maps import Flag, Map, masked
from klever.metallicity import grid_posterior

__all__ = ["RatioMaps", "choose_set", "log_oh_maps", "map_state", "ratio_maps", "resolved_pixels"]


@dataclass
class RatioMaps:
    """Line ratios of every pixel.

    Parameters
    ----------
    ratios : dict of str to pair of ndarray, shape (ny, nx)
        log10 ratio and error, dex, by diagnostic; NaN where a line is below its S/N threshold. O3O2 is corrected for
        extinction.
    ebv, ebv_error : ndarray, shape (ny, nx)
        E(B-V) as measured (negative values are used as zero); NaN where Halpha or Hbeta is below its threshold.
    mode : {'map', 'global', 'none'}
        Where the reddening that corrects O3O2 comes from.
    """

    ratios: dict
    ebv: np.ndarray
    ebv_error: np.ndarray
    mode: str


def map_state(source, include=True):
    """Return ``excluded``, ``outside_lens_model`` or ``ok`` from a source-plane MapSet, before anything is measured."""
    if not include:
        return "excluded"
    if str(source.header.get("STATE", "ok")) == "outside_lens_model":
        return "outside_lens_model"
    lines = [source[name] for name in _lines() if name in source and source[name].flags is not None]
    outside = [np.all((item.flags & int(Flag.OUTSIDE_LENS)) != 0) for item in lines if item.flags.size]
    return "outside_lens_model" if outside and all(outside) else "ok"


def ratio_maps(source, shape, map_snr, global_ebv, balmer_ratio=2.87, rv=3.1):
    """Return the line ratios of every pixel.

    O3O2 is corrected with the pixel's own E(B-V) if Halpha and Hbeta pass their thresholds in more than half of the
    pixels in which [O III] and [O II] do; else with the global E(B-V) (Sect. 3.4); else it is left out.

    Parameters
    ----------
    source : MapSet
        Source-plane line maps; a line that is absent counts as not detected.
    shape : tuple of int
        (ny, nx) of the grid.
    map_snr : dict of str to float
        S/N threshold by line, and ``other``.
    global_ebv : callable
        Returns E(B-V) and its error of the whole galaxy, NaN if unknown; called only if it is needed.
    balmer_ratio, rv : float
        See `klever.dust`.

    Returns
    -------
    RatioMaps
    """
    fluxes = {line: _line_map(source, line, shape, map_snr.get(line, map_snr["other"])) for line in _lines()}
    ebv, ebv_error = color_excess(*fluxes["Halpha"], *fluxes["Hbeta"], balmer_ratio, rv)
    ratios = {name: log_ratio(*fluxes[item.numerator], *fluxes[item.denominator]) for name, item in DIAGNOSTICS.items()}
    mode = "none"
    for name, item in DIAGNOSTICS.items():
        if not item.dereddened:
            continue
        detected = np.isfinite(ratios[name][0])
        used = (np.nan, np.nan)
        if detected.any():
            if np.isfinite(ebv[detected]).mean() > 0.5:
                mode, used = "map", (ebv, ebv_error)
            else:
                used = global_ebv()
                mode = "global" if np.all(np.isfinite(used)) else "none"
        ratios[name] = correct(*ratios[name], *item.lines, *used, rv)
    return RatioMaps(ratios, ebv, ebv_error, mode)


def resolved_pixels(fwhm_major, fwhm_minor, pixel_scale):
    """Return how many pixels a resolved gradient needs: those of the ellipse reaching 2 sqrt(HWHM_x HWHM_y).

    Parameters
    ----------
    fwhm_major, fwhm_minor : float
        Of the source-plane PSF, arcsec.
    pixel_scale : float
        arcsec.
    """
    return float(np.pi * fwhm_major * fwhm_minor / pixel_scale**2)


def choose_set(candidates, ratios, minimum_pixels, resolved=None):
    """Return the set of diagnostics that is used for all pixels of a galaxy, and how many pixels have it.

    Sect. 4.2: R3 and N2 (with O3O2 at z > 2) by default, S2 instead of N2 where no resolved gradient can be had with
    N2. That is read as: the first set measured in enough pixels for a resolved gradient; if there is none, the set
    measured in most pixels, provided they are at least `minimum_pixels`. Sets of a single diagnostic are considered
    only if no other gives a map.

    Parameters
    ----------
    candidates : list of tuple of str
        Preferred first, from `klever.metallicity.candidate_sets`.
    ratios : dict of str to pair of ndarray
        As in `RatioMaps`.
    minimum_pixels : int
        Fewer are no map.
    resolved : float, optional
        Pixels of a resolved gradient, from `resolved_pixels`; `minimum_pixels` if that is more or if not given.

    Returns
    -------
    chosen : tuple of str
        Empty if no set has enough pixels.
    count : int
    """
    counts = {
        names: int(np.sum(np.all([np.isfinite(ratios[name][0]) for name in names], axis=0))) for names in candidates
    }
    enough = max(minimum_pixels, 1, resolved or 0)
    several = [names for names in candidates if len(names) > 1]
    for group in (several, [names for names in candidates if len(names) == 1]):
        chosen = next((names for names in group if counts[names] >= enough), None)
        if chosen is None and group:
            chosen = max(group, key=counts.get)
        if chosen is not None and counts[chosen] >= max(minimum_pixels, 1):
            return chosen, counts[chosen]
    return (), 0


def log_oh_maps(ratios, chosen, calibrations, shape, log_oh_range, grid_step, dispersion):
    """Return maps of 12+log(O/H) with the diagnostics `chosen` in every pixel that has all of them.

    Parameters
    ----------
    ratios : dict of str to pair of ndarray, shape (ny, nx)
        As in `RatioMaps`.
    chosen : tuple of str
        Diagnostics; empty for maps without values.
    calibrations, log_oh_range, grid_step, dispersion
        As for `klever.metallicity.grid_posterior`.
    shape : tuple of int
        (ny, nx).

    Returns
    -------
    dict of str to Map
        LOG_OH (median; error half the 16-84 per cent width), LOG_OH_MINUS and LOG_OH_PLUS (its two halves).
    """
    empty = Map(np.full(shape, np.nan), None, np.full(shape, int(Flag.NOT_DETECTED), np.uint16), "dex")
    if not chosen:
        blank = np.full(shape, np.nan)
        names = ("LOG_OH", "LOG_OH_MINUS", "LOG_OH_PLUS")
        return {name: Map(blank.copy(), blank.copy() if name == "LOG_OH" else None, empty.flags.copy(), "dex")
                for name in names}  # fmt: skip
    flat = {name: tuple(item.ravel() for item in ratios[name]) for name in chosen}
    posterior = grid_posterior(flat, calibrations, log_oh_range, grid_step, dispersion)
    median, minus, plus, flags = (
        item.reshape(shape) for item in (posterior.median, posterior.error_minus, posterior.error_plus, posterior.flags)
    )
    return {
        "LOG_OH": Map(median, 0.5 * (minus + plus), flags, "dex"),
        "LOG_OH_MINUS": Map(minus, None, flags.copy(), "dex"),
        "LOG_OH_PLUS": Map(plus, None, flags.copy(), "dex"),
    }


def _lines():
    return sorted({line for item in DIAGNOSTICS.values() for line in item.lines})


def _line_map(source, line, shape, snr):
    if line not in source:
        return np.full(shape, np.nan), np.full(shape, np.nan)
    if source[line].value.shape != shape:
        raise InputError(f"the source-plane map {line.upper()} has another shape than {shape}; make source.fits again.")
    if source[line].error is None:
        raise InputError(f"the source-plane map {line.upper()} has no errors ({line.upper()}_ERR); make it again.")
    return masked(source, line, snr)

"""Oxygen abundance of source-plane pixels, one set of diagnostics per galaxy (Curti et al. 2020, Sect. 4.2)."""

from dataclasses import dataclass

import numpy as np

from klever.abundance.flux_abundance import Reddening, abundance_of_fluxes, dereddened_ratios
from klever.errors import InputError
from klever.gas.dust import color_excess
from klever.gas.line_ratios import DIAGNOSTICS, RATIOS
from klever.maps import Flag, Map, masked

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
    reddening : klever.abundance.flux_abundance.Reddening
        What corrects O3O2.
    fluxes : dict of str to pair of ndarray, shape (ny, nx)
        Flux and error by line, NaN below the line's threshold.
    limits : dict of str to pair of ndarray, shape (ny, nx)
        Flux at the threshold and 1 sigma of lines that are observed but below it, NaN elsewhere.
    """

    ratios: dict
    ebv: np.ndarray
    ebv_error: np.ndarray
    reddening: Reddening
    fluxes: dict
    limits: dict


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
        See `klever.gas.dust`.

    Returns
    -------
    RatioMaps
    """
    thresholds = {line: map_snr.get(line, map_snr["other"]) for line in _lines()}
    fluxes = {line: _line_map(source, line, shape, snr) for line, snr in thresholds.items()}
    ebv, ebv_error = color_excess(*fluxes["Halpha"], *fluxes["Hbeta"], balmer_ratio, rv)
    ratios, reddening = dereddened_ratios(
        fluxes, RATIOS, _reddening(fluxes, ebv, global_ebv), balmer_ratio=balmer_ratio, rv=rv
    )
    limits = {}
    for line, snr in thresholds.items():
        error = np.where(np.isfinite(fluxes[line][0]), np.nan, _line_map(source, line, shape, None)[1])
        limits[line] = snr * error, error
    pairs = {name: ratio[:2] for name, ratio in ratios.items()}
    return RatioMaps(pairs, ebv, ebv_error, reddening, fluxes, limits)


def _reddening(fluxes, ebv, global_ebv):
    """Decide by the pixels of the diagnostics, and by those of the other ratios where there are none."""
    for group in (DIAGNOSTICS, RATIOS):
        needed = np.zeros(ebv.shape, bool)
        for item in group.values():
            if item.dereddened:
                needed |= np.all([np.isfinite(fluxes[line][0]) for line in item.lines], axis=0)
        if needed.any():
            if np.isfinite(ebv[needed]).mean() > 0.5:
                return Reddening("map")
            used = global_ebv()
            return Reddening("global", *used) if np.all(np.isfinite(used)) else Reddening()
    return Reddening()


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
        Preferred first, from `klever.abundance.diagnostic_sets.candidate_sets`.
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


def log_oh_maps(found, chosen, calibrations, shape, metallicity, dust):
    """Return maps of 12+log(O/H) with the diagnostics `chosen` in every pixel that has all of them.

    Parameters
    ----------
    found : RatioMaps
    chosen : tuple of str
        Diagnostics; empty for maps without values.
    calibrations : dict of str to Calibration
        At least those chosen.
    shape : tuple of int
        (ny, nx).
    metallicity, dust : dict
        The sections of the configuration.

    Returns
    -------
    dict of str to Map
        With ``metallicity.limits`` ``all`` also pixels in which some of the diagnostics are limits.
        LOG_OH (median; error half the 16-84 per cent width), LOG_OH_MINUS and LOG_OH_PLUS (its two halves),
        LOG_OH_NOISE (1 sigma from the noise of the fluxes alone, without the calibration's dispersion, which the
        pixels of a galaxy share to some degree), and D_LOG_OH_<LINE>: how LOG_OH follows the flux of each line, and
        D_LOG_OH_EBV the global E(B-V) (see `klever.abundance.line_response`).
    """
    names = ("LOG_OH", "LOG_OH_MINUS", "LOG_OH_PLUS", "LOG_OH_NOISE")
    if not chosen:
        flags = np.full(shape, int(Flag.NOT_DETECTED), np.uint16)
        blank = np.full(shape, np.nan)
        return {name: Map(blank.copy(), blank.copy() if name == "LOG_OH" else None, flags.copy(), "dex")
                for name in names}  # fmt: skip
    flat = {line: tuple(item.ravel() for item in pair) for line, pair in found.fluxes.items()}
    censored = found.limits if metallicity["limits"] == "all" else {}
    censored = {line: tuple(item.ravel() for item in pair) for line, pair in censored.items()}
    reddening = found.reddening
    posterior, responses, noise = abundance_of_fluxes(
        flat, chosen, calibrations, reddening, metallicity, dust, censored
    )
    minus, plus = posterior.error_minus, posterior.error_plus
    flags = posterior.flags.reshape(shape)
    values = [(posterior.median, 0.5 * (minus + plus)), (minus, None), (plus, None), (noise, None)]
    product = {
        name: Map(value.reshape(shape), None if error is None else error.reshape(shape), flags.copy(), "dex")
        for name, (value, error) in zip(names, values, strict=True)
    }
    for line, slope in responses.items():
        unit = "dex mag-1" if line == "EBV" else "dex erg-1 s cm2 arcsec2"
        product[f"D_LOG_OH_{line.upper()}"] = Map(slope.reshape(shape), None, flags.copy(), unit)
    return product


def _lines():
    return sorted({line for item in RATIOS.values() for line in item.lines})


def _line_map(source, line, shape, snr):
    doublet = ("SIII9069", "SIII9531")
    if line == "SIII" and all(name in source for name in doublet):
        # a fixed ratio ties the two: their errors add up, and their S/N is the same
        first, second = (_line_map(source, name, shape, snr) for name in doublet)
        return first[0] + second[0], first[1] + second[1]
    if line not in source:
        return np.full(shape, np.nan), np.full(shape, np.nan)
    if source[line].value.shape != shape:
        raise InputError(f"the source-plane map {line.upper()} has another shape than {shape}; make source.fits again.")
    if source[line].error is None:
        raise InputError(f"the source-plane map {line.upper()} has no errors ({line.upper()}_ERR); make it again.")
    return masked(source, line, snr)

"""Where each band's cube really points: its shift on the sky relative to an HST image or to another band.

Curti et al. (2020), Sect. 3.1: the bands are aligned on the stellar continuum or, where it is not detected, on the
brightest emission line of each band; Sect. 3.2.1: on the broad-band image by the light that both show.

Stars and gas of a galaxy need not lie on top of each other (the paper's Fig. 11), so light is matched with light and
gas with gas: every band is matched to the image by its continuum, and by its brightest line to the line map of one
band, the hub. A line is matched to the image once per galaxy, with an error that allows for the difference of stars and
gas, so that it counts where the continuum is faint. The shifts are the least-squares solution of all these matches, so
the bands stay aligned with each other far better than each of them with the image. Without an image the hub stays.
"""

import logging
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from klever.align.adjustment import Link, Shift, adjust
from klever.align.bandmaps import brightest_line, valid_pixels
from klever.align.registration import FWHM, Match, Template, cross_correlate, peak_position, without_outliers

__all__ = ["Limits", "measure_shifts"]

logger = logging.getLogger(__name__)

BEYOND = 0.4  # arcsec searched beyond the largest shift accepted, so that an implausible one is seen as such
# Arcsec per axis, added in quadrature: gas does not lie where the stars do. The matches of lines with the image of the
# simulated survey scatter by so much (1.48 times the median absolute deviation) beside their errors.
LINE_IMAGE_OFFSET = 0.04
GAS_ELSEWHERE = 3.0  # sigma between the shifts by line and by continuum beyond which gas and stars differ
MINIMUM_LINE_SNR = 3.0  # of the spaxels whose maximum is a line's peak


@dataclass
class Limits:
    """What a match must keep to, to be used.

    Parameters
    ----------
    max_shift : float
        Arcsec; more is not a pointing error but a wrong counterpart.
    max_error : float
        Arcsec; light without structure does not fix the position.
    min_snr : float
        Of the light that is matched.
    """

    max_shift: float = 0.6
    max_error: float = 0.15
    min_snr: float = 5.0


def measure_shifts(bands, image, method="auto", overrides=None, limits=None):
    """Measure the shift of every band.

    Parameters
    ----------
    bands : list of Band
    image : Template or None
        HST image; without it bands are aligned to one of them (H if it shows the galaxy, else the one that does best).
    method : str
        "auto" (continuum and lines), "continuum", "lines" or "none".
    overrides : mapping of str to pair of float, optional
        Shifts by band, arcsec west and north, that win over what is measured; the other bands' lines are matched to
        theirs.
    limits : Limits, optional

    Returns
    -------
    dict of str to Shift
        In the order of `bands`. A shift that cannot be measured within the limits is zero with method "none".
    """
    limits = limits or Limits()
    known = {name: Shift(float(x), float(y), 0.0, "config") for name, (x, y) in (overrides or {}).items()}
    shifts = {band.name: known.get(band.name, Shift()) for band in bands}
    if method == "none":
        return shifts
    lines = {band.name: brightest_line(band) for band in bands}
    if image is None:
        hub = _reference_band(bands, lines, limits)
        known.setdefault(hub.name, Shift(0.0, 0.0, 0.0, "reference"))
    else:
        hub = max(bands, key=lambda band: lines[band.name][1])
    links, notes = [], {band.name: [] for band in bands}
    if method in ("auto", "continuum"):
        _link_continuum(bands, image, hub, known, links, notes, limits)
    if method in ("auto", "lines"):
        _link_lines(bands, image, hub, lines, known, links, notes, limits)
    shifts |= adjust(links, known, [band.name for band in bands])
    for name, shift in shifts.items():
        shift.note = "; ".join(notes[name])
        if shift.method == "none":
            logger.info("band %s: the WCS is taken as it is (%s)", name, shift.note or "nothing to match")
    return shifts


def _reference_band(bands, lines, limits):
    """H, in which the paper takes the galaxy's centre, if the galaxy is seen in it; else the best band."""
    for band in bands:
        if band.name == "H" and lines["H"][1] >= limits.min_snr:
            return band
    return max(bands, key=lambda band: (lines[band.name][1], band.name == "H", band.field.sum()))


def _link_continuum(bands, image, hub, known, links, notes, limits):
    for band in bands:
        if band.name in known or "CONTINUUM" not in band.maps:
            continue
        if image is not None:
            match = cross_correlate(band.maps["CONTINUUM"], band, image, _radius(limits))
        elif "CONTINUUM" in hub.maps:
            match = _band_match(band, "CONTINUUM", hub, "CONTINUUM", limits)
        else:
            continue
        _accept(band, match, "continuum", hub.name if image is None else image.name, 0.0, links, notes, limits)


def _link_lines(bands, image, hub, lines, known, links, notes, limits):
    detected = [band for band in bands if lines[band.name][1] >= limits.min_snr]
    for band in bands:
        if band not in detected:
            notes[band.name].append("no line detected")
    if hub not in detected:
        return
    for band in detected:
        if band is hub or (band.name in known and hub.name in known):
            continue
        match = _band_match(band, lines[band.name][0], hub, lines[hub.name][0], limits)
        if not _accept(band, match, "lines", hub.name, 0.0, links, notes, limits):
            match = _peak_match(band, lines[band.name], hub, lines[hub.name])
            _accept(band, match, "peak", hub.name, LINE_IMAGE_OFFSET, links, notes, limits)
    if image is not None and hub.name not in known:
        _link_line_to_image(hub, lines[hub.name], image, adjust(links, known, list(lines)), links, notes, limits)


def _link_line_to_image(hub, line, image, placed, links, notes, limits):
    """Match the hub's line to the image, unless the gas lies elsewhere than the light that gave the shifts `placed`."""
    own = []
    match = cross_correlate(hub.maps[line[0]], hub, image, _radius(limits))
    if not _accept(hub, match, "lines", image.name, LINE_IMAGE_OFFSET, own, notes, limits):
        match = _peak_match(hub, line, image=image)
        _accept(hub, match, "peak", image.name, LINE_IMAGE_OFFSET, own, notes, limits)
    light = placed.get(hub.name)
    if own and light is not None:
        apart = np.hypot(own[0].x - light.x, own[0].y - light.y)
        if apart > GAS_ELSEWHERE * np.hypot(own[0].error, light.error):
            notes[hub.name].append(f"lines: {line[0]} {apart:.2f} arcsec off the continuum")
            return
    links += own


def _radius(limits):
    return limits.max_shift + BEYOND


def _template(band, name):
    """Map of a band as a template: the object and its surroundings, without the noise of the rest of the field."""
    product = band.maps[name]
    valid = valid_pixels(product)
    valid = without_outliers(product.value, valid)
    if product.error is None:
        return Template(np.where(valid, product.value, np.nan), band.grid, band.psf_fwhm, name=band.name)
    snr = np.divide(product.value, product.error, out=np.zeros_like(product.value), where=valid & (product.error > 0))
    regions, _ = ndimage.label(snr >= MINIMUM_LINE_SNR)
    brightest = regions[np.unravel_index(np.argmax(snr), snr.shape)]
    distance = ndimage.distance_transform_edt((regions != brightest) | (regions == 0)) * band.grid.pixel_scale
    shown = valid & (distance <= band.psf_fwhm)
    value, error = (np.where(shown, layer, np.nan) for layer in (product.value, product.error))
    return Template(value, band.grid, band.psf_fwhm, error, band.name)


def _band_match(band, name, hub, hub_name, limits):
    """Match of a map of a band to one of another; the sharper is blurred to the resolution of the other."""
    if hub.psf_fwhm <= band.psf_fwhm:
        return cross_correlate(band.maps[name], band, _template(hub, hub_name), _radius(limits))
    match = cross_correlate(hub.maps[hub_name], hub, _template(band, name), _radius(limits))
    return None if match is None else Match(-match.x, -match.y, match.error, match.snr, match.worst)


def _accept(band, match, method, target, offset, links, notes, limits):
    """Add a match to the links if it keeps to the limits; `offset` is its error besides noise, arcsec."""
    if match is None:
        notes[band.name].append(f"{method}: no match")
        return False
    size = np.hypot(match.x, match.y)
    if match.snr < limits.min_snr:
        reason = f"S/N {match.snr:.1f}"
    elif (worst := match.worst or match.error) > limits.max_error:
        reason = f"error {worst:.2f} arcsec"
    elif size > limits.max_shift:
        reason = f"implausible shift of {size:.2f} arcsec"
        logger.warning("band %s, %s: %s; not applied (see align.max_shift, align.shifts)", band.name, method, reason)
    else:
        links.append(Link(band.name, target, match.x, match.y, float(np.hypot(match.error, offset)), method))
        return True
    notes[band.name].append(f"{method}: {reason}")
    return False


def _peak_match(band, line, hub=None, hub_line=None, image=None):
    """Match of the peak of a line to the peak of another band's line or of the image."""
    name, snr = line
    peak = _line_peak(band, name)
    if peak is None:
        return None
    error = band.psf_fwhm / FWHM / snr
    if image is not None:
        target = peak_position(image.convolved(band.psf_fwhm)[0], image.grid, band.psf_fwhm, peak, 1.0)
    else:
        target = _line_peak(hub, hub_line[0])
        error = np.hypot(error, hub.psf_fwhm / FWHM / hub_line[1])
    return None if target is None else Match(*(float(v) for v in target - peak), float(error), float(snr))


def _line_peak(band, name):
    product = band.maps[name]
    valid = valid_pixels(product)
    valid = without_outliers(product.value, valid)
    snr = np.divide(product.value, product.error, out=np.zeros_like(product.value), where=valid & (product.error > 0))
    return peak_position(np.where(snr >= MINIMUM_LINE_SNR, product.value, np.nan), band.grid, band.psf_fwhm)

"""Where each band's cube really points: its shift on the sky relative to an HST image or to another band.

Curti et al. (2020), Sect. 3.2.2: the line maps are aligned with the HST image on the continuum, or else by the peak of
the brightest emission line on the image's peak.
"""

import logging
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from klever.bandmaps import brightest_line, valid_pixels
from klever.grids import Grid

__all__ = ["Shift", "Template", "continuum_shift", "line_shift", "measure_shifts", "peak_position"]

logger = logging.getLogger(__name__)

HST_PSF_FWHM = 0.15  # arcsec, WFC3/IR at 1.6 um (WFC3 Instrument Handbook, Table 7.5)
MAXIMUM_SHIFT = 0.6  # arcsec; more is not a pointing error but a wrong counterpart
SEARCH_RADIUS = 1.0  # arcsec; beyond the maximum, so that an implausible shift is seen as such
MINIMUM_SNR = 5.0  # of the continuum template or the line peak
MAXIMUM_ERROR = 0.15  # arcsec; a continuum without structure does not fix the position
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))


@dataclass
class Shift:
    """Arcsec to the west and to the north to add to the positions a band's WCS gives.

    `method` is "continuum", "lines", "reference" (the band to which the others are aligned), "config" or "none".
    """

    x: float = 0.0
    y: float = 0.0
    error: float = np.nan
    method: str = "none"


@dataclass
class Template:
    """Image to which a band is matched: surface brightness, its grid and its PSF FWHM in arcsec; NaN has no data."""

    value: np.ndarray
    grid: Grid
    fwhm: float

    def convolved(self, fwhm):
        """Return the image at the resolution `fwhm` (arcsec), unchanged if it is coarser already; NaN is filled."""
        good = np.isfinite(self.value)
        filled = np.where(good, self.value, np.median(self.value[good]) if good.any() else 0.0)
        width = np.sqrt(max(fwhm**2 - self.fwhm**2, 0.0)) / FWHM / self.grid.pixel_scale
        return ndimage.gaussian_filter(filled, width, mode="nearest") if width > 0 else filled


def measure_shifts(bands, image, method="auto", overrides=None):
    """Measure the shift of every band.

    Parameters
    ----------
    bands : list of Band
    image : Template or None
        HST image; without it bands are aligned to one of them (H if present, else the one with the highest S/N).
    method : str
        "auto" (continuum, else lines), "continuum", "lines" or "none".
    overrides : mapping of str to pair of float, optional
        Shifts by band, arcsec west and north, that win over what is measured.

    Returns
    -------
    dict of str to Shift
    """
    overrides = overrides or {}
    reference = None if image is not None else _reference_band(bands)
    shifts = {}
    for band in bands:
        if band.name in overrides:
            x, y = overrides[band.name]
            shifts[band.name] = Shift(float(x), float(y), 0.0, "config")
        elif method == "none":
            shifts[band.name] = Shift()
        elif band is reference:
            shifts[band.name] = Shift(0.0, 0.0, 0.0, "reference")
        else:
            shifts[band.name] = _measure(band, image, reference, method)
    if reference is not None and shifts[reference.name].method == "config":
        moved = shifts[reference.name]  # the others were measured relative to the place its WCS gives
        for shift in shifts.values():
            if shift.method in ("continuum", "lines"):
                shift.x, shift.y = shift.x + moved.x, shift.y + moved.y
    return shifts


def _reference_band(bands):
    for band in bands:
        if band.name == "H" and band.field.any():
            return band
    return max(bands, key=lambda band: brightest_line(band)[1])


def _measure(band, image, reference, method):
    continuum = image
    if image is None:
        if "CONTINUUM" in reference.maps:
            continuum = Template(reference.maps["CONTINUUM"].value, reference.grid, reference.psf_fwhm)
    attempts = []
    if method in ("auto", "continuum") and continuum is not None:
        attempts.append(lambda: continuum_shift(band, continuum))
    if method in ("auto", "lines"):
        attempts.append(lambda: line_shift(band, image, reference))
    for attempt in attempts:
        shift = attempt()
        if shift is None:
            continue
        size = np.hypot(shift.x, shift.y)
        if size <= MAXIMUM_SHIFT:
            return shift
        message = "band %s: the %s gives an implausible shift of %.2f arcsec; not applied"
        logger.warning(message, band.name, shift.method, size)
    logger.info("band %s: no shift measured, the WCS is taken as it is", band.name)
    return Shift()


def _without_outliers(value, valid):
    """Mask single spaxels that stand out of their neighbours more than any PSF allows."""
    filled = np.where(valid, value, np.nanmedian(value[valid]))
    smooth = ndimage.median_filter(filled, size=3, mode="nearest")
    scatter = 1.4826 * np.median(np.abs(filled - smooth)[valid])
    deviant = np.abs(filled - smooth) > np.maximum(8 * scatter, 0.5 * np.ptp(smooth[valid]))
    return valid & ~deviant


def continuum_shift(band, template):
    """Shift that matches a band's continuum map to an image, by least squares (a weighted cross-correlation).

    Parameters
    ----------
    band : Band
        With a map CONTINUUM and its error.
    template : Template
        Convolved to the resolution of the band before it is compared.

    Returns
    -------
    Shift or None
        None if the continuum is not detected at 5 sigma, the best shift lies at the edge of the search range
        (1 arcsec) or it is uncertain by more than 0.15 arcsec. The error counts the correlation of the noise.
    """
    if "CONTINUUM" not in band.maps or band.maps["CONTINUUM"].error is None:
        return None
    product = band.maps["CONTINUUM"]
    valid = valid_pixels(product) & (product.error > 0)
    if valid.sum() < 25:
        return None
    valid = _without_outliers(product.value, valid)
    scale = np.median(product.error[valid])
    data, weight = product.value[valid] / scale, (scale / product.error[valid]) ** 2
    # A spaxel averages over its own area, which widens the profile as a Gaussian of the same variance would.
    box = FWHM * band.grid.pixel_scale / np.sqrt(12.0)
    model = template.convolved(np.hypot(band.psf_fwhm, box))
    peak = np.max(np.abs(model))
    if not peak > 0:
        return None
    model = model / peak
    west, north = (coordinate[valid] for coordinate in band.grid.pixel_offsets())

    def gain(dx, dy, order):
        """Reduction of chi-square by the template at each trial shift, a free background beside it."""
        x, y = template.grid.pixels(west, north)
        step = np.linalg.inv(template.grid.axes) @ np.array([dx, dy])
        position = [y + step[1][:, None], x + step[0][:, None]]
        trial = ndimage.map_coordinates(model, position, order=order, mode="nearest")
        total = weight.sum()
        trial = trial - (trial @ weight / total)[:, None]
        centred = data - data @ weight / total
        covariance, variance = trial @ (weight * centred), trial**2 @ weight
        usable = (covariance > 0) & (variance > 0)
        return np.divide(covariance**2, variance, out=np.zeros_like(variance), where=usable)

    centre, half, step = np.zeros(2), SEARCH_RADIUS, 0.1
    for order, finer in ((1, 0.03), (3, None)):
        ticks = np.arange(-half, half + step / 2, step)
        dy, dx = (grid.ravel() for grid in np.meshgrid(ticks, ticks, indexing="ij"))
        reduction = gain(centre[0] + dx, centre[1] + dy, order)
        best = int(np.argmax(reduction))
        if order == 1 and (max(abs(dx[best]), abs(dy[best])) > SEARCH_RADIUS - step / 2 or reduction[best] <= 0):
            return None
        centre = centre + np.array([dx[best], dy[best]])
        if finer:
            half, step = 4 * finer, finer
    # Parabola through the neighbours of the maximum: position and, from its curvature, the error.
    trial = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], dtype=float) * step
    reduction = gain(centre[0] + trial[:, 0], centre[1] + trial[:, 1], 3)
    x, y = trial.T
    design = np.column_stack([np.ones(9), x, y, 0.5 * x**2, x * y, 0.5 * y**2])
    _, gx, gy, hxx, hxy, hyy = np.linalg.lstsq(design, reduction, rcond=None)[0]
    hessian = -np.array([[hxx, hxy], [hxy, hyy]])
    if not (np.linalg.det(hessian) > 0 and hessian[0, 0] > 0):
        return None
    offset = np.linalg.solve(hessian, [gx, gy])
    if np.max(np.abs(offset)) > 2 * step:
        return None
    centred = data - data @ weight / weight.sum()
    reduced = max((weight @ centred**2 - reduction.max()) / max(data.size - 5, 1), 1e-12)
    inflation = band.correlated_spaxels * max(reduced, 1.0)
    snr = np.sqrt(reduction.max() / inflation)
    error = float(np.sqrt(np.trace(np.linalg.inv(hessian / 2.0)) / 2.0 * inflation))
    if snr < MINIMUM_SNR or error > MAXIMUM_ERROR:
        logger.info("band %s: continuum S/N %.1f, shift error %.2f arcsec: not used", band.name, snr, error)
        return None
    return Shift(float(centre[0] + offset[0]), float(centre[1] + offset[1]), error, "continuum")


def peak_position(value, grid, fwhm, start=None, radius=np.inf):
    """Position of the brightest peak of a map: its maximum, refined by a centroid with a Gaussian weight.

    Parameters
    ----------
    value : ndarray, shape (ny, nx)
        NaN is left out.
    grid : Grid
    fwhm : float
        Arcsec, of the weight.
    start : pair of float, optional
        Offsets (arcsec) around which the peak is searched within `radius`.
    radius : float
        Arcsec.

    Returns
    -------
    ndarray, shape (2,), or None
        Arcsec west and north; None if there is no positive peak or the centroid runs off.
    """
    west, north = grid.pixel_offsets()
    good = np.isfinite(value)
    if start is not None:
        good &= np.hypot(west - start[0], north - start[1]) <= radius
    if not good.any() or not np.max(value[good]) > 0:
        return None
    first = np.argmax(np.where(good, value, -np.inf))
    origin = position = np.array([west.flat[first], north.flat[first]])
    width = max(fwhm / FWHM, 0.7 * grid.pixel_scale)
    filled = np.where(np.isfinite(value), value, 0.0)
    for _ in range(50):
        weight = np.exp(-0.5 * ((west - position[0]) ** 2 + (north - position[1]) ** 2) / width**2) * filled
        total = weight.sum()
        if not total > 0:
            return None
        step = np.array([np.sum(weight * (west - position[0])), np.sum(weight * (north - position[1]))]) / total
        position = position + step  # the mean shift climbs to the peak of the map smoothed with the weight
        if np.hypot(*step) < 1e-4:
            break
    return position if np.hypot(*(position - origin)) < max(2 * fwhm, 2 * grid.pixel_scale) else None


def line_shift(band, image, reference):
    """Shift that puts a band's brightest emission-line peak on the peak of the HST image.

    Parameters
    ----------
    band : Band
    image : Template or None
    reference : Band or None
        Band whose brightest line is used if there is no image.

    Returns
    -------
    Shift or None
        None if no line is detected at 5 sigma at its peak or there is no peak within 1 arcsec. Curti et al. (2020),
        Sect. 3.2.2: line emission and light are assumed to be co-spatial.
    """
    name, snr = brightest_line(band)
    if snr < MINIMUM_SNR:
        return None
    peak = _line_peak(band, name)
    if peak is None:
        return None
    error = band.psf_fwhm / FWHM / snr
    if image is not None:
        target = peak_position(image.convolved(band.psf_fwhm), image.grid, band.psf_fwhm, peak, SEARCH_RADIUS)
    else:
        other, other_snr = brightest_line(reference)
        if other_snr < MINIMUM_SNR:
            return None
        target = _line_peak(reference, other)
        error = np.hypot(error, reference.psf_fwhm / FWHM / other_snr)
    if target is None or np.hypot(*(target - peak)) > SEARCH_RADIUS:
        return None
    return Shift(float(target[0] - peak[0]), float(target[1] - peak[1]), float(error), "lines")


def _line_peak(band, name):
    product = band.maps[name]
    valid = valid_pixels(product)
    valid = _without_outliers(product.value, valid)
    snr = np.divide(product.value, product.error, out=np.zeros_like(product.value), where=valid & (product.error > 0))
    return peak_position(np.where(valid & (snr >= 3.0), product.value, np.nan), band.grid, band.psf_fwhm)

"""The photometry of one galaxy: images to fluxes in all bands."""

from dataclasses import dataclass, field

import numpy as np

from klever.photometry.detection import detect, sky_level
from klever.photometry.fluxes import aperture_flux, transfer
from klever.photometry.images import OutsideImageError, read_cutout
from klever.photometry.psf import match_resolution

__all__ = ["Photometry", "measure_photometry"]

MINIMUM_SNR = 3.0  # of the flux in the aperture, on the detection image


@dataclass
class Photometry:
    """Fluxes of one galaxy, magnified as it is seen.

    Parameters
    ----------
    state : str
        ok | no_images | outside_images | not_detected.
    rows : list of dict
        band, pivot (Angstrom), flux, flux_error (microjansky), flag (empty, or why there is no flux).
    detection : str
        Filter of the detection image.
    aperture : klever.photometry.detection.Aperture, optional
        On the detection image.
    image : klever.photometry.images.Image, optional
        The detection image.
    light : ndarray, optional
        What it shows in the aperture, above the sky, microjansky per pixel.
    """

    state: str
    rows: list = field(default_factory=list)
    detection: str = ""
    aperture: object = None
    image: object = None
    light: np.ndarray | None = None


def measure_photometry(images, filters, ra, dec, settings):
    """Measure a galaxy on all its images in one aperture at one resolution.

    Parameters
    ----------
    images : dict of str to path-like
        By filter.
    filters : dict of str to klever.sed.filters.Filter
        Their curves.
    ra, dec : float
        The galaxy, degrees.
    settings : dict
        Section ``photometry``.

    Returns
    -------
    Photometry
        Bands by increasing wavelength. The image of `detection_filter` (of the reddest filter, if there is none) sets
        the aperture. An image that does not show the galaxy gives a band without a flux.
    """
    if not images:
        return Photometry("no_images")
    cutouts, missing = {}, []
    for name, path in images.items():
        options = {key: settings[f"{key}s" if key == "zero_point" else key].get(name)
                   for key in ("psf_fwhm", "zero_point")}  # fmt: skip
        try:
            cutouts[name] = read_cutout(path, name, ra, dec, settings["field"], filters[name].pivot, **options)
        except OutsideImageError:
            missing.append(name)
    if not cutouts:
        return Photometry("outside_images")
    wanted = settings["detection_filter"]
    chosen = wanted if wanted in cutouts else max(cutouts, key=lambda name: filters[name].pivot)
    image = cutouts[chosen]
    position = tuple(float(v) for v in image.wcs.all_world2pix(ra, dec, 0))
    aperture = detect(image.data, image.pixel, image.psf_fwhm, position, settings)
    if aperture is None:
        return Photometry("not_detected", detection=chosen, image=image)
    target = max(cutout.psf_fwhm for cutout in cutouts.values())
    rows = []
    for name in sorted(images, key=lambda name: filters[name].pivot):
        row = {"band": name, "pivot": filters[name].pivot, "flag": "outside_image" if name in missing else ""}
        if name in cutouts:
            flux, error = _flux(cutouts[name], image, aperture, target)
            row |= {"flux": flux, "flux_error": error, "flag": "" if np.isfinite(error) else "no_sky"}
        rows.append(row)
    seen = next(row for row in rows if row["band"] == chosen)
    if not seen["flux"] > MINIMUM_SNR * seen["flux_error"]:  # NaN is no detection either
        return Photometry("not_detected", detection=chosen, image=image)
    level, _ = sky_level(image.data, aperture.others | (aperture.inside > 0))
    light = np.where(np.isfinite(image.data), aperture.inside * (image.data - level), 0.0)
    return Photometry("ok", rows, chosen, aperture, image, light)


def _flux(cutout, image, aperture, target):
    """Flux and error on one image."""
    same = cutout.data.shape == image.data.shape and cutout.wcs.wcs.compare(image.wcs.wcs, tolerance=1e-6)
    inside, others = aperture.inside, aperture.others
    if not same:
        mapping = _affine(cutout.wcs, image.wcs, cutout.data.shape)
        inside = transfer(inside, cutout.data.shape, mapping)
        others = transfer(others.astype(float), cutout.data.shape, mapping, 1) > 0
    return aperture_flux(match_resolution(cutout, target), inside, others)


def _affine(wcs, other, shape):
    """Affine map from the pixels of one grid to those of another, exact at three corners."""
    x, y = np.array([0.0, shape[1] - 1.0, 0.0]), np.array([0.0, 0.0, shape[0] - 1.0])
    there = np.array(other.all_world2pix(*wcs.all_pix2world(x, y, 0), 0))
    origin = there[:, 0]
    columns = (there[:, 1] - origin) / max(shape[1] - 1, 1), (there[:, 2] - origin) / max(shape[0] - 1, 1)
    return np.column_stack([*columns, origin])

"""Cut-outs of images about a galaxy, in microjansky per pixel, from any of the usual units."""

from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from klever.cubes.fitsheaders import check_headers
from klever.errors import InputError

__all__ = ["Image", "OutsideImageError", "read_cutout"]

SPEED_OF_LIGHT = 2.99792458e18  # Angstrom/s
MICROJANSKY = 1e-29  # erg s-1 cm-2 Hz-1
_COUNTS = {
    "electrons/s",
    "electron/s",
    "e-/s",
    "e/s",
    "counts/s",
    "count/s",
    "cps",
    "dn/s",
    "adu/s",
    "electrons s-1",
    "",
}
_PER_WAVELENGTH = {"ergs-1cm-2um-1": 1e-4, "ergs-1cm-2angstrom-1": 1.0, "erg/s/cm2/a": 1.0, "erg/s/cm2/angstrom": 1.0,
                   "erg/s/cm2/um": 1e-4, "erg/s/cm^2/a": 1.0, "erg/cm2/s/a": 1.0}  # fmt: skip
_PER_FREQUENCY = {"ujy": 1.0, "uJy": 1.0, "microjy": 1.0, "njy": 1e-3, "mjy": 1e3, "jy": 1e6}


class OutsideImageError(InputError):
    """The galaxy is not on the image, or only on pixels without data: a state of the photometry, not a failure."""


@dataclass
class Image:
    """Part of an image about a galaxy.

    Parameters
    ----------
    name : str
        Filter.
    data : ndarray, shape (ny, nx)
        Microjansky per pixel; NaN where there are no data.
    wcs : astropy.wcs.WCS
        Of the part.
    pixel : float
        Side of a pixel, arcsec.
    psf_fwhm : float
        Arcsec.
    """

    name: str
    data: np.ndarray
    wcs: object
    pixel: float
    psf_fwhm: float


def read_cutout(path, name, ra, dec, field, pivot, psf_fwhm=None, zero_point=None):
    """Read the part of an image about a position.

    Parameters
    ----------
    path : path-like
        FITS image; the first extension with a two-dimensional image and a celestial WCS.
    name : str
        Filter.
    ra, dec : float
        Degrees.
    field : float
        Side of the part, arcsec; less at the edge of the image.
    pivot : float
        Pivot wavelength of the filter, Angstrom, for fluxes per wavelength.
    psf_fwhm : float, optional
        Arcsec; the header's PSFFWHM if not given.
    zero_point : float, optional
        AB magnitude of one unit of the data. Without it the header's BUNIT counts, and for counts per second PHOTFLAM
        and PHOTPLAM.

    Returns
    -------
    Image

    Raises
    ------
    OutsideImageError
        Fewer than half of the pixels within 1 arcsec of the galaxy have data.
    InputError
        The file cannot be read, or its flux scale or resolution is not known.
    """
    from astropy.wcs import WCS

    check_headers(path)
    try:
        with fits.open(path, memmap=True) as hdus:
            hdu = next(h for h in hdus if h.header.get("NAXIS") == 2 and "CTYPE1" in h.header)
            header, wcs = hdu.header.copy(), WCS(hdu.header)
            pixel = float(np.sqrt(np.abs(np.linalg.det(wcs.pixel_scale_matrix))) * 3600)
            x, y = (float(v) for v in wcs.all_world2pix(ra, dec, 0))
            half = field / 2 / pixel
            if not (np.isfinite(x + y) and -half < x < header["NAXIS1"] + half and -half < y < header["NAXIS2"] + half):
                raise OutsideImageError(f"{path}: the galaxy is not on the image.")
            columns = slice(max(round(x - half), 0), min(round(x + half) + 1, header["NAXIS1"]))
            rows = slice(max(round(y - half), 0), min(round(y + half) + 1, header["NAXIS2"]))
            data = np.array(hdu.section[rows, columns], float)
    except StopIteration:
        raise InputError(f"{path} has no image with a celestial WCS; give the {name} image another file.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as a FITS image ({error}); replace it.") from error
    data[~np.isfinite(data)] = np.nan
    if not np.nanmax(np.abs(data), initial=0.0) > 0:
        raise OutsideImageError(f"{path}: the image holds no data at the galaxy.")
    yy, xx = np.indices(data.shape)
    near = np.hypot(xx + columns.start - x, yy + rows.start - y) < 1.0 / pixel
    if not near.any() or np.isfinite(data[near]).mean() < 0.5:
        raise OutsideImageError(f"{path}: the galaxy is on the edge of the image.")
    scale = _microjansky(header, path, name, pivot, zero_point)
    fwhm = psf_fwhm if psf_fwhm is not None else header.get("PSFFWHM")
    if fwhm is None:
        raise InputError(f"{path}: the resolution of the {name} image is not known; give photometry.psf_fwhm.{name}.")
    return Image(name, data * scale, wcs[rows, columns], pixel, float(fwhm))


def _microjansky(header, path, name, pivot, zero_point):
    """Microjansky per unit of the data."""
    if zero_point is not None:
        return 10 ** (-0.4 * (zero_point - 23.9))
    unit = str(header.get("BUNIT", "")).strip()
    squeezed = unit.lower().replace(" ", "").replace("angstroms", "angstrom")
    per_wavelength = pivot**2 / SPEED_OF_LIGHT / MICROJANSKY
    if squeezed in _PER_WAVELENGTH:
        # the header's pivot is the one its fluxes were made with
        given = header.get("PHOTPLAM")
        if given:
            given = given * 1e4 if given < 100 else given
            per_wavelength = given**2 / SPEED_OF_LIGHT / MICROJANSKY
        return _PER_WAVELENGTH[squeezed] * per_wavelength
    if squeezed in _PER_FREQUENCY:
        return _PER_FREQUENCY[squeezed]
    if unit.lower() in _COUNTS and header.get("PHOTFLAM") and header.get("PHOTPLAM"):
        return header["PHOTFLAM"] * header["PHOTPLAM"] ** 2 / SPEED_OF_LIGHT / MICROJANSKY
    raise InputError(
        f"{path}: the flux scale of the {name} image is not known (BUNIT {unit!r}, no PHOTFLAM); give its AB zero "
        f"point, photometry.zero_points.{name}."
    )

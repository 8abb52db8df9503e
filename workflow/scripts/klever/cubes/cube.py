"""The canonical cube: flux density, error, data quality, vacuum wavelength and celestial WCS of any instrument."""

import warnings
from dataclasses import dataclass, field
from enum import IntFlag
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.utils.exceptions import AstropyWarning

from klever import provenance
from klever.cubes import axes as cubeaxes
from klever.errors import InputError

__all__ = ["DQ", "FLUX_UNIT", "Cube"]

FLUX_UNIT = "erg s-1 cm-2 um-1"
_LINEAR = 0.02  # channels: a wavelength solution this close to a straight line gets a spectral WCS

_KEYWORDS = {
    "galaxy": ("GALAXY", "galaxy of the catalogue"),
    "band": ("BAND", "band of the instrument"),
    "instrument": ("INSTRUME", "instrument"),
    "z": ("Z", "catalogue redshift"),
    "ra": ("RA", "[deg] catalogue position"),
    "dec": ("DEC", "[deg] catalogue position"),
    "psf_fwhm": ("PSFFWHM", "[arcsec] FWHM of the point spread function"),
    "object": ("OBJECT", "target in the original file"),
    "specsys": ("SPECSYS", "reference frame of the wavelengths"),
    "barycentric_velocity": ("BARYCORR", "[km/s] shift to the barycentre, applied"),
    "reader": ("READER", "reader of the original format"),
    "source_file": ("ORIGFILE", "original file"),
    "source_extension": ("ORIGEXT", "extension of the original file"),
    "source_unit": ("ORIGUNIT", "unit of the original file"),
    "error_origin": ("ERRORIGN", "given | estimated"),
    "noise_scale": ("NOISESCL", "empirical rms / given error"),
    "sky_source": ("SKYSRC", "what the sky-line mask is made from"),
    "mirrored": ("MIRRORED", "x axis was reversed to standard parity"),
}


class DQ(IntFlag):
    """Why a voxel is not to be used."""

    NODATA = 1  # outside the field, or missing in the file; flux is NaN
    NO_ERROR = 2  # no positive, finite error; error is NaN
    OUTLIER = 4  # a single voxel far from its neighbours in wavelength and space: cosmic ray; or all of a broken spaxel
    SKYLINE = 8  # a channel on a bright sky line
    INSTRUMENT = 16  # flagged by the instrument's pipeline


@dataclass
class Cube:
    """A cube in erg s-1 cm-2 um-1 per spaxel.

    Parameters
    ----------
    flux, error : ndarray, shape (n_wave, ny, nx)
        `flux` is NaN exactly where `dq` has ``DQ.NODATA``; `error` (1 sigma) is NaN there and where it has
        ``NO_ERROR``.
    dq : ndarray of uint8, shape (n_wave, ny, nx)
        Bits of `DQ`; 0 is a good voxel.
    wavelength : ndarray, shape (n_wave,)
        Vacuum, micrometre, observed frame, strictly increasing.
    header : astropy.io.fits.Header
        2-D celestial WCS, x increasing to the west on a north-up field.
    meta : dict
        galaxy, band, instrument, z, psf_fwhm ... (see `_KEYWORDS`); `notes` and `warnings` are lists of sentences on
        how the file was read and are not written.
    """

    flux: np.ndarray
    error: np.ndarray
    dq: np.ndarray
    wavelength: np.ndarray
    header: fits.Header
    meta: dict = field(default_factory=dict)

    @property
    def shape(self):
        """(n_wave, ny, nx)."""
        return self.flux.shape

    @property
    def spaxel_scale(self):
        """Side of a spaxel, arcsec."""
        return cubeaxes.spaxel_scale(self.header)

    @property
    def good(self):
        """True where no bit is set, shape (n_wave, ny, nx)."""
        return self.dq == 0

    def write(self, path):
        """Write PRIMARY (header only), SCI and ERR (float32), DQ (uint8), WAVELENGTH (float64).

        SCI carries a 3-D WCS if the wavelengths are linear within 0.02 channels; WAVELENGTH is exact always.
        """
        primary = fits.PrimaryHDU()
        for name, (key, comment) in _KEYWORDS.items():
            if self.meta.get(name) is not None:
                primary.header[key] = (self.meta[name], comment)
        primary.header["SPAXEL"] = (self.spaxel_scale, "[arcsec] side of a spaxel")
        provenance.stamp_header(primary.header)
        wcs = self.wcs_3d()
        hdus = fits.HDUList([primary])
        for name, data, unit in (("SCI", self.flux, FLUX_UNIT), ("ERR", self.error, FLUX_UNIT), ("DQ", self.dq, None)):
            hdu = fits.ImageHDU(data.astype(np.uint8 if name == "DQ" else np.float32), header=wcs, name=name)
            if unit:
                hdu.header["BUNIT"] = (unit, "per spaxel")
            hdus.append(hdu)
        for flag in DQ:
            hdus["DQ"].header[f"FLAG{int(flag).bit_length() - 1:02d}"] = (flag.name, f"bit value {int(flag)}")
        hdus.append(fits.ImageHDU(self.wavelength.astype(np.float64), name="WAVELENGTH"))
        hdus["WAVELENGTH"].header["BUNIT"] = ("um", "vacuum, observed frame")
        hdus.writeto(path, overwrite=True)

    def wcs_3d(self):
        """Return the WCS of all axes; CTYPE3 is empty if the wavelengths are not linear within 0.02 channels."""
        header = self.header.copy()
        header["WCSAXES"] = 3
        n_wave = self.wavelength.size
        index = np.arange(n_wave)
        step = (self.wavelength[-1] - self.wavelength[0]) / max(n_wave - 1, 1)
        start = np.mean(self.wavelength - step * index)
        linear = n_wave > 1 and np.max(np.abs(self.wavelength - start - step * index)) < _LINEAR * step
        if linear:
            axis = {"CTYPE3": "WAVE", "CUNIT3": "um", "CRPIX3": 1.0, "CRVAL3": start, "CD3_3": step}
        else:
            axis = {"CTYPE3": "", "CRPIX3": 1.0, "CRVAL3": 1.0, "CD3_3": 1.0}
        for key, value in axis.items():
            header[key] = value
        if linear and self.meta.get("specsys"):
            header["SPECSYS"] = self.meta["specsys"]
        return header

    @classmethod
    def read(cls, path):
        """Read what `write` wrote.

        Raises
        ------
        InputError
            The file is missing, truncated, or not a canonical cube.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path} does not exist; run the ingest step that makes it.")
        try:
            quiet = warnings.catch_warnings(action="ignore", category=AstropyWarning)  # truncation is told below
            with quiet, fits.open(path, memmap=False) as hdus:
                flux, error = (hdus[name].data.astype(float) for name in ("SCI", "ERR"))
                dq, wavelength = hdus["DQ"].data.astype(np.uint8), hdus["WAVELENGTH"].data.astype(float)
                header = cubeaxes.celestial_header(hdus["SCI"].header)
                primary = hdus[0].header
                meta = {name: primary[key] for name, (key, _) in _KEYWORDS.items() if key in primary}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, VerifyError, InputError) as problem:
            raise InputError(
                f"{path} is not a complete canonical cube ({problem}); delete it and run the ingest step again."
            ) from problem
        if not flux.shape == error.shape == dq.shape or wavelength.shape != flux.shape[:1]:
            raise InputError(f"{path} has extensions of different shapes; delete it and run the ingest step again.")
        return cls(flux, error, dq, wavelength, header, meta)

"""Maps: value, error, flags and unit together, and sets of them on one grid, in memory and on disk.

Every two-dimensional product of the workflow (line maps, aligned maps, lens maps, source-plane maps, metallicity maps)
is a `MapSet`, so one reader opens them all.
"""

from dataclasses import dataclass, field
from enum import IntFlag
from pathlib import Path

import numpy as np
from astropy.io import fits

from klever.errors import InputError
from klever.provenance import stamp_header

__all__ = ["Flag", "Map", "MapSet", "masked"]


class Flag(IntFlag):
    """Why a pixel is not to be trusted; written by name into every flags extension."""

    NO_DATA = 1  # outside the field of view, or no valid voxel
    NOT_FITTED = 2  # the fit did not converge or the spectrum cannot be fitted
    LOW_COVERAGE = 4  # too many channels of the line are masked
    VELOCITY_BOUND = 8  # velocity at the edge of its search range
    DISPERSION_BOUND = 16  # dispersion at a bound: an upper limit at the lower one
    RATIO_BOUND = 32  # [S II] ratio at the edge of its physical range
    NOT_DETECTED = 64  # below the S/N threshold
    OUTSIDE_LENS = 128  # outside the lens model
    HOLE = 256  # a source-plane pixel that no image pixel reaches
    OUTSIDE_CALIBRATION = 512  # metallicity at the edge of the calibrated range
    BIMODAL = 1024  # metallicity posterior with two separate modes
    ON_SKY_LINE = 2048  # the line's core falls on channels of a bright sky line
    RESIDUAL = 4096  # the residual around the line is larger than the noise explains
    NEGATIVE_EBV = 8192  # Halpha/Hbeta is below the intrinsic ratio: E(B-V) < 0, used as zero


@dataclass
class Map:
    """One map.

    Parameters
    ----------
    value : ndarray, shape (ny, nx)
        NaN exactly where `flags` holds a bit that says why there is no value.
    error : ndarray, shape (ny, nx), optional
        1 sigma; NaN where `value` is.
    flags : ndarray of uint16, shape (ny, nx), optional
        Bits of `Flag`; 0 is a good pixel.
    unit : str
        In FITS notation, for example ``"erg s-1 cm-2 arcsec-2"``.
    """

    value: np.ndarray
    error: np.ndarray | None = None
    flags: np.ndarray | None = None
    unit: str = ""


def masked(maps, name, snr=None):
    """Return value and error of map `name`, NaN where flagged unusable or below `snr`.

    Flags that only qualify a value (bounds, bimodality) do not mask it.
    """
    product = maps[name]
    bad = ~np.isfinite(product.value)
    if product.flags is not None:
        unusable = Flag.NO_DATA | Flag.NOT_FITTED | Flag.LOW_COVERAGE | Flag.OUTSIDE_LENS | Flag.HOLE
        bad |= (product.flags & unusable) != 0
    if snr is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            bad |= ~(product.value / product.error >= snr)
    value = np.where(bad, np.nan, product.value)
    error = None if product.error is None else np.where(bad, np.nan, product.error)
    return value, error


@dataclass
class MapSet:
    """Named maps on one grid.

    Names are case-insensitive (``maps["Halpha"]``, extension ``HALPHA``).

    Parameters
    ----------
    header : astropy.io.fits.Header
        Celestial WCS of the grid (empty for a grid without one) and the metadata of the product.
    """

    header: fits.Header = field(default_factory=fits.Header)
    maps: dict[str, Map] = field(default_factory=dict)

    def __getitem__(self, name):
        return self.maps[name.upper()]

    def __setitem__(self, name, product):
        self.maps[name.upper()] = product

    def __contains__(self, name):
        return name.upper() in self.maps

    def names(self):
        """Names of all maps, upper case, in the order they were added."""
        return list(self.maps)

    def write(self, path):
        """Write a FITS file: extensions ``NAME``, ``NAME_ERR`` and ``NAME_FLAGS`` for each map."""
        primary = fits.PrimaryHDU(header=fits.Header(self.header, copy=True))
        stamp_header(primary.header)
        hdus = fits.HDUList([primary])
        for name, product in self.maps.items():
            hdus.append(_image(product.value.astype(np.float32), name, self.header, product.unit))
            if product.error is not None:
                hdus.append(_image(product.error.astype(np.float32), f"{name}_ERR", self.header, product.unit))
            if product.flags is not None:
                hdu = _image(product.flags.astype(np.uint16), f"{name}_FLAGS", self.header, "")
                for flag in Flag:
                    hdu.header[f"FLAG{int(flag).bit_length() - 1:02d}"] = (flag.name, f"bit value {int(flag)}")
                hdus.append(hdu)
        hdus.writeto(path, overwrite=True)

    @classmethod
    def read(cls, path):
        """Read what `write` wrote.

        Raises
        ------
        InputError
            The file is missing, truncated or not FITS.
        """
        try:
            with fits.open(path, memmap=False) as hdus:
                content = cls(header=hdus[0].header.copy())
                images = {hdu.name: (np.asarray(hdu.data), hdu.header.get("BUNIT", "")) for hdu in hdus[1:]}
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{Path(path)} cannot be read as FITS ({error}); make it again or replace it.") from error
        for name, (data, unit) in images.items():
            base, _, kind = name.rpartition("_")
            if kind in {"ERR", "FLAGS"} and base in images:
                continue
            error, flags = images.get(f"{name}_ERR"), images.get(f"{name}_FLAGS")
            content.maps[name] = Map(
                value=data.astype(float),
                error=None if error is None else error[0].astype(float),
                flags=None if flags is None else flags[0].astype(np.uint16),
                unit=unit,
            )
        return content


_WCS_KEYS = ("WCSAXES CTYPE1 CTYPE2 CRPIX1 CRPIX2 CRVAL1 CRVAL2 CUNIT1 CUNIT2 CDELT1 CDELT2 "
             "CD1_1 CD1_2 CD2_1 CD2_2 PC1_1 PC1_2 PC2_1 PC2_2 LONPOLE LATPOLE RADESYS EQUINOX").split()  # fmt: skip


def _image(data, name, header, unit):
    hdu = fits.ImageHDU(data, name=name)
    for key in _WCS_KEYS:
        if key in header:
            hdu.header[key] = header[key]
    if unit:
        hdu.header["BUNIT"] = unit
    return hdu

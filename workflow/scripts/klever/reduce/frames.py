"""Reconstructed, not yet sky-subtracted exposures of KMOS: what points where, and one IFU at a time."""

import itertools
import re
from dataclasses import dataclass

import numpy as np

from klever.cubes.axes import celestial_header, is_number
from klever.cubes.fitsfiles import open_fits, pixels
from klever.cubes.spectral import spectral_axis
from klever.errors import InputError

__all__ = ["N_IFU", "Frame", "check_times", "check_wavelengths", "detector_of", "nearest_sky", "read_frame", "read_ifu"]

N_IFU = 24
_PER_DETECTOR = 8
_MOMENT = 1e-6  # days, a tenth of a second
_KINDS = {"O": "object", "S": "sky", "R": "reference"}


@dataclass(frozen=True)
class Frame:
    """One exposure.

    Parameters
    ----------
    path : str
    time : float
        MJD at the start.
    exposure_time : float
        Seconds; NaN if the header does not say.
    centre : (float, float)
        Degrees, of the telescope.
    targets : dict of int to str
        IFUs with data, and the target that the arm was set to.
    kinds : dict of int to str
        object | sky | reference.
    """

    path: str
    time: float
    exposure_time: float
    centre: tuple
    targets: dict
    kinds: dict

    def is_sky(self, ifu):
        """Return True if this IFU looks at blank sky in this exposure."""
        return self.kinds.get(ifu) == "sky"


def detector_of(ifu):
    """Return the detector, 1 to 3, that records an IFU."""
    return (ifu - 1) // _PER_DETECTOR + 1


def read_frame(path):
    """Read the headers of an exposure.

    Raises
    ------
    InputError
        It cannot be read, holds no IFU, or lacks MJD-OBS.
    """
    with open_fits(path) as hdus:
        header = hdus[0].header
        filled = [
            int(match[1])
            for hdu in hdus
            if (match := re.fullmatch(r"IFU\.(\d+)\.DATA", hdu.name)) and hdu.header.get("NAXIS") == 3
        ]
    if not filled:
        raise InputError(f"{path} holds no cube IFU.n.DATA; give reconstructed exposures (SCI_RECONSTRUCTED) of KMOS.")
    if not is_number(header.get("MJD-OBS")):
        raise InputError(f"{path} has no MJD-OBS, so its nearest sky is not known; add the keyword.")
    return Frame(
        path=str(path),
        time=float(header["MJD-OBS"]),
        exposure_time=float(header.get("EXPTIME", header.get("ESO DET SEQ1 DIT", np.nan))),
        centre=(float(header.get("RA", np.nan)), float(header.get("DEC", np.nan))),
        targets={ifu: str(header.get(f"ESO OCS ARM{ifu} NAME", f"IFU.{ifu}")).strip() for ifu in filled},
        kinds={
            ifu: _KINDS.get(str(header.get(f"ESO OCS ARM{ifu} TYPE", "O")).strip().upper(), "object") for ifu in filled
        },
    )


def check_times(exposures):
    """Refuse an exposure that is given twice: its noise would count as that of two.

    Parameters
    ----------
    exposures : list
        With ``time`` (MJD) and ``path``, in order of time.

    Raises
    ------
    InputError
        Two have the same MJD-OBS.
    """
    for one, other in itertools.pairwise(exposures):
        if abs(other.time - one.time) < _MOMENT:
            raise InputError(
                f"{one.path} and {other.path} have the same MJD-OBS: they are one exposure; correct the "
                "pattern so that it is there once."
            )


def check_wavelengths(path, wavelength, other_path, other):
    """Refuse two cubes that are not on the same channels.

    Parameters
    ----------
    path, other_path : str
    wavelength, other : ndarray, shape (n_wave,)
        Um.

    Raises
    ------
    InputError
        Their number differs, or their wavelengths do by more than a tenth of a channel.
    """
    if len(wavelength) != len(other) or np.max(np.abs(other - wavelength)) > 0.1 * abs(wavelength[1] - wavelength[0]):
        raise InputError(
            f"{path} and {other_path} have different channels ({len(wavelength)} from {wavelength[0]:.5f} to "
            f"{wavelength[-1]:.5f} um, {len(other)} from {other[0]:.5f} to {other[-1]:.5f} um); reconstruct all "
            "exposures of a band, and its standard star, on one grid."
        )


def read_ifu(path, ifu):
    """Read one IFU.

    Returns
    -------
    flux, error : ndarray of float32, shape (n_wave, ny, nx)
        In the file's unit; NaN where either has no data.  Exact zeros of the data are missing data.
    wavelength : ndarray, shape (n_wave,)
        Vacuum, um.
    header : astropy.io.fits.Header
        Celestial WCS.

    Raises
    ------
    InputError
        The IFU has no data or no ``NOISE``, which weights and clipping need.
    """
    with open_fits(path) as hdus:
        names = [hdu.name for hdu in hdus]
        for name in (f"IFU.{ifu}.DATA", f"IFU.{ifu}.NOISE"):
            if name not in names or hdus[name].header.get("NAXIS") != 3:
                raise InputError(f"{path} has no cube in {name}; reconstruct the exposure with its noise.")
        hdu = hdus[f"IFU.{ifu}.DATA"]
        flux = pixels(hdu, path).astype(np.float32)
        error = pixels(hdus[f"IFU.{ifu}.NOISE"], path).astype(np.float32)
        wavelength, _ = spectral_axis(hdu.header, len(flux), hdus)
        header = celestial_header(hdu.header)
    with np.errstate(invalid="ignore"):
        missing = ~np.isfinite(flux) | (flux == 0) | ~(error > 0)
    flux[missing] = np.nan
    error[missing] = np.nan
    return flux, error, wavelength, header


def nearest_sky(frames, frame, ifu):
    """Return the exposure nearest in time in which the IFU looks at the sky.

    Raises
    ------
    InputError
        There is none.
    """
    skies = [other for other in frames if other.is_sky(ifu)]
    if not skies:
        raise InputError(
            f"no exposure beside {frame.path} has IFU {ifu} on the sky (ESO OCS ARM{ifu} TYPE = S); add the sky "
            "exposures."
        )
    return min(skies, key=lambda other: (abs(other.time - frame.time), other.time))

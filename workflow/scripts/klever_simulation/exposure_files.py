"""Simulated exposures as files: KMOS, 24 IFUs in one with arms and pointing in the header; SINFONI, one field."""

from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from klever_simulation.exposures import expose, moffat_image
from klever_simulation.spectra import Detector, model_cube

__all__ = ["IfuDetector", "field_position", "point_source", "scene_source", "sky_position", "write_exposure",
           "write_sinfoni_exposure"]  # fmt: skip

ARCSEC = np.pi / 180 / 3600
MJD_START = 57200.1
SINFONI_GAIN = 2.4  # electrons per count; only of the simulation


@dataclass(frozen=True)
class IfuDetector(Detector):
    """A band as one IFU of an exposure sees it.

    Parameters
    ----------
    number : int
        Spaxels a side.
    size : float
        Of a spaxel, arcsec.
    """

    number: int = 14
    size: float = 0.2

    @property
    def n_spaxels(self):
        """Spaxels a side."""
        return self.number

    @property
    def spaxel(self):
        """Size of a spaxel, arcsec."""
        return self.size


def sky_position(centre, west, north):
    """Return the position (degrees) of a point on the plane tangent at `centre`."""
    xi, eta = -west * ARCSEC, north * ARCSEC
    dec0 = np.radians(centre[1])
    denominator = np.cos(dec0) - eta * np.sin(dec0)
    ra = centre[0] + np.degrees(np.arctan2(xi, denominator))
    return ra, np.degrees(np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, denominator)))


def field_position(centre, ra, dec):
    """Return the inverse of `sky_position`: arcsec west and north of `centre` (degrees)."""
    difference, dec, dec0 = np.radians(ra - centre[0]), np.radians(dec), np.radians(centre[1])
    cosine = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(difference)
    xi = np.cos(dec) * np.sin(difference) / cosine
    eta = (np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(difference)) / cosine
    return -xi / ARCSEC, eta / ARCSEC


def point_source(instrument, spectrum, beta=None):
    """Return the function of `klever_simulation.exposures.Target` for a star of a spectrum (erg s-1 cm-2 um-1)."""

    def flux(west, north, fwhm):
        image = moffat_image(instrument.n_spaxel, instrument.spaxel, (-west, -north), fwhm, beta)
        return spectrum[:, None, None] * image

    return flux


def scene_source(instrument, scene, rest_wavelengths):
    """Return the same function for a simulated galaxy (scene.npz of simulate_galaxy); its seeing is Gaussian."""
    detector = IfuDetector(
        "IFU", instrument.band, instrument.wavelength_range, instrument.resolution, instrument.n_spaxel,
        instrument.spaxel,
    )  # fmt: skip

    def flux(west, north, fwhm):
        return model_cube(scene, rest_wavelengths, detector, fwhm, offset=(-west, -north)).cube

    return flux


def write_exposure(path, instrument, sky, targets, state, centre, exposure_time, seed, **more):
    """Simulate all arms of one exposure and write it as the KMOS pipeline reconstructs it, sky included.

    Parameters
    ----------
    path : path
    instrument, sky, targets, state, exposure_time, seed
        See `klever_simulation.exposures.expose`, which also takes `more`.
    centre : (float, float)
        Of the field, degrees.

    Returns
    -------
    dict of int to ndarray
        Voxels that cosmic rays hit, per arm.
    """
    primary = fits.PrimaryHDU()
    header = primary.header
    header["INSTRUME"], header["TELESCOP"], header["ORIGIN"] = "KMOS", "ESO-VLT-U1", "klever simulation"
    header["RA"], header["DEC"], header["EQUINOX"], header["RADECSYS"] = *centre, 2000.0, "FK5"
    header["MJD-OBS"] = MJD_START + state.time / 86400
    header["EXPTIME"] = exposure_time
    header["SIMULATE"] = (True, "simulated data, not an observation")
    header["HIERARCH ESO PRO CATG"] = "SCI_RECONSTRUCTED"
    for detector in (1, 2, 3):
        header[f"HIERARCH ESO INS FILT{detector} ID"] = instrument.band
    hdus, hits = [primary], {}
    for target in targets:
        data, noise, hits[target.arm] = expose(instrument, sky, target, state, exposure_time, seed, **more)
        header[f"HIERARCH ESO OCS ARM{target.arm} NAME"] = target.name
        header[f"HIERARCH ESO OCS ARM{target.arm} TYPE"] = "O" if state.kind == "O" and target.kind != "sky" else "S"
        west, north = (p + d for p, d in zip(target.position, state.dither, strict=True))
        wcs = _wcs(instrument, *sky_position(centre, west, north))
        for kind, values in (("DATA", data), ("NOISE", noise)):
            hdu = fits.ImageHDU(values)
            hdu.header["EXTNAME"] = f"IFU.{target.arm}.{kind}"
            hdu.header.update(wcs)
            hdu.header["HIERARCH ESO QC CUBE_UNIT"] = "electrons/sec"
            hdus.append(hdu)
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return hits


def write_sinfoni_exposure(path, instrument, sky, target, state, centre, exposure_time, seed, **more):
    """Simulate one exposure and write it as the SINFONI pipeline reconstructs it: counts, sky included, no error.

    Parameters
    ----------
    path, instrument, sky, target, state, exposure_time, seed, more
        See `klever_simulation.exposures.expose`.
    centre : (float, float)
        Of the field, degrees.

    Returns
    -------
    ndarray, shape (n_hit, 3)
        Voxels that cosmic rays hit.
    """
    rate, _, hits = expose(instrument, sky, target, state, exposure_time, seed, **more)
    hdu = fits.PrimaryHDU((rate * exposure_time / SINFONI_GAIN).astype(np.float32))
    header = hdu.header
    header["INSTRUME"], header["TELESCOP"], header["ORIGIN"] = "SINFONI", "ESO-VLT-U4", "klever simulation"
    header["OBJECT"] = target.name
    header["RA"], header["DEC"], header["EQUINOX"], header["RADECSYS"] = *centre, 2000.0, "FK5"
    header["MJD-OBS"] = MJD_START + state.time / 86400
    header["EXPTIME"] = exposure_time
    header["SIMULATE"] = (True, "simulated data, not an observation")
    kind = {"star": "STD", "galaxy": "OBJ"}[target.kind] if state.kind == "O" else "SKY"
    header["HIERARCH ESO PRO CATG"] = f"OBS_{kind}"
    header["HIERARCH ESO DET DIT"], header["HIERARCH ESO DET NDIT"] = exposure_time, 1
    header["HIERARCH ESO INS FILT1 NAME"] = header["HIERARCH ESO INS GRAT1 NAME"] = instrument.band
    header.update(_wcs(instrument, *sky_position(centre, *state.dither)))
    header["SPECSYS"] = "TOPOCENT"
    hdu.writeto(path, overwrite=True)
    return hits


def _wcs(instrument, ra, dec):
    header = fits.Header()
    middle, step = (instrument.n_spaxel + 1) / 2, instrument.spaxel / 3600
    for key, value in {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "WAVE", "CUNIT1": "deg", "CUNIT2": "deg", "CUNIT3": "um",
        "CRPIX1": middle, "CRPIX2": middle, "CRPIX3": 1.0, "CRVAL1": ra, "CRVAL2": dec,
        "CRVAL3": instrument.wavelength[0], "CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step, "CD1_3": 0.0,
        "CD2_3": 0.0, "CD3_1": 0.0, "CD3_2": 0.0, "CD3_3": instrument.wavelength[1] - instrument.wavelength[0],
        "CDELT3": instrument.wavelength[1] - instrument.wavelength[0],
    }.items():  # fmt: skip
        header[key] = value
    return header

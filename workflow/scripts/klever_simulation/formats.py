"""Native file formats of the simulated cubes, laid out as the observatories' pipelines write them."""

import numpy as np
from astropy.io import fits

__all__ = ["celestial_header", "write_kmos", "write_native", "write_sinfoni"]


def celestial_header(ra, dec, nx, ny, scale):
    """Return a north-up TAN header whose reference pixel is the centre of an (ny, nx) image of `scale` arcsec."""
    header = fits.Header()
    step = scale / 3600
    for key, value in {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": (nx + 1) / 2, "CRPIX2": (ny + 1) / 2, "CRVAL1": ra,
        "CRVAL2": dec, "CUNIT1": "deg", "CUNIT2": "deg", "CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step,
    }.items():  # fmt: skip
        header[key] = value
    return header


def _cube_header(ra, dec, shape, scale, wavelength, reference_channel):
    header = celestial_header(ra, dec, shape[2], shape[1], scale)
    step = (wavelength[-1] - wavelength[0]) / (len(wavelength) - 1)
    header["CDELT1"], header["CDELT2"] = header["CD1_1"], header["CD2_2"]
    header["CTYPE3"], header["CUNIT3"] = "WAVE", "um"
    header["CRPIX3"] = float(reference_channel)
    header["CRVAL3"] = float(wavelength[reference_channel - 1])
    header["CDELT3"] = step
    for key in ("CD1_3", "CD2_3", "CD3_1", "CD3_2"):
        header[key] = 0.0
    header["CD3_3"] = step
    return header


def _observatory(instrument, telescope, galaxy, ra, dec):
    header = fits.Header()
    header["INSTRUME"], header["ORIGIN"], header["TELESCOP"] = instrument, "klever simulation", telescope
    header["OBJECT"] = galaxy
    header["RA"], header["DEC"], header["EQUINOX"] = ra, dec, 2000.0
    header["RADECSYS"] = "FK5"
    header["SIMULATE"] = (True, "simulated data, not an observation")
    header["HISTORY"] = "simulated by klever"
    return header


def write_kmos(path, galaxy, band, data, noise, wavelength, ra, dec, scale):
    """Write a combined KMOS cube: empty primary, ``<galaxy>.DATA`` and ``<galaxy>.NOISE`` (1 sigma), no BUNIT.

    Parameters
    ----------
    path : path
    galaxy, band : str
    data, noise : ndarray, shape (n_wavelength, ny, nx)
        erg s-1 cm-2 um-1 per spaxel.
    wavelength : ndarray, shape (n_wavelength,)
        um, vacuum, equidistant.
    ra, dec : float
        What the WCS says is the centre of the field, deg.
    scale : float
        Spaxel, arcsec.
    """
    primary = fits.PrimaryHDU(header=_observatory("KMOS", "ESO-VLT-U1", galaxy, ra, dec))
    primary.header["HIERARCH ESO INS FILT1 ID"] = band
    primary.header["HIERARCH ESO INS GRAT1 ID"] = band
    primary.header["HIERARCH ESO PRO CATG"] = "SCI_COMBINED"
    hdus = [primary]
    for kind, values in (("DATA", data), ("NOISE", noise)):
        hdu = fits.ImageHDU(values.astype(np.float32))
        hdu.header["EXTNAME"] = f"{galaxy}.{kind}"
        hdu.header["INHERIT"] = True
        hdu.header.update(_cube_header(ra, dec, values.shape, scale, wavelength, 1))
        hdu.header["SIMULATE"] = True
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(path, overwrite=True)


def write_sinfoni(path, galaxy, band, data, wavelength, ra, dec, scale):
    """Write a SINFONI cube: everything in the primary, no error, no BUNIT. Parameters as in `write_kmos`."""
    hdu = fits.PrimaryHDU(data.astype(np.float32), header=_observatory("SINFONI", "ESO-VLT-U4", galaxy, ra, dec))
    hdu.header.update(_cube_header(ra, dec, data.shape, scale, wavelength, len(wavelength) // 2))
    hdu.header["SPECSYS"] = "TOPOCENT"
    hdu.header["HIERARCH ESO INS FILT1 NAME"] = band
    hdu.header["HIERARCH ESO INS GRAT1 NAME"] = band
    fits.HDUList([hdu]).writeto(path, overwrite=True)


def write_native(path, detector, galaxy, data, noise, ra, dec):
    """Write the cube in the format of `detector`'s instrument; `noise` is not used where the format has none."""
    args = (detector.wavelength, ra, dec, detector.spaxel)
    if detector.instrument == "KMOS":
        write_kmos(path, galaxy, detector.band, data, noise, *args)
    else:
        write_sinfoni(path, galaxy, detector.band, data, *args)

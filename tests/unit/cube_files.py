"""Cubes in the layouts of the instruments, for the tests of cube, readers, skylines and inspection."""

import numpy as np
from astropy.io import fits

UNIT = "erg s-1 cm-2 um-1"


def header(n_wave=40, ny=6, nx=5, **changes):
    """A KMOS-like cube header; a change to None removes the keyword."""
    result = fits.Header()
    keys = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "WAVE", "CUNIT1": "deg", "CUNIT2": "deg", "CUNIT3": "um",
        "CRVAL1": 150.0, "CRVAL2": -30.0, "CRVAL3": 1.5, "CRPIX1": (nx + 1) / 2, "CRPIX2": (ny + 1) / 2, "CRPIX3": 1.0,
        "CD1_1": -0.2 / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.2 / 3600, "CD3_3": 2e-4, "BUNIT": UNIT,
    } | {key.upper(): value for key, value in changes.items()}  # fmt: skip
    for key, value in keys.items():
        if value is not None:
            result[key] = value
    return result


def voxels(n_wave=40, ny=6, nx=5, seed=1, scale=1e-17):
    """Flux and error of pure noise with a spectrum of errors; (n_wave, ny, nx)."""
    rng = np.random.default_rng(seed)
    error = scale * np.ones((n_wave, ny, nx)) * (1 + 0.2 * np.sin(np.arange(n_wave)))[:, None, None]
    return rng.normal(size=error.shape) * error, error


def write_kmos(path, flux, error=None, name="obj", instrument="KMOS", **changes):
    """Combined KMOS cube."""
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"] = instrument
    hdus = [primary, fits.ImageHDU(flux.astype("f4"), header(*flux.shape, **changes), name=f"{name}.DATA")]
    if error is not None:
        hdus.append(fits.ImageHDU(error.astype("f4"), header(*flux.shape, **changes), name=f"{name}.NOISE"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def write_primary(path, flux, **changes):
    """SINFONI cube."""
    hdu = fits.PrimaryHDU(flux.astype("f4"), header(*flux.shape, **changes))
    hdu.header["INSTRUME"] = "SINFONI"
    hdu.writeto(path, overwrite=True)
    return path

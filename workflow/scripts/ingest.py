"""Turn one raw cube of any instrument into the canonical cube of a galaxy and band."""

import logging

import numpy as np
import yaml
from astropy.io import fits

from klever.cubes import skylines
from klever.cubes.cube import DQ
from klever.cubes.noise import noise_scale
from klever.cubes.readers import read_cube
from klever.errors import ConfigError, InputError

logger = logging.getLogger("klever")


def ingest_cube(raw, sky_lines, instruments, cube, settings):
    """Read, check, flag and write a cube (Curti et al. 2020, Sect. 2.2).

    Parameters
    ----------
    raw : str
        Cube in the instrument's format.
    sky_lines : str
        Rousselot et al. (2000) list: vacuum wavelength (Angstrom), strength.
    instruments : str
        ``resources/instruments.yaml``.
    cube : str
        Canonical cube to write, see `klever.cubes.cube.Cube`.
    settings : dict
        galaxy, band, instrument, unit, z, ra, dec, psf_fwhm, ``ingest`` (sky_line_threshold, outlier_sigma,
        barycentric), and optionally extension; cube, the configured path, for the message if `raw` is empty.

    Raises
    ------
    InputError
        The raw cube is not usable.
    ConfigError
        No such band for the instrument.
    """
    wavelength_range = band_range(instruments, settings["instrument"], settings["band"])
    if not raw:
        raise InputError(
            f"the cube {settings['cube']} does not exist; correct its path in observations.tsv (relative paths start "
            "at the survey folder), or bring the file there."
        )
    product = read_cube(
        raw, settings["unit"], settings.get("extension"), settings["instrument"], wavelength_range,
        settings["ingest"].get("barycentric", False),
    )  # fmt: skip
    logger.info(
        "%s: %s format, extension %s, %d channels %.4f-%.4f um, %d x %d spaxels of %.3f arcsec",
        raw, product.meta["reader"], product.meta["source_extension"], product.shape[0], product.wavelength[0],
        product.wavelength[-1], product.shape[2], product.shape[1], product.spaxel_scale,
    )  # fmt: skip
    for note in product.meta["notes"]:
        logger.info("%s", note)
    for warning in product.meta["warnings"]:
        logger.warning("%s", warning)
    flag(product, np.loadtxt(sky_lines), settings["ingest"])
    _judge_noise(product)
    for name in ("galaxy", "band", "instrument", "z", "ra", "dec", "psf_fwhm"):
        product.meta[name] = settings[name]
    measured = fits.getheader(raw).get("PSFFWHM") if settings.get("reduced") else None
    if measured is not None:
        logger.info("PSF of %.3f arcsec measured on stars, instead of the table's %.3f", measured, settings["psf_fwhm"])
        product.meta["psf_fwhm"] = measured
    product.write(cube)


def band_range(instruments, instrument, band):
    """Return (low, high) of a band in micrometre from the path of ``instruments.yaml``."""
    with open(instruments, encoding="utf-8") as stream:  # noqa: PTH123
        known = yaml.load(stream, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    try:
        return tuple(known[instrument][band]["range"])
    except KeyError:
        bands = ", ".join(f"{name} {entry}" for name, entries in known.items() for entry in entries)
        raise ConfigError(f"{instrument} has no band {band} in {instruments}; known are {bands}.") from None


def flag(product, sky_lines, settings):
    """Set the bits OUTLIER and SKYLINE of a cube, in place.

    Parameters
    ----------
    product : klever.cubes.cube.Cube
    sky_lines : ndarray, shape (n_lines, 2)
    settings : dict
        sky_line_threshold, outlier_sigma.
    """
    broken = skylines.broken_spaxels(np.where(product.dq == 0, product.flux, np.nan))
    flux = np.where(broken, np.nan, product.flux) if broken.any() else product.flux
    hit = broken | skylines.outliers(flux, product.error, settings["outlier_sigma"])
    bright, source = skylines.sky_line_mask(
        product.wavelength, product.error, settings["sky_line_threshold"], sky_lines
    )  # fmt: skip
    product.dq[hit] |= np.uint8(DQ.OUTLIER)
    product.dq[bright] |= np.uint8(DQ.SKYLINE)
    product.meta["sky_source"] = source
    logger.info(
        "%d outlying voxels; %d channels on bright sky lines (from: %s)", hit[:, ~broken].sum(), bright.sum(), source
    )
    if broken.any():
        y, x = (", ".join(map(str, axis[:9])) for axis in np.nonzero(broken))
        logger.warning(
            "%d spaxels are dead or hot (scatter a thousand times off their neighbours') and masked: x = %s; y = %s",
            broken.sum(), x, y,
        )  # fmt: skip


def _judge_noise(product):
    """Scale an estimated error to the scatter it must describe; only report on a given one."""
    scale = noise_scale(product.flux, product.error, product.dq)
    if product.meta["error_origin"] == "estimated" and np.isfinite(scale) and scale > 0:
        product.error *= scale
        logger.info("estimated error multiplied by %.3f to match the scatter of the residuals", scale)
        scale = 1.0
    if np.isfinite(scale):
        product.meta["noise_scale"] = round(scale, 4)
        level = logging.INFO if 0.5 < scale < 2 else logging.WARNING
        logger.log(level, "scatter of the residuals is %.2f times the error", scale)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, ingest_cube)

"""Reduce the exposures of one pointing in one band: sky, alignment, calibration, combination (Sect. 2.2)."""

import logging

import numpy as np
from astropy.io import fits

from klever.errors import InputError
from klever.grids import Grid
from klever.reduce import products
from klever.reduce.frames import read_frame
from klever.reduce.pointing import collapse, load_pointing, measure_stars, reduce_target, sky_subtracted, star_ifus
from klever.reduce.quality import draw_quality
from klever.reduce.residualpass import listed_lines, residual_pass
from klever.reduce.skysub import source_free
from klever.reduce.starfit import fit_star
from klever.reduce.telluric import calibrate
from klever.row_tables import write_table

logger = logging.getLogger("klever")

SPAXEL = 0.2  # arcsec, of an exposure of KMOS


def reduce_pointing(
    *, exposures, standard, sky_lines, line_list, cubes, stars, sky, noise, calibration, pdf, png, settings
):
    """Reduce one pointing in one band.

    Parameters
    ----------
    exposures, standard : list of str
        Reconstructed exposures, sky included: of the targets and their sky, and of the standard star and its sky (none:
        the cubes stay in counts).
    sky_lines, line_list : str
        resources/oh_lines_rousselot2000.dat, lines.yaml.
    cubes, stars, sky, noise, calibration, pdf, png : str
        Outputs, see results/README.md.
    settings : dict
        pointing, band, galaxies, stars (targets of arms), standard (temperature, magnitude), redshifts (by galaxy),
        reduce (options), figures (dpi).
    """
    options, entry = settings["reduce"] | {"spaxel": SPAXEL}, settings
    pointing = load_pointing(exposures)
    ifus = star_ifus(pointing, entry["stars"])
    measure_stars(pointing, ifus, options)
    calibrated = _calibration(standard, entry["standard"], settings["band"], options) if standard else None
    targets, rows, widths = [], [], []
    wanted = [*entry["stars"], *entry["galaxies"]]
    by_name = {name: ifu for ifu, name in pointing.objects[0].targets.items()}
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise InputError(
            f"no arm of {pointing.objects[0].path} points at {missing[0]!r} (ESO OCS ARMn NAME); its targets are "
            f"{', '.join(by_name)}. Correct the pointing's entry."
        )
    rest, oh_lines = _wavelengths(line_list), np.loadtxt(sky_lines)
    for name in wanted:
        protected = _protection(rest, settings["redshifts"].get(name))
        target = reduce_target(
            pointing, by_name[name], None if calibrated is None else calibrated.factor, options, protected
        )
        psf = None
        if name in entry["stars"]:
            psf = _width(target, options)
            widths += [psf["psf_fwhm"]] if np.isfinite(psf["psf_fwhm"]) else []
        elif options["residual_pass"]:
            lines = listed_lines(target.wavelength, oh_lines)
            target.cube.flux, target.cube.error, _ = residual_pass(
                target.cube.flux, target.cube.error, lines, source_free(target.cube.flux),
                None if protected is None else protected(target.wavelength),
            )  # fmt: skip
        rows.append(products.cube_row(target, psf))
        targets.append(target)
    simulated = bool(fits.getheader(exposures[0]).get("SIMULATE", False))
    meta = {"pointing": settings["pointing"], "band": settings["band"], "simulated": simulated,
            "psf_fwhm": float(np.mean(widths)) if widths else None, "calibrated": calibrated is not None}  # fmt: skip
    products.write_cubes(cubes, targets, meta)
    star_rows, sky_rows = products.star_rows(pointing), products.sky_rows(pointing)
    write_table(stars, star_rows, products.STAR_COLUMNS, meta)
    write_table(sky, sky_rows, products.SKY_COLUMNS, meta)
    write_table(noise, rows, products.CUBE_COLUMNS, meta)
    _write_calibration(calibration, calibrated, targets[0].wavelength, meta)
    title = f"{settings['pointing']}, {settings['band']}: {len(pointing.objects)} exposures, {len(targets)} IFUs"
    draw_quality(pdf, png, title, star_rows, sky_rows, rows, simulated, settings["figures"]["dpi"])


def _calibration(paths, standard, band, options):
    """Calibrate with the standard star, which is where it is brightest among the IFUs on an object."""
    pointing = load_pointing(paths)
    frame = pointing.objects[0]
    spectra = []
    for ifu, kind in frame.kinds.items():
        if kind != "object":
            continue
        wavelength, header, fit, _ = sky_subtracted(pointing, frame, ifu, options)
        image = collapse(fit.flux)
        grid = Grid(header, image.shape)
        star = fit_star(image, grid.pixel_scale)
        if star.ok:
            spectra.append((star.flux, wavelength, _extract(fit.flux, image, star)))
    if not spectra:
        raise InputError(
            f"no IFU of {read_frame(paths[0]).path} shows the standard star; correct the pointing's entry."
        )
    _, wavelength, counts = max(spectra, key=lambda item: item[0])
    result = calibrate(wavelength, counts, standard["temperature"], standard["magnitude"], band)
    logger.info("standard: zero point %.3f, hydrogen lines removed: %s", result.zero_point,
                ", ".join(f"{name} {width:.2f} nm" for name, width in result.removed) or "none")  # fmt: skip
    return result


def _extract(flux, image, star):
    """Spectrum of the whole star: spaxels weighted by its image, which the fit extends beyond the field."""
    weight = np.where(np.isfinite(image), np.maximum(image - star.background, 0), 0)
    good = np.isfinite(flux)
    weight = np.where(good, weight, 0)
    power = np.sum(weight**2, axis=(1, 2))
    amplitude = np.sum(weight * np.where(good, flux - star.background, 0), axis=(1, 2)) / np.where(
        power > 0, power, np.nan
    )
    return amplitude * star.flux


def _wavelengths(line_list):
    import yaml

    with open(line_list, encoding="utf-8") as stream:  # noqa: PTH123
        return [entry["wavelength"] * 1e-4 for entry in yaml.safe_load(stream)["lines"].values()]


def _protection(rest, redshift, velocity=400.0):
    """Channels within `velocity` (km/s) of the target's own lines; None for stars."""
    if redshift is None:
        return None

    def protected(wavelength):
        return np.any(
            [np.abs(wavelength / (line * (1 + redshift)) - 1) < velocity / 299792.458 for line in rest], axis=0
        )

    return protected


def _width(target, options):
    """FWHM of a star's combined image, and of the seeing behind spaxels and drops."""
    grid = Grid(target.header, target.cube.flux.shape[1:])
    image, scale = collapse(target.cube.flux), grid.pixel_scale
    native = options["spaxel"]
    boxes = (native, options["pixfrac"] * native, scale)
    fits_ = {profile: fit_star(image, scale, profile=profile, boxes=boxes) for profile in ("moffat", "gauss")}
    better = min(fits_, key=lambda profile: fits_[profile].residual if fits_[profile].ok else np.inf)
    return {
        "psf_fwhm": fit_star(image, scale, profile=better, boxes=()).fwhm,
        "seeing_moffat": fits_["moffat"].fwhm, "seeing_gauss": fits_["gauss"].fwhm,
    }  # fmt: skip


def _write_calibration(path, calibrated, wavelength, meta):
    rows = []
    if calibrated is not None:
        rows = [
            {"wavelength": float(a), "transmission": float(b), "response": float(c), "factor": float(d)}
            for a, b, c, d in zip(
                wavelength, calibrated.transmission, calibrated.response, calibrated.factor, strict=True
            )
        ]
        meta = meta | {"zero_point": calibrated.zero_point, "hydrogen_nm": dict(calibrated.removed)}
    write_table(path, rows, products.CALIBRATION_COLUMNS, meta)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, reduce_pointing)

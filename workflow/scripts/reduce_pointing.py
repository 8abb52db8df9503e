"""Reduce the exposures of one pointing in one band: sky, alignment, calibration, combination (Sect. 2.2)."""

import logging
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from klever.errors import InputError
from klever.grids import Grid
from klever.reduce import products
from klever.reduce.arms import star_ifus, target_ifus
from klever.reduce.frames import check_wavelengths, read_frame, read_ifu
from klever.reduce.pointing import (
    collapse,
    load_pointing,
    measure_stars,
    reduce_target,
    sky_subtracted,
)
from klever.reduce.quality import draw_quality
from klever.reduce.residualpass import listed_lines, residual_pass
from klever.reduce.sinfoni import read_sinfoni
from klever.reduce.sinfonifield import reduce_field, standard_counts
from klever.reduce.skysub import source_free
from klever.reduce.starfit import fit_star, star_spectrum
from klever.reduce.telluric import calibrate, doubts
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
        pointing, band, instrument (KMOS or SINFONI), galaxies, stars (targets of arms), standard (temperature,
        magnitude), redshifts (by galaxy), reduce (options), figures (dpi).
    """
    simulated = bool(fits.getheader(exposures[0]).get("SIMULATE", False))
    meta = {"pointing": settings["pointing"], "band": settings["band"], "instrument": settings["instrument"],
            "simulated": simulated, "psf_fwhm": None, "calibrated": bool(standard)}  # fmt: skip
    reduce = _reduce_sinfoni if settings["instrument"] == "SINFONI" else _reduce_kmos
    made = reduce(exposures, standard, _wavelengths(line_list), np.loadtxt(sky_lines), settings)
    if made.widths:
        meta["psf_fwhm"] = float(np.mean(made.widths))
    products.write_cubes(cubes, made.targets, meta)
    write_table(stars, made.stars, products.STAR_COLUMNS, meta)
    write_table(sky, made.sky, products.SKY_COLUMNS, meta)
    write_table(noise, made.noise, products.CUBE_COLUMNS, meta)
    _write_calibration(calibration, made.calibration, made.targets[0].wavelength, meta)
    number, count = len({row["exposure"] for row in made.stars}), len(made.targets)
    title = (
        f"{settings['pointing']}, {settings['band']}: {number} exposures, {count} {'IFUs' if count > 1 else 'field'}"
    )
    draw_quality(pdf, png, title, made.stars, made.sky, made.noise, simulated, settings["figures"]["dpi"])


@dataclass
class Reduction:
    """What the reduction of a pointing gives: combined cubes, calibration, rows of the tables, widths of the stars."""

    targets: list
    calibration: object
    stars: list
    sky: list
    noise: list
    widths: list


def _reduce_kmos(exposures, standard, rest, oh_lines, settings):
    """Reduce the arms of KMOS that the settings name."""
    options = settings["reduce"] | {"spaxel": SPAXEL}
    pointing = load_pointing(exposures)
    ifus = star_ifus(pointing, settings["stars"])
    by_name = target_ifus(pointing, [*settings["stars"], *settings["galaxies"]])
    measure_stars(pointing, ifus, options)
    calibrated = None
    if standard:
        calibrated, channels = _kmos_calibration(standard, settings["standard"], settings["band"], options)
        ifu = next(iter(by_name.values()))
        path = next(frame.path for frame in pointing.objects if ifu in frame.kinds)
        check_wavelengths(standard[0], channels, path, read_ifu(path, ifu)[2])
    factor = None if calibrated is None else calibrated.factor
    targets, rows, widths = [], [], []
    for name, ifu in by_name.items():
        protected = _protection(rest, settings["redshifts"].get(name))
        target = reduce_target(pointing, ifu, factor, options, protected)
        psf = None
        if name in settings["stars"]:
            psf = _width(target, options)
            widths += [psf["psf_fwhm"]] if np.isfinite(psf["psf_fwhm"]) else []
        elif options["residual_pass"]:
            _second_pass(target, oh_lines, protected)
        rows.append(products.cube_row(target, psf))
        targets.append(target)
    return Reduction(targets, calibrated, products.star_rows(pointing), products.sky_rows(pointing.sky), rows, widths)


def _reduce_sinfoni(exposures, standard, rest, oh_lines, settings):
    """Reduce the one target of SINFONI."""
    options, (name,) = settings["reduce"], settings["galaxies"]
    calibrated = None
    if standard:
        wavelength, counts, misfit = standard_counts(standard, options)
        check_wavelengths(standard[0], wavelength, exposures[0], read_sinfoni(exposures[0]).wavelength)
        calibrated = _calibrated(wavelength, counts, settings["standard"], settings["band"], misfit)
    protected = _protection(rest, settings["redshifts"].get(name))
    factor = None if calibrated is None else calibrated.factor
    target, stars, sky, noise = reduce_field(exposures, name, factor, options, protected)
    if options["residual_pass"]:
        _second_pass(target, oh_lines, protected)
    return Reduction([target], calibrated, stars, products.sky_rows(sky), [products.cube_row(target) | noise], [])


def _second_pass(target, oh_lines, protected):
    """Take off what is left of the sky in the combined cube, in place."""
    lines = listed_lines(target.wavelength, oh_lines)
    target.cube.flux, target.cube.error, _ = residual_pass(
        target.cube.flux, target.cube.error, lines, source_free(target.cube.flux),
        None if protected is None else protected(target.wavelength),
    )  # fmt: skip


def _kmos_calibration(paths, standard, band, options):
    """Calibration by the standard star, which is where it is brightest among the IFUs on an object; its channels."""
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
            spectra.append((star.flux, wavelength, star_spectrum(fit.flux, image, star), star.residual))
    if not spectra:
        raise InputError(
            f"no IFU of {read_frame(paths[0]).path} shows the standard star; correct the pointing's entry."
        )
    _, wavelength, counts, misfit = max(spectra, key=lambda item: item[0])
    return _calibrated(wavelength, counts, standard, band, misfit), wavelength


def _calibrated(wavelength, counts, standard, band, misfit):
    """Derive the calibration and say what it is, and what speaks against it."""
    result = calibrate(wavelength, counts, standard["temperature"], standard["magnitude"], band)
    logger.info("standard: zero point %.3f, hydrogen lines removed: %s", result.zero_point,
                ", ".join(f"{name} {width:.2f} nm" for name, width in result.removed) or "none")  # fmt: skip
    result.doubts = doubts(result, standard["temperature"], misfit)
    for text in result.doubts:
        logger.warning("standard: %s", text)
    return result


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
        meta = meta | {
            "zero_point": calibrated.zero_point,
            "hydrogen_nm": dict(calibrated.removed),
            "doubts": "; ".join(calibrated.doubts) or "none",
        }
    write_table(path, rows, products.CALIBRATION_COLUMNS, meta)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, reduce_pointing)

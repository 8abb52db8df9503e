"""Reconstruct a galaxy in the source plane (Curti et al. 2020, Sect. 3.2.3)."""

import logging

import numpy as np

from klever.align.bandmaps import choose_bands, read_bands, transform, valid_pixels
from klever.correlated_errors import CorrelatedErrors
from klever.cosmology import kpc_per_arcsec
from klever.errors import ConfigError, InputError
from klever.grids import Grid, offsets_to_sky
from klever.maps import Flag, Map, MapSet
from klever.operators import apply, load_operators, save_operators
from klever.source.delensing import delens
from klever.source.intrinsic_magnification import seeing_factor
from klever.source.magnification import flux_ratio
from klever.source.source_images import find_images
from klever.source.source_psf import Ellipse, image_psf_fwhm, jacobian_ellipse, psf_map, traced_ellipse
from klever.source.source_tables import write_images, write_psf, write_psf_map
from klever.source.sourceplane import Reference, multiplicity, reference_pixel

logger = logging.getLogger(__name__)

# The line whose flux weights the kinematics of a group, and the order in which lines mark the galaxy.
GROUP_LINES = {"HALPHA": "HALPHA", "OIII": "OIII5007", "OII": "OII", "SIII": "SIII9531"}
REFERENCE_LINES = ["HALPHA", "OIII5007", "OII", "HBETA", "SIII9531"]
MAGNIFICATION_LINES = ["HALPHA", "OIII5007"]


def reconstruct_source(
    aligned, operators, linemaps, lens, source, source_operator, source_psf, source_psf_map, source_images, settings
):
    """De-lens every map of a galaxy, with errors, and measure the shape of the PSF there.

    Parameters
    ----------
    aligned, operators : path
        Products of the align step.
    linemaps : list of path
        In the order of ``settings["bands"]``; the noise is propagated from their spaxels.
    lens : path
        Product of the lens step.
    source : path
        Output MapSet: every line (surface brightness), VELOCITY_*, DISPERSION_* (flux-weighted means),
        CONTINUUM_<BAND>, the HST image, MULTIPLICITY (images of a source pixel), COVERAGE (image pixels in it); with
        ``images: separate`` also <LINE>_IMAGE<n> of the brightest lines for each image of the galaxy.
        Header: PIXSCALE, KPC_ARC, XC, YC (0-based pixel of the mapped catalogue position), XREF, YREF (of the mapped
        reference, the centre of the grid), IMGX, IMGY (reference pixel of the aligned grid), REFMAP (where it is from),
        METHOD, NIMAGES, IMAGES ('joint' or the number of the image that the maps are made of),
        FLUXLINE, FLUX_IMG, FLUX_SRC with errors E_IMG, E_SRC and covariance C_IMGSRC (significant pixels, for the
        magnification), F_SEEING, E_SEEING (factor that undoes what the seeing does to it, and its error), STATE: 'ok',
        'unlensed', 'outside_lens_model', 'no_line_in_band'.
    source_operator : path
        Output ``.npz``: W (aligned grid to source grid), M_<band> (spaxels to source grid) and the array `images`, the
        number of the image each aligned pixel belongs to (0: none).
    source_psf, source_psf_map, source_images : path
        Output tables, see `klever.source.source_tables`: the PSF at the galaxy's centre and over the field; the images
        of the galaxy with their fluxes in both planes.
    settings : dict
        galaxy, z, ra, dec, bands, psf_fwhm (arcsec by band), cosmology, source (pixel_scale, subpixels, method,
        images, image, halpha_snr, psf_includes_smoothing), lines (smoothing_fwhm).
    """
    origin, options = (settings["ra"], settings["dec"]), settings["source"]
    bands = read_bands(linemaps, settings["bands"], origin)
    maps, model = MapSet.read(aligned), MapSet.read(lens)
    resampling, _ = load_operators(operators)
    alpha = model["ALPHA_X"].value, model["ALPHA_Y"].value
    field = Grid(maps.header, alpha[0].shape, origin, name=str(aligned))
    _check(bands, resampling, field, operators)
    offsets = field.pixel_offsets()

    usable = np.isfinite(alpha[0]) & np.isfinite(alpha[1])
    catalogue = [float(v[0]) for v in field.pixels(np.zeros(1), np.zeros(1))]
    reference = reference_pixel(maps, REFERENCE_LINES, usable, catalogue)
    at = reference.y, reference.x
    centre = [float(np.nan_to_num(p[at] - a[at])) for p, a in zip(offsets, alpha, strict=True)]
    images = find_images(alpha, offsets, at[::-1], *_line_that_marks(maps, options["halpha_snr"]))
    chosen = _chosen_image(images, options)
    if chosen is not None:
        reference = Reference(chosen.x, chosen.y, reference.name)
    plane = delens(alpha, offsets, centre, options, None if chosen is None else chosen.pixels)

    composite = {band.name: (plane.operator @ resampling[band.name]).tocsr() for band in bands}
    multiple = multiplicity(plane.operator, usable.shape[1])
    header = _header(settings, maps, model, plane.grid, reference, usable, alpha, catalogue)
    header["METHOD"] = (options["method"], "how image pixels are averaged")
    header["NIMAGES"] = (len(images), "images of the galaxy in the field")
    header["IMAGES"] = ("joint" if chosen is None else str(chosen.number), "images that the maps are made of")
    product = MapSet(header)
    _reconstruct(product, bands, composite, plane, maps)
    inverse_mu = np.nan_to_num(1.0 / np.abs(model["MU"].value))
    fluxes = _FluxRatios(header["STATE"], bands, maps, resampling, field, inverse_mu, options)
    pixels = None if chosen is None else chosen.pixels
    line, ratio = fluxes.measure(plane, pixels)
    if ratio is not None:
        _write_ratio(header, line, ratio, fluxes.seeing(line, alpha, centre, settings, pixels))
    rows = []
    for item in images:
        own_line, one = line, ratio
        if len(images) > 1:
            alone = delens(alpha, offsets, centre, options, item.pixels, plane.grid)
            own_line, one = fluxes.measure(alone, item.pixels)
            if chosen is not None:
                _reconstruct_image(product, item.number, bands, alone, resampling)
        rows.append(_image_row(item, field, model, own_line, one))
    _mark_holes(product, plane, multiple, Flag.HOLE if usable.any() else Flag.OUTSIDE_LENS)

    fwhm, kpc = _image_fwhm(bands, settings), header["KPC_ARC"]
    traced = jacobian = Ellipse()
    points = []
    if header["STATE"] != "outside_lens_model":
        jacobian = jacobian_ellipse(*alpha, reference.x, reference.y, field.pixel_scale, fwhm)
        position = [offset[reference.y, reference.x] for offset in offsets]
        traced = traced_ellipse(plane.operator, offsets, plane.grid.offsets(), position, fwhm, jacobian)
        points = psf_map(plane.operator, alpha, offsets, plane.grid.offsets(), field.pixel_scale, fwhm)

    product.write(source)
    labels = sum((item.number * item.pixels.astype(np.int16) for item in images), np.zeros(usable.shape, np.int16))
    operators_out = {"W": plane.operator, **{f"M_{name}": matrix for name, matrix in composite.items()}}
    save_operators(source_operator, operators_out, images=labels)
    write_psf(source_psf, settings["galaxy"], header["STATE"], traced, jacobian, fwhm, kpc)
    write_psf_map(source_psf_map, settings["galaxy"], points, plane.grid, kpc)
    write_images(source_images, settings["galaxy"], rows, None if chosen is None else chosen.number)


def _line_that_marks(maps, snr):
    """Return flux and significant pixels of the first line that has an aligned map, or nothing."""
    for name in MAGNIFICATION_LINES:
        if name in maps and maps[name].error is not None:
            product = maps[name]
            flux = np.where(valid_pixels(product), product.value, 0.0)
            return flux, flux > snr * np.where(product.error > 0, product.error, np.inf)
    return ()


def _chosen_image(images, options):
    """Return the image that the maps are made of; None if they are made of all together."""
    if options["images"] == "joint" or not images:
        return None
    if not 1 <= options["image"] <= len(images):
        found = "one image" if len(images) == 1 else f"{len(images)} images"
        raise ConfigError(
            f"source.image: {options['image']}, but the lens makes {found} of the galaxy in the field of its cubes; "
            "source_images.ecsv of a run with images: joint lists them."
        )
    return images[options["image"] - 1]


def _check(bands, resampling, grid, path):
    for band in bands:
        expected = (grid.shape[0] * grid.shape[1], band.grid.shape[0] * band.grid.shape[1])
        if band.name not in resampling or resampling[band.name].shape != expected:
            raise InputError(f"{path} does not fit the line maps of band {band.name}; run the align step again.")


def _reconstruct(product, bands, composite, plane, image):
    shape = plane.grid.shape
    errors = {band.name: CorrelatedErrors(composite[band.name], band.correlation) for band in bands}
    for name, band in choose_bands(bands).items():
        if name in band.names("flux"):
            options = {"factor": 1.0 / band.grid.pixel_area, "unit": image[name].unit if name in image else None}
        else:
            options = {}
            weight = GROUP_LINES.get(name.split("_")[-1], "")
            if weight in band.maps:
                line = band.maps[weight]
                options["weight"] = np.where(valid_pixels(line), line.value, 0.0)
        product[name] = transform(composite[band.name], band.maps[name], errors[band.name], shape, **options)
    for band in bands:
        if "CONTINUUM" in band.maps:
            name = f"CONTINUUM_{band.name}"
            product[name] = transform(
                composite[band.name], band.maps["CONTINUUM"], errors[band.name], shape,
                factor=1.0 / band.grid.pixel_area, unit=image[name].unit if name in image else None,
            )  # fmt: skip
    for name in image.names():  # the HST image, which is on no spaxels
        if name not in product and not name.startswith("CONTINUUM_"):
            value, _ = apply(plane.operator, image[name].value, valid_pixels(image[name]))
            flags = np.where(np.isfinite(value), 0, int(Flag.NO_DATA)).astype(np.uint16)
            product[name] = Map(value.reshape(shape), None, flags.reshape(shape), image[name].unit)


def _reconstruct_image(product, number, bands, plane, resampling):
    """Add the brightest lines as one image of the galaxy alone shows them."""
    for name, band in choose_bands(bands).items():
        if name in REFERENCE_LINES:
            operator = (plane.operator @ resampling[band.name]).tocsr()
            product[f"{name}_IMAGE{number}"] = transform(
                operator, band.maps[name], band.correlation, plane.grid.shape, factor=1.0 / band.grid.pixel_area,
                unit=product[name].unit, empty=Flag.HOLE,
            )  # fmt: skip


def _mark_holes(product, plane, multiple, flag):
    hole = (plane.coverage == 0).reshape(plane.grid.shape)
    for name in product.names():
        if "_IMAGE" not in name:
            product[name].flags[hole] = int(flag)
    flags = np.where(hole, int(flag), 0).astype(np.uint16)
    product["MULTIPLICITY"] = Map(multiple.reshape(hole.shape).astype(float), None, flags)
    product["COVERAGE"] = Map(plane.coverage.reshape(hole.shape), None, flags)


def _header(settings, image, model, grid, reference, usable, alpha, catalogue):
    header = grid.header(settings["ra"], settings["dec"])
    header["GALAXY"] = settings["galaxy"]
    header["Z"] = float(settings["z"])
    for key in ("LENS", "ORIGIN", "Z_LENS", "DLSDS"):
        if key in model.header:
            header[key] = model.header[key]
    state = model.header.get("STATE", "ok")
    if not usable.any():
        state = "outside_lens_model"
    elif image.header.get("STATE", "ok") != "ok":
        state = image.header["STATE"]
    header["STATE"] = state
    header["PIXSCALE"] = (grid.scale, "arcsec")
    header["KPC_ARC"] = (round(kpc_per_arcsec(settings["z"], settings["cosmology"]), 8), "kpc per arcsec")
    xref, yref = (grid.shape[1] - 1) / 2, (grid.shape[0] - 1) / 2
    header["XREF"], header["YREF"] = (xref, "0-based, mapped reference"), yref
    x, y = (round(v) for v in catalogue)
    header["XC"], header["YC"] = (xref, "0-based, mapped catalogue position"), yref
    if 0 <= x < usable.shape[1] and 0 <= y < usable.shape[0] and usable[y, x]:
        header["XC"], header["YC"] = (float(v) for v in grid.pixels(-alpha[0][y, x], -alpha[1][y, x]))
    header["IMGX"], header["IMGY"] = (reference.x, "0-based reference pixel, aligned maps"), reference.y
    header["REFMAP"] = (reference.name, "map whose peak is the reference")
    return header


class _FluxRatios:
    """Fluxes of the line that measures the magnification, before and after the reconstruction."""

    def __init__(self, state, bands, maps, resampling, field, inverse_mu, options):
        self.chosen = choose_bands(bands) if state != "outside_lens_model" else {}
        self.maps, self.resampling, self.field, self.inverse_mu = maps, resampling, field, inverse_mu
        self.options = options

    def measure(self, plane, pixels=None):
        """Return the line and its FluxRatio in the given image pixels; ("none", None) if no line is significant."""
        areas = self.field.pixel_area, plane.grid.scale**2
        for line in MAGNIFICATION_LINES:
            if line not in self.maps or line not in self.chosen:
                continue
            band, product = self.chosen[line], self.maps[line]
            aligned = self._value(line, pixels), product.error, self.options["halpha_snr"]
            ratio = flux_ratio(line, band, self.resampling[band.name], plane, areas, aligned, self.inverse_mu)
            if ratio is not None:
                return line, ratio
        return "none", None

    def seeing(self, line, alpha, centre, settings, pixels=None):
        """Return the factor that undoes the seeing in the ratio of this line's fluxes."""
        band, value = self.chosen[line], self._value(line)
        with np.errstate(invalid="ignore", divide="ignore"):
            significant = value / self.maps[line].error > self.options["halpha_snr"]
        lens = alpha, self.field.pixel_offsets(), self.inverse_mu, self.field.pixel_scale
        seeing = float(band.maps.header.get("PSFFWHM", settings["psf_fwhm"][band.name]))
        smoothing = settings["lines"]["smoothing_fwhm"] if settings["lines"]["binning"] == "none" else 0.0
        return seeing_factor(value, significant, lens, centre, self.options, np.hypot(seeing, smoothing), pixels)

    def _value(self, line, pixels=None):
        valid = valid_pixels(self.maps[line])
        return np.where(valid if pixels is None else valid & pixels, self.maps[line].value, np.nan)


def _write_ratio(header, line, ratio, seeing):
    header["FLUXLINE"] = (line, "line of the fluxes below")
    header["FLUX_IMG"], header["E_IMG"] = (ratio.image, "erg s-1 cm-2, image plane"), ratio.image_error
    header["FLUX_SRC"], header["E_SRC"] = (ratio.source, "the same in the source plane"), ratio.source_error
    header["C_IMGSRC"] = (ratio.covariance, "covariance of both")
    header["F_SEEING"] = (round(seeing.value, 6), "undoes the seeing in FLUX_IMG / FLUX_SRC")
    header["E_SEEING"] = (round(seeing.error, 6), "1 sigma")


def _image_row(item, field, model, line, ratio):
    west, north = (float(v) for v in field.offsets(np.array(float(item.x)), np.array(float(item.y))))
    ra, dec = (float(v) for v in offsets_to_sky(west, north, *field.origin))
    row = {
        "image": item.number, "parity": item.parity, "whole": item.whole, "ra": ra, "dec": dec, "image_x": item.x,
        "image_y": item.y, "mu": float(model["MU"].value[item.y, item.x]), "line": line,
    }  # fmt: skip
    if ratio is not None:
        row |= {"flux": ratio.image, "flux_error": ratio.image_error}
        row |= {"source_flux": ratio.source, "source_flux_error": ratio.source_error}
    return row


def _image_fwhm(bands, settings):
    smoothed = settings["source"]["psf_includes_smoothing"] and settings["lines"]["binning"] == "none"
    smoothing = settings["lines"]["smoothing_fwhm"] if smoothed else 0.0
    seeing = {band.name: float(band.maps.header.get("PSFFWHM", settings["psf_fwhm"][band.name])) for band in bands}
    return image_psf_fwhm(seeing, smoothing)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, reconstruct_source)

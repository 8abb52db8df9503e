"""Reconstruct a galaxy in the source plane (Curti et al. 2020, Sect. 3.2.3)."""

import logging

import numpy as np

from klever.bandmaps import choose_bands, read_bands, transform, valid_pixels
from klever.cosmology import kpc_per_arcsec
from klever.errors import InputError
from klever.grids import Grid
from klever.magnification import flux_ratio
from klever.maps import Flag, Map, MapSet
from klever.operators import apply, load_operators, save_operators
from klever.row_tables import Column, write_table
from klever.source_psf import Ellipse, image_psf_fwhm, jacobian_ellipse, traced_ellipse
from klever.sourceplane import averaging_operator, multiplicity, reference_pixel, source_grid, trace

logger = logging.getLogger(__name__)

# The line whose flux weights the kinematics of a group, and the order in which lines mark the galaxy.
GROUP_LINES = {"HALPHA": "HALPHA", "OIII": "OIII5007", "OII": "OII", "SIII": "SIII9531"}
REFERENCE_LINES = ["HALPHA", "OIII5007", "OII", "HBETA", "SIII9531"]
MAGNIFICATION_LINES = ["HALPHA", "OIII5007"]


def reconstruct_source(aligned, operators, linemaps, lens, source, source_operator, source_psf, settings):
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
        CONTINUUM_<BAND>, the HST image, MULTIPLICITY (images of a source pixel), COVERAGE (image pixels in it).
        Header: PIXSCALE, KPC_ARC, XC, YC (0-based pixel of the mapped catalogue position), XREF, YREF (of the mapped
        reference, the centre of the grid), IMGX, IMGY (reference pixel of the aligned grid), REFMAP (where it is from),
        FLUXLINE, FLUX_IMG, FLUX_SRC with errors E_IMG, E_SRC and covariance C_IMGSRC (significant pixels, for the
        magnification), STATE: 'ok', 'unlensed', 'in_front_of_lens', 'outside_lens_model', 'no_line_in_band'.
    source_operator : path
        Output ``.npz``: W (aligned grid to source grid) and M_<band> (spaxels to source grid).
    source_psf : path
        Output table, one row: fwhm_major, fwhm_minor, position_angle, the same in kpc and from the Jacobian; state.
    settings : dict
        galaxy, z, ra, dec, bands, psf_fwhm (arcsec by band), cosmology, source (pixel_scale,
        subpixels, halpha_snr, psf_includes_smoothing), lines (smoothing_fwhm).
    """
    origin = (settings["ra"], settings["dec"])
    bands = read_bands(linemaps, settings["bands"], origin)
    image, model = MapSet.read(aligned), MapSet.read(lens)
    resampling, _ = load_operators(operators)
    alpha = model["ALPHA_X"].value, model["ALPHA_Y"].value
    image_grid = Grid(image.header, alpha[0].shape, origin, name=str(aligned))
    _check(bands, resampling, image_grid, operators)
    west, north = image_grid.pixel_offsets()

    usable = np.isfinite(alpha[0]) & np.isfinite(alpha[1])
    catalogue = [float(v[0]) for v in image_grid.pixels(np.zeros(1), np.zeros(1))]
    reference = reference_pixel(image, REFERENCE_LINES, usable, catalogue)
    at = reference.y, reference.x
    centre = [float(np.nan_to_num(p[at] - a[at])) for p, a in zip((west, north), alpha, strict=True)]
    x, y, pixel = trace(*alpha, west, north, int(settings["source"]["subpixels"]))
    grid = source_grid(x, y, centre, float(settings["source"]["pixel_scale"]))
    averaging, landed = averaging_operator(x, y, pixel, usable.size, grid)
    images = multiplicity(averaging, usable.shape[1])
    composite = {band.name: (averaging @ resampling[band.name]).tocsr() for band in bands}

    header = _header(settings, image, model, grid, reference, usable, alpha, catalogue)
    product = MapSet(header)
    _reconstruct(product, bands, composite, averaging, landed, image, grid.shape)
    empty = Flag.HOLE if usable.any() else Flag.OUTSIDE_LENS
    _mark_holes(product, landed.reshape(grid.shape) == 0, empty)
    hole = np.where(landed == 0, int(empty), 0).astype(np.uint16).reshape(grid.shape)
    per_pixel = int(settings["source"]["subpixels"]) ** 2
    product["MULTIPLICITY"] = Map(images.reshape(grid.shape).astype(float), None, hole)
    product["COVERAGE"] = Map(landed.reshape(grid.shape) / per_pixel, None, hole)

    areas = image_grid.pixel_area, grid.scale**2
    _fluxes(header, bands, image, resampling, averaging, areas, settings["source"]["halpha_snr"], landed, images)
    ellipses = _psf(settings, header["STATE"], averaging, (west, north), grid, alpha, reference, image_grid.pixel_scale)

    product.write(source)
    save_operators(source_operator, {"W": averaging, **{f"M_{name}": matrix for name, matrix in composite.items()}})
    _write_psf(source_psf, settings, header, *ellipses)


def _check(bands, resampling, grid, path):
    for band in bands:
        expected = (grid.shape[0] * grid.shape[1], band.grid.shape[0] * band.grid.shape[1])
        if band.name not in resampling or resampling[band.name].shape != expected:
            raise InputError(f"{path} does not fit the line maps of band {band.name}; run the align step again.")


def _reconstruct(product, bands, composite, averaging, landed, image, shape):
    flux_names = set()
    for name, band in choose_bands(bands).items():
        options = {}
        if name in band.names("flux"):
            options = {"factor": 1.0 / band.grid.pixel_area, "unit": image[name].unit if name in image else None}
            flux_names.add(name)
        else:
            group = name.split("_")[-1]
            weight = GROUP_LINES.get(group, "")
            if weight in band.maps:
                line = band.maps[weight]
                options["weight"] = np.where(valid_pixels(line), line.value, 0.0)
        product[name] = transform(composite[band.name], band.maps[name], band.correlation, shape, **options)
    for band in bands:
        if "CONTINUUM" in band.maps:
            name = f"CONTINUUM_{band.name}"
            product[name] = transform(
                composite[band.name], band.maps["CONTINUUM"], band.correlation, shape,
                factor=1.0 / band.grid.pixel_area, unit=image[name].unit if name in image else None,
            )  # fmt: skip
    for name in image.names():  # the HST image, which is on no spaxels
        if name not in product and not name.startswith("CONTINUUM_"):
            value, _ = apply(averaging, image[name].value, valid_pixels(image[name]))
            flags = np.where(np.isfinite(value), 0, int(Flag.NO_DATA)).astype(np.uint16)
            product[name] = Map(value.reshape(shape), None, flags.reshape(shape), image[name].unit)


def _mark_holes(product, hole, flag):
    for name in product.names():
        product[name].flags[hole] = int(flag)


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


def _fluxes(header, bands, image, resampling, averaging, areas, snr, landed, images):
    chosen = choose_bands(bands)
    for line in MAGNIFICATION_LINES:
        if line not in image or line not in chosen or header["STATE"] == "outside_lens_model":
            continue
        band, product = chosen[line], image[line]
        value = np.where(valid_pixels(product), product.value, np.nan)
        ratio = flux_ratio(
            line, band, resampling[band.name], averaging, areas, (value, product.error, snr), landed, images
        )
        if ratio is None:
            continue
        header["FLUXLINE"] = (line, "line of the fluxes below")
        header["FLUX_IMG"], header["E_IMG"] = (ratio.image, "erg s-1 cm-2, image plane"), ratio.image_error
        header["FLUX_SRC"], header["E_SRC"] = (ratio.source, "the same in the source plane"), ratio.source_error
        header["C_IMGSRC"] = (ratio.covariance, "covariance of both")
        return


def _psf(settings, state, averaging, image_offsets, grid, alpha, reference, scale):
    if state == "outside_lens_model":
        return Ellipse(), Ellipse()
    fwhm = _image_fwhm(settings)
    jacobian = jacobian_ellipse(*alpha, reference.x, reference.y, scale, fwhm)
    position = [offset[reference.y, reference.x] for offset in image_offsets]
    return traced_ellipse(averaging, image_offsets, grid.offsets(), position, fwhm, jacobian), jacobian


PSF_COLUMNS = [
    Column("galaxy", str, "name of the galaxy"),
    Column("fwhm_major", float, "FWHM of the source-plane PSF along its major axis", "arcsec"),
    Column("fwhm_minor", float, "FWHM of the source-plane PSF along its minor axis", "arcsec"),
    Column("fwhm_major_kpc", float, "FWHM of the source-plane PSF along its major axis", "kpc"),
    Column("fwhm_minor_kpc", float, "FWHM of the source-plane PSF along its minor axis", "kpc"),
    Column("position_angle", float, "of the major axis, from north through east", "deg"),
    Column("jacobian_fwhm_major", float, "the same from the Jacobian of the lens at the reference position", "arcsec"),
    Column("jacobian_fwhm_minor", float, "the same from the Jacobian of the lens at the reference position", "arcsec"),
    Column("jacobian_position_angle", float, "the same from the Jacobian", "deg"),
    Column("image_fwhm", float, "FWHM in the image plane, traced to the source plane", "arcsec"),
    Column(
        "state",
        str,
        "ok (traced) | jacobian (too narrow for the pixels to be traced) | not_measured | outside_lens_model",
    ),
]


def _write_psf(path, settings, header, traced, jacobian):
    kpc = header["KPC_ARC"]
    state = "ok" if np.isfinite(traced.fwhm_major) else "not_measured"
    if state == "not_measured" and np.isfinite(jacobian.fwhm_major):
        traced, state = jacobian, "jacobian"
    if header["STATE"] == "outside_lens_model":
        state = "outside_lens_model"
    row = {
        "galaxy": settings["galaxy"],
        "fwhm_major": traced.fwhm_major,
        "fwhm_minor": traced.fwhm_minor,
        "fwhm_major_kpc": traced.fwhm_major * kpc,
        "fwhm_minor_kpc": traced.fwhm_minor * kpc,
        "position_angle": traced.position_angle,
        "jacobian_fwhm_major": jacobian.fwhm_major,
        "jacobian_fwhm_minor": jacobian.fwhm_minor,
        "jacobian_position_angle": jacobian.position_angle,
        "image_fwhm": _image_fwhm(settings),
        "state": state,
    }
    write_table(path, [row], PSF_COLUMNS, {"galaxy": settings["galaxy"]})


def _image_fwhm(settings):
    smoothed = settings["source"]["psf_includes_smoothing"] and settings["lines"]["binning"] == "none"
    smoothing = settings["lines"]["smoothing_fwhm"] if smoothed else 0.0
    return image_psf_fwhm(settings["psf_fwhm"], smoothing)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, reconstruct_source)

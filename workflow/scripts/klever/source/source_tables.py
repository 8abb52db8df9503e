"""Tables of the source plane: the PSF at the galaxy's centre and over its field, and the images of the galaxy."""

import numpy as np

from klever.row_tables import Column, write_table

__all__ = ["write_images", "write_psf", "write_psf_map"]

_ELLIPSE = [
    Column("fwhm_major", float, "FWHM of the source-plane PSF along its major axis", "arcsec"),
    Column("fwhm_minor", float, "FWHM of the source-plane PSF along its minor axis", "arcsec"),
    Column("fwhm_major_kpc", float, "FWHM of the source-plane PSF along its major axis", "kpc"),
    Column("fwhm_minor_kpc", float, "FWHM of the source-plane PSF along its minor axis", "kpc"),
    Column("position_angle", float, "of the major axis, from north through east", "deg"),
    Column("jacobian_fwhm_major", float, "the same from the Jacobian of the lens at this position", "arcsec"),
    Column("jacobian_fwhm_minor", float, "the same from the Jacobian of the lens at this position", "arcsec"),
    Column("jacobian_position_angle", float, "the same from the Jacobian", "deg"),
]
_STATE = "ok (traced) | jacobian (too narrow for the pixels to be traced) | not_measured | outside_lens_model"
PSF_COLUMNS = [
    Column("galaxy", str, "name of the galaxy"),
    *_ELLIPSE,
    Column("image_fwhm", float, "FWHM in the image plane, traced to the source plane", "arcsec"),
    Column("state", str, _STATE),
]
PSF_MAP_COLUMNS = [
    Column("x", float, "0-based pixel of source.fits"),
    Column("y", float, "0-based pixel of source.fits"),
    Column("east", float, "from the galaxy's centre (XREF, YREF of source.fits) in the source plane", "arcsec"),
    Column("north", float, "from the galaxy's centre in the source plane", "arcsec"),
    Column("image_x", int, "0-based pixel of aligned.fits that maps there"),
    Column("image_y", int, "0-based pixel of aligned.fits that maps there"),
    *_ELLIPSE,
    Column("contained", float, "fraction of the light of the point source's image within the field"),
    Column("state", str, "ok (traced) | jacobian (too narrow, or too close to the edge) | not_measured"),
]
IMAGE_COLUMNS = [
    Column("galaxy", str, "name of the galaxy"),
    Column("image", int, "1 holds the reference pixel, the others by decreasing flux"),
    Column("parity", int, "sign of det A: -1 for a mirror image"),
    Column("whole", bool, "the galaxy's centre appears in it"),
    Column("ra", float, "of the pixel that maps closest to the galaxy's centre", "deg"),
    Column("dec", float, "of the same", "deg"),
    Column("image_x", int, "0-based pixel of aligned.fits"),
    Column("image_y", int, "0-based pixel of aligned.fits"),
    Column("mu", float, "1/det A at that pixel, signed"),
    Column("line", str, "line of the fluxes: HALPHA | OIII5007 | none"),
    Column("flux", float, "of the image's significant pixels", "erg s-1 cm-2"),
    Column("flux_error", float, "1 sigma, spaxels correlated", "erg s-1 cm-2"),
    Column("source_flux", float, "the same flux in the source plane, from this image alone", "erg s-1 cm-2"),
    Column("source_flux_error", float, "1 sigma, spaxels correlated", "erg s-1 cm-2"),
    Column("used", bool, "it is in the maps of source.fits"),
]


def write_psf(path, galaxy, state, traced, jacobian, image_fwhm, kpc):
    """Write the PSF at the galaxy's centre, one row.

    Parameters
    ----------
    path : path
    galaxy : str
    state : str
        Of the source-plane maps.
    traced, jacobian : klever.source.source_psf.Ellipse
        The second stands in for the first where that is NaN.
    image_fwhm : float
        Arcsec.
    kpc : float
        kpc per arcsec.
    """
    row = {"galaxy": galaxy, "image_fwhm": image_fwhm, **_ellipse(traced, jacobian, kpc)}
    if state == "outside_lens_model":
        row["state"] = state
    write_table(path, [row], PSF_COLUMNS, {"galaxy": galaxy})


def write_psf_map(path, galaxy, points, grid, kpc):
    """Write the PSF over the field.

    Parameters
    ----------
    path : path
    galaxy : str
    points : list of klever.source.source_psf.PsfPoint
    grid : klever.source.sourceplane.SourceGrid
    kpc : float
        kpc per arcsec.
    """
    centre_x, centre_y = (grid.shape[1] - 1) / 2, (grid.shape[0] - 1) / 2
    rows = []
    for point in points:
        x, y = (float(v) for v in grid.pixels(point.west, point.north))
        place = {"x": x, "y": y, "east": -(x - centre_x) * grid.scale, "north": (y - centre_y) * grid.scale}
        place |= {"image_x": point.x, "image_y": point.y, "contained": point.contained}
        rows.append(place | _ellipse(point.traced, point.jacobian, kpc))
    sizes = [row["fwhm_major"] * row["fwhm_minor"] for row in rows if np.isfinite(row["fwhm_major"])]
    meta = {"galaxy": galaxy}
    if sizes:
        low, middle, high = (float(v) for v in np.sqrt(np.percentile(sizes, [16, 50, 84])))
        meta["linear_fwhm"] = {"median": middle, "p16": low, "p84": high, "unit": "arcsec"}
    write_table(path, rows, PSF_MAP_COLUMNS, meta)


def write_images(path, galaxy, rows, chosen):
    """Write the images of the galaxy.

    Parameters
    ----------
    path : path
    galaxy : str
    rows : list of dict
        By `IMAGE_COLUMNS`, without galaxy and used.
    chosen : int or None
        Number of the image that the maps are made of; None for all.
    """
    complete = [{"galaxy": galaxy, **row, "used": chosen in (None, row["image"])} for row in rows]
    write_table(path, complete, IMAGE_COLUMNS, {"galaxy": galaxy, "images": "joint" if chosen is None else "separate"})


def _ellipse(traced, jacobian, kpc):
    state = "ok" if np.isfinite(traced.fwhm_major) else "not_measured"
    used = traced
    if state == "not_measured" and np.isfinite(jacobian.fwhm_major):
        used, state = jacobian, "jacobian"
    return {
        "fwhm_major": used.fwhm_major, "fwhm_minor": used.fwhm_minor, "fwhm_major_kpc": used.fwhm_major * kpc,
        "fwhm_minor_kpc": used.fwhm_minor * kpc, "position_angle": used.position_angle,
        "jacobian_fwhm_major": jacobian.fwhm_major, "jacobian_fwhm_minor": jacobian.fwhm_minor,
        "jacobian_position_angle": jacobian.position_angle, "state": state,
    }  # fmt: skip

"""What the reduction of a pointing leaves on disk: one file of combined cubes, and tables of stars, sky and noise."""

import numpy as np
from astropy.io import fits

from klever.provenance import stamp_header
from klever.row_tables import Column

__all__ = [
    "CALIBRATION_COLUMNS", "CUBE_COLUMNS", "SKY_COLUMNS", "STAR_COLUMNS", "cube_row", "sky_rows", "star_rows",
    "write_cubes",
]  # fmt: skip

STAR_COLUMNS = [
    Column("exposure", int, "number of the exposure on the targets"),
    Column("file", str, "of the exposure"),
    Column("time", float, "since the first exposure", "h"),
    Column("ifu", int, "IFU of the star"),
    Column("detector", int, "1 to 3"),
    Column("west", float, "offset of the star from its mean position by the header's WCS", "arcsec"),
    Column("north", float, "the same to the north", "arcsec"),
    Column("error", float, "1 sigma of each coordinate of the centroid", "arcsec"),
    Column("fwhm", float, "of the seeing, Moffat profile over square spaxels", "arcsec"),
    Column("fwhm_gauss", float, "of the seeing, Gaussian", "arcsec"),
    Column("translation_west", float, "offset of the field's centre in this exposure, applied", "arcsec"),
    Column("translation_north", float, "the same to the north", "arcsec"),
    Column("rotation", float, "of the field in this exposure, west to north", "deg"),
    Column("residual", float, "rms of the stars about translation and rotation", "arcsec"),
    Column("origin", str, "stars | header (no star was found: the WCS is used as it is)"),
]
SKY_COLUMNS = [
    Column("exposure", int, "number of the exposure on the targets"),
    Column("ifu", int, "IFU"),
    Column("group", str, "vibrational band of OH, O2, or last (beyond 2.3 um)"),
    Column("channels", int, "on lines, that were fitted"),
    Column("strength", float, "factor on the sky's lines"),
    Column("strength_error", float, "1 sigma"),
    Column(
        "state", str, "fitted | unchanged (too few lines) | guarded (the fit was worse, or outside 0.3-3: 1 is kept)"
    ),
    Column("before", float, "rms of source-free voxels on lines after plain A-B, over that of photons"),
    Column("after", float, "the same after scaling and stretch"),
    Column("mean_before", float, "rms of their mean spectrum after plain A-B, over that of photons"),
    Column("mean_after", float, "the same after scaling and stretch"),
    Column("over", float, "mean left over on lines, over the mean of the sky's lines; negative is over-subtraction"),
    Column("hits", int, "voxels of the exposure hit by cosmic rays"),
]
CUBE_COLUMNS = [
    Column("target", str, "target of the arm"),
    Column("ifu", int, "IFU"),
    Column("exposures", int, "most exposures in a voxel"),
    Column("exposure_time", float, "longest in the field", "s"),
    Column("clipped", float, "fraction of the values that was clipped"),
    Column("noise_ratio", float, "scatter of the source-free voxels over the propagated error"),
    *[
        Column(f"{kind}_{size}", float, f"{text} of sums over {size} x {size} spaxels")
        for size in (2, 3, 5, 8, 12)
        for kind, text in (
            ("covariance", "measured error over that of independent voxels,"),
            ("predicted", "its prediction,"),
        )
    ],
    Column("gain", float, "of SINFONI, that the errors are made of", "electron adu-1"),
    Column("read_noise", float, "the same", "electron"),
    Column("psf_fwhm", float, "of a star's combined image as it is in the cube", "arcsec"),
    Column("seeing_moffat", float, "of it without spaxels and drops, Moffat", "arcsec"),
    Column("seeing_gauss", float, "the same, Gaussian", "arcsec"),
]
CALIBRATION_COLUMNS = [
    Column("wavelength", float, "vacuum", "um"),
    Column("transmission", float, "of the atmosphere, relative to its clearest channels"),
    Column("response", float, "counts per flux density where the atmosphere is clear", "erg-1 s cm2 um"),
    Column("factor", float, "flux density per count; masked where the atmosphere is opaque", "erg s-1 cm-2 um-1"),
]


def star_rows(pointing):
    """Return rows of `STAR_COLUMNS`; an exposure without a star has one row without centroid."""
    reference = {
        ifu: np.mean([(s.west, s.north) for s in pointing.stars if s.ifu == ifu], axis=0)
        for ifu in {star.ifu for star in pointing.stars}
    }
    rows = []
    for number, (frame, alignment) in enumerate(zip(pointing.objects, pointing.alignments, strict=True)):
        common = {
            "exposure": number, "file": frame.path.rpartition("/")[2],
            "time": 24 * (frame.time - pointing.objects[0].time), "rotation": alignment.rotation,
            "translation_west": alignment.translation[0], "translation_north": alignment.translation[1],
            "residual": alignment.residual, "origin": alignment.origin,
        }  # fmt: skip
        own = [star for star in pointing.stars if star.exposure == number]
        for star in own:
            west, north = np.subtract((star.west, star.north), reference[star.ifu])
            rows.append(common | {"ifu": star.ifu, "detector": (star.ifu - 1) // 8 + 1, "west": west, "north": north,
                                  "error": star.error, "fwhm": star.fwhm, "fwhm_gauss": star.fwhm_gauss})  # fmt: skip
        if not own:
            rows.append(common)
    return rows


def sky_rows(fits_of_sky):
    """Return rows of `SKY_COLUMNS`: residuals over those of photons.

    Parameters
    ----------
    fits_of_sky : list of dict
        exposure, ifu, hits, and what `klever.reduce.skysub.SkySubtraction` has in `groups`.
    """
    rows = []
    for row in fits_of_sky:
        scaled = {name: row[name] / row["expected"] for name in ("before", "after")}
        scaled |= {f"mean_{name}": row[f"mean_{name}"] / row["mean_expected"] for name in ("before", "after")}
        rows.append(row | scaled)
    return rows


def cube_row(target, psf=None):
    """Return the row of `CUBE_COLUMNS` of a target.

    Parameters
    ----------
    target : klever.reduce.pointing.Target
    psf : dict, optional
        Of a star: psf_fwhm, seeing_moffat, seeing_gauss (arcsec).
    """
    factors = {f"covariance_{size}": value for size, value in target.covariance.items() if size > 1}
    factors |= {f"predicted_{size}": value for size, value in target.predicted.items() if size > 1}
    return factors | (psf or {}) | {
        "target": target.name, "ifu": target.ifu, "exposures": int(target.cube.exposures.max()),
        "exposure_time": float(target.cube.exposure_map.max()), "clipped": target.cube.clipped,
        "noise_ratio": target.noise_ratio,
    }  # fmt: skip


def write_cubes(path, targets, meta):
    """Write combined cubes as the KMOS pipeline does: ``<target>.DATA``, ``<target>.NOISE``, and ``<target>.EXPMAP``.

    Parameters
    ----------
    path : path
    targets : list of klever.reduce.pointing.Target
    meta : dict
        band, instrument, psf_fwhm (arcsec, None if no star was measured), calibrated (bool), simulated (bool),
        pointing.
    """
    primary = fits.PrimaryHDU()
    header = primary.header
    header["INSTRUME"] = meta["instrument"]
    header["OBJECT"] = meta["pointing"]
    header["HIERARCH ESO PRO CATG"] = "SCI_COMBINED"
    header["HIERARCH ESO INS FILT1 ID"] = meta["band"]
    if meta["psf_fwhm"] is not None:
        header["PSFFWHM"] = (meta["psf_fwhm"], "[arcsec] of the stars' combined images")
    if meta["simulated"]:
        header["SIMULATE"] = (True, "simulated data, not an observation")
    stamp_header(header)
    hdus = [primary]
    for target in targets:
        wcs = _wcs(target)
        for kind, values in (("DATA", target.cube.flux), ("NOISE", target.cube.error)):
            hdu = fits.ImageHDU(values.astype(np.float32), name=f"{target.name}.{kind}")
            hdu.header.update(wcs)
            hdu.header["BUNIT"] = ("erg s-1 cm-2 um-1" if meta["calibrated"] else "adu", "per spaxel")
            hdus.append(hdu)
        image = fits.ImageHDU(target.cube.exposure_map.astype(np.float32), name=f"{target.name}.EXPMAP")
        image.header["BUNIT"] = "s"
        hdus.append(image)
    fits.HDUList(hdus).writeto(path, overwrite=True)


def _wcs(target):
    header = target.header.copy()
    step = float(np.mean(np.diff(target.wavelength)))
    header["WCSAXES"] = 3
    for key, value in {
        "CTYPE3": "WAVE", "CUNIT3": "um", "CRPIX3": 1.0, "CRVAL3": float(target.wavelength[0]), "CDELT3": step,
        "SPECSYS": "TOPOCENT",
    }.items():  # fmt: skip
        header[key] = value
    return header

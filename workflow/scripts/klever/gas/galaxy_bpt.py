"""Whether a galaxy, or a part of it, is ionised by more than young stars (Curti et al. 2020, Sect. 3.4.1)."""

import numpy as np

from klever.gas.bpt import correlation, offsets
from klever.maps import Flag, Map, masked
from klever.row_tables import Column

__all__ = ["COLUMNS", "offset_maps", "offset_trends", "overall_class"]

_TRENDS = tuple(
    column
    for ratio in ("n2", "s2")
    for column in (
        Column(f"{ratio}_pixels", int, f"source-plane pixels in the {ratio.upper()} diagram"),
        Column(f"{ratio}_pixels_above", int, "of them above the line of Kewley et al. (2001)"),
        Column(f"{ratio}_above_significant", int, "of them by more than 2 sigma"),
        Column(f"{ratio}_radius_rho", float, "Spearman coefficient of the offset with radius"),
        Column(f"{ratio}_radius_p", float, "its p-value, two-sided, for the number of independent elements"),
        Column(f"{ratio}_dispersion_rho", float, "the same with velocity dispersion"),
        Column(f"{ratio}_dispersion_p", float, "its p-value"),
    )
)

COLUMNS = [
    Column("galaxy", str, "name in galaxies.tsv"),
    Column("lens", str, "lens"),
    Column("z", float, "catalogue redshift"),
    *(
        column
        for name in ("R3", "N2", "S2")
        for column in (
            Column(name, float, "log10 ratio of the pseudo-fibre, or its limit", "dex"),
            Column(f"{name}_error", float, "1 sigma", "dex"),
            Column(f"{name}_kind", str, "measured | upper | lower"),
        )
    ),
    Column("n2_class", str, "star_forming | composite | agn | unknown"),
    Column("n2_offset", float, "distance from the line of Kewley et al. (2001), positive above it", "dex"),
    Column("n2_offset_error", float, "1 sigma", "dex"),
    Column("s2_class", str, "star_forming | agn | unknown"),
    Column("s2_offset", float, "distance from the line of Kewley et al. (2001), positive above it", "dex"),
    Column("s2_offset_error", float, "1 sigma", "dex"),
    *_TRENDS,
    Column("stacked_spaxels", int, "image-plane spaxels above the line in either diagram, stacked"),
    Column("heii_state", str, "He II 4686 in the stack: detected | not_detected | not_covered | no_spaxels"),
    Column("heii_flux", float, "in the stack", "erg s-1 cm-2"),
    Column("heii_error", float, "1 sigma", "erg s-1 cm-2"),
    Column("heii_hbeta", float, "He II over Hbeta in the stack, or the 3 sigma limit of it"),
    Column("broad_state", str, "broad Halpha in the pseudo-fibre: broad | narrow | not_tested"),
    Column("broad_delta_ln_evidence", float, "ln Z with the broad component minus without"),
    Column("broad_fwhm", float, "of the broad component", "km s-1"),
    Column("broad_fwhm_error", float, "1 sigma", "km s-1"),
    Column("broad_fraction", float, "of the flux of Halpha"),
    Column("agn", str, "type1 (broad line) | line_ratios (above the N2 line by more than 2 sigma) | no | unknown"),
]


def offset_maps(ratios, curves):
    """Return maps of the distance from the lines of Kewley et al. (2001).

    Parameters
    ----------
    ratios : dict of str to pair of ndarray, shape (ny, nx)
        R3, N2 and S2 with errors, NaN below the thresholds.
    curves : dict of str to klever.gas.bpt.Curve

    Returns
    -------
    dict of str to Map
        N2_OFFSET and S2_OFFSET, dex, positive above the line.
    """
    product = {}
    for name in ("N2", "S2"):
        (x, x_error), (y, y_error) = ratios[name], ratios["R3"]
        value, error = offsets(x.ravel(), y.ravel(), x_error.ravel(), y_error.ravel(), curves[f"Kewley01_{name}"])
        flags = np.where(np.isfinite(value), 0, int(Flag.NOT_DETECTED)).astype(np.uint16)
        product[f"{name}_OFFSET"] = Map(*(item.reshape(x.shape) for item in (value, error, flags)), "dex")
    return product


def offset_trends(maps, source, beam_pixels):
    """Return how the offsets go with radius and velocity dispersion.

    Parameters
    ----------
    maps : dict of str to Map
        From `offset_maps`.
    source : MapSet
        Source-plane maps; DISPERSION_HALPHA, and XREF and YREF in the header.
    beam_pixels : float
        Area of the source-plane PSF, pixels; NaN if unknown, when no significance is given.
    """
    row = {}
    dispersion = masked(source, "DISPERSION_HALPHA")[0] if "DISPERSION_HALPHA" in source else None
    for name in ("n2", "s2"):
        item = maps[f"{name.upper()}_OFFSET"]
        known, above = np.isfinite(item.value), item.value > 0
        row |= {
            f"{name}_pixels": int(known.sum()), f"{name}_pixels_above": int(above.sum()),
            f"{name}_above_significant": int(np.sum(item.value > 2 * item.error)),
        }  # fmt: skip
        independent = known.sum() / beam_pixels if beam_pixels > 0 else 0.0
        y, x = np.indices(item.value.shape)
        centre = [float(source.header.get(key, np.nan)) for key in ("XREF", "YREF")]
        for key, other in (("radius", np.hypot(x - centre[0], y - centre[1])), ("dispersion", dispersion)):
            found = (np.nan, np.nan) if other is None else correlation(item.value.ravel(), other.ravel(), independent)
            row |= dict(zip((f"{name}_{key}_rho", f"{name}_{key}_p"), found, strict=True))
    return row


def overall_class(row):
    """Return the column ``agn`` from the others."""
    if row["broad_state"] == "broad":
        return "type1"
    if np.isfinite(row["n2_offset"]):
        return "line_ratios" if row["n2_offset"] > 2 * row["n2_offset_error"] else "no"
    return {"star_forming": "no", "agn": "line_ratios"}.get(row["n2_class"], "unknown")

"""Tables of the metallicity gradients with their published values beside (Curti et al. 2020, Tables 4 and A1)."""

import numpy as np

from klever.publish.latex import escape, latex_table, measurement, ratio_names
from klever.publish.published import read_published

__all__ = ["gradient_rows", "gradient_table", "gradient_table_latex", "published_gradients"]

_CLASSES = {"resolved": "Yes", "marginal": "Marg"}

# Columns that the paper does not print, with title and unit (dex per kpc by default).
_EXTRA = {"slope_paper": ("Paper's recipe", None), "slope_intrinsic": ("PSF removed", None)}

# Name of a galaxy (and region) of ours in the published tables, where it differs.
_PUBLISHED_NAMES = {("horseshoe_west", "all"): "horseshoe"}

_COLUMNS = {
    "galaxy": ("U", None, "galaxy, as in galaxies.tsv"),
    "name": ("U", None, "name as printed"),
    "region": ("U", None, "part of the system, all for the whole"),
    "lens": ("U", None, "lens"),
    "slope": ("f8", "dex kpc-1", "radial gradient of 12+log(O/H)"),
    "slope_error": ("f8", "dex kpc-1", "1 sigma"),
    "errors": ("U", None, "of slope: covariance (correlated noise, calibration) or paper (scatter and pixel errors)"),
    "method": ("U", None, "of slope: pixels (mean abundances) or fluxes (abundances of mean fluxes)"),
    "slope_paper": ("f8", "dex kpc-1", "by the paper's recipe: mean abundances, independent annuli"),
    "slope_paper_error": ("f8", "dex kpc-1", "1 sigma, from scatter and pixel errors"),
    "slope_fluxes": ("f8", "dex kpc-1", "of the abundances of mean fluxes"),
    "slope_fluxes_error": ("f8", "dex kpc-1", "1 sigma, with covariance"),
    "slope_intrinsic": ("f8", "dex kpc-1", "with the flattening by the PSF removed"),
    "slope_intrinsic_error": ("f8", "dex kpc-1", "1 sigma, with covariance"),
    "r_e_kpc": ("f8", "kpc", "half-light radius of the line emission, free of the PSF"),
    "slope_per_re": ("f8", "dex", "slope times r_e"),
    "slope_per_re_error": ("f8", "dex", "1 sigma"),
    "slope_calibrations": ("f8", "dex kpc-1", "half the range over sets of calibrations"),
    "slope_centre": ("f8", "dex kpc-1", "change with the other centre"),
    "slope_aperture": ("f8", "dex kpc-1", "elliptical minus circular"),
    "slope_lens": ("f8", "dex kpc-1", "spread over realisations of the lens model"),
    "slope_lens_models": ("f8", "dex kpc-1", "spread over other lens models"),
    "resolved": ("U", None, "resolved: reaches 2 PSF HWHM; marginal: 1 to 2 (Sect. 4.2)"),
    "psf_fwhm_major_kpc": ("f8", "kpc", "major axis of the source-plane PSF"),
    "psf_fwhm_minor_kpc": ("f8", "kpc", "minor axis of the source-plane PSF"),
    "diagnostics": ("U", None, "line ratios of the metallicity map"),
    "diagnostics_reason": ("U", None, "preferred (R3, N2 and O3O2) | configured | why one of these is not used"),
    "published_slope": ("f8", "dex kpc-1", "slope of Curti et al. (2020); masked where they give none"),
    "published_slope_error": ("f8", "dex kpc-1", "1 sigma of Curti et al. (2020)"),
}


def published_gradients(path):
    """Return slope and error of a published table by its ids.

    Parameters
    ----------
    path : path-like
        CSV with the columns ``id``, ``gradient_dex_per_kpc`` and ``gradient_err_dex_per_kpc``.

    Returns
    -------
    dict of str to (float, float)
        In dex/kpc.

    Raises
    ------
    InputError
        A column is missing or a number cannot be read.
    """
    return dict(
        read_published(
            path, "a table of published gradients", "id, gradient_dex_per_kpc and gradient_err_dex_per_kpc",
            lambda row: (row["id"], (float(row["gradient_dex_per_kpc"]), float(row["gradient_err_dex_per_kpc"]))),
        )
    )  # fmt: skip


def gradient_rows(tables, aperture, galaxies):
    """Sort the gradients of one aperture into those to print and those that are not.

    Parameters
    ----------
    tables : dict of str to astropy.table.Table
        ``gradient.ecsv`` of each galaxy.
    aperture : {'elliptical', 'circular'}
        Which rows.
    galaxies : list of dict
        ``galaxy``, ``name`` and ``lens`` in the order to print.

    Returns
    -------
    rows : list of dict
        One per gradient with state ok that is at least marginally resolved.
    without : list of dict
        ``galaxy``, ``region`` and ``state`` of all the others.
    """
    rows, without = [], []
    for entry in galaxies:
        table = tables.get(entry["galaxy"])
        selected = [] if table is None else [row for row in table if str(row["aperture"]) == aperture]
        if not selected:
            without.append({"galaxy": entry["galaxy"], "region": "all", "state": "no_gradient_table"})
        for row in selected:
            region, state, resolved = (str(row[key]) for key in ("region", "state", "resolved"))
            if state == "ok" and resolved in _CLASSES:
                rows.append(_row(entry, region, row))
            else:
                state = "unresolved" if state == "ok" else state
                without.append({"galaxy": entry["galaxy"], "region": region, "state": state})
    return rows, without


def _row(entry, region, row):
    name = entry["name"] if region == "all" else f"{entry['name']} ({region.capitalize()})"
    numbers = [key for key, (kind, *_) in _COLUMNS.items() if kind == "f8" and not key.startswith("published_")]
    return {
        "galaxy": entry["galaxy"],
        "name": name,
        "region": region,
        "lens": entry["lens"],
        "resolved": str(row["resolved"]),
        "diagnostics": str(row["diagnostics"]),
        **{key: str(row[key]) if key in row.colnames else "" for key in ("errors", "method", "diagnostics_reason")},
        **{key: float(np.ma.filled(row[key], np.nan)) if key in row.colnames else np.nan for key in numbers},
    }


def gradient_table(rows, without, published, aperture, simulated):
    """Return the rows as a table with units, descriptions and the published values beside.

    Parameters
    ----------
    rows, without : list of dict
        From `gradient_rows`.
    published : dict
        From `published_gradients`.
    aperture : {'elliptical', 'circular'}
        Elliptical: Table 4; circular: Table A1, which has no PSF columns.
    simulated : bool
        Say in the first line of the metadata that the data are simulated.

    Returns
    -------
    astropy.table.Table
        ``published_slope`` and its error are masked where the paper has no value.
    """
    from astropy.table import MaskedColumn, Table

    for row in rows:
        key = _published_name(row["galaxy"], row["region"])
        row["published_slope"], row["published_slope_error"] = published.get(key, (np.nan, np.nan))
    meta = {"data": "simulated data" if simulated else "observed data"}
    meta |= {
        "description": f"Radial metallicity gradients in {aperture} apertures (Curti et al. 2020, Table "
        f"{'4' if aperture == 'elliptical' else 'A1'})",
        "aperture": aperture,
        "without_gradient": without,
    }
    table = Table(meta=meta)
    for name, (kind, unit, description) in _COLUMNS.items():
        if aperture == "circular" and name.startswith("psf_"):
            continue
        values = [row[name] for row in rows]
        dtype = f"U{max([1, *map(len, values)])}" if kind == "U" else kind
        column = MaskedColumn(values, name=name, dtype=dtype, unit=unit, description=description)
        if kind == "f8":
            column.mask = ~np.isfinite(np.asarray(values, dtype=float))
        table[name] = column
    return table


def _published_name(galaxy, region):
    default = galaxy if region == "all" else f"{galaxy}_{region}"
    return _PUBLISHED_NAMES.get((galaxy, region), default)


def gradient_table_latex(table):
    """Return a table of `gradient_table` in LaTeX with the columns the paper prints."""
    elliptical = table.meta["aperture"] == "elliptical"
    groups, previous = [], None
    members = {lens: len({row["galaxy"] for row in table if row["lens"] == lens}) for lens in set(table["lens"])}
    for row in table:
        cells = [escape(row["name"]), measurement(row["slope"], row["slope_error"]), _CLASSES[row["resolved"]]]
        if elliptical:
            cells.append(f"${row['psf_fwhm_major_kpc']:.2f} \\times {row['psf_fwhm_minor_kpc']:.2f}$")
        cells.append(ratio_names(row["diagnostics"]))
        for name in _EXTRA:
            cells.append(measurement(*(float(np.ma.filled(row[key], np.nan)) for key in (name, f"{name}_error"))))
        heading = escape(str(row["lens"]).upper()) if members[row["lens"]] > 1 else ""
        if heading != previous:
            groups.append((heading, []))
            previous = heading
        groups[-1][1].append(cells)
    psf = elliptical * [("PSF FWHM", "[kpc]")]
    kind = "" if elliptical else " (circ. apertures)"
    head = [("Galaxy", ""), (f"Gradient{kind}", r"[dex kpc$^{-1}$]"), ("Resolved", ""), *psf, ("Diagnostics", "")]
    head += [(title, r"[dex kpc$^{-1}$]" if unit is None else unit) for title, unit in _EXTRA.values()]
    simulated = table.meta["data"] == "simulated data"
    return latex_table(
        [cell for cell, _ in head],
        [cell for _, cell in head],
        groups,
        caption=(r"\textbf{Simulated data.} " if simulated else "") + _CAPTIONS[table.meta["aperture"]],
        label="tab:gradients" if elliptical else "tab:gradients_circular",
        comments=[table.meta["data"], f"{table.meta['description']}; the same numbers with units are in the ECSV"],
        wide="footnotesize",
    )


_CAPTIONS = {
    "elliptical": (
        "Radial metallicity gradients in elliptical apertures of the shape of the source-plane PSF, for the galaxies "
        "where they are at least marginally resolved. Resolved (``Yes''): extracted out to more than twice the PSF "
        r"HWHM, $\sqrt{\mathrm{HWHM}_{x} \times \mathrm{HWHM}_{y}}$; ``Marg'': between one and two times. PSF FWHM: "
        "major and minor axis of the PSF in the source plane. Diagnostics: line ratios of the metallicity map. Errors "
        "of the gradient: noise, correlated between pixels, and calibration, common to all. Paper's recipe: errors "
        "from the scatter and the errors of single pixels. PSF removed: against the mean radius that the light of an "
        "annulus comes from."
    ),
    "circular": (
        "Radial metallicity gradients in circular apertures in the source plane; columns as in the table of the "
        "elliptical ones."
    ),
}

"""Table of global properties with the published ones beside (Curti et al. 2020, Table 3)."""

import numpy as np

from klever.publish.latex import escape, latex_table, measurement, ratio_names
from klever.publish.published import read_published
from klever.row_tables import Column
from klever.source.lens_columns import COLUMNS as LENS_COLUMNS
from klever.source.lens_columns import lens_errors

__all__ = ["COLUMNS", "published_properties", "table3_latex", "table3_rows"]

_NAMES = {
    "sfr": "sfr_msun_per_yr", "log_mstar": "log_mstar_msun", "log_oh": "logoh12", "mu_halpha": "mu_halpha",
    "mu_maps": "mu_maps",
}  # fmt: skip
_UNITS = {"sfr": "Msun yr-1", "log_mstar": "dex", "log_oh": "dex", "mu_halpha": None, "mu_maps": None}
# The paper's Horseshoe has its SFR and magnification from both pointings, the rest from the western arc (Sect. 3.3).
_HORSESHOE = {"horseshoe_full": ("sfr", "mu_halpha", "mu_maps"), "horseshoe_west": ("log_mstar", "log_oh")}

COLUMNS = [
    Column("galaxy", str, "galaxy, as in galaxies.tsv"),
    Column("region", str, "all, or a region of gradient.regions"),
    Column("name", str, "name as printed"),
    Column("lens", str, "lens"),
    Column("z", float, "redshift"),
    Column("sfr", float, "star formation rate of the spaxels above 5 sigma (the paper's), over mu", _UNITS["sfr"]),
    Column("sfr_error", float, "1 sigma: flux, reddening and magnification", _UNITS["sfr"]),
    Column("sfr_total", float, "with the wings of the galaxy and what may lie outside the field", _UNITS["sfr"]),
    Column("sfr_total_error", float, "1 sigma", _UNITS["sfr"]),
    *LENS_COLUMNS["sfr"],
    Column("fibre_fraction", float, "Halpha flux in the pseudo-fibre over that of the spaxels above 5 sigma"),
    Column("dust_correction", str, "balmer | balmer of another galaxy | none: sfr is a lower limit"),
    Column("sfr_state", str, "ok | not_detected | no_magnification | agn"),
    Column("log_mstar", float, "log10 of the stellar mass (Chabrier 2003 IMF), over mu", "dex"),
    Column("log_mstar_error_minus", float, "lower 1 sigma error", "dex"),
    Column("log_mstar_error_plus", float, "upper 1 sigma error", "dex"),
    *LENS_COLUMNS["log_mstar"],
    Column("mass_state", str, "state of the fit of the stellar mass; not_measured without one"),
    Column("log_oh", float, "12+log(O/H) of the integrated spectrum", "dex"),
    Column("log_oh_error_minus", float, "lower 1 sigma error", "dex"),
    Column("log_oh_error_plus", float, "upper 1 sigma error", "dex"),
    Column("calibration", str, "of the metallicity"),
    Column("diagnostics", str, "of the metallicity"),
    Column("diagnostics_reason", str, "preferred (R3, N2 and O3O2) | configured | why one of these is not used"),
    Column("limits_used", str, "diagnostics that entered as limits"),
    Column("metallicity_flags", str, "edge (of the calibrated range), bimodal"),
    Column("metallicity_state", str, "ok | not_detected | excluded"),
    Column("ebv", float, "E(B-V) of the gas as measured", "mag"),
    Column("ebv_error", float, "1 sigma", "mag"),
    Column("ebv_state", str, "ok | negative | no_halpha | no_hbeta"),
    Column("agn", str, "type1 | line_ratios | no | unknown, see bpt.ecsv"),
    Column("mu_halpha", float, "magnification, line flux of the image over that of the source plane"),
    Column("mu_halpha_error", float, "1 sigma"),
    Column("mu_intrinsic", float, "mu_halpha with the seeing removed; sfr_total is divided by it"),
    Column("mu_intrinsic_error", float, "1 sigma"),
    Column("mu_maps", float, "magnification of the lens model at the reference position"),
    Column("mu_maps_error_minus", float, "lower 1 sigma error, of the realisations"),
    Column("mu_maps_error_plus", float, "upper 1 sigma error, of the realisations"),
    *LENS_COLUMNS["mu"],
    *LENS_COLUMNS["length"],
    *(
        Column(f"published_{name}{end}", float, f"{name} of Curti et al. (2020), Table 3{text}", _UNITS[name])
        for name in _NAMES
        for end, text in (("", ""), ("_error_minus", ", lower error"), ("_error_plus", ", upper error"))
    ),
    Column("published_note", str, "uncorrected: no Hbeta, SFR not corrected for reddening"),
]  # fmt: skip


def published_properties(path):
    """Return the published properties by the ids of the published table.

    Parameters
    ----------
    path : path-like
        ``table3_global_properties.csv``.

    Returns
    -------
    dict of str to dict
        ``published_*`` of `COLUMNS`; NaN where the paper has none.

    Raises
    ------
    InputError
        A column is missing or a number cannot be read.
    """
    ends = {"": "", "_error_minus": "_err_minus", "_error_plus": "_err_plus"}

    def parse(row):
        values = {
            f"published_{ours}{end}": float(row[f"{theirs}{other}"] or "nan")
            for ours, theirs in _NAMES.items()
            for end, other in ends.items()
        }
        return row["id"], values | {"published_note": row["note"]}

    columns = "id, note and " + ", ".join(f"{name} (_err_plus, _err_minus)" for name in _NAMES.values())
    return dict(read_published(path, "the published Table 3", columns, parse))


def table3_rows(galaxies, star_formation, properties, bpt, magnifications, spreads, masses, published):
    """Return the rows of the table.

    Parameters
    ----------
    galaxies : list of dict
        ``galaxy``, ``name``, ``lens`` and ``z`` in the order to print.
    star_formation : dict of str to list of dict
        Rows of ``star_formation.ecsv`` by galaxy, one per region; missing numbers NaN.
    properties, bpt, magnifications : dict of str to dict
        The row of each product by galaxy.
    spreads : dict of str to dict
        By galaxy: a row of ``lens_spread.ecsv``, missing numbers NaN.
    masses : dict of str to dict
        By galaxy: ``log_mstar``, its errors, and ``state``; a galaxy may be absent.
    published : dict
        From `published_properties`.
    """
    rows = []
    for entry in galaxies:
        name = entry["galaxy"]
        for number, sfr in enumerate(star_formation[name]):
            row = {key: entry[key] for key in ("galaxy", "name", "lens", "z")} | {"region": sfr["region"]}
            row |= {key: value for key, value in sfr.items() if key.startswith(("sfr", "fibre"))}
            row |= {"sfr_state": sfr["state"], "dust_correction": sfr["dust_correction"]}
            if number == 0:
                row |= _whole_galaxy(properties[name], bpt[name], magnifications[name])
                errors = lens_errors(spreads[name], sfr["sfr"])
                mass = masses.get(name, {})
                row |= {key: mass.get(key) for key in ("log_mstar", "log_mstar_error_minus", "log_mstar_error_plus")}
                row["mass_state"] = mass.get("state", "not_measured")
                if not np.isfinite(_value(row, "log_mstar")):
                    errors = {key: value for key, value in errors.items() if not key.startswith("log_mstar")}
            else:
                errors = lens_errors(spreads[name], sfr["sfr"])
                errors = {key: value for key, value in errors.items() if key.startswith("sfr")}
            rows.append(row | errors | _published(published, name, sfr["region"]))
    return rows


def table3_latex(rows, simulated):
    """Return the table in LaTeX: the columns of the paper, E(B-V), diagnostics and marks; then errors of the lens.

    Parameters
    ----------
    rows : list of dict
        From `table3_rows`.
    simulated : bool
        Are there simulated galaxies?
    """
    groups = _by_lens(rows)
    cells = [
        (heading, [[
            escape(_title(row)), _sfr(row), _asymmetric(row, "log_mstar"), _asymmetric(row, "log_oh"),
            measurement(_value(row, "mu_halpha"), _value(row, "mu_halpha_error"), 2), _asymmetric(row, "mu_maps"),
            measurement(_value(row, "ebv"), _value(row, "ebv_error"), 2), ratio_names(row.get("diagnostics") or ""),
            _marks(row),
        ] for row in members])
        for heading, members in groups
    ]  # fmt: skip
    calibrations = sorted({str(row["calibration"]) for row in rows if row.get("calibration")})
    caption = (
        r"Global properties: star formation rate of the H$\alpha$ spaxels above $5\sigma$, corrected for reddening and "
        r"magnification ($^{\star\star}$: without H$\beta$, not corrected for reddening), stellar mass, oxygen "
        f"abundance ({', '.join(calibrations) or 'no'} calibration), magnifications as in their own table, "
        r"reddening of the gas ($^{n}$: H$\alpha$/H$\beta$ below its intrinsic ratio, used as zero), line ratios of "
        r"the abundance ($^{l}$: one of them a limit). Marks: b, two possible abundances; e, at the edge of "
        "the calibrated range; A, broad line of an AGN. These numbers and those of Curti et al. (2020) are in the ECSV."
    )
    table = latex_table(
        ["Galaxy", r"SFR(H$\alpha$)", r"$\log(M_\star/M_\odot)$", r"$12+\log(\mathrm{O/H})$",
         r"$\mu_{\mathrm{H}\alpha}$", r"$\mu_\mathrm{maps}$", r"$E(B-V)$", "Ratios", "Marks"],
        ["", r"[$M_\odot$\,yr$^{-1}$]", "", "", "", "", "[mag]", "", ""],
        cells,
        caption=(r"\textbf{Simulated data.} " if simulated else "") + caption,
        label="tab:properties",
        comments=["simulated data" if simulated else "observed data", "layout of Curti et al. 2020, Table 3"],
        wide="scriptsize",
    )  # fmt: skip
    return table + _lens_table(groups, simulated)


def _lens_table(groups, simulated):
    """Return the errors from the lens model as a table that continues the one before."""
    caption = (
        r"Errors that the lens model leaves on Table~\ref{tab:properties}: over realisations of the model / over all "
        r"models of the field (--: there are none). They are not in the errors given there, but for that of "
        r"$\mu_\mathrm{maps}$, the spread over realisations. Lengths are those in the source plane, as kpc per arcsec."
    )
    cells = [
        (heading, [[escape(_title(row)), _lens(row, "sfr"), _lens(row, "log_mstar"), _lens(row, "length", 100),
                    measurement(100 * _value(row, "mu_lens_models"), np.nan, 0)] for row in members])
        for heading, members in groups
    ]  # fmt: skip
    return latex_table(
        ["Galaxy", r"$\sigma$(SFR)", r"$\sigma(\log M_\star)$", r"$\sigma$(length)", r"$\sigma(\mu_\mathrm{maps})$"],
        ["", r"[$M_\odot$\,yr$^{-1}$]", "[dex]", r"[\%]", r"[\%], models"],
        cells,
        caption=(r"\textbf{Simulated data.} " if simulated else "") + caption,
        label="tab:properties_lens",
        comments=["simulated data" if simulated else "observed data", "continues Table 3"],
        wide="scriptsize",
    )


def _whole_galaxy(properties, bpt, magnification):
    names = ("log_oh", "log_oh_error_minus", "log_oh_error_plus", "calibration", "diagnostics", "diagnostics_reason",
             "limits_used", "ebv", "ebv_error", "ebv_state")  # fmt: skip
    flags = int(properties["flags"] or 0)
    marks = [text for bit, text in ((512, "edge"), (1024, "bimodal")) if flags & bit]
    mu = ("mu_halpha", "mu_halpha_error", "mu_intrinsic", "mu_intrinsic_error", "mu_maps", "mu_maps_error_minus",
          "mu_maps_error_plus")  # fmt: skip
    return {key: properties[key] for key in names} | {key: magnification[key] for key in mu} | {
        "metallicity_flags": ",".join(marks), "metallicity_state": properties["state"], "agn": bpt["agn"],
    }  # fmt: skip


def _published(published, galaxy, region):
    if galaxy in _HORSESHOE:
        found = published.get("horseshoe", {})
        wanted = _HORSESHOE[galaxy]
        return {key: value for key, value in found.items()
                if any(key.startswith(f"published_{name}") for name in wanted)}  # fmt: skip
    return published.get(galaxy if region == "all" else f"{galaxy}_{region}", {})


def _value(row, name):
    value = row.get(name)
    return np.nan if value is None else float(value)


def _sfr(row):
    text = measurement(_value(row, "sfr"), _value(row, "sfr_error"), 2)
    return text if text == "--" or row["dust_correction"] != "none" else text + r"$^{\star\star}$"


def _asymmetric(row, name):
    """Return value with its upper and lower error; the value alone without errors, a dash without a value."""
    value, minus, plus = (_value(row, f"{name}{end}") for end in ("", "_error_minus", "_error_plus"))
    if not np.isfinite(value):
        return "--"
    return f"${value:.2f}^{{+{plus:.2f}}}_{{-{minus:.2f}}}$" if np.isfinite(minus + plus) else f"${value:.2f}$"


def _by_lens(rows):
    """Return the rows in groups with the heading of their lens, empty for a lens of one galaxy."""
    groups, previous = [], None
    members = [row["lens"] for row in rows if row["region"] == "all"]
    for row in rows:
        heading = escape(row["lens"].upper()) if members.count(row["lens"]) > 1 else ""
        if heading != previous:
            groups.append((heading, []))
            previous = heading
        groups[-1][1].append(row)
    return groups


def _title(row):
    return row["name"] if row["region"] == "all" else f"{row['name']} ({row['region']})"


def _lens(row, name, scale=1):
    """Return the errors from the lens model, over realisations / over models; a dash where neither is known."""
    values = [scale * _value(row, f"{name}_{end}") for end in ("lens", "lens_models")]
    cells = [f"{value:.{1 if scale > 1 else 2}f}" if np.isfinite(value) else "--" for value in values]
    return " / ".join(cells) if np.isfinite(values).any() else "--"


def _marks(row):
    flags = str(row.get("metallicity_flags") or "")
    marks = [letter for word, letter in (("bimodal", "b"), ("edge", "e")) if word in flags]
    marks += ["A"] if row.get("agn") == "type1" else []
    marks += ["$^{n}$"] if row.get("ebv_state") == "negative" else []
    marks += ["$^{l}$"] if row.get("limits_used") else []
    return "".join(marks)

"""Table of the magnifications with the published ones beside (Curti et al. 2020, Table 3)."""

import numpy as np

from klever.publish.latex import escape, latex_table, measurement
from klever.publish.published import read_published
from klever.row_tables import Column

__all__ = ["COLUMNS", "magnification_latex", "magnification_rows", "published_magnifications"]

# The paper's Horseshoe is the sum of both pointings (Sect. 3.3); the western arc alone has no published magnification.
_PUBLISHED_NAMES = {"horseshoe_full": "horseshoe"}
_PUBLISHED = ("mu_halpha", "mu_maps")

COLUMNS = [
    Column("galaxy", str, "galaxy, as in galaxies.tsv"),
    Column("name", str, "name as printed"),
    Column("lens", str, "lens"),
    Column("z", float, "redshift"),
    Column("mu_halpha", float, "line flux of the significant pixels, image over source plane"),
    Column("mu_halpha_error", float, "from the relative errors of both fluxes in quadrature (the paper's)"),
    Column("mu_halpha_error_correlated", float, "with the covariance of the two fluxes"),
    Column("mu_intrinsic", float, "mu_halpha with the seeing removed; sfr_total is divided by it"),
    Column("mu_intrinsic_error", float, "that of mu_halpha, and that of the removal of the seeing"),
    Column("mu_whole", float, "line flux in the field over that of the whole galaxy, the part outside extrapolated"),
    Column("mu_whole_error", float, "that of mu_intrinsic, and all that is added for the part outside"),
    Column("line", str, "line of mu_halpha: HALPHA | OIII5007 | none"),
    Column("mu_maps", float, "1/|det A| of the best model at the reference position"),
    Column("mu_maps_error_minus", float, "median - 16 % of the realisations"),
    Column("mu_maps_error_plus", float, "84 % - median of the realisations"),
    Column("n_realisations", int, "realisations that cover the galaxy"),
    Column("n_models", int, "models of the field that cover the galaxy, see magnification_models.ecsv"),
    Column("systematic", float, "relative error of mu between these models; masked with fewer than two"),
    Column("flags", str, "mu_differs | near_critical_line, see magnification.ecsv of the galaxy"),
    Column("state", str, "ok | not_detected | outside_lens_model | unlensed"),
    *(
        Column(f"published_{name}{end}", float, f"{name} of Curti et al. (2020), Table 3{text}; masked without")
        for name in _PUBLISHED
        for end, text in (("", ""), ("_error_minus", ", lower error"), ("_error_plus", ", upper error"))
    ),
]


def published_magnifications(path):
    """Return the published magnifications by the ids of the published table.

    Parameters
    ----------
    path : path-like
        CSV with the columns ``id`` and, for mu_halpha and mu_maps, the value, ``_err_plus`` and ``_err_minus``.

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
        return row["id"], {
            f"published_{name}{ours}": float(row[f"{name}{theirs}"] or "nan")
            for name in _PUBLISHED
            for ours, theirs in ends.items()
        }

    columns = "id, mu_halpha and mu_maps, with _err_plus and _err_minus of both"
    return dict(read_published(path, "a table of published magnifications", columns, parse))


def magnification_rows(measured, systematic, published, galaxies):
    """Return the rows of the table.

    Parameters
    ----------
    measured : list of mapping
        The row of ``magnification.ecsv`` of each galaxy, in the order of `galaxies`; missing numbers NaN.
    systematic : dict of str to (int, float)
        Number of models and the spread between them, of galaxies in lensed fields.
    published : dict
        From `published_magnifications`.
    galaxies : list of dict
        ``galaxy``, ``name``, ``lens`` and ``z`` in the order to print.
    """
    rows = []
    for entry, values in zip(galaxies, measured, strict=True):
        count, spread = systematic.get(entry["galaxy"], (0, np.nan))
        row = {column.name: values.get(column.name) for column in COLUMNS}
        row |= {key: entry[key] for key in ("galaxy", "name", "lens", "z")}
        flags = row["flags"] if isinstance(row["flags"], str) else ""  # an empty text is read as missing
        row |= {"n_models": count, "systematic": spread, "flags": flags}
        rows.append(row | published.get(_PUBLISHED_NAMES.get(entry["galaxy"], entry["galaxy"]), {}))
    return rows


def magnification_latex(rows, simulated):
    """Return the table in LaTeX: both magnifications, and the published ones.

    Parameters
    ----------
    rows : list of dict
        From `magnification_rows`.
    simulated : bool
        Are there simulated galaxies?
    """
    groups, previous = [], None
    members = [row["lens"] for row in rows]
    for row in rows:
        heading = escape(row["lens"].upper()) if members.count(row["lens"]) > 1 else ""
        if heading != previous:
            groups.append((heading, []))
            previous = heading
        line = "" if row.get("line") in ("HALPHA", None) else "$^{o}$" if row["line"] == "OIII5007" else ""
        groups[-1][1].append([
            escape(row["name"]),
            _number(measurement(_value(row, "mu_halpha"), _value(row, "mu_halpha_error"), 2), line),
            _number(measurement(_value(row, "mu_intrinsic"), _value(row, "mu_intrinsic_error"), 2), _marks(row)),
            _bounds(row, "mu_maps"),
            f"${100 * _value(row, 'systematic'):.0f}$" if np.isfinite(_value(row, "systematic")) else "--",
            measurement(_value(row, "published_mu_halpha"), _value(row, "published_mu_halpha_error_plus"), 2),
            _bounds(row, "published_mu_maps"),
        ])  # fmt: skip
    caption = (
        r"Magnifications. $\mu_{\mathrm{H}\alpha}$: ratio of the line's flux in the image and in the source plane "
        r"($^{o}$: of [O\,\textsc{iii}]\,$\lambda5007$, where H$\alpha$ is not observed); "
        r"$\mu_\mathrm{intrinsic}$: the same with the seeing removed ($^{c}$: near a critical line, where the "
        r"realisations' median differs by more than a factor of 1.3); $\mu_\mathrm{maps}$: of the "
        "lens model at the galaxy, with the 16--84\\,\\% interval of its realisations; $\\sigma_\\mathrm{models}$: "
        "spread between models of the field. Published: Curti et al. (2020), Table 3"
        + (", of the real galaxies, for orientation." if simulated else ".")
    )
    return latex_table(
        ["Galaxy", r"$\mu_{\mathrm{H}\alpha}$", r"$\mu_\mathrm{intrinsic}$", r"$\mu_\mathrm{maps}$",
         r"$\sigma_\mathrm{models}$", r"published $\mu_{\mathrm{H}\alpha}$", r"published $\mu_\mathrm{maps}$"],
        ["", "", "", "", r"[\%]", "", ""],
        groups,
        caption=(r"\textbf{Simulated data.} " if simulated else "") + caption,
        label="tab:magnification",
        comments=["simulated data" if simulated else "observed data",
                  "Curti et al. 2020, Table 3 (magnifications); the same numbers are in the ECSV"],
        wide="footnotesize",
    )  # fmt: skip


def _value(row, name):
    value = row.get(name)
    return np.nan if value is None else float(value)


def _number(text, mark):
    return text if text == "--" else text + mark


def _marks(row):
    return "$^{c}$" if "near_critical_line" in str(row.get("flags") or "") else ""


def _bounds(row, name):
    """Return value with its upper and lower error; the value alone without errors, a dash without a value."""
    value, minus, plus = (_value(row, f"{name}{end}") for end in ("", "_error_minus", "_error_plus"))
    if not np.isfinite(value):
        return "--"
    return f"${value:.2f}_{{-{minus:.2f}}}^{{+{plus:.2f}}}$" if np.isfinite(minus + plus) else f"${value:.2f}$"

"""Table 1: the line ratios and the calibrations that give abundances from them, as the run uses them."""

from klever.abundance.calibrations import load_calibrations
from klever.gas.line_ratios import DIAGNOSTICS, RATIOS
from klever.publish.latex import escape, latex_table, ratio_names
from klever.row_tables import Column

__all__ = ["TABLE1", "ratio_rows", "table1_latex"]

TABLE1 = [
    Column("notation", str, "name of the ratio, as in the paper's Table 1; S3S2 is not in it"),
    Column("numerator", str, "lines above; OII, SII and SIII are sums of doublets"),
    Column("denominator", str, "lines below"),
    Column("dereddened", bool, "corrected for reddening; of the others the lines are too close to need it"),
    Column("abundances", bool, "a diagnostic of 12+log(O/H) here; the others are measured only"),
    Column("calibration", str, "set that gives the ratio at an abundance"),
    Column("log_oh_minimum", float, "lowest 12+log(O/H) of the calibration", "dex"),
    Column("log_oh_maximum", float, "highest 12+log(O/H) of the calibration", "dex"),
    Column("dispersion", float, "of log10 of the ratio about the calibration, the sigma_R of Eq. 1", "dex"),
    Column("turnover", float, "12+log(O/H) from which on the ratio is double-valued; masked where it never is", "dex"),
    Column("source", str, "of the calibration"),
]

_ORDER = ("R2", "R3", "N2", "S2", "O3O2", "O3N2", "S3S2")
_LINES = {
    "OII": r"[O\,\textsc{ii}]$\lambda$3727,29", "OIII5007": r"[O\,\textsc{iii}]$\lambda$5007", "Hbeta": r"H$\beta$",
    "Halpha": r"H$\alpha$", "NII6584": r"[N\,\textsc{ii}]$\lambda$6584", "SII": r"[S\,\textsc{ii}]$\lambda$6717,31",
    "SIII": r"[S\,\textsc{iii}]$\lambda$9069,9531",
}  # fmt: skip


def ratio_rows(calibrations, metallicity):
    """Return the rows of Table 1.

    Parameters
    ----------
    calibrations : path-like
        ``resources/calibrations.json``.
    metallicity : dict
        The section of the settings: ``calibration`` and ``dispersion``.

    Returns
    -------
    list of dict
        The columns of `TABLE1`; what a ratio without a calibration lacks is absent.

    Raises
    ------
    InputError, ConfigError
        The calibrations cannot be read, or have no such set or dispersion.
    """
    known = load_calibrations(calibrations, metallicity["calibration"])
    rows = []
    for name in _ORDER:
        parts = [RATIOS[name]] if name in RATIOS else [RATIOS["R3"], RATIOS["N2"]]
        row = {
            "notation": name,
            "numerator": " * ".join([parts[0].numerator, *(part.denominator for part in parts[1:])]),
            "denominator": " * ".join([parts[0].denominator, *(part.numerator for part in parts[1:])]),
            "dereddened": any(part.dereddened for part in parts),
            "abundances": name in DIAGNOSTICS and name in known,
        }
        if row["abundances"]:
            found = known[name]
            row |= {
                "calibration": found.set_name,
                "log_oh_minimum": found.log_oh_range[0],
                "log_oh_maximum": found.log_oh_range[1],
                "dispersion": found.dispersion(metallicity["dispersion"]),
                "turnover": found.turnover,
                "source": found.source,
            }
        rows.append(row)
    return rows


def table1_latex(rows):
    """Return Table 1 in LaTeX: the paper's two columns, and the calibration of each ratio.

    Parameters
    ----------
    rows : list of dict
        From `ratio_rows`.
    """
    cells = []
    for row in rows:
        name = row["notation"]
        ratio = rf"({_ratio('R3')})/({_ratio('N2')})" if name == "O3N2" else _ratio(name)
        used = [escape(row["calibration"]), f"{row['log_oh_minimum']:g}--{row['log_oh_maximum']:g}",
                f"{row['dispersion']:g}"] if row["abundances"] else ["--"] * 3  # fmt: skip
        cells.append([f"{_notation(name)}{'$^{d}$' if row['dereddened'] else ''}", ratio, *used])
    caption = (
        r"Line ratios, and the calibrations from which abundances follow: range of $12+\log(\mathrm{O/H})$ and "
        r"dispersion of $\log_{10}$ of the ratio about the calibration. $^{d}$ corrected for reddening."
    )
    return latex_table(
        ["Notation", "Line ratio", "Calibration", r"$12+\log(\mathrm{O/H})$", "Dispersion"],
        ["", "", "", "", "[dex]"],
        [("", cells)],
        caption,
        "tab:ratios",
        comments=["Curti et al. 2020, Table 1; the same with sources is in the ECSV"],
        wide="footnotesize",
    )


def _notation(name):
    return {"R2": "$R_{2}$", "O3N2": "$O_{3}N_{2}$", "S3S2": "$S_{3}S_{2}$"}.get(name) or ratio_names(name)


def _ratio(name):
    return f"{_LINES[RATIOS[name].numerator]}/{_LINES[RATIOS[name].denominator]}"

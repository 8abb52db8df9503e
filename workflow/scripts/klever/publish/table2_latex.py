"""Table 2 in LaTeX, as Curti et al. (2020) print it."""

from klever.publish.latex import escape, latex_table, measurement

__all__ = ["table2_latex"]

_LATEX = {
    "[OII]": r"[O\,\textsc{ii}]", "[OIII]": r"[O\,\textsc{iii}]", "Hb": r"H$\beta$", "Ha": r"H$\alpha$",
    "[NII]": r"[N\,\textsc{ii}]", "[SII]": r"[S\,\textsc{ii}]", "[SIII]": r"[S\,\textsc{iii}]",
}  # fmt: skip


def table2_latex(rows, bands, simulated, threshold):
    """Return Table 2 in LaTeX with the columns the paper prints.

    Parameters
    ----------
    rows : list of dict
        From `klever.publish.detections.galaxy_rows`.
    bands : list of str
        From `klever.publish.detections.band_columns`.
    simulated : bool
        Are there simulated galaxies?
    threshold : float
        S/N of a detection.
    """
    groups, previous = [], ""
    places = {}
    for row in rows:
        places.setdefault(row["lens"], set()).add((row["ra"], row["dec"]))
    for row in rows:
        # A lens with one galaxy needs no heading, unless it would seem to belong to the lens above it.
        heading = escape(row["lens"].upper()) if previous or len(places[row["lens"]]) > 1 else ""
        if heading != previous or not groups:
            groups.append((heading, []))
            previous = heading
        z = measurement(row["z"], row["z_error"], 6) if row["z_source"] == "lines" else f"${row['z']:.4f}^{{c}}$"
        lines = [_notation_latex(row.get(f"lines_{band}")) for band in bands]
        dec = f"${row['dec_dms'][0]}${row['dec_dms'][1:]}"
        groups[-1][1].append([escape(row["name"]), row["ra_hms"], dec, z, *lines])
    head = ["Galaxy", "R.A.", "Dec.", "$z$", *(f"{escape(band)}-Band" for band in bands)]
    units = ["", "(J2000)", "(J2000)", "", *("" for _ in bands)]
    caption = (
        "The sample. Redshift: mean of the detected lines, weighted by their inverse variance; $^{c}$ no line is "
        "detected, the redshift is that of the catalogue. Bands: lines detected in the integrated spectrum at a "
        f"signal-to-noise ratio of {threshold:g} or more; ``--'': observed, no line detected; ``n/o'': not observed."
    )
    return latex_table(
        head, units, groups, caption=(r"\textbf{Simulated data.} " if simulated else "") + caption, label="tab:sample",
        comments=["simulated data" if simulated else "observed data",
                  "Curti et al. 2020, Table 2; the same with units and the published values is in the ECSV"],
        wide="footnotesize",
    )  # fmt: skip


def _notation_latex(text):
    if text is None:
        return "n/o"
    return "--" if text == "-" else "+".join(_LATEX.get(part, escape(part)) for part in text.split("+"))

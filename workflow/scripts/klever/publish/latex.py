"""Tables in LaTeX, in the style of MNRAS, that compile when a bare ``article`` inputs them."""

__all__ = ["escape", "latex_table", "measurement", "ratio_names"]

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}

_RATIO_NAMES = {"R3": "R_{3}", "N2": "N_{2}", "S2": "S_{2}", "O3O2": "O_{3}O_{2}"}


def escape(text):
    """Return text with every character that LaTeX would take as a command escaped."""
    return "".join(_SPECIAL.get(character, character) for character in str(text))


def measurement(value, error, digits=3):
    """Return ``value +- error`` in math mode with `digits` decimals; a dash without a finite value.

    An error that is not finite is left out.
    """
    if not abs(value) < float("inf"):
        return "--"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return f"${text} \\pm {error:.{digits}f}$" if abs(error) < float("inf") else f"${text}$"


def ratio_names(diagnostics):
    """Return a list of diagnostics such as ``R3+N2`` (or ``R3,N2``) in math mode."""
    names = str(diagnostics).replace("+", " ").replace(",", " ").split()
    return ", ".join(f"${_RATIO_NAMES[name]}$" if name in _RATIO_NAMES else escape(name) for name in names) or "--"


def latex_table(header, units, groups, caption, label, comments=(), wide=""):
    """Return a ``table`` environment.

    Parameters
    ----------
    header, units : list of str
        Cells of the two header lines, LaTeX already.
    groups : list of (str, list of list of str)
        Heading (empty for none) and rows of cells, LaTeX already, one group after the other.
    caption, label : str
        LaTeX text and key.
    comments : list of str
        Written as comment lines before everything else.
    wide : str, optional
        Size of type, for example ``footnotesize``, of a table across both columns of the journal's page (504 pt);
        without one the table stands in a column.

    Raises
    ------
    ValueError
        A row has another number of cells than the header.
    """
    width = len(header)
    environment = "table*" if wide else "table"
    lines = [*(f"% {line}" for line in comments), f"\\begin{{{environment}}}", r"\centering"]
    lines += [f"\\{wide}\\setlength{{\\tabcolsep}}{{{'2pt' if wide == 'scriptsize' else '4pt'}}}"] if wide else []
    lines += [f"\\begin{{tabular}}{{l{'c' * (width - 1)}}}", r"\hline"]
    lines += [" & ".join(header) + r" \\", " & ".join(units) + r" \\", r"\hline"]
    for heading, rows in groups:
        if heading:
            lines += [r"\noalign{\smallskip}", f"\\multicolumn{{{width}}}{{l}}{{\\textit{{{heading}}}}} \\\\"]
        for row in rows:
            if len(row) != width:
                raise ValueError(f"a row of {label} has {len(row)} cells, the header has {width}: {row}")
            lines.append(" & ".join(row) + r" \\")
    lines += [r"\hline", r"\end{tabular}", f"\\caption{{{caption}}}", f"\\label{{{label}}}", f"\\end{{{environment}}}"]
    return "\n".join(lines) + "\n"

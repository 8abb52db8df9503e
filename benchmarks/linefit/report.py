"""Tables and figure of the benchmark, from its json alone."""

__all__ = ["draw", "markdown", "text_table"]

_TARGETS = "goals: compiled >= 300 x curve_fit and >= 10 x NumPy; |dchi2| < 0.01 in >= 90 %, worse by > 1 in < 1 %"


def _rows(results):
    """Yield the cells of one row per package that ran: name, spaxels, speed, ratio, and three pairs of fractions."""
    for entry in results["entries"]:
        if entry["absent"]:
            continue
        versions = ", ".join(f"{name} {version}" for name, version in entry["versions"].items())
        ratio = _number(entry["ratio"]) if "ratio" in entry else "-"
        comparison = entry.get("comparison")
        fractions = [_pair(comparison, key) for key in ("same", "better", "worse", "worse_emission")]
        yield [entry["name"], versions, str(entry["spaxels"]), _number(entry["speed"]), ratio, *fractions]


def _number(value):
    """Three significant digits without an exponent."""
    return f"{float(f'{value:.3g}'):g}" if value < 1000 else f"{float(f'{value:.3g}'):.0f}"


def _pair(comparison, key):
    """Format a fraction of all spaxels and of the bright ones, in per cent."""
    if not comparison:
        return "-"
    return " / ".join("-" if part[key] is None else f"{100 * part[key]:.1f}" for part in comparison.values())


def _head(results):
    problem, machine = results["problem"], results["machine"]
    return (
        f"{problem['data'][0].upper()}{problem['data'][1:]}: {problem['spaxels']} spaxels of {problem['channels']} "
        f"channels, {problem['bright_spaxels']} with Halpha at S/N > 5; one thread of {machine['cpu']}, Python "
        f"{machine['python']}."
    )


def _converged(results):
    part = results["convergence"]
    return (
        "curve_fit started at our solution: |dchi2| < 0.01 in {} %, ours worse by > 1 in {} % (all / S/N > 5)."
    ).format(_pair(part, "same"), _pair(part, "worse"))


_COLUMNS = [
    "package", "versions", "spaxels", "spaxels/s", "x curve_fit", "|dchi2| < 0.01 (%)", "ours better by > 1 (%)",
    "ours worse by > 1 (%)", "... to emission (%)",
]  # fmt: skip


def text_table(results):
    """Return the table for the terminal; pairs are all spaxels / those of S/N > 5."""
    rows = [_COLUMNS, *_rows(results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = [_head(results), ""]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += ["", _converged(results), _TARGETS, *_notes(results)]
    return "\n".join(lines)


def _notes(results):
    """Yield what each package cannot express, and which did not run."""
    for entry in results["entries"]:
        if entry["absent"]:
            yield f"{entry['name']}: skipped, {entry['absent']}"
        elif entry["limits"]:
            yield f"{entry['name']} cannot express: {'; '.join(entry['limits'])}"


def markdown(results):
    """Return the table for the README."""
    rows = list(_rows(results))
    columns = [
        "", "versions", "spaxels", "spaxels/s", "× `curve_fit`", "\\|Δχ²\\| < 0.01 (%)", "ours better by > 1 (%)",
        "ours worse by > 1 (%)", "… to emission (%)",
    ]  # fmt: skip
    lines = [_head(results), "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", _converged(results)])


def draw(results, path):
    """Draw speeds as horizontal bars on a logarithmic axis, the ratio to curve_fit beside each, as a PNG.

    Parameters
    ----------
    results : dict
        Content of ``results/linefit.json``.
    path : path
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from klever.publish.figure_style import CENTIMETRE, COLOURS, PAGE_WIDTH, paper_style

    ran = sorted((entry for entry in results["entries"] if not entry["absent"]), key=lambda entry: entry["speed"])
    with paper_style():
        figure = Figure(figsize=(0.75 * PAGE_WIDTH, (1.6 + 0.55 * len(ran)) * CENTIMETRE), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        colours = [COLOURS["psf" if entry["ours"] else "neutral"] for entry in ran]
        speeds = [entry["speed"] for entry in ran]
        axes.barh(range(len(ran)), speeds, color=colours, height=0.7)
        for place, entry in enumerate(ran):
            label = f"{entry['speed']:.0f}" + (f" (× {entry['ratio']:.2g})" if entry.get("ratio", 99) < 10 else "")
            label += f" (× {entry['ratio']:.0f})" if entry.get("ratio", 0) >= 10 else ""
            axes.annotate(label, (entry["speed"], place), (3, 0), textcoords="offset points", va="center", fontsize=6.5)
        axes.set_yticks(range(len(ran)), [entry["name"] for entry in ran])
        axes.tick_params(axis="y", which="both", length=0)
        axes.set_xscale("log")
        axes.set_xlim(min(speeds) / 2, max(speeds) * 8)
        channels = results["problem"]["channels"]
        axes.set_xlabel(f"Spaxels/s per core (× curve_fit), simulated KMOS H cube, {channels} channels")
        figure.savefig(path, format="png", dpi=200, metadata={"Software": None})

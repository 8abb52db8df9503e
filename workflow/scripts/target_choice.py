"""Which galaxies to observe: their lines in the bands, under OH lines, and their priorities; table and figure."""

import logging
from pathlib import Path

import numpy as np
import yaml

from klever.publish.detections import band_column, published_sample
from klever.publish.figure_style import paper_style, save_figure
from klever.publish.visibility_figure import draw_visibility
from klever.row_tables import Column, write_table
from klever.spectral_lines import load_instruments, load_line_list
from klever.targets.catalogue import read_catalogue
from klever.targets.choice import Rule, choose_targets, explain, redshift_ranges, visible_lines
from klever.targets.visibility import bands_of, read_sky_lines

logger = logging.getLogger("klever")

_REASONS = {
    (True, "clean"): "listed", (True, "telluric"): "listed, though outside the clear windows",
    (True, "on_sky_line"): "listed, though under OH lines", (True, "outside"): "listed, though in no band",
    (True, "not_observed"): "listed, though the band was not observed", (False, "outside"): "in no band",
    (False, "not_observed"): "band not observed", (False, "on_sky_line"): "under OH lines",
    (False, "telluric"): "outside the clear windows", (False, "clean"): "clean: too faint",
}  # fmt: skip

_TARGETS = [
    Column("rank", int, "1 is the best target"),
    Column("galaxy", str, "target"),
    Column("ra", float, "right ascension, ICRS", "deg"),
    Column("dec", float, "declination, ICRS", "deg"),
    Column("z", float, "redshift of the catalogue; missing: none, the target is last"),
    Column("priority", int, "1: all species of a set fall in the bands; 2: at least half of one; 3: fewer"),
    Column("set", str, "set of species of which most fall in the bands"),
    Column("species", str, "species in the bands"),
    Column("n_species", int, "their number"),
    Column("clean_species", str, "of these, in the atmosphere's windows and not under bright OH lines"),
    Column("n_clean", int, "their number"),
    Column("oh", float, "mean OH emission under the lines in the bands, over the mean of the band"),
]
_LINES = [
    Column("galaxy", str, "target"),
    Column("line", str, "emission line"),
    Column("wavelength", float, "observed, vacuum", "um"),
    Column("band", str, "band that holds it; missing: none"),
    Column("state", str, "clean; on_sky_line; telluric: outside the atmosphere's clear windows; outside: in no band"),
    Column("oh", float, "OH emission under the line, over the mean of the band"),
    Column("clean", float, "fraction of the line's profile off bright OH lines"),
]
_COMPARISON = [
    Column("galaxy", str, "target"),
    Column("species", str, "as Table 2 writes it"),
    Column("listed", bool, "Table 2 of Curti et al. (2020) lists it as detected"),
    Column("explanation", str, "why, as far as wavelengths say"),
]


def write_target_choice(
    catalogue, rule, line_list, instruments, sky_lines, published_table2, targets, lines, comparison, pdf, png, settings
):
    """Order a catalogue by the lines that can be seen, and say where each falls (Curti et al. 2020, Sect. 2.1).

    Parameters
    ----------
    catalogue : list of path-like
        One table of targets; empty: the galaxies of `settings`.
    rule, line_list, instruments, sky_lines, published_table2 : path-like
        Files of ``resources/``.
    targets, lines, comparison, pdf, png : path-like
        Outputs: the ranking, every line of every target, what Table 2 lists beside it (for galaxies it has), the
        figure.
    settings : dict
        ``targets`` (instrument, bands, dispersion, bright, minimum_clean), ``figures`` with ``dpi``, and ``galaxies``.

    Raises
    ------
    InputError
        A file cannot be used.
    """
    options = settings["targets"]
    rest = {name: line.wavelength for name, line in load_line_list(line_list).lines.items()}
    content = yaml.safe_load(Path(rule).read_text(encoding="utf-8"))
    bands = bands_of(load_instruments(instruments), options["instrument"], options["bands"])
    chosen = Rule(content, rest, bands, read_sky_lines(sky_lines), options["dispersion"], options["bright"],
                  options["minimum_clean"])  # fmt: skip
    sample = [target for path in catalogue for target in read_catalogue(path)] or settings["galaxies"]
    ranked, ranges = choose_targets(chosen, sample), redshift_ranges(chosen)
    published = published_sample(published_table2)
    compared = [
        {"galaxy": row["galaxy"], "species": found["species"], "listed": found["listed"],
         "explanation": _REASONS[found["listed"], found["reason"]]}
        for row in ranked if row["galaxy"] in published and np.isfinite(row["z"])
        for found in explain(chosen, row["z"], _cells(bands, published[row["galaxy"]]["lines"]))
    ]  # fmt: skip
    every = [
        {"galaxy": row["galaxy"], **line}
        for row in ranked if np.isfinite(row["z"]) for line in visible_lines(chosen, row["z"])
    ]  # fmt: skip
    meta = {
        "instrument": options["instrument"], "bands": "+".join(band.name for band in bands),
        "dispersion": float(options["dispersion"]), "bright": float(options["bright"]),
        "minimum_clean": float(options["minimum_clean"]),
        "redshift_ranges": {name: [list(pair) for pair in found] for name, found in ranges.items()},
    }  # fmt: skip
    write_table(targets, ranked, _TARGETS, meta)
    write_table(lines, every, _LINES, meta)
    write_table(comparison, compared, _COMPARISON, meta)
    redshifts = [row["z"] for row in ranked if np.isfinite(row["z"])]
    if len(redshifts) < len(ranked):
        logger.warning("%d targets have no redshift; they come last, without lines", len(ranked) - len(redshifts))
    limits = (max(0.0, min([0.9, *redshifts]) - 0.1), max([3.6, *redshifts]) + 0.1)
    head = f"{options['instrument']}: lines in the bands; {len(ranked)} targets"
    with paper_style():
        save_figure(draw_visibility(chosen, ranges, ranked, limits, head), pdf, png, settings["figures"]["dpi"])
    first = int(np.sum([row["priority"] == 1 for row in ranked]))
    logger.info("%d targets, %d of them show all species of a set", len(ranked), first)


def _cells(bands, printed):
    """Return the printed cells by our bands; a band that the table lacks was not observed."""
    return {band.name: printed.get(band_column(band.name)) for band in bands}


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, write_target_choice)

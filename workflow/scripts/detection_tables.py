"""Table 2, redshift and detected lines of each galaxy, as ECSV and LaTeX; and the detection rate of each line."""

import logging
from pathlib import Path

from klever.publish.detection_rates import RATE_COLUMNS, RATE_DEFINITION, detection_rates, published_rates
from klever.publish.detections import (
    band_columns,
    galaxy_rows,
    published_sample,
    read_lines,
    table2_columns,
)
from klever.publish.table2_latex import table2_latex
from klever.row_tables import write_table
from klever.spectral_lines import load_line_list

logger = logging.getLogger("klever")


def write_detection_tables(
    lines, line_lists, shipped_lines, published_table2, published_detections, table2, table2_tex, rates, settings
):
    """Write what is detected in the integrated spectra (Curti et al. 2020, Table 2 and Sect. 3.1).

    Parameters
    ----------
    lines : list of path-like
        ``lines.ecsv`` of every galaxy and band, in any order.
    line_lists : list of path-like
        Line lists of the galaxies: only lines and sums of theirs count.
    shipped_lines : path-like
        ``resources/lines.yaml``, that a list may include.
    published_table2, published_detections : path-like
        CSV of the paper's Table 2 and of its detection rates.
    table2, table2_tex, rates : path-like
        Outputs.
    settings : dict
        ``galaxies`` (list of dicts with ``galaxy``, ``name``, ``lens``, ``ra``, ``dec``, ``z``, ``simulated`` and
        ``bands``, the instrument by band, in the order to print) and ``lines`` with ``detection_snr``.

    Raises
    ------
    InputError
        A table cannot be read, or one is missing.
    """
    known = [load_line_list(path, shipped_lines) for path in line_lists]
    names = {name for found in known for name in (*found.lines, *found.sums)}
    found = {(galaxy, band): rows for galaxy, band, rows in (read_lines(path, names) for path in lines)}
    published, definitions = published_sample(published_table2), published_rates(published_detections)
    galaxies = settings["galaxies"]
    simulated = any(entry["simulated"] for entry in galaxies)
    threshold = settings["lines"]["detection_snr"]

    bands = band_columns(galaxies)
    sample = galaxy_rows(found, galaxies, published)
    counted = detection_rates(found, galaxies, definitions, published)
    text = table2_latex(sample, bands, simulated, threshold)
    data = {"data": "simulated data" if simulated else "observed data"}
    if simulated:
        data["note"] = (
            "Galaxies with simulated = True: the spectra are simulated, so their lines and redshifts are not "
            "measurements of the real galaxies, and the published columns stand beside for orientation only."
        )
    common = {"detection_snr": float(threshold)}
    write_table(
        table2, sample, table2_columns(bands),
        data | {"description": "The sample (Curti et al. 2020, Table 2); exposure times are not in the cubes"} | common,
    )  # fmt: skip
    count = {"pointings": len(galaxies), "simulated_pointings": sum(bool(entry["simulated"]) for entry in galaxies)}
    write_table(rates, counted, RATE_COLUMNS, data | {"definition": RATE_DEFINITION} | common | count)
    Path(table2_tex).write_text(text, encoding="utf-8")
    for row in counted:
        paper = f"; the paper's rate is {row['published_rate']:.0f} %" if row["published_rate"] > 0 else ""
        logger.info("%s: detected in %d of %d galaxies%s", row["line"], row["detected"], row["galaxies"], paper)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, write_detection_tables)

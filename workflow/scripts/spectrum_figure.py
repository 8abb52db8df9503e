"""The integrated spectra of one galaxy with their fits."""

import numpy as np

from klever.errors import InputError
from klever.publish.detections import read_lines, redshift
from klever.publish.figure_style import paper_style, save_figure
from klever.publish.spectrum_figure import draw_spectra
from klever.row_tables import read_table
from klever.spectral_lines import load_line_list

_COLUMNS = ["wavelength", "flux", "error", "masked", "model", "continuum"]


def draw_spectrum_figure(spectra, lines, line_list, shipped_lines, pdf, png, settings):
    """Draw the pseudo-fibre spectra of all bands of a galaxy (Curti et al. 2020, Fig. 2).

    Parameters
    ----------
    spectra, lines : list of path-like
        ``spectrum.ecsv`` and ``lines.ecsv`` of each band, in the same order.
    line_list, shipped_lines : path-like
        The galaxy's line list, of the lines that are labelled; ``resources/lines.yaml``, that it may include.
    pdf, png : path-like
        Outputs; the same tables give the same bytes.
    settings : dict
        ``name``, ``z``, ``simulated``, ``lines`` with ``detection_snr`` and ``aperture_radius``, and ``figures`` with
        ``dpi``.

    Raises
    ------
    InputError
        A table cannot be read, or has no channels.
    """
    known = load_line_list(line_list, shipped_lines).lines
    bands, rows = [], []
    for spectrum, table in zip(spectra, lines, strict=True):
        _, band, found = read_lines(table, known)
        rows += [row | {"band": band} for row in found]
        bands.append(_read_spectrum(spectrum) | {"marks": [_mark(row, known, settings["z"]) for row in found]})
    bands.sort(key=lambda band: band["wavelength"][0])
    z, error, groups = redshift(rows)
    digits = max(5, 1 - int(np.floor(np.log10(error)))) if groups and error > 0 else 5
    text = f"z = {z:.{digits}f} ± {error:.{digits}f}"
    if not groups:
        text = f"z = {settings['z']:.4f} (catalogue; no line is detected)"
    head = {
        "name": settings["name"], "redshift": text, "simulated": settings["simulated"],
        "radius": settings["lines"]["aperture_radius"], "threshold": settings["lines"]["detection_snr"],
    }  # fmt: skip
    with paper_style():
        save_figure(draw_spectra(bands, head), pdf, png, settings["figures"]["dpi"])


def _read_spectrum(path):
    table = read_table(path, _COLUMNS)
    if len(table) < 2:
        raise InputError(f"{path} has {len(table)} channels; a spectrum needs two; make it again with the step lines.")
    columns = {
        name: np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan) for name in _COLUMNS if name != "masked"
    }
    masked = np.ma.filled(np.ma.asarray(table["masked"], dtype=bool), True)
    meta = {name: str(table.meta.get(name, "")) for name in ("band", "instrument")}
    return columns | meta | {"masked": masked | ~np.isfinite(columns["flux"])}


def _mark(row, known, z):
    """Where a line is: at its fitted redshift, else at the catalogue's."""
    found = row["z"] if np.isfinite(row["z"]) else z
    return {
        "line": row["line"],
        "wavelength": known[row["line"]].wavelength * (1 + found),
        "detected": row["detected"],
    }


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, draw_spectrum_figure)

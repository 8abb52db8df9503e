"""Global properties of the survey: Table 3, BPT classes, Figs 5 and 6 (Curti et al. 2020, Sect. 3.4.1 and 4.1)."""

import csv
from pathlib import Path

import numpy as np

from klever.errors import InputError
from klever.gas.bpt import load_curves
from klever.gas.galaxy_bpt import COLUMNS as BPT_COLUMNS
from klever.maps import MapSet
from klever.population.cosmic_age import age_of_universe
from klever.population.relations import load_relations
from klever.publish.bpt_figure import draw_bpt_figure
from klever.publish.figure_style import paper_style, save_figure
from klever.publish.offset_figure import draw_offset_figure
from klever.publish.scaling_figure import draw_scaling_figure
from klever.publish.table3 import COLUMNS, published_properties, table3_latex, table3_rows
from klever.row_tables import read_table, write_table

_REDSHIFTS = (0.07, 1.4, 2.2)  # of the main sequences in Fig. 6


def publish_global_properties(star_formation, properties, bpt, magnifications, lens_spreads, stellar_masses,
                              gas, published, bpt_lines, relations, mzr_local, mzr_steidel, table3, table3_tex,
                              table_bpt, fig05, fig05_png, fig06, fig06_png, offsets, offsets_png,
                              settings):  # fmt: skip
    """Write Table 3 with the published values beside, the BPT classes, and Figs 5 and 6.

    Parameters
    ----------
    star_formation, properties, bpt, magnifications : list of path-like
        Products of each galaxy, in the order of `settings`.
    lens_spreads : list of path-like
        ``lens_spread.ecsv`` of each galaxy, in the order of `settings`.
    stellar_masses : list of path-like
        ``stellar_mass.ecsv`` (galaxy, log_mstar, log_mstar_error_minus, log_mstar_error_plus, state) of the galaxies
        that have one; may be empty.
    gas : list of path-like
        ``ionised_gas.fits`` of each galaxy, in the order of `settings`.
    published, bpt_lines, relations, mzr_local, mzr_steidel : path-like
        resources/.
    table3, table3_tex, table_bpt, fig05, fig05_png, fig06, fig06_png, offsets, offsets_png : path-like
        Outputs.
    settings : dict
        ``galaxies`` (dicts with ``galaxy``, ``name``, ``lens`` and ``z``, in the order to print), ``simulated``,
        ``cosmology`` and ``figures``.

    Raises
    ------
    InputError
        A table cannot be read.
    """
    names = [entry["galaxy"] for entry in settings["galaxies"]]
    rates, first = {}, {}
    for kind, paths in (("sfr", star_formation), ("properties", properties), ("bpt", bpt), ("mu", magnifications)):
        tables = [_rows(path) for path in paths]
        rates[kind] = dict(zip(names, tables, strict=True))
        first[kind] = {name: rows[0] for name, rows in rates[kind].items()}
    masses = {row["galaxy"]: row for path in stellar_masses for row in _rows(path)[:1]}
    spreads = {name: _rows(path)[0] for name, path in zip(names, lens_spreads, strict=True)}
    rows = table3_rows(settings["galaxies"], rates["sfr"], first["properties"], first["bpt"], first["mu"], spreads,
                       masses, published_properties(published))  # fmt: skip
    simulated = settings["simulated"]
    meta = {"data": "simulated data" if simulated else "observed data"}
    write_table(table3, rows, COLUMNS, meta)
    Path(table3_tex).write_text(table3_latex(rows, simulated), encoding="utf-8")
    classes = [first["bpt"][name] for name in names]
    write_table(table_bpt, classes, BPT_COLUMNS, meta)

    whole = [_complete(row) for row in rows if row["region"] == "all"]
    ages = {z: float(age_of_universe(z, settings["cosmology"])) for z in _REDSHIFTS}
    dpi = settings["figures"]["dpi"]
    with paper_style():
        save_figure(draw_bpt_figure(classes, load_curves(bpt_lines), simulated), fig05, fig05_png, dpi)
        figure = draw_scaling_figure(
            whole, load_relations(relations), mzr_steidel, _local_mzr(mzr_local), ages, simulated
        )
        save_figure(figure, fig06, fig06_png, dpi)
        pixels = [_pixels(path, entry["z"]) for path, entry in zip(gas, settings["galaxies"], strict=True)]
        save_figure(draw_offset_figure(pixels, simulated), offsets, offsets_png, dpi)


def _pixels(path, z):
    """Return N2_OFFSET, its error, radius and velocity dispersion of the pixels of a galaxy in the N2 diagram."""
    maps = MapSet.read(path)
    names = ("N2_OFFSET", "RADIUS", "DISPERSION_HALPHA")
    if not all(name in maps for name in names):
        return {"z": z, "offset": np.zeros(0), "error": np.zeros(0), "radius": np.zeros(0), "dispersion": np.zeros(0)}
    known = np.isfinite(maps["N2_OFFSET"].value)
    columns = [maps[name].value[known] for name in names]
    return dict(zip(("offset", "radius", "dispersion"), columns, strict=True)) | {
        "z": z, "error": maps["N2_OFFSET"].error[known],
    }  # fmt: skip


def _rows(path):
    table = read_table(path)
    return [{name: _plain(row[name], table[name].dtype.kind) for name in table.colnames} for row in table]


def _plain(value, kind):
    if np.ma.is_masked(value):
        return np.nan if kind == "f" else None
    return value.item() if hasattr(value, "item") else value


def _complete(row):
    return {column.name: row.get(column.name) for column in COLUMNS} | {
        column.name: np.nan for column in COLUMNS if column.kind is float and row.get(column.name) is None
    }


def _local_mzr(path):
    try:
        with Path(path).open(encoding="utf-8", newline="") as stream:
            names = ("log_mstar_msun", "logoh12", "logoh12_scatter_dex")
            return np.array([[float(row[name]) for name in names] for row in csv.DictReader(stream)]).T
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} cannot be used as a mass-metallicity relation ({error}); restore it.") from error


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, publish_global_properties)

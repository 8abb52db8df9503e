"""The point-spread function of a pointing in all of its bands, from the stars of its exposures and combined cubes."""

import numpy as np

from klever.reduce.seeing_figure import draw_seeing
from klever.row_tables import read_table


def pointing_seeing(*, stars, noise, pdf, png, settings):
    """Draw the widths of the stars against time and band.

    Parameters
    ----------
    stars, noise : list of str
        stars.ecsv and noise.ecsv of each band.
    pdf, png : str
        Outputs.
    settings : dict
        pointing, bands (in the order of the tables), figures (dpi).

    Raises
    ------
    klever.errors.InputError
        A table cannot be read.
    """
    rows, combined, simulated = {}, {}, False
    for band, star_path, noise_path in zip(settings["bands"], stars, noise, strict=True):
        table = read_table(star_path, ["time", "fwhm", "fwhm_gauss"])
        simulated |= bool(table.meta.get("simulated", False))
        columns = {name: _numbers(table[name]) for name in ("time", "fwhm", "fwhm_gauss")}
        rows[band] = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        widths = _numbers(read_table(noise_path, ["psf_fwhm"])["psf_fwhm"])
        combined[band] = [float(width) for width in widths if np.isfinite(width)]
    draw_seeing(pdf, png, settings["pointing"], rows, combined, simulated, settings["figures"]["dpi"])


def _numbers(column):
    """Return a column as floats, NaN where it is masked."""
    return np.ma.filled(np.ma.asarray(column, float), np.nan)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, pointing_seeing)

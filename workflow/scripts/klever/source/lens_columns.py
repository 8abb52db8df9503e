"""Errors that the lens model leaves on global properties, as the survey's tables carry them: one source, lens_spread.

The spreads of ``lens_spread.ecsv`` are relative or in dex; here they get the units of what they belong to. The errors
over realisations of the analysis's model and over all models of the field stay apart, and apart from all other errors.
Of mu only the latter is needed: the error of ``mu_maps`` is the spread over realisations.
"""

import numpy as np

from klever.row_tables import Column

__all__ = ["COLUMNS", "lens_errors"]

_OVER = {"lens": "realisations of the lens model", "lens_models": "models of the field"}
_WHAT = {
    "sfr": ("sfr", "Msun yr-1"), "log_mstar": ("log_mstar", "dex"), "mu": ("mu_maps, relative", None),
    "length": ("lengths in the source plane (kpc per arcsec of the image), relative", None),
}  # fmt: skip

COLUMNS = {
    name: [
        Column(f"{name}_{end}", float, f"error of {what} from the {over}: half the 16-84 % interval", unit)
        for end, over in _OVER.items()
        if (name, end) != ("mu", "lens")
    ]
    for name, (what, unit) in _WHAT.items()
}  # fmt: skip


def lens_errors(spread, sfr):
    """Return the errors from the lens model of one galaxy or region.

    Parameters
    ----------
    spread : mapping
        Row of ``lens_spread.ecsv``; NaN where there are no realisations or models.
    sfr : float
        Star formation rate, Msun/yr.

    Returns
    -------
    dict of str to float
        By the names of `COLUMNS`; NaN where nothing is known.
    """
    errors = {column.name: float(spread[column.name]) for columns in COLUMNS.values() for column in columns}
    return errors | {f"sfr_{end}": errors[f"sfr_{end}"] * (np.nan if sfr is None else float(sfr)) for end in _OVER}

"""Read the tables of multiple images and of cluster members that a cluster is fitted to."""

import numpy as np

from klever.config.schema import nearest
from klever.errors import InputError
from klever.grids import sky_to_offsets
from klever.lensfit.cluster import Images, Members

__all__ = ["read_images", "read_members", "table_meta"]

_POSITIONS = (("ra", "dec"), ("x", "y"))
_IMAGES = {"family", "image", "ra", "dec", "x", "y", "z", "error", "note"}
_MEMBERS = {"member", "ra", "dec", "x", "y", "magnitude", "note"}
_FIELD = 300.0  # arcsec from the centre; no cluster has members or images farther out that matter


def read_images(path, centre, z_lens):
    """Read a table of multiple images.

    Parameters
    ----------
    path : path
        ECSV, or text with tabs between columns: `family`; `ra`, `dec` (degrees) or `x`, `y` (arcsec to the west and
        north of the centre); `z`, empty where it is to be fitted, the same for all images of a family; `error` (arcsec,
        1 sigma of each coordinate); optionally `image`, a name, and `note`.
    centre : pair of float
        (ra, dec) of the lens, degrees.
    z_lens : float

    Returns
    -------
    klever.lensfit.cluster.Images
        Families in the order of their first image.

    Raises
    ------
    InputError
        See the messages.
    """
    table = _table(path, _IMAGES, ("family", "z", "error"))
    z = _positions(table, path, centre, "image")
    error = _numbers(table, "error", path)
    _refuse(error <= 0, path, error, "error", "must be greater than 0")
    family = [_text(value) for value in table["family"]]
    names = list(dict.fromkeys(family))
    labels = [_text(value) for value in table["image"]] if "image" in table.colnames else None
    redshift = _numbers(table, "z", path, may_miss=True)
    _refuse(redshift <= z_lens, path, redshift, "z", f"is not behind the lens (z = {z_lens:g}); leave the family out")
    numbers = np.array([names.index(name) for name in family])
    by_family = np.full(len(names), np.nan)
    for i, name in enumerate(names):
        rows = np.flatnonzero(numbers == i)
        if len(rows) < 2:
            raise InputError(
                f"{path}: family {name} has one image, which says nothing of the lens; add its counter-images or "
                "leave it out."
            )
        own = redshift[rows]
        known = own[np.isfinite(own)]
        if len(known) and (len(known) < len(own) or np.ptp(known) > 1e-4):
            raise InputError(f"{path}: the images of family {name} have different redshifts; give them one, or none.")
        by_family[i] = own[0]
        apart = np.abs(z[rows][:, None] - z[rows]) + np.diag(np.full(len(rows), np.inf))
        if apart.min() < 1e-3:
            raise InputError(f"{path}: family {name} has the same image twice; leave one out.")
    if not np.isfinite(by_family).any():
        raise InputError(f"{path}: no family has a redshift, so the mass cannot be told; give at least one.")
    if labels is None:
        count = dict.fromkeys(names, 0)
        labels = []
        for name in family:
            count[name] += 1
            labels.append(f"{name}.{count[name]}")
    return Images(z, error, numbers, by_family, names, labels)


def read_members(path, centre):
    """Read a table of cluster members.

    Parameters
    ----------
    path : path or None
        ECSV, or text with tabs between columns: `ra`, `dec` or `x`, `y` as of images; `magnitude`, all in one filter;
        optionally `member` and `note`. None: no members.
    centre : pair of float

    Returns
    -------
    klever.lensfit.cluster.Members

    Raises
    ------
    InputError
        See the messages.
    """
    if path is None:
        return Members()
    table = _table(path, _MEMBERS, ("magnitude",))
    return Members(_positions(table, path, centre, "member"), _numbers(table, "magnitude", path))


def table_meta(path):
    """Return `centre` ([ra, dec] or None) and `simulated` that the metadata of a table state."""
    meta = _read(path).meta
    centre = meta.get("centre")
    return {
        "centre": None if centre is None else [float(value) for value in centre],
        "simulated": bool(meta.get("simulated", False)),
    }


def _read(path):
    from astropy.table import Table

    text = str(path)
    try:
        return Table.read(text, format="ascii.ecsv" if text.lower().endswith(".ecsv") else "ascii.tab")
    except Exception as error:  # astropy raises many kinds for a damaged table
        raise InputError(f"{text} cannot be read as an ECSV or tab-separated table ({error}).") from error


def _table(path, known, needed):
    table = _read(path)
    for name in table.colnames:
        if name not in known:
            raise InputError(f"{path}: unknown column {name}{nearest(name, sorted(known))}")
    for name in needed:
        if name not in table.colnames:
            raise InputError(f"{path} has no column {name}; add it.")
    if not len(table):
        raise InputError(f"{path} has no rows.")
    return table


def _text(value):
    return str(value).strip()


def _numbers(table, name, path, may_miss=False):
    column = table[name]
    missing = np.ma.getmaskarray(column)
    values = np.full(len(column), np.nan)
    for i in np.flatnonzero(~missing):
        text = _text(column[i])
        try:
            values[i] = float(text) if text else np.nan
        except ValueError:
            raise InputError(f"{path}: row {i + 1}: {name} is {text!r}, which is no number.") from None
    if not may_miss:
        _refuse(~np.isfinite(values), path, values, name, "must be a number")
    return values


def _refuse(bad, path, values, name, what):
    if np.any(bad):
        row = int(np.argmax(bad))
        raise InputError(f"{path}: row {row + 1}: {name} is {values[row]:g}, but {what}.")


def _positions(table, path, centre, what):
    given = [pair for pair in _POSITIONS if any(name in table.colnames for name in pair)]
    if len(given) != 1 or not all(name in table.colnames for name in given[0]):
        raise InputError(f"{path} needs the columns ra and dec (degrees) or x and y (arcsec west and north).")
    first, second = (_numbers(table, name, path) for name in given[0])
    if given[0] == ("ra", "dec"):
        first, second = sky_to_offsets(first, second, *centre)
    distance = np.hypot(first, second)
    far = ~(distance <= _FIELD)
    if far.any():
        row = int(np.argmax(far))
        raise InputError(
            f"{path}: row {row + 1}: the {what} lies {distance[row]:.0f} arcsec from the lens at ra {centre[0]:.5f}, "
            f"dec {centre[1]:.5f}, outside its field of {_FIELD:.0f} arcsec; correct the position or the centre."
        )
    return first + 1j * second

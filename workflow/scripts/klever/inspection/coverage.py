"""Which galaxies the maps of a lens model do not cover."""

import numpy as np

from klever.errors import InputError
from klever.grids import Grid

__all__ = ["uncovered"]


def uncovered(maps, places):
    """Say which galaxies lie outside the maps of a lens model, or where one of them has no value.

    Parameters
    ----------
    maps : dict of str to tuple
        By kind: data, shape (ny, nx), celestial header, header.
    places : dict of str to pair of float
        Right ascension and declination of each galaxy, degrees.

    Returns
    -------
    list of str
    """
    found = []
    for galaxy, place in places.items():
        for kind, (data, wcs, _) in maps.items():
            try:
                x, y = (int(np.rint(v.item())) for v in Grid(wcs, data.shape, place).pixels(np.zeros(1), np.zeros(1)))
            except (InputError, ValueError):  # on the other side of the sky
                x, y = -1, -1
            inside = 0 <= x < data.shape[1] and 0 <= y < data.shape[0]
            if inside and np.isfinite(data[y, x]):
                continue
            problem = f"its {kind} is NaN there (pixel {x + 1}, {y + 1})" if inside else f"its {kind} ends before it"
            found.append(
                f"the model does not cover {galaxy}: {problem}, and it will fail: "
                "check its position and the WCS of the map, or give it another lens"
            )
            break
    return found

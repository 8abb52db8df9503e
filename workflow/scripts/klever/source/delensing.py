"""The averaging operator of a galaxy by the method the user chose: traced sub-pixels, or overlaps of polygons."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from klever.errors import ConfigError
from klever.source.sourceplane import SourceGrid, averaging_operator, source_grid, trace

__all__ = ["METHODS", "Delensing", "delens"]

METHODS = ("subpixels", "polygons")


@dataclass
class Delensing:
    """How image pixels become source pixels.

    Parameters
    ----------
    grid : SourceGrid
    operator : scipy.sparse.csr_matrix, shape (source pixels, image pixels)
        Rows sum to 1; those of holes are empty.
    coverage : ndarray, shape (source pixels,)
        Image pixels (a sum of fractions) in each source pixel.
    """

    grid: SourceGrid
    operator: sparse.csr_matrix
    coverage: np.ndarray


def delens(alpha, offsets, centre, options, select=None, grid=None):
    """Make the operator from the image plane to a grid in the source plane.

    Parameters
    ----------
    alpha : pair of ndarray, shape (ny, nx)
        Deflection, arcsec west and north; NaN outside the lens model.
    offsets : pair of ndarray, shape (ny, nx)
        Positions of the pixel centres, arcsec west and north.
    centre : pair of float
        Offset, arcsec, of the central pixel of the source-plane grid.
    options : mapping
        ``method``: 'subpixels', each image pixel divided in ``subpixels`` x ``subpixels`` rays, or 'polygons', the
        exact overlap of the mapped pixels (`klever.source.polygon_overlap`); ``pixel_scale``, arcsec.
    select : ndarray of bool, shape (ny, nx), optional
        Image pixels that count, for example those of one image of the source.
    grid : SourceGrid, optional
        The one to map to; by default it is centred and covers the whole field, whatever is selected.

    Returns
    -------
    Delensing

    Raises
    ------
    ConfigError
        An unknown method.
    InputError
        Polygons of a map that is one pixel wide.
    """
    method, subpixels = options["method"], int(options["subpixels"])
    if method not in METHODS:
        raise ConfigError(f"source.method: {method!r} is not known; choose {' or '.join(METHODS)}.")
    usable = np.isfinite(alpha[0]) & np.isfinite(alpha[1])
    rays = None
    if method == "subpixels" or grid is None:
        rays = trace(*alpha, *offsets, subpixels)
    if grid is None:
        grid = source_grid(*rays[:2], centre, float(options["pixel_scale"]))
    chosen = usable if select is None else usable & select
    if method == "subpixels":
        if select is not None:
            keep = chosen.ravel()[rays[2]]
            rays = tuple(part[keep] for part in rays)
        operator, landed = averaging_operator(*rays, usable.size, grid)
        return Delensing(grid, operator, landed / subpixels**2)
    from klever.source.polygon_overlap import polygon_operator
    from klever.source.sourceplane import trace_corners

    return Delensing(grid, *polygon_operator(*trace_corners(*alpha, *offsets), chosen, grid))

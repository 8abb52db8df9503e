"""The part of a source-plane grid that a page shows, in kiloparsecs from the centre of the galaxy."""

import numpy as np

__all__ = ["Frame"]


class Frame:
    """Kiloparsecs from the centre of the galaxy, for the pixels of a source-plane grid.

    Parameters
    ----------
    source : klever.maps.MapSet
        With PIXSCALE (arcsec), KPC_ARC (kpc per arcsec), XC and YC (0-based pixels) in its header.

    Attributes
    ----------
    kpc_per_pixel : float
    shape : (int, int)
        ny, nx.
    extent : list of float
        Left, right, bottom, top edge of the grid in kpc, for ``imshow``.
    """

    def __init__(self, source):
        header = source.header
        self.shape = source[source.names()[0]].value.shape if source.names() else (1, 1)
        ny, nx = self.shape
        self.kpc_per_pixel = float(header.get("PIXSCALE", 1.0)) * float(header.get("KPC_ARC", 1.0))
        self.x_centre = float(header.get("XC", (nx - 1) / 2))
        self.y_centre = float(header.get("YC", (ny - 1) / 2))
        edges = self.offset(np.array([-0.5, nx - 0.5]), np.array([-0.5, ny - 0.5]))
        self.extent = [*edges[0], *edges[1]]
        matrix = np.array([[header.get(f"CD{i}_{j}", header.get(f"CDELT{i}", (-1.0, 1.0)[i - 1]) *
                            header.get(f"PC{i}_{j}", float(i == j))) for j in (1, 2)] for i in (1, 2)])  # fmt: skip
        east, north = np.linalg.inv(matrix).T if abs(np.linalg.det(matrix)) > 0 else np.array([[-1.0, 0], [0, 1.0]])
        self.east, self.north = east / np.hypot(*east), north / np.hypot(*north)

    def offset(self, x, y):
        """Return kpc from the centre, x along the rows, y along the columns, of 0-based pixels."""
        return (x - self.x_centre) * self.kpc_per_pixel, (y - self.y_centre) * self.kpc_per_pixel

    def half_width(self, measured, flux, reach):
        """Return half the side in kpc of a square about the centre that shows the galaxy.

        Parameters
        ----------
        measured : ndarray, shape (ny, nx)
            A map all of whose finite pixels are to be seen, or all NaN.
        flux : ndarray, shape (ny, nx)
            Shown down to a tenth of its peak when nothing is `measured`: single noisy pixels, which de-lensing can
            throw far out, must not shrink the galaxy to a dot.
        reach : float
            Radius in kpc to be seen in any case; 0 for none.
        """
        seen = np.isfinite(measured)
        if not seen.any() and np.isfinite(flux).any():
            seen = np.nan_to_num(flux, nan=-np.inf) >= 0.1 * np.nanmax(flux)
        y, x = (values.astype(float) for values in np.nonzero(seen))
        if x.size == 0 and not reach:
            return max(np.abs(self.extent))
        distances = np.maximum(*np.abs(self.offset(x, y)))
        outermost = np.percentile(distances, 99) if distances.size else 0.0
        return 1.25 * max(reach, self.kpc_per_pixel, outermost)

"""What the page on the quality of the fits shows of one band and group: maps, flags and the choice of spaxels."""

import numpy as np

from klever.maps import Flag, masked

__all__ = ["FLAG_COLOURS", "OTHER_FLAG", "Block", "choose_spaxels", "matrix_of", "pixel_of", "worst_flag"]

# The most serious first: a spaxel with several flags has the colour of the first.  Hues of Okabe & Ito (2008).
FLAG_COLOURS = {
    Flag.NO_DATA: "#DDDDDD", Flag.NOT_FITTED: "#000000", Flag.LOW_COVERAGE: "#7F5A2A", Flag.RESIDUAL: "#D55E00",
    Flag.VELOCITY_BOUND: "#0072B2", Flag.ON_SKY_LINE: "#F0E442", Flag.DISPERSION_BOUND: "#56B4E9",
    Flag.RATIO_BOUND: "#CC79A7", Flag.NOT_DETECTED: "#999999",
}  # fmt: skip
OTHER_FLAG = "#009E73"
_MIDDLE_SNR = 5.0
_NEAR = 0.12  # in ln(S/N): among spaxels this close to the wanted S/N the one nearest to the brightest is shown
_APART = 4.0  # spaxels between those shown, where there is a choice


class Block:
    """What the page shows of one band and one group.

    Parameters
    ----------
    band, group : str
        Names; the group as in ``VELOCITY_<GROUP>``.
    maps : klever.maps.MapSet
    main : str
        Map of the main line.
    cube_header : astropy.io.fits.Header
        With RA and DEC (degree), from which offsets count; without them from the middle of the field.
    """

    def __init__(self, band, group, maps, main, cube_header=None):
        self.band, self.group, self.maps, self.main = band, group.upper(), maps, main
        self.fits = []
        self.scale = float(maps.header["SPAXEL"])
        self.flux = masked(maps, main)[0]
        self.shape = self.flux.shape
        error = maps[main].error
        with np.errstate(invalid="ignore", divide="ignore"):
            self.snr = np.where(error > 0, self.flux / error, np.nan)
        self.velocity, self.dispersion, self.chi2 = (
            masked(maps, f"{kind}_{self.group}")[0] if f"{kind}_{self.group}" in maps else np.full(self.shape, np.nan)
            for kind in ("VELOCITY", "DISPERSION", "CHI2")
        )
        flags = [maps[name].flags for name in (main, f"VELOCITY_{self.group}") if maps[name].flags is not None]
        self.flags = np.bitwise_or.reduce(flags) if flags else np.zeros(self.shape, np.uint16)
        ny, nx = self.shape
        self.centre = pixel_of(maps.header, cube_header) or (0.5 * (nx - 1), 0.5 * (ny - 1))

    @property
    def extent(self):
        """Left, right, bottom and top edge of the grid in arcsec, for ``imshow``."""
        ny, nx = self.shape
        (x, y), scale = self.centre, self.scale
        return [(-0.5 - x) * scale, (nx - 0.5 - x) * scale, (-0.5 - y) * scale, (ny - 0.5 - y) * scale]

    def offset(self, x, y):
        """Return arcsec from the catalogue position along the rows and columns of the grid."""
        return (x - self.centre[0]) * self.scale, (y - self.centre[1]) * self.scale


def pixel_of(header, cube_header):
    """0-based pixel of the catalogue position, None if it is unknown or outside the field."""
    if cube_header is None or "RA" not in cube_header or "CRVAL1" not in header:
        return None
    dec0 = np.radians(header["CRVAL2"])
    east = (cube_header["RA"] - header["CRVAL1"] + 180.0) % 360.0 - 180.0
    sky = np.array([east * np.cos(dec0), cube_header["DEC"] - header["CRVAL2"]])
    matrix = matrix_of(header)
    if abs(np.linalg.det(matrix)) < 1e-20 or np.hypot(*sky) > 0.02:
        return None
    x, y = np.linalg.solve(matrix, sky)
    return float(x + header["CRPIX1"] - 1), float(y + header["CRPIX2"] - 1)


def matrix_of(header):
    """Degrees per pixel, towards east and north."""
    return np.array([[header.get(f"CD{i}_{j}", header.get(f"CDELT{i}", 0.0) * header.get(f"PC{i}_{j}", float(i == j)))
                      for j in (1, 2)] for i in (1, 2)], float)  # fmt: skip


def choose_spaxels(flux, snr, chi2, flags, threshold):
    """Choose the spaxels whose spectra are shown.

    Parameters
    ----------
    flux, snr, chi2 : ndarray, shape (ny, nx)
        Of the main line; NaN where there is no fit.
    flags : ndarray of int, shape (ny, nx)
    threshold : float
        S/N of a detection.

    Returns
    -------
    dict of str to (int, int)
        x and y (0-based) of ``brightest`` (of the detected spaxels; with none, the largest S/N), ``middle`` (S/N
        near 5), ``limit`` (S/N near `threshold`) and ``worst`` (the largest reduced chi2 of those flagged
        ``RESIDUAL``, else of the detected ones, else of all).  All different; a kind of which there is no spaxel
        is left out.
    """
    fitted = np.isfinite(flux) & np.isfinite(snr)
    chosen, free = {}, fitted.copy()
    if not fitted.any():
        return chosen

    def take(kind, score):
        y, x = (int(value) for value in np.unravel_index(np.argmax(np.where(free, score, -np.inf)), flux.shape))
        chosen[kind] = (x, y)
        free[y, x] = False

    detected = fitted & (snr >= threshold)
    take("brightest", np.where(detected, flux, -np.inf) if detected.any() else snr)
    x, y = chosen["brightest"]
    rows, columns = np.indices(flux.shape)
    distance = np.hypot(columns - x, rows - y)
    for kind, wanted in (("middle", _MIDDLE_SNR), ("limit", threshold)):
        with np.errstate(invalid="ignore", divide="ignore"):
            off = np.abs(np.log(snr / wanted))
        near = free & (off < _NEAR)
        apart = near.copy()
        for column, row in chosen.values():
            apart &= np.hypot(columns - column, rows - row) >= _APART
        if near.any():
            take(kind, np.where(apart if apart.any() else near, -distance, -np.inf))
    known = free & np.isfinite(chi2)
    for candidates in (known & ((flags & int(Flag.RESIDUAL)) != 0), known & detected, known):
        if candidates.any():
            take("worst", np.where(candidates, chi2, -np.inf))
            break
    return chosen


def worst_flag(flags):
    """Most serious flag of every spaxel as an index into the list of colours, 0 where there is none.

    Parameters
    ----------
    flags : ndarray of int, shape (ny, nx)

    Returns
    -------
    ndarray of int, shape (ny, nx)
        i + 1 for the i-th entry of `FLAG_COLOURS`, ``len(FLAG_COLOURS) + 1`` for any other flag.
    """
    index = np.where(flags != 0, len(FLAG_COLOURS) + 1, 0)
    for place, flag in reversed(list(enumerate(FLAG_COLOURS, start=1))):
        index[(flags & int(flag)) != 0] = place
    return index

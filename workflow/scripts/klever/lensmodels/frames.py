"""Flat frames in which lens models are written, and the way between them and the tangent plane of a galaxy.

Two tangent planes some arcmin apart differ by a rotation of up to 1e-3; image and source positions are therefore
carried over the sky, so that images that meet in the plane of the model meet in that of the galaxy.
"""

import numpy as np

from klever.grids import offsets_to_sky, sky_to_offsets

__all__ = ["PlateFrame", "TangentFrame", "deflection_between"]


class TangentFrame:
    """Tangent plane at (ra, dec) in degrees, y to the north, x to the west (``x_sign`` 1) or to the east (-1)."""

    def __init__(self, ra, dec, x_sign=1):
        self.ra, self.dec, self.x_sign = float(ra), float(dec), x_sign

    def from_sky(self, ra, dec):
        """Degrees to arcsec."""
        west, north = sky_to_offsets(ra, dec, self.ra, self.dec)
        return self.x_sign * west, north

    def to_sky(self, x, y):
        """Arcsec to degrees."""
        return offsets_to_sky(self.x_sign * np.asarray(x), y, self.ra, self.dec)


class PlateFrame:
    """Lenstool's frame: x = -(ra - ra0) cos(dec0) to the west, y = dec - dec0, in arcsec; no projection."""

    def __init__(self, ra, dec):
        self.ra, self.dec = float(ra), float(dec)
        self.shrink = np.cos(np.radians(self.dec))

    def from_sky(self, ra, dec):
        """Degrees to arcsec."""
        difference = (np.asarray(ra) - self.ra + 180.0) % 360.0 - 180.0
        return -difference * self.shrink * 3600.0, (np.asarray(dec) - self.dec) * 3600.0

    def to_sky(self, x, y):
        """Arcsec to degrees."""
        return self.ra - np.asarray(x) / (3600.0 * self.shrink), self.dec + np.asarray(y) / 3600.0


def deflection_between(frame, plane, x, y, alpha_x, alpha_y):
    """Return a deflection of `frame`, at positions of `frame`, as arcsec in `plane`."""
    image = plane.from_sky(*frame.to_sky(x, y))
    source = plane.from_sky(*frame.to_sky(x - alpha_x, y - alpha_y))
    return image[0] - source[0], image[1] - source[1]

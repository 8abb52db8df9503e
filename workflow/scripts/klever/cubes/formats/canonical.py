"""A cube that klever wrote."""

import numpy as np

from klever.cubes.cube import DQ
from klever.cubes.fitsfiles import pixels
from klever.cubes.formats.base import Layers, named, register


@register
class Canonical:
    """A cube that klever wrote: SCI, ERR, DQ, WAVELENGTH."""

    name = "canonical"

    def matches(self, hdus):
        """Accept SCI with a stored wavelength."""
        return named(hdus, "SCI") is not None and any(hdu.name == "WAVELENGTH" for hdu in hdus)

    def layers(self, hdus, extension):
        """See `Layers`."""
        stored = pixels(next(hdu for hdu in hdus if hdu.name == "WAVELENGTH"), hdus.filename())
        # outliers and sky lines are found afresh, with the settings of today
        bits = int(DQ.INSTRUMENT)
        return Layers(
            named(hdus, "SCI"), named(hdus, "ERR"), quality=named(hdus, "DQ"), bad_bits=bits,
            wavelength=np.asarray(stored, dtype=float),
        )  # fmt: skip

"""No lens: the image is the source."""

import numpy as np

from klever.lensmodels.base import Fields, LensModel

__all__ = ["NoLens"]


class NoLens(LensModel):
    """Model of galaxies that are not lensed: no deflection anywhere."""

    origin = "none"

    def __init__(self, name="none", z_lens=None):
        super().__init__(name, z_lens)

    def dls_ds(self, z_source, cosmology):
        """Return 0."""
        return 0.0

    def evaluate(self, west, north, z_source, cosmology, step=0.065):
        """Return fields that are zero; see `LensModel.evaluate`."""
        zero = np.zeros(np.broadcast_shapes(np.shape(west), np.shape(north)))
        return Fields((zero, zero), zero, zero)

"""What every lens model can do, whatever it was made from: fields at any position, source redshift and cosmology.

Positions are offsets in arcsec, x to the west and y to the north, in the plane tangent to the sky at the model's
`centre` (usually the galaxy); source = image - alpha (Curti et al. 2020, Sect. 3.2.2).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from klever.cosmology import distance_ratio
from klever.errors import ConfigError

__all__ = ["Consistency", "Fields", "LensModel", "convergence_and_shear", "magnification", "reference_ratio"]


@dataclass
class Fields:
    """Fields of a lens model for one source redshift, arrays of the positions' shape.

    Parameters
    ----------
    alpha : pair of ndarray or None
        Deflection to the west and to the north, arcsec; None for realisations that have none.
    kappa, gamma : ndarray
        Convergence and modulus of the shear.

    All are NaN outside the model and where it has no data.
    """

    alpha: tuple | None
    kappa: np.ndarray
    gamma: np.ndarray

    @property
    def mu(self):
        """Signed magnification; see `magnification`."""
        return magnification(self.kappa, self.gamma)

    @property
    def inside(self):
        """Where the model covers the position with all its fields."""
        inside = np.isfinite(self.kappa) & np.isfinite(self.gamma)
        for component in self.alpha or ():
            inside &= np.isfinite(component)
        return inside


@dataclass
class Consistency:
    """How well the maps of a model agree with each other near the galaxy.

    Parameters
    ----------
    kappa, gamma : float
        What the derivatives of the deflection give, over the map of convergence (shear): 1 if they agree, NaN if that
        cannot be said.
    problem : str
        What is wrong, as the end of a sentence; empty if nothing is.
    """

    kappa: float = np.nan
    gamma: float = np.nan
    problem: str = ""


class LensModel(ABC):
    """A lens model of any origin.

    Parameters
    ----------
    name : str
        For messages.
    z_lens : float or None
        Redshift of the lens; None without one.
    """

    origin = "none"

    def __init__(self, name, z_lens):
        self.name, self.z_lens = name, z_lens

    def dls_ds(self, z_source, cosmology):
        """Return Dls/Ds of a source; 0 if it lies in front of the lens.

        Parameters
        ----------
        z_source : float
        cosmology : mapping
            H0, Om0, Ode0.
        """
        return distance_ratio(self.z_lens, float(z_source), cosmology)

    @abstractmethod
    def evaluate(self, west, north, z_source, cosmology, step=0.065):
        """Return the fields of the lens for a source.

        Parameters
        ----------
        west, north : ndarray
            Positions, arcsec.
        z_source : float
        cosmology : mapping
            H0, Om0, Ode0.
        step : float
            Arcsec; derivatives of a deflection that comes without convergence or shear are differences over it.

        Returns
        -------
        Fields
            NaN outside the model; nothing is extrapolated. All zero for a source in front of the lens.
        """

    def realisations(self, number, seed=0):
        """Return other models that the data of this one allow.

        Parameters
        ----------
        number : int or None
            At most so many; all there are if None.
        seed : int
            Of the draw; the same seed gives the same models.

        Returns
        -------
        list of LensModel
            Empty for a model without realisations.
        """
        return []

    def consistency(self, west, north):
        """Compare what the model says twice, near some positions (arcsec); only maps can contradict themselves."""
        return Consistency()


def magnification(kappa, gamma):
    """Return the signed magnification 1 / ((1 - kappa)^2 - gamma^2); infinite on a critical line."""
    with np.errstate(divide="ignore"):
        return 1.0 / ((1.0 - kappa) ** 2 - gamma**2)


def convergence_and_shear(jacobian):
    """Return kappa and |gamma| of d alpha / d theta, shape (2, 2, ...)."""
    kappa = 0.5 * (jacobian[0, 0] + jacobian[1, 1])
    gamma1 = 0.5 * (jacobian[0, 0] - jacobian[1, 1])
    gamma2 = 0.5 * (jacobian[0, 1] + jacobian[1, 0])
    return kappa, np.hypot(gamma1, gamma2)


def reference_ratio(name, z_lens, normalisation, cosmology):
    """Return the Dls/Ds for which the numbers of a model are meant.

    Parameters
    ----------
    name : str
        Of the lens, for the message.
    z_lens : float
    normalisation : float, mapping or None
        Dls/Ds itself (1.0, also if None, for Frontier Fields and CLASH maps) or ``{"z_source": z}``, the source
        redshift for which the model was made.
    cosmology : mapping
        H0, Om0, Ode0.

    Raises
    ------
    ConfigError
        The normalisation is not positive, or its redshift is not behind the lens.
    """
    normalisation = 1.0 if normalisation is None else normalisation
    if isinstance(normalisation, dict):
        reference = distance_ratio(z_lens, float(normalisation["z_source"]), cosmology)
    else:
        reference = float(normalisation)
    if not reference > 0:
        raise ConfigError(
            f"lens {name}: normalisation {normalisation} must be a positive Dls/Ds or a z_source "
            f"behind the lens (z = {z_lens})."
        )
    return reference

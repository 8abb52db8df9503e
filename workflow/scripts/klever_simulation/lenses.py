"""Simulated lenses: sums of analytic profiles read from ``resources/simulation/lenses.yaml``.

Frame: tangent-plane offsets from (`ra`, `dec`) in arcsec, x to the west, y to the north; source = image - deflection.
"""

import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from klever.errors import InputError
from klever_simulation.distances import angular_distance
from klever_simulation.profiles import DualIsothermal, PowerLaw, Shear

__all__ = ["Component", "LensModel", "dls_over_ds", "load_lens"]

SPEED_OF_LIGHT = 299792.458  # km/s
ARCSEC = np.rad2deg(1.0) * 3600  # in a radian

REQUIRED = {
    "dpie": {"x", "y", "sigma", "core", "cut"},
    "power_law": {"x", "y", "einstein_radius"},
    "shear": {"gamma", "angle"},
}
OPTIONAL = {"dpie": {"ellipticity", "angle"}, "power_law": {"slope", "axis_ratio", "angle"}, "shear": set()}
_CACHED = 2**13  # positions worked on at a time
FRACTIONAL = ("sigma", "core", "cut", "einstein_radius")  # errors of these are relative


def dls_over_ds(z_lens, z_source):
    """Return Dls / Ds of angular diameter distances (H0 67.8, Om0 0.308, Ode0 0.69); 0 for a source before the lens."""
    if z_source <= z_lens:
        return 0.0
    return angular_distance(z_lens, z_source) / angular_distance(0.0, z_source)


@dataclass(frozen=True)
class Component:
    """A profile times its strength for Dls/Ds = 1 (arcsec of deflection for a dPIE, a pure number for a shear)."""

    name: str
    strength: float
    profile: DualIsothermal | PowerLaw | Shear


@dataclass
class LensModel:
    """A simulated lens.

    Parameters
    ----------
    name : str
        Key of the lens.
    ra, dec : float
        Reference centre of the offsets, deg.
    z_lens : float
        Redshift of the lens.
    parameters : list of dict
        The components as written in the YAML file: ``type`` ``dpie`` (`sigma` in km/s: the deflection of a singular
        isothermal sphere would be 4 pi (sigma/c)^2 Dls/Ds), ``power_law`` (`einstein_radius` in arcsec at
        `z_reference`) or ``shear`` (`gamma` at `z_reference`).
    errors : dict
        Of each `group` of components, the 1 sigma spread of its parameters between realisations: relative for velocity
        dispersions and radii, absolute for the others. A group is drawn once: its members vary together.
    z_reference : float, optional
        Source redshift of `einstein_radius` and `gamma`; None: they hold for Dls/Ds = 1.
    source, image : tuple of float, optional
        Offsets (arcsec) of the simulated source in the source plane and of its arc, where the lens has one source.
    maps : dict
        ``pixel_scale``, ``range_pixel_scale`` and ``size`` (arcsec) of its maps where they are not the survey's.
    """

    name: str
    ra: float
    dec: float
    z_lens: float
    parameters: list
    errors: dict = field(default_factory=dict)
    z_reference: float | None = None
    source: tuple[float, float] | None = None
    image: tuple[float, float] | None = None
    maps: dict = field(default_factory=dict)

    def __post_init__(self):
        reference = 1.0 if self.z_reference is None else dls_over_ds(self.z_lens, self.z_reference)
        self.components = tuple(_component(entry, reference) for entry in self.parameters)

    def deflection(self, x, y, z_source):
        """Return (alpha_x, alpha_y), arcsec to the west and north, for sources at `z_source`, of the shape of `x`."""
        return self._sum(lambda profile, *position: profile.deflection(*position), 2, x, y, z_source)

    def convergence_shear(self, x, y, z_source):
        """Return (kappa, gamma1, gamma2) for sources at `z_source`, each of the shape of `x`."""
        return self._sum(lambda profile, *position: profile.convergence_shear(*position), 3, x, y, z_source)

    def magnification(self, x, y, z_source):
        """Return the signed point magnification 1 / ((1 - kappa)^2 - gamma^2), of the shape of `x`."""
        kappa, gamma1, gamma2 = self.convergence_shear(x, y, z_source)
        return 1 / ((1 - kappa) ** 2 - gamma1**2 - gamma2**2)

    def realisation(self, seed):
        """Return the lens with its parameters drawn about the best ones with `errors`; the same for the same seed."""
        rng = np.random.default_rng([int(seed), zlib.crc32(self.name.encode())])
        draws = {}
        for group, spreads in self.errors.items():
            draws[group] = {key: spread * rng.standard_normal() for key, spread in spreads.items()}
        perturbed = [_perturbed(entry, draws.get(entry.get("group"), {})) for entry in self.parameters]
        return replace(self, parameters=perturbed)

    def _sum(self, evaluate, number, x, y, z_source):
        """Sum over the components; `z_source` None is Dls/Ds = 1."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        flat_x, flat_y, total = x.ravel(), y.ravel(), np.zeros((number, x.size))
        # the many circular members in blocks; others whole, because complex numbers are rounded by where they are
        blocked = [getattr(component.profile, "circular", False) for component in self.components]
        whole = [
            None if apart else np.reshape(evaluate(component.profile, x, y), (number, -1))
            for component, apart in zip(self.components, blocked, strict=True)
        ]
        for start in range(0, x.size, _CACHED):
            block = slice(start, start + _CACHED)
            for component, known in zip(self.components, whole, strict=True):
                if known is None:
                    values = evaluate(component.profile, flat_x[block], flat_y[block])
                else:
                    values = known[:, block]
                for part, value in zip(total[:, block], values, strict=True):
                    part += component.strength * value
        total *= 1.0 if z_source is None else dls_over_ds(self.z_lens, float(z_source))
        return tuple(part.reshape(x.shape) for part in total)


def load_lens(name, path):
    """Read one lens from a YAML file of lenses.

    Parameters
    ----------
    name : str
        Key of the lens in the file.
    path : str or Path
        The YAML file.

    Returns
    -------
    LensModel

    Raises
    ------
    InputError
        If the file, the lens or a parameter is missing, unknown or out of range.
    """
    import yaml

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: the file of simulated lenses does not exist; restore it or give another path")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    lenses = yaml.load(path.read_text(), Loader=loader) or {}
    if name not in lenses:
        raise InputError(f"{path}: no simulated lens called {name!r}; it holds {', '.join(lenses) or 'none'}")
    entry = dict(lenses[name])
    missing = {"ra", "dec", "z_lens", "components"} - entry.keys()
    if missing:
        raise InputError(f"{path}: lens {name} lacks {', '.join(sorted(missing))}; add it to its entry")
    try:
        parameters = entry.pop("components")
        for key in ("source", "image"):
            if entry.get(key) is not None:
                entry[key] = tuple(map(float, entry[key]))
        return LensModel(name=name, parameters=parameters, **entry)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"{path}: lens {name} cannot be used: {error}; correct its entry") from error


def _component(entry, reference):
    kind, label = entry.get("type"), entry.get("name", "a component")
    if kind not in REQUIRED:
        raise ValueError(f"{label} has the type {kind!r}, which is none of {', '.join(REQUIRED)}")
    keys = entry.keys() - {"type", "name", "group"}
    if REQUIRED[kind] - keys or keys - REQUIRED[kind] - OPTIONAL[kind]:
        raise ValueError(f"{label} ({kind}) needs {sorted(REQUIRED[kind])} and may have {sorted(OPTIONAL[kind])}")
    values = {key: float(entry[key]) for key in keys}
    if kind == "dpie":
        strength = 4 * np.pi * (values.pop("sigma") / SPEED_OF_LIGHT) ** 2 * ARCSEC
        return Component(label, strength, DualIsothermal(**values))
    if kind == "shear":
        return Component(label, values.pop("gamma") / reference, Shear(**values))
    radius = values.pop("einstein_radius")
    profile = PowerLaw(**values)
    return Component(label, radius ** (profile.slope - 1) / reference, profile)


def _perturbed(entry, draws):
    changed = dict(entry)
    for key in draws.keys() & entry.keys():
        value = entry[key] * (1 + draws[key]) if key in FRACTIONAL else entry[key] + draws[key]
        if key == "ellipticity":
            value = np.clip(value, 0.0, 0.9)
        elif key == "axis_ratio":
            value = np.clip(value, 0.2, 1.0)
        changed[key] = float(value)
    return changed

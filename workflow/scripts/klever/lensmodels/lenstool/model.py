"""A lens model of Lenstool as one of `klever.lensmodels`: best model and realisations."""

import re

import numpy as np

from klever.cosmology import distance_ratio
from klever.errors import ConfigError, InputError
from klever.lensmodels.base import Fields, LensModel
from klever.lensmodels.frames import PlateFrame, TangentFrame, deflection_between
from klever.lensmodels.lenstool.chain import read_chain
from klever.lensmodels.lenstool.dpie import dpie_fields, shear_fields
from klever.lensmodels.lenstool.parfile import DPIE, read_parameters

__all__ = ["LenstoolModel"]

_KEYWORDS = ("x_centre", "y_centre", "ellipticite", "angle_pos", "core_radius", "cut_radius", "v_disp")
_OPTIMISED = re.compile(r"O\d+")
_SIGMA_SLOPE = -0.1  # d log v_disp / d mag of members: v_disp ~ L^(1/4), cut ~ L^(1/2) scales all radii


class _Potentials:
    """Potentials of one lens redshift: dPIEs that a chain may vary, members that it scales together, shears."""

    def __init__(self, z_lens, own, members, shears):
        self.z_lens = z_lens
        self.own, self.members, self.shears = own, members, shears  # dicts by name of dicts by keyword
        self._last = (None, None)

    def fields(self, x, y, changes, sigma_ratio=1.0, cut_ratio=1.0):
        """Return alpha_x, alpha_y, kappa, gamma1, gamma2 for Dls/Ds = 1, parameters replaced by `changes`."""
        total = np.zeros((5, x.size))
        own = [values | changes.get(name, {}) for name, values in self.own.items()]
        if own:
            total += dpie_fields(x, y, [_row(values) for values in own])
        for name, values in self.shears.items():
            values = values | changes.get(name, {})
            total += shear_fields(x, y, values["gamma"], values["angle_pos"], values.get("kappa", 0.0))
        if self.members:
            total += sigma_ratio**2 * self._members(x, y, cut_ratio)
        return total

    def _members(self, x, y, cut_ratio):
        """Sum of the members, kept: realisations at the same positions often differ by a factor only."""
        key = (x.tobytes(), y.tobytes(), cut_ratio)
        if self._last[0] != key:
            rows = np.array([_row(values) for values in self.members.values()])
            rows[:, 5] *= cut_ratio
            self._last = (key, dpie_fields(x, y, rows))
        return self._last[1]


def _row(values):
    return [values.get(key, 0.0) for key in _KEYWORDS]


class LenstoolModel(LensModel):
    """Lens model from Lenstool's best.par and, for realisations, bayes.dat.

    Velocity dispersions become deflections with the Dls/Ds of the cosmology in best.par, whatever the survey's: in it
    they were fitted to the images, which fix the deflection and not the dispersions.

    Parameters
    ----------
    path : path
        best.par.
    centre : pair of float
        (ra, dec) in degrees, tangent point of the positions.
    name : str
        Of the lens, for messages.
    z_lens : float, optional
        Redshift in lenses.yaml; must be that of the first potential.
    chain : path, optional
        bayes.dat.
    reference_magnitude : float, optional
        Magnitude for which the chain gives the members' dispersion (`mag0` of Lenstool's potfile). Without it, it is
        found from the sample of the chain that is the best model.
    own_cosmology : bool
        False to use the cosmology given to `evaluate` for Dls/Ds even if best.par has its own.
    radius : float, optional
        Arcsec from the reference position beyond which the model is not used; the field (`champ`) in best.par if None.

    Raises
    ------
    InputError, ConfigError
        A file cannot be used, or the redshifts contradict each other.
    """

    origin = "lenstool"

    def __init__(self, path, centre, name="", z_lens=None, chain=None, reference_magnitude=None, own_cosmology=True,
                 radius=None):  # fmt: skip
        self.file = read_parameters(path)
        first = self.file.potentials[0].values["z_lens"]
        if z_lens is not None and abs(z_lens - first) > 0.005:
            raise ConfigError(
                f"lens {name}: z_lens is {z_lens:g} in lenses.yaml but {first:g} in {path}; use one redshift."
            )
        super().__init__(name, first)
        self.frame, self.plane = PlateFrame(*self.file.reference), TangentFrame(*centre)
        self.own_cosmology, self.radius = own_cosmology, radius
        self.chain_path, self.reference_magnitude = chain, reference_magnitude
        self.planes = _planes(self.file.potentials)
        self.changes, self.sigma_ratio, self.cut_ratio = {}, 1.0, 1.0

    def dls_ds(self, z_source, cosmology):
        """Return Dls/Ds of a source, in the cosmology of best.par unless told otherwise; 0 in front of the lens."""
        return distance_ratio(self.z_lens, float(z_source), self._cosmology(cosmology))

    def _cosmology(self, cosmology):
        return self.file.cosmology if self.own_cosmology and self.file.cosmology else cosmology

    def covers(self, x, y):
        """Return where the model may be used, for positions in arcsec from its reference."""
        if self.radius is not None:
            return np.hypot(x, y) <= self.radius
        if self.file.field is None:
            return np.isfinite(x) & np.isfinite(y)
        left, right, bottom, top = self.file.field
        return (x >= left) & (x <= right) & (y >= bottom) & (y <= top)

    def native_fields(self, x, y, z_source, cosmology):
        """Return alpha_x, alpha_y, kappa, gamma1, gamma2, shape (5, n), in Lenstool's frame, without its limits."""
        total = np.zeros((5, np.size(x)))
        for plane in self.planes:
            ratio = distance_ratio(plane.z_lens, float(z_source), self._cosmology(cosmology))
            if ratio > 0:
                fields = plane.fields(x, y, self.changes, self.sigma_ratio, self.cut_ratio)
                total += ratio * fields
        return total

    def evaluate(self, west, north, z_source, cosmology, step=0.065):
        """Return the fields for a source; see `LensModel.evaluate`. Derivatives are analytic: `step` is not used."""
        west, north = (np.asarray(v, dtype=float) for v in np.broadcast_arrays(west, north))
        x, y = self.frame.from_sky(*self.plane.to_sky(west.ravel(), north.ravel()))
        inside = self.covers(x, y)
        result = np.full((4, x.size), np.nan)
        px, py = x[inside], y[inside]
        ax, ay, kappa, gamma1, gamma2 = self.native_fields(px, py, z_source, cosmology)
        alpha = deflection_between(self.frame, self.plane, px, py, ax, ay)
        result[:, inside] = [*alpha, kappa, np.hypot(gamma1, gamma2)]
        alpha_west, alpha_north, kappa, gamma = result.reshape(4, *west.shape)
        return Fields((alpha_west, alpha_north), kappa, gamma)

    def realisations(self, number, seed=0):
        """Return models of samples of the chain; see `LensModel.realisations`."""
        if self.chain_path is None or number == 0:
            return []
        chain = read_chain(self.chain_path, self.file)
        reference = self._reference_galaxy(chain)
        return [self._realisation(chain, sample, reference) for sample in chain.draw(number, seed)]

    def _realisation(self, chain, sample, reference):
        model = object.__new__(LenstoolModel)
        model.__dict__.update(self.__dict__)
        model.changes, model.sigma_ratio, model.cut_ratio = {}, 1.0, 1.0
        for (potential, keyword), value in zip(chain.columns, sample, strict=True):
            if potential != "Pot0":
                model.changes.setdefault(potential, {})[keyword] = float(value)
            elif keyword == "v_disp":
                model.sigma_ratio = float(value) / reference["v_disp"]
            else:
                model.cut_ratio = float(value) / reference["cut_radius"]
        for plane in self.planes:
            for name, values in plane.own.items():
                values = values | model.changes.get(name, {})
                if not values["core_radius"] < values["cut_radius"]:
                    raise InputError(f"{chain.path}: a sample of {name} has a core radius above its cut radius.")
        return model

    def _reference_galaxy(self, chain):
        """Return dispersion and cut radius that the best model has for a galaxy of the reference magnitude."""
        scaled = {keyword: i for i, (potential, keyword) in enumerate(chain.columns) if potential == "Pot0"}
        if not scaled:
            return {}
        members = [values for plane in self.planes for values in plane.members.values()]
        if not members:
            raise InputError(f"{chain.path} varies a scaling relation but {self.file.path} has no members with `mag`.")
        magnitude = np.array([values["mag"] for values in members])
        zero = np.log10([values["v_disp"] for values in members]) - _SIGMA_SLOPE * magnitude
        if np.ptp(zero) > 0.01:
            raise InputError(
                f"{self.file.path}: the members' v_disp do not follow one relation v_disp ~ L^(1/4); realisations of "
                "other relations are not implemented."
            )
        if self.reference_magnitude is not None:
            cut = np.log10([values["cut_radius"] for values in members]) - 2 * _SIGMA_SLOPE * magnitude
            return {
                "v_disp": 10 ** (zero.mean() + _SIGMA_SLOPE * self.reference_magnitude),
                "cut_radius": 10 ** (cut.mean() + 2 * _SIGMA_SLOPE * self.reference_magnitude),
            }
        values = {potential.name: potential.values for potential in self.file.potentials}
        best = np.array([values.get(p, {}).get(k, np.nan) for p, k in chain.columns])
        own = np.isfinite(best)
        close = np.abs(chain.samples[:, own] - best[own]) <= 1e-4 + 1e-3 * np.abs(best[own])
        found = np.flatnonzero(close.all(axis=1))
        if not own.any() or not found.size:
            raise InputError(
                f"{chain.path} does not hold the sample that is the model of {self.file.path}, so what its Pot0 values "
                "mean for the members is not known; set `reference_magnitude` (mag0 of Lenstool's potfile) of lens "
                f"{self.name}."
            )
        return {keyword: chain.samples[found[0], i] for keyword, i in scaled.items()}


def _planes(potentials):
    """Group potentials by their redshift."""
    planes = {}
    for potential in potentials:
        z_lens = potential.values["z_lens"]
        plane = planes.setdefault(z_lens, _Potentials(z_lens, {}, {}, {}))
        if potential.profile != DPIE:
            group = plane.shears
        elif "mag" in potential.values and not _OPTIMISED.fullmatch(potential.name):
            group = plane.members
        else:
            group = plane.own
        name = potential.name
        while name in group:  # two galaxies of one name are two galaxies
            name += "'"
        group[name] = potential.values
    return list(planes.values())

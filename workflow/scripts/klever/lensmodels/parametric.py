"""Parametric lens models: sums of the analytic profiles of lenstronomy (Birrer & Amara 2018; Birrer et al. 2021).

Its profiles say which parameters they take; nothing of lenstronomy is imported before it is needed (a second).
"""

import re
import warnings

import numpy as np

from klever.config.schema import nearest
from klever.cosmology import distance_ratio
from klever.errors import ConfigError, InputError
from klever.lensmodels.base import Fields, LensModel, reference_ratio
from klever.lensmodels.frames import TangentFrame, deflection_between

__all__ = ["ParametricModel", "profile_problems"]

_COLUMN = re.compile(r"(\w+?)_lens(\d+)")  # names of lenstronomy's own chains
_MOST_TRIES = 100  # draws of one realisation until all its parameters are within their ranges
# Profiles of one plane whose parameters are not single numbers or that need settings of their own.
_UNSUITABLE = re.compile(
    r"INTERPOL|TABULATED|SHAPELETS|MULTI_GAUSSIAN|SYNTHESIS|LOS|_MC|GAUSS_DEC|ARC_PERT|BLANK_PLANE"
)

# Profiles with analytic derivatives. Those of many others are lenstronomy's one-sided differences over 1e-10, which are
# wrong by up to 1e-4: theirs are made here, of the deflection.
_EXACT = {
    "EPL",
    "EPL_NUMBA",
    "SIE",
    "SIS",
    "SHEAR",
    "SHEAR_GAMMA_PSI",
    "CONVERGENCE",
    "POINT_MASS",
    "NFW",
    "HESSIAN",
    "SPP",
}
_STEP = 1e-3  # arcsec


class ParametricModel(LensModel):
    """Lens model made of lenstronomy profiles.

    Parameters
    ----------
    name : str
    z_lens : float
    centre : pair of float
        (ra, dec) in degrees, tangent point of the positions.
    profiles : list of dict
        `type`, lenstronomy's name of the profile, its parameters (arcsec, x to the west unless `x_axis` says east, y
        to the north) and optionally `errors`: 1 sigma of some of them.
    reference : pair of float
        (ra, dec) in degrees where the profiles' x = y = 0.
    normalisation : float or dict
        Dls/Ds for which deflections, such as theta_E, are given, or ``{"z_source": z}``.
    x_axis : str
        "west" or "east".
    radius : float, optional
        Arcsec from `reference` beyond which the model is not used; no limit if None.
    samples : path, optional
        ECSV or CSV table with one row per realisation and columns such as ``theta_E_lens0`` (the parameter theta_E of
        the first profile; lenstronomy's names); other parameters keep their value, other columns are ignored.

    Raises
    ------
    ConfigError
        Unknown profiles or parameters, or values out of their range.
    """

    origin = "parametric"

    def __init__(self, name, z_lens, centre, profiles, reference, normalisation, x_axis="west", radius=None,
                 samples=None):  # fmt: skip
        super().__init__(name, float(z_lens))
        problems = profile_problems(profiles)
        if problems:
            raise ConfigError(f"lens {name}: {'; '.join(f'{where}: {what}' for where, what in problems)}")
        self.frame = TangentFrame(*reference, x_sign=-1 if x_axis == "east" else 1)
        self.plane = TangentFrame(*centre)
        self.types = [profile["type"] for profile in profiles]
        self.errors = [profile.get("errors") or {} for profile in profiles]
        self.parameters = [
            {key: float(value) for key, value in profile.items() if key not in ("type", "errors")}
            for profile in profiles
        ]
        self.normalisation, self.radius, self.samples = normalisation, radius, samples
        self._model = None

    def _lenstronomy(self):
        if self._model is None:
            # SIE is a cored ellipsoid there; the power law of slope 2 is the same lens without a core
            types = ["EPL" if type_ == "SIE" else type_ for type_ in self.types]
            self._model = _import_lenstronomy().LensModel(lens_model_list=types)
        return self._model

    def native_fields(self, x, y):
        """Return alpha_x, alpha_y, kappa, gamma1, gamma2, shape (5, n), in the model's frame, as normalised."""
        model = self._lenstronomy()
        x, y = np.ravel(x).astype(float), np.ravel(y).astype(float)
        parameters = [
            values | {"gamma": 2.0} if type_ == "SIE" else values
            for type_, values in zip(self.types, self.parameters, strict=True)
        ]
        exact = [i for i, type_ in enumerate(self.types) if type_ in _EXACT]
        other = [i for i in range(len(self.types)) if i not in exact]
        f_xx = f_xy = f_yx = f_yy = 0.0
        if exact:
            f_xx, f_xy, f_yx, f_yy = model.hessian(x, y, parameters, k=tuple(exact))
        if other:
            alpha = lambda x, y: np.array(model.alpha(x, y, parameters, k=tuple(other)))  # noqa: E731
            along_x = _derivative(lambda step: alpha(x + step, y))
            along_y = _derivative(lambda step: alpha(x, y + step))
            f_xx, f_yx, f_xy, f_yy = f_xx + along_x[0], f_yx + along_x[1], f_xy + along_y[0], f_yy + along_y[1]
        alpha_x, alpha_y = model.alpha(x, y, parameters)
        return np.array([alpha_x, alpha_y, 0.5 * (f_xx + f_yy), 0.5 * (f_xx - f_yy), 0.5 * (f_xy + f_yx)])

    def evaluate(self, west, north, z_source, cosmology, step=0.065):
        """Return the fields for a source; see `LensModel.evaluate`. Derivatives are analytic: `step` is not used."""
        west, north = (np.asarray(v, dtype=float) for v in np.broadcast_arrays(west, north))
        reference = reference_ratio(self.name, self.z_lens, self.normalisation, cosmology)
        factor = distance_ratio(self.z_lens, float(z_source), cosmology) / reference
        x, y = self.frame.from_sky(*self.plane.to_sky(west.ravel(), north.ravel()))
        inside = np.isfinite(x) & np.isfinite(y)
        if self.radius is not None:
            inside &= np.hypot(x, y) <= self.radius
        result = np.full((4, x.size), np.nan)
        if inside.any():
            ax, ay, kappa, gamma1, gamma2 = factor * self.native_fields(x[inside], y[inside])
            alpha = deflection_between(self.frame, self.plane, x[inside], y[inside], ax, ay)
            result[:, inside] = [*alpha, kappa, np.hypot(gamma1, gamma2)]
        alpha_west, alpha_north, kappa, gamma = result.reshape(4, *west.shape)
        return Fields((alpha_west, alpha_north), kappa, gamma)

    def realisations(self, number, seed=0):
        """Return models of the rows of `samples`, or drawn within `errors`; see `LensModel.realisations`.

        Raises
        ------
        InputError
            The table cannot be read, or names profiles or parameters that the model does not have.
        ConfigError
            The errors leave hardly any model whose parameters are in their ranges.
        """
        generator = np.random.default_rng(seed)
        if number == 0:
            return []
        if self.samples is not None:
            columns, rows = self._read_samples()
            if number is not None and number < len(rows):
                rows = rows[np.sort(generator.choice(len(rows), number, replace=False))]
            return [self._with(columns, row) for row in rows]
        columns = [(i, key) for i, errors in enumerate(self.errors) for key in errors]
        if not columns:
            return []
        return [self._with(columns, self._draw(columns, generator)) for _ in range(100 if number is None else number)]

    def _draw(self, columns, generator):
        middle = np.array([self.parameters[i][key] for i, key in columns])
        sigma = np.array([float(self.errors[i][key]) for i, key in columns])
        ranges = np.array([_range(self.types[i], key) for i, key in columns])
        for _ in range(_MOST_TRIES):
            values = generator.normal(middle, sigma)
            if ((values >= ranges[:, 0]) & (values <= ranges[:, 1])).all():
                return values
        names = ", ".join(f"{key} of profiles[{i}]" for i, key in columns)
        raise ConfigError(f"lens {self.name}: errors of {names} are so large that hardly any draw is a valid model.")

    def _with(self, columns, values):
        model = object.__new__(ParametricModel)
        model.__dict__.update(self.__dict__)
        model.parameters = [dict(parameters) for parameters in self.parameters]
        for (i, key), value in zip(columns, values, strict=True):
            model.parameters[i][key] = float(value)
        return model

    def _read_samples(self):
        """Return (profile, parameter) of each column of the table of samples that is one, and its rows."""
        from astropy.table import Table

        text = str(self.samples)
        try:
            table = Table.read(text, format="ascii.ecsv" if text.lower().endswith(".ecsv") else "ascii.csv")
        except Exception as error:  # astropy raises many kinds for a damaged table
            raise InputError(f"{text} cannot be read as an ECSV or CSV table of samples ({error}).") from error
        columns, values = [], []
        for column in table.colnames:
            match = _COLUMN.fullmatch(column)
            if not match:
                continue
            key, index = match[1], int(match[2])
            if index >= len(self.types) or key not in self.parameters[index]:
                known = [f"{key}_lens{i}" for i, keys in enumerate(self.parameters) for key in keys]
                raise InputError(f"{text}: the column {column} is no parameter of the model{nearest(column, known)}")
            data = np.ma.filled(np.ma.asarray(table[column]).astype(float), np.nan)
            low, high = _range(self.types[index], key)
            good = (data >= low) & (data <= high)
            if not good.all():
                row = int(np.argmin(good))
                raise InputError(
                    f"{text}: row {row + 1}: {column} is {data[row]:g}, which must lie within {low:g} and {high:g}."
                )
            columns.append((index, key))
            values.append(data)
        if not columns or not len(table):
            raise InputError(f"{text} has no rows or no column named like theta_E_lens0 (parameter, profile).")
        return columns, np.array(values).T


def _derivative(function):
    """Central difference of fourth order of a function of a small step."""
    near, far = (function(step * _STEP) - function(-step * _STEP) for step in (1, 2))
    return (8 * near - far) / (12 * _STEP)


def _import_lenstronomy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of optional packages that lenstronomy looks for
        from lenstronomy.LensModel import lens_model
    return lens_model


def _profile(type_):
    """Return lenstronomy's class of a profile; None if it cannot be used here."""
    _import_lenstronomy()
    from lenstronomy.LensModel.profile_list_base import _SUPPORTED_MODELS, lens_class

    if type_ not in _SUPPORTED_MODELS or _UNSUITABLE.search(type_):
        return None
    return lens_class(type_)


def _range(type_, key):
    """Range of a parameter that any lens must keep: lenstronomy's default one where it is physical, else all numbers.

    lenstronomy's ranges bound a search; only their zeros (masses, radii) and those of ellipticities are laws.
    """
    low = _profile(type_).lower_limit_default.get(key)
    if key in ("e1", "e2"):
        return -0.9, 0.9
    return (0.0 if low == 0 else -1e6), 1e6


def profile_problems(profiles):
    """Return what is wrong with the profiles of a parametric model, compared with what lenstronomy's profiles take.

    Parameters
    ----------
    profiles : list of dict
        See `ParametricModel`.

    Returns
    -------
    list of (str, str)
        Entry, such as ``profiles[1].theta_E``, and problem.
    """
    problems = []
    for i, entry in enumerate(profiles):
        where = f"profiles[{i}]"
        profile = _profile(entry["type"])
        if profile is None:
            from lenstronomy.LensModel.profile_list_base import _SUPPORTED_MODELS

            known = [name for name in _SUPPORTED_MODELS if not _UNSUITABLE.search(name)]
            problems.append(
                (f"{where}.type", f"{entry['type']!r} is no profile that can be used{nearest(entry['type'], known)}")
            )
            continue
        names = list(profile.param_names)
        given = {key: value for key, value in entry.items() if key not in ("type", "errors")}
        optional = {"center_x", "center_y", "ra_0", "dec_0"}
        for key, value in given.items():
            low, high = _range(entry["type"], key) if key in names else (-np.inf, np.inf)
            if key not in names:
                problems.append((f"{where}.{key}", f"{entry['type']} has no such parameter{nearest(key, names)}"))
            elif not low <= value <= high:
                problems.append((f"{where}.{key}", f"{value:g} must lie within {low:g} and {high:g}"))
        missing = [key for key in names if key not in given and key not in optional]
        if missing:
            problems.append((where, f"{entry['type']} needs {', '.join(missing)}, too"))
        for key, error in (entry.get("errors") or {}).items():
            if key not in given:
                problems.append((f"{where}.errors.{key}", f"is no parameter given here{nearest(key, given)}"))
            elif not error > 0:
                problems.append((f"{where}.errors.{key}", f"{error:g} must be greater than 0"))
    return problems

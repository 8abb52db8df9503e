"""Lenstool's parameter files (best.par): sections of keywords, read without trust and checked before use.

Sections start with their name (``potentiel`` with the name of the potential) and stop at ``end``; ``fini`` ends the
file; ``#`` starts a comment. What Lenstool was told to do (runmode, grille, image, cline, ...) is skipped, but for the
reference position, the number of potentials, the field and the cosmology.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from klever.config.schema import nearest
from klever.cosmology import kpc_per_arcsec
from klever.errors import InputError

__all__ = ["DPIE", "SHEAR", "LenstoolFile", "Potential", "read_parameters"]

DPIE, SHEAR = 81, 14
_LARGEST_FILE = 50e6  # bytes
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?", re.ASCII)
_POTENTIAL = ("potentiel", "potential")
_FINISH = ("fini", "finish")
_OLD_NAMES = {
    "x_center": "x_centre", "y_center": "y_centre", "profile": "profil", "ellipticity": "ellipticite",
    "omega": "omegaM", "lambda": "omegaX", "nlens": "nlentille",
}  # fmt: skip
# Keywords of a potential, with the range of their value.
_RANGES = {
    "profil": (0, 1e3), "x_centre": (-7200, 7200), "y_centre": (-7200, 7200), "ellipticite": (0, 0.9999),
    "angle_pos": (-3600, 3600), "core_radius": (0, 1e4), "core_radius_kpc": (0, 1e5), "cut_radius": (0, 1e6),
    "cut_radius_kpc": (0, 1e7), "v_disp": (0, 1e4), "mag": (-50, 90), "z_lens": (1e-4, 20), "gamma": (-2, 2),
    "kappa": (-2, 2),
}  # fmt: skip
_NEEDED = {DPIE: ("x_centre", "y_centre", "v_disp", "z_lens"), SHEAR: ("gamma", "angle_pos", "z_lens")}


@dataclass
class Potential:
    """One potential of the file.

    Parameters
    ----------
    name : str
        ``O1``, ``O2``, ... are the optimised ones, others are names of catalogues.
    profile : int
        81 (dPIE) or 14 (external shear).
    values : dict of str to float
        Lenstool's keywords; `core_radius` and `cut_radius` (arcsec) are always there for a dPIE.
    """

    name: str
    profile: int
    values: dict

    @property
    def row(self):
        """Values of a dPIE as `klever.lensmodels.lenstool.dpie.dpie_fields` takes them."""
        keys = ("x_centre", "y_centre", "ellipticite", "angle_pos", "core_radius", "cut_radius", "v_disp")
        return [self.values.get(key, 0.0) for key in keys]


@dataclass
class LenstoolFile:
    """A parameter file.

    Parameters
    ----------
    path : str
    reference : pair of float
        (ra, dec) of the origin of the positions, degrees.
    potentials : list of Potential
    field : tuple of float or None
        x_min, x_max, y_min, y_max in arcsec, inside which the model was made.
    cosmology : dict or None
        H0, Om0, Ode0.
    """

    path: str
    reference: tuple
    potentials: list = field(default_factory=list)
    field: tuple | None = None
    cosmology: dict | None = None


def read_parameters(path):
    """Return the content of a Lenstool parameter file.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    LenstoolFile

    Raises
    ------
    InputError
        Missing, not such a file, cut short, with a potential or keyword that is not understood, or with a value that
        cannot be; the message names file, potential and keyword.
    """
    sections = _sections(_lines(path), path)
    reference = cosmology = area = expected = None
    blocks = []
    for name, label, entries in sections:
        if name in _POTENTIAL:
            blocks.append((label or str(len(blocks) + 1), entries))
        elif name.startswith("potfile"):
            raise InputError(
                f"{path}: the galaxies of `{name}` are not in this file; give the best.par that Lenstool writes at the "
                "end, in which all potentials are written out."
            )
        elif name == "runmode":
            reference = _reference(entries, path)
        elif name == "grille":
            expected = _value(entries, "nlentille", path, name, (0, 1e6))
        elif name in ("cosmologie", "cosmology"):
            cosmology = _cosmology(entries, path)
        elif name in ("champ", "field"):
            area = _field(entries, path)
    if reference is None:
        raise InputError(f"{path}: runmode has no `reference`, the position of the model on the sky; add it.")
    if not blocks or (expected is not None and expected != len(blocks)):
        count = "" if expected is None else f" of the {expected:.0f} that `nlentille` announces"
        raise InputError(f"{path}: holds {len(blocks)} potentials{count}; the file is cut short, copy it again.")
    potentials = [_potential(label, entries, path, cosmology) for label, entries in blocks]
    return LenstoolFile(str(path), reference, potentials, area, cosmology)


def _lines(path):
    try:
        if Path(path).stat().st_size > _LARGEST_FILE:
            raise InputError(f"{path} is too large for a parameter file of Lenstool; name its best.par.")
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); check the path of the Lenstool model.") from error
    return content.decode("latin-1").splitlines()


def _sections(lines, path):
    """Return (name, label, entries) of each section; entries are (keyword, words) in their order."""
    sections, current, finished = [], None, False
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        keyword = words[0]
        if current is None and keyword in _FINISH:
            finished = True
            break
        if current is None:
            current = (keyword, words[1] if len(words) > 1 else "", [])
        elif keyword == "end":
            sections.append(current)
            current = None
        elif keyword in (*_POTENTIAL, *_FINISH):
            raise InputError(f"{path}: line {number}: the section `{current[0]} {current[1]}` has no `end`; add it.")
        else:
            current[2].append((_OLD_NAMES.get(keyword, keyword), words[1:]))
    if not finished:
        raise InputError(f"{path} does not end with `fini`: it is cut short or no parameter file of Lenstool.")
    return sections


def _number(words, path, where, limits=(-1e30, 1e30)):
    text = words[0] if words else ""
    value = float(text.replace("d", "e").replace("D", "e")) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}: {where} is {text[:40]!r}; a number is needed.")
    if not limits[0] <= value <= limits[1]:
        raise InputError(f"{path}: {where} is {value:g}, which must lie within {limits[0]:g} and {limits[1]:g}.")
    return value


def _value(entries, keyword, path, section, limits=(-1e30, 1e30)):
    """Return the number of a keyword, None if it is not there."""
    for name, words in entries:
        if name == keyword:
            return _number(words, path, f"{section}: {keyword}", limits)
    return None


def _reference(entries, path):
    for name, words in entries:
        if name == "reference":
            ra = _number(words[1:], path, "runmode: reference (ra)", (-360, 360))
            dec = _number(words[2:], path, "runmode: reference (dec)", (-90, 90))
            if ra == dec == 0:
                raise InputError(
                    f"{path}: `reference` is 0 0, so the model has no place on the sky; put in ra and dec."
                )
            return ra, dec
    return None


def _field(entries, path):
    dmax = _value(entries, "dmax", path, "champ", (1e-3, 1e5))
    if dmax is not None:
        return -dmax, dmax, -dmax, dmax
    area = tuple(_value(entries, key, path, "champ", (-1e5, 1e5)) for key in ("xmin", "xmax", "ymin", "ymax"))
    if None in area:
        return None
    if not (area[0] < area[1] and area[2] < area[3]):
        raise InputError(f"{path}: champ: xmin and ymin must be below xmax and ymax.")
    return area


def _cosmology(entries, path):
    given = {
        name: _value(entries, name, path, "cosmologie", limits)
        for name, limits in {"H0": (1, 1e3), "omegaM": (0, 5), "omegaX": (-5, 5), "wX": (-9, 9), "wa": (-9, 9)}.items()
    }
    if given["wX"] not in (None, -1) or given["wa"] not in (None, 0):
        raise InputError(f"{path}: cosmologie: dark energy with wX, wa other than -1, 0 is not implemented.")
    if None in (given["H0"], given["omegaM"], given["omegaX"]):
        raise InputError(f"{path}: cosmologie needs H0, omegaM and omegaX.")
    return {"H0": given["H0"], "Om0": given["omegaM"], "Ode0": given["omegaX"]}


def _potential(label, entries, path, cosmology):
    values = {}
    where = f"potentiel {label}"
    for keyword, words in entries:
        if keyword not in _RANGES:
            raise InputError(f"{path}: {where}: {keyword!r} is not understood{nearest(keyword, _RANGES)}.")
        if keyword in values:
            raise InputError(f"{path}: {where}: {keyword} is given twice; keep one.")
        values[keyword] = _number(words, path, f"{where}: {keyword}", _RANGES[keyword])
    profile = values.pop("profil", None)
    if profile not in (DPIE, SHEAR):
        found = "no profile" if profile is None else f"profile {profile:g}"
        raise InputError(
            f"{path}: {where} has {found}; only {DPIE} (dPIE) and {SHEAR} (external shear) are implemented: "
            "ask the model's authors for maps, and use `origin: maps`."
        )
    absent = [key for key in _NEEDED[profile] if key not in values]
    if absent:
        raise InputError(f"{path}: {where} has no {', '.join(absent)}; the file is not complete.")
    if profile == DPIE:
        _radii(values, path, where, cosmology)
    return Potential(label, int(profile), values)


def _radii(values, path, where, cosmology):
    """Put in radii in arcsec for those given in kpc only, and check their order."""
    for key in ("core_radius", "cut_radius"):
        if key in values:
            continue
        if f"{key}_kpc" not in values:
            raise InputError(f"{path}: {where} has no {key}; the file is not complete.")
        if cosmology is None:
            raise InputError(f"{path}: {where}: {key}_kpc needs the section `cosmologie` to become arcsec; add it.")
        values[key] = values[f"{key}_kpc"] / kpc_per_arcsec(values["z_lens"], cosmology)
    if not values["core_radius"] < values["cut_radius"]:
        raise InputError(
            f"{path}: {where}: core_radius {values['core_radius']:g} must be less than cut_radius "
            f"{values['cut_radius']:g} (arcsec)."
        )

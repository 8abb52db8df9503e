"""Lenstool's chain of samples (bayes.dat) and what its columns are parameters of.

The header has one line ``#name`` per column: ``O1 : sigma (km/s)`` is the dispersion of the potential O1, ``Pot0 sigma
(km/s)`` that of a galaxy of the reference magnitude, to which the members' dispersions are scaled. Redshifts of images,
likelihoods and chi2 do not change the mass and are skipped.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from klever.cosmology import kpc_per_arcsec
from klever.errors import InputError

__all__ = ["Chain", "read_chain"]

_OWN = re.compile(r"(\S+)\s*:\s*(.+)")
_POTFILE = re.compile(r"Pot(\d+)\s+(.+)")
_SKIPPED = re.compile(r"Nsample|ln\(|log\(|Chi2|Redshift of |Nuisance|sigpos|sigell|Evidence", re.IGNORECASE)
# Lenstool's name of a parameter: keyword of best.par, whether it is a length in kpc, and its range.
_PARAMETERS = {
    "x (arcsec)": ("x_centre", False, (-7200, 7200)),
    "y (arcsec)": ("y_centre", False, (-7200, 7200)),
    "emass": ("ellipticite", False, (0, 0.9999)),
    "theta (deg)": ("angle_pos", False, (-3600, 3600)),
    "rc (arcsec)": ("core_radius", False, (0, 1e4)),
    "rc (kpc)": ("core_radius", True, (0, 1e5)),
    "rcut (arcsec)": ("cut_radius", False, (0, 1e6)),
    "rcut (kpc)": ("cut_radius", True, (0, 1e7)),
    "sigma (km/s)": ("v_disp", False, (0, 1e4)),
    "gamma": ("gamma", False, (-2, 2)),
    "kappa": ("kappa", False, (-2, 2)),
}


@dataclass
class Chain:
    """Samples of a model.

    Parameters
    ----------
    path : str
    columns : list of (str, str)
        Potential (``"Pot0"`` for the members' scaling relation) and keyword of best.par of each column of `samples`.
    samples : ndarray, shape (n_samples, n_columns)
        Lengths in arcsec, dispersions in km/s, angles in degrees.
    """

    path: str
    columns: list
    samples: np.ndarray

    def draw(self, number, seed):
        """Return `number` samples (all if None or there are fewer), without repetition, drawn by `seed`."""
        total = len(self.samples)
        if number is None or number >= total:
            return self.samples
        return self.samples[np.sort(np.random.default_rng(seed).choice(total, number, replace=False))]


def read_chain(path, model):
    """Return the samples that belong to a Lenstool model.

    Parameters
    ----------
    path : str or pathlib.Path
        bayes.dat.
    model : klever.lensmodels.lenstool.parfile.LenstoolFile
        The best model of the same run.

    Returns
    -------
    Chain

    Raises
    ------
    InputError
        Missing, broken, of another model, or with a parameter that is not understood or out of range.
    """
    try:
        lines = Path(path).read_bytes().decode("latin-1").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); check the path of the chain.") from error
    header = [line[1:].strip() for line in lines if line.startswith("#")]
    rows = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]
    if not header or not rows:
        raise InputError(f"{path} has no header of lines `#name` or no samples; name Lenstool's bayes.dat.")
    for number, words in rows:
        if len(words) != len(header):
            raise InputError(
                f"{path}: line {number} has {len(words)} numbers for the {len(header)} columns of the header; "
                "the file is cut short or mixed up, copy it again or remove the line."
            )
    try:
        values = np.array([words for _, words in rows], dtype=float)
    except ValueError as error:
        raise InputError(f"{path} holds something that is no number ({error}); copy the file again.") from error
    scale = kpc_per_arcsec(model.potentials[0].values["z_lens"], model.cosmology) if model.cosmology else None
    columns, used = [], []
    for index, name in enumerate(header):
        if _SKIPPED.match(name):
            continue
        potential, (keyword, in_kpc, limits) = _meaning(name, model, path)
        column = values[:, index]
        good = np.isfinite(column) & (column >= limits[0]) & (column <= limits[1])
        if not good.all():
            line, bad = rows[int(np.argmin(good))][0], column[np.argmin(good)]
            raise InputError(
                f"{path}: line {line}: {name} is {bad:g}, which must lie within {limits[0]:g} and {limits[1]:g}."
            )
        if in_kpc and scale is None:
            raise InputError(f"{path}: {name}: {model.path} has no section `cosmologie`, which turns kpc into arcsec.")
        columns.append((potential, keyword))
        used.append(column / scale if in_kpc else column)
    if not used:
        raise InputError(f"{path} holds no parameter of a potential; name Lenstool's bayes.dat.")
    return Chain(str(path), columns, np.array(used).T)


def _meaning(name, model, path):
    """Return the potential of a column and what `_PARAMETERS` says of it."""
    potfile, own = _POTFILE.fullmatch(name), _OWN.fullmatch(name)
    known = {potential.name for potential in model.potentials}
    if potfile and potfile[1] != "0":
        raise InputError(f"{path}: {name}: members with several scaling relations (Pot1, ...) are not implemented.")
    if potfile and potfile[2] in ("sigma (km/s)", "rcut (arcsec)", "rcut (kpc)"):
        return "Pot0", _PARAMETERS[potfile[2]]
    if own and own[2] in _PARAMETERS:
        if own[1] not in known:
            raise InputError(f"{path}: {name}: {model.path} has no potential {own[1]}; name files of one model.")
        return own[1], _PARAMETERS[own[2]]
    raise InputError(
        f"{path}: the parameter {name[:60]!r} is not understood; no realisations can be made of this chain."
    )

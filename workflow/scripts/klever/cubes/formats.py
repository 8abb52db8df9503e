"""File formats of cubes: where each instrument keeps science, error and quality.

A new format is a class with `name`, `matches` and `layers` under ``@register``.
"""

import re
from dataclasses import dataclass

import numpy as np

from klever.cubes.cube import DQ
from klever.errors import InputError

__all__ = ["Layers", "find_format", "register"]

_FORMATS = []


@dataclass
class Layers:
    """Where a format keeps its layers.

    Parameters
    ----------
    science : HDU
    error : HDU, optional
        None: the file has no error.
    variance : bool
        `error` holds the variance.
    quality : HDU, optional
        Of the pipeline.
    bad_bits : int, optional
        Bits of `quality` that spoil a voxel; any bit by default.
    weight : HDU, optional
        A voxel of weight 0 holds no data.
    wavelength : ndarray, optional
        Vacuum, micrometre, where the file stores it.
    """

    science: object
    error: object = None
    variance: bool = False
    quality: object = None
    bad_bits: int | None = None
    weight: object = None
    wavelength: np.ndarray | None = None


def register(reader):
    """Add a reader; the first one whose `matches` is true reads the file, in the order of registration."""
    _FORMATS.append(reader())
    return reader


def find_format(hdus):
    """Return the first registered format that matches.

    Raises
    ------
    InputError
        None does.
    """
    found = next((reader for reader in _FORMATS if reader.matches(hdus)), None)
    if found is None:
        content = ", ".join(f"{hdu.name or 'PRIMARY'} ({hdu.header.get('NAXIS', 0)}-D)" for hdu in hdus)
        raise InputError(
            f"no three-dimensional image in a layout that is known (found: {content}); supported are KMOS, SINFONI, "
            "MUSE, JWST s3d and ESO Phase 3 cubes: check that NAXIS is 3 and the extensions' names."
        )
    return found


def _named(hdus, *names):
    """First extension of one of these names that holds a cube, else None."""
    return next((hdu for name in names for hdu in hdus if hdu.name == name and hdu.header.get("NAXIS") == 3), None)


def _stated(hdus, science, keyword, *names):
    """Companion that the science header names (ERRDATA, QUALDATA of ESO's standard), else one of `names`."""
    stated = str(science.header.get(keyword, "")).strip().upper()
    return _named(hdus, *([stated] if stated else []), *names)


def _extension(hdus, extension, default):
    if extension in (None, ""):
        return default
    found = _named(hdus, str(extension).upper())
    if found is None:
        names = ", ".join(hdu.name for hdu in hdus)
        raise InputError(f"there is no cube in extension {extension!r}; the file has {names}.")
    return found


@register
class Canonical:
    """A cube that klever wrote: SCI, ERR, DQ, WAVELENGTH."""

    name = "canonical"

    def matches(self, hdus):
        """Accept SCI with a stored wavelength."""
        return _named(hdus, "SCI") is not None and any(hdu.name == "WAVELENGTH" for hdu in hdus)

    def layers(self, hdus, extension):
        """See `Layers`."""
        stored = next(hdu for hdu in hdus if hdu.name == "WAVELENGTH").data
        # outliers and sky lines are found afresh, with the settings of today
        bits = int(DQ.INSTRUMENT)
        return Layers(
            _named(hdus, "SCI"), _named(hdus, "ERR"), quality=_named(hdus, "DQ"), bad_bits=bits,
            wavelength=np.asarray(stored, dtype=float),
        )  # fmt: skip


@register
class Kmos:
    """KMOS: ``IFU.n.DATA`` and ``.NOISE`` of a reconstructed exposure, or ``<name>.DATA`` and ``.NOISE`` combined."""

    name = "KMOS"

    def matches(self, hdus):
        """Accept any extension called ``*.DATA``."""
        return any(hdu.name.endswith(".DATA") for hdu in hdus)

    def layers(self, hdus, extension):
        """See `Layers`; an empty IFU is not a choice."""
        names = [hdu.name for hdu in hdus if hdu.name.endswith(".DATA") and hdu.header.get("NAXIS") == 3]
        if extension in (None, ""):
            if len(names) != 1:
                raise InputError(
                    f"the file holds {len(names)} cubes ({self._targets(hdus, names)}); name one in the column "
                    "`extension` of observations.tsv." if names else "all IFUs are empty; use another exposure."
                )  # fmt: skip
            chosen = names[0]
        else:
            text = re.sub(r"\.(DATA|NOISE)$", "", str(extension).upper())
            chosen = next((f"{stem}.DATA" for stem in (text, f"IFU.{text}") if f"{stem}.DATA" in names), None)
            if chosen is None:
                raise InputError(f"there is no cube {extension!r} in the file; it has {self._targets(hdus, names)}.")
        return Layers(_named(hdus, chosen), _named(hdus, re.sub("DATA$", "NOISE", chosen)))

    def _targets(self, hdus, names):
        """Names of the cubes, with the target that the arm was set to."""
        found = []
        for name in names:
            arm = re.fullmatch(r"IFU\.(\d+)\.DATA", name)
            target = hdus[0].header.get(f"ESO OCS ARM{arm[1]} NAME") if arm else None
            found.append(f"{name} on {target}" if target else name)
        return ", ".join(found) or "none"


@register
class JwstS3d:
    """JWST stage-3 cubes ``*_s3d.fits``: SCI, ERR, DQ, WMAP; bit 0 of DQ is DO_NOT_USE."""

    name = "JWST s3d"

    def matches(self, hdus):
        """Accept SCI with ERR."""
        return _named(hdus, "SCI") is not None and _named(hdus, "ERR") is not None

    def layers(self, hdus, extension):
        """See `Layers`."""
        science = _extension(hdus, extension, _named(hdus, "SCI"))
        quality, weight = _named(hdus, "DQ"), _named(hdus, "WMAP")
        return Layers(science, _named(hdus, "ERR"), quality=quality, bad_bits=1, weight=weight)


@register
class Muse:
    """MUSE: DATA and STAT (variance), optionally DQ."""

    name = "MUSE"

    def matches(self, hdus):
        """Accept DATA with STAT."""
        return _named(hdus, "DATA") is not None and _named(hdus, "STAT") is not None

    def layers(self, hdus, extension):
        """See `Layers`."""
        science = _extension(hdus, extension, _named(hdus, "DATA"))
        return Layers(science, _named(hdus, "STAT"), variance=True, quality=_named(hdus, "DQ"))


@register
class EsoPhase3:
    """ESO Phase 3: data in DATA or PRIMARY; ERR (1 sigma) or STAT (variance); quality flags, 0 is good."""

    name = "ESO Phase 3"

    def matches(self, hdus):
        """Accept a cube in DATA, or a companion of a cube in PRIMARY."""
        companions = _named(hdus, "ERR", "ERROR", "STAT", "DQ", "QUAL", "NOISE", "SIGMA")
        return _named(hdus, "DATA") is not None or (hdus[0].header.get("NAXIS") == 3 and companions is not None)

    def layers(self, hdus, extension):
        """See `Layers`; HDUCLAS3 = MSE or RMSE decides between variance and 1 sigma, else the extension's name."""
        science = _extension(hdus, extension, _named(hdus, "DATA") or hdus[0])
        error = _stated(hdus, science, "ERRDATA", "ERR", "ERROR", "NOISE", "SIGMA", "STAT")
        kind = "" if error is None else str(error.header.get("HDUCLAS3", "")).strip().upper()
        if kind.startswith("INV"):
            raise InputError(f"extension {error.name} holds inverse errors (HDUCLAS3 = {kind}); convert them to RMSE.")
        variance = error is not None and (kind == "MSE" or (not kind and error.name == "STAT"))
        return Layers(science, error, variance, quality=_stated(hdus, science, "QUALDATA", "DQ", "QUAL"))


@register
class Primary:
    """A cube in PRIMARY alone: SINFONI, and products without an error."""

    name = "SINFONI"

    def matches(self, hdus):
        """Accept three axes in PRIMARY."""
        return hdus[0].header.get("NAXIS") == 3

    def layers(self, hdus, extension):
        """See `Layers`."""
        return Layers(_extension(hdus, extension, hdus[0]))

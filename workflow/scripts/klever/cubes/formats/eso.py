"""ESO Phase 3 (science data products standard), and layered files that name their extensions in a usual way."""

from klever.cubes.formats.base import Layers, chosen, named, register
from klever.errors import InputError

_SCIENCE = ("DATA", "SCI", "FLUX")
_ERRORS = {
    "ERR": "sigma", "ERROR": "sigma", "ERRORS": "sigma", "SIGMA": "sigma", "RMS": "sigma", "NOISE": "sigma",
    "UNCERT": "sigma", "STD": "sigma", "STAT": "variance", "VAR": "variance", "VARIANCE": "variance",
    "IVAR": "inverse variance",
}  # fmt: skip
_QUALITIES = ("DQ", "QUAL", "QUALITY", "FLAGS", "MASK")
_CLASSES = {"MSE": "variance", "RMSE": "sigma", "INVMSE": "inverse variance", "INVRMSE": "inverse sigma"}


@register
class EsoPhase3:
    """ESO Phase 3: data in DATA, SCI or PRIMARY, with error and quality beside them.

    The roles are taken from what the standard states, ERRDATA and QUALDATA of the science extension, or HDUCLAS2 and
    SCIDATA of the others; else from the extensions' names.  HDUCLAS3 says whether an error is 1 sigma (RMSE), a
    variance (MSE) or the inverse of one; else its name does.
    """

    name = "ESO Phase 3"

    def matches(self, hdus):
        """Accept a cube that states its role, one in DATA or SCI, or one in PRIMARY with a companion."""
        return self._science(hdus) is not None

    def layers(self, hdus, extension):
        """See `Layers`."""
        science = chosen(hdus, extension, self._science(hdus))
        error = self._companion(hdus, science, "ERRDATA", "ERROR", tuple(_ERRORS))
        quality = self._companion(hdus, science, "QUALDATA", "QUALITY", _QUALITIES)
        kind = "sigma"
        if error is not None:
            kind = _CLASSES.get(_text(error.header, "HDUCLAS3")) or _ERRORS.get(error.name, "sigma")
        inverted = quality is not None and _text(quality.header, "HDUCLAS3") == "MASKONE"
        return Layers(science, error, kind, quality=quality, zero_is_bad=inverted)

    def _science(self, hdus):
        cubes = [hdu for hdu in hdus if hdu.header.get("NAXIS") == 3]
        stated = [hdu for hdu in cubes if _text(hdu.header, "HDUCLAS2") == "DATA" or "ERRDATA" in hdu.header]
        if stated or named(hdus, *_SCIENCE) is not None:
            return stated[0] if stated else named(hdus, *_SCIENCE)
        has_companion = named(hdus, *_ERRORS, *_QUALITIES) is not None
        return hdus[0] if hdus[0].header.get("NAXIS") == 3 and has_companion else None

    def _companion(self, hdus, science, keyword, role, names):
        stated = _text(science.header, keyword)
        if stated:
            found = named(hdus, stated)
            if found is None:
                raise InputError(
                    f"its header says {keyword} = {stated}, but there is no such cube in the file; use the complete "
                    "product, or delete the keyword."
                )
            return found
        for hdu in hdus:
            if hdu.header.get("NAXIS") == 3 and _text(hdu.header, "HDUCLAS2") == role:
                if _text(hdu.header, "SCIDATA") in ("", science.name):
                    return hdu
        return named(hdus, *names)


def _text(header, key):
    return str(header.get(key, "")).strip().upper()

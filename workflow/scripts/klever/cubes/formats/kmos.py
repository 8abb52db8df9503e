"""KMOS: 24 integral-field units in one file, or one combined cube."""

import re

from klever.cubes.formats.base import Layers, named, register
from klever.errors import InputError


@register
class Kmos:
    """KMOS: ``IFU.n.DATA`` and ``.NOISE`` of a reconstructed exposure, or ``<name>.DATA`` and ``.NOISE`` combined."""

    name = "KMOS"
    frame = "TOPOCENT"  # the pipeline writes no SPECSYS and shifts only by what its user asks for

    def matches(self, hdus):
        """Accept any extension called ``*.DATA``."""
        return any(hdu.name.endswith(".DATA") for hdu in hdus)

    def layers(self, hdus, extension):
        """See `Layers`; an empty IFU is not a choice.  `extension`: IFU number, extension name, or target of an arm."""
        targets = {
            hdu.name: self._target(hdus, hdu.name)
            for hdu in hdus
            if hdu.name.endswith(".DATA") and hdu.header.get("NAXIS") == 3
        }
        if not targets:
            raise InputError("none of its extensions *.DATA holds a cube (all IFUs are empty); use another exposure.")
        found = list(targets) if extension in (None, "") else self._matching(targets, str(extension).strip())
        listed = ", ".join(f"{name} on {target}" if target else name for name, target in targets.items())
        if not found:
            raise InputError(f"there is no cube {extension!r} in the file; it has {listed}.")
        if len(found) > 1:
            raise InputError(
                f"the file holds {len(targets)} cubes ({listed}); name one in the column `extension` of "
                "observations.tsv."
            )
        return Layers(named(hdus, found[0]), named(hdus, re.sub("DATA$", "NOISE", found[0])))

    def _matching(self, targets, text):
        """Extensions that `text` means: the number or name first, else the target of an arm."""
        stem = re.sub(r"\.(DATA|NOISE)$", "", text.upper())
        for name in (f"{stem}.DATA", f"IFU.{stem}.DATA"):
            if name in targets:
                return [name]
        return [name for name, target in targets.items() if target and target.upper() == text.upper()]

    def _target(self, hdus, name):
        """Return what the arm of an IFU was set to, None if the header does not say."""
        arm = re.fullmatch(r"IFU\.(\d+)\.DATA", name)
        target = hdus[0].header.get(f"ESO OCS ARM{arm[1]} NAME") if arm else None
        return None if target is None else str(target).strip()

"""File formats of cubes: where each instrument keeps science, error and quality.

One module per format.  A new format is a new file here, with one class of `name`, `matches` and `layers`, and its name
in the import below.  For example ``kcwi.py``, for KCWI and its successors::

    from klever.cubes.formats.base import Layers, named, register


    @register
    class Kcwi:
        '''KCWI: PRIMARY, UNCERT, FLAGS.'''

        name = "KCWI"

        def matches(self, hdus):
            return hdus[0].header.get("NAXIS") == 3 and named(hdus, "UNCERT") is not None

        def layers(self, hdus, extension):
            return Layers(hdus[0], named(hdus, "UNCERT"), quality=named(hdus, "FLAGS"))

The newest registered format is asked first, so a special one comes after a general one.  Units, wavelengths, WCS,
parity and missing data are then treated as for all formats (`klever.cubes.readers`).  The modules are imported by name,
not found by looking into the folder, so that a rerun notices an edited format (`klever.codedigest`).
"""

# isort: off
from klever.cubes.formats.base import ERROR_KINDS, Layers, find_format, named, register
from klever.cubes.formats import primary, eso, muse, jwst, kmos, canonical  # from the most general to the most special
# isort: on

__all__ = [
    "ERROR_KINDS",
    "Layers",
    "canonical",
    "eso",
    "find_format",
    "jwst",
    "kmos",
    "muse",
    "named",
    "primary",
    "register",
]

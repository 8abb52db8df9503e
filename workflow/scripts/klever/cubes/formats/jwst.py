"""JWST stage-3 cubes."""

from klever.cubes.formats.base import Layers, chosen, named, register

_DO_NOT_USE, _NON_SCIENCE = 1, 512


@register
class JwstS3d:
    """JWST stage-3 cubes ``*_s3d.fits``: SCI, ERR, DQ, WMAP.

    DQ bits 0 (DO_NOT_USE) and 9 (NON_SCIENCE) spoil a voxel; others, such as a jump that was corrected, do not.
    """

    name = "JWST s3d"

    def matches(self, hdus):
        """Accept SCI with a weight map, or of that telescope."""
        science = named(hdus, "SCI")
        telescope = str(hdus[0].header.get("TELESCOP", "")).strip().upper()
        return science is not None and (telescope == "JWST" or named(hdus, "WMAP") is not None)

    def layers(self, hdus, extension):
        """See `Layers`."""
        return Layers(
            chosen(hdus, extension, named(hdus, "SCI")), named(hdus, "ERR"), quality=named(hdus, "DQ"),
            bad_bits=_DO_NOT_USE | _NON_SCIENCE, weight=named(hdus, "WMAP"),
        )  # fmt: skip

"""MUSE."""

from klever.cubes.formats.base import Layers, chosen, named, register


@register
class Muse:
    """MUSE: DATA and STAT (variance), optionally DQ."""

    name = "MUSE"
    frame = "BARYCENT"  # what the pipeline's default, rvcorr = bary, leaves; not every tool keeps SPECSYS

    def matches(self, hdus):
        """Accept DATA with STAT, unless they state other roles in ESO's way."""
        science, error = named(hdus, "DATA"), named(hdus, "STAT")
        return science is not None and error is not None and "ERRDATA" not in science.header

    def layers(self, hdus, extension):
        """See `Layers`."""
        science = chosen(hdus, extension, named(hdus, "DATA"))
        return Layers(science, named(hdus, "STAT"), "variance", quality=named(hdus, "DQ"))

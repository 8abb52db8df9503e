"""A cube in PRIMARY alone: SINFONI, and products without an error."""

from klever.cubes.formats.base import Layers, chosen, register


@register
class Primary:
    """A cube in PRIMARY alone: SINFONI, and products without an error."""

    name = "SINFONI"

    def matches(self, hdus):
        """Accept three axes in PRIMARY."""
        return hdus[0].header.get("NAXIS") == 3

    def layers(self, hdus, extension):
        """See `Layers`."""
        return Layers(chosen(hdus, extension, hdus[0]))

# What the rules of physical properties share: parameters.
from importlib.metadata import PackageNotFoundError, version


def installed(package):
    """Version of a package that may be absent: installing it later makes its products again."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def gas_sections(galaxy):
    """The settings of ionised_gas, without those of other steps that share a section with it."""
    sections = SURVEY.settings(galaxy, "star_formation", "bpt", "dust", "metallicity", "lines", "gradient", "cosmology")
    if sections["star_formation"]["reddening_of"] not in GALAXIES:
        sections["star_formation"]["reddening_of"] = ""
    return sections | {
        "metallicity": {"map_snr": sections["metallicity"]["map_snr"]},
        "gradient": {"regions": sections["gradient"]["regions"]},
    }

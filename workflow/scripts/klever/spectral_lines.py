"""The line list: rest wavelengths, groups of lines fitted together, and sums of lines (``resources/lines.yaml``)."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from klever.errors import ConfigError
from klever.line_lists import SHIPPED, check_selection, read_line_list, require_known

__all__ = [
    "SPEED_OF_LIGHT",
    "BoundedRatio",
    "FixedRatio",
    "Group",
    "Line",
    "LineList",
    "LineSpread",
    "instrumental_sigma",
    "lines_in_band",
    "load_instruments",
    "load_line_list",
    "resolving_power",
]

SPEED_OF_LIGHT = 299792.458  # km/s
_FWHM_PER_SIGMA = 2.3548200450309493


@dataclass(frozen=True)
class Line:
    """An emission line: name and vacuum rest wavelength (micrometre)."""

    name: str
    wavelength: float


@dataclass(frozen=True)
class FixedRatio:
    """Flux of `numerator` is `ratio` times the flux of `denominator`."""

    numerator: str
    denominator: str
    ratio: float


@dataclass(frozen=True)
class BoundedRatio:
    """Flux of `numerator` over flux of `denominator` lies within [`low`, `high`]."""

    numerator: str
    denominator: str
    low: float
    high: float


@dataclass(frozen=True)
class Group:
    """Lines that share velocity and width (Curti et al. 2020, Sect. 3.1); `main` is the one they are named after."""

    name: str
    lines: tuple[Line, ...]
    main: str
    fixed_ratios: tuple[FixedRatio, ...] = ()
    bounded_ratios: tuple[BoundedRatio, ...] = ()

    def line(self, name):
        """Return the line called `name`."""
        return next(line for line in self.lines if line.name == name)


@dataclass(frozen=True)
class LineList:
    """All lines and groups by name, sums as names of lines by name of the sum, and notes on wavelengths for the log."""

    lines: dict[str, Line]
    groups: dict[str, Group]
    sums: dict[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def select(self, names):
        """Return the groups called `names`, in that order.

        Raises
        ------
        ConfigError
            A name is no group of the list, or two groups hold the same line.
        """
        check_selection(
            names, {name: {"lines": [line.name for line in group.lines]} for name, group in self.groups.items()}
        )
        return [self.groups[name] for name in names]


@dataclass(frozen=True)
class LineSpread:
    """Width of the line-spread function of a band whose resolving power changes along it.

    Parameters
    ----------
    wavelength : tuple of float
        Micrometre, ascending.
    resolution : tuple of float
        Resolving power (wavelength over FWHM) there; linear between, constant outside.
    """

    wavelength: tuple[float, ...]
    resolution: tuple[float, ...]

    def __call__(self, wavelength):
        """Return the Gaussian sigma (micrometre) at `wavelength` (micrometre), of its shape."""
        return wavelength / np.interp(wavelength, self.wavelength, self.resolution) / _FWHM_PER_SIGMA


def load_line_list(path, shipped=SHIPPED, doublet_ratios="paper"):
    """Read and check a line list.

    Parameters
    ----------
    path : path-like
        YAML with the entries ``lines``, ``groups`` and ``sums``; see ``resources/lines.yaml``.
    shipped : path-like
        The list that ``include: default`` starts from.
    doublet_ratios : {'paper', 'physical'}
        Which value of the fixed ratios that have both.

    Returns
    -------
    LineList
        Wavelengths in micrometre, vacuum.

    Raises
    ------
    ConfigError
        The file is not such a list; the message names the entry and the remedy.
    """
    content = read_line_list(path, shipped, doublet_ratios)
    lines = {name: Line(name, wavelength * 1e-4) for name, wavelength in content["lines"].items()}
    groups = {
        name: Group(
            name,
            tuple(lines[member] for member in entry["lines"]),
            entry["main"],
            tuple(FixedRatio(*ratio) for ratio in entry["fixed_ratios"]),
            tuple(BoundedRatio(*ratio) for ratio in entry["bounded_ratios"]),
        )
        for name, entry in content["groups"].items()
    }
    sums = {name: tuple(members) for name, members in content["sums"].items()}
    return LineList(lines, groups, sums, tuple(content["notes"]))


def load_instruments(path):
    """Read ``resources/instruments.yaml``: band entries (``range`` in micrometre, ``resolution``) by instrument.

    Raises
    ------
    ConfigError
        The file cannot be read as YAML.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML ({error}); restore it from the project.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no entries; restore it from the project.")
    return content


def resolving_power(entry):
    """Return the resolving power at the centre of a band, an entry of `load_instruments`."""
    given = entry["resolution"]
    return float(np.interp(0.5 * sum(entry["range"]), *zip(*given, strict=True)) if isinstance(given, list) else given)


def instrumental_sigma(instruments, instrument, band, resolution=None):
    """Return the Gaussian sigma of the line-spread function of a band.

    A single resolving power is that at the band's centre, FWHM = centre / R, and the width is the same in all channels
    (Curti et al. 2020, Sect. 3.1), as it nearly is for a grating; a table gives each channel its own.

    Parameters
    ----------
    instruments : dict
        From `load_instruments`.
    instrument, band : str
    resolution : float, optional
        Of this observation at the band's centre; a table is scaled to it.

    Returns
    -------
    float or LineSpread
        Micrometre; of a table, the function of the wavelength.

    Raises
    ------
    ConfigError
        Instrument or band is not listed.
    """
    require_known(instrument, instruments, "resources/instruments.yaml", "instrument")
    require_known(band, instruments[instrument], f"resources/instruments.yaml: {instrument}", "band")
    entry = instruments[instrument][band]
    listed = resolving_power(entry)
    resolution = listed if resolution is None else float(resolution)
    if isinstance(entry["resolution"], list):
        wavelength, power = zip(*entry["resolution"], strict=True)
        return LineSpread(wavelength, tuple(value * (resolution / listed) for value in power))
    return 0.5 * sum(entry["range"]) / resolution / _FWHM_PER_SIGMA


def lines_in_band(groups, z, wavelength_range, margin=0.0):
    """Reduce groups to the lines that fall in a band.

    Parameters
    ----------
    groups : iterable of Group
    z : float
        Redshift.
    wavelength_range : (float, float)
        Observed range of the band, micrometre.
    margin : float
        A line closer than this to an edge (km/s) is left out.

    Returns
    -------
    list of Group
        Without the empty ones.  A ratio whose partner is out of the band is dropped, but lines tied by way of one that
        is out stay tied; where the main line is out, the reddest line left takes its place.
    """
    low, high = wavelength_range
    reduced = []
    for group in groups:
        kept = tuple(
            line
            for line in group.lines
            if low * (1 + margin / SPEED_OF_LIGHT) <= line.wavelength * (1 + z) <= high * (1 - margin / SPEED_OF_LIGHT)
        )
        if not kept:
            continue
        names = {line.name for line in kept}
        fixed = _ratios_among(names, group.fixed_ratios)
        bounded = tuple(ratio for ratio in group.bounded_ratios if {ratio.numerator, ratio.denominator} <= names)
        main = group.main if group.main in names else max(kept, key=lambda line: line.wavelength).name
        reduced.append(replace(group, lines=kept, main=main, fixed_ratios=fixed, bounded_ratios=bounded))
    return reduced


def _ratios_among(names, ratios):
    """Return fixed ratios without the lines that are not among `names`: lines tied to a lost one stay tied."""
    lost = [name for ratio in ratios for name in (ratio.numerator, ratio.denominator) if name not in names]
    for name in dict.fromkeys(lost):
        # flux of each partner in units of that of the lost line
        partners = [
            (ratio.denominator, 1.0 / ratio.ratio) if ratio.numerator == name else (ratio.numerator, ratio.ratio)
            for ratio in ratios
            if name in (ratio.numerator, ratio.denominator)
        ]
        inherited = [FixedRatio(partner, partners[0][0], flux / partners[0][1]) for partner, flux in partners[1:]]
        ratios = [ratio for ratio in ratios if name not in (ratio.numerator, ratio.denominator)] + inherited
    return tuple(ratios)

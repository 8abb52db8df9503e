"""Line fluxes of a whole galaxy, in its pseudo-fibre: detected, undetected, or spoilt by the sky."""

from dataclasses import dataclass

import numpy as np

from klever.maps import Flag
from klever.row_tables import read_table

__all__ = ["GalaxyLine", "detections", "limits", "read_galaxy_lines"]

_UNUSABLE = int(Flag.NO_DATA | Flag.NOT_FITTED | Flag.LOW_COVERAGE)
_SKY = int(Flag.ON_SKY_LINE | Flag.RESIDUAL)


@dataclass(frozen=True)
class GalaxyLine:
    """One line of one galaxy.

    Parameters
    ----------
    flux, error : float
        Of the band in which its S/N is higher, and 1 sigma; the error is positive.
    contaminated : bool
        Its core falls on a bright sky line, or the residual around it is larger than the noise explains.
    """

    flux: float
    error: float
    contaminated: bool = False

    @property
    def snr(self):
        """Flux over error."""
        return self.flux / self.error


def read_galaxy_lines(paths):
    """Return the lines of a galaxy from the ``lines.ecsv`` of its bands.

    ``SIII`` is added as the sum of its two lines, which a fixed ratio ties: their errors add up.

    Parameters
    ----------
    paths : list of path-like

    Returns
    -------
    dict of str to GalaxyLine
        Without lines that have no data, no fit or no usable error.

    Raises
    ------
    InputError
        See `klever.row_tables.read_table`.
    """
    found = {}
    for path in paths:
        table = read_table(path, ["line", "flux", "flux_error"])
        flags = np.ma.filled(table["flags"], _UNUSABLE) if "flags" in table.colnames else np.zeros(len(table), int)
        columns = [np.ma.filled(np.ma.asarray(table[name], float), np.nan) for name in ("flux", "flux_error")]
        for line, flux, error, flag in zip(map(str, table["line"]), *columns, flags, strict=True):
            if not (np.isfinite(flux) and 0 < error < np.inf) or flag & _UNUSABLE:
                continue
            new = GalaxyLine(float(flux), float(error), bool(flag & _SKY))
            if line not in found or new.snr > found[line].snr:
                found[line] = new
    doublet = [found[line] for line in ("SIII9069", "SIII9531") if line in found]
    if len(doublet) == 2:
        contaminated = any(line.contaminated for line in doublet)
        found["SIII"] = GalaxyLine(
            sum(line.flux for line in doublet), sum(line.error for line in doublet), contaminated
        )
    return found


def detections(lines, minimum_snr):
    """Return flux and error of the lines with S/N of at least `minimum_snr`."""
    return {name: (line.flux, line.error) for name, line in lines.items() if line.snr >= minimum_snr}


def limits(lines, minimum_snr):
    """Return the flux of S/N `minimum_snr`, and 1 sigma, of the lines that do not reach it."""
    return {name: (minimum_snr * line.error, line.error) for name, line in lines.items() if line.snr < minimum_snr}

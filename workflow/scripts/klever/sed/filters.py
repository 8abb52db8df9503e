"""Throughputs of broad-band filters, read from the files of the package astro-sedpy without importing it."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from klever.errors import ConfigError, InputError

__all__ = ["SPEED_OF_LIGHT", "Filter", "read_filter"]

SPEED_OF_LIGHT = 2.99792458e18  # Angstrom/s
# Where an HST filter is looked for: ACS first, then both channels of WFC3.
_HST = ("acs_wfc_", "wfc3_ir_", "wfc3_uvis_")


class Filter:
    """A filter of a photon-counting detector.

    Parameters
    ----------
    name : str
        For example ``F160W``.
    wavelength : ndarray
        Angstrom, increasing.
    throughput : ndarray
        Detected per incoming photon, on any scale.
    """

    def __init__(self, name, wavelength, throughput):
        self.name = name
        inside = np.flatnonzero(throughput > 1e-4 * throughput.max())
        kept = slice(max(inside[0] - 1, 0), inside[-1] + 2)
        self.wavelength, self.throughput = wavelength[kept], throughput[kept]
        self._width = np.trapezoid(self.throughput / self.wavelength, self.wavelength)

    @property
    def pivot(self):
        """Pivot wavelength, Angstrom: mean f_nu = mean f_lambda pivot^2 / c."""
        return float(np.sqrt(np.trapezoid(self.throughput * self.wavelength, self.wavelength) / self._width))

    def bin_weights(self, edges):
        """Weights of mean f_lambda in bins (observed `edges`, Angstrom) that sum to mean f_nu per Hz, shape (n,)."""
        product = self.throughput * self.wavelength
        steps = 0.5 * (product[1:] + product[:-1]) * np.diff(self.wavelength)
        running = np.concatenate([[0.0], np.cumsum(steps)])
        inside = np.interp(edges, self.wavelength, running)
        return np.diff(inside) / (SPEED_OF_LIGHT * self._width)

    def line_weights(self, wavelengths):
        """Mean f_nu that a line of unit flux at these observed wavelengths (Angstrom) makes."""
        throughput = np.interp(wavelengths, self.wavelength, self.throughput, left=0.0, right=0.0)
        return throughput * np.asarray(wavelengths) / (SPEED_OF_LIGHT * self._width)


def read_filter(name, files=None):
    """Read the curve of a filter.

    Parameters
    ----------
    name : str
        HST filter such as ``F160W`` (ACS/WFC, else WFC3), or a key of `files`.
    files : dict, optional
        Name of the curve in astro-sedpy (``wfc3_uvis_f814w``) or path of a file with two columns (Angstrom, throughput)
        by filter.

    Raises
    ------
    ConfigError
        There is no such curve.
    InputError
        astro-sedpy is not installed, or the file cannot be read.
    """
    chosen = (files or {}).get(name)
    if chosen and Path(chosen).is_file():
        return _read(name, Path(chosen))
    package = find_spec("sedpy")
    if package is None:
        raise InputError("The filter curves are those of astro-sedpy, which is not installed; pip install astro-sedpy.")
    folder = Path(package.submodule_search_locations[0]) / "data/filters"
    stems = [chosen] if chosen else [start + name.lower() for start in _HST]
    for stem in stems:
        if (folder / f"{stem}.par").is_file():
            return _read(name, folder / f"{stem}.par")
    raise ConfigError(
        f"photometry.curves: there is no curve of the filter {name} ({', '.join(stems)}) in astro-sedpy; give the name "
        "of one that it has, or a file with wavelength (Angstrom) and throughput."
    )


def _read(name, path):
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [line.split() for line in lines if not line.lstrip().startswith("#")]
    numbers = []
    for row in rows:
        try:
            numbers.append([float(cell) for cell in row[-2:]])
        except ValueError:  # the structure of Yanny files
            continue
    curve = np.array(sorted(row for row in numbers if len(row) == 2))
    if len(curve) < 3 or not np.all(np.diff(curve[:, 0]) > 0) or not curve[:, 1].max() > 0:
        raise InputError(f"{path}: no curve of the filter {name}; two columns, wavelength in Angstrom and throughput.")
    return Filter(name, curve[:, 0], curve[:, 1])

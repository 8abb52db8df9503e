"""Whether the integrated spectrum needs a broad Halpha, as a type-1 AGN's does (Curti et al. 2020, Sect. 3.4.1)."""

from dataclasses import dataclass

import numpy as np

from klever.linefit.broad import fit_broad, needed_window
from klever.linefit.model import GroupModel
from klever.linefit.varpro import fit_spectra
from klever.linefit.window import channels_of_group
from klever.maps import Flag
from klever.row_tables import read_table
from klever.spectral_lines import lines_in_band

__all__ = ["BroadTest", "find_broad_line"]

_FWHM = np.sqrt(8 * np.log(2))
_EDGE_MARGIN = 500.0  # km/s a line must keep from the ends of the band
_TRIED_SNR = 5.0  # of the narrow line: without it there is nothing to compare the wings with


@dataclass
class BroadTest:
    """Outcome of the test.

    Parameters
    ----------
    state : str
        ``broad``; ``narrow``; ``not_tested`` (the line is not observed, too faint, or its window too poorly covered).
    delta_ln_evidence : float
        Ln Z with the broad component minus ln Z without; NaN where it was not tested.
    fwhm, fwhm_error : float
        Of the broad component, km/s; NaN unless it is found.
    fraction : float
        Of the line's flux that is broad; NaN unless it is found.
    """

    state: str = "not_tested"
    delta_ln_evidence: float = np.nan
    fwhm: float = np.nan
    fwhm_error: float = np.nan
    fraction: float = np.nan


def find_broad_line(spectrum, line_list, sigma_instrument, z, options, minimum_fwhm, line="Halpha"):
    """Fit one line of a pseudo-fibre spectrum with and without a broad component and compare their evidence.

    Parameters
    ----------
    spectrum : path-like
        ``spectrum.ecsv`` of the band with the line.
    line_list : klever.spectral_lines.LineList
    sigma_instrument : float or callable
        Micrometre.
    z : float
    options : dict
        ``lines`` of the configuration: its ranges, and ``broad_evidence``, by which ln Z has to rise.
    minimum_fwhm : float
        km/s; a narrower second component is no broad line of an AGN but rotation or an outflow.
    line : str
        A permitted line.

    Returns
    -------
    BroadTest
    """
    table = read_table(spectrum, ["wavelength", "flux", "error", "masked"])
    wavelength, flux, error = (
        np.ma.filled(np.ma.asarray(table[name], float), np.nan) for name in ("wavelength", "flux", "error")
    )
    error[np.asarray(table["masked"], bool)] = np.nan
    good = wavelength[np.isfinite(flux) & np.isfinite(error)]
    group = next((item for item in line_list.groups.values() if line in [member.name for member in item.lines]), None)
    if group is None or not good.size:
        return BroadTest()
    reduced = lines_in_band([group], z, (good[0], good[-1]), _EDGE_MARGIN)
    model = GroupModel(reduced[0], z, sigma_instrument) if reduced else None
    if model is None or line not in model.names:
        return BroadTest()
    limits = tuple(options["dispersion_range"]), tuple(options["broad_dispersion_range"])
    window = max(options["window"], needed_window(options["velocity_range"], limits[1]))
    channels, near = channels_of_group(model, wavelength, window)
    axis, flux = wavelength[channels], flux[None, channels]
    error = np.where(near, error[channels], np.nan)[None]
    if np.count_nonzero(np.isfinite(flux) & np.isfinite(error)) < 5:
        return BroadTest()
    narrow = fit_spectra(
        model, axis, flux, error, options["velocity_range"], limits[0], options["minimum_coverage"],
        engine="numpy", errors="jacobian",
    )  # fmt: skip
    index = model.names.index(line)
    if not narrow.flux[index, 0] / narrow.flux_error[index, 0] >= _TRIED_SNR:
        return BroadTest()
    two = fit_broad(
        model, axis, flux, error, narrow, [line], options["velocity_range"], *limits,
        minimum_coverage=options["minimum_coverage"], threshold=options["broad_evidence"],
    )  # fmt: skip
    if two.flags[0] & (Flag.NOT_FITTED | Flag.LOW_COVERAGE):
        return BroadTest(delta_ln_evidence=float(two.delta_ln_evidence[0]))
    fwhm = float(_FWHM * two.dispersion[0])
    found = BroadTest("narrow", float(two.delta_ln_evidence[0]))
    # at its upper bound the component is a curved continuum
    at_bound = bool(two.flags[0] & Flag.DISPERSION_BOUND)
    if two.chosen[0] and not at_bound and fwhm >= minimum_fwhm:
        broad, beside = float(two.flux[0, 0]), float(two.narrow.flux[index, 0])
        found = BroadTest("broad", found.delta_ln_evidence, fwhm, float(_FWHM * two.dispersion_error[0]),
                          broad / (broad + max(beside, 0.0)))  # fmt: skip
    return found

"""The spectrum of one spaxel as a group of lines was fitted to it, and the model that the maps, or a new fit, hold."""

from dataclasses import dataclass, replace

import numpy as np

from klever.linefit.groupspectra import fit_group
from klever.linefit.model import GroupModel, pixel_edges, pixel_profile
from klever.linefit.outflow import BROAD, broad_components
from klever.linefit.window import find_spikes
from klever.maps import Flag

__all__ = ["NUMBERS", "SpaxelFit", "components", "fit_from_maps", "fitted_groups", "has_spectrum", "refit",
           "with_best_fits"]  # fmt: skip

NUMBERS = ("flux", "flux_error", "velocity", "velocity_error", "dispersion", "dispersion_error", "chi2")
_SAME = 0.05  # of the error


@dataclass
class SpaxelFit:
    """One spaxel and one group.

    Attributes
    ----------
    x, y : int
        0-based, x along the rows of the image.
    model : klever.linefit.model.GroupModel
    wavelength : ndarray, shape (n,)
        Micrometre.
    flux, error : ndarray, shape (n,)
        Flux density of the smoothed spectrum and 1 sigma; NaN where masked.
    near : ndarray of bool, shape (n,)
        The channel belongs to the window of the group.
    used : ndarray of bool, shape (n,)
        The channel enters the fit: unmasked, in the window, no spike.
    continuum : ndarray, shape (n,)
    lines : dict of str to ndarray, shape (n,)
        Curve of each component, ``""`` the first; all zero where there is no fit.
    numbers : dict of str to float
        `NUMBERS` of the main line and its group, chi2 reduced; NaN where there is no value.
    flags : klever.maps.Flag
        Of the main line and its group.
    """

    x: int
    y: int
    model: GroupModel
    wavelength: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    near: np.ndarray
    used: np.ndarray
    continuum: np.ndarray
    lines: dict
    numbers: dict
    flags: Flag

    @property
    def total(self):
        """Continuum and all components, shape (n,)."""
        return self.continuum + sum(self.lines.values())

    @property
    def residual(self):
        """Data minus fit in units of the error, shape (n,); NaN where masked."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.used, (self.flux - self.total) / self.error, np.nan)

    @property
    def snr(self):
        """Flux of the main line over its error."""
        error = self.numbers["flux_error"]
        return self.numbers["flux"] / error if error > 0 else np.nan

    @property
    def fitted(self):
        """Whether there is a fit to draw."""
        return bool(np.isfinite(self.numbers["velocity"]) and self.used.any())


def fitted_groups(maps):
    """Names of the groups that a MapSet of lines holds (upper case): those with a map ``VELOCITY_<GROUP>``."""
    return [name.removeprefix("VELOCITY_") for name in maps.names() if name.startswith("VELOCITY_")]


def components(maps, group):
    """Suffixes of the components of a group, ``""`` first: ``_BROAD`` where there is ``VELOCITY_<GROUP>_BROAD``."""
    prefix = f"{group.upper()}_"
    return ["", *(f"_{name.removeprefix(prefix)}" for name in fitted_groups(maps) if name.startswith(prefix))]


def has_spectrum(spectra, x, y):
    """Whether spaxel (x, y) has at least one usable channel in the group's window."""
    index = spectra.index[y, x]
    if index < 0:
        return False
    return bool((np.isfinite(spectra.flux[index]) & (spectra.error[index] > 0)).any())


def fit_from_maps(spectra, maps, x, y, suffix=""):
    """Return the fit of spaxel (x, y) as the maps tell it, without fitting again.

    Lines follow from the saved fluxes, velocity and dispersion.  The continuum, which no map holds, is the straight
    line that fits best to what they leave: at the minimum of chi2 that is the continuum of the fit.

    Parameters
    ----------
    spectra : klever.linefit.groupspectra.GroupSpectra
    maps : klever.maps.MapSet
        Of `klever.linefit.cubefit.fit_cube`.
    x, y : int
        A spaxel that is inside the field of the spectra.
    suffix : str
        The component whose numbers are returned.

    Returns
    -------
    SpaxelFit
    """
    flux, error, used = _channels(spectra, x, y)
    model, name = spectra.model, spectra.model.group.name.upper()
    lines = {part: _component(spectra, maps, x, y, part) for part in components(maps, name)}
    main = f"{model.names[model.main]}{suffix}"
    numbers = {
        "flux": _at(maps, main, x, y), "flux_error": _at(maps, main, x, y, "error"),
        "velocity": _at(maps, f"VELOCITY_{name}{suffix}", x, y),
        "velocity_error": _at(maps, f"VELOCITY_{name}{suffix}", x, y, "error"),
        "dispersion": _at(maps, f"DISPERSION_{name}{suffix}", x, y),
        "dispersion_error": _at(maps, f"DISPERSION_{name}{suffix}", x, y, "error"),
        "chi2": _at(maps, f"CHI2_{name}", x, y),
    }  # fmt: skip
    flags = [maps[key].flags[y, x] for key in (main, f"VELOCITY_{name}{suffix}")
             if key in maps and maps[key].flags is not None]  # fmt: skip
    continuum = _straight_line(spectra.wavelength, flux - sum(lines.values()), error, used)
    return SpaxelFit(x, y, model, spectra.wavelength, flux, error, spectra.near, used, continuum, lines, numbers,
                     Flag(int(np.bitwise_or.reduce([0, *flags]))))  # fmt: skip


def refit(spectra, options, x, y, error_scale=1.0):
    """Fit spaxel (x, y) again.

    Parameters
    ----------
    spectra : klever.linefit.groupspectra.GroupSpectra
    options : dict
        Section ``lines`` of the settings.
    x, y : int
    error_scale : float
        Factor on all errors (``ERRSCALE`` of the maps).

    Returns
    -------
    SpaxelFit
    """
    one = _only(spectra, x, y)
    fit = fit_group(one, options)
    broad = broad_components(one, fit, options, error_scale)
    flux, error, used = _channels(spectra, x, y)
    model = spectra.model
    numbers = {
        "flux": fit.flux[model.main, 0], "flux_error": fit.flux_error[model.main, 0] * error_scale,
        "velocity": fit.velocity[0], "velocity_error": fit.velocity_error[0] * error_scale,
        "dispersion": fit.dispersion[0], "dispersion_error": fit.dispersion_error[0] * error_scale,
        "chi2": fit.reduced_chi2[0],
    }  # fmt: skip
    curves = {"": np.nan_to_num(fit.lines_at(spectra.wavelength)[0])}
    if broad is not None:
        curves[BROAD] = broad.curve[0]
    return SpaxelFit(x, y, model, spectra.wavelength, flux, error, spectra.near, used,
                     fit.continuum_at(spectra.wavelength)[0], curves,
                     {name: float(value) for name, value in numbers.items()},
                     Flag(int(fit.flags[0] | fit.line_flags[model.main, 0])))  # fmt: skip


def with_best_fits(fits, spectra, options):
    """Return `fits` with the curves of new fits of their spaxels, where those have the fluxes of the maps.

    With posterior errors the maps hold the median of velocity and dispersion, but the fluxes of the minimum of chi2;
    the curve of the minimum is what is to be compared with the data.  Fits of two components stay as they are.

    Parameters
    ----------
    fits : list of SpaxelFit
        From `fit_from_maps`.
    spectra : klever.linefit.groupspectra.GroupSpectra
    options : dict
        Section ``lines`` of the settings.
    """
    asked = [i for i, fit in enumerate(fits) if len(fit.lines) == 1 and fit.fitted]
    if not asked:
        return fits
    rows = [spectra.index[fits[i].y, fits[i].x] for i in asked]
    some = replace(spectra, flux=spectra.flux[rows], error=spectra.error[rows], prior=spectra.prior[rows])
    # all at once: the fit of twelve spectra takes hardly longer than that of one
    new = fit_group(some, options | {"errors": "jacobian"})
    lines, continuum = np.nan_to_num(new.lines_at(spectra.wavelength)), new.continuum_at(spectra.wavelength)
    best = list(fits)
    for row, i in enumerate(asked):
        numbers = fits[i].numbers
        if abs(new.flux[new.model.main, row] - numbers["flux"]) <= _SAME * numbers["flux_error"]:
            best[i] = replace(fits[i], continuum=continuum[row], lines={"": lines[row]})
    return best


def _only(spectra, x, y):
    """Spectra of one spaxel alone."""
    row, index = [spectra.index[y, x]], np.full(spectra.index.shape, -1)
    index[y, x] = 0
    return replace(spectra, flux=spectra.flux[row], error=spectra.error[row], prior=spectra.prior[row], index=index)


def _channels(spectra, x, y):
    """Flux, error and whether the channel is used, of one spaxel."""
    index = spectra.index[y, x]
    flux, error = spectra.flux[index], spectra.error[index]
    with np.errstate(invalid="ignore", divide="ignore"):
        used = np.isfinite(flux) & np.isfinite(error) & (error > 0) & spectra.near
        unit = np.median(error[used]) if used.any() else 1.0
        weight = np.where(used, (unit / error) ** 2, 0.0)
    spikes = find_spikes(np.where(used, flux / unit, 0.0)[None], weight[None])[0]
    return np.where(used, flux, np.nan), np.where(used, error, np.nan), used & ~spikes


def _at(maps, name, x, y, kind="value"):
    """Return one value of a map, NaN if there is no such map."""
    array = getattr(maps[name], kind) if name in maps else None
    return np.nan if array is None else float(array[y, x])


def _component(spectra, maps, x, y, suffix):
    """Sum of the lines of one component, all zero where the maps hold none."""
    model, name = spectra.model, f"{spectra.model.group.name.upper()}{suffix}"
    velocity, dispersion = (_at(maps, f"{kind}_{name}", x, y) for kind in ("VELOCITY", "DISPERSION"))
    curve = np.zeros(len(spectra.wavelength))
    if not (np.isfinite(velocity) and np.isfinite(dispersion)):
        return curve
    edges, centres = pixel_edges(spectra.wavelength), model.centres(velocity)
    for line, centre, sigma in zip(model.names, centres, model.sigmas(centres, dispersion), strict=True):
        flux = _at(maps, f"{line}{suffix}", x, y)
        if np.isfinite(flux):
            curve += flux * pixel_profile(edges, centre, sigma)
    return curve


def _straight_line(wavelength, flux, error, used):
    """Weighted straight line through the channels used; NaN with fewer than two of them."""
    if np.count_nonzero(used) < 2:
        return np.full(len(wavelength), np.nan)
    middle = 0.5 * (wavelength[0] + wavelength[-1])
    x = (wavelength - middle) / max(np.ptp(wavelength), 1e-12)
    unit = np.median(error[used])
    weight = unit / error[used]
    design = np.stack([np.ones(used.sum()), x[used]], axis=1) * weight[:, None]
    value, slope = np.linalg.lstsq(design, flux[used] / unit * weight, rcond=None)[0]
    return (value + slope * x) * unit

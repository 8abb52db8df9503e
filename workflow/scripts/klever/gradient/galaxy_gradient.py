"""Profiles, gradients and asymmetry of one galaxy, as rows of its tables (Sect. 4.2 and 4.5, App. A)."""

from dataclasses import dataclass, field

import numpy as np

from klever.gradient.annuli import Ellipse
from klever.gradient.asymmetry import measure_asymmetry
from klever.gradient.gradient_columns import annulus_rows, covariance_rows
from klever.gradient.gradient_systematics import calibration_slopes, other_centre_slope
from klever.gradient.gradients import fit_line, resolution_class, sample_line, slope_error_from
from klever.gradient.light_model import TRACERS, fit_light, model_slope_error
from klever.gradient.profile_errors import average_abundances, average_fluxes
from klever.gradient.profiles import measure_profiles, regions_of
from klever.maps import Flag, Map, MapSet, masked

__all__ = ["GalaxyGradient", "GalaxyInputs", "measure_galaxy_gradient"]

# Variance of bilinear interpolation between spaxels and of their own size, as FWHM^2 over the spaxel's area:
# 8 ln 2 (1/6 + 1/12).
_SPAXEL_FWHM2 = 1.386


@dataclass
class GalaxyInputs:
    """What the measurement needs.

    Parameters
    ----------
    source, abundance : MapSet
        source.fits and metallicity.fits.
    psf : tuple of float
        FWHM along both axes (arcsec) and position angle of the source-plane PSF.
    image_fwhm : float
        FWHM (arcsec) in the image plane that `psf` was traced from.
    bands : list of Band
    noise : SourceNoise
    model : AbundanceModel
    calibrations : path-like
        resources/calibrations.json.
    gradient : dict
        The section of the configuration.
    """

    source: MapSet
    abundance: MapSet
    psf: tuple
    image_fwhm: float
    bands: list
    noise: object
    model: object
    calibrations: object
    gradient: dict

    @property
    def beam(self):
        """FWHM along both axes (source pixels) and position angle of the PSF of the maps.

        The seeing, the smoothing of the cubes and the spaxels, while the PSF of the tables may be the seeing alone.
        """
        width = np.sqrt(np.mean([band.psf_fwhm**2 + _SPAXEL_FWHM2 * band.grid.pixel_area for band in self.bands]))
        stretch = width / self.image_fwhm / self.source.header["PIXSCALE"]
        return self.psf[0] * stretch, self.psf[1] * stretch, self.psf[2]


@dataclass
class GalaxyGradient:
    """Rows of the tables, maps of the residuals, and the centre by region."""

    annuli: list = field(default_factory=list)
    covariance: list = field(default_factory=list)
    gradient: list = field(default_factory=list)
    asymmetry: list = field(default_factory=list)
    residuals: MapSet = None
    centres: dict = field(default_factory=dict)


def measure_galaxy_gradient(inputs):
    """Measure profiles, gradients and asymmetry of every region of a galaxy.

    Parameters
    ----------
    inputs : GalaxyInputs

    Returns
    -------
    GalaxyGradient
        A region in which nothing is measured has no rows.
    """
    section = inputs.gradient
    profiles = measure_profiles(inputs.source, inputs.abundance, inputs.psf, section)
    shape = inputs.abundance["LOG_OH"].value.shape
    result = GalaxyGradient(residuals=_empty_residuals(inputs.abundance))
    if not profiles:
        return result
    scale = profiles[0].scale
    selections = regions_of(shape, inputs.source.header, scale.pixel, section["regions"])
    for region in dict.fromkeys(item.region for item in profiles):
        own = [item for item in profiles if item.region == region]
        ellipse = own[0].ellipse
        result.centres[region] = {"centre": own[0].centre, "x": ellipse.x, "y": ellipse.y}
        light = fit_light(inputs.source, inputs.noise, selections[region], ellipse, inputs.beam, 0.5 * scale.beam,
                          section["psf_error"])  # fmt: skip
        own += _deprojected(inputs, own[0], light and light.disc)
        rows = {}
        for profile in own:
            rows[profile.aperture] = _measure(inputs, profile, selections[region], light, result)
        pair = [rows.get(name, {}).get("slope") for name in ("elliptical", "circular")]
        if None not in pair:
            for row in rows.values():
                row["slope_aperture"] = pair[0] - pair[1]
        result.gradient += rows.values()
        _asymmetry(inputs, own, selections[region], result, rows)
    return result


def _deprojected(inputs, profile, disc):
    """Profile in annuli of the inclined disc, if the configuration asks for it and its shape is known."""
    setting = inputs.gradient["deproject"]
    if setting == "none":
        return []
    if setting == "measured":
        shape = None if disc is None else (disc.axis_ratio, disc.position_angle)
    else:
        shape = setting["axis_ratio"], setting["position_angle"]
    centre = profile.centre, profile.ellipse.x, profile.ellipse.y
    only = {**inputs.gradient, "apertures": ["deprojected"]}
    found = measure_profiles(inputs.source, inputs.abundance, inputs.psf, only, centres={profile.region: centre},
                             discs={profile.region: shape})  # fmt: skip
    return [item for item in found if item.region == profile.region]


def _measure(inputs, profile, select, light, result):
    """Add the annuli of a profile to the result and return its row of gradients."""
    section = inputs.gradient
    measured = {
        "pixels": average_abundances(profile, inputs.abundance, inputs.model, inputs.noise),
        "fluxes": average_fluxes(profile, inputs.source, inputs.model, inputs.noise, section, select),
    }
    smeared, others = None, []
    if light is not None:
        # what the paper calls a gradient is per kpc of projected distance, whatever the shape of the annuli
        shape = profile.ellipse if profile.aperture == "deprojected" else Ellipse(profile.ellipse.x, profile.ellipse.y)
        size = inputs.abundance["LOG_OH"].value.shape
        smeared = light.radius(shape, size) * profile.kpc
        chosen = measured[section["method"]]
        others = [[_psf_radius(chosen, radius * profile.kpc, inputs.source) for radius in pair]
                  for pair in light.other_radii(shape, size)]  # fmt: skip
    for item in measured.values():
        item.psf_radius = _psf_radius(item, smeared, inputs.source)
        result.annuli += annulus_rows(item, section)
        result.covariance += covariance_rows(item)
    beam = inputs.beam
    row = {
        "region": profile.region, "aperture": profile.aperture, "centre": profile.centre, "method": section["method"],
        "errors": section["errors"], "beam_hwhm_kpc": 0.5 * np.sqrt(beam[0] * beam[1]) * profile.scale.kpc,
        "r_e_map": light and light.tracer,
    }  # fmt: skip
    if light is not None:
        disc = light.disc
        row |= {
            "r_e_kpc": disc.half_light_radius * profile.scale.kpc,
            "r_e_error_kpc": disc.half_light_radius_error * profile.scale.kpc,
            "disc_axis_ratio": disc.axis_ratio, "disc_position_angle": disc.position_angle % 180,
        }  # fmt: skip
    if isinstance(section["deproject"], dict):
        row |= {f"disc_{key}": section["deproject"][key] for key in ("axis_ratio", "position_angle")}
    return row | _fit(inputs, profile, measured, others)


def _fit(inputs, profile, measured, others):
    """Fit a profile; return what that adds to its row. `others`: radii of its annuli by other models of the light."""
    section = inputs.gradient
    chosen = measured[section["method"]]
    fewest = max(2, section["minimum_annuli"])
    row = {"n_annuli": len(chosen.radius)}
    if not len(chosen.radius):
        return row | {"state": "not_detected"}
    row["max_radius_kpc"] = float(chosen.radius.max())
    hwhm = 0.5 * profile.scale.beam * profile.scale.kpc
    if len(chosen.radius) < fewest:
        return row | {"resolved": "unresolved", "state": "too_few_annuli"}
    errors, common = (chosen.paper_error, None) if section["errors"] == "paper" else (chosen.weighting, chosen.common)
    options = {key: section[key] for key in ("seed", "walkers", "steps", "burn_in", "intrinsic_scatter")}
    row |= vars(sample_line(chosen.radius, chosen.log_oh, errors, common, **options))
    row["slope_noise_error"] = slope_error_from(chosen.radius, errors, chosen.noise)
    row["slope_common_error"] = slope_error_from(chosen.radius, errors, chosen.common)
    for method, item in measured.items():
        if len(item.radius) >= fewest:
            line = fit_line(item.radius, item.log_oh, item.weighting, item.common)
            row |= {f"slope_{method}": line.slope, f"slope_{method}_error": line.slope_error}
    pixels = measured["pixels"]
    if len(pixels.radius) >= fewest:
        line = fit_line(pixels.radius, pixels.log_oh, pixels.paper_error)
        row |= {"slope_paper": line.slope, "slope_paper_error": line.slope_error}
        row |= _systematics(inputs, profile, pixels.weighting, row["slope_pixels"])
    if np.all(np.isfinite(chosen.psf_radius)) and np.ptp(chosen.psf_radius) > 0:
        line = fit_line(chosen.psf_radius, chosen.log_oh, chosen.weighting, chosen.common)
        model_error = model_slope_error(chosen, others)
        row |= {"slope_intrinsic": line.slope, "slope_intrinsic_model_error": model_error}
        row["slope_intrinsic_error"] = float(np.hypot(line.slope_error, model_error))
        row["psf_flattening"] = fit_line(chosen.radius, chosen.psf_radius, chosen.weighting).slope
    return row | {"resolved": resolution_class(row["max_radius_kpc"], hwhm), "state": "ok"}


def _systematics(inputs, profile, covariance, slope):
    slopes = calibration_slopes(profile, inputs.abundance, inputs.model, inputs.calibrations, covariance)
    row = {"n_calibrations": len(slopes)}
    if len(slopes) > 1:
        row["slope_calibrations"] = 0.5 * float(np.ptp(list(slopes.values())))
    name, other, offset = other_centre_slope(
        profile, inputs.source, inputs.abundance, inputs.psf, inputs.gradient, inputs.model, inputs.noise
    )
    return row | {"centre_offset_kpc": offset, "slope_centre": other - slope if name else np.nan}


def _psf_radius(measured, smeared, source):
    """Mean radius of the light of each annulus before the PSF, kpc; by light for the method ``fluxes``."""
    if smeared is None:
        return np.full(len(measured.annuli), np.nan)
    light = np.ones(smeared.size)
    if measured.method == "fluxes":
        name = next((name for name in TRACERS if name in source), None)
        if name:
            light = np.maximum(np.nan_to_num(masked(source, name)[0].ravel()), 0.0)
            light = light / (light.max() or 1.0)
    radii = []
    for item in measured.annuli:
        weight = item.fractions * light[item.pixels]
        radii.append(np.average(smeared.ravel()[item.pixels], weights=weight if weight.sum() > 0 else item.fractions))
    return np.array(radii)


def _asymmetry(inputs, profiles, select, result, rows):
    """Add the asymmetry of a region, about the profile of its circular annuli if there are any."""
    profile = next((item for item in profiles if item.aperture == "circular"), profiles[0])
    x, y, kpc = profile.ellipse.x, profile.ellipse.y, profile.scale.kpc
    log_oh = np.where(select, masked(inputs.abundance, "LOG_OH")[0], np.nan)
    rows_of_pixels, columns = np.indices(log_oh.shape)
    # the region's pixels only; the bounds of the annuli continue beyond the last one
    radius = profile.ellipse.radius(columns, rows_of_pixels)
    rings = np.floor(radius / (inputs.gradient["step"] * profile.scale.beam)).astype(int)
    position = (x - columns) * kpc, (rows_of_pixels - y) * kpc
    name, light = _star_formation(inputs)
    responses = {line: inputs.abundance[f"D_LOG_OH_{line}"].value for line in inputs.model.lines}
    beam = inputs.beam
    area = np.pi / (4 * np.log(2)) * beam[0] * beam[1]
    tracer = next((item for item in TRACERS if item in inputs.source), "HALPHA")
    found = measure_asymmetry(
        log_oh, responses, light, inputs.noise, position, rings, area, inputs.gradient["seed"], tracer
    )
    row = {"region": profile.region, "sfr_map": name}
    row |= {"state": "too_few_pixels", "n_pixels": int(np.isfinite(log_oh).sum())} if found is None else vars(found)
    result.asymmetry.append({"state": "ok"} | row)
    fit = rows.get(profile.aperture, {})
    if fit.get("state") == "ok":
        model = fit["intercept"] + fit["slope"] * radius * profile.kpc
        known = np.isfinite(log_oh)
        for name, values in (("RESIDUAL", log_oh - model), ("PROFILE", model)):
            result.residuals[name].value[known] = values[known]
        result.residuals["RESIDUAL"].error[known] = inputs.abundance["LOG_OH_NOISE"].value[known]
        for item in result.residuals.maps.values():
            item.flags[known] = 0


def _star_formation(inputs):
    """Name and map of what follows the star-formation surface density."""
    # a reddening of the whole galaxy changes no rank
    for name, label in TRACERS.items():
        if name in inputs.source and np.isfinite(masked(inputs.source, name)[0]).any():
            return label, masked(inputs.source, name)[0]
    return None, np.full(inputs.abundance["LOG_OH"].value.shape, np.nan)


def _empty_residuals(abundance):
    shape = abundance["LOG_OH"].value.shape
    maps = MapSet(header=abundance.header.copy())
    for name, error in (("RESIDUAL", np.full(shape, np.nan)), ("PROFILE", None)):
        flags = np.full(shape, int(Flag.NOT_DETECTED), np.uint16)
        maps[name] = Map(np.full(shape, np.nan), error, flags, "dex")
    return maps

"""Radial metallicity profiles of a galaxy in the source plane: regions, centres and annuli (Sect. 4.2, App. A)."""

from dataclasses import dataclass, field

import numpy as np

from klever.errors import ConfigError, InputError
from klever.gradient.annuli import Ellipse, extract_annuli
from klever.gradient.centres import find_centre, nearest_region
from klever.maps import masked

__all__ = [
    "Profile",
    "Scale",
    "check_gradient_settings",
    "galaxy_centre",
    "map_scale",
    "measure_profiles",
    "regions_of",
]

# S/N that makes a continuum or line peak a detection.
CENTRE_SNR = 5.0
# FWHM of the smoothing before a peak is looked for, as a fraction of sqrt(FWHM_x FWHM_y).
CENTRE_SMOOTHING = 0.3
CENTRE_MAPS = {"continuum": "CONTINUUM_H", "halpha": "HALPHA", "oiii5007": "OIII5007"}


@dataclass
class Scale:
    """Sizes on the source-plane grid.

    Parameters
    ----------
    pixel : float
        Arcsec.
    kpc : float
        Of a pixel.
    beam : float
        sqrt(FWHM_x FWHM_y) of the PSF, pixels.
    axis_ratio, position_angle : float
        Of the PSF: minor over major axis; degrees from north through east.
    """

    pixel: float
    kpc: float
    beam: float
    axis_ratio: float
    position_angle: float


@dataclass
class Profile:
    """Annuli of one region in one kind of aperture.

    Parameters
    ----------
    region, aperture : str
        ``all`` or a name of ``gradient.regions``; ``elliptical``, ``circular`` or ``deprojected``.
    centre : str
        What the centre is the peak of: ``continuum``, ``halpha`` or ``oiii5007``.
    ellipse : Ellipse
        Centre (0-based source pixels) and shape of the annuli.
    scale : Scale
    annuli : list of Annulus
        Inside out, in pixels; empty if none is covered.
    """

    region: str
    aperture: str
    centre: str
    ellipse: Ellipse
    scale: Scale
    annuli: list = field(default_factory=list)

    @property
    def kpc(self):
        """Kpc of a pixel of radius: in a deprojected disc the radius is the semi-major axis, not sqrt(a b)."""
        return self.scale.kpc / np.sqrt(self.ellipse.axis_ratio) if self.aperture == "deprojected" else self.scale.kpc

    @property
    def radius_kpc(self):
        """Mean radius of each annulus, kpc."""
        return np.array([item.radius for item in self.annuli]) * self.kpc

    @property
    def log_oh(self):
        """Mean 12+log(O/H) of each annulus."""
        return np.array([item.log_oh for item in self.annuli])

    @property
    def error(self):
        """Error of each annulus by the paper's recipe, dex."""
        return np.array([item.error for item in self.annuli])


def measure_profiles(source, abundance, psf, gradient, origin="source.fits", centres=None, discs=None):
    """Average 12+log(O/H) in the annuli of every region and aperture.

    Parameters
    ----------
    source : MapSet
        Source-plane maps: CONTINUUM_H, HALPHA, OIII5007 for the centre; PIXSCALE, KPC_ARC (XC, YC for regions).
    abundance : MapSet
        LOG_OH with its error, on the same grid.
    psf : tuple of float
        FWHM along both axes (arcsec) and position angle (degrees, north through east) of the source-plane PSF.
    gradient : dict
        The section ``gradient`` of the configuration.
    origin : str, optional
        What `source` is called in messages.
    centres : dict, optional
        Name, x and y of the centre by region, instead of those found here.
    discs : dict, optional
        Axis ratio and position angle (degrees) of the disc by region, for the aperture ``deprojected``; a region
        without an entry has no such profile.

    Returns
    -------
    list of Profile
        Region by region, in the order of ``gradient.apertures``; a region in which nothing is measured has none.

    Raises
    ------
    InputError
        A header without the scale, maps of different shapes.
    ConfigError
        Settings that mean nothing, or a centre asked for that is not there.
    """
    check_gradient_settings(gradient)
    scale = map_scale(source, psf, origin)
    log_oh, error = masked(abundance, "LOG_OH")
    found = []
    for region, select in regions_of(log_oh.shape, source.header, scale.pixel, gradient["regions"], origin).items():
        centre = (centres or {}).get(region)
        if centre is None:
            centre = galaxy_centre(source, np.isfinite(log_oh) & select, scale, gradient["centre"])
        if centre is None:
            continue
        name, x, y = centre
        for aperture in gradient["apertures"]:
            shape = {
                "elliptical": (scale.axis_ratio, scale.position_angle), "circular": (1.0, 0.0),
                "deprojected": (discs or {}).get(region),
            }[aperture]  # fmt: skip
            if shape is None:
                continue
            ellipse = Ellipse(x, y, *shape)
            step = gradient["step"] * scale.beam
            annuli = extract_annuli(log_oh, error, ellipse, step, scale.beam, gradient["minimum_coverage"], select)
            found.append(Profile(region, aperture, name, ellipse, scale, annuli))
    return found


def map_scale(source, psf, origin="source.fits"):
    """Return the `Scale` of source-plane maps with this PSF (FWHM along both axes in arcsec, position angle).

    A PSF narrower than a pixel, as on a critical line where its minor axis vanishes, counts as a pixel: annuli finer
    than the map would be of single pixels.
    """
    missing = [key for key in ("PIXSCALE", "KPC_ARC") if key not in source.header]
    if missing:
        raise InputError(f"{origin} has no {', '.join(missing)} in its header; make it again with the step source.")
    pixel = source.header["PIXSCALE"]
    major, minor, angle = max(psf[0], pixel), max(psf[1], pixel), psf[2]
    return Scale(pixel, pixel * source.header["KPC_ARC"], np.sqrt(major * minor) / pixel, minor / major, angle)


def galaxy_centre(source, measured, scale, setting="auto"):
    """Return name and position of the centre (Sect. 4.2), or None if nothing is measured.

    Parameters
    ----------
    source : MapSet
        Source-plane maps.
    measured : ndarray of bool, shape (ny, nx)
        Where the abundance is measured.
    scale : Scale
    setting : {'auto', 'continuum', 'halpha'}
        auto: the peak of the H-band continuum, else of Halpha, else of [O III] where there is no Halpha.

    Returns
    -------
    name, x, y : tuple, or None
        0-based pixels.

    Raises
    ------
    ConfigError
        The map that `setting` asks for has no peak here.
    """
    if not measured.any():
        return None
    names = ["continuum", "halpha"] if setting == "auto" else [setting]
    if setting == "auto" and ("HALPHA" not in source or not np.isfinite(masked(source, "HALPHA")[0]).any()):
        names = ["continuum", "oiii5007"]
    choices = [(name, *masked(source, CENTRE_MAPS[name])) for name in names if CENTRE_MAPS[name] in source]
    found = find_centre(choices, measured, CENTRE_SMOOTHING * scale.beam, CENTRE_SNR)
    if found is None and setting == "auto":
        # the brightest measured pixel of the line, where no peak stands out
        lines = [(name, np.where(measured, value, np.nan), None) for name, value, _ in choices if name != "continuum"]
        found = find_centre(lines, measured, CENTRE_SMOOTHING * scale.beam, minimum_snr=0.0)
    if found is None and setting != "auto":
        raise ConfigError(
            f"gradient.centre: {setting} has no peak within the measured region ({CENTRE_MAPS[setting]} in "
            "source.fits); set gradient.centre to auto for this galaxy."
        )
    return found


def regions_of(shape, header, scale, regions, origin="source.fits"):
    """Return by name which pixels belong to each region: those nearest to its seed; or all.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    header : astropy.io.fits.Header
        XC, YC: 0-based pixel from which the offsets of regions are counted.
    scale : float
        Arcsec per pixel.
    regions : dict
        ``gradient.regions``: offsets ``east`` and ``north`` in arcsec, by name.
    origin : str, optional
        What the maps are called in messages.

    Returns
    -------
    dict of str to ndarray of bool, shape (ny, nx)
    """
    if not regions:
        return {"all": np.ones(shape, bool)}
    if "XC" not in header or "YC" not in header:
        raise InputError(f"{origin} has no XC, YC in its header, which regions are counted from; make it again.")
    seeds = [(header["XC"] - item["east"] / scale, header["YC"] + item["north"] / scale) for item in regions.values()]
    nearest = nearest_region(shape, seeds)
    return {name: nearest == index for index, name in enumerate(regions)}


def check_gradient_settings(gradient):
    """Raise ConfigError if the section ``gradient`` of the configuration means nothing."""
    if not gradient["step"] > 0:
        raise ConfigError(f"gradient.step: {gradient['step']} is no width; the default is 0.5.")
    apertures, centres = ["elliptical", "circular", "deprojected"], ["auto", "continuum", "halpha"]
    for key, known in (("apertures", apertures), ("centre", centres)):
        given = gradient[key] if isinstance(gradient[key], list) else [gradient[key]]
        wrong = [item for item in given if item not in known]
        if wrong or not given:
            raise ConfigError(f"gradient.{key}: {wrong or given} is not among {', '.join(known)}.")

"""Rest frame of the wavelengths: what the header says, and the shift to the barycentre of the solar system."""

import numpy as np

from klever.cubes.axes import is_number
from klever.errors import InputError

__all__ = ["barycentric_velocity", "rest_frame", "shift_to_barycentre"]

_SPEED_OF_LIGHT = 299792.458  # km/s
_AT_REST = ("BARYCENT", "HELIOCEN")  # differ by 0.01 km/s
_RECORDED = ("ESO QC VRAD BARYCOR",)  # km/s, computed by the pipeline


def rest_frame(headers, usual=None):
    """Return the frame of the wavelengths and a sentence on where that is known from.

    Parameters
    ----------
    headers : sequence of astropy.io.fits.Header
        Of the cube, then of the primary extension: the first that has a keyword counts.
    usual : str, optional
        What the format leaves if the header does not say.

    Returns
    -------
    frame : str or None
        SPECSYS of the FITS standard (Greisen et al. 2006): TOPOCENT, BARYCENT, ...; None if nothing is known.
    note : str
    """
    stated = _first(headers, "SPECSYS")
    frame = str(stated).strip().upper() if stated else usual
    if frame is None:
        return None, "the header does not say in which frame the wavelengths are (SPECSYS): used as they are"
    if not stated:
        return frame, f"no SPECSYS: the wavelengths are taken as {frame}, which is usual for the format"
    return frame, ""


def barycentric_velocity(headers):
    """Return the velocity to be added for the barycentre, km/s, and where it is from.

    Taken as the pipeline recorded it, else computed for the site, the middle of the exposure and the field.  A cube
    combined from several nights has one header only, so one velocity: that of the header's date.

    Parameters
    ----------
    headers : sequence of astropy.io.fits.Header

    Raises
    ------
    InputError
        Site, time or position are not in the header.
    """
    for key in _RECORDED:
        value = _first(headers, key)
        if is_number(value):
            return float(value), f"{key} of the header"
    time, site = _first(headers, "MJD-AVG", "MJD-OBS"), _site(headers)
    exposure = 0.0 if is_number(_first(headers, "MJD-AVG")) else _first(headers, "EXPTIME") or 0.0
    position = [_first(headers, key) for key in ("CRVAL1", "CRVAL2")]
    if not (site and is_number(time) and all(map(is_number, position))):
        raise InputError(
            "the barycentric correction needs MJD-OBS, the site (ESO TEL GEOLON, GEOLAT, GEOELEV, or OBSGEO-X, -Y, "
            "-Z) and the position in the header; add them, or set ingest.barycentric to false for this galaxy."
        )
    from astropy import units as u
    from astropy.coordinates import EarthLocation, SkyCoord, solar_system_ephemeris
    from astropy.time import Time
    from astropy.utils import iers

    if "lon" in site:
        location = EarthLocation.from_geodetic(**site)
    else:
        location = EarthLocation.from_geocentric(**site, unit=u.m)
    middle = Time(float(time) + (float(exposure) if is_number(exposure) else 0.0) / 2 / 86400, format="mjd")
    # nothing is downloaded: the built-in ephemeris and Earth rotation are good to 0.01 km/s
    with solar_system_ephemeris.set("builtin"), iers.conf.set_temp("auto_download", False):
        with iers.conf.set_temp("iers_degraded_accuracy", "warn"):
            target = SkyCoord(*position, unit="deg")
            velocity = target.radial_velocity_correction("barycentric", obstime=middle, location=location)
    return round(float(velocity.to_value(u.km / u.s)), 4), f"computed for MJD {middle.mjd:.5f}"


def shift_to_barycentre(wavelength, frame, headers):
    """Return the wavelengths an observer at the barycentre sees.

    Parameters
    ----------
    wavelength : ndarray
    frame : str or None
        From `rest_frame`.
    headers : sequence of astropy.io.fits.Header

    Returns
    -------
    wavelength : ndarray
        The same if they are there already.
    velocity : float
        km/s, 0 if nothing was shifted.
    note : str

    Raises
    ------
    InputError
        The frame is neither topocentric nor at rest, or the header lacks what the correction needs.
    """
    if frame in _AT_REST:
        return wavelength, 0.0, ""
    if frame != "TOPOCENT":
        told = f"SPECSYS = {frame}" if frame else "no SPECSYS"
        raise InputError(
            f"ingest.barycentric is set, but the header has {told}, and only TOPOCENT is converted; write SPECSYS into "
            "the header, or set ingest.barycentric to false for this galaxy."
        )
    velocity, origin = barycentric_velocity(headers)
    note = f"wavelengths shifted from the observatory to the barycentre by {velocity:+.2f} km/s ({origin})"
    return np.asarray(wavelength) * (1 + velocity / _SPEED_OF_LIGHT), velocity, note


def _site(headers):
    """Arguments of EarthLocation, or None."""
    geodetic = {name: _first(headers, f"ESO TEL GEO{key}") for name, key in
                (("lon", "LON"), ("lat", "LAT"), ("height", "ELEV"))}  # fmt: skip
    geocentric = {axis: _first(headers, f"OBSGEO-{axis.upper()}") for axis in "xyz"}
    return next((site for site in (geodetic, geocentric) if all(map(is_number, site.values()))), None)


def _first(headers, *keys):
    return next((header[key] for key in keys for header in headers if header.get(key) not in (None, "")), None)

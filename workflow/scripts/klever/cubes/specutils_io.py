"""Cubes and pseudo-fibre spectra as `specutils.Spectrum`, and back.

Importing this module teaches ``Spectrum.read(path)`` the products ``cube.fits`` and ``spectrum.ecsv`` (formats "klever
cube" and "klever spectrum"), so specutils and what builds on it, specviz and cubeviz, open them without options.  The
way back brings any file that specutils reads into the workflow::

    from_spectrum(Spectrum.read("their_cube.fits"), celestial=header).write("cube_for_klever.fits")

No step of the workflow imports specutils.
"""

import os

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import StdDevUncertainty, UnknownUncertainty
from astropy.table import Table
from astropy.wcs import WCS, WCSSUB_LATITUDE, WCSSUB_LONGITUDE
from specutils import Spectrum
from specutils.io.registers import data_loader

from klever.cubes import axes as cubeaxes
from klever.cubes.cube import DQ, FLUX_UNIT, Cube
from klever.cubes.fluxunits import flux_factor
from klever.cubes.noise import estimate_error
from klever.errors import InputError

__all__ = ["from_spectrum", "read_spectrum", "spectrum_to_table", "to_spectrum"]

_LINE_COLUMNS = {"wavelength", "flux", "error", "masked"}


def to_spectrum(cube, fits_wcs=False):
    """Return a cube as a three-dimensional `specutils.Spectrum`.

    Parameters
    ----------
    cube : klever.cubes.cube.Cube
    fits_wcs : bool
        Give the spectrum the FITS WCS of all three axes, which tools that show images need.  Its wavelengths are those
        of a straight line (within 0.02 channels) in metres; without it they are the cube's to the last bit and the
        celestial WCS is in ``meta["header"]`` alone.

    Returns
    -------
    specutils.Spectrum
        Shape (n_wave, ny, nx); standard-deviation uncertainty; `mask` is True where any bit of DQ is set; the bits are
        ``meta["dq"]``, the celestial header ``meta["header"]``, the cube's own metadata ``meta["klever"]``.

    Raises
    ------
    InputError
        `fits_wcs` is asked for wavelengths that are not linear.
    """
    unit = u.Unit(FLUX_UNIT)
    celestial = cube.header.copy()
    celestial["NAXIS1"], celestial["NAXIS2"] = cube.shape[2], cube.shape[1]  # tells whether it still fits after slicing
    meta = {"header": celestial, "dq": cube.dq, "klever": dict(cube.meta)}
    common = {"uncertainty": StdDevUncertainty(cube.error * unit), "mask": cube.dq != 0, "meta": meta}
    if not fits_wcs:
        return Spectrum(cube.flux * unit, spectral_axis=cube.wavelength * u.um, spectral_axis_index=0, **common)
    header = cube.wcs_3d()
    if not header["CTYPE3"]:
        raise InputError("the wavelengths are not linear, so no FITS WCS describes them; leave out fits_wcs.")
    return Spectrum(cube.flux * unit, wcs=WCS(header), **common)


def from_spectrum(spectrum, celestial=None, meta=None):
    """Return a three-dimensional `specutils.Spectrum` as a cube.

    Air wavelengths are converted to vacuum if the spectrum's FITS WCS calls them air (AWAV); frequencies and energies
    become wavelengths.  Masked elements are flagged INSTRUMENT, or get the bits of ``meta["dq"]`` if those belong to
    them.  Without an uncertainty the error is estimated (`klever.cubes.noise.estimate_error`).

    Parameters
    ----------
    spectrum : specutils.Spectrum
        The two other axes are (y, x) in this order, unless its WCS says otherwise.
    celestial : astropy.io.fits.Header, optional
        Header with the celestial WCS; by default that of the spectrum's WCS, else ``meta["header"]``.
    meta : dict, optional
        Of the cube; by default ``meta["klever"]`` of the spectrum.

    Returns
    -------
    Cube

    Raises
    ------
    InputError
        Not three-dimensional, no flux density, no celestial WCS, or wavelengths that are not in order.
    """
    if spectrum.flux.ndim != 3:
        raise InputError(f"the spectrum has {spectrum.flux.ndim} dimensions where a cube has 3.")
    order, header, air = _layout(spectrum)
    if celestial is None:
        celestial = header if header is not None else _stored_header(spectrum, [spectrum.shape[axis] for axis in order])
    header = cubeaxes.celestial_header(celestial)
    wavelength = spectrum.spectral_axis.to_value(u.um, equivalencies=u.spectral())
    wavelength = cubeaxes.air_to_vacuum(wavelength) if air else np.array(wavelength, dtype=float)
    if wavelength[0] > wavelength[-1]:
        wavelength, flip = wavelength[::-1].copy(), np.s_[::-1]
    else:
        flip = np.s_[:]
    if not np.all(np.diff(wavelength) > 0):
        raise InputError("the wavelengths of the spectrum are not in order; sort its spectral axis.")

    def arranged(values):
        return np.ascontiguousarray(np.transpose(np.asarray(values), order)[flip])

    factor = flux_factor(spectrum.unit.to_string(), wavelength, cubeaxes.spaxel_scale(header) ** 2)
    flux = arranged(spectrum.flux.value).astype(float) * factor
    dq = _bits(spectrum, arranged)
    missing = ~np.isfinite(flux)
    flux[missing] = np.nan
    dq[missing] |= np.uint8(DQ.NODATA)
    uncertainty = _sigma(spectrum)
    meta = dict(spectrum.meta.get("klever", {}) if meta is None else meta)
    if uncertainty is None:
        error = estimate_error(np.where(dq == 0, flux, np.nan), wavelength)
    else:
        error = arranged(uncertainty).astype(float) * factor
    meta.setdefault("error_origin", "estimated" if uncertainty is None else "given")
    usable = np.isfinite(error) & (error > 0)
    dq[~usable & ~missing] |= np.uint8(DQ.NO_ERROR)
    error[missing | ~usable] = np.nan
    cube = Cube(flux, error, dq, wavelength, header, meta)
    if cubeaxes.is_mirrored(header):
        cube.header = cubeaxes.mirror_x(header, flux.shape[2])
        cube.flux, cube.error, cube.dq = (np.ascontiguousarray(a[:, :, ::-1]) for a in (flux, error, dq))
    return cube


def read_spectrum(table):
    """Return the pseudo-fibre spectrum of a band as a one-dimensional `specutils.Spectrum`.

    Parameters
    ----------
    table : str, pathlib.Path or astropy.table.Table
        ``spectrum.ecsv``.

    Returns
    -------
    specutils.Spectrum
        Vacuum wavelengths; `mask` is True where the column `masked` is, or the flux is missing.

    Raises
    ------
    InputError
        A column is missing.
    """
    origin = "the table" if isinstance(table, Table) else str(table)
    table = table if isinstance(table, Table) else Table.read(table, format="ascii.ecsv")
    missing = _LINE_COLUMNS - set(table.colnames)
    if missing:
        raise InputError(f"{origin} has no column {', '.join(sorted(missing))}; it is no spectrum.ecsv.")
    flux, error = (np.ma.filled(np.ma.asarray(table[name]).astype(float), np.nan) for name in ("flux", "error"))
    return Spectrum(
        u.Quantity(flux, table["flux"].unit), spectral_axis=u.Quantity(table["wavelength"]),
        uncertainty=StdDevUncertainty(error, unit=table["error"].unit),
        mask=np.asarray(table["masked"], dtype=bool) | ~np.isfinite(flux), meta=dict(table.meta),
    )  # fmt: skip


def spectrum_to_table(spectrum):
    """Return a one-dimensional spectrum as a table with the columns of ``spectrum.ecsv`` that hold data.

    Parameters
    ----------
    spectrum : specutils.Spectrum
        Any unit of wavelength and flux; kept, with vacuum wavelengths taken for granted.

    Returns
    -------
    astropy.table.Table
        wavelength, flux, error (NaN without an uncertainty), masked.

    Raises
    ------
    InputError
        Not one-dimensional.
    """
    if spectrum.flux.ndim != 1:
        raise InputError(f"the spectrum has {spectrum.flux.ndim} dimensions where one is expected; choose a spaxel.")
    error = _sigma(spectrum)
    masked = np.zeros(spectrum.flux.shape, bool) if spectrum.mask is None else np.asarray(spectrum.mask, bool)
    result = Table(meta={key: value for key, value in spectrum.meta.items() if key != "header"})
    result["wavelength"] = u.Quantity(spectrum.spectral_axis)
    result["flux"] = spectrum.flux
    result["error"] = (np.full(spectrum.flux.shape, np.nan) if error is None else error) * spectrum.unit
    result["masked"] = masked
    return result


def _layout(spectrum):
    """Axes of the array in the order (wavelength, y, x), the celestial header or None, whether wavelengths are air."""
    spectral = spectrum.spectral_axis_index % 3
    others = [axis for axis in range(3) if axis != spectral]
    wcs = spectrum.wcs
    if not (isinstance(wcs, WCS) and wcs.naxis == 3 and wcs.has_celestial):
        return (spectral, *others), None, False
    latitude, longitude = (2 - axis for axis in (wcs.wcs.lat, wcs.wcs.lng))
    air = str(wcs.wcs.ctype[wcs.wcs.spec]).startswith("AWAV")
    celestial = wcs.sub([WCSSUB_LONGITUDE, WCSSUB_LATITUDE])  # wcs.celestial keeps the order of the axes
    return (spectral, latitude, longitude), celestial.to_header(), air


def _stored_header(spectrum, shape):
    """Return ``meta["header"]`` if it describes an array of this shape, which that of a slice does not."""
    header = spectrum.meta.get("header")
    sides = [header.get(f"NAXIS{axis}") for axis in (1, 2)] if header is not None else None
    if header is None or any(n not in (None, given) for n, given in zip(sides, (shape[2], shape[1]), strict=True)):
        raise InputError(
            "the spectrum has no celestial WCS, or has lost it in slicing; give a header with one as `celestial`."
        )
    return fits.Header(header) if isinstance(header, dict) else header


def _bits(spectrum, arranged):
    if spectrum.mask is None:
        return np.zeros([spectrum.flux.shape[axis] for axis in _layout(spectrum)[0]], dtype=np.uint8)
    mask, stored = np.asarray(spectrum.mask) != 0, spectrum.meta.get("dq")
    if stored is not None and np.shape(stored) == mask.shape and np.array_equal(np.asarray(stored) != 0, mask):
        return arranged(stored).astype(np.uint8)
    return np.where(arranged(mask), np.uint8(DQ.INSTRUMENT), np.uint8(0))


def _sigma(spectrum):
    """Return the standard deviation in the unit of the flux, None without an uncertainty."""
    uncertainty = spectrum.uncertainty
    if uncertainty is None:
        return None
    if isinstance(uncertainty, UnknownUncertainty):
        raise InputError("the uncertainty of the spectrum is of an unknown kind; make it a StdDevUncertainty.")
    sigma = uncertainty.represent_as(StdDevUncertainty)
    return np.asarray(sigma.array) if sigma.unit is None else sigma.quantity.to_value(spectrum.unit)


def _is_cube(origin, *args, **kwargs):
    with fits.open(args[0]) as hdus:
        return {"SCI", "ERR", "DQ", "WAVELENGTH"} <= {hdu.name for hdu in hdus}


def _is_spectrum(origin, *args, **kwargs):
    if os.path.splitext(str(args[0]).lower())[1] != ".ecsv":  # noqa: PTH122
        return False
    with open(args[0], encoding="utf-8") as stream:  # noqa: PTH123
        names = next((line for line in stream if not line.startswith("#")), "").split()
    return set(names) >= _LINE_COLUMNS


@data_loader("klever cube", identifier=_is_cube, dtype=Spectrum, extensions=["fits"], priority=20, force=True)
def _load_cube(file_obj, **kwargs):
    cube = Cube.read(getattr(file_obj, "name", file_obj))  # astropy hands over the path or the open file
    return to_spectrum(cube, fits_wcs=bool(cube.wcs_3d()["CTYPE3"]))


@data_loader("klever spectrum", identifier=_is_spectrum, dtype=Spectrum, extensions=["ecsv"], priority=20, force=True)
def _load_spectrum(file_obj, **kwargs):
    return read_spectrum(getattr(file_obj, "name", file_obj))

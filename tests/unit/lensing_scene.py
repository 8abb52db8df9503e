"""Analytic lenses, spaxel maps and FITS files that the tests of align, lens, source and magnification share."""

import numpy as np
from astropy.io import fits

from klever.grids import Grid, offsets_to_sky, tangent_header
from klever.maps import Map, MapSet

RA, DEC = 342.18, -44.53
COSMOLOGY = {"H0": 67.8, "Om0": 0.308, "Ode0": 0.69}


def wcs_header(shape, scale, *, ra=RA, dec=DEC, rotation=0.0, flip=False, centre=None):
    """TAN header with rectangular pixels `scale` = (x, y) arcsec, rotated by `rotation` degrees, mirrored if `flip`."""
    sx, sy = np.broadcast_to(scale, 2)
    angle = np.radians(rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([sx if flip else -sx, sy]) / 3600.0
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = ra, dec
    x, y = ((shape[1] - 1) / 2, (shape[0] - 1) / 2) if centre is None else centre
    header["CRPIX1"], header["CRPIX2"] = x + 1, y + 1
    for i in (1, 2):
        for j in (1, 2):
            header[f"CD{i}_{j}"] = matrix[i - 1, j - 1]
    return header


class Isothermal:
    """Singular isothermal sphere: deflection of constant length `einstein` around `centre` (arcsec west, north)."""

    def __init__(self, einstein=3.0, centre=(-5.0, -3.0)):
        self.einstein, self.centre = einstein, centre

    def deflection(self, west, north):
        dx, dy = west - self.centre[0], north - self.centre[1]
        radius = np.hypot(dx, dy)
        return self.einstein * dx / radius, self.einstein * dy / radius

    def kappa(self, west, north):
        return 0.5 * self.einstein / np.hypot(west - self.centre[0], north - self.centre[1])

    gamma = kappa

    def mu(self, west, north):
        return 1.0 / (1.0 - 2.0 * self.kappa(west, north))


class Linear:
    """Constant convergence and shear: alpha = matrix @ (theta - centre)."""

    def __init__(self, matrix, centre=(0.0, 0.0)):
        self.matrix, self.centre = np.array(matrix, dtype=float), centre

    def deflection(self, west, north):
        dx, dy = west - self.centre[0], north - self.centre[1]
        (a, b), (c, d) = self.matrix
        return a * dx + b * dy, c * dx + d * dy

    def kappa(self, west, north):
        return np.full(np.shape(west), 0.5 * np.trace(self.matrix))

    def gamma(self, west, north):
        (a, b), (c, d) = self.matrix
        return np.full(np.shape(west), np.hypot(0.5 * (a - d), 0.5 * (b + c)))


def write_lens(
    folder, lens, *, shape=(151, 131), scale=0.2, rotation=0.0, flip=False, unit="arcsec", factor=1.0, name="m"
):
    """Write x, y, kappa and gamma maps in the conventions of the map's own axes; return their paths as lists of one."""
    header = wcs_header(shape, scale, rotation=rotation, flip=flip)
    grid = Grid(header, shape, (RA, DEC))
    west, north = grid.pixel_offsets()
    alpha = np.array(lens.deflection(west, north)) * factor
    length = np.hypot(*grid.axes)
    # Components along the (orthogonal) pixel axes.
    along = np.tensordot((grid.axes / length).T, alpha, axes=1)
    if unit == "pixel":
        along = along / length[:, None, None]
    if unit == "degree":
        along = along / 3600.0
    images = {
        "x": along[0],
        "y": along[1],
        "kappa": lens.kappa(west, north) * factor,
        "gamma": lens.gamma(west, north) * factor,
    }
    paths = {}
    for key, image in images.items():
        path = folder / f"{name}_{key}.fits"
        fits.PrimaryHDU(image.astype(np.float32), header).writeto(path, overwrite=True)
        paths[key] = [path]
    return paths


def gaussian(west, north, x=0.0, y=0.0, fwhm=0.6, peak=1.0):
    return peak * np.exp(-4 * np.log(2) * ((west - x) ** 2 + (north - y) ** 2) / fwhm**2)


def correlated_noise(shape, sigma_pixels, generator):
    """Unit-variance Gaussian noise smoothed with a Gaussian, and its autocorrelation."""
    from scipy import ndimage

    noise = ndimage.gaussian_filter(generator.normal(size=shape), sigma_pixels, mode="wrap")
    lag = np.arange(-4, 5)
    acf = np.exp(-(lag[:, None] ** 2 + lag**2) / (4 * sigma_pixels**2))
    return noise * 2 * np.sqrt(np.pi) * sigma_pixels, acf


def write_band(
    path, sky, *, shape=(30, 30), scale=0.2, rotation=0.0, flip=False, offset=(0.0, 0.0), noise=0.01, seed=1,
    lines=("HALPHA",), continuum=None, unit=1e-18, state="ok", psf=0.6, smooth=0.4, velocity=None,
):  # fmt: skip
    """Write a linemaps.fits whose lines are `sky(west, north)` (surface brightness), in flux per spaxel.

    `offset` is the pointing error put into the WCS: a point at p is written where its WCS says p + offset.
    """
    header = wcs_header(shape, scale, rotation=rotation, flip=flip)
    grid = Grid(header, shape, (RA, DEC))
    west, north = grid.pixel_offsets()
    wrong = header.copy()
    wrong["CRVAL1"], wrong["CRVAL2"] = (float(v) for v in offsets_to_sky(*offset, RA, DEC))
    generator = np.random.default_rng(seed)
    _, acf = correlated_noise(shape, 0.85, generator)
    wrong["PSFFWHM"], wrong["SMOOTH"], wrong["SPAXEL"] = psf, smooth, scale
    wrong["STATE"], wrong["BAND"] = state, path.stem
    maps = MapSet(wrong)
    flags = np.zeros(shape, np.uint16)
    area = scale**2 * unit
    for name in lines:
        value = sky(west, north) + noise * correlated_noise(shape, 0.85, generator)[0]
        maps[name] = Map(value * area, np.full(shape, max(noise, 1e-6) * area), flags.copy(), "erg s-1 cm-2")
    if velocity is not None:
        maps["VELOCITY_HALPHA"] = Map(velocity(west, north), np.full(shape, 5.0), flags.copy(), "km s-1")
    if continuum is not None:
        value = continuum(west, north) + noise * correlated_noise(shape, 0.85, generator)[0]
        maps["CONTINUUM"] = Map(
            value * area, np.full(shape, max(noise, 1e-6) * area), flags.copy(), "erg s-1 cm-2 um-1"
        )
    maps["NOISE_ACF"] = Map(acf)
    maps.write(path)
    return path


def write_image(path, sky, *, shape=(140, 160), scale=0.065, noise=0.0, seed=3, rotation=0.0):
    header = wcs_header(shape, scale, rotation=rotation)
    grid = Grid(header, shape, (RA, DEC))
    value = (sky(*grid.pixel_offsets()) + noise * np.random.default_rng(seed).normal(size=shape)) * scale**2 * 1e-18
    header["BUNIT"] = "erg s-1 cm-2 um-1"
    fits.PrimaryHDU(value, header).writeto(path, overwrite=True)
    return path


def write_aligned(path, value=None, *, shape=(92, 92), scale=0.065, error=0.01, name="HALPHA"):
    """Write a MapSet on an aligned grid with one line map (zero if not given)."""
    centre = ((shape[1] - 1) // 2, (shape[0] - 1) // 2)
    header = tangent_header(RA, DEC, scale, centre)
    header["STATE"] = "ok"
    maps = MapSet(header)
    data = np.zeros(shape) if value is None else value(*Grid(header, shape).pixel_offsets())
    maps[name] = Map(data, np.full(shape, error), np.zeros(shape, np.uint16), "erg s-1 cm-2 arcsec-2")
    maps.write(path)
    return path


def align_settings(bands, **align):
    return {
        "galaxy": "test", "ra": RA, "dec": DEC, "z": 1.5, "bands": list(bands),
        "align": {"pixel_scale": 0.065, "method": "auto", "image_filter": "F160W", "image_psf_fwhm": 0.15,
                  "reprojection": "bilinear", "max_shift": 0.6, "max_error": 0.15, "min_snr": 5.0, "shifts": {},
                  **align},
    }  # fmt: skip


def lens_settings(z=1.5, **model):
    return {
        "galaxy": "test", "z": z, "cosmology": COSMOLOGY,
        "lens_model": {"name": "sis", "origin": "maps", "z_lens": 0.35, "deflection_unit": "arcsec",
                       "normalisation": 1.0, "x_sign": 1, "y_sign": 1, **model},
    }  # fmt: skip


def source_settings(bands, *, pixel_scale=0.065, subpixels=4, smoothing=0.4, **source):
    return {
        "galaxy": "test", "ra": RA, "dec": DEC, "z": 1.5, "bands": list(bands), "psf_fwhm": dict.fromkeys(bands, 0.6),
        "cosmology": COSMOLOGY, "source": {"pixel_scale": pixel_scale, "subpixels": subpixels, "halpha_snr": 3.0,
                   "method": "subpixels", "images": "joint", "image": 1, "psf_includes_smoothing": True, **source},
        "lines": {"smoothing_fwhm": smoothing, "binning": "none"},
    }  # fmt: skip

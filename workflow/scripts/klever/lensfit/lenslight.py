"""Light of the lens galaxy: an elliptical Sersic profile behind the PSF (Sersic 1963; Graham & Driver 2005)."""

import numpy as np

__all__ = ["fit_light", "light_image", "sersic"]

_LOWER, _UPPER = np.array([0.02, 0.4, -0.7, -0.7]), np.array([20.0, 9.0, 0.7, 0.7])


def sersic(x, y, shape):
    """Return the surface brightness of a Sersic profile, 1 at its effective radius.

    Parameters
    ----------
    x, y : ndarray
        Arcsec.
    shape : sequence of 6 float
        Effective radius (arcsec, geometric mean of the axes), index n, e1, e2, centre x, centre y.
    """
    radius, n, e1, e2, x0, y0 = shape
    f = np.hypot(e1, e2)
    q = (1 - f) / (1 + f)
    turned = ((x - x0) + 1j * (y - y0)) * np.exp(-0.5j * np.arctan2(e2, e1))
    elliptical = np.sqrt(q * turned.real**2 + turned.imag**2 / q)
    b = 2 * n - 1 / 3 + 4 / (405 * n) + 46 / (25515 * n**2)  # Ciotti & Bertin (1999)
    return np.exp(-b * ((elliptical / radius) ** (1 / n) - 1))


def light_image(x, y, shape, psf):
    """Return the profile as seen through the PSF, on the pixels of `x` and `y` (ny, nx).

    Parameters
    ----------
    x, y : ndarray, shape (ny, nx)
        Arcsec.
    shape : sequence of 6 float
        See `sersic`.
    psf : ndarray, shape (odd, odd, rays, rays)
        See `klever.lensfit.psf.psf_weights`; the profile is evaluated at every ray.
    """
    from scipy.signal import fftconvolve

    rays, half = psf.shape[2], psf.shape[0] // 2
    down, along = ((np.arange((size + 2 * half) * rays) + 0.5) / rays - 0.5 - half for size in x.shape)
    fine = []
    for grid in (x, y):  # an image this small is flat
        per_row, per_column = (grid[-1, 0] - grid[0, 0]) / (len(x) - 1), (grid[0, -1] - grid[0, 0]) / (len(x.T) - 1)
        fine.append(grid[0, 0] + per_row * down[:, None] + per_column * along)
    kernel = psf.transpose(0, 2, 1, 3).reshape(len(psf) * rays, -1)[::-1, ::-1]
    return fftconvolve(sersic(*fine, shape), kernel, mode="valid")[::rays, ::rays]


def fit_light(data, error, mask, x, y, psf, start=None, robust=True):
    """Fit shape and position of a Sersic profile; its amplitude and a constant background are linear.

    Parameters
    ----------
    data, error, mask, x, y : ndarray, shape (ny, nx)
        As of `klever.lensfit.arcimage.ArcImage`.
    psf : ndarray
        See `light_image`.
    start : sequence of 6 float, optional
        Shape; a round profile of index 4 at the centre if None.
    robust : bool
        Pixels far above the model, those of the arc, count less.

    Returns
    -------
    ndarray, shape (6,)
        Shape; see `sersic`.
    """
    from scipy.optimize import least_squares

    extent = float(np.hypot(x[mask], y[mask]).max())
    start = np.array([0.25 * extent, 4.0, 0.02, 0.01, 0.0, 0.0] if start is None else start, dtype=float)
    reach = 0.1 * extent
    lower, upper = np.concatenate([_LOWER, [-reach] * 2]), np.concatenate([_UPPER, [reach] * 2])
    target, weight = data[mask] / error[mask], 1.0 / error[mask]

    def residual(shape):
        columns = np.column_stack([light_image(x, y, shape, psf)[mask] * weight, weight])
        scale = np.abs(columns).max(axis=0)
        amplitudes = np.linalg.lstsq(columns / scale, target, rcond=None)[0]
        return target - columns / scale @ amplitudes

    found = least_squares(residual, np.clip(start, lower + 1e-6, upper - 1e-6), bounds=(lower, upper), max_nfev=40,
                          loss="soft_l1" if robust else "linear", x_scale=[0.3, 1, 0.1, 0.1, 0.05, 0.05])  # fmt: skip
    return found.x

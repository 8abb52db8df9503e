"""First fit of a galaxy lens: a source of shapelets with linear amplitudes (Refregier 2003; Birrer et al. 2015)."""

import numpy as np

from klever.lensfit.epl import deflection

__all__ = ["shapelet_start", "shapelets"]

_LOWER = np.array([0.05, 1.4, -0.5, -0.5, -0.5, -0.5, -0.25, -0.25])
_UPPER = np.array([60.0, 2.6, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25])
_SIZES = (0.03, 0.1)  # first scales of the source, in Einstein radii
_RADII = (0.93, 1.0, 1.07)  # first Einstein radii, in the mean radius of the arc


def shapelets(x, y, size, order):
    """Return two-dimensional Gauss-Hermite functions up to an order, shape (n, (order + 1) (order + 2) / 2)."""
    u, v = x / size, y / size
    bases = []
    for w in (u, v):
        basis = [np.exp(-0.5 * w**2), np.sqrt(2.0) * w * np.exp(-0.5 * w**2)]
        for n in range(1, order):
            basis.append(np.sqrt(2 / (n + 1)) * w * basis[n] - np.sqrt(n / (n + 1)) * basis[n - 1])
        bases.append(basis)
    return np.column_stack([bases[0][i] * bases[1][j] for i in range(order + 1) for j in range(order + 1 - i)])


def _residual(image, vector, order, wanted=False):
    alpha = deflection(image.x, image.y, vector[:8])
    x, y = image.x - alpha[0] - vector[8], image.y - alpha[1] - vector[9]
    functions = image.blur(shapelets(x, y, np.exp(vector[10]), order))
    columns = np.column_stack([functions, image.light.T]) * np.sqrt(image.weight)[:, None]
    target = image.data * np.sqrt(image.weight)
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-300)
    amplitudes = np.linalg.lstsq(columns / scale, target, rcond=1e-8)[0] / scale
    if wanted:
        return functions @ amplitudes[: functions.shape[1]]
    return target - columns @ amplitudes


def shapelet_start(image, theta_e, centre=(0.0, 0.0), orders=(2, 6)):
    """Fit the lens with a source of shapelets.

    Parameters
    ----------
    image : klever.lensfit.arcimage.ArcImage
        With one ray a pixel.
    theta_e : float
        First guess of the Einstein radius, arcsec.
    centre : pair of float
        First guess of the centre of the lens, arcsec.
    orders : pair of int
        Largest order of the shapelets of the search and of the fit.

    Returns
    -------
    parameters : ndarray, shape (8,)
        See `klever.lensfit.epl`.
    arc : ndarray
        Model of the arc at the fitted pixels.
    chi2 : float
    """
    from scipy.optimize import least_squares

    lower = np.concatenate([_LOWER, [-theta_e] * 2, [np.log(0.005 * theta_e)]])
    upper = np.concatenate([_UPPER, [theta_e] * 2, [np.log(0.5 * theta_e)]])
    lower[4:6], upper[4:6] = np.array(centre) - 0.2 * theta_e, np.array(centre) + 0.2 * theta_e
    lower[0], upper[0] = 0.7 * theta_e, 1.4 * theta_e
    scale = np.array([theta_e, 1, 0.3, 0.3, 0.1 * theta_e, 0.1 * theta_e, 0.1, 0.1, 0.3 * theta_e, 0.3 * theta_e, 1.0])
    best = None
    for size in _SIZES:
        for radius in _RADII:
            start = np.array([radius * theta_e, 2.0, 0.01, 0.01, *centre, 0.0, 0.0, 0.0, 0.0, np.log(size * theta_e)])
            found = least_squares(lambda v: _residual(image, v, orders[0]), start, bounds=(lower, upper), x_scale=scale,
                                  max_nfev=12)  # fmt: skip
            best = found if best is None or found.cost < best.cost else best
    best = least_squares(lambda v: _residual(image, v, orders[1]), best.x, bounds=(lower, upper), x_scale=scale,
                         max_nfev=20)  # fmt: skip
    return best.x[:8], _residual(image, best.x, orders[1], wanted=True), float(2 * best.cost)

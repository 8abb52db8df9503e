"""The z = 0.611 arc behind AS1063: de-lensed MUSE metallicity map against the gradient that others found.

FRApy's demonstration on the same files, with the seeing modelled: slope -0.0179 +- 0.0008 dex/kpc, axis ratio
0.539 +- 0.019, central 12 + log(O/H) 9.011 +- 0.005. An independent fit to de-lensed pixels, as here, without seeing:
-0.0172 +- 0.0008.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from klever.cosmology import distance_ratio, kpc_per_arcsec
from klever.grids import Grid, read_image
from klever.lensmodels.base import convergence_and_shear, magnification
from klever.lensmodels.maps import DeflectionMaps
from klever.source.sourceplane import averaging_operator, multiplicity, source_grid, trace

DATA = os.environ.get("KLEVER_TEST_DATA")
FOLDER = Path(DATA or ".") / "as1063"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (DATA and (FOLDER / "AS1063_dplx.fits").is_file()),
        reason="KLEVER_TEST_DATA does not name a folder that holds as1063/AS1063_dplx.fits",
    ),
]

Z, Z_LENS = 0.611, 0.348
COSMOLOGY = {"H0": 70.0, "Om0": 0.3, "Ode0": 0.7}  # of the published fit


CENTRE = (342.174, -44.5323)  # of the arc, tangent point of the offsets


def load(**signs):
    """Return the grid of the arc, its lens model, 12 + log(O/H) and its error."""
    value, header = read_image(FOLDER / "AS1063_map_metallicity.fits")
    error, _ = read_image(FOLDER / "AS1063_map_metallicity_unc.fits")
    grid = Grid(header, value.shape, CENTRE)
    model = DeflectionMaps(FOLDER / "AS1063_dplx.fits", FOLDER / "AS1063_dply.fits", CENTRE, **signs)  # made for Z
    return grid, model, np.array(value, float), np.array(error, float)


def fit_gradient(x, y, value, error):
    """Fit a linear gradient in elliptical radius: centre, axis ratio and position angle free; x, y in kpc."""
    from scipy.optimize import least_squares

    def residuals(parameters):
        central, slope, x0, y0, ratio, angle = parameters
        along = (x - x0) * -np.sin(angle) + (y - y0) * np.cos(angle)
        across = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
        return (central + slope * np.hypot(along, across / ratio) - value) / error

    fits = []
    for angle in np.radians(np.arange(0, 180, 30)):
        for dx, dy in ((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2)):
            start = [9.0, -0.02, np.median(x) + dx, np.median(y) + dy, 0.6, angle]
            bounds = [7, -1, -1e3, -1e3, 0.1, -10], [10, 1, 1e3, 1e3, 1, 10]
            fits.append(least_squares(residuals, start, bounds=bounds, x_scale=[0.1, 0.01, 1, 1, 0.1, 0.3]))
    best = min(fits, key=lambda fit: fit.cost)
    return best.x, np.sqrt(np.diag(np.linalg.pinv(best.jac.T @ best.jac))), 2 * best.cost / (value.size - 6)


def delensed_gradient(**signs):
    grid, model, value, error = load(**signs)
    west, north = grid.pixel_offsets()
    alpha = model.deflection(west, north)
    used = np.isfinite(value) & np.isfinite(alpha[0])
    kpc = kpc_per_arcsec(Z, COSMOLOGY)
    x, y = ((offset - a)[used] * kpc for offset, a in zip((west, north), alpha, strict=True))
    assert used.sum() == 481
    return fit_gradient(x, y, value[used], error[used])


def test_gradient_of_the_arc_is_the_published_one():
    parameters, errors, reduced = delensed_gradient()
    central, slope, _, _, ratio, _ = parameters
    assert abs(slope - -0.0172) < 2 * np.hypot(errors[1], 0.0008)
    assert abs(ratio - 0.539) < 2 * np.hypot(errors[4], 0.019)
    assert central == pytest.approx(9.011, abs=0.02)
    assert reduced < 1.2


def test_flipped_deflection_is_excluded():
    parameters, errors, _ = delensed_gradient(x_sign=-1)
    assert abs(parameters[1] - -0.0172) > 5 * np.hypot(errors[1], 0.0008)


def test_dls_ds_of_the_map_is_that_of_the_arc():
    assert distance_ratio(Z_LENS, Z, COSMOLOGY) == pytest.approx(0.390, abs=0.002)


def test_area_of_the_traced_arc_is_its_image_over_the_magnification():
    grid, model, value, _ = load()
    west, north = grid.pixel_offsets()
    x, y, pixel = trace(*model.deflection(west, north), west, north, 20)
    arc = np.isfinite(value).ravel()[pixel]
    x, y, pixel = x[arc], y[arc], pixel[arc]
    source = source_grid(x, y, (np.median(x), np.median(y)), 0.02)
    operator, landed = averaging_operator(x, y, pixel, west.size, source)
    images = multiplicity(operator, west.shape[1])
    mu = np.abs(magnification(*convergence_and_shear(model.jacobian(west, north, 0.2))))
    expected = np.sum(grid.pixel_area / mu[np.isfinite(value)])
    assert images.sum() * source.scale**2 == pytest.approx(expected, rel=0.05)  # pixels on the rim count whole
    assert landed.sum() == 400 * np.isfinite(value).sum()

"""Critical lines of a lens model: where the magnification of a source at one redshift is infinite.

With the convergence kappa and the modulus of the shear gamma, det A = (1 - kappa - gamma) (1 - kappa + gamma). Each
factor is zero on lines of its own: the first on tangential, the second on radial critical lines (Schneider, Ehlers &
Falco 1992, Sect. 5.2). Following the factors apart keeps lines separate that nearly touch in det A.
"""

import numpy as np

__all__ = ["critical_lines", "eigenvalues"]


def eigenvalues(fields):
    """Return the eigenvalues of the Jacobian A of the lens equation.

    Parameters
    ----------
    fields : klever.lensmodels.base.Fields

    Returns
    -------
    tangential, radial : ndarray
        1 - kappa - gamma and 1 - kappa + gamma, of the fields' shape; NaN outside the model.
    """
    return 1.0 - fields.kappa - fields.gamma, 1.0 - fields.kappa + fields.gamma


def critical_lines(model, west, north, z_source, cosmology):
    """Return the critical lines of a lens model on a rectangular grid.

    Parameters
    ----------
    model : klever.lensmodels.LensModel
    west, north : ndarray, shapes (nx,) and (ny,)
        Ascending positions of the columns and rows of the grid, arcsec. Lines that enclose less than a cell are missed.
    z_source : float
    cosmology : mapping
        H0, Om0, Ode0.

    Returns
    -------
    list of ndarray, shape (n, 2)
        Arcsec west and north along each line, tangential ones first; closed unless a line leaves the grid or the model.
        Empty for a source in front of the lens and outside the model.
    """
    if model.dls_ds(z_source, cosmology) <= 0:
        return []
    from contourpy import contour_generator

    step = float(min(np.diff(west).min(), np.diff(north).min()))
    fields = model.evaluate(*np.meshgrid(west, north), z_source, cosmology, step)
    lines = []
    for values in eigenvalues(fields):
        if np.isfinite(values).any():
            lines += contour_generator(west, north, np.ma.masked_invalid(values)).lines(0.0)
    return lines

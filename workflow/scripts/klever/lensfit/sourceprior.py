"""Regularisation of the source that follows its brightness (Nightingale, Dye & Massey 2018, MNRAS 478, 4738).

A prior that is the same everywhere is too rough for the sky around a galaxy and too smooth for its core.  What it
smooths away biases the lens: on simulated rings of S/N 30 the true lens was within the joint 95 % region in 3 of 6
noise seeds.  Here the weight is the inverse of the brightness above a floor, so that about the slope of the logarithm
is penalised; ln evidence grows by 200, and without noise the best lens is the true one within 0.4 sigma.
"""

import numpy as np

from klever.lensfit.inversion import best_strength, invert

__all__ = ["choose_prior", "follow_brightness"]

_FLOORS = (0.1, 0.03, 0.01, 0.003)  # of the brightest vertex


def follow_brightness(image, parameters, floor):
    """Set the prior of an image by the brightness of its most probable source.

    Parameters
    ----------
    image : klever.lensfit.arcimage.ArcImage
        Its ``prior`` is changed.
    parameters : ndarray, shape (8,)
        Lens.
    floor : float or None
        Brightness, in that of the brightest vertex, that is added; None for a prior that is the same everywhere.

    Returns
    -------
    strength : float
        Of greatest evidence.
    evidence : float
        Its logarithm.

    Raises
    ------
    ValueError
        There is no source of this lens.
    """
    if floor is None:
        image.prior = None
    else:
        found = invert(image, parameters, best_strength(image, parameters))
        if found is None or not found.source.max() > 0:
            raise ValueError("there is no source of this lens")
        brightness = np.zeros(image.vertex_x.size)
        brightness[found.mesh.free] = np.maximum(found.source, 0.0) / found.source.max()
        image.prior = 1.0 / (brightness + floor)
    strength = best_strength(image, parameters)
    found = invert(image, parameters, strength)
    if found is None:
        raise ValueError("there is no source of this lens")
    return strength, found.log_evidence


def choose_prior(image, parameters):
    """Set the kind of prior that has the greatest evidence for a lens: its order, and its floor.

    Parameters
    ----------
    image : klever.lensfit.arcimage.ArcImage
        Its ``order`` and ``prior`` are changed.
    parameters : ndarray, shape (8,)

    Returns
    -------
    float or None
        The floor, see `follow_brightness`.
    """
    found = {}
    for image.order in (1, 2):
        for floor in (None, *_FLOORS):
            image.prior = None
            found[image.order, floor] = follow_brightness(image, parameters, floor)[1]
    image.order, floor = max(found, key=found.get)
    image.prior = None
    follow_brightness(image, parameters, floor)
    return floor

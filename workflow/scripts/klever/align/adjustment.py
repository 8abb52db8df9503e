"""Shifts of several bands from matches of some of them with an image and with each other, by least squares."""

import logging
from dataclasses import dataclass

import numpy as np

__all__ = ["Link", "Shift", "adjust"]

logger = logging.getLogger(__name__)

CONTRADICTION = 10.0  # reduced chi-square that a user should look at; below it, the larger errors say enough


@dataclass
class Shift:
    """Arcsec to the west and to the north to add to the positions a band's WCS gives.

    `method` is "continuum" or "lines" (cross-correlation of these), "peak" (peaks of the lines), "reference" (the band
    to which the others are aligned), "config" or "none"; `target` is what the band was matched to, joined by "+", and
    `note` why a match was not used.
    """

    x: float = 0.0
    y: float = 0.0
    error: float = np.nan
    method: str = "none"
    target: str = ""
    note: str = ""


@dataclass
class Link:
    """A match: the shift of `band` minus that of the band `target` (or minus 0, of an image) is (x, y) +- error."""

    band: str
    target: str
    x: float
    y: float
    error: float
    method: str


def adjust(links, known, names):
    """Solve matches between bands and with the image for the shifts, by weighted least squares.

    Parameters
    ----------
    links : list of Link
    known : dict of str to Shift
        Shifts that are given; not changed.
    names : list of str
        Bands; targets of links that are no band are at zero.

    Returns
    -------
    dict of str to Shift
        Of the bands that are known or linked, over whatever number of links, to something known. Errors grow with the
        square root of the reduced chi-square where the links contradict each other.
    """
    names = list(dict.fromkeys(names))
    placed, unplaced = set(known), set(names) - set(known)
    while grown := {
        end
        for link in links
        for end, other in ((link.band, link.target), (link.target, link.band))
        if end in unplaced and (other in placed or other not in names)
    }:
        placed, unplaced = placed | grown, unplaced - grown
    free = [name for name in names if name in placed and name not in known]
    result = {name: known[name] for name in names if name in known}
    used = [link for link in links if link.band in free or link.target in free]
    if not free:
        return result
    design = np.zeros((len(used), len(free)))
    value = np.array([[link.x, link.y] for link in used])
    for row, link in enumerate(used):
        for name, sign in ((link.band, 1.0), (link.target, -1.0)):
            if name in free:
                design[row, free.index(name)] = sign
            elif name in known:
                value[row] -= sign * np.array([known[name].x, known[name].y])
    weight = np.array([link.error for link in used]) ** -2.0
    covariance = np.linalg.inv(design.T @ (weight[:, None] * design))
    solution = covariance @ (design.T @ (weight[:, None] * value))
    freedom = 2 * (len(used) - len(free))
    if freedom:
        contradiction = np.sum(weight[:, None] * (value - design @ solution) ** 2) / freedom
        covariance *= max(contradiction, 1.0)
        if contradiction > CONTRADICTION:
            logger.warning(
                "the matches of the bands contradict each other (reduced chi-square %.0f); look at the alignment and "
                "set align.shifts if it is wrong",
                contradiction,
            )
    for i, name in enumerate(free):
        own = [link for link in used if link.band == name] or [link for link in used if link.target == name]
        best = min(own, key=lambda link: (link.method != "continuum", link.error))
        targets = "+".join(dict.fromkeys(link.target if link.band == name else link.band for link in own))
        result[name] = Shift(*solution[i].tolist(), float(np.sqrt(covariance[i, i])), best.method, targets)
    return result

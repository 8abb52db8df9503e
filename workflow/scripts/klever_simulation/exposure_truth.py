"""What the galaxies of simulated exposures look like without noise: line maps through seeing and spaxels."""

import numpy as np

from klever_simulation.spectra import SUMS, blur_operator, spaxel_edges

__all__ = ["GRID", "SPAXEL", "mean_error", "truth_maps"]

GRID = {"KMOS": (44, 0.1), "SINFONI": (72, 0.125)}  # number a side, arcsec: wider than the field and its dithers
SPAXEL = {"KMOS": 0.2, "SINFONI": 0.25}  # arcsec, of an exposure
_STEPS = 4  # points across a spaxel


def mean_error(states, position):
    """Return by how much the mean pointing of the exposures missed a place in the field, arcsec west and north.

    Parameters
    ----------
    states : list of dict
        truth.json of the exposures: kind, drift (arcsec), rotation (degrees).
    position : (float, float)
        Arcsec west and north of the centre of the field.
    """
    west, north = position
    errors = []
    for state in states:
        if state["kind"] == "O":
            angle = np.radians(state["rotation"])
            errors.append((state["drift"][0] - angle * north, state["drift"][1] + angle * west))
    return tuple(float(value) for value in np.mean(errors, axis=0))


def truth_maps(scene, rest_wavelengths, edges, seeing, offset, instrument):
    """Return noise-free maps of the lines of one band, mean of exposures of different seeing.

    Parameters
    ----------
    scene : mapping
        Arrays of scene.npz.
    rest_wavelengths : dict of str to float
        Line name to vacuum wavelength, Angstrom.
    edges : (float, float)
        Of the band, um.
    seeing : sequence of float
        FWHM of each exposure, arcsec.
    offset : (float, float)
        Arcsec west and north that the WCS of the combined cube places a source from where it is.
    instrument : str
        KMOS | SINFONI.

    Returns
    -------
    fluxes : dict of str to ndarray, shape (ny, nx)
        Line (and sum of lines) to flux per pixel of `GRID`, erg s-1 cm-2.
    velocity, dispersion : ndarray, shape (ny, nx), or None
        Flux-weighted, km/s, of the brightest line; None without lines.
    brightest : str
        That line; empty without lines.
    """
    (n, step), spaxel = GRID[instrument], SPAXEL[instrument]
    names, z = [str(name) for name in scene["line_names"]], float(scene["z"])
    shifts = ((np.arange(_STEPS) + 0.5) / _STEPS - 0.5) * spaxel
    places = [float(scene[f"field_{axis}"]) - offset[number] for number, axis in enumerate("xy")]

    def operator(points, place, fwhm):
        pixels = spaxel_edges(place, n, step)
        return np.mean([blur_operator(points, pixels + shift, fwhm) for shift in shifts], axis=0)

    blurs = [(operator(scene["y"], places[1], fwhm), operator(scene["x"], places[0], fwhm)) for fwhm in seeing]

    def blur(image):
        return np.mean([down @ image @ across.T for down, across in blurs], axis=0)

    lines = np.asarray(scene["lines"], float)
    inside = [name for name in names if edges[0] < rest_wavelengths[name] * 1e-4 * (1 + z) < edges[1]]
    fluxes = {name: blur(lines[:, names.index(name)].sum(axis=0)) for name in inside}
    for name, parts in SUMS.items():
        if all(part in fluxes for part in parts):
            fluxes[name] = fluxes[parts[0]] + fluxes[parts[1]]
    if not inside:
        return fluxes, None, None, ""
    brightest = max(inside, key=lambda name: lines[:, names.index(name)].sum())
    flux = lines[:, names.index(brightest)]
    velocity, dispersion = np.asarray(scene["velocity"], float), np.asarray(scene["dispersion"], float)
    total = np.maximum(blur(flux.sum(axis=0)), np.finfo(float).tiny)
    mean = blur((flux * velocity).sum(axis=0)) / total
    square = blur((flux * (velocity**2 + dispersion**2)).sum(axis=0)) / total
    return fluxes, mean, np.sqrt(np.maximum(square - mean**2, 0.0)), brightest

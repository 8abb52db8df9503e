"""What the uncertainty of a lens model does to everything that is measured in the source plane (Sect. 3.2, 4.2).

A galaxy is de-lensed again with other models of its field: realisations of the best one (statistical) and models of
other teams (systematic). Its maps, metallicities, annuli and gradient are measured anew with each.
"""

from dataclasses import dataclass

import numpy as np

from klever.abundance.metallicity_maps import log_oh_maps, ratio_maps
from klever.align.bandmaps import transform
from klever.correlated_errors import CorrelatedErrors
from klever.gradient.gradients import fit_line
from klever.gradient.profiles import measure_profiles
from klever.maps import MapSet
from klever.source.delensing import delens
from klever.source.source_images import source_jacobian
from klever.source.source_psf import jacobian_ellipse, traced_ellipse

__all__ = ["MINIMUM_SLOPES", "Scene", "half_width", "magnification_spread", "moved", "perturbed_deflection"]

MINIMUM_SLOPES = 3  # fewer have no 16-84 % interval


def perturbed_deflection(alpha, offsets, at, fields, other):
    """Change a deflection to that of a model of which only convergence and shear are known.

    Published realisations are maps of kappa and of the modulus of gamma. To first order about an image of the galaxy
    they change the deflection linearly; the direction of the shear is kept, and the position of the image, because the
    images of a galaxy must meet in the source. Over the few arcsec of a galaxy the differences of models are smooth:
    with the ten simulated alternatives of RXJ2248, of which both are known, the spreads of the slopes of six galaxies
    were 0.65 to 1.4 times those with the full deflection.

    Parameters
    ----------
    alpha, offsets : pair of ndarray, shape (ny, nx)
        Of the best model: deflection and positions, arcsec west and north.
    at : pair of int
        0-based pixel x, y of the image.
    fields, other : pair of float
        kappa and |gamma| there, of the best and of the other model.

    Returns
    -------
    pair of ndarray, shape (ny, nx)
        NaN everywhere if the other model does not cover the position.
    """
    x, y = at
    jacobian = source_jacobian(alpha, offsets)[:, :, y, x]
    # A = (1 - kappa) - gamma (cos 2 phi, sin 2 phi; sin 2 phi, -cos 2 phi)
    shear = np.array([jacobian[1, 1] - jacobian[0, 0], -(jacobian[0, 1] + jacobian[1, 0])]) / 2
    size = np.hypot(*shear)
    cosine, sine = shear / size if size > 0 else (1.0, 0.0)
    kappa, gamma = other[0] - fields[0], other[1] - fields[1]
    matrix = kappa * np.eye(2) + gamma * np.array([[cosine, sine], [sine, -cosine]])
    west, north = (plane - plane[y, x] for plane in offsets)
    return [component + row[0] * west + row[1] * north for component, row in zip(alpha, matrix, strict=True)]


def moved(point, alpha, other, offsets, pixels):
    """Return where a point of the source plane lies for another model: its image stays where it is.

    Parameters
    ----------
    point : pair of float
        Arcsec west and north, for the deflection `alpha`.
    alpha, other, offsets : pair of ndarray, shape (ny, nx)
        Deflections of both models and positions of the pixels, arcsec west and north.
    pixels : ndarray of bool, shape (ny, nx)
        Where its image is looked for.

    Returns
    -------
    ndarray, shape (2,)
        Arcsec. The image is that of the pixel that maps closest, continued linearly.
    """
    beta, changed = (np.array([p - a for p, a in zip(offsets, item, strict=True)]) for item in (alpha, other))
    usable = pixels & np.isfinite(beta).all(axis=0) & np.isfinite(changed).all(axis=0)
    distance = np.where(usable, np.hypot(*(beta - np.reshape(point, (2, 1, 1)))), np.inf)
    y, x = np.unravel_index(np.argmin(distance), distance.shape)
    left = np.subtract(point, beta[:, y, x])
    first, second = (source_jacobian(item, offsets)[:, :, y, x] for item in (alpha, other))
    if abs(np.linalg.det(first)) < 1e-6 or not np.isfinite([first, second]).all():
        return changed[:, y, x]
    return changed[:, y, x] + second @ np.linalg.solve(first, left)


@dataclass
class Scene:
    """A galaxy as it is measured with any deflection.

    Parameters
    ----------
    chosen : dict of str to Band
        Band of every line that the metallicity needs (`klever.align.bandmaps.choose_bands`).
    resampling : dict of str to scipy.sparse.csr_matrix
        Spaxels to aligned pixels by band.
    offsets : pair of ndarray, shape (ny, nx)
        Of the aligned pixels, arcsec west and north.
    scale : float
        Arcsec, of the aligned pixels.
    alpha : pair of ndarray, shape (ny, nx)
        Of the best model, arcsec.
    reference : pair of int
        0-based pixel x, y of the galaxy.
    pixels : ndarray of bool, shape (ny, nx)
        That count: of one image of the galaxy, or all.
    images : list of tuple (x, y, ndarray of bool)
        0-based pixel and region of every image of the galaxy, the reference's first.
    centres : dict
        By region: name of the map whose peak it is, and its position in the source plane of the best model, arcsec west
        and north.
    catalogue : pair of float
        Position, arcsec in the source plane of the best model, that regions are counted from.
    header : mapping
        PIXSCALE, KPC_ARC.
    fwhm : float
        Of the image-plane PSF, arcsec.
    model : klever.gradient.profile_errors.AbundanceModel
        Diagnostics, calibrations and reddening; those of the metallicity map.
    source, gradient : dict
        Sections of the configuration.
    """

    chosen: dict
    resampling: dict
    offsets: tuple
    scale: float
    alpha: tuple
    reference: tuple
    pixels: np.ndarray
    images: list
    centres: dict
    catalogue: tuple
    header: dict
    fwhm: float
    model: object
    source: dict
    gradient: dict

    def perturbed(self, fields, other):
        """Return the deflection of a model of which only convergence and shear at the images are known.

        Parameters
        ----------
        fields, other : pair of ndarray, shape (images,)
            kappa and |gamma| of the best and of the other model.

        Returns
        -------
        ndarray, shape (2, ny, nx)
            See `perturbed_deflection`; each image is changed about its own position, pixels of none as the first.
        """
        found = None
        for number, (x, y, pixels) in enumerate(self.images):
            pairs = [(float(pair[0][number]), float(pair[1][number])) for pair in (fields, other)]
            changed = np.array(perturbed_deflection(self.alpha, self.offsets, (x, y), *pairs))
            found = changed if found is None else np.where(pixels, changed, found)
        return found

    def lines(self, alpha):
        """De-lens with a deflection; return the delensing and the MapSet of the lines with XC, YC for it."""
        x, y = self.reference
        centre = [float(p[y, x] - a[y, x]) for p, a in zip(self.offsets, alpha, strict=True)]
        plane = delens(alpha, self.offsets, centre, self.source, None if self.pixels.all() else self.pixels)
        maps = MapSet(dict(self.header))
        composite, errors = {}, {}
        for name, band in self.chosen.items():
            if band.name not in composite:
                composite[band.name] = (plane.operator @ self.resampling[band.name]).tocsr()
                errors[band.name] = CorrelatedErrors(composite[band.name], band.correlation)
            maps[name] = transform(composite[band.name], band.maps[name], errors[band.name], plane.grid.shape,
                                   factor=1.0 / band.grid.pixel_area)  # fmt: skip
        place = moved(self.catalogue, self.alpha, alpha, self.offsets, self.pixels)
        maps.header["XC"], maps.header["YC"] = (float(v) for v in plane.grid.pixels(*place))
        return plane, maps

    def psf(self, plane, alpha):
        """Return FWHM along both axes (arcsec) and position angle of the PSF at the galaxy; NaN if it has none."""
        x, y = self.reference
        jacobian = jacobian_ellipse(*alpha, x, y, self.scale, self.fwhm)
        position = [offset[y, x] for offset in self.offsets]
        found = traced_ellipse(plane.operator, self.offsets, plane.grid.offsets(), position, self.fwhm, jacobian, 1e-4)
        found = found if np.isfinite(found.fwhm_major) else jacobian
        return found.fwhm_major, found.fwhm_minor, found.position_angle

    def gradients(self, alpha):
        """Measure the gradients with a deflection.

        Parameters
        ----------
        alpha : pair of ndarray, shape (ny, nx)
            Arcsec west and north.

        Returns
        -------
        dict of (region, aperture) to pair of float
            Slope (dex/kpc) and intercept of the weighted least-squares line; none where there are too few annuli.
        """
        if not np.isfinite([component[self.reference[1], self.reference[0]] for component in alpha]).all():
            return {}
        plane, maps = self.lines(alpha)
        psf = self.psf(plane, alpha)
        if not (np.isfinite(psf).all() and psf[1] > 0):
            return {}
        model, shape = self.model, plane.grid.shape
        found = ratio_maps(maps, shape, model.metallicity["map_snr"], self._reddening, **model.dust)
        abundance = MapSet()
        abundance.maps.update(log_oh_maps(found, model.names, model.calibrations, shape, model.metallicity, model.dust))
        centres = {}
        for region, (name, place) in self.centres.items():
            at = moved(place, self.alpha, alpha, self.offsets, self.pixels)
            centres[region] = name, *(float(v) for v in plane.grid.pixels(*at))
        apertures = [item for item in self.gradient["apertures"] if item != "deprojected"]
        profiles = measure_profiles(maps, abundance, psf, {**self.gradient, "apertures": apertures}, centres=centres)
        results = {}
        for profile in profiles:
            if len(profile.annuli) >= max(2, self.gradient["minimum_annuli"]):
                line = fit_line(profile.radius_kpc, profile.log_oh, profile.error)
                results[profile.region, profile.aperture] = line.slope, line.intercept
        return results

    def _reddening(self):
        reddening = self.model.reddening
        return (reddening.ebv, reddening.ebv_error) if reddening.mode == "global" else (np.nan, np.nan)


def half_width(values):
    """Return half the 16-84 % interval of the finite values; NaN of fewer than three."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if values.size < MINIMUM_SLOPES:
        return np.nan
    low, high = np.percentile(values, [16, 84])
    return float((high - low) / 2)


def magnification_spread(low, middle, high):
    """Return what a spread of the magnification does to quantities that are divided by it.

    Parameters
    ----------
    low, middle, high : float
        16, 50 and 84 % of |mu|.

    Returns
    -------
    dict of str to float
        Half the 16-84 % interval of: mu, over its median; `length`, of 1/sqrt(mu), by which lengths in the source plane
        scale (where the stretching is isotropic), over its median; `sfr`, of 1/mu over its median; `log_mstar`, of
        log10(mu), dex. NaN if a value is.
    """
    if not np.isfinite([low, middle, high]).all() or not low > 0:
        return dict.fromkeys(("mu", "length", "sfr", "log_mstar"), np.nan)
    return {
        "mu": float((high - low) / 2 / middle),
        "length": float((low**-0.5 - high**-0.5) / 2 * middle**0.5),
        "sfr": float((1 / low - 1 / high) / 2 * middle),
        "log_mstar": float(np.log10(high / low) / 2),
    }

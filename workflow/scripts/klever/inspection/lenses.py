"""Inspection of lens models: can they be used, and do the maps of one agree in unit, sign, parity and normalisation."""

import numpy as np

from klever.cubes import axes as cubeaxes
from klever.cubes.fitsfiles import open_fits, pixels
from klever.errors import ConfigError, InputError
from klever.inspection.coverage import uncovered
from klever.lensmodels import MAP_KINDS, open_model
from klever.lensmodels.consistency import ACCEPTED, factor_problem

__all__ = ["deflection_slopes", "inspect_lens", "read_image"]

_SAMPLES = 200_000  # pixels of the regression: more of a 5000 x 5000 map teach nothing new
_LARGEST_DEFLECTION = 150.0  # arcsec; the most massive clusters deflect by 60
_CLUSTER_PARAMETERS = 9  # of halo, shear and members; free redshifts are counted with the images
_TOLERANCE = 0.1  # on a slope: the derivative on a grid and the teams' smoothing differ by a few per cent


def read_image(path):
    """Return data, celestial header and full header of the first two-dimensional image of a FITS file.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    data : ndarray of float, shape (ny, nx)
    wcs : astropy.io.fits.Header
        See `klever.cubes.axes.celestial_header`.
    header : astropy.io.fits.Header

    Raises
    ------
    InputError
        Missing, truncated, no two-dimensional image, no celestial WCS, or no finite pixel.
    """
    with open_fits(path) as hdus:
        hdu = next((hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS") == 2), None)
        if hdu is None:
            raise InputError("the file holds no two-dimensional image; name another file.")
        wcs = cubeaxes.celestial_header(hdu.header)
        data = pixels(hdu, path).astype(float)
        if not np.isfinite(data).any():
            raise InputError("every pixel is NaN; name another file.")
        return data, wcs, hdus[0].header.copy() if hdu is hdus[0] else hdus[0].header + hdu.header


def deflection_slopes(alpha_x, alpha_y, kappa):
    r"""Regress the convergence on the two terms of the divergence of the deflection.

    :math:`\kappa = (a\,\partial\alpha_x/\partial x + b\,\partial\alpha_y/\partial y)/2`, with a = b = 1 for maps that
    belong together.  A common factor is a unit, a sign or a normalisation; opposite signs are a flipped axis.  Pixels
    with the largest residuals (cores, masked edges) are left out of a second fit.

    Parameters
    ----------
    alpha_x, alpha_y : ndarray, shape (ny, nx)
        Deflection along increasing FITS x and y, in pixels.  NaN is ignored.
    kappa : ndarray, shape (ny, nx)

    Returns
    -------
    a, b : float
    correlation : float
        Of the fit with `kappa`; all three are NaN if nothing can be fitted.
    """
    step = max(int(np.sqrt(kappa.size / _SAMPLES)), 1)
    y, x = (np.arange(1, n - 1, step) for n in kappa.shape)
    if not y.size or not x.size:
        return np.nan, np.nan, np.nan
    terms = np.stack([
        (alpha_x[np.ix_(y, x + 1)] - alpha_x[np.ix_(y, x - 1)]).ravel() / 4,  # half of the central difference
        (alpha_y[np.ix_(y + 1, x)] - alpha_y[np.ix_(y - 1, x)]).ravel() / 4,
    ])  # fmt: skip
    target = kappa[np.ix_(y, x)].ravel()
    keep = np.isfinite(terms).all(axis=0) & np.isfinite(target)
    if keep.sum() < 10 or np.ptp(target[keep]) == 0:
        return np.nan, np.nan, np.nan
    for _ in range(3):
        solution = np.linalg.lstsq(terms[:, keep].T, target[keep], rcond=None)[0]
        residual = np.abs(target - solution @ terms)
        keep &= residual <= np.quantile(residual[keep], 0.9)
    model = solution @ terms[:, keep]
    scatter = np.std(model) * np.std(target[keep])
    covariance = np.mean((model - model.mean()) * (target[keep] - target[keep].mean()))
    correlation = covariance / max(scatter, 1e-300)
    return float(solution[0]), float(solution[1]), float(correlation)


def inspect_lens(request):
    """Open one lens model; maps are compared with each other and with what is configured.

    Parameters
    ----------
    request : dict
        An entry of lenses.yaml; of maps: x_deflection, y_deflection, kappa, gamma (paths, any may be missing or None),
        deflection_unit (``"arcsec"`` | ``"pixel"`` | ``"degree"``), x_sign, y_sign, normalisation (Dls/Ds, or a dict
        with z_source), z_lens; and its name as lens.

    Returns
    -------
    found : dict
        pixel_scale, parity, nan_fraction, deflection_slope_x, deflection_slope_y, as far as they were found.
    errors, warnings : list of str
    """
    if request.get("origin") in ("lenstool", "parametric"):
        return {}, *_inspect_parameters(request)
    if request.get("origin") == "fit_images":
        return {}, *_inspect_images(request)
    if request.get("origin") == "fit_arc":
        return {}, *_inspect_arc(request)
    errors, warnings, maps, found = [], [], {}, {}
    for kind in MAP_KINDS:
        path = request.get(kind)
        if path in (None, "", "simulated"):
            continue
        try:
            maps[kind] = read_image(path)
        except InputError as error:
            errors.append(str(error))
    if not maps:
        return found, errors or ["no map is named"], warnings
    first, wcs, _ = next(iter(maps.values()))
    found["pixel_scale"] = cubeaxes.spaxel_scale(wcs)
    found["parity"] = "mirrored" if cubeaxes.is_mirrored(wcs) else "standard"
    found["nan_fraction"] = max(float(np.mean(~np.isfinite(data))) for data, _, _ in maps.values())
    if found["parity"] == "mirrored":
        warnings.append("the maps have mirrored parity: x increases to the east")
    if found["nan_fraction"] > 0.5:
        warnings.append(f"{100 * found['nan_fraction']:.0f} % of a map is NaN")
    different = [kind for kind, (data, _, _) in maps.items() if data.shape != first.shape]
    if different:
        errors.append(f"maps of different shape: {', '.join(different)} and {next(iter(maps))}; use maps on one grid")
    _check_redshifts(request, errors)
    errors += uncovered(maps, request.get("places", {}))
    missing = {"x_deflection", "y_deflection"} - set(maps)
    if missing and {"kappa", "gamma"} <= set(maps):
        warnings.append("no deflection maps: magnification only, no source plane")
    if not missing and not different:
        _check_deflection(request, maps, found, errors, warnings)
    return found, errors, warnings


def _inspect_parameters(request):
    """Return errors and warnings of a model of parameters: it is read, evaluated at its centre, and drawn from."""
    errors, warnings = [], []
    cosmology = {"H0": 70.0, "Om0": 0.3, "Ode0": 0.7}
    try:
        model = open_model(request, request.get("centre") or (0.0, 0.0))
        if request["origin"] == "lenstool":  # only the file says where it is
            model = open_model(request, model.file.reference)
            if model.file.cosmology is None:
                warnings.append("the file names no cosmology: that of the survey is used")
        west, north = np.array([0.3, 5.0, -9.0]), np.array([0.2, -7.0, 4.0])
        fields = model.evaluate(west, north, 2 * model.z_lens + 1, cosmology)
        if fields.inside.any() and not np.any(np.abs(fields.alpha)[:, fields.inside] > 0):
            warnings.append("the deflection is zero near the centre")
        if not model.realisations(2):
            warnings.append("no realisations: the magnification will have no error")
    except (ConfigError, InputError) as error:
        errors.append(str(error))
    return errors, warnings


def _inspect_images(request):
    """Return errors and warnings of the tables that a cluster is fitted to."""
    from klever.lensfit.cluster_tables import read_images, read_members

    errors, warnings = [], []
    try:
        images = read_images(request["multiple_images"], request["centre"], request["z_lens"])
        constraints = 2 * len(images.z) - 2 * len(images.names) - int(np.isnan(images.redshift).sum())
        if constraints < _CLUSTER_PARAMETERS:
            errors.append(f"the images give {constraints} constraints for {_CLUSTER_PARAMETERS} parameters: add images")
    except InputError as error:
        errors.append(str(error))
    try:
        if not len(read_members(request["members"], request["centre"]).z):
            warnings.append("no table of members: the halo is the whole mass")
    except InputError as error:
        errors.append(str(error))
    return errors, warnings


def _inspect_arc(request):
    """Return errors and warnings of the image that a galaxy lens is fitted to."""
    from klever.lensfit.cutout import read_cutout
    from klever.lensfit.galaxyfit import DEFAULTS

    errors = []
    _check_redshifts(request, errors)
    try:
        read_cutout(request["arc_image"], request["centre"], DEFAULTS | request["arc_fit"], request.get("arc_error"))
    except InputError as error:
        errors.append(str(error))
    return errors, []


def _check_redshifts(request, errors):
    z_lens, normalisation = request.get("z_lens"), request.get("normalisation")
    if not isinstance(z_lens, int | float) or not 0 < z_lens < 5:
        errors.append(f"z_lens is {z_lens!r}; give the redshift of the lens")
    elif isinstance(normalisation, dict):
        z_source = normalisation.get("z_source")
        if not isinstance(z_source, int | float) or z_source <= z_lens:
            errors.append(f"the maps' z_source is {z_source!r}; it must lie behind the lens at z = {z_lens:g}")
    elif normalisation is not None and not (isinstance(normalisation, int | float) and 0 < normalisation <= 1):
        errors.append(f"normalisation is {normalisation!r}; it must be Dls/Ds, above 0 and at most 1, or a z_source")


def _check_deflection(request, maps, found, errors, warnings):
    (alpha_x, wcs, _), (alpha_y, _, _) = maps["x_deflection"], maps["y_deflection"]
    unit = str(request.get("deflection_unit") or "arcsec").rstrip("s")
    if unit not in ("arcsec", "pixel", "degree"):
        errors.append(f"deflection_unit is {unit!r}; it must be arcsec or pixel or degree")
        return
    scales = 3600 * np.hypot(*cubeaxes.cd_matrix(wcs))  # arcsec along x, y
    to_pixel = {"arcsec": 1 / scales, "degree": 3600 / scales, "pixel": np.ones(2)}[unit]
    with np.errstate(invalid="ignore"):
        largest = max(
            np.nanmax(np.abs(a)) * f * s for a, f, s in zip((alpha_x, alpha_y), to_pixel, scales, strict=True)
        )
    if largest > _LARGEST_DEFLECTION:
        warnings.append(f"the largest deflection is {largest:.3g} arcsec: is deflection_unit = {unit} right?")
    elif largest == 0:
        errors.append("the deflection is zero everywhere")
    if "kappa" not in maps:
        warnings.append("no convergence map to check sign and unit of the deflection against")
        return
    to_pixel = to_pixel * [request.get("x_sign") or 1, request.get("y_sign") or 1]
    alpha_x, alpha_y, kappa = alpha_x * to_pixel[0], alpha_y * to_pixel[1], maps["kappa"][0]
    a, b, correlation = deflection_slopes(alpha_x, alpha_y, kappa)
    a, b = (1 / slope if slope else np.inf for slope in (a, b))  # deflection per convergence, as a user thinks of it
    found["deflection_slope_x"], found["deflection_slope_y"] = a, b
    if correlation > 0.8 and abs(abs(a) - abs(b)) <= 0.3 * 0.5 * (abs(a) + abs(b)):
        _judge(a, b, unit, float(np.mean(scales)), errors, warnings)
        if "gamma" in maps and not errors:
            _check_shear(alpha_x, alpha_y, maps["gamma"][0], scales, unit, errors, warnings)
    elif np.isnan([a, b]).any():
        warnings.append("deflection and convergence cannot be compared: no structure, or NaN")
    else:
        errors.append(_unlike(alpha_x, alpha_y, kappa, f"(slopes {a:+.3g} in x, {b:+.3g} in y, expected +1)"))


def _unlike(alpha_x, alpha_y, kappa, slopes):
    """Say why half the divergence of the deflection is not like the convergence."""
    for what, x, y, target in (
        ("the x and y deflections are exchanged: name the two files the other way round", alpha_y, alpha_x, kappa),
        ("the deflections are transposed (and their components exchanged) against the convergence: transpose and "
         "rename the files", alpha_y.T, alpha_x.T, kappa),
        ("the deflections are transposed against the convergence: transpose the files", alpha_x.T, alpha_y.T, kappa),
    ):  # fmt: skip
        if x.shape == target.shape:
            a, b, correlation = deflection_slopes(x, y, target)
            if correlation > 0.8 and abs(a - b) <= 0.3 * 0.5 * (a + b):
                return f"{what} {slopes}"
    return (
        f"the divergence of the deflection is not the convergence {slopes}: are x and y exchanged, or the files of "
        "different models?"
    )


def _check_shear(alpha_x, alpha_y, gamma, scales, unit, errors, warnings):
    """Compare the shear map with the shear of the deflection, given in pixels."""
    step = max(int(np.sqrt(gamma.size / _SAMPLES)), 1)
    y, x = np.meshgrid(*(np.arange(1, n - 1, step) for n in gamma.shape), indexing="ij")
    along_x = [(alpha[y, x + 1] - alpha[y, x - 1]) / 2 for alpha in (alpha_x, alpha_y)]
    along_y = [(alpha[y + 1, x] - alpha[y - 1, x]) / 2 for alpha in (alpha_x, alpha_y)]
    across = 0.5 * (along_y[0] * scales[0] / scales[1] + along_x[1] * scales[1] / scales[0])
    own, given = np.hypot(0.5 * (along_x[0] - along_y[1]), across), gamma[y, x]
    used = np.isfinite(own) & (given > 0.05)
    if used.sum() >= 20:
        ratio = float(np.median(own[used] / given[used]))
        if abs(ratio - 1) > _TOLERANCE:
            kind = errors if abs(ratio - 1) > ACCEPTED else warnings
            kind.append(factor_problem("gamma", ratio, unit, float(np.mean(scales))))


def _judge(a, b, unit, scale, errors, warnings):
    """Say in a sentence what the slopes of half the divergence of the deflection over the convergence mean."""
    slopes = f"(slopes {a:+.3g} in x, {b:+.3g} in y, expected +1)"
    mean = 0.5 * (abs(a) + abs(b))
    if a < 0 and b < 0:
        errors.append(f"the deflection has the opposite sign {slopes}: set x_sign and y_sign to their opposite")
    elif a < 0 or b < 0:
        axis = "x" if a < 0 else "y"
        errors.append(f"the {axis} deflection has the opposite sign {slopes}: set {axis}_sign to its opposite")
    elif abs(mean - 1) > _TOLERANCE:
        kind = errors if abs(mean - 1) > ACCEPTED else warnings  # what stops the lens step is an error here, too
        kind.append(f"{factor_problem('kappa', mean, unit, scale)} {slopes}")

"""Truth against measurement of the simulated galaxies: rows with pulls, and what they say of each quantity."""

import numpy as np

__all__ = ["aperture_fractions", "fitted_gaussian", "format_summary", "recovery_row", "resolved_galaxies", "summarise"]

RELATIVE = {
    "flux",
    "mu_halpha",
    "mu_intrinsic",
    "mu_whole",
    "sfr",
    "sfr_total",
}  # quantities whose bias is a fraction of the truth
MEASURED_SLOPES = ("slope_elliptical", "slope_circular")
INTRINSIC_SLOPES = ("slope_intrinsic_elliptical", "slope_intrinsic_circular")
SLOPES = MEASURED_SLOPES + INTRINSIC_SLOPES
QUANTITIES = (
    "flux", "velocity", "dispersion", "mu_halpha", "mu_intrinsic", "mu_whole", "sfr", "sfr_total", "ebv", "log_mstar",
    "log_oh", *SLOPES,
)  # fmt: skip
UNITS = {
    "flux": "erg s-1 cm-2", "velocity": "km s-1", "dispersion": "km s-1", "mu_halpha": "", "mu_intrinsic": "",
    "mu_whole": "", "sfr": "Msun yr-1",
    "sfr_total": "Msun yr-1", "ebv": "mag", "log_mstar": "dex", "log_oh": "dex", **dict.fromkeys(SLOPES, "dex kpc-1"),
}  # fmt: skip
LEAVES_FIELD = "leaves_field"  # state of a star formation rate
SUBSAMPLES = 10


def aperture_fractions(shape, x, y, radius):
    """Return the fraction of each pixel inside a circle.

    Parameters
    ----------
    shape : (int, int)
        ny, nx.
    x, y, radius : float
        Centre (0-based) and radius in pixels.

    Returns
    -------
    ndarray, shape (ny, nx)
        From 0 to 1, from 10 x 10 points per pixel.
    """
    steps = (np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5
    dx, dy = ((np.arange(n)[:, None] + steps - c) ** 2 for n, c in ((shape[1], x), (shape[0], y)))
    inside = dy.reshape(-1, 1) + dx.reshape(1, -1) <= radius**2
    return inside.reshape(shape[0], SUBSAMPLES, shape[1], SUBSAMPLES).mean((1, 3))


def fitted_gaussian(fractions, flux, velocity, dispersion, instrumental=0.0):
    """Velocity and dispersion of the single Gaussian that fits the noise-free line profile of an aperture.

    The profile is the sum of the pixels' Gaussians, seen by the instrument.  Of a rotating or lensed galaxy it is not a
    Gaussian, and the best fit of one differs from its moments; the fit is what the pseudo-fibre measures.

    Parameters
    ----------
    fractions, flux, velocity, dispersion : ndarray, shape (ny, nx)
        Pixels with a NaN do not count.
    instrumental : float, optional
        Instrumental dispersion, in the unit of `velocity`; not in the returned one.

    Returns
    -------
    mean, sigma : float
        In the unit of `velocity`. NaN without flux in the aperture.
    """
    good = np.isfinite(flux) & np.isfinite(velocity) & np.isfinite(dispersion)
    weight = np.where(good, fractions * np.where(good, flux, 0.0), 0.0)
    total = weight.sum()
    if not total > 0:
        return np.nan, np.nan
    from scipy.optimize import curve_fit

    inside = good & (weight > 0)
    weight, speed, width = weight[inside] / total, velocity[inside], np.hypot(dispersion[inside], instrumental)
    mean = np.sum(weight * speed)
    sigma = np.sqrt(np.sum(weight * (width**2 + (speed - mean) ** 2)))
    grid = np.linspace(mean - 6 * sigma, mean + 6 * sigma, 241)
    profile = np.exp(-0.5 * ((grid - speed[:, None]) / width[:, None]) ** 2)
    profile = np.sum((weight / width)[:, None] * profile, axis=0)

    def gaussian(v, amplitude, centre, spread):
        return amplitude / spread * np.exp(-0.5 * ((v - centre) / spread) ** 2)

    (_, centre, spread), _ = curve_fit(gaussian, grid, profile, (1.0, mean, sigma))
    return float(centre), float(np.sqrt(max(spread**2 - instrumental**2, 0.0)))


def recovery_row(galaxy, quantity, truth, measured, error, state, used, band=None, region=None, line=None):
    """Return one row: truth, measurement and pull.

    Parameters
    ----------
    galaxy, quantity : str
        `quantity` is one of `QUANTITIES`.
    truth, measured : float
        NaN for a value that is missing.
    error : float or (float, float)
        1 sigma, or its lower and upper side; then the side of the measurement towards the truth counts.
    state : str
        What the pipeline says of the measurement.
    used : bool
        Whether it may enter the summary; it does not without a finite pull.
    band, region, line : str, optional
        Of the measurement.

    Returns
    -------
    dict
        ``pull`` = (measured - truth) / error, NaN where one of them is missing or the error is not positive.
    """
    if isinstance(error, tuple):
        error = error[0] if measured > truth else error[1]
    pull = (measured - truth) / error if error > 0 else np.nan
    return {
        "galaxy": galaxy, "band": band, "region": region, "quantity": quantity, "line": line, "truth": float(truth),
        "measured": float(measured), "error": float(error), "pull": float(pull), "unit": UNITS[quantity],
        "state": state, "used": bool(used and np.isfinite(pull)),
    }  # fmt: skip


def resolved_galaxies(rows):
    """Return the galaxies of which a gradient, of any region and aperture, is resolved."""
    return {row["galaxy"] for row in rows if row["quantity"] in SLOPES and row["used"] and row["state"] == "resolved"}


def summarise(rows):
    """Summarise the used rows of each quantity, of fluxes line by line.

    Parameters
    ----------
    rows : list of dict
        From `recovery_row`.

    Returns
    -------
    list of dict
        For the samples 'all' (every used row), 'resolved' (galaxies with a resolved gradient; of the gradients those
        that are resolved) and 'in_field' (without the galaxies that leave the field): n, median_abs_pull, median_pull,
        pull_scatter (1.4826 MAD of the pulls), median_bias (measured - truth; for fluxes, rates and magnifications over
        the truth), for gradients flattening (weighted regression slope of measured on true gradients, 1 for unbiased
        ones), unit of the bias, and a note. NaN where there are no rows.
    """
    keys = dict.fromkeys(("flux", row["line"]) for row in rows if row["quantity"] == "flux")
    keys |= dict.fromkeys((quantity, None) for quantity in QUANTITIES[1:])
    resolved = resolved_galaxies(rows)
    outside = {row["galaxy"] for row in rows if row["state"] == LEAVES_FIELD}
    summary = []
    for sample in ("all", "resolved", "in_field"):
        for quantity, line in keys:
            chosen = [
                row for row in rows if row["used"] and row["quantity"] == quantity and line in (None, row["line"])
            ]
            if sample == "resolved":
                chosen = [row for row in chosen if row["galaxy"] in resolved]
                if quantity in SLOPES:
                    chosen = [row for row in chosen if row["state"] == "resolved"]
            if sample == "in_field":
                chosen = [row for row in chosen if row["galaxy"] not in outside]
            summary.append({"sample": sample, "quantity": quantity, "line": line, **_statistics(quantity, chosen)})
    return summary


def _statistics(quantity, rows):
    relative = quantity in RELATIVE
    result = {"n": len(rows), "unit": "fraction" if relative else UNITS[quantity], "note": _note(quantity)}
    if not rows:
        return result
    truth, measured, error, pull = (
        np.array([row[key] for row in rows]) for key in ("truth", "measured", "error", "pull")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        bias = (measured - truth) / truth if relative else measured - truth
    result |= {
        "median_abs_pull": float(np.median(np.abs(pull))), "median_pull": float(np.median(pull)),
        "pull_scatter": float(1.4826 * np.median(np.abs(pull - np.median(pull)))),
        "median_bias": float(np.median(bias)),
    }  # fmt: skip
    if quantity in SLOPES:
        flattening = _regression(truth, measured, error)
        result |= {"flattening": flattening, "note": _note(quantity, result["median_bias"], flattening)}
    return result


def _regression(truth, measured, error):
    """Slope of the weighted line through measured against truth; NaN for fewer than 3 points or one truth."""
    weight = 1 / error**2
    x = truth - np.average(truth, weights=weight)
    if len(truth) < 3 or not np.ptp(truth) > 0:
        return np.nan
    return float(np.sum(weight * x * measured) / np.sum(weight * x**2))


def _note(quantity, bias=np.nan, flattening=np.nan):
    if quantity == "log_oh":
        return "truth: Halpha-weighted over the galaxy; measured: pseudo-fibre"
    if quantity == "mu_halpha":
        return "of the part of the source that the field shows; truth: without seeing; measured: with it (the paper's)"
    if quantity == "mu_intrinsic":
        return "of the part of the source that the field shows, without seeing"
    if quantity == "mu_whole":
        return "field over whole source; measured: the part outside the field is extrapolated, and its own error"
    if quantity == "sfr":
        return "truth: whole galaxy; measured: Halpha spaxels above 5 sigma, in the field (the paper's recipe)"
    if quantity == "sfr_total":
        return "truth: whole galaxy; measured: with the wings of the light and an estimate of what leaves the field"
    if quantity == "ebv":
        return "truth: one value per galaxy; measured: Halpha/Hbeta of the pseudo-fibre"
    if quantity == "log_mstar":
        return "truth: catalogue of the simulation; measured: photometry"
    if quantity in SLOPES:
        text = "annuli against the radius their light comes from"
        if quantity in MEASURED_SLOPES:
            text = "de-lensed gradients are flattened by the PSF and the S/N cut"
        if np.isfinite(bias):
            text += f": here by {bias:+.4f} dex/kpc (median of measured - truth)"
        if np.isfinite(flattening):
            text += f", measured against true gradients have the slope {flattening:.2f}"
        return text
    return "the same pseudo-fibre on the noise-free maps" if quantity == "flux" else "main line of the band"


def format_summary(summary):
    """Return the summary as text for a terminal."""
    head = f"{'quantity':<22}{'n':>5}{'med|pull|':>11}{'med pull':>10}{'scatter':>9}{'bias':>10}{'flattening':>24}"
    lines = ["Recovery of the simulated truth: pull = (measured - truth) / error"]
    titles = {
        "all": "all measurements",
        "resolved": "galaxies with a resolved gradient",
        "in_field": "without those that leave the field",
    }
    for sample, title in titles.items():
        lines += ["", f"{title}:", head]
        for row in summary:
            if row["sample"] == sample:
                lines.append(_format_row(row))
    notes = [row for row in summary if row["sample"] == "all" and row["quantity"] in SLOPES and row["n"]]
    if notes:
        lines += ["", *(f"{row['quantity']}: {row['note']}." for row in notes)]
    return "\n".join(lines)


def _format_row(row):
    name = " ".join(filter(None, (row["quantity"], row["line"])))
    numbers = [row.get(key, np.nan) for key in ("median_abs_pull", "median_pull", "pull_scatter", "median_bias")]
    widths = (".2f", 11), ("+.2f", 10), (".2f", 9), ("+.4f" if row["quantity"] in SLOPES else "+.3f", 10)
    cells = "".join(f"{format(value, code) if np.isfinite(value) else '-':>{width}}"
                    for value, (code, width) in zip(numbers, widths, strict=True))  # fmt: skip
    flattening = row.get("flattening", np.nan)
    text = f"{flattening:10.2f}" if np.isfinite(flattening) else ""
    return f"{name:<22}{row['n']:>5}{cells} {row['unit']:<13}{text}".rstrip()

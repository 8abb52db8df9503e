"""Columns of the tables of metallicity profiles and gradients, and the rows of profiles."""

import numpy as np

from klever.row_tables import Column

__all__ = ["ANNULI", "ASYMMETRY", "COVARIANCE", "GRADIENT", "annulus_rows", "covariance_rows"]

_REGION = Column("region", str, "all, or a region of gradient.regions")
_APERTURE = Column("aperture", str, "elliptical (shape of the source-plane PSF) | circular | deprojected")

ANNULI = [
    _REGION,
    _APERTURE,
    Column("method", str, "pixels (mean of the pixels' abundances) | fluxes (abundance of the mean fluxes)"),
    Column("annulus", int, "number in the profile, from 0; rows of annuli_covariance.ecsv"),
    Column("radius_kpc", float, "mean equivalent radius sqrt(a b) of the pixels (fluxes: of the light); deprojected: "
           "semi-major axis", "kpc"),
    Column("radius_inner_kpc", float, "inner boundary", "kpc"),
    Column("radius_outer_kpc", float, "outer boundary", "kpc"),
    Column("radius_psf_kpc", float, "mean radius (of circles; deprojected: in the disc) that the light comes from "
           "before the PSF spreads it, by the disc model", "kpc"),
    Column("log_oh", float, "12+log(O/H)", "dex"),
    Column("log_oh_error", float, "as gradient.errors: noise, calibration and reddening, or the paper's recipe", "dex"),
    Column("log_oh_noise_error", float, "from the noise of the fluxes, correlated between pixels", "dex"),
    Column("log_oh_common_error", float, "from what all annuli share: calibration and global E(B-V)", "dex"),
    Column("log_oh_paper_error", float, "sqrt((scatter^2 + mean pixel error^2) / independent elements)", "dex"),
    Column("log_oh_scatter", float, "weighted standard deviation of the pixels", "dex"),
    Column("weight", float, "summed pixel fractions", "pix"),
    Column("n_pixels", int, "pixels that contribute"),
    Column("coverage", float, "measured fraction of the annulus's area"),
]  # fmt: skip

COVARIANCE = [
    _REGION,
    _APERTURE,
    Column("method", str, "pixels | fluxes"),
    Column("annulus", int, "number in the profile, from 0"),
    Column("other_annulus", int, "number in the profile, not below `annulus`"),
    Column("noise", float, "covariance from the noise of the fluxes", "dex2"),
    Column("calibration", float, "covariance from the calibrations' dispersion, common to the galaxy", "dex2"),
    Column("reddening", float, "covariance from the error of a global E(B-V)", "dex2"),
]

GRADIENT = [
    Column("galaxy", str, "name in galaxies.tsv"),
    _REGION,
    _APERTURE,
    Column("slope", float, "median of the posterior", "dex / kpc"),
    Column("slope_error", float, "half the 16-84 per cent width", "dex / kpc"),
    Column("slope_error_minus", float, "median minus 16th percentile", "dex / kpc"),
    Column("slope_error_plus", float, "84th percentile minus median", "dex / kpc"),
    Column("intercept", float, "12+log(O/H) at the centre, median", "dex"),
    Column("intercept_error", float, "half the 16-84 per cent width", "dex"),
    Column("correlation", float, "of slope and intercept"),
    Column("chi2", float, "of the annuli about the least-squares line, with their covariance"),
    Column("intrinsic_scatter", float, "of the annuli about the line; masked unless gradient.intrinsic_scatter", "dex"),
    Column("n_annuli", int, "annuli in the fit"),
    Column("method", str, "of `slope`: pixels | fluxes (gradient.method)"),
    Column("errors", str, "of `slope`: covariance | paper (gradient.errors)"),
    Column("slope_noise_error", float, "part of the error that is the noise of the fluxes", "dex / kpc"),
    Column("slope_common_error", float, "part that all annuli share: calibration and global E(B-V)", "dex / kpc"),
    Column("slope_paper", float, "by the paper's recipe: mean abundances, independent annuli", "dex / kpc"),
    Column("slope_paper_error", float, "from scatter and pixel errors", "dex / kpc"),
    Column("slope_pixels", float, "of mean abundances, with covariance", "dex / kpc"),
    Column("slope_pixels_error", float, "1 sigma", "dex / kpc"),
    Column("slope_fluxes", float, "of the abundances of mean fluxes, with covariance", "dex / kpc"),
    Column("slope_fluxes_error", float, "1 sigma", "dex / kpc"),
    Column("slope_intrinsic", float, "against radius_psf_kpc: before the PSF flattens it", "dex / kpc"),
    Column("slope_intrinsic_error", float, "1 sigma: noise, calibration, reddening, and the next", "dex / kpc"),
    Column("slope_intrinsic_model_error", float, "part from the PSF's width and the disc's size", "dex / kpc"),
    Column("psf_flattening", float, "slope a linear profile is measured with, over its own, by the disc model"),
    Column("r_e_kpc", float, "half-light radius (semi-major axis) of the disc model, free of the PSF", "kpc"),
    Column("r_e_error_kpc", float, "1 sigma, with the noise's correlation", "kpc"),
    Column("r_e_map", str, "map the disc model is fitted to: halpha | oiii5007"),
    Column("disc_axis_ratio", float, "of the disc model, or as given in gradient.deproject"),
    Column("disc_position_angle", float, "of its major axis, north through east", "deg"),
    Column("slope_per_re", float, "slope times r_e", "dex"),
    Column("slope_per_re_error", float, "1 sigma, from both", "dex"),
    Column("slope_intrinsic_per_re", float, "slope_intrinsic times r_e", "dex"),
    Column("slope_intrinsic_per_re_error", float, "1 sigma, from both", "dex"),
    Column("slope_calibrations", float, "half the range over the sets of calibrations", "dex / kpc"),
    Column("n_calibrations", int, "sets of calibrations that have the diagnostics"),
    Column("slope_centre", float, "slope about the other centre minus slope_pixels", "dex / kpc"),
    Column("centre_offset_kpc", float, "distance of the other centre", "kpc"),
    Column("slope_aperture", float, "elliptical minus circular slope", "dex / kpc"),
    Column("slope_lens", float, "standard deviation over the realisations of the lens model", "dex / kpc"),
    Column("slope_lens_models", float, "spread over other lens models", "dex / kpc"),
    Column("max_radius_kpc", float, "mean radius of the outermost annulus", "kpc"),
    Column("psf_hwhm_kpc", float, "sqrt(HWHM_x HWHM_y) of the source-plane PSF", "kpc"),
    Column("resolved", str, "resolved (max_radius >= 2 psf_hwhm) | marginal (1-2) | unresolved"),
    Column("psf_fwhm_major_kpc", float, "of the source-plane PSF", "kpc"),
    Column("psf_fwhm_minor_kpc", float, "of the source-plane PSF", "kpc"),
    Column("beam_hwhm_kpc", float, "as psf_hwhm, of the maps: seeing, smoothing and spaxels", "kpc"),
    Column("diagnostics", str, "of the metallicity map"),
    Column("diagnostics_reason", str, "preferred (R3, N2 and O3O2) | configured | why one of these is not used"),
    Column("centre", str, "continuum (H band) | halpha | oiii5007"),
    Column("global_log_oh", float, "12+log(O/H) of the integrated spectrum", "dex"),
    Column("autocorrelation", float, "autocorrelation time of the chain, steps"),
    Column("acceptance", float, "mean acceptance fraction of the chain"),
    Column("converged", bool, "the chain is longer than 50 autocorrelation times"),
    Column("state", str, "ok | not_detected | too_few_annuli | excluded | outside_lens_model"),
]

ASYMMETRY = [
    Column("galaxy", str, "name in galaxies.tsv"),
    _REGION,
    Column("n_pixels", int, "measured pixels"),
    Column("n_beams", float, "their area over that of the PSF of the maps: independent elements"),
    Column("residual_rms", float, "of the map about the mean of its annuli", "dex"),
    Column("residual_rms_noise", float, "the same of noise alone, median", "dex"),
    Column("residual_p", float, "fraction of noise realisations with at least that rms"),
    Column("dipole", float, "amplitude at the outermost pixel", "dex"),
    Column("dipole_angle", float, "direction of its maximum, north through east", "deg"),
    Column("quadrupole", float, "amplitude at the outermost pixel", "dex"),
    Column("chi2", float, "of dipole and quadrupole (4 amplitudes) with the noise's covariance"),
    Column("chi2_p", float, "p value of an axisymmetric galaxy"),
    Column("plane_slope", float, "of the plane through the map", "dex / kpc"),
    Column("plane_slope_error", float, "1 sigma along its direction", "dex / kpc"),
    Column("plane_angle", float, "direction in which the abundance rises, north through east", "deg"),
    Column("plane_p", float, "p value of a homogeneous galaxy"),
    Column("sfr_correlation", float, "Spearman's coefficient of log(O/H) and star-formation surface density"),
    Column("sfr_correlation_p", float, "p value of a homogeneous galaxy, for noise correlated as it is"),
    Column("sfr_residual_correlation", float, "the same of both residuals about their radial trends"),
    Column("sfr_residual_correlation_p", float, "its p value"),
    Column("sfr_map", str, "what stands for the star-formation surface density"),
    Column("state", str, "ok | too_few_pixels | not_detected | excluded | outside_lens_model"),
]


def annulus_rows(measured, section):
    """Return the rows of ANNULI of a `klever.gradient.profile_errors.MeasuredProfile`; `section`: gradient.errors."""
    errors = {
        "log_oh_noise_error": np.sqrt(np.maximum(np.diag(measured.noise), 0)),
        "log_oh_common_error": np.sqrt(np.diag(measured.calibration) + np.diag(measured.reddening)),
        "log_oh_paper_error": measured.paper_error,
    }
    total = np.hypot(errors["log_oh_noise_error"], errors["log_oh_common_error"])
    if section["errors"] == "paper" and measured.method == "pixels":
        total = measured.paper_error
    columns = {
        "radius_kpc": measured.radius, "radius_inner_kpc": measured.inner, "radius_outer_kpc": measured.outer,
        "radius_psf_kpc": measured.psf_radius, "log_oh": measured.log_oh, "log_oh_error": total, **errors,
        "log_oh_scatter": measured.scatter, "weight": measured.weight, "coverage": measured.coverage,
    }  # fmt: skip
    common = {"region": measured.region, "aperture": measured.aperture, "method": measured.method}
    return [
        common
        | {"annulus": k, "n_pixels": int(measured.n_pixels[k])}
        | {key: float(v[k]) for key, v in columns.items()}
        for k in range(len(measured.radius))
    ]


def covariance_rows(measured):
    """Return the rows of COVARIANCE of a `klever.gradient.profile_errors.MeasuredProfile`: the upper triangle."""
    common = {"region": measured.region, "aperture": measured.aperture, "method": measured.method}
    return [
        common | {"annulus": i, "other_annulus": j, "noise": float(measured.noise[i, j]),
                  "calibration": float(measured.calibration[i, j]), "reddening": float(measured.reddening[i, j])}
        for i in range(len(measured.radius)) for j in range(i, len(measured.radius))
    ]  # fmt: skip

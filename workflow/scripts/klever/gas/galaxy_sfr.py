"""The star formation rate of a galaxy: flux, reddening, magnification (Curti et al. 2020, Sect. 3.3)."""

import numpy as np

from klever.gas.field_loss import LEAVES_FIELD
from klever.gas.sfr import luminosity_distance_cm, star_formation_rate, surface_density
from klever.maps import Flag, Map, masked
from klever.row_tables import Column

__all__ = ["COLUMNS", "choose_magnification", "sfr_maps", "sfr_rows"]

_SFR, _FLUX = "Msun yr-1", "erg s-1 cm-2"

COLUMNS = [
    Column("galaxy", str, "name in galaxies.tsv"),
    Column("region", str, "all, or a region of gradient.regions (its share of the source-plane flux)"),
    Column("z", float, "catalogue redshift"),
    Column("plane", str, "image | source: where the spaxels are summed"),
    Column("halpha_flux", float, "of the spaxels above star_formation.halpha_snr, as observed", _FLUX),
    Column("halpha_flux_error", float, "1 sigma, correlation of spaxels included", _FLUX),
    Column("n_spaxels", int, "spaxels summed"),
    Column(
        "halpha_flux_total", float, "with the spaxels within star_formation.grow of them, which hold the wings", _FLUX
    ),
    Column("halpha_flux_total_error", float, "1 sigma, correlation of spaxels included", _FLUX),
    Column("fibre_fraction", float, "Halpha flux in the pseudo-fibre over halpha_flux"),
    Column("ebv", float, "E(B-V) from Halpha/Hbeta in the pseudo-fibre; below zero it is used as zero", "mag"),
    Column("ebv_error", float, "1 sigma", "mag"),
    Column("dust_correction", str, "balmer | balmer of another galaxy | none (no Hbeta: sfr is a lower limit)"),
    Column("ebv_negative", bool, "Halpha/Hbeta is below the intrinsic ratio"),
    Column("mu", float, "magnification that sfr is divided by"),
    Column("mu_error", float, "1 sigma"),
    Column("mu_source", str, "mu_halpha | mu_maps | source_plane (nothing to divide by) | none"),
    Column("sfr", float, "star formation rate, Chabrier (2003) IMF", _SFR),
    Column("sfr_error", float, "1 sigma: flux, reddening and magnification in quadrature", _SFR),
    Column("sfr_error_flux", float, "part of the flux", _SFR),
    Column("sfr_error_ebv", float, "part of the reddening", _SFR),
    Column("sfr_error_magnification", float, "part of mu", _SFR),
    Column("sfr_magnified", float, "dust corrected, not divided by mu", _SFR),
    Column(
        "sfr_total",
        float,
        "from halpha_flux_total and mu_intrinsic, with the light outside the field: over 1 - outside_fraction",
        _SFR,
    ),
    Column("sfr_total_error", float, "1 sigma: as sfr_error, and sfr_total_error_outside in quadrature", _SFR),
    Column("sfr_total_error_outside", float, "part of the light outside the field: all that is added for it", _SFR),
    Column("outside_fraction", float, "share of the galaxy's light outside the field, extrapolated over its border"),
    Column("leaves_field", bool, "outside_fraction is above 0.05: sfr and mu are of the part in the field"),
    Column("state", str, "ok | not_detected | no_magnification | agn"),
]


def choose_magnification(row):
    """Return mu, its error and its name: mu_halpha, or mu_maps where there is none (Sect. 3.3).

    Parameters
    ----------
    row : mapping
        Of ``magnification.ecsv``; missing numbers NaN.
    """
    if row["mu_halpha"] > 0:
        error = row["mu_halpha_error"]
        return row["mu_halpha"], error if np.isfinite(error) else 0.0, "mu_halpha"
    if row["mu_maps"] > 0:
        half = 0.5 * (row["mu_maps_error_minus"] + row["mu_maps_error_plus"])
        return row["mu_maps"], half if np.isfinite(half) else 0.0, "mu_maps"
    return np.nan, np.nan, "none"


def sfr_rows(halpha, total, fibre_flux, reddening, magnification, shares, calibration, settings, agn=False,
             outside=np.nan):  # fmt: skip
    """Return the rows of ``star_formation.ecsv``.

    Parameters
    ----------
    halpha : tuple
        Flux, error (erg/s/cm2) and number of spaxels, from `klever.gas.sfr.summed_flux`.
    total : pair of float
        Flux and error with the wings; NaN where it is not known.
    fibre_flux : float
        Halpha in the pseudo-fibre; NaN without.
    reddening : tuple
        E(B-V), its error and what `dust_correction` says of it; NaN for no reddening known.
    magnification : mapping
        As for `choose_magnification`.
    shares : dict of str to float
        Share of the source-plane flux by region; empty for one region.
    calibration : klever.gas.sfr.SfrCalibration
    settings : dict
        ``galaxy``, ``z``, ``cosmology``, ``dust`` and ``star_formation``.
    agn : bool
        The galaxy has a broad line: Halpha does not tell its star formation.
    outside : float
        Share of the light outside the field, from `klever.gas.field_loss.light_outside`; NaN where it is not known,
        and then nothing is added.
    """
    flux, flux_error, count = halpha
    ebv, ebv_error, origin = reddening
    known = np.isfinite(ebv)
    plane = settings["star_formation"]["plane"]
    mu, mu_error, mu_source = (1.0, 0.0, "source_plane") if plane == "source" else choose_magnification(magnification)
    row = {
        "galaxy": settings["galaxy"], "region": "all", "z": settings["z"], "plane": plane, "halpha_flux": flux,
        "halpha_flux_error": flux_error, "halpha_flux_total": total[0], "halpha_flux_total_error": total[1],
        "n_spaxels": count, "fibre_fraction": fibre_flux / flux, "ebv": ebv,
        "ebv_error": ebv_error, "dust_correction": origin if known else "none", "ebv_negative": bool(ebv < 0),
        "mu": mu, "mu_error": mu_error, "mu_source": mu_source,
        "outside_fraction": outside, "leaves_field": bool(outside > LEAVES_FIELD),
    }  # fmt: skip
    if plane == "source":
        row["fibre_fraction"] = np.nan
    if not count:
        return [row | {"state": "not_detected"}]
    if agn:
        return [row | {"state": "agn"}]
    rv, distance = settings["dust"]["rv"], luminosity_distance_cm(settings["z"], settings["cosmology"])
    common = (distance, calibration, (ebv, ebv_error) if known else (0.0, 0.0))
    row["sfr_magnified"] = star_formation_rate(flux, flux_error, *common, rv=rv).sfr
    if not np.isfinite(mu):
        return [row | {"state": "no_magnification"}]
    found = star_formation_rate(flux, flux_error, *common, (mu, mu_error), rv)
    complete = star_formation_rate(*total, *common, _without_seeing(magnification, mu, mu_error, mu_source), rv)
    seen = 1 - np.nan_to_num(outside)
    whole = complete.sfr / seen
    row |= {
        "sfr": found.sfr, "sfr_error": found.error, "sfr_error_flux": found.error_flux,
        "sfr_error_ebv": found.error_ebv, "sfr_error_magnification": found.error_magnification,
        "sfr_total": whole, "sfr_total_error": float(np.hypot(complete.error / seen, whole - complete.sfr)),
        "sfr_total_error_outside": whole - complete.sfr, "state": "ok",
    }  # fmt: skip
    parts = [name for name in row if name.startswith("sfr")]
    regions = [
        {key: row[key] for key in ("galaxy", "z", "plane", "ebv", "ebv_error", "dust_correction", "ebv_negative")}
        | {name: share * row[name] for name in parts}
        | {"region": region, "halpha_flux": share * flux, "halpha_flux_error": share * flux_error, "state": "ok"}
        for region, share in shares.items()
    ]
    return [row, *regions]


def _without_seeing(row, mu, error, name):
    """Return the magnification that all light in the field is divided by, and its error."""
    if name == "mu_halpha" and row.get("mu_intrinsic", np.nan) > 0:
        return row["mu_intrinsic"], row["mu_intrinsic_error"]
    return mu, error


def sfr_maps(source, ebv_map, ebv_global, z, calibration, minimum_snr, rv=3.1):
    """Return the maps of the surface density of star formation and of the reddening it is corrected with.

    Parameters
    ----------
    source : MapSet
        Source-plane line maps.
    ebv_map : Map
        E(B-V) of the pixels in which Halpha and Hbeta allow one.
    ebv_global : pair of float
        Of the galaxy, for the other pixels; NaN if unknown.
    z, calibration, rv
        As for `klever.gas.sfr.surface_density`.
    minimum_snr : float
        Of Halpha.

    Returns
    -------
    dict of str to Map
        SIGMA_SFR (Msun/yr/kpc2, 1 sigma) and EBV_USED (mag, 1 sigma), and EBV_ORIGIN: 2 the pixel's own Balmer
        decrement, 1 the galaxy's, 0 none, so that SIGMA_SFR is a lower limit. Empty without Halpha.
    """
    if "HALPHA" not in source:
        return {}
    brightness, error = masked(source, "HALPHA", minimum_snr)
    own, known = np.isfinite(ebv_map.value), np.all(np.isfinite(ebv_global))
    fallback = ebv_global if known else (0.0, 0.0)
    ebv, ebv_error = (np.where(own, item, other) for item, other in
                      zip((ebv_map.value, ebv_map.error), fallback, strict=True))  # fmt: skip
    value, spread = surface_density(brightness, error, z, calibration, ebv, ebv_error, rv)
    seen = np.isfinite(value)
    flags = np.where(seen, 0, int(Flag.NOT_DETECTED)).astype(np.uint16)
    if source["HALPHA"].flags is not None:
        flags |= np.where(seen, 0, source["HALPHA"].flags).astype(np.uint16)
    flags |= np.where(seen & (ebv < 0), int(Flag.NEGATIVE_EBV), 0).astype(np.uint16)
    origin = np.where(own, 2.0, 1.0 if known else 0.0)
    return {
        "SIGMA_SFR": Map(value, spread, flags, "Msun yr-1 kpc-2"),
        "EBV_USED": Map(np.where(seen, ebv, np.nan), np.where(seen, ebv_error, np.nan), flags.copy(), "mag"),
        "EBV_ORIGIN": Map(np.where(seen, origin, np.nan), None, flags.copy()),
    }

"""The truth of a simulated galaxy: source-plane maps and one row of numbers per region."""

import numpy as np

from klever.maps import Map, MapSet
from klever.row_tables import Column
from klever_simulation.emission import RATIOS
from klever_simulation.formats import celestial_header
from klever_simulation.scene import sky_of
from klever_simulation.seen import seen_fluxes

__all__ = ["TRUTH", "source_maps", "truth_rows", "weighted_slope"]

PIXEL_SCALE = 0.02  # arcsec, source plane
REACH = 5.0  # effective radii shown around the centre


def weighted_slope(radius, value, weight):
    """Slope of the weighted straight-line fit of `value` against `radius` (arrays of one shape)."""
    r = radius - np.average(radius, weights=weight)
    return float(np.sum(weight * r * value) / np.sum(weight * r**2))


def _grid(setting):
    cx, cy = setting.source
    half = max(np.hypot(c.x - cx, c.y - cy) + REACH * c.effective_radius for c in setting.components)
    n = 2 * int(np.ceil(half / PIXEL_SCALE)) + 1
    axis = (np.arange(n) - (n - 1) / 2) * PIXEL_SCALE
    return np.meshgrid(cx + axis, cy + axis)


def source_maps(setting, galaxy):
    """Source-plane truth at the centres of 0.02 arcsec pixels.

    Returns
    -------
    MapSet
        HALPHA (erg s-1 cm-2 arcsec-2, dimmed by dust), LOG_OH and VELOCITY (km/s), both Halpha-weighted over
        components, CONTINUUM (erg s-1 cm-2 um-1 arcsec-2 at 1.5392 um). The WCS is the true, unlensed position.
    """
    x, y = _grid(setting)
    halpha = np.array([component.halpha(x, y) for component in setting.components])
    weight = halpha / halpha.sum(0)
    ra, dec = sky_of(*setting.source, setting.lens.ra, setting.lens.dec)
    header = celestial_header(ra, dec, x.shape[1], x.shape[0], PIXEL_SCALE)
    header["GALAXY"], header["Z"] = galaxy, setting.z
    header["PIXSCALE"] = (PIXEL_SCALE, "arcsec")
    header["KPC_ARC"] = (setting.components[0].kpc_per_arcsec, "kpc per arcsec")
    header["SIMULATE"] = True
    maps = MapSet(header=header)
    components = setting.components
    maps["HALPHA"] = Map(halpha.sum(0), unit="erg s-1 cm-2 arcsec-2")
    maps["LOG_OH"] = Map(sum(w * c.log_oh(x, y) for w, c in zip(weight, components, strict=True)))
    maps["VELOCITY"] = Map(sum(w * c.velocity(x, y) for w, c in zip(weight, components, strict=True)), unit="km s-1")
    maps["CONTINUUM"] = Map(sum(c.continuum(x, y) for c in components), unit="erg s-1 cm-2 um-1 arcsec-2")
    return maps


def _region(component, setting, seen, galaxy, mu):
    x, y = component.grid()
    weight, log_oh = component.halpha(x, y), component.log_oh(x, y)
    radius = component.radius_kpc(x, y)
    row = component.row
    ra, dec = sky_of(component.x, component.y, setting.lens.ra, setting.lens.dec)
    return {
        "galaxy": galaxy, "region": component.name, "z": setting.z, "sfr": row["sfr"], "log_mstar": row["log_mstar"],
        "halpha_flux": component.halpha_flux, "log_oh": float(np.average(log_oh, weights=weight)),
        "log_oh_central": component.log_oh_central, "slope_projected": row["slope_dex_per_kpc"],
        "slope_weighted": weighted_slope(radius, log_oh, weight), "ebv": row["ebv"],
        "mu_halpha": mu, "mu_whole": seen / component.halpha_flux, "mu_point": _mu_point(setting),
        **{f"offset_{name}": component.offsets[name] for name in RATIOS},
        "v_sys": row["v_sys"], "sigma0": row["sigma0"], "source_ra": ra, "source_dec": dec,
    }  # fmt: skip


def _mu_point(setting):
    return float(np.abs(setting.lens.magnification(*(np.array([v]) for v in setting.image), setting.z))[0])


def _whole(rows, setting, galaxy, mu):
    """Sum or flux-weight the rows of a pair; NaN where only a component has a value."""
    flux = np.array([row["halpha_flux"] for row in rows])
    ra, dec = sky_of(*setting.source, setting.lens.ra, setting.lens.dec)
    whole = {}
    for name, value in rows[0].items():
        if isinstance(value, float):
            values = np.array([row[name] for row in rows])
            whole[name] = value if np.all(values == value) else float(np.average(values, weights=flux))
    whole.update(
        galaxy=galaxy, region="all", sfr=sum(row["sfr"] for row in rows), halpha_flux=float(flux.sum()),
        log_mstar=float(np.log10(sum(10 ** row["log_mstar"] for row in rows))), log_oh_central=np.nan, mu_halpha=mu,
        slope_projected=np.nan, slope_weighted=np.nan, source_ra=ra, source_dec=dec,
    )  # fmt: skip
    return whole


TRUTH = [
    Column("galaxy", str, "as in galaxies.tsv"),
    Column("region", str, "component of the galaxy; all for the whole of a pair"),
    Column("z", float, "redshift"),
    Column("sfr", float, "star formation rate", "Msun yr-1"),
    Column("log_mstar", float, "log10 of the stellar mass in solar masses", "dex"),
    Column("halpha_flux", float, "of the unlensed source, dimmed by dust", "erg s-1 cm-2"),
    Column("log_oh", float, "12+log(O/H), Halpha-weighted", "dex"),
    Column("log_oh_central", float, "12+log(O/H) at the centre", "dex"),
    Column("slope_projected", float, "gradient that circular annuli would see", "dex / kpc"),
    Column("slope_weighted", float, "Halpha-weighted straight-line fit to the truth", "dex / kpc"),
    Column("ebv", float, "reddening of the gas", "mag"),
    Column("mu_halpha", float, "Halpha flux inside the field over that of the part of the source with an image there"),
    Column("mu_whole", float, "Halpha flux inside the field over that of the whole unlensed source"),
    Column("mu_point", float, "magnification at the catalogue (or reference image) position"),
    *(
        Column(f"offset_{name}", float, f"of log10 {name} from its calibration, shared by the galaxy", "dex")
        for name in RATIOS
    ),
    Column("v_sys", float, "systemic velocity, of the redshift", "km s-1"),
    Column("sigma0", float, "velocity dispersion of the gas", "km s-1"),
    Column("source_ra", float, "unlensed position", "deg"),
    Column("source_dec", float, "unlensed position", "deg"),
]


def truth_rows(setting, rendered, line_names, galaxy):
    """Return the rows of the truth, of the columns `TRUTH`: one per region, and for a pair one 'all' without gradient.

    `mu_halpha` is the Halpha flux inside the IFU field over that of the part of the unlensed source which has an image
    there, see `klever_simulation.seen`; `mu_whole` that of the field over the whole source;
    `mu_point` the magnification at the catalogue (or reference image) position; `slope_projected` is what circular
    annuli would see, dex/kpc; `slope_weighted` the Halpha-weighted straight-line fit to the truth, which the clipping
    of 12 + log(O/H) flattens.
    """
    (fx, fy), half = setting.field, setting.field_size / 2
    inside = (np.abs(rendered["y"] - fy) < half)[:, None] & (np.abs(rendered["x"] - fx) < half)[None, :]
    seen = rendered["lines"][:, line_names.index("Halpha"), inside].sum(1)
    lensed, unlensed = seen_fluxes(setting)
    mu = np.divide(lensed, unlensed, out=np.full(len(seen), np.nan), where=unlensed > 0)
    rows = [
        _region(c, setting, float(s), galaxy, float(m)) for c, s, m in zip(setting.components, seen, mu, strict=True)
    ]
    if len(rows) > 1:
        rows.insert(0, _whole(rows, setting, galaxy, float(lensed.sum() / unlensed.sum())))
    return rows

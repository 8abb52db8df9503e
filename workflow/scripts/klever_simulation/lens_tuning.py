"""Tuning of the simulated lenses; writes resources/simulation/lenses.yaml.

Run from the project's root: ``PYTHONPATH=workflow/scripts python -m klever_simulation.lens_tuning``.

Clusters: least squares of the magnification at the galaxies against the published one (Curti et al. 2020, Table 3,
mu_maps), with a halo, an external shear, a fixed random population of members and a few free, massive perturbers. These
are not models of the real clusters: nothing but the listed magnifications is constrained. Single lenses: the source is
put where its image has the published magnification.
"""

import csv
from pathlib import Path

import numpy as np

from klever_simulation.lenses import LensModel, dls_over_ds

__all__ = ["achieved", "members", "offsets", "single_lenses", "targets", "tune_cluster"]

ROOT = Path(__file__).resolve().parents[3]
FLOOR = 0.01  # dex, smallest error of log10 mu that is asked for
SMOOTH = 1.5  # arcsec, about galaxies of mu < 3, where mu may not change by more than 0.09 dex
RING = SMOOTH * np.exp(1j * np.deg2rad(np.arange(0, 360, 45)))

CLUSTERS = {
    "ms2137": {
        "ra": 325.063208, "dec": -23.661139, "z_lens": 0.313, "seed": 2137,
        "halo": {"x": 0.0, "y": 0.0, "sigma": 850.0, "core": 3.0, "cut": 300.0, "ellipticity": 0.15, "angle": 50.0},
        "bcg": {"sigma": 260.0, "core": 0.15, "cut": 12.0},
        "shear": {"gamma": 0.02, "angle": 30.0},
        "perturbers": [(20.0, -20.0), (-25.0, -12.0), (25.0, 22.0)],
        "errors": {"sigma": 0.015, "core": 0.03, "ellipticity": 0.01, "angle": 1.0, "x": 0.1, "y": 0.1},
        "maps": {"size": 260.0, "range_pixel_scale": 0.8},
    },
    "rxj2248": {
        "ra": 342.183220, "dec": -44.530889, "z_lens": 0.348, "seed": 2248,
        "halo": {"x": 0.0, "y": 0.0, "sigma": 1400.0, "core": 18.0, "cut": 300.0, "ellipticity": 0.25, "angle": -36.0},
        "bcg": {"sigma": 280.0, "core": 0.15, "cut": 30.0},
        "shear": {"gamma": 0.05, "angle": -40.0},
        "perturbers": [(60.0, -38.0), (-38.0, 52.0), (-18.0, 8.0), (32.0, -32.0), (-30.0, 32.0)],
        "errors": {"sigma": 0.05, "core": 0.05, "ellipticity": 0.01, "angle": 1.0, "x": 0.3, "y": 0.3},
        "maps": {"size": 220.0, "range_pixel_scale": 0.8},
    },
}  # fmt: skip


def offsets(ra, dec, ra0, dec0):
    """Return tangent-plane offsets (x west, y north) in arcsec of sky positions in deg from a reference."""
    ra, dec, ra0, dec0 = (np.deg2rad(value) for value in (ra, dec, ra0, dec0))
    depth = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra - ra0)
    east = np.cos(dec) * np.sin(ra - ra0) / depth
    north = (np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(ra - ra0)) / depth
    return -np.rad2deg(east) * 3600, np.rad2deg(north) * 3600


def targets(lens, ra0, dec0):
    """Return the galaxies of a lens that have a published mu_maps.

    Returns
    -------
    dict
        Arrays ``name``, ``x``, ``y`` (arcsec), ``z``, ``mu``, ``minus``, ``plus`` (published, with 1 sigma errors).
    """
    with (ROOT / "resources/published/table3_global_properties.csv").open() as stream:
        published = {row["id"]: row for row in csv.DictReader(stream)}
    with (ROOT / "config/galaxies.tsv").open() as stream:
        galaxies = [row for row in csv.DictReader(stream, delimiter="\t") if row["lens"] == lens]
    galaxies = [row for row in galaxies if published.get(row["galaxy"], {}).get("mu_maps")]
    x, y = offsets(*(np.array([float(row[key]) for row in galaxies]) for key in ("ra", "dec")), ra0, dec0)
    table = {"name": [row["galaxy"] for row in galaxies], "x": x, "y": y}
    table["z"] = np.array([float(row["z"]) for row in galaxies])
    columns = {"mu": "mu_maps", "minus": "mu_maps_err_minus", "plus": "mu_maps_err_plus"}
    for key, column in columns.items():
        table[key] = np.array([float(published[name][column]) for name in table["name"]])
    return table


def members(seed, avoid_x, avoid_y, number=24):
    """Return random cluster members as components, bright ones first, none within 8 arcsec of the positions to avoid.

    Velocity dispersions follow 190 km/s (L/L*)^(1/4), cut radii 8 arcsec (L/L*)^(1/2), as in the scaling relations of
    lens models.
    """
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < number:
        radius, angle = rng.uniform(6.0, 95.0), rng.uniform(0, 2 * np.pi)
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        luminosity = max(10 ** rng.uniform(-1.3, 0.2), 0.05)
        if np.min(np.hypot(x - avoid_x, y - avoid_y)) > 8.0:
            found.append((luminosity, x, y))
    found.sort(reverse=True)
    return [
        {
            "name": f"member{index:02d}", "group": "members", "type": "dpie", "x": round(x, 2), "y": round(y, 2),
            "sigma": round(190 * luminosity**0.25, 1), "core": 0.1, "cut": round(8 * luminosity**0.5, 2),
        }
        for index, (luminosity, x, y) in enumerate(found, start=1)
    ]  # fmt: skip


def achieved(model, table):
    """Return |mu| of `model` at the galaxies, and the largest change (factor) of it at 1.5 arcsec from each."""
    inverse, around = _inverse(model, table)
    with np.errstate(divide="ignore"):
        change = np.abs(np.log(np.abs(around / inverse)))
    return 1 / np.abs(inverse), np.exp(change.max(axis=0))


def _inverse(model, table):
    x = np.concatenate([table["x"]] + [table["x"] + step.real for step in RING])
    y = np.concatenate([table["y"]] + [table["y"] + step.imag for step in RING])
    kappa, gamma1, gamma2 = (part.reshape(len(RING) + 1, -1) for part in model.convergence_shear(x, y, None))
    efficiency = np.array([dls_over_ds(model.z_lens, z) for z in table["z"]])
    inverse = (1 - efficiency * kappa) ** 2 - efficiency**2 * (gamma1**2 + gamma2**2)
    return inverse[0], inverse[1:]


def _model(name, settings, population, vector):
    halo = {**settings["halo"]}
    halo.update(zip(("sigma", "core", "cut", "ellipticity", "angle"), vector[:5], strict=True))
    parameters = [
        {"name": "halo", "group": "halo", "type": "dpie", **halo},
        {"name": "bcg", "group": "members", "type": "dpie", "x": halo["x"], "y": halo["y"], **settings["bcg"]},
        {"name": "shear", "group": "shear", "type": "shear", "gamma": vector[5], "angle": vector[6]},
    ]
    for index, values in enumerate(np.reshape(vector[7:], (-1, 4)), start=1):
        perturber = dict(zip(("x", "y", "sigma", "cut"), values, strict=True))
        parameters.append(
            {
                "name": f"perturber{index}",
                "group": "members",
                "type": "dpie",
                **perturber,
                "core": perturber["cut"] / 20,
            }
        )
    errors = {"halo": settings["errors"], "members": {"sigma": 0.05}, "shear": {"gamma": 0.002, "angle": 2.0}}
    return LensModel(
        name,
        settings["ra"],
        settings["dec"],
        settings["z_lens"],
        parameters + population,
        errors,
        maps=settings["maps"],
    )


def tune_cluster(name, settings):
    """Fit a cluster; return the `LensModel` and the table of `targets`."""
    from scipy.optimize import least_squares

    table = targets(name, settings["ra"], settings["dec"])
    population = members(settings["seed"], np.append(table["x"], 0.0), np.append(table["y"], 0.0))
    start = [settings["halo"][key] for key in ("sigma", "core", "cut", "ellipticity", "angle")]
    low, high = [400.0, 0.5, 40.0, 0.0, -180.0], [2000.0, 40.0, 1500.0, 0.5, 180.0]
    start += [settings["shear"]["gamma"], settings["shear"]["angle"]]
    low, high = [*low, 0.0, -180.0], [*high, 0.15, 180.0]
    for x, y in settings["perturbers"]:
        start += [x, y, 150.0, 20.0]
        low, high = [*low, x - 15, y - 15, 0.0, 3.0], [*high, x + 15, y + 15, 500.0, 60.0]
    error = np.maximum(0.5 * np.log10((table["mu"] + table["plus"]) / (table["mu"] - table["minus"])), FLOOR)
    high_mu, weak = table["mu"] > 8, table["mu"] < 3
    inverse_error = 0.5 * (1 / (table["mu"] - table["minus"]) - 1 / (table["mu"] + table["plus"]))

    def residuals(vector):
        inverse, around = (np.abs(part) for part in _inverse(_model(name, settings, population, vector), table))
        inverse = np.maximum(inverse, 1e-4)
        log_mu = -np.log10(inverse)
        fit = (log_mu - np.log10(table["mu"])) / error
        fit[high_mu] = (inverse - 1 / table["mu"])[high_mu] / inverse_error[high_mu]
        change = np.abs(np.log10(np.maximum(around, 1e-4)) + log_mu).max(axis=0)
        distance = [np.min(np.hypot(table["x"] - x, table["y"] - y)) for x, y in np.reshape(vector[7:], (-1, 4))[:, :2]]
        rough = np.where(weak, np.maximum(change - 0.08, 0), 0) / 0.01
        prior = np.append(vector[5] / 0.08, np.reshape(vector[7:], (-1, 4))[:, 2] / 500.0)
        return np.concatenate([fit, rough, np.maximum(7.0 - np.array(distance), 0), prior])

    scale = np.maximum(np.abs(np.array(start)), 0.05)
    fit = least_squares(residuals, start, bounds=(low, high), x_scale=scale, max_nfev=400)
    return _model(name, settings, population, np.round(fit.x, 4)), table


def _power_law(name, ra, dec, z_lens, z_source, halo, shear, errors, extra=(), **more):
    components = [
        {"name": "halo", "group": "halo", "type": "power_law", "x": 0.0, "y": 0.0, **halo},
        {"name": "shear", "group": "shear", "type": "shear", **shear},
        *extra,
    ]
    errors = {"halo": errors, "members": {"sigma": 0.05}, "shear": {"gamma": 0.002, "angle": 2.0}}
    return LensModel(name, ra, dec, z_lens, components, errors, z_reference=z_source, **more)


def _arc(model, direction, z, mu):
    """Position along `direction` (degrees, west to north) outside the critical curve where mu is the one given."""
    from scipy.optimize import brentq

    unit = np.exp(1j * np.deg2rad(direction))
    radius = np.linspace(0.5, 80.0, 4000)
    inverse = 1 / model.magnification(radius * unit.real, radius * unit.imag, z)
    outside = np.nonzero(inverse < 0)[0][-1] + 1  # the last change of sign is the tangential critical curve
    found = brentq(
        lambda r: 1 / model.magnification(r * unit.real, r * unit.imag, z) - 1 / mu, radius[outside], 80.0, xtol=1e-6
    )
    return found * unit.real, found * unit.imag


def single_lenses():
    """Return the simulated Horseshoe, CSWA164 and MACS0451.

    The arcs of the two galaxy lenses lie where the published magnification holds; MACS0451's halo is put so that it
    holds at the arc's catalogue position.
    """
    galaxy_maps = {"size": 24.0, "pixel_scale": 0.05, "range_pixel_scale": 0.2}
    errors = {"einstein_radius": 0.01, "axis_ratio": 0.01, "angle": 1.0}
    found = []
    for name, ra, dec, z_lens, z_source, radius, mu in (
        ("horseshoe", 177.136250, 19.500972, 0.446, 2.383, 5.1, 12.11),
        ("cswa164", 38.207500, -3.390722, 0.450, 2.518, 3.8, 12.62),
    ):
        halo = {"einstein_radius": radius, "slope": 2.0, "axis_ratio": 0.85, "angle": 100.0}
        shear = {"gamma": 0.03, "angle": 60.0}
        model = _power_law(name, ra, dec, z_lens, z_source, halo, shear, errors, maps=galaxy_maps)
        x, y = _arc(model, 10.0, z_source, mu)
        alpha = model.deflection(np.array(x), np.array(y), z_source)
        model.image = (round(x, 4), round(y, 4))
        model.source = (round(x - float(alpha[0]), 4), round(y - float(alpha[1]), 4))
        found.append(model)
    z_source, z_lens, ra, dec = 2.014, 0.430, 72.988750, 0.105472
    population = members(451, np.array([0.0, 18.0]), np.array([0.0, 6.0]), number=10)
    for member in population:
        member.update(x=round(member["x"] / 3, 2), y=round(member["y"] / 3, 2), sigma=round(0.7 * member["sigma"], 1))
    population = [entry for entry in population if np.hypot(entry["x"] - 18.0, entry["y"] - 6.0) > 7.0]
    halo = {"einstein_radius": 14.0, "slope": 1.9, "axis_ratio": 0.75, "angle": 20.0}
    shear = {"gamma": 0.03, "angle": -20.0}
    maps = {"size": 100.0, "range_pixel_scale": 0.4}
    model = _power_law("macs0451", ra, dec, z_lens, z_source, halo, shear, errors, population, maps=maps)
    x, y = _arc(model, 18.0, z_source, 11.85)
    model.ra = round(ra + x / 3600 / np.cos(np.deg2rad(dec)), 7)
    model.dec = round(dec - y / 3600, 7)
    return [*found, model]


HEADER = """\
# Simulated lenses; made by klever_simulation.lens_tuning. They are not models of the real lenses: nothing but the
# magnification at the galaxies is tuned to the published one. Offsets in arcsec from ra, dec: x to the west, y to the
# north.
# |mu| at the galaxies, published (Table 3) and of the simulated lens:
"""


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return round(float(value), 4) if isinstance(value, float | np.floating) else value


def main():
    """Tune all lenses, write the file and print what is reached."""
    import yaml

    entries, comments = {}, []
    for name, settings in CLUSTERS.items():
        model, table = tune_cluster(name, settings)
        entries[name] = model
        reached, change = achieved(model, table)
        for i, galaxy in enumerate(table["name"]):
            wanted = f"{table['mu'][i]:6.2f} -{table['minus'][i]:.2f} +{table['plus'][i]:.2f}"
            smooth = f"within 1.5 arcsec by a factor {change[i]:.2f}"
            comments.append(f"#   {galaxy:26s} {wanted}: {reached[i]:6.2f}, {smooth}")
    entries.update({model.name: model for model in single_lenses()})
    text = {}
    for name, model in entries.items():
        entry = {"ra": model.ra, "dec": model.dec, "z_lens": model.z_lens, "z_reference": model.z_reference}
        entry |= {"source": model.source, "image": model.image}
        text[name] = {key: value for key, value in entry.items() if value is not None}
        positions = {"ra": round(float(model.ra), 7), "dec": round(float(model.dec), 7)}
        text[name] = _plain(text[name] | {"maps": model.maps, "errors": model.errors, "components": model.parameters})
        text[name].update(positions)
    content = yaml.safe_dump(text, sort_keys=False, default_flow_style=None, width=120)
    (ROOT / "resources/simulation/lenses.yaml").write_text(HEADER + "\n".join(comments) + "\n" + content)
    print("\n".join(comments))


if __name__ == "__main__":
    main()

"""Make resources/simulation/photometry.tsv: the stellar light of the simulated galaxies.

Run from the project's root in an environment that has bagpipes 1.3.6 and astro-sedpy (never in a run of the workflow):
``PYTHONPATH=workflow/scripts python -m klever_simulation.stellar_light``.

Every component of resources/simulation/galaxies.tsv gets a spectrum made with bagpipes (Carnall et al. 2018): BC03
stars, delayed exponential history, Calzetti et al. (2000) dust, nebular continuum, IGM. Age and time scale are drawn;
the drawn age is shortened, down to 0.1 Gyr, where the row's star formation rate needs it. The mass is the row's
`log_mstar`. Emission lines are left out here: an image gets those of its own scene (`klever_simulation.hst`).
"""

import csv
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from klever_simulation.galaxies import seeded

COLUMNS = ["galaxy", "component", "z", "age", "tau", "metallicity", "av", "sfr_100", "slope"]
CURVES = {
    "F435W": "acs_wfc_f435w", "F606W": "acs_wfc_f606w", "F814W": "acs_wfc_f814w", "F105W": "wfc3_ir_f105w",
    "F125W": "wfc3_ir_f125w", "F140W": "wfc3_ir_f140w", "F160W": "wfc3_ir_f160w", "Ks": "twomass_Ks",
}  # fmt: skip
CHABRIER = 0.94  # mass of a Chabrier over a Kroupa population of the same light
STELLAR_OVER_NEBULAR = 0.44  # E(B-V) of the stars over that of the gas (Calzetti et al. 2000)
CALZETTI_RV = 4.05
YOUNGEST, OLDEST = 0.1, 0.8  # Gyr; of the age of the universe
SOLAR_LOG_OH = 8.69
EXPLANATION = """\
# Stellar light of the simulated galaxies; made by klever_simulation.stellar_light with bagpipes 1.3.6, one row per
# galaxy and component of galaxies.tsv: BC03 stars, delayed exponential history, Calzetti dust with E(B-V) 0.44 times
# the row's, nebular continuum but no lines, IGM. The mass in stars that still live is 10^log_mstar of that row for a
# Chabrier IMF, 0.94 of that of bagpipes' Kroupa IMF.
# age, tau: since the first star, of the exponential, Gyr; metallicity: solar units; av: mag; sfr_100: mean of the last
# 100 Myr, Msun/yr (the row's sfr is that of the lines)
# slope: of f_lambda between F105W and Ks; F435W to F160W: AB magnitude, not lensed
"""


def write_curves(folder):
    """Write the curves of astro-sedpy as two columns without comments, as bagpipes reads them; return their paths."""
    import sedpy

    source = Path(sedpy.__file__).parent / "data/filters"
    paths = {}
    for name, stem in CURVES.items():
        rows = [line.split() for line in (source / f"{stem}.par").read_text().splitlines()]
        rows = [row[-2:] for row in rows if len(row) in (2, 3) and row[-1][0].isdigit()]
        paths[name] = folder / f"{name}.txt"
        paths[name].write_text("\n".join(" ".join(row) for row in rows) + "\n")
    return paths


def specific_rate(x, tau):
    """Rate over mass formed (1/Gyr) of a delayed exponential history of age ``x tau``, `tau` in Gyr."""
    return x * np.exp(-x) / (tau * (1 - (1 + x) * np.exp(-x)))


def draw_history(rate, oldest, rng):
    """Return age and time scale (Gyr) of a history that ends with the specific star formation rate `rate` (1/Gyr)."""
    age = np.exp(rng.uniform(np.log(YOUNGEST), np.log(oldest)))
    x = np.geomspace(0.02, 12.0, 2000)  # age over tau
    if rate > specific_rate(x[0], age / x[0]):  # more than a linear rise makes of this age
        age = max(2.0 / rate, YOUNGEST)
    rates = specific_rate(x, age / x)
    return float(age), float(age / x[np.argmin(np.abs(np.log(rates / rate)))])


def main():
    """Draw histories and write the table."""
    root = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # bagpipes makes folders where it is
        import bagpipes
        from astropy.cosmology import LambdaCDM

        for grid in bagpipes.config.line_grid[1:]:
            grid[1:, 1:] = 0.0
        cosmology = LambdaCDM(H0=67.8, Om0=0.308, Ode0=0.69)
        curves = write_curves(Path(folder))
        redshift = {row["galaxy"]: float(row["z"]) for row in _table(root / "config/galaxies.tsv")}
        rows = []
        for entry in _table(root / "resources/simulation/galaxies.tsv"):
            rows.append(_component(bagpipes, cosmology, curves, entry, redshift[entry["galaxy"]]))
            print(*rows[-1].values(), file=sys.stderr)
        os.chdir(root)
    with (root / "resources/simulation/photometry.tsv").open("w", encoding="utf-8", newline="") as stream:
        stream.write(EXPLANATION)
        bands = [name for name in CURVES if name != "Ks"]
        table = csv.DictWriter(stream, COLUMNS + bands, delimiter="\t", lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


def _table(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader((line for line in stream if line[0] != "#"), delimiter="\t"))


def _component(bagpipes, cosmology, curves, entry, z):
    rng = seeded(2020, "stellar light", entry["source_name"], entry["component"])
    oldest = OLDEST * float(bagpipes.utils.cosmo.age(z).value)
    mass = 10 ** float(entry["log_mstar"])
    living = 0.8  # of the mass formed; the mass is scaled to the exact one below
    age, tau = draw_history(float(entry["sfr"]) / mass * living * 1e9, oldest, rng)
    metallicity = 10 ** (float(entry["log_oh"]) - SOLAR_LOG_OH)
    av = CALZETTI_RV * STELLAR_OVER_NEBULAR * float(entry["ebv"])
    parts = {
        "redshift": z,
        "delayed": {"age": age, "tau": tau, "massformed": 10.0, "metallicity": metallicity},
        "dust": {"type": "Calzetti", "Av": av}, "nebular": {"logU": -2.5}, "t_bc": 0.01,
    }  # fmt: skip
    model = bagpipes.model_galaxy(parts, filt_list=[str(path) for path in curves.values()], phot_units="mujy")
    theirs = np.interp(z, bagpipes.utils.z_array, bagpipes.utils.ldist_at_z)  # the distance bagpipes used
    scale = mass / (CHABRIER * 10 ** float(model.sfh.stellar_mass))
    scale *= (theirs / cosmology.luminosity_distance(z).value) ** 2
    magnitude = dict(zip(curves, 23.9 - 2.5 * np.log10(model.photometry * scale), strict=True))
    slope = 0.4 * (magnitude["F105W"] - magnitude["Ks"]) / np.log10(2.1590 / 1.0552) - 2.0
    sfr = float(model.sfh.sfr) * mass / 10 ** float(model.sfh.stellar_mass)
    numbers = {"z": z, "age": age, "tau": tau, "metallicity": metallicity, "av": av, "sfr_100": sfr, "slope": slope}
    numbers = {name: f"{value:.4g}" for name, value in numbers.items()} | {"z": f"{z:g}"}
    return {
        "galaxy": entry["galaxy"], "component": entry["component"], **numbers,
        **{name: f"{value:.4f}" for name, value in magnitude.items()},
    }  # fmt: skip


if __name__ == "__main__":
    main()

"""Simulate the multiple images behind a cluster and the catalogue of its members."""

from klever.row_tables import Column, write_table
from klever_simulation.lenses import load_lens
from klever_simulation.multiple_images import POSITION_ERROR, REDSHIFTS, members_of, observe, simulate_families, sky

IMAGES = [
    Column("family", str, "source"),
    Column("image", str, "image of the source"),
    Column("ra", float, "observed position", "deg"),
    Column("dec", float, "observed position", "deg"),
    Column("z", float, "spectroscopic redshift; masked where there is none"),
    Column("error", float, "1 sigma of each coordinate", "arcsec"),
]
MEMBERS = [
    Column("member", str, "galaxy"),
    Column("ra", float, "position", "deg"),
    Column("dec", float, "position", "deg"),
    Column("magnitude", float, "apparent magnitude", "mag"),
]
TRUTH = [
    Column("family", str, "source"),
    Column("image", str, "image of the source"),
    Column("x", float, "true position of the image, to the west of the centre", "arcsec"),
    Column("y", float, "to the north", "arcsec"),
    Column("mu", float, "true magnification, negative if mirrored"),
    Column("z", float, "true redshift"),
    Column("source_x", float, "true position of the source, to the west of the centre", "arcsec"),
    Column("source_y", float, "to the north", "arcsec"),
]


def simulate_multiple_images(parameters, multiple_images, members, truth, settings):
    """Write simulated tables of multiple images and of members, and the truth.

    Parameters
    ----------
    parameters : path
        resources/simulation/lenses.yaml.
    multiple_images, members, truth : path
        Output ECSV. The last family has no redshift in the table of images.
    settings : dict
        lens, simulation (seed).
    """
    lens, seed = load_lens(settings["lens"], parameters), settings["simulation"]["seed"]
    families = simulate_families(lens, [z for z in REDSHIFTS if z > lens.z_lens], seed)
    meta = {"lens": lens.name, "simulated": True, "centre": [lens.ra, lens.dec], "seed": seed}
    observed, known = [], []
    for family, image, x, y, z, error in observe(families, POSITION_ERROR, seed):
        ra, dec = (float(value) for value in sky(lens, x, y))
        has_z = int(family) < len(families)
        observed.append({"family": family, "image": image, "ra": ra, "dec": dec, "z": z if has_z else None,
                         "error": error})  # fmt: skip
    write_table(multiple_images, observed, IMAGES, meta)
    galaxies = []
    for name, x, y, magnitude in members_of(lens):
        ra, dec = (float(value) for value in sky(lens, x, y))
        galaxies.append({"member": name, "ra": ra, "dec": dec, "magnitude": float(magnitude)})
    write_table(members, galaxies, MEMBERS, meta)
    for number, family in enumerate(families, 1):
        for i in range(len(family.x)):
            known.append({"family": str(number), "image": f"{number}.{i + 1}", "x": float(family.x[i]),
                          "y": float(family.y[i]), "mu": float(family.mu[i]), "z": family.z,
                          "source_x": family.source[0], "source_y": family.source[1]})  # fmt: skip
    write_table(truth, known, TRUTH, meta)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, simulate_multiple_images)

"""Fit a cluster lens to its multiple images (Curti et al. 2020, Sect. 3.2.1)."""

from klever.errors import ConfigError
from klever.lensfit.cluster import ClusterLens
from klever.lensfit.cluster_images import predict
from klever.lensfit.cluster_products import write_fit, write_images, write_samples
from klever.lensfit.cluster_search import fit_cluster
from klever.lensfit.cluster_tables import read_images, read_members, table_meta


def fit_cluster_lens(multiple_images, members, fit, samples, predicted, settings):
    """Fit halo, shear and members; write parameters, posterior samples and all images of the model.

    Parameters
    ----------
    multiple_images : path
        Table of the images; see `klever.lensfit.cluster_tables.read_images`.
    members : list of path
        None or one table of the cluster's galaxies.
    fit : path
        Output ECSV: parameters; its metadata hold the best model.
    samples : path
        Output ECSV: samples of the posterior.
    predicted : path
        Output ECSV: images of the best model, observed or not.
    settings : dict
        lens, z_lens, centre ([ra, dec], None to take that of the table of images), member_cut (arcsec or None),
        cosmology, and ``cluster_fit``: starts, walkers, steps, burn_in, samples,
        seed.

    Raises
    ------
    ConfigError, InputError
        See the messages.
    """
    stated = table_meta(multiple_images)
    centre = settings["centre"] or stated["centre"]
    if centre is None:
        raise ConfigError(f"lens {settings['lens']}: give the centre [ra, dec] of the cluster in lenses.yaml.")
    members = [members] if isinstance(members, str) else list(members)
    galaxies = read_members(members[0] if members else None, centre)
    images = read_images(multiple_images, centre, settings["z_lens"])
    lens = ClusterLens(images, galaxies, settings["z_lens"], settings["cosmology"], cut=settings["member_cut"])
    result = fit_cluster(lens, **settings["cluster_fit"])
    meta = {"lens": settings["lens"], "simulated": stated["simulated"]}
    write_fit(fit, lens, result, centre, meta)
    write_samples(samples, lens, result, meta)
    write_images(predicted, lens, result, predict(lens, result), centre, meta)


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, fit_cluster_lens)

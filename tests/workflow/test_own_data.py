"""A user's own survey: cubes, lens maps and an image named in the tables give the same as the simulated ones."""

import numpy as np
import pytest
from astropy.table import Table
from survey_runs import CONFIG, snakemake

pytestmark = pytest.mark.workflow

LENS = """\
mycluster:
  z_lens: 0.313
  origin: maps
  x_deflection: maps/{stem}_x-arcsec-deflect.fits
  y_deflection: maps/{stem}_y-arcsec-deflect.fits
  kappa: maps/{stem}_kappa.fits
  gamma: maps/{stem}_gamma.fits
  deflection_unit: arcsec
  normalisation: 1.0
  x_sign: 1
  y_sign: 1
  realisations: {{kappa: "maps/range/*_kappa.fits", gamma: "maps/range/*_gamma.fits"}}
  images: {{F160W: "images/{{galaxy}}_f160w.fits"}}
"""


@pytest.fixture(scope="module")
def own(finished, tmp_path_factory):
    directory = tmp_path_factory.mktemp("own")
    (directory / "config").mkdir()
    (directory / "images").mkdir()
    (directory / "cubes").symlink_to(finished / "results/simulated/cubes/sp3")
    (directory / "maps").symlink_to(finished / "results/simulated/lenses/ms2137")
    (directory / "images/mine_f160w.fits").symlink_to(finished / "results/simulated/galaxies/sp3/hst_f160w.fits")
    (directory / "config/config.yaml").write_text(CONFIG)
    (directory / "config/lenses.yaml").write_text(LENS.format(stem="hlsp_clash_model_ms2137_simulated_v1"))
    for name in ("galaxies.tsv", "observations.tsv"):
        header, *rows = (finished / "config" / name).read_text().splitlines()
        kept = [row.replace("sp3\t", "mine\t").replace("\tms2137\t", "\tmycluster\t") for row in rows if "sp3\t" in row]
        for band in ("YJ", "H", "K"):
            kept = [row.replace(f"\t{band}\tKMOS\tsimulated", f"\t{band}\tKMOS\t$MY_CUBES/{band}.fits") for row in kept]
        (directory / "config" / name).write_text("\n".join([header, *kept]) + "\n")
    return directory


def test_the_same_gradient_and_magnification_come_out(own, finished, monkeypatch):
    done = snakemake(own, "-n")
    assert done.returncode != 0
    assert "MY_CUBES" in done.stdout  # a variable that is not defined is named before any job starts
    monkeypatch.setenv("MY_CUBES", "cubes")
    done = snakemake(own, "--cores", "2")
    assert done.returncode == 0, done.stdout
    for name in ("gradient.ecsv", "magnification.ecsv", "annuli.ecsv"):
        mine = Table.read(own / "results/galaxies/mine" / name)
        theirs = Table.read(finished / "results/galaxies/sp3" / name)
        for column in mine.colnames:
            if mine[column].dtype.kind == "f":
                np.testing.assert_allclose(
                    np.ma.filled(mine[column], 0), np.ma.filled(theirs[column], 0), rtol=1e-9, err_msg=column
                )
    assert mine["log_oh"].size > 4
    assert not (own / "results/simulated").exists()

"""The ready survey on a real KMOS cube, from the archive's file to a gradient."""

import os
import shutil

import numpy as np
import pytest
from astropy.table import Table
from survey_runs import ROOT, snakemake

from klever.maps import MapSet

pytestmark = [pytest.mark.workflow, pytest.mark.real]


@pytest.fixture(scope="module")
def cdfs294(tmp_path_factory):
    if not os.environ.get("KLEVER_TEST_DATA"):
        pytest.skip("KLEVER_TEST_DATA does not name a folder with real cubes")
    directory = tmp_path_factory.mktemp("cdfs294")
    shutil.copytree(ROOT / "examples/cdfs294/config", directory / "config")
    done = snakemake(directory, "--cores", "2")
    assert done.returncode == 0, done.stdout
    return directory / "results"


def test_halpha_agrees_with_the_published_redshift_and_width(cdfs294):
    """KASHz: z(Halpha) 0.97520, sigma 121.5 km/s; the cube is taken not to be corrected for the Earth's motion."""
    lines = Table.read(cdfs294 / "galaxies/cdfs294/YJ/lines.ecsv")
    halpha = lines[lines["line"] == "Halpha"][0]
    assert halpha["snr"] > 10
    assert abs(halpha["z"] - 0.97520) * 299792 / 1.9752 < 30
    assert halpha["dispersion"] == pytest.approx(121.5, abs=15)


def test_metallicity_map_and_gradient_rest_on_n2(cdfs294):
    metallicity = MapSet.read(cdfs294 / "galaxies/cdfs294/metallicity.fits")
    assert metallicity.header["DIAGNOST"] == "N2"
    values = metallicity["LOG_OH"].value
    assert np.isfinite(values).sum() > 50
    assert 8.4 < np.nanmedian(values) < 8.9
    gradient = Table.read(cdfs294 / "galaxies/cdfs294/gradient.ecsv")
    assert set(gradient["state"]) == {"ok"}
    assert np.all(np.abs(gradient["slope"]) < 3 * gradient["slope_error"])
    assert not (cdfs294 / "recovery.ecsv").exists()
    assert (cdfs294 / "tables/table4.tex").is_file()

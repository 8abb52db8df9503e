"""Truth in, truth out: simulated galaxies through the whole workflow, one of them behind a cluster."""

import numpy as np
import pytest
from astropy.table import Table

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def recovery(finished):
    return Table.read(finished / "results/recovery.ecsv")


def rows(recovery, quantity, line=None):
    chosen = (recovery["quantity"] == quantity) & recovery["used"]
    if line:
        chosen &= recovery["line"] == line
    return recovery[np.asarray(chosen.filled(False) if hasattr(chosen, "filled") else chosen)]


def test_fluxes_of_detected_lines(recovery):
    pulls = np.asarray(rows(recovery, "flux")["pull"], float)
    assert len(pulls) >= 15
    assert np.abs(np.median(pulls)) < 0.7
    assert np.all(np.abs(pulls) < 5)


def test_velocity_and_width(recovery):
    for quantity in ("velocity", "dispersion"):
        found = rows(recovery, quantity)
        found = found[np.asarray(found["error"], float) < 5.0]  # km/s; leaves out lines at the detection limit
        assert len(found) >= 6
        # beam-smeared rotation is no Gaussian, and the velocity zero point is exact: a few km/s
        assert np.all(np.abs(np.asarray(found["measured"] - found["truth"], float)) < 15)


def test_magnification_and_metallicity(recovery):
    mu = rows(recovery, "mu_halpha")
    assert set(mu["galaxy"]) == {"sp3"}  # the others are not lensed
    np.testing.assert_allclose(mu["measured"], mu["truth"], rtol=0.15)
    log_oh = rows(recovery, "log_oh")
    assert len(log_oh) == 3
    assert np.all(np.abs(np.asarray(log_oh["pull"], float)) < 4)


def test_gradients_are_within_the_error(recovery):
    slopes = rows(recovery, "slope_circular")
    assert len(slopes) >= 2
    assert np.all(np.abs(np.asarray(slopes["pull"], float)) < 3)


def test_a_flipped_deflection_would_be_noticed(finished):
    """The source of a lensed galaxy lies nearer the cluster's centre than its image, on the same side."""
    from astropy.io import fits

    truth = Table.read(finished / "results/simulated/galaxies/sp3/truth.ecsv")[0]
    header = fits.getheader(finished / "results/galaxies/sp3/source.fits")
    galaxy = Table.read(finished / "config/galaxies.tsv", format="ascii.tab")
    ra, dec = galaxy[galaxy["galaxy"] == "sp3"]["ra", "dec"][0]
    shift = np.hypot((truth["source_ra"] - ra) * np.cos(np.deg2rad(dec)), truth["source_dec"] - dec) * 3600
    assert shift > 3
    scale = np.deg2rad(1 / 3600)
    x = (truth["source_ra"] - header["CRVAL1"]) * np.cos(np.deg2rad(dec)) * np.deg2rad(1) / -scale
    y = (truth["source_dec"] - header["CRVAL2"]) * np.deg2rad(1) / scale
    column = header["CRPIX1"] - 1 + x / header["PIXSCALE"]
    row = header["CRPIX2"] - 1 + y / header["PIXSCALE"]
    assert np.hypot(column - header["XC"], row - header["YC"]) * header["PIXSCALE"] < 0.1

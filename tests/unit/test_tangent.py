"""The closed formulae of gnomonic grids against astropy.wcs."""

import numpy as np
import pytest
from astropy.wcs import WCS

from klever.grids import Grid, celestial_wcs, tangent_header
from klever.tangent import TangentGrid, tangent_grid


def _header(ra=177.1, dec=19.5, cards=()):
    header = tangent_header(ra, dec, 0.065, (60.3, 41.8))
    header.update(dict(cards))
    return header


def _rotated(ra, dec, angle, scale, stretch, parity):
    header = _header(ra, dec)
    del header["CDELT*"]
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    for key, value in (("CD1_1", parity * c), ("CD1_2", s), ("CD2_1", -parity * s * stretch), ("CD2_2", c * stretch)):
        header[key] = value / 3600
    return header


@pytest.mark.parametrize("seed", range(12))
def test_positions_are_those_of_astropy(seed):
    random = np.random.default_rng(seed)
    ra, dec = random.uniform(0, 360), random.uniform(-89, 89)
    header = _rotated(ra if seed else 0.0001, dec, random.uniform(0, 7), random.uniform(0.02, 2.0), 1.3, (-1) ** seed)
    ours, theirs = celestial_wcs(header), WCS(header)
    assert isinstance(ours, TangentGrid)
    x, y = random.uniform(-500, 500, (2, 40))
    sky, expected = ours.all_pix2world(x, y, 0), theirs.all_pix2world(x, y, 0)
    cos = np.cos(np.radians(expected[1]))
    assert np.abs(((sky[0] - expected[0] + 180) % 360 - 180) * cos).max() < 1e-11
    assert np.abs(sky[1] - expected[1]).max() < 1e-11
    assert np.all((sky[0] >= 0) & (sky[0] < 360))
    back = ours.all_world2pix(*expected, 1)
    assert np.abs(np.array(back) - np.array([x, y]) - 1).max() < 1e-6
    assert ours.pixel_scale_matrix == pytest.approx(theirs.pixel_scale_matrix, rel=1e-12)


def test_matrix_of_cdelt_and_pc_is_astropys():
    header = _header(cards={"PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8, "LATPOLE": 19.5, "LONPOLE": 180.0})
    ours = tangent_grid(header)
    assert ours.pixel_scale_matrix == pytest.approx(WCS(header).pixel_scale_matrix, rel=1e-12)


@pytest.mark.parametrize(
    "cards",
    [
        {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"},
        {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 19.5, "CRVAL2": 177.1},
        {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-6},
        {"PV2_1": 0.1},
        {"LONPOLE": 170.0},
        {"CUNIT1": "arcsec", "CUNIT2": "arcsec"},
        {"CROTA2": 30.0},
        {"CRVAL2": 90.0},
    ],
)
def test_other_grids_are_left_to_astropy(cards):
    header = _header(cards=cards)
    assert tangent_grid(header) is None
    if "PV2_1" not in cards:
        wcs = celestial_wcs(header)
        assert isinstance(wcs, WCS)
        assert Grid(header, (10, 12)).origin == tuple(wcs.wcs.crval)


@pytest.mark.parametrize(
    "cards",
    [{"CDELT1": 0.0}, {"CRVAL1": None}, {"CRPIX1": "middle"}, {"CD1_1": 1e-4, "PC1_1": 1.0}],
)
def test_broken_headers_are_not_plain(cards):
    header = _header()
    for key, value in cards.items():
        if value is None:
            del header[key]
        else:
            header[key] = value
    assert tangent_grid(header) is None


def test_far_side_of_the_sky_is_nan():
    grid = tangent_grid(_header(10.0, 0.0))
    assert np.isnan(grid.all_world2pix(190.0, 0.0, 0)).all()
